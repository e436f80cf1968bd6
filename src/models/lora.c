// SPDX-License-Identifier: MIT OR Apache-2.0
/* lora.c - low-rank adapters of decoders, in the files of peft.
 *
 * An adapter's matrices are parameters of a store of its own; the decoder's layers borrow
 * them.  Merged, the layers have other weights, and the adapter keeps those from before. */
#include "models.h"

#include <wick/train.h>

#include <math.h>
#include <stdio.h>

struct wk_lora {
    wk_model   *model;
    wk_store   *store;
    int64_t     rank;
    double      alpha, scale;
    int64_t     count;  /* layers x WK_PROJECTIONS */
    wk_tensor **before; /* weights, while the adapter is merged into them */
};

/* ---- Each linear layer of the model -------------------------------------- */

static wk_projection *projection_of(const wk_lora *l, int64_t i)
{
    wk_decoder *d = wk_model_decoder(l->model);
    return &d->layer[i / WK_PROJECTIONS].projection[i % WK_PROJECTIONS];
}

/* In the model, "model.layers.0.self_attn.q_proj". */
static wk_vars place_of(const wk_lora *l, wk_vars root, int64_t i)
{
    wk_decoder *d = wk_model_decoder(l->model);
    wk_vars     layer = wk_decoder_layer_at(d, root, (int)(i / WK_PROJECTIONS));
    return wk_decoder_projection_at(d, layer, (int)(i % WK_PROJECTIONS));
}

static wk_vars adapter_of(const wk_lora *l, int64_t i)
{
    return place_of(l, wk_at(wk_root(l->store), "base_model.model"), i);
}

/* Is it, or the end of its path, in the list "q_proj,v_proj"? */
static bool is_target(const char *list, const char *path)
{
    size_t length = strlen(path);
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ",");
        if (n > 0 && n <= length && !strncmp(path + length - n, p, n) &&
            (n == length || path[length - n - 1] == '.'))
            return true;
        p += n + (p[n] == ',');
    }
    return list == NULL;
}

/* ---- Making ------------------------------------------------------------- */

static wk_lora *attach_new(wk_model *m)
{
    wk_decoder *d = wk_model_decoder(m);
    if (wk_ok() && !d)
        wk_fail(WK_ERR_ARGUMENT, "lora: no model");
    wk_lora *l = wk_ok() ? wk_alloc(sizeof *l) : NULL;
    if (!l)
        return NULL;
    *l = (wk_lora){ .model = m, .count = d->c.layers * WK_PROJECTIONS };
    l->before = wk_alloc_array((size_t)l->count, sizeof *l->before);
    wk_store_track(wk_model_store(m), false);
    for (int64_t i = 0; wk_ok() && i < l->count; i++)
        if (projection_of(l, i)->a) {
            wk_fail(WK_ERR_ARGUMENT, "lora: the model has an adapter already");
            l->count = 0; /* which is not ours to take off */
        }
    return l;
}

/* A and B of a linear layer: those of the file, or new ones, as peft begins them. */
static void attach(const wk_lora *l, int64_t i)
{
    wk_projection *p = projection_of(l, i);
    wk_vars        at = adapter_of(l, i);
    int64_t        out = wk_dim(p->own.weight, 0), in = wk_dim(p->own.weight, 1);
    wk_init        begin = { .kind = WK_INIT_UNIFORM, .spread = 1 / sqrt((double)in) };
    wk_tensor     *a = wk_param(at, "lora_A.weight", WK_SHAPE(l->rank, in), begin);
    wk_tensor     *b = wk_param(at, "lora_B.weight", WK_SHAPE(out, l->rank), (wk_init){ 0 });
    if (wk_ok())
        *p = (wk_projection){ p->own, p->order, a, b, l->scale };
}

static wk_lora *done(wk_lora *l)
{
    if (wk_ok() && l)
        return l;
    wk_lora_free(l);
    return NULL;
}

