// SPDX-License-Identifier: MIT OR Apache-2.0
/* quantized.c - the tensors of quantized linear layers, format by format.
 *
 * Each reader checks the tensors of its format against [out, in] and says in a wk_coded
 * where the numbers lie and what their scales and zeros are; coded.c does the rest.
 *
 * Scales of activations (input_scale and the like) are left alone: they say how a GPU rounds
 * the inputs of a layer to 8 bits, and here those keep their precision. */
#include "quantized.h"
#include "coded.h"
#include "nn.h"

#include <math.h>

typedef struct {
    const wk_quantization *q;
    wk_vars                at;
    int64_t                in, out;
    bool                   found; /* the layer is quantized */
    wk_coded               c;
} layer;

/* ---- Tensors ------------------------------------------------------------ */

static bool has(const layer *l, const char *name) { return wk_has(l->at, name); }

static wk_tensor *take(const layer *l, const char *name)
{
    wk_vars full = wk_at(l->at, "%s", name);
    if (wk_ok() && !has(l, name))
        wk_fail(WK_ERR_FORMAT, "%s is missing", full.path);
    return wk_ok() ? wk_store_take(l->at.store, full.path) : NULL;
}

/* Things that are there for others. */
static void pass_over(const layer *l, const char *const *names)
{
    for (; wk_ok() && *names; names++)
        if (has(l, *names))
            take(l, *names);
}

static bool refuse(const wk_tensor *x, const char *why)
{
    char s[160];
    if (wk_ok())
        wk_fail(WK_ERR_FORMAT, "%s: %s", wk_show(x, s), why);
    return false;
}

static bool expect(const wk_tensor *x, wk_dtype dtype, wk_shape shape)
{
    char s[160], t[160];
    if (!x || (x->dtype == dtype && wk_same_shape(x->shape, shape)))
        return x;
    wk_fail(WK_ERR_SHAPE, "%s should be %s %s", wk_show(x, s), wk_show_shape(shape, t),
            wk_dtype_name(dtype));
    return false;
}

/* Its elements, if they are count floats: wk_free() them. */
static float *floats(wk_tensor *x, int64_t count)
{
    if (!x || wk_count(x) != count || !wk_dtypes[x->dtype].is_float) {
        if (x)
            refuse(x, "is not as long as it should be, or not of a float dtype");
        return NULL;
    }
    float *f = wk_alloc_array((size_t)count + 1, sizeof *f);
    if (f && wk_to_f32(x, f))
        return f;
    wk_free(f);
    return NULL;
}

static int64_t divided(int64_t a, int64_t b) { return a / b + (a % b != 0); }

/* Groups of so many inputs. */
static bool set_groups(layer *l, int64_t group)
{
    wk_coded *c = &l->c;
    c->group = group;
    c->groups = divided(l->in, group);
    c->scale = wk_alloc_array((size_t)(l->out * c->groups), sizeof *c->scale);
    return c->scale;
}

static wk_codes codes_of(const wk_tensor *x, int bits, int unit, int64_t next, int64_t line)
{
    return (
        wk_codes){ .at = wk_at_host(x), .bits = bits, .unit = unit, .next = next, .line = line };
}

/* Zeros from lines of one group each. */
static bool set_zeros(layer *l, const wk_codes *f, int more)
{
    wk_coded *c = &l->c;
    c->zero = wk_alloc_array((size_t)(l->out * c->groups), sizeof *c->zero);
    for (int64_t o = 0; c->zero && o < l->out; o++)
        for (int64_t g = 0; g < c->groups; g++) {
            int z = wk_code_at(f, g, o) + more;
            c->zero[o * c->groups + g] = (int16_t)(f->has_sign ? z : z & ((1 << f->bits) - 1));
        }
    return c->zero;
}

/* Scales [groups, out] as [out, groups]. */
static bool set_scales_by_input(layer *l, wk_tensor *x)
{
    wk_coded *c = &l->c;
    float    *f = expect(x, x ? x->dtype : WK_F16, WK_SHAPE(c->groups, l->out))
                      ? floats(x, c->groups * l->out)
                      : NULL;
    for (int64_t g = 0; f && g < c->groups; g++)
        for (int64_t o = 0; o < l->out; o++)
            c->scale[o * c->groups + g] = f[g * l->out + o];
    wk_free(f);
    return wk_ok();
}

