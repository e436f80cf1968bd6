// SPDX-License-Identifier: MIT OR Apache-2.0
/* amx_blocks.c - many rows times quantized weights on tiles: a part of a panel becomes bf16
 * in the first-level cache, and meets all rows of the piece there.
 *
 * Why not tiles of bytes: with a scale for each 32 of k they are half full, so that 16 cycles
 * make the 16 x 16 x 32 products that bf16 makes in them, too.  But the sums would leave the
 * tile each time, to be converted, scaled by both sides and added: 48 vector operations on
 * two ports, 24 cycles, which is two thirds of bf16's rate at best.  Sums of bf16 stay for
 * all of k; what it takes is some 150 operations for 32 k of 16 outputs, once for all rows:
 * with 512 of them 75 cycles beside 512, with 16 about what products of bytes with VNNI
 * cost.  And x loses less: at most 2^-8 of each number, not of the largest of 32; the
 * weights lose as much.
 *
 * A number times its scale, plus its offset, is rounded once to f32 and once to bf16. */
#include "amx.h"

#include "../cpu.h"
#include "../quants.h"

#include <immintrin.h>

enum { SIDE = WK_TILE_SIDE, STEP = WK_TILE_STEP, TILE = WK_TILE_BYTES, BESIDE = 2 * WK_QUAD_BYTES };

typedef struct {
    wk_quant_job job;
    int64_t      stride; /* from a panel of 16 outputs to the next */
} source;

static source source_of(const wk_gemm *g, int side)
{
    const wk_mat   *b = &g->b[side];
    const wk_quant *type = &wk_quants[b->dtype - WK_Q4_0];
    source          s = { .stride = wk_bytes_at(b->dtype, b->row) * WK_PANEL };
    s.job.type = type;
    s.job.layout = &wk_quant_layouts[b->dtype - WK_Q4_0];
    s.job.bits = &wk_quant_bits_of[s.job.layout->numbers];
    s.job.zero = type->zero;
    if (s.job.bits->low == 8 || s.job.bits->table)
        s.job.zero = wk_cpu_quant_kernels_vnni.bias;
    for (int i = 0; i < 16 && s.job.bits->table; i++)
        s.job.values[i] = (int8_t)(type->values[i] ^ 0x80);
    return s;
}

/* A group of 16 or 32 k with one scale.  A quad, 4 k of 16 outputs, is two rows of a tile:
 * half a row, 2 k of 8 outputs, is widened to f32 at a time. */
static void round_group(const char *quads, int count, __m512 scale, __m512 offset, char *to)
{
    const __m512i lane = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    const __m512i high = _mm512_add_epi32(lane, _mm512_set1_epi32(8));
    const __m512i odd = _mm512_set1_epi64(0x100000000);
    const __m512i byte = _mm512_add_epi32(_mm512_slli_epi32(lane, 2), odd);
    const __m512  s[2] = { _mm512_permutexvar_ps(lane, scale), _mm512_permutexvar_ps(high, scale) };
    const __m512  o[2] = { _mm512_permutexvar_ps(lane, offset),
                           _mm512_permutexvar_ps(high, offset) };
    for (; count > 0; count--, quads += BESIDE, to += 2 * 64) {
        __m512i x = _mm512_load_si512(quads);
        for (int row = 0; row < 2; row++) {
            __m512 w[2];
            for (int h = 0; h < 2; h++) {
                __m512i at = _mm512_add_epi32(byte, _mm512_set1_epi32(2 * row + 32 * h));
                at = _mm512_maskz_permutexvar_epi8(0x1111111111111111, at, x);
                w[h] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(at), s[h], o[h]);
            }
            _mm512_store_si512(to + row * 64, (__m512i)_mm512_cvtne2ps_pbh(w[1], w[0]));
        }
    }
}

/* Units of a chunk of n numbers of each output; quads: room for WK_CHUNK of them. */
static void unpack_chunk(const source *s, const char *chunk, int64_t n, int64_t unit, int64_t units,
                         char *quads, char *to)
{
    const wk_quant_kernels *kernels = &wk_cpu_quant_kernels_vnni;
    const wk_quant_layout  *l = s->job.layout;
    const wk_quant_bits    *f = s->job.bits;
    const int64_t      bytes = (f->low + f->high) * WK_QUAD_BYTES, blocks = n / s->job.type->block;
    const int          count = WK_QUADS / f->parts;
    _Alignas(64) float scale[WK_CHUNK_GROUPS * WK_PANEL], offset[WK_CHUNK_GROUPS * WK_PANEL];
    const char        *numbers = chunk + blocks * wk_quant_head(l) + unit * bytes;
    for (int64_t i = 0; i < units * bytes; i += 64) /* what comes next, of two panels each */
        _mm_prefetch(numbers + i + 2 * s->stride, _MM_HINT_T1);
    kernels->scales[l->scales]((const uint8_t *)chunk, blocks, scale, offset);
    kernels->unpack[l->numbers](&s->job, numbers, units, quads);
    for (int64_t i = 0; i < units * f->parts; i++, quads += count * BESIDE, to += count * 128) {
        int64_t at = (unit * f->parts + i) * WK_PANEL;
        __m512  a = _mm512_load_ps(scale + at);
        __m512  least = f->least ? _mm512_load_ps(offset + at) : _mm512_setzero_ps();
        round_group(quads, count, a, _mm512_fnmadd_ps(a, _mm512_set1_ps((float)s->job.zero), least),
                    to);
    }
}

void wk_amx_unpack(void *panel, const wk_gemm *g, int side, int64_t j, int64_t at, int64_t k)
{
    _Alignas(64) char quads[WK_CHUNK / 4 * BESIDE];
    const source      s = source_of(g, side);
    char             *to = panel;
    const char       *from = (const char *)g->b[side].data + j * (SIDE / WK_PANEL) * s.stride;
    for (int64_t col = j * SIDE; col < g->n && col < (j + 1) * SIDE; col += WK_PANEL) {
        for (int64_t p = at, n; p < at + k; p += n, to += n / STEP * TILE) {
            int64_t first = p / WK_CHUNK * WK_CHUNK, size = wk_min_i64(WK_CHUNK, g->k - first);
            n = wk_min_i64(first + size, at + k) - p;
            unpack_chunk(&s, from + wk_bytes_at(g->b[side].dtype, first) * WK_PANEL, size,
                         (p - first) / WK_UNIT, n / WK_UNIT, quads, to);
        }
        from += s.stride;
    }
}
