// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_gguf_vocab.c - tokenizers from the metadata of GGUF files: small ones against pipelines
 * of the reference (tests/golden/make_gguf_vocab.py), real ones against llama.cpp's test
 * strings in ../shared, and files that are wrong. */
#include "golden.h"
#include "test.h"

#include <wick/io.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY(name) "tokenizer.ggml." name

enum { MOST = 40 };

/* ---- Files made here ---------------------------------------------------- */

typedef struct { /* values of metadata */
    wk_gguf_value at[MOST];
    int           count;
} values;

/* Set or replace a value. */
static void set(values *v, wk_gguf_value x)
{
    int i = 0;
    while (i < v->count && strcmp(v->at[i].key, x.key))
        i++;
    v->at[i] = x;
    v->count += i == v->count;
}

static wk_tokenizer *build(const values *v)
{
    char path[1024];
    test_temporary("vocab.gguf", path);
    wk_gguf_save(path, .values = v->at, .value_count = v->count);
    wk_archive   *a = wk_archive_open(path);
    wk_tokenizer *t = wk_tokenizer_from_archive(a);
    wk_archive_free(a);
    return t;
}

static const char *const letters[] = { "<unk>", "<s>", "</s>",    "\u2581", "a",
                                       "b",     "ab",  "\u2581a", "<x>",    "<0x63>" }; /* c */
static const double      scores[] = { 0, 0, 0, -5, -6, -7, -1, -2, 0, 0 };
static const int64_t     types[] = { 2, 3, 3, 1, 1, 1, 1, 1, 4, 6 };

static values small(const char *model)
{
    values v = { 0 };
    int    n = (int)WK_COUNT(letters);
    set(&v, (wk_gguf_value){ KEY("model"), .text = model });
    set(&v, (wk_gguf_value){ KEY("tokens"), .count = n, .texts = letters });
    set(&v, (wk_gguf_value){ KEY("scores"), "f32", .count = n, .numbers = scores });
    set(&v, (wk_gguf_value){ KEY("token_type"), "i32", .count = n, .integers = types });
    return v;
}

static bool encodes(const wk_tokenizer *t, const char *text, const char *want)
{
    wk_tokens ids = { 0 };
    wk_buf    got = { 0 };
    wk_encode(&ids, t, text);
    for (size_t i = 0; i < ids.count; i++)
        wk_buf_printf(&got, "%s%d", i ? " " : "", (int)ids.id[i]);
    bool good =
        CHECK_MSG(wk_ok() && wk_str_is(wk_buf_view(&got), want), "\"%s\": %.*s is not %s (%s)",
                  text, (int)got.size, wk_buf_view(&got).at, want, wk_ok() ? "" : wk_message());
    wk_clear();
    wk_buf_free(&got);
    wk_tokens_free(&ids);
    return good;
}

static bool decodes(const wk_tokenizer *t, const int32_t *ids, size_t count, const char *want)
{
    char *text = wk_decode(t, ids, count, false);
    bool  good = CHECK_STR(text, want);
    free(text);
    return good;
}

TEST(gguf_pieces_are_joined_by_their_scores)
{
    values        v = small("llama");
    wk_tokenizer *t = build(&v);
    /* "ab" (-1) comes before "_a" (-2), and "_" and "ab" stay; "c" is a byte, "d" unknown */
    encodes(t, "ab", "1 3 6");
    encodes(t, "ba", "1 3 5 4");
    encodes(t, "aa", "1 7 4");
    encodes(t, "ac d", "1 7 9 3 0");
    encodes(t, "</s>a<x>b", "1 2 7 8 3 5"); /* each text between has a blank in front */
    decodes(t, (const int32_t[]){ 1, 7, 9, 3, 6, 2 }, 6, "ac ab");
    CHECK(wk_tokenizer_is_special(t, 1) && wk_tokenizer_is_special(t, 0));
    CHECK(!wk_tokenizer_is_special(t, 8) && !wk_tokenizer_is_special(t, 4));
    CHECK_INT(wk_tokenizer_size(t), WK_COUNT(letters));
    CHECK_INT(wk_tokenizer_find(t, "\u2581a"), 7);
    CHECK_STR(wk_tokenizer_piece(t, 9), "<0x63>");
    wk_tokenizer_free(t);

    set(&v, (wk_gguf_value){ KEY("add_space_prefix"), "bool", .integer = false });
    set(&v, (wk_gguf_value){ KEY("add_bos_token"), "bool", .integer = false });
    set(&v, (wk_gguf_value){ KEY("add_eos_token"), "bool", .integer = true });
    set(&v, (wk_gguf_value){ KEY("eos_token_id"), "u32", .integer = 8 });
    t = build(&v);
    encodes(t, "aa a", "4 4 7 8");
    wk_tokenizer_free(t);
}

