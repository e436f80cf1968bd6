// SPDX-License-Identifier: MIT OR Apache-2.0
/* transformer.c - attention with several heads, and the layers that are made of it. */
#include "nn.h"

#include <math.h>

/* ---- Attention ---------------------------------------------------------- */

wk_multihead wk_multihead_new_with(const wk_multihead_args *a)
{
    int64_t c = a->width;
    if (c <= 0 || a->heads <= 0 || c % a->heads)
        wk_fail(WK_ERR_ARGUMENT, "multihead: %lld numbers for %lld heads", (long long)c,
                (long long)a->heads);
    wk_init      zeros = { .kind = WK_INIT_ZEROS };
    wk_vars      out = wk_at(a->at, "out_proj");
    wk_multihead m = { .heads = a->heads, .dropout = a->dropout };
    m.in_proj_weight =
        wk_param(a->at, "in_proj_weight", WK_SHAPE(3 * c, c), wk_init_xavier_uniform(1));
    m.out_proj = wk_linear_new_unbiased(out, c, c);
    if (!a->unbiased) {
        m.in_proj_bias = wk_param(a->at, "in_proj_bias", WK_SHAPE(3 * c), zeros);
        m.out_proj.bias = wk_param(out, "bias", WK_SHAPE(c), zeros);
    }
    return m;
}

/* Parts number from .. from + count - 1 of q, k, v: [b, t, c] -> [b, t, count, h, d] */
static wk_tensor *project(const wk_multihead *m, wk_tensor *x, int from, int count)
{
    int64_t  c = wk_dim(m->in_proj_weight, 1);
    wk_layer p = { m->in_proj_weight, m->in_proj_bias };
    if (count < 3) {
        p.weight = wk_narrow(p.weight, 0, from * c, count * c);
        p.bias = p.bias ? wk_narrow(p.bias, 0, from * c, count * c) : NULL;
    }
    return wk_reshape(wk_linear(x, p), wk_dim(x, 0), wk_dim(x, 1), count, m->heads, c / m->heads);
}

/* Part i of what was projected, as attention wants it: [b, h, t, d] */
static wk_tensor *heads(wk_tensor *x, int i) { return wk_transpose(wk_select(x, 2, i), 1, 2); }

/* mask and padding as one mask, of either kind. */
static wk_tensor *joined(wk_tensor *mask, wk_tensor *padding)
{
    if (!padding)
        return mask;
    padding = wk_unsqueeze(wk_unsqueeze(padding, 1), 1); // [b, 1, 1, s]
    if (!mask)
        return padding;
    return wk_dtype_of(mask) == WK_BOOL ? wk_logical_and(mask, padding)
                                        : wk_where(padding, mask, wk_full_like(mask, -INFINITY));
}

/* The same as wk_attention(), step by step, with dropout between. */
static wk_tensor *attention(wk_tensor *q, wk_tensor *k, wk_tensor *v, wk_tensor *mask, bool causal,
                            double dropout)
{
    wk_tensor *scores = wk_matmul(q, wk_transpose(k, -1, -2)); // [b, h, t, s]
    scores = wk_scale(scores, 1 / sqrt((double)wk_dim(q, -1)));
    if (causal) {
        int64_t    t = wk_dim(q, 2), s = wk_dim(k, 2);
        wk_tensor *now = wk_unsqueeze(wk_arange(WK_I64, (double)(s - t), (double)s, 1), 1);
        wk_tensor *past = wk_ge(now, wk_arange(WK_I64, 0, (double)s, 1)); // [t, s]
        scores = wk_where(past, scores, wk_full_like(scores, -INFINITY));
    }
    if (mask && wk_dtype_of(mask) == WK_BOOL)
        scores = wk_where(mask, scores, wk_full_like(scores, -INFINITY));
    else if (mask)
        scores = wk_add(scores, mask);
    return wk_matmul(wk_drop_out(wk_softmax(scores, -1), dropout, true), v);
}

static bool fits(const wk_multihead_forward_args *a, wk_tensor *key, wk_tensor *value)
{
    char       s[160], t[160];
    wk_tensor *x[] = { a->query, key, value };
    int64_t    c = wk_dim(a->m->in_proj_weight, 1);
    for (int i = 0; i < 3; i++) {
        if (!wk_usable("multihead", i + 1, x[i]))
            return false;
        if (wk_rank(x[i]) != 3 || wk_dim(x[i], 2) != c)
            wk_fail(WK_ERR_SHAPE, "multihead: %s does not fit %s", wk_show(x[i], s),
                    wk_show(a->m->in_proj_weight, t));
    }
    wk_shape want = WK_SHAPE(wk_dim(key, 0), wk_dim(key, 1));
    if (a->padding && (!wk_usable("multihead", 5, a->padding) || a->padding->dtype != WK_BOOL ||
                       !wk_same_shape(a->padding->shape, want)))
        wk_fail(WK_ERR_SHAPE, "multihead: the padding %s should be %s bool", wk_show(a->padding, s),
                wk_show_shape(want, t));
    return wk_ok();
}

