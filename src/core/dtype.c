// SPDX-License-Identifier: MIT OR Apache-2.0
/* dtype.c - the table of dtypes: names, sizes, and rows of elements to and from the
 * three types that kernels compute in. */
#include "core.h"
#include "quant.h"

#include <math.h>

/* ---- Small floats ------------------------------------------------------- */

static float bits_to_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t f32_to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* A float of 1 + exponent + mantissa bits, as f32.  finite: no infinities, and all
 * ones is the only NaN, as in f8_e4m3. */
static float decode(uint32_t u, int exponent, int mantissa, bool finite)
{
    uint32_t sign = u >> (exponent + mantissa) << 31;
    uint32_t e = u >> mantissa & ((1u << exponent) - 1), m = u & ((1u << mantissa) - 1);
    int      bias = (1 << (exponent - 1)) - 1;
    bool     top = e == (1u << exponent) - 1;
    if (finite ? top && m == (1u << mantissa) - 1 : top)
        return bits_to_f32(sign | 0x7F800000u | (finite ? 0x400000u : m << (23 - mantissa)));
    if (e == 0) /* subnormal: m units of 2^(1 - bias - mantissa) */
        return (sign ? -1.0f : 1.0f) * (float)m *
               bits_to_f32((uint32_t)(128 - bias - mantissa) << 23);
    return bits_to_f32(sign | (e + (uint32_t)(127 - bias)) << 23 | m << (23 - mantissa));
}

/* The reverse, rounding to nearest, ties to even. */
static uint32_t encode(float f, int exponent, int mantissa, bool finite)
{
    uint32_t u = f32_to_bits(f), sign = u >> 31 << (exponent + mantissa), a = u & 0x7FFFFFFFu;
    uint32_t top = ((1u << exponent) - 1) << mantissa, nan = top | ((1u << mantissa) - 1);
    int      bias = (1 << (exponent - 1)) - 1, drop = 23 - mantissa;
    if (a > 0x7F800000u)
        return sign | (finite ? nan : top | 1u << (mantissa - 1));
    int least = 128 - bias; /* the f32 exponent of the smallest normal number */
    if ((int)(a >> 23) < least) {
        int      shift = least - (int)(a >> 23) + drop;
        uint32_t m = (a & 0x7FFFFFu) | (a >> 23 ? 0x800000u : 0);
        if (shift > 25)
            return sign;
        uint32_t half = 1u << (shift - 1), rest = m & ((1u << shift) - 1);
        m >>= shift;
        return sign | (m + (rest > half || (rest == half && (m & 1))));
    }
    uint32_t r = a - ((uint32_t)(127 - bias) << 23);
    r = (r + ((1u << (drop - 1)) - 1) + (r >> drop & 1)) >> drop;
    if (finite)
        return sign | (r >= nan ? nan - 1 : r); /* the largest stands for all beyond it */
    return sign | (r > top ? top : r);
}

static float    f16_decode(uint16_t u) { return decode(u, 5, 10, false); }
static float    bf16_decode(uint16_t u) { return bits_to_f32((uint32_t)u << 16); }
static float    e4m3_decode(uint8_t u) { return decode(u, 4, 3, true); }
static float    e5m2_decode(uint8_t u) { return decode(u, 5, 2, false); }
static uint16_t f16_encode(float f) { return (uint16_t)encode(f, 5, 10, false); }
static uint8_t  e4m3_encode(float f) { return (uint8_t)encode(f, 4, 3, true); }
static uint8_t  e5m2_encode(float f) { return (uint8_t)encode(f, 5, 2, false); }

static uint16_t bf16_encode(float f)
{
    uint32_t u = f32_to_bits(f);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

/* ---- Rows --------------------------------------------------------------- */

static int64_t whole(double x) /* as a cast does, but defined for every x */
{
    return x >= 0x1p63 ? INT64_MAX : x >= -0x1p63 ? (int64_t)x : x < 0 ? INT64_MIN : 0;
}

/* name, element, element -> number, and for each computing type number -> element */
#define ROWS(name, T, decode, to_f32, to_f64, to_i64)                                              \
    LOAD(name, f32, T, float, (float)decode(x))                                                    \
    LOAD(name, f64, T, double, (double)decode(x))                                                  \
    LOAD(name, i64, T, int64_t, TO_I64_##name(decode(x)))                                          \
    STORE(name, f32, T, float, to_f32)                                                             \
    STORE(name, f64, T, double, to_f64)                                                            \
    STORE(name, i64, T, int64_t, to_i64)
#define LOAD(name, as, T, R, value)                                                                \
    static void name##_load_##as(void *row, const void *elements, int64_t n, int64_t stride)       \
    {                                                                                              \
        R       *r = row;                                                                          \
        const T *e = elements;                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                          \
            T x = e[i * stride];                                                                   \
            r[i] = value;                                                                          \
        }                                                                                          \
    }
#define STORE(name, as, T, R, value)                                                               \
    static void name##_store_##as(void *elements, const void *row, int64_t n, int64_t stride)      \
    {                                                                                              \
        const R *r = row;                                                                          \
        T       *e = elements;                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                          \
            R x = r[i];                                                                            \
            e[i * stride] = (T)(value);                                                            \
        }                                                                                          \
    }
