// SPDX-License-Identifier: MIT OR Apache-2.0
/* isa.h - what the files of this folder share: names that carry the instruction set.
 *
 * WK_ISA(softmax) is wk_softmax_avx2 in the objects for AVX2, and so on. */
#ifndef WK_CPU_ISA_H
#define WK_CPU_ISA_H

#include "../cpu.h"

#define WK_PASTE(name, isa)  wk_cpu_##name##_##isa
#define WK_PASTE2(name, isa) WK_PASTE(name, isa)
#define WK_ISA(name)         WK_PASTE2(name, ISA)
#define WK_LEVEL(isa)        WK_LEVEL_##isa
#define WK_LEVEL2(isa)       WK_LEVEL(isa)
#define WK_TEXT(x)           #x
#define WK_TEXT2(x)          WK_TEXT(x)

extern const wk_kernel WK_ISA(kernels)[WK_OP_LISTED + 1];

extern const wk_quant_kernels WK_ISA(quant_kernels);
extern const wk_quant_rows    WK_ISA(quant_rows);

void WK_ISA(install_rows)(void);
bool WK_ISA(function)(const wk_call *c); /* element by element */
bool WK_ISA(adam)(const wk_call *c);
bool WK_ISA(reduce)(const wk_call *c);
bool WK_ISA(cross_entropy)(const wk_call *c);
bool WK_ISA(cross_entropy_grad)(const wk_call *c);
bool WK_ISA(attention)(const wk_call *c);
bool WK_ISA(attention_grad)(const wk_call *c);

bool WK_ISA(norm)(const wk_call *c); /* rms_norm, layer_norm */
bool WK_ISA(rope)(const wk_call *c);
bool WK_ISA(softmax)(const wk_call *c); /* and log_softmax */

/* What operations name themselves: see core/host.def. */
#define HOST(name) bool WK_ISA(name)(const wk_call *c);
#include "../../core/host.def"
#undef HOST

#endif
