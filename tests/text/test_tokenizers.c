// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_tokenizers.c - whole tokenizers against the reference: small ones that were
 * trained for it, and the real vocabularies of ../shared behind the pipelines of real
 * models (tests/golden/make_tokenizer.py). */
#include "golden.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 4096 };

/* ---- Small tokenizers --------------------------------------------------- */

static strings texts; /* those of steps.json */

static void read_texts(void)
{
    wk_json  j;
    wk_str   key;
    wk_file *f = golden_open("steps.json", &j);
    for (wk_json_object(&j); wk_json_key(&j, &key);)
        if (wk_str_is(key, "texts"))
            strings_read(&texts, &j);
        else
            wk_json_skip(&j);
    golden_close(f, &j);
}

static void check_ids(const char *name, const wk_tokenizer *t, const wk_encode_args *args,
                      const int32_t *ids, size_t count)
{
    wk_tokens out = { 0 };
    bool      done = wk_encode_with(&out, args);
    if (golden_lacks_library()) {
        wk_tokens_free(&out);
        return;
    }
    CHECK(done);
    bool good = CHECK_MSG(same_ids(&out, ids, count), "%s: \"%s\": %s%s%zu ids are not the %zu",
                          name, args->text, args->no_special ? "no special, " : "",
                          args->plain ? "plain, " : "", out.count, count);
    for (size_t i = 0; !good && i < out.count && i < count; i++)
        if (out.id[i] != ids[i]) {
            CHECK_MSG(false, "number %zu is \"%s\", not \"%s\"", i,
                      wk_tokenizer_piece(t, out.id[i]), wk_tokenizer_piece(t, ids[i]));
            break;
        }
    wk_tokens_free(&out);
}

/* Is what comes out as tokens go in whole characters, and together the whole text? */
static void check_stream(const char *name, const wk_tokenizer *t, const int32_t *ids, size_t count,
                         bool keep_special, const char *want)
{
    wk_detokenizer *d = wk_detokenizer_new(t, keep_special);
    wk_buf          all = { 0 };
    for (int again = 0; again < 2; again++) { /* it starts anew after the end */
        wk_buf_clear(&all);
        for (size_t i = 0; i <= count; i++) {
            const char *s = i < count ? wk_detokenizer_push(d, ids[i]) : wk_detokenizer_end(d);
            CHECK(s && wk_utf8_valid(s, strlen(s)));
            wk_buf_str(&all, wk_str_of(s));
        }
        CHECK_STR(wk_buf_view(&all).at, want);
    }
    char *text = wk_decode(t, ids, count, keep_special);
    CHECK_MSG(text && !strcmp(text, want), "%s: \"%s\" is not \"%s\"", name, text, want);
    free(text);
    wk_buf_free(&all);
    wk_detokenizer_free(d);
}

/* A string of the file as it comes out of C: NUL is U+FFFD.  null: text itself. */
static char *read_decoded(wk_json *j, wk_str text)
{
    wk_str s = wk_json_null(j) ? text : wk_json_string(j);
    wk_buf b = { 0 };
    wk_buf_str(&b, WK_STR(""));
    for (size_t i = 0; i < s.size; i++)
        if (s.at[i])
            wk_buf_char(&b, s.at[i]);
        else
            wk_buf_utf8(&b, 0xFFFD);
    return b.data;
}

/* [ids with special tokens, ids without, ids of plain text, decoded, with special tokens] */
static void check_row(const char *name, const wk_tokenizer *t, wk_str text, wk_json *j)
{
    static int32_t ids[3][MOST];
    size_t         count[3];
    char          *decoded[2];
    wk_json_array(j);
    for (int i = 0; i < 3; i++) {
        wk_json_item(j);
        count[i] = ints_read(j, ids[i], MOST);
        if (i && count[i] == SIZE_MAX) {
            count[i] = count[i - 1];
            memcpy(ids[i], ids[i - 1], sizeof ids[i]);
        }
        wk_encode_args args = { t, text.at, text.size, .no_special = i > 0, .plain = i == 2 };
        if (text.size)
            check_ids(name, t, &args, ids[i], count[i]);
    }
    for (int i = 0; i < 2; i++) {
        wk_json_item(j);
        decoded[i] = read_decoded(j, text);
        check_stream(name, t, ids[0], count[0], i == 1, decoded[i]);
        wk_free(decoded[i]);
    }
    wk_json_item(j);
}

