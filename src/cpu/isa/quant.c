// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant.c - products with quantized weights in panels: see quants.h.
 *
 * With one row of x the numbers of a panel go from memory through registers into
 * products, once.  With more rows they are first made bytes, and the scales f32, in a
 * part of the first-level cache, from where tiles of up to 12 rows and 16 outputs take
 * them.  All that depends on the type is constant in the loops, or done once in 256 k. */
#include "../quants.h"
#include "../simd.h"
#include "isa.h"

#define INLINE static inline __attribute__((always_inline))
#if defined __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

enum { PARTS = WK_PANEL / VF }; /* vectors of the lanes of a panel */

#define EACH(h)                                                                                    \
    UNROLLED                                                                                       \
    for (int h = 0; h < PARTS; h++)

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

/* ---- x ------------------------------------------------------------------ */

/* To the nearest; a unit with a NaN or an infinity gets scale NaN and numbers 0. */
static float to_bytes(const float *x, int8_t byte[WK_UNIT], int32_t sum[2])
{
    vf most = vset(0), bad = vset(0), v[WK_UNIT / VF];
    UNROLLED
    for (int i = 0; i < WK_UNIT / VF; i++) {
        v[i] = vload(x + i * VF);
        most = vmax(most, vabs(v[i]));
        bad = vfma(v[i], vset(0), bad);
    }
    float largest = vlargest(most), scale = largest / 127 + vsum(bad);
    float inverse = largest >= 0x1p-120f && scale == scale ? 127 / largest : 0;
    vf    sums[2] = { vset(0), vset(0) };
    UNROLLED
    for (int i = 0; i < WK_UNIT / VF; i++) {
        vf r = inverse ? vround(v[i] * inverse) : vset(0);
        sums[i * VF / 16] += r;
        vnarrow_bytes(byte + i * VF, __builtin_convertvector(r, vi));
    }
    sum[0] = (int32_t)vsum(sums[0]), sum[1] = (int32_t)vsum(sums[1]);
    return scale;
}

static void quantize(const wk_quant_job *j, const float *row, int64_t units, uint32_t *x)
{
    int rows = j->rows, parts = j->bits->parts;
    for (; units > 0; units--, row += WK_UNIT, x += wk_quant_record(j) * rows) {
        uint32_t quads[WK_QUADS];
        int32_t  sum[2];
        float    scale = to_bytes(row, (int8_t *)quads, sum);
        for (int q = 0; q < WK_QUADS; q++)
            x[q * rows] = quads[q];
        memcpy(x + WK_QUADS * rows, &scale, 4);
        if (parts == 1)
            sum[0] += sum[1];
        for (int part = 0; part < parts; part++) {
            float   f = scale * (float)sum[part];
            int32_t start = -j->zero * sum[part];
            memcpy(x + (WK_QUADS + 1 + part) * rows, j->bits->least ? (void *)&f : &start, 4);
        }
    }
}

/* ---- Scales ------------------------------------------------------------- */

/* Group g of a block, lanes of part h. */
#define AT(p, g) ((p) + (g)*WK_PANEL + h * VF)
#define SCALES(name)                                                                               \
    static void name##_scales(const uint8_t *b, int64_t blocks, float *scale, float *offset)

INLINE vf half_of(const uint8_t *b, int i, int h)
{
    return vload_f16((const uint16_t *)(const void *)b + i * WK_PANEL + h * VF);
}

INLINE vf number(vu a) { return __builtin_convertvector((vi)a, vf); }

SCALES(half)
{
    (void)offset;
    for (; blocks > 0; blocks--, b += 2 * WK_PANEL, scale += WK_PANEL)
        EACH(h) vstore(AT(scale, 0), half_of(b, 0, h));
}

SCALES(half_least)
{
    for (; blocks > 0; blocks--, b += 4 * WK_PANEL, scale += WK_PANEL, offset += WK_PANEL)
        EACH(h)
        {
            vstore(AT(scale, 0), half_of(b, 0, h));
            vstore(AT(offset, 0), half_of(b, 1, h));
        }
}

/* Bytes: four times six bits of a scale, with two of the scale four groups on; four times
 * the same of minima; four times four bits of the scale and of the minimum four groups on. */
