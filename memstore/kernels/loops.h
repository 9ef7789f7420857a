/* The inner loops of kernels.c, included once for each width of registers.

   NAMED gives a function's name for this width, TARGET what the compiler may use. */

#define INLINE TARGET static inline __attribute__((always_inline))

INLINE f16 NAMED(load16)(const float *from)
{
    f16 numbers;
    memcpy(&numbers, from, sizeof numbers);
    return numbers;
}

INLINE d8 NAMED(wide8)(const float *from)
{
    f8 numbers;
    memcpy(&numbers, from, sizeof numbers);
    return __builtin_convertvector(numbers, d8);
}

INLINE d8 NAMED(load8)(const double *from)
{
    d8 numbers;
    memcpy(&numbers, from, sizeof numbers);
    return numbers;
}

INLINE float NAMED(sum16)(f16 s)
{
    f8 s8 = __builtin_shufflevector(s, s, 0, 1, 2, 3, 4, 5, 6, 7) +
            __builtin_shufflevector(s, s, 8, 9, 10, 11, 12, 13, 14, 15);
    f4 s4 = __builtin_shufflevector(s8, s8, 0, 1, 2, 3) +
            __builtin_shufflevector(s8, s8, 4, 5, 6, 7);
    return (s4[0] + s4[2]) + (s4[1] + s4[3]);
}

/* Float32 products of a vector with four others that lie one after the other. */
INLINE void NAMED(score4)(const float *query, const float *keys, Py_ssize_t channels, float *scores)
{
    const float *k0 = keys, *k1 = k0 + channels, *k2 = k1 + channels, *k3 = k2 + channels;
    f16 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, t0 = {0}, t1 = {0}, t2 = {0}, t3 = {0};
    Py_ssize_t i = 0;
    for (; i + 32 <= channels; i += 32) {
        f16 q = NAMED(load16)(query + i), r = NAMED(load16)(query + i + 16);
        s0 += q * NAMED(load16)(k0 + i), t0 += r * NAMED(load16)(k0 + i + 16);
        s1 += q * NAMED(load16)(k1 + i), t1 += r * NAMED(load16)(k1 + i + 16);
        s2 += q * NAMED(load16)(k2 + i), t2 += r * NAMED(load16)(k2 + i + 16);
        s3 += q * NAMED(load16)(k3 + i), t3 += r * NAMED(load16)(k3 + i + 16);
    }
    scores[0] = NAMED(sum16)(s0 + t0), scores[1] = NAMED(sum16)(s1 + t1);
    scores[2] = NAMED(sum16)(s2 + t2), scores[3] = NAMED(sum16)(s3 + t3);
    for (; i < channels; i++) {
        scores[0] += query[i] * k0[i], scores[1] += query[i] * k1[i];
        scores[2] += query[i] * k2[i], scores[3] += query[i] * k3[i];
    }
}

/* The float64 sum of exact products: off by no more than channels * 2^-53. `next` is the key that
   is read after this one. */
TARGET static double NAMED(wide_product)(const double *query, const float *key, Py_ssize_t channels,
                                         const float *next)
{
    d8 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    Py_ssize_t i = 0;
    for (; i + 32 <= channels; i += 32) {
        __builtin_prefetch(next + i);
        __builtin_prefetch(next + i + 16);
        s0 += NAMED(load8)(query + i) * NAMED(wide8)(key + i);
        s1 += NAMED(load8)(query + i + 8) * NAMED(wide8)(key + i + 8);
        s2 += NAMED(load8)(query + i + 16) * NAMED(wide8)(key + i + 16);
        s3 += NAMED(load8)(query + i + 24) * NAMED(wide8)(key + i + 24);
    }
    for (; i + 8 <= channels; i += 8)
        s0 += NAMED(load8)(query + i) * NAMED(wide8)(key + i);
    s0 = (s0 + s1) + (s2 + s3);
    double sum = ((s0[0] + s0[1]) + (s0[2] + s0[3])) + ((s0[4] + s0[5]) + (s0[6] + s0[7]));
    for (; i < channels; i++)
        sum += query[i] * (double)key[i];
    return sum;
}

/* The float32 product of a vector and integers: off by rounding(channels) of both norms at most. */
TARGET static float NAMED(product_with_integers)(const float *vector, const int8_t *integers,
                                                 Py_ssize_t channels, const int8_t *next)
{
    f16 s0 = {0}, s1 = {0};
    Py_ssize_t i = 0;
    for (; i + 32 <= channels; i += 32) {
        __builtin_prefetch(next + i); /* which is read after these */
        s0 += NAMED(load16)(vector + i) * INTEGERS(integers + i);
        s1 += NAMED(load16)(vector + i + 16) * INTEGERS(integers + i + 16);
    }
    float sum = NAMED(sum16)(s0 + s1);
    for (; i < channels; i++)
        sum += vector[i] * (float)integers[i];
    return sum;
}

