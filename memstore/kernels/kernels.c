/* Kernels: loops of a search that numpy runs in many small calls, compiled.

   Optional: without them memstore gives the same answers from numpy, more slowly. What they compute
   is defined in cosine.py; a cosine whose last bit hangs on the order of its sum is left to numpy.
   Arguments are checked by compiled.py and, where memory is at stake, here. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 0, IN_DOUBT = -1 }; /* outcomes */
static const Py_ssize_t LONG = 1 << 20; /* numbers looked at, from which other threads may run */

/* Vectors of the compiler's: as many registers as they take. */
typedef float f16 __attribute__((vector_size(64)));
typedef double d8 __attribute__((vector_size(64)));
typedef float f4 __attribute__((vector_size(16)));
typedef float f8 __attribute__((vector_size(32)));
typedef uint8_t u64 __attribute__((vector_size(64)));
typedef uint64_t q8 __attribute__((vector_size(64)));

/* The best few, the worst of them first: a heap. Better is higher, then the lower slot. */
typedef struct {
    float number;
    int64_t slot;
} Entry;

static inline int is_worse(Entry a, Entry b)
{
    return a.number < b.number || (a.number == b.number && a.slot > b.slot);
}

typedef struct {
    Entry *entries;
    Py_ssize_t count, room;
} Heap;

static void sift_down(Heap *heap, Entry entry)
{
    Py_ssize_t place = 0, child;
    while ((child = 2 * place + 1) < heap->count) {
        if (child + 1 < heap->count && is_worse(heap->entries[child + 1], heap->entries[child]))
            child++;
        if (!is_worse(heap->entries[child], entry))
            break;
        heap->entries[place] = heap->entries[child];
        place = child;
    }
    heap->entries[place] = entry;
}

static void offer(Heap *heap, Entry entry)
{
    if (heap->count == heap->room) {
        if (is_worse(heap->entries[0], entry))
            sift_down(heap, entry);
        return;
    }
    Py_ssize_t place = heap->count++, parent;
    while (place && is_worse(entry, heap->entries[parent = (place - 1) / 2])) {
        heap->entries[place] = heap->entries[parent];
        place = parent;
    }
    heap->entries[place] = entry;
}

enum { FIRST = 4 };  /* times as many slots as asked for that are ranked by their bounds at first */
enum { BLOCK = 32 }; /* numbers compared at once with what they have to reach */

/* What passes all numbers by and keeps those that may belong to the k highest ones' slots. */
typedef struct {
    Heap highest; /* k of them */
    float least;  /* a number that is lower counts no more */
    float apart;  /* from the k-th highest: so much lower ones count as well; INFINITY keeps none */
    Entry *kept;
    Py_ssize_t count, room;
} Sieve;

/* Keep only what still counts. */
static void narrow(Sieve *sieve)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < sieve->count; i++)
        if (sieve->kept[i].number >= sieve->least)
            sieve->kept[count++] = sieve->kept[i];
    sieve->count = count;
}

/* Take a number that reaches the least; 0 if there is no room left. */
static int pass(Sieve *sieve, Entry entry)
{
    Heap *highest = &sieve->highest;
    int is_full = highest->count == highest->room;
    if (!is_full || is_worse(highest->entries[0], entry)) {
        offer(highest, entry);
        if (highest->count == highest->room) {
            float kth = highest->entries[0].number;
            sieve->least = sieve->kept ? nextafterf(kth - sieve->apart, -INFINITY) : kth;
        }
    }
    if (!sieve->kept)
        return 1;
    if (sieve->count == sieve->room) {
        narrow(sieve);
        if (2 * sieve->count > sieve->room) {
            Entry *kept = realloc(sieve->kept, 2 * (size_t)sieve->room * sizeof(Entry));
            if (!kept)
                return 0;
            sieve->kept = kept, sieve->room *= 2;
        }
    }
    sieve->kept[sieve->count++] = entry;
    return 1;
}

enum { AT_ONCE = 16 }; /* rows that are turned at once: a line of the cache */

/* Products (rows, batch) of integers, and what else their bounds are made of: see rounded.py. */
typedef struct {
    const int32_t *products;
    const float *key_scales, *query_scales, *sums; /* (rows), (batch), (rows, batch) */
    Py_ssize_t rows, batch;
} Products;