static void check_small(const char *name, const char *ending)
{
    char    file[64], path[128];
    wk_json j;
    snprintf(path, sizeof path, "tests/golden/tokenizer/%s.%s", name, ending);
    wk_tokenizer *t = wk_tokenizer_open(path);
    if (golden_lacks_library())
        return;
    snprintf(file, sizeof file, "%s.ids.json", name);
    wk_file *f = golden_open(file, &j);
    size_t   n = 0;
    for (wk_json_array(&j); t && wk_json_item(&j); n++)
        check_row(name, t, texts.at[n], &j);
    CHECK_INT(n, texts.count);
    CHECK(t != NULL);
    golden_close(f, &j);
    wk_tokenizer_free(t);
}

TEST(small_tokenizers_do_what_the_reference_does)
{
    static const char *const names[] = { "gpt2",     "llama3", "llama2", "gemma",
                                         "unknown",  "fused",  "half",   "clip",
                                         "prefixed", "bert",   "levels", "metaspace" };
    read_texts();
    for (size_t i = 0; i < WK_COUNT(names); i++)
        check_small(names[i], "json");
    static const char *const gguf[] = { "gguf/spm", "gguf/bpe", "gguf/bert", "gguf/t5" };
    for (size_t i = 0; i < WK_COUNT(gguf); i++)
        check_small(gguf[i], "gguf");
    check_small("gguf/unigram", "json");
    strings_free(&texts);
}

/* ---- Real vocabularies -------------------------------------------------- */

typedef struct { /* the keys of a GGUF file that make a vocabulary */
    strings  tokens, merges;
    int32_t *type;
    float   *score;
} vocabulary;

typedef struct {
    const char *at, *end;
} cursor;

static uint64_t number(cursor *c, size_t size)
{
    uint64_t x = 0;
    if ((size_t)(c->end - c->at) >= size)
        memcpy(&x, c->at, size);
    c->at += size;
    return x;
}

static wk_str text(cursor *c)
{
    size_t n = (size_t)number(c, 8);
    wk_str s = { c->at, n };
    c->at += n;
    return s;
}

/* An array of numbers of four bytes: it may lie anywhere, so it is copied. */
static void *words(const cursor *c, size_t count)
{
    void *copy = wk_alloc_array(count, 4);
    if (CHECK((size_t)(c->end - c->at) >= 4 * count) && copy)
        memcpy(copy, c->at, 4 * count);
    return copy;
}

static void value(cursor *c, vocabulary *v, wk_str key, uint32_t type)
{
    static const uint8_t sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    if (type == 8) {
        text(c);
    } else if (type != 9) {
        c->at += sizes[type];
    } else {
        uint32_t item = (uint32_t)number(c, 4);
        size_t   count = (size_t)number(c, 8);
        strings *list = wk_str_is(key, "tokenizer.ggml.tokens") ? &v->tokens : &v->merges;
        if (wk_str_is(key, "tokenizer.ggml.token_type"))
            v->type = words(c, count);
        if (wk_str_is(key, "tokenizer.ggml.scores"))
            v->score = words(c, count);
        for (size_t i = 0; i < count; i++) {
            if (item != 8) {
                c->at += sizes[item];
            } else if (wk_reserve(&list->at, &list->room, list->count + 1, sizeof *list->at)) {
                list->at[list->count++] = text(c);
            }
        }
    }
}

static wk_file *read_gguf(const char *path, vocabulary *v)
{
    wk_file *f = wk_file_open(path);
    if (!f)
        return NULL;
    cursor   c = { f->data + 16, f->data + f->size };
    uint64_t keys = number(&c, 8);
    for (uint64_t i = 0; i < keys && c.at < c.end; i++) {
        wk_str key = text(&c);
        value(&c, v, key, (uint32_t)number(&c, 4));
    }
    return f;
}

