// SPDX-License-Identifier: MIT OR Apache-2.0
/* amx_gemm.c - engines for products of matrices on tiles.
 *
 * 32 x 32 sums stay in four tiles.  A step is 32 of k: two tiles of A, [16 rows][32 k],
 * meet two of B, [16 pairs of k][16 columns][2].  A is loaded past the first-level cache,
 * where B's panel stays.
 *
 * f32 through bf16: a number of f32 is the sum of three of bf16, a1 + a2 + a3, each 256
 * times smaller than the one before, exactly.  Of the nine products of parts six count;
 * the other three are below f32's own rounding.  With B in bf16 there are three, and all
 * count.  Tiles know neither subnormal numbers nor that inf - inf must not arise on the
 * way, so each row of A and column of B is scaled by a power of two of its own, and a
 * panel with numbers that are not finite, or too far apart for that, is kept as it is
 * and multiplied without tiles. */
#include "amx.h"

#include "tile.h"

#include <immintrin.h>

enum { SIDE = WK_TILE_SIDE, STEP = WK_TILE_STEP, TILE = WK_TILE_BYTES };

/* ---- The micro-kernel --------------------------------------------------- */

INLINE void load_a(const char *a, bool two)
{
    TILE_LOAD_ONCE(4, a, 64);
    if (two)
        TILE_LOAD_ONCE(5, a + TILE, 64);
}

INLINE void load_b(const char *b, int64_t group, bool two)
{
    TILE_LOAD(6, b, 64);
    if (two)
        TILE_LOAD(7, b + group, 64);
}

INLINE void dots(bool two_rows, bool two_cols)
{
    TILE_DOT_BF16(0, 4, 6);
    if (two_cols)
        TILE_DOT_BF16(1, 4, 7);
    if (two_rows)
        TILE_DOT_BF16(2, 5, 6);
    if (two_rows && two_cols)
        TILE_DOT_BF16(3, 5, 7);
}

/* One step.  Parts come small ones first, in an order in which one side can stay. */
INLINE void step(const char *a, const char *b, int64_t group, int a_parts, int b_parts, bool rows,
                 bool cols)
{
    enum { PART = 2 * TILE };
    if (a_parts == 3) {
        load_a(a + 2 * PART, rows), load_b(b, group, cols), dots(rows, cols); /* a3 b1 */
        load_a(a + PART, rows), dots(rows, cols);                             /* a2 b1 */
        if (b_parts == 3)
            load_b(b + PART, group, cols), dots(rows, cols); /* a2 b2 */
    }
    load_a(a, rows);
    if (b_parts == 3) {
        dots(rows, cols);                                    /* a1 b2 */
        load_b(b + 2 * PART, group, cols), dots(rows, cols); /* a1 b3 */
    }
    if (b_parts == 3 || a_parts == 1)
        load_b(b, group, cols);
    dots(rows, cols); /* a1 b1 */
}

/* c = or += a x b; rows and cols say whether there are more than 16.  ld is in bytes. */
INLINE void multiply_some(const wk_gemm_tile *t, int a_parts, int b_parts, float *c, int64_t ld,
                          bool add, bool rows, bool cols)
{
    const char *a = t->a, *b = t->b;
    char       *top = (char *)c, *low = top + 16 * ld;
    int64_t     group = b_parts == 3 ? TILE : t->group;
    if (add) {
        TILE_LOAD(0, top, ld);
        if (cols)
            TILE_LOAD(1, top + 64, ld);
        if (rows)
            TILE_LOAD(2, low, ld);
        if (rows && cols)
            TILE_LOAD(3, low + 64, ld);
    } else {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
    }
    for (int64_t k = 0; k < t->k; k += STEP) {
        step(a, b, group, a_parts, b_parts, rows, cols);
        a += a_parts * 2 * TILE;
        b += b_parts == 3 ? 6 * TILE : TILE;
    }
    TILE_STORE(0, top, ld);
    if (cols)
        TILE_STORE(1, top + 64, ld);
    if (rows)
        TILE_STORE(2, low, ld);
    if (rows && cols)
        TILE_STORE(3, low + 64, ld);
}

INLINE void multiply(const wk_gemm_tile *t, int a_parts, int b_parts, float *c, int64_t ld,
                     bool add)
{
    bool rows = t->rows > 16, cols = t->cols > 16;
    if (rows && cols)
        multiply_some(t, a_parts, b_parts, c, ld, add, true, true);
    else if (cols)
        multiply_some(t, a_parts, b_parts, c, ld, add, false, true);
    else if (rows)
        multiply_some(t, a_parts, b_parts, c, ld, add, true, false);
    else
        multiply_some(t, a_parts, b_parts, c, ld, add, false, false);
}

static void bf16_kernel(const wk_gemm_tile *t) { multiply(t, 1, 1, t->c, t->ldc * 4, t->add); }

/* ---- Splits ------------------------------------------------------------- */

