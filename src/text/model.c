// SPDX-License-Identifier: MIT OR Apache-2.0
/* model.c - reads the model of a tokenizer.json, and gives it words.
 *
 * The options of all models are read alike; what they mean is in the file of each. */
#include "text.h"

#include <stdio.h>

enum { LEAST_IDS = 65536 }; /* that a file may use, however small: ids cost memory */

static const wk_model_kind *const kinds[] = { &wk_bpe, &wk_word_piece, &wk_word_level,
                                              &wk_unigram };

/* ---- Reading ------------------------------------------------------------ */

static void read_vocab(wk_tokenizer *t, wk_json *j)
{
    wk_str key;
    if (wk_json_peek(j) == WK_JSON_ARRAY) {
        wk_unigram_read_vocab(t, j);
        return;
    }
    for (wk_json_object(j); wk_json_key(j, &key);) {
        /* The piece may be in the reader's memory, the number does not touch it. */
        int64_t id = wk_json_int(j);
        if (id > wk_max_i64(j->end - j->start, LEAST_IDS))
            wk_json_fail(j, "model: the id %lld of \"%.*s\" is too large for a file of this size",
                         (long long)id, (int)wk_min_i64((int64_t)key.size, 60), key.at);
        if (wk_ok() && !wk_vocab_add(&t->vocab, key, id))
            wk_context("%s: model", t->name);
    }
}

/* A string, or an absent one for null and for "". */
static wk_str read_string(wk_tokenizer *t, wk_json *j)
{
    wk_str s = wk_json_null(j) ? WK_STR("") : wk_json_string(j);
    return s.size ? wk_text_keep(t, s) : (wk_str){ 0 };
}

static void read_type(wk_tokenizer *t, wk_json *j)
{
    wk_str name = wk_json_string(j);
    for (size_t i = 0; i < WK_COUNT(kinds); i++)
        if (wk_str_is(name, kinds[i]->name))
            t->model.kind = kinds[i];
    if (!t->model.kind)
        wk_json_fail(j, "model %.*s is not supported", (int)wk_min_i64((int64_t)name.size, 60),
                     name.at);
}

static void read_key(wk_tokenizer *t, wk_json *j, wk_str key, wk_json *merges)
{
    wk_model *m = &t->model;
    if (wk_str_is(key, "type")) {
        read_type(t, j);
    } else if (wk_str_is(key, "vocab")) {
        read_vocab(t, j);
    } else if (wk_str_is(key, "merges")) {
        wk_json_peek(j);
        *merges = *j;
        merges->text = (wk_buf){ 0 };
        m->has_merges = true;
        if (t->vocab.count && m->has_prefix) /* else it is too early */
            wk_bpe_read_merges(t, j);
        else
            wk_json_skip(j);
    } else if (wk_str_is(key, "unk_token")) {
        m->unk_token = read_string(t, j);
    } else if (wk_str_is(key, "continuing_subword_prefix")) {
        m->has_prefix = true;
        m->prefix = read_string(t, j);
    } else if (wk_str_is(key, "end_of_word_suffix")) {
        m->suffix = read_string(t, j);
    } else if (wk_str_is(key, "fuse_unk")) {
        m->fuse_unk = !wk_json_null(j) && wk_json_bool(j);
    } else if (wk_str_is(key, "byte_fallback")) {
        m->byte_fallback = !wk_json_null(j) && wk_json_bool(j);
    } else if (wk_str_is(key, "ignore_merges")) {
        m->ignore_merges = !wk_json_null(j) && wk_json_bool(j);
    } else if (wk_str_is(key, "unk_id")) {
        m->unk_id =
            wk_json_null(j) ? -1 : (int32_t)wk_max_i64(-1, wk_min_i64(wk_json_int(j), INT32_MAX));
    } else if (wk_str_is(key, "max_input_chars_per_word")) {
        m->max_chars = wk_json_int(j);
    } else if (wk_str_is(key, "dropout")) {
        if (!wk_json_null(j) && wk_json_number(j) != 0)
            wk_json_fail(j, "model BPE: dropout is not supported");
    } else {
        wk_json_fail(j, "model: unknown option \"%.*s\"", (int)wk_min_i64((int64_t)key.size, 60),
                     key.at);
    }
}

bool wk_model_read(wk_tokenizer *t, wk_json *j)
{
    wk_str    key;
    wk_json   merges;
    wk_model *m = &t->model;
    if (t->vocab.size || m->kind)
        wk_json_fail(j, "a second \"model\"");
    m->max_chars = -1;
    m->unk_id = -1;
    for (wk_json_object(j); wk_json_key(j, &key);)
        read_key(t, j, key, &merges);
    if (wk_ok() && !m->kind) /* old files do not say */
        m->kind = m->has_merges   ? &wk_bpe
                  : m->has_prefix ? &wk_word_piece
                  : m->score      ? &wk_unigram
                                  : &wk_word_level;
    if (wk_ok() && m->has_merges && !m->merges) {
        wk_bpe_read_merges(t, &merges);
        wk_buf_free(&merges.text);
    }
    return wk_ok();
}

void wk_text_model_free(wk_model *m)
{
    wk_free(m->merge);
    wk_free(m->rank);
    wk_free(m->score);
    wk_free(m->reach);
}

void wk_model_find_bytes(wk_tokenizer *t)
{
    for (int i = 0; i < 256; i++) {
        char s[8];
        int  n = snprintf(s, sizeof s, "<0x%02X>", (unsigned)i);
        t->model.fallback_id[i] = wk_vocab_find(&t->vocab, (wk_str){ s, (size_t)n });
    }
}

/* ---- Encoding ----------------------------------------------------------- */

static bool encode_word(wk_encoder *e, wk_str word)
{
    const wk_model_kind *kind = e->t->model.kind;
    if (word.size > WK_WORD_CACHE_BYTES)
        return kind->encode(e, word);
    wk_word_cache_key key = wk_word_cache_key_of(word);
    if (wk_word_cache_get(e->cache, &key, e->out))
        return true;
    size_t before = e->out->count;
    if (!wk_ok() || !kind->encode(e, word))
        return false;
    size_t count = e->out->count - before;
    wk_word_cache_put(e->cache, &key, count ? e->out->id + before : NULL, count);
    return true;
}

/* The next U+2581 after p that another character precedes, or end. */
static const char *next_cut(const char *p, const char *end)
{
    static const char mark[] = "\xE2\x96\x81";
    bool              after_mark = end - p >= 3 && !memcmp(p, mark, 3);
    for (p += after_mark ? 3 : 1; end - p >= 3; p += after_mark ? 3 : 1) {
        const char *q = memchr(p, mark[0], (size_t)(end - p - 2));
        if (!q)
            return end;
        after_mark = after_mark && q == p;
        p = q;
        if (memcmp(p, mark, 3))
            after_mark = false;
        else if (!after_mark)
            return p;
    }
    return end;
}

bool wk_piece_can_cut(wk_str piece)
{
    return !piece.size || next_cut(piece.at, piece.at + piece.size) == piece.at + piece.size;
}

bool wk_model_encode(wk_encoder *e, wk_str word)
{
    if (!e->t->model.cut)
        return encode_word(e, word);
    const char *end = word.at + word.size;
    for (const char *p = word.at, *q; p < end; p = q) {
        q = next_cut(p, end);
        if (!encode_word(e, (wk_str){ p, (size_t)(q - p) }))
            return false;
    }
    return true;
}
