// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_grids.c - blocks of IQ1, IQ2 and IQ3, whose numbers are points of a grid.
 *
 * Eight numbers (of IQ3 four) together are one of the few hundred points in which a grid
 * keeps its index; their signs lie apart.  A point has digits of base 3 (8), the first
 * the lowest, and the points of a grid ascend: quant_grids.def has the gap before
 * each, less one, in nibbles, where 15 means that 15 and more follow. */
#include "quant.h"

#include <pthread.h>

enum { POINTS = 256 + 512 + 1024 + 2048 + 256 + 512 };

static uint16_t points[POINTS]; /* digits of 2 (3) bits */

const wk_grid wk_grids[WK_GRID_COUNT] = {
    [WK_GRID_IQ2_XXS] = { points, 256, 3, 8, 2, { 8, 25, 43 } },
    [WK_GRID_IQ2_XS] = { points + 256, 512, 3, 8, 2, { 8, 25, 43 } },
    [WK_GRID_IQ2_S] = { points + 768, 1024, 3, 8, 2, { 8, 25, 43 } },
    [WK_GRID_IQ1] = { points + 1792, 2048, 3, 8, 2, { -8, 0, 8 } },
    [WK_GRID_IQ3_XXS] = { points + 3840, 256, 8, 4, 3, { 4, 12, 20, 28, 36, 44, 52, 62 } },
    [WK_GRID_IQ3_S] = { points + 4096, 512, 8, 4, 3, { 1, 3, 5, 7, 9, 11, 13, 15 } },
};

static void expand(void)
{
    static const uint64_t gaps[] = {
#include "quant_grids.def"
    };
    int at = 0;
    for (const wk_grid *g = wk_grids; g < wk_grids + WK_GRID_COUNT; g++)
        for (int i = 0, code = -1; i < g->count; i++) {
            int gap = 1, nibble;
            do {
                nibble = (int)(gaps[at / 16] >> at % 16 * 4 & 15);
                gap += nibble;
                at++;
            } while (nibble == 15);
            code += gap;
            for (int d = 0, rest = code; d < g->digits; d++, rest /= g->base)
                g->points[i] |= (uint16_t)(rest % g->base << d * g->bits);
        }
}

void wk_grids_expand(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, expand);
}

/* The numbers of a point; a bit of signs turns each negative. */
static int8_t *put(int8_t *value, const wk_grid *g, uint32_t index, uint32_t signs)
{
    for (int d = 0, code = g->points[index]; d < g->digits; d++, code >>= g->bits) {
        int8_t v = g->level[code & ((1 << g->bits) - 1)];
        *value++ = (int8_t)(signs >> d & 1 ? -v : v);
    }
    return value;
}

/* Eight signs of which seven are kept: the number of negative ones is even. */
static uint32_t even(uint32_t s)
{
    s &= 127;
    return s | (0x6996u >> ((s ^ s >> 4) & 15) & 1) << 7;
}

/* ---- Scales ------------------------------------------------------------- */

/* 4 bits for each group, in nibbles. */
void wk_iq2_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)offset;
    for (int g = 0; g < 16; g++)
        scale[g] = wk_half_at(b) * (0.5f + (float)(b[t->at + g / 2] >> g % 2 * 4 & 15)) * 0.25f;
}

/* 4 bits above four times seven signs. */
static void word_scales(const uint8_t *b, const uint8_t *words, int stride, float unit,
                        float *scale)
{
    for (int g = 0; g < 8; g++)
        scale[g] = wk_half_at(b) * (0.5f + (float)(wk_le32(words + g * stride) >> 28)) * unit;
}

void wk_iq2_xxs_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)t, (void)offset;
    word_scales(b, b + 6, 8, 0.25f, scale);
}

void wk_iq3_xxs_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)t, (void)offset;
    word_scales(b, b + 66, 4, 0.5f, scale);
}

void wk_iq3_s_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)t, (void)offset;
    for (int g = 0; g < 8; g++)
        scale[g] = wk_half_at(b) * (float)(1 + 2 * (b[106 + g / 2] >> g % 2 * 4 & 15));
}

