// SPDX-License-Identifier: MIT OR Apache-2.0
/* matrix.h - what the files about matrix products share. */
#ifndef WK_CPU_MATRIX_H
#define WK_CPU_MATRIX_H

#include "../gemm.h"
#include "isa.h"

static inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static inline bool is_plain_float(wk_dtype d) { return d == WK_F32 || d == WK_BF16 || d == WK_F16; }

extern const wk_engine WK_ISA(engine);

void WK_ISA(gemm)(const wk_gemm *g, int threads);

/* The same for f32 A of moderate size: nothing is packed that can be read as it lies.
 * False: not such a product. */
bool WK_ISA(gemm_direct)(const wk_gemm *g, int threads);

/* Products with up to WK_FEW_ROWS rows of A, whose B is read once, as it lies. */
enum { WK_FEW_ROWS = 8 };
bool WK_ISA(gemm_few_rows)(const wk_gemm *g, int threads);

/* The same with quantized B in panels: see quants.h. */
void WK_ISA(gemm_quant)(const wk_gemm *g, int count, int threads); /* of the same a */

/* rows x cols results from (i, j) on, from their sums, ld apart. */
void WK_ISA(gemm_finish)(const wk_gemm *g, int64_t i, int64_t j, int rows, int cols,
                         const float *sum, const float *sum2, int64_t ld);
bool WK_ISA(gemm_is_plain)(const wk_gemm *g); /* are the sums the result, as they are? */

bool WK_ISA(matmul)(const wk_call *c);
bool WK_ISA(linear)(const wk_call *c);
bool WK_ISA(linear_glu)(const wk_call *c);
bool WK_ISA(linear_cat)(const wk_call *c);

#endif
