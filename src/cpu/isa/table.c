// SPDX-License-Identifier: MIT OR Apache-2.0
/* table.c - the kernels of one instruction set. */
#include "isa.h"

static const wk_kernel kernels[WK_OP_COUNT] = {
    [WK_OP_fill] = { 0 },
    [WK_OP_attention] = { WK_ISA(attention), WK_ALL_OPERANDS, 0 },
    [WK_OP_attention_grad] = { WK_ISA(attention_grad), WK_ALL_OPERANDS, 0 },
};

void WK_ISA(install_rows)(void) {}

#define TABLE_NAME(isa)  wk_cpu_##isa
#define TABLE_NAME2(isa) TABLE_NAME(isa)
const wk_cpu_isa TABLE_NAME2(ISA) = {
    .name = WK_TEXT2(ISA),
    .kernels = kernels,
    .install_rows = WK_ISA(install_rows),
};
