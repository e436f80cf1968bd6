// SPDX-License-Identifier: MIT OR Apache-2.0
/* window.h - windows that move over images: what convolution, pooling and unfold share.
 *
 * Images have one to three spatial dimensions, the last ones of a tensor.  Arrays of
 * three are about these; where there are fewer, the first ones are as of size 1. */
#ifndef WK_OPS_WINDOW_H
#define WK_OPS_WINDOW_H

#include "../core/core.h"

typedef struct { /* element k of window y is at x = y stride + k dilation - before */
    int64_t x[3], k[3], y[3];
    int64_t stride[3], dilation[3], before[3];
} window;

enum { WINDOW_LIMIT = 1 << 30 }; /* sizes and steps are below, so that sums do not overflow */

/* What is given for each spatial dimension: all numbers, one for all, or none; each of them
 * from least on.  False: an error. */
bool window_numbers(const char *name, const char *what, wk_shape given, int dims, int64_t usual,
                    int64_t least, int64_t out[3]);

/* The last dims dimensions of a shape. */
bool window_sizes(const char *name, wk_shape s, int dims, int64_t out[3]);

/* x is [b, c, ..] or [c, ..]: the first, or NULL and an error. */
wk_tensor *window_batch(const char *name, wk_tensor *x, int dims);

window window_of(const wk_options *opt, wk_shape x, wk_shape k, wk_shape y);

static inline int64_t window_count(const int64_t size[3]) { return size[0] * size[1] * size[2]; }

/* The windows whose element k lies in the image, along one axis: first up to end. */
static inline void window_reach(const window *w, int axis, int64_t k, int64_t *first, int64_t *end)
{
    int64_t at = k * w->dilation[axis] - w->before[axis], stride = w->stride[axis];
    *first = at < 0 ? (stride - 1 - at) / stride : 0;
    *end = at >= w->x[axis] ? 0 : wk_min_i64(w->y[axis], (w->x[axis] - 1 - at) / stride + 1);
}

/* Where element tap of n windows lies: in the image from x on, the last stride apart; the
 * windows are number y and those after it. */
typedef void (*window_fn)(void *ctx, int64_t tap, int64_t x, int64_t y, int64_t n, int64_t stride);

static inline __attribute__((always_inline)) void window_runs(const window *w, window_fn fn,
                                                              void *ctx)
{
    int64_t from[3], to[3], k[3], tap = 0;
    for (k[0] = 0; k[0] < w->k[0]; k[0]++)
        for (k[1] = 0; k[1] < w->k[1]; k[1]++)
            for (k[2] = 0; k[2] < w->k[2]; k[2]++, tap++) {
                int64_t at[3];
                for (int i = 0; i < 3; i++) {
                    window_reach(w, i, k[i], &from[i], &to[i]);
                    at[i] = k[i] * w->dilation[i] - w->before[i];
                }
                for (int64_t i = from[0]; from[2] < to[2] && i < to[0]; i++)
                    for (int64_t j = from[1]; j < to[1]; j++) {
                        int64_t row = (i * w->stride[0] + at[0]) * w->x[1];
                        row = (row + j * w->stride[1] + at[1]) * w->x[2];
                        fn(ctx, tap, row + from[2] * w->stride[2] + at[2],
                           (i * w->y[1] + j) * w->y[2] + from[2], to[2] - from[2], w->stride[2]);
                    }
            }
}

#endif
