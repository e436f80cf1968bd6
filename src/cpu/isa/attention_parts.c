// SPDX-License-Identifier: MIT OR Apache-2.0
/* attention_parts.c - what attention and its gradient do with a block: pack it, and turn
 * products into scores. */
#include "attention.h"

#include "../../core/quant.h"

#include <float.h>

#define LOG2E 1.4426950408889634

static bool fits(const wk_tensor *x) { return wk_dtypes[x->dtype].is_float && x->dtype != WK_F64; }

/* On Intel's processors (avx512panels, amx) products of pairs are slower than those of f32. */
static bool has_pairs(void)
{
#if defined __AVX512F__
    return wk_cpu_current() == &wk_cpu_avx512bf16;
#else
    return false;
#endif
}

static bool is_pairs(const wk_tensor *x) { return x->dtype == WK_BF16 && x->stride[3] == 1; }

bool attention_open(attention *a, const wk_call *c)
{
    const wk_tensor *q = c->in[Q], *k = c->in[K], *v = c->in[V];
    *a = (attention){ .c = c,
                      .b = wk_dim(q, 0),
                      .h = wk_dim(q, 1),
                      .g = wk_dim(k, 1),
                      .t = wk_dim(q, 2),
                      .s = wk_dim(k, 2),
                      .d = wk_dim(q, 3),
                      .e = wk_dim(v, 3) };
    if (!fits(q) || !fits(k) || !fits(v) || !a->d || !a->e || !a->h)
        return false;
    double scale = c->opt.attention.scale, cap = c->opt.attention.softcap;
    scale = scale != 0 ? scale : 1 / sqrt((double)a->d);
    a->factor = (float)(cap != 0 ? scale / cap : scale * LOG2E);
    a->cap = (float)(cap * LOG2E);
    a->share = a->h / a->g;
    int64_t rows = ROWS; /* fewer, where that gives work to more threads */
    while (rows > ROWS / 4 && a->b * a->h * a->t / rows < 32)
        rows /= 2;
    a->queries = wk_min_i64(wk_max_i64(rows / a->share, 1), a->t);
    a->blocks = (a->t + a->queries - 1) / a->queries;
    a->padded = round_up(a->e, VF);
    a->pairs = has_pairs() && is_pairs(k) && is_pairs(v) && a->d % 2 == 0;
    a->plain = !c->in[MASK] && !c->in[SLOPES] && cap == 0 && scale > 0;
    return true;
}

void attention_sight(const attention *a, int64_t i, int64_t *begin, int64_t *end)
{
    int64_t now = a->s - a->t + i, window = a->c->opt.attention.window;
    *end = a->c->opt.attention.causal ? wk_max_i64(0, wk_min_i64(a->s, now + 1)) : a->s;
    *begin = window > 0 ? wk_min_i64(wk_max_i64(0, now + 1 - window), *end) : 0;
}

/* ---- Packing ------------------------------------------------------------ */

static void load_row(float *to, plane p, int64_t i)
{
    const wk_tensor     *x = p.x;
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    int64_t              n = x->shape.dim[3], step = x->stride[3], j = 0;
    const char          *at = wk_at_host(x);
    at += wk_bytes_at(x->dtype, p.at + i * x->stride[2]);
    if (step == 1 && x->dtype == WK_F32)
        for (; j + VF <= n; j += VF)
            vstore(to + j, vload((const float *)(const void *)at + j));
    else if (step == 1 && x->dtype == WK_BF16)
        for (; j + VF <= n; j += VF)
            vstore(to + j, vload_bf16((const uint16_t *)(const void *)at + j));
    else if (step == 1 && x->dtype == WK_F16)
        for (; j + VF <= n; j += VF)
            vstore(to + j, vload_f16((const uint16_t *)(const void *)at + j));
    else if (x->dtype == WK_Q8_0)
        for (; j < n; j += 32, at += 34) {
            float scale = wk_half_at((const uint8_t *)at);
            for (int k = 0; k < 32; k++)
                to[j + k] = (float)(int8_t)at[2 + k] * scale;
        }
    if (j < n)
        d->load[WK_AS_F32](to + j, at + j * step * (int64_t)d->size, n - j, step);
}

void pack_rows(float *to, int64_t padded, plane p, int64_t first, int64_t n)
{
    int64_t width = p.x->shape.dim[3];
    for (int64_t i = 0; i < n; i++, to += padded) {
        load_row(to, p, first + i);
        for (int64_t j = width; j < padded; j++)
            to[j] = 0;
    }
}

const float *attention_rows_in(plane p, int64_t first, int64_t *row)
{
    const wk_tensor *x = p.x;
    int64_t          width = x->shape.dim[3];
    *row = x->stride[2]; /* long steps would fall on few lines of the cache */
    if (x->dtype != WK_F32 || x->stride[3] != 1 || width % VF || *row < width || *row > 2 * width)
        return NULL;
    return wk_f32(x) + p.at + first * *row;
}

/* VF rows, or the n that there are, as columns of a panel. */
static void pack_square(float *to, const float *from, int64_t ld, int64_t n, int64_t width)
{
    for (int64_t k = 0; k < width; k += VF) {
        int64_t left = wk_min_i64(VF, width - k);
        vf      r[VF];
#pragma GCC unroll 16
        for (int i = 0; i < VF; i++)
            r[i] = i >= n       ? vset(0)
                   : left == VF ? vload(from + i * ld + k)
                                : vload_part(from + i * ld + k, left);
        vtranspose(r);
        for (int i = 0; i < left; i++)
            vstore(to + (k + i) * NR, r[i]);
    }
}

