// SPDX-License-Identifier: MIT OR Apache-2.0
/* optim.c - a step of AdamW, and of SGD with momentum, over so many million f32 parameters: ms
 * and GB/s, medians of 9.
 *
 *   build/bench/optim [MILLIONS]     (124); bench/peers_optim.py does the same in PyTorch */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES = 9 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* bytes: read and written of a parameter and what belongs to it */
static void measure(const char *name, wk_optim *o, wk_store *s, int64_t n, int bytes)
{
    wk_tensor *p = wk_store_at(s, 0), *g = wk_full_like(p, 0.01);
    double     sample[SAMPLES];
    for (int i = -1; i < SAMPLES && wk_ok(); i++) {
        wk_set_grad(p, g);
        double start = now();
        wk_step(o);
        if (i >= 0)
            sample[i] = now() - start;
    }
    qsort(sample, SAMPLES, sizeof *sample, by_size);
    if (wk_ok())
        printf("%-6s %lld M parameters, %d threads  %8.2f ms  %6.1f GB/s\n", name, (long long)n,
               wk_threads(), 1e3 * sample[SAMPLES / 2],
               (double)n * 1e6 * bytes / sample[SAMPLES / 2] / 1e9);
    wk_optim_free(o);
}

int main(int argc, char **argv)
{
    int64_t   n = argc > 1 ? atoll(argv[1]) : 124;
    wk_store *s = wk_store_new();
    wk_param(wk_root(s), "p", WK_SHAPE(n, 1000000), (wk_init){ .kind = WK_INIT_ONES });
    measure("adamw", wk_adamw_new(s, .lr = 1e-3, .decay = 0.1), s, n, 28);
    measure("sgd", wk_sgd_new(s, .lr = 1e-3, .decay = 0.1, .momentum = 0.9), s, n, 20);
    wk_store_free(s);
    return wk_finish();
}
