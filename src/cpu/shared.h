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

/* What wk_pack() gives.  A weight that lies in a file is packed when somebody needs it so. */
wk_tensor *wk_packed_new(wk_tensor *w, const wk_packing *packing);

/* A packed weight, which it becomes now if need be; then pages of the file are given back.
 * NULL: it is as in the file still, or there was no memory. */
void *wk_packed_data(const wk_tensor *w, bool needed);

/* n indices from element at on, stride apart. */
static inline void wk_load_indices(int64_t *row, const wk_tensor *x, int64_t at, int64_t n,
                                   int64_t stride)
{
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    d->load[WK_AS_I64](row, (char *)wk_at_host(x) + at * (int64_t)d->size, n, stride);
}

#endif