/* Merges of a vocabulary with scores: each token of two others, the best score first,
 * then the longest left and right parts, then the order of the vocabulary. */
typedef struct {
    float  score;
    wk_str left, right;
    size_t order;
} cut;

static size_t letters(wk_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.size; i++)
        n += (s.at[i] & 0xC0) != 0x80;
    return n;
}

static int by_score(const void *a, const void *b)
{
    const cut *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (letters(x->left) != letters(y->left))
        return letters(x->left) > letters(y->left) ? -1 : 1;
    if (letters(x->right) != letters(y->right))
        return letters(x->right) > letters(y->right) ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void derive_merges(const vocabulary *v, size_t count, wk_json_writer *w)
{
    wk_map known = { 0 };
    cut   *list = NULL;
    size_t n = 0, room = 0;
    for (size_t i = 0; i < count; i++)
        if (v->type[i] == 1 || v->type[i] == 4)
            wk_map_put(&known, v->tokens.at[i], 0);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 1; wk_map_get(&known, v->tokens.at[i], NULL) && k < v->tokens.at[i].size;
             k++) {
            wk_str s = v->tokens.at[i], left = { s.at, k }, right = { s.at + k, s.size - k };
            if (wk_map_get(&known, left, NULL) && wk_map_get(&known, right, NULL) &&
                wk_reserve(&list, &room, n + 1, sizeof *list)) {
                list[n] = (cut){ v->score[i], left, right, n };
                n++;
            }
        }
    if (n)
        qsort(list, n, sizeof *list, by_score);
    for (size_t i = 0; i < n; i++) {
        wk_json_begin(w, '[');
        wk_json_put_str(w, list[i].left);
        wk_json_put_str(w, list[i].right);
        wk_json_end(w, ']');
    }
    wk_free(list);
    wk_map_free(&known);
}

/* A token as tokenizer.json has it: BERT's vocabularies mark the other half. */
static void put_token(wk_json_writer *w, const vocabulary *v, size_t i, bool bert)
{
    wk_str s = v->tokens.at[i];
    wk_buf b = { 0 };
    bool   marked = wk_str_starts(s, "\xE2\x96\x81");
    if (bert && v->type[i] != 3 && !marked)
        wk_buf_str(&b, WK_STR("##"));
    wk_buf_add(&b, s.at + (bert && marked ? 3 : 0), s.size - (bert && marked ? 3 : 0));
    wk_json_put_key(w, b.data);
    wk_buf_free(&b);
}

/* The head of the golden file with vocabulary and merges put into its model. */
static wk_tokenizer *assemble(const char *name, const char *head)
{
    char       path[1024], file[80];
    bool       bert = strstr(name, "bert"), sentence = strstr(name, "spm") || strstr(name, "phi");
    vocabulary v = { 0 };
    snprintf(file, sizeof file, "tokenizers/%s.gguf", strstr(name, "gpt-2") ? "gpt-2" : name);
    wk_file       *f = test_shared(file, path) ? read_gguf(path, &v) : NULL;
    size_t         count = sentence ? 32000 : v.tokens.count, n = strlen(head);
    wk_buf         b = { 0 };
    wk_json_writer w = { .out = &b };
    if (f && CHECK(n > 2 && head[n - 2] == '}')) { /* the model comes last */
        wk_json_begin(&w, '{');
        for (size_t i = 0; i < count; i++) {
            put_token(&w, &v, i, bert);
            wk_json_put_int(&w, (int64_t)i);
        }
        wk_json_end(&w, '}');
        if (!bert) {
            wk_buf_str(&b, WK_STR(",\"merges\":"));
            w = (wk_json_writer){ .out = &b };
            wk_json_begin(&w, '[');
            for (size_t i = 0; i < v.merges.count && !sentence; i++)
                wk_json_put_str(&w, v.merges.at[i]);
            if (sentence)
                derive_merges(&v, count, &w);
            wk_json_end(&w, ']');
        }
    }
    wk_tokenizer *t = NULL;
    if (f)
        t = parse_text("%.*s,\"vocab\":%s}}", (int)n - 2, head, b.data);
    wk_free(v.tokens.at);
    wk_free(v.type);
    wk_free(v.score);
    wk_free(v.merges.at);
    wk_buf_free(&b);
    wk_file_release(f);
    return t;
}

