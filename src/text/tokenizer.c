// SPDX-License-Identifier: MIT OR Apache-2.0
/* tokenizer.c - a tokenizer from the outside: loading it, text to ids, pieces.
 *
 * A tokenizer does not change, so threads may share it.  What encoding needs to
 * remember is a wk_encoder; a call takes one that lies idle and puts it back. */
#include "text.h"

#include <wick/io.h>

#include <stdlib.h>

/* ---- Memory ------------------------------------------------------------- */

wk_str wk_text_keep(wk_tokenizer *t, wk_str s)
{
    wk_str none = { "", 0 };
    if (!wk_ok() || !wk_reserve(&t->kept, &t->kept_room, t->kept_count + 1, sizeof *t->kept))
        return none;
    char *copy = wk_str_copy(s);
    if (!copy)
        return none;
    t->kept[t->kept_count++] = copy;
    return (wk_str){ copy, s.size };
}

bool wk_text_spend(uint64_t *budget, size_t size, const char *file)
{
    if (size < *budget) {
        *budget -= size + 1;
        return true;
    }
    *budget = 0;
    wk_fail(WK_ERR_UNSUPPORTED, "%s: its steps make too much of a text", file);
    return false;
}

static void encoder_free(wk_encoder *e)
{
    if (!e)
        return;
    wk_text_work_free(&e->work);
    wk_free(e->span);
    wk_buf_free(&e->clean);
    wk_buf_free(&e->normal[0]);
    wk_buf_free(&e->normal[1]);
    wk_buf_free(&e->word);
    for (size_t i = 0; e->rewritten && i < 2 * e->t->pre_tokenizers.count; i++)
        wk_buf_free(&e->rewritten[i]);
    wk_free(e->rewritten);
    wk_free(e->bpe.symbol);
    wk_free(e->bpe.pair_id);
    wk_free(e->bpe.rank);
    wk_free(e->bpe.previous);
    wk_free(e->bpe.next);
    wk_free(e->bpe.heap);
    wk_free(e->bpe.score);
    wk_free(e->cache);
    wk_free(e);
}

static wk_encoder *encoder_new(const wk_tokenizer *t)
{
    wk_encoder *e = wk_alloc(sizeof *e);
    if (!e)
        return NULL;
    e->t = t;
    e->rewritten = wk_alloc_array(2 * t->pre_tokenizers.count, sizeof *e->rewritten);
    e->cache = wk_word_cache_new();
    if (e->rewritten && e->cache)
        return e;
    encoder_free(e);
    return NULL;
}

static wk_encoder *encoder_take(const wk_tokenizer *t)
{
    _Atomic(wk_encoder *) *idle = ((wk_tokenizer *)t)->idle;
    for (int i = 0; i < WK_IDLE_ENCODERS; i++) {
        wk_encoder *e = atomic_exchange_explicit(&idle[i], NULL, memory_order_acquire);
        if (e)
            return e;
    }
    return encoder_new(t);
}