/* The numbers of IQ1 are -1, 0 or 1, and an eighth more or less: here eight times that. */
void wk_iq1_s_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)t, (void)offset;
    for (int g = 0; g < 8; g++)
        scale[g] = wk_half_at(b) * (float)(2 * (wk_le16(b + 34 + 2 * g) >> 12 & 7) + 1) * 0.125f;
}

void wk_iq1_m_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset)
{
    (void)t, (void)offset;
    uint32_t h = 0; /* the scale of the block: the top nibbles of four words */
    for (int w = 0; w < 4; w++)
        h |= wk_le16(b + 48 + 2 * w) >> 12 << 4 * w;
    for (int g = 0; g < 16; g++) {
        uint32_t s = wk_le16(b + 48 + g / 4 * 2) >> g % 4 * 3 & 7;
        scale[g] = wk_half(h) * (float)(2 * s + 1) * 0.125f;
    }
}

/* ---- Numbers, eight at a time ------------------------------------------- */

void wk_iq2_xxs_numbers(const uint8_t *b, int8_t *value)
{
    wk_grids_expand();
    for (int k = 0; k < 32; k++) {
        const uint8_t *word = b + 2 + k / 4 * 8;
        value = put(value, &wk_grids[WK_GRID_IQ2_XXS], word[k % 4],
                    even(wk_le32(word + 4) >> k % 4 * 7));
    }
}

void wk_iq2_xs_numbers(const uint8_t *b, int8_t *value)
{
    wk_grids_expand();
    for (int k = 0; k < 32; k++) {
        uint32_t u = wk_le16(b + 2 + 2 * k);
        value = put(value, &wk_grids[WK_GRID_IQ2_XS], u & 511, even(u >> 9));
    }
}

void wk_iq2_s_numbers(const uint8_t *b, int8_t *value)
{
    wk_grids_expand();
    for (int k = 0; k < 32; k++)
        value = put(value, &wk_grids[WK_GRID_IQ2_S],
                    b[2 + k] | (b[66 + k / 4] >> k % 4 * 2 & 3u) << 8, b[34 + k]);
}

void wk_iq3_xxs_numbers(const uint8_t *b, int8_t *value)
{
    wk_grids_expand();
    for (int k = 0; k < 64; k++) {
        uint32_t signs = even(wk_le32(b + 66 + k / 8 * 4) >> k % 8 / 2 * 7);
        value = put(value, &wk_grids[WK_GRID_IQ3_XXS], b[2 + k], signs >> k % 2 * 4);
    }
}

void wk_iq3_s_numbers(const uint8_t *b, int8_t *value)
{
    wk_grids_expand();
    for (int k = 0; k < 64; k++)
        value = put(value, &wk_grids[WK_GRID_IQ3_S], b[2 + k] | (b[66 + k / 8] >> k % 8 & 1u) << 8,
                    b[74 + k / 2] >> k % 2 * 4);
}

/* high: three bits of the index and one that says less. */
static int8_t *put_iq1(int8_t *value, uint32_t low, uint32_t high, bool less)
{
    put(value, &wk_grids[WK_GRID_IQ1], low | (high & 7) << 8, 0);
    for (int i = 0; i < 8; i++, value++)
        *value = (int8_t)(*value + (less ? -1 : 1));
    return value;
}

void wk_iq1_s_numbers(const uint8_t *b, int8_t *value)
{
    wk_grids_expand();
    for (int k = 0; k < 32; k++) {
        uint32_t high = wk_le16(b + 34 + k / 4 * 2);
        value = put_iq1(value, b[2 + k], high >> k % 4 * 3, high >> 15);
    }
}

void wk_iq1_m_numbers(const uint8_t *b, int8_t *value)
{
    wk_grids_expand();
    for (int k = 0; k < 32; k++) {
        uint32_t high = b[32 + k / 2] >> k % 2 * 4;
        value = put_iq1(value, b[k], high, high >> 3 & 1);
    }
}
