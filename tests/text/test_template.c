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
