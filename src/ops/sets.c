// SPDX-License-Identifier: MIT OR Apache-2.0
/* sets.c - which elements there are, and drawing some of them: nonzero, unique, bincount,
 * masks, one_hot, multinomial. */
#include "../core/core.h"

#include <math.h>

/* ---- nonzero ------------------------------------------------------------- */

static bool nonzero_infer(wk_call *c)
{
    c->shape = WK_SHAPE(c->opt.order.count, c->in[0]->shape.rank);
    c->dtype = WK_I64;
    return true;
}

enum { ROW = 512 };

static bool nonzero_compute(const wk_call *c)
{
    const wk_tensor *x = c->in[0];
    int64_t         *out = wk_at_host(c->out), room = c->opt.order.count, count = wk_count(x);
    double           row[ROW];
    for (int64_t at = 0; at < count; at += ROW) {
        int64_t n = wk_min_i64(count - at, ROW);
        wk_load_f64(row, x, at, n, 1);
        for (int64_t k = 0; k < n; k++) {
            if (row[k] == 0 || room-- <= 0)
                continue;
            int64_t rest = at + k;
            for (int i = x->shape.rank; i-- > 0; rest /= x->shape.dim[i])
                out[i] = rest % x->shape.dim[i];
            out += x->shape.rank;
        }
    }
    return true;
}

const wk_op wk_op_nonzero = {
    .name = "nonzero",
    .id = WK_OP_nonzero,
    .required = 1,
    .flags = WK_OP_NO_HISTORY,
    .infer = nonzero_infer,
    .compute = nonzero_compute,
};

wk_tensor *wk_nonzero(wk_tensor *x)
{
    if (!wk_usable("nonzero", 1, x))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *is = wk_ne(wk_detach(x), wk_full_like(x, 0));
    int64_t    count = wk_item_i64(wk_sum(wk_cast(is, WK_I64)));
    return wk_yield(scope, WK_RUN(nonzero, WK_IN(is), .opt.order.count = count));
}

static wk_tensor *places(wk_tensor *mask)
{
    return wk_squeeze(wk_nonzero(wk_reshape(mask, -1)), 1);
}

wk_tensor *wk_masked_select(wk_tensor *x, wk_tensor *mask)
{
    wk_shape shape = WK_SCALAR;
    char     a[160], b[160];
    if (!wk_usable("masked_select", 1, x) || !wk_usable("masked_select", 2, mask))
        return NULL;
    if (!wk_broadcast(x->shape, mask->shape, &shape)) {
        wk_fail(WK_ERR_SHAPE, "masked_select: %s and %s do not broadcast", wk_show(x, a),
                wk_show(mask, b));
        return NULL;
    }
    wk_scope   scope = wk_mark();
    wk_tensor *index = places(wk_expand_to(mask, shape));
    return wk_yield(scope, wk_index_select(wk_reshape(wk_expand_to(x, shape), -1), 0, index));
}

/* ---- unique, bincount ---------------------------------------------------- */

wk_tensor *wk_bincount_with(const wk_bincount_args *a)
{
    if (!wk_usable("bincount", 1, a->x))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *x = wk_reshape(a->x, -1), *w = a->weight;
    int64_t    most = wk_count(x) ? wk_item_i64(wk_max(x)) + 1 : 0;
    w = w ? wk_reshape(w, -1) : wk_ones_of(WK_I64, x ? x->shape : WK_SHAPE(0));
    wk_tensor *zeros = wk_zeros_of(wk_dtype_of(w), WK_SHAPE(wk_max_i64(most, a->least)));
    return wk_yield(scope, wk_scatter_add(zeros, 0, x, w));
}

wk_unique_result wk_unique(wk_tensor *x)
{
    wk_unique_result r = { 0 };
    if (!wk_usable("unique", 1, x))
        return r;
    wk_scope   scope = wk_mark();
    int64_t    n = wk_count(x);
    wk_ordered s = wk_sort(wk_reshape(wk_detach(x), -1), 0, false);
    wk_tensor *first = wk_ones_of(WK_BOOL, WK_SHAPE(n)), *group;
    if (n > 1) /* where a value is another than the one before */
        first = wk_cat(0, wk_narrow(first, 0, 0, 1),
                       wk_ne(wk_narrow(s.values, 0, 1, n - 1), wk_narrow(s.values, 0, 0, n - 1)));
    group = wk_add_scalar(wk_cumsum(first, 0), -1);
    r.values = wk_index_select(s.values, 0, places(first));
    r.inverse = wk_scatter(wk_zeros_of(WK_I64, WK_SHAPE(n)), 0, s.indices, group);
    r.inverse = wk_ok() ? wk_reshape_to(r.inverse, x->shape) : NULL;
    r.counts = wk_bincount(group, .least = wk_dim(r.values, 0));
    wk_tensor *all[] = { r.values, r.inverse, r.counts };
    wk_yield_all(scope, all, 3);
    return wk_ok() ? (wk_unique_result){ all[0], all[1], all[2] } : (wk_unique_result){ 0 };
}

