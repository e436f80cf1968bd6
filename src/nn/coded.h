// SPDX-License-Identifier: MIT OR Apache-2.0
/* coded.h - a matrix of small numbers with scales, wherever their bits are. */
#ifndef WK_CODED_H
#define WK_CODED_H

#include "../core/core.h"

/* Lines of numbers of few bits, from the low bits up in units of a byte or a little-endian
 * word; what does not fit into a unit goes on in the next. */
typedef struct {
    const uint8_t *at;
    int            bits, unit;
    int64_t        next, line; /* units from one to the next of a line, and to the next line */
    const uint8_t *places;     /* of the numbers within a unit; NULL: one after another */
    bool           by_input;   /* a line has the numbers of one input, not of one output */
    bool           has_sign;
} wk_codes;

int wk_code_at(const wk_codes *c, int64_t line, int64_t i);

/* Element (o, k) is (code - zero) * scale, or level[code] * scale, where scale and zero are
 * those of output o and the group of input k. */
typedef struct {
    int64_t  out, in;
    int64_t  group, groups; /* inputs that share a scale; ceil(in / group) */
    int32_t *group_of;      /* of each input; NULL: k / group */
    wk_codes codes;
    float   *scale; /* [out, groups] */
    int16_t *zero;  /* [out, groups]; NULL: all are same_zero */
    int      same_zero;
    float    level[256];
    wk_dtype like;   /* WK_NF4, WK_MXFP4: the levels are that one's; WK_F32: use them */
    wk_dtype narrow; /* instead of blocks, if there are none that hold them; WK_DEFAULT: f16 */
} wk_coded;

void wk_coded_free(wk_coded *c);

/* [out, in] in blocks that hold the numbers as they are, if there are such and dtype is
 * WK_DEFAULT or quantized; else in dtype, or in c->narrow.  order as in quantized.h. */
wk_tensor *wk_coded_tensor(const wk_coded *c, wk_dtype dtype, wk_tensor **order);

#endif
