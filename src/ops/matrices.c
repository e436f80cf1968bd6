// SPDX-License-Identifier: MIT OR Apache-2.0
/* matrices.c - what is made of products, views and masks: outer products, triangles,
 * diagonals, grids. */
#include "../core/core.h"

#include <math.h>

/* ---- Products ------------------------------------------------------------ */

static bool ranks(const char *what, wk_tensor *a, int m, wk_tensor *b, int n)
{
    char x[160], y[160];
    if (!wk_usable(what, 1, a) || !wk_usable(what, 2, b))
        return false;
    if (a->shape.rank != m || b->shape.rank != n)
        wk_fail(WK_ERR_SHAPE, "%s: %s and %s are not of rank %d and %d", what, wk_show(a, x),
                wk_show(b, y), m, n);
    return wk_ok();
}

wk_tensor *wk_outer(wk_tensor *a, wk_tensor *b)
{
    return ranks("outer", a, 1, b, 1) ? wk_mul(wk_unsqueeze(a, 1), b) : NULL;
}

wk_tensor *wk_dot(wk_tensor *a, wk_tensor *b)
{
    return ranks("dot", a, 1, b, 1) ? wk_matmul(a, b) : NULL;
}

wk_tensor *wk_mv(wk_tensor *a, wk_tensor *x)
{
    return ranks("mv", a, 2, x, 1) ? wk_matmul(a, x) : NULL;
}

wk_tensor *wk_bmm(wk_tensor *a, wk_tensor *b)
{
    char x[160], y[160];
    if (!ranks("bmm", a, 3, b, 3))
        return NULL;
    if (a->shape.dim[0] != b->shape.dim[0])
        wk_fail(WK_ERR_SHAPE, "bmm: %s and %s are of different batches", wk_show(a, x),
                wk_show(b, y));
    return wk_matmul(a, b);
}

static bool three(const char *what, wk_tensor *x, wk_tensor *a, wk_tensor *b)
{
    return wk_usable(what, 1, x) && wk_usable(what, 2, a) && wk_usable(what, 3, b);
}

static wk_tensor *add_product(wk_tensor *x, wk_tensor *ab, double beta, double alpha)
{
    wk_scope scope = wk_mark();
    ab = alpha != 1 ? wk_scale(ab, alpha) : ab;
    return wk_yield(scope, beta != 0 ? wk_add(beta != 1 ? wk_scale(x, beta) : x, ab) : ab);
}

wk_tensor *wk_addmm(wk_tensor *x, wk_tensor *a, wk_tensor *b, double beta, double alpha)
{
    return three("addmm", x, a, b) && ranks("addmm", a, 2, b, 2)
               ? add_product(x, wk_matmul(a, b), beta, alpha)
               : NULL;
}

wk_tensor *wk_baddbmm(wk_tensor *x, wk_tensor *a, wk_tensor *b, double beta, double alpha)
{
    return three("baddbmm", x, a, b) ? add_product(x, wk_bmm(a, b), beta, alpha) : NULL;
}

wk_tensor *wk_kron(wk_tensor *a, wk_tensor *b)
{
    if (!ranks("kron", a, 2, b, 2))
        return NULL;
    wk_scope scope = wk_mark();
    int64_t  rows = a->shape.dim[0] * b->shape.dim[0], columns = a->shape.dim[1] * b->shape.dim[1];
    wk_tensor *x = wk_unsqueeze(wk_unsqueeze(a, 1), 3), *y = wk_unsqueeze(wk_unsqueeze(b, 0), 2);
    return wk_yield(scope, wk_reshape(wk_mul(x, y), rows, columns));
}

