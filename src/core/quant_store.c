// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_store.c - rows of f32 to blocks.
 *
 * Where the numbers of a group are not simply rounded, scales around the one that fits
 * the largest number are tried, and that of the least weighted squared error is taken.
 * Weights come from an importance matrix, or are larger for larger numbers.  Every
 * operation is in the order in which llama.cpp has it, so that the bits are the same. */
#include "core.h"
#include "quant.h"

#include <math.h>

enum { MAX_GROUP = 32 };
static const float NOTHING = 1e-15f; /* numbers below are 0 */

/* ---- Pieces ------------------------------------------------------------- */

/* Writes an f16 and returns it as it was rounded. */
float wk_put_half(uint8_t *p, float f)
{
    uint16_t h;
    wk_dtypes[WK_F16].store[WK_AS_F32](&h, &f, 1, 1);
    p[0] = (uint8_t)h, p[1] = (uint8_t)(h >> 8);
    return wk_half(h);
}

/* Bits of n numbers from bit shift on into their fields, which are 0. */
void wk_fields_put(uint8_t *block, const uint8_t *number, int n, wk_fields f, int shift)
{
    int      mask = (1 << f.width) - 1;
    uint8_t *b = block + f.at;
    for (const uint8_t *end = number + n; number < end; b += f.run)
        for (int s = 0; s < 8; s += f.width)
            for (int i = 0; i < f.run; i++, number++)
                b[i] = (uint8_t)(b[i] | (*number >> shift & mask) << s);
}

static void put_numbers(const wk_quant *t, uint8_t *b, const uint8_t *number)
{
    wk_fields_put(b, number, t->block, t->low, 0);
    if (t->high.width)
        wk_fields_put(b, number, t->block, t->high, t->low.width);
}

/* The number of the largest magnitude, with its sign. */
static float largest(const float *x, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(most))
            most = x[i];
    return most;
}

float wk_mean_square(const float *x, int64_t n)
{
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum / (float)n;
}

void wk_weigh(float *weight, const float *x, const float *importance, int n, float mean)
{
    for (int i = 0; i < n; i++)
        weight[i] = importance[i] * sqrtf(mean + x[i] * x[i]);
}

