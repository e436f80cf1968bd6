// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant.c - products with quantized weights in panels: see quants.h.
 *
 * With one row of x the numbers of a panel go from memory through registers into
 * products, once.  With more rows they are first made bytes, and the scales f32, in a
 * part of the first-level cache, from where tiles take them (quant_tile.h).  All that
 * depends on the type is constant in the loops, or done once in 256 k. */
#include "isa.h"
#include "quant_tile.h"

enum { PARTS = WK_PANEL / VF }; /* vectors of the lanes of a panel */

#define EACH(h)                                                                                    \
    UNROLLED                                                                                       \
    for (int h = 0; h < PARTS; h++)

/* ---- x ------------------------------------------------------------------ */

/* To the nearest; the scale of a unit with a NaN or an infinity is NaN.  sum: of each half,
 * or only of both at [0]. */
INLINE float to_bytes(const float *x, int8_t byte[WK_UNIT], bool halves, int32_t sum[2])
{
    vf most = vset(0), v[WK_UNIT / VF], sums[2] = { vset(0), vset(0) };
    UNROLLED
    for (int i = 0; i < WK_UNIT / VF; i++) {
        v[i] = vload(x + i * VF);
        most = vmax(most, vabs(v[i]));
    }
    float largest = vlargest(most), inverse = largest >= 0x1p-120f ? 127 / largest : 0;
    UNROLLED
    for (int i = 0; i < WK_UNIT / VF; i++) {
        vf r = vround(v[i] * inverse);
        sums[halves ? i * VF / 16 : 0] += r;
        vnarrow_bytes(byte + i * VF, __builtin_convertvector(r, vi));
    }
    float low = vsum(sums[0]), high = halves ? vsum(sums[1]) : 0;
    bool  good = low + high == low + high;
    sum[0] = good ? (int32_t)low : 0, sum[1] = good ? (int32_t)high : 0;
    return good ? largest / 127 : NAN;
}