static uint32_t crc32_of(const wk_tokens *tokens)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < 4 * tokens->count; i++) {
        crc ^= (uint32_t)tokens->id[i / 4] >> 8 * (i % 4) & 255;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* The texts and ids that ../shared has of its own. */
static void check_shared_ids(const char *name, const wk_tokenizer *t)
{
    char     file[64], inputs[1024], outputs[1024];
    int32_t  ids[MOST];
    wk_file *in = NULL, *out = NULL;
    snprintf(file, sizeof file, "tokenizers/%s.inp", name);
    if (test_shared(file, inputs))
        in = wk_file_open(inputs);
    snprintf(file, sizeof file, "tokenizers/%s.out", name);
    if (test_shared(file, outputs))
        out = wk_file_open(outputs);
    const char *mark = "\n__ggml_vocab_test__\n", *p = in ? in->data : NULL,
               *q = out ? out->data : "";
    int n = 0;
    for (const char *end = p + (in ? in->size : 0), *next; p && p < end; p = next, n++) {
        const char *stop = memmem(p, (size_t)(end - p), mark, strlen(mark));
        size_t      size = (size_t)((stop ? stop : end) - p), count = 0;
        for (; *q && *q != '\n' && count < MOST; count++)
            ids[count] = (int32_t)strtol(q, (char **)&q, 10), q += *q == ' ';
        q += *q == '\n';
        if (size)
            check_ids(name, t, &(wk_encode_args){ t, p, size, .no_special = true }, ids, count);
        next = stop ? stop + strlen(mark) : end;
    }
    CHECK_MSG(n >= 46, "%s: %d texts", name, n);
    wk_file_release(in);
    wk_file_release(out);
}

static void check_real(const char *name, wk_json *j, const strings *random)
{
    wk_str        key;
    char         *head = NULL;
    wk_tokens     out = { 0 };
    size_t        n = 0;
    wk_tokenizer *t = NULL;
    for (wk_json_object(j); wk_json_key(j, &key);)
        if (wk_str_is(key, "head")) {
            head = json_text(j);
            t = assemble(name, head);
            CHECK(t || golden_lacks_library());
        } else {
            for (wk_json_array(j); wk_json_item(j); n++) {
                int64_t want = wk_json_int(j);
                out.count = 0;
                if (t && random->at[n].size) {
                    bool done = wk_encode(&out, t, random->at[n].at, random->at[n].size);
                    if (golden_lacks_library())
                        continue;
                    CHECK(done);
                    CHECK_MSG(crc32_of(&out) == want, "%s: random text %zu: \"%s\"", name, n,
                              random->at[n].at);
                }
            }
        }
    if (t && !strstr(name, "gpt-2-"))
        check_shared_ids(name, t);
    wk_tokens_free(&out);
    wk_tokenizer_free(t);
    wk_free(head);
}

TEST(real_vocabularies_give_the_ids_of_the_reference)
{
    char    path[1024];
    strings random = { 0 };
    wk_json j;
    wk_str  key;
    if (!test_shared("tokenizers/gpt-2.gguf", path))
        return;
    wk_file *f = golden_open("real.json", &j);
    for (wk_json_object(&j); wk_json_key(&j, &key);)
        if (wk_str_is(key, "texts")) {
            strings_read(&random, &j);
        } else {
            for (wk_json_object(&j); wk_json_key(&j, &key);) {
                char name[64];
                snprintf(name, sizeof name, "%.*s", (int)key.size, key.at);
                check_real(name, &j, &random);
            }
        }
    golden_close(f, &j);
    strings_free(&random);
}
