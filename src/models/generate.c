// SPDX-License-Identifier: MIT OR Apache-2.0
/* generate.c - a prompt in, text out, token by token.
 *
 * With guesses (draft.c), the model computes the logits behind each of several tokens at
 * once.  The next token is chosen from the logits that belong to it as it always is; while it
 * is the one that was guessed, the logits behind it are there already. */
#include "models.h"

#include <stdlib.h>

typedef struct {
    const wk_generate_args *a;
    const wk_tokenizer     *tokenizer; /* NULL: tokens only */
    wk_session             *session;
    wk_sampler             *sampler;
    wk_detokenizer         *text;
    wk_stopper             *stopper;
    wk_tokens               said; /* prompt and answer */
    wk_draft                draft;
    int32_t                 token[1 + WK_MOST_DRAFT]; /* the last one, and what may follow it */
    int64_t                 guessed;                  /* of these */
    float                  *logits;                   /* [1 + guessed, vocab], behind each */
    int64_t                 vocab, context, most;
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

/* A token has been chosen after so many guesses that were right: compute what follows it. */
static bool advance(run *r, int64_t right, int32_t id)
{
    wk_scope scope = wk_mark();
    int64_t  length = (int64_t)r->said.count, left = r->most - r->stats.new_tokens;
    wk_session_rewind(r->session, length - 1);
    wk_draft_learn(&r->draft, r->guessed, right);
    int64_t limit = wk_min_i64(left - 1, r->context - length);
    limit = wk_session_alike(r->session, wk_min_i64(limit, WK_MOST_DRAFT) + 1) - 1;
    r->token[0] = id;
    r->guessed = wk_draft_guess(&r->draft, &r->said, limit, r->token + 1);
    r->stats.drafted += r->guessed;
    wk_tensor *logits = wk_session_push_all(r->session, r->token, r->guessed + 1);
    if (logits)
        wk_to_f32(logits, r->logits);
    wk_sweep(scope);
    return wk_ok();
}

static void answer(run *r)
{
    const wk_generate_args *a = r->a;
    int64_t                 row = 0; /* of the logits: so many guesses were right */
    while (wk_ok()) {
        int32_t id = wk_sampler_pick(r->sampler, r->logits + row * r->vocab, r->vocab);
        if (id < 0)
            return;
        if (!a->ignore_end && wk_model_is_end(a->model, id)) {
            r->stats.stopped = true;
            return;
        }
        bool right = row < r->guessed && r->token[row + 1] == id;
        r->stats.accepted += right;
        r->stats.new_tokens++;
        wk_sampler_saw(r->sampler, id);
        if ((a->on_token && !a->on_token(id, a->user)) ||
            (r->text && !show(r, wk_detokenizer_push(r->text, id))))
            return;
        if (r->stats.new_tokens >= r->most || (int64_t)r->said.count >= r->context)
            return;
        if (wk_interrupted()) {
            wk_fail(WK_ERR_INTERRUPTED, "interrupted");
            return;
        }
        wk_tokens_add(&r->said, id);
        if (!right && !advance(r, row, id))
            return;
        row = right ? row + 1 : 0;
    }
}

static int stop_count(const char *const *stop)
{
    int n = 0;
    while (stop && stop[n])
        n++;
    return n;
}

static bool prepare(run *r)
{
    const wk_generate_args *a = r->a;
    wk_tokens              *prompt = &r->said;
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
    r->context = a->context > 0 ? a->context : wk_model_describe(a->model).context;
    r->most = a->max_tokens > 0 ? a->max_tokens : INT64_MAX;
    wk_draft_open(&r->draft, a);
    if (wk_ok()) /* r->draft.most is small */
        r->logits = wk_alloc_array((size_t)(r->vocab * (1 + r->draft.most)), sizeof *r->logits);
    r->sampler = wk_sampler_new_with(&a->sampling);
    r->session = a->session ? a->session
                            : wk_session_new(a->model, .context = a->context,
                                             .on_progress = a->on_progress, .user = a->user);
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
    run      r = { .a = a };
    wk_scope scope = wk_mark();
    if (wk_ok() && prepare(&r)) {
        double start = wk_now();
        r.stats.prompt_tokens = (int64_t)r.said.count;
        wk_tensor *logits = wk_session_sync(r.session, r.said.id, r.stats.prompt_tokens);
        if (logits)
            wk_to_f32(logits, r.logits);
        double middle = wk_now();
        answer(&r);
        flush(&r);
        r.stats.prompt_seconds = middle - start;
        r.stats.new_seconds = wk_now() - middle;
    }
    if (a->stats)
        *a->stats = r.stats;
    wk_sweep(scope);
    wk_draft_close(&r.draft);
    if (!a->session)
        wk_session_free(r.session);
    wk_sampler_free(r.sampler);
    wk_detokenizer_free(r.text);
    wk_stopper_free(r.stopper);
    wk_free(r.logits);
    wk_tokens_free(&r.said);
    return wk_ok();
}
