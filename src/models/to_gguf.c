// SPDX-License-Identifier: MIT OR Apache-2.0
/* to_gguf.c - a model of a folder as a GGUF file: metadata, names and rows as llama.cpp's
 * converter writes them, vectors as f32. */
#include "../io/quantize.h"
#include "../text/gguf_values.h"
#include "convert.h"

#include <math.h>
#include <stdio.h>

/* ---- Of the model -------------------------------------------------------- */

typedef struct {
    wk_model   *model;
    const char *path, *architecture;
    wk_values   values;
    wk_renamed  weights;
    wk_tensor  *freqs; /* rope_freqs.weight; NULL: none */
} draft;

static const char *own(const draft *d, const char *key, char full[120])
{
    snprintf(full, 120, "%s.%s", d->architecture, key);
    return full;
}

static void put_int(draft *d, const char *key, int64_t x)
{
    char full[120];
    wk_values_int(&d->values, own(d, key, full), "u32", x);
}

static void put_number(draft *d, const char *key, double x)
{
    char full[120];
    wk_values_number(&d->values, own(d, key, full), x);
}

/* llama3's scaling is a factor for each frequency: a tensor. */
static void put_factors(draft *d, const wk_rope_config *r)
{
    int64_t n = r->dims / 2;
    float  *f = wk_alloc_array((size_t)n, sizeof *f);
    for (int64_t i = 0; f && i < n; i++)
        f[i] = wk_rope_divisor(r, i);
    d->freqs = f ? wk_from_f32(WK_SHAPE(n), f) : NULL;
    wk_free(f);
}

static void put_rope(draft *d, const wk_rope_config *r)
{
    static const char *const types[] = { [WK_ROPE_LINEAR] = "linear", [WK_ROPE_YARN] = "yarn" };
    double                   magnitude = r->factor > 1 ? 0.1 * log(r->factor) + 1 : 1;
    bool plain = r->kind == WK_ROPE_YARN && r->low == 1 && r->high == 32 && r->truncate &&
                 fabs(r->magnitude - magnitude) < 1e-9;
    char full[120];
    put_int(d, "rope.dimension_count", r->dims);
    put_number(d, "rope.freq_base", r->theta);
    if (r->kind == WK_ROPE_LLAMA3) {
        put_factors(d, r);
    } else if (r->kind == WK_ROPE_LINEAR || plain) {
        wk_values_text(&d->values, own(d, "rope.scaling.type", full), wk_str_of(types[r->kind]));
        put_number(d, "rope.scaling.factor", r->factor);
        if (plain)
            put_int(d, "rope.scaling.original_context_length", r->original_context);
    } else if (wk_ok() && r->kind != WK_ROPE_DEFAULT) {
        wk_fail(WK_ERR_UNSUPPORTED, "%s: its rope scaling cannot be said in a GGUF file", d->path);
    }
}

static void put_numbers(draft *d)
{
    const wk_decoder_config *c = &wk_model_decoder(d->model)->c;
    bool                     local = false;
    put_int(d, "block_count", c->layers);
    put_int(d, "context_length", c->context);
    put_int(d, "embedding_length", c->width);
    put_int(d, "feed_forward_length", c->ffn);
    put_int(d, "attention.head_count", c->heads);
    put_int(d, "attention.head_count_kv", c->kv_heads);
    put_int(d, "attention.key_length", c->head_dim);
    put_int(d, "attention.value_length", c->head_dim);
    put_number(d, "attention.layer_norm_rms_epsilon", c->eps);
    put_int(d, "vocab_size", c->vocab);
    put_rope(d, &c->rope);
    for (int64_t i = 0; i < c->layers; i++)
        local |= c->window[i] > 0;
    if (local)
        wk_say(WK_LOG_WARN, "%s: its sliding window is lost: as in llama.cpp, each token sees all",
               d->path);
    if (wk_ok() && c->act != WK_ACT_SILU)
        wk_fail(WK_ERR_UNSUPPORTED, "%s: its hidden_act cannot be said in a GGUF file", d->path);
}

/* The ids that begin, end and fill a text. */
static void put_ids(draft *d, wk_conf *c)
{
    static const char *const ids[][3] = {
        { "bos_token_id", "bos_token_id.0", "tokenizer.ggml.bos_token_id" },
        { "eos_token_id", "eos_token_id.0", "tokenizer.ggml.eos_token_id" },
        { "pad_token_id", "pad_token_id.0", "tokenizer.ggml.padding_token_id" },
    };
    for (size_t i = 0; i < WK_COUNT(ids); i++) {
        int64_t id = wk_conf_int(c, wk_conf_has(c, ids[i][0]) ? ids[i][0] : ids[i][1], -1);
        if (id >= 0 && id < wk_model_decoder(d->model)->c.vocab)
            wk_values_int(&d->values, ids[i][2], "u32", id);
    }
    if (wk_conf_has(c, "eos_token_id.1")) {
        int64_t more = wk_conf_int(c, "eos_token_id.1", -1);
        if (more >= 0 && more < wk_model_decoder(d->model)->c.vocab)
            wk_values_int(&d->values, "tokenizer.ggml.eot_token_id", "u32", more);
    }
}

