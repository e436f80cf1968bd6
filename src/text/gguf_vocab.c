// SPDX-License-Identifier: MIT OR Apache-2.0
/* gguf_vocab.c - a tokenizer.json as the values tokenizer.ggml.* of a GGUF file: byte-level BPE
 * as "gpt2" with its merges, and SentencePiece's BPE as "llama", whose scores are made so that
 * pairs join in the order of the merges. */
#include "gguf_values.h"
#include "text.h"

#include <stdio.h>

enum { MOST_SPLITS = 6 };

typedef struct {
    int64_t  count;
    char   **token;
    int64_t *type;
    double  *score;
    char   **merge;
    size_t   merges, room;
    char    *split[MOST_SPLITS];
    size_t   splits;
    bool     bpe, falls_back, whole, strange; /* strange: "gpt2" and "llama" do not say it */
} draft;

/* ---- Values -------------------------------------------------------------- */

static wk_gguf_value *add(wk_values *v, const char *key)
{
    if (!wk_ok() || !wk_reserve(&v->at, &v->room, v->count + 1, sizeof *v->at))
        return NULL;
    v->at[v->count] = (wk_gguf_value){ .key = wk_str_copy(wk_str_of(key)) };
    return v->at[v->count].key ? &v->at[v->count++] : NULL;
}

void wk_values_text(wk_values *v, const char *key, wk_str text)
{
    wk_gguf_value *x = add(v, key);
    if (x)
        x->text = wk_str_copy(text);
}

void wk_values_int(wk_values *v, const char *key, const char *type, int64_t i)
{
    wk_gguf_value *x = add(v, key);
    if (x) {
        x->type = type;
        x->integer = i;
    }
}

void wk_values_number(wk_values *v, const char *key, double number)
{
    wk_gguf_value *x = add(v, key);
    if (x) {
        x->type = "f32";
        x->number = number;
    }
}

void wk_values_free(wk_values *v)
{
    for (size_t i = 0; i < v->count; i++) {
        const wk_gguf_value *x = &v->at[i];
        for (int64_t k = 0; x->texts && k < x->count; k++)
            wk_free((void *)x->texts[k]);
        wk_free((void *)x->texts);
        wk_free((void *)x->integers);
        wk_free((void *)x->numbers);
        wk_free((void *)x->text);
        wk_free((void *)x->key);
    }
    wk_free(v->at);
}

/* ---- Reading ------------------------------------------------------------- */

static void put_token(draft *d, wk_str text, int64_t id, int type)
{
    if (!wk_ok() || id < 0 || id >= d->count) {
        d->strange = true;
        return;
    }
    wk_free(d->token[id]);
    d->token[id] = wk_str_copy(text);
    d->type[id] = type;
}

static bool is_byte(wk_str s) { return s.size == 6 && wk_str_starts(s, "<0x") && s.at[5] == '>'; }

static void read_vocab(draft *d, wk_json *j)
{
    wk_str key;
    if (wk_json_peek(j) != WK_JSON_OBJECT) {
        d->strange = true;
        wk_json_skip(j);
        return;
    }
    for (wk_json_object(j); wk_json_key(j, &key);) {
        char *text = wk_str_copy(key);
        if (text)
            put_token(d, (wk_str){ text, key.size }, wk_json_int(j),
                      is_byte(key) ? WK_TOKEN_BYTE : WK_TOKEN_NORMAL);
        wk_free(text);
    }
}

/* "a b" or ["a", "b"] */
static void read_merges(draft *d, wk_json *j)
{
    for (wk_json_array(j);
         wk_json_item(j) && wk_reserve(&d->merge, &d->room, d->merges + 1, sizeof *d->merge);) {
        wk_buf both = { 0 };
        if (wk_json_peek(j) == WK_JSON_ARRAY) {
            for (wk_json_array(j); wk_json_item(j);) {
                if (both.size)
                    wk_buf_char(&both, ' ');
                wk_buf_str(&both, wk_json_string(j));
            }
        } else {
            wk_buf_str(&both, wk_json_string(j));
        }
        d->strange |= !both.data; /* an empty one */
        if (both.data)
            d->merge[d->merges++] = both.data;
    }
}