wk_tensor *wk_multihead_forward_with(const wk_multihead_forward_args *a)
{
    const wk_multihead *m = a->m;
    wk_tensor          *query = a->query, *key = a->key ? a->key : query, *q, *k, *v;
    wk_tensor          *value = a->value ? a->value : key;
    if (!wk_ok() || !fits(a, key, value))
        return NULL;
    wk_scope scope = wk_mark();
    if (key == query && value == query) {
        wk_tensor *all = project(m, query, 0, 3); // [b, t, 3, h, d]
        q = heads(all, 0), k = heads(all, 1), v = heads(all, 2);
    } else {
        q = heads(project(m, query, 0, 1), 0);
        wk_tensor *both = project(m, key, 1, value == key ? 2 : 1);
        k = heads(both, 0);
        v = value == key ? heads(both, 1) : heads(project(m, value, 2, 1), 0);
    }
    wk_tensor *mask = joined(a->mask, a->padding), *y;
    if (a->train && m->dropout > 0)
        y = attention(q, k, v, mask, a->causal, m->dropout);
    else
        y = wk_attention(q, k, v, .mask = mask, .causal = a->causal); // [b, h, t, d]
    y = wk_reshape_to(wk_transpose(y, 1, 2), query->shape);           // [b, t, c]
    return wk_yield(scope, wk_linear(y, m->out_proj));
}

/* ---- Layers ------------------------------------------------------------- */

static wk_layer norm_new(const wk_transformer_args *a, const char *name)
{
    wk_vars at = wk_at(a->at, "%s", name);
    if (!a->unbiased)
        return wk_layer_norm_new(at, a->width);
    return (wk_layer){ wk_rms_norm_new(at, a->width), NULL };
}

static wk_transformer layer_new(const wk_transformer_args *a, bool decoder)
{
    int64_t inner = a->inner ? a->inner : 2048;
    wk_layer (*linear)(wk_vars, int64_t, int64_t) =
        a->unbiased ? wk_linear_new_unbiased : wk_linear_new;
    wk_multihead_args attn = {
        .width = a->width, .heads = a->heads, .dropout = a->dropout, .unbiased = a->unbiased
    };
    wk_transformer l = { .dropout = a->dropout,
                         .eps = a->eps != 0 ? a->eps : 1e-5,
                         .norm_first = a->norm_first,
                         .activation = a->activation ? a->activation : wk_relu };
    attn.at = wk_at(a->at, "self_attn");
    l.self_attn = wk_multihead_new_with(&attn);
    if (decoder) {
        attn.at = wk_at(a->at, "multihead_attn");
        l.multihead_attn = wk_multihead_new_with(&attn);
        l.norm3 = norm_new(a, "norm3");
    }
    l.linear1 = linear(wk_at(a->at, "linear1"), a->width, inner);
    l.linear2 = linear(wk_at(a->at, "linear2"), inner, a->width);
    l.norm1 = norm_new(a, "norm1");
    l.norm2 = norm_new(a, "norm2");
    return l;
}

wk_transformer wk_encoder_layer_new_with(const wk_transformer_args *a)
{
    return layer_new(a, false);
}

wk_transformer wk_decoder_layer_new_with(const wk_transformer_args *a)
{
    return layer_new(a, true);
}

/* What the parts of a layer give to x. */
static wk_tensor *look(const wk_transformer_forward_args *a, wk_tensor *x)
{
    return wk_multihead_forward(&a->layer->self_attn, x, .mask = a->mask, .padding = a->padding,
                                .causal = a->causal, .train = a->train);
}

static wk_tensor *look_at_memory(const wk_transformer_forward_args *a, wk_tensor *x)
{
    return wk_multihead_forward(&a->layer->multihead_attn, x, a->memory, .mask = a->memory_mask,
                                .padding = a->memory_padding, .train = a->train);
}

static wk_tensor *think(const wk_transformer_forward_args *a, wk_tensor *x)
{
    const wk_transformer *l = a->layer;
    x = l->activation(wk_linear(x, l->linear1)); // [b, t, inner]
    return wk_linear(wk_drop_out(x, l->dropout, a->train), l->linear2);
}

wk_tensor *wk_transformer_forward_with(const wk_transformer_forward_args *a)
{
    typedef wk_tensor *(*part_fn)(const wk_transformer_forward_args *, wk_tensor *);
    const wk_transformer *l = a->layer;
    bool                  decoder = l->multihead_attn.in_proj_weight != NULL;
    const part_fn         parts[] = { look, decoder ? look_at_memory : think, think };
    const wk_layer        norms[] = { l->norm1, l->norm2, l->norm3 };
    if (!wk_ok() || !wk_usable("transformer", 1, a->x) ||
        (decoder && !wk_usable("transformer", 2, a->memory)))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *x = a->x;
    for (int i = 0; i < 2 + decoder && wk_ok(); i++) {
        wk_tensor *y = parts[i](a, l->norm_first ? wk_layer_norm(x, norms[i], l->eps) : x);
        x = wk_add(x, wk_drop_out(y, l->dropout, a->train));
        x = l->norm_first ? x : wk_layer_norm(x, norms[i], l->eps);
    }
    return wk_yield(scope, x);
}
