// SPDX-License-Identifier: MIT OR Apache-2.0
/* clock.h - seconds for benchmarks: on one thread those of the processor, in which other programs
 * do not count. */
#ifndef WK_BENCH_CLOCK_H
#define WK_BENCH_CLOCK_H

#include <wick/wick.h>

#include <time.h>

static inline double now(void)
{
    struct timespec t;
    clock_gettime(wk_threads() > 1 ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
