// SPDX-License-Identifier: MIT OR Apache-2.0
/* shared.c - the kernels that are the same for every instruction set. */
#include "shared.h"

/* What only moves memory, or is hardly ever large: there is nothing to add. */
static bool portable(const wk_call *c) { return c->op->compute(c); }

const wk_kernel wk_cpu_shared[WK_OP_LISTED + 1] = {
    [WK_OP_copy] = { portable, WK_ALL_OPERANDS, WK_ALL_OPERANDS },
    [WK_OP_cast] = { portable, WK_ALL_OPERANDS, 0 },
    [WK_OP_assign] = { portable, WK_ALL_OPERANDS, 0 },
    [WK_OP_fill] = { portable, WK_ALL_OPERANDS, 0 },
    [WK_OP_arange] = { portable, 0, 0 },
    [WK_OP_embedding] = { wk_cpu_embedding, 0, 2 },
    [WK_OP_index_select] = { portable, 0, 0 },
    [WK_OP_gather] = { wk_cpu_gather, WK_ALL_OPERANDS, 0 },
    [WK_OP_scatter] = { wk_cpu_scatter, WK_ALL_OPERANDS, 0 },
    [WK_OP_scatter_add] = { wk_cpu_scatter, WK_ALL_OPERANDS, 0 },
    [WK_OP_index_add] = { wk_cpu_index_add, 1, 0 },
    [WK_OP_prod] = { portable, WK_ALL_OPERANDS, 0 }, /* f32 would leave its range on the way */
    [WK_OP_randint] = { portable, 0, 0 },
};
