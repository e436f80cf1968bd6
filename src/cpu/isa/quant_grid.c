// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_grid.c - products with rows of blocks, whose numbers are points of a grid or digits
 * of base 3: see quants.h.
 *
 * A block is written out in the nearest cache: 256 bytes and 16 scales.  What indices,
 * signs and scales it has is made with a few vectors for all of it, then each index brings
 * four or eight bytes from a table.  With few rows of x the bytes of a row of weights meet
 * them there and then; for many rows 16 rows of weights are turned into a panel. */
#include "../quants.h"
#include "../simd.h"
#include "isa.h"

#ifdef __GNUC__ /* vectors wider than registers go to functions here, which are all inlined */
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

enum {
    BLOCK = WK_ROW_BLOCK,
    GROUPS = BLOCK / 16,
    VECTORS = BLOCK / VBYTES,
    PARTS = GROUPS / VF,     /* of a block: four vectors of bytes */
    SUMS = VF == 16 ? 2 : 4, /* that do not wait for each other */
    RUN = 8                  /* blocks that are written out together */
};

typedef uint8_t  b16 __attribute__((vector_size(16)));
typedef uint8_t  b32 __attribute__((vector_size(32)));
typedef int8_t   s32 __attribute__((vector_size(32)));
typedef uint16_t h8 __attribute__((vector_size(16)));
typedef uint16_t h16 __attribute__((vector_size(32)));
typedef uint64_t q4 __attribute__((vector_size(32)));
typedef uint32_t w8 __attribute__((vector_size(32))); /* one for each 32 numbers */
typedef int32_t  i8 __attribute__((vector_size(32)));
typedef float    f8 __attribute__((vector_size(32)));
typedef uint64_t vq __attribute__((vector_size(VBYTES)));
typedef uint8_t  vbytes __attribute__((vector_size(VBYTES)));

typedef struct {
    uint16_t index[BLOCK / 4];
    uint8_t  sign[BLOCK / 8]; /* a bit for each number; IQ1: what 8 have more */
} block_parts;

/* Small fields that lie side by side: of VF lanes from p on, each at its shift.  Words of
 * 32 bits; 16 lanes have two of them. */
INLINE vu fields(const uint8_t *p, vu shift)
{
    vu x = (vu)viset((int32_t)(VF == 4 ? wk_le16(p) : wk_le32(p)));
#if defined __AVX512F__
    x = (vu)_mm512_mask_set1_epi32((__m512i)x, 0xFF00, (int)wk_le32(p + 4));
#endif
    return x >> shift;
}

#define BY_4(l, s)    (4 * (l) % 32)
#define TWICE_4(l, s) (4 * ((l) / 2))
#define WORD_3(l, s)  (16 * ((l) / 4 % 2) + 3 * ((l) % 4)) /* four of 3 bits in 16 */
#define SHIFT(by)     ((vu){ VLANES(by, 0) })

/* Four words of 16 bits from p on, in four lanes each; two: in eight. */
INLINE h16 words_of(const uint8_t *p, bool two)
{
    uint64_t u;
    memcpy(&u, p, sizeof u);
    h16 w = (h16)(q4){ u, u, u, u };
    return two ? __builtin_shufflevector(w, w, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9)
               : __builtin_shufflevector(w, w, 0, 0, 0, 0, 1, 1, 1, 1, 10, 10, 10, 10, 11, 11, 11,
                                         11);
}

#define EVERY_4(a, b, c, d)                                                                        \
    {                                                                                              \
        a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d                                             \
    }
#define EVERY_8(a, b, c, d, e, f, g, h)                                                            \
    {                                                                                              \
        a, b, c, d, e, f, g, h, a, b, c, d, e, f, g, h                                             \
    }

/* 16 of them, where they are read from memory. */
INLINE void put_indices(uint16_t *index, const h16 *x)
{
#if defined __AVX512VBMI__
    (void)index, (void)x;
#else
    memcpy(index, x, sizeof *x);
#endif
}