wk_lora *wk_lora_new_with(const wk_lora_args *a)
{
    wk_lora *l = attach_new(a->model);
    if (!l || !wk_ok())
        return done(l);
    l->rank = a->rank ? a->rank : 8;
    l->alpha = a->alpha != 0 ? a->alpha : 2 * (double)l->rank;
    l->scale = l->alpha / (double)l->rank;
    l->store = wk_store_new();
    if (wk_ok() && (l->rank < 1 || l->rank > 1 << 20))
        wk_fail(WK_ERR_ARGUMENT, "lora: a rank of %lld", (long long)l->rank);
    bool     before = wk_no_grad(true), any = false;
    wk_scope scope = wk_mark();
    for (int64_t i = 0; wk_ok() && i < l->count; i++)
        if (is_target(a->targets, place_of(l, wk_root(l->store), i).path)) {
            attach(l, i);
            any = true;
        }
    wk_sweep(scope);
    wk_no_grad(before);
    if (wk_ok() && !any)
        wk_fail(WK_ERR_ARGUMENT, "lora: no linear layer is called %s", a->targets);
    return done(l);
}

void wk_lora_free(wk_lora *l)
{
    if (!l)
        return;
    for (int64_t i = 0; i < l->count; i++) {
        wk_projection *p = projection_of(l, i);
        *p = (wk_projection){ .own = p->own, .order = p->order };
        if (l->before)
            wk_drop(l->before[i]);
    }
    wk_free(l->before);
    wk_store_free(l->store);
    wk_free(l);
}

wk_store *wk_lora_store(const wk_lora *l) { return l ? l->store : NULL; }

/* ---- Files -------------------------------------------------------------- */

/* Keys of adapter_config.json that change nothing of what the matrices mean. */
static const char *const harmless[] = {
    "_",
    "alora_invocation_tokens",
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "init_lora_weights",
    "layers_",
    "loftq_config",
    "lora_dropout",
    "megatron_",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    NULL,
};

static bool read_config(wk_lora *l, const char *folder)
{
    char    *path = wk_path_join(folder, "adapter_config.json");
    wk_conf *c = path ? wk_conf_open(path) : NULL;
    if (c) {
        const char *type = wk_conf_text(c, "peft_type", "LORA");
        const char *bias = wk_conf_text(c, "bias", "none");
        l->rank = wk_conf_size(c, "r", 8);
        l->alpha = wk_conf_number(c, "lora_alpha", 8);
        l->scale = l->alpha /
                   (wk_conf_bool(c, "use_rslora", false) ? sqrt((double)l->rank) : (double)l->rank);
        if (wk_ok() && (strcmp(type, "LORA") || strcmp(bias, "none")))
            wk_fail(WK_ERR_UNSUPPORTED, "%s: an adapter of type %s with bias \"%s\"", path, type,
                    bias);
        const char *unknown = wk_ok() ? wk_conf_unknown(c, harmless) : NULL;
        if (unknown)
            wk_fail(WK_ERR_UNSUPPORTED, "%s: %s is not understood, and may change its results",
                    path, unknown);
    }
    wk_conf_free(c);
    wk_free(path);
    return wk_ok();
}

wk_lora *wk_lora_open(wk_model *m, const char *folder)
{
    wk_lora *l = attach_new(m);
    if (!l || !wk_ok() || !read_config(l, folder))
        return done(l);
    char *path = wk_path_join(folder, "adapter_model.safetensors");
    l->store = path ? wk_store_open(path, WK_F32) : NULL;
    bool     before = wk_no_grad(true);
    wk_scope scope = wk_mark();
    for (int64_t i = 0; wk_ok() && i < l->count; i++)
        if (wk_has(adapter_of(l, i), "lora_A.weight"))
            attach(l, i);
    wk_sweep(scope);
    wk_no_grad(before);
    const char *unused = wk_ok() ? wk_store_unused(l->store, 0) : NULL;
    if (unused)
        wk_fail(WK_ERR_UNSUPPORTED, "%s: %s: the model has no such linear layer", path, unused);
    if (wk_ok())
        wk_store_track(l->store, true);
    wk_free(path);
    return done(l);
}

/* The last parts of the paths of those that have an adapter, merged or not. */
static void put_targets(const wk_lora *l, wk_json_writer *w)
{
    for (int64_t k = 0; k < WK_PROJECTIONS; k++) {
        bool any = false;
        for (int64_t i = k; i < l->count; i += WK_PROJECTIONS)
            any |= projection_of(l, i)->a || l->before[i];
        wk_vars at = place_of(l, wk_root(l->store), k);
        if (any)
            wk_json_put_str(w, wk_str_of(strrchr(at.path, '.') + 1));
    }
}