/* Equal scores: the leftmost pair comes first, also in long words. */
TEST(gguf_equal_scores_join_from_the_left)
{
    static const char *const tokens[] = { "<unk>", "a", "aa" };
    static const double      equal[] = { 0, -1, -1 };
    values                   v = { 0 };
    set(&v, (wk_gguf_value){ KEY("model"), .text = "llama" });
    set(&v, (wk_gguf_value){ KEY("tokens"), .count = 3, .texts = tokens });
    set(&v, (wk_gguf_value){ KEY("scores"), "f32", .count = 3, .numbers = equal });
    set(&v, (wk_gguf_value){ KEY("add_space_prefix"), "bool", .integer = false });
    set(&v, (wk_gguf_value){ KEY("add_bos_token"), "bool", .integer = false });
    wk_tokenizer *t = build(&v);
    wk_tokens     ids = { 0 };
    char          text[102];
    memset(text, 'a', sizeof text);
    text[101] = '\0';
    encodes(t, "aaa", "2 1");
    CHECK(wk_encode(&ids, t, text));
    CHECK_INT(ids.count, 51);
    for (size_t i = 0; i < ids.count; i++)
        CHECK_INT(ids.id[i], i < 50 ? 2 : 1);
    wk_tokens_free(&ids);
    wk_tokenizer_free(t);
}

/* ---- Errors ------------------------------------------------------------- */

static void refused(const values *v, const char *what)
{
    long          before = wk_live_allocs();
    wk_tokenizer *t = build(v);
    CHECK_MSG(!t, "accepted, but not: %s", what);
    CHECK_MSG(wk_ok() || strstr(wk_message(), "vocab.gguf: "), "no file: %s", wk_message());
    CHECK_ERROR(what);
    wk_tokenizer_free(t);
    CHECK_INT(wk_live_allocs(), before);
}

TEST(gguf_vocabularies_that_are_wrong_are_refused)
{
    static const char *const twice[] = { "a", "b", "a" };
    static const char *const bytes[] = { "a", "\xFF", "c" };
    static const double      bad[] = { 0, NAN, 0, -5, -6, -7, -1, -2, 0, 0 };
    static const char *const merges[] = { "a b", "a c" };
    static const char *const apart[] = { "ab" };
    values                   v = { 0 };
    set(&v, (wk_gguf_value){ "general.name", .text = "none" });
    refused(&v, KEY("model: is missing"));
    v = small("rwkv");
    refused(&v, KEY("model \"rwkv\" is not supported"));
    v = small("plamo2");
    refused(&v, KEY("model \"plamo2\" is not supported"));

    v = (values){ 0 };
    set(&v, (wk_gguf_value){ KEY("model"), .text = "llama" });
    refused(&v, KEY("tokens: is missing"));
    set(&v, (wk_gguf_value){ KEY("tokens"), .count = 3, .texts = twice });
    refused(&v, KEY("tokens: \"a\" has the ids 0 and 2"));
    set(&v, (wk_gguf_value){ KEY("tokens"), .count = 3, .texts = bytes });
    refused(&v, KEY("tokens: that of id 1 is not UTF-8"));

    v = small("llama");
    set(&v, (wk_gguf_value){ KEY("scores"), "f32", .count = 10, .numbers = bad });
    refused(&v, KEY("scores: that of token 1 is nan"));
    v.at[2] = (wk_gguf_value){ "unused", .text = "" };
    refused(&v, KEY("scores: is missing"));

    v = small("gpt2");
    set(&v, (wk_gguf_value){ KEY("pre"), .text = "gpt-2" });
    refused(&v, KEY("merges: is missing"));
    set(&v, (wk_gguf_value){ KEY("merges"), .count = 2, .texts = merges });
    refused(&v, KEY("merges: \"c\" of a merge is not in the vocabulary"));
    set(&v, (wk_gguf_value){ KEY("merges"), .count = 1, .texts = apart });
    refused(&v, KEY("merges: number 0 is not two pieces"));
    set(&v, (wk_gguf_value){ KEY("merges"), .count = 1, .texts = merges });
    set(&v, (wk_gguf_value){ KEY("add_bos_token"), "bool", .integer = true });
    refused(&v, KEY("add_bos_token: there is no tokenizer.ggml.bos_token_id to add"));
    set(&v, (wk_gguf_value){ KEY("pre"), .text = "nobody" });
    refused(&v, KEY("pre: \"nobody\" is not known"));
    v = small("bert"); /* [UNK] would be 100 */
    refused(&v, KEY("unknown_token_id: is missing"));
}

