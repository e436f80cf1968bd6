// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_avxvnni.c - AVX2 with VNNI, without AVX-512: four products of bytes and their sum in
 * one instruction, for many rows.  All else is AVX2's: with few rows memory decides. */
#define ISA avx2
#define WK_VNNI_256
#include "../isa/matrix.h"
#include "../isa/quant_tile.h"

static wk_quant_kernels kernels;

static void install(void)
{
    kernels = WK_ISA(quant_kernels);
    kernels.tile = tile;
    kernels.tile_bias = VBIAS;
    WK_ISA(install_rows)();
}

const wk_cpu_isa wk_cpu_avxvnni = {
    .name = "avxvnni",
    .level = WK_LEVEL_avx2,
    .kernels = WK_ISA(kernels),
    .install_rows = install,
    .f32 = &WK_ISA(engine),
    .gemm = WK_ISA(gemm),
    .quant = &kernels,
};
