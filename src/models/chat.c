// SPDX-License-Identifier: MIT OR Apache-2.0
/* chat.c - how conversations become tokens: by the chat template of a model, or where there is
 * none, by the usual marks, of which the special tokens of its vocabulary show the right ones.
 *
 * What people wrote cannot forge a mark.  The template renders the real text, as it may look
 * into it, trim it or take it apart; each byte keeps its origin on the way, and the tokenizer
 * makes control tokens of the template's own bytes alone.  (Placeholders for the texts would
 * be in the way of all that a template does with them.)  The text is encoded as a whole: its
 * tokens are those of transformers, where nobody wrote a mark.  The same origins say which
 * words are the assistant's, for training. */
#include "models.h"

#include "../text/chat.h"

#include <wick/io.h>

#include <stdio.h>
#include <stdlib.h>

enum { SYSTEM, USER, ASSISTANT, ROLES };

typedef struct {
    const char *mark;         /* is in the vocabulary */
    const char *begin[ROLES]; /* before what is said */
    const char *end[ROLES];   /* behind it */
} chat_format;

#define ALL(text)                                                                                  \
    {                                                                                              \
        text, text, text                                                                           \
    }

static const chat_format formats[] = {
    { "<|im_start|>",
      { "<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n" },
      ALL("<|im_end|>\n") },
    { "<|start_header_id|>",
      { "<|start_header_id|>system<|end_header_id|>\n\n",
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|start_header_id|>assistant<|end_header_id|>\n\n" },
      ALL("<|eot_id|>") },
    { "<start_of_turn>",
      { "<start_of_turn>user\n", "<start_of_turn>user\n", "<start_of_turn>model\n" },
      ALL("<end_of_turn>\n") },
    { "<|end|>", { "<|system|>\n", "<|user|>\n", "<|assistant|>\n" }, ALL("<|end|>\n") },
    { "[INST]", { "[INST] ", "[INST] ", "" }, { "[/INST]", "[/INST]", "</s>" } },
    { NULL, { "", "User: ", "Assistant: " }, ALL("\n") }, /* of no model: plain words */
};

struct wk_chat {
    const wk_tokenizer *tokenizer;
    int32_t             end;
    const chat_format  *format;
    wk_template        *plain, *tools; /* NULL: none; tools is for when there are some */
    char               *control;       /* the texts of both */
    wk_buf              variables;     /* "bos_token": "<s>", ... */
};

/* ---- Opening ------------------------------------------------------------ */

static bool set_template(wk_chat *c, wk_template **slot, const char *name, wk_str text)
{
    wk_buf all = { 0 };
    wk_template_free(*slot);
    *slot = wk_template_parse(name, text.at, text.size);
    wk_buf_str(&all, wk_str_of(c->control));
    wk_buf_str(&all, text);
    wk_free(c->control);
    c->control = all.data; /* never NULL: a file of a template without text is none */
    return wk_ok();
}

static bool is_token(wk_str key) { return wk_str_ends(key, "_token"); }

static void add_token(wk_chat *c, const char *name, wk_str content)
{
    wk_json_writer w = { .out = &c->variables, .fresh = true };
    wk_json_put_key(&w, name);
    wk_json_put_str(&w, content);
    wk_buf_str(&c->variables, WK_STR(", "));
}

/* A string, or the "content" of an object. */
static void read_token(wk_chat *c, wk_json *j, wk_str name)
{
    char  *key = wk_str_copy(name);
    wk_str inner;
    wk_buf content = { 0 };
    bool   there = wk_json_peek(j) == WK_JSON_STRING;
    if (there)
        wk_buf_str(&content, wk_json_string(j));
    else if (wk_json_peek(j) == WK_JSON_OBJECT)
        for (wk_json_object(j); wk_json_key(j, &inner);)
            if (wk_str_is(inner, "content") && wk_json_peek(j) == WK_JSON_STRING)
                there = true, wk_buf_str(&content, wk_json_string(j));
            else
                wk_json_skip(j);
    else
        wk_json_skip(j);
    if (there && key)
        add_token(c, key, wk_buf_view(&content));
    wk_buf_free(&content);
    wk_free(key);
}

/* Templates by name: {"name": "default", "template": "..."}. */
static void read_named(wk_chat *c, wk_json *j, const char *file)
{
    for (wk_json_array(j); wk_json_item(j);) {
        wk_str key;
        wk_buf name = { 0 }, text = { 0 };
        for (wk_json_object(j); wk_json_key(j, &key);)
            if (wk_str_is(key, "name"))
                wk_buf_str(&name, wk_json_string(j));
            else if (wk_str_is(key, "template"))
                wk_buf_str(&text, wk_json_string(j));
            else
                wk_json_skip(j);
        bool tools = wk_str_is(wk_buf_view(&name), "tool_use");
        if (wk_ok() && (tools || !c->plain || wk_str_is(wk_buf_view(&name), "default")))
            set_template(c, tools ? &c->tools : &c->plain, file, wk_buf_view(&text));
        wk_buf_free(&name);
        wk_buf_free(&text);
    }
}

static void read_config(wk_chat *c, const char *path, bool has_template)
{
    wk_file *f = wk_file_open(path);
    wk_json  j;
    wk_str   key;
    if (!f)
        return;
    for (wk_json_open(&j, path, f->data, f->size), wk_json_object(&j); wk_json_key(&j, &key);)
        if (is_token(key))
            read_token(c, &j, key);
        else if (!wk_str_is(key, "chat_template") || has_template)
            wk_json_skip(&j);
        else if (wk_json_peek(&j) == WK_JSON_STRING)
            set_template(c, &c->plain, path, wk_json_string(&j));
        else if (!wk_json_null(&j))
            read_named(c, &j, path);
    wk_json_close(&j);
    wk_file_release(f);
}

static void read_folder(wk_chat *c, const char *folder)
{
    char    *config = wk_path_join(folder, "tokenizer_config.json");
    char    *path = wk_path_join(folder, "chat_template.jinja");
    bool     own = path && wk_path_is_file(path);
    wk_file *f = own ? wk_file_open(path) : NULL;
    if (f)
        set_template(c, &c->plain, path, (wk_str){ f->data, f->size });
    wk_file_release(f);
    if (wk_ok() && wk_path_is_file(config))
        read_config(c, config, own);
    wk_free(path);
    wk_free(config);
}

/* A GGUF file: its template, and the first tokens by their ids. */
static void read_archive(wk_chat *c, const wk_archive *a)
{
    static const char *const names[] = { "bos", "eos", "unk", "pad" };
    char                     key[64];
    wk_meta                  text = wk_archive_meta(a, "tokenizer.chat_template", 0);
    if (text.type == WK_META_TEXT && text.size)
        set_template(c, &c->plain, wk_archive_path(a), (wk_str){ text.text, text.size });
    text = wk_archive_meta(a, "tokenizer.chat_template.tool_use", 0);
    if (text.type == WK_META_TEXT && text.size)
        set_template(c, &c->tools, wk_archive_path(a), (wk_str){ text.text, text.size });
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", names[i]);
        wk_meta     id = wk_archive_meta(a, key, 0);
        bool        good = id.type == WK_META_INTEGER && id.integer >= 0 && id.integer <= INT32_MAX;
        const char *piece = good ? wk_tokenizer_piece(c->tokenizer, (int32_t)id.integer) : NULL;
        snprintf(key, sizeof key, "%s_token", names[i]);
        if (piece)
            add_token(c, key, wk_str_of(piece));
    }
}

