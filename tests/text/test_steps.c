// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_steps.c - each normalizer, pre-tokenizer and decoder alone, against what the
 * reference makes of the same texts (tests/golden/make_tokenizer.py). */
#include "golden.h"
#include "test.h"

#include <stdlib.h>

#define LEVELS "{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"?\":0}}"

typedef struct {
    strings texts, short_texts, outputs, tokens[40];
    size_t  lists;
} steps;

typedef void (*check_fn)(const steps *s, const char *spec, const int32_t *want, size_t count);

/* Where the reference gave nothing the number is -1. */
static wk_str output(const steps *s, int32_t number)
{
    return number < 0 ? (wk_str){ 0 } : s->outputs.at[number];
}

static void read_rows(const steps *s, wk_json *j, check_fn check)
{
    wk_str key;
    for (wk_json_array(j); wk_json_item(j);) {
        char   *spec = NULL;
        int32_t want[100];
        size_t  count = 0;
        for (wk_json_object(j); wk_json_key(j, &key);)
            if (wk_str_is(key, "spec"))
                spec = json_text(j);
            else
                count = ints_read(j, want, WK_COUNT(want));
        if (wk_ok())
            check(s, spec, want, count);
        wk_free(spec);
    }
}

/* The strings come last in the file: they are read in a first pass. */
static void with_steps(const char *section, check_fn check)
{
    steps  s = { 0 };
    wk_str key;
    for (int pass = 0; pass < 2; pass++) {
        wk_json  j;
        wk_file *f = golden_open("steps.json", &j);
        for (wk_json_object(&j); wk_json_key(&j, &key);)
            if (pass == 0 && wk_str_is(key, "texts"))
                strings_read(&s.texts, &j);
            else if (pass == 0 && wk_str_is(key, "short"))
                strings_read(&s.short_texts, &j);
            else if (pass == 0 && wk_str_is(key, "strings"))
                strings_read(&s.outputs, &j);
            else if (pass == 0 && wk_str_is(key, "tokens"))
                for (wk_json_array(&j); wk_json_item(&j);)
                    strings_read(&s.tokens[s.lists++], &j);
            else if (pass == 1 && wk_str_is(key, section))
                read_rows(&s, &j, check);
            else
                wk_json_skip(&j);
        golden_close(f, &j);
    }
    strings_free(&s.texts);
    strings_free(&s.short_texts);
    strings_free(&s.outputs);
    for (size_t i = 0; i < s.lists; i++)
        strings_free(&s.tokens[i]);
}

/* ---- Normalizers -------------------------------------------------------- */

static void check_normalizer(const steps *s, const char *spec, const int32_t *want, size_t count)
{
    wk_tokenizer *t = parse_text("{\"model\":" LEVELS ",\"normalizer\":%s}", spec);
    wk_text_work  work = { 0 };
    wk_buf        buf[2] = { { 0 } };
    for (size_t i = 0; t && i < count; i++) {
        wk_str got = wk_text_normalize(&t->normalizers, &work, buf, s->texts.at[i]);
        if (golden_lacks_library())
            continue;
        CHECK_MSG(wk_ok() && wk_str_eq(got, output(s, want[i])),
                  "%s: \"%s\": \"%.*s\" is not \"%s\"", spec, s->texts.at[i].at, (int)got.size,
                  got.at, output(s, want[i]).at);
    }
    CHECK_MSG(t || golden_lacks_library(), "%s", spec);
    wk_text_work_free(&work);
    wk_buf_free(&buf[0]);
    wk_buf_free(&buf[1]);
    wk_tokenizer_free(t);
}

TEST(normalizers_do_what_the_reference_does) { with_steps("normalizers", check_normalizer); }

/* ---- Pre-tokenizers ----------------------------------------------------- */

static wk_buf words;

/* A model that writes down what it gets.  It gives more ids than the word cache keeps,
 * so that it sees each word. */