static float sum_of(const float *x, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static float inverse(float d) { return d != 0 ? 1 / d : 0; }

/* The integer below, within 0 .. top. */
static uint8_t whole(float x, int top)
{
    return (uint8_t)(x < (float)top ? x > 0 ? (int)x : 0 : top);
}

static int rounded(float x, int low, int high)
{
    x = roundf(x);
    return x > (float)low ? x < (float)high ? (int)x : high : low;
}

/* ---- Searches ----------------------------------------------------------- */

/* Integers l within -top .. top - 1 and a scale for n numbers; number is l + top.
 * weight NULL: the squares of the numbers. */
static float search_signed(const float *x, int n, int top, const float *weight, uint8_t *number)
{
    float most = largest(x, n), scale = 0, best = 0;
    memset(number, 0, (size_t)n);
    if (fabsf(most) < NOTHING)
        return 0;
    for (int try = 0; try < 19; try++) { /* the one that fits, then others in order */
        float step = 0.1f * (float)(try == 0 ? 0 : try < 10 ? try - 10 : try - 9);
        float factor = -((float)top + step) / most, xl = 0, ll = 0;
        for (int i = 0; i < n; i++) {
            float l = (float)wk_nearest_in(factor * x[i], -top, top - 1);
            float w = weight ? weight[i] : x[i] * x[i];
            xl += w * x[i] * l;
            ll += w * l * l;
        }
        if (try && !(ll > 0 && xl * xl > best * ll))
            continue;
        for (int i = 0; i < n; i++)
            number[i] = (uint8_t)(wk_nearest_in(factor * x[i], -top, top - 1) + top);
        scale = ll != 0 ? xl / ll : 0;
        best = scale * xl;
    }
    return scale;
}

/* Moves each integer to where the best scale for the others wants it, while that helps.
 * low < 0: the bytes are signed, and at least that.  Gives the scale. */
static float polish(const float *x, int n, int low, int high, const float *weight, uint8_t *number,
                    float xl, float ll)
{
    bool changed = true;
    for (int round = 0; round < 5 && changed; round++) {
        changed = false;
        for (int i = 0; i < n; i++) {
            int   l = low < 0 ? (int8_t)number[i] : number[i];
            float w = weight ? weight[i] : x[i] * x[i];
            float others_xl = xl - w * x[i] * (float)l, others_ll = ll - w * (float)l * (float)l;
            if (!(others_xl > 0 && others_ll > 0))
                continue;
            int to = wk_nearest_in(x[i] * others_ll / others_xl, low < 0 ? low : INT32_MIN, high);
            if (to == l)
                continue;
            others_xl += w * x[i] * (float)to;
            others_ll += w * (float)to * (float)to;
            if (others_xl * others_xl * ll > xl * xl * others_ll) {
                number[i] = (uint8_t)to;
                xl = others_xl, ll = others_ll;
                changed = true;
            }
        }
    }
    return ll > 0 ? xl / ll : 0;
}

/* Integers 0 .. top and a scale for numbers that are hardly negative: what is wraps. */
float wk_search_positive(const float *x, int n, int top, const float *weight, uint8_t *number)
{
    float most = 0, factor = 0, best = 0, xl = 0, ll = 0;
    for (int i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most, number[i] = 0;
    if (most < NOTHING)
        return 0;
    for (int try = 0; try < 9; try++) {
        float step = 0.1f * (float)(try == 0 ? 0 : try < 5 ? try - 5 : try - 4);
        float f = (step + (float)top) / most, scale = 1 / f, error = 0;
        for (int i = 0; i < n; i++) {
            int   l = wk_nearest_in(f * x[i], INT32_MIN, top);
            float off = x[i] - scale * (float)(try ? l : (uint8_t)l);
            error += weight[i] * off * off;
        }
        if (try == 0 || error < best)
            best = error, factor = f;
    }
    for (int i = 0; i < n; i++) {
        int l = wk_nearest_in(factor * x[i], INT32_MIN, top);
        number[i] = (uint8_t)l;
        xl += weight[i] * x[i] * (float)l;
        ll += weight[i] * (float)l * (float)l;
    }
    return polish(x, n, 0, top, weight, number, xl, ll);
}

typedef struct { /* of search_least: (top + low + step * i) / range for 0 <= i <= steps */
    float low, step;
    int   steps;
    bool  absolute; /* errors count as they are, not squared */
} tuning;

static const tuning WEIGHED = { -0.9f, 0.05f, 36, false };

static float error_of(const float *x, int n, const float *weight, const uint8_t *number,
                      float scale, float least, bool absolute, float enough)
{
    float error = 0;
    for (int i = 0; i < n && error < enough; i++) {
        float off = scale * (float)number[i] + least - x[i];
        error += weight[i] * (absolute ? fabsf(off) : off * off);
    }
    return error;
}

static void levels(uint8_t *number, const float *x, int n, float factor, float least, int top)
{
    for (int i = 0; i < n; i++)
        number[i] = (uint8_t)wk_nearest_in(factor * (x[i] - least), 0, top);
}

/* Integers 0 .. top, a scale, and a least number, which is not above 0. */
static float search_least(const float *x, int n, int top, const float *weight, tuning how,
                          uint8_t *number, float *least)
{
    float min = x[0], max = x[0], sum_w = 0, sum_x = 0;
    for (int i = 0; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
        sum_w += weight[i];
        sum_x += weight[i] * x[i];
    }
    min = min > 0 ? 0 : min;
    *least = min;
    memset(number, 0, (size_t)n);
    if (max <= min)
        return 0;
    float factor = (float)top / (max - min), scale = 1 / factor;
    levels(number, x, n, factor, min, top);
    float best = error_of(x, n, weight, number, scale, min, how.absolute, INFINITY);
    for (int i = 0; i <= how.steps; i++) {
        uint8_t other[MAX_GROUP];
        float   sum_l = 0, sum_ll = 0, sum_xl = 0;
        levels(other, x, n, (how.low + how.step * (float)i + (float)top) / (max - min), min, top);
        for (int j = 0; j < n; j++) {
            float l = (float)other[j], w = weight[j];
            sum_l += w * l;
            sum_ll += w * l * l;
            sum_xl += w * l * x[j];
        }
        float det = sum_w * sum_ll - sum_l * sum_l;
        if (!(det > 0))
            continue;
        float s = (sum_w * sum_xl - sum_x * sum_l) / det;
        float m = (sum_ll * sum_x - sum_l * sum_xl) / det;
        if (m > 0)
            m = 0, s = sum_xl / sum_ll;
        float error = error_of(x, n, weight, other, s, m, how.absolute, best);
        if (error < best) {
            memcpy(number, other, (size_t)n);
            best = error, scale = s, min = m;
        }
    }
    *least = min;
    return scale;
}

/* ---- Blocks of 32 ------------------------------------------------------- */

/* q4_0, q5_0 */
static void store_signed(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    uint8_t number[32];
    float   d = largest(s.x, 32) / (float)-t->zero, factor = inverse(d), weight[32];
    for (int i = 0; i < 32; i++)
        number[i] = whole(s.x[i] * factor + ((float)t->zero + 0.5f), 2 * t->zero - 1);
    if (s.importance) {
        wk_weigh(weight, s.x, s.importance, 32, s.row_mean);
        d = search_signed(s.x, 32, t->zero, weight, number);
    }
    wk_put_half(b + t->at, d);
    put_numbers(t, b, number);
}

/* q4_1, q5_1 */
static void store_least(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    uint8_t number[32];
    int     top = t->high.width ? 31 : 15;
    float   min = s.x[0], max = s.x[0], weight[32];
    for (int i = 0; i < 32; i++) {
        min = s.x[i] < min ? s.x[i] : min;
        max = s.x[i] > max ? s.x[i] : max;
    }
    float d = (max - min) / (float)top, factor = inverse(d);
    for (int i = 0; i < 32; i++)
        number[i] = whole((s.x[i] - min) * factor + 0.5f, top);
    if (s.importance) {
        wk_weigh(weight, s.x, s.importance, 32, s.row_mean);
        d = search_least(s.x, 32, top, weight, WEIGHED, number, &min);
    }
    wk_put_half(b + t->at, d);
    wk_put_half(b + t->at + 2, min);
    put_numbers(t, b, number);
}

/* q8_0, q8_1 */
static void store_8(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    float d = fabsf(largest(s.x, 32)) / 127, factor = inverse(d);
    int   sum = 0;
    for (int i = 0; i < 32; i++) {
        int l = rounded(s.x[i] * factor, -127, 127);
        b[t->low.at + i] = (uint8_t)l;
        sum += l;
    }
    wk_put_half(b, d);
    if (t->low.at == 4)
        wk_put_half(b + 2, (float)sum * d);
}

/* ---- Blocks of 256 ------------------------------------------------------ */

/* Integers of which the largest number is top; gives the scale. */
static float even_scales(const float *x, int n, int top, uint8_t *number)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int i = 0; i < n; i++)
        number[i] = (uint8_t)wk_nearest_in((most > 0 ? (float)top / most : 0) * x[i], 0, top);
    return most / (float)top;
}