wk_chat *wk_chat_open(const char *folder, const wk_archive *a, const wk_tokenizer *t, int32_t end)
{
    wk_chat *c = wk_ok() ? wk_alloc(sizeof *c) : NULL;
    if (!c)
        return NULL;
    c->tokenizer = t;
    c->end = end;
    c->control = wk_str_copy(WK_STR(""));
    c->format = formats;
    while (c->format->mark && wk_tokenizer_find(t, c->format->mark) < 0)
        c->format++;
    if (wk_ok() && a)
        read_archive(c, a);
    else if (wk_ok() && folder)
        read_folder(c, folder);
    if (wk_ok())
        return c;
    wk_chat_free(c);
    return NULL;
}

void wk_chat_free(wk_chat *c)
{
    if (!c)
        return;
    wk_template_free(c->plain);
    wk_template_free(c->tools);
    wk_buf_free(&c->variables);
    wk_free(c->control);
    wk_free(c);
}

/* ---- By marks ----------------------------------------------------------- */

/* Which role it is, by the names that data sets use for them. */
static int role_of(wk_str name)
{
    static const char *const names[ROLES][2] = { { "system", "developer" },
                                                 { "user", "user" },
                                                 { "assistant", "model" } };
    for (int r = 0; r < ROLES; r++)
        if (wk_str_is(name, names[r][0]) || wk_str_is(name, names[r][1]))
            return r;
    if (wk_ok())
        wk_fail(WK_ERR_FORMAT, "role \"%.*s\": system, user or assistant are known",
                (int)wk_min_i64((int64_t)name.size, 40), name.at);
    return -1;
}

