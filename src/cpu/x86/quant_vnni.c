// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_vnni.c - AVX-512 with VNNI: four products of bytes and their sum in one
 * instruction.  All kernels but those of isa/quant.c are those of AVX-512. */
#define ISA vnni
#include "../isa/quant.c"

extern const wk_kernel wk_cpu_kernels_avx512[];
extern const wk_engine wk_cpu_engine_avx512;
void                   wk_cpu_install_rows_avx512(void);
void                   wk_cpu_gemm_avx512(const wk_gemm *g, int threads);

const wk_cpu_isa wk_cpu_avx512vnni = {
    .name = "avx512vnni",
    .level = WK_LEVEL_avx512,
    .kernels = wk_cpu_kernels_avx512,
    .install_rows = wk_cpu_install_rows_avx512,
    .f32 = &wk_cpu_engine_avx512,
    .gemm = wk_cpu_gemm_avx512,
    .quant = &wk_cpu_quant_kernels_vnni,
};