TEST(gguf_charsmaps_that_are_wrong_do_no_harm)
{
    static int64_t map[400];
    values         v = small("t5");
    uint32_t       random = 1;
    for (int round = 0; round < 300; round++) {
        int64_t n = 1 + round % 400;
        for (int64_t i = 0; i < n; i++)
            map[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
        int64_t nodes = n > 8 ? (n - 8) / 8 * 4 : 0;
        for (int i = 0; i < 4 && i < n && round % 3; i++) /* a size that fits */
            map[i] = nodes >> 8 * i & 255;
        set(&v, (wk_gguf_value){ KEY("precompiled_charsmap"), "u8", .count = n, .integers = map });
        wk_tokenizer *t = build(&v);
        wk_tokens     ids = { 0 };
        CHECK_MSG(t || strstr(wk_message(), "Precompiled: its trie"), "%s", wk_message());
        wk_clear();
        for (int c = 1; t && c < 256; c++) {
            char text[] = { (char)c, (char)(c * 7), 'a', '\0' };
            wk_encode(&ids, t, text);
            CHECK(wk_ok());
        }
        wk_tokens_free(&ids);
        wk_tokenizer_free(t);
    }
}

/* ---- What the names of llama.cpp stand for ------------------------------ */

TEST(gguf_names_of_word_patterns_are_known)
{
    static const char *const names[] = {
        "default",      "gpt-2",
        "llama-bpe",    "llama3",
        "glm4",         "chatglm-bpe",
        "dbrx",         "qwen2",
        "qwen35",       "laguna",
        "ufakzeka",     "minicpm5",
        "gpt-4o",       "granite-embed-multi-97m",
        "tekken",       "tiny_aya",
        "deepseek-v3",  "spark2_5",
        "afmoe",        "youtu",
        "kimi-k2",      "bailingmoe",
        "seed-coder",   "exaone-moe",
        "jais-2",       "starcoder",
        "falcon",       "chameleon",
        "poro-chat",    "viking",
        "superbpe",     "deepseek-coder",
        "deepseek-llm", "gemma4",
        "sarvam-moe",   "whitespace",
        "stablelm2",    "smaug-bpe",
        "exaone4",      "command-r",
        "hunyuan",      "minimax-m2",
    };
    static char        text[256][4];
    static const char *tokens[256];
    for (int i = 0; i < 256; i++) {
        text[i][wk_utf8_put(text[i], wk_byte_to_char((uint8_t)i))] = '\0';
        tokens[i] = text[i];
    }
    const char *sample = "It's 1234567 \xE4\xB8\xAD\xE6\x96\x87 caf\xC3\xA9\n\n  x_y!";
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        values v = { 0 };
        set(&v, (wk_gguf_value){ KEY("model"), .text = "gpt2" });
        set(&v, (wk_gguf_value){ KEY("pre"), .text = names[i] });
        set(&v, (wk_gguf_value){ KEY("tokens"), .count = 256, .texts = tokens });
        set(&v, (wk_gguf_value){ KEY("merges"), .count = 0, .texts = tokens });
        set(&v, (wk_gguf_value){ KEY("add_bos_token"), "bool", .integer = false });
        wk_tokenizer *t = build(&v);
        if (golden_lacks_library())
            continue;
        wk_tokens ids = { 0 };
        CHECK_MSG(t && wk_encode(&ids, t, sample), "%s: %s", names[i], wk_message());
        wk_clear();
        const wk_pre *pre = wk_pre_find(wk_str_of(names[i]));
        if (t && pre && !(pre->flags & WK_PRE_CHARS)) { /* nothing is lost */
            CHECK_INT(ids.count, strlen(sample));
            decodes(t, ids.id, ids.count, sample);
        }
        wk_tokens_free(&ids);
        wk_tokenizer_free(t);
    }
}

