// SPDX-License-Identifier: MIT OR Apache-2.0
/* memory.c - how fast memory is read, by one thread and by all: the ceiling of decoding.
 *
 *   build/bench/memory [MB]          medians of 15 passes over so much (2048), in GB/s */
#include "clock.h"

#include "../src/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 15, PIECE = 1 << 20 };

typedef uint64_t line __attribute__((vector_size(64)));

static atomic_uint_fast64_t sink; /* so that nothing is left out */

static void read_piece(void *ctx, int64_t begin, int64_t end)
{
    const line *p = ctx;
    line        a = { 0 }, b = { 0 };
    for (int64_t i = begin; i < end; i += 2) {
        a += p[i];
        b += p[i + 1];
    }
    a += b;
    atomic_fetch_add(&sink, a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7]);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double measure(void *data, int64_t bytes)
{
    double sample[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        double start = now();
        wk_parallel(bytes / (int64_t)sizeof(line), PIECE / (int64_t)sizeof(line), read_piece, data);
        sample[i] = now() - start;
    }
    qsort(sample, SAMPLES, sizeof *sample, by_size);
    return (double)bytes / sample[SAMPLES / 2] / 1e9;
}

int main(int argc, char **argv)
{
    int64_t bytes = (argc > 1 ? atoll(argv[1]) : 2048) << 20;
    void   *data = bytes > 0 ? wk_alloc_pages((size_t)bytes) : NULL;
    int     all = wk_threads();
    if (!data) {
        fprintf(stderr, "memory: cannot have %lld bytes\n", (long long)bytes);
        return 1;
    }
    memset(data, 1, (size_t)bytes);
    wk_set_threads(1);
    printf("1 thread   %6.1f GB/s\n", measure(data, bytes));
    wk_set_threads(all);
    printf("%d threads  %6.1f GB/s\n", all, measure(data, bytes));
    wk_free_pages(data, (size_t)bytes);
    return 0;
}
