// SPDX-License-Identifier: MIT OR Apache-2.0
/* softmax.c - exp(x) over its sum along an axis, and the logarithm of that.
 *
 * Along the last axis a line is a row.  Along another one VF neighbouring lines are
 * computed at once, a lane each. */
#include "../simd.h"
#include "row.h"

static float largest(const float *x, int64_t n)
{
    vf      top = vset(-INFINITY);
    int64_t i = 0;
    for (; i + VF <= n; i += VF)
        top = vmax(vload(x + i), top);
    float most = vlargest(top);
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* y = exp(x - top), whose sum is returned. */
static float exponents(float *y, const float *x, int64_t n, float top)
{
    vf      sum[2] = { 0 }, t = vset(top);
    int64_t i = 0;
    for (; i + 2 * VF <= n; i += 2 * VF)
        for (int k = 0; k < 2; k++) {
            vf e = vexp(vload(x + i + k * VF) - t);
            vstore(y + i + k * VF, e);
            sum[k] += e;
        }
    for (; i < n; i += VF) {
        int64_t left = n - i < VF ? n - i : VF;
        vf      lanes = vset(-INFINITY);
        vstore_part((float *)&lanes, vload_part(x + i, left) - t, left);
        vf e = vexp(lanes);
        vstore_part(y + i, e, left);
        sum[0] += e;
    }
    return vsum(sum[0] + sum[1]);
}

/* y = (x - top) - log(sum), or x / sum */
static void finish(float *y, const float *x, int64_t n, float top, float sum, bool logs)
{
    vf t = vset(logs ? top : 0), l = vset(logs ? logf(sum) : 0), f = vset(logs ? 1 : 1 / sum);
    for (int64_t i = 0; i < n; i += VF) {
        int64_t left = n - i < VF ? n - i : VF;
        vstore_part(y + i, (vload_part(x + i, left) - t - l) * f, left);
    }
}

static void last_axis(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        n = c->shape.dim[c->opt.mode.axis];
    bool           logs = c->op->id == WK_OP_log_softmax;
    float         *buffer = wk_scratch((size_t)n * 2 * sizeof *buffer);
    for (int64_t r = begin; buffer && r < end; r++) {
        const float *x = row_read(c->in[0], r * n, n, 1, buffer);
        float       *y = row_begin(c->out, r * n, buffer + n), top = largest(x, n);
        float        sum = exponents(y, x, n, top);
        finish(y, logs ? x : y, n, top, sum, logs);
        row_done(c->out, r * n, n, 1, y);
    }
}

/* VF lines at once (or the few that are left), [n, VF] in the buffer. */
static void lines(const wk_call *c, int64_t at, int64_t n, int64_t step, int64_t count, float *x)
{
    bool logs = c->op->id == WK_OP_log_softmax;
    vf   top = vset(-INFINITY), sum = { 0 };
    for (int64_t k = 0; k < n; k++) {
        const wk_dtype_info *d = &wk_dtypes[c->in[0]->dtype];
        const char          *p = (char *)wk_at_host(c->in[0]) + (at + k * step) * (int64_t)d->size;
        d->load[WK_AS_F32](x + k * VF, p, count, 1);
        for (int64_t i = count; i < VF; i++)
            x[k * VF + i] = 0;
        top = vmax(vload(x + k * VF), top);
    }
    for (int64_t k = 0; k < n; k++) {
        vf a = vload(x + k * VF) - top, e = vexp(a);
        vstore(x + k * VF, logs ? a : e);
        sum += e;
    }
    for (int i = 0; logs && i < VF; i++)
        sum[i] = logf(sum[i]);
    for (int64_t k = 0; k < n; k++) {
        vf a = vload(x + k * VF);
        vstore(x + k * VF, logs ? a - sum : a / sum);
        const wk_dtype_info *d = &wk_dtypes[c->out->dtype];
        d->store[WK_AS_F32]((char *)wk_at_host(c->out) + (at + k * step) * (int64_t)d->size,
                            x + k * VF, count, 1);
    }
}

static void other_axis(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        n = c->shape.dim[c->opt.mode.axis], step = c->out->stride[c->opt.mode.axis];
    int64_t        groups = (step + VF - 1) / VF;
    float         *x = wk_scratch((size_t)(n * VF) * sizeof *x);
    for (int64_t g = begin; x && g < end; g++) {
        int64_t first = g % groups * VF;
        lines(c, g / groups * step * n + first, n, step, step - first < VF ? step - first : VF, x);
    }
}

bool WK_ISA(softmax)(const wk_call *c)
{
    int64_t n = c->shape.dim[c->opt.mode.axis], step = c->out->stride[c->opt.mode.axis];
    if (!row_is_f32(c->in[0]) || c->out->dtype == WK_F64)
        return false;
    if (step == 1)
        wk_parallel(wk_count(c->out) / n, 8192 / n + 1, last_axis, (void *)c);
    else
        wk_parallel(wk_count(c->out) / n / step * ((step + VF - 1) / VF), 8192 / (n * VF) + 1,
                    other_axis, (void *)c);
    return wk_ok();
}
