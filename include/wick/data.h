// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/data.h - what is learned from: data sets, and batches of them in random order.
 *
 *     wk_loader *batches = wk_loader_new(set.count, .batch = 64, .load = load, .user = &set);
 *     wk_tensor *xy[2];
 *     while (wk_loader_next(batches, xy))
 *         ...
 *     wk_loader_free(batches);
 */
#ifndef WICK_DATA_H
#define WICK_DATA_H

#include <wick/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Batches ------------------------------------------------------------- */

/* A thread of its own prepares the next batches while this one computes.  In each epoch every
 * example comes once, in an order that the seed and the number of the epoch decide. */
typedef struct wk_loader wk_loader;

enum { WK_LOADER_TENSORS = 4 };

typedef struct {
    int64_t  count; /* examples are 0 .. count - 1 */
    int64_t  batch; /* default 1 */
    uint64_t seed;
    bool     in_order;
    bool     whole;  /* leave out a batch that is not full, at the end of an epoch */
    int64_t  start;  /* begin with batch number start: to go on where a run was stopped */
    int64_t  epochs; /* then it ends; default: never */
    int      ahead;  /* batches that are prepared; default 2 */

    /* Make the tensors of examples index[0 .. n - 1], up to WK_LOADER_TENSORS; called on the
     * loader's thread.  What is left is NULL.  false: an error is pending. */
    bool (*load)(void *user, const int64_t *index, int64_t n, wk_tensor **out);
    void *user;
    int   end_; /* set by the macro, so that partial lists do not warn */
} wk_loader_args;

WK_API wk_loader *wk_loader_new_with(const wk_loader_args *args);
#define wk_loader_new(...) wk_loader_new_with(&(wk_loader_args){ __VA_ARGS__, .end_ = 0 })
WK_API void    wk_loader_free(wk_loader *l);
WK_API int64_t wk_loader_epoch(const wk_loader *l); /* batches in one */

/* The next batch, into the caller's pool: as many tensors as load() makes.  false: the last
 * epoch is over, or an error is pending. */
WK_API bool wk_loader_next(wk_loader *l, wk_tensor **out);

#ifdef __cplusplus
}
#endif
#endif