/* The numbers of a group anew, now that scale and offset are rounded. */
static void requantize(uint8_t *number, const float *x, int n, float scale, float offset, int zero,
                       int top)
{
    for (int i = 0; i < n && scale != 0; i++)
        number[i] = (uint8_t)(wk_nearest_in((x[i] + offset) / scale, -zero, top - zero) + zero);
}

static void put_k_scale(uint8_t *s, int g, int scale, int min)
{
    if (g < 4) {
        s[g] = (uint8_t)scale, s[g + 4] = (uint8_t)min;
    } else {
        s[g + 4] = (uint8_t)((scale & 15) | (min & 15) << 4);
        s[g - 4] = (uint8_t)(s[g - 4] | scale >> 4 << 6);
        s[g] = (uint8_t)(s[g] | min >> 4 << 6);
    }
}

/* q2_k, q4_k, q5_k */
static void store_k_least(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    static const tuning how[] = { [2] = { -0.5f, 0.1f, 15, true },
                                  [4] = { -1, 0.1f, 20, false },
                                  [5] = { -0.5f, 0.1f, 15, false } };
    int                 n = t->group, groups = t->block / n, bits = t->low.width + t->high.width;
    int                 top = (1 << bits) - 1, most = bits == 2 ? 15 : 63;
    uint8_t number[WK_QUANT_MAX_BLOCK], sc[WK_QUANT_MAX_GROUPS], mn[WK_QUANT_MAX_GROUPS];
    float   scale[WK_QUANT_MAX_GROUPS], least[WK_QUANT_MAX_GROUPS], sum[WK_QUANT_MAX_GROUPS];
    float   mean = wk_mean_square(s.x, t->block) * (bits == 2 ? 1 : 2), weight[MAX_GROUP];
    for (int g = 0; g < groups; g++) {
        const float *x = s.x + g * n;
        float        base = bits == 2 ? 0 : sqrtf(wk_mean_square(x, n));
        for (int i = 0; i < n; i++)
            weight[i] = base + fabsf(x[i]);
        if (s.importance)
            wk_weigh(weight, x, s.importance + g * n, n, mean);
        sum[g] = sum_of(weight, n);
        scale[g] = search_least(x, n, top, weight, s.importance ? WEIGHED : how[bits],
                                number + g * n, &least[g]);
        least[g] = -least[g];
    }
    float d = s.importance ? wk_search_positive(scale, groups, most, sum, sc)
                           : even_scales(scale, groups, most, sc);
    float m = s.importance ? wk_search_positive(least, groups, most, sum, mn)
                           : even_scales(least, groups, most, mn);
    d = wk_put_half(b + t->at, d);
    m = wk_put_half(b + t->at + 2, m);
    for (int g = 0; g < groups; g++) {
        if (bits == 2)
            b[g] = (uint8_t)(sc[g] | mn[g] << 4);
        else
            put_k_scale(b + 4, g, sc[g], mn[g]);
        requantize(number + g * n, s.x + g * n, n, d * (float)sc[g], m * (float)mn[g], 0, top);
    }
    put_numbers(t, b, number);
}

