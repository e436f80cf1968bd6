// SPDX-License-Identifier: MIT OR Apache-2.0
/* gguf.c - models in GGUF files: their metadata as the config.json that transformers would
 * have.
 *
 * What is not in the table keeps its own name, so that the model asks for it or refuses it
 * as it does with config.json. */
#include "models.h"

#include <wick/io.h>

#include <stdio.h>

static const struct {
    const char *key; /* behind the name of the architecture */
    const char *name;
} keys[] = {
    { "embedding_length", "hidden_size" },
    { "block_count", "num_hidden_layers" },
    { "feed_forward_length", "intermediate_size" },
    { "context_length", "max_position_embeddings" },
    { "attention.head_count", "num_attention_heads" },
    { "attention.head_count_kv", "num_key_value_heads" },
    { "attention.key_length", "head_dim" },
    { "attention.layer_norm_rms_epsilon", "rms_norm_eps" },
    { "attention.sliding_window", "sliding_window" },
    { "rope.freq_base", "rope_theta" },
    { "vocab_size", "vocab_size" },
    /* These are put together below, or say nothing about how the weights are used. */
    { "attention.value_length", NULL },
    { "rope.dimension_count", NULL },
    { "rope.scaling.type", NULL },
    { "rope.scaling.factor", NULL },
    { "rope.scaling.original_context_length", NULL },
    { "rope.scaling.attn_factor", NULL },
    { "rope.scaling.finetuned", NULL },
    { "tensor_data_layout", NULL },
};

typedef struct {
    const wk_archive *archive;
    const char       *architecture;
    wk_json_writer    json;
    wk_buf            text;
} draft;

static wk_meta of(const draft *d, const char *key)
{
    char full[200];
    snprintf(full, sizeof full, "%s.%s", d->architecture, key);
    return wk_archive_meta(d->archive, full, 0);
}

static void put_value(draft *d, wk_meta v)
{
    switch (v.type) {
    case WK_META_NONE:
        wk_json_put_null(&d->json);
        break;
    case WK_META_INTEGER:
        wk_json_put_int(&d->json, v.integer);
        break;
    case WK_META_NUMBER:
        wk_json_put_number(&d->json, v.number);
        break;
    case WK_META_BOOL:
        wk_json_put_bool(&d->json, v.integer);
        break;
    case WK_META_TEXT:
        wk_json_put_str(&d->json, (wk_str){ v.text, v.size });
    }
}

static void put(draft *d, const char *name, wk_meta v)
{
    if (v.type == WK_META_NONE)
        return;
    wk_json_put_key(&d->json, name);
    put_value(d, v);
}

static void put_number(draft *d, const char *name, double x)
{
    wk_json_put_key(&d->json, name);
    wk_json_put_number(&d->json, x);
}

static void put_text(draft *d, const char *name, const char *text)
{
    wk_json_put_key(&d->json, name);
    wk_json_put_str(&d->json, wk_str_of(text));
}

/* A list, such as the heads of each layer, stands for one value if all its elements are that. */
static wk_meta single(const draft *d, const char *key, wk_meta first)
{
    for (int64_t i = 1; first.list && i < first.count && wk_ok(); i++)
        if (wk_archive_meta(d->archive, key, i).number != first.number ||
            first.type == WK_META_TEXT)
            wk_fail(WK_ERR_UNSUPPORTED, "%s differs from layer to layer", key);
    if (first.list && !first.count)
        wk_fail(WK_ERR_FORMAT, "%s is an empty list", key);
    return first;
}

/* All of the architecture's own keys, by transformers' names where those are known. */
static void put_own(draft *d)
{
    size_t      start = strlen(d->architecture) + 1;
    const char *key;
    for (int i = 0; wk_ok() && (key = wk_archive_metadata_key(d->archive, i)); i++) {
        if (strncmp(key, d->architecture, start - 1) || key[start - 1] != '.')
            continue;
        size_t k = 0;
        while (k < WK_COUNT(keys) && strcmp(key + start, keys[k].key))
            k++;
        wk_meta v = single(d, key, wk_archive_meta(d->archive, key, 0));
        bool    nothing = v.type == WK_META_INTEGER && v.integer == 0; /* experts: none */
        if (k < WK_COUNT(keys) ? keys[k].name != NULL : !nothing)
            put(d, k < WK_COUNT(keys) ? keys[k].name : key, v);
    }
}

/* Each frequency is divided by a factor of its own, whatever the length of the text: what
 * llama.cpp's conversion makes of llama3's scaling, and more general. */
