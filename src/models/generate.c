// SPDX-License-Identifier: MIT OR Apache-2.0
/* generate.c - a prompt in, text out, token by token. */
#include "models.h"

#include <stdlib.h>

typedef struct {
    const wk_generate_args *a;
    const wk_tokenizer     *tokenizer; /* NULL: tokens only */
    wk_session             *session;
    wk_sampler             *sampler;
    wk_detokenizer         *text;
    wk_stopper             *stopper;
    float                  *logits;
    int64_t                 vocab;
    wk_generate_stats       stats;
} run;

/* Pass text on, but for what may turn out to be a stop string.  False: enough. */
static bool show(run *r, const char *text)
{
    if (r->stopper && text)
        text = wk_stopper_push(r->stopper, text);
    bool go_on = !text || !*text || !r->a->on_text || r->a->on_text(text, r->a->user);
    if (r->stopper && wk_stopper_hit(r->stopper)) {
        r->stats.stopped = true;
        return false;
    }
    return go_on && wk_ok();
}

/* What the detokenizer and the stopper still hold. */
static void flush(run *r)
{
    if (!r->text || !wk_ok() || (r->stopper && wk_stopper_hit(r->stopper)))
        return;
    if (!show(r, wk_detokenizer_end(r->text)) || !r->stopper)
        return;
    const char *rest = wk_stopper_end(r->stopper);
    if (rest && *rest && r->a->on_text)
        r->a->on_text(rest, r->a->user);
}

static int32_t pick(run *r, wk_tensor *logits)
{
    if (!logits || !wk_to_f32(logits, r->logits))
        return -1;
    return wk_sampler_pick(r->sampler, r->logits, r->vocab);
}

static void answer(run *r, wk_tensor *logits)
{
    const wk_generate_args *a = r->a;
    int64_t                 most = a->max_tokens > 0 ? a->max_tokens : INT64_MAX;
    int64_t context = a->context > 0 ? a->context : wk_model_describe(a->model).context;
    while (wk_ok()) {
        wk_scope scope = wk_mark();
        int32_t  id = pick(r, logits);
        if (id < 0)
            return;
        if (!a->ignore_end && wk_model_is_end(a->model, id)) {
            r->stats.stopped = true;
            return;
        }
        r->stats.new_tokens++;
        wk_sampler_saw(r->sampler, id);
        if ((a->on_token && !a->on_token(id, a->user)) ||
            (r->text && !show(r, wk_detokenizer_push(r->text, id))))
            return;
        if (r->stats.new_tokens >= most || wk_session_length(r->session) >= context)
            return;
        if (wk_interrupted()) {
            wk_fail(WK_ERR_INTERRUPTED, "interrupted");
            return;
        }
        wk_sweep(scope);
        logits = wk_session_push(r->session, id);
    }
}

static int stop_count(const char *const *stop)
{
    int n = 0;
    while (stop && stop[n])
        n++;
    return n;
}

static bool prepare(run *r, wk_tokens *prompt)
{
    const wk_generate_args *a = r->a;
    if (!a->model || (!a->prompt && (!a->tokens || a->token_count < 1))) {
        wk_fail(WK_ERR_ARGUMENT, "generate: no model, or no prompt");
        return false;
    }
    if (a->prompt || a->on_text || stop_count(a->stop))
        r->tokenizer = wk_model_tokenizer(a->model);
    if (a->prompt && r->tokenizer)
        wk_encode(prompt, r->tokenizer, a->prompt);
    for (int64_t i = 0; !a->prompt && i < a->token_count && wk_ok(); i++)
        wk_tokens_add(prompt, a->tokens[i]);
    if (wk_ok() && prompt->count == 0)
        wk_fail(WK_ERR_ARGUMENT, "generate: the prompt has no tokens");
    r->vocab = wk_model_describe(a->model).vocab;
    r->logits = wk_ok() ? wk_alloc_array((size_t)r->vocab, sizeof *r->logits) : NULL;
    r->sampler = wk_sampler_new_with(&a->sampling);
    r->session = a->session ? a->session : wk_session_new(a->model, .context = a->context);
    if (r->tokenizer)
        r->text = wk_detokenizer_new(r->tokenizer, false);
    if (stop_count(a->stop))
        r->stopper = wk_stopper_new(a->stop, stop_count(a->stop));
    for (size_t i = 0; i < prompt->count && wk_ok(); i++) {
        wk_sampler_saw(r->sampler, prompt->id[i]);
        if (r->text) /* the answer continues the prompt: spaces, characters in pieces */
            wk_detokenizer_push(r->text, prompt->id[i]);
    }
    return wk_ok();
}

bool wk_generate_with(const wk_generate_args *a)
{
    run       r = { .a = a };
    wk_tokens prompt = { 0 };
    wk_scope  scope = wk_mark();
    if (wk_ok() && prepare(&r, &prompt)) {
        double     start = wk_now();
        wk_tensor *logits = wk_session_sync(r.session, prompt.id, (int64_t)prompt.count);
        double     middle = wk_now();
        answer(&r, logits);
        flush(&r);
        r.stats.prompt_tokens = (int64_t)prompt.count;
        r.stats.prompt_seconds = middle - start;
        r.stats.new_seconds = wk_now() - middle;
    }
    if (a->stats)
        *a->stats = r.stats;
    wk_sweep(scope);
    if (!a->session)
        wk_session_free(r.session);
    wk_sampler_free(r.sampler);
    wk_detokenizer_free(r.text);
    wk_stopper_free(r.stopper);
    wk_free(r.logits);
    wk_tokens_free(&prompt);
    return wk_ok();
}