wk_tensor *wk_tensordot(wk_tensor *a, wk_tensor *b, int axes)
{
    wk_shape left = { .rank = 0 }, right = { .rank = 0 }, shape;
    int64_t  n = 1;
    char     x[160], y[160];
    if (!wk_usable("tensordot", 1, a) || !wk_usable("tensordot", 2, b))
        return NULL;
    bool fits = axes >= 0 && axes <= a->shape.rank && axes <= b->shape.rank;
    for (int i = 0; fits && i < axes; i++) {
        n *= b->shape.dim[i];
        fits = a->shape.dim[a->shape.rank - axes + i] == b->shape.dim[i];
    }
    if (!fits || a->shape.rank + b->shape.rank - 2 * axes > WK_MAX_RANK) {
        wk_fail(WK_ERR_SHAPE, "tensordot: %s and %s over %d axes", wk_show(a, x), wk_show(b, y),
                axes);
        return NULL;
    }
    for (int i = 0; i < a->shape.rank - axes; i++)
        left.dim[left.rank++] = a->shape.dim[i];
    for (int i = axes; i < b->shape.rank; i++)
        right.dim[right.rank++] = b->shape.dim[i];
    shape = left;
    for (int i = 0; i < right.rank; i++)
        shape.dim[shape.rank++] = right.dim[i];
    wk_scope   scope = wk_mark();
    wk_tensor *p = wk_reshape(a, wk_elements(left), n), *q = wk_reshape(b, n, wk_elements(right));
    return wk_yield(scope, wk_reshape_to(wk_matmul(p, q), shape));
}

wk_tensor *wk_addcmul(wk_tensor *x, wk_tensor *a, wk_tensor *b, double value)
{
    return three("addcmul", x, a, b) ? add_product(x, wk_mul(a, b), 1, value) : NULL;
}

wk_tensor *wk_addcdiv(wk_tensor *x, wk_tensor *a, wk_tensor *b, double value)
{
    return three("addcdiv", x, a, b) ? add_product(x, wk_div(a, b), 1, value) : NULL;
}

/* ---- Triangles and diagonals --------------------------------------------- */

/* Of [rows, columns] the column's number less the row's. */
static wk_tensor *beyond(int64_t rows, int64_t columns)
{
    wk_tensor *r = wk_arange(WK_I64, 0, (double)rows, 1),
              *c = wk_arange(WK_I64, 0, (double)columns, 1);
    return wk_sub(c, wk_unsqueeze(r, 1));
}

static wk_tensor *triangle(const char *what, wk_tensor *x, int64_t diagonal, bool upper)
{
    char text[160];
    if (!wk_usable(what, 1, x))
        return NULL;
    if (x->shape.rank < 2) {
        wk_fail(WK_ERR_SHAPE, "%s: %s has no rows and columns", what, wk_show(x, text));
        return NULL;
    }
    wk_scope   scope = wk_mark();
    wk_tensor *d = beyond(wk_dim(x, -2), wk_dim(x, -1)), *limit = wk_full_like(d, (double)diagonal);
    return wk_yield(scope, wk_where(upper ? wk_ge(d, limit) : wk_le(d, limit), x,
                                    wk_zeros_of(x->dtype, WK_SCALAR)));
}

wk_tensor *wk_tril(wk_tensor *x, int64_t diagonal) { return triangle("tril", x, diagonal, false); }
wk_tensor *wk_triu(wk_tensor *x, int64_t diagonal) { return triangle("triu", x, diagonal, true); }

wk_tensor *wk_diag_embed(wk_tensor *x, int64_t offset)
{
    char text[160];
    if (!wk_usable("diag_embed", 1, x))
        return NULL;
    if (x->shape.rank < 1 || x->shape.rank == WK_MAX_RANK || offset > 1ll << 40 ||
        offset < -(1ll << 40)) {
        wk_fail(WK_ERR_SHAPE, "diag_embed: %s, offset %lld", wk_show(x, text), (long long)offset);
        return NULL;
    }
    wk_scope   scope = wk_mark();
    int64_t    more = offset < 0 ? -offset : offset, n = wk_dim(x, -1) + more;
    wk_tensor *d = beyond(n, n);
    x = wk_unsqueeze(wk_pad(x, -1, 0, more, 0), offset < 0 ? -2 : -1); /* by column, or by row */
    return wk_yield(scope, wk_where(wk_eq(d, wk_full_like(d, (double)offset)), x,
                                    wk_zeros_of(wk_dtype_of(x), WK_SCALAR)));
}

