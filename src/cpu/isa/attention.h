// SPDX-License-Identifier: MIT OR Apache-2.0
/* attention.h - what attention and its gradient share.
 *
 * Rows are the queries of all heads that look at one group of keys: row r is query
 * r / share of head r % share.  A block of rows meets a block of KEYS keys; for both
 * sides of it there is one small dense product (product.c) over packed blocks:
 *
 *     panels   [panel][width][NR]   rows of x as columns: what scores are made with
 *     rows     [count][padded]      rows of x, padded with zeros to whole vectors
 *
 * Scores are kept in powers of two, so that the softmax needs 2^x alone. */
#ifndef WK_CPU_ATTENTION_H
#define WK_CPU_ATTENTION_H

#include "../simd.h"
#include "isa.h"

#if defined __AVX512F__ || defined __aarch64__
enum { NV = 4 }; /* vectors of a tile's width: there are 32 registers */
#else
enum { NV = 2 };
#endif
enum { MR = 6, NR = NV * VF, KEYS = 256, ROWS = 192 };

enum { Q, K, V, MASK, SLOPES, DY };

typedef struct {
    const wk_call *c;
    int64_t        b, h, g, t, s, d, e, share;
    int64_t        queries; /* of a block */
    float          factor;  /* from q k to scores, or to the argument of tanh */
    float          cap;     /* 0: none */
} attention;

/* Rows of tensors at one index b, and one head or group. */
typedef struct {
    const wk_tensor *x;
    int64_t          at; /* of the first row, in elements */
} plane;

/* c [rows, cols] = keep c + a b.  Element (i, k) of a is a[i * row + k * step]; rows of b
 * and c are ldb and ldc apart; cols is a multiple of VF.  keep has a factor for each row;
 * NULL stands for zeros. */
typedef struct {
    const float *a;
    int64_t      row, step;
    const float *b;
    int64_t      ldb, depth;
    float       *c;
    int64_t      ldc;
    const float *keep;
} product;

void WK_ISA(product)(const product *p, int64_t rows, int64_t cols);

/* How many of n rows are done at once. */
static inline int64_t strip_of(int64_t n)
{
    return n >= MR && n != 8 ? MR : n >= 4 ? 4 : n >= 2 ? 2 : 1;
}

static inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

bool  WK_ISA(attention_open)(attention *a, const wk_call *c); /* false: not for these dtypes */
plane WK_ISA(attention_plane)(const wk_tensor *x, int64_t b, int64_t h);

/* Keys that query i sees: begin .. end. */
void WK_ISA(attention_sight)(const attention *a, int64_t i, int64_t *begin, int64_t *end);

/* Rows of x as they lie, row apart, where that is f32 of whole vectors; NULL elsewhere. */
const float *WK_ISA(rows_in_place)(plane p, int64_t first, int64_t *row);

/* Rows first .. first + n of x as f32: as panels, and as rows.  work has VF rows. */
void WK_ISA(pack_panels)(float *to, plane p, int64_t first, int64_t n, float *work);
void WK_ISA(pack_rows)(float *to, int64_t padded, plane p, int64_t first, int64_t n);

/* Row (b, head, i) of scores from key j on: x holds products, n of them, of which those of
 * keys begin .. end count.  Afterwards it holds scores, -infinity where nothing is seen.
 * tanhs [n], if not NULL, gets the hyperbolic tangents of the cap; work has room for n. */
typedef struct {
    int64_t b, head, i, j, n;
} score_row;
void WK_ISA(attention_scores)(const attention *a, score_row at, float *x, float *tanhs,
                              float *work);

#endif