static bool add_learned(wk_tokens *learned, size_t from, size_t to)
{
    return !learned || from == to ||
           (wk_tokens_add(learned, (int32_t)from) && wk_tokens_add(learned, (int32_t)to));
}

static bool add_message(const wk_chat *c, wk_tokens *out, wk_str role, wk_str text,
                        wk_tokens *learned)
{
    int r = role_of(role);
    if (!wk_ok())
        return false;
    wk_encode(out, c->tokenizer, c->format->begin[r], .no_special = true);
    size_t from = out->count;
    if (text.size)
        wk_encode(out, c->tokenizer, text.at, text.size, .no_special = true, .plain = true);
    wk_encode(out, c->tokenizer, c->format->end[r], .no_special = true);
    return wk_ok() && (r != ASSISTANT || add_learned(learned, from, out->count));
}

/* A string, null, or parts of which some are text. */
static void read_content(wk_json *j, wk_buf *text)
{
    wk_str key;
    if (wk_json_null(j))
        return;
    if (wk_json_peek(j) == WK_JSON_STRING) {
        wk_buf_str(text, wk_json_string(j));
        return;
    }
    for (wk_json_array(j); wk_json_item(j);)
        for (wk_json_object(j); wk_json_key(j, &key);)
            if (wk_str_is(key, "text"))
                wk_buf_str(text, wk_json_string(j));
            else
                wk_json_skip(j);
}

static bool by_marks(const wk_chat *c, wk_tokens *out, const wk_chat_job *job)
{
    wk_json j;
    wk_str  key;
    wk_buf  role = { 0 }, text = { 0 };
    size_t  before = out->count;
    wk_encode(out, c->tokenizer, ""); /* what stands before every text, not what is behind it */
    while (out->count > before + 1 && out->id[out->count - 1] == c->end)
        out->count--;
    for (wk_json_open(&j, "messages", job->messages.at, job->messages.size), wk_json_array(&j);
         wk_json_item(&j);) {
        wk_buf_clear(&role);
        wk_buf_clear(&text);
        for (wk_json_object(&j); wk_json_key(&j, &key);)
            if (wk_str_is(key, "role"))
                wk_buf_str(&role, wk_json_string(&j));
            else if (wk_str_is(key, "content"))
                read_content(&j, &text);
            else
                wk_json_skip(&j);
        add_message(c, out, wk_buf_view(&role), wk_buf_view(&text), job->learned);
    }
    wk_json_close(&j);
    if (wk_ok() && !job->complete)
        wk_encode(out, c->tokenizer, c->format->begin[ASSISTANT], .no_special = true);
    wk_buf_free(&role);
    wk_buf_free(&text);
    return wk_ok();
}

/* ---- By a template ------------------------------------------------------ */

