// SPDX-License-Identifier: MIT OR Apache-2.0
/* linalg.c - matrices taken apart and solved, over all leading dimensions, in doubles.
 *
 * An operation has one result: that of a factorisation is [.., size], its parts one after
 * the other, of which the public function makes views.  Gradients are written for the
 * parts: Giles, "Collected matrix derivative results", 2008; Walter, "Structured
 * higher-order algorithmic differentiation", 2012; as in PyTorch. */
#include "../core/core.h"
#include "matrix.h"

/* ---- Shapes, and the portable kernel ------------------------------------- */

static int64_t rows_of(const wk_tensor *x) { return wk_dim(x, -2); }
static int64_t columns_of(const wk_tensor *x) { return wk_dim(x, -1); }

static bool check_matrix(const wk_call *c, int operand, bool square)
{
    char             s[160];
    const wk_tensor *x = c->in[operand];
    if (wk_rank(x) < 2 || (square && rows_of(x) != columns_of(x)))
        wk_fail(WK_ERR_SHAPE, "%s: %s must be %smatrices", c->op->name, wk_show(x, s),
                square ? "square " : "");
    else if (!wk_dtypes[x->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "%s: %s must be of a float dtype", c->op->name, wk_show(x, s));
    return wk_ok();
}

/* The leading dimensions of x, and then these. */
static wk_shape leading(const wk_tensor *x, wk_shape rest)
{
    wk_shape s = x->shape;
    s.rank -= 2;
    for (int i = 0; i < rest.rank; i++)
        s.dim[s.rank++] = rest.dim[i];
    return s;
}

/* The numbers in the parts of a factorisation of a [m, n] with k = min(m, n). */
static int64_t size_of(int id, int64_t m, int64_t n)
{
    int64_t k = wk_min_i64(m, n);
    return id == WK_OP_slogdet ? 2
           : id == WK_OP_lu    ? m * m + m * k + k * n
           : id == WK_OP_qr    ? m * k + k * n
           : id == WK_OP_svd   ? m * k + k + k * n
                               : n + n * n; /* eigh */
}

static bool infer_parts(wk_call *c)
{
    int              id = c->op->id;
    const wk_tensor *x = c->in[0];
    if (!check_matrix(c, 0, id == WK_OP_slogdet || id == WK_OP_eigh))
        return false;
    c->shape = leading(x, WK_SHAPE(size_of(id, rows_of(x), columns_of(x))));
    c->dtype = x->dtype;
    return wk_shape_valid(c->op->name, leading(x, WK_SHAPE(rows_of(x), rows_of(x))));
}

static bool infer_square(wk_call *c)
{
    if (!check_matrix(c, 0, true))
        return false;
    c->shape = c->op->id == WK_OP_det ? leading(c->in[0], WK_SCALAR) : c->in[0]->shape;
    c->dtype = c->in[0]->dtype;
    return true;
}

static void fail_at(const wk_call *c, int64_t batch, const char *fault)
{
    wk_fail(WK_ERR_ARGUMENT, "%s: matrix %lld is %s", c->op->name, (long long)batch, fault);
}

static wk_matrix_fn routine_of(int id)
{
    return id == WK_OP_cholesky  ? wk_matrix_cholesky
           : id == WK_OP_inverse ? wk_matrix_inverse
           : id == WK_OP_det     ? wk_matrix_det
           : id == WK_OP_slogdet ? wk_matrix_slogdet
           : id == WK_OP_lu      ? wk_matrix_lu
           : id == WK_OP_qr      ? wk_matrix_qr
           : id == WK_OP_svd     ? wk_matrix_svd
                                 : wk_matrix_eigh;
}

static int64_t batch_of(const wk_tensor *x)
{
    int64_t n = 1;
    for (int i = 0; i < x->shape.rank - 2; i++)
        n *= x->shape.dim[i];
    return n;
}

static void matrices(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        m = rows_of(c->in[0]), n = columns_of(c->in[0]);
    int64_t        size = wk_count(c->out) / batch_of(c->in[0]);
    wk_matrix_fn   routine = routine_of(c->op->id);
    double        *a = wk_scratch((size_t)(m * n + size + wk_matrix_work(m, n)) * sizeof *a);
    double        *out = a + m * n, *work = out + size;
    for (int64_t i = begin; a && i < end; i++) {
        wk_load_f64(a, c->in[0], i * m * n, m * n, 1);
        if (!routine(a, m, n, out, work)) {
            fail_at(c, i, c->op->id == WK_OP_cholesky ? "not positive definite" : "singular");
            return;
        }
        wk_store_f64(c->out, i * size, out, size, 1);
    }
}

static int64_t grain(double work) { return work < 4096 ? (int64_t)(4096 / (work + 1)) + 1 : 1; }

static bool compute(const wk_call *c)
{
    double m = (double)rows_of(c->in[0]), n = (double)columns_of(c->in[0]);
    wk_parallel(batch_of(c->in[0]), grain(m * n * (m < n ? m : n)), matrices, (void *)c);
    return wk_ok();
}

/* ---- What gradients are made of ------------------------------------------ */

static wk_tensor *turned(wk_tensor *x) { return wk_transpose(x, -2, -1); }

/* x, kept where column - row is between low and high, 0 elsewhere */
static wk_tensor *band(wk_tensor *x, int64_t low, int64_t high)
{
    int64_t  m = rows_of(x), n = columns_of(x);
    uint8_t *in = wk_alloc_array((size_t)(m * n) + 1, 1);
    for (int64_t i = 0; in && i < m * n; i++)
        in[i] = i % n - i / n >= low && i % n - i / n <= high;
    wk_tensor *mask = in && x ? wk_from(WK_BOOL, WK_SHAPE(m, n), in) : NULL;
    wk_free(in);
    mask = mask ? wk_to_device(mask, x->storage->device) : NULL;
    return mask ? wk_mul(x, mask) : NULL;
}
static wk_tensor *lower(wk_tensor *x, int64_t diagonal) { return band(x, INT64_MIN, diagonal); }
static wk_tensor *upper(wk_tensor *x, int64_t diagonal) { return band(x, diagonal, INT64_MAX); }

/* x [.., n] as diagonal matrices [.., n, n] */
static wk_tensor *as_diagonal(wk_tensor *x)
{
    if (!x)
        return NULL;
    wk_shape s = x->shape;
    s.dim[s.rank++] = wk_dim(x, -1);
    return s.rank <= WK_MAX_RANK ? band(wk_expand_to(wk_unsqueeze(x, -1), s), 0, 0) : NULL;
}

static wk_tensor *solve(wk_tensor *a, wk_tensor *b, bool upper_, bool unit)
{
    return wk_solve_triangular(a, b, .upper = upper_, .unit = unit);
}

/* x / (d_j - d_i), and 0 where x is: on the diagonal, and where nobody asked */
static wk_tensor *over_gaps(wk_tensor *x, wk_tensor *d)
{
    wk_tensor *gap = wk_sub(wk_unsqueeze(d, -2), wk_unsqueeze(d, -1));
    x = x ? wk_sub(x, band(x, 0, 0)) : NULL;
    return x ? wk_div(x, wk_where(x, gap, wk_full_like(gap, 1))) : NULL;
}

/* Part of packed [.., size] from element at on, as [.., rest]. */
static wk_tensor *part(wk_tensor *packed, int64_t *at, wk_shape rest)
{
    if (!packed)
        return NULL;
    wk_shape s = packed->shape;
    s.rank--;
    for (int i = 0; i < rest.rank && s.rank < WK_MAX_RANK; i++)
        s.dim[s.rank++] = rest.dim[i];
    wk_tensor *x = wk_reshape_to(wk_narrow(packed, -1, *at, wk_elements(rest)), s);
    *at += wk_elements(rest);
    return x;
}

/* ---- Inverse, determinants, Cholesky -------------------------------------- */

static void inverse_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *t = turned(c->out);
    dx[0] = wk_neg(wk_matmul(wk_matmul(t, dy), t));
}

