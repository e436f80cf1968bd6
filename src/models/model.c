// SPDX-License-Identifier: MIT OR Apache-2.0
/* model.c - models opened, described, saved: a folder of config.json, weights, tokenizer
 * and generation_config.json, as transformers writes it. */
#include "convert.h"

#include <wick/io.h>

#include <pthread.h>
#include <stdio.h>

enum { MOST_ENDS = 16 };

struct wk_model {
    char           *path;   /* NULL: made from a config alone */
    char           *config; /* the text of config.json */
    char           *type;
    wk_store       *store;
    wk_decoder     *decoder;
    wk_sampler_args sampling;
    int32_t         end[MOST_ENDS]; /* tokens that end a text */
    int             ends;
    pthread_mutex_t lock; /* for these, which are read when they are first asked for */
    wk_tokenizer   *tokenizer;
    wk_chat        *chat;
    bool            gguf; /* path is not a folder of files as transformers has them */
};

/* ---- config.json -------------------------------------------------------- */

/* Keys that say nothing about how the weights are used. */
static const char *const harmless[] = {
    "_",
    "architectures",
    "auto_map",
    "attention_dropout",
    "attn_implementation",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "dtype",
    "torch_dtype",
    "initializer_range",
    "hidden_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "pretraining_tp",
    "tokenizer_class",
    "transformers_version",
    "use_cache",
    "unsloth",
    "id2label",
    "label2id",
    "task_specific_params",
    "problem_type",
    "output_",
    "return_dict",
    "chunk_size_feed_forward",
    "is_decoder",
    "max_length",
    "model_type",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "num_return_sequences",
    "repetition_penalty",
    "length_penalty",
    "use_bfloat16",
    "max_window_layers",
    NULL,
};

/* A number, or a list of them. */
static void read_end_tokens(wk_model *m, wk_conf *c)
{
    char key[32] = "eos_token_id";
    if (!wk_conf_has(c, key))
        snprintf(key, sizeof key, "eos_token_id.0");
    for (int i = 1; m->ends < MOST_ENDS && wk_conf_has(c, key); i++) {
        m->end[m->ends++] = wk_conf_int32(c, key, -1);
        snprintf(key, sizeof key, "eos_token_id.%d", i);
    }
}

static void choose_cache(wk_decoder *d, wk_dtype dtype)
{
    int64_t width = d->c.head_dim, block = wk_dtype_block(dtype);
    if (!wk_dtype_is_float(dtype) || width % block)
        wk_fail(WK_ERR_ARGUMENT, "keys and values of %lld numbers cannot be kept in %s",
                (long long)width, wk_dtype_name(dtype));
    else
        d->cache = dtype;
}

static bool read_config(wk_model *m, const wk_model_args *a, const char *file)
{
    wk_conf    *c = wk_conf_parse(file, m->config, strlen(m->config));
    const char *type = c ? wk_conf_text(c, "model_type", "") : "";
    m->type = c ? wk_str_copy(wk_str_of(type)) : NULL;
    const wk_decoder_row *row = wk_ok() ? wk_decoder_find(type) : NULL;
    if (wk_ok() && !row)
        wk_fail(WK_ERR_UNSUPPORTED, "%s: model_type \"%s\" is not known", file, type);
    if (wk_ok())
        m->decoder = wk_decoder_new(row, c, wk_root(m->store), a->train, a->config);
    if (wk_ok() && a->cache)
        choose_cache(m->decoder, a->cache);
    if (!wk_ok() && a->path && !strstr(wk_message(), a->path))
        wk_context("%s", a->path);
    const char *unknown = wk_ok() && !a->lenient ? wk_conf_unknown(c, harmless) : NULL;
    if (unknown)
        wk_fail(
            WK_ERR_UNSUPPORTED,
            "%s: %s is not understood for %s, and may change its results (--lenient accepts it)",
            file, unknown, type);
    if (wk_ok())
        read_end_tokens(m, c);
    wk_conf_free(c);
    return wk_ok();
}

/* Optional: which tokens end a text, and how its authors sample. */
static bool read_generation_config(wk_model *m)
{
    char *path = wk_path_join(m->path, "generation_config.json");
    if (path && wk_path_is_file(path)) {
        wk_conf *c = wk_conf_open(path);
        if (c && (wk_conf_has(c, "eos_token_id") || wk_conf_has(c, "eos_token_id.0"))) {
            m->ends = 0;
            read_end_tokens(m, c);
        }
        if (c && wk_conf_bool(c, "do_sample", false)) {
            m->sampling.temperature = wk_conf_number(c, "temperature", 1);
            m->sampling.top_k = wk_conf_int32(c, "top_k", 50);
            m->sampling.top_p = wk_conf_number(c, "top_p", 0);
            m->sampling.min_p = wk_conf_number(c, "min_p", 0);
        }
        if (c)
            m->sampling.repeat_penalty = wk_conf_number(c, "repetition_penalty", 0);
        wk_conf_free(c);
    }
    wk_free(path);
    return wk_ok();
}