/* 16 indices of 8 bits and what is above. */
INLINE void put_index(uint16_t *index, const uint8_t *low, const h16 *high)
{
    b16 l;
    memcpy(&l, low, sizeof l);
    h16 x = *high | __builtin_convertvector(l, h16);
    put_indices(index, &x);
}

/* The low bytes of 32 words. */
INLINE b32 low_bytes(const h16 *a, const h16 *b)
{
#if defined __AVX2__
    const __m256i low = _mm256_set1_epi16(255);
    __m256i       x =
        _mm256_packus_epi16(_mm256_and_si256((__m256i)*a, low), _mm256_and_si256((__m256i)*b, low));
    return (b32)_mm256_permute4x64_epi64(x, 0xD8);
#else
    b32 x;
    b16 first = __builtin_convertvector(*a & 255, b16);
    b16 second = __builtin_convertvector(*b & 255, b16);
    memcpy(&x, &first, sizeof first);
    memcpy((char *)&x + 16, &second, sizeof second);
    return x;
#endif
}

/* ---- Scales ------------------------------------------------------------- */

/* One for each 32 numbers, twice. */
INLINE void put_scales(float *scale, const w8 *odd, float unit)
{
    f8 s = __builtin_convertvector((i8)*odd, f8) * unit;
    f8 low = __builtin_shufflevector(s, s, 0, 0, 1, 1, 2, 2, 3, 3);
    f8 high = __builtin_shufflevector(s, s, 4, 4, 5, 5, 6, 6, 7, 7);
    memcpy(scale, &low, sizeof low);
    memcpy(scale + 8, &high, sizeof high);
}

/* 2 n + 1 times unit. */
INLINE void put_odd(float *scale, vu n, float unit)
{
    vstore(scale, __builtin_convertvector((vi)(n * 2 + 1), vf) * unit);
}

/* ---- Signs -------------------------------------------------------------- */

/* Of each byte seven bits, with an eighth that makes their number even. */
INLINE void put_even(uint8_t *sign, const w8 *x)
{
    w8 w = *x, p = w ^ w >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    w |= (p & 0x01010101) << 7;
    memcpy(sign, &w, sizeof w);
}

/* The same of the four times seven low bits of each lane. */
INLINE void put_even_words(uint8_t *sign, const w8 *x)
{
    w8 w = (*x & 0x7F) | (*x << 1 & 0x7F00) | (*x << 2 & 0x7F0000) | (*x << 3 & 0x7F000000);
    put_even(sign, &w);
}

/* ---- What a block has ---------------------------------------------------- */

typedef enum { IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ1_S, IQ1_M } kind;

INLINE bool is_iq3(kind t) { return t == IQ3_XXS || t == IQ3_S; }
INLINE bool is_iq1(kind t) { return t == IQ1_S || t == IQ1_M; }

INLINE void parts_iq2_xxs(const uint8_t *b, block_parts *p, float *scale)
{
    w8 x, y;
    memcpy(&x, b + 2, sizeof x);
    memcpy(&y, b + 34, sizeof y);
    x = __builtin_shufflevector(x, y, 1, 3, 5, 7, 9, 11, 13, 15);
    put_even_words(p->sign, &x);
    w8 odd = (x >> 28) * 2 + 1;
    put_scales(scale, &odd, wk_half_at(b) * 0.125f);
}

INLINE void parts_iq3_xxs(const uint8_t *b, block_parts *p, float *scale)
{
    w8 x;
    memcpy(&x, b + 66, sizeof x);
    put_even_words(p->sign, &x);
    w8 odd = (x >> 28) * 2 + 1;
    put_scales(scale, &odd, wk_half_at(b) * 0.25f);
}