/* d log|det a| = tr(a^-1 da) */
static void det_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *g = c->op->id == WK_OP_det ? wk_mul(dy, c->out) : wk_select(dy, -1, 1);
    g = wk_unsqueeze(wk_unsqueeze(g, -1), -1);
    dx[0] = wk_mul(g, turned(wk_inverse(c->in[0])));
}

/* L^-T sym(tril(L^T dL), the diagonal halved) L^-1 */
static void cholesky_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *t = turned(c->out), *p = lower(wk_matmul(t, dy), 0);
    p = wk_scale(wk_add(p, turned(lower(p, -1))), 0.5);
    dx[0] = solve(t, turned(solve(t, p, true, false)), true, false);
}

#define SQUARE(name_, backward_)                                                                   \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 1,                                                                             \
        .infer = infer_square,                                                                     \
        .compute = compute,                                                                        \
        .backward = backward_,                                                                     \
    };                                                                                             \
    wk_tensor *wk_##name_(wk_tensor *a) { return WK_RUN(name_, WK_IN(a)); }

SQUARE(inverse, inverse_backward)
SQUARE(det, det_backward)
SQUARE(cholesky, cholesky_backward)

#define PARTS(name_, backward_)                                                                    \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 1,                                                                             \
        .infer = infer_parts,                                                                      \
        .compute = compute,                                                                        \
        .backward = backward_,                                                                     \
    };