static void put_template(draft *d)
{
    char *file = wk_path_join(d->path, "chat_template.jinja");
    char *config = wk_path_join(d->path, "tokenizer_config.json");
    if (wk_ok() && wk_path_is_file(file)) {
        wk_file *f = wk_file_open(file);
        if (f)
            wk_values_text(&d->values, "tokenizer.chat_template", (wk_str){ f->data, f->size });
        wk_file_release(f);
    } else if (wk_ok() && wk_path_is_file(config)) {
        wk_conf    *c = wk_conf_open(config);
        const char *text =
            c && wk_conf_has(c, "chat_template") ? wk_conf_text(c, "chat_template", "") : NULL;
        if (text && wk_ok())
            wk_values_text(&d->values, "tokenizer.chat_template", wk_str_of(text));
        wk_conf_free(c);
    }
    wk_free(file);
    wk_free(config);
}

/* Does a text begin with the token, or end with it? */
static void put_ends(draft *d, const wk_tokenizer *t)
{
    wk_tokens with = { 0 }, without = { 0 };
    if (wk_encode(&with, t, "a") && wk_encode(&without, t, "a", .no_special = true)) {
        bool more = with.count > without.count && without.count > 0;
        wk_values_int(&d->values, "tokenizer.ggml.add_bos_token", "bool",
                      more && with.id[0] != without.id[0]);
        wk_values_int(&d->values, "tokenizer.ggml.add_eos_token", "bool",
                      more && with.id[with.count - 1] != without.id[without.count - 1]);
    }
    wk_tokens_free(&with);
    wk_tokens_free(&without);
}

static void put_tokenizer(draft *d)
{
    char *json = wk_path_join(d->path, "tokenizer.json");
    if (wk_ok() && !wk_path_is_file(json)) {
        wk_say(WK_LOG_WARN, "%s: there is no tokenizer.json: the file will have no tokens",
               d->path);
    } else if (wk_ok()) {
        wk_file *f = wk_file_open(json);
        if (f)
            wk_values_text(&d->values, "tokenizer.huggingface.json", (wk_str){ f->data, f->size });
        wk_file_release(f);
        if (wk_vocabulary_values(&d->values, d->path, wk_model_decoder(d->model)->c.vocab))
            put_ends(d, wk_model_tokenizer(d->model));
        else if (wk_ok())
            wk_say(WK_LOG_WARN,
                   "%s: llama.cpp has no tokenizer like this: the file has its "
                   "tokenizer.json alone, which wick reads",
                   d->path);
    }
    wk_free(json);
    put_template(d);
}

static void put_values(draft *d)
{
    char    *file = wk_path_join(d->path, "config.json");
    wk_conf *c = file ? wk_conf_open(file) : NULL;
    wk_values_text(&d->values, "general.architecture", wk_str_of(d->architecture));
    wk_values_text(&d->values, "general.type", WK_STR("model"));
    put_numbers(d);
    if (c)
        put_ids(d, c);
    put_tokenizer(d);
    wk_conf_free(c);
    wk_free(file);
}

/* ---- Its tensors --------------------------------------------------------- */

static wk_tensor *tensor(int i, void *user)
{
    const draft *d = user;
    wk_tensor   *x = i < d->weights.count ? wk_renamed_get(&d->weights, i) : d->freqs;
    return wk_rank(x) < 2 ? wk_cast(x, WK_F32) : x;
}

static void write(draft *d, const wk_quantize_args *a)
{
    int          n = d->weights.count, count = n + (d->freqs != NULL);
    const char **names = wk_alloc_array((size_t)count, sizeof *names);
    wk_dtype    *dtypes = wk_alloc_array((size_t)count, sizeof *dtypes);
    wk_shape    *shapes = wk_alloc_array((size_t)count, sizeof *shapes);
    wk_dtype     most = WK_F32;
    for (int i = 0; wk_ok() && i < count; i++) {
        const wk_tensor *x = i < n ? d->weights.at[i].tensor : d->freqs;
        names[i] = i < n ? d->weights.at[i].name : "rope_freqs.weight";
        shapes[i] = wk_shape_of(x);
        dtypes[i] = wk_rank(x) < 2 ? WK_F32 : wk_dtype_of(x);
        most = wk_rank(x) < 2 ? most : dtypes[i];
    }
    wk_values_int(&d->values, "general.quantization_version", "u32", 2);
    wk_values_int(&d->values, "general.file_type", "u32",
                  most == WK_F16    ? 1
                  : most == WK_BF16 ? 32
                                    : 0);
    if (wk_ok())
        wk_quantize_tensors(&(wk_gguf_args){ .count = count,
                                             .names = names,
                                             .dtypes = dtypes,
                                             .shapes = shapes,
                                             .tensor = tensor,
                                             .user = d,
                                             .value_count = (int)d->values.count,
                                             .values = d->values.at },
                            a);
    wk_free(names);
    wk_free(dtypes);
    wk_free(shapes);
}

bool wk_model_to_gguf(const wk_quantize_args *a)
{
    draft    d = { .path = a->from };
    wk_scope scope = wk_mark();
    bool     before = wk_no_grad(true);
    d.model = wk_model_open(a->from, .train = true); /* weights as they are laid out */
    if (d.model) {
        const char *type = wk_model_describe(d.model).type;
        d.architecture = strcmp(type, "mistral") ? type : "llama";
        d.weights.turned = d.weights.to_pairs = wk_decoder_find(d.architecture)->pairs;
        if (wk_rename(&d.weights, d.model, &wk_gguf_names)) {
            put_values(&d);
            write(&d, a);
        }
    }
    wk_values_free(&d.values);
    wk_renamed_free(&d.weights);
    wk_model_free(d.model);
    wk_no_grad(before);
    wk_sweep(scope);
    return wk_ok();
}