wk_tensor *wk_histc(wk_tensor *x, int64_t bins, double low, double high)
{
    if (wk_ok() && (bins < 1 || !(low < high)))
        wk_fail(WK_ERR_ARGUMENT, "histc: %lld bins from %g to %g", (long long)bins, low, high);
    if (!wk_usable("histc", 1, x))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *y = wk_cast(wk_reshape(wk_detach(x), -1), WK_F64);
    wk_tensor *in = wk_logical_and(wk_ge(y, wk_full_like(y, low)), wk_le(y, wk_full_like(y, high)));
    y = wk_masked_select(y, in);
    y = wk_floor(wk_scale(wk_add_scalar(y, -low), (double)bins / (high - low)));
    y = wk_cast(wk_clamp(y, 0, (double)bins - 1), WK_I64); /* high is in the last one */
    return wk_yield(scope, wk_cast(wk_bincount(y, .least = bins), wk_dtype_of(x)));
}

wk_tensor *wk_one_hot(wk_tensor *ids, int64_t classes)
{
    if (!wk_usable("one_hot", 1, ids))
        return NULL;
    wk_shape shape = ids->shape;
    if (shape.rank == WK_MAX_RANK || classes < 1) {
        wk_fail(WK_ERR_ARGUMENT, "one_hot: %lld classes", (long long)classes);
        return NULL;
    }
    wk_scope scope = wk_mark();
    shape.dim[shape.rank++] = classes;
    wk_tensor *at = wk_unsqueeze(ids, -1);
    return wk_yield(scope, wk_scatter(wk_zeros_of(WK_I64, shape), -1, at,
                                      at ? wk_ones_of(WK_I64, at->shape) : NULL));
}

/* ---- Drawing ------------------------------------------------------------- */

wk_tensor *wk_bernoulli(wk_tensor *p)
{
    if (!wk_usable("bernoulli", 1, p))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *one = wk_lt(wk_rand_of(WK_F32, p->shape), wk_detach(p));
    return wk_yield(scope, wk_cast(one, p->dtype));
}

/* With replacement: where a uniform number falls among the sums.  Without: the largest of p / e
 * with exponential numbers e (Efraimidis and Spirakis, 2006). */
wk_tensor *wk_multinomial(wk_tensor *p, int64_t count, bool replace)
{
    char text[160];
    if (!wk_usable("multinomial", 1, p))
        return NULL;
    int64_t n = wk_dim(p, -1);
    if (p->shape.rank < 1 || p->shape.rank > 2 || n < 1 || count < 1 || (!replace && count > n)) {
        wk_fail(WK_ERR_ARGUMENT, "multinomial: %lld of %s", (long long)count, wk_show(p, text));
        return NULL;
    }
    wk_scope   scope = wk_mark();
    wk_tensor *index, *x = wk_cast(wk_detach(p), WK_F64);
    if (wk_item(wk_any(wk_logical_not(wk_ge(x, wk_full_like(x, 0))))) != 0 ||
        wk_item(wk_min(wk_sum(x, .over = WK_AXES(-1)))) <= 0)
        wk_fail(WK_ERR_ARGUMENT, "multinomial: %s has a negative weight, or none",
                wk_show(p, text));
    if (replace) {
        wk_shape shape = p->shape;
        shape.dim[shape.rank - 1] = count;
        wk_tensor *sums = wk_cumsum(x, -1);
        wk_tensor *u = wk_mul(wk_rand_of(WK_F64, shape), wk_narrow(sums, -1, n - 1, 1));
        index = wk_clamp(wk_searchsorted(sums, u, true), 0, (double)n - 1);
    } else {
        wk_tensor *e = wk_neg(wk_log(wk_add_scalar(wk_neg(wk_rand_of(WK_F64, p->shape)), 1)));
        index = wk_topk(wk_div(x, wk_add_scalar(e, 1e-300)), count).indices;
    }
    return wk_yield(scope, index);
}