INLINE void parts_iq2_xs(const uint8_t *b, block_parts *p, float *scale)
{
    h16 x, y;
    memcpy(&x, b + 2, sizeof x);
    memcpy(&y, b + 34, sizeof y);
    h16 high[2] = { x >> 9, y >> 9 };
    w8  w = (w8)low_bytes(&high[0], &high[1]);
    put_even(p->sign, &w);
    x &= 511, y &= 511;
    put_indices(p->index, &x);
    put_indices(p->index + 16, &y);
    UNROLLED
    for (int g = 0; g < GROUPS; g += VF)
        put_odd(scale + g, fields(b + 66 + g / 2, SHIFT(BY_4)) & 15, wk_half_at(b) * 0.125f);
}

INLINE void parts_iq2_s(const uint8_t *b, block_parts *p, float *scale)
{
    const h16 field = EVERY_8(1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6, 1 << 4, 1 << 2, 1);
    UNROLLED
    for (int k = 0; k < BLOCK / 8; k += 16) {
        h16 above = words_of(b + 66 + k / 4, true) * field >> 6 & 0x300;
        put_index(p->index + k, b + 2 + k, &above);
    }
    memcpy(p->sign, b + 34, BLOCK / 8);
    UNROLLED
    for (int g = 0; g < GROUPS; g += VF)
        put_odd(scale + g, fields(b + 74 + g / 2, SHIFT(BY_4)) & 15, wk_half_at(b) * 0.125f);
}

INLINE void parts_iq3_s(const uint8_t *b, block_parts *p, float *scale)
{
    const h16 bit = { 1,      1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,
                      1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15 };
    UNROLLED
    for (int k = 0; k < BLOCK / 4; k += 16) {
        h16 word = (h16){ 0 } + (uint16_t)wk_le16(b + 66 + k / 8);
        word = (h16)((word & bit) == bit) & 0x100;
        put_index(p->index + k, b + 2 + k, &word);
    }
    memcpy(p->sign, b + 74, BLOCK / 8);
    UNROLLED
    for (int g = 0; g < GROUPS; g += VF)
        put_odd(scale + g,
                (vu)viset((int32_t)wk_le32(b + 106)) >> (SHIFT(TWICE_4) + (uint32_t)(2 * g)) & 15,
                wk_half_at(b));
}

/* Three more bits of an index, and one for 32 numbers that says less. */
INLINE void parts_iq1_s(const uint8_t *b, block_parts *p, float *scale)
{
    const h16 field = EVERY_4(1 << 13, 1 << 10, 1 << 7, 1 << 4);
    UNROLLED
    for (int k = 0; k < BLOCK / 8; k += 16) {
        h16 above = words_of(b + 34 + k / 2, false) * field >> 5 & 0x700;
        put_index(p->index + k, b + 2 + k, &above);
    }
    h8 h;
    memcpy(&h, b + 34, sizeof h);
    w8 w = __builtin_convertvector(h, w8);
    i8 more = (i8)(w << 16) >> 31 & (int32_t)0xFEFEFEFE;
    memcpy(p->sign, &more, sizeof more);
    w = (w >> 11 & 14) + 1;
    put_scales(scale, &w, wk_half_at(b) * 0.125f);
}

/* The same for 8 numbers each; the scale of the block is the top nibbles of four words. */
INLINE void parts_iq1_m(const uint8_t *b, block_parts *p, float *scale)
{
    const h16 field = EVERY_4(1 << 12, 1 << 8, 1 << 4, 1);
    h16       x[2];
    UNROLLED
    for (int k = 0; k < 2; k++) {
        x[k] = words_of(b + 32 + 8 * k, false) * field;
        h16 above = x[k] >> 4 & 0x700;
        put_index(p->index + 16 * k, b + 16 * k, &above);
        x[k] = -(x[k] >> 15) * 2;
    }
    b32 sign = low_bytes(&x[0], &x[1]);
    memcpy(p->sign, &sign, sizeof sign);
    uint32_t low = wk_le32(b + 48), high = wk_le32(b + 52);
    uint32_t h =
        (low >> 12 & 15) | (low >> 24 & 0xF0) | (high >> 4 & 0xF00) | (high >> 16 & 0xF000);
    UNROLLED
    for (int g = 0; g < GROUPS; g += VF)
        put_odd(scale + g, fields(b + 48 + g / 2, SHIFT(WORD_3)) & 7, wk_half(h) * 0.125f);
}

