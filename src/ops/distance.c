// SPDX-License-Identifier: MIT OR Apache-2.0
/* distance.c - lengths of vectors and distances between them, made of other operations. */
#include "../core/core.h"

#include <math.h>

static wk_tensor *norm_along(wk_tensor *x, double p, int axis, bool keep)
{
    return wk_norm(x, .over = WK_AXES(axis), .p = p, .keep = keep);
}

static wk_tensor *at_least(wk_tensor *x, double low) { return wk_clamp(x, low, INFINITY); }

wk_tensor *wk_normalize(wk_tensor *x, double p, int axis, double eps)
{
    if (!wk_usable("normalize", 1, x))
        return NULL;
    wk_scope scope = wk_mark();
    return wk_yield(scope, wk_div(x, at_least(norm_along(x, p, axis, true), eps)));
}

wk_tensor *wk_weight_norm(wk_tensor *v, wk_tensor *g, int axis)
{
    char s[160], t[160];
    if (!wk_usable("weight_norm", 1, v) || !wk_usable("weight_norm", 2, g))
        return NULL;
    int at = wk_axis("weight_norm", v->shape, axis);
    if (at < 0)
        return NULL;
    wk_scope scope = wk_mark();
    wk_shape others = { 0 }, along = v->shape;
    for (int i = 0; i < v->shape.rank; i++)
        if (i != at)
            others.dim[others.rank++] = i, along.dim[i] = 1;
    if (wk_count(g) != v->shape.dim[at]) {
        wk_fail(WK_ERR_SHAPE, "weight_norm: g %s does not fit axis %d of %s", wk_show(g, s), at,
                wk_show(v, t));
        return NULL;
    }
    wk_tensor *size = others.rank ? wk_norm(v, .over = others, .keep = true) : wk_abs(v);
    return wk_yield(scope, wk_mul(v, wk_div(wk_reshape_to(g, along), size)));
}

wk_tensor *wk_cosine_similarity(wk_tensor *a, wk_tensor *b, int axis, double eps)
{
    if (!wk_usable("cosine_similarity", 1, a) || !wk_usable("cosine_similarity", 2, b))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *ab = wk_mul(a, b);
    if (!ab || wk_axis("cosine_similarity", ab->shape, axis) < 0)
        return NULL;
    a = wk_expand_to(a, ab->shape);
    b = wk_expand_to(b, ab->shape);
    wk_tensor *sizes = wk_mul(at_least(norm_along(a, 2, axis, false), eps),
                              at_least(norm_along(b, 2, axis, false), eps));
    return wk_yield(scope, wk_div(wk_sum(ab, .over = WK_AXES(axis)), sizes));
}

wk_tensor *wk_pairwise_distance(wk_tensor *a, wk_tensor *b, double p, double eps)
{
    if (!wk_usable("pairwise_distance", 1, a) || !wk_usable("pairwise_distance", 2, b))
        return NULL;
    wk_scope scope = wk_mark();
    return wk_yield(scope, norm_along(wk_add_scalar(wk_sub(a, b), eps), p, -1, false));
}

wk_tensor *wk_cdist(wk_tensor *a, wk_tensor *b, double p)
{
    char s[160], t[160];
    if (!wk_usable("cdist", 1, a) || !wk_usable("cdist", 2, b))
        return NULL;
    if (wk_rank(a) < 2 || wk_rank(b) < 2 || wk_dim(a, -1) != wk_dim(b, -1)) {
        wk_fail(WK_ERR_SHAPE, "cdist: %s does not fit %s", wk_show(a, s), wk_show(b, t));
        return NULL;
    }
    wk_scope scope = wk_mark();
    a = wk_unsqueeze(a, -2); // [.., m, 1, d]
    b = wk_unsqueeze(b, -3); // [.., 1, n, d]
    return wk_yield(scope, norm_along(wk_sub(a, b), p, -1, false));
}
