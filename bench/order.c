// SPDX-License-Identifier: MIT OR Apache-2.0
/* order.c - sorting and scans, in milliseconds: medians of 9.
 *
 *   build/bench/order       beside PyTorch: python3 bench/peers_order.py */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES = 9 };

static wk_tensor *x[3];

static void sort(void) { wk_sort(x[0], 0, false); }
static void topk(void) { wk_topk(x[1], 50); }
static void cumsum(void) { wk_cumsum(x[2], 1); }
static void unique(void) { wk_unique(x[0]); }
static void dropout(void) { wk_dropout(x[2], 0.1); }

static int by_size(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static void measure(const char *name, void (*fn)(void))
{
    double sample[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        wk_scope s = wk_mark();
        double   start = now();
        fn();
        sample[i] = now() - start;
        wk_sweep(s);
    }
    qsort(sample, SAMPLES, sizeof *sample, by_size);
    printf("%-24s %8.2f\n", name, sample[SAMPLES / 2]);
}

int main(void)
{
    x[0] = wk_randn(1000000);
    x[1] = wk_randn(32, 50000);
    x[2] = wk_randn(1000, 10000);
    measure("sort 1e6", sort);
    measure("unique 1e6", unique);
    measure("topk 50 of 32 x 50000", topk);
    measure("cumsum 1000 x 10000", cumsum);
    measure("dropout 1000 x 10000", dropout);
    return wk_finish();
}
