// SPDX-License-Identifier: MIT OR Apache-2.0
/* gemm.c - how fast matrices are multiplied.
 *
 *   build/bench/gemm [case ...]      e.g. matmul:f32:512x512x512 linear:bf16:1x4096x4096
 *
 * A case is operation, dtype and m x n x k.  Operations: matmul, linear (weight [n, k], as
 * wk_pack() leaves it, as in models), loose (the same as in its file), glu (two such weights);
 * "bmm" is matmul of 12 pairs at once.  A dtype like f32*bf16 is that of x and that of the weight.
 * With few rows the weights alternate so that they come from memory, as when a model decodes, and
 * GB/s is what is read of them.  Medians of 15 samples; bench/peers_gemm.py takes the same
 * arguments. */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 15, MOST_WEIGHTS = 128, FEW_ROWS = 8, BATCH = 12 };

static const double SAMPLE_TIME = 0.05, COLD_BYTES = 400e6;

static const char *const standard[] = {
    "matmul:f32:16x16x16",
    "matmul:f32:32x32x32",
    "matmul:f32:64x64x64",
    "matmul:f32:128x128x128",
    "matmul:f32:256x256x256",
    "matmul:f32:512x512x512",
    "matmul:f32:1024x1024x1024",
    "matmul:f32:2048x2048x2048",
    "matmul:f32:4096x4096x4096",
    "bmm:f32:64x64x64",
    "bmm:f32:128x128x64",
    "linear:f32:512x4096x4096",
    "linear:bf16:512x4096x4096",
    "linear:bf16:512x5632x2048",
    "linear:bf16:512x2048x5632",
    "linear:bf16:512x1536x576",
    "linear:bf16:512x3072x768",
    "linear:f32*bf16:512x4096x4096",
    "glu:f32*bf16:512x5632x2048",
    "linear:f32:1x4096x4096",
    "linear:bf16:1x4096x4096",
    "linear:f32*bf16:1x4096x4096",
    "linear:f32*bf16:4x4096x4096",
    "linear:f32*q4_0:1x4096x4096",
    "linear:f32*q8_0:1x4096x4096",
    "linear:f32*q4_k:1x4096x4096",
    "linear:f32*q6_k:1x4096x4096",
    "linear:f32*q4_0:4x4096x4096",
    "linear:f32*q4_0:8x4096x4096",
    "linear:f32*q4_0:512x4096x4096",
    "linear:f32*q8_0:512x4096x4096",
    "linear:f32*q4_k:512x4096x4096",
    "linear:f32*q6_k:512x4096x4096",
};

typedef struct {
    char       op[16], x[16], w[16];
    long       m, n, k;
    int        weights;
    wk_tensor *input, *weight[MOST_WEIGHTS];
} job;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool parse(job *j, const char *text)
{
    char dtype[32];
    *j = (job){ .weights = 1 };
    if (sscanf(text, "%15[^:]:%31[^:]:%ldx%ldx%ld", j->op, dtype, &j->m, &j->n, &j->k) != 5)
        return false;
    const char *star = strchr(dtype, '*');
    snprintf(j->x, sizeof j->x, "%.*s", (int)(star ? star - dtype : 15), dtype);
    snprintf(j->w, sizeof j->w, "%.15s", star ? star + 1 : dtype);
    return wk_dtype_find(j->x) && wk_dtype_find(j->w) && j->m > 0 && j->n > 0 && j->k > 0;
}

static wk_tensor *run(job *j, long turn)
{
    wk_tensor *w = j->weight[turn % j->weights];
    if (!strcmp(j->op, "linear") || !strcmp(j->op, "loose"))
        return wk_linear(j->input, (wk_layer){ w, NULL });
    if (!strcmp(j->op, "glu"))
        return wk_linear_glu(j->input, (wk_layer){ w, NULL },
                             (wk_layer){ j->weight[(turn + 1) % j->weights], NULL }, WK_ACT_SILU);
    return wk_matmul(j->input, w);
}

static double bytes_of(wk_dtype d) { return (double)wk_dtype_size(d) / (double)wk_dtype_block(d); }