PARTS(slogdet, det_backward)

wk_signed_log wk_slogdet(wk_tensor *a)
{
    wk_scope   scope = wk_mark();
    wk_tensor *y = WK_RUN(slogdet, WK_IN(a));
    wk_tensor *parts[] = { wk_select(y, -1, 0), wk_select(y, -1, 1) };
    wk_yield_all(scope, parts, 2);
    return (wk_signed_log){ parts[0], parts[1] };
}

/* ---- LU ------------------------------------------------------------------- */

typedef struct {
    wk_tensor *p, *l, *u;
} lu_views;

static lu_views lu_parts(wk_tensor *packed, int64_t m, int64_t n)
{
    int64_t  k = wk_min_i64(m, n), at = 0;
    lu_views v;
    v.p = part(packed, &at, WK_SHAPE(m, m));
    v.l = part(packed, &at, WK_SHAPE(m, k));
    v.u = part(packed, &at, WK_SHAPE(k, n));
    return v;
}

/* Of a square matrix P L^-T (tril(L^T dL, -1) + triu(dU U^T)) U^-T.  What a tall one has
 * below, L2 = A2 U^-1, and a wide one on the right, U2 = L^-1 A2, first hand on theirs. */
static void lu_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    int64_t    m = rows_of(c->in[0]), n = columns_of(c->in[0]), k = wk_min_i64(m, n);
    lu_views   y = lu_parts(c->out, m, n), d = lu_parts(dy, m, n);
    wk_tensor *l = wk_narrow(y.l, -2, 0, k), *u = wk_narrow(y.u, -1, 0, k);
    wk_tensor *low = wk_matmul(turned(l), wk_narrow(d.l, -2, 0, k));
    wk_tensor *up = wk_matmul(wk_narrow(d.u, -1, 0, k), turned(u)), *rest = NULL;
    if (m > k) {
        wk_tensor *dl2 = wk_narrow(d.l, -2, k, m - k), *l2 = wk_narrow(y.l, -2, k, m - k);
        up = wk_sub(up, wk_matmul(turned(l2), dl2));
        rest = turned(solve(u, turned(dl2), true, false)); // [.., m - k, k]
    } else if (n > k) {
        wk_tensor *du2 = wk_narrow(d.u, -1, k, n - k), *u2 = wk_narrow(y.u, -1, k, n - k);
        low = wk_sub(low, wk_matmul(du2, turned(u2)));
        rest = solve(turned(l), du2, true, true); // [.., k, n - k]
    }
    wk_tensor *g = solve(turned(l), wk_add(lower(low, -1), upper(up, 0)), true, true);
    g = turned(solve(u, turned(g), true, false));
    dx[0] = wk_matmul(y.p, rest ? wk_cat(m > k ? -2 : -1, g, rest) : g);
}

PARTS(lu, lu_backward)

wk_lu_factors wk_lu(wk_tensor *a)
{
    wk_scope   scope = wk_mark();
    lu_views   v = lu_parts(WK_RUN(lu, WK_IN(a)), wk_dim(a, -2), wk_dim(a, -1));
    wk_tensor *parts[] = { wk_ok() ? wk_detach(v.p) : NULL, v.l, v.u };
    wk_yield_all(scope, parts, 3);
    return (wk_lu_factors){ parts[0], parts[1], parts[2] };
}

/* ---- QR ------------------------------------------------------------------- */

static wk_qr_factors qr_parts(wk_tensor *packed, int64_t m, int64_t n)
{
    int64_t       k = wk_min_i64(m, n), at = 0;
    wk_qr_factors v;
    v.q = part(packed, &at, WK_SHAPE(m, k));
    v.r = part(packed, &at, WK_SHAPE(k, n));
    return v;
}

