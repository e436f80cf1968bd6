// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_i8mm.c - aarch64 with products of matrices of bytes (i8mm): a 2 x 8 by an 8 x 2 in
 * one instruction, twice what dotprod's does.
 *
 * Only tiles, for many rows of x, are made of it.  zip() puts the two quads that make 8 k
 * side by side, of x's rows and of outputs alike.  A vector of sums is a square: outputs
 * c, c + 1 of row i, then of row i + 1.  The integers are dotprod's, and what is made of
 * them in f32, in the same order, has the same bits.  All else is dotprod's. */
#include "../quants.h"
#include "arm.h"

#include <arm_neon.h>
#include <string.h>

enum {
    OUTPUTS = 2 * WK_PANEL, /* of a tile */
    AT_ONCE = 8,            /* of them, as many as registers allow: in pairs */
    SQUARES = AT_ONCE / 2,
    MOST = WK_TILE / 2 /* pairs of rows */
};

/* ---- Two quads side by side --------------------------------------------- */

INLINE void zip_outputs(uint32_t *p)
{
    uint32x4_t a[OUTPUTS / 4], b[OUTPUTS / 4];
    UNROLLED
    for (int i = 0; i < OUTPUTS / 4; i++)
        a[i] = vld1q_u32(p + 4 * i), b[i] = vld1q_u32(p + OUTPUTS + 4 * i);
    UNROLLED
    for (int i = 0; i < OUTPUTS / 4; i++) {
        vst1q_u32(p + 8 * i, vzip1q_u32(a[i], b[i]));
        vst1q_u32(p + 8 * i + 4, vzip2q_u32(a[i], b[i]));
    }
}

INLINE void zip_rows(uint32_t *p, int rows)
{
    uint32x2_t a[MOST], b[MOST];
    UNROLLED
    for (int i = 0; i < rows / 2; i++)
        a[i] = vld1_u32(p + 2 * i), b[i] = vld1_u32(p + rows + 2 * i);
    UNROLLED
    for (int i = 0; i < rows / 2; i++) {
        vst1_u32(p + 4 * i, vzip1_u32(a[i], b[i]));
        vst1_u32(p + 4 * i + 2, vzip2_u32(a[i], b[i]));
    }
}

INLINE void zip_quads(uint32_t *p, int64_t units, int64_t record, int rows)
{
    for (; units > 0; units--, p += record)
        for (int q = 0; q < WK_QUADS; q += 2)
            if (rows == OUTPUTS)
                zip_outputs(p + q * rows);
            else
                zip_rows(p + q * rows, rows);
}

static void zip(uint32_t *p, int64_t units, int64_t record, int rows)
{
    if (rows == OUTPUTS)
        zip_quads(p, units, record, OUTPUTS);
    else if (rows == 6)
        zip_quads(p, units, record, 6);
    else
        zip_quads(p, units, record, 4);
}

/* ---- Tiles -------------------------------------------------------------- */

/* p[0] p[0] p[1] p[1] */
INLINE int32x4_t of_rows(const uint32_t *p)
{
    uint32x2_t x = vld1_u32(p);
    return vreinterpretq_s32_u32(vcombine_u32(vdup_lane_u32(x, 0), vdup_lane_u32(x, 1)));
}

/* p[0] p[1] p[0] p[1] */
INLINE float32x4_t of_outputs(const float *p)
{
    float32x2_t x = vld1_f32(p);
    return vcombine_f32(x, x);
}

INLINE float32x4_t low(float32x4_t a, float32x4_t b)
{
    return vcombine_f32(vget_low_f32(a), vget_low_f32(b));
}

INLINE float32x4_t high(float32x4_t a, float32x4_t b)
{
    return vcombine_f32(vget_high_f32(a), vget_high_f32(b));
}

/* To and from squares, of 2 x 4 results. */
INLINE void load_sums(const float *c, float32x4_t sum[2], bool add)
{
    float32x4_t a = add ? vld1q_f32(c) : vdupq_n_f32(0);
    float32x4_t b = add ? vld1q_f32(c + WK_SIDE) : vdupq_n_f32(0);
    sum[0] = low(a, b), sum[1] = high(a, b);
}

INLINE void store_sums(float *c, const float32x4_t sum[2])
{
    vst1q_f32(c, low(sum[0], sum[1]));
    vst1q_f32(c + WK_SIDE, high(sum[0], sum[1]));
}