/* ---- Real vocabularies -------------------------------------------------- */

/* The next text, up to the separator; the last one may be empty. */
static bool next_text(const char **p, const char *end, wk_str *text)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    const char       *q = *p;
    if (!q)
        return false;
    const char *stop = memmem(q, (size_t)(end - q), separator, sizeof separator - 1);
    *text = (wk_str){ q, (size_t)((stop ? stop : end) - q) };
    *p = stop ? stop + sizeof separator - 1 : NULL;
    return true;
}

static bool same_line(const wk_tokens *ids, const char **line, const char *end)
{
    bool   good = true;
    size_t n = 0;
    for (char *stop; *line < end && **line != '\n'; n++, *line = stop) {
        long want = strtol(*line, &stop, 10);
        if (stop == *line) /* blanks at the end */
            stop++, n--;
        else
            good &= n < ids->count && ids->id[n] == want;
    }
    ++*line;
    return good && n == ids->count;
}

static void check_real(const char *name)
{
    char path[1024], file[64];
    snprintf(file, sizeof file, "tokenizers/%s.gguf", name);
    if (!test_shared(file, path))
        return;
    wk_tokenizer *t = wk_tokenizer_open(path);
    snprintf(file, sizeof file, "tokenizers/%s.inp", name);
    wk_file *in = wk_file_open(test_shared(file, path));
    snprintf(file, sizeof file, "tokenizers/%s.out", name);
    wk_file    *out = wk_file_open(test_shared(file, path));
    wk_tokens   ids = { 0 };
    wk_str      text;
    int         n = 0, lacking = 0;
    bool        ready = CHECK_MSG(t && in && out, "%s: %s", name, wk_message());
    const char *p = ready ? in->data : NULL, *end = p ? p + in->size : NULL;
    const char *line = ready ? out->data : NULL, *last = line ? line + out->size : NULL;
    for (; next_text(&p, end, &text); n++) {
        char *copy = wk_str_copy(text);
        ids.count = 0;
        wk_encode(&ids, t, copy, .no_special = true);
        bool lacks = golden_lacks_library();
        bool same = same_line(&ids, &line, last);
        CHECK_MSG(same || lacks, "%s: text %d: other ids", name, n);
        lacking += lacks;
        wk_free(copy);
    }
    CHECK_INT(n, ready ? 47 : 0);
    CHECK(lacking <= 2); /* of bert, without utf8proc */
    wk_tokens_free(&ids);
    wk_file_release(in);
    wk_file_release(out);
    wk_tokenizer_free(t);
}

TEST(gguf_real_vocabularies_give_the_ids_of_llama_cpp)
{
    static const char *const names[] = { "bert-bge", "falcon", "gpt-2", "llama-spm", "phi-3" };
    for (size_t i = 0; i < WK_COUNT(names); i++)
        check_real(names[i]);
}
