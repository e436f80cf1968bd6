// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_json.c - what RFC 8259 allows and what it does not, numbers, places of errors. */
#include "test.h"

#include "../src/base/base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Accepted and refused ----------------------------------------------- */

static bool accepts(const char *text, size_t size)
{
    /* In memory of just that size, so that reading on would be seen. */
    char *copy = malloc(size ? size : 1);
    memcpy(copy, text, size);
    wk_json j;
    wk_json_open(&j, "test.json", copy, size);
    wk_json_skip(&j);
    bool good = wk_json_close(&j);
    if (!good) {
        CHECK_INT(wk_error(), WK_ERR_FORMAT);
        CHECK_MSG(strstr(wk_message(), "test.json"), "no file in: %s", wk_message());
    }
    wk_clear();
    free(copy);
    return good;
}

TEST(json_that_is_allowed)
{
    static const char *const good[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "1.5",
        "0.5",
        "1e5",
        "1E5",
        "1e+5",
        "1e-5",
        "-0.0e-0",
        "1e400",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\"",
        "[]",
        "{}",
        " [ ] ",
        "\t\r\n{ \n } ",
        "[1]",
        "[1,2]",
        "[ 1 , 2 ]",
        "[[],[[]]]",
        "{\"a\":1}",
        "{\"a\":1,\"a\":2}",
        "{ \"\" : null }",
        "{\"a\":{\"b\":[{}]}}",
        "[null,true,false,0,\"\"]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0041\\u00e9\\u20AC\"",
        "\"\\u0000\"",
        "\"\\uD83D\\uDE00\"",
        "\"\\uDBFF\\uDFFF\"",
        "\"\\ud800\\udc00x\"",
        "\"\x7F\"",
        "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
        "\"\xEF\xBF\xBF\"",
        "\"\xE2\x80\xA8\"",
        "\"/\"",
        "[1\n]",
    };
    for (size_t i = 0; i < WK_COUNT(good); i++)
        CHECK_MSG(accepts(good[i], strlen(good[i])), "refused: %s", good[i]);
}

