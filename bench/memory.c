// SPDX-License-Identifier: MIT OR Apache-2.0
/* memory.c - how fast memory is read, by one thread and by all: the ceiling of decoding.
 *
 *   build/bench/memory [MB]          medians of 15 passes over so much (2048), in GB/s
 *
 * Twice, as it comes and with lines asked for early; the faster counts, as processors differ. */
#include "clock.h"

#include "../src/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 15, PIECE = 1 << 20 };

/* Eight sums that stay in registers: vectors as long as a line would go by the stack. */
typedef uint64_t quarter __attribute__((vector_size(16)));
enum { QUARTERS = 8, AHEAD = 4096 / sizeof(quarter) };

static bool                 asks;
static atomic_uint_fast64_t sink; /* so that nothing is left out */

static void read_piece(void *ctx, int64_t begin, int64_t end)
{
    const quarter *p = ctx;
    quarter        sum[QUARTERS] = { 0 };
    for (int64_t i = begin; i < end; i += QUARTERS) {
        for (int k = 0; asks && k < QUARTERS; k += 4)
            __builtin_prefetch(p + i + k + AHEAD, 0, 2);
        for (int k = 0; k < QUARTERS; k++)
            sum[k] += p[i + k];
    }
    for (int k = 0; k < QUARTERS; k++)
        atomic_fetch_add(&sink, sum[k][0] + sum[k][1]);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double measure(void *data, int64_t bytes)
{
    double sample[SAMPLES], least = 1e9;
    for (int way = 0; way < 2; way++) {
        asks = way == 1;
        for (int i = 0; i < SAMPLES; i++) {
            double start = now();
            wk_parallel(bytes / (int64_t)sizeof(quarter), PIECE / (int64_t)sizeof(quarter),
                        read_piece, data);
            sample[i] = now() - start;
        }
        qsort(sample, SAMPLES, sizeof *sample, by_size);
        least = sample[SAMPLES / 2] < least ? sample[SAMPLES / 2] : least;
    }
    return (double)bytes / least / 1e9;
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
