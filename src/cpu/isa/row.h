// SPDX-License-Identifier: MIT OR Apache-2.0
/* row.h - the rows of a tensor (its last dimension) as dense f32, where they lie or
 * through a buffer. */
#ifndef WK_CPU_ROW_H
#define WK_CPU_ROW_H

#include "isa.h"

/* Kernels that compute in f32 leave doubles to the portable ones. */
static inline bool row_is_f32(const wk_tensor *x)
{
    return !x || (wk_dtypes[x->dtype].is_float && x->dtype != WK_F64);
}

/* Element number of the first one of row r, in the order of the shape. */
static inline int64_t row_at(const wk_tensor *x, int64_t r)
{
    int64_t at = 0;
    for (int i = x->shape.rank - 2; i >= 0 && r; i--) {
        at += r % x->shape.dim[i] * x->stride[i];
        r /= x->shape.dim[i];
    }
    return at;
}

/* n elements from element at on, step apart. */
static inline const float *row_read(const wk_tensor *x, int64_t at, int64_t n, int64_t step,
                                    float *buffer)
{
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    const char          *p = (char *)wk_at_host(x) + at * (int64_t)d->size;
    if (x->dtype == WK_F32 && step == 1)
        return (const float *)(const void *)p;
    d->load[WK_AS_F32](buffer, p, n, step);
    return buffer;
}

/* Where to compute n elements of a dense result, which row_done() then puts in place. */
static inline float *row_begin(wk_tensor *y, int64_t at, float *buffer)
{
    return y->dtype == WK_F32 ? wk_f32(y) + at : buffer;
}

static inline void row_done(wk_tensor *y, int64_t at, int64_t n, int64_t step, const float *row)
{
    const wk_dtype_info *d = &wk_dtypes[y->dtype];
    if (y->dtype != WK_F32 || step != 1)
        d->store[WK_AS_F32]((char *)wk_at_host(y) + at * (int64_t)d->size, row, n, step);
}

/* A parameter [n] in f32, or NULL. */
static inline const float *row_parameter(const wk_tensor *p, int64_t n, float *buffer)
{
    return p ? row_read(p, 0, n, p->stride[0], buffer) : NULL;
}

#endif
