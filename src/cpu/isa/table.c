// SPDX-License-Identifier: MIT OR Apache-2.0
/* table.c - the kernels of one instruction set. */
#include "isa.h"
#include "matrix.h"

const wk_kernel WK_ISA(kernels)[WK_OP_LISTED + 1] = {
    [WK_OP_LISTED] = { .run = WK_ISA(function), .strided = WK_ALL_OPERANDS },
    [WK_OP_accumulate] = { .run = WK_ISA(function), .strided = WK_ALL_OPERANDS },
    [WK_OP_adam] = { .run = WK_ISA(adam) },
    [WK_OP_where] = { .run = WK_ISA(function), .strided = WK_ALL_OPERANDS },
    [WK_OP_glu] = { .run = WK_ISA(function), .strided = WK_ALL_OPERANDS },
    [WK_OP_sum] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_mean] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_var] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_std] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_min] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_max] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_any] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_all] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_argmin] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_argmax] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_logsumexp] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_norm] = { .run = WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_cross_entropy] = { .run = WK_ISA(cross_entropy) },
    [WK_OP_cross_entropy_grad] = { .run = WK_ISA(cross_entropy_grad) },
    [WK_OP_rms_norm] = { .run = WK_ISA(norm), .strided = 1 },
    [WK_OP_layer_norm] = { .run = WK_ISA(norm), .strided = 1 },
    [WK_OP_rope] = { .run = WK_ISA(rope), .strided = 1 },
    [WK_OP_softmax] = { .run = WK_ISA(softmax) },
    [WK_OP_log_softmax] = { .run = WK_ISA(softmax) },
    [WK_OP_matmul] = { .run = WK_ISA(matmul), .strided = WK_ALL_OPERANDS },
    [WK_OP_linear] = { .run = WK_ISA(linear), .packed = 1 << 1 },
    [WK_OP_linear_glu] = { .run = WK_ISA(linear_glu), .packed = 1 << 1 | 1 << 3 },
    [WK_OP_linear_cat] = { .run = WK_ISA(linear_cat), .packed = WK_ALL_OPERANDS & ~1u },
    [WK_OP_attention] = { .run = WK_ISA(attention), .strided = WK_ALL_OPERANDS },
    [WK_OP_attention_grad] = { .run = WK_ISA(attention_grad), .strided = WK_ALL_OPERANDS },
};

/* Processors from before 2013 read quantized weights as f32; AVX-512 without VNNI has no
 * products of bytes that are worth code of its own. */
#if defined __AVX512F__
#define QUANT_KERNELS &wk_cpu_quant_kernels_avx2
#elif defined __AVX2__ || !defined __x86_64__
#define QUANT_KERNELS &WK_ISA(quant_kernels)
#else
#define QUANT_KERNELS NULL
#endif

#define TABLE_NAME(isa)  wk_cpu_##isa
#define TABLE_NAME2(isa) TABLE_NAME(isa)
const wk_cpu_isa TABLE_NAME2(ISA) = {
    .name = WK_TEXT2(ISA),
    .level = WK_LEVEL2(ISA),
    .kernels = WK_ISA(kernels),
    .install_rows = WK_ISA(install_rows),
    .f32 = &WK_ISA(engine),
    .gemm = WK_ISA(gemm),
    .quant = QUANT_KERNELS,
};
