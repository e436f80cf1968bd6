// SPDX-License-Identifier: MIT OR Apache-2.0
/* examples.c - what a language model learns: lines of JSON, each a row of its own length, or
 * windows of one long text.
 *
 * Rows lie in one list of tokens, one behind the other, each token with a mark whether it is
 * learned.  A long text is a mapped file of tokens, of which windows are read as they come. */
#include "models.h"

#include <wick/data.h>
#include <wick/train.h>

#include <stdio.h>
#include <stdlib.h>

enum { NOTHING = -100 }; /* a target that does not count */

struct wk_examples {
    wk_model           *model;
    const wk_tokenizer *tokenizer;
    int32_t             end; /* of a document; -1: there is no such token */
    int64_t             context, stride, count;
    wk_tokens           ids; /* of all rows */
    bool               *learned;
    size_t              learned_room;
    size_t             *start; /* of row i; and where the last one ends */
    size_t              start_room;
    wk_token_file      *text; /* or this */
};

/* ---- Lines of JSON ------------------------------------------------------- */

/* The tokens from first on are learned, up to the last one there is. */
static bool mark(wk_examples *e, size_t marked, size_t first)
{
    if (!wk_ok() || !wk_reserve(&e->learned, &e->learned_room, e->ids.count, sizeof *e->learned))
        return false;
    for (size_t i = marked; i < e->ids.count; i++)
        e->learned[i] = i >= first;
    return true;
}

static bool add_text(wk_examples *e, wk_str text, bool learned)
{
    size_t before = e->ids.count;
    if (text.size)
        wk_encode(&e->ids, e->tokenizer, text.at, text.size, .no_special = true);
    return mark(e, before, learned ? before : e->ids.count);
}

/* What the tokenizer puts before every text, and not what it puts behind it. */
static bool add_begin(wk_examples *e)
{
    size_t before = e->ids.count;
    wk_encode(&e->ids, e->tokenizer, "");
    while (e->ids.count > before + 1 && e->ids.id[e->ids.count - 1] == e->end)
        e->ids.count--;
    return mark(e, before, e->ids.count);
}

static bool add_end(wk_examples *e)
{
    size_t before = e->ids.count;
    return e->end < 0 || (wk_tokens_add(&e->ids, e->end) && mark(e, before, before));
}

/* Messages with the names of their members that templates know. */
static bool rename_members(wk_json *j, wk_buf *out)
{
    static const char *const roles[][2] = { { "human", "user" },
                                            { "gpt", "assistant" },
                                            { "model", "assistant" } };
    wk_json_writer           w = { .out = out };
    wk_json_begin(&w, '[');
    for (wk_json_array(j); wk_json_item(j);) {
        wk_str key;
        wk_json_begin(&w, '{');
        for (wk_json_object(j); wk_json_key(j, &key);) {
            bool  role = wk_str_is(key, "role") || wk_str_is(key, "from");
            char *name = wk_str_copy(role                      ? WK_STR("role")
                                     : wk_str_is(key, "value") ? WK_STR("content")
                                                               : key);
            if (name)
                wk_json_put_key(&w, name);
            wk_free(name);
            wk_str value = role ? wk_json_string(j) : wk_json_raw(j);
            for (size_t i = 0; role && i < WK_COUNT(roles); i++)
                if (wk_str_is(value, roles[i][0]))
                    value = wk_str_of(roles[i][1]);
            if (role)
                wk_json_put_str(&w, value);
            else
                wk_buf_str(out, value), w.after_key = false;
        }
        wk_json_end(&w, '}');
    }
    wk_json_end(&w, ']');
    return wk_ok();
}

static void read_messages(wk_examples *e, wk_json *j, wk_buf *text, wk_tokens *learned)
{
    const wk_chat *chat = wk_model_chat(e->model);
    size_t         before = e->ids.count;
    wk_buf_clear(text);
    learned->count = 0;
    wk_chat_job job = { .complete = true, .learned = learned };
    if (rename_members(j, text))
        job.messages = wk_buf_view(text);
    if (!wk_ok() || !wk_chat_append(chat, &e->ids, &job) || !mark(e, before, e->ids.count))
        return;
    for (size_t i = 0; i + 1 < learned->count; i += 2)
        for (int32_t k = learned->id[i]; k < learned->id[i + 1]; k++)
            e->learned[k] = true;
}