SCALES(k45)
{
    (void)blocks;
    const uint8_t *s = b + 4 * WK_PANEL;
    EACH(h)
    {
        vf d = half_of(b, 0, h), m = -half_of(b, 1, h);
        for (int g = 0; g < 4; g++) {
            vu x = vwiden_bytes(AT(s, g)), y = vwiden_bytes(AT(s, g + 4));
            vu z = vwiden_bytes(AT(s, g + 8));
            vstore(AT(scale, g), d * number(x & 63));
            vstore(AT(offset, g), m * number(y & 63));
            vstore(AT(scale, g + 4), d * number((z & 15) | (x >> 2 & 48)));
            vstore(AT(offset, g + 4), m * number(z >> 4 | (y >> 2 & 48)));
        }
    }
}

SCALES(k6)
{
    (void)blocks, (void)offset;
    EACH(h)
    {
        vf d = half_of(b, 0, h);
        for (int g = 0; g < 16; g++) {
            vi s = (vi)(vwiden_bytes(AT(b, g + 2)) << 24) >> 24;
            vstore(AT(scale, g), d * __builtin_convertvector(s, vf));
        }
    }
}

SCALES(k2)
{
    (void)blocks;
    EACH(h)
    {
        vf d = half_of(b, 0, h), m = -half_of(b, 1, h);
        for (int g = 0; g < 16; g++) {
            vu x = vwiden_bytes(AT(b, g + 4));
            vstore(AT(scale, g), d * number(x & 15));
            vstore(AT(offset, g), m * number(x >> 4));
        }
    }
}

SCALES(k3)
{
    (void)blocks, (void)offset;
    const uint8_t *s = b + 2 * WK_PANEL;
    EACH(h)
    {
        vf d = half_of(b, 0, h);
        for (int g = 0; g < 16; g++) {
            vu low = vwiden_bytes(AT(s, g % 8)) >> (g / 8 * 4) & 15;
            vu high = vwiden_bytes(AT(s, 8 + g % 4)) >> (g / 4 * 2) & 3;
            vstore(AT(scale, g), d * number((low | high << 4) - 32));
        }
    }
}

SCALES(iq4)
{
    (void)blocks, (void)offset;
    const uint8_t *s = b + 2 * WK_PANEL;
    EACH(h)
    {
        vf d = half_of(b, 0, h);
        for (int g = 0; g < 8; g++) {
            vu low = vwiden_bytes(AT(s, 2 + g / 2)) >> (g % 2 * 4) & 15;
            vu high = vwiden_bytes(AT(s, g / 4)) >> (g % 4 * 2) & 3;
            vstore(AT(scale, g), d * number((low | high << 4) - 32));
        }
    }
}

/* Half of 2^(u - 127), as wk_e8m0(); 2^-128 is no normal number. */
SCALES(e8m0)
{
    (void)offset;
    for (; blocks > 0; blocks--, b += WK_PANEL, scale += WK_PANEL)
        EACH(h)
        {
            vu u = vwiden_bytes(AT(b, 0));
            vf least = (vf)((u + 1) << 21);
            vstore(AT(scale, 0), vselect((vi)(u < 2), least, (vf)((u - 1) << 23)));
        }
}

/* Half of an unsigned f8_e4m3, whose NaN is 0: bits of an f16 with another bias. */
SCALES(ue4m3)
{
    (void)offset;
    for (; blocks > 0; blocks--, b += 4 * WK_PANEL, scale += 4 * WK_PANEL)
        EACH(h)
    for (int g = 0; g < 4; g++) {
        vu       u = vwiden_bytes(AT(b, g));
        uint16_t half[VF];
        u &= (vu)(u != 0x7F);
        vnarrow(half, (u & 0x7F) << 7);
        vstore(AT(scale, g), vload_f16(half) * 128.0f);
    }
}

/* ---- Numbers ------------------------------------------------------------ */

/* Quad q of a unit, lanes of part h: bytes that vdot() takes. */
INLINE vi quad(wk_quant_bits f, const char *p, int q, int h, vi table)
{
    int at = q * f.low, s = at % 8;
    vi  x = vload_words(p + at / 8 * WK_QUAD_BYTES + h * VBYTES);
    if (f.low < 8)
        x = (vi)((vu)x >> s) & viset(((1 << f.low) - 1) * 0x01010101);
    else if (!VBIAS)
        x ^= viset((int32_t)0x80808080u);
    if (f.high) {
        at = q * f.high, s = at % 8 - f.low;
        vu y = (vu)vload_words(p + (f.low + at / 8) * WK_QUAD_BYTES + h * VBYTES);
        y = s >= 0 ? y >> s : y << -s;
        x |= (vi)y & viset((((1 << f.high) - 1) << f.low) * 0x01010101);
    }
    return f.table ? vvalues(table, x) : x;
}