/* (dQ + Q copyltu(R dR^T - dQ^T Q)) R^-T; the rest of a wide matrix is Q R2 */
static void qr_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    int64_t       m = rows_of(c->in[0]), n = columns_of(c->in[0]), k = wk_min_i64(m, n);
    wk_qr_factors y = qr_parts(c->out, m, n), d = qr_parts(dy, m, n);
    wk_tensor    *dq = d.q, *rest = NULL;
    if (n > k) {
        wk_tensor *dr2 = wk_narrow(d.r, -1, k, n - k);
        dq = wk_add(dq, wk_matmul(wk_narrow(c->in[0], -1, k, n - k), turned(dr2)));
        rest = wk_matmul(y.q, dr2);
    }
    wk_tensor *r = wk_narrow(y.r, -1, 0, k), *dr = wk_narrow(d.r, -1, 0, k);
    wk_tensor *s = wk_sub(wk_matmul(r, turned(dr)), wk_matmul(turned(dq), y.q));
    s = wk_add(lower(s, 0), turned(lower(s, -1)));
    wk_tensor *g = wk_add(dq, wk_matmul(y.q, s));
    g = turned(solve(r, turned(g), true, false));
    dx[0] = rest ? wk_cat(-1, g, rest) : g;
}

PARTS(qr, qr_backward)

wk_qr_factors wk_qr(wk_tensor *a)
{
    wk_scope      scope = wk_mark();
    wk_qr_factors v = qr_parts(WK_RUN(qr, WK_IN(a)), wk_dim(a, -2), wk_dim(a, -1));
    wk_tensor    *parts[] = { v.q, v.r };
    wk_yield_all(scope, parts, 2);
    return (wk_qr_factors){ parts[0], parts[1] };
}

/* ---- SVD ------------------------------------------------------------------ */

static wk_svd_factors svd_parts(wk_tensor *packed, int64_t m, int64_t n)
{
    int64_t        k = wk_min_i64(m, n), at = 0;
    wk_svd_factors v;
    v.u = part(packed, &at, WK_SHAPE(m, k));
    v.s = part(packed, &at, WK_SHAPE(k));
    v.vt = part(packed, &at, WK_SHAPE(k, n));
    return v;
}

/* X - X^T over the gaps between the squares of the singular values */
static wk_tensor *skew_over_gaps(wk_tensor *x, wk_tensor *s)
{
    return over_gaps(wk_sub(x, turned(x)), wk_square(s));
}

/* x less its share in the space of the orthonormal columns of u */
static wk_tensor *outside(wk_tensor *u, wk_tensor *x)
{
    return wk_sub(x, wk_matmul(u, wk_matmul(turned(u), x)));
}

/* U (skew(U^T dU) / E S + S skew(V^T dV) / E + dS) V^T, and what is outside of U and V */
static void svd_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    int64_t        m = rows_of(c->in[0]), n = columns_of(c->in[0]);
    wk_svd_factors y = svd_parts(c->out, m, n), d = svd_parts(dy, m, n);
    wk_tensor     *v = turned(y.vt), *dv = turned(d.vt), *row = wk_unsqueeze(y.s, -2);
    wk_tensor     *left = wk_mul(skew_over_gaps(wk_matmul(turned(y.u), d.u), y.s), row);
    wk_tensor     *right = skew_over_gaps(wk_matmul(y.vt, dv), y.s);
    right = wk_mul(right, wk_unsqueeze(y.s, -1));
    wk_tensor *g = wk_add(wk_add(left, right), as_diagonal(d.s));
    g = wk_matmul(wk_matmul(y.u, g), y.vt);
    if (m > n)
        g = wk_add(g, wk_matmul(wk_div(outside(y.u, d.u), row), y.vt));
    if (m < n)
        g = wk_add(g, wk_matmul(y.u, turned(wk_div(outside(v, dv), row))));
    dx[0] = g;
}

PARTS(svd, svd_backward)

wk_svd_factors wk_svd(wk_tensor *a)
{
    wk_scope       scope = wk_mark();
    wk_svd_factors v = svd_parts(WK_RUN(svd, WK_IN(a)), wk_dim(a, -2), wk_dim(a, -1));
    wk_tensor     *parts[] = { v.u, v.s, v.vt };
    wk_yield_all(scope, parts, 3);
    return (wk_svd_factors){ parts[0], parts[1], parts[2] };
}

