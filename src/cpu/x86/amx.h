// SPDX-License-Identifier: MIT OR Apache-2.0
/* amx.h - what the matrix unit of x86 offers to the rest of the CPU backend. */
#ifndef WK_CPU_AMX_H
#define WK_CPU_AMX_H

#include "../gemm.h"

enum { WK_TILE_SIDE = 32, WK_TILE_STEP = 32, WK_TILE_BYTES = 1024 };

/* Has the processor tiles, and may this process use them?  The system is asked once. */
bool wk_amx_usable(void);

/* bf16 x bf16; A of other dtypes is rounded to bf16. */
extern const wk_engine wk_amx_bf16;

/* The same where B lies in panels of blocks, whose numbers are rounded to bf16. */
extern const wk_engine wk_amx_blocks;

/* With the accuracy of f32: A of any dtype x bf16, and any x any. */
extern const wk_engine wk_amx_x3, wk_amx_x6;

/* ---- Packing (amx_pack.c): as wk_engine says ---------------------------------- */

void wk_amx_pack_a_bf16(void *panel, const wk_mat *x, int64_t count, int64_t k);
void wk_amx_pack_b_bf16(void *panel, const wk_mat *x, int64_t count, int64_t k);
void wk_amx_pack_a_x3(void *panel, const wk_mat *x, int64_t count, int64_t k);
void wk_amx_pack_a_x6(void *panel, const wk_mat *x, int64_t count, int64_t k);
void wk_amx_pack_b_x6(void *panel, const wk_mat *x, int64_t count, int64_t k);

/* As pack_b_bf16, but group bytes from 16 columns to the next 16: so that a longer panel can
 * be written in parts. */
void wk_amx_pack_pairs(void *panel, const wk_mat *x, int64_t count, int64_t k, int64_t group);

/* amx_blocks.c */
void wk_amx_unpack(void *panel, const wk_gemm *g, int side, int64_t j, int64_t at, int64_t k);

/* What follows the parts in a panel of an engine that splits.  Its elements count 7 bytes:
 * three parts take 6, and this has room in the rest. */
typedef struct {
    float    scale[WK_TILE_SIDE]; /* rows were multiplied by 2^scale */
    uint32_t whole;               /* instead of parts there are floats, [k][32 rows] */
} wk_amx_end;

static inline wk_amx_end *wk_amx_end_of(const void *panel, int64_t k)
{
    return (wk_amx_end *)(void *)((char *)(uintptr_t)panel + k * WK_TILE_SIDE * 6);
}

/* ---- Attention (amx_attention.c) ---------------------------------------------- */

/* Of bf16 or f32 to keys and values of bf16, without mask, slopes and cap; false: not such a
 * call, or too small to be worth it. */
bool wk_amx_attention(const wk_call *c);

#endif