/* The variables of a template; options come first, so that they cannot be the tokens. */
static bool write_variables(const wk_chat *c, const wk_chat_job *job, wk_buf *out, bool *tools)
{
    wk_json j;
    wk_str  key;
    wk_buf_char(out, '{');
    if (job->options.size)
        for (wk_json_open(&j, "options", job->options.at, job->options.size), wk_json_object(&j);
             wk_json_key(&j, &key);) {
            if (is_token(key)) { /* those are ours */
                wk_json_skip(&j);
                continue;
            }
            wk_json_writer w = { .out = out, .fresh = true };
            char          *name = wk_str_copy(key);
            *tools |= wk_str_is(key, "tools") && wk_json_peek(&j) == WK_JSON_ARRAY;
            wk_str value = wk_json_raw(&j);
            if (name)
                wk_json_put_key(&w, name);
            wk_buf_str(out, value);
            wk_buf_str(out, WK_STR(", "));
            wk_free(name);
        }
    if (job->options.size)
        wk_json_close(&j);
    wk_buf_str(out, wk_buf_view(&c->variables));
    wk_buf_printf(
        out, "\"add_generation_prompt\": %s, \"messages\": ", job->complete ? "false" : "true");
    wk_buf_str(out, job->messages);
    wk_buf_char(out, '}');
    return wk_ok();
}

/* Where an answer that begins at from ends: behind its last byte, and the special token that
 * the template lets follow. */
static size_t answer_end(const wk_chat *c, const wk_chat_text *s, size_t from)
{
    size_t to = from, n = from;
    for (; n < s->text.size && (!s->origin[n] || s->origin[n] == s->origin[from]); n++)
        if (s->origin[n])
            to = n + 1;
    size_t end = wk_special_end(c->tokenizer, (wk_str){ s->text.at, n }, to);
    return end == SIZE_MAX ? to : end;
}

/* The tokens of text, answer by answer: they begin with the first token that is not one of
 * the text before them, which is where a model begins to speak. */
static bool add_answers(const wk_chat *c, wk_tokens *out, const wk_chat_text *all,
                        wk_tokens *learned)
{
    wk_tokens before = { 0 };
    for (size_t done = 0, from, to; wk_ok() && done < all->text.size; done = to) {
        for (from = done; from < all->text.size && all->origin[from] < WK_ANSWERED; from++)
            ;
        to = from < all->text.size ? answer_end(c, all, from) : from;
        while (from < to && from > done && all->text.at[from - 1] == ' ' && !all->origin[from - 1])
            from--; /* a word and its blank are one token, or might be */
        wk_chat_text part = *all;
        size_t       begin = out->count, same = 0;
        part.text = (wk_str){ all->text.at + done, from - done };
        part.origin = all->origin + done;
        part.first = done == 0;
        before.count = 0;
        if (from < to && !wk_encode_chat(&before, c->tokenizer, &part))
            break;
        part.text.size = to - done;
        if (!wk_encode_chat(out, c->tokenizer, &part))
            break;
        while (same < before.count && begin + same < out->count &&
               before.id[same] == out->id[begin + same])
            same++;
        if (from < to)
            add_learned(learned, begin + same, out->count);
    }
    wk_tokens_free(&before);
    return wk_ok();
}

static bool by_template(const wk_chat *c, wk_tokens *out, const wk_chat_job *job)
{
    wk_buf       json = { 0 };
    wk_chat_text s = { .control = c->control, .first = true };
    bool         tools = false;
    write_variables(c, job, &json, &tools);
    const wk_template *t = c->tools && (tools || !c->plain) ? c->tools : c->plain;
    char              *text =
        wk_template_render(t, json.data, json.size, .length = &s.text.size, .origins = &s.origin);
    wk_buf_free(&json);
    s.text.at = text;
    if (text && job->learned)
        add_answers(c, out, &s, job->learned);
    else if (text)
        wk_encode_chat(out, c->tokenizer, &s);
    free(text);
    return wk_ok();
}

bool wk_chat_append(const wk_chat *c, wk_tokens *out, const wk_chat_job *job)
{
    if (!wk_ok())
        return false;
    return c->plain || c->tools ? by_template(c, out, job) : by_marks(c, out, job);
}

bool wk_chat_tokens_with(wk_tokens *out, const wk_chat_args *a)
{
    if (wk_ok() && (!out || !a->model || !a->messages))
        wk_fail(WK_ERR_ARGUMENT, "chat: no list, no model or no messages");
    if (!wk_ok())
        return false;
    const wk_chat *c = wk_model_chat(a->model);
    size_t         before = out->count;
    wk_chat_job    job = { wk_str_of(a->messages), wk_str_of(a->options), a->complete, NULL };
    if (c && !wk_chat_append(c, out, &job))
        out->count = before;
    return wk_ok();
}