static float widen(uint16_t half)
{
    uint32_t u = (uint32_t)half << 16;
    float    x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* One step of a panel as floats again, [32 k][32 rows]. */
static void open_split(float to[STEP][SIDE], const void *panel, int64_t k, int64_t at, bool as_b)
{
    const wk_amx_end *end = wk_amx_end_of(panel, k);
    const uint16_t   *from = (const uint16_t *)panel + at * SIDE * 3;
    if (end->whole) {
        memcpy(to, (const float *)panel + at * SIDE, STEP * SIDE * sizeof(float));
        return;
    }
    for (int p = 0; p < STEP; p++)
        for (int i = 0; i < SIDE; i++) {
            const uint16_t *part = from + i / 16 * (TILE / 2) +
                                   (as_b ? p / 2 * 32 + i % 16 * 2 + p % 2 : i % 16 * 32 + p);
            float x = widen(part[0]) + (widen(part[TILE]) + widen(part[2 * TILE]));
            to[p][i] = ldexpf(x, -(int)end->scale[i]);
        }
}

/* The same of B in pairs; of columns beyond the last nothing may be read. */
static void open_pairs(float to[STEP][SIDE], const wk_gemm_tile *t, int64_t at)
{
    memset(to, 0, STEP * SIDE * sizeof(float));
    for (int p = 0; p < STEP; p++)
        for (int i = 0; i < t->cols; i++) {
            const char *group = (const char *)t->b + i / 16 * t->group + at * 32;
            to[p][i] = widen(((const uint16_t *)group)[p / 2 * 32 + i % 16 * 2 + p % 2]);
        }
}

/* Sums without tiles. */
static void multiply_whole(const wk_gemm_tile *t, int b_parts, float sum[SIDE][SIDE])
{
    float a[STEP][SIDE], b[STEP][SIDE];
    memset(sum, 0, SIDE * SIDE * sizeof(float));
    for (int64_t at = 0; at < t->k; at += STEP) {
        open_split(a, t->a, t->k, at, false);
        if (b_parts == 3)
            open_split(b, t->b, t->k, at, true);
        else
            open_pairs(b, t, at);
        for (int p = 0; p < STEP; p++)
            for (int i = 0; i < SIDE; i++)
                for (int j = 0; j < SIDE; j++)
                    sum[i][j] += a[p][i] * b[p][j];
    }
}

/* c = or += 2^-(a's scale + b's scale) sum.  False, and nothing done, if a sum is not
 * finite: it may have become that on the way. */
static bool finish(const wk_gemm_tile *t, float sum[SIDE][SIDE], const float *a, const float *b)
{
    const __m512 infinity = _mm512_set1_ps(INFINITY);
    __mmask16    finite = 0xFFFF;
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j += 16)
            finite &=
                _mm512_cmp_ps_mask(_mm512_abs_ps(_mm512_load_ps(sum[i] + j)), infinity, _CMP_LT_OQ);
    if (finite != 0xFFFF)
        return false;
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j += 16) {
            __m512 s = _mm512_set1_ps(-a[i]), x = _mm512_load_ps(sum[i] + j);
            float *to = t->c + i * t->ldc + j;
            x = _mm512_scalef_ps(x, b ? _mm512_sub_ps(s, _mm512_loadu_ps(b + j)) : s);
            _mm512_storeu_ps(to, t->add ? _mm512_add_ps(_mm512_loadu_ps(to), x) : x);
        }
    return true;
}

INLINE void split_kernel(const wk_gemm_tile *t, int b_parts)
{
    _Alignas(64) float sum[SIDE][SIDE];
    const wk_amx_end  *a = wk_amx_end_of(t->a, t->k),
                     *b = b_parts == 3 ? wk_amx_end_of(t->b, t->k) : NULL;
    if (!a->whole && !(b && b->whole)) {
        multiply(t, 3, b_parts, sum[0], sizeof sum[0], false);
        if (finish(t, sum, a->scale, b ? b->scale : NULL))
            return;
    }
    multiply_whole(t, b_parts, sum);
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j++) {
            float *to = t->c + i * t->ldc + j;
            *to = t->add ? *to + sum[i][j] : sum[i][j];
        }
}

static void x3_kernel(const wk_gemm_tile *t) { split_kernel(t, 1); }
static void x6_kernel(const wk_gemm_tile *t) { split_kernel(t, 3); }

/* ---- Engines ------------------------------------------------------------ */

#define ON_TILES .mr = SIDE, .nr = SIDE, .kr = STEP, .nc = 256, .begin = tile_begin, .end = tile_end

const wk_engine wk_amx_bf16 = {
    .name = "amx bf16",
    ON_TILES,
    .a_size = 2,
    .b_size = 2,
    .kc = 512,
    .mc = 256,
    .least = 12,
    .pairs = true,
    .pack_a = wk_amx_pack_a_bf16,
    .pack_b = wk_amx_pack_b_bf16,
    .kernel = bf16_kernel,
};

/* More rows, as each piece unpacks its columns anew. */
const wk_engine wk_amx_blocks = {
    .name = "amx blocks",
    ON_TILES,
    .a_size = 2,
    .b_size = 2,
    .kc = 512,
    .mc = 512,
    .least = 16,
    .pairs = true,
    .pack_a = wk_amx_pack_a_bf16,
    .kernel = bf16_kernel,
    .unpack = wk_amx_unpack,
};

const wk_engine wk_amx_x3 = {
    .name = "amx x3",
    ON_TILES,
    .a_size = 7,
    .b_size = 2,
    .kc = 512,
    .mc = 128,
    .least = 16,
    .pairs = true,
    .pack_a = wk_amx_pack_a_x3,
    .pack_b = wk_amx_pack_b_bf16,
    .kernel = x3_kernel,
};

const wk_engine wk_amx_x6 = {
    .name = "amx x6",
    ON_TILES,
    .a_size = 7,
    .b_size = 7,
    .kc = 256,
    .mc = 128,
    .least = 64,
    .pack_a = wk_amx_pack_a_x6,
    .pack_b = wk_amx_pack_b_x6,
    .kernel = x6_kernel,
};