/* Random numbers; those of blocks repeat after 64 rows, as it takes long to choose scales. */
static wk_tensor *weight_of(wk_dtype w, int64_t rows, int64_t cols)
{
    if (wk_dtype_block(w) == 1)
        return wk_randn_of(w, WK_SHAPE(rows, cols));
    int64_t    some = rows < 64 ? rows : 64;
    wk_tensor *part = wk_cast(wk_randn(some, cols), w),
              *whole = wk_empty_of(w, WK_SHAPE(rows, cols));
    size_t bytes = wk_bytes(part);
    for (size_t at = 0; wk_ok() && at < wk_bytes(whole); at += bytes) {
        size_t left = wk_bytes(whole) - at;
        memcpy((char *)wk_data(whole) + at, wk_data(part), left < bytes ? left : bytes);
    }
    return whole;
}

static void prepare(job *j)
{
    bool     packs = !strcmp(j->op, "linear") || !strcmp(j->op, "glu");
    bool     rows = packs || !strcmp(j->op, "loose");
    wk_dtype x = wk_dtype_find(j->x), w = wk_dtype_find(j->w);
    double   bytes = (double)j->n * (double)j->k * bytes_of(w);
    if (j->m <= FEW_ROWS)
        j->weights = (int)(COLD_BYTES / bytes) + 1;
    if (j->weights < 2 && !strcmp(j->op, "glu"))
        j->weights = 2;
    if (j->weights > MOST_WEIGHTS)
        j->weights = MOST_WEIGHTS;
    if (!strcmp(j->op, "bmm")) {
        j->input = wk_randn_of(x, WK_SHAPE(BATCH, j->m, j->k));
        j->weight[0] = wk_randn_of(w, WK_SHAPE(BATCH, j->k, j->n));
        return;
    }
    j->input = wk_randn_of(x, WK_SHAPE(j->m, j->k));
    for (int i = 0; i < j->weights; i++)
        j->weight[i] = packs  ? wk_pack(weight_of(w, j->n, j->k))
                       : rows ? weight_of(w, j->n, j->k)
                              : wk_randn_of(w, WK_SHAPE(j->k, j->n));
}

/* Seconds of one product. */
static double measure(job *j)
{
    double sample[SAMPLES];
    long   turn = 0, repeat = 1;
    for (;;) { /* enough repetitions for a sample */
        double start = now();
        for (long i = 0; i < repeat; i++) {
            wk_scope s = wk_mark();
            run(j, turn++);
            wk_sweep(s);
        }
        double took = now() - start;
        if (took > SAMPLE_TIME / 4 || !wk_ok()) {
            repeat = (long)((double)repeat * SAMPLE_TIME / took) + 1;
            break;
        }
        repeat *= 2;
    }
    for (int s = 0; s < SAMPLES; s++) {
        double start = now();
        for (long i = 0; i < repeat; i++) {
            wk_scope scope = wk_mark();
            run(j, turn++);
            wk_sweep(scope);
        }
        sample[s] = (now() - start) / (double)repeat;
    }
    qsort(sample, SAMPLES, sizeof *sample, by_value);
    return sample[SAMPLES / 2];
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? argc - 1 : (int)(sizeof standard / sizeof *standard);
    printf("%d threads, %s\n", wk_threads(), wk_device_detail(wk_default_device()));
    printf("%-34s %12s %12s %10s\n", "case", "us", "GFLOP/s", "GB/s");
    for (int i = 0; i < count && wk_ok(); i++) {
        const char *text = argc > 1 ? argv[i + 1] : standard[i];
        job         j;
        wk_scope    scope = wk_mark();
        if (!parse(&j, text)) {
            fprintf(stderr, "gemm: cannot read %s\n", text);
            return 2;
        }
        prepare(&j);
        double sides = !strcmp(j.op, "glu") ? 2 : !strcmp(j.op, "bmm") ? BATCH : 1;
        double t = measure(&j), terms = (double)j.n * (double)j.k * sides;
        printf("%-34s %12.2f %12.1f", text, 1e6 * t, 2e-9 * terms * (double)j.m / t);
        if (j.m <= FEW_ROWS)
            printf(" %10.1f", 1e-9 * terms * bytes_of(wk_dtype_find(j.w)) / t);
        printf("\n");
        fflush(stdout);
        wk_sweep(scope);
        wk_device_trim(wk_default_device());
    }
    return wk_finish();
}