/* The group of each input, unless they are just one after another.  Less than 0: nobody has
 * filled that in, and they are. */
static bool set_group_of(layer *l, wk_tensor *x)
{
    wk_coded *c = &l->c;
    if (!expect(x, x ? x->dtype : WK_I32, WK_SHAPE(l->in)) || wk_dtypes[x->dtype].is_float)
        return x && refuse(x, "is not of integers");
    int64_t *g = wk_alloc_array((size_t)l->in, sizeof *g);
    bool     plain = true, unset = false;
    c->group_of = wk_alloc_array((size_t)l->in, sizeof *c->group_of);
    if (g && c->group_of && wk_to_i64(x, g))
        for (int64_t k = 0; k < l->in && wk_ok(); k++) {
            plain = plain && g[k] == k / c->group;
            unset = unset || g[k] == -1;
            if (g[k] < -1 || g[k] >= c->groups)
                refuse(x, "an input's group is not among those that have scales");
            c->group_of[k] = (int32_t)g[k];
        }
    wk_free(g);
    if (plain || unset) {
        wk_free(c->group_of);
        c->group_of = NULL;
    }
    return wk_ok();
}

/* ---- GPTQ and AWQ ------------------------------------------------------- */

/* qweight [in * bits / 32, out] i32, qzeros [groups, out * bits / 32] i32, scales [groups, out];
 * g_idx [in] i32.  The first version of the format has zeros less 1. */
static bool read_gptq(layer *l)
{
    if (!(l->found = has(l, "qweight")))
        return true;
    wk_coded  *c = &l->c;
    wk_tensor *w = take(l, "qweight"), *s = take(l, "scales"), *z = take(l, "qzeros");
    int64_t    rows = wk_dim(w, 0), bits = 2;
    while (bits < 8 && rows * 32 != l->in * bits)
        bits += bits == 4 ? 4 : 1;
    if (!wk_ok() || !expect(w, WK_I32, WK_SHAPE(l->in * bits / 32, l->out)))
        return false;
    int64_t groups = wk_rank(s) ? wk_dim(s, 0) : 0, group = l->q->group ? l->q->group : l->in;
    if (groups < 1 || groups > l->in)
        return refuse(s, "has no scales, or more than inputs");
    if (divided(l->in, group) != groups) /* the layer has its own */
        group = divided(l->in, groups);
    if (divided(l->in, group) != groups)
        return refuse(s, "the inputs do not divide into so many groups");
    if (!expect(z, WK_I32, WK_SHAPE(groups, divided(l->out * bits, 32))) || !set_groups(l, group))
        return false;
    c->codes = codes_of(w, (int)bits, 32, l->out, 1);
    wk_codes f = codes_of(z, (int)bits, 32, 1, wk_dim(z, 1));
    return set_scales_by_input(l, s) && set_zeros(l, &f, l->q->zero_less) &&
           (!has(l, "g_idx") || set_group_of(l, take(l, "g_idx")));
}

/* qweight [in, out / 8] i32, qzeros [groups, out / 8] i32, scales [groups, out].  Numbers 0, 2,
 * 4, 6, 1, 3, 5, 7 lie one above the other in a word. */
