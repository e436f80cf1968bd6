// SPDX-License-Identifier: MIT OR Apache-2.0
/* models.h - what the model layer shares: decoders, rotary tables, the inside of a model. */
#ifndef WK_MODELS_H
#define WK_MODELS_H

#include "../nn/quantized.h"
#include "conf.h"
#include <wick/model.h>

/* ---- Rotary position embedding (rope.c) --------------------------------- */

typedef enum {
    WK_ROPE_DEFAULT,
    WK_ROPE_LINEAR,
    WK_ROPE_DYNAMIC,
    WK_ROPE_YARN,
    WK_ROPE_LONG,
    WK_ROPE_LLAMA3,
} wk_rope_kind;

typedef struct {
    wk_rope_kind kind;
    int64_t      dims;          /* numbers of a head that turn */
    double       theta, factor; /* base, and stretch of the context */
    double       magnitude;     /* cos and sin are multiplied by this */
    double       low, high;     /* llama3: frequency factors; yarn: beta_slow, beta_fast */
    bool         truncate;      /* yarn: whole dimensions as limits of the ramp */
    int64_t      context, original_context;
    float       *short_factor, *long_factor; /* longrope: [dims / 2] */
} wk_rope_config;

bool wk_rope_read(wk_rope_config *r, wk_conf *c, int64_t head_dim, int64_t context);
void wk_rope_free(wk_rope_config *r);

/* Keys turned for a text of one length fit texts of another, if both are of one class. */
int wk_rope_class(const wk_rope_config *r, int64_t length);

/* What frequency i is divided by, where the length of the text does not matter. */
float wk_rope_divisor(const wk_rope_config *r, int64_t i);

/* cos and sin, both [count, dims / 2], of positions first .. first + count - 1 in a text
 * of that length. */
void wk_rope_fill(const wk_rope_config *r, int64_t first, int64_t count, int64_t length, float *cos,
                  float *sin);

/* ---- Quantized layers (quantization.c) ---------------------------------- */

/* From quantization_config; without that, nothing is quantized. */
bool wk_quantization_read(wk_quantization *q, wk_conf *c);

/* ---- Decoders (decoder.c, decoder_table.c) ------------------------------ */

/* The linear layers of a layer. */
enum { WK_Q, WK_K, WK_V, WK_O, WK_GATE, WK_UP, WK_DOWN, WK_PROJECTIONS };

/* Where the parameters are found.  NULL: this architecture has none. */
typedef struct {
    const char *embed, *layer, *norm, *head; /* of the model; %d is the layer */
    const char *attn_in, *mlp_in;            /* norms of a layer */
    const char *q_norm, *k_norm;
    const char *projection[WK_PROJECTIONS];
} wk_decoder_names;

/* Llama is all zeros.  A row says how its architecture differs from that. */
typedef struct {
    const char             *type;     /* model_type in config.json, and in GGUF files */
    const wk_decoder_names *names;    /* default: llama's */
    int64_t                 head_dim; /* if config.json is silent; default: width / heads */
    bool                    pairs;    /* rope turns (2i, 2i + 1) where the file is GGUF */
    bool                    qk_norm;  /* a new model has these norms ... */
    bool                    qkv_bias; /* ... and these biases; one from a file has what is there */
    enum {
        WK_WINDOW_NONE,
        WK_WINDOW_ALL,
        WK_WINDOW_BY_FLAG
    } window; /* sliding_window is for ... */
} wk_decoder_row;

extern const wk_decoder_names wk_llama_names, wk_gguf_names;
const wk_decoder_row         *wk_decoder_find(const char *type);

typedef struct {
    const wk_decoder_row *row;
    int64_t               width, layers, heads, kv_heads, head_dim, ffn, vocab, context;
    double                eps;
    wk_act                act;
    bool                  tied, attention_bias, mlp_bias;
    bool                  pairs;  /* rope turns (2i, 2i + 1), not (i, i + dims / 2) */
    int64_t              *window; /* of each layer; 0: none */
    wk_rope_config        rope;
} wk_decoder_config;

/* A linear layer, and what an adapter adds to it: (x a^T) b^T, times scale. */
typedef struct {
    wk_layer   own;
    wk_tensor *order; /* of its inputs [in]; NULL: as they come */
    wk_tensor *a, *b; /* [rank, in], [out, rank]; NULL: none is there */
    double     scale;
} wk_projection;

typedef struct wk_decoder wk_decoder;

typedef struct {
    wk_tensor        *attn_in, *mlp_in, *q_norm, *k_norm;
    wk_projection     projection[WK_PROJECTIONS];
    const wk_decoder *of;
} wk_decoder_layer;

struct wk_decoder {
    wk_decoder_config       c;
    const wk_decoder_names *names;
    wk_quantization         quantization;
    wk_tensor              *embed, *norm;
    wk_layer                head;
    wk_decoder_layer       *layer;
    wk_dtype                cache; /* what keys and values are kept in */
    bool                    train; /* weights stay as they are laid out */
    bool                    fresh; /* there is no file: weights are made */
};