/* ---- Eigenvalues ----------------------------------------------------------- */

static wk_eigen eigh_parts(wk_tensor *packed, int64_t n)
{
    int64_t  at = 0;
    wk_eigen v;
    v.values = part(packed, &at, WK_SHAPE(n));
    v.vectors = part(packed, &at, WK_SHAPE(n, n));
    return v;
}

/* V (V^T dV / E + dL) V^T */
static void eigh_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    int64_t    n = columns_of(c->in[0]);
    wk_eigen   y = eigh_parts(c->out, n), d = eigh_parts(dy, n);
    wk_tensor *g = over_gaps(wk_matmul(turned(y.vectors), d.vectors), y.values);
    g = wk_add(g, as_diagonal(d.values));
    dx[0] = wk_matmul(wk_matmul(y.vectors, g), turned(y.vectors));
}

PARTS(eigh, eigh_backward)

wk_eigen wk_eigh(wk_tensor *a)
{
    wk_scope   scope = wk_mark();
    wk_eigen   v = eigh_parts(WK_RUN(eigh, WK_IN(a)), wk_dim(a, -1));
    wk_tensor *parts[] = { v.values, v.vectors };
    wk_yield_all(scope, parts, 2);
    return (wk_eigen){ parts[0], parts[1] };
}

/* ---- Systems of equations --------------------------------------------------- */

/* operands: a [.., n, n], b [.., n, r], of the same leading dimensions */
static bool solve_infer(wk_call *c)
{
    char s[160], t[160];
    if (!check_matrix(c, 0, true) || !check_matrix(c, 1, false))
        return false;
    if (columns_of(c->in[0]) != rows_of(c->in[1]))
        wk_fail(WK_ERR_SHAPE, "%s: %s does not fit %s", c->op->name, wk_show(c->in[1], s),
                wk_show(c->in[0], t));
    c->shape = c->in[1]->shape;
    c->dtype = wk_dtype_promote(c->in[0]->dtype, c->in[1]->dtype);
    return wk_ok();
}

/* number: for triangles whether it is the upper one, and has ones on its diagonal */
static void systems(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        n = columns_of(c->in[0]), r = columns_of(c->in[1]);
    double        *a = wk_scratch((size_t)(n * n + 2 * n * r + wk_matrix_work(n, n)) * sizeof *a);
    double        *b = a + n * n, *x = b + n * r, *work = x + n * r;
    for (int64_t i = begin; a && i < end; i++) {
        wk_load_f64(a, c->in[0], i * n * n, n * n, 1);
        wk_load_f64(b, c->in[1], i * n * r, n * r, 1);
        bool solved = c->op->id == WK_OP_solve
                          ? wk_matrix_solve(a, b, x, n, r, work)
                          : wk_matrix_solve_triangle(a, b, n, r, c->opt.number[0] != 0,
                                                     c->opt.number[1] != 0);
        if (!solved) {
            fail_at(c, i, "singular");
            return;
        }
        wk_store_f64(c->out, i * n * r, c->op->id == WK_OP_solve ? x : b, n * r, 1);
    }
}

static bool solve_compute(const wk_call *c)
{
    double n = (double)columns_of(c->in[0]), r = (double)columns_of(c->in[1]);
    wk_parallel(batch_of(c->in[0]), grain(n * n * (n + r)), systems, (void *)c);
    return wk_ok();
}

static void solve_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[1] = wk_solve(turned(c->in[0]), dy);
    dx[0] = wk_wants_grad(c->in[0]) ? wk_neg(wk_matmul(dx[1], turned(c->out))) : NULL;
}

static void triangular_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    bool up = c->opt.number[0] != 0, unit = c->opt.number[1] != 0;
    dx[1] = solve(turned(c->in[0]), dy, !up, unit);
    if (!wk_wants_grad(c->in[0]))
        return;
    wk_tensor *g = wk_neg(wk_matmul(dx[1], turned(c->out)));
    dx[0] = up ? upper(g, unit) : lower(g, unit ? -1 : 0);
}

const wk_op wk_op_solve = {
    .name = "solve",
    .id = WK_OP_solve,
    .required = 2,
    .infer = solve_infer,
    .compute = solve_compute,
    .backward = solve_backward,
};