INLINE void parts_of(kind t, const uint8_t *b, block_parts *p, float *scale)
{
    switch (t) {
    case IQ2_XXS:
        parts_iq2_xxs(b, p, scale);
        break;
    case IQ2_XS:
        parts_iq2_xs(b, p, scale);
        break;
    case IQ2_S:
        parts_iq2_s(b, p, scale);
        break;
    case IQ3_XXS:
        parts_iq3_xxs(b, p, scale);
        break;
    case IQ3_S:
        parts_iq3_s(b, p, scale);
        break;
    case IQ1_S:
        parts_iq1_s(b, p, scale);
        break;
    case IQ1_M:
        parts_iq1_m(b, p, scale);
        break;
    }
}

/* ---- Numbers ------------------------------------------------------------ */

#ifdef __AVX512VBMI__
/* The points of IQ2 and IQ3 as their codes in registers: 32 of 256 .. 1024 at a time. */
INLINE __m512i look_up(const wk_grid *g, int count, __m512i index)
{
    __m512i r[16];
    UNROLLED
    for (int i = 0; i < count / 64; i++)
        r[i] = _mm512_permutex2var_epi16(_mm512_loadu_si512(g->points + 64 * i), index,
                                         _mm512_loadu_si512(g->points + 64 * i + 32));
    UNROLLED
    for (int n = 64; n < count; n *= 2) {
        __mmask32 upper = _mm512_test_epi16_mask(index, _mm512_set1_epi16((short)n));
        UNROLLED
        for (int i = 0; i < count / n / 2; i++)
            r[i] = _mm512_mask_blend_epi16(upper, r[2 * i], r[2 * i + 1]);
    }
    return r[0];
}

/* Codes of points 32 i .. 32 i + 31 of a block. */
INLINE __m512i codes_of(kind t, const uint8_t *b, int i)
{
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    __m256i       low = _mm256_loadu_si256((const __m256i *)(const void *)(b + 2 + 32 * i));
    if (t == IQ2_XXS)
        low = _mm256_permutex2var_epi32(
            low, even, _mm256_loadu_si256((const __m256i *)(const void *)(b + 34)));
    __m512i x = _mm512_cvtepu8_epi16(low);
    if (t == IQ2_XS)
        x = _mm512_and_si512(_mm512_loadu_si512(b + 2), _mm512_set1_epi16(511));
    if (t == IQ2_S || t == IQ3_S) { /* the bits above, into each odd byte */
        const __m256i first =
            _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                             20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
        __m512i   at = _mm512_slli_epi16(_mm512_cvtepu8_epi16(first), 8);
        long long bits;
        memcpy(&bits, b + 66, sizeof bits);
        at = t == IQ2_S ? _mm512_slli_epi16(at, 1)
                        : _mm512_add_epi16(at, _mm512_set1_epi16((short)(i << 13)));
        at = _mm512_multishift_epi64_epi8(at, _mm512_set1_epi64(bits));
        at = _mm512_and_si512(at, _mm512_set1_epi16(t == IQ2_S ? 0x300 : 0x100));
        x = _mm512_or_si512(x, at);
    }
    return t == IQ2_XXS   ? look_up(&wk_grids[WK_GRID_IQ2_XXS], 256, x)
           : t == IQ2_XS  ? look_up(&wk_grids[WK_GRID_IQ2_XS], 512, x)
           : t == IQ2_S   ? look_up(&wk_grids[WK_GRID_IQ2_S], 1024, x)
           : t == IQ3_XXS ? look_up(&wk_grids[WK_GRID_IQ3_XXS], 256, x)
                          : look_up(&wk_grids[WK_GRID_IQ3_S], 512, x);
}

