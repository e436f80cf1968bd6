// SPDX-License-Identifier: MIT OR Apache-2.0
/* batch_norm.c - batch_norm in f32, its statistics and its gradient: x [b, c, ..]
 *
 * A row is one channel of one example; sums of rows are added up in f64. */
#include "../simd.h"
#include "isa.h"

/* of a row: of x, and of dy (x - mean); without dy of (x - mean)^2 */
typedef struct {
    double sum, along;
} sums;

static sums sums_of(const float *x, const float *dy, int64_t n, float mean)
{
    vf      s[2] = { 0 }, p[2] = { 0 }, m = vset(mean);
    int64_t i = 0;
    for (; i + 2 * VF <= n; i += 2 * VF)
        for (int k = 0; k < 2; k++) {
            vf u = vload(x + i + k * VF) - m, d = dy ? vload(dy + i + k * VF) : u;
            s[k] += d;
            p[k] = vfma(d, u, p[k]);
        }
    for (; i < n; i += VF) {
        int64_t left = wk_min_i64(VF, n - i);
        vf      u = vload_part(x + i, left) - m, lanes = { 0 };
        vstore_part((float *)&lanes, u, left); /* what is none of x's is 0 */
        vf d = dy ? vload_part(dy + i, left) : lanes;
        s[0] += d;
        p[0] = vfma(d, lanes, p[0]);
    }
    return (sums){ vsum(s[0] + s[1]), vsum(p[0] + p[1]) };
}

static void sum_channels(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    const float   *x = wk_f32(c->in[0]), *dy = c->in[1] ? wk_f32(c->in[1]) : NULL;
    int64_t        rows = wk_dim(c->in[0], 0), channels = wk_dim(c->in[0], 1);
    int64_t        n = wk_count(c->in[0]) / (rows * channels);
    for (int64_t k = begin; k < end; k++) {
        double mean = dy ? (double)wk_f32(c->in[2])[k] : 0, sum = 0, along = 0;
        for (int64_t b = 0; b < rows; b++) {
            const float *row = x + (b * channels + k) * n;
            if (dy) {
                sums s = sums_of(row, dy + (b * channels + k) * n, n, (float)mean);
                sum += s.sum;
                along += s.along;
                continue;
            }
            sums   s = sums_of(row, NULL, n, 0); /* then about the row's own mean, in the cache */
            float  own = (float)(s.sum / (double)n);
            sums   t = sums_of(row, NULL, n, own);
            double exact = (double)own + t.sum / (double)n, d = exact - mean;
            along += t.along - t.sum * t.sum / (double)n; /* Chan, Golub and LeVeque, 1983 */
            along += d * d * (double)n * (double)b / (double)(b + 1);
            mean += d / (double)(b + 1);
        }
        wk_f32(c->out)[k] = (float)(dy ? sum : mean);
        wk_f32(c->out)[channels + k] = (float)(dy ? along : along / (double)(n * rows));
    }
}

static bool all_f32(const wk_call *c)
{
    for (int i = 0; i < c->count; i++)
        if (c->in[i] && c->in[i]->dtype != WK_F32)
            return false;
    return c->out->dtype == WK_F32;
}

bool WK_ISA(batch_norm_sums)(const wk_call *c)
{
    const wk_tensor *x = c->in[0];
    if (!all_f32(c) || !wk_count(x))
        return false;
    wk_parallel(wk_dim(x, 1), 16384 / (wk_count(x) / wk_dim(x, 1)) + 1, sum_channels, (void *)c);
    return true;
}

/* ---- y = (x - mean) k + shift, and dy g with it ---------------------------- */

enum { X, MEAN, K, SHIFT, DY, G, OPERANDS };

static void scale_rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    bool           grad = c->op->id == WK_OP_batch_norm_grad;
    int64_t        channels = wk_dim(c->out, 1);
    int64_t        n = wk_count(c->out) / (wk_dim(c->out, 0) * channels);
    for (int64_t r = begin; r < end; r++) {
        float v[OPERANDS] = { 0 };
        for (int i = MEAN; i < c->count; i++)
            if (c->in[i] && !(grad && i == DY))
                v[i] = wk_f32(c->in[i])[r % channels * c->in[i]->stride[0]];
        if (!grad) { /* in are x, mean, var, weight, bias */
            float weight = c->in[3] ? v[3] : 1, bias = c->in[4] ? v[4] : 0;
            v[K] = (float)((double)weight / sqrt((double)v[2] + c->opt.number[0]));
            v[SHIFT] = bias;
        }
        const float *x = wk_f32(c->in[X]) + r * n, *dy = grad ? wk_f32(c->in[DY]) + r * n : NULL;
        float       *y = wk_f32(c->out) + r * n;
        vf           mean = vset(v[MEAN]), k = vset(v[K]), shift = vset(v[SHIFT]), g = vset(v[G]);
        for (int64_t i = 0; i < n; i += VF) {
            int64_t left = wk_min_i64(VF, n - i);
            bool    all = left == VF;
            vf      a = vfma((all ? vload(x + i) : vload_part(x + i, left)) - mean, k, shift);
            a = dy ? vfma(all ? vload(dy + i) : vload_part(dy + i, left), g, a) : a;
            all ? vstore(y + i, a) : vstore_part(y + i, a, left);
        }
    }
}

bool WK_ISA(batch_norm)(const wk_call *c)
{
    int64_t count = wk_dim(c->out, 0) * wk_dim(c->out, 1);
    if (!all_f32(c))
        return false;
    wk_parallel(count, 16384 / (wk_count(c->out) / count) + 1, scale_rows, (void *)c);
    return true;
}
