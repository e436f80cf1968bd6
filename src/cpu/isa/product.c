// SPDX-License-Identifier: MIT OR Apache-2.0
/* product.c - small dense products out of the nearest cache: the inner loop of attention.
 *
 * A tile of up to MR x NV vectors stays in registers while the depth goes by. */
#include "attention.h"

static inline __attribute__((always_inline)) void tile(int rows, int nv, bool pairs,
                                                       const product *p)
{
    const float *a = p->a, *b = p->b;
    uintptr_t    ahead = p->pace ? p->ahead : (uintptr_t)a;
    int64_t      row = p->row, step = p->step, ldb = p->ldb, pace = p->pace;
    vf           sum[MR][NV];
    UNROLLED
    for (int i = 0; i < rows; i++) {
        UNROLLED
        for (int v = 0; v < nv; v++)
            sum[i][v] = vset(0);
    }
    if (p->keep) {
        UNROLLED
        for (int i = 0; i < rows; i++) {
            UNROLLED
            for (int v = 0; v < nv; v++)
                sum[i][v] = vload(p->c + i * p->ldc + v * VF) * p->keep[i];
        }
    }
    for (int64_t k = p->depth; k > 0; k--, a += step, b += ldb, ahead += (uintptr_t)pace) {
        __builtin_prefetch((const void *)ahead, 0, 2);
        vf x[NV];
        UNROLLED
        for (int v = 0; v < nv; v++)
            x[v] = vload(b + v * VF);
        UNROLLED
        for (int i = 0; i < rows; i++) {
            vf y = vset(a[i * row]);
            UNROLLED
            for (int v = 0; v < nv; v++)
                sum[i][v] =
                    pairs ? vdot_pairs((vi)y, (vi)x[v], sum[i][v]) : vfma(y, x[v], sum[i][v]);
        }
    }
    UNROLLED
    for (int i = 0; i < rows; i++) {
        UNROLLED
        for (int v = 0; v < nv; v++)
            vstore(p->c + i * p->ldc + v * VF, sum[i][v]);
    }
}

#define TILE(rows, nv, pairs)                                                                      \
    static void tile_##rows##_##nv##_##pairs(const product *p) { tile(rows, nv, pairs, p); }
#define TILES(nv, pairs) TILE(1, nv, pairs) TILE(2, nv, pairs) TILE(4, nv, pairs) TILE(6, nv, pairs)
TILES(1, 0)
TILES(2, 0)
#if defined __AVX512F__ || defined __aarch64__
TILES(4, 0)
#define TILE_ROW(rows, pairs)                                                                      \
    {                                                                                              \
        tile_##rows##_1_##pairs, tile_##rows##_2_##pairs, tile_##rows##_4_##pairs                  \
    }
#else
#define TILE_ROW(rows, pairs)                                                                      \
    {                                                                                              \
        tile_##rows##_1_##pairs, tile_##rows##_2_##pairs                                           \
    }
#endif
#define TILE_TABLE(pairs)                                                                          \
    {                                                                                              \
        TILE_ROW(1, pairs), TILE_ROW(2, pairs), TILE_ROW(4, pairs), TILE_ROW(6, pairs)             \
    }

typedef void (*tile_fn)(const product *p);
static const tile_fn tiles[4][3] = TILE_TABLE(0);

static void strips(const tile_fn table[4][3], product p, int64_t rows, int64_t cols)
{
    for (int64_t n; rows > 0; rows -= n) {
        n = strip_of(rows);
        product q = p;
        for (int64_t left = cols / VF; left > 0;) {
            int width = NV == 4 && left >= 4 ? 2 : left >= 2 ? 1 : 0;
            table[n / 2][width](&q);
            q.ahead += (uintptr_t)(q.pace * q.depth);
            q.b += VF << width;
            q.c += VF << width;
            left -= 1 << width;
        }
        p.a += n * p.row;
        p.c += n * p.ldc;
        p.ahead = q.ahead;
        if (p.keep)
            p.keep += n;
    }
}

void multiply(product p, int64_t rows, int64_t cols) { strips(tiles, p, rows, cols); }

#if defined __AVX512F__
TILES(1, 1)
TILES(2, 1)
TILES(4, 1)
static const tile_fn tiles_of_pairs[4][3] = TILE_TABLE(1);

void multiply_pairs(product p, int64_t rows, int64_t cols)
{
    strips(tiles_of_pairs, p, rows, cols);
}
#else
void multiply_pairs(product p, int64_t rows, int64_t cols) { (void)p, (void)rows, (void)cols; }
#endif
