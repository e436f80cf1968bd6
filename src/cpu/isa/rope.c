// SPDX-License-Identifier: MIT OR Apache-2.0
/* rope.c - rotary position embedding: x [.., t, d] in any strides, cos and sin [t, n/2] */
#include "../simd.h"
#include "row.h"

static void turn_halves(float *y, const float *x, const float *cos, const float *sin, int64_t half)
{
    int64_t i = 0;
    for (; i + VF <= half; i += VF) {
        vf a = vload(x + i), b = vload(x + i + half), co = vload(cos + i), si = vload(sin + i);
        vstore(y + i, a * co - b * si);
        vstore(y + i + half, b * co + a * si);
    }
    for (; i < half; i++) {
        float a = x[i], b = x[i + half];
        y[i] = a * cos[i] - b * sin[i];
        y[i + half] = b * cos[i] + a * sin[i];
    }
}

static void turn_pairs(float *y, const float *x, const float *cos, const float *sin, int64_t half)
{
    for (int64_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = a * cos[i] - b * sin[i];
        y[2 * i + 1] = b * cos[i] + a * sin[i];
    }
}

static void rope_rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *x = c->in[0], *cos = c->in[1], *sin = c->in[2];
    int64_t          t = wk_dim(x, -2), d = wk_dim(x, -1), half = wk_dim(cos, 1);
    float           *buffer = wk_scratch((size_t)(2 * d + 2 * half) * sizeof *buffer);
    for (int64_t r = begin; buffer && r < end; r++) {
        const float *from = row_read(x, row_at(x, r), d, x->stride[x->shape.rank - 1], buffer);
        const float *co = row_read(cos, r % t * half, half, 1, buffer + 2 * d);
        const float *si = row_read(sin, r % t * half, half, 1, buffer + 2 * d + half);
        float       *to = row_begin(c->out, r * d, buffer + d);
        (c->opt.mode.flag ? turn_pairs : turn_halves)(to, from, co, si, half);
        if (2 * half < d)
            memcpy(to + 2 * half, from + 2 * half, (size_t)(d - 2 * half) * sizeof *to);
        row_done(c->out, r * d, d, 1, to);
    }
}

bool WK_ISA(rope)(const wk_call *c)
{
    int64_t d = wk_dim(c->out, -1);
    if (!row_is_f32(c->in[0]) || !row_is_f32(c->in[1]) || !row_is_f32(c->in[2]))
        return false;
    wk_parallel(wk_count(c->out) / d, 16384 / d + 1, rope_rows, (void *)c);
    return wk_ok();
}
