// SPDX-License-Identifier: MIT OR Apache-2.0
/* reduce.c - sums, means, extremes and the like, over any set of axes.
 *
 * A reduction is a row of the table of reducers: how to begin, how to take in a row of
 * elements, how to end.  The elements behind one number of the result are visited in
 * the order of the tensor, in doubles, or in 64-bit integers for integer tensors. */
#include "../core/core.h"

#include <math.h>

/* ---- Reducers ----------------------------------------------------------- */

typedef struct {
    double  f, g; /* what the reducer makes of them */
    int64_t i;
    int64_t n;  /* elements seen */
    int64_t at; /* where the extreme is */
    double  p;
    bool    biased;
} state;

typedef struct {
    double  f;
    int64_t i; /* start values */
    void (*take_f64)(state *s, const double *x, int64_t n);
    void (*take_i64)(state *s, const int64_t *x, int64_t n); /* NULL: as doubles */
    void (*end)(state *s);
    enum { SAME, WIDE, FLOAT, TRUTH, INDEX } result;
    bool needs_some; /* there is no result for no elements */
} reducer;

#define TAKE(name, T, ...)                                                                         \
    __attribute__((no_sanitize("signed-integer-overflow"))) static void name(                      \
        state *s, const T *row, int64_t n)                                                         \
    {                                                                                              \
        for (int64_t k = 0; k < n; k++) {                                                          \
            const T x = row[k];                                                                    \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        s->n += n;                                                                                 \
    }
TAKE(sum_f64, double, s->f += x)
TAKE(sum_i64, int64_t, s->i += x)
TAKE(prod_f64, double, s->f *= x)
TAKE(prod_i64, int64_t, s->i *= x)
TAKE(any_f64, double, if (x != 0) s->f = 1)
TAKE(all_f64, double, if (x == 0) s->f = 0)
TAKE(norm_f64, double, s->f += s->p == 2 ? x * x : s->p == 1 ? fabs(x) : pow(fabs(x), s->p))
TAKE(norm_inf_f64, double, if (!(fabs(x) <= s->f) && s->f == s->f) s->f = fabs(x))
/* NaN is both smallest and largest, and the first one stays */
TAKE(min_f64, double, if (s->n + k == 0 || (!(x >= s->f) && s->f == s->f)) s->f = x,
     s->at = s->n + k)
TAKE(max_f64, double, if (s->n + k == 0 || (!(x <= s->f) && s->f == s->f)) s->f = x,
     s->at = s->n + k)
TAKE(min_i64, int64_t, if (s->n + k == 0 || x < s->i) s->i = x, s->at = s->n + k)
TAKE(max_i64, int64_t, if (s->n + k == 0 || x > s->i) s->i = x, s->at = s->n + k)
/* Welford, 1962 */
TAKE(var_f64, double, const double d = x - s->f; s->f += d / (double)(s->n + k + 1);
     s->g += d * (x - s->f))

/* f is the largest so far, g the sum of exp(x - f) */
static void logsumexp_f64(state *s, const double *x, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        if (x[k] > s->f) {
            s->g *= s->f == -INFINITY ? 0 : exp(s->f - x[k]);
            s->f = x[k];
        }
        if (x[k] != -INFINITY)
            s->g += isinf(s->f) && x[k] == s->f ? 1 : exp(x[k] - s->f);
    }
    s->n += n;
}

static void end_mean(state *s) { s->f /= (double)s->n; }
static void end_var(state *s) { s->f = s->g / (double)(s->n - !s->biased); }
static void end_std(state *s) { end_var(s), s->f = sqrt(s->f); }
static void end_index(state *s) { s->i = s->at; }
static void end_logsumexp(state *s) { s->f += log(s->g); }
static void end_norm(state *s)
{
    s->f = s->p == 2 ? sqrt(s->f) : s->p == 1 ? s->f : pow(s->f, 1 / s->p);
}