/* clang-format off */
static const char *const bad[] = {
    "", " ", "nul", "nulll", "True", "TRUE", "tru", "falsey", "NaN", "Infinity", "-Infinity",
    "undefined", "'a'", "a", "+1", "01", "-01", "00", "-", "1.", ".5", "-.5", "1.e5", "1e", "1e+",
    "1e5.5", "0x10", "1_000", "1,5", "1 2", "--1", "1-", "0e", "1eE5", "[", "]", "{", "}", "[1",
    "[1,", "[,1]", "[1,]", "[1,,2]", "[1 2]", "[1}", "{1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
    "{,}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "{\"a\":1", "{\"a\":1]", "{a:1}", "{'a':1}", "{1:1}",
    "{null:1}", "{\"a\"::1}", "{\"a\":1,,\"b\":2}", "[1]]", "{}}", "[] []", "[],", "{} x",
    "//x\n1", "/**/1", "[1/**/]", "#", "\"", "\"a", "\"\\\"", "\"\\", "\"\\x41\"", "\"\\a\"",
    "\"\\'\"", "\"\\u\"", "\"\\u1\"", "\"\\u12\"", "\"\\u123\"", "\"\\u123g\"", "\"\\u 123\"",
    "\"\\U0041\"", "\"\\uD800\"", "\"\\uD800x\"", "\"\\uDC00\"", "\"\\uD800\\uD800\"",
    "\"\\uD800\\u0041\"", "\"\\uDC00\\uD800\"", "\"\\uD800\\n\"", "\"\\uD800\\u\"", "\"\\uD800\\",
    "\"\n\"", "\"\t\"", "\"\x01\"", "\"\x1F\"", "\xEF\xBB\xBF[]", "\xFE\xFF", "\"\xFF\"",
    "\"\xC3\"", "\"\xC0\x80\"", "\"\xE2\x82\"", "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"",
    "\"\xF8\x88\x80\x80\x80\"", "\xE9", "[\"a\xE9\"]", "\f1", "\v[]", "[\xC2\xA0]",
    "\xE2\x80\xA8[]", "[1;2]", "{\"a\";1}", "(1)", "<1>", "*", "\\u0031",
};
/* clang-format on */

TEST(json_that_is_not_allowed)
{
    for (size_t i = 0; i < WK_COUNT(bad); i++)
        CHECK_MSG(!accepts(bad[i], strlen(bad[i])), "accepted: %s", bad[i]);
    CHECK(!accepts("1\0", 2));
    CHECK(!accepts("\0", 1));
    CHECK(!accepts("[\0]", 3));
    CHECK(!accepts("\"a\0b\"", 5));
    CHECK(!accepts("nu\0ll", 6));
}

/* Every beginning of a text is no text, and no flipped bit does harm. */
TEST(damaged_json_does_no_harm)
{
    char text[] = "{\"a\": [1.5e-3, true, null, \"x\\u00e9\\ud83d\\ude00\\n\xC3\xA9\"], \"b\": {}}";
    size_t n = sizeof text - 1;
    CHECK(accepts(text, n));
    for (size_t size = 0; size < n; size++)
        CHECK_MSG(!accepts(text, size), "accepted %d bytes", (int)size);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        accepts(text, n);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
}

static bool nested(int depth, const char *open, const char *close)
{
    wk_buf b = { 0 };
    for (int i = 0; i < depth; i++)
        wk_buf_str(&b, wk_str_of(open));
    wk_buf_char(&b, '1');
    for (int i = 0; i < depth; i++)
        wk_buf_str(&b, wk_str_of(close));
    bool good = accepts(b.data, b.size);
    wk_buf_free(&b);
    return good;
}

TEST(nesting_has_a_limit)
{
    CHECK(nested(512, "[", "]"));
    CHECK(!nested(513, "[", "]"));
    CHECK(nested(512, "{\"a\":", "}"));
    CHECK(!nested(513, "{\"a\":", "}"));
    CHECK(nested(256, "[{\"\":", "}]"));
    CHECK(!nested(100000, "[", "]"));
    CHECK(!nested(100000, "{\"a\":", ""));
}

/* ---- Values ------------------------------------------------------------- */

static wk_json open_text(const char *text)
{
    wk_json j;
    wk_json_open(&j, "test.json", text, strlen(text));
    return j;
}

TEST(strings_are_unescaped)
{
    static const char *const cases[][2] = {
        { "\"plain\"", "plain" },
        { "\"\\u0041\\u00E9\\u20ac\"", "A\xC3\xA9\xE2\x82\xAC" },
        { "\"\\uD83D\\uDE00!\"", "\xF0\x9F\x98\x80!" },
        { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
        { "\"a\\nb\\nc\"", "a\nb\nc" },
        { "\"\xC3\xA9\\n\"", "\xC3\xA9\n" },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        wk_json j = open_text(cases[i][0]);
        wk_str  s = wk_json_string(&j);
        CHECK_MSG(wk_str_is(s, cases[i][1]), "%s gives %.*s", cases[i][0], (int)s.size, s.at);
        CHECK(wk_json_close(&j));
    }
    wk_json j = open_text("\"a\\u0000b\"");
    CHECK(wk_str_eq(wk_json_string(&j), (wk_str){ "a\0b", 3 }));
    CHECK(wk_json_close(&j));
}

TEST(integers_are_exact_or_refused)
{
    static const struct {
        const char *text;
        int64_t     value;
        const char *error;
    } cases[] = {
        { "0", 0, NULL },
        { "-0", 0, NULL },
        { "9223372036854775807", INT64_MAX, NULL },
        { "-9223372036854775808", INT64_MIN, NULL },
        { "9223372036854775808", 0, "an integer out of range" },
        { "-9223372036854775809", 0, "an integer out of range" },
        { "99999999999999999999999", 0, "an integer out of range" },
        { "4096.0", 4096, NULL },
        { "1e3", 1000, NULL },
        { "-25e-1", 0, "expected an integer" },
        { "0.5", 0, "expected an integer" },
        { "1e300", 0, "expected an integer" },
        { "1e400", 0, "expected an integer" },
        { "9007199254740993.0", INT64_C(9007199254740992), NULL }, /* 2^53: still a double */
        { "\"1\"", 0, "expected a number" },
        { "true", 0, "expected a number" },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        wk_json j = open_text(cases[i].text);
        int64_t x = wk_json_int(&j);
        bool    good = wk_json_close(&j);
        CHECK_MSG(x == cases[i].value && good == !cases[i].error, "%s gives %lld", cases[i].text,
                  (long long)x);
        if (cases[i].error)
            CHECK_ERROR(cases[i].error);
    }
}

static double written_and_read(double x)
{
    wk_buf         b = { 0 };
    wk_json_writer w = { .out = &b };
    wk_json_put_number(&w, x);
    wk_json j;
    wk_json_open(&j, "test.json", b.data, b.size);
    double y = wk_json_number(&j);
    CHECK_MSG(wk_json_close(&j) && strtod(b.data, NULL) == x, "%a is written %s", x, b.data);
    wk_clear();
    wk_buf_free(&b);
    return y;
}

TEST(numbers_come_back_as_they_were)
{
    static const double cases[] = { 0,     -0.0,         1,      0.1,       1.0 / 3,
                                    1e21,  1e22,         5e-324, 0x1p-1022, 0x1.fffffffffffffp1023,
                                    -1e-7, 123456789.125 };
    uint64_t            random = 88172645463325252u;
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        double y = written_and_read(cases[i]);
        CHECK_MSG(!memcmp(&y, &cases[i], sizeof y), "%a comes back as %a", cases[i], y);
    }
    for (int i = 0; i < 20000; i++) {
        double x, y;
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        memcpy(&x, &random, sizeof x);
        if (!isfinite(x))
            continue;
        y = written_and_read(x);
        if (memcmp(&y, &x, sizeof y))
            CHECK_MSG(false, "%a comes back as %a", x, y);
    }
    wk_json j = open_text("1e400");
    wk_json_number(&j);
    wk_json_close(&j);
    CHECK_ERROR("test.json:1:6: a number out of range");
    j = open_text("2.2250738585072014e-308");
    CHECK(wk_json_number(&j) == 0x1p-1022);
    CHECK(wk_json_close(&j));
}

/* Longer than any number needs to be: refused, not cut. */
TEST(numbers_have_a_limit)
{
    char text[1000];
    memset(text, '1', sizeof text);
    text[400] = '\0';
    CHECK(accepts(text, strlen(text)));
    text[400] = '1';
    text[999] = '\0';
    CHECK(!accepts(text, strlen(text)));
}

TEST(the_reader_walks_in_order)
{
    wk_json j = open_text(" { \"a\" : [ 1 , [ ] , { } , null ] , \"b\\n\" : \"x\" } ");
    wk_str  key;
    CHECK_INT(wk_json_peek(&j), WK_JSON_OBJECT);
    CHECK(wk_json_object(&j));
    CHECK(wk_json_key(&j, &key) && wk_str_is(key, "a"));
    CHECK_INT(wk_json_peek(&j), WK_JSON_ARRAY);
    CHECK(wk_json_array(&j));
    CHECK(wk_json_item(&j) && !wk_json_null(&j) && wk_json_int(&j) == 1);
    CHECK(wk_json_item(&j) && wk_json_array(&j) && !wk_json_item(&j));
    CHECK(wk_json_item(&j) && wk_json_object(&j) && !wk_json_key(&j, &key));
    CHECK(wk_json_item(&j) && wk_json_null(&j));
    CHECK(!wk_json_item(&j) && wk_ok());
    CHECK(wk_json_key(&j, &key) && wk_str_is(key, "b\n"));
    CHECK(wk_str_is(wk_json_string(&j), "x"));
    CHECK(!wk_json_key(&j, &key));
    CHECK(wk_json_close(&j));
}

/* ---- Errors ------------------------------------------------------------- */

TEST(values_can_be_taken_as_they_stand)
{
    static const char text[] = "{\"a\":  {\"b\" : [1, \"x\\n\"]} , \"c\":1.50, \"d\": \"e f\"}";
    static const char *const raw[] = { "{\"b\" : [1, \"x\\n\"]}", "1.50", "\"e f\"" };
    wk_json                  j;
    wk_str                   key;
    int                      n = 0;
    wk_json_open(&j, "test.json", text, sizeof text - 1);
    for (wk_json_object(&j); wk_json_key(&j, &key); n++)
        CHECK(wk_str_is(wk_json_raw(&j), raw[n % 3]));
    CHECK(wk_json_close(&j) && n == 3);
}

TEST(errors_name_file_line_and_column)
{
    static const char *const cases[][2] = {
        { "{\"a\": 1,\n \"b\" 2}", "test.json:2:6: expected ':'" },
        { "[1,\n2,\n3;4]", "test.json:3:2: expected ',' or ']'" },
        { "[1, 2", "test.json:1:6: expected ',' or ']'" },
        { "{\"a\": tru}", "test.json:1:7: expected true or false" },
        { "\n\n\"ab\tc\"", "test.json:3:4: control character in a string" },
        { "\"abc", "test.json:1:5: a string does not end" },
        { "[\"\\q\"]", "test.json:1:5: invalid escape in a string" },
        { "[01]", "test.json:1:2: expected a number" },
        { "{}\n{}", "test.json:2:1: text after the end of the JSON value" },
        { "[", "test.json:1:2: expected a value" },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        wk_json j = open_text(cases[i][0]);
        wk_json_skip(&j);
        wk_json_close(&j);
        CHECK_STR(wk_message(), cases[i][1]);
        wk_clear();
    }
    wk_json j = open_text("{\"a\": 5}");
    wk_str  key;
    CHECK(wk_json_object(&j) && wk_json_key(&j, &key));
    wk_json_string(&j);
    CHECK_INT(wk_json_peek(&j), WK_JSON_NOTHING); /* after an error nothing goes on */
    CHECK(!wk_json_key(&j, &key) && !wk_json_item(&j) && !wk_json_null(&j));
    CHECK_INT(wk_json_int(&j), 0);
    wk_json_skip(&j);
    wk_json_close(&j);
    CHECK_ERROR("test.json:1:7: expected a string");
    wk_json_open(&j, "test.json", "\"\xFF\"", 3);
    wk_json_close(&j);
    CHECK_ERROR("test.json: not UTF-8 text");
}

/* ---- Writing ------------------------------------------------------------ */

static void write_all(wk_json_writer *w)
{
    wk_json_begin(w, '{');
    wk_json_put_key(w, "a\"b");
    wk_json_begin(w, '[');
    wk_json_put_int(w, INT64_MIN);
    wk_json_put_number(w, 0.1);
    wk_json_put_number(w, HUGE_VAL);
    wk_json_put_bool(w, true);
    wk_json_put_null(w);
    wk_json_end(w, ']');
    wk_json_put_key(w, "none");
    wk_json_begin(w, '{');
    wk_json_end(w, '}');
    wk_json_put_key(w, "text");
    wk_json_put_str(w, (wk_str){ "\n\x01\x7F\\/\xC3\xA9\0\xFF", 9 });
    wk_json_end(w, '}');
}

TEST(what_is_written)
{
    wk_buf         b = { 0 };
    wk_json_writer line = { .out = &b }, lines = { .out = &b, .indent = 2 };
    write_all(&line);
    CHECK_STR(b.data, "{\"a\\\"b\": [-9223372036854775808, 0.1, null, true, null], \"none\": {}, "
                      "\"text\": \"\\n\\u0001\\u007f\\\\/\xC3\xA9\\u0000\xEF\xBF\xBD\"}");
    CHECK(accepts(b.data, b.size));
    wk_buf_clear(&b);
    write_all(&lines);
    CHECK_STR(b.data, "{\n  \"a\\\"b\": [\n    -9223372036854775808,\n    0.1,\n    null,\n"
                      "    true,\n    null\n  ],\n  \"none\": {},\n"
                      "  \"text\": \"\\n\\u0001\\u007f\\\\/\xC3\xA9\\u0000\xEF\xBF\xBD\"\n}");
    CHECK(accepts(b.data, b.size));
    wk_buf_free(&b);
}