#define JOINED(name, width) name##_##width
#define NAMED(name) JOINED_OF(name, WIDTH)
#define JOINED_OF(name, width) JOINED(name, width)

static inline f16 integers_any(const int8_t *from)
{
    f16 numbers;
    for (int i = 0; i < 16; i++)
        numbers[i] = from[i];
    return numbers;
}

#define WIDTH any
#define TARGET
#define INTEGERS integers_any
#include "loops.h"
#undef WIDTH
#undef TARGET
#undef INTEGERS

typedef struct {
    void (*score_all)(const float *, const float *, Py_ssize_t, Py_ssize_t, float *);
    double (*wide_product)(const double *, const float *, Py_ssize_t, const float *);
    Py_ssize_t (*reaching)(const float *, Py_ssize_t, float, Py_ssize_t, Entry *);
    int (*sift_one)(const float *, Py_ssize_t, Sieve *);
    int (*sift_turned)(const float *, Py_ssize_t, Py_ssize_t, Sieve *, float *);
    float (*product_with_integers)(const float *, const int8_t *, Py_ssize_t, const int8_t *);
    int (*unit)(const float *, Py_ssize_t, double, double, float *);
    void (*unpack_bits)(const uint8_t *, Py_ssize_t, uint8_t *);
    int (*pack_bytes)(const uint8_t *, Py_ssize_t, uint8_t *);
    void (*turn_bounds)(const Products *, Py_ssize_t, Py_ssize_t, float *);
    void (*score_halves)(const float *, const uint16_t *, Py_ssize_t, Py_ssize_t, float *);
} Loops;

static Loops loops = {score_all_any, wide_product_any, reaching_any, sift_one_any,
                 sift_turned_any, product_with_integers_any,
                 unit_any, unpack_bits_any, pack_bytes_any, turn_bounds_any, NULL};

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define WIDTH avx2
#define TARGET __attribute__((target("avx2,fma,bmi2,f16c")))
#define INTEGERS integers_avx2
#define HALVES halves_avx2

TARGET static inline __attribute__((always_inline)) f16 halves_avx2(const uint16_t *from)
{
    f8 lower = (f8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from));
    f8 upper = (f8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + 8)));
    return __builtin_shufflevector(lower, upper, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                   15);
}

/* 16 integers as float32: compilers take them one by one if left alone. */
TARGET static inline __attribute__((always_inline)) f16 integers_avx2(const int8_t *from)
{
    __m256i low = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from));
    __m256i high = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(from + 8)));
    f8 lower = (f8)_mm256_cvtepi32_ps(low), upper = (f8)_mm256_cvtepi32_ps(high);
    return __builtin_shufflevector(lower, upper, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                   15);
}

#include "loops.h"
#undef WIDTH
#undef TARGET
#undef INTEGERS
#define WIDTH avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,bmi2,f16c")))
#define INTEGERS(from) \
    (f16) _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(from))))
#undef HALVES
#define HALVES(from) (f16) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(from)))
#include "loops.h"
#undef WIDTH
#undef TARGET
#undef INTEGERS

/* Take the widest that this processor has. */
static void choose_loops(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        loops = (Loops){score_all_avx512, wide_product_avx512, reaching_avx512, sift_one_avx512,
                 sift_turned_avx512, product_with_integers_avx512,
                 unit_avx512, unpack_bits_avx512, pack_bytes_avx512, turn_bounds_avx512, score_halves_avx512};
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
        loops = (Loops){score_all_avx2, wide_product_avx2, reaching_avx2, sift_one_avx2,
                 sift_turned_avx2, product_with_integers_avx2,
                 unit_avx2, unpack_bits_avx2, pack_bytes_avx2, turn_bounds_avx2, score_halves_avx2};
}
#else
static void choose_loops(void) {}
#endif

static int by_slot(const void *a, const void *b)
{
    int64_t left = ((const Entry *)a)->slot, right = ((const Entry *)b)->slot;
    return (left > right) - (left < right);
}

static int best_first(const void *a, const void *b)
{
    return is_worse(*(const Entry *)a, *(const Entry *)b) ? 1 : -1;
}