INLINE bool is_wide(wk_quant_bits f) { return f.low == 8 || f.table; }

INLINE vi table_of(const wk_quant_job *j, bool wanted)
{
    vi table = { 0 };
    for (int i = 0; wanted && i < VBYTES; i += 16)
        memcpy((char *)&table + i, j->values, 16);
    return table;
}

INLINE void unpack(wk_quant_bits f, const wk_quant_job *j, const char *p, int64_t units, char *to)
{
    vi table = table_of(j, f.table);
    for (; units > 0; units--, p += (f.low + f.high) * WK_QUAD_BYTES)
        UNROLLED
    for (int q = 0; q < WK_QUADS; q++, to += WK_QUAD_BYTES)
        EACH(h) vstore((float *)(void *)(to + h * VBYTES), (vf)quad(f, p, q, h, table));
}

/* ---- One row of x ------------------------------------------------------- */

INLINE void one(wk_quant_bits f, const wk_quant_job *j, const char *p, const uint32_t *x,
                float *sums)
{
    const int words = WK_QUADS + 1 + f.parts, quads = WK_QUADS / f.parts;
    const int bytes = (f.low + f.high) * WK_QUAD_BYTES;
    vi        table = table_of(j, f.table);
    vf        sum[PARTS];
    float     scale[WK_CHUNK_GROUPS * WK_PANEL], offset[WK_CHUNK_GROUPS * WK_PANEL];
    EACH(h) sum[h] = vset(0);
    for (int64_t k = j->k; k > 0; k -= WK_CHUNK) {
        int64_t n = wk_min_i64(k, WK_CHUNK), blocks = n / j->type->block;
        WK_ISA(quant_kernels).scales[j->layout->scales]((const uint8_t *)p, blocks, scale, offset);
        p += blocks * wk_quant_head(j->layout);
        const float *s = scale, *o = offset;
        for (n /= WK_UNIT; n > 0; n--, p += bytes, x += words) {
            if (j->ask)
                for (int i = 0; i < bytes; i += 64)
                    __builtin_prefetch(p + i + WK_DISTANCE, 0, 2);
            EACH(h)
            {
                vf t = vset(0);
                UNROLLED
                for (int part = 0; part < f.parts; part++) {
                    const uint32_t *extra = x + WK_QUADS + 1 + part;
                    vi              acc = f.least ? viset(0) : broadcast(extra);
                    UNROLLED
                    for (int q = part * quads; q < (part + 1) * quads; q++) {
                        vi w = quad(f, p, q, h, table);
                        acc = is_wide(f) ? vdot_signed(acc, w, broadcast(x + q))
                                         : vdot(acc, w, broadcast(x + q));
                    }
                    t = vfma(__builtin_convertvector(acc, vf), vload(AT(s, part)), t);
                    if (f.least)
                        sum[h] = vfma(vload(AT(o, part)), broadcast_f32(extra), sum[h]);
                }
                sum[h] = vfma(t, broadcast_f32(x + WK_QUADS), sum[h]);
            }
            s += f.parts * WK_PANEL, o += f.parts * WK_PANEL;
        }
    }
    EACH(h) vstore(sums + h * VF, sum[h]);
}

/* ---- Tiles -------------------------------------------------------------- */