/* What digits stand for, in 64 bytes: by their two or three low bits. */
INLINE __m512i levels_of(kind t)
{
    const wk_grid *g = &wk_grids[t == IQ3_XXS ? WK_GRID_IQ3_XXS
                                 : t == IQ3_S ? WK_GRID_IQ3_S
                                              : WK_GRID_IQ2_XXS];
    long long      x;
    memcpy(&x, g->level, sizeof x);
    if (!is_iq3(t))
        x = (x & 0xFFFFFFFF) | x << 32;
    return _mm512_add_epi8(_mm512_set1_epi64(x), _mm512_set1_epi8(WK_ROW_ZERO));
}

/* 64 numbers, the v-th of a block. */
INLINE vi numbers_of(kind t, const __m512i r[2], __m512i levels, int v)
{
    const __m512i eighth = _mm512_set_epi64(
        0x0007000700070007, 0x0006000600060006, 0x0005000500050005, 0x0004000400040004,
        0x0003000300030003, 0x0002000200020002, 0x0001000100010001, 0);
    const __m512i sixteenth = _mm512_set_epi64(
        0x000F000F000E000E, 0x000D000D000C000C, 0x000B000B000A000A, 0x0009000900080008,
        0x0007000700060006, 0x0005000500040004, 0x0003000300020002, 0x0001000100000000);
    __m512i which = is_iq3(t) ? _mm512_add_epi16(sixteenth, _mm512_set1_epi16((short)(v % 2 * 16)))
                              : _mm512_add_epi16(eighth, _mm512_set1_epi16((short)(v * 8)));
    __m512i x = _mm512_permutexvar_epi16(which, r[is_iq3(t) ? v / 2 : 0]);
    __m512i at = _mm512_set1_epi64(is_iq3(t) ? 0x2926232009060300 : 0x0E0C0A0806040200);
    return (vi)_mm512_permutexvar_epi8(_mm512_multishift_epi64_epi8(at, x), levels);
}
#else
/* The index of point l of the v-th vector. */
INLINE uint32_t index_of(kind t, const uint8_t *b, const block_parts *p, int v, int l)
{
    const int points = VBYTES / (is_iq3(t) ? 4 : 8);
    return t == IQ2_XXS ? b[2 + v * points / 4 * 8 + v * points % 4 + l / 4 * 8 + l % 4]
           : t == IQ3_XXS ? b[2 + v * points + l]
                          : p->index[v * points + l];
}

INLINE vi points_of(kind t, const void *points, const uint8_t *b, const block_parts *p, int v)
{
    const uint32_t *four = points;
    const uint64_t *eight = points;
#define FOUR(l, s)  four[index_of(t, b, p, v, l)]
#define EIGHT(l, s) eight[index_of(t, b, p, v, l)]
    if (is_iq3(t))
        return (vi)(vu){ VLANES(FOUR, 0) };
#if defined   __AVX512F__
    return (vi)(vq){ EIGHT(0, 0), EIGHT(1, 0), EIGHT(2, 0), EIGHT(3, 0),
                     EIGHT(4, 0), EIGHT(5, 0), EIGHT(6, 0), EIGHT(7, 0) };
#elif defined __AVX2__
    return (vi)(vq){ EIGHT(0, 0), EIGHT(1, 0), EIGHT(2, 0), EIGHT(3, 0) };
#else
    return (vi)(vq){ EIGHT(0, 0), EIGHT(1, 0) };
#endif
}
#endif

