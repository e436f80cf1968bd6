// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/model.h - models from Hugging Face folders and GGUF files: text in, text out.
 *
 *     wk_model *m = wk_model_open("Qwen3-0.6B");
 *     wk_generate(m, "Why is the sky blue?", .max_tokens = 200, .on_text = print_text);
 *     wk_model_free(m);
 *     return wk_finish();
 */
#ifndef WICK_MODEL_H
#define WICK_MODEL_H

#include <wick/nn.h>
#include <wick/text.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Models ------------------------------------------------------------- */

/* A loaded model.  It does not change: threads may share it. */
typedef struct wk_model wk_model;

typedef struct {
    const char *path;    /* a folder with config.json, weights and tokenizer.json, a GGUF file or a
                            folder with one */
    wk_dtype    dtype;   /* of the weights; default: as they are stored */
    wk_dtype    cache;   /* of keys and values in sessions; default: that of the weights where it is
                            f16 or bf16, f16 where they are quantized, else f32 */
    wk_device  *device;  /* default: this thread's */
    bool        lenient; /* accept a config.json with keys that are not understood */
    bool        train;   /* track the weights, and leave them as they are laid out */
    const char *config;  /* instead of its own: the text of a config.json; weights are random,
                            and the folder at path, if one is given, is asked for its tokenizer */
    int         end_;    /* set by the macro, so that partial lists do not warn */
} wk_model_args;

WK_API wk_model *wk_model_open_with(const wk_model_args *args);
#define wk_model_open(...) wk_model_open_with(&(wk_model_args){ __VA_ARGS__, .end_ = 0 })
WK_API void wk_model_free(wk_model *m);

typedef struct {
    const char *type; /* "llama" */
    wk_dtype    dtype;
    int64_t     parameters, bytes; /* of the weights */
    int64_t     layers, width, heads, kv_heads, head_dim, ffn, vocab, context;
} wk_model_info;

WK_API wk_model_info       wk_model_describe(const wk_model *m);
WK_API wk_store           *wk_model_store(const wk_model *m);
WK_API const wk_tokenizer *wk_model_tokenizer(wk_model *m); /* NULL and an error: it has none */
WK_API bool                wk_model_is_end(const wk_model *m, int32_t id); /* ends a text */

/* What generation_config.json recommends; greedy if it says nothing of sampling. */
WK_API wk_sampler_args wk_model_sampling(const wk_model *m);

/* ids [b, t] -> logits [b, t, vocab], all at once and without a cache: for training. */
WK_API wk_tensor *wk_model_logits(const wk_model *m, wk_tensor *ids);

/* config.json, model.safetensors and what else the model was opened with, into folder. */
WK_API bool wk_model_save(const wk_model *m, const char *folder);

/* ---- Sessions ----------------------------------------------------------- */

/* One timeline: the tokens so far and what the model keeps of them (the kv cache).
 * A session is used by one thread at a time. */
typedef struct wk_session wk_session;

typedef struct {
    const wk_model *model;
    int64_t         context; /* most tokens; default: the model's context */
    int64_t         chunk;   /* tokens of a prompt taken at once; default 512 */
    /* after each chunk, of total tokens; false: stop, as by wk_interrupt().  What is done stays. */
    bool (*on_progress)(int64_t done, int64_t total, void *user);
    void *user;
    int   end_; /* set by the macro, so that partial lists do not warn */
} wk_session_args;

WK_API wk_session *wk_session_new_with(const wk_session_args *args);
#define wk_session_new(...) wk_session_new_with(&(wk_session_args){ __VA_ARGS__, .end_ = 0 })
WK_API void wk_session_free(wk_session *s);

/* Make the session stand behind these tokens, all there are, computing only what it did
 * not have yet: it keeps the longest beginning that both have.  Returns the logits [vocab]
 * (f32) for the next token. */
WK_API wk_tensor *wk_session_sync(wk_session *s, const int32_t *tokens, int64_t count);

/* One more token. */
WK_API wk_tensor *wk_session_push(wk_session *s, int32_t token);

/* More tokens, each computed as if it came alone: the logits [count, vocab] are bit for bit
 * those of wk_session_push() token by token, but the weights are read once for 8 of them. */
WK_API wk_tensor *wk_session_push_all(wk_session *s, const int32_t *tokens, int64_t count);

/* Several sessions of one model at once, each with tokens to append: logits [n, vocab]. */
typedef struct {
    wk_session    *session;
    const int32_t *tokens;
    int64_t        count;
} wk_session_step;

WK_API wk_tensor *wk_session_batch(const wk_session_step *steps, int n);

/* Append tokens and return the logits behind each: [count, vocab]. */
WK_API wk_tensor *wk_session_all_logits(wk_session *s, const int32_t *tokens, int64_t count);

