// SPDX-License-Identifier: MIT OR Apache-2.0
/* conv.c - how fast images are convolved and pooled, forwards, and forwards and back.
 *
 *   build/bench/conv [case ...]
 *
 * A case is conv:dtype:b x c x h x w:o x k x k:stride:padding:groups, or
 * maxpool:dtype:b x c x h x w:k x k:stride:padding.  Back means gradients of
 * sum(y * dy) for all operands; GB/s are the operands' and the result's bytes over the time of
 * a forward run, beside which bench/memory stands.  Medians of 9 samples; bench/peers_conv.py takes
 * the same arguments.  Without arguments: the layers of ResNet-18, some depthwise ones, pooling. */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 9 };

static const double SAMPLE_TIME = 0.04;

static const char *const standard[] = {
    "conv:f32:8x3x224x224:64x7x7:2:3:1",     "conv:f32:8x64x56x56:64x3x3:1:1:1",
    "conv:f32:8x64x56x56:128x3x3:2:1:1",     "conv:f32:8x64x56x56:128x1x1:2:0:1",
    "conv:f32:8x128x28x28:128x3x3:1:1:1",    "conv:f32:8x128x28x28:256x3x3:2:1:1",
    "conv:f32:8x256x14x14:256x3x3:1:1:1",    "conv:f32:8x512x7x7:512x3x3:1:1:1",
    "conv:f32:8x256x14x14:1024x1x1:1:0:1",   "conv:f32:8x128x56x56:128x3x3:1:1:128",
    "conv:f32:8x256x28x28:256x3x3:2:1:256",  "conv:f32:8x512x14x14:512x5x5:1:2:512",
    "conv:f32:32x16x28x28:32x3x3:1:1:1",     "conv:bf16:8x3x224x224:64x7x7:2:3:1",
    "conv:bf16:8x64x56x56:64x3x3:1:1:1",     "conv:bf16:8x64x56x56:128x3x3:2:1:1",
    "conv:bf16:8x128x28x28:128x3x3:1:1:1",   "conv:bf16:8x256x14x14:256x3x3:1:1:1",
    "conv:bf16:8x512x7x7:512x3x3:1:1:1",     "conv:bf16:8x256x14x14:1024x1x1:1:0:1",
    "conv:bf16:8x128x56x56:128x3x3:1:1:128", "maxpool:f32:8x64x112x112:3x3:2:1",
    "maxpool:f32:32x32x28x28:2x2:2:0",
};

typedef struct {
    char       op[16], dtype[8];
    long       b, c, h, w, o, kh, kw, stride, padding, groups;
    wk_tensor *x, *weight, *dy;
} job;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool parse(job *j, const char *text)
{
    int at = 0;
    *j = (job){ .groups = 1 };
    if (sscanf(text, "%15[^:]:%7[^:]:%ldx%ldx%ldx%ld:%n", j->op, j->dtype, &j->b, &j->c, &j->h,
               &j->w, &at) != 6 ||
        !at)
        return false;
    if (!strcmp(j->op, "maxpool"))
        return sscanf(text + at, "%ldx%ld:%ld:%ld", &j->kh, &j->kw, &j->stride, &j->padding) == 4;
    return sscanf(text + at, "%ldx%ldx%ld:%ld:%ld:%ld", &j->o, &j->kh, &j->kw, &j->stride,
                  &j->padding, &j->groups) == 6;
}

static wk_tensor *forward(job *j)
{
    wk_shape stride = WK_SHAPE(j->stride), padding = WK_SHAPE(j->padding);
    if (!strcmp(j->op, "maxpool"))
        return wk_max_pool2d(j->x, WK_SHAPE(j->kh, j->kw), .stride = stride, .padding = padding);
    return wk_conv2d(j->x, j->weight, .stride = stride, .padding = padding, .groups = j->groups);
}

static void run(job *j, bool back)
{
    wk_scope   scope = wk_mark();
    bool       before = wk_no_grad(!back);
    wk_tensor *y = forward(j);
    if (back) {
        wk_backward(wk_sum(wk_mul(y, j->dy)));
        wk_set_grad(j->x, NULL);
        if (j->weight)
            wk_set_grad(j->weight, NULL);
    }
    wk_no_grad(before);
    wk_sweep(scope);
}

/* Seconds of one run. */
static double measure(job *j, bool back)
{
    double sample[SAMPLES], took;
    long   repeat = 1;
    run(j, back);
    do {
        double start = now();
        for (long i = 0; i < repeat; i++)
            run(j, back);
        took = now() - start;
        repeat *= 2;
    } while (took < SAMPLE_TIME / 4 && wk_ok());
    repeat = (long)((double)repeat / 2 * SAMPLE_TIME / took) + 1;
    for (int s = 0; s < SAMPLES; s++) {
        double start = now();
        for (long i = 0; i < repeat; i++)
            run(j, back);
        sample[s] = (now() - start) / (double)repeat;
    }
    qsort(sample, SAMPLES, sizeof *sample, by_value);
    return sample[SAMPLES / 2];
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? argc - 1 : (int)(sizeof standard / sizeof *standard);
    printf("%d threads, %s\n", wk_threads(), wk_device_detail(wk_default_device()));
    printf("%-42s %12s %10s %12s %10s %8s\n", "case", "forward us", "GFLOP/s", "and back us",
           "GFLOP/s", "GB/s");
    for (int i = 0; i < count && wk_ok(); i++) {
        const char *text = argc > 1 ? argv[i + 1] : standard[i];
        wk_scope    scope = wk_mark();
        job         j;
        if (!parse(&j, text)) {
            fprintf(stderr, "conv: cannot read %s\n", text);
            return 2;
        }
        wk_dtype dtype = wk_dtype_find(j.dtype);
        j.x = wk_track(wk_randn_of(dtype, WK_SHAPE(j.b, j.c, j.h, j.w)));
        if (j.o)
            j.weight = wk_track(wk_randn_of(dtype, WK_SHAPE(j.o, j.c / j.groups, j.kh, j.kw)));
        wk_tensor *y = forward(&j);
        j.dy = wk_randn_of(dtype, wk_shape_of(y));
        double flops = 2.0 * (double)(j.kh * j.kw) * (double)wk_count(y) *
                       (j.o ? (double)(j.c / j.groups) : 0);
        double bytes = (double)wk_dtype_size(dtype) *
                       (double)(wk_count(j.x) + wk_count(y) + (j.o ? wk_count(j.weight) : 0));
        double there = measure(&j, false), back = measure(&j, true);
        printf("%-42s %12.1f %10.1f %12.1f %10.1f %8.1f\n", text, 1e6 * there, 1e-9 * flops / there,
               1e6 * back, 3e-9 * flops / back, 1e-9 * bytes / there);
        fflush(stdout);
        wk_sweep(scope);
        wk_device_trim(wk_default_device());
    }
    return wk_finish();
}
