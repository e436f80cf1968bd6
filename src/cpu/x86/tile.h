// SPDX-License-Identifier: MIT OR Apache-2.0
/* tile.h - the matrix unit of x86 (AMX): eight tiles of 16 rows of 64 bytes.
 *
 * The instructions are written as assembly, because gcc 12 declares only 8 of the 64
 * bytes that _tile_loadconfig() reads, and drops the stores of the rest, and because its
 * tile loads do not say that they read memory.
 *
 * With WK_TILE_EMULATED the same names are plain C, after the pseudo-code of Intel's
 * instruction set reference: the kernels can then be tested on any machine. */
#ifndef WK_CPU_TILE_H
#define WK_CPU_TILE_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    _Alignas(64) uint8_t palette;
    uint8_t  start_row, reserved[14];
    uint16_t bytes[16]; /* of a row, for each tile */
    uint8_t  rows[16];
} tile_config;

static inline tile_config tile_full_config(void)
{
    tile_config c = { .palette = 1 };
    for (int i = 0; i < 8; i++)
        c.bytes[i] = 64, c.rows[i] = 16;
    return c;
}

#if !defined WK_TILE_EMULATED

/* Before the first tile instruction of a thread, and after its last: with tiles in use
 * a context switch saves 8 KB more. */
static inline void tile_begin(void)
{
    tile_config c = tile_full_config();
    __asm__ volatile("ldtilecfg %0" ::"m"(c));
}
static inline void tile_end(void) { __asm__ volatile("tilerelease"); }

/* t is a literal 0 .. 7; strides are in bytes. */
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t ::)
#define TILE_LOAD(t, p, stride)                                                                    \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"((const void *)(p)), "r"((long)(stride)) \
                     : "memory")
/* The same for what will not be read again soon: it leaves the first-level cache alone. */
#define TILE_LOAD_ONCE(t, p, stride)                                                               \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #t ::"r"((const void *)(p)),                   \
                     "r"((long)(stride))                                                           \
                     : "memory")
#define TILE_STORE(t, p, stride)                                                                   \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"((void *)(p)), "r"((long)(stride))   \
                     : "memory")
/* c [16, 16] f32 += a [16, 32] bf16 x b [16 pairs of k, 16 columns, 2] bf16 */
#define TILE_DOT_BF16(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

#else

static _Thread_local union {
    uint8_t  byte[64];
    uint16_t half[32];
    float    f32[16];
} tile_emulated[8][16];

static inline void tile_begin(void) { memset(tile_emulated, 0, sizeof tile_emulated); }
static inline void tile_end(void) {}

static inline void tile_move_in(int t, const void *p, long stride)
{
    for (int r = 0; r < 16; r++)
        memcpy(tile_emulated[t][r].byte, (const char *)p + r * stride, 64);
}

static inline void tile_move_out(int t, void *p, long stride)
{
    for (int r = 0; r < 16; r++)
        memcpy((char *)p + r * stride, tile_emulated[t][r].byte, 64);
}

/* The unit knows no subnormal numbers: operands and results of that size are 0. */
static inline float tile_flush(float x) { return fabsf(x) < FLT_MIN ? copysignf(0, x) : x; }

static inline float tile_widen(uint16_t half)
{
    uint32_t u = (uint32_t)half << 16;
    float    x;
    memcpy(&x, &u, sizeof x);
    return tile_flush(x);
}

static inline void tile_dot_bf16(int c, int a, int b)
{
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 16; n++) {
            float sum[2] = { 0, 0 }, *to = &tile_emulated[c][m].f32[n];
            for (int k = 0; k < 32; k++)
                sum[k & 1] = tile_flush(
                    fmaf(tile_widen(tile_emulated[a][m].half[k]),
                         tile_widen(tile_emulated[b][k / 2].half[2 * n + k % 2]), sum[k & 1]));
            *to = tile_flush(tile_flush(*to) + tile_flush(sum[0] + sum[1]));
        }
}

#define TILE_ZERO(t)                 memset(tile_emulated[t], 0, sizeof tile_emulated[t])
#define TILE_LOAD(t, p, stride)      tile_move_in(t, p, stride)
#define TILE_LOAD_ONCE(t, p, stride) tile_move_in(t, p, stride)
#define TILE_STORE(t, p, stride)     tile_move_out(t, p, stride)
#define TILE_DOT_BF16(c, a, b)       tile_dot_bf16(c, a, b)

#endif
#endif