void pack_panels(float *to, plane p, int64_t first, int64_t n, float *work)
{
    const wk_tensor *x = p.x;
    int64_t          width = x->shape.dim[3];
    bool             as_it_is = x->dtype == WK_F32 && x->stride[3] == 1;
    for (int64_t j = 0; j < round_up(n, NR); j += VF) {
        float       *column = to + j / NR * NR * width + j % NR;
        int64_t      count = wk_max_i64(0, wk_min_i64(VF, n - j)), ld = width;
        const float *from = work;
        if (as_it_is)
            from = wk_f32(x) + p.at + (first + j) * x->stride[2], ld = x->stride[2];
        else
            pack_rows(work, width, p, first + j, count);
        pack_square(column, from, ld, count, width);
    }
}

void pack_panels_pairs(float *to, plane p, int64_t first, int64_t n, float *work)
{
    int64_t width = p.x->shape.dim[3] / 2;
    for (int64_t j = 0; j < round_up(n, NR); j += VF) {
        int64_t count = wk_max_i64(0, wk_min_i64(VF, n - j));
        for (int64_t i = 0; i < count; i++)
            memcpy(work + i * width, half_row(p, first + j + i), (size_t)width * sizeof *work);
        pack_square(to + j / NR * NR * width + j % NR, work, width, count, width);
    }
}

void pack_rows_pairs(float *to, int64_t padded, plane p, int64_t first, int64_t n)
{
    static const uint16_t none[VF];
    int64_t               width = p.x->shape.dim[3];
    for (int64_t i = 0; i < n; i += 2, to += padded)
        for (int64_t j = 0; j < padded; j += VF) {
            const uint16_t *even = half_row(p, first + i) + j;
            const uint16_t *odd = i + 1 < n ? half_row(p, first + i + 1) + j : none;
            uint16_t        row[2][VF] = { { 0 } };
            if (j + VF > width) {
                size_t size = (size_t)(width - j) * sizeof *even;
                even = memcpy(row[0], even, size), odd = memcpy(row[1], odd, size);
            }
            vstore(to + j, (vf)(vwiden(even) | vwiden(odd) << 16));
        }
}

/* ---- Scores ------------------------------------------------------------- */

/* tanh: an odd polynomial near 0, where 1 - 2 / (e^2x + 1) would lose digits. */
static vf cap_tanh(vf x)
{
    vf a = vabs(x), sq = x * x;
    vf far = 1.0f - 2.0f / (vexp2(vmin(a, vset(20)) * (float)(2 * LOG2E)) + 1.0f);
    vf near = vfma(sq, vset(-8.8632355e-3f), vset(2.1869488e-2f));
    near = vfma(near, sq, vset(-5.3968254e-2f));
    near = vfma(near, sq, vset(1.3333333e-1f));
    near = vfma(near, sq, vset(-3.3333333e-1f));
    near = vfma(near * sq, x, x);
    far = (vf)((vi)far | ((vi)x & viset(INT32_MIN)));
    return vselect(a < 0.4f, near, far);
}

static void add_mask(const wk_tensor *mask, score_row at, float *x, float *work)
{
    int64_t index[4] = { at.b, at.head, at.i, at.j }, offset = 0, step = 0;
    int     rank = mask->shape.rank;
    for (int k = 0; k < rank; k++)
        if (mask->shape.dim[k] != 1) {
            step = k == rank - 1 ? mask->stride[k] : 0;
            offset += index[k + 4 - rank] * mask->stride[k];
        }
    const wk_dtype_info *d = &wk_dtypes[mask->dtype];
    d->load[WK_AS_F32](work, (char *)wk_at_host(mask) + offset * (int64_t)d->size, at.n, step);
    for (int64_t j = 0; j < at.n; j += VF) {
        vf m = vload(work + j), s = vload(x + j);
        vf sum = s + vselect(m < -FLT_MAX, m, vmax(m * (float)LOG2E, vset(-FLT_MAX)));
        vstore(x + j, mask->dtype == WK_BOOL ? vselect(m != 0, s, vset(-INFINITY)) : sum);
    }
}

void attention_scores(const attention *a, score_row at, float *x, float *tanhs, float *work)
{
    const wk_tensor *slopes = a->c->in[SLOPES];
    double           slope = 0;
    vf               lane;
    if (slopes)
        wk_load_f64(&slope, slopes, at.head * slopes->stride[0], 1, 1);
    for (int i = 0; i < VF; i++)
        lane[i] = (float)i;
    for (int64_t j = 0; j < at.n; j += VF) {
        vf s = vload(x + j) * a->factor;
        if (a->cap != 0) {
            s = cap_tanh(s);
            if (tanhs)
                vstore(tanhs + j, s);
            s = s * a->cap;
        }
        if (slopes) {
            float far = (float)(at.j + j - (a->s - a->t + at.i));
            s = vfma(lane + far, vset((float)(slope * LOG2E)), s);
        }
        vstore(x + j, s);
    }
    if (a->c->in[MASK])
        add_mask(a->c->in[MASK], at, x, work);
}
