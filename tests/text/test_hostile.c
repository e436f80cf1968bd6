// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_hostile.c - tokenizer.json files that are damaged, or made to do harm: an error
 * that names the file, in a short time and little memory, or a tokenizer that works. */
#include "golden.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#define LEVELS "{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"?\":0}}"
#define BYTES  "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}"

/* Whatever was accepted must encode and decode. */
static void use(wk_tokenizer *t, const char *text)
{
    wk_tokens ids = { 0 };
    if (t)
        wk_encode(&ids, t, text);
    wk_clear(); /* a word that is not known can be an error */
    for (size_t i = 0; i < ids.count; i++)
        CHECK(ids.id[i] >= 0 && ids.id[i] < wk_tokenizer_size(t));
    free(t ? wk_decode(t, ids.id, ids.count, true) : NULL);
    wk_clear();
    wk_tokens_free(&ids);
    wk_tokenizer_free(t);
}

static wk_tokenizer *parse(const char *text, size_t size)
{
    long          before = wk_live_allocs();
    wk_tokenizer *t = wk_tokenizer_parse("test.json", text, size);
    if (!t) {
        CHECK_MSG(strstr(wk_message(), "test.json"), "no file in: %s", wk_message());
        CHECK_INT(wk_live_allocs(), before);
        wk_clear();
    }
    CHECK(wk_ok());
    return t;
}

TEST(damaged_tokenizers_do_no_harm)
{
    static const char *const names[] = { "levels", "metaspace", "bert" };
    for (size_t k = 0; k < WK_COUNT(names); k++) {
        char path[100];
        snprintf(path, sizeof path, "tests/golden/tokenizer/%s.json", names[k]);
        wk_file *f = wk_file_open(path);
        char    *copy = malloc(f->size);
        memcpy(copy, f->data, f->size);
        size_t text = f->size;
        while (copy[text - 1] != '}') /* white space at the end is not missed */
            text--;
        for (size_t n = 0; n < text; n++)
            CHECK_MSG(parse(copy, n) == NULL, "%s: accepted %zu of %zu bytes", path, n, text);
        for (size_t bit = 0; bit < 8 * text; bit += k ? 5 : 1) {
            copy[bit / 8] ^= (char)(1 << bit % 8);
            use(parse(copy, f->size), "Hello 12 \xC3\xA9\n");
            copy[bit / 8] ^= (char)(1 << bit % 8);
        }
        free(copy);
        wk_file_release(f);
    }
}

static void refused(const char *error, const char *text)
{
    CHECK_MSG(wk_tokenizer_parse("test.json", text, strlen(text)) == NULL, "accepted: %.200s",
              text);
    CHECK_MSG(strstr(wk_message(), "test.json"), "no file in: %s", wk_message());
    CHECK_ERROR(error);
}

TEST(tokenizers_that_lie)
{
    refused("expected an object", "[]");
    refused("a string does not end", "{\"model");
    refused("is missing", "{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}");
    refused("too large", "{\"model\":{\"vocab\":{\"a\":16777215},\"merges\":[]}}");
    refused("out of range", "{\"model\":{\"vocab\":{\"a\":99999999999999999999},\"merges\":[]}}");
    refused("that of another", "{\"model\":{\"vocab\":{\"a\":1,\"b\":1},\"merges\":[]}}");
    refused("expected an integer", "{\"model\":{\"vocab\":{\"a\":0.5},\"merges\":[]}}");
    refused("expected a number", "{\"model\":{\"vocab\":{\"a\":\"0\"},\"merges\":[]}}");
    refused("\"c\" of a merge", "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"c\"]]}}");
    refused("expected an array", "{\"model\":{\"vocab\":{\"a\":0},\"merges\":{}}}");
    refused("a second \"model\"", "{\"model\":" LEVELS ",\"model\":" LEVELS "}");
    refused("expected a string", "{\"model\":" LEVELS ",\"added_tokens\":[{\"content\":5}]}");
    refused("expected an object", "{\"model\":" LEVELS ",\"added_tokens\":[1]}");
    /* What was read of a model whose type never comes is given back. */
    refused("expected ',' or '}'", "{\"model\":{\"continuing_subword_prefix\":\"\",\"vocab\":"
                                   "{\"a\":0,\"aa\":1},\"merges\":[\"a a\"]");
    refused("more than 64", "{\"model\":" LEVELS ",\"normalizer\":{\"type\":\"Sequence\","
                            "\"normalizers\":[" /* 65 of them */
#define NFC5                                                                                       \
    "{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":"       \
    "\"NFC\"}"
            NFC5 "," NFC5 "," NFC5 "," NFC5 "," NFC5 "," NFC5 "," NFC5 "," NFC5 "," NFC5 "," NFC5
                            "," NFC5 "," NFC5 "," NFC5 "]}}");
}

TEST(empty_and_equal_added_tokens)
{
    wk_tokenizer *t =
        parse_text("{\"model\":" LEVELS ",\"added_tokens\":[{\"content\":\"\"},{\"id\":-7,"
                   "\"content\":\"<x>\"},{\"id\":2147483648,\"content\":\"<y>\"},{\"id\":1,"
                   "\"content\":\"<x>\",\"special\":true}]}");
    wk_tokens ids = { 0 };
    CHECK(wk_encode(&ids, t, "<x><y>"));
    CHECK(same_ids(&ids, (int32_t[]){ 1, 2 }, 2));
    CHECK_INT(wk_tokenizer_size(t), 3);
    wk_tokens_free(&ids);
    wk_tokenizer_free(t);
}