static void encoder_give(wk_encoder *e)
{
    _Atomic(wk_encoder *) *idle = ((wk_tokenizer *)e->t)->idle;
    for (int i = 0; i < WK_IDLE_ENCODERS; i++) {
        wk_encoder *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&idle[i], &none, e, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    encoder_free(e);
}

void wk_tokenizer_free(wk_tokenizer *t)
{
    if (!t)
        return;
    for (int i = 0; i < WK_IDLE_ENCODERS; i++)
        encoder_free(t->idle[i]);
    wk_text_model_free(&t->model);
    wk_vocab_free(&t->vocab);
    wk_added_free(&t->added);
    wk_steps_free(&t->normalizers);
    wk_steps_free(&t->pre_tokenizers);
    wk_steps_free(&t->decoders);
    wk_free(t->post.id);
    for (size_t i = 0; i < t->kept_count; i++)
        wk_free(t->kept[i]);
    wk_free(t->kept);
    wk_free(t->name);
    wk_free(t);
}

/* ---- Loading ------------------------------------------------------------ */

static void read_section(wk_tokenizer *t, wk_json *j, wk_str key)
{
    if (wk_str_is(key, "version")) {
        if (!wk_str_is(wk_json_string(j), "1.0"))
            wk_json_fail(j, "not a tokenizer.json of version 1.0");
    } else if (wk_str_is(key, "added_tokens")) {
        wk_added_read(t, j);
    } else if (wk_str_is(key, "normalizer")) {
        wk_steps_read(&t->normalizers, &wk_normalizers, t, j);
    } else if (wk_str_is(key, "pre_tokenizer")) {
        wk_steps_read(&t->pre_tokenizers, &wk_pre_tokenizers, t, j);
    } else if (wk_str_is(key, "post_processor")) {
        wk_post_read(t, j);
    } else if (wk_str_is(key, "decoder")) {
        t->has_decoder = wk_json_peek(j) == WK_JSON_OBJECT;
        wk_steps_read(&t->decoders, &wk_detokenizers, t, j);
    } else if (wk_str_is(key, "model")) {
        wk_model_read(t, j);
    } else if (wk_str_is(key, "truncation") || wk_str_is(key, "padding")) {
        wk_json_skip(j); /* for training in batches */
    } else {
        wk_json_fail(j, "unknown section \"%.*s\"", (int)wk_min_i64((int64_t)key.size, 60), key.at);
    }
}

bool wk_tokenizer_finish(wk_tokenizer *t)
{
    wk_model *m = &t->model;
    if (!m->kind) {
        wk_fail(WK_ERR_FORMAT, "%s: \"model\" is missing", t->name);
        return false;
    }
    if (m->kind != &wk_unigram)
        m->unk_id = m->unk_token.at ? wk_vocab_find(&t->vocab, m->unk_token) : -1;
    if (!m->kind->prepare(t) || !wk_added_finish(t))
        return false;
    for (size_t i = 0; i < t->post.count; i++)
        if (t->post.id[i] != WK_SEQUENCE && (size_t)t->post.id[i] >= t->size)
            wk_fail(WK_ERR_FORMAT, "%s: post_processor: id %d, but there are %zu", t->name,
                    (int)t->post.id[i], t->size);
    return wk_ok();
}

wk_tokenizer *wk_tokenizer_parse(const char *name, const char *json, size_t size)
{
    wk_tokenizer *t = wk_ok() ? wk_alloc(sizeof *t) : NULL;
    if (!t)
        return NULL;
    wk_json j;
    wk_str  key;
    t->name = wk_str_copy(wk_str_of(name ? name : "tokenizer.json"));
    if (wk_json_open(&j, t->name, json, size))
        for (wk_json_object(&j); wk_json_key(&j, &key);)
            read_section(t, &j, key);
    wk_json_close(&j);
    if (wk_ok() && wk_tokenizer_finish(t))
        return t;
    wk_tokenizer_free(t);
    return NULL;
}

wk_tokenizer *wk_tokenizer_open(const char *path)
{
    bool          folder = wk_ok() && wk_path_is_folder(path);
    char         *inside = folder ? wk_path_join(path, "tokenizer.json") : NULL;
    wk_tokenizer *t = NULL;
    bool alone = inside && !wk_path_is_file(inside) && wk_folder_count(path, ".gguf", NULL);
    if (inside && !alone)
        path = inside;
    if (wk_ok() && (alone || wk_archive_is_gguf(path))) {
        wk_archive *a = wk_archive_open(path);
        t = wk_tokenizer_from_archive(a);
        wk_archive_free(a);
    } else if (wk_ok()) {
        wk_file *f = wk_file_open(path);
        if (f)
            t = wk_tokenizer_parse(path, f->data, f->size);
        wk_file_release(f);
    }
    wk_free(inside);
    return t;
}

/* ---- Text to ids -------------------------------------------------------- */

static bool normal_part(wk_encoder *e, const wk_added_token *token, wk_str text, bool first)
{
    return token ? wk_tokens_add(e->out, token->id) : wk_text_emit(e, 0, text, first);
}

static bool normal_text(wk_encoder *e, wk_str text, bool first)
{
    text = wk_text_normalize(&e->t->normalizers, &e->work, e->normal, text);
    first &= !e->work.cut_front;
    return wk_ok() && wk_text_spend(&e->budget, text.size, e->t->name) &&
           wk_added_cut(e, &e->t->added.normal, text, first, normal_part);
}

/* Could a token that is matched behind the normalizers be made of what is not the template's? */
static bool has_guarded(const wk_encoder *e)
{
    const wk_added *a = &e->t->added;
    for (size_t i = 0; i < a->normal.count; i++)
        if (!wk_added_may(e, &a->at[a->normal.token[i]], WK_WRITTEN))
            return true;
    return false;
}

static bool raw_part(wk_encoder *e, const wk_added_token *token, wk_str text, bool first)
{
    if (token)
        return wk_tokens_add(e->out, token->id);
    if (!e->origin || !has_guarded(e))
        return normal_text(e, text, first);
    /* Normalizers lose the place: part by part, then. */
    const uint8_t *origin = e->origin + (text.at - e->base);
    for (size_t from = 0, to; wk_ok() && from < text.size; from = to) {
        for (to = from + 1; to < text.size && origin[to] == origin[from]; to++)
            ;
        e->part = origin[from];
        normal_text(e, (wk_str){ text.at + from, to - from }, first && !from);
    }
    e->part = WK_TEMPLATES;
    return wk_ok();
}

/* Text with U+FFFD for each byte that is not part of a character. */
static wk_str clean(wk_encoder *e, wk_str text)
{
    if (wk_utf8_valid(text.at, text.size))
        return text;
    wk_buf_clear(&e->clean);
    for (const char *p = text.at, *end = p + text.size; p < end && wk_ok();)
        wk_buf_utf8(&e->clean, wk_utf8_next(&p, end, NULL));
    return wk_buf_view(&e->clean);
}

/* The text where the post-processor has it, with ids around. */
static bool encode_all(wk_encoder *e, wk_str text, bool special)
{
    const wk_post *post = &e->t->post;
    size_t         start = 0, size = SIZE_MAX;
    if (!post->given)
        return wk_added_cut(e, &e->t->added.raw, text, true, raw_part);
    for (size_t i = 0; i < post->count && wk_ok(); i++) {
        wk_tokens *out = e->out;
        if (post->id[i] != WK_SEQUENCE) {
            if (special)
                wk_tokens_add(out, post->id[i]);
        } else if (size == SIZE_MAX) {
            start = out->count;
            wk_added_cut(e, &e->t->added.raw, text, true, raw_part);
            size = out->count - start;
        } else { /* once more */
            for (size_t k = 0; k < size; k++)
                wk_tokens_add(out, out->id[start + k]);
        }
    }
    return wk_ok();
}

/* All of text, or nothing. */
static bool encode(wk_tokens *out, const wk_tokenizer *t, wk_str text, const wk_encode_args *args,
                   const wk_chat_text *chat)
{
    if (wk_ok() && text.size > INT32_MAX)
        wk_fail(WK_ERR_ARGUMENT, "encode: %zu bytes of text are more than 2 GiB", text.size);
    wk_encoder *e = wk_ok() ? encoder_take(t) : NULL;
    size_t      before = out->count;
    if (!e)
        return false;
    e->out = out;
    e->plain = args->plain;
    e->origin = chat ? chat->origin : NULL;
    e->base = text.at;
    e->control = chat ? chat->control : "";
    e->part = WK_TEMPLATES;
    e->spans = 0;
    e->budget = wk_text_budget(text.size);
    bool changed = !wk_utf8_valid(text.at, text.size);
    text = clean(e, text);
    if (changed) { /* its bytes are no longer where their origins say */
        e->origin = NULL;
        e->plain |= chat != NULL;
    }
    if (wk_ok() && chat)
        wk_added_cut(e, &t->added.raw, text, chat->first, raw_part);
    else if (wk_ok())
        encode_all(e, text, !args->no_special);
    if (!wk_ok())
        out->count = before;
    encoder_give(e);
    return wk_ok();
}

bool wk_encode_with(wk_tokens *out, const wk_encode_args *args)
{
    if (!wk_ok())
        return false;
    if (!out || !args->tokenizer || !args->text) {
        wk_fail(WK_ERR_ARGUMENT, "encode: %s is NULL",
                !out               ? "the list"
                : !args->tokenizer ? "the tokenizer"
                                   : "the text");
        return false;
    }
    wk_str text = { args->text, args->size ? args->size : strlen(args->text) };
    return encode(out, args->tokenizer, text, args, NULL);
}

bool wk_encode_chat(wk_tokens *out, const wk_tokenizer *t, const wk_chat_text *chat)
{
    static const wk_encode_args none = { .no_special = true };
    return !chat->text.size || encode(out, t, chat->text, &none, chat);
}

bool wk_tokens_add(wk_tokens *tokens, int32_t id)
{
    if (!wk_reserve(&tokens->id, &tokens->room, tokens->count + 1, sizeof id))
        return false;
    tokens->id[tokens->count++] = id;
    return true;
}

void wk_tokens_free(wk_tokens *tokens)
{
    if (!tokens)
        return;
    wk_free(tokens->id);
    *tokens = (wk_tokens){ 0 };
}

/* ---- Pieces ------------------------------------------------------------- */

int32_t wk_tokenizer_size(const wk_tokenizer *t) { return t ? (int32_t)t->size : 0; }

int32_t wk_tokenizer_find(const wk_tokenizer *t, const char *piece)
{
    if (!t || !piece)
        return -1;
    wk_str s = wk_str_of(piece);
    for (size_t i = 0; i < t->added.count; i++)
        if (wk_str_eq(t->added.at[i].content, s))
            return t->added.at[i].id;
    return wk_vocab_find(&t->vocab, s);
}

const char *wk_tokenizer_piece(const wk_tokenizer *t, int32_t id)
{
    const wk_added_token *x = t ? wk_added_get(t, id) : NULL;
    return x ? x->content.at : t ? wk_vocab_piece(&t->vocab, id).at : NULL;
}

bool wk_tokenizer_is_special(const wk_tokenizer *t, int32_t id)
{
    const wk_added_token *x = t ? wk_added_get(t, id) : NULL;
    return x && x->special;
}