static bool read_awq(layer *l)
{
    static const uint8_t places[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    if (!(l->found = has(l, "qweight")))
        return true;
    wk_coded  *c = &l->c;
    wk_tensor *w = take(l, "qweight"), *s = take(l, "scales"), *z = take(l, "qzeros");
    if (!wk_ok() || !expect(w, WK_I32, WK_SHAPE(l->in, divided(l->out, 8))))
        return false;
    int64_t groups = wk_rank(s) ? wk_dim(s, 0) : 0;
    if (groups < 1 || l->in % groups || l->out % 8)
        return refuse(s, "the inputs do not divide into so many groups, or the outputs into words");
    if (!expect(z, WK_I32, WK_SHAPE(groups, l->out / 8)) || !set_groups(l, l->in / groups))
        return false;
    c->codes = codes_of(w, 4, 32, 1, l->out / 8);
    c->codes.by_input = true;
    wk_codes f = codes_of(z, 4, 32, 1, l->out / 8);
    c->codes.places = f.places = places;
    return set_scales_by_input(l, s) && set_zeros(l, &f, 0);
}

/* ---- FP8, compressed-tensors -------------------------------------------- */

/* Scales in whatever shape: one, [out], [out, 1], [out, groups], [out / block, in / block].
 * Exponents of 2 in a byte are scales, too.  all: all are divided by it. */
static bool set_scales(layer *l, wk_tensor *x, float all)
{
    wk_coded *c = &l->c;
    int64_t   rows = wk_rank(x) ? wk_dim(x, 0) : 1, columns = wk_rank(x) > 1 ? wk_dim(x, 1) : 1;
    int64_t   up = l->q->block[0], across = l->q->block[1], step = 1, group = l->in;
    bool blocks = across > 0 && rows == divided(l->out, up) && columns == divided(l->in, across);
    if (!x || wk_rank(x) > 2 || rows < 1 || columns < 1 ||
        (rows != 1 && rows != l->out && !blocks) || (!blocks && l->in % columns))
        return x && refuse(x, "these scales do not divide the weight");
    if (blocks)
        step = up, group = across;
    else
        step = rows == 1 ? l->out : 1, group = l->in / columns;
    bool       exponents = x->dtype == WK_U8;
    wk_tensor *numbers = exponents ? wk_cast(x, WK_F32) : x;
    float     *f = set_groups(l, group) ? floats(numbers, rows * columns) : NULL;
    for (int64_t i = 0; f && exponents && i < rows * columns; i++) {
        if (f[i] >= 255)
            refuse(x, "a scale is not a number");
        f[i] = ldexpf(1, (int)f[i] - 127);
    }
    for (int64_t o = 0; f && o < l->out; o++)
        for (int64_t g = 0; g < c->groups; g++)
            c->scale[o * c->groups + g] = f[o / step * columns + g] / all;
    wk_free(f);
    return wk_ok();
}

/* No zeros but 0. */
static bool check_no_zeros(const layer *l)
{
    wk_tensor *z = has(l, "weight_zero_point") ? take(l, "weight_zero_point") : NULL;
    if (z && wk_count(z) && wk_item(wk_max(wk_abs(wk_cast(z, WK_F32)))) > 0)
        return refuse(z, "floats with zeros are not supported");
    return wk_ok();
}

/* weight [out, in] f8 times weight_scale_inv or weight_scale, in spite of the name of the first.
 * To bf16: numbers of 4 bits times a scale are off by 2^-8 at most, far less than the 2^-4 that
 * f8 was off before, and products with bf16 are fast. */
static bool read_f8(layer *l, wk_tensor *w)
{
    wk_coded *c = &l->c;
    uint8_t   code[256];
    for (int i = 0; i < 256; i++)
        code[i] = (uint8_t)i;
    l->found = true;
    if (!expect(w, w->dtype, WK_SHAPE(l->out, l->in)))
        return false;
    c->codes = codes_of(w, 8, 8, 1, l->in);
    c->like = WK_F32;
    c->narrow = WK_BF16;
    wk_dtypes[w->dtype].load[WK_AS_F32](c->level, code, 256, 1);
    const char *scale = has(l, "weight_scale_inv") ? "weight_scale_inv" : "weight_scale";
    return set_scales(l, take(l, scale), 1) && check_no_zeros(l);
}

static const char *const activations[] = { "input_scale",
                                           "input_zero_point",
                                           "input_global_scale",
                                           "output_scale",
                                           "output_zero_point",
                                           "k_scale",
                                           "v_scale",
                                           NULL };

static bool is_f8(const wk_tensor *w) { return w->dtype == WK_F8_E4M3 || w->dtype == WK_F8_E5M2; }

static bool read_fp8(layer *l)
{
    pass_over(l, activations);
    wk_tensor *w = has(l, "weight") ? take(l, "weight") : NULL;
    return !w || !is_f8(w) || read_f8(l, w);
}

/* weight [out, in] i8; zeros like the scales, i8. */
static bool read_bytes(layer *l, wk_tensor *w)
{
    l->found = true;
    if (!expect(w, WK_I8, WK_SHAPE(l->out, l->in)) || !set_scales(l, take(l, "weight_scale"), 1))
        return false;
    wk_coded *c = &l->c;
    c->codes = codes_of(w, 8, 8, 1, l->in);
    c->codes.has_sign = true;
    wk_tensor *z = has(l, "weight_zero_point") ? take(l, "weight_zero_point") : NULL;
    if (!z)
        return wk_ok();
    bool all = wk_count(z) == 1;
    if (z->dtype != WK_I8 || (!all && wk_count(z) != l->out * c->groups))
        return refuse(z, "these are not as many zeros as scales, or not i8");
    wk_codes f = codes_of(z, 8, 8, all ? 0 : c->groups, all ? 0 : 1);
    f.has_sign = true;
    return set_zeros(l, &f, 0);
}

/* weight_packed [out, in * bits / 32] i32, weight_shape [2], weight_scale; zeros packed by outputs,
 * [out * bits / 32, groups]; weight_g_idx [in].  Numbers are stored with half their range added. */
static bool read_packed(layer *l, wk_tensor *w)
{
    wk_coded  *c = &l->c;
    wk_tensor *s = has(l, "weight_shape") ? take(l, "weight_shape") : NULL;
    int64_t    shape[2] = { l->out, l->in }, bits = 1;
    if (s && (wk_count(s) != 2 || !wk_to_i64(s, shape) || shape[0] != l->out || shape[1] != l->in))
        return refuse(s, "is not the shape of this layer");
    while (bits < 8 && (!(l->q->bits >> bits & 1) || wk_dim(w, 1) != divided(l->in * bits, 32)))
        bits++;
    if (!expect(w, WK_I32, WK_SHAPE(l->out, divided(l->in * bits, 32))) ||
        !set_scales(l, take(l, "weight_scale"), 1))
        return false;
    c->codes = codes_of(w, (int)bits, 32, 1, wk_dim(w, 1));
    c->same_zero = 1 << (bits - 1);
    if (has(l, "weight_zero_point")) {
        wk_tensor *z = take(l, "weight_zero_point");
        if (!expect(z, WK_I32, WK_SHAPE(divided(l->out * bits, 32), c->groups)))
            return false;
        wk_codes f = codes_of(z, (int)bits, 32, c->groups, 1);
        if (!set_zeros(l, &f, 0))
            return false;
    }
    return !has(l, "weight_g_idx") || set_group_of(l, take(l, "weight_g_idx"));
}

/* Numbers of 4 bits, two in a byte: sign, two bits of exponent, one of mantissa. */
static void set_fp4(wk_coded *c, const wk_tensor *w)
{
    static const float half[8] = { 0, 0.5f, 1, 1.5f, 2, 3, 4, 6 };
    for (int i = 0; i < 16; i++)
        c->level[i] = i < 8 ? half[i] : -half[i - 8];
    c->codes = codes_of(w, 4, 8, 1, c->in / 2);
}

/* weight_packed [out, in / 2] u8 with exponents of 2, weight_scale [out, in / 32] u8: mxfp4; or
 * with weight_scale f8_e4m3 by weight_global_scale: nvfp4, whose blocks here have no second
 * scale, so that it becomes bf16. */
static bool read_fp4(layer *l, wk_tensor *w)
{
    wk_coded *c = &l->c;
    if (!expect(w, WK_U8, WK_SHAPE(l->out, l->in / 2)) || l->in % 2)
        return l->in % 2 ? refuse(w, "an odd number of inputs") : false;
    wk_tensor *s = take(l, "weight_scale");
    bool       two = s && s->dtype != WK_U8;
    float     *all = two ? floats(take(l, "weight_global_scale"), 1) : NULL;
    float      by = all ? *all : 1;
    wk_free(all);
    if (!wk_ok() || !set_scales(l, s, by))
        return false;
    set_fp4(c, w);
    c->like = two ? WK_F32 : WK_MXFP4;
    c->narrow = WK_BF16;
    return check_no_zeros(l);
}

static bool read_compressed(layer *l)
{
    pass_over(l, activations);
    if ((l->found = has(l, "weight_packed"))) {
        wk_tensor *w = take(l, "weight_packed");
        if (w && wk_rank(w) != 2)
            return refuse(w, "is no matrix");
        return w && (w->dtype == WK_U8 ? read_fp4(l, w) : read_packed(l, w));
    }
    wk_tensor *w = has(l, "weight") ? take(l, "weight") : NULL;
    if (w && w->dtype == WK_I8)
        return read_bytes(l, w);
    return !w || !is_f8(w) || read_f8(l, w);
}

/* ---- bitsandbytes ------------------------------------------------------- */

typedef struct { /* of a weight in 4 bits */
    int64_t block, nested_block, shape[2], rank;
    float   offset;
} state;

/* A JSON object in a tensor of bytes. */
static bool read_state(const layer *l, state *st)
{
    static const char *const names[] = { "weight.quant_state.bitsandbytes__nf4",
                                         "weight.quant_state.bitsandbytes__fp4" };
    wk_tensor               *x = take(l, names[has(l, names[1])]);
    wk_json                  j;
    wk_str                   key;
    if (!x || x->dtype != WK_U8)
        return x && refuse(x, "is not a text");
    wk_json_open(&j, wk_name(x), wk_at_host(x), (size_t)wk_count(x));
    for (wk_json_object(&j); wk_json_key(&j, &key);)
        if (wk_str_is(key, "blocksize"))
            st->block = wk_json_int(&j);
        else if (wk_str_is(key, "nested_blocksize"))
            st->nested_block = wk_json_int(&j);
        else if (wk_str_is(key, "nested_offset"))
            st->offset = (float)wk_json_number(&j);
        else if (wk_str_is(key, "shape"))
            for (wk_json_array(&j); wk_json_item(&j); st->rank++)
                st->shape[st->rank & 1] = wk_json_int(&j);
        else
            wk_json_skip(&j);
    wk_json_close(&j);
    if (wk_ok() && (st->rank != 2 || st->shape[0] != l->out || st->shape[1] != l->in))
        wk_fail(WK_ERR_SHAPE, "%s: the shape should be [%lld, %lld]", wk_name(x), (long long)l->out,
                (long long)l->in);
    if (wk_ok() && (st->block < 2 || st->block > 1 << 20 || st->block & (st->block - 1)))
        wk_fail(WK_ERR_FORMAT, "%s: the blocksize is %lld", wk_name(x), (long long)st->block);
    return wk_ok();
}

/* The largest magnitudes, which may be quantized themselves: wk_free() them. */
static float *absmax(const layer *l, const state *st, int64_t count)
{
    wk_tensor *x = take(l, "weight.absmax");
    if (!x || x->dtype != WK_U8)
        return floats(x, count);
    if (wk_count(x) != count || st->nested_block < 1) {
        refuse(x, "is not as long as the weight has blocks, or without a nested_blocksize");
        return NULL;
    }
    float *map = floats(take(l, "weight.nested_quant_map"), 256);
    float *most =
        map ? floats(take(l, "weight.nested_absmax"), divided(count, st->nested_block)) : NULL;
    float         *f = most ? wk_alloc_array((size_t)count + 1, sizeof *f) : NULL;
    const uint8_t *b = wk_at_host(x);
    for (int64_t i = 0; f && i < count; i++)
        f[i] = map[b[i]] * most[i / st->nested_block] + st->offset;
    wk_free(map);
    wk_free(most);
    return f;
}

/* Do the 16 levels lie where nf4 has them? */
static bool is_nf4(const float *level)
{
    static const float some[4] = { -1, -0.28444138f, 0.07958030f, 0.72295684f };
    static const int   at[4] = { 0, 4, 8, 14 };
    bool               same = level[15] > 0.999999f && level[7] > -1e-6f && level[7] < 1e-6f;
    for (int i = 0; i < 4; i++)
        same = same && fabsf(level[at[i]] - some[i]) < 1e-5f;
    return same;
}

/* weight [out * in / 2] u8, of two numbers the first in the high bits; weight.absmax of each
 * block of all numbers one after another, weight.quant_map [16]. */
static bool read_bnb_4(layer *l, wk_tensor *w)
{
    static const uint8_t places[2] = { 1, 0 };
    wk_coded            *c = &l->c;
    state                st = { .block = 0 };
    if (!read_state(l, &st))
        return false;
    if (l->in % 2 || wk_count(w) != l->out * (l->in / 2))
        return refuse(w, "does not hold the numbers of this layer");
    int64_t group = st.block;
    while (l->in % group)
        group /= 2;
    float *map = floats(take(l, "weight.quant_map"), 16);
    float *most = map ? absmax(l, &st, divided(l->out * l->in, st.block)) : NULL;
    if (most && set_groups(l, group))
        for (int64_t i = 0; i < l->out * c->groups; i++)
            c->scale[i] = most[i * group / st.block];
    if (map)
        memcpy(c->level, map, 16 * sizeof *map);
    c->like = map && is_nf4(map) ? WK_NF4 : WK_F32;
    c->narrow = WK_BF16;
    c->codes = codes_of(w, 4, 8, 1, l->in / 2);
    c->codes.places = places;
    wk_free(map);
    wk_free(most);
    return wk_ok();
}

/* weight [out, in] i8, SCB [out] with the magnitude that 127 stands for. */
static bool read_bnb(layer *l)
{
    static const char *const others[] = { "weight_format", NULL };
    wk_tensor               *w = has(l, "weight") ? take(l, "weight") : NULL;
    if (!w || (w->dtype != WK_U8 && w->dtype != WK_I8))
        return wk_ok();
    l->found = true;
    if (w->dtype == WK_U8)
        return read_bnb_4(l, w);
    pass_over(l, others);
    wk_tensor *most = take(l, "SCB");
    if (!expect(w, WK_I8, WK_SHAPE(l->out, l->in)) || !most ||
        !expect(most, most->dtype, WK_SHAPE(l->out)))
        return false;
    l->c.codes = codes_of(w, 8, 8, 1, l->in);
    l->c.codes.has_sign = true;
    return set_scales(l, most, 127);
}

/* ---- All ---------------------------------------------------------------- */

bool wk_quantized_load(const wk_quantization *q, wk_vars at, int64_t in, int64_t out,
                       wk_tensor **order)
{
    static bool (*const readers[])(layer *) = {
        [WK_QUANTIZED_FP8] = read_fp8,
        [WK_QUANTIZED_GPTQ] = read_gptq,
        [WK_QUANTIZED_AWQ] = read_awq,
        [WK_QUANTIZED_BNB] = read_bnb,
        [WK_QUANTIZED_COMPRESSED] = read_compressed,
    };
    layer    l = { .q = q, .at = at, .in = in, .out = out, .c = { .in = in, .out = out } };
    wk_vars  weight = wk_at(at, "weight"), input = wk_at(at, "order");
    wk_scope scope = wk_mark();
    if (order)
        *order = wk_ok() ? wk_store_find(at.store, input.path) : NULL;
    if (!wk_ok() || !q->method || !wk_store_archive(at.store) ||
        wk_store_find(at.store, weight.path))
        return wk_ok();
    bool before = wk_no_grad(true);
    if (readers[q->method](&l) && wk_ok() && l.found) {
        wk_tensor *x = wk_coded_tensor(&l.c, wk_store_dtype(at.store), order);
        wk_store_put(at.store, weight.path, x, false);
        if (wk_ok() && order && *order)
            *order = wk_store_put(at.store, input.path, *order, true);
    }
    wk_coded_free(&l.c);
    wk_no_grad(before);
    wk_sweep(scope);
    return wk_ok();
}

wk_tensor *wk_mxfp4_of(wk_tensor *blocks, wk_tensor *scales)
{
    int rank = wk_rank(blocks);
    if (!wk_usable("mxfp4", 1, blocks) || !wk_usable("mxfp4", 2, scales))
        return NULL;
    wk_shape shape = blocks->shape;
    shape.rank--;
    if (rank < 2 || wk_dim(blocks, -1) != 16 || blocks->dtype != WK_U8 ||
        !expect(scales, WK_U8, shape)) {
        refuse(blocks, "should be [.., 16] u8");
        return NULL;
    }
    wk_scope        scope = wk_mark();
    wk_quantization q = { 0 };
    int64_t         groups = shape.dim[rank - 2], in = groups * 32;
    layer           l = { .q = &q, .in = in, .out = groups ? wk_count(scales) / groups : 0 };
    wk_tensor      *y = NULL;
    l.c = (wk_coded){ .in = in, .out = l.out, .like = WK_MXFP4 };
    shape.dim[rank - 2] = in;
    blocks = wk_dense(blocks);
    if (!l.out)
        refuse(blocks, "is empty");
    if (wk_ok() && set_scales(&l, wk_reshape(scales, l.out, groups), 1)) {
        set_fp4(&l.c, blocks);
        y = wk_reshape_to(wk_coded_tensor(&l.c, WK_DEFAULT, NULL), shape);
    }
    wk_coded_free(&l.c);
    return wk_yield(scope, y);
}