/* The integers that bounds came from, and what queries lost when they were rounded: see rounded.py.
   The bounds allow for lost * span; the product of the two vectors is mostly far less. */
typedef struct {
    const int8_t *integers;            /* (rows, channels) of keys */
    const float *scales, *norms;       /* (rows); (rows, 3), the last of which is the span */
    const float *remainders, *lost;    /* (batch, channels); (batch) no less than their norms */
    double loose;                      /* by which a remainder's product may be off, to the span */
} Rounded;

/* What a search is asked for. */
typedef struct {
    const float *keys;
    Py_ssize_t rows, channels, k;
    double slack; /* that no cosine is more above its bound */
    float above;  /* cosines that are not above it are not found */
    Py_ssize_t few;
    const Rounded *rounded; /* NULL if bounds came from nothing else */
} Task;

/* Offer the cosine of a slot; whether it is left to numpy, as its last bit counts and is in doubt. */
static int rank_one(const Task *task, const double *query, int64_t slot, int64_t next, Heap *best)
{
    double apart = 2.02 * (double)task->channels * 0x1p-53; /* as in cosine.py */
    double sum = loops.wide_product(query, task->keys + slot * task->channels, task->channels,
                                     task->keys + next * task->channels);
    float high = (float)(sum + apart), low = (float)(sum - apart);
    high = high > 1 ? 1 : high < -1 ? -1 : high;
    low = low > 1 ? 1 : low < -1 ? -1 : low;
    Entry entry = {high, slot};
    if (high <= task->above)
        return DONE;
    if (best->count == best->room && !is_worse(best->entries[0], entry))
        return DONE;
    if (low != high)
        return IN_DOUBT;
    offer(best, entry);
    return DONE;
}

static void put_best(Heap *best, Py_ssize_t k, int64_t *slots, float *cosines)
{
    qsort(best->entries, (size_t)best->count, sizeof(Entry), best_first);
    for (Py_ssize_t i = 0; i < k; i++) {
        int is_hit = i < best->count;
        slots[i] = is_hit ? best->entries[i].slot : -1;
        cosines[i] = is_hit ? best->entries[i].number : -INFINITY;
    }
}

/* Rank what a sieve kept of a query's scores: how many, or IN_DOUBT. */
static int64_t rank_kept(const Task *task, const double *query, Sieve *sieve, Heap *best)
{
    narrow(sieve);
    for (Py_ssize_t i = 0; i < sieve->count; i++)
        if (rank_one(task, query, sieve->kept[i].slot,
                     sieve->kept[i + 1 < sieve->count ? i + 1 : i].slot, best) == IN_DOUBT)
            return IN_DOUBT;
    return sieve->count;
}

/* A closer bound of a slot's cosine; `next` is the slot that is asked for after it. */
static float closer_bound(const Task *task, Py_ssize_t b, Entry entry, int64_t next)
{
    const Rounded *of = task->rounded;
    Py_ssize_t channels = task->channels;
    double span = of->norms[3 * entry.slot + 2];
    float product = loops.product_with_integers(of->remainders + b * channels,
                                                of->integers + entry.slot * channels, channels,
                                                of->integers + next * channels);
    double bound = entry.number + (of->loose - of->lost[b]) * span + of->scales[entry.slot] * product;
    return nextafterf((float)bound, INFINITY);
}

/* Rank slots by their bounds, the highest first, as far as they may be among the best. */
static int rank_entries(const Task *task, Py_ssize_t b, const double *query, Entry *entries,
                        Py_ssize_t count, Heap *best)
{
    Py_ssize_t kept = 0;
    if (task->rounded && best->count == best->room)
        for (Py_ssize_t i = 0; i < count; i++) {
            Entry entry = entries[i];
            entry.number = closer_bound(task, b, entry, entries[i + 1 < count ? i + 1 : i].slot);
            if (entry.number >= best->entries[0].number)
                entries[kept++] = entry;
        }
    else
        kept = count;
    qsort(entries, (size_t)kept, sizeof(Entry), best_first);
    for (Py_ssize_t i = 0; i < kept; i++) {
        if (best->count == best->room && entries[i].number < best->entries[0].number)
            break;
        if (rank_one(task, query, entries[i].slot, entries[i + 1 < kept ? i + 1 : i].slot, best) ==
            IN_DOUBT)
            return IN_DOUBT;
    }
    return DONE;
}

