// SPDX-License-Identifier: MIT OR Apache-2.0
/* few_rows.c - products with few rows of A, as when a model decodes: what counts is how
 * fast the weight is read.
 *
 * Each thread reads rows of the weight one after another as a single stream, which is what
 * memory likes best, asks early for what lies DISTANCE ahead, and meets each element with
 * all rows of A.  Sums across lanes wait until there are as many rows as lanes. */
#include "matrix.h"

#include "../simd.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    MOST_ROWS = WK_FEW_ROWS, /* of A */
    AT_ONCE = 64,            /* results that are finished together */
    DISTANCE = 4096,         /* bytes */
    PIECE = 128 << 10        /* bytes of weight in a piece of work */
};

typedef struct {
    const wk_gemm *g;
    const float   *x; /* [m, k] */
    int64_t        x_row;
} job;

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
#define UNROLL(m) (SUMS / (m) >= 4 ? 4 : SUMS / (m) >= 2 ? 2 : 1)

/* parts[i * VF]: the products of a row of the weight with row i of x, one sum in each lane. */
INLINE void dot(int m, wk_dtype dtype, const char *w, const float *x, int64_t x_row, int64_t k,
                vf *parts)
{
    const int     unroll = UNROLL(m), size = dtype == WK_F32 ? 4 : 2, step = unroll * VF;
    vf            sum[MOST_ROWS][4];
    const int64_t whole = k / step * step;
    int64_t       p = 0;
#pragma GCC unroll 8
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int u = 0; u < unroll; u++)
            sum[i][u] = vset(0);
    for (; p < whole; p += step) {
        vf y[4];
#pragma GCC unroll 4
        for (int at = 0; at < step * size; at += 64)
            __builtin_prefetch(w + p * size + at + DISTANCE, 0, 2);
#pragma GCC unroll 4
        for (int u = 0; u < unroll; u++)
            y[u] = load(w + (p + u * VF) * size, dtype);
#pragma GCC unroll 8
        for (int i = 0; i < m; i++)
#pragma GCC unroll 4
            for (int u = 0; u < unroll; u++)
                sum[i][u] = vfma(vload(x + i * x_row + p + u * VF), y[u], sum[i][u]);
    }
    for (; p < k; p += VF) {
        int64_t n = wk_min_i64(VF, k - p);
        vf      y = n == VF ? load(w + p * size, dtype) : load_rest(w + p * size, dtype, n);
#pragma GCC unroll 8
        for (int i = 0; i < m; i++) {
            const float *from = x + i * x_row + p;
            sum[i][0] = vfma(n == VF ? vload(from) : vload_part(from, n), y, sum[i][0]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < m; i++) {
        if (unroll == 4)
            sum[i][0] += sum[i][2], sum[i][1] += sum[i][3];
        parts[i * VF] = unroll > 1 ? sum[i][0] + sum[i][1] : sum[i][0];
    }
}

/* The sums of count rows of the weight with m rows of x, at [i * AT_ONCE + r]. */
INLINE void block(int m, wk_dtype dtype, const char *w, int64_t w_row, int64_t count,
                  const float *x, int64_t x_row, int64_t k, float *sums)
{
    vf parts[MOST_ROWS * VF];
    for (int64_t r = 0; r < count; r += VF) {
        for (int64_t i = 0; i < VF; i++)
            if (r + i < count)
                dot(m, dtype, w + (r + i) * w_row, x, x_row, k, parts + i);
        for (int i = 0; i < m; i++) {
            vf *v = parts + i * VF;
            vtranspose(v);
            for (int n = VF / 2; n; n /= 2)
                for (int l = 0; l < n; l++)
                    v[l] += v[l + n];
            vstore(sums + i * AT_ONCE + r, v[0]);
        }
    }
}

typedef void (*block_fn)(const char *w, int64_t w_row, int64_t count, const float *x,
                         int64_t x_row, int64_t k, float *sums);

#define BLOCK(m, name, dtype)                                                                      \
    static void block_##m##_##name(const char *w, int64_t w_row, int64_t count, const float *x,    \
                                   int64_t x_row, int64_t k, float *sums)                          \
    {                                                                                              \
        block(m, dtype, w, w_row, count, x, x_row, k, sums);                                       \
    }
#define BLOCKS(m) BLOCK(m, f32, WK_F32) BLOCK(m, bf16, WK_BF16) BLOCK(m, f16, WK_F16)
#define NAMES(m)  { block_##m##_f32, block_##m##_bf16, block_##m##_f16 }
BLOCKS(1)
BLOCKS(2)
BLOCKS(3)
BLOCKS(4)
BLOCKS(5)
BLOCKS(6)
BLOCKS(7)
BLOCKS(8)

static const block_fn blocks[MOST_ROWS][3] = { NAMES(1), NAMES(2), NAMES(3), NAMES(4),
                                               NAMES(5), NAMES(6), NAMES(7), NAMES(8) };

/* ---- Pieces ------------------------------------------------------------- */

static void pieces(void *ctx, int64_t begin, int64_t end)
{
    const job     *j = ctx;
    const wk_gemm *g = j->g;
    wk_dtype       dtype = g->b[0].dtype;
    int64_t        size = (int64_t)wk_dtypes[dtype].size, w_row = g->b[0].row * size;
    block_fn       fn = blocks[g->m - 1][dtype == WK_F32 ? 0 : dtype == WK_BF16 ? 1 : 2];
    float          sums[2][MOST_ROWS * AT_ONCE + VF];
    for (int64_t at = begin; at < end; at += AT_ONCE) {
        int64_t n = wk_min_i64(AT_ONCE, end - at);
        int     sides = g->b[1].data ? 2 : 1;
        for (int s = 0; s < sides; s++)
            fn((const char *)g->b[s].data + at * w_row, w_row, n, j->x, j->x_row, g->k, sums[s]);
        WK_ISA(gemm_finish)(g, 0, at, (int)g->m, (int)n, sums[0], sides > 1 ? sums[1] : NULL,
                            AT_ONCE);
    }
}

static bool suits(const wk_gemm *g)
{
    const wk_mat *w = &g->b[0];
    bool          known = w->dtype == WK_F32 || w->dtype == WK_BF16 || w->dtype == WK_F16;
    return g->m <= MOST_ROWS && known && !g->panels && w->col == 1 && w->row >= g->k;
}

bool WK_ISA(gemm_few_rows)(const wk_gemm *g, int threads)
{
    if (!suits(g))
        return false;
    job j = { .g = g, .x = g->a.data, .x_row = g->a.row };
    if (g->a.dtype != WK_F32 || g->a.col != 1) {
        float *x = wk_scratch((size_t)(g->m * g->k) * sizeof *x);
        if (!x)
            return true;
        for (int64_t i = 0; i < g->m; i++)
            wk_dtypes[g->a.dtype].load[WK_AS_F32](x + i * g->k, wk_mat_at(g->a, i, 0).data, g->k,
                                                  g->a.col);
        j.x = x;
        j.x_row = g->k;
    }
    int64_t row = g->k * (int64_t)wk_dtypes[g->b[0].dtype].size * (g->b[1].data ? 2 : 1);
    int64_t grain = threads == 1 ? g->n : PIECE / row / AT_ONCE * AT_ONCE;
    wk_parallel(g->n, wk_max_i64(grain, 16), pieces, &j);
    return true;
}
