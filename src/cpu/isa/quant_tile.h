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

/* start + the products of n quads of w with those of x.  fit: see wk_quant_fit(). */
INLINE vi dots(int fit, int n, vi start, const vi *w, const uint32_t *x)
{
#if defined __AVX2__ && !defined __AVX512F__ && !defined WK_VNNI_256
    const int step = fit == 0 ? 1 : fit < n ? fit : n;
    UNROLLED
    for (int q = 0; q < n; q += step) {
        __m256i pairs = _mm256_setzero_si256();
        UNROLLED
        for (int i = q; i < q + step; i++) {
            __m256i y = (__m256i)w[i], z = (__m256i)broadcast(x + i);
            if (fit == 0)
                z = _mm256_sign_epi8(z, y), y = _mm256_abs_epi8(y);
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(y, z));
        }
        start += (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
#else
    UNROLLED
    for (int q = 0; q < n; q++)
        start =
            fit ? vdot(start, w[q], broadcast(x + q)) : vdot_signed(start, w[q], broadcast(x + q));
#endif
    return start;
}

#if defined __AVX2__ && !defined __AVX512F__

/* Quads of 8 outputs stay in registers while rows of x, which are records, pass by; sums are
 * in the nearest cache.  n: quads that meet a row together, all or one half; are the halves
 * one group? */
INLINE void tile_part(int n, int fit, bool joined, const wk_quant_tile *t, int at)
{
    vi              first[WK_TILE_RECORDS];
    const int       rows = t->rows, words = WK_QUADS + 1 + t->parts;
    const uint32_t *x = t->x;
    const char     *w = t->w + 4 * at;
    const float    *scale = t->scale + at, *offset = t->offset ? t->offset + at : NULL;
    for (int64_t u = 0; u < t->units; u++, x += words * rows)
        for (int half = 0; half < WK_QUADS / n; half++) {
            int             part = joined ? 0 : half;
            const uint32_t *r = x, *extra = x + WK_QUADS + 1 + part;
            float          *c = t->c + at;
            vf              s = vload(scale), o = offset ? vload(offset) : vset(0);
            vi              y[WK_QUADS];
            UNROLLED
            for (int q = 0; q < n; q++, w += 2 * WK_QUAD_BYTES) {
                y[q] = vload_words(w);
                if (fit == 0 && VBIAS > 0) /* instructions of VNNI meet AVX2's signed bytes */
                    y[q] ^= viset((int32_t)0x80808080u);
            }
            if (joined && half == 0) {
                for (int i = 0; i < rows; i++, r += words)
                    first[i] = dots(fit, n, viset(0), y, r);
                continue;
            }
            for (int i = 0; i < rows; i++, r += words, extra += words, c += WK_SIDE) {
                vi start = joined ? first[i] : offset ? viset(0) : broadcast(extra);
                vi acc = dots(fit, n, start, y, r + half * n);
                vf sum = vfma(__builtin_convertvector(acc, vf), s * broadcast_f32(r + WK_QUADS),
                              vload(c));
                vstore(c, offset ? vfma(o, broadcast_f32(extra), sum) : sum);
            }
            scale += 2 * WK_PANEL, offset += offset ? 2 * WK_PANEL : 0;
        }
}

/* Signed bytes come by halves without VNNI, as their absolute values stay in registers, too;
 * they have nothing in extra. */
static void tile(const wk_quant_tile *t)
{
    const bool halves = t->parts > 1;
    for (int i = 0; i < t->rows && !t->add; i++)
        memset(t->c + i * WK_SIDE, 0, 2 * WK_PANEL * sizeof *t->c);
    for (int at = 0; at < 2 * WK_PANEL; at += VF)
        switch (t->fit) {
#define CASE(fit, n)                                                                               \
    case fit:                                                                                      \
        if (halves)                                                                                \
            tile_part(WK_QUADS / 2, fit, false, t, at);                                            \
        else                                                                                       \
            tile_part(n, fit, (n) < WK_QUADS, t, at);                                              \
        break
            CASE(0, VBIAS > 0 ? WK_QUADS : WK_QUADS / 2);
            CASE(1, WK_QUADS);
            CASE(2, WK_QUADS);
            CASE(8, WK_QUADS);
#undef CASE
        }
}

#else

enum { WIDTH = 2 }; /* vectors */

/* Do products of signed bytes differ from others? */
#if defined __AVX512F__ && !defined __AVX512VNNI__
enum { SIGNS = true };
#else
enum { SIGNS = false };
#endif

INLINE void tile_part(int rows, bool wide, const wk_quant_tile *t, int at)
{
    const uint32_t *x = t->x;
    const char *w = t->w + 4 * at;
    const float *scale = t->scale + at, *offset = t->offset ? t->offset + at : NULL;
    vf sum[WK_TILE][WIDTH];
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
                    for (int v = 0; v < WIDTH; v++)
                        y[v] = vload_words(w + v * VBYTES);
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

static void tile(const wk_quant_tile *t)
{
    const bool apart = SIGNS && !t->fit;
    for (int at = 0; at < 2 * WK_PANEL; at += WIDTH * VF)
        if (t->rows > 4)
            apart ? tile_part(6, true, t, at) : tile_part(6, false, t, at);
        else
            apart ? tile_part(4, true, t, at) : tile_part(4, false, t, at);
}

#endif
#endif