/* Rank the slots whose bounds reach the k-th best cosine: first those with the highest bounds, which
   are given, then the others, unless they are more than few: how many, or IN_DOUBT. */
static int64_t rank_bounded(const Task *task, Py_ssize_t b, const double *query, const float *bounds,
                            Heap *highest, Heap *best, Entry *near)
{
    Entry *entries = highest->entries;
    Py_ssize_t all = highest->count, first = all < best->room ? all : best->room;
    qsort(entries, (size_t)all, sizeof(Entry), best_first);
    float lowest = all ? entries[all - 1].number : 0;
    memcpy(near, entries, (size_t)all * sizeof(Entry)); /* as bounds may become closer */
    if (rank_entries(task, b, query, near, first, best) == IN_DOUBT ||
        rank_entries(task, b, query, near + first, all - first, best) == IN_DOUBT)
        return IN_DOUBT;
    float least = best->count == best->room ? best->entries[0].number : task->above;
    if (all < highest->room || lowest < least)
        return all; /* no others come near */
    Py_ssize_t count = loops.reaching(bounds, task->rows, least, task->few, near);
    if (count > task->few)
        return count;
    qsort(entries, (size_t)all, sizeof(Entry), by_slot);
    Py_ssize_t next = 0, others = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        while (next < all && entries[next].slot < near[i].slot)
            next++;
        if (next == all || entries[next].slot != near[i].slot)
            near[others++] = near[i];
    }
    return rank_entries(task, b, query, near, others, best) == IN_DOUBT ? IN_DOUBT : count;
}

/* Set the hits of `batch` queries; 0 if there is no room.

   Numbers are scores (rows, batch), each at most `slack` off, or bounds (batch, rows). */
static int rank_batch(const Task *task, const float *queries, Py_ssize_t batch,
                      const float *numbers, int are_scores, int64_t *slots, float *cosines,
                      int64_t *outcomes)
{
    Py_ssize_t rows = task->rows, k = task->k, few = task->few, room = k < rows ? k : rows;
    Py_ssize_t most = are_scores || FIRST * k > few ? room : FIRST * k; /* of a sieve's heap */
    Sieve *sieves = calloc((size_t)batch, sizeof(Sieve));
    Entry *entries = malloc((size_t)(batch + 1) * (size_t)most * sizeof(Entry));
    float *least = malloc((size_t)batch * sizeof(float));
    Entry *near = malloc((size_t)(few > most ? few : most) * sizeof(Entry));
    double *query = malloc((size_t)task->channels * sizeof(double));
    int is_done = sieves && entries && least && near && query;
    for (Py_ssize_t b = 0; b < batch && is_done; b++) {
        Sieve *sieve = sieves + b;
        sieve->highest = (Heap){entries + b * most, 0, most};
        sieve->apart = 2 * (float)task->slack;
        least[b] = sieve->least = -FLT_MAX; /* lower ones must not be found */
        if (are_scores) {
            sieve->room = 2 * room + BLOCK;
            is_done = !!(sieve->kept = malloc((size_t)sieve->room * sizeof(Entry)));
        }
    }
    if (is_done && are_scores && batch > 1)
        is_done = loops.sift_turned(numbers, rows, batch, sieves, least);
    for (Py_ssize_t b = 0; b < batch && is_done; b++) {
        if ((!are_scores || batch == 1) && !loops.sift_one(numbers + b * rows, rows, sieves + b)) {
            is_done = 0;
            break;
        }
        Heap best = {entries + batch * most, 0, room};
        for (Py_ssize_t i = 0; i < task->channels; i++)
            query[i] = queries[b * task->channels + i];
        outcomes[b] = are_scores ? rank_kept(task, query, sieves + b, &best)
                                 : rank_bounded(task, b, query, numbers + b * rows,
                                                &sieves[b].highest, &best, near);
        if (outcomes[b] >= 0 && outcomes[b] <= few)
            put_best(&best, k, slots + b * k, cosines + b * k);
    }
    for (Py_ssize_t b = 0; b < batch && sieves; b++)
        free(sieves[b].kept);
    free(query);
    free(near);
    free(least);
    free(entries);
    free(sieves);
    return is_done;
}

