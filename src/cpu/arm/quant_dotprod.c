// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_dotprod.c - aarch64 with dotprod: four products of bytes and their sum in one
 * instruction.  All kernels but those of isa/quant.c and isa/quant_grid.c are NEON's. */
#define ISA dotprod
#include "../isa/quant.c"

#include "arm.h"

const wk_cpu_isa wk_cpu_dotprod = {
    .name = "dotprod",
    .level = WK_LEVEL_base,
    .kernels = wk_cpu_kernels_base,
    .install_rows = wk_cpu_install_rows_base,
    .f32 = &wk_cpu_engine_base,
    .gemm = wk_cpu_gemm_base,
    .quant = &wk_cpu_quant_kernels_dotprod,
};
