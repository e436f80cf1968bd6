// SPDX-License-Identifier: MIT OR Apache-2.0
/* few_rows.c - products with few rows of A, as when a model decodes: what counts is how
 * fast the weight is read.
 *
 * Each thread reads rows of the weight one after another as a single stream, which is what
 * memory likes best, and meets each element with all rows of A.  Sums across lanes wait
 * until there are as many rows as lanes.  Intel's cores gain a fifth or more by asking
 * early for what lies WK_DISTANCE ahead; AMD's lose as much by it.  A long row of A does not
 * stay in the nearest cache: then four rows of the weight share each element of it.
 *
 * What a row of A gives does not depend on how many there are, bit for bit: a model that
 * checks several tokens at once finds what it finds one by one. */
#include "matrix.h"

#include "../simd.h"

enum {
    MOST_ROWS = WK_FEW_ROWS, /* of A */
    LONG = 4096,             /* elements of a row of A */
    PIECE = 1 << 20          /* bytes of weight in a piece of work: short streams are slow */
};

/* ---- Rows of a weight --------------------------------------------------- */

INLINE vf load(const char *p, wk_dtype dtype)
{
    return dtype == WK_F32    ? vload((const float *)(const void *)p)
           : dtype == WK_BF16 ? vload_bf16((const uint16_t *)(const void *)p)
                              : vload_f16((const uint16_t *)(const void *)p);
}

/* The first n < VF elements at p; the other lanes are 0. */
INLINE vf load_rest(const char *p, wk_dtype dtype, int64_t n)
{
    float row[VF] = { 0 };
    wk_dtypes[dtype].load[WK_AS_F32](row, p, n, 1);
    return vload(row);
}

#if defined __AVX512F__ || defined __aarch64__
enum { SUMS = 16 }; /* as many as registers allow */
#else
enum { SUMS = 8 };
#endif
/* Every product has CHAINS sums, of the vectors p, p + CHAINS, ..: one alone need not wait for
 * its additions, and is the same bits as when others are computed beside it. */
enum { CHAINS = 4, STEP = CHAINS * VF, TOGETHER = SUMS / CHAINS };

/* What the loop below leaves: the end of a row, from element p on. */
static __attribute__((noinline)) void rest(int64_t rows, int m, wk_dtype dtype, const char *w,
                                           int64_t w_row, const wk_few_rows *j, const float *x,
                                           int64_t p, vf *parts)
{
    const int64_t size = (int64_t)wk_dtypes[dtype].size, k = j->g->k;
    for (; p < k; p += VF)
        for (int64_t r = 0; r < rows; r++) {
            int64_t n = wk_min_i64(VF, k - p);
            vf      y = load_rest(w + r * w_row + p * size, dtype, n);
            for (int i = 0; i < m; i++) {
                vf z = vload_part(x + i * j->x_row + p, n);
                parts[i * VF + r] = vfma(z, y, parts[i * VF + r]);
            }
        }
}

/* parts[i * VF + r]: the products of row r of the weight with row i of x, one sum in each
 * lane; rows x m is at most TOGETHER. */