static bool record(wk_encoder *e, wk_str word)
{
    if (words.size)
        wk_buf_str(&words, WK_STR("\xE2\x90\x9F"));
    wk_buf_str(&words, word);
    for (int i = 0; i <= WK_WORD_CACHE_IDS; i++)
        wk_tokens_add(e->out, 0);
    return wk_ok();
}

static void check_pre_tokenizer(const steps *s, const char *spec, const int32_t *want, size_t count)
{
    static const wk_model_kind recorder = { "recorder", NULL, record };
    wk_tokenizer              *t = parse_text("{\"model\":" LEVELS ",\"pre_tokenizer\":%s}", spec);
    wk_tokens                  tokens = { 0 };
    if (t)
        t->model.kind = &recorder;
    for (size_t i = 0; t && i < count; i++) {
        wk_buf_clear(&words);
        wk_encode(&tokens, t, s->short_texts.at[i].at, s->short_texts.at[i].size);
        CHECK_MSG(wk_ok() && wk_str_eq(wk_buf_view(&words), output(s, want[i])),
                  "%s: \"%s\": \"%s\" is not \"%s\"", spec, s->short_texts.at[i].at,
                  wk_buf_view(&words).at, output(s, want[i]).at);
    }
    CHECK_MSG(t || golden_lacks_library(), "%s", spec);
    wk_tokens_free(&tokens);
    wk_tokenizer_free(t);
}

TEST(pre_tokenizers_do_what_the_reference_does)
{
    with_steps("pre_tokenizers", check_pre_tokenizer);
    wk_buf_free(&words);
}

/* ---- Decoders ----------------------------------------------------------- */

/* A tokenizer whose ids are the tokens of a list. */
static wk_tokenizer *of_tokens(const strings *tokens, const char *decoder, wk_tokens *ids)
{
    wk_buf         b = { 0 };
    wk_json_writer w = { .out = &b };
    wk_map         seen = { 0 };
    wk_json_begin(&w, '{');
    for (size_t i = 0; i < tokens->count; i++) {
        int64_t id = (int64_t)seen.count;
        wk_str  token = tokens->at[i];
        if (!wk_map_get(&seen, token, &id)) {
            wk_map_put(&seen, token, id);
            wk_json_put_key(&w, token.at);
            wk_json_put_int(&w, id);
        }
        wk_tokens_add(ids, (int32_t)id);
    }
    wk_json_end(&w, '}');
    wk_tokenizer *t =
        parse_text("{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":%s}"
                   ",\"decoder\":%s}",
                   b.data, decoder);
    wk_map_free(&seen);
    wk_buf_free(&b);
    return t;
}

static void check_decoder(const steps *s, const char *spec, const int32_t *want, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        wk_tokens     ids = { 0 };
        wk_tokenizer *t = of_tokens(&s->tokens[i], spec, &ids);
        char         *text = t ? wk_decode(t, ids.id, ids.count, true) : NULL;
        wk_str        wanted = output(s, want[i]);
        if (!golden_lacks_library() && CHECK_MSG(text, "%s", spec) && wanted.at)
            CHECK_MSG(!strcmp(text, wanted.at), "%s: list %zu: \"%s\" is not \"%s\"", spec, i, text,
                      wanted.at);
        free(text);
        wk_tokens_free(&ids);
        wk_tokenizer_free(t);
    }
}

TEST(decoders_do_what_the_reference_does) { with_steps("decoders", check_decoder); }

/* ---- Refusals ----------------------------------------------------------- */