/* --- Python's side --- */

/* A contiguous buffer of at least so many bytes; NULL with an exception if it is none.

   `kind` is f for float32, h for float16, i for int64, n for int32 and B for bytes or bools; 8 for int8; w is to be written. */
static void *buffer_of(PyObject *object, Py_buffer *view, const char *kind, Py_ssize_t least)
{
    int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (kind[1] == 'w' ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags) < 0)
        return NULL;
    char format = view->format && !view->format[1] ? view->format[0] : 0;
    int is_right = kind[0] == 'f'   ? format == 'f'
                   : kind[0] == 'i' ? (format == 'l' || format == 'q') && view->itemsize == 8
                   : kind[0] == 'h' ? format == 'e'
                   : kind[0] == 'n' ? (format == 'i' || format == 'l') && view->itemsize == 4
                   : kind[0] == '8' ? format == 'b'
                                    : format == 'B' || format == '?';
    if (is_right && view->len >= least)
        return view->buf;
    if (is_right)
        PyErr_Format(PyExc_ValueError, "got %zd bytes, want %zd or more", view->len, least);
    else
        PyErr_Format(PyExc_TypeError, "got numbers of format %s, want %c",
                     view->format ? view->format : "B", kind[0]);
    PyBuffer_Release(view);
    return NULL;
}

/* Whether sizes are at least 1 and their products fit; an exception if not. */
static int are_sizes(Py_ssize_t rows, Py_ssize_t channels, Py_ssize_t batch, Py_ssize_t k)
{
    const Py_ssize_t most = PY_SSIZE_T_MAX / 64;
    if (rows > 0 && channels > 0 && batch > 0 && k > 0 && rows <= most / channels &&
        batch <= most / rows && batch <= most / channels && batch <= most / k)
        return 1;
    PyErr_SetString(PyExc_ValueError, "got sizes below 1 or past all memory");
    return 0;
}

static PyObject *search_few(PyObject *self, PyObject *args)
{
    PyObject *query_of, *keys_of, *open_of, *slots_of, *cosines_of;
    Py_ssize_t rows, channels, k;
    double slack, above;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOnnnddOO", &query_of, &keys_of, &open_of, &rows, &channels, &k,
                          &slack, &above, &slots_of, &cosines_of))
        return NULL;
    if (!are_sizes(rows, channels, 1, k))
        return NULL;
    Py_buffer views[5];
    int held = 0;
    PyObject *outcome = NULL;
    float *scores = NULL;
    const float *query, *keys;
    const uint8_t *open = NULL;
    int64_t *slots;
    float *cosines;
    if (!(query = buffer_of(query_of, views + held, "f", 4 * channels)))
        goto end;
    held++;
    if (!(keys = buffer_of(keys_of, views + held, "f", 4 * rows * channels)))
        goto end;
    held++;
    if (!(slots = buffer_of(slots_of, views + held, "iw", 8 * k)))
        goto end;
    held++;
    if (!(cosines = buffer_of(cosines_of, views + held, "fw", 4 * k)))
        goto end;
    held++;
    if (open_of != Py_None) {
        if (!(open = buffer_of(open_of, views + held, "B", rows)))
            goto end;
        held++;
    }
    if (!(scores = malloc((size_t)rows * sizeof(float)))) {
        PyErr_NoMemory();
        goto end;
    }
    Task task = {keys, rows, channels, k, slack, (float)above, rows, NULL};
    int64_t done = IN_DOUBT;
    PyThreadState *thread = rows * channels >= LONG ? PyEval_SaveThread() : NULL;
    loops.score_all(query, keys, rows, channels, scores);
    if (open)
        for (Py_ssize_t row = 0; row < rows; row++)
            if (!open[row])
                scores[row] = -INFINITY;
    int has_room = rank_batch(&task, query, 1, scores, 1, slots, cosines, &done);
    if (thread)
        PyEval_RestoreThread(thread);
    outcome = has_room ? PyBool_FromLong(done >= 0) : PyErr_NoMemory();
end:
    free(scores);
    while (held)
        PyBuffer_Release(views + --held);
    return outcome;
}