static const reducer reducers[WK_OP_LISTED] = {
    [WK_OP_sum] = { .take_f64 = sum_f64, .take_i64 = sum_i64, .result = WIDE },
    [WK_OP_prod] = { .f = 1, .i = 1, .take_f64 = prod_f64, .take_i64 = prod_i64, .result = WIDE },
    [WK_OP_mean] = { .take_f64 = sum_f64, .end = end_mean, .result = FLOAT },
    [WK_OP_var] = { .take_f64 = var_f64, .end = end_var, .result = FLOAT },
    [WK_OP_std] = { .take_f64 = var_f64, .end = end_std, .result = FLOAT },
    [WK_OP_any] = { .take_f64 = any_f64, .result = TRUTH },
    [WK_OP_all] = { .f = 1, .take_f64 = all_f64, .result = TRUTH },
    [WK_OP_min] = { .take_f64 = min_f64, .take_i64 = min_i64, .needs_some = true },
    [WK_OP_max] = { .take_f64 = max_f64, .take_i64 = max_i64, .needs_some = true },
    [WK_OP_argmin] = { .take_f64 = min_f64,
                       .take_i64 = min_i64,
                       .end = end_index,
                       .result = INDEX,
                       .needs_some = true },
    [WK_OP_argmax] = { .take_f64 = max_f64,
                       .take_i64 = max_i64,
                       .end = end_index,
                       .result = INDEX,
                       .needs_some = true },
    [WK_OP_logsumexp] = { .f = -INFINITY,
                          .take_f64 = logsumexp_f64,
                          .end = end_logsumexp,
                          .result = FLOAT },
    [WK_OP_norm] = { .take_f64 = norm_f64, .end = end_norm, .result = FLOAT },
};

static const reducer norm_inf = { .take_f64 = norm_inf_f64, .result = FLOAT };

/* ---- The portable kernel ------------------------------------------------ */

enum { ROW = 256 };

typedef struct { /* dimensions of the operand, sorted into those kept and those reduced */
    const wk_call *c;
    const reducer *r;
    bool           integers;
    int            kept, gone;
    int64_t        kept_dim[WK_MAX_RANK], kept_stride[WK_MAX_RANK];
    int64_t        gone_dim[WK_MAX_RANK], gone_stride[WK_MAX_RANK];
    int64_t        rows, length, step; /* of the elements behind one number */
} plan;

static int64_t offset_of(int64_t index, int rank, const int64_t *dim, const int64_t *stride)
{
    int64_t offset = 0;
    for (int i = rank - 1; i >= 0; i--) {
        offset += index % dim[i] * stride[i];
        index /= dim[i];
    }
    return offset;
}

static void take_row(const plan *p, state *s, int64_t at, int64_t n)
{
    const wk_tensor     *x = p->c->in[0];
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    const char          *from = (char *)wk_at_host(x) + at * (int64_t)d->size;
    double               f[ROW];
    int64_t              i[ROW];
    if (p->integers) {
        d->load[WK_AS_I64](i, from, n, p->step);
        p->r->take_i64(s, i, n);
    } else {
        d->load[WK_AS_F64](f, from, n, p->step);
        p->r->take_f64(s, f, n);
    }
}

static void reduce_pieces(void *ctx, int64_t begin, int64_t end)
{
    const plan          *p = ctx;
    const wk_dtype_info *d = &wk_dtypes[p->c->dtype];
    char                *out = wk_at_host(p->c->out);
    for (int64_t o = begin; o < end; o++) {
        int64_t base = offset_of(o, p->kept, p->kept_dim, p->kept_stride);
        state   s = {
              .f = p->r->f, .i = p->r->i, .p = p->c->opt.reduce.p, .biased = p->c->opt.reduce.biased
        };
        for (int64_t row = 0; row < p->rows; row++) {
            int64_t at = base + offset_of(row, p->gone - 1, p->gone_dim, p->gone_stride);
            for (int64_t k = 0; k < p->length; k += ROW)
                take_row(p, &s, at + k * p->step, wk_min_i64(ROW, p->length - k));
        }
        if (p->r->end)
            p->r->end(&s);
        bool whole = p->integers || p->r->result == INDEX;
        d->store[whole ? WK_AS_I64 : WK_AS_F64](out + o * (int64_t)d->size,
                                                whole ? (void *)&s.i : (void *)&s.f, 1, 1);
    }
}

static const reducer *reducer_of(const wk_call *c)
{
    return c->op->id == WK_OP_norm && isinf(c->opt.reduce.p) ? &norm_inf : &reducers[c->op->id];
}

static bool compute(const wk_call *c)
{
    const wk_tensor *x = c->in[0];
    plan             p = { .c = c, .r = reducer_of(c), .rows = 1, .length = 1, .step = 1 };
    bool             gone[WK_MAX_RANK];
    wk_axis_set(c->op->name, x->shape, c->opt.reduce.axes, gone);
    p.integers = !wk_dtypes[x->dtype].is_float && p.r->take_i64;
    for (int i = 0; i < x->shape.rank; i++)
        if (gone[i]) {
            p.rows *= p.gone ? p.length : 1;
            p.length = p.gone_dim[p.gone] = x->shape.dim[i];
            p.step = p.gone_stride[p.gone++] = x->stride[i];
        } else {
            p.kept_dim[p.kept] = x->shape.dim[i];
            p.kept_stride[p.kept++] = x->stride[i];
        }
    wk_parallel(wk_count(c->out), 4096 / wk_max_i64(1, p.rows * p.length) + 1, reduce_pieces, &p);
    return true;
}