/* Float32 products of a vector and all keys: within cosine.rounding(channels) of the truth. */
TARGET static void NAMED(score_all)(const float *query, const float *keys, Py_ssize_t rows,
                                    Py_ssize_t channels, float *scores)
{
    Py_ssize_t row = 0;
    for (; row + 4 <= rows; row += 4)
        NAMED(score4)(query, keys + row * channels, channels, scores + row);
    for (; row < rows; row++) {
        float sum = 0;
        for (Py_ssize_t i = 0; i < channels; i++)
            sum += query[i] * keys[row * channels + i];
        scores[row] = sum;
    }
}

#ifdef HALVES
/* As score_all, of keys in float16. */
TARGET static void NAMED(score_halves)(const float *query, const uint16_t *keys, Py_ssize_t rows,
                                       Py_ssize_t channels, float *scores)
{
    for (Py_ssize_t row = 0; row < rows; row++) {
        const uint16_t *key = keys + row * channels;
        f16 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        Py_ssize_t i = 0;
        for (; i + 64 <= channels; i += 64) {
            __builtin_prefetch(key + i + 1024);
            __builtin_prefetch(key + i + 1056);
            s0 += NAMED(load16)(query + i) * HALVES(key + i);
            s1 += NAMED(load16)(query + i + 16) * HALVES(key + i + 16);
            s2 += NAMED(load16)(query + i + 32) * HALVES(key + i + 32);
            s3 += NAMED(load16)(query + i + 48) * HALVES(key + i + 48);
        }
        for (; i + 16 <= channels; i += 16)
            s0 += NAMED(load16)(query + i) * HALVES(key + i);
        float sum = NAMED(sum16)((s0 + s1) + (s2 + s3));
        for (; i < channels; i++)
            sum += query[i] * _cvtsh_ss(key[i]);
        scores[row] = sum;
    }
}
#endif

/* Products of integers times both scales, and their sums, turned from (rows, batch) to (batch, all
   rows), of which they are those from `start` on. */
TARGET static void NAMED(turn_bounds)(const Products *of, Py_ssize_t start, Py_ssize_t all,
                                      float *bounds)
{
    float some[AT_ONCE];
    for (Py_ssize_t row = 0; row < of->rows; row += AT_ONCE) {
        Py_ssize_t count = of->rows - row < AT_ONCE ? of->rows - row : AT_ONCE;
        for (Py_ssize_t b = 0; b < of->batch; b++) {
            const int32_t *products = of->products + row * of->batch + b;
            const float *sums = of->sums + row * of->batch + b;
            for (Py_ssize_t i = 0; i < count; i++)
                some[i] = (float)products[i * of->batch] * of->key_scales[row + i] *
                              of->query_scales[b] +
                          sums[i * of->batch];
            memcpy(bounds + b * all + start + row, some, (size_t)count * sizeof(float));
        }
    }
}

/* Whether any of the numbers reaches the least, which is one for all or each its own. */
INLINE int NAMED(any_reaches)(const float *numbers, const float *least, Py_ssize_t count, int each)
{
    int any = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        any |= numbers[i] >= least[each ? i : 0];
    return any;
}

/* How many numbers reach the least; the first of them, `most` at most, by row. */
TARGET static Py_ssize_t NAMED(reaching)(const float *numbers, Py_ssize_t rows, float least,
                                         Py_ssize_t most, Entry *which)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t start = 0; start < rows; start += BLOCK) {
        Py_ssize_t end = start + BLOCK < rows ? start + BLOCK : rows;
        if (end - start == BLOCK && !NAMED(any_reaches)(numbers + start, &least, BLOCK, 0))
            continue;
        for (Py_ssize_t row = start; row < end; row++)
            if (numbers[row] >= least && numbers[row] != -INFINITY) {
                if (count < most)
                    which[count] = (Entry){numbers[row], row};
                count++;
            }
    }
    return count;
}

