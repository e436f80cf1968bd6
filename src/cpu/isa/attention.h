// SPDX-License-Identifier: MIT OR Apache-2.0
/* attention.h - what attention and its gradient share.
 *
 * Rows are the queries of all heads that look at one group of keys: row r of a block is
 * query r / share of head r % share.  A block of rows meets a block of KEYS keys; what
 * they do to each other are small dense products (product.c) over packed blocks:
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
enum { LINE = KEYS + 16 }; /* between rows of scores: no power of two */

enum { Q, K, V, MASK, SLOPES, DY };

typedef struct {
    const wk_call *c;
    int64_t        b, h, g, t, s, d, e, share;
    int64_t        blocks, queries; /* blocks of queries, and how many each has */
    int64_t        padded;          /* e, in whole vectors */
    bool           pairs;           /* keys and values are bf16, and all is multiplied as that */
    float          factor;          /* from q k to scores, or to the argument of tanh */
    float          cap;             /* 0: none */
    bool           plain;           /* scores are products times the factor, which is positive */
} attention;

/* A block of rows, and the keys and values it meets. */
typedef struct {
    const attention *a;
    int64_t          b, g, first, rows; /* the first query; rows of all heads */
    int64_t          to;                /* where its keys end */
    float           *y, *top, *sum;     /* [rows, padded], [rows], [rows] */
    const float     *q, *v;             /* rows q_row and v_row apart */
    int64_t          q_row, v_row;
    float           *k, *scores, *keep;      /* panels, [rows, LINE], [rows] */
    float           *q_room, *v_room, *work; /* for packed rows; for what is in between */
} block;

/* Rows of a tensor at one index b, and one head or group. */
typedef struct {
    const wk_tensor *x;
    int64_t          at; /* of the first row, in elements */
} plane;

/* c [rows, cols] = keep c + a b.  Element (i, k) of a is a[i * row + k * step]; rows of b
 * and c are ldb and ldc apart; cols is a multiple of VF.  keep has a factor for each row;
 * NULL stands for zeros.  Meanwhile memory from ahead on is called nearer, pace bytes for
 * each step of the depth. */
typedef struct {
    const float *a;
    int64_t      row, step;
    const float *b;
    int64_t      ldb, depth;
    float       *c;
    int64_t      ldc;
    const float *keep;
    uintptr_t    ahead;
    int64_t      pace;
} product;

#define multiply          WK_ISA(multiply)
#define multiply_pairs    WK_ISA(multiply_pairs)
#define attention_open    WK_ISA(attention_open)
#define attention_sight   WK_ISA(attention_sight)
#define attention_scores  WK_ISA(attention_scores)
#define attention_rows_in WK_ISA(attention_rows_in)
#define pack_panels       WK_ISA(pack_panels)
#define pack_panels_pairs WK_ISA(pack_panels_pairs)
#define pack_rows_pairs   WK_ISA(pack_rows_pairs)
#define pack_rows         WK_ISA(pack_rows)
#define block_room        WK_ISA(block_room)
#define block_open        WK_ISA(block_open)
#define block_sums        WK_ISA(block_sums)
#define block_sees        WK_ISA(block_sees)
#define block_row         WK_ISA(block_row)
#define block_scores      WK_ISA(block_scores)
#define block_walk        WK_ISA(block_walk)

void multiply(product p, int64_t rows, int64_t cols);

/* The same where elements of a and b are pairs of bf16, of neighbours in depth. */
void multiply_pairs(product p, int64_t rows, int64_t cols);

/* How many of n rows are done at once. */
static inline int64_t strip_of(int64_t n)
{
    return n >= MR && n != 8 ? MR : n >= 4 ? 4 : n >= 2 ? 2 : 1;
}

static inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static inline plane plane_of(const wk_tensor *x, int64_t b, int64_t h)
{
    return (plane){ x, b * x->stride[0] + h * x->stride[1] };
}
static inline const uint16_t *half_row(plane p, int64_t i)
{
    return (const uint16_t *)wk_at_host(p.x) + p.at + i * p.x->stride[2];
}
static inline int64_t query_of(const block *x, int64_t row) { return x->first + row / x->a->share; }
static inline int64_t head_of(const block *x, int64_t row)
{
    return x->g * x->a->share + row % x->a->share;
}

/* ---- attention_parts.c -------------------------------------------------- */

bool attention_open(attention *a, const wk_call *c); /* false: not for these dtypes */

/* Keys that query i sees: begin .. end. */
void attention_sight(const attention *a, int64_t i, int64_t *begin, int64_t *end);

/* Rows of x as they lie, row apart, where that is f32 of whole vectors; NULL elsewhere. */
const float *attention_rows_in(plane p, int64_t first, int64_t *row);

/* Rows first .. first + n of x as f32: as panels, and as rows.  work has VF rows. */
void pack_panels(float *to, plane p, int64_t first, int64_t n, float *work);
void pack_rows(float *to, int64_t padded, plane p, int64_t first, int64_t n);

/* The same for multiply_pairs(): pairs within a row, and pairs of rows. */
void pack_panels_pairs(float *to, plane p, int64_t first, int64_t n, float *work);
void pack_rows_pairs(float *to, int64_t padded, plane p, int64_t first, int64_t n);

/* Row (b, head, i) of scores: x holds the products of n keys from j on, and then scores.
 * tanhs [n], if not NULL, gets the hyperbolic tangents of the cap; work has room for n. */
typedef struct {
    int64_t b, head, i, j, n;
} score_row;
void attention_scores(const attention *a, score_row at, float *x, float *tanhs, float *work);

/* ---- attention.c -------------------------------------------------------- */

/* Block number i of all, in room for block_room() floats.  Its sums may lie elsewhere. */
size_t block_room(const attention *a);
block  block_open(const attention *a, int64_t i, float *room);
void   block_sums(block *x, float *at);

/* What rows row .. row + n see of the keys from first on: begin .. end, counted from there. */
bool block_sees(const block *x, int64_t row, int64_t n, int64_t first, int64_t keys, int64_t *begin,
                int64_t *end);

/* The products of all rows with keys panels k holds. */
void block_scores(block *x, int64_t first, int64_t keys);

/* One row of them becomes scores, -infinity where nothing is seen, from begin rounded down
 * to end rounded up to whole vectors; those times the factor that comes back. */
float block_row(block *x, int64_t row, int64_t first, int64_t begin, int64_t end, float *tanhs);

/* From the queries and keys from .. to: y, top and sum. */
void block_walk(block *x, int64_t from, int64_t to);

#endif