/* ---- Shape rule --------------------------------------------------------- */

static bool infer(wk_call *c)
{
    const wk_tensor *x = c->in[0];
    wk_shape        *axes = &c->opt.reduce.axes, shape = { 0 };
    const reducer   *r = reducer_of(c);
    bool             gone[WK_MAX_RANK];
    char             text[160];
    if (axes->rank == 0) { /* all */
        axes->rank = x->shape.rank;
        for (int i = 0; i < axes->rank; i++)
            axes->dim[i] = i;
    }
    if (!wk_axis_set(c->op->name, x->shape, *axes, gone))
        return false;
    if (r->result == INDEX && axes->rank > 1 && axes->rank < x->shape.rank)
        wk_fail(WK_ERR_ARGUMENT, "%s: over one axis or over all, not %d", c->op->name, axes->rank);
    for (int i = 0; i < x->shape.rank; i++) {
        if (gone[i] && r->needs_some && x->shape.dim[i] == 0)
            wk_fail(WK_ERR_SHAPE, "%s: of no elements, in %s", c->op->name, wk_show(x, text));
        if (!gone[i] || c->opt.reduce.keep)
            shape.dim[shape.rank++] = gone[i] ? 1 : x->shape.dim[i];
    }
    bool is_float = wk_dtypes[x->dtype].is_float;
    c->shape = shape;
    c->dtype = r->result == TRUTH              ? WK_BOOL
               : r->result == INDEX            ? WK_I64
               : is_float || r->result == SAME ? x->dtype
               : r->result == WIDE             ? WK_I64
                                               : WK_F32;
    return wk_ok();
}

/* ---- Gradients ---------------------------------------------------------- */

/* t, of the result's shape, with the axes back that were dropped: it broadcasts. */
static wk_tensor *kept(const wk_call *c, wk_tensor *t)
{
    wk_shape shape = c->in[0]->shape;
    for (int i = 0; i < c->opt.reduce.axes.rank; i++) {
        int64_t axis = c->opt.reduce.axes.dim[i];
        shape.dim[axis < 0 ? axis + shape.rank : axis] = 1;
    }
    return wk_reshape_to(t, shape);
}

static wk_tensor *over_same(const wk_call *c, wk_tensor *x,
                            wk_tensor *(*reduce)(const wk_reduce_args *args))
{
    return reduce(&(wk_reduce_args){ .x = x, .over = c->opt.reduce.axes, .keep = true });
}

static double length(const wk_call *c)
{
    return (double)wk_count(c->in[0]) / (double)wk_max_i64(1, wk_count(c->out));
}

static void sum_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_expand_to(kept(c, dy), c->in[0]->shape);
}

static void mean_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_expand_to(kept(c, wk_scale(dy, 1 / length(c))), c->in[0]->shape);
}

static void var_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *x = c->in[0], *centred = wk_sub(x, over_same(c, x, wk_mean_with));
    double     n = length(c) - !c->opt.reduce.biased;
    dx[0] = wk_mul(wk_scale(kept(c, dy), 2 / n), centred);
}

static void std_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *flat = wk_eq(c->out, wk_full_like(c->out, 0)); /* no spread: no direction */
    wk_tensor *half = wk_masked_fill(wk_div(wk_scale(dy, 0.5), c->out), flat, 0);
    var_backward(c, half, dx);
}

static wk_tensor *share_of_ties(const wk_call *c, wk_tensor *x, wk_tensor *dy)
{
    wk_tensor *mask = wk_cast(wk_eq(x, kept(c, c->out)), dy->dtype);
    return wk_mul(mask, wk_div(kept(c, dy), over_same(c, mask, wk_sum_with)));
}

static void extreme_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = share_of_ties(c, c->in[0], dy);
}

static void prod_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_mul(kept(c, dy), WK_RUN(prod_others, WK_IN(c->in[0]), .opt = c->opt));
}

static void logsumexp_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_mul(kept(c, dy), wk_exp(wk_sub(c->in[0], kept(c, c->out))));
}

