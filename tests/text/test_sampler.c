// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_sampler.c - what is left to choose from against transformers' logits processors
 * (tests/golden/make_sampler.py), the choice itself, and stop strings. */
#include "golden.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

enum { MOST = 64 };

/* ---- Against transformers ----------------------------------------------- */

static size_t numbers_read(wk_json *j, double *out)
{
    size_t n = 0;
    wk_json_item(j);
    for (wk_json_array(j); wk_json_item(j) && n < MOST; n++)
        out[n] = wk_json_number(j);
    return n;
}

static wk_sampler_args args_read(wk_json *j)
{
    wk_sampler_args a = { 0 };
    wk_str          key;
    wk_json_item(j);
    for (wk_json_object(j); wk_json_key(j, &key);) {
        double x = wk_json_number(j);
        if (wk_str_is(key, "temperature"))
            a.temperature = x;
        else if (wk_str_is(key, "top_k"))
            a.top_k = (int32_t)x;
        else if (wk_str_is(key, "top_p"))
            a.top_p = x;
        else if (wk_str_is(key, "min_p"))
            a.min_p = x;
        else if (wk_str_is(key, "repeat_penalty"))
            a.repeat_penalty = x;
        else if (wk_str_is(key, "presence_penalty"))
            a.presence_penalty = x;
        else if (wk_str_is(key, "frequency_penalty"))
            a.frequency_penalty = x;
        else if (wk_str_is(key, "penalty_last"))
            a.penalty_last = (int32_t)x;
    }
    return a;
}

TEST(the_sampler_keeps_what_transformers_keeps)
{
    wk_json  j;
    wk_file *f = golden_open("sampler.json", &j);
    int      row = 0;
    for (wk_json_array(&j); wk_json_item(&j); row++) {
        double seen[MOST], logits[MOST], kept[MOST], p[MOST], total = 0;
        float  x[MOST];
        wk_json_array(&j);
        wk_sampler_args args = args_read(&j);
        wk_sampler     *s = wk_sampler_new_with(&args);
        size_t          seen_count = numbers_read(&j, seen), count = numbers_read(&j, logits), n;
        size_t          want = numbers_read(&j, kept);
        numbers_read(&j, p);
        wk_json_item(&j);
        for (size_t i = 0; i < seen_count; i++)
            CHECK(wk_sampler_saw(s, (int32_t)seen[i]));
        for (size_t i = 0; i < count; i++)
            x[i] = (float)logits[i];
        const wk_candidate *c = wk_sampler_filter(s, x, (int64_t)count, &n);
        CHECK_MSG(c && n == want, "row %d: %zu are left, not %zu", row, n, want);
        for (size_t i = 0; c && i < n; i++)
            total += c[i].weight;
        for (size_t i = 0; c && i < n; i++) {
            size_t k = 0;
            while (k < want && (int32_t)kept[k] != c[i].id)
                k++;
            if (CHECK_MSG(k < want, "row %d: token %d is left", row, (int)c[i].id))
                CHECK_NEAR(c[i].weight / total, p[k], 2e-6);
        }
        wk_sampler_free(s);
    }
    CHECK_INT(row, 48);
    golden_close(f, &j);
}

/* ---- The choice --------------------------------------------------------- */

TEST(greedy_takes_the_best_and_of_equals_the_first)
{
    const float x[] = { 1, 3, -2, 3, 3 };
    wk_sampler *s = wk_sampler_new(0);
    CHECK_INT(wk_sampler_pick(s, x, 5), 1);
    CHECK_INT(wk_sampler_pick(s, x, 1), 0);
    wk_sampler_free(s);
    s = wk_sampler_new(.repeat_penalty = 2);
    CHECK(wk_sampler_saw(s, 1));
    CHECK_INT(wk_sampler_pick(s, x, 5), 3);
    wk_sampler_free(s);
}

