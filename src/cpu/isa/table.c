// SPDX-License-Identifier: MIT OR Apache-2.0
/* table.c - the kernels of one instruction set. */
#include "isa.h"
#include "matrix.h"

const wk_kernel WK_ISA(kernels)[WK_OP_LISTED + 1] = {
    [WK_OP_LISTED] = { WK_ISA(function), .strided = WK_ALL_OPERANDS },
    [WK_OP_accumulate] = { WK_ISA(function), .strided = WK_ALL_OPERANDS },
    [WK_OP_where] = { WK_ISA(function), .strided = WK_ALL_OPERANDS },
    [WK_OP_glu] = { WK_ISA(function), .strided = WK_ALL_OPERANDS },
    [WK_OP_sum] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_mean] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_var] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_std] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_min] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_max] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_any] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_all] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_argmin] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_argmax] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_logsumexp] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_norm] = { WK_ISA(reduce), .strided = WK_ALL_OPERANDS },
    [WK_OP_cross_entropy] = { WK_ISA(cross_entropy), .strided = 0 },
    [WK_OP_cross_entropy_grad] = { WK_ISA(cross_entropy_grad), .strided = 0 },
    [WK_OP_rms_norm] = { WK_ISA(norm), .strided = 1 },
    [WK_OP_layer_norm] = { WK_ISA(norm), .strided = 1 },
    [WK_OP_rope] = { WK_ISA(rope), .strided = 1 },
    [WK_OP_softmax] = { WK_ISA(softmax), .strided = 0 },
    [WK_OP_log_softmax] = { WK_ISA(softmax), .strided = 0 },
    [WK_OP_matmul] = { WK_ISA(matmul), .strided = WK_ALL_OPERANDS },
    [WK_OP_linear] = { WK_ISA(linear), .strided = 0 },
    [WK_OP_linear_glu] = { WK_ISA(linear_glu), .strided = 0 },
    [WK_OP_attention] = { WK_ISA(attention), WK_ALL_OPERANDS, 0 },
    [WK_OP_attention_grad] = { WK_ISA(attention_grad), WK_ALL_OPERANDS, 0 },
};

#define TABLE_NAME(isa)  wk_cpu_##isa
#define TABLE_NAME2(isa) TABLE_NAME(isa)
const wk_cpu_isa TABLE_NAME2(ISA) = {
    .name = WK_TEXT2(ISA),
    .kernels = WK_ISA(kernels),
    .install_rows = WK_ISA(install_rows),
    .f32 = &WK_ISA(engine),
    .gemm = WK_ISA(gemm),
};
