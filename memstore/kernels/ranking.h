/* Ranking: the best slots of queries, from scores or bounds of their cosines. */

enum { DONE = 0, IN_DOUBT = -1 }; /* outcomes */
enum { FIRST = 4 }; /* times as many slots as asked for that are ranked by their bounds at first */

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

/* Offer the cosine of a slot; IN_DOUBT if its last bit counts and hangs on the order of a sum. */
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
    double closer = (of->loose - of->lost[b]) * span + of->scales[entry.slot] * product;
    return nextafterf((float)(entry.number + closer), INFINITY);
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

/* Rank the slots whose bounds reach the k-th best cosine: first those with the highest bounds,
   which are given, then the others, unless they are more than few: how many, or IN_DOUBT. */
static int64_t rank_bounded(const Task *task, Py_ssize_t b, const double *query,
                            const float *bounds, Heap *highest, Heap *best, Entry *near)
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
