// SPDX-License-Identifier: MIT OR Apache-2.0
/* nn.h - what the layers share. */
#ifndef WK_NN_H
#define WK_NN_H

#include "../core/core.h"
#include <wick/nn.h>

/* The initialisation of PyTorch's layers: uniform within 1 / sqrt(n). */
wk_init wk_init_within(int64_t n);

/* Dropout where it is wanted: while training, and with a probability above 0. */
static inline wk_tensor *wk_drop_out(wk_tensor *x, double p, bool train)
{
    return train && p > 0 ? wk_dropout(x, p) : x;
}

/* For parameters that are made out of other tensors of the file: one of those as it is, now
 * asked for; and what was made of them, as a parameter or (fixed) a buffer. */
wk_tensor *wk_store_take(wk_store *s, const char *name);
wk_tensor *wk_store_put(wk_store *s, const char *name, wk_tensor *x, bool fixed);
wk_dtype   wk_store_dtype(const wk_store *s); /* of parameters; WK_DEFAULT: as they are */

#endif
