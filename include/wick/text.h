// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/text.h - text to tokens and back, chats to text, the choice of the next token. */
#ifndef WICK_TEXT_H
#define WICK_TEXT_H

#include <wick/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Tokenizers --------------------------------------------------------- */

/* What a tokenizer.json of Hugging Face says: normaliser, pre-tokeniser, model (BPE, Unigram,
 * WordPiece, WordLevel), post-processor, decoder and added tokens; or what the metadata of a
 * GGUF file says about the same.  Immutable: threads may share it. */
typedef struct wk_tokenizer wk_tokenizer;
typedef struct wk_archive   wk_archive;

/* path is a tokenizer.json, the folder that holds one or else a single .gguf, or a .gguf file
 * (of a split one the first). */
WK_API wk_tokenizer *wk_tokenizer_open(const char *path);
/* From the keys tokenizer.ggml.*, which docs/files.md lists; the archive may be freed then. */
WK_API wk_tokenizer *wk_tokenizer_from_archive(const wk_archive *a);
WK_API wk_tokenizer *wk_tokenizer_parse(const char *name, const char *json, size_t size);
WK_API void          wk_tokenizer_free(wk_tokenizer *t);

typedef struct { /* growing list; {0} is empty */
    int32_t *id;
    size_t   count, room;
} wk_tokens;

WK_API bool wk_tokens_add(wk_tokens *tokens, int32_t id);
WK_API void wk_tokens_free(wk_tokens *tokens);

typedef struct {
    const wk_tokenizer *tokenizer;
    const char         *text;
    size_t              size;       /* bytes of text; 0: up to its end */
    bool                no_special; /* leave out what the post-processor adds: <s> ... */
    bool                plain;      /* text like "</s>" is text: for what strangers wrote */
    int                 end_;       /* set by the macro, so that partial lists do not warn */
} wk_encode_args;

/* Append the tokens of text.  Bytes that are not UTF-8 count as U+FFFD. */
WK_API bool wk_encode_with(wk_tokens *out, const wk_encode_args *args);
#define wk_encode(out, ...) wk_encode_with((out), &(wk_encode_args){ __VA_ARGS__, .end_ = 0 })

/* The text of tokens, free() it.  Special tokens are left out unless keep_special. */
WK_API char *wk_decode(const wk_tokenizer *t, const int32_t *ids, size_t count, bool keep_special);

WK_API int32_t     wk_tokenizer_size(const wk_tokenizer *t);                    /* ids are below */
WK_API int32_t     wk_tokenizer_find(const wk_tokenizer *t, const char *piece); /* -1: none */
WK_API const char *wk_tokenizer_piece(const wk_tokenizer *t, int32_t id);       /* NULL: none */
WK_API bool        wk_tokenizer_is_special(const wk_tokenizer *t, int32_t id);

/* Decoding as tokens arrive.  What comes out is whole UTF-8 characters, and put
 * together it is what wk_decode() gives. */
typedef struct wk_detokenizer wk_detokenizer;
WK_API wk_detokenizer        *wk_detokenizer_new(const wk_tokenizer *t, bool keep_special);
WK_API void                   wk_detokenizer_free(wk_detokenizer *d);
/* new text, until the next call; and what was held back */
WK_API const char            *wk_detokenizer_push(wk_detokenizer *d, int32_t id);
WK_API const char            *wk_detokenizer_end(wk_detokenizer *d);

/* A new byte-level BPE tokenizer from text: folder gets tokenizer.json and
 * tokenizer_config.json.  Words are those of GPT-2's pattern; special tokens come first and
 * are no part of the text where they stand in it; every text begins with the first one. */
typedef struct {
    const char *const *files; /* NULL-terminated */
    const char        *folder;
    int32_t            vocab;         /* tokens; default 8000 */
    int64_t            min_frequency; /* of a pair that is merged */
    const char *const *specials;      /* NULL-terminated; default { "<|endoftext|>", NULL } */
    int                end_;          /* set by the macro, so that partial lists do not warn */
} wk_tokenizer_train_args;