INLINE void expand(kind t, const void *points, const uint8_t *b, int64_t blocks, int bytes,
                   uint8_t *number, float *scale)
{
    (void)points;
    block_parts parts[RUN], *p = parts;
    for (int64_t i = 0; i < blocks; i++) /* early, as they are read in other pieces */
        parts_of(t, b + i * bytes, parts + i, scale + i * GROUPS);
    for (; blocks > 0; blocks--, b += bytes, p++) {
#if defined __AVX512VBMI__
        __m512i levels = levels_of(t);
        __m512i r[2] = { codes_of(t, b, 0), codes_of(t, b, is_iq3(t)) };
        UNROLLED
#endif
        for (int v = 0; v < VECTORS; v++, number += VBYTES) {
#if defined __AVX512VBMI__
            vi x = numbers_of(t, r, levels, v);
#else
            vi x = points_of(t, points, b, p, v);
#endif
            const uint8_t *sign = p->sign + v * (VBYTES / 8);
            if (is_iq1(t))
                x = (vi)((vbytes)x + (vbytes)vspread_bytes(sign));
            else
                x = vchoose_bytes(sign, (vi)(0x80808080u - (vu)x), x);
            memcpy(number, &x, sizeof x);
        }
    }
}

#define GRID(name, kind, bytes)                                                                    \
    static void name(const void *points, const uint8_t *b, int64_t blocks, uint8_t *number,        \
                     float *scale)                                                                 \
    {                                                                                              \
        expand(kind, points, b, blocks, bytes, number, scale);                                     \
    }
GRID(iq2_xxs, IQ2_XXS, 66)
GRID(iq2_xs, IQ2_XS, 74)
GRID(iq2_s, IQ2_S, 82)
GRID(iq3_xxs, IQ3_XXS, 98)
GRID(iq3_s, IQ3_S, 110)

/* The rest is as good with AVX2. */
#if !defined __AVX512VBMI__
GRID(iq1_s, IQ1_S, 50)
GRID(iq1_m, IQ1_M, 56)

/* Five digits in a byte, as tq1_numbers() in core/quant_load.c has them: the integer part of
 * three times q / 256 is the first.  128 more stay 128 more when they are tripled, and let bytes
 * be compared as signed ones. */

INLINE void put_digits(uint8_t *number, const b32 *q)
{
    s32 x = (s32)*q;
    x = WK_ROW_ZERO + 1 + (s32)(x < 86 - 128) + (s32)(x < 171 - 128);
    memcpy(number, &x, sizeof x);
}

INLINE b32 both(b16 a, b16 b)
{
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
                                   17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
}

static void tq1_0(const void *points, const uint8_t *b, int64_t blocks, uint8_t *number,
                  float *scale)
{
    const b16 odd = { 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255 };
    const b16 high = { 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255 };
    (void)points;
    for (; blocks > 0; blocks--, b += 54, number += BLOCK, scale += GROUPS) {
        b32 q;
        b16 r, last;
        memcpy(&q, b, sizeof q);
        memcpy(&r, b + 32, sizeof r);
        UNROLLED
        for (int i = 0; i < 4; i++)
            memcpy((char *)&last + 4 * i, b + 48, 4);
        q ^= 128, r ^= 128, last ^= 128;
        UNROLLED
        for (int i = 0; i < 5; i++, q += q + q)
            put_digits(number + 32 * i, &q);
        last += (last + last) & odd; /* times 1, 3, 1, 3; then 1, 3, 9, 27 */
        last += (last << 3) & high;
        q = both(r, r + r + r);
        put_digits(number + 160, &q);
        q += q << 3;
        put_digits(number + 192, &q);
        memcpy(&r, &q, sizeof r);
        q = both(r + (r << 3), last);
        put_digits(number + 224, &q);
        for (int g = 0; g < GROUPS; g += VF)
            vstore(scale + g, vset(wk_half_at(b + 52)));
    }
}

#endif

/* ---- Few rows of x ------------------------------------------------------ */

/* From the records that quants.h has to those of rows: for each 256 k and row the bytes, 16
 * scales, and as many sums of bytes times what numbers have too much. */
