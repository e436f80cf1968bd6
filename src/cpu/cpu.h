// SPDX-License-Identifier: MIT OR Apache-2.0
/* cpu.h - the CPU backend: which instruction sets there are, and what each offers.
 *
 * The files in isa/ are compiled once for each instruction set, over simd.h, and give
 * one wk_cpu_isa each; the best one that the processor has is chosen when the library
 * starts.  WICK_CPU=base|avx2|avxvnni|avx512|avx512vnni|avx512bf16|avx512panels|amx, or on
 * aarch64 base|dotprod|i8mm, forces one. */
#ifndef WK_CPU_H
#define WK_CPU_H

#include "gemm.h"

/* Which objects of isa/ an instruction set takes its kernels from. */
enum { WK_LEVEL_none, WK_LEVEL_base, WK_LEVEL_avx2, WK_LEVEL_avx512, WK_LEVELS };

typedef struct {
    const char      *name;
    int              level;      /* none: the portable kernels, of which tests make one */
    const wk_kernel *kernels;    /* see kernel() in cpu.c */
    void (*install_rows)(void);  /* put faster rows into wk_dtypes */
    const wk_engine *f32, *bf16; /* of matrix products; without bf16: f32 serves */

    /* The product on up to so many threads.  Uses the calling thread's scratch memory. */
    void (*gemm)(const wk_gemm *g, int threads);

    wk_tensor *(*pack)(wk_tensor *weight); /* see wk_pack(); NULL: as it is */
    const wk_few_fn *few;                  /* with 1, 2, 4, 8 rows and such a weight */

    const wk_quant_kernels *quant;  /* with quantized weights in panels */
    const wk_engine        *blocks; /* the same with many rows; may be NULL */
} wk_cpu_isa;

extern const wk_cpu_isa wk_cpu_base, wk_cpu_avx2, wk_cpu_avx512, wk_cpu_avx512vnni;
extern const wk_cpu_isa wk_cpu_avx512bf16, wk_cpu_avx512panels, wk_cpu_amx, wk_cpu_avxvnni;
extern const wk_cpu_isa wk_cpu_dotprod, wk_cpu_i8mm;

extern const wk_quant_kernels wk_cpu_quant_kernels_avx2, wk_cpu_quant_kernels_vnni;
extern const wk_quant_rows    wk_cpu_quant_rows_avx2;

/* Panels of bf16: x86/panels_bf16.c. */
wk_tensor             *wk_panels_pack(wk_tensor *weight);
extern const wk_few_fn wk_panels_few[4];

const wk_cpu_isa *wk_cpu_current(void);                           /* the one in use */
int               wk_cpu_list(const wk_cpu_isa **isas, int room); /* those this processor has */
void              wk_cpu_use(const wk_cpu_isa *isa);              /* for tests */

#endif
