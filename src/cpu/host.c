// SPDX-License-Identifier: MIT OR Apache-2.0
/* host.c - the kernels that operations name themselves, for the instruction set in use.
 *
 * They are in no table that every program carries: what names none of them has none. */
#include "cpu.h"

typedef bool (*kernel_fn)(const wk_call *c);

#if defined WITH_avx2
#define HOST(name)                                                                                 \
    bool wk_cpu_##name##_base(const wk_call *c), wk_cpu_##name##_avx2(const wk_call *c),           \
        wk_cpu_##name##_avx512(const wk_call *c);                                                  \
    bool wk_host_##name(const wk_call *c)                                                          \
    {                                                                                              \
        static const kernel_fn kernels[WK_LEVELS] = {                                              \
            [WK_LEVEL_base] = wk_cpu_##name##_base,                                                \
            [WK_LEVEL_avx2] = wk_cpu_##name##_avx2,                                                \
            [WK_LEVEL_avx512] = wk_cpu_##name##_avx512,                                            \
        };                                                                                         \
        kernel_fn kernel = kernels[wk_cpu_current()->level];                                       \
        return kernel && kernel(c);                                                                \
    }
#else
#define HOST(name)                                                                                 \
    bool wk_cpu_##name##_base(const wk_call *c);                                                   \
    bool wk_host_##name(const wk_call *c)                                                          \
    {                                                                                              \
        return wk_cpu_current()->level == WK_LEVEL_base && wk_cpu_##name##_base(c);                \
    }
#endif
#include "../core/host.def"
