// SPDX-License-Identifier: MIT OR Apache-2.0
/* norm.c - rms_norm and layer_norm, a row at a time: x [.., c], weight and bias [c]
 *
 * Sums are kept in 4 vectors, and means are taken off before squares are summed. */
#include "../simd.h"
#include "row.h"

/* sum of (x - mean)^2 or, with the mean 0 and square false, of x */
static float sum_of(const float *x, int64_t n, float mean, bool square)
{
    vf      s[4] = { 0 }, m = vset(mean);
    int64_t i = 0;
    for (; i + 4 * VF <= n; i += 4 * VF)
        for (int k = 0; k < 4; k++) {
            vf d = vload(x + i + k * VF) - m;
            s[k] = square ? vfma(d, d, s[k]) : s[k] + d;
        }
    for (; i < n; i += VF) {
        int64_t left = n - i < VF ? n - i : VF;
        vf      d = vload_part(x + i, left) - m, lanes = { 0 };
        vstore_part((float *)&lanes, d, left);
        s[0] = square ? vfma(lanes, lanes, s[0]) : s[0] + lanes;
    }
    return vsum((s[0] + s[1]) + (s[2] + s[3]));
}

/* y = (x - mean) k weight + bias */
static void scale_row(float *y, const float *x, int64_t n, float mean, float k, const float *weight,
                      const float *bias)
{
    int64_t i = 0;
    vf      m = vset(mean), f = vset(k);
    for (; i + VF <= n; i += VF) {
        vf a = (vload(x + i) - m) * f;
        a = weight ? a * vload(weight + i) : a;
        vstore(y + i, bias ? a + vload(bias + i) : a);
    }
    if (i < n) {
        vf a = (vload_part(x + i, n - i) - m) * f;
        a = weight ? a * vload_part(weight + i, n - i) : a;
        vstore_part(y + i, bias ? a + vload_part(bias + i, n - i) : a, n - i);
    }
}

static void norm_rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *x = c->in[0];
    int64_t          n = wk_dim(x, -1), step = x->stride[x->shape.rank - 1];
    bool             centred = c->op->id == WK_OP_layer_norm;
    float           *buffer = wk_scratch((size_t)n * 4 * sizeof *buffer);
    if (!buffer)
        return;
    const float *weight = row_parameter(c->in[1], n, buffer);
    const float *bias = c->count > 2 ? row_parameter(c->in[2], n, buffer + n) : NULL;
    for (int64_t r = begin; r < end; r++) {
        const float *from = row_read(x, row_at(x, r), n, step, buffer + 2 * n);
        float       *to = row_begin(c->out, r * n, buffer + 3 * n);
        float        mean = centred ? sum_of(from, n, 0, false) / (float)n : 0;
        double       square = (double)sum_of(from, n, mean, true) / (double)n;
        scale_row(to, from, n, mean, (float)(1 / sqrt(square + c->opt.number[0])), weight, bias);
        row_done(c->out, r * n, n, 1, to);
    }
}

bool WK_ISA(norm)(const wk_call *c)
{
    int64_t n = wk_dim(c->out, -1);
    if (!row_is_f32(c->in[0]) || !row_is_f32(c->in[1]) || (c->count > 2 && !row_is_f32(c->in[2])))
        return false;
    wk_parallel(wk_count(c->out) / n, 16384 / n + 1, norm_rows, (void *)c);
    return wk_ok();
}
