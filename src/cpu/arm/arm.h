// SPDX-License-Identifier: MIT OR Apache-2.0
/* arm.h - what the instruction sets of this folder take from others. */
#ifndef WK_CPU_ARM_H
#define WK_CPU_ARM_H

#include "../cpu.h"

extern const wk_kernel wk_cpu_kernels_base[];
extern const wk_engine wk_cpu_engine_base;
void                   wk_cpu_install_rows_base(void);
void                   wk_cpu_gemm_base(const wk_gemm *g, int threads);

extern const wk_quant_kernels wk_cpu_quant_kernels_dotprod;

#endif