static void norm_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *x = c->in[0], *zero = wk_eq(c->out, wk_full_like(c->out, 0));
    double     p = c->opt.reduce.p;
    if (isinf(p)) {
        dx[0] = wk_mul(share_of_ties(c, wk_abs(x), dy), wk_sign(x));
        return;
    }
    wk_tensor *factor = p == 2 ? wk_div(dy, c->out) : wk_div(dy, wk_pow_scalar(c->out, p - 1));
    factor = kept(c, wk_masked_fill(factor, zero, 0));
    wk_tensor *d = p == 2   ? x
                   : p == 1 ? wk_sign(x)
                            : wk_mul(wk_sign(x), wk_pow_scalar(wk_abs(x), p - 1));
    dx[0] = wk_mul(factor, d);
}

/* ---- The product of all others, for the gradient of prod ---------------- */

static bool others_compute(const wk_call *c)
{
    const wk_tensor *x = c->in[0];
    plan             p = { .kept = 0 };
    bool             gone[WK_MAX_RANK];
    wk_axis_set("prod", x->shape, c->opt.reduce.axes, gone);
    int64_t n = 1;
    for (int i = 0; i < x->shape.rank; i++)
        if (gone[i]) {
            p.gone_dim[p.gone] = x->shape.dim[i];
            p.gone_stride[p.gone++] = x->stride[i];
            n *= x->shape.dim[i];
        } else {
            p.kept_dim[p.kept] = x->shape.dim[i];
            p.kept_stride[p.kept++] = x->stride[i];
        }
    double *after = wk_alloc_array((size_t)n + 1, sizeof *after);
    for (int64_t o = 0; after && o < wk_count(x) / n; o++) {
        int64_t base = offset_of(o, p.kept, p.kept_dim, p.kept_stride);
        double  before = 1, value;
        after[n] = 1;
        for (int64_t i = n - 1; i >= 0; i--) {
            wk_load_f64(&value, x, base + offset_of(i, p.gone, p.gone_dim, p.gone_stride), 1, 1);
            after[i] = after[i + 1] * value;
        }
        for (int64_t i = 0; i < n; i++) { /* operand and result are dense: the same offsets */
            int64_t at = base + offset_of(i, p.gone, p.gone_dim, p.gone_stride);
            double  product = before * after[i + 1];
            wk_load_f64(&value, x, at, 1, 1);
            wk_store_f64(c->out, at, &product, 1, 1);
            before *= value;
        }
    }
    wk_free(after);
    return wk_ok();
}

const wk_op wk_op_prod_others = {
    .name = "prod_others",
    .id = WK_OP_prod_others,
    .required = 1,
    .infer = wk_infer_same,
    .compute = others_compute,
};

/* ---- Operations --------------------------------------------------------- */

static wk_tensor *run(const wk_op *op, const wk_reduce_args *a)
{
    double p = a->p != 0 ? a->p : 2;
    return wk_run(
        &(wk_call){ .op = op, WK_IN(a->x), .opt.reduce = { a->over, a->keep, a->biased, p } });
}

#define REDUCTION(name_, backward_)                                                                \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 1,                                                                             \
        .strided = WK_ALL_OPERANDS,                                                                \
        .infer = infer,                                                                            \
        .compute = compute,                                                                        \
        .backward = backward_,                                                                     \
    };                                                                                             \
    wk_tensor *wk_##name_##_with(const wk_reduce_args *a) { return run(&wk_op_##name_, a); }
REDUCTION(sum, sum_backward)
REDUCTION(mean, mean_backward)
REDUCTION(var, var_backward)
REDUCTION(std, std_backward)
REDUCTION(min, extreme_backward)
REDUCTION(max, extreme_backward)
REDUCTION(prod, prod_backward)
REDUCTION(any, NULL)
REDUCTION(all, NULL)
REDUCTION(logsumexp, logsumexp_backward)
REDUCTION(norm, norm_backward)
REDUCTION(argmin, NULL)
REDUCTION(argmax, NULL)

wk_tensor *wk_sum_to(wk_tensor *x, wk_shape shape)
{
    if (!wk_usable("sum_to", 1, x))
        return NULL;
    if (wk_same_shape(x->shape, shape))
        return x;
    wk_shape both, axes = { 0 };
    char     a[160], b[160];
    int      extra = x->shape.rank - shape.rank;
    if (!wk_broadcast(x->shape, shape, &both) || !wk_same_shape(both, x->shape)) {
        wk_fail(WK_ERR_SHAPE, "sum_to: %s was not broadcast from %s", wk_show(x, a),
                wk_show_shape(shape, b));
        return NULL;
    }
    for (int i = 0; i < x->shape.rank; i++)
        if (i < extra || shape.dim[i - extra] != x->shape.dim[i])
            axes.dim[axes.rank++] = i;
    wk_scope scope = wk_mark();
    return wk_yield(scope, wk_reshape_to(wk_sum(x, .over = axes, .keep = true), shape));
}