static void quantize(const wk_quant_job *j, const float *row, int64_t units, uint32_t *x)
{
    static const wk_quant_bits halves = { .parts = 2 };
    wk_quant_job               one = { .bits = &halves, .zero = j->zero, .rows = 1, .few = true };
    for (; units > 0; units -= GROUPS / 2, row += BLOCK, x += WK_ROW_RECORD * j->rows) {
        uint32_t records[GROUPS / 2][WK_QUADS + 3];
        float   *scale = (float *)(void *)(x + BLOCK / 4), *start = scale + GROUPS;
        WK_ISA(quant_kernels).quantize(&one, row, GROUPS / 2, records[0]);
        for (int u = 0; u < GROUPS / 2; u++) {
            const uint32_t *r = records[u];
            memcpy(x + u * WK_QUADS, r, WK_UNIT);
            for (int half = 0; half < 2; half++) {
                memcpy(scale + 2 * u + half, r + WK_QUADS, sizeof *scale);
                start[2 * u + half] = (float)(int32_t)r[WK_QUADS + 1 + half];
            }
        }
    }
}

INLINE float total(const vf sum[SUMS])
{
    vf all = sum[0] + sum[1];
    return vsum(SUMS == 4 ? all + (sum[SUMS - 2] + sum[SUMS - 1]) : all);
}

/* A block with a row of x, and one scale for all of it. */
INLINE void multiply_even(const uint8_t *number, float scale, const uint32_t *x, vf sum[SUMS])
{
    const float *scale_x = (const float *)(const void *)(x + BLOCK / 4);
    vf           all[2] = { vset(0), vset(0) };
    UNROLLED
    for (int part = 0; part < PARTS; part++, scale_x += VF) {
        all[0] = vfma(vload(scale_x), vload(scale_x + GROUPS), all[0]);
        UNROLLED
        for (int h = 0; h < 4; h++, number += VBYTES, x += VF) {
            vi a = vdot(viset(0), vload_words(number), vload_words(x));
            vf s = VF == 8 ? vset(scale_x[2 * h]) : vquarter(vload(scale_x), h);
            all[h % 2] = vfma(__builtin_convertvector(a, vf), s, all[h % 2]);
        }
    }
    sum[0] = vfma(all[0] + all[1], vset(scale), sum[0]);
}

/* A block with a row of x. */
INLINE void multiply(const uint8_t *number, const float *scale, const uint32_t *x, vf sum[SUMS])
{
    const float *scale_x = (const float *)(const void *)(x + BLOCK / 4);
    UNROLLED
    for (int part = 0; part < PARTS; part++, scale += VF, scale_x += VF) {
        vf both = vload(scale) * vload(scale_x);
        sum[part % SUMS] = vfma(both, vload(scale_x + GROUPS), sum[part % SUMS]);
        UNROLLED
        for (int h = 0; h < 4; h++, number += VBYTES, x += VF) {
            vi a = vdot(viset(0), vload_words(number), vload_words(x));
            sum[h % SUMS] = vfma(__builtin_convertvector(a, vf), vquarter(both, h), sum[h % SUMS]);
        }
    }
}