static PyObject *rank_bounds(PyObject *self, PyObject *args)
{
    PyObject *objects[11];
    Py_ssize_t rows, channels, batch, k, few;
    int are_scores;
    double slack, above, loose;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOpnnnnnddOOO(OOOOOd)", objects, objects + 1, objects + 2,
                          &are_scores, &batch, &rows, &channels, &k, &few, &slack, &above,
                          objects + 3, objects + 4, objects + 5, objects + 6, objects + 7,
                          objects + 8, objects + 9, objects + 10, &loose))
        return NULL;
    if (!are_sizes(rows, channels, batch, k))
        return NULL;
    const char *kinds[11] = {"f", "f", "f", "iw", "fw", "iw", "8", "f", "f", "f", "f"};
    Py_ssize_t sizes[11] = {4 * batch * channels, 4 * rows * channels, 4 * batch * rows,
                            8 * batch * k,        4 * batch * k,       8 * batch,
                            rows * channels,      4 * rows,            12 * rows,
                            4 * batch * channels, 4 * batch};
    Py_buffer views[11];
    int held = 0, count = objects[6] == Py_None ? 6 : 11;
    PyObject *outcome = NULL;
    for (; held < count; held++)
        if (!buffer_of(objects[held], views + held, kinds[held], sizes[held]))
            goto end;
    Rounded rounded = {0};
    if (count > 6)
        rounded = (Rounded){views[6].buf, views[7].buf, views[8].buf, views[9].buf, views[10].buf,
                            loose};
    Task task = {views[1].buf, rows, channels, k, slack, (float)above,
                 few < rows ? (few > 0 ? few : 1) : rows, count > 6 ? &rounded : NULL};
    PyThreadState *thread = batch * rows >= LONG / 64 ? PyEval_SaveThread() : NULL;
    int has_room = rank_batch(&task, views[0].buf, batch, views[2].buf, are_scores, views[3].buf,
                              views[4].buf, views[5].buf);
    if (thread)
        PyEval_RestoreThread(thread);
    outcome = has_room ? Py_NewRef(Py_None) : PyErr_NoMemory();
end:
    while (held)
        PyBuffer_Release(views + --held);
    return outcome;
}

static PyObject *unpack_rows(PyObject *self, PyObject *args)
{
    PyObject *packed_of, *slots_of, *bytes_of;
    Py_ssize_t width;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOnO", &packed_of, &slots_of, &width, &bytes_of))
        return NULL;
    Py_buffer packed, slots, bytes;
    if (!buffer_of(packed_of, &packed, "B", 0))
        return NULL;
    if (!buffer_of(slots_of, &slots, "i", 0)) {
        PyBuffer_Release(&packed);
        return NULL;
    }
    Py_ssize_t count = slots.len / 8, rows = width > 0 ? packed.len / width : 0;
    PyObject *outcome = NULL;
    if (width < 1 || width > PY_SSIZE_T_MAX / 8 / (count ? count : 1))
        PyErr_SetString(PyExc_ValueError, "got sizes below 1 or past all memory");
    else if (buffer_of(bytes_of, &bytes, "Bw", 8 * width * count)) {
        int is_inside = 1;
        for (Py_ssize_t i = 0; i < count && is_inside; i++)
            is_inside = ((int64_t *)slots.buf)[i] < rows;
        if (is_inside) {
            PyThreadState *thread = count * width >= LONG / 16 ? PyEval_SaveThread() : NULL;
            for (Py_ssize_t i = 0; i < count; i++) {
                int64_t slot = ((int64_t *)slots.buf)[i];
                uint8_t *to = (uint8_t *)bytes.buf + 8 * width * i;
                if (slot < 0)
                    memset(to, 0, 8 * (size_t)width);
                else
                    loops.unpack_bits((uint8_t *)packed.buf + slot * width, width, to);
            }
            if (thread)
                PyEval_RestoreThread(thread);
            outcome = Py_NewRef(Py_None);
        } else
            PyErr_SetString(PyExc_IndexError, "got a slot past the last");
        PyBuffer_Release(&bytes);
    }
    PyBuffer_Release(&slots);
    PyBuffer_Release(&packed);
    return outcome;
}