#define SAME(x)         (x)
#define TO_I64_f64(x)   whole(x)
#define TO_I64_f32(x)   whole((double)(x))
#define TO_I64_f16(x)   whole((double)(x))
#define TO_I64_bf16(x)  whole((double)(x))
#define TO_I64_e4m3(x)  whole((double)(x))
#define TO_I64_e5m2(x)  whole((double)(x))
#define TO_I64_i64(x)   (x)
#define TO_I64_i32(x)   (x)
#define TO_I64_i16(x)   (x)
#define TO_I64_i8(x)    (x)
#define TO_I64_u8(x)    (x)
#define TO_I64_u32(x)   (x)
#define TO_I64_truth(x) (x)

ROWS(f64, double, SAME, (double)x, x, (double)x)
ROWS(f32, float, SAME, x, (float)x, (float)x)
ROWS(f16, uint16_t, f16_decode, f16_encode(x), f16_encode((float)x), f16_encode((float)x))
ROWS(bf16, uint16_t, bf16_decode, bf16_encode(x), bf16_encode((float)x), bf16_encode((float)x))
ROWS(e4m3, uint8_t, e4m3_decode, e4m3_encode(x), e4m3_encode((float)x), e4m3_encode((float)x))
ROWS(e5m2, uint8_t, e5m2_decode, e5m2_encode(x), e5m2_encode((float)x), e5m2_encode((float)x))
ROWS(i64, int64_t, SAME, whole((double)x), whole(x), x)
ROWS(i32, int32_t, SAME, whole((double)x), whole(x), x)
ROWS(i16, int16_t, SAME, whole((double)x), whole(x), x)
ROWS(i8, int8_t, SAME, whole((double)x), whole(x), x)
ROWS(u8, uint8_t, SAME, whole((double)x), whole(x), x)
ROWS(u32, uint32_t, SAME, whole((double)x), whole(x), x)
ROWS(truth, uint8_t, SAME, x != 0, x != 0, x != 0)

/* ---- Blocks ------------------------------------------------------------- */

/* The list of wick/tensor.h is that of quant.def. */
#define DTYPE_OF(name) (WK_Q4_0 + WK_QUANT_##name)
_Static_assert(DTYPE_OF(iq4_xs) == WK_IQ4_XS && DTYPE_OF(iq1_s) == WK_IQ1_S &&
                   DTYPE_OF(nf4) == WK_NF4 && (int)DTYPE_OF(COUNT) == WK_DTYPE_COUNT,
               "wk_dtype does not list what quant.def does");

static void load_f64(const wk_quant *t, double *row, const char *blocks, int64_t n)
{
    for (; n > 0; n -= t->block, row += t->block, blocks += t->bytes) {
        float part[WK_QUANT_MAX_BLOCK];
        t->load(part, blocks, t->block);
        for (int i = 0; i < t->block; i++)
            row[i] = (double)part[i];
    }
}

