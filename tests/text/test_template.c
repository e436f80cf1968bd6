// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_template.c - chat templates against Jinja2 (tests/golden/make_templates.py), what goes
 * wrong in them, and where the bytes of their output are from. */
#include "test.h"

#include "../src/text/template.h"

#include <stdio.h>
#include <stdlib.h>

enum { NOW = 1721995200 }; /* 2024-07-26, noon */

static wk_file *golden(const char *name, wk_json *j)
{
    char path[100];
    snprintf(path, sizeof path, "tests/golden/templates/%s", name);
    wk_file *f = wk_file_open(path);
    wk_json_open(j, name, f ? f->data : NULL, f ? f->size : 0);
    return f;
}

static char *value_text(wk_json *j)
{
    wk_json_peek(j);
    const char *start = j->at;
    wk_json_skip(j);
    return wk_str_copy((wk_str){ start, (size_t)(j->at - start) });
}

static char *render(const char *name, wk_str text, const char *json)
{
    long         before = wk_live_allocs();
    wk_template *t = wk_template_parse(name, text.at, text.size);
    char        *out = t ? wk_template_render(t, json, .now = NOW) : NULL;
    wk_template_free(t);
    CHECK((out != NULL) == wk_ok());
    CHECK_INT(wk_live_allocs(), before); /* what is returned is the C library's */
    return out;
}

TEST(template_snippets)
{
    wk_json  j;
    wk_str   key;
    wk_file *f = golden("snippets.json", &j);
    char    *variables = NULL;
    int      n = 0;
    for (wk_json_object(&j); wk_json_key(&j, &key);) {
        if (wk_str_is(key, "variables")) {
            variables = value_text(&j);
            continue;
        }
        for (wk_json_array(&j); wk_json_item(&j); n++) {
            wk_json_array(&j);
            wk_json_item(&j);
            char *text = wk_str_copy(wk_json_string(&j));
            wk_json_item(&j);
            bool  fails = wk_json_null(&j);
            char *want = fails ? NULL : wk_str_copy(wk_json_string(&j));
            wk_json_item(&j);
            char *got = render("snippet", wk_str_of(text), variables);
            if (fails)
                CHECK_MSG(!got && !strncmp(wk_message(), "snippet:", 8), "\"%s\" gives \"%s\"",
                          text, got ? got : wk_message());
            else
                CHECK_MSG(got && !strcmp(got, want), "\"%s\" gives \"%s\", not \"%s\"", text,
                          got ? got : "an error", want);
            wk_clear();
            free(got);
            wk_free(want);
            wk_free(text);
        }
    }
    CHECK(n > 250);
    wk_free(variables);
    CHECK(wk_json_close(&j));
    wk_file_release(f);
}

/* ---- Real templates ------------------------------------------------------ */

static uint64_t fnv(const char *s)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001B3u;
    return h;
}

static void one_model(const char *folder, const char *name, wk_json *j, char **cases)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    wk_file *f = wk_file_open(path);
    wk_json_array(j);
    for (int k = 0; wk_json_item(j); k++) {
        bool  fails = wk_json_null(j);
        char *hash = fails ? NULL : wk_str_copy(wk_json_string(j));
        char *got = render(name, (wk_str){ f->data, f->size }, cases[k]);
        if (fails)
            CHECK_MSG(!got, "%s, case %d: no error", name, k);
        else
            CHECK_MSG(got && fnv(got) == strtoull(hash, NULL, 16), "%s, case %d gives %s", name, k,
                      got ? got : "an error");
        wk_clear();
        free(got);
        wk_free(hash);
    }
    wk_file_release(f);
}

