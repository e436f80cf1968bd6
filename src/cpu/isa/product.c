// SPDX-License-Identifier: MIT OR Apache-2.0
/* product.c - small dense products out of the nearest cache: the inner loop of attention.
 *
 * A tile of up to MR x NV vectors stays in registers while the depth goes by. */
#include "attention.h"

static inline __attribute__((always_inline)) void tile(int rows, int nv, const product *p)
{
    const float *a = p->a, *b = p->b;
    int64_t      row = p->row, step = p->step, ldb = p->ldb;
    vf           sum[MR][NV];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++)
            sum[i][v] = vset(0);
    if (p->keep)
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++)
                sum[i][v] = vload(p->c + i * p->ldc + v * VF) * p->keep[i];
    for (int64_t k = p->depth; k > 0; k--, a += step, b += ldb) {
        vf x[NV];
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++)
            x[v] = vload(b + v * VF);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            vf y = vset(a[i * row]);
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++)
                sum[i][v] = vfma(y, x[v], sum[i][v]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++)
            vstore(p->c + i * p->ldc + v * VF, sum[i][v]);
}

#define TILE(rows, nv)                                                                             \
    static void tile_##rows##_##nv(const product *p) { tile(rows, nv, p); }
#define TILES(nv) TILE(1, nv) TILE(2, nv) TILE(4, nv) TILE(6, nv)
TILES(1)
TILES(2)
#if defined __AVX512F__ || defined __aarch64__
TILES(4)
#else
#define tile_1_4 NULL
#define tile_2_4 NULL
#define tile_4_4 NULL
#define tile_6_4 NULL
#endif

static void (*const tiles[][3])(const product *) = {
    { tile_1_1, tile_1_2, tile_1_4 },
    { tile_2_1, tile_2_2, tile_2_4 },
    { tile_4_1, tile_4_2, tile_4_4 },
    { tile_6_1, tile_6_2, tile_6_4 },
};

static void strip(const product *p, int64_t rows, int64_t cols)
{
    product q = *p;
    for (int64_t left = cols / VF; left > 0;) {
        int width = NV == 4 && left >= 4 ? 2 : left >= 2 ? 1 : 0;
        tiles[rows / 2][width](&q);
        q.b += VF << width;
        q.c += VF << width;
        left -= 1 << width;
    }
}

void multiply(product p, int64_t rows, int64_t cols)
{
    for (int64_t n; rows > 0; rows -= n) {
        n = strip_of(rows);
        strip(&p, n, cols);
        p.a += n * p.row;
        p.c += n * p.ldc;
        p.keep += p.keep ? n : 0;
    }
}