wk_tensor *wk_diag(wk_tensor *x, int64_t offset)
{
    char text[160];
    if (!wk_usable("diag", 1, x) || x->shape.rank == 1)
        return wk_ok() ? wk_diag_embed(x, offset) : NULL;
    int64_t up = offset > 0 ? offset : 0, down = offset < 0 ? -offset : 0;
    if (x->shape.rank != 2 || down > wk_dim(x, 0) || up > wk_dim(x, 1)) {
        wk_fail(WK_ERR_SHAPE, "diag: %s, offset %lld", wk_show(x, text), (long long)offset);
        return NULL;
    }
    wk_scope scope = wk_mark();
    x = wk_narrow(wk_narrow(x, 0, down, wk_dim(x, 0) - down), 1, up, wk_dim(x, 1) - up);
    return wk_yield(scope, wk_diagonal(x, 0, 1));
}

wk_tensor *wk_trace(wk_tensor *x)
{
    char text[160];
    if (wk_usable("trace", 1, x) && x->shape.rank != 2)
        wk_fail(WK_ERR_SHAPE, "trace: %s is no matrix", wk_show(x, text));
    wk_scope scope = wk_mark();
    return wk_yield(scope, wk_sum(wk_ok() ? wk_diagonal(x, 0, 1) : NULL));
}

/* ---- Grids, numbers ------------------------------------------------------ */

int wk_meshgrid_of(wk_tensor **x, int count, bool xy, wk_tensor **out)
{
    wk_shape shape = { .rank = count };
    if (wk_ok() && (count < 1 || count > WK_MAX_RANK))
        wk_fail(WK_ERR_ARGUMENT, "meshgrid: %d vectors", count);
    for (int i = 0; wk_ok() && i < count; i++) {
        char text[160];
        if (wk_usable("meshgrid", i + 1, x[i]) && x[i]->shape.rank > 1)
            wk_fail(WK_ERR_SHAPE, "meshgrid: %s is no vector", wk_show(x[i], text));
        int axis = xy && count > 1 && i < 2 ? 1 - i : i;
        shape.dim[axis] = wk_ok() ? wk_count(x[i]) : 0;
    }
    for (int i = 0; wk_ok() && i < count; i++) {
        wk_shape one = { .rank = count };
        int      axis = xy && count > 1 && i < 2 ? 1 - i : i;
        for (int k = 0; k < count; k++)
            one.dim[k] = k == axis ? wk_count(x[i]) : 1;
        out[i] = wk_expand_to(wk_reshape_to(x[i], one), shape);
    }
    return wk_ok() ? count : 0;
}

wk_tensor *wk_nan_to_num(wk_tensor *x, double nan, double above, double below)
{
    if (!wk_usable("nan_to_num", 1, x))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *big = wk_full_like(x, INFINITY), *small = wk_full_like(x, -INFINITY);
    wk_tensor *y = wk_where(wk_isnan(wk_detach(x)), wk_full_like(x, nan), x);
    y = wk_where(wk_eq(wk_detach(x), big), wk_full_like(x, above), y);
    return wk_yield(scope, wk_where(wk_eq(wk_detach(x), small), wk_full_like(x, below), y));
}

wk_tensor *wk_logspace(wk_dtype dtype, double start, double end, int64_t count, double base)
{
    wk_scope   scope = wk_mark();
    wk_tensor *x = wk_linspace(WK_F64, start, end, count);
    return wk_yield(scope, wk_cast(wk_exp(wk_scale(x, log(base))), dtype));
}
