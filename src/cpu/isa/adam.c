// SPDX-License-Identifier: MIT OR Apache-2.0
/* adam.c - a step of Adam, and of SGD, on vectors, as ops/adam.c has them. */
#include "../simd.h"
#include "isa.h"

enum { P, G, M, V, MOST };

static void pieces(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    float         *p = wk_f32(c->in[P]), *m = wk_f32(c->in[M]), *v = wk_f32(c->in[V]);
    const float   *g = wk_f32(c->in[G]);
    const float    b1 = (float)c->opt.adam.beta1, b2 = (float)c->opt.adam.beta2;
    const float    c1 = (float)(1 - c->opt.adam.beta1), c2 = (float)(1 - c->opt.adam.beta2);
    const float    rate = (float)c->opt.adam.rate, eps = (float)c->opt.adam.eps;
    const float    size = (float)c->opt.adam.size, keep = (float)c->opt.adam.keep;
    const float    decay = (float)c->opt.adam.decay;
    for (int64_t i = begin; i < end; i += VF) {
        int64_t n = wk_min_i64(VF, end - i);
        bool    all = n == VF;
        vf      x = all ? vload(p + i) : vload_part(p + i, n);
        vf      d = all ? vload(g + i) : vload_part(g + i, n);
        vf      a = all ? vload(m + i) : vload_part(m + i, n);
        vf      b = all ? vload(v + i) : vload_part(v + i, n);
        d = vfma(vset(decay), x, d);
        a = vfma(vset(b1), a, c1 * d);
        b = vfma(vset(b2), b, c2 * d * d);
        x = keep * x - rate * a / vfma(vsqrt(b), vset(size), vset(eps));
        if (all) {
            vstore(p + i, x), vstore(m + i, a), vstore(v + i, b);
        } else {
            vstore_part(p + i, x, n), vstore_part(m + i, a, n), vstore_part(v + i, b, n);
        }
    }
}

bool WK_ISA(adam)(const wk_call *c)
{
    for (int i = P; i <= V; i++)
        if (c->in[i]->dtype != WK_F32)
            return false;
    if (c->in[MOST])
        return false;
    wk_parallel(wk_count(c->in[P]), 65536, pieces, (void *)c);
    return true;
}

static void descend(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    float         *p = wk_f32(c->in[P]), *m = c->in[M] ? wk_f32(c->in[M]) : NULL;
    const float   *g = wk_f32(c->in[G]);
    const vf       rate = vset((float)c->opt.sgd.rate), decay = vset((float)c->opt.sgd.decay);
    const vf       keep = vset((float)c->opt.sgd.keep), fresh = vset((float)c->opt.sgd.fresh);
    const vf       momentum = vset((float)c->opt.sgd.momentum);
    for (int64_t i = begin; i < end; i += VF) {
        int64_t n = wk_min_i64(VF, end - i);
        bool    all = n == VF;
        vf      x = all ? vload(p + i) : vload_part(p + i, n);
        vf      d = vfma(decay, x, all ? vload(g + i) : vload_part(g + i, n));
        if (m) {
            vf a = vfma(keep, all ? vload(m + i) : vload_part(m + i, n), fresh * d);
            all ? vstore(m + i, a) : vstore_part(m + i, a, n);
            d = c->opt.sgd.nesterov ? vfma(momentum, a, d) : a;
        }
        x = vfma(-rate, d, x);
        all ? vstore(p + i, x) : vstore_part(p + i, x, n);
    }
}

bool WK_ISA(sgd)(const wk_call *c)
{
    for (int i = P; i <= M; i++)
        if (c->in[i] && c->in[i]->dtype != WK_F32)
            return false;
    wk_parallel(wk_count(c->in[P]), 65536, descend, (void *)c);
    return true;
}