const wk_op wk_op_solve_triangular = {
    .name = "solve_triangular",
    .id = WK_OP_solve_triangular,
    .required = 2,
    .infer = solve_infer,
    .compute = solve_compute,
    .backward = triangular_backward,
};

/* The leading dimensions of a and b made the same. */
static bool spread(const char *what, wk_tensor **a, wk_tensor **b)
{
    char     s[160], t[160];
    wk_shape p, q, both;
    if (!wk_usable(what, 1, *a) || !wk_usable(what, 2, *b))
        return false;
    p = (*a)->shape, q = (*b)->shape;
    if (p.rank < 2 || q.rank < 2)
        return true; /* an error that infer() finds */
    p.rank -= 2, q.rank -= 2;
    if (!wk_broadcast(p, q, &both)) {
        wk_fail(WK_ERR_SHAPE, "%s: %s does not fit %s", what, wk_show(*b, s), wk_show(*a, t));
        return false;
    }
    both.rank += 2;
    for (int i = 2; i > 0; i--)
        both.dim[both.rank - i] = wk_dim(*a, -i);
    *a = wk_expand_to(*a, both);
    for (int i = 2; i > 0; i--)
        both.dim[both.rank - i] = wk_dim(*b, -i);
    *b = wk_expand_to(*b, both);
    return wk_ok();
}

wk_tensor *wk_solve(wk_tensor *a, wk_tensor *b)
{
    wk_scope scope = wk_mark();
    bool     vectors = wk_rank(b) == 1;
    if (wk_rank(a) >= 2 && wk_rank(b) == wk_rank(a) - 1) {
        wk_shape s = a->shape;
        s.rank--;
        vectors |= wk_same_shape(s, b->shape);
    }
    b = vectors ? wk_unsqueeze(b, -1) : b;
    wk_tensor *x = spread("solve", &a, &b) ? WK_RUN(solve, WK_IN(a, b)) : NULL;
    return wk_yield(scope, vectors && x ? wk_squeeze(x, -1) : x);
}

wk_tensor *wk_solve_triangular_with(const wk_triangular_args *t)
{
    wk_scope   scope = wk_mark();
    wk_tensor *a = t->a, *b = t->b;
    if (!spread("solve_triangular", &a, &b))
        return NULL;
    return wk_yield(scope,
                    WK_RUN(solve_triangular, WK_IN(a, b), .opt.number = { t->upper, t->unit }));
}

/* ---- Least squares ----------------------------------------------------------- */

wk_tensor *wk_pinv(wk_tensor *a)
{
    if (!wk_usable("pinv", 1, a))
        return NULL;
    wk_scope       scope = wk_mark();
    wk_svd_factors f = wk_svd(a);
    if (!f.s || wk_count(f.s) == 0) {
        wk_tensor *y =
            f.s ? wk_matmul(turned(f.vt), turned(wk_mul(f.u, wk_unsqueeze(f.s, -2)))) : NULL;
        return wk_yield(scope, y);
    }
    double     eps = wk_dtype_of(a) == WK_F64 ? 0x1p-52 : 0x1p-23;
    double     most = (double)wk_max_i64(wk_dim(a, -1), wk_dim(a, -2));
    wk_tensor *least = wk_scale(wk_narrow(f.s, -1, 0, 1), eps * most);
    wk_tensor *counts = wk_gt(f.s, least);
    wk_tensor *r = wk_div(counts, wk_where(counts, f.s, wk_full_like(f.s, 1)));
    return wk_yield(scope, wk_matmul(wk_mul(turned(f.vt), wk_unsqueeze(r, -2)), turned(f.u)));
}

wk_tensor *wk_lstsq(wk_tensor *a, wk_tensor *b)
{
    char s[160];
    if (!wk_usable("lstsq", 1, a) || !wk_usable("lstsq", 2, b))
        return NULL;
    if (wk_rank(a) < 2 || rows_of(a) < columns_of(a)) {
        wk_fail(WK_ERR_SHAPE, "lstsq: %s has fewer rows than columns", wk_show(a, s));
        return NULL;
    }
    wk_scope      scope = wk_mark();
    wk_qr_factors f = wk_qr(a);
    wk_tensor    *y = f.q ? wk_matmul(turned(f.q), b) : NULL;
    return wk_yield(scope, y ? solve(f.r, y, true, false) : NULL);
}
