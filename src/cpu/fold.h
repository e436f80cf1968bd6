// SPDX-License-Identifier: MIT OR Apache-2.0
/* fold.h - sums and extremes of a block of floats.
 *
 * Each of the lanes that add in parallel takes a few dozen numbers in f32.  Such sums are
 * put together in doubles, and so are the blocks, in the order of the tensor.
 * What goes over vectors is compiled for each instruction set (isa/fold.c), the rest,
 * in reduce.c and loss.c, once. */
#ifndef WK_CPU_FOLD_H
#define WK_CPU_FOLD_H

#include "cpu.h"

#include <math.h>

enum { WK_BLOCK = 4096, WK_COLUMNS = 512 };

/* What is added up: x, |x|, x^2, x - shift, (x - shift)^2, e^(x - shift), the zeros; or
 * the largest x, -x or |x|. */
typedef enum {
    FOLD_SUM,
    FOLD_ABS,
    FOLD_SQUARE,
    FOLD_OFFSET,
    FOLD_SPREAD,
    FOLD_EXP,
    FOLD_ZEROS,
    FOLD_MAX,
    FOLD_MIN,
    FOLD_MOST
} fold_kind;

static inline bool fold_is_extreme(fold_kind kind) { return kind >= FOLD_MAX; }

typedef struct { /* columns that are folded side by side; vectors fit at any of them */
    float   sum[WK_COLUMNS], shift[WK_COLUMNS];
    int32_t at[WK_COLUMNS]; /* the row where the extreme is */
} fold_columns;

typedef struct {
    /* Of n floats.  Blind to NaN where it looks for extremes. */
    double (*fold)(fold_kind kind, const float *x, int64_t n, float shift);
    /* A row of m floats into as many columns.  The first NaN is an extreme and stays. */
    void (*row)(fold_kind kind, fold_columns *t, const float *x, int64_t m, int32_t row);
    /* r = e^(x - top) factor - less */
    void (*softmax)(float *r, const float *x, int64_t n, float top, float factor, float less);
} wk_folds;

/* Kernels, made of these. */
bool wk_cpu_reduce(const wk_call *c, const wk_folds *folds);
bool wk_cpu_cross_entropy(const wk_call *c, const wk_folds *folds);
bool wk_cpu_cross_entropy_grad(const wk_call *c, const wk_folds *folds);

/* ---- log(sum of e^x): the largest x, and the sum of e^(x - largest) ---------- */

static inline void log_sum_merge(double *top, double *sum, double other_top, double other_sum)
{
    if (other_top > *top) {
        *sum = *top == -INFINITY ? other_sum + 0 * *sum : other_sum + *sum * exp(*top - other_top);
        *top = other_top;
    } else if (other_top == -INFINITY || *top == INFINITY) {
        *sum += other_sum; /* none, or NaN; or infinities are counted */
    } else {
        *sum += other_sum * exp(other_top - *top);
    }
}

/* Of a block; adds to *top and *sum, which begin as -INFINITY and 0. */
static inline void log_sum_block(const wk_folds *folds, const float *x, int64_t n, double *top,
                                 double *sum)
{
    double most = folds->fold(FOLD_MAX, x, n, 0);
    double s = folds->fold(FOLD_EXP, x, n, isinf(most) ? 0 : (float)most); /* sees NaN */
    if (isinf(most) && s == s)
        s = most > 0;
    log_sum_merge(top, sum, most, s);
}

#endif
