// SPDX-License-Identifier: MIT OR Apache-2.0
/* loader.c - batches in random order, prepared by a thread.
 *
 * The order of an epoch is not stored: a Feistel network permutes the numbers below the next
 * power of four, and what falls outside of the set is sent through again until it is inside.
 * Any batch of any epoch is thus found at once, in no memory. */
#include "../core/core.h"

#include <pthread.h>
#include <wick/data.h>

typedef struct {
    wk_tensor     *tensor[WK_LOADER_TENSORS];
    wk_error_state error;
} batch;

struct wk_loader {
    wk_loader_args  a;
    int64_t         per_epoch, end; /* batches; and the number of the last one, plus 1 */
    int64_t        *index;
    pthread_t       thread;
    bool            started;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t  change;
    int64_t         made, taken; /* batches, by number */
    bool            stop;
    batch          *ring; /* batch i is in place i % ahead */
};

/* ---- The order ----------------------------------------------------------- */

/* Steele and Vigna's mixing of a counter, as in SplitMix64 (2014) */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* Place x of a permutation of 0 .. count - 1. */
static int64_t permute(uint64_t key, int64_t count, int64_t x)
{
    int half = 1; /* bits of either half of the number */
    while ((count - 1) >> 2 * half > 0)
        half++;
    uint64_t mask = (1ull << half) - 1;
    do {
        uint64_t left = (uint64_t)x >> half, right = (uint64_t)x & mask;
        for (uint64_t round = 0; round < 6; round++) {
            uint64_t next = left ^ (mix(key ^ round << 56 ^ right) & mask);
            left = right;
            right = next;
        }
        x = (int64_t)(left << half | right);
    } while (x >= count);
    return x;
}

/* The examples of batch number i; returns how many. */
static int64_t choose(wk_loader *l, int64_t i)
{
    const wk_loader_args *a = &l->a;
    int64_t               first = i % l->per_epoch * a->batch;
    int64_t               n = wk_min_i64(a->batch, a->count - first);
    uint64_t              key = mix(a->seed ^ mix((uint64_t)(i / l->per_epoch)));
    for (int64_t k = 0; k < n; k++)
        l->index[k] = a->in_order ? first + k : permute(key, a->count, first + k);
    return n;
}

/* ---- The thread ---------------------------------------------------------- */

static void make(wk_loader *l, int64_t i, batch *b)
{
    wk_tensor *out[WK_LOADER_TENSORS] = { NULL };
    wk_scope   scope = wk_mark();
    *b = (batch){ 0 };
    if (!l->a.load(l->a.user, l->index, choose(l, i), out) && wk_ok())
        wk_fail(WK_ERR_ARGUMENT, "loader: no batch was made");
    for (int k = 0; wk_ok() && k < WK_LOADER_TENSORS; k++)
        b->tensor[k] = wk_keep(out[k]);
    wk_error_take(&b->error);
    wk_sweep(scope);
}

static void *work(void *loader)
{
    wk_loader *l = loader;
    wk_no_grad(true);
    pthread_mutex_lock(&l->lock);
    while (!l->stop && l->made < l->end) {
        if (l->made - l->taken == l->a.ahead) {
            pthread_cond_wait(&l->change, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        batch *b = &l->ring[l->made % l->a.ahead]; /* nobody else touches it */
        make(l, l->made, b);
        pthread_mutex_lock(&l->lock);
        l->stop |= b->error.status != WK_OK;
        l->made++;
        pthread_cond_broadcast(&l->change);
    }
    l->stop = true;
    pthread_cond_broadcast(&l->change);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- The caller's side --------------------------------------------------- */

wk_loader *wk_loader_new_with(const wk_loader_args *a)
{
    if (wk_ok() && (a->count < 1 || a->count > INT64_MAX / 4 || a->batch < 0 || a->start < 0 ||
                    a->ahead < 0 || a->epochs < 0 || !a->load))
        wk_fail(WK_ERR_ARGUMENT, "loader: %lld examples in batches of %lld%s", (long long)a->count,
                (long long)a->batch, a->load ? "" : ", and no function that loads them");
    wk_loader *l = wk_ok() ? wk_alloc(sizeof *l) : NULL;
    if (!l)
        return NULL;
    l->a = *a;
    l->a.batch = wk_min_i64(a->batch ? a->batch : 1, a->count);
    l->a.ahead = a->ahead ? a->ahead : 2;
    l->per_epoch = (a->count - (a->whole ? 0 : 1)) / l->a.batch + (a->whole ? 0 : 1);
    l->end =
        a->epochs && l->per_epoch < INT64_MAX / a->epochs ? a->epochs * l->per_epoch : INT64_MAX;
    l->made = l->taken = a->start;
    l->index = wk_alloc_array((size_t)l->a.batch, sizeof *l->index);
    l->ring = wk_alloc_array((size_t)l->a.ahead, sizeof *l->ring);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->change, NULL);
    l->started = wk_ok() && !pthread_create(&l->thread, NULL, work, l);
    if (wk_ok() && !l->started)
        wk_fail(WK_ERR_MEMORY, "loader: a thread cannot be started");
    if (wk_ok())
        return l;
    wk_loader_free(l);
    return NULL;
}

void wk_loader_free(wk_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->change);
    pthread_mutex_unlock(&l->lock);
    if (l->started)
        pthread_join(l->thread, NULL);
    for (; l->ring && l->taken < l->made; l->taken++)
        for (int k = 0; k < WK_LOADER_TENSORS; k++)
            wk_drop(l->ring[l->taken % l->a.ahead].tensor[k]);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->change);
    wk_free(l->index);
    wk_free(l->ring);
    wk_free(l);
}

int64_t wk_loader_epoch(const wk_loader *l) { return l ? l->per_epoch : 0; }

bool wk_loader_next(wk_loader *l, wk_tensor **out)
{
    if (!wk_ok() || !l)
        return false;
    batch b = { 0 };
    pthread_mutex_lock(&l->lock);
    while (l->made == l->taken && !l->stop)
        pthread_cond_wait(&l->change, &l->lock);
    bool any = l->made > l->taken;
    if (any)
        b = l->ring[l->taken++ % l->a.ahead];
    pthread_cond_broadcast(&l->change);
    pthread_mutex_unlock(&l->lock);
    wk_error_raise(&b.error);
    for (int k = 0; any && k < WK_LOADER_TENSORS && b.tensor[k]; k++)
        out[k] = wk_pool(b.tensor[k]);
    return any && wk_ok();
}
