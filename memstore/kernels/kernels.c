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

static const Py_ssize_t LONG = 1 << 20; /* numbers looked at, from which other threads may run */

/* Vectors of the compiler's: as many registers as they take. */
typedef float f16 __attribute__((vector_size(64)));
typedef double d8 __attribute__((vector_size(64)));
typedef float f4 __attribute__((vector_size(16)));
typedef float f8 __attribute__((vector_size(32)));
typedef uint8_t u64 __attribute__((vector_size(64)));
typedef uint64_t q8 __attribute__((vector_size(64)));

#include "sieve.h"

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

#define LOOPS(width, halves) \
    ((Loops){score_all_##width, wide_product_##width, reaching_##width, sift_one_##width, \
             sift_turned_##width, product_with_integers_##width, unit_##width, \
             unpack_bits_##width, pack_bytes_##width, turn_bounds_##width, halves})

static Loops loops; /* for this processor */

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

#endif

/* Take the widest that this processor has. */
static void choose_loops(void)
{
    loops = LOOPS(any, NULL);
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("f16c"))
        return;
    loops = LOOPS(avx2, score_halves_avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        loops = LOOPS(avx512, score_halves_avx512);
#endif
}

#include "ranking.h"

/* --- Python's side: compiled.py says what each is for --- */

/* Hold contiguous buffers of at least so many bytes each: all, or none, with an exception.

   Kinds: f float32, h float16, i int64, n int32, b int8, B bytes or bools; then w, if it is to be
   written, or a blank. */
static int hold(Py_ssize_t count, PyObject *const *objects, const char *kinds,
                const Py_ssize_t *sizes, Py_buffer *views)
{
    Py_ssize_t held = 0;
    for (; held < count; held++) {
        Py_buffer *view = views + held;
        char kind = kinds[2 * held], format;
        int is_written = kinds[2 * held + 1] == 'w' ? PyBUF_WRITABLE : 0, is_right;
        if (PyObject_GetBuffer(objects[held], view,
                               PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | is_written) < 0)
            break;
        format = view->format && !view->format[1] ? view->format[0] : 0;
        switch (kind) {
        case 'f': is_right = format == 'f'; break;
        case 'h': is_right = format == 'e'; break;
        case 'i': is_right = (format == 'l' || format == 'q') && view->itemsize == 8; break;
        case 'n': is_right = (format == 'l' || format == 'i') && view->itemsize == 4; break;
        case 'b': is_right = format == 'b'; break;
        default: is_right = format == 'B' || format == '?';
        }
        if (is_right && view->len >= sizes[held])
            continue;
        if (is_right)
            PyErr_Format(PyExc_ValueError, "got %zd bytes, want %zd or more", view->len,
                         sizes[held]);
        else
            PyErr_Format(PyExc_TypeError, "got numbers of format %s, want %c",
                         view->format ? view->format : "B", kind);
        PyBuffer_Release(view);
        break;
    }
    if (held == count)
        return 1;
    while (held)
        PyBuffer_Release(views + --held);
    return 0;
}

static void release(Py_ssize_t count, Py_buffer *views)
{
    while (count)
        PyBuffer_Release(views + --count);
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

/* Other threads of Python's may run from here to `end_long`, if it takes long. */
static PyThreadState *begin_long(Py_ssize_t numbers)
{
    return numbers >= LONG ? PyEval_SaveThread() : NULL;
}

static void end_long(PyThreadState *thread)
{
    if (thread)
        PyEval_RestoreThread(thread);
}

static PyObject *search_few(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *objects[5], *open_of;
    Py_ssize_t rows, channels, k;
    double slack, above;
    if (!PyArg_ParseTuple(args, "OOOnnnddOO", objects, objects + 1, &open_of, &rows, &channels, &k,
                          &slack, &above, objects + 2, objects + 3) ||
        !are_sizes(rows, channels, 1, k))
        return NULL;
    objects[4] = open_of;
    Py_ssize_t count = open_of == Py_None ? 4 : 5;
    Py_ssize_t sizes[5] = {4 * channels, 4 * rows * channels, 8 * k, 4 * k, rows};
    Py_buffer views[5];
    if (!hold(count, objects, "f f iwfwB ", sizes, views))
        return NULL;
    int has_room = 0;
    int64_t outcome = IN_DOUBT;
    float *scores = malloc((size_t)rows * sizeof(float));
    if (scores) {
        PyThreadState *thread = begin_long(rows * channels);
        loops.score_all(views[0].buf, views[1].buf, rows, channels, scores);
        const uint8_t *open = count > 4 ? views[4].buf : NULL;
        for (Py_ssize_t row = 0; row < rows && open; row++)
            if (!open[row])
                scores[row] = -INFINITY;
        Task task = {views[1].buf, rows, channels, k, slack, (float)above, rows, NULL};
        has_room = rank_batch(&task, views[0].buf, 1, scores, 1, views[2].buf, views[3].buf,
                              &outcome);
        end_long(thread);
    }
    free(scores);
    release(count, views);
    return has_room ? PyBool_FromLong(outcome != IN_DOUBT) : PyErr_NoMemory();
}

static PyObject *rank_bounds(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *objects[11];
    Py_ssize_t rows, channels, batch, k, few;
    int are_scores;
    double slack, above, loose;
    if (!PyArg_ParseTuple(args, "OOOpnnnnnddOOO(OOOOOd)", objects, objects + 1, objects + 2,
                          &are_scores, &batch, &rows, &channels, &k, &few, &slack, &above,
                          objects + 3, objects + 4, objects + 5, objects + 6, objects + 7,
                          objects + 8, objects + 9, objects + 10, &loose) ||
        !are_sizes(rows, channels, batch, k))
        return NULL;
    Py_ssize_t count = objects[6] == Py_None ? 6 : 11;
    Py_ssize_t sizes[11] = {4 * batch * channels, 4 * rows * channels, 4 * batch * rows,
                            8 * batch * k,        4 * batch * k,       8 * batch,
                            rows * channels,      4 * rows,            12 * rows,
                            4 * batch * channels, 4 * batch};
    Py_buffer views[11];
    if (!hold(count, objects, "f f f iwfwiwb f f f f ", sizes, views))
        return NULL;
    Rounded rounded = {0};
    if (count > 6)
        rounded = (Rounded){views[6].buf, views[7].buf, views[8].buf, views[9].buf, views[10].buf,
                            loose};
    few = few < 1 ? 1 : few < rows ? few : rows;
    Task task = {views[1].buf, rows, channels, k, slack, (float)above, few,
                 count > 6 ? &rounded : NULL};
    PyThreadState *thread = begin_long(64 * batch * rows);
    int has_room = rank_batch(&task, views[0].buf, batch, views[2].buf, are_scores, views[3].buf,
                              views[4].buf, views[5].buf);
    end_long(thread);
    release(count, views);
    return has_room ? Py_NewRef(Py_None) : PyErr_NoMemory();
}

/* Bounds of a batch from products of integers. */
static PyObject *turn_bounds(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *objects[5];
    Py_ssize_t rows, batch, start, all;
    if (!PyArg_ParseTuple(args, "OOOOnnnnO", objects, objects + 1, objects + 2, objects + 3, &rows,
                          &batch, &start, &all, objects + 4) ||
        !are_sizes(rows, 1, batch, 1) || !are_sizes(all, 1, batch, 1))
        return NULL;
    if (start < 0 || start > all - rows) {
        PyErr_SetString(PyExc_ValueError, "got rows past the last");
        return NULL;
    }
    Py_ssize_t sizes[5] = {4 * rows * batch, 4 * rows, 4 * batch, 4 * rows * batch,
                           4 * all * batch};
    Py_buffer views[5];
    if (!hold(5, objects, "n f f f fw", sizes, views))
        return NULL;
    Products of = {views[0].buf, views[1].buf, views[2].buf, views[3].buf, rows, batch};
    PyThreadState *thread = begin_long(rows * batch);
    loops.turn_bounds(&of, start, all, views[4].buf);
    end_long(thread);
    release(5, views);
    return Py_NewRef(Py_None);
}

/* Products of a vector with the rows of a matrix, in float32 or, rounded once, in float64. */
static PyObject *products(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *objects[3];
    Py_ssize_t rows, channels;
    int are_wide;
    if (!PyArg_ParseTuple(args, "OOnnpO", objects, objects + 1, &rows, &channels, &are_wide,
                          objects + 2) ||
        !are_sizes(rows, channels, 1, 1))
        return NULL;
    Py_ssize_t sizes[3] = {4 * rows * channels, 4 * channels, 4 * rows};
    Py_buffer views[3];
    if (!hold(3, objects, "f f fw", sizes, views))
        return NULL;
    const float *matrix = views[0].buf, *vector = views[1].buf;
    float *sums = views[2].buf;
    double *wide = are_wide ? malloc((size_t)channels * sizeof(double)) : NULL;
    PyThreadState *thread = begin_long(rows * channels);
    if (wide) {
        for (Py_ssize_t i = 0; i < channels; i++)
            wide[i] = vector[i];
        for (Py_ssize_t row = 0; row < rows; row++)
            sums[row] = (float)loops.wide_product(wide, matrix + row * channels, channels,
                                                  matrix + (row + 1) * channels);
    } else if (!are_wide)
        loops.score_all(vector, matrix, rows, channels, sums);
    end_long(thread);
    int has_room = wide || !are_wide;
    free(wide);
    release(3, views);
    return has_room ? Py_NewRef(Py_None) : PyErr_NoMemory();
}

/* The same of a matrix in float16; False if the processor is slow at it. */
static PyObject *half_products(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *objects[3];
    Py_ssize_t rows, channels;
    if (!PyArg_ParseTuple(args, "OOnnO", objects, objects + 1, &rows, &channels, objects + 2) ||
        !are_sizes(rows, channels, 1, 1))
        return NULL;
    Py_ssize_t sizes[3] = {2 * rows * channels, 4 * channels, 4 * rows};
    Py_buffer views[3];
    if (!hold(3, objects, "h f fw", sizes, views))
        return NULL;
    if (loops.score_halves) {
        PyThreadState *thread = begin_long(rows * channels);
        loops.score_halves(views[1].buf, views[0].buf, rows, channels, views[2].buf);
        end_long(thread);
    }
    release(3, views);
    return PyBool_FromLong(loops.score_halves != NULL);
}

/* Vectors over their norms, and of which it is sure to the last bit. */
static PyObject *units(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *objects[3];
    Py_ssize_t batch, channels;
    double low, high;
    if (!PyArg_ParseTuple(args, "OnnddOO", objects, &batch, &channels, &low, &high, objects + 1,
                          objects + 2) ||
        !are_sizes(1, channels, batch, 1))
        return NULL;
    Py_ssize_t sizes[3] = {4 * batch * channels, 4 * batch * channels, batch};
    Py_buffer views[3];
    if (!hold(3, objects, "f fwBw", sizes, views))
        return NULL;
    const float *vectors = views[0].buf;
    float *quotients = views[1].buf;
    uint8_t *are_sure = views[2].buf;
    int all_sure = 1;
    PyThreadState *thread = begin_long(batch * channels);
    for (Py_ssize_t b = 0; b < batch; b++) {
        are_sure[b] = (uint8_t)loops.unit(vectors + b * channels, channels, low, high,
                                          quotients + b * channels);
        all_sure &= are_sure[b];
    }
    end_long(thread);
    release(3, views);
    return PyBool_FromLong(all_sure);
}

/* Add one to the count of each slot as often as it is named; no other thread runs meanwhile. */
static PyObject *count_slots(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *objects[2];
    Py_ssize_t sizes[2] = {0, 0};
    Py_buffer views[2];
    if (!PyArg_ParseTuple(args, "OO", objects, objects + 1) ||
        !hold(2, objects, "iwi ", sizes, views))
        return NULL;
    int64_t *counts = views[0].buf, most = views[0].len / 8;
    const int64_t *slots = views[1].buf;
    Py_ssize_t count = views[1].len / 8, inside = 0;
    while (inside < count && slots[inside] >= 0 && slots[inside] < most)
        inside++;
    for (Py_ssize_t i = 0; i < count && inside == count; i++)
        counts[slots[i]]++;
    release(2, views);
    if (inside == count)
        return Py_NewRef(Py_None);
    PyErr_SetString(PyExc_IndexError, "got a slot that is none");
    return NULL;
}

/* Bits to bytes, of packed rows of `width` bytes; zeros where a slot is negative. */
static PyObject *unpack_rows(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *objects[3];
    Py_ssize_t width, sizes[3] = {0, 0, 0};
    Py_buffer views[3];
    if (!PyArg_ParseTuple(args, "OOnO", objects, objects + 1, &width, objects + 2) ||
        !are_sizes(1, width, 1, 1) || !hold(3, objects, "B i Bw", sizes, views))
        return NULL;
    const uint8_t *packed = views[0].buf;
    const int64_t *slots = views[1].buf;
    uint8_t *bytes = views[2].buf;
    Py_ssize_t rows = views[0].len / width, count = views[1].len / 8, inside = 0;
    while (inside < count && slots[inside] < rows)
        inside++;
    int fits = count <= views[2].len / 8 / width;
    if (fits && inside == count) {
        PyThreadState *thread = begin_long(8 * count * width);
        for (Py_ssize_t i = 0; i < count; i++)
            if (slots[i] < 0)
                memset(bytes + 8 * width * i, 0, 8 * (size_t)width);
            else
                loops.unpack_bits(packed + slots[i] * width, width, bytes + 8 * width * i);
        end_long(thread);
    }
    release(3, views);
    if (fits && inside == count)
        return Py_NewRef(Py_None);
    if (fits)
        PyErr_SetString(PyExc_IndexError, "got a slot past the last");
    else
        PyErr_SetString(PyExc_ValueError, "got fewer bytes than there are bits");
    return NULL;
}

/* Bytes to bits; False if some are neither 0 nor 1. */
static PyObject *pack_bytes(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *objects[2];
    Py_ssize_t sizes[2] = {0, 0};
    Py_buffer views[2];
    if (!PyArg_ParseTuple(args, "OO", objects, objects + 1) ||
        !hold(2, objects, "B Bw", sizes, views))
        return NULL;
    Py_ssize_t count = views[0].len / 8;
    int fits = views[1].len >= count, are_bits = 0;
    if (fits) {
        PyThreadState *thread = begin_long(8 * count);
        are_bits = loops.pack_bytes(views[0].buf, count, views[1].buf);
        end_long(thread);
    }
    release(2, views);
    if (fits)
        return PyBool_FromLong(are_bits);
    PyErr_SetString(PyExc_ValueError, "got fewer bytes than bits need");
    return NULL;
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

static int begin(PyObject *of)
{
    choose_loops();
    return PyModule_AddIntConstant(of, "INTERFACE", INTERFACE);
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