static void quantize(const wk_quant_job *j, const float *row, int64_t units, uint32_t *x)
{
    int rows = j->records ? 1 : j->rows, parts = j->bits->parts;
    for (; units > 0; units--, row += WK_UNIT, x += wk_quant_record(j) * j->rows) {
        uint32_t quads[WK_QUADS];
        int32_t  sum[2];
        float    scale = to_bytes(row, (int8_t *)quads, parts > 1, sum);
        for (int q = 0; q < WK_QUADS; q++)
            x[q * rows] = quads[q];
        memcpy(x + WK_QUADS * rows, &scale, 4);
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

/* One for several units of 32 numbers. */
#define REPEATED(name, units)                                                                      \
    SCALES(name)                                                                                   \
    {                                                                                              \
        (void)offset;                                                                              \
        for (; blocks > 0; blocks--, b += 2 * WK_PANEL)                                            \
            for (int g = 0; g < (units); g++, scale += WK_PANEL)                                   \
                EACH(h) vstore(AT(scale, 0), half_of(b, 0, h));                                    \
    }
REPEATED(half_2, 2)
REPEATED(half_4, 4)
REPEATED(half_8, 8)

/* f32, whose halves lie apart. */
SCALES(k8)
{
    (void)blocks, (void)offset;
    EACH(h)
    {
        const uint16_t *low = (const uint16_t *)(const void *)b + h * VF;
        vf              d = (vf)(vwiden(low) | vwiden(low + WK_PANEL) << 16);
        for (int g = 0; g < 8; g++)
            vstore(AT(scale, g), d);
    }
}

/* ---- Numbers ------------------------------------------------------------ */

/* Quad q of a unit, lanes of part h: bytes that vdot() takes. */
INLINE vi quad(wk_quant_bits f, const char *p, int q, int h, vi table)
{
    int at = q * f.low, s = at % 8;
    vi  x = vload_words(p + at / 8 * WK_QUAD_BYTES + h * VBYTES);
    if (f.low == 1)
        x = (vi)(s ? (vu)x >> (s - 1) : (vu)x << 1) & viset(0x02020202);
    else if (f.low < 8)
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

INLINE vi table_of(const wk_quant_job *j, bool wanted)
{
    vi table = { 0 };
    for (int i = 0; wanted && i < VBYTES; i += 16)
        memcpy((char *)&table + i, j->values, 16);
    return table;
}

/* To quads with room for those of a second panel. */
INLINE void unpack(wk_quant_bits f, const wk_quant_job *j, const char *p, int64_t units, char *to)
{
    vi table = table_of(j, f.table);
    for (; units > 0; units--, p += (f.low + f.high) * WK_QUAD_BYTES)
        UNROLLED
    for (int q = 0; q < WK_QUADS; q++, to += 2 * WK_QUAD_BYTES)
        EACH(h) vstore((float *)(void *)(to + h * VBYTES), (vf)quad(f, p, q, h, table));
}

/* ---- Few rows of x ------------------------------------------------------ */

/* Where it helps, ask early for what lies as far behind these bytes. */
INLINE void expect(const wk_quant_job *j, const char *p, int64_t bytes)
{
    for (int64_t i = 0; j->ask && i < bytes; i += 64)
        __builtin_prefetch(p + i + WK_DISTANCE, 0, 2);
}

/* A unit of a panel with a row of x. */
INLINE vf unit(wk_quant_bits f, const vi w[WK_QUADS], const vf scale[2], const uint32_t *x)
{
    const int n = WK_QUADS / f.parts;
    vf        t = vset(0);
    UNROLLED
    for (int part = 0; part < f.parts; part++) {
        vi start = f.least ? viset(0) : broadcast(x + WK_QUADS + 1 + part);
        vi acc = dots(wk_quant_fit(f), n, start, w + part * n, x + part * n);
        t = vfma(__builtin_convertvector(acc, vf), scale[part], t);
    }
    return t;
}

/* The sums of a panel with m rows of x, SIDE apart; m is 1 or j->rows. */
INLINE void few(int m, wk_quant_bits f, const wk_quant_job *j, const char *p, const uint32_t *x,
                float *sums)
{
    const int words = WK_QUADS + 1 + f.parts, bytes = (f.low + f.high) * WK_QUAD_BYTES;
    vi        table = table_of(j, f.table);
    vf        single[PARTS]; /* the sums of one row */
    float     scale[WK_CHUNK_GROUPS * WK_PANEL], offset[WK_CHUNK_GROUPS * WK_PANEL];
    EACH(h) single[h] = vset(0);
    for (int i = 0; m > 1 && i < m; i++)
        memset(sums + i * WK_SIDE, 0, WK_PANEL * sizeof *sums);
    for (int64_t k = j->k; k > 0; k -= WK_CHUNK) {
        int64_t n = wk_min_i64(k, WK_CHUNK), blocks = n / j->type->block;
        int64_t head = blocks * wk_quant_head(j->layout);
        WK_ISA(quant_kernels).scales[j->layout->scales]((const uint8_t *)p, blocks, scale, offset);
        expect(j, p, head);
        p += head;
        const float *s = scale, *o = offset;
        for (n /= WK_UNIT; n > 0; n--, p += bytes) {
            expect(j, p, bytes);
            EACH(h)
            {
                vi              w[WK_QUADS];
                vf              r[2], least[2] = { vset(0), vset(0) };
                const uint32_t *y = x;
                float          *sum = sums + h * VF;
                UNROLLED
                for (int q = 0; q < WK_QUADS; q++)
                    w[q] = quad(f, p, q, h, table);
                UNROLLED
                for (int part = 0; part < f.parts; part++) {
                    r[part] = vload(AT(s, part));
                    if (f.least)
                        least[part] = vload(AT(o, part));
                }
                for (int i = 0; i < m; i++, y += words, sum += WK_SIDE) {
                    vf t = m > 1 ? vload(sum) : single[h];
                    t = vfma(unit(f, w, r, y), broadcast_f32(y + WK_QUADS), t);
                    if (f.least) {
                        UNROLLED
                        for (int part = 0; part < f.parts; part++)
                            t = vfma(least[part], broadcast_f32(y + WK_QUADS + 1 + part), t);
                    }
                    if (m > 1)
                        vstore(sum, t);
                    else
                        single[h] = t;
                }
            }
            x += j->rows * words;
            s += f.parts * WK_PANEL, o += f.parts * WK_PANEL;
        }
    }
    EACH(h) if (m == 1) vstore(sums + h * VF, single[h]);
}

/* ---- All of it ---------------------------------------------------------- */

#define KERNELS(name, ...)                                                                         \
    static void unpack_##name(const wk_quant_job *j, const char *p, int64_t units, char *quads)    \
    {                                                                                              \
        unpack((wk_quant_bits){ __VA_ARGS__ }, j, p, units, quads);                                \
    }                                                                                              \
    static void one_##name(const wk_quant_job *j, const char *p, const uint32_t *x, float *sums)   \
    {                                                                                              \
        few(1, (wk_quant_bits){ __VA_ARGS__ }, j, p, x, sums);                                     \
    }                                                                                              \
    static void few_##name(const wk_quant_job *j, const char *p, const uint32_t *x, float *sums)   \
    {                                                                                              \
        const wk_quant_bits f = { __VA_ARGS__ };                                                   \
        for (int i = 0; f.low == 1 && i < j->rows; i++) /* code as small as their panels */        \
            one_##name(j, p, x + i * (WK_QUADS + 2), sums + i * WK_SIDE);                          \
        if (f.low > 1)                                                                             \
            few(j->rows, f, j, p, x, sums);                                                        \
    }
WK_NUMBERS(KERNELS)

#define UNPACK(name, ...) [WK_NUMBERS_##name] = unpack_##name,
#define ONE(name, ...)    [WK_NUMBERS_##name] = one_##name,
#define FEW(name, ...)    [WK_NUMBERS_##name] = few_##name,
#define SCALE(name)       [WK_SCALES_##name] = name##_scales,
const wk_quant_kernels WK_ISA(quant_kernels) = {
    .bias = VBIAS,
    .tile_bias = VBIAS,
    .quantize = quantize,
    .scales = { WK_SCALES(SCALE) },
    .unpack = { WK_NUMBERS(UNPACK) },
    .one = { WK_NUMBERS(ONE) },
    .few = { WK_NUMBERS(FEW) },
    .tile = tile,
#if defined __AVX2__ && !defined __AVX512F__
    .records = true,
#endif
#if defined __AVX512VNNI__
    .rows = &wk_cpu_quant_rows_avx2,
    .rows_vbmi = &WK_ISA(quant_rows),
#else
    .rows = &WK_ISA(quant_rows),
#endif
};