#define QUANT(name, ...)                                                                           \
    static void name##_load_f32(void *row, const void *blocks, int64_t n, int64_t stride)          \
    {                                                                                              \
        (void)stride;                                                                              \
        wk_##name##_load(row, blocks, n);                                                          \
    }                                                                                              \
    static void name##_load_f64(void *row, const void *blocks, int64_t n, int64_t stride)          \
    {                                                                                              \
        (void)stride;                                                                              \
        load_f64(&wk_quants[WK_QUANT_##name], row, blocks, n);                                     \
    }                                                                                              \
    static void name##_store_f32(void *blocks, const void *row, int64_t n, int64_t stride)         \
    {                                                                                              \
        (void)stride;                                                                              \
        wk_##name##_store(blocks, row, n, NULL);                                                   \
    }
#include "quant.def"
#undef QUANT

/* ---- The table ---------------------------------------------------------- */

#define FUNCTIONS(name)                                                                            \
    .load = { name##_load_f32, name##_load_f64, name##_load_i64 },                                 \
    .store = { name##_store_f32, name##_store_f64, name##_store_i64 }

wk_dtype_info wk_dtypes[WK_DTYPE_COUNT] = {
    [WK_DEFAULT] = { "default", "", 0, false, 0, WK_AS_F32, .load = { 0 } },
    [WK_F32] = { "f32", "F32", 4, true, 23, WK_AS_F32, FUNCTIONS(f32) },
    [WK_F64] = { "f64", "F64", 8, true, 24, WK_AS_F64, FUNCTIONS(f64) },
    [WK_F16] = { "f16", "F16", 2, true, 22, WK_AS_F32, FUNCTIONS(f16) },
    [WK_BF16] = { "bf16", "BF16", 2, true, 22, WK_AS_F32, FUNCTIONS(bf16) },
    [WK_F8_E4M3] = { "f8_e4m3", "F8_E4M3", 1, true, 21, WK_AS_F32, FUNCTIONS(e4m3) },
    [WK_F8_E5M2] = { "f8_e5m2", "F8_E5M2", 1, true, 21, WK_AS_F32, FUNCTIONS(e5m2) },
    [WK_I64] = { "i64", "I64", 8, false, 15, WK_AS_I64, FUNCTIONS(i64) },
    [WK_I32] = { "i32", "I32", 4, false, 13, WK_AS_I64, FUNCTIONS(i32) },
    [WK_I16] = { "i16", "I16", 2, false, 12, WK_AS_I64, FUNCTIONS(i16) },
    [WK_I8] = { "i8", "I8", 1, false, 11, WK_AS_I64, FUNCTIONS(i8) },
    [WK_U8] = { "u8", "U8", 1, false, 11, WK_AS_I64, FUNCTIONS(u8) },
    [WK_U32] = { "u32", "U32", 4, false, 13, WK_AS_I64, FUNCTIONS(u32) },
    [WK_BOOL] = { "bool", "BOOL", 1, false, 1, WK_AS_I64, FUNCTIONS(truth) },
#define QUANT(name_, gguf_, block_, bytes_, ...)                                                   \
    [DTYPE_OF(name_)] = { #name_,                                                                  \
                          "",                                                                      \
                          bytes_,                                                                  \
                          true,                                                                    \
                          23,                                                                      \
                          WK_AS_F32,                                                               \
                          .load = { name_##_load_f32, name_##_load_f64 },                          \
                          .store = { name_##_store_f32 },                                          \
                          .block = block_ },
#include "quant.def"
#undef QUANT
};

wk_as wk_as_wider(wk_as a, wk_as b)
{
    if (a == WK_AS_F64 || b == WK_AS_F64)
        return WK_AS_F64;
    return a == WK_AS_F32 || b == WK_AS_F32 ? WK_AS_F32 : WK_AS_I64;
}

static bool known(wk_dtype d) { return d > WK_DEFAULT && d < WK_DTYPE_COUNT; }

const char *wk_dtype_name(wk_dtype d) { return wk_dtypes[known(d) ? d : WK_DEFAULT].name; }
size_t      wk_dtype_size(wk_dtype d) { return known(d) ? wk_dtypes[d].size : 0; }
int64_t     wk_dtype_block(wk_dtype d) { return known(d) ? wk_max_i64(wk_dtypes[d].block, 1) : 1; }
bool        wk_dtype_is_float(wk_dtype d) { return known(d) && wk_dtypes[d].is_float; }

wk_dtype wk_dtype_find(const char *name)
{
    for (int d = WK_DEFAULT + 1; name && d < WK_DTYPE_COUNT; d++)
        if (!strcmp(name, wk_dtypes[d].name))
            return (wk_dtype)d;
    return WK_DEFAULT;
}

wk_dtype wk_dtype_promote(wk_dtype a, wk_dtype b)
{
    a = wk_dtypes[a].block ? WK_F32 : a;
    b = wk_dtypes[b].block ? WK_F32 : b;
    const wk_dtype_info *x = &wk_dtypes[a], *y = &wk_dtypes[b];
    if (a == b)
        return a;
    if (x->rank == y->rank) /* two kinds of the same size: the next that holds both */
        return x->is_float ? WK_F32 : x->size == 1 ? WK_I16 : WK_I64;
    wk_dtype high = x->rank > y->rank ? a : b, low = high == a ? b : a;
    return high == WK_U32 && (low == WK_I16 || low == WK_I8) ? WK_I64 : high;
}