/* Integers -4 .. 3 for a group of q3_k, without weights but by descent. */
static float search_k3(const float *x, uint8_t *number)
{
    float most = largest(x, 16), xl = 0, ll = 0;
    memset(number, 0, 16);
    if (fabsf(most) < NOTHING)
        return 0;
    for (int i = 0; i < 16; i++) {
        int   l = wk_nearest_in(-4 / most * x[i], -4, 3);
        float w = x[i] * x[i];
        number[i] = (uint8_t)l;
        xl += w * x[i] * (float)l;
        ll += w * (float)l * (float)l;
    }
    float scale = polish(x, 16, -4, 3, NULL, number, xl, ll);
    for (int i = 0; i < 16; i++)
        number[i] = (uint8_t)(number[i] + 4);
    return scale;
}

static void store_q3_k(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    uint8_t number[256], sc[16] = { 0 };
    float   scale[16], sum[16], weight[16], d, mean = wk_mean_square(s.x, 256) * 2;
    for (int g = 0; g < 16; g++) {
        const float *x = s.x + g * 16;
        if (s.importance) {
            wk_weigh(weight, x, s.importance + g * 16, 16, mean);
            sum[g] = sum_of(weight, 16);
            scale[g] = search_signed(x, 16, 4, weight, number + g * 16);
        } else {
            scale[g] = search_k3(x, number + g * 16);
        }
    }
    if (s.importance) {
        d = search_signed(scale, 16, 32, sum, sc);
    } else {
        float most = largest(scale, 16), factor = most != 0 ? -32 / most : 0;
        for (int g = 0; g < 16 && most != 0; g++)
            sc[g] = (uint8_t)(wk_nearest_in(factor * scale[g], -32, 31) + 32);
        d = inverse(factor);
    }
    d = wk_put_half(b + t->at, d);
    wk_fields_put(b, sc, 16, (wk_fields){ 96, 4, 8 }, 0);
    wk_fields_put(b, sc, 16, (wk_fields){ 104, 2, 4 }, 4);
    for (int g = 0; g < 16; g++)
        requantize(number + g * 16, s.x + g * 16, 16, d * (float)(sc[g] - 32), 0, 4, 7);
    put_numbers(t, b, number);
}

