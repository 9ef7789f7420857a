/* What numbers of a query may belong to its best slots: a heap of the highest, and a sieve. */

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

enum { BLOCK = 32 }; /* numbers compared at once with what they have to reach */

/* What passes all numbers by and keeps those that may belong to the k highest ones' slots. */
typedef struct {
    Heap highest; /* k of them */
    float least;  /* a number that is lower counts no more */
    float apart;  /* from the k-th highest: so much lower ones are kept as well */
    Entry *kept;  /* NULL if the highest are all that is asked for */
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