TEST(what_is_not_understood_is_named)
{
    static const char *const bad[][2] = {
        { "\"normalizer\":{\"type\":\"Odd\"}", "normalizer of type \"Odd\"" },
        { "\"normalizer\":{\"type\":\"Precompiled\"}", "\"precompiled_charsmap\" is missing" },
        { "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AA*A\"}",
          "normalizer Precompiled: not base64" },
        { "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"CAAAAA==\"}",
          "its trie of 8 bytes does not fit 4 bytes" },
        { "\"normalizer\":{\"type\":\"NFC\",\"form\":1}",
          "normalizer NFC: unknown option \"form\"" },
        { "\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true}", "\"strip_right\" is missing" },
        { "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Glob\":\"*\"},\"content\":\"\"}",
          "a pattern is a String or a Regex" },
        { "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}",
          "normalizer Replace: an empty pattern" },
        { "\"normalizer\":{}", "normalizer of type \"\"" },
        { "\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}",
          "pre_tokenizer of type \"UnicodeScripts\"" },
        { "\"pre_tokenizer\":{\"type\":\"Punctuation\",\"behavior\":\"Odd\"}", "choice \"Odd\"" },
        { "\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0}", "at least 1" },
        { "\"pre_tokenizer\":{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"ab\"}",
          "one character" },
        { "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":"
          "false}",
          "contradicts" },
        { "\"decoder\":{\"type\":\"CTC\"}", "decoder of type \"CTC\"" },
        { "\"post_processor\":{\"type\":\"Odd\"}", "post_processor of type \"Odd\"" },
        { "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":"
          "\"B\"}}]}",
          "has the text A alone" },
        { "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"x\",7],\"sep\":[\"y\",8]}",
          "id 7, but there are 1" },
        { "\"version\":\"2.0\"", "version 1.0" },
        { "\"charm\":1", "unknown section \"charm\"" },
        { "\"added_tokens\":[{\"id\":0}]", "\"content\" is missing" },
    };
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        CHECK(parse_text("{\"model\":" LEVELS ",%s}", bad[i][0]) == NULL);
        CHECK_MSG(strstr(wk_message(), "test.json"), "%s does not name the file", wk_message());
        CHECK_ERROR(bad[i][1]);
    }
}

TEST(models_that_are_not_understood_are_named)
{
    static const char *const bad[][2] = {
        { "{\"type\":\"Unigram\",\"vocab\":[]}", "each piece must have a score" },
        { "{\"type\":\"Unigram\",\"vocab\":{\"a\":0}}", "each piece must have a score" },
        { "{\"vocab\":[[\"a\",0.5]],\"vocab\":[]}", "a second \"vocab\"" },
        { "{\"vocab\":[[\"a\"]]}", "a row must be a piece and its score" },
        { "{\"vocab\":[[\"a\",-1e99]]}", "piece 0 has the score -1e+99" },
        { "{\"vocab\":[[\"a\",0.5]],\"unk_id\":1}", "unk_id 1 is not in the vocabulary" },
        { "{\"type\":\"BPE\",\"vocab\":{}}", "\"merges\" is missing" },
        { "{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{},\"merges\":[]}",
          "dropout is not supported" },
        { "{\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}",
          "\"aa\" of a merge is not in the vocabulary" },
        { "{\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}", "\"b\" of a merge" },
        { "{\"vocab\":{\"a\":0},\"merges\":[\"a\"]}", "two pieces with a blank" },
        { "{\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}", "two pieces with a blank" },
        { "{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}", "two pieces" },
        { "{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}", "that of another piece" },
        { "{\"vocab\":{\"a\":-1},\"merges\":[]}", "not from 0" },
        { "{\"vocab\":{\"a\":99999999},\"merges\":[]}", "too large" },
        { "{\"vocab\":{\"a\":0},\"shape\":1}", "unknown option \"shape\"" },
        { "{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}", "\"unk_token\" is missing" },
    };
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        CHECK(parse_text("{\"model\":%s}", bad[i][0]) == NULL);
        CHECK_ERROR(bad[i][1]);
    }
    CHECK(parse_text("{}") == NULL);
    CHECK_ERROR("test.json: \"model\" is missing");
    CHECK(wk_tokenizer_open("/nowhere/tokenizer.json") == NULL);
    CHECK_ERROR("/nowhere/tokenizer.json");
}