/* The first word has no ids at all, and there is nothing to copy. */
TEST(words_without_ids)
{
    wk_tokenizer *t = parse_text("{\"model\":" BYTES "}");
    wk_tokens     ids = { 0 };
    CHECK(wk_encode(&ids, t, "z"));
    CHECK(wk_encode(&ids, t, "z"));
    CHECK_INT(ids.count, 0);
    CHECK(wk_encode(&ids, t, "azb"));
    CHECK(same_ids(&ids, (int32_t[]){ 0, 1 }, 2));
    wk_tokens_free(&ids);
    wk_tokenizer_free(t);
}

static wk_buf repeat(const char *front, const char *part, int count, const char *back)
{
    wk_buf b = { 0 };
    wk_buf_str(&b, wk_str_of(front));
    for (int i = 0; i < count; i++)
        wk_buf_str(&b, wk_str_of(part));
    wk_buf_str(&b, wk_str_of(back));
    return b;
}

static void refused_when_deep(const char *front, const char *part)
{
    wk_buf b = repeat(front, part, 100000, "");
    CHECK(parse(b.data, b.size) == NULL);
    wk_buf_free(&b);
}

TEST(deep_nesting_is_an_error)
{
    refused_when_deep("", "[");
    refused_when_deep("{\"model\":", "{\"vocab\":");
    refused_when_deep("{\"truncation\":", "[");
    refused_when_deep("{\"added_tokens\":", "[");
    refused_when_deep("{\"normalizer\":", "{\"type\":\"Sequence\",\"normalizers\":[");
    refused_when_deep("{\"post_processor\":", "{\"type\":\"Sequence\",\"processors\":[");
    refused_when_deep("{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"invert\":"
                      "false,\"pattern\":{\"Regex\":\"",
                      "(");
    refused_when_deep("{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"invert\":"
                      "false,\"pattern\":{\"Regex\":\"",
                      "[");
    static const char *const parts[] = { "(",      "[",   "(?i:", "(?=",
                                         "a{1,2}", "(?>", "[a&&", "\\\\p{L}" };
    for (size_t i = 0; i < WK_COUNT(parts); i++) {
        wk_buf b =
            repeat("{\"model\":" LEVELS ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":"
                   "\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":\"",
                   parts[i], 20000, "\"}}}");
        use(parse(b.data, b.size), "aaa");
        wk_buf_free(&b);
    }
}

/* Expressions that try all ways to match give up. */
TEST(catastrophic_expressions_give_up)
{
    static const char *const patterns[] = {
        "(a+)+$",          "(a|aa)+$", "(a|a)*b", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(?:a?){40}a{40}", "((a*)*)*b"
    };
    wk_buf text = repeat("", "a", 4000, "!");
    for (size_t i = 0; i < WK_COUNT(patterns); i++) {
        wk_tokenizer *t =
            parse_text("{\"model\":" BYTES ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":"
                       "\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":\"%s\"}}}",
                       patterns[i]);
        if (!t) {
            CHECK(golden_lacks_library() || wk_error() == WK_ERR_UNSUPPORTED);
            wk_clear();
            continue;
        }
        double    start = wk_now();
        wk_tokens ids = { 0 };
        wk_encode(&ids, t, text.data);
        if (!wk_ok()) {
            CHECK_MSG(strstr(wk_message(), "test.json"), "no file in: %s", wk_message());
            CHECK_INT(ids.count, 0);
        }
        wk_clear();
        CHECK_MSG(wk_now() - start < 20, "%s took %.1f s", patterns[i], wk_now() - start);
        wk_tokens_free(&ids);
        wk_tokenizer_free(t);
    }
    wk_buf_free(&text);
}

/* Steps that double a text, 60 times. */
TEST(texts_that_explode_are_stopped)
{
    static const struct {
        const char *section, *list, *step;
    } bombs[] = {
        { "normalizer", "normalizers",
          "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aa\"}" },
        { "normalizer", "normalizers", "{\"type\":\"ByteLevel\"}" },
        { "pre_tokenizer", "pretokenizers",
          "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}" },
        { "pre_tokenizer", "pretokenizers",
          "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":true}" },
        { "decoder", "decoders",
          "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aa\"}" },
    };
    for (size_t i = 0; i < WK_COUNT(bombs); i++) {
        wk_buf b = { 0 };
        wk_buf_printf(&b, "{\"model\":" BYTES ",\"%s\":{\"type\":\"Sequence\",\"%s\":[",
                      bombs[i].section, bombs[i].list);
        for (int k = 0; k < 60; k++)
            wk_buf_printf(&b, "%s%s", k ? "," : "", bombs[i].step);
        wk_buf_str(&b, WK_STR("]}}"));
        wk_tokenizer *t = parse(b.data, b.size);
        wk_tokens     ids = { 0 };
        double        start = wk_now();
        bool          encodes = t && wk_encode(&ids, t, "\xC3\xA9\xC3\xA9 a");
        char         *text = encodes ? wk_decode(t, ids.id, ids.count, true) : NULL;
        CHECK_MSG(t && !text, "%s number %zu made something", bombs[i].section, i);
        CHECK_ERROR("test.json: its steps make too much of a text");
        CHECK(wk_now() - start < 20);
        wk_tokens_free(&ids);
        wk_tokenizer_free(t);
        wk_buf_free(&b);
    }
}