/* ---- Opening ------------------------------------------------------------ */

static char *read_text(const char *path)
{
    wk_file *f = wk_file_open(path);
    char    *text = f ? wk_str_copy((wk_str){ f->data, f->size }) : NULL;
    wk_file_release(f);
    return text;
}

/* What gguf.c read is used as well. */
static void list_unused(const wk_model *m)
{
    const char *name;
    int         said = 0;
    for (int n = 0; (name = wk_store_unused(m->store, n)); n++)
        if (!m->gguf || !wk_str_starts(wk_str_of(name), "rope_freqs."))
            wk_say(said++ < 3 ? WK_LOG_WARN : WK_LOG_DEBUG, "%s: %s is not used", m->path, name);
}

static bool open_folder(wk_model *m, const wk_model_args *a, const char *file)
{
    m->config = read_text(file);
    m->store = m->config ? wk_store_open(a->path, a->dtype, a->device) : NULL;
    return m->store && read_config(m, a, file) && read_generation_config(m);
}

/* A file that says all by itself. */
static bool open_gguf(wk_model *m, const wk_model_args *a)
{
    m->gguf = true;
    m->store = wk_store_open(a->path, a->dtype, a->device);
    m->config = m->store ? wk_gguf_config(wk_store_archive(m->store)) : NULL;
    if (m->store && !m->config)
        wk_context("%s", a->path);
    return m->config && read_config(m, a, a->path);
}

bool wk_is_model_folder(const char *path)
{
    static const char *const names[] = { "config.json", "model.safetensors",
                                         "model.safetensors.index.json" };
    bool                     there[WK_COUNT(names)];
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        char *file = wk_path_join(path, names[i]);
        there[i] = file && (wk_path_is_file(file) || wk_path_is_folder(file));
        wk_free(file);
    }
    return there[0] && (there[1] || there[2] || !wk_folder_count(path, ".gguf", NULL));
}

static bool open_path(wk_model *m, const wk_model_args *a)
{
    bool  folder = wk_path_is_folder(a->path), config = wk_is_model_folder(a->path);
    char *file = wk_path_join(a->path, "config.json");
    m->path = wk_str_copy(wk_str_of(a->path));
    if (wk_ok() && !folder && !wk_path_is_file(a->path))
        wk_fail(WK_ERR_IO, "%s: no such file or folder", a->path);
    else if (wk_ok() && config ? open_folder(m, a, file) : open_gguf(m, a))
        list_unused(m);
    wk_free(file);
    return wk_ok();
}

static bool make(wk_model *m, const wk_model_args *a)
{
    m->path = a->path ? wk_str_copy(wk_str_of(a->path)) : NULL;
    m->config = wk_str_copy(wk_str_of(a->config));
    m->store = m->config ? wk_store_new() : NULL;
    if (m->store)
        wk_store_set_dtype(m->store, a->dtype);
    return m->store && read_config(m, a, "config");
}

wk_model *wk_model_open_with(const wk_model_args *a)
{
    wk_model *m = wk_ok() ? wk_alloc(sizeof *m) : NULL;
    if (!m)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    bool     before = wk_no_grad(true);
    wk_scope scope = wk_mark();
    if (a->config)
        make(m, a);
    else if (a->path)
        open_path(m, a);
    else
        wk_fail(WK_ERR_ARGUMENT, "a model without a path");
    wk_sweep(scope);
    wk_no_grad(before);
    if (wk_ok())
        wk_store_track(m->store, a->train);
    if (wk_ok())
        return m;
    wk_model_free(m);
    return NULL;
}

void wk_model_free(wk_model *m)
{
    if (!m)
        return;
    wk_decoder_free(m->decoder);
    wk_store_free(m->store);
    wk_chat_free(m->chat);
    wk_tokenizer_free(m->tokenizer);
    pthread_mutex_destroy(&m->lock);
    wk_free(m->path);
    wk_free(m->config);
    wk_free(m->type);
    wk_free(m);
}

/* ---- What it is --------------------------------------------------------- */

wk_decoder     *wk_model_decoder(const wk_model *m) { return m ? m->decoder : NULL; }
const char     *wk_model_path(const wk_model *m) { return m ? m->path : NULL; }
wk_store       *wk_model_store(const wk_model *m) { return m ? m->store : NULL; }
wk_sampler_args wk_model_sampling(const wk_model *m)
{
    return m ? m->sampling : (wk_sampler_args){ 0 };
}