static void read_model(draft *d, wk_json *j)
{
    wk_str key;
    for (wk_json_object(j); wk_json_key(j, &key);)
        if (wk_str_is(key, "type"))
            d->bpe = wk_str_is(wk_json_string(j), "BPE");
        else if (wk_str_is(key, "byte_fallback"))
            d->falls_back = !wk_json_null(j) && wk_json_bool(j);
        else if (wk_str_is(key, "ignore_merges"))
            d->whole = !wk_json_null(j) && wk_json_bool(j);
        else if (wk_str_is(key, "vocab"))
            read_vocab(d, j);
        else if (wk_str_is(key, "merges"))
            read_merges(d, j);
        else
            wk_json_skip(j);
}

static void put_split(draft *d, wk_str expression)
{
    if (d->splits == MOST_SPLITS)
        d->strange = true;
    else if ((d->split[d->splits] = wk_str_copy(expression)))
        d->splits++;
}

/* A step that cuts: its expression, or that of what it does. */
static void read_pre(draft *d, wk_json *j)
{
    char   type[64] = "";
    wk_str key;
    bool   regex = true;
    if (wk_json_null(j))
        return;
    wk_peek_type(j, type);
    for (wk_json_object(j); wk_json_key(j, &key);)
        if (wk_str_is(key, "pretokenizers"))
            for (wk_json_array(j); wk_json_item(j);)
                read_pre(d, j);
        else if (wk_str_is(key, "pattern") && wk_json_peek(j) == WK_JSON_OBJECT)
            for (wk_json_object(j); wk_json_key(j, &key);)
                put_split(d, wk_json_string(j));
        else if (wk_str_is(key, "use_regex"))
            regex = wk_json_bool(j);
        else if (wk_str_is(key, "add_prefix_space") && wk_json_peek(j) == WK_JSON_BOOL)
            d->strange |= wk_json_bool(j) && !strcmp(type, "ByteLevel");
        else
            wk_json_skip(j);
    if (!strcmp(type, "ByteLevel") && regex)
        put_split(d, WK_STR(WK_RE_GPT2));
    else if (!strcmp(type, "Digits"))
        put_split(d, WK_STR("\\p{N}"));
    else if (strcmp(type, "ByteLevel") && strcmp(type, "Split") && strcmp(type, "Sequence"))
        d->strange |= !d->falls_back && strcmp(type, "Metaspace");
}

static void read_added(draft *d, wk_json *j)
{
    for (wk_json_array(j); wk_json_item(j);) {
        wk_str  key;
        char   *content = NULL;
        int64_t id = -1;
        bool    special = false;
        for (wk_json_object(j); wk_json_key(j, &key);)
            if (wk_str_is(key, "content") && !content)
                content = wk_str_copy(wk_json_string(j));
            else if (wk_str_is(key, "id"))
                id = wk_json_int(j);
            else if (wk_str_is(key, "special"))
                special = wk_json_bool(j);
            else
                wk_json_skip(j);
        if (content)
            put_token(d, wk_str_of(content), id,
                      special ? WK_TOKEN_CONTROL : WK_TOKEN_USER_DEFINED);
        wk_free(content);
    }
}

/* Added tokens come first in the file, but win over the vocabulary: in a second pass. */
static void read(draft *d, const wk_file *f, bool added)
{
    wk_json j;
    wk_str  key;
    wk_json_open(&j, f->path, f->data, f->size);
    for (wk_json_object(&j); wk_json_key(&j, &key);)
        if (!added && wk_str_is(key, "model"))
            read_model(d, &j);
        else if (!added && wk_str_is(key, "pre_tokenizer"))
            read_pre(d, &j);
        else if (added && wk_str_is(key, "added_tokens"))
            read_added(d, &j);
        else
            wk_json_skip(&j);
    wk_json_close(&j);
}

/* ---- Scores and holes ---------------------------------------------------- */

