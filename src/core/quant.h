// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant.h - blocks of numbers of few bits that share a scale, as GGUF files have them.
 *
 * A block holds `block` numbers in `bytes` bytes, at any address, little-endian.  Each
 * number is value * scale + offset, where value is a small integer and `group` numbers
 * have the same scale.  The table says where the bits of the numbers lie; what is not
 * that regular is a function.
 *
 * Both ways give the bits that llama.cpp gives, whatever the processor. */
#ifndef WK_CORE_QUANT_H
#define WK_CORE_QUANT_H

#include "../base/base.h"

enum {
#define QUANT(name, ...) WK_QUANT_##name,
#include "quant.def"
#undef QUANT
    WK_QUANT_COUNT,
    WK_QUANT_MAX_BLOCK = 256, /* numbers, groups and bytes of the largest */
    WK_QUANT_MAX_GROUPS = 16,
    WK_QUANT_MAX_BYTES = 292
};

/* Small fields of width bits from byte `at` on: number j of each run * 8 / width is field
 * j / run, from the low bits up, of byte j % run. */
typedef struct {
    uint8_t at, width, run;
} wk_fields;

typedef struct wk_quant wk_quant;

struct wk_quant {
    const char *name; /* "q4_0" */
    int16_t     gguf; /* the number of the type in files; -1: they do not have it */
    int16_t     block, bytes, group;
    bool        needs_importance;

    /* n is a multiple of the block.  store() takes a row of a matrix and, from an
     * importance matrix, what each of its numbers counts, or NULL; false: after an error. */
    void (*load)(float *row, const void *blocks, int64_t n);
    bool (*store)(void *blocks, const float *row, int64_t n, const float *importance);

    /* How a block is read. */
    wk_fields     low, high; /* the bits of a number; width 0: none */
    int8_t        zero;      /* what is taken from it, */
    const int8_t *values;    /* or what each stands for; NULL: itself */
    int8_t        grid;      /* of IQ1, IQ2 and IQ3: 1 + WK_GRID_... */
    uint8_t       at;        /* where the scale of the block is, or the first of several */
    void (*scales)(const wk_quant *t, const uint8_t *b, float *scale, float *offset);
    void (*numbers)(const uint8_t *b, int8_t *value); /* NULL: low and high say it */
};

extern const wk_quant wk_quants[WK_QUANT_COUNT];

#define QUANT(name, ...)                                                                           \
    void wk_##name##_load(float *row, const void *blocks, int64_t n);                              \
    bool wk_##name##_store(void *blocks, const float *row, int64_t n, const float *importance);
#include "quant.def"
#undef QUANT

/* ---- For the parts of it ------------------------------------------------ */

extern const int8_t wk_iq4_values[16], wk_fp4_values[16], wk_nf4_values[16];

/* What the values of nf4 are to be divided by.  Of all up to 127.5 this one has the smallest
 * greatest error, 0.0029, of the 16 quantiles of the normal distribution in -1 .. 1. */
#define WK_NF4_TOP 123.26f

static inline uint32_t wk_le16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t wk_le32(const uint8_t *p) { return wk_le16(p) | wk_le16(p + 2) << 16; }

static inline float wk_bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* The f16 of these bits: its exponent moves from bias 15 to 127 by multiplication, which
 * is exact for subnormal numbers too. */
static inline float wk_half(uint32_t h)
{
    uint32_t sign = (h & 0x8000u) << 16, u = (h & 0x7FFFu) << 13;
    if (u >= 0x7C00u << 13)
        return wk_bits_f32(sign | 0x7F800000u | u);
    return wk_bits_f32(sign | u) * 0x1p112f;
}
static inline float wk_half_at(const uint8_t *p) { return wk_half(wk_le16(p)); }

/* Scale and minimum g of the eight of q4_k and q5_k, 6 bits each: of the last four the
 * upper two bits lie above those of the first four. */
static inline void wk_k_scale(const uint8_t *s, int g, uint8_t *scale, uint8_t *min)
{
    *scale = (uint8_t)(g < 4 ? s[g] & 63 : (s[g + 4] & 15) | s[g - 4] >> 6 << 4);
    *min = (uint8_t)(g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | s[g] >> 6 << 4);
}

/* To the nearest integer, ties to even, within low .. high; some integer within for what
 * has more than 22 bits. */
static inline int wk_nearest_in(float x, int low, int high)
{
    float    shifted = x + 0x1.8p23f;
    uint32_t u;
    memcpy(&u, &shifted, sizeof u);
    int l = (int)(u & 0x7FFFFFu) - 0x400000;
    return l < low ? low : l > high ? high : l;
}

float wk_ue4m3(uint8_t u); /* half of it */
float wk_e8m0(uint8_t u);  /* half of it */

/* n numbers of a block out of their fields, put at bit shift of each. */
void wk_fields_get(uint8_t *number, const uint8_t *block, int n, wk_fields f, int shift);

/* quant_store.c */
typedef struct { /* a block to be stored; importance may be NULL */
    const float *x, *importance;
    float        row_mean; /* mean square of the row, where there is importance */
} wk_quant_source;

float wk_put_half(uint8_t *p, float f); /* gives it back as it was rounded */
float wk_mean_square(const float *x, int64_t n);
void  wk_weigh(float *weight, const float *x, const float *importance, int n, float mean);
float wk_search_positive(const float *x, int n, int top, const float *weight, uint8_t *number);
void  wk_fields_put(uint8_t *block, const uint8_t *number, int n, wk_fields f, int shift);

/* quant_grid_store.c */
bool wk_grid_prepare(int grid); /* before blocks are stored */
void wk_store_grid(const wk_quant *t, uint8_t *b, wk_quant_source s);
void wk_store_iq1(const wk_quant *t, uint8_t *b, wk_quant_source s);

/* A grid of IQ1, IQ2 or IQ3 (quant_grids.c): points of so many digits, bits each. */
typedef struct {
    uint16_t *points;
    int16_t   count;
    int8_t    base, digits, bits;
    int8_t    level[8]; /* what a digit stands for */
} wk_grid;

enum {
    WK_GRID_IQ2_XXS,
    WK_GRID_IQ2_XS,
    WK_GRID_IQ2_S,
    WK_GRID_IQ1,
    WK_GRID_IQ3_XXS,
    WK_GRID_IQ3_S,
    WK_GRID_COUNT
};
extern const wk_grid wk_grids[WK_GRID_COUNT];
void                 wk_grids_expand(void); /* before the first use of their points */

void wk_iq2_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset);
void wk_iq2_xxs_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset);
void wk_iq3_xxs_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset);
void wk_iq3_s_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset);
void wk_iq1_s_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset);
void wk_iq1_m_scales(const wk_quant *t, const uint8_t *b, float *scale, float *offset);
void wk_iq2_xxs_numbers(const uint8_t *b, int8_t *value);
void wk_iq2_xs_numbers(const uint8_t *b, int8_t *value);
void wk_iq2_s_numbers(const uint8_t *b, int8_t *value);
void wk_iq3_xxs_numbers(const uint8_t *b, int8_t *value);
void wk_iq3_s_numbers(const uint8_t *b, int8_t *value);
void wk_iq1_s_numbers(const uint8_t *b, int8_t *value);
void wk_iq1_m_numbers(const uint8_t *b, int8_t *value);

#endif