wk_model_info wk_model_describe(const wk_model *m)
{
    wk_model_info info = { .type = "" };
    if (!m)
        return info;
    const wk_decoder_config *c = &m->decoder->c;
    info =
        (wk_model_info){ .type = m->type,
                         .layers = c->layers,
                         .width = c->width,
                         .heads = c->heads,
                         .kv_heads = c->kv_heads,
                         .head_dim = c->head_dim,
                         .ffn = c->ffn,
                         .vocab = c->vocab,
                         .context = c->context,
                         .dtype = wk_dtype_of(m->decoder->layer[0].projection[WK_Q].own.weight) };
    for (int i = 0; i < wk_store_count(m->store); i++) {
        const wk_tensor *x = wk_store_at(m->store, i);
        info.parameters += wk_dtype_is_float(wk_dtype_of(x)) ? wk_count(x) : 0;
        info.bytes += (int64_t)wk_bytes(x);
    }
    return info;
}

int32_t wk_model_end(const wk_model *m) { return m && m->ends ? m->end[0] : -1; }

bool wk_model_is_end(const wk_model *m, int32_t id)
{
    for (int i = 0; m && i < m->ends; i++)
        if (m->end[i] == id)
            return true;
    return false;
}

const wk_tokenizer *wk_model_tokenizer(wk_model *m)
{
    if (!wk_ok() || !m)
        return NULL;
    pthread_mutex_lock(&m->lock);
    if (!m->tokenizer && m->gguf)
        m->tokenizer = wk_tokenizer_from_archive(wk_store_archive(m->store));
    else if (!m->tokenizer && m->path)
        m->tokenizer = wk_tokenizer_open(m->path);
    else if (!m->tokenizer)
        wk_fail(WK_ERR_ARGUMENT, "the model has no tokenizer");
    pthread_mutex_unlock(&m->lock);
    return m->tokenizer;
}

wk_chat *wk_model_chat(wk_model *m)
{
    const wk_tokenizer *t = wk_model_tokenizer(m);
    if (!t)
        return NULL;
    pthread_mutex_lock(&m->lock);
    if (!m->chat)
        m->chat =
            wk_chat_open(m->path, m->gguf ? wk_store_archive(m->store) : NULL, t, wk_model_end(m));
    pthread_mutex_unlock(&m->lock);
    return m->chat;
}

wk_tensor *wk_model_logits(const wk_model *m, wk_tensor *ids)
{
    if (wk_ok() && !m)
        wk_fail(WK_ERR_ARGUMENT, "logits: the model is NULL");
    return wk_ok() ? wk_decoder_logits(m->decoder, ids, 0, false) : NULL;
}

/* ---- Saving ------------------------------------------------------------- */

static bool copy_file(const char *from_folder, const char *to_folder, const char *name)
{
    char *from = wk_path_join(from_folder, name), *to = wk_path_join(to_folder, name);
    if (from && to && wk_path_is_file(from)) {
        wk_file *f = wk_file_open(from);
        if (f)
            wk_write_file(to, f->data, f->size);
        wk_file_release(f);
    }
    wk_free(from);
    wk_free(to);
    return wk_ok();
}

/* What lies beside the weights, from where the model was opened. */
static bool save_beside(const wk_model *m, const char *folder)
{
    static const char *const beside[] = { "tokenizer.json", "tokenizer_config.json",
                                          "chat_template.jinja", "generation_config.json" };
    for (size_t i = 0; m->path && wk_ok() && i < WK_COUNT(beside); i++)
        copy_file(m->path, folder, beside[i]);
    return wk_ok();
}

bool wk_model_save(const wk_model *m, const char *folder)
{
    return wk_model_save_as(m, folder, &(wk_convert_args){ 0 });
}

bool wk_model_save_as(const wk_model *m, const char *folder, const wk_convert_args *how)
{
    if (!wk_ok() || !m || !wk_make_folder(folder))
        return false;
    char *weights = wk_path_join(folder, "model.safetensors");
    char *config = wk_path_join(folder, "config.json");
    bool  good = weights && config &&
                (m->gguf || how->dtype ? wk_weights_save(m, weights, how)
                                       : wk_store_save(m->store, weights)) &&
                wk_write_file(config, m->config, strlen(m->config));
    if (good && m->gguf)
        wk_gguf_save_beside(wk_store_archive(m->store), folder);
    else if (good)
        save_beside(m, folder);
    wk_free(weights);
    wk_free(config);
    return wk_ok();
}

bool wk_model_settle(wk_model *m, const char *folder)
{
    if (!wk_ok() || !wk_make_folder(folder) || (m->path && !strcmp(m->path, folder)))
        return wk_ok();
    if (m->gguf) /* what it needs lies in its own file */
        return wk_gguf_save_beside(wk_store_archive(m->store), folder);
    char *path = wk_str_copy(wk_str_of(folder));
    if (path && m->path && save_beside(m, folder)) {
        wk_free(m->path);
        m->path = path;
        return true;
    }
    wk_free(path);
    return wk_ok();
}
