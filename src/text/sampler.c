// SPDX-License-Identifier: MIT OR Apache-2.0
/* sampler.c - choose the next token from its logits.
 *
 * Penalties change the logits of tokens that were seen, temperature divides them, and
 * top_k, top_p and min_p leave out the unlikely ones, each looking at what the one
 * before has left.  The vocabulary is never sorted: top_k keeps the k best in a heap,
 * top_p takes the best from a heap until it has enough.  The random numbers are those
 * of splitmix64: a counter and a mixing function. */
#include "text.h"

#include <math.h>

typedef struct {
    int32_t id; /* plus 1; 0: free */
    int32_t count;
} seen;

struct wk_sampler {
    wk_sampler_args args;
    uint64_t        drawn;

    seen    *slot; /* a hash table of tokens that were seen */
    size_t   slots, used;
    int32_t *last; /* the last penalty_last tokens; oldest: the next to be forgotten */
    size_t   last_count, last_room, oldest;

    float        *logit, *best;
    wk_candidate *candidate;
    size_t        logit_room, best_room, candidate_room;
};

static bool between(double x, double low, double high) { return x >= low && x <= high; }

wk_sampler *wk_sampler_new_with(const wk_sampler_args *a)
{
    const char *wrong = !between(a->temperature, 0, 1e30)             ? "temperature"
                        : a->top_k < 0                                ? "top_k"
                        : !between(a->top_p, 0, 1)                    ? "top_p"
                        : !between(a->min_p, 0, 1)                    ? "min_p"
                        : !between(a->repeat_penalty, 0, 1e30)        ? "repeat_penalty"
                        : !between(a->presence_penalty, -1e30, 1e30)  ? "presence_penalty"
                        : !between(a->frequency_penalty, -1e30, 1e30) ? "frequency_penalty"
                        : a->penalty_last < 0                         ? "penalty_last"
                                                                      : NULL;
    if (wrong)
        wk_fail(WK_ERR_ARGUMENT, "sampler: %s is out of range", wrong);
    wk_sampler *s = wk_ok() ? wk_alloc(sizeof *s) : NULL;
    if (s)
        s->args = *a;
    return s;
}

void wk_sampler_free(wk_sampler *s)
{
    if (!s)
        return;
    wk_free(s->slot);
    wk_free(s->last);
    wk_free(s->logit);
    wk_free(s->best);
    wk_free(s->candidate);
    wk_free(s);
}

/* ---- Penalties ---------------------------------------------------------- */

static bool penalizes(const wk_sampler_args *a)
{
    return (a->repeat_penalty != 0 && a->repeat_penalty != 1) || a->presence_penalty != 0 ||
           a->frequency_penalty != 0;
}

static seen *find(const wk_sampler *s, int32_t id)
{
    size_t i = (uint32_t)id * UINT32_C(2654435769) & (s->slots - 1);
    while (s->slot[i].id && s->slot[i].id != id + 1)
        i = (i + 1) & (s->slots - 1);
    return &s->slot[i];
}

/* Count a token of the text, or forget one. */
static bool count_seen(wk_sampler *s, int32_t id, int change)
{
    if (3 * (s->used + 1) > 2 * s->slots) {
        size_t before = s->slots, slots = before ? 2 * before : 64;
        seen  *old = s->slot, *slot = wk_alloc_array(slots, sizeof *slot);
        if (!slot)
            return false;
        s->slot = slot;
        s->slots = slots;
        s->used = 0;
        for (size_t i = 0; i < before; i++)
            if (old[i].count) {
                *find(s, old[i].id - 1) = old[i];
                s->used++;
            }
        wk_free(old);
    }
    seen *x = find(s, id);
    s->used += !x->id;
    x->id = id + 1;
    x->count += change;
    return true;
}

bool wk_sampler_saw(wk_sampler *s, int32_t id)
{
    if (!s || !wk_ok())
        return false;
    if (id < 0 || id == INT32_MAX) {
        wk_fail(WK_ERR_ARGUMENT, "sampler: %d is not a token", (int)id);
        return false;
    }
    size_t most = (size_t)s->args.penalty_last;
    if (!penalizes(&s->args) ||
        (most && !wk_reserve(&s->last, &s->last_room, s->last_count + (s->last_count < most),
                             sizeof *s->last)))
        return wk_ok();
    if (!count_seen(s, id, 1))
        return false;
    if (most && s->last_count < most) {
        s->last[s->last_count++] = id;
    } else if (most) {
        find(s, s->last[s->oldest])->count--;
        s->last[s->oldest] = id;
        s->oldest = (s->oldest + 1) % most;
    }
    return true;
}

static void penalize(wk_sampler *s, size_t count)
{
    float repeat = (float)s->args.repeat_penalty;
    for (size_t i = 0; i < s->slots; i++) {
        const seen *x = &s->slot[i];
        if (!x->count || (size_t)(x->id - 1) >= count)
            continue;
        float *logit = &s->logit[x->id - 1];
        if (repeat > 0)
            *logit = *logit < 0 ? *logit * repeat : *logit / repeat;
        *logit -= (float)(s->args.frequency_penalty * x->count + s->args.presence_penalty);
    }
}

/* ---- Filters ------------------------------------------------------------ */