/* The sums of count rows of w with so many rows of x, SIDE apart. */
INLINE void rows(int m, const wk_quant_job *j, const char *w, int64_t count, const uint32_t *x,
                 float *sums)
{
    const int64_t  blocks = j->k / BLOCK, bytes = j->type->bytes;
    const uint8_t *b = (const uint8_t *)w;
    const bool     even = j->type->group == BLOCK;
    for (; count > 0; count--, sums++) {
        vf              sum[WK_ROW_FEW][SUMS];
        const uint32_t *y = x;
        for (int i = 0; i < m; i++)
            for (int n = 0; n < SUMS; n++)
                sum[i][n] = vset(0);
        for (int64_t at = 0, n; at < blocks; at += n, b += n * bytes) {
            uint8_t number[RUN * BLOCK] __attribute__((aligned(64)));
            float   scale[RUN * GROUPS] __attribute__((aligned(64)));
            n = blocks - at < RUN ? blocks - at : RUN;
            j->expand(j->points, b, n, number, scale);
            for (int64_t k = 0; even && k < n; k++)
                for (int i = 0; i < m; i++, y += WK_ROW_RECORD)
                    multiply_even(number + k * BLOCK, scale[k * GROUPS], y, sum[i]);
            for (int64_t k = 0; !even && k < n; k++)
                for (int i = 0; i < m; i++, y += WK_ROW_RECORD)
                    multiply(number + k * BLOCK, scale + k * GROUPS, y, sum[i]);
        }
        for (int i = 0; i < m; i++)
            sums[i * WK_SIDE] = total(sum[i]);
    }
}

static void few(const wk_quant_job *j, const char *w, int64_t count, const uint32_t *x, float *sums)
{
    if (j->rows == 1)
        rows(1, j, w, count, x, sums);
    else
        rows(j->rows, j, w, count, x, sums);
}

/* ---- Many rows of x ----------------------------------------------------- */

#if !defined __AVX512VBMI__
/* from: 16 rows of `words` words; to: their columns, every `each`, step words apart. */
static void  turn(const void *from, int words, int each, void *to, int64_t step)
{
    for (int c = 0; c < words; c += VF)
        for (int r = 0; r < WK_PANEL; r += VF) {
            vf v[VF];
            UNROLLED
            for (int i = 0; i < VF; i++)
                v[i] = vload((const float *)from + (r + i) * words + c);
            vtranspose(v);
            UNROLLED
            for (int i = 0; i < VF; i++)
                if (i % each == 0)
                    vstore((float *)to + (c + i) / each * step + r, v[i]);
        }
}

static void unpack(const wk_quant_job *j, const char *w, int64_t count, int64_t unit, int64_t units,
                   char *quads, float *scale)
{
    const int parts = j->bits->parts, bytes = j->type->bytes;
    uint8_t   number[WK_PANEL][BLOCK] __attribute__((aligned(64)));
    float     scales[WK_PANEL][GROUPS] __attribute__((aligned(64)));
    if (count < WK_PANEL) {
        memset(number, 0, sizeof number);
        memset(scales, 0, sizeof scales);
    }
    for (; units > 0; units -= BLOCK / WK_UNIT, unit += BLOCK / WK_UNIT) {
        const uint8_t *b = (const uint8_t *)w + unit / (BLOCK / WK_UNIT) * bytes;
        for (int i = 0; i < count; i++, b += j->k / BLOCK * bytes)
            j->expand(j->points, b, 1, number[i], scales[i]);
        turn(number, BLOCK / 4, 1, quads, 2 * WK_PANEL);
        turn(scales, GROUPS, 2 / parts, scale, 2 * WK_PANEL);
        quads += BLOCK / 4 * 2 * WK_QUAD_BYTES;
        scale += GROUPS / 2 * parts * 2 * WK_PANEL;
    }
}

#endif

const wk_quant_rows WK_ISA(quant_rows) = {
    .quantize = quantize,
    .few = few,
    .expand = { [WK_QUANT_iq2_xxs] = iq2_xxs,
                [WK_QUANT_iq2_xs] = iq2_xs,
                [WK_QUANT_iq2_s] = iq2_s,
                [WK_QUANT_iq3_xxs] = iq3_xxs,
                [WK_QUANT_iq3_s] = iq3_s,
#if !defined __AVX512VBMI__
                [WK_QUANT_iq1_s] = iq1_s,
                [WK_QUANT_iq1_m] = iq1_m,
                [WK_QUANT_tq1_0] = tq1_0 },
    .unpack = unpack,
#else
    },
#endif
};
