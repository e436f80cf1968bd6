// SPDX-License-Identifier: MIT OR Apache-2.0
/* shared.h - kernels that are the same for every instruction set. */
#ifndef WK_CPU_SHARED_H
#define WK_CPU_SHARED_H

#include "../core/core.h"

extern const wk_kernel wk_cpu_shared[WK_OP_LISTED + 1]; /* what serves where an isa has none */

bool wk_cpu_gather(const wk_call *c);
bool wk_cpu_scatter(const wk_call *c); /* and scatter_add */
bool wk_cpu_index_add(const wk_call *c);
bool wk_cpu_embedding(const wk_call *c); /* quants.c */

/* What wk_pack() gives: w as fill() writes it into room for that shape.  Where w is mapped, its
 * pages are given back. */
wk_tensor *wk_packed_new(wk_tensor *w, wk_shape room, const wk_packing *packing,
                         void (*fill)(const wk_tensor *w, void *to));

/* n indices from element at on, stride apart. */
static inline void wk_load_indices(int64_t *row, const wk_tensor *x, int64_t at, int64_t n,
                                   int64_t stride)
{
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    d->load[WK_AS_I64](row, (char *)wk_at_host(x) + at * (int64_t)d->size, n, stride);
}

#endif
