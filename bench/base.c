// SPDX-License-Identifier: MIT OR Apache-2.0
/* base.c - what the foundations cost: reading JSON, meeting at a barrier, opening a
 * region.  Medians of many rounds; the last two only mean something on idle cores. */
#include "../src/base/base.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 15, MEETINGS = 10000, REGIONS = 2000 };

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *x)
{
    qsort(x, ROUNDS, sizeof *x, by_size);
    return x[ROUNDS / 2];
}

/* ---- JSON --------------------------------------------------------------- */

/* Like a tokenizer.json: a vocabulary and its merges, some with escapes. */
static void make_text(wk_buf *out)
{
    wk_json_writer w = { .out = out, .indent = 2 };
    char           piece[40];
    wk_json_begin(&w, '{');
    wk_json_put_key(&w, "vocab");
    wk_json_begin(&w, '{');
    for (int i = 0; i < 400000; i++) {
        snprintf(piece, sizeof piece, "\xC4\xA0piece%s%d", i % 10 ? "" : "\"\n", i);
        wk_json_put_key(&w, piece);
        wk_json_put_int(&w, i);
    }
    wk_json_end(&w, '}');
    wk_json_put_key(&w, "merges");
    wk_json_begin(&w, '[');
    for (int i = 0; i < 500000; i++) {
        snprintf(piece, sizeof piece, "\xC4\xA0left%d right%d", i, i / 2);
        wk_json_put_str(&w, wk_str_of(piece));
    }
    wk_json_end(&w, ']');
    wk_json_end(&w, '}');
}

static size_t read_text(const wk_buf *text)
{
    wk_json j;
    wk_str  key;
    size_t  sum = 0;
    wk_json_open(&j, "bench.json", text->data, text->size);
    for (wk_json_object(&j); wk_json_key(&j, &key);)
        if (wk_str_is(key, "vocab"))
            for (wk_json_object(&j); wk_json_key(&j, &key);)
                sum += key.size + (size_t)wk_json_int(&j);
        else
            for (wk_json_array(&j); wk_json_item(&j);)
                sum += wk_json_string(&j).size;
    wk_json_close(&j);
    return sum;
}

static void bench_json(void)
{
    wk_buf text = { 0 };
    double read[ROUNDS], skip[ROUNDS];
    size_t sum = 0;
    make_text(&text);
    for (int i = 0; i < ROUNDS; i++) {
        wk_json j;
        double  start = wk_now();
        sum += read_text(&text);
        read[i] = wk_now() - start;
        start = wk_now();
        wk_json_open(&j, "bench.json", text.data, text.size);
        wk_json_skip(&j);
        wk_json_close(&j);
        skip[i] = wk_now() - start;
    }
    double mb = 1e-6 * (double)text.size, r = median(read), s = median(skip);
    printf("json, %.1f MB: read %.3f s (%.0f MB/s), skip %.3f s (%.0f MB/s)%s\n", mb, r, mb / r, s,
           mb / s, sum ? "" : " nothing");
    wk_buf_free(&text);
}

/* ---- Threads ------------------------------------------------------------ */

static void meet(void *ctx, int thread, int threads)
{
    (void)threads;
    double start = wk_now();
    for (int i = 0; i < MEETINGS; i++)
        wk_team_barrier();
    if (thread == 0)
        *(double *)ctx = (wk_now() - start) / MEETINGS;
}

static void nothing(void *ctx, int64_t begin, int64_t end) { (void)ctx, (void)begin, (void)end; }

static void bench_team(int threads)
{
    double barrier[ROUNDS], region[ROUNDS];
    wk_set_threads(threads);
    for (int i = 0; i < ROUNDS; i++) {
        wk_team_run(threads, meet, &barrier[i]);
        double start = wk_now();
        for (int k = 0; k < REGIONS; k++)
            wk_parallel(threads, 1, nothing, NULL);
        region[i] = (wk_now() - start) / REGIONS;
    }
    printf("%d threads: barrier %.0f ns, wk_parallel %.0f ns\n", threads, 1e9 * median(barrier),
           1e9 * median(region));
}

int main(int argc, char **argv)
{
    int most = argc > 1 ? (int)strtol(argv[1], NULL, 10) : wk_threads();
    bench_json();
    for (int n = 2; n <= most; n *= 2)
        bench_team(n);
    return wk_finish();
}