/* Its members in the order of the line: a completion stands behind its prompt. */
static bool read_line(wk_examples *e, wk_json *j, wk_buf *work, wk_tokens *learned)
{
    wk_str key;
    bool   any = false, begun = false;
    for (wk_json_object(j); wk_json_key(j, &key);) {
        bool text = wk_str_is(key, "text") || wk_str_is(key, "completion");
        bool chat = wk_str_is(key, "messages") || wk_str_is(key, "conversations");
        bool prompt = wk_str_is(key, "prompt");
        if (!begun && (text || prompt)) /* a conversation begins as its template says */
            begun = add_begin(e);
        if (text || prompt)
            add_text(e, wk_json_string(j), text);
        else if (chat)
            read_messages(e, j, work, learned);
        else
            wk_json_skip(j);
        if (text)
            add_end(e);
        any |= text || chat;
    }
    if (wk_ok() && !any)
        wk_json_fail(j, "no \"messages\", \"text\", or \"prompt\" and \"completion\"");
    return wk_ok();
}

/* A row is as long as it may be; one with nothing to learn in it is left out. */
static bool end_row(wk_examples *e, size_t begin)
{
    if (!wk_ok()) /* not every token of it may be marked */
        return false;
    size_t most = begin + (size_t)e->context + 1;
    e->ids.count = e->ids.count < most ? e->ids.count : most;
    bool any = false;
    for (size_t i = begin + 1; i < e->ids.count; i++)
        any |= e->learned[i];
    if (!any)
        e->ids.count = begin;
    else if (wk_reserve(&e->start, &e->start_room, (size_t)e->count + 2, sizeof *e->start))
        e->start[++e->count] = e->ids.count;
    return wk_ok();
}

static bool is_blank(const char *at, size_t size)
{
    while (size && strchr(" \t\r", *at) && *at)
        at++, size--;
    return size == 0;
}

static bool read_lines(wk_examples *e, const char *path)
{
    wk_file    *f = wk_file_open(path);
    wk_buf      work = { 0 };
    wk_tokens   learned = { 0 };
    size_t      number = 0;
    wk_progress progress;
    wk_progress_start(&progress, "reading", f ? (double)f->size : 0);
    for (const char *at = f ? f->data : NULL, *end = f ? at + f->size : NULL;
         wk_ok() && at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t      size = (size_t)((stop ? stop : end) - at), begin = e->ids.count;
        wk_json     j;
        number++;
        if (!is_blank(at, size)) {
            wk_json_open(&j, "example", at, size);
            read_line(e, &j, &work, &learned);
            wk_json_close(&j);
            wk_context("%s, line %zu", path, number);
            end_row(e, begin);
        }
        at += size + (stop != NULL);
        wk_progress_at(&progress, (double)(at - f->data));
    }
    wk_progress_end(&progress);
    wk_buf_free(&work);
    wk_tokens_free(&learned);
    wk_file_release(f);
    return wk_ok();
}

/* ---- Text ---------------------------------------------------------------- */

static bool read_text(wk_examples *e, const wk_examples_args *a)
{
    const char *piece = e->end >= 0 ? wk_tokenizer_piece(e->tokenizer, e->end) : NULL;
    bool        special = piece && strcmp(piece, "</s>"); /* which may well stand in a text */
    e->text = wk_token_file_new(e->tokenizer, a->files, .separator = special ? piece : NULL,
                                .ends = e->end >= 0, .end = e->end, .path = a->cache);
    int64_t count = wk_token_file_count(e->text);
    if (count > e->context)
        e->count = (count - e->context - 1) / e->stride + 1;
    return e->text;
}

/* ---- Opening ------------------------------------------------------------ */

static bool is_lines(const char *path) { return wk_str_ends(wk_str_of(path), ".jsonl"); }