static void write_config(const wk_lora *l, wk_buf *out)
{
    wk_json_writer w = { .out = out, .indent = 2 };
    const char    *base = wk_model_path(l->model);
    wk_json_begin(&w, '{');
    wk_json_put_key(&w, "peft_type");
    wk_json_put_str(&w, WK_STR("LORA"));
    wk_json_put_key(&w, "task_type");
    wk_json_put_str(&w, WK_STR("CAUSAL_LM"));
    wk_json_put_key(&w, "base_model_name_or_path");
    wk_json_put_str(&w, wk_str_of(base ? base : ""));
    wk_json_put_key(&w, "r");
    wk_json_put_int(&w, l->rank);
    wk_json_put_key(&w, "lora_alpha");
    wk_json_put_number(&w, l->scale * (double)l->rank);
    wk_json_put_key(&w, "lora_dropout");
    wk_json_put_int(&w, 0);
    wk_json_put_key(&w, "bias");
    wk_json_put_str(&w, WK_STR("none"));
    wk_json_put_key(&w, "target_modules");
    wk_json_begin(&w, '[');
    put_targets(l, &w);
    wk_json_end(&w, ']');
    wk_json_put_key(&w, "inference_mode");
    wk_json_put_bool(&w, true);
    wk_json_end(&w, '}');
    wk_buf_char(out, '\n');
}

bool wk_lora_save(const wk_lora *l, const char *folder)
{
    if (!wk_ok() || !l || !wk_make_folder(folder))
        return false;
    wk_buf config = { 0 };
    char  *weights = wk_path_join(folder, "adapter_model.safetensors");
    char  *path = wk_path_join(folder, "adapter_config.json");
    write_config(l, &config);
    if (wk_ok() && wk_store_save(l->store, weights))
        wk_write_file(path, config.data, config.size);
    wk_buf_free(&config);
    wk_free(weights);
    wk_free(path);
    return wk_ok();
}

/* ---- Merging ------------------------------------------------------------ */

/* Another weight in the place of a linear layer's. */
static bool exchange(const wk_lora *l, int64_t i, wk_tensor *weight)
{
    wk_store      *s = wk_model_store(l->model);
    wk_projection *p = projection_of(l, i);
    wk_vars        at = wk_at(place_of(l, wk_root(s), i), "weight");
    weight = wk_store_replace(s, at.path, weight);
    if (weight)
        *p = (wk_projection){ .own = { weight, p->own.bias }, .order = p->order };
    return weight;
}

static void merge(const wk_lora *l, int64_t i)
{
    wk_projection *p = projection_of(l, i);
    wk_tensor     *w = p->own.weight; // [out, in]
    wk_tensor     *ba = wk_scale(wk_matmul(p->b, p->a), p->scale);
    ba = p->order ? wk_index_select(ba, 1, p->order) : ba;
    wk_tensor *sum = wk_cast(wk_add(wk_cast(w, WK_F32), ba), wk_dtype_of(w));
    l->before[i] = wk_keep(w);
    if (!exchange(l, i, wk_model_decoder(l->model)->train ? sum : wk_pack(sum)))
        wk_set(&l->before[i], NULL);
}

static void unmerge(const wk_lora *l, int64_t i)
{
    if (!exchange(l, i, l->before[i]))
        return;
    wk_set(&l->before[i], NULL);
    attach(l, i);
}

/* Layers that are merged have no matrices, but a weight from before. */
static bool each(wk_lora *l, bool merged)
{
    bool before = wk_no_grad(true);
    for (int64_t i = 0; wk_ok() && l && i < l->count; i++) {
        wk_scope scope = wk_mark();
        if (!merged && projection_of(l, i)->a)
            merge(l, i);
        else if (merged && l->before[i])
            unmerge(l, i);
        wk_sweep(scope);
    }
    wk_no_grad(before);
    return wk_ok() && l;
}

bool wk_lora_merge(wk_lora *l) { return each(l, false); }
bool wk_lora_unmerge(wk_lora *l) { return each(l, true); }