static void store_q6_k(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    uint8_t number[256];
    float   scale[16];
    for (int g = 0; g < 16; g++)
        scale[g] = search_signed(s.x + g * 16, 16, 32, s.importance ? s.importance + g * 16 : NULL,
                                 number + g * 16);
    float most = largest(scale, 16), factor = -128 / most;
    if (fabsf(most) < NOTHING)
        return;
    float d = wk_put_half(b + t->at, 1 / factor);
    for (int g = 0; g < 16; g++) {
        int sc = wk_nearest_in(factor * scale[g], -128, 127);
        b[192 + g] = (uint8_t)sc;
        requantize(number + g * 16, s.x + g * 16, 16, d * (float)sc, 0, 32, 63);
    }
    put_numbers(t, b, number);
}

static void store_q8_k(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    float most = largest(s.x, t->block), factor = -127 / most, d = 1 / factor;
    if (most == 0)
        return;
    for (int g = 0; g < 16; g++) {
        int sum = 0;
        for (int i = 0; i < 16; i++) {
            int l = wk_nearest_in(factor * s.x[g * 16 + i], -128, 127);
            b[4 + g * 16 + i] = (uint8_t)l;
            sum += l;
        }
        b[260 + 2 * g] = (uint8_t)sum, b[261 + 2 * g] = (uint8_t)(sum >> 8);
    }
    uint32_t u;
    memcpy(&u, &d, sizeof u);
    for (int i = 0; i < 4; i++)
        b[i] = (uint8_t)(u >> 8 * i);
}

/* ---- Numbers that stand for others -------------------------------------- */

/* The nearest of the ascending values; between two, the upper.  Without branches, as
 * none could be foreseen. */
static uint8_t nearest_iq4(float x)
{
    const int8_t *v = wk_iq4_values;
    int           low = 0;
    for (int step = 8; step > 0; step /= 2)
        low += step * (x >= (float)v[low + step]);
    low -= low == 15;
    return (uint8_t)(low + !(x - (float)v[low] < (float)v[low + 1] - x));
}

static float search_iq4(const float *x, const float *weight)
{
    float most = largest(x, 32), d = 0, best = 0;
    if (fabsf(most) < NOTHING)
        return 0;
    for (int try = -8; try <= 7; try++) { /* the first: the largest is the largest value */
        float least = (float)wk_iq4_values[0], factor = ((float)try + least) / most;
        float xq = 0, qq = 0;
        if (try == -8)
            factor = 1 / (-most / least);
        for (int i = 0; i < 32; i++) {
            float q = (float)wk_iq4_values[nearest_iq4(factor * x[i])];
            xq += weight[i] * q * x[i];
            qq += weight[i] * q * q;
        }
        if (try > -8 && !(qq > 0 && xq * xq > best * qq))
            continue;
        d = qq > 0 ? xq / qq : 0;
        best = d * xq;
    }
    return d;
}