/* 16 k: two steps of 8. */
INLINE void multiply(int pairs, const uint32_t *x, const char *w, int32x4_t acc[MOST][SQUARES])
{
    UNROLLED
    for (int s = 0; s < 2; s++, x += 4 * pairs, w += 8 * OUTPUTS) {
        int8x16_t y[SQUARES];
        UNROLLED
        for (int c = 0; c < SQUARES; c++)
            y[c] = vld1q_s8((const int8_t *)w + 16 * c);
        UNROLLED
        for (int i = 0; i < pairs; i++) {
            int8x16_t z = vreinterpretq_s8_u32(vld1q_u32(x + 4 * i));
            UNROLLED
            for (int c = 0; c < SQUARES; c++)
                acc[i][c] = vmmlaq_s32(acc[i][c], z, y[c]);
        }
    }
}

/* As tile_part() of isa/quant_tile.h. */
INLINE void tile_part(int pairs, const wk_quant_tile *t, int at)
{
    const int       rows = 2 * pairs;
    const uint32_t *x = t->x;
    const char     *w = t->w + 8 * at;
    const float    *scale = t->scale + at, *offset = t->offset ? t->offset + at : NULL;
    float32x4_t     sum[MOST][SQUARES];
    UNROLLED
    for (int i = 0; i < pairs; i++) {
        UNROLLED
        for (int c = 0; c < SQUARES; c += 2)
            load_sums(t->c + 2 * i * WK_SIDE + at + 2 * c, &sum[i][c], t->add);
    }
    for (int64_t n = t->units; n > 0; n--) {
        const uint32_t *scale_x = x + WK_QUADS * rows, *extra = scale_x + rows;
        for (int part = 0; part < t->parts; part++, extra += rows, scale += OUTPUTS) {
            int32x4_t acc[MOST][SQUARES];
            UNROLLED
            for (int i = 0; i < pairs; i++) {
                UNROLLED
                for (int c = 0; c < SQUARES; c++)
                    acc[i][c] = offset ? vdupq_n_s32(0) : of_rows(extra + 2 * i);
            }
            for (int half = t->parts; half <= 2; half++, x += 4 * rows, w += 16 * OUTPUTS)
                multiply(pairs, x, w, acc);
            UNROLLED
            for (int i = 0; i < pairs; i++) {
                float32x4_t z = vreinterpretq_f32_s32(of_rows(scale_x + 2 * i));
                UNROLLED
                for (int c = 0; c < SQUARES; c++)
                    sum[i][c] = vfmaq_f32(sum[i][c], vcvtq_f32_s32(acc[i][c]),
                                          vmulq_f32(of_outputs(scale + 2 * c), z));
            }
            if (!offset)
                continue;
            UNROLLED
            for (int i = 0; i < pairs; i++) {
                float32x4_t z = vreinterpretq_f32_s32(of_rows(extra + 2 * i));
                UNROLLED
                for (int c = 0; c < SQUARES; c++)
                    sum[i][c] = vfmaq_f32(sum[i][c], of_outputs(offset + 2 * c), z);
            }
            offset += OUTPUTS;
        }
        x = extra;
    }
    UNROLLED
    for (int i = 0; i < pairs; i++) {
        UNROLLED
        for (int c = 0; c < SQUARES; c += 2)
            store_sums(t->c + 2 * i * WK_SIDE + at + 2 * c, &sum[i][c]);
    }
}

static void tile(const wk_quant_tile *t)
{
    for (int at = 0; at < OUTPUTS; at += AT_ONCE)
        t->rows > 4 ? tile_part(3, t, at) : tile_part(2, t, at);
}

/* ---- The instruction set ------------------------------------------------ */

static wk_quant_kernels kernels;

static void install(void)
{
    kernels = wk_cpu_quant_kernels_dotprod;
    kernels.tile = tile;
    kernels.zip = zip;
    wk_cpu_install_rows_base();
}

const wk_cpu_isa wk_cpu_i8mm = {
    .name = "i8mm",
    .level = WK_LEVEL_base,
    .kernels = wk_cpu_kernels_base,
    .install_rows = install,
    .f32 = &wk_cpu_engine_base,
    .gemm = wk_cpu_gemm_base,
    .quant = &kernels,
};