/* Vectors over their norms; False if numpy is to do it. */
static PyObject *units(PyObject *self, PyObject *args)
{
    PyObject *vectors_of, *units_of;
    Py_ssize_t batch, channels;
    double low, high;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnnddO", &vectors_of, &batch, &channels, &low, &high, &units_of))
        return NULL;
    if (!are_sizes(1, channels, batch, 1))
        return NULL;
    Py_buffer vectors, made;
    if (!buffer_of(vectors_of, &vectors, "f", 4 * batch * channels))
        return NULL;
    PyObject *outcome = NULL;
    if (buffer_of(units_of, &made, "fw", 4 * batch * channels)) {
        int is_sure = 1;
        for (Py_ssize_t start = 0; start < batch * channels && is_sure; start += channels)
            is_sure = loops.unit((const float *)vectors.buf + start, channels, low, high,
                                 (float *)made.buf + start);
        outcome = PyBool_FromLong(is_sure);
        PyBuffer_Release(&made);
    }
    PyBuffer_Release(&vectors);
    return outcome;
}

/* Add one to the count of each slot that is named, however often; no other thread runs meanwhile. */
static PyObject *count_slots(PyObject *self, PyObject *args)
{
    PyObject *counts_of, *slots_of;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO", &counts_of, &slots_of))
        return NULL;
    Py_buffer counts, slots;
    if (!buffer_of(counts_of, &counts, "iw", 0))
        return NULL;
    PyObject *outcome = NULL;
    if (buffer_of(slots_of, &slots, "i", 0)) {
        Py_ssize_t count = slots.len / 8, most = counts.len / 8, i = 0;
        const int64_t *named = slots.buf;
        while (i < count && named[i] >= 0 && named[i] < most)
            i++;
        if (i == count) {
            for (i = 0; i < count; i++)
                ((int64_t *)counts.buf)[named[i]]++;
            outcome = Py_NewRef(Py_None);
        } else
            PyErr_SetString(PyExc_IndexError, "got a slot that is none");
        PyBuffer_Release(&slots);
    }
    PyBuffer_Release(&counts);
    return outcome;
}

/* Products of a vector with the rows of a matrix, in float32 or, rounded once, in float64. */
static PyObject *products(PyObject *self, PyObject *args)
{
    PyObject *objects[3];
    Py_ssize_t rows, channels;
    int are_wide;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOnnpO", objects, objects + 1, &rows, &channels, &are_wide,
                          objects + 2))
        return NULL;
    if (!are_sizes(rows, channels, 1, 1))
        return NULL;
    Py_ssize_t sizes[3] = {4 * rows * channels, 4 * channels, 4 * rows};
    Py_buffer views[3];
    int held = 0;
    PyObject *outcome = NULL;
    double *wide = NULL;
    for (; held < 3; held++)
        if (!buffer_of(objects[held], views + held, held == 2 ? "fw" : "f", sizes[held]))
            goto end;
    const float *matrix = views[0].buf, *vector = views[1].buf;
    float *sums = views[2].buf;
    if (are_wide && !(wide = malloc((size_t)channels * sizeof(double)))) {
        PyErr_NoMemory();
        goto end;
    }
    PyThreadState *thread = rows * channels >= LONG ? PyEval_SaveThread() : NULL;
    if (wide) {
        for (Py_ssize_t i = 0; i < channels; i++)
            wide[i] = vector[i];
        for (Py_ssize_t row = 0; row < rows; row++)
            sums[row] = (float)loops.wide_product(wide, matrix + row * channels, channels,
                                                  matrix + (row + 1) * channels);
    } else
        loops.score_all(vector, matrix, rows, channels, sums);
    if (thread)
        PyEval_RestoreThread(thread);
    outcome = Py_NewRef(Py_None);
end:
    free(wide);
    while (held)
        PyBuffer_Release(views + --held);
    return outcome;
}

/* Packed bits of bytes; False if some are neither 0 nor 1. */
static PyObject *pack_bytes(PyObject *self, PyObject *args)
{
    PyObject *bytes_of, *packed_of, *outcome = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO", &bytes_of, &packed_of))
        return NULL;
    Py_buffer bytes, packed;
    if (!buffer_of(bytes_of, &bytes, "B", 0))
        return NULL;
    if (buffer_of(packed_of, &packed, "Bw", bytes.len / 8)) {
        PyThreadState *thread = bytes.len >= LONG ? PyEval_SaveThread() : NULL;
        int are_bits = loops.pack_bytes(bytes.buf, bytes.len / 8, packed.buf);
        if (thread)
            PyEval_RestoreThread(thread);
        outcome = PyBool_FromLong(are_bits);
        PyBuffer_Release(&packed);
    }
    PyBuffer_Release(&bytes);
    return outcome;
}