static bool put_factors(draft *d, wk_meta context)
{
    static const char *const lists[] = { "short_factor", "long_factor" };
    if (wk_archive_find(d->archive, "rope_freqs.weight") < 0)
        return false;
    wk_scope   scope = wk_mark();
    wk_tensor *x = wk_archive_get(d->archive, "rope_freqs.weight");
    int64_t    n = wk_count(x);
    float     *f = n > 0 && n <= 65536 ? wk_alloc_array((size_t)n, sizeof *f) : NULL;
    put_text(d, "rope_type", "longrope");
    put_number(d, "attention_factor", 1);
    put(d, "original_max_position_embeddings", context);
    if (f && wk_to_f32(x, f))
        for (size_t i = 0; i < WK_COUNT(lists); i++) {
            wk_json_put_key(&d->json, lists[i]);
            wk_json_begin(&d->json, '[');
            for (int64_t k = 0; k < n; k++)
                wk_json_put_number(&d->json, (double)f[k]);
            wk_json_end(&d->json, ']');
        }
    wk_free(f);
    wk_sweep(scope);
    return true;
}

static void put_rope(draft *d)
{
    wk_meta type = of(d, "rope.scaling.type"), attention = of(d, "rope.scaling.attn_factor");
    bool    scaled = type.type == WK_META_TEXT && strcmp(type.text, "none") != 0;
    wk_json_put_key(&d->json, "rope_scaling");
    wk_json_begin(&d->json, '{');
    if (scaled) {
        put_text(d, "rope_type", type.text);
        put(d, "factor", of(d, "rope.scaling.factor"));
        put(d, "original_max_position_embeddings", of(d, "rope.scaling.original_context_length"));
        put(d, "attention_factor", attention);
    } else if (!put_factors(d, of(d, "context_length"))) {
        put_text(d, "rope_type", "default");
    }
    wk_json_end(&d->json, '}');
}

/* Numbers that transformers derives from others, or counts. */
static void put_derived(draft *d)
{
    wk_meta width = of(d, "embedding_length"), heads = of(d, "attention.head_count");
    wk_meta key = of(d, "attention.key_length"), value = of(d, "attention.value_length");
    wk_meta turning = of(d, "rope.dimension_count");
    double  head = key.type                         ? key.number
                   : heads.number > 0 && width.type ? width.number / heads.number
                                                    : 0;
    if (wk_ok() && value.type && value.number != head)
        wk_fail(WK_ERR_UNSUPPORTED, "%s.attention.value_length %g is not the length of keys, %g",
                d->architecture, value.number, head);
    if (!key.type && head > 0)
        put_number(d, "head_dim", head);
    if (turning.type && head > 0 && turning.number != head)
        put_number(d, "partial_rotary_factor", turning.number / head);
    if (!of(d, "vocab_size").type) {
        wk_json_put_key(&d->json, "vocab_size");
        wk_json_put_int(&d->json, wk_archive_meta(d->archive, "tokenizer.ggml.tokens", 0).count);
    }
    wk_json_put_key(&d->json, "tie_word_embeddings");
    wk_json_put_bool(&d->json, wk_archive_find(d->archive, "output.weight") < 0);
    if (of(d, "attention.sliding_window").type) {
        wk_json_put_key(&d->json, "use_sliding_window");
        wk_json_put_bool(&d->json, true);
    }
}

/* Tokens that end a text, all that the file names. */
static void put_ends(draft *d)
{
    static const char *const ends[] = { "tokenizer.ggml.eos_token_id",
                                        "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id" };
    wk_json_put_key(&d->json, "eos_token_id");
    wk_json_begin(&d->json, '[');
    for (size_t i = 0; i < WK_COUNT(ends); i++) {
        wk_meta v = wk_archive_meta(d->archive, ends[i], 0);
        if (v.type == WK_META_INTEGER)
            wk_json_put_int(&d->json, v.integer);
    }
    wk_json_end(&d->json, ']');
}

char *wk_gguf_config(const wk_archive *a)
{
    const char *architecture = wk_archive_metadata(a, "general.architecture");
    draft       d = { .archive = a, .architecture = architecture };
    if (wk_ok() && !architecture)
        wk_fail(WK_ERR_FORMAT, "there is no general.architecture");
    if (!wk_ok())
        return NULL;
    d.json.out = &d.text;
    wk_json_begin(&d.json, '{');
    put_text(&d, "model_type", architecture);
    put_own(&d);
    put_derived(&d);
    put_rope(&d);
    put_ends(&d);
    wk_json_end(&d.json, '}');
    if (wk_ok())
        return d.text.data;
    wk_buf_free(&d.text);
    return NULL;
}
