// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_tile.h - products of many rows with a part of two panels as bytes: see quants.h.
 *
 * For quant.c, and for instruction sets that differ from another one in their tiles alone. */
#ifndef WK_CPU_QUANT_TILE_H
#define WK_CPU_QUANT_TILE_H

#include "../quants.h"
#include "../simd.h"

INLINE vi broadcast(const uint32_t *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return viset(x);
}

INLINE vf broadcast_f32(const uint32_t *p)
{
    float x;
    memcpy(&x, p, sizeof x);
    return vset(x);
}

#if defined __AVX2__ && !defined __AVX512F__
enum { WIDTH = 1 }; /* vectors of a tile: as many as registers allow */
#else
enum { WIDTH = 2 };
#endif

/* VNNI in AVX2 meets AVX2's bytes: those that have a sign get VBIAS here. */
#if defined WK_VNNI_256
enum { SIGNED = true };
#else
enum { SIGNED = false };
#endif

INLINE void tile_part(int rows, bool wide, const wk_quant_tile *t, int at)
{
    const uint32_t *x = t->x;
    const char     *w = t->w + 4 * at;
    const float    *scale = t->scale + at, *offset = t->offset ? t->offset + at : NULL;
    vf              sum[WK_TILE][WIDTH];
    UNROLLED
    for (int i = 0; i < rows; i++) {
        UNROLLED
        for (int v = 0; v < WIDTH; v++)
            sum[i][v] = t->add ? vload(t->c + i * WK_SIDE + at + v * VF) : vset(0);
    }
    for (int64_t n = t->units; n > 0; n--) {
        const uint32_t *scale_x = x + WK_QUADS * rows, *extra = scale_x + rows;
        for (int part = 0; part < t->parts; part++, extra += rows, scale += 2 * WK_PANEL) {
            vi acc[WK_TILE][WIDTH];
            UNROLLED
            for (int i = 0; i < rows; i++) {
                UNROLLED
                for (int v = 0; v < WIDTH; v++)
                    acc[i][v] = offset ? viset(0) : broadcast(extra + i);
            }
            for (int half = t->parts; half <= 2; half++) {
                UNROLLED
                for (int q = 0; q < WK_QUADS / 2; q++, w += 2 * WK_QUAD_BYTES, x += rows) {
                    vi y[WIDTH];
                    UNROLLED
                    for (int v = 0; v < WIDTH; v++) {
                        y[v] = vload_words(w + v * VBYTES);
                        if (SIGNED && wide)
                            y[v] ^= viset((int32_t)0x80808080u);
                    }
                    UNROLLED
                    for (int i = 0; i < rows; i++) {
                        vi z = broadcast(x + i);
                        UNROLLED
                        for (int v = 0; v < WIDTH; v++)
                            acc[i][v] =
                                wide ? vdot_signed(acc[i][v], y[v], z) : vdot(acc[i][v], y[v], z);
                    }
                }
            }
            UNROLLED
            for (int i = 0; i < rows; i++) {
                vf z = broadcast_f32(scale_x + i);
                UNROLLED
                for (int v = 0; v < WIDTH; v++)
                    sum[i][v] = vfma(__builtin_convertvector(acc[i][v], vf),
                                     vload(scale + v * VF) * z, sum[i][v]);
            }
            if (!offset)
                continue;
            UNROLLED
            for (int i = 0; i < rows; i++) {
                vf z = broadcast_f32(extra + i);
                UNROLLED
                for (int v = 0; v < WIDTH; v++)
                    sum[i][v] = vfma(vload(offset + v * VF), z, sum[i][v]);
            }
            offset += 2 * WK_PANEL;
        }
        x = extra;
    }
    UNROLLED
    for (int i = 0; i < rows; i++) {
        UNROLLED
        for (int v = 0; v < WIDTH; v++)
            vstore(t->c + i * WK_SIDE + at + v * VF, sum[i][v]);
    }
}

INLINE void tile(int rows, bool wide, const wk_quant_tile *t)
{
    for (int at = 0; at < 2 * WK_PANEL; at += WIDTH * VF)
        tile_part(rows, wide, t, at);
}

#define TILES(wide)                                                                                \
    static void tile_4_##wide(const wk_quant_tile *t) { tile(4, wide, t); }                        \
    static void tile_6_##wide(const wk_quant_tile *t) { tile(6, wide, t); }

#endif
