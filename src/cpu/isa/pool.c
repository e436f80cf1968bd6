// SPDX-License-Identifier: MIT OR Apache-2.0
/* pool.c - max_pool and its gradient in f32: windows side by side are lanes.
 *
 * The elements of all these windows are compared one after the other; where windows reach
 * beyond the image, one window at a time.  The gradient finds the largest elements again. */
#include "../simd.h"
#include "isa.h"

typedef struct {
    const float *x, *dy; /* dy: of the gradient, else NULL */
    float       *out;
    int64_t      n[3], y[3], nx, ny;
    int64_t      size[3], stride[3], dilation[3], before[3];
} pool;

typedef struct {
    int64_t from, to; /* the elements of a window that lie in the image, along an axis */
} taps;

/* Of window i: element k is at i stride + k dilation - before. */
static taps taps_of(const pool *p, int axis, int64_t i)
{
    int64_t step = p->dilation[axis], at = i * p->stride[axis] - p->before[axis];
    int64_t last = p->n[axis] - 1 - at;
    return (taps){ at < 0 ? (step - 1 - at) / step : 0,
                   last < 0 ? 0 : wk_min_i64(p->size[axis], last / step + 1) };
}

/* n elements, stride apart */
static inline vf load_apart(const float *p, int64_t stride, int64_t n)
{
    if (stride == 1)
        return n == VF ? vload(p) : vload_part(p, n);
    if (stride == 2)
        return vload_even(p, n);
    float lanes[VF] = { 0 };
    for (int64_t i = 0; i < n; i++)
        lanes[i] = p[i * stride];
    return vload(lanes);
}

/* The largest elements of n windows from w on, of a row of windows, and where they are: the
 * first of equal ones, the last NaN; -1 in an empty window.  t[2] is the same for all. */
static void take_windows(const pool *p, const float *x, const int64_t row[2], const taps t[3],
                         int64_t w, int64_t n, float *best, int32_t *at)
{
    int32_t lane[VF];
    for (int i = 0; i < VF; i++)
        lane[i] = (int32_t)(i * p->stride[2]);
    vf most = vset(-INFINITY);
    vi where = viset(-1), lanes = (vi)vload((const float *)(const void *)lane);
    for (int64_t i = t[0].from; i < t[0].to; i++)
        for (int64_t j = t[1].from; j < t[1].to; j++)
            for (int64_t k = t[2].from; k < t[2].to; k++) {
                int64_t from = row[0] * p->stride[0] + i * p->dilation[0] - p->before[0];
                from = from * p->n[1] + row[1] * p->stride[1] + j * p->dilation[1] - p->before[1];
                from = from * p->n[2] + w * p->stride[2] + k * p->dilation[2] - p->before[2];
                vf v = load_apart(x + from, p->stride[2], n);
                vi take = (v > most) | (v != v) | (where < 0);
                most = vselect(take, v, most);
                where = (vi)vselect(take, (vf)(viset((int32_t)from) + lanes), (vf)where);
            }
    vstore_part(best + w, most, n);
    vstore_part((float *)(void *)(at + w), (vf)where, n);
}

static void take_row(const pool *p, const float *x, const int64_t row[2], float *best, int32_t *at)
{
    taps    t[3] = { taps_of(p, 0, row[0]), taps_of(p, 1, row[1]), { 0, p->size[2] } };
    int64_t count = p->y[2], stride = p->stride[2];
    int64_t last = p->n[2] - 1 + p->before[2] - (p->size[2] - 1) * p->dilation[2];
    int64_t from = wk_min_i64(count, (p->before[2] + stride - 1) / stride); /* windows that lie */
    int64_t to = last < 0 ? from : wk_max_i64(from, wk_min_i64(count, last / stride + 1));
    for (int64_t w = from, n; w < to; w += n) { /* inside: the last ones twice if need be */
        w = to - from >= VF ? wk_min_i64(w, to - VF) : w;
        n = wk_min_i64(VF, to - w);
        take_windows(p, x, row, t, w, n, best, at);
    }
    for (int64_t w = 0; w < count; w++)
        if (w < from || w >= to) {
            t[2] = taps_of(p, 2, w);
            take_windows(p, x, row, t, w, 1, best, at);
        }
}

static void pool_planes(void *ctx, int64_t begin, int64_t end)
{
    const pool *p = ctx;
    int32_t    *at = wk_scratch((size_t)p->y[2] * (sizeof *at + sizeof(float)));
    float      *room = (float *)(void *)(at + p->y[2]);
    for (int64_t plane = begin; at && plane < end; plane++) {
        const float *x = p->x + plane * p->nx;
        if (p->dy)
            memset(p->out + plane * p->nx, 0, (size_t)p->nx * sizeof *p->out);
        for (int64_t r = 0; r < p->y[0] * p->y[1]; r++) {
            int64_t row[2] = { r / p->y[1], r % p->y[1] }, first = plane * p->ny + r * p->y[2];
            take_row(p, x, row, p->dy ? room : p->out + first, at);
            for (int64_t i = 0; p->dy && i < p->y[2]; i++)
                if (at[i] >= 0)
                    p->out[plane * p->nx + at[i]] += p->dy[first + i];
        }
    }
}

bool WK_ISA(max_pool)(const wk_call *c)
{
    bool             grad = c->count > 1;
    const wk_tensor *x = c->in[0], *y = grad ? c->in[1] : c->out;
    pool             p = { .x = wk_f32(x), .dy = grad ? wk_f32(y) : NULL, .out = wk_f32(c->out) };
    if (c->opt.window.adaptive || x->dtype != WK_F32 || y->dtype != WK_F32)
        return false;
    p.nx = p.ny = 1;
    for (int i = 0; i < 3; i++) {
        bool there = i >= 5 - x->shape.rank;
        p.n[i] = there ? wk_dim(x, x->shape.rank - 3 + i) : 1;
        p.y[i] = there ? wk_dim(y, x->shape.rank - 3 + i) : 1;
        p.size[i] = c->opt.window.size[i];
        p.stride[i] = c->opt.window.stride[i];
        p.dilation[i] = c->opt.window.dilation[i];
        p.before[i] = c->opt.window.before[i];
        p.nx *= p.n[i];
        p.ny *= p.y[i];
    }
    if (p.nx >= INT32_MAX || p.stride[2] >= INT32_MAX / VF)
        return false;
    wk_parallel(wk_dim(x, 0) * wk_dim(x, 1), 16384 / (p.nx + 1) + 1, pool_planes, &p);
    return wk_ok();
}