TEST(samples_have_their_probabilities_and_come_again_with_their_seed)
{
    const float x[] = { 0, logf(2), logf(3), -INFINITY, logf(4) };
    int         count[5] = { 0 };
    int32_t     first[20];
    wk_sampler *s = wk_sampler_new(.temperature = 1, .seed = 42);
    for (int i = 0; i < 100000; i++) {
        int32_t id = wk_sampler_pick(s, x, 5);
        if (i < 20)
            first[i] = id;
        if (CHECK(id >= 0 && id < 5))
            count[id]++;
    }
    wk_sampler_free(s);
    CHECK_INT(count[3], 0);
    for (int i = 0; i < 5; i++)
        CHECK_NEAR(count[i] / 1e5, exp((double)x[i]) / 10, 0.005);
    s = wk_sampler_new(.temperature = 1, .seed = 42);
    for (int i = 0; i < 20; i++)
        CHECK_INT(wk_sampler_pick(s, x, 5), first[i]);
    wk_sampler_free(s);
}

TEST(penalties_forget_what_is_long_ago)
{
    float       x[100] = { 0 };
    wk_sampler *s = wk_sampler_new(.presence_penalty = 1, .penalty_last = 10);
    size_t      n = 0;
    for (int i = 0; i < 95; i++) {
        CHECK(wk_sampler_saw(s, i));
        int32_t id = wk_sampler_pick(s, x, 100);
        CHECK_INT(id, i < 10 ? i + 1 : 0);
    }
    wk_sampler_free(s);
    s = wk_sampler_new(.frequency_penalty = 0.5, .temperature = 1);
    for (int i = 0; i < 300; i++)
        CHECK(wk_sampler_saw(s, i % 150)); /* half of them are no logits of ours */
    const wk_candidate *c = wk_sampler_filter(s, x, 100, &n);
    for (size_t i = 0; c && i < n; i++)
        CHECK_NEAR(c[i].logit, -1, 1e-6);
    wk_sampler_free(s);
}

TEST(large_vocabularies_are_cut_like_small_ones)
{
    enum { COUNT = 5000 };
    static float x[COUNT];
    double       weight[COUNT], total = 0, sum = 0;
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)((i * 7919) % COUNT) / 500;
        total += weight[(i * 7919) % COUNT] = exp((double)x[i]);
    }
    size_t left, want = 0;
    while (sum < 0.6 * total)
        sum += weight[COUNT - ++want];
    wk_sampler         *s = wk_sampler_new(.temperature = 1, .top_p = 0.6);
    const wk_candidate *c = wk_sampler_filter(s, x, COUNT, &left);
    CHECK_INT(left, want);
    for (size_t i = 1; c && i < left; i++)
        CHECK(c[i - 1].logit >= c[i].logit);
    wk_sampler_free(s);
    s = wk_sampler_new(.temperature = 1, .top_k = 700);
    c = wk_sampler_filter(s, x, COUNT, &left);
    CHECK_INT(left, 700);
    for (size_t i = 0; c && i < left; i++)
        CHECK(x[c[i].id] >= (float)(COUNT - 700) / 500);
    wk_sampler_free(s);
}

TEST(what_cannot_be_sampled_is_an_error)
{
    const float nan_[] = { 1, NAN }, none[] = { -INFINITY, -INFINITY }, inf[] = { INFINITY, 0 };
    wk_sampler *s = wk_sampler_new(0);
    CHECK_INT(wk_sampler_pick(s, nan_, 2), -1);
    CHECK_ERROR("logit 1 is nan");
    CHECK_INT(wk_sampler_pick(s, inf, 2), -1);
    CHECK_ERROR("logit 0 is inf");
    CHECK_INT(wk_sampler_pick(s, none, 2), -1);
    CHECK_ERROR("all logits are -inf");
    CHECK_INT(wk_sampler_pick(s, none, 0), -1);
    CHECK_ERROR("no logits");
    CHECK_INT(wk_sampler_pick(NULL, none, 2), -1);
    CHECK_ERROR("no logits");
    CHECK(!wk_sampler_saw(s, -1));
    CHECK_ERROR("-1 is not a token");
    wk_sampler_free(s);
    CHECK(!wk_sampler_new(.temperature = -1));
    CHECK_ERROR("temperature is out of range");
    CHECK(!wk_sampler_new(.top_p = 1.5));
    CHECK_ERROR("top_p is out of range");
    CHECK(!wk_sampler_new(.repeat_penalty = NAN));
    CHECK_ERROR("repeat_penalty is out of range");
    wk_sampler_free(NULL);
}

/* ---- Stop strings ------------------------------------------------------- */