/* iq4_nl, iq4_xs */
static void store_iq4(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    int     groups = t->block / 32;
    uint8_t number[WK_QUANT_MAX_BLOCK], sc[8];
    float   scale[8], weight[32], mean = wk_mean_square(s.x, t->block) * 2;
    for (int g = 0; g < groups; g++) {
        const float *x = s.x + g * 32;
        for (int i = 0; i < 32; i++)
            weight[i] = x[i] * x[i];
        if (s.importance)
            wk_weigh(weight, x, s.importance + g * 32, 32, mean);
        scale[g] = search_iq4(x, weight);
    }
    float d = groups == 1 ? scale[0] : -largest(scale, groups) / 32;
    wk_put_half(b + t->at, d);
    for (int g = 0; g < groups; g++) {
        int l = groups == 1 ? 1 : wk_nearest_in(inverse(d) * scale[g], -32, 31);
        sc[g] = (uint8_t)(l + 32);
        for (int i = 0; i < 32; i++)
            number[g * 32 + i] = nearest_iq4(inverse(d * (float)l) * s.x[g * 32 + i]);
    }
    if (groups > 1) {
        wk_fields_put(b, sc, 8, (wk_fields){ 4, 4, 1 }, 0);
        wk_fields_put(b, sc, 8, (wk_fields){ 2, 2, 1 }, 4);
    }
    put_numbers(t, b, number);
}

/* The largest number is one of the ends. */
static void store_nf4(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    uint8_t number[32];
    float   d = fabsf(largest(s.x, 32)) / WK_NF4_TOP, factor = inverse(d);
    for (int i = 0; i < 32; i++) {
        int k = 0;
        while (k < 15 && factor * s.x[i] * 2 > (float)(wk_nf4_values[k] + wk_nf4_values[k + 1]))
            k++;
        number[i] = (uint8_t)k;
    }
    wk_put_half(b + t->at, d);
    put_numbers(t, b, number);
}

static uint8_t to_e8m0(float most)
{
    return most > 0 ? (uint8_t)rounded(floorf(log2f(most)) - 2 + 127, 0, 254) : 0;
}

/* Rounds half up; from 256 on all is the largest. */
static uint8_t to_ue4m3(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if (!(x >= 0x1p-6f))
        return whole(x * 512 + 0.5f, 7);
    u = x < 256 ? ((u + (1u << 19)) >> 20) - (120 << 3) : 120;
    return (uint8_t)(u >= 120 ? 0x7E : u);
}

/* mxfp4, nvfp4 */
static void store_fp4(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    uint8_t number[64];
    for (int g = 0; g < t->block / t->group; g++) {
        const float *x = s.x + g * t->group;
        float        most = fabsf(largest(x, t->group));
        b[g] = t->group == 32 ? to_e8m0(most) : to_ue4m3(most / 6);
        float d = t->group == 32 ? wk_e8m0(b[g]) : wk_ue4m3(b[g]);
        for (int i = 0; i < t->group; i++) {
            int   best = 0;
            float least = fabsf(x[i]);
            for (int k = 1; k < 16; k++) {
                float off = fabsf((float)wk_fp4_values[k] * d - x[i]);
                if (off < least)
                    best = k, least = off;
            }
            number[g * t->group + i] = (uint8_t)best;
        }
    }
    put_numbers(t, b, number);
}