WK_API bool wk_tokenizer_train_with(const wk_tokenizer_train_args *args);
#define wk_tokenizer_train(...)                                                                    \
    wk_tokenizer_train_with(&(wk_tokenizer_train_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Chat templates ----------------------------------------------------- */

/* A template of a model's conversations, in the subset of Jinja that models use; it renders
 * as transformers does (trim_blocks, lstrip_blocks, tojson, raise_exception, strftime_now,
 * break and continue).  Immutable: threads may share it. */
typedef struct wk_template wk_template;

WK_API wk_template *wk_template_parse(const char *name, const char *text, size_t size);
WK_API void         wk_template_free(wk_template *t);

/* Where a byte of the output is from, whatever the template did to it in between. */
typedef enum {
    WK_TEMPLATES, /* the template, or a variable of the name ..._token */
    WK_WRITTEN,   /* other variables: people, tools */
    WK_ANSWERED,  /* an assistant's message ... */
    WK_ANSWERED_2 /* ... and every second one of them */
} wk_origin;

typedef struct {
    const wk_template *template_;
    const char        *json; /* an object of its variables: {"messages": [...], ...} */
    size_t             size; /* of json; 0: up to its end */
    int64_t            now;  /* what strftime_now() says, as of time(); 0: now */
    size_t            *length;
    const uint8_t    **origins; /* a wk_origin for each byte; it lives as long as the text */
    int                end_;    /* set by the macro, so that partial lists do not warn */
} wk_template_args;

/* The text, free() it; or NULL, and an error that names template, line and cause.  A template
 * may come from anywhere: it has limits of time, memory and depth. */
WK_API char *wk_template_render_with(const wk_template_args *args);
#define wk_template_render(...)                                                                    \
    wk_template_render_with(&(wk_template_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Sampling ----------------------------------------------------------- */

/* Zero is off, for each: an empty struct is greedy.  They apply in the order of
 * transformers: penalties, temperature, top_k, top_p, min_p. */
typedef struct {
    double   temperature;
    int32_t  top_k;             /* keep the k likeliest */
    double   top_p;             /* keep the likeliest that together reach p */
    double   min_p;             /* keep what has p times the likeliest's probability */
    double   repeat_penalty;    /* divide positive, multiply negative logits of seen tokens */
    double   presence_penalty;  /* subtract from seen tokens */
    double   frequency_penalty; /* subtract for each time a token was seen */
    int32_t  penalty_last;      /* how far the penalties look back; 0: over everything */
    uint64_t seed;
    int      end_; /* set by the macro, so that partial lists do not warn */
} wk_sampler_args;

typedef struct wk_sampler wk_sampler;
WK_API wk_sampler        *wk_sampler_new_with(const wk_sampler_args *args);
#define wk_sampler_new(...) wk_sampler_new_with(&(wk_sampler_args){ __VA_ARGS__, .end_ = 0 })
WK_API void    wk_sampler_free(wk_sampler *s);
WK_API bool    wk_sampler_saw(wk_sampler *s, int32_t id); /* a token of the prompt or the answer */
WK_API int32_t wk_sampler_pick(wk_sampler *s, const float *logits,
                               int64_t count); /* -1: an error */

/* ---- Stop strings ------------------------------------------------------- */

/* Passes text on, holding back what may be the beginning of a stop string. */
typedef struct wk_stopper wk_stopper;
WK_API wk_stopper        *wk_stopper_new(const char *const *stops, int count);
WK_API void               wk_stopper_free(wk_stopper *s);
WK_API const char *wk_stopper_push(wk_stopper *s, const char *text); /* what may be shown now */
WK_API const char *wk_stopper_end(wk_stopper *s);
WK_API bool        wk_stopper_hit(const wk_stopper *s); /* a stop string has come */

#ifdef __cplusplus
}
#endif
#endif