/* Let one query's numbers through a sieve; 0 if there is no room left. */
TARGET static int NAMED(sift_one)(const float *numbers, Py_ssize_t rows, Sieve *sieve)
{
    for (Py_ssize_t start = 0; start < rows; start += BLOCK) {
        Py_ssize_t end = start + BLOCK < rows ? start + BLOCK : rows;
        if (end - start == BLOCK && !NAMED(any_reaches)(numbers + start, &sieve->least, BLOCK, 0))
            continue;
        for (Py_ssize_t row = start; row < end; row++)
            if (numbers[row] >= sieve->least && !pass(sieve, (Entry){numbers[row], row}))
                return 0;
    }
    return 1;
}

/* The same of `batch` queries' numbers (rows, batch), each through its own sieve. */
TARGET static int NAMED(sift_turned)(const float *numbers, Py_ssize_t rows, Py_ssize_t batch,
                                     Sieve *sieves, float *least)
{
    for (Py_ssize_t row = 0; row < rows; row++)
        for (Py_ssize_t start = 0; start < batch; start += BLOCK) {
            const float *some = numbers + row * batch + start;
            Py_ssize_t count = start + BLOCK < batch ? BLOCK : batch - start;
            if (count == BLOCK && !NAMED(any_reaches)(some, least + start, BLOCK, 1))
                continue;
            for (Py_ssize_t i = 0; i < count; i++)
                if (some[i] >= least[start + i]) {
                    if (!pass(sieves + start + i, (Entry){some[i], row}))
                        return 0;
                    least[start + i] = sieves[start + i].least;
                }
        }
    return 1;
}

/* A vector over its norm, rounded once; 0 if the norm is extreme, or a last bit in doubt.

   Two orders of a sum of n squares differ by 2.02 n 2^-53 of it at most, norms by half as much. */
TARGET static int NAMED(unit)(const float *vector, Py_ssize_t channels, double low, double high,
                              float *unit)
{
    d8 s0 = {0}, s1 = {0};
    Py_ssize_t i = 0;
    for (; i + 16 <= channels; i += 16) {
        d8 a = NAMED(wide8)(vector + i), b = NAMED(wide8)(vector + i + 8);
        s0 += a * a, s1 += b * b;
    }
    s0 += s1;
    double square = ((s0[0] + s0[1]) + (s0[2] + s0[3])) + ((s0[4] + s0[5]) + (s0[6] + s0[7]));
    for (; i < channels; i++)
        square += (double)vector[i] * vector[i];
    if (!(square > low && square < high)) /* so is nan */
        return 0;
    double norm = sqrt(square), apart = (1.1 * (double)channels + 8) * 0x1p-53;
    int doubts = 0;
    for (i = 0; i < channels; i++) {
        double quotient = vector[i] / norm;
        float more = (float)(quotient * (1 + apart)), less = (float)(quotient * (1 - apart));
        doubts |= more != less;
        unit[i] = more;
    }
    return !doubts;
}

/* Bytes that are 0 or 1 to bits, the first in a byte's highest; whether they were so. */
TARGET static int NAMED(pack_bytes)(const uint8_t *bytes, Py_ssize_t count, uint8_t *packed)
{
    uint64_t any = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        uint64_t eight;
        memcpy(&eight, bytes + 8 * i, 8);
        any |= eight;
        packed[i] = (uint8_t)((eight * 0x8040201008040201u) >> 56);
    }
    return !(any & 0xfefefefefefefefeu);
}

/* Bits to bytes, the highest bit of a byte first. */
TARGET static void NAMED(unpack_bits)(const uint8_t *packed, Py_ssize_t count, uint8_t *bytes)
{
    const u64 which = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                       2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5,
                       5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7};
    const u64 bit = {128, 64, 32, 16, 8, 4, 2, 1, 128, 64, 32, 16, 8, 4, 2, 1,
                     128, 64, 32, 16, 8, 4, 2, 1, 128, 64, 32, 16, 8, 4, 2, 1,
                     128, 64, 32, 16, 8, 4, 2, 1, 128, 64, 32, 16, 8, 4, 2, 1,
                     128, 64, 32, 16, 8, 4, 2, 1, 128, 64, 32, 16, 8, 4, 2, 1};
    Py_ssize_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t eight;
        memcpy(&eight, packed + i, 8);
        q8 spread = {eight, eight, eight, eight, eight, eight, eight, eight};
        u64 bytes64 = __builtin_shuffle((u64)spread, which);
        u64 set = (u64)((bytes64 & bit) != 0) & 1;
        memcpy(bytes + 8 * i, &set, 64);
    }
    for (; i < count; i++)
        for (int j = 0; j < 8; j++)
            bytes[8 * i + j] = packed[i] >> (7 - j) & 1;
}

#undef INLINE
