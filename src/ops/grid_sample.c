// SPDX-License-Identifier: MIT OR Apache-2.0
/* grid_sample.c - images read at any places, between the elements too.
 *
 * Jaderberg et al., "Spatial transformer networks", 2015.  Made of other operations: an
 * image's elements are gathered for each corner around a place and weighted, so that the
 * gradients for the image and for the grid come by themselves. */
#include "../core/core.h"

typedef struct { /* of one axis of the image, for all places: [b, 1, places] */
    wk_tensor *index[2], *weight[2], *inside[2]; /* of the two neighbours; inside: or NULL */
    int64_t    step;
} axis;

/* Places beyond both ends are folded back: 0 .. span, and then span .. 0, again and again. */
static wk_tensor *reflect(wk_tensor *p, double low, double span)
{
    wk_tensor *round = wk_full_like(p, 2 * span);
    p = wk_remainder(wk_abs(wk_add_scalar(p, -low)), round);
    return wk_add_scalar(wk_neg(wk_abs(wk_add_scalar(p, -span))), span + low);
}

/* From -1 .. 1 to 0 .. n - 1, or to the outer edges of these elements. */
static wk_tensor *unscale(const wk_grid_sample_args *a, wk_tensor *u, int64_t n)
{
    double     last = (double)(n - 1);
    wk_tensor *p = a->align_corners
                       ? wk_scale(wk_add_scalar(u, 1), last / 2)
                       : wk_add_scalar(wk_scale(wk_add_scalar(u, 1), (double)n / 2), -0.5);
    if (a->padding == WK_PAD_REFLECT && a->align_corners)
        p = n > 1 ? reflect(p, 0, last) : wk_scale(p, 0);
    else if (a->padding == WK_PAD_REFLECT)
        p = reflect(p, -0.5, (double)n);
    return a->padding == WK_PAD_CONSTANT ? p : wk_clamp(p, 0, last);
}

static axis axis_of(const wk_grid_sample_args *a, wk_tensor *u, int64_t n, int64_t step)
{
    axis       x = { .step = step };
    double     last = (double)(n - 1);
    wk_tensor *p = unscale(a, u, n), *low = a->nearest ? wk_round(p) : wk_floor(p);
    wk_tensor *part = wk_sub(p, low);
    for (int k = 0; k < (a->nearest ? 1 : 2); k++) {
        wk_tensor *at = wk_add_scalar(low, k);
        if (a->padding == WK_PAD_CONSTANT || k == 1)
            x.inside[k] =
                wk_logical_and(wk_ge(at, wk_full_like(at, 0)), wk_le(at, wk_full_like(at, last)));
        if (!a->nearest)
            x.weight[k] = k ? part : wk_add_scalar(wk_neg(part), 1);
        x.index[k] = wk_clamp(wk_cast(wk_detach(at), WK_I64), 0, last);
    }
    return x;
}

/* What the corner adds to the result; bit i of which says which neighbour along axis i. */
static wk_tensor *corner(wk_tensor *x, const axis *axes, int dims, int which)
{
    wk_tensor *index = NULL, *weight = NULL, *inside = NULL;
    for (int i = 0; i < dims; i++) {
        int        k = which >> i & 1;
        wk_tensor *at = wk_scale(axes[i].index[k], (double)axes[i].step);
        wk_tensor *w = axes[i].weight[k], *in = axes[i].inside[k];
        index = index ? wk_add(index, at) : at;
        weight = weight ? wk_mul(weight, w) : w;
        inside = inside && in ? wk_logical_and(inside, in) : in ? in : inside;
    }
    wk_shape wide = wk_shape_of(index);
    wide.dim[1] = wk_dim(x, 1);
    wk_tensor *y = wk_gather(x, 2, wk_expand_to(index, wide));
    if (weight)
        y = wk_mul(y, weight);
    return inside ? wk_where(inside, y, wk_full_of(wk_dtype_of(y), WK_SCALAR, 0)) : y;
}

static bool fits(const wk_grid_sample_args *a)
{
    wk_tensor *x = a->x, *grid = a->grid;
    char       s[160], t[160];
    if (!wk_usable("grid_sample", 1, x) || !wk_usable("grid_sample", 2, grid))
        return false;
    int  dims = wk_rank(x) - 2;
    bool good = dims >= 1 && dims <= 3 && wk_rank(grid) == dims + 2 && wk_dim(grid, -1) == dims &&
                wk_dim(grid, 0) == wk_dim(x, 0);
    for (int i = 0; good && i < dims; i++)
        good = x->shape.dim[2 + i] > 0;
    if (!good)
        wk_fail(WK_ERR_SHAPE, "grid_sample: x %s does not fit grid %s", wk_show(x, s),
                wk_show(grid, t));
    if (!wk_dtypes[x->dtype].is_float || !wk_dtypes[grid->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "grid_sample: x %s and grid %s must be of float dtypes",
                wk_show(x, s), wk_show(grid, t));
    if (a->padding != WK_PAD_CONSTANT && a->padding != WK_PAD_REPLICATE &&
        a->padding != WK_PAD_REFLECT)
        wk_fail(WK_ERR_ARGUMENT, "grid_sample: padding %d is none it has", (int)a->padding);
    return wk_ok();
}

wk_tensor *wk_grid_sample_with(const wk_grid_sample_args *a)
{
    if (!fits(a))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_dtype   dtype = a->x->dtype, wide = wk_dtype_promote(dtype, WK_F32);
    wk_tensor *x = wk_flatten(wk_cast(a->x, wide), 2, -1), *y = NULL; // [b, c, n]
    wk_tensor *grid = wk_cast(a->grid, wk_dtype_promote(a->grid->dtype, wide));
    int        dims = wk_rank(a->x) - 2;
    wk_shape   shape = wk_shape_of(a->grid), places = { 3, { shape.dim[0], 1, 1 } };
    axis       axes[3];
    int64_t    step = 1;
    for (int i = 0; i < dims; i++)
        places.dim[2] *= shape.dim[1 + i];
    for (int i = 0; i < dims; i++) { /* the grid's first number is about the last axis */
        int64_t    n = wk_dim(a->x, -1 - i);
        wk_tensor *u = wk_reshape_to(wk_select(grid, -1, i), places); // [b, 1, places]
        axes[i] = axis_of(a, u, n, step);
        step *= n;
    }
    for (int which = 0; wk_ok() && which < (a->nearest ? 1 : 1 << dims); which++) {
        wk_tensor *part = corner(x, axes, dims, which);
        y = y ? wk_add(y, part) : part;
    }
    for (int i = dims; i > 0; i--)
        shape.dim[i + 1] = shape.dim[i];
    shape.dim[1] = wk_dim(a->x, 1);
    return wk_yield(scope, wk_cast(wk_reshape_to(y, shape), dtype)); // [b, c, ..]
}