WK_API int64_t wk_session_length(const wk_session *s);
WK_API bool    wk_session_rewind(wk_session *s, int64_t length); /* forget what is behind */
WK_API int64_t wk_session_computed(const wk_session *s); /* tokens, also those forgotten since */

/* A copy that goes on by itself: its cache is as long as s is now. */
WK_API wk_session *wk_session_fork(const wk_session *s);

/* ---- Conversations ------------------------------------------------------ */

/* The tokens of a conversation, as the model's chat template has them (chat_template.jinja, or
 * chat_template in tokenizer_config.json), or where there is none, the marks that its vocabulary
 * shows it was taught with.  No message can forge a mark: what people wrote becomes no special
 * token, and no other added token that the template uses. */
typedef struct {
    wk_model   *model;
    const char *messages; /* JSON: [{"role": "user", "content": "Hello"}, ...] */
    const char *options; /* JSON object of further variables: tools, enable_thinking ...; or NULL */
    bool        complete; /* it does not end where the model shall answer */
    int         end_;     /* set by the macro, so that partial lists do not warn */
} wk_chat_args;

/* Append to out. */
WK_API bool wk_chat_tokens_with(wk_tokens *out, const wk_chat_args *args);
#define wk_chat_tokens(out, ...)                                                                   \
    wk_chat_tokens_with((out), &(wk_chat_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Generation --------------------------------------------------------- */

typedef struct {
    int64_t prompt_tokens, new_tokens;
    double  prompt_seconds, new_seconds;
    bool    stopped;           /* by an end token or a stop string, not by max_tokens */
    int64_t drafted, accepted; /* tokens that were guessed, and that were right */
} wk_generate_stats;

/* Speculative decoding: tokens are guessed, by a smaller model or by looking up how the text
 * went on before, and the model checks several at once, which takes hardly longer than to
 * compute one (Leviathan et al., 2023; Chen et al., 2023).  The answer is what it would be
 * without: each token is chosen by the sampler from the model's own logits, and a guess only
 * saves time where it was the same.  So penalties, top_k and all else hold, and a seed gives
 * the same ids with a draft as without. */

typedef struct {
    wk_model          *model;
    const char        *prompt;
    const int32_t     *tokens; /* instead of prompt */
    int64_t            token_count;
    int64_t            max_tokens; /* default: until the model ends, or its context is full */
    int64_t            context;    /* as of a session */
    wk_session        *session;    /* what it holds already is not computed again; default: new */
    wk_sampler_args    sampling;   /* default: greedy */
    const char *const *stop;       /* texts that end it, NULL-terminated; they are not shown */
    bool               ignore_end; /* go on after a token that ends a text */
    wk_model          *draft;      /* a smaller model with the same tokens, which guesses */
    bool               lookup;     /* guess what followed the last words where they stood before */
    int64_t            draft_tokens;               /* most guesses at once; default 7, at most 31 */
    bool (*on_text)(const char *text, void *user); /* false: stop */
    bool (*on_token)(int32_t id, void *user);
    bool (*on_progress)(int64_t done, int64_t total, void *user); /* of the prompt; false: stop */
    void              *user;
    wk_generate_stats *stats; /* is filled in */
    int                end_;  /* set by the macro, so that partial lists do not warn */
} wk_generate_args;

WK_API bool wk_generate_with(const wk_generate_args *args);
#define wk_generate(...) wk_generate_with(&(wk_generate_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Perplexity --------------------------------------------------------- */

typedef struct {
    int64_t windows, of;                  /* done, and of how many */
    int64_t tokens, computed;             /* that counted; that the model computed for it */
    double  loss, loss_error;             /* mean of -log p(token), in nats; its standard error */
    double  perplexity, perplexity_error; /* e to that */
    double  seconds;
} wk_perplexity_state;

typedef struct {
    wk_model      *model;
    const char    *text;
    size_t         size;   /* bytes of text; 0: up to its end */
    const int32_t *tokens; /* instead of text */
    int64_t        token_count;
    int64_t        context; /* tokens of a window; default 512, or the model's if that is less */
    int64_t        stride;  /* default: windows side by side, of which the second half counts;
                               or tokens from window to window, and what is new counts */
    bool (*on_window)(const wk_perplexity_state *now, void *user); /* false: stop */
    void                *user;
    wk_perplexity_state *result; /* is filled in */
    int                  end_;   /* set by the macro, so that partial lists do not warn */
} wk_perplexity_args;

/* How well the model predicts a text: the lower the better, and 1 is perfect.  Without a
 * stride as llama.cpp's llama-perplexity (the rest of a window is left out), with one as in
 * "Perplexity of fixed-length models" of transformers' documentation. */
WK_API bool wk_perplexity_with(const wk_perplexity_args *args);
#define wk_perplexity(...) wk_perplexity_with(&(wk_perplexity_args){ __VA_ARGS__, .end_ = 0 })

#ifdef __cplusplus
}
#endif
#endif