INLINE void tile_part(int rows, bool wide, const wk_quant_tile *t, int h)
{
    const uint32_t *x = t->x;
    const char     *w = t->w + h * VBYTES;
    const float    *scale = t->scale + h * VF, *offset = t->offset ? t->offset + h * VF : NULL;
    vf              sum[WK_MOST_TILE];
    UNROLLED
    for (int i = 0; i < rows; i++)
        sum[i] = t->add ? vload(t->c + i * t->ldc + h * VF) : vset(0);
    for (int64_t n = t->units; n > 0; n--) {
        const uint32_t *scale_x = x + WK_QUADS * rows, *extra = scale_x + rows;
        for (int part = 0; part < t->parts; part++, extra += rows, scale += WK_PANEL) {
            vi acc[WK_MOST_TILE];
            UNROLLED
            for (int i = 0; i < rows; i++)
                acc[i] = offset ? viset(0) : broadcast(extra + i);
            for (int half = t->parts; half <= 2; half++) {
                UNROLLED
                for (int q = 0; q < WK_QUADS / 2; q++, w += WK_QUAD_BYTES, x += rows) {
                    vi y = vload_words(w);
                    UNROLLED
                    for (int i = 0; i < rows; i++)
                        acc[i] = wide ? vdot_signed(acc[i], y, broadcast(x + i))
                                      : vdot(acc[i], y, broadcast(x + i));
                }
            }
            vf s = vload(scale);
            UNROLLED
            for (int i = 0; i < rows; i++)
                sum[i] = vfma(__builtin_convertvector(acc[i], vf), s * broadcast_f32(scale_x + i),
                              sum[i]);
            if (offset) {
                vf o = vload(offset);
                UNROLLED
                for (int i = 0; i < rows; i++)
                    sum[i] = vfma(o, broadcast_f32(extra + i), sum[i]);
                offset += WK_PANEL;
            }
        }
        x = extra;
    }
    UNROLLED
    for (int i = 0; i < rows; i++)
        vstore(t->c + i * t->ldc + h * VF, sum[i]);
}

INLINE void tile(int rows, bool wide, const wk_quant_tile *t)
{
    for (int h = 0; h < PARTS; h++)
        tile_part(rows, wide, t, h);
}

/* ---- All of it ---------------------------------------------------------- */

#define KERNELS(name, ...)                                                                         \
    static void unpack_##name(const wk_quant_job *j, const char *p, int64_t units, char *quads)    \
    {                                                                                              \
        unpack((wk_quant_bits){ __VA_ARGS__ }, j, p, units, quads);                                \
    }                                                                                              \
    static void one_##name(const wk_quant_job *j, const char *p, const uint32_t *x, float *sums)   \
    {                                                                                              \
        one((wk_quant_bits){ __VA_ARGS__ }, j, p, x, sums);                                        \
    }
WK_NUMBERS(KERNELS)

#define TILE(rows, wide)                                                                           \
    static void tile_##rows##_##wide(const wk_quant_tile *t) { tile(rows, wide, t); }
#if defined __AVX2__ && !defined __AVX512F__
#define ROWS                                                                                       \
    {                                                                                              \
        1, 2, 4, 6                                                                                 \
    }
#define TILES(wide) TILE(1, wide) TILE(2, wide) TILE(4, wide) TILE(6, wide)
#define TABLE(wide)                                                                                \
    {                                                                                              \
        tile_1_##wide, tile_2_##wide, tile_4_##wide, tile_6_##wide                                 \
    }
#else
#define ROWS                                                                                       \
    {                                                                                              \
        1, 2, 4, 8, 12                                                                             \
    }
#define TILES(wide) TILE(1, wide) TILE(2, wide) TILE(4, wide) TILE(8, wide) TILE(12, wide)
#define TABLE(wide)                                                                                \
    {                                                                                              \
        tile_1_##wide, tile_2_##wide, tile_4_##wide, tile_8_##wide, tile_12_##wide                 \
    }
#endif
TILES(0)

#if defined __AVX512VNNI__ || !defined __AVX2__
#define TABLES                                                                                     \
    {                                                                                              \
        TABLE(0), TABLE(0)                                                                         \
    }
#else
TILES(1)
#define TABLES                                                                                     \
    {                                                                                              \
        TABLE(0), TABLE(1)                                                                         \
    }
#endif

#define UNPACK(name, ...) [WK_NUMBERS_##name] = unpack_##name,
#define ONE(name, ...)    [WK_NUMBERS_##name] = one_##name,
#define SCALE(name)       [WK_SCALES_##name] = name##_scales,
const wk_quant_kernels WK_ISA(quant_kernels) = {
    .bias = VBIAS,
    .rows = ROWS,
    .quantize = quantize,
    .scales = { WK_SCALES(SCALE) },
    .unpack = { WK_NUMBERS(UNPACK) },
    .one = { WK_NUMBERS(ONE) },
    .tile = TABLES,
};