/* Products of a vector with the rows of a matrix in float16; False if the processor is slow at it. */
static PyObject *half_products(PyObject *self, PyObject *args)
{
    PyObject *objects[3];
    Py_ssize_t rows, channels;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOnnO", objects, objects + 1, &rows, &channels, objects + 2))
        return NULL;
    if (!are_sizes(rows, channels, 1, 1))
        return NULL;
    if (!loops.score_halves)
        Py_RETURN_FALSE;
    const char *kinds[3] = {"h", "f", "fw"};
    Py_ssize_t sizes[3] = {2 * rows * channels, 4 * channels, 4 * rows};
    Py_buffer views[3];
    int held = 0;
    PyObject *outcome = NULL;
    for (; held < 3; held++)
        if (!buffer_of(objects[held], views + held, kinds[held], sizes[held]))
            goto end;
    PyThreadState *thread = rows * channels >= LONG ? PyEval_SaveThread() : NULL;
    loops.score_halves(views[1].buf, views[0].buf, rows, channels, views[2].buf);
    if (thread)
        PyEval_RestoreThread(thread);
    outcome = Py_NewRef(Py_True);
end:
    while (held)
        PyBuffer_Release(views + --held);
    return outcome;
}

static PyObject *turn_bounds(PyObject *self, PyObject *args)
{
    PyObject *objects[5];
    Py_ssize_t rows, batch, start, all;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOnnnnO", objects, objects + 1, objects + 2, objects + 3, &rows,
                          &batch, &start, &all, objects + 4))
        return NULL;
    if (!are_sizes(rows, 1, batch, 1) || !are_sizes(all, 1, batch, 1))
        return NULL;
    if (start < 0 || start > all - rows) {
        PyErr_SetString(PyExc_ValueError, "got rows past the last");
        return NULL;
    }
    const char *kinds[5] = {"n", "f", "f", "f", "fw"};
    Py_ssize_t sizes[5] = {4 * rows * batch, 4 * rows, 4 * batch, 4 * rows * batch, 4 * all * batch};
    Py_buffer views[5];
    int held = 0;
    PyObject *outcome = NULL;
    for (; held < 5; held++)
        if (!buffer_of(objects[held], views + held, kinds[held], sizes[held]))
            goto end;
    Products of = {views[0].buf, views[1].buf, views[2].buf, views[3].buf, rows, batch};
    loops.turn_bounds(&of, start, all, views[4].buf);
    outcome = Py_NewRef(Py_None);
end:
    while (held)
        PyBuffer_Release(views + --held);
    return outcome;
}

static PyMethodDef methods[] = {
    {"half_products", half_products, METH_VARARGS, "see compiled.py"},
    {"turn_bounds", turn_bounds, METH_VARARGS, "see compiled.py"},
    {"pack_bytes", pack_bytes, METH_VARARGS, "see compiled.py"},
    {"products", products, METH_VARARGS, "see compiled.py"},
    {"units", units, METH_VARARGS, "see compiled.py"},
    {"count_slots", count_slots, METH_VARARGS, "see compiled.py"},
    {"search_few", search_few, METH_VARARGS, "see compiled.py"},
    {"rank_bounds", rank_bounds, METH_VARARGS, "see compiled.py"},
    {"unpack_rows", unpack_rows, METH_VARARGS, "see compiled.py"},
    {NULL, NULL, 0, NULL},
};

/* Raised by one whenever arguments change, here and in compiled.py: files of old stay about. */
enum { INTERFACE = 1 };

static int begin(PyObject *module)
{
    choose_loops();
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot slots_of_module[] = {{Py_mod_exec, begin}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "memstore.kernels._kernels", NULL, 0, methods, slots_of_module, NULL,
    NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernels(void)
{
    return PyModuleDef_Init(&module);
}
