// SPDX-License-Identifier: MIT OR Apache-2.0
/* rename.c - the weights of a decoder under other names: those of GGUF files, or of
 * transformers.  Llama's rows of q and k lie there as rope turns them: in pairs, or halves. */
#include "convert.h"

#include <stdio.h>
#include <stdlib.h>

static void add(wk_renamed *r, const char *name, wk_tensor *x, int64_t heads)
{
    if (!wk_ok() || !x || !wk_reserve(&r->at, &r->room, (size_t)r->count + 1, sizeof *r->at))
        return;
    wk_renamed_tensor t = { wk_str_copy(wk_str_of(name)), x, heads };
    if (t.name)
        r->at[r->count++] = t;
}

/* What lies at a place: its weight, and its bias if it has one. */
static void add_at(wk_renamed *r, wk_vars from, wk_vars to, int64_t heads)
{
    static const char *const parts[] = { "weight", "bias" };
    for (size_t i = 0; i < WK_COUNT(parts); i++)
        add(r, wk_at(to, "%s", parts[i]).path,
            wk_store_find(from.store, wk_at(from, "%s", parts[i]).path), heads);
}

static void add_named(wk_renamed *r, wk_vars from, wk_vars to, const char *old, const char *name)
{
    add_at(r, wk_at(from, "%s", old), wk_at(to, "%s", name), 0);
}

static wk_vars layer_at(const wk_decoder_names *n, wk_vars root, int layer)
{
    char name[64];
    snprintf(name, sizeof name, n->layer, layer);
    return wk_at(root, "%s", name);
}

bool wk_rename(wk_renamed *r, const wk_model *m, const wk_decoder_names *to)
{
    const wk_decoder       *d = wk_model_decoder(m);
    const wk_decoder_names *n = d->names;
    wk_vars                 root = wk_root(wk_model_store(m)), none = { 0 };
    bool                    turned = r->turned;
    add_named(r, root, none, n->embed, to->embed);
    for (int i = 0; i < d->c.layers && wk_ok(); i++) {
        wk_vars a = layer_at(n, root, i), b = layer_at(to, none, i);
        add_named(r, a, b, n->attn_in, to->attn_in);
        add_named(r, a, b, n->mlp_in, to->mlp_in);
        add_named(r, a, b, n->q_norm, to->q_norm);
        add_named(r, a, b, n->k_norm, to->k_norm);
        for (int k = 0; k < WK_PROJECTIONS; k++)
            add_at(r, wk_at(a, "%s", n->projection[k]), wk_at(b, "%s", to->projection[k]),
                   !turned     ? 0
                   : k == WK_Q ? d->c.heads
                   : k == WK_K ? d->c.kv_heads
                               : 0);
    }
    add_named(r, root, none, n->norm, to->norm);
    if (!d->c.tied)
        add_named(r, root, none, n->head, to->head);
    if (wk_ok() && r->count != wk_store_count(wk_model_store(m)))
        wk_fail(WK_ERR_UNSUPPORTED, "%s: %d of its %d weights have no other name", wk_model_path(m),
                wk_store_count(wk_model_store(m)) - r->count, wk_store_count(wk_model_store(m)));
    return wk_ok();
}

/* Rows of each head from halves to pairs, (i, i + d / 2) to (2i, 2i + 1), or back.  They move
 * whole, so that blocks stay what they are. */
wk_tensor *wk_renamed_get(const wk_renamed *r, int i)
{
    const wk_renamed_tensor *t = &r->at[i];
    wk_tensor               *x = t->tensor;
    if (!t->heads)
        return x;
    wk_shape shape = wk_shape_of(x);
    int64_t  half = shape.dim[0] / t->heads / 2, width = shape.rank > 1 ? shape.dim[1] : 1;
    x = r->to_pairs ? wk_reshape(x, t->heads, 2, half, width)
                    : wk_reshape(x, t->heads, half, 2, width);
    x = wk_contiguous(wk_permute(x, 0, 2, 1, 3));
    return wk_reshape_to(x, shape);
}

void wk_renamed_free(wk_renamed *r)
{
    for (int i = 0; i < r->count; i++)
        wk_free(r->at[i].name);
    wk_free(r->at);
}