/* What comes out of a stopper that gets text in parts of size bytes. */
static void stop(const char *const *stops, int count, const char *text, size_t size, wk_buf *out,
                 bool *hit)
{
    wk_stopper *s = wk_stopper_new(stops, count);
    wk_buf_clear(out);
    for (size_t n = strlen(text), i = 0; i < n; i += size) {
        char part[64] = "";
        memcpy(part, text + i, n - i < size ? n - i : size);
        wk_buf_str(out, wk_str_of(wk_stopper_push(s, part)));
    }
    *hit = wk_stopper_hit(s);
    wk_buf_str(out, wk_str_of(wk_stopper_end(s)));
    wk_stopper_free(s);
}

TEST(stop_strings_are_found_across_parts)
{
    static const struct {
        const char *stops[3], *text, *shown;
        bool        hit;
    } cases[] = {
        { { "</s>" }, "Hello</s> world", "Hello", true },
        { { "</s>" }, "Hello</s world", "Hello</s world", false },
        { { "</s>" }, "Hello</s", "Hello</s", false },
        { { "aab" }, "aaaab!", "aa", true },
        { { "abcd", "bc" }, "xabcd", "xa", true },
        { { "bc", "abc" }, "xabcd", "x", true },
        { { "\n\n", "User:" }, "a\nb Us User: c", "a\nb Us ", true },
        { { "abab", "babx" }, "ababx", "", true },
        { { "ababc" }, "abababc.", "ab", true },
        { { NULL }, "anything", "anything", false },
    };
    wk_buf out = { 0 };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        int count = 0;
        while (count < 3 && cases[i].stops[count])
            count++;
        for (size_t size = 1; size < 20; size++) {
            bool hit;
            stop(cases[i].stops, count, cases[i].text, size, &out, &hit);
            CHECK_STR(wk_buf_view(&out).at, cases[i].shown);
            CHECK(hit == cases[i].hit);
        }
    }
    wk_buf_free(&out);
}

/* Random texts over two letters against a plain search. */
TEST(stop_strings_are_where_a_plain_search_finds_them)
{
    wk_buf   out = { 0 };
    unsigned x = 1;
    for (int round = 0; round < 3000; round++) {
        char        text[40] = "", stops[2][6] = { "" };
        const char *list[2] = { stops[0], stops[1] };
        for (int i = 0; i < 39; i++)
            text[i] = "ab"[(x = x * 1103515245 + 12345) >> 16 & 1];
        for (int k = 0; k < 2; k++)
            for (unsigned i = 0; i < 2 + (x >> 20) % 4; i++)
                stops[k][i] = "ab"[(x = x * 1103515245 + 12345) >> 16 & 1];
        size_t best = strlen(text), start = best; /* the end that comes first, then the longest */
        for (int k = 0; k < 2; k++) {
            const char *p = strstr(text, stops[k]);
            size_t      from = p ? (size_t)(p - text) : 0, end = from + strlen(stops[k]);
            if (p && (end < best || (end == best && from < start)))
                best = end, start = from;
        }
        bool hit;
        stop(list, 2, text, 1 + (size_t)round % 5, &out, &hit);
        CHECK_MSG(wk_buf_view(&out).size == start, "\"%s\" \"%s\" in \"%s\": %zu, not %zu",
                  stops[0], stops[1], text, out.size, start);
    }
    wk_buf_free(&out);
}

TEST(a_stopper_waits_no_longer_than_it_must)
{
    const char *stops[] = { "stop" };
    wk_stopper *s = wk_stopper_new(stops, 1);
    CHECK_STR(wk_stopper_push(s, "a s"), "a ");
    CHECK_STR(wk_stopper_push(s, "to"), "");
    CHECK_STR(wk_stopper_push(s, "ne"), "stone");
    CHECK_STR(wk_stopper_push(s, ""), "");
    CHECK_STR(wk_stopper_push(s, "st"), "");
    CHECK_STR(wk_stopper_push(s, "op it"), "");
    CHECK(wk_stopper_hit(s));
    CHECK_STR(wk_stopper_push(s, "more"), "");
    CHECK_STR(wk_stopper_end(s), "");
    wk_stopper_free(s);
    stops[0] = "";
    CHECK(!wk_stopper_new(stops, 1));
    CHECK_ERROR("a stop string is empty");
    CHECK(!wk_stopper_hit(NULL));
    wk_stopper_free(NULL);
}
