// SPDX-License-Identifier: MIT OR Apache-2.0
/* coded.c - matrices of small numbers with scales as tensors.
 *
 * Blocks of 32 or 64 numbers with a scale in f16 hold the numbers of larger groups as they
 * are: the blocks of a group have the same scale.  What has a zero of its own in each group
 * needs one bit more, and no offset.  Where there are no such blocks, or a scale is none of
 * f16, elements become floats. */
#include "coded.h"
#include "../core/quant.h"

#include <math.h>

int wk_code_at(const wk_codes *c, int64_t line, int64_t i)
{
    bool           bytes = c->unit == 8;
    int64_t        bit = i * c->bits, unit = bytes ? bit >> 3 : bit >> 5;
    int            shift = (int)(bit & (c->unit - 1));
    const uint8_t *p = c->at + (line * c->line + unit * c->next) * (c->unit / 8);
    uint32_t       x = bytes ? *p : wk_le32(p), mask = (1u << c->bits) - 1;
    if (c->places)
        shift = c->places[shift / c->bits] * c->bits;
    x >>= shift;
    if (shift + c->bits > c->unit)
        x |= wk_le32(p + 4 * c->next) << (32 - shift);
    int code = (int)(x & mask);
    return c->has_sign && code > (int)(mask >> 1) ? code - (int)mask - 1 : code;
}

static int code(const wk_coded *c, int64_t o, int64_t k)
{
    return c->codes.by_input ? wk_code_at(&c->codes, k, o) : wk_code_at(&c->codes, o, k);
}

static int64_t group_of(const wk_coded *c, int64_t k)
{
    return c->group_of ? c->group_of[k] : k / c->group;
}

static int zero_of(const wk_coded *c, int64_t o, int64_t group)
{
    return c->zero ? c->zero[o * c->groups + group] : c->same_zero;
}

void wk_coded_free(wk_coded *c)
{
    wk_free(c->scale);
    wk_free(c->zero);
    wk_free(c->group_of);
    *c = (wk_coded){ 0 };
}

/* ---- Which blocks ------------------------------------------------------- */

/* What is multiplied with integers of the dtype to give the number: a scale of the file. */
static float scale_in(wk_dtype dtype, float scale)
{
    return dtype == WK_NF4 ? scale / WK_NF4_TOP : dtype == WK_Q2_0 ? -scale : scale;
}

/* As f16 it keeps 11 bits. */
static bool fits_half(float scale)
{
    uint8_t bytes[2];
    float   half = wk_put_half(bytes, scale);
    return fabsf(half - scale) <= fabsf(scale) * 0x1p-11f && fabsf(half) < INFINITY;
}

/* Blocks for all numbers from low to high. */
static wk_dtype for_range(int low, int high)
{
    static const struct {
        int      low, high;
        wk_dtype dtype;
    } ranges[] = {
        { -2, 1, WK_Q2_0 }, /* has -1 .. 2 */
        { -8, 7, WK_Q4_0 },
        { -16, 15, WK_Q5_0 },
        { -128, 127, WK_Q8_0 },
    };
    for (size_t i = 0; i < WK_COUNT(ranges); i++)
        if (low >= ranges[i].low && high <= ranges[i].high)
            return ranges[i].dtype;
    return WK_DEFAULT;
}

static wk_dtype for_integers(const wk_coded *c, int64_t group)
{
    const wk_codes *f = &c->codes;
    int             least = c->same_zero, most = least, top = (1 << f->bits) - 1;
    for (int64_t i = 0; c->zero && i < c->out * c->groups; i++) {
        least = i == 0 || c->zero[i] < least ? c->zero[i] : least;
        most = i == 0 || c->zero[i] > most ? c->zero[i] : most;
    }
    int      low = f->has_sign ? -(top / 2) - 1 : 0;
    wk_dtype dtype = for_range(low - most, low + top - least);
    return dtype == WK_Q2_0 && group % 64 ? WK_Q4_0 : dtype;
}

static bool scales_fit(const wk_coded *c, wk_dtype dtype)
{
    int64_t i = 0, n = c->out * c->groups;
    while (i < n && fits_half(scale_in(dtype, c->scale[i])))
        i++;
    return i == n;
}

/* WK_DEFAULT: none.  Whole groups of `group` inputs lie together, if need be in order. */
static wk_dtype blocks_for(const wk_coded *c, int64_t group)
{
    wk_dtype dtype = c->like == WK_F32 ? WK_DEFAULT : c->like ? c->like : for_integers(c, group);
    if (!dtype || group % wk_dtypes[dtype].block || c->in % wk_dtypes[dtype].block)
        return WK_DEFAULT;
    if (dtype != WK_MXFP4 && !scales_fit(c, dtype))
        return WK_DEFAULT;
    return dtype;
}

/* ---- The order of inputs ------------------------------------------------ */