INLINE void dots(int rows, int m, wk_dtype dtype, const char *w, int64_t w_row,
                 const wk_few_rows *j, const float *x, bool ask, vf *parts)
{
    const int64_t x_row = j->x_row, k = j->g->k, whole = k / STEP * STEP;
    const int     size = dtype == WK_F32 ? 4 : 2;
    vf            sum[TOGETHER][CHAINS];
#pragma GCC unroll 4
    for (int i = 0; i < rows * m; i++)
#pragma GCC unroll 4
        for (int u = 0; u < CHAINS; u++)
            sum[i][u] = vset(0);
    for (int64_t p = 0; p < whole; p += STEP) {
        /* near its end a row's prefetch goes on in the row that follows in turn */
        int64_t ahead = WK_DISTANCE + (p * size + WK_DISTANCE >= w_row ? (rows - 1) * w_row : 0);
        if (ask)
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
                for (int at = 0; at < STEP * size; at += 64)
                    __builtin_prefetch(w + r * w_row + p * size + at + ahead, 0, 2);
#pragma GCC unroll 4
        for (int u = 0; u < CHAINS; u++) {
            vf y[4];
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++)
                y[r] = load(w + r * w_row + (p + u * VF) * size, dtype);
#pragma GCC unroll 4
            for (int i = 0; i < m; i++) {
                vf z = vload(x + i * x_row + p + u * VF);
#pragma GCC unroll 4
                for (int r = 0; r < rows; r++)
                    sum[r * m + i][u] = vfma(z, y[r], sum[r * m + i][u]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < m; i++) {
            vf *s = sum[r * m + i];
            parts[i * VF + r] = (s[0] + s[1]) + (s[2] + s[3]);
        }
    if (whole < k)
        rest(rows, m, dtype, w, w_row, j, x, whole, parts);
}

/* Add up the lanes of each part. */
static __attribute__((noinline)) void add_lanes(int m, vf *parts, float *sums)
{
    for (int i = 0; i < m; i++) {
        vf *v = parts + i * VF;
        vtranspose(v);
        for (int half = VF / 2; half; half /= 2)
            for (int l = 0; l < half; l++)
                v[l] += v[l + half];
        vstore(sums + i * WK_AT_ONCE, v[0]);
    }
}

/* The sums of count rows of the weight, so many at a time, with m rows of x, at
 * [i * WK_AT_ONCE + r].  A row of the weight stays near while the rows of x go by. */
INLINE void block(int rows, int m, wk_dtype dtype, const char *w, int64_t w_row, int64_t count,
                  const wk_few_rows *j, float *sums)
{
    const int    few = m < TOGETHER / rows ? m : TOGETHER / rows;
    const float *x = j->x;
    vf           parts[MOST_ROWS * VF];
    for (int64_t r = 0; r < count; r += VF) {
        int64_t n = wk_min_i64(VF, count - r), i = 0;
        for (; i + rows <= n; i += rows)
            for (int l = 0; l < m; l += few)
                dots(rows, few, dtype, w + (r + i) * w_row, w_row, j, x + l * j->x_row,
                     (rows > 1 && m == 1) || (j->ask && l == 0), parts + l * VF + i);
        for (; rows > 1 && i < n; i++)
            for (int l = 0; l < m; l += few)
                dots(1, few, dtype, w + (r + i) * w_row, w_row, j, x + l * j->x_row, false,
                     parts + l * VF + i);
        add_lanes(m, parts, sums + r);
    }
}

#define BLOCK(m, rows, label, name, dtype)                                                         \
    static void block_##label##_##name(const char *w, int64_t w_row, int64_t count,                \
                                       const wk_few_rows *j, float *sums)                          \
    {                                                                                              \
        block(rows, m, dtype, w, w_row, count, j, sums);                                           \
    }
#define BLOCKS(m, rows, label)                                                                     \
    BLOCK(m, rows, label, f32, WK_F32)                                                             \
    BLOCK(m, rows, label, bf16, WK_BF16) BLOCK(m, rows, label, f16, WK_F16)
#define NAMES(m)                                                                                   \
    {                                                                                              \
        block_##m##_f32, block_##m##_bf16, block_##m##_f16                                         \
    }
BLOCKS(1, 1, 1)
BLOCKS(1, TOGETHER, long)
BLOCKS(2, 1, 2)
BLOCKS(4, TOGETHER / 2, 4)
BLOCKS(8, TOGETHER / 2, 8)

static const wk_few_fn blocks[][3] = { NAMES(1), NAMES(2), NAMES(4), NAMES(8), NAMES(long) };

/* Rows of zeros make up the next power of two: which one? */
static int power(int64_t m) { return m <= 1 ? 0 : m <= 2 ? 1 : m <= 4 ? 2 : 3; }

/* ---- Pieces ------------------------------------------------------------- */

typedef struct {
    wk_few_rows j;
    wk_few_fn   fn;
} work;

static void pieces(void *ctx, int64_t begin, int64_t end)
{
    const work    *w = ctx;
    const wk_gemm *g = w->j.g;
    int64_t        w_row = g->b[0].row * (int64_t)wk_dtypes[g->b[0].dtype].size;
    float          sums[2][MOST_ROWS * WK_AT_ONCE + VF];
    for (int64_t at = begin; at < end; at += WK_AT_ONCE) {
        int64_t n = wk_min_i64(WK_AT_ONCE, end - at);
        int     sides = g->b[1].data ? 2 : 1;
        for (int s = 0; s < sides; s++)
            w->fn((const char *)g->b[s].data + at * w_row, w_row, n, &w->j, sums[s]);
        WK_ISA(gemm_finish)
        (g, 0, at, (int)g->m, (int)n, sums[0], sides > 1 ? sums[1] : NULL, WK_AT_ONCE);
    }
}

/* The function for so many rows; NULL: none. */
static wk_few_fn choose(const wk_gemm *g)
{
    const wk_mat *w = &g->b[0];
    if (g->m > MOST_ROWS)
        return NULL;
    if (g->panels)
        return wk_cpu_current()->few ? wk_cpu_current()->few[power(g->m)] : NULL;
    bool known = w->dtype == WK_F32 || w->dtype == WK_BF16 || w->dtype == WK_F16;
    bool is_long = g->m == 1 && g->k > LONG;
    return known && w->col == 1 && w->row >= g->k
               ? blocks[is_long ? 4 : power(g->m)][w->dtype == WK_F32    ? 0
                                                   : w->dtype == WK_BF16 ? 1
                                                                         : 2]
               : NULL;
}

/* A as the kernels read it. */
static const void *fill(const wk_gemm *g, int64_t x_row)
{
    int64_t size = g->panels ? 2 : 4;
    size_t  filled = (size_t)((x_row << power(g->m)) * size);
    char   *x = wk_scratch(filled + (size_t)g->k * sizeof(float));
    if (!x)
        return NULL;
    memset(x, 0, filled);
    for (int64_t i = 0; i < g->m; i++) {
        char *to = x + i * x_row * size;
        void *row = g->panels ? x + filled : to;
        wk_dtypes[g->a.dtype].load[WK_AS_F32](row, wk_mat_at(g->a, i, 0).data, g->k, g->a.col);
        if (g->panels)
            wk_dtypes[WK_BF16].store[WK_AS_F32](to, row, g->k, 1);
    }
    return x;
}

bool WK_ISA(gemm_few_rows)(const wk_gemm *g, int threads)
{
    work w = { .j = { .g = g, .x = g->a.data, .x_row = g->a.row }, .fn = choose(g) };
    if (!w.fn)
        return false;
#if defined __x86_64__
    w.j.ask = __builtin_cpu_is("intel");
#endif
    if (g->panels || g->m > 1 || g->a.dtype != WK_F32 || g->a.col != 1) {
        w.j.x_row = g->k / 32 * 32 + 48; /* rows should not meet in the same lines of a cache */
        if (!(w.j.x = fill(g, w.j.x_row)))
            return true;
    }
    int64_t row = g->k * (int64_t)wk_dtypes[g->b[0].dtype].size * (g->b[1].data ? 2 : 1);
    int64_t share = ((g->n + threads - 1) / threads + 15) / 16 * 16; /* whole groups of rows */
    int64_t grain = wk_min_i64(share, wk_max_i64(PIECE / row / WK_AT_ONCE, 1) * WK_AT_ONCE);
    wk_parallel(g->n, wk_max_i64(grain, 16), pieces, &w);
    return true;
}
