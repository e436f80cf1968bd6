// SPDX-License-Identifier: MIT OR Apache-2.0
/* gemm.h - products of matrices: one driver (isa/gemm.c), and engines that it drives.
 *
 * C [m, n] = A [m, k] x B [k, n] is computed in tiles, in the manner of Goto and van de
 * Geijn, "Anatomy of high-performance matrix multiplication", 2008.  Operands are packed
 * into panels first: mr rows of A, nr columns of B, in the order in which the
 * micro-kernel reads them.  An engine is that micro-kernel, its two packs, and the
 * numbers that the driver needs.  k is always taken in the same steps by one thread, so
 * that results depend neither on the number of threads nor on their order.
 *
 * B is given as its transpose, [n, k], as the weight of a layer is: then rows of A and
 * columns of B are alike, and "k" is always the second index. */
#ifndef WK_CPU_GEMM_H
#define WK_CPU_GEMM_H

#include "../core/core.h"

/* Of loops whose bounds are constants after all is inlined. */
#define INLINE static inline __attribute__((always_inline))
#if defined __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

typedef struct wk_gemm wk_gemm;

/* Elements (i, p) at data + (i * row + p * col) * size of dtype; strides of any sign. */
typedef struct {
    const void *data;
    wk_dtype    dtype;
    int64_t     row, col;
} wk_mat;

/* One call of the micro-kernel: c [mr, nr] = or += a panel x b panel.
 *
 * Only the first rows x cols of c count.  The rest of the tile may be computed, from the
 * zeros in the panels, or left as it is; c has room for all of it. */
typedef struct {
    int         rows, cols; /* 1 .. mr, 1 .. nr */
    int64_t     k;          /* > 0, a multiple of kr */
    const void *a, *b;      /* as the packs wrote them for this k; 64-byte aligned */
    int64_t     group;      /* bytes from 16 columns of b to the next 16, for engines with
                               pairs; groups beyond cols must not be read */
    float      *c;          /* row r at c + r * ldc; 64-byte aligned where ldc is nr */
    int64_t     ldc;
    bool        add;  /* to what c holds, else c is only written */
    const void *next; /* the panel of A to come, worth a prefetch; may be NULL */
} wk_gemm_tile;

typedef struct {
    const char *name;           /* "avx512", "amx x6" */
    int         mr, nr;         /* the tile */
    int         kr;             /* k comes in multiples of this: packs fill up with zeros */
    int         a_size, b_size; /* bytes of a packed element: mr * k * a_size is a panel */
    int         kc;             /* steps of k, a multiple of kr: nr * kc of B should fit into
                                   a part of the first-level cache */
    int         mc;    /* rows of a piece of work, a multiple of mr: mc * kc of A should fit into a
                          part of the second-level cache */
    int         nc;    /* columns of a piece of work, a multiple of nr */
    int         least; /* rows and columns of a product worth it */

    /* Up to so many rows of A meet each part of B as soon as it is packed.  For more it pays to
     * pack blocks of B, as sums of so many rows do not stay near. */
    int late;

    /* The packed B is, for each 16 columns, [k / 2][16 columns][2] bf16: the layout of
     * wk_pack(), so that packed weights are read where they lie. */
    bool pairs;

    /* Write the panel of x's first count (1 .. mr or nr) rows and first k columns, filled
     * up with zeros to mr (nr) rows and to a multiple of kr columns.  x may be of any
     * float dtype: f32, bf16 and f16 deserve a fast road, wk_dtypes[] reads the others. */
    void (*pack_a)(void *panel, const wk_mat *x, int64_t count, int64_t k);
    void (*pack_b)(void *panel, const wk_mat *x, int64_t count, int64_t k);
    void (*kernel)(const wk_gemm_tile *t);

    /* Where B lies in panels of blocks: steps at .. at + k of its panel j as pack_b would
     * write them.  Not done beforehand, but as the kernel needs it.  Else NULL. */
    void (*unpack)(void *panel, const wk_gemm *g, int side, int64_t j, int64_t at, int64_t k);

    /* Around a series of kernel calls on one thread; may be NULL. */
    void (*begin)(void);
    void (*end)(void);
} wk_engine;

typedef struct wk_quant_kernels wk_quant_kernels;
typedef struct wk_quant_rows    wk_quant_rows;

/* ---- The driver --------------------------------------------------------- */

/* out = sums + bias + add, or act(sums[0] + bias[0]) * (sums[1] + bias[1]) + add. */
struct wk_gemm {
    const wk_engine *engine;
    int64_t          m, n, k;
    wk_mat           a, b[2]; /* b: [n, k]; the second one may be without data */
    bool             panels;  /* b lies as wk_pack() leaves it; of bf16 b.row is k rounded up */
    bool             waits;   /* to be packed: b lies in rows, but counts as if in panels */
    wk_act           act;     /* where there are two */
    const float     *bias[2]; /* [n] or NULL */
    wk_mat           add;     /* [m, n], col is 1; may be without data */
    wk_mat           out;     /* [m, n], col is 1 */
};

/* A product with few rows of A. */
typedef struct {
    const wk_gemm *g;
    const void    *x; /* [m][x_row]: A, m filled up with zeros to a power of two; in f32, or
                         for panels in bf16 and each row filled up like theirs */
    int64_t        x_row;
    bool           ask; /* early for what is to come */
} wk_few_rows;

enum {
    WK_AT_ONCE = 64,   /* results that are finished together */
    WK_DISTANCE = 4096 /* bytes to ask ahead */
};

/* The sums of count rows of the weight, w_row bytes apart, with each row i of x, at
 * sums[i * WK_AT_ONCE].  There is room for multiples of 16. */
typedef void (*wk_few_fn)(const char *w, int64_t w_row, int64_t count, const wk_few_rows *j,
                          float *sums);

/* Row i, column p of x. */
static inline wk_mat wk_mat_at(wk_mat x, int64_t i, int64_t p)
{
    x.data = (const char *)x.data + wk_bytes_at(x.dtype, i * x.row + p * x.col);
    return x;
}

#endif
