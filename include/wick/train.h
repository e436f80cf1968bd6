// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/train.h - teaching language models: adapters, examples, the loop with its checkpoints.
 *
 *     wk_model    *m = wk_model_open("base", .train = true);
 *     wk_lora     *lora = wk_lora_new(m, .rank = 16);
 *     wk_examples *chats = wk_examples_open(m, (const char *[]){ "chats.jsonl", NULL });
 *     wk_train(m, lora, chats, .folder = "tuned", .steps = 500);
 *
 * What is made here is opened by transformers and peft, and the other way round. */
#ifndef WICK_TRAIN_H
#define WICK_TRAIN_H

#include <wick/model.h>
#include <wick/optim.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Adapters (LoRA: Hu et al., 2021) ------------------------------------ */

/* Next to a linear layer's weight W stand two small matrices: x W^T becomes x W^T +
 * alpha / rank (x A^T) B^T.  The model computes with its adapter from the moment it is made
 * until it is freed; it has one at a time, and its own weights do not learn any more.  Nobody
 * may use the model while that changes. */
typedef struct wk_lora wk_lora;

typedef struct {
    wk_model   *model;   /* outlives the adapter; opened with .train if the adapter shall learn */
    int64_t     rank;    /* default 8 */
    double      alpha;   /* default 2 x rank */
    const char *targets; /* "q_proj,v_proj"; default: every linear layer of each layer */
    int         end_;    /* set by the macro, so that partial lists do not warn */
} wk_lora_args;

WK_API wk_lora *wk_lora_new_with(const wk_lora_args *args); /* changes nothing until it learns */
#define wk_lora_new(...) wk_lora_new_with(&(wk_lora_args){ __VA_ARGS__, .end_ = 0 })

/* A folder with adapter_config.json and adapter_model.safetensors, as peft writes it. */
WK_API wk_lora  *wk_lora_open(wk_model *m, const char *folder);
WK_API bool      wk_lora_save(const wk_lora *l, const char *folder);
WK_API void      wk_lora_free(wk_lora *l);
WK_API wk_store *wk_lora_store(const wk_lora *l); /* A and B of all layers: f32, tracked */

/* Into the weights, so that the adapter costs nothing any more; and the weights as they were. */
WK_API bool wk_lora_merge(wk_lora *l);
WK_API bool wk_lora_unmerge(wk_lora *l);

/* ---- Examples: what is learned ------------------------------------------- */

/* Rows of tokens, cut to context.  A file whose name ends in .jsonl has one on each line:
 *     {"messages": [{"role": "user", "content": ".."}, {"role": "assistant", "content": ".."}]}
 *     {"prompt": "..", "completion": ".."}
 *     {"text": ".."}
 * of which what the assistant says, the completion, and the whole text are learned.  Every
 * other file is text, "<|endoftext|>" (or the model's own end token) between documents; its
 * rows are windows of context tokens that begin every stride tokens.  All files of one list
 * are of one kind. */
typedef struct wk_examples wk_examples;

typedef struct {
    wk_model          *model;   /* whose tokenizer and end tokens are used; outlives the examples */
    const char *const *files;   /* NULL-terminated */
    int64_t            context; /* default 512, or the model's if that is less */
    int64_t            stride;  /* default context */
    const char        *cache;   /* text: keep its tokens in this file, and use those it has */
    int                end_;    /* set by the macro, so that partial lists do not warn */
} wk_examples_args;

WK_API wk_examples *wk_examples_open_with(const wk_examples_args *args);
#define wk_examples_open(...) wk_examples_open_with(&(wk_examples_args){ __VA_ARGS__, .end_ = 0 })
WK_API void    wk_examples_free(wk_examples *e);
WK_API int64_t wk_examples_count(const wk_examples *e);

/* Rows index[0 .. n - 1] -> ids [n, t], and targets [n, t]: the token behind each, or -100
 * where there is nothing to learn.  Any thread. */
WK_API bool wk_examples_get(const wk_examples *e, const int64_t *index, int64_t n,
                            wk_tensor *out[2]);

/* ---- The loop ------------------------------------------------------------ */

typedef struct {
    int64_t step, steps;  /* done, and of how many ... */
    int64_t run;          /* ... and since this run began */
    double  loss;         /* of this step, in nats per token */
    double  validation;   /* NAN: not measured at this step */
    double  lr, norm;     /* learning rate; 2-norm of the gradient before clipping */
    double  tokens_per_s; /* of late */
    double  seconds;      /* since this run began */
} wk_train_state;

/* Zero is the default. */
typedef struct {
    wk_model          *model; /* opened with .train */
    wk_lora           *lora;  /* learns instead of the model */
    const wk_examples *examples;
    const wk_examples *validation; /* default: held_out of the examples, from their end */
    double             held_out;   /* 0.05 of them; WK_NONE: none, and nothing is measured */
    const char        *folder;     /* gets checkpoint-N/, log.jsonl and the result */
    const char        *resume;     /* a checkpoint of the same run, see wk_train_latest() */
    int64_t            steps;
    int64_t            batch, accumulate;          /* 8, 1: rows of a step are batch x accumulate */
    wk_optim *(*optim)(const wk_optim_args *args); /* wk_adamw_new_with */
    wk_optim_args optim_args; /* lr 1e-3, decay 0.1 and beta2 0.95, but not of norms and biases */
    wk_schedule   schedule;   /* cosine down to 0.1 after a warm-up of steps / 50 */
    bool          recompute;  /* layers in the backward pass: a third slower, and of each layer
                                 only what goes in takes memory until then */
    double        dropout;    /* of what each layer adds to the residual stream; default none */
    double        clip;       /* 1, of the gradient's norm; WK_NONE: no */
    uint64_t      seed;       /* of the order of examples */
    int64_t       validate_every, save_every;             /* steps / 20, steps / 5 */
    int64_t       keep;                                   /* checkpoints: 2 */
    bool (*on_step)(const wk_train_state *s, void *user); /* false: save and stop */
    void *user;
    int   end_; /* set by the macro, so that partial lists do not warn */
} wk_train_args;

/* Checkpoints are folders that wk_model_open() or wk_lora_open() takes, with the optimiser's
 * state beside; they appear whole or not at all.  A run that goes on from one makes the same
 * steps, bit for bit, as one that was never stopped.  wk_interrupt() makes it save and fail
 * with WK_ERR_INTERRUPTED. */
WK_API bool wk_train_with(const wk_train_args *args);
#define wk_train(...) wk_train_with(&(wk_train_args){ __VA_ARGS__, .end_ = 0 })

/* The newest checkpoint in a folder, free() it; NULL: there is none. */
WK_API char *wk_train_latest(const char *folder);

#ifdef __cplusplus
}
#endif
#endif