/* The inputs of each group one after another, and what all lengths are multiples of. */
static int64_t sorted(const wk_coded *c, int64_t *order)
{
    int64_t *start = wk_alloc_array((size_t)c->groups + 1, sizeof *start), step = 256;
    for (int64_t k = 0; start && k < c->in; k++)
        start[c->group_of[k] + 1]++;
    for (int64_t g = 0; start && g < c->groups; g++) {
        while (step > 1 && start[g + 1] % step)
            step /= 2;
        start[g + 1] += start[g];
    }
    for (int64_t k = 0; start && k < c->in; k++)
        order[start[c->group_of[k]]++] = k;
    wk_free(start);
    return step;
}

/* ---- Rows --------------------------------------------------------------- */

typedef struct {
    const wk_coded *c;
    const int64_t  *order;
    wk_dtype        dtype;
    char           *to;
} job;

static int64_t input(const job *j, int64_t k) { return j->order ? j->order[k] : k; }

static void block_rows(void *ctx, int64_t begin, int64_t end)
{
    const job      *j = ctx;
    const wk_coded *c = j->c;
    const wk_quant *t = &wk_quants[j->dtype - WK_Q4_0];
    bool            integers = !c->like, flips = j->dtype == WK_Q2_0;
    uint8_t        *b = (uint8_t *)j->to + begin * (c->in / t->block) * t->bytes;
    for (int64_t o = begin; o < end; o++)
        for (int64_t k = 0; k < c->in; k += t->block, b += t->bytes) {
            uint8_t number[WK_QUANT_MAX_BLOCK];
            int64_t group = group_of(c, input(j, k));
            int     zero = zero_of(c, o, group);
            float   scale = c->scale[o * c->groups + group];
            for (int i = 0; i < t->block; i++) {
                int x = code(c, o, input(j, k + i)) - (integers ? zero : 0);
                number[i] = (uint8_t)(integers ? (flips ? -x : x) + t->zero : x);
            }
            memset(b, 0, (size_t)t->bytes);
            if (j->dtype == WK_MXFP4)
                b[0] = (uint8_t)(ilogbf(scale) + 127);
            else
                wk_put_half(b + t->at, scale_in(j->dtype, scale));
            wk_fields_put(b, number, t->block, t->low, 0);
            if (t->high.width)
                wk_fields_put(b, number, t->block, t->high, t->low.width);
        }
}

static void float_rows(void *ctx, int64_t begin, int64_t end)
{
    const job           *j = ctx;
    const wk_coded      *c = j->c;
    const wk_dtype_info *d = &wk_dtypes[j->dtype];
    float               *row = wk_scratch((size_t)c->in * sizeof *row);
    for (int64_t o = begin; row && o < end; o++) {
        for (int64_t k = 0; k < c->in; k++) {
            int64_t group = group_of(c, k);
            int     x = code(c, o, k);
            row[k] = (c->like ? c->level[x] : (float)(x - zero_of(c, o, group))) *
                     c->scale[o * c->groups + group];
        }
        d->store[WK_AS_F32](j->to + o * c->in * (int64_t)d->size, row, c->in, 1);
    }
}

static wk_tensor *fill(job *j)
{
    const wk_coded *c = j->c;
    wk_shape        shape = WK_SHAPE(c->out, c->in);
    wk_tensor      *x = wk_pool(wk_tensor_new(wk_cpu_device(), j->dtype, shape));
    if (!x)
        return NULL;
    j->to = wk_at_host(x);
    wk_parallel(c->out, 16, wk_is_quantized(x) ? block_rows : float_rows, j);
    return wk_ok() ? x : NULL;
}

wk_tensor *wk_coded_tensor(const wk_coded *c, wk_dtype dtype, wk_tensor **order)
{
    bool     blocks = dtype == WK_DEFAULT || wk_dtypes[dtype].block;
    job      j = { .c = c, .dtype = blocks ? c->narrow : dtype };
    wk_dtype exact = WK_DEFAULT;
    int64_t *sort = NULL;
    wk_scope scope = wk_mark();
    if (!j.dtype)
        j.dtype = scales_fit(c, WK_F16) ? WK_F16 : WK_BF16;
    if (order)
        *order = NULL;
    if (!wk_ok())
        return NULL;
    if (blocks && !c->group_of) {
        exact = blocks_for(c, c->group);
    } else if (blocks && order) {
        sort = wk_alloc_array((size_t)c->in, sizeof *sort);
        exact = sort ? blocks_for(c, sorted(c, sort)) : WK_DEFAULT;
    }
    if (exact) {
        j.dtype = exact;
        j.order = sort;
    }
    wk_tensor *x = wk_ok() ? fill(&j) : NULL;
    if (x && j.order)
        *order = wk_from_i64(WK_SHAPE(c->in), sort);
    wk_free(sort);
    if (!x || !wk_ok()) {
        wk_sweep(scope);
        return NULL;
    }
    if (!j.order)
        return wk_yield(scope, x);
    wk_tensor *both[2] = { x, *order };
    wk_yield_all(scope, both, 2);
    return x;
}
