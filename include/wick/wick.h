// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick.h - tensors, automatic differentiation, neural networks, models.
 *
 * Three rules cover the whole library:
 *
 *   Ownership  What an operation returns belongs to the calling thread's pool.
 *              wk_mark() notes the height of the pool, wk_sweep() releases
 *              everything above it.  You drop only what you kept.
 *   Errors     The first failure on a thread is recorded and sticks.  Until
 *              wk_clear(), operations do nothing and return NULL, so a chain of
 *              calls needs one check, at its end: wk_ok().
 *   Options    Zero is the default.  Options are given by name:
 *              wk_attention(q, k, v, .causal = true).
 */
#ifndef WICK_H
#define WICK_H

#include <wick/base.h>
#include <wick/convert.h>
#include <wick/data.h>
#include <wick/io.h>
#include <wick/model.h>
#include <wick/nn.h>
#include <wick/ops.h>
#include <wick/optim.h>
#include <wick/tensor.h>
#include <wick/text.h>
#include <wick/train.h>

#endif
