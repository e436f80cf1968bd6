// SPDX-License-Identifier: MIT OR Apache-2.0
/* amx_emulated.h - names for the tile kernels as compiled once more, with tiles that are
 * plain C. */
#define WK_TILE_EMULATED
#define wk_amx_bf16      emulated_amx_bf16
#define wk_amx_blocks    emulated_amx_blocks
#define wk_amx_x3        emulated_amx_x3
#define wk_amx_x6        emulated_amx_x6
#define wk_amx_attention emulated_amx_attention