/* tq2_0, q2_0: -1, 0, 1 and, of the latter, 2 */
static void store_ternary(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    uint8_t number[WK_QUANT_MAX_BLOCK];
    float   d = fabsf(largest(s.x, t->block)), factor = inverse(d);
    for (int i = 0; i < t->block; i++)
        number[i] = (uint8_t)(rounded(s.x[i] * factor, -1, 1) + 1);
    wk_put_half(b + t->at, d);
    if (t->low.width) {
        put_numbers(t, b, number);
        return;
    }
    static const uint8_t part[3][3] = { { 32, 32, 5 }, { 16, 16, 5 }, { 4, 4, 4 } }; /* tq1_0 */
    const uint8_t       *at = number;
    for (int p = 0; p < 3; at += part[p][0] * part[p][2], b += part[p++][0])
        for (int i = 0; i < part[p][1]; i++) {
            int q = 0;
            for (int digit = 0; digit < 5; digit++)
                q = q * 3 + (digit < part[p][2] ? at[i + digit * part[p][0]] : 0);
            b[i] = (uint8_t)((q * 256 + 242) / 243); /* as a fraction, rounded up */
        }
}

static void store_q1_0(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    uint8_t number[128];
    float   sum = 0;
    for (int i = 0; i < 128; i++) {
        sum += fabsf(s.x[i]);
        number[i] = s.x[i] >= 0;
    }
    wk_put_half(b, sum / 128);
    put_numbers(t, b, number);
}

/* ---- The loop ----------------------------------------------------------- */

static void (*const encoders[WK_QUANT_COUNT])(const wk_quant *t, uint8_t *b, wk_quant_source s) = {
    [WK_QUANT_q4_0] = store_signed,     [WK_QUANT_q5_0] = store_signed,
    [WK_QUANT_q4_1] = store_least,      [WK_QUANT_q5_1] = store_least,
    [WK_QUANT_q8_0] = store_8,          [WK_QUANT_q8_1] = store_8,
    [WK_QUANT_q2_k] = store_k_least,    [WK_QUANT_q4_k] = store_k_least,
    [WK_QUANT_q5_k] = store_k_least,    [WK_QUANT_q3_k] = store_q3_k,
    [WK_QUANT_q6_k] = store_q6_k,       [WK_QUANT_q8_k] = store_q8_k,
    [WK_QUANT_iq4_nl] = store_iq4,      [WK_QUANT_iq4_xs] = store_iq4,
    [WK_QUANT_mxfp4] = store_fp4,       [WK_QUANT_nvfp4] = store_fp4,
    [WK_QUANT_tq1_0] = store_ternary,   [WK_QUANT_tq2_0] = store_ternary,
    [WK_QUANT_q2_0] = store_ternary,    [WK_QUANT_q1_0] = store_q1_0,
    [WK_QUANT_iq3_s] = wk_store_grid,   [WK_QUANT_iq3_xxs] = wk_store_grid,
    [WK_QUANT_iq2_s] = wk_store_grid,   [WK_QUANT_iq2_xs] = wk_store_grid,
    [WK_QUANT_iq2_xxs] = wk_store_grid, [WK_QUANT_iq1_m] = wk_store_iq1,
    [WK_QUANT_iq1_s] = wk_store_iq1,    [WK_QUANT_nf4] = store_nf4,
};

static bool store(int kind, void *blocks, const float *row, int64_t n, const float *importance)
{
    const wk_quant *t = &wk_quants[kind];
    wk_quant_source s = { row, importance, importance ? wk_mean_square(row, n) : 0 };
    if (t->needs_importance && !importance) {
        wk_fail(WK_ERR_ARGUMENT, "%s: needs an importance matrix", t->name);
        return false;
    }
    if (t->grid && !wk_grid_prepare(t->grid - 1))
        return false;
    for (uint8_t *b = blocks; n > 0; n -= t->block, b += t->bytes) {
        memset(b, 0, (size_t)t->bytes);
        encoders[kind](t, b, s);
        s.x += t->block;
        s.importance = importance ? s.importance + t->block : NULL;
    }
    return true;
}

#define QUANT(name, ...)                                                                           \
    bool wk_##name##_store(void *blocks, const float *row, int64_t n, const float *importance)     \
    {                                                                                              \
        return store(WK_QUANT_##name, blocks, row, n, importance);                                 \
    }
#include "quant.def"
#undef QUANT
