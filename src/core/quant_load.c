// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_load.c - blocks to rows of f32, and the table of quantized types.
 *
 * One loop serves all types: numbers out of their fields, a scale and an offset for each
 * group, value * scale + offset.  No offset is -0, which changes nothing it is added to. */
#include "quant.h"

#include <math.h>

const int8_t        wk_iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113 };
/* Twice the f4 of sign, two bits of exponent and one of mantissa. */
const int8_t        wk_fp4_values[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };
/* Quantiles of the normal distribution, as bitsandbytes has them, times WK_NF4_TOP. */
const int8_t        wk_nf4_values[16] = { -123, -86, -65, -49, -35, -23, -11, 0,
                                          10,   20,  30,  42,  54,  69,  89,  123 };
static const int8_t sign[2] = { -1, 1 };

void wk_fields_get(uint8_t *number, const uint8_t *block, int n, wk_fields f, int shift)
{
    int            mask = (1 << f.width) - 1;
    const uint8_t *b = block + f.at;
    for (uint8_t *end = number + n; number < end; b += f.run)
        for (int s = 0; s < 8; s += f.width)
            for (int i = 0; i < f.run; i++, number++)
                *number = (uint8_t)(*number | (b[i] >> s & mask) << shift);
}

/* ---- Scales ------------------------------------------------------------- */

/* Half of 2^(u - 127). */
float wk_e8m0(uint8_t u) { return wk_bits_f32(u < 2 ? 0x200000u << u : (u - 1u) << 23); }

/* Half of an unsigned f8_e4m3; its NaN is 0. */
float wk_ue4m3(uint8_t u)
{
    int exponent = u >> 3 & 15, m = exponent ? 8 + (u & 7) : u & 7;
    return u == 0x7F ? 0 : ldexpf((float)m, (exponent ? exponent : 1) - 11);
}

static void one_scale(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)offset;
    scale[0] = wk_half_at(b + t->at);
}

static void scale_and_least(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    scale[0] = wk_half_at(b + t->at);
    offset[0] = wk_half_at(b + t->at + 2);
}

static void f32_scale(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)offset;
    scale[0] = wk_bits_f32(wk_le32(b + t->at));
}

/* 4 bits each: scale and minimum in a byte. */
static void k2_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    float d = wk_half_at(b + t->at), m = wk_half_at(b + t->at + 2);
    for (int g = 0; g < 16; g++) {
        scale[g] = d * (float)(b[g] & 15);
        offset[g] = -(m * (float)(b[g] >> 4));
    }
}

static void k45_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    float d = wk_half_at(b + t->at), m = wk_half_at(b + t->at + 2);
    for (int g = 0; g < 8; g++) {
        uint8_t s, least;
        wk_k_scale(b + 4, g, &s, &least);
        scale[g] = d * (float)s;
        offset[g] = -(m * (float)least);
    }
}

static void signed_scales(const wk_quant *t, const uint8_t *b, float *scale, wk_fields low,
                          wk_fields high)
{
    uint8_t s[WK_QUANT_MAX_GROUPS] = { 0 };
    int     groups = t->block / t->group;
    wk_fields_get(s, b, groups, low, 0);
    wk_fields_get(s, b, groups, high, 4);
    for (int g = 0; g < groups; g++)
        scale[g] = wk_half_at(b + t->at) * (float)(s[g] - 32);
}

static void k3_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)offset;
    signed_scales(t, b, scale, (wk_fields){ 96, 4, 8 }, (wk_fields){ 104, 2, 4 });
}

static void iq4_xs_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)offset;
    signed_scales(t, b, scale, (wk_fields){ 4, 4, 1 }, (wk_fields){ 2, 2, 1 });
}

static void k6_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)offset;
    for (int g = 0; g < 16; g++)
        scale[g] = wk_half_at(b + t->at) * (float)(int8_t)b[192 + g];
}

static void mxfp4_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)t, (void)offset;
    scale[0] = wk_e8m0(b[0]);
}

static void nvfp4_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)t, (void)offset;
    for (int g = 0; g < 4; g++)
        scale[g] = wk_ue4m3(b[g]);
}

/* Five digits of base 3 in a byte, as a fraction of 256: the first is the integer part
 * of three times it.  They lie 32, 16 and then, four of them, 4 bytes apart. */
static void tq1_numbers(const uint8_t *b, int8_t *value)
{
    static const uint8_t part[3][3] = { { 32, 32, 5 }, { 16, 16, 5 }, { 4, 4, 4 } };
    for (int p = 0; p < 3; b += part[p++][0])
        for (int digit = 0, power = 1; digit < part[p][2]; digit++, power *= 3)
            for (int i = 0; i < part[p][1]; i++)
                *value++ = (int8_t)(((b[i] * power & 255) * 3 >> 8) - 1);
}

/* ---- The loop ----------------------------------------------------------- */

static void numbers_of(const wk_quant *t, const uint8_t *b, int8_t *value)
{
    uint8_t number[WK_QUANT_MAX_BLOCK] = { 0 };
    wk_fields_get(number, b, t->block, t->low, 0);
    if (t->high.width)
        wk_fields_get(number, b, t->block, t->high, t->low.width);
    for (int j = 0; j < t->block; j++)
        value[j] = (int8_t)(t->values ? t->values[number[j]] : number[j] - t->zero);
}

static void load(const wk_quant *t, float *row, const void *blocks, int64_t n)
{
    int groups = t->block / t->group;
    for (const uint8_t *b = blocks; n > 0; n -= t->block, b += t->bytes) {
        int8_t value[WK_QUANT_MAX_BLOCK], *v = value;
        float  scale[WK_QUANT_MAX_GROUPS], offset[WK_QUANT_MAX_GROUPS];
        for (int g = 0; g < groups; g++)
            offset[g] = -0.0f;
        t->scales(t, b, scale, offset);
        if (t->numbers)
            t->numbers(b, value);
        else
            numbers_of(t, b, value);
        for (int g = 0; g < groups; g++)
            for (int j = 0; j < t->group; j++)
                *row++ = scale[g] * (float)*v++ + offset[g];
    }
}

#define QUANT(name, ...)                                                                           \
    void wk_##name##_load(float *row, const void *blocks, int64_t n)                               \
    {                                                                                              \
        load(&wk_quants[WK_QUANT_##name], row, blocks, n);                                         \
    }
#include "quant.def"
#undef QUANT

const wk_quant wk_quants[WK_QUANT_COUNT] = {
#define QUANT(name_, gguf_, block_, bytes_, group_, ...)                                           \
    [WK_QUANT_##name_] = { .name = #name_,                                                         \
                           .gguf = gguf_,                                                          \
                           .block = block_,                                                        \
                           .bytes = bytes_,                                                        \
                           .group = group_,                                                        \
                           .load = wk_##name_##_load,                                              \
                           .store = wk_##name_##_store,                                            \
                           __VA_ARGS__ },
#include "quant.def"
#undef QUANT
};