wk_examples *wk_examples_open_with(const wk_examples_args *a)
{
    wk_examples *e = wk_ok() ? wk_alloc(sizeof *e) : NULL;
    if (!e)
        return NULL;
    int64_t most = wk_model_describe(a->model).context;
    e->model = a->model;
    e->tokenizer = wk_model_tokenizer(a->model);
    e->end = wk_model_end(a->model);
    e->context = a->context > 0 ? a->context : wk_min_i64(512, most);
    e->stride = a->stride > 0 ? a->stride : e->context;
    if (wk_ok() && e->context > most)
        wk_fail(WK_ERR_ARGUMENT, "examples of %lld tokens for a model of %lld",
                (long long)e->context, (long long)most);
    if (wk_ok() && (!a->files || !a->files[0]))
        wk_fail(WK_ERR_ARGUMENT, "examples: no files");
    bool lines = wk_ok() && is_lines(a->files[0]);
    for (int i = 0; wk_ok() && a->files[i]; i++)
        if (is_lines(a->files[i]) != lines)
            wk_fail(WK_ERR_ARGUMENT, "%s and %s: text and lines of JSON do not go together",
                    a->files[0], a->files[i]);
    if (wk_ok() && !lines)
        read_text(e, a);
    else if (lines && wk_reserve(&e->start, &e->start_room, 1, sizeof *e->start))
        e->start[0] = 0;
    for (int i = 0; wk_ok() && lines && a->files[i]; i++)
        read_lines(e, a->files[i]);
    if (wk_ok() && e->count == 0)
        wk_fail(WK_ERR_ARGUMENT, "%s: not one example of %lld tokens in it", a->files[0],
                (long long)e->context);
    if (wk_ok())
        return e;
    wk_examples_free(e);
    return NULL;
}

void wk_examples_free(wk_examples *e)
{
    if (!e)
        return;
    wk_token_file_free(e->text);
    wk_tokens_free(&e->ids);
    wk_free(e->learned);
    wk_free(e->start);
    wk_free(e);
}

int64_t wk_examples_count(const wk_examples *e) { return e ? e->count : 0; }

/* ---- Rows ---------------------------------------------------------------- */

/* Row i with the one token more that is only a target: ids, and -100 for what is not learned. */
static bool copy_row(const wk_examples *e, int64_t i, int64_t length, int64_t *ids, int64_t *target)
{
    if (e->text) {
        wk_token_file_get(e->text, i * e->stride, length, ids);
        return wk_token_file_get(e->text, i * e->stride + 1, length, target);
    }
    size_t begin = e->start[i], own = e->start[i + 1] - begin - 1;
    for (size_t k = 0; k < (size_t)length; k++) {
        bool learned = k < own && e->learned[begin + k + 1];
        ids[k] = k < own ? e->ids.id[begin + k] : 0;
        target[k] = learned ? e->ids.id[begin + k + 1] : NOTHING;
    }
    return true;
}

bool wk_examples_get(const wk_examples *e, const int64_t *index, int64_t n, wk_tensor *out[2])
{
    int64_t longest = 0;
    size_t  numbers;
    for (int64_t i = 0; wk_ok() && i < n; i++) {
        if (!e || index[i] < 0 || index[i] >= e->count) {
            wk_fail(WK_ERR_ARGUMENT, "examples: there is no row %lld", (long long)index[i]);
            return false;
        }
        longest = wk_max_i64(longest,
                             e->text ? e->context
                                     : (int64_t)(e->start[index[i] + 1] - e->start[index[i]]) - 1);
    }
    if (wk_mul_overflows((size_t)n, (size_t)longest, &numbers))
        numbers = SIZE_MAX;
    int64_t *ids = wk_ok() ? wk_alloc_array(numbers, 2 * sizeof *ids) : NULL;
    int64_t *target = ids ? ids + numbers : NULL;
    for (int64_t i = 0; ids && wk_ok() && i < n; i++)
        copy_row(e, index[i], longest, ids + i * longest, target + i * longest);
    if (ids) {
        out[0] = wk_from_i64(WK_SHAPE(n, longest), ids);
        out[1] = wk_from_i64(WK_SHAPE(n, longest), target);
    }
    wk_free(ids);
    return wk_ok() && ids;
}