/* What merge number i makes gets the score -i; what none makes, one below them all. */
static void score(draft *d)
{
    wk_map index = { 0 };
    d->score = wk_alloc_array((size_t)d->count, sizeof *d->score);
    for (int64_t i = 0; d->score && i < d->count && wk_ok(); i++) {
        d->score[i] = d->type[i] == WK_TOKEN_NORMAL ? -(double)d->merges - 1 : 0;
        wk_map_put(&index, wk_str_of(d->token[i]), i);
    }
    for (size_t i = d->merges; d->score && wk_ok() && i-- > 0;) {
        wk_buf  joined = { 0 };
        int64_t id;
        for (const char *p = d->merge[i]; *p; p++)
            if (*p != ' ' || p == d->merge[i])
                wk_buf_char(&joined, *p);
        if (wk_ok() && wk_map_get(&index, wk_buf_view(&joined), &id))
            d->score[id] = -(double)i;
        wk_buf_free(&joined);
    }
    wk_map_free(&index);
}

static void fill_holes(draft *d)
{
    for (int64_t i = 0; wk_ok() && i < d->count; i++)
        if (!d->token[i]) {
            char name[40];
            snprintf(name, sizeof name, "[PAD%lld]", (long long)i);
            put_token(d, wk_str_of(name), i, WK_TOKEN_UNUSED);
        }
}

/* ---- Writing ------------------------------------------------------------- */

/* A list under a key; it takes over one of the three. */
static void put_list(wk_values *v, const char *key, wk_gguf_value list)
{
    if (!wk_ok() || !wk_reserve(&v->at, &v->room, v->count + 1, sizeof *v->at))
        return;
    list.key = wk_str_copy(wk_str_of(key));
    v->at[v->count++] = list;
}

static void put(draft *d, wk_values *v, wk_str pre)
{
    wk_values_text(v, "tokenizer.ggml.model", d->falls_back ? WK_STR("llama") : WK_STR("gpt2"));
    wk_values_text(v, "tokenizer.ggml.pre", d->falls_back ? WK_STR("default") : pre);
    if (d->falls_back)
        score(d);
    size_t before = v->count;
    put_list(v, "tokenizer.ggml.tokens",
             (wk_gguf_value){ .count = d->count, .texts = (const char *const *)d->token });
    if (v->count > before)
        d->token = NULL;
    before = v->count;
    put_list(v, "tokenizer.ggml.token_type",
             (wk_gguf_value){ .type = "i32", .count = d->count, .integers = d->type });
    if (v->count > before)
        d->type = NULL;
    before = v->count;
    if (d->falls_back)
        put_list(v, "tokenizer.ggml.scores",
                 (wk_gguf_value){ .type = "f32", .count = d->count, .numbers = d->score });
    else if (d->merge)
        put_list(
            v, "tokenizer.ggml.merges",
            (wk_gguf_value){ .count = (int64_t)d->merges, .texts = (const char *const *)d->merge });
    if (v->count > before && d->falls_back)
        d->score = NULL;
    else if (v->count > before)
        d->merge = NULL;
}

bool wk_vocabulary_values(wk_values *v, const char *folder, int64_t vocab)
{
    draft    d = { .count = vocab };
    char    *path = wk_path_join(folder, "tokenizer.json");
    wk_file *f = path ? wk_file_open(path) : NULL;
    bool     good = false;
    d.token = f ? wk_alloc_array((size_t)vocab, sizeof *d.token) : NULL;
    d.type = d.token ? wk_alloc_array((size_t)vocab, sizeof *d.type) : NULL;
    if (d.type) {
        read(&d, f, false);
        read(&d, f, true);
        fill_holes(&d);
        wk_str pre = wk_pre_name((const char *const *)d.split, d.splits, d.whole);
        good = wk_ok() && d.bpe && !d.strange && (d.falls_back || pre.size);
        if (good)
            put(&d, v, pre);
    }
    for (int64_t i = 0; d.token && i < vocab; i++)
        wk_free(d.token[i]);
    for (size_t i = 0; d.merge && i < d.merges; i++)
        wk_free(d.merge[i]);
    for (size_t i = 0; i < d.splits; i++)
        wk_free(d.split[i]);
    wk_free(d.token);
    wk_free(d.type);
    wk_free(d.score);
    wk_free(d.merge);
    wk_file_release(f);
    wk_free(path);
    return good && wk_ok();
}
