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
#include <wick/text.h>

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

/* ---- Texts as tokens ----------------------------------------------------- */

/* The ids of long texts, in a mapped file (or in memory): 2 or 4 bytes for each token. */
typedef struct wk_token_file wk_token_file;

typedef struct {
    const wk_tokenizer *tokenizer;
    const char *const  *files;     /* NULL-terminated */
    const char         *separator; /* stands between documents; default "<|endoftext|>" */
    bool                ends;      /* put the token end behind each document */
    int32_t             end;
    const char         *path; /* keep the ids in this file, or take them from it, if it has those
                                 of these texts by this tokenizer; default: in memory */
    int                 end_; /* set by the macro, so that partial lists do not warn */
} wk_token_file_args;

WK_API wk_token_file *wk_token_file_new_with(const wk_token_file_args *args);
#define wk_token_file_new(...)                                                                     \
    wk_token_file_new_with(&(wk_token_file_args){ __VA_ARGS__, .end_ = 0 })
WK_API wk_token_file *wk_token_file_open(const char *path);
WK_API void           wk_token_file_free(wk_token_file *f);
WK_API int64_t        wk_token_file_count(const wk_token_file *f);
WK_API int32_t        wk_token_file_vocab(const wk_token_file *f); /* ids are below */

/* Tokens first .. first + count - 1 */
WK_API bool wk_token_file_get(const wk_token_file *f, int64_t first, int64_t count, int64_t *out);

/* ---- Pictures ------------------------------------------------------------ */

/* MNIST and what has its form, from IDX files as they are published (not compressed):
 * images u8 [n, h, w] and labels i64 [n].  folder holds train-images-idx3-ubyte and
 * train-labels-idx1-ubyte, or with test t10k-...; dots in place of the last dash will do. */
WK_API bool wk_mnist_open(const char *folder, bool test, wk_tensor **images, wk_tensor **labels);

/* CIFAR-10 (data_batch_1.bin .. 5, test_batch.bin) or CIFAR-100 (train.bin, test.bin; of the
 * two labels the fine one), by which files the folder has: u8 [n, 3, 32, 32] and i64 [n]. */
WK_API bool wk_cifar_open(const char *folder, bool test, wk_tensor **images, wk_tensor **labels);

#ifdef __cplusplus
}
#endif
#endif