TEST(templates_of_models)
{
    char        path[1024];
    const char *folder = test_shared("templates", path);
    if (!folder)
        return;
    wk_json  j;
    wk_str   key;
    wk_file *f = golden("chats.json", &j);
    char    *cases[64] = { 0 };
    int      count = 0, models = 0;
    for (wk_json_object(&j); wk_json_key(&j, &key);)
        if (wk_str_is(key, "cases"))
            for (wk_json_array(&j); wk_json_item(&j);)
                cases[count++] = wk_str_copy(wk_json_string(&j));
        else
            for (wk_json_object(&j); wk_json_key(&j, &key); models++) {
                char *name = wk_str_copy(key);
                one_model(folder, name, &j, cases);
                wk_free(name);
            }
    CHECK_INT(models, 12);
    CHECK(wk_json_close(&j));
    wk_file_release(f);
    for (int i = 0; i < count; i++)
        wk_free(cases[i]);
}

/* ---- What goes wrong ----------------------------------------------------- */

static void fails(const char *text, const char *json, const char *error)
{
    char *got = render("t", wk_str_of(text), json);
    CHECK_MSG(!got, "\"%.60s\" gives \"%.60s\"", text, got);
    free(got);
    CHECK_ERROR(error);
}

TEST(errors_of_templates_say_where)
{
    fails("a\n\n{{ x.y }}", "{}", "t:3: 'x' is undefined");
    fails("\n{% if 1 %}", "{}", "t:2: the template ends, but it should go on with elif else endif");
    fails("{{ raise_exception('no ' ~ who) }}", "{\"who\": \"system\"}", "t:1: no system");
    fails("{{ a b }}", "{}", "t:1: expected '}}', not 'b'");
    fails("{% for x in 3 %}{% endfor %}", "{}", "'int' object is not iterable");
    fails("{{ x | nope }}", "{}", "there is no filter 'nope'");
    fails("{% include 'x' %}", "{}", "unknown tag 'include'");
    fails("{% macro f(a) %}{{ a + 1 }}{% endmacro %}\n{{ f('x') }}", "{}",
          "t:1: operator + between");
    fails("x", "[1]", "t: variables:1:1: expected an object");
    fails("x", "{\"a\": }", "t: variables:1:7");
    fails("x", "{} ,", "t: variables:1:4: text after the end");
    fails("\xFF", "{}", "t: not UTF-8");
    CHECK(wk_template_render(NULL, "{}") == NULL);
    CHECK_ERROR("the template or its variables are NULL");
    wk_template_free(NULL);
}

static void deep(const char *open, const char *inside, const char *close, int n, const char *error)
{
    wk_buf b = { 0 };
    for (int i = 0; i < n; i++)
        wk_buf_str(&b, wk_str_of(open));
    wk_buf_str(&b, wk_str_of(inside));
    for (int i = 0; i < n; i++)
        wk_buf_str(&b, wk_str_of(close));
    fails(b.data, "{}", error);
    wk_buf_free(&b);
}

TEST(templates_have_limits)
{
    deep("{{", "", "", 100000, "nested too deep");
    deep("{% if x %}", "", "{% endif %}", 100000, "nested too deep");
    deep("{{ ", "1", "", 1, "ends inside a tag");
    deep("{% set ", "((((", "", 50, "expected");
    deep("{{ -", "1", "", 1, "ends inside");
    static const char *const nests[][3] = {
        { "(", "1", ")" },           { "[", "", "]" },     { "{1:", "1", "}" },
        { "not ", "1", "" },         { "-", "1", "" },     { "x[", "1", "]" },
        { "f(", "", ")" },           { "1 if ", "1", "" }, { "1+", "1", "" },
        { "1 if 1 else ", "1", "" }, { "x.", "x", "" },
    };
    for (size_t i = 0; i < WK_COUNT(nests); i++) {
        wk_buf b = { 0 };
        wk_buf_str(&b, WK_STR("{{ "));
        for (int k = 0; k < 20000; k++)
            wk_buf_str(&b, wk_str_of(nests[i][0]));
        wk_buf_str(&b, wk_str_of(nests[i][1]));
        for (int k = 0; k < 20000; k++)
            wk_buf_str(&b, wk_str_of(nests[i][2]));
        wk_buf_str(&b, WK_STR(" }}"));
        fails(b.data, "{}", "t:1: ");
        wk_buf_free(&b);
    }
    fails("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{}", "nested too deep");
    fails("{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}"
          "{% endfor %}{{ ns.x }}",
          "{}", "nested too deep");
    fails("{% set l = [] %}{% set _ = l.append(l) %}{{ l == l }}{{ l }}", "{}", "nested too deep");
    fails("{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}", "{}", "nested too deep");
    fails("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "{}",
          "t:1");
    fails("{{ 'x' * 1000000000 }}", "{}", "takes more than 64 MiB");
    fails("{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}"
          "{% endfor %}",
          "{}", "takes more than 64 MiB");
    fails("{{ [0] * 1000000000 }}", "{}", "takes more than 64 MiB");
    fails("{{ 'a' | indent(1000000000, true) }}", "{}", "takes more than 64 MiB");
    fails("{{ [[]] | tojson(indent=1000000000) * 1000000 }}", "{}", "takes more than 64 MiB");
    fails("{{ 9223372036854775807 + 1 }}", "{}", "out of range");
    fails("{{ -9223372036854775807 - 2 }}", "{}", "out of range");
    fails("{{ 10 ** 100 }}", "{}", "out of range");
    fails("{{ (-9223372036854775807 - 1) // -1 }}", "{}", "out of range");
    fails("{{ 'x'[::-9223372036854775807] ~ [1][9223372036854775807:] ~ nope() }}", "{}", "'nope'");
    fails("{{ strftime_now('%9999d') }}{{ nope() }}", "{}", "'nope' is undefined");
}

