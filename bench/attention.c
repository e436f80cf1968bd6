// SPDX-License-Identifier: MIT OR Apache-2.0
/* attention.c - how fast attention is: whole prompts, and one query over a long cache.
 *
 *   build/bench/attention [text]      cases whose name has the text in it
 *
 * A line for each case: its name, the median time, and GFLOP/s (those that are seen) or
 * GB/s of keys and values.  bench/peers_attention.py sets PyTorch beside it. */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 2000 };

typedef struct {
    int h, g, t, s, d;
} shape;

static const shape shapes[] = {
    { 12, 12, 512, 512, 64 },   { 12, 12, 2048, 2048, 64 }, { 96, 96, 128, 128, 64 },
    { 32, 4, 512, 512, 64 },    { 32, 4, 2048, 2048, 64 },  { 32, 8, 512, 512, 128 },
    { 32, 8, 2048, 2048, 128 }, { 32, 4, 1, 512, 64 },      { 32, 4, 1, 2048, 64 },
    { 32, 4, 1, 8192, 64 },     { 32, 8, 1, 4096, 128 },
};

typedef struct {
    const char *name;
    wk_dtype    q, kv;
} types;

static const types dtypes[] = {
    { "f32", WK_F32, WK_F32 },
    { "bf16", WK_BF16, WK_BF16 },
    { "f32/bf16", WK_F32, WK_BF16 }, /* activations, and a cache of half the size */
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median time of a run, of as many as fit into a fraction of a second. */
static double median(const wk_attention_args *a)
{
    static double time[RUNS];
    int           n = 0;
    for (double end = now() + 0.25; n < RUNS && (n < 4 || now() < end) && wk_ok(); n++) {
        wk_scope scope = wk_mark();
        double   start = now();
        wk_attention_with(a);
        time[n] = now() - start;
        wk_sweep(scope);
    }
    qsort(time, (size_t)n, sizeof *time, by_value);
    return time[n / 2];
}

static void run(const char *wish, const shape *z, const types *type, bool causal, int threads)
{
    char name[80];
    snprintf(name, sizeof name, "%s %d/%d heads %dx%dx%d %s %d", type->name, z->h, z->g, z->t, z->s,
             z->d, causal ? "causal" : "full", threads);
    if (wish && !strstr(name, wish))
        return;
    wk_scope          scope = wk_mark();
    wk_attention_args a = {
        .q = wk_cast(wk_randn(1, z->h, z->t, z->d), type->q),
        .k = wk_cast(wk_randn(1, z->g, z->s, z->d), type->kv),
        .v = wk_cast(wk_randn(1, z->g, z->s, z->d), type->kv),
        .causal = causal,
    };
    wk_set_threads(threads);
    double time = median(&a), work = 4.0 * z->h * z->t * z->s * z->d / (causal ? 2 : 1);
    if (z->t == 1)
        work = 2.0 * z->g * z->s * z->d * (double)wk_dtype_size(type->kv);
    printf("%-42s %10.4f ms %8.1f %s\n", name, 1e3 * time, 1e-9 * work / time,
           z->t == 1 ? "GB/s" : "GFLOP/s");
    fflush(stdout);
    wk_sweep(scope);
}

int main(int argc, char **argv)
{
    const char *wish = argc > 1 ? argv[1] : NULL;
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int causal = 0; causal < (shapes[i].t == 1 ? 1 : 2); causal++)
                for (int threads = 1; threads <= 2; threads++)
                    run(wish, &shapes[i], &dtypes[d], causal, threads);
    return wk_finish();
}