/* The k-th best logit, by a heap of the k best with the worst of them on top. */
static float kth_best(wk_sampler *s, size_t count, size_t k)
{
    float *heap = s->best;
    for (size_t n = 0; n < count; n++) {
        float  x = s->logit[n];
        size_t i = n;
        if (n < k) {
            for (; i && heap[(i - 1) / 2] > x; i = (i - 1) / 2)
                heap[i] = heap[(i - 1) / 2];
            heap[i] = x;
        } else if (x > heap[0]) {
            i = 0;
            for (size_t child; (child = 2 * i + 1) < k; i = child) {
                if (child + 1 < k && heap[child + 1] < heap[child])
                    child++;
                if (heap[child] >= x)
                    break;
                heap[i] = heap[child];
            }
            heap[i] = x;
        }
    }
    return heap[0];
}

/* Likelier, and of equals the lower id. */
static bool better(const wk_candidate *a, const wk_candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void sink(wk_candidate *heap, size_t count, size_t i)
{
    wk_candidate x = heap[i];
    for (size_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && better(&heap[child + 1], &heap[child]))
            child++;
        if (!better(&heap[child], &x))
            break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

/* Keep the likeliest, until together they have a share of p.  They end up at the front,
 * the likeliest first. */
static size_t keep_top_p(wk_candidate *c, size_t count, double p)
{
    double total = 0, sum = 0;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        total += c[i].weight;
    for (size_t i = count / 2; i-- > 0;)
        sink(c, count, i);
    /* What is taken from the heap goes behind its end. */
    for (size_t n = count; n && sum < p * total; kept++) {
        wk_candidate best = c[0];
        sum += best.weight;
        c[0] = c[--n];
        if (n)
            sink(c, n, 0);
        c[n] = best;
    }
    for (size_t i = 0, k = count; i < kept && i < --k; i++) {
        wk_candidate x = c[i];
        c[i] = c[k];
        c[k] = x;
    }
    return kept;
}

/* Copy the logits, or say what is wrong with them. */
static bool take(wk_sampler *s, const float *logits, int64_t count)
{
    if (!s || !logits || count < 1 || count > INT32_MAX) {
        wk_fail(WK_ERR_ARGUMENT, "sampler: no logits");
        return false;
    }
    if (!wk_reserve(&s->logit, &s->logit_room, (size_t)count, sizeof *s->logit))
        return false;
    bool any = false;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY) {
            wk_fail(WK_ERR_ARGUMENT, "sampler: logit %lld is %g", (long long)i, (double)logits[i]);
            return false;
        }
        s->logit[i] = logits[i];
        any |= logits[i] > -INFINITY;
    }
    if (!any)
        wk_fail(WK_ERR_ARGUMENT, "sampler: all logits are -inf");
    return any;
}

const wk_candidate *wk_sampler_filter(wk_sampler *s, const float *logits, int64_t count,
                                      size_t *left)
{
    if (!wk_ok() || !take(s, logits, count))
        return NULL;
    const wk_sampler_args *a = &s->args;
    size_t                 n = (size_t)count, k = (size_t)a->top_k, kept = 0;
    float                  least = -INFINITY, most = -INFINITY;
    penalize(s, n);
    for (size_t i = 0; a->temperature > 0 && i < n; i++)
        s->logit[i] /= (float)a->temperature;
    k = a->temperature > 0 ? k : 1; /* greedy */
    if (!wk_reserve(&s->candidate, &s->candidate_room, n, sizeof *s->candidate) ||
        (k && k < n && !wk_reserve(&s->best, &s->best_room, k, sizeof *s->best)))
        return NULL;
    if (k && k < n)
        least = kth_best(s, n, k);
    for (size_t i = 0; i < n; i++)
        most = s->logit[i] > most ? s->logit[i] : most;
    for (size_t i = 0; i < n; i++)
        if (s->logit[i] >= least && s->logit[i] > -INFINITY)
            s->candidate[kept++] =
                (wk_candidate){ (int32_t)i, s->logit[i], exp((double)s->logit[i] - (double)most) };
    if (a->temperature > 0 && a->top_p > 0 && a->top_p < 1)
        kept = keep_top_p(s->candidate, kept, a->top_p);
    size_t likely = 0;
    for (size_t i = 0; i < kept; i++)
        if (s->candidate[i].weight >= a->min_p)
            s->candidate[likely++] = s->candidate[i];
    *left = likely;
    return s->candidate;
}

/* ---- The choice --------------------------------------------------------- */

/* A number from 0 to 1, without 1. */
static double draw(wk_sampler *s)
{
    uint64_t z = s->args.seed + ++s->drawn * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

int32_t wk_sampler_pick(wk_sampler *s, const float *logits, int64_t count)
{
    size_t              left;
    const wk_candidate *c = wk_sampler_filter(s, logits, count, &left);
    if (!c)
        return -1;
    if (s->args.temperature <= 0)
        return c[0].id; /* of equals the lowest */
    double total = 0;
    for (size_t i = 0; i < left; i++)
        total += c[i].weight;
    double x = draw(s) * total;
    size_t i = 0;
    for (; i + 1 < left && x >= c[i].weight; i++)
        x -= c[i].weight;
    return c[i].id;
}