/* Keys and values of one layer: [1, kv_heads, capacity, head_dim] */
typedef struct {
    wk_tensor *k, *v;
} wk_kv;

/* New tokens of one timeline, and where its cache is. */
typedef struct {
    const int32_t *tokens;
    int64_t        count, position;
    int64_t        length; /* of the text in the end: rope frequencies may depend on it */
    wk_kv         *kv;     /* [layers], with room for position + count */
} wk_segment;

/* The place of a layer's parameters, "model.layers.3", and of a linear layer in it. */
wk_vars wk_decoder_layer_at(const wk_decoder *d, wk_vars root, int layer);
wk_vars wk_decoder_projection_at(const wk_decoder *d, wk_vars layer, int which);

wk_decoder *wk_decoder_new(const wk_decoder_row *row, wk_conf *conf, wk_vars vars, bool train,
                           bool fresh);
void        wk_decoder_free(wk_decoder *d);

/* Logits behind the last token of each segment [n, vocab], or behind every token with all. */
wk_tensor *wk_decoder_step(const wk_decoder *d, const wk_segment *segments, int n, bool all);

/* ids [b, t] -> logits [b, t, vocab], without a cache.  recompute: of a layer only what goes in
 * is kept for the gradient, see wk_checkpoint(). */
wk_tensor *wk_decoder_logits(const wk_decoder *d, wk_tensor *ids, double dropout, bool recompute);

/* Shown what goes into the linear layers of each layer, [rows, in], all of them one after the
 * other; which is WK_Q (also for K and V), WK_O, WK_GATE (also for UP) and WK_DOWN. */
typedef struct {
    void (*see)(int layer, int which, wk_tensor *x, void *user);
    void *user;
} wk_watch;

/* ids [b, t] through all layers, without a cache, and without logits. */
bool wk_decoder_watch(const wk_decoder *d, wk_tensor *ids, const wk_watch *watch);

/* ---- Texts (perplexity.c) ------------------------------------------------ */

/* A text as one row of tokens, to be cut into windows; begin: the one that llama.cpp puts at the
 * head of each, as it begins every text, or -1. */
bool wk_text_to_cut(wk_model *m, const char *text, size_t size, wk_tokens *out, int32_t *begin);

/* ---- Sessions (session.c) ------------------------------------------------ */

/* How many of the next count tokens have rope frequencies of one class: those that can be
 * pushed and forgotten again, and nothing has changed. */
int64_t wk_session_alike(const wk_session *s, int64_t count);

/* ---- Drafts (draft.c) ---------------------------------------------------- */

enum { WK_MOST_DRAFT = 31 };

/* Guesses of what comes next, for the model to check. */
typedef struct {
    bool        lookup;
    wk_session *session;    /* of a smaller model; NULL: there is none */
    int64_t     vocab;      /* ids are below */
    int64_t     context;    /* of the smaller model */
    int64_t     most, next; /* tokens of a draft, and of the next one */
} wk_draft;

bool wk_draft_open(wk_draft *d, const wk_generate_args *a);
void wk_draft_close(wk_draft *d);

/* Up to limit tokens that may follow text; how many: 0 if it has no idea. */
int64_t wk_draft_guess(wk_draft *d, const wk_tokens *text, int64_t limit,
                       int32_t guess[WK_MOST_DRAFT]);
void    wk_draft_learn(wk_draft *d, int64_t guessed, int64_t right);

/* ---- GGUF files (gguf.c) -------------------------------------------------- */

/* What config.json would say of the model in the file: wk_free() it. */
char *wk_gguf_config(const wk_archive *a);

/* ---- Conversations (chat.c) ---------------------------------------------- */

/* How a model's conversations are written. */
typedef struct wk_chat wk_chat;

/* What a GGUF file or the folder (NULL: there is none) and the vocabulary say; end: the token
 * that ends a text, or -1. */
wk_chat *wk_chat_open(const char *folder, const wk_archive *a, const wk_tokenizer *t, int32_t end);
void     wk_chat_free(wk_chat *c);

typedef struct {
    wk_str     messages, options; /* as of wk_chat_args */
    bool       complete;
    wk_tokens *learned; /* if not NULL: pairs, from and to, of the tokens that a model shall say
                           itself: the assistant's, up to the one that ends them */
} wk_chat_job;

bool wk_chat_append(const wk_chat *c, wk_tokens *out, const wk_chat_job *job);

/* ---- The inside of a model (model.c) ------------------------------------- */

wk_decoder *wk_model_decoder(const wk_model *m);
wk_chat    *wk_model_chat(wk_model *m);
const char *wk_model_path(const wk_model *m); /* NULL: made from a config alone */

/* A folder as transformers has it: config.json, and not its weights in a GGUF file alone. */
bool wk_is_model_folder(const char *path);

/* Have in folder what lies beside the weights, and take it from there from now on. */
bool wk_model_settle(wk_model *m, const char *folder);

int32_t wk_model_end(const wk_model *m); /* the token that ends a text; -1: there is none */

#endif
