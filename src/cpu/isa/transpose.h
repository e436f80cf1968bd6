// SPDX-License-Identifier: MIT OR Apache-2.0
/* transpose.h - square blocks of 32-bit elements, in registers. */
#ifndef WK_CPU_TRANSPOSE_H
#define WK_CPU_TRANSPOSE_H

#include "../simd.h"

#define INLINE static inline __attribute__((always_inline))

/* Of two rows of blocks, a0 a1 and b0 b1, make a0 b0 and a1 b1. */
#define EXCHANGE(size, low, high)                                                                  \
    INLINE void exchange##size(vf *a, vf *b)                                                       \
    {                                                                                              \
        vf x = __builtin_shufflevector(*a, *b, LANES low);                                         \
        *b = __builtin_shufflevector(*a, *b, LANES high);                                          \
        *a = x;                                                                                    \
    }
#define LANES(...) __VA_ARGS__
#if defined __AVX512F__
EXCHANGE(1, (0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),
         (1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
EXCHANGE(2, (0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
         (2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
EXCHANGE(4, (0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),
         (4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
EXCHANGE(8, (0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
         (8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#elif defined __AVX2__
EXCHANGE(1, (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15))
EXCHANGE(2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
EXCHANGE(4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))
#else
EXCHANGE(1, (0, 4, 2, 6), (1, 5, 3, 7))
EXCHANGE(2, (0, 1, 4, 5), (2, 3, 6, 7))
#endif

/* v[i] lane j <-> v[j] lane i: blocks of 1, 2, 4 .. change places. */
INLINE void transpose(vf v[VF])
{
#pragma GCC unroll 16
    for (int i = 0; i < VF; i++)
        if (!(i & 1))
            exchange1(&v[i], &v[i + 1]);
#pragma GCC unroll 16
    for (int i = 0; i < VF; i++)
        if (!(i & 2))
            exchange2(&v[i], &v[i + 2]);
#if defined __AVX2__
#pragma GCC unroll 16
    for (int i = 0; i < VF; i++)
        if (!(i & 4))
            exchange4(&v[i], &v[i + 4]);
#endif
#if defined __AVX512F__
#pragma GCC unroll 16
    for (int i = 0; i < VF; i++)
        if (!(i & 8))
            exchange8(&v[i], &v[i + 8]);
#endif
}

#endif