/* ---- Where bytes are from ------------------------------------------------ */

static void comes_from(const char *text, const char *json, const char *want, const char *origins)
{
    wk_template   *t = wk_template_parse("t", text, strlen(text));
    size_t         length = 0;
    const uint8_t *origin = NULL;
    char          *got = wk_template_render(t, json, .length = &length, .origins = &origin);
    CHECK_STR(got, want);
    CHECK_INT(length, strlen(want));
    for (size_t i = 0; got && origins && i < length; i++)
        CHECK_MSG(origin[i] == origins[i] - '0', "%s: byte %zu of \"%s\" is from %d", text, i, got,
                  origin[i]);
    free(got);
    wk_template_free(t);
}

TEST(bytes_of_templates_keep_their_origin)
{
    const char *json =
        "{\"s\": \" Ab c \", \"x_token\": \"T\", \"l\": [\"p\", \"q\"], \"messages\": ["
        "{\"role\": \"user\", \"content\": \"uu\"}, {\"content\": \"aa\", \"role\": "
        "\"assistant\"}, {\"role\": \"assistant\", \"content\": \"b\\u00e9\"}]}";
    comes_from("a{{ s }}{{ x_token }}b", json, "a Ab c Tb", "011111100");
    comes_from("{{ s | trim }}{{ s.strip() + '!' }}", json, "Ab cAb c!", "111111110");
    comes_from("{{ s | upper }}{{ s.split()[1] }}{{ s[::-1] }}", json, " AB C c c bA ",
               "1111111111111");
    comes_from("{{ s | replace('b', '<b>') }}", json, " A<b> c ", "11000111");
    comes_from("{{ '-' | join('xy') }}{{ l | join('-') }}{{ l }}", json, "-p-q['p', 'q']",
               "01010010000100");
    comes_from("{{ l | tojson }}{{ '%s=%s' % (l[0], 1) }}", json, "[\"p\", \"q\"]p=1",
               "0010000100100");
    comes_from("{% set x %}({{ s }}){% endset %}{{ x[1:3] }}{{ x | length }}", json, " A8", "110");
    comes_from("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(l[0]) | title }}", json, "<P>", "010");
    comes_from("{% for m in messages %}{{ m.role[0] }}{{ m.content }};{% endfor %}", json,
               "uuu;aaa;ab\xC3\xA9;",
               "111012201333"
               "0");
    comes_from("{% for k, v in messages[1] | items %}{{ k }}{% endfor %}", json, "contentrole",
               "22222222222");
    comes_from("{{ s.lower()|capitalize }}{{ s.rsplit(' ', 1)[0] ~ 1 }}{{ '{}!'.format(s) }}", json,
               " ab c  Ab c1 Ab c !", NULL);
}
