// SPDX-License-Identifier: MIT OR Apache-2.0
/* loss.c - the mean cross entropy of logits [.., v] and target [..], as one operation:
 * nn/losses.c has the function, and what other forms of it are made of.
 *
 * With smoothing e the target is 1 - e at the right class and e / v everywhere. */
#include "../core/core.h"

#include <math.h>

static bool infer(wk_call *c)
{
    const wk_tensor *logits = c->in[0], *target = c->in[1];
    wk_shape         rows = logits->shape;
    char             s[160], t[160];
    rows.rank--;
    if (rows.rank < 0 || !wk_same_shape(rows, target->shape) || wk_dim(logits, -1) == 0)
        wk_fail(WK_ERR_SHAPE, "cross_entropy: logits %s do not fit target %s", wk_show(logits, s),
                wk_show(target, t));
    if (wk_dtypes[target->dtype].is_float || !wk_dtypes[logits->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "cross_entropy: logits %s must be floats and target %s integers",
                wk_show(logits, s), wk_show(target, t));
    c->shape = WK_SCALAR;
    c->dtype = logits->dtype;
    return wk_ok();
}

static bool is_ignored(const wk_call *c, int64_t class)
{
    return c->opt.loss.ignore && class == c->opt.loss.ignore_index;
}

static bool check_class(int64_t class, int64_t n)
{
    if (class >= 0 && class < n)
        return true;
    wk_fail(WK_ERR_ARGUMENT, "cross_entropy: class %lld is not between 0 and %lld",
            (long long)class, (long long)n - 1);
    return false;
}

static double log_sum_exp(const double *x, int64_t n)
{
    double top = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i] - top);
    return top + log(sum);
}

/* Rows that count. */
static int64_t counted(const wk_call *c)
{
    int64_t rows = wk_count(c->in[1]), n = 0;
    for (int64_t r = 0; r < rows; r++)
        n += !is_ignored(c, wk_load_index(c->in[1], r));
    return n;
}

static bool compute(const wk_call *c)
{
    int64_t n = wk_dim(c->in[0], -1), rows = wk_count(c->in[1]);
    double  e = c->opt.loss.label_smoothing, loss = 0;
    double *x = wk_alloc_array((size_t)n, sizeof *x);
    for (int64_t r = 0; x && r < rows; r++) {
        int64_t class = wk_load_index(c->in[1], r);
        if (is_ignored(c, class))
            continue;
        if (!check_class(class, n))
            break;
        wk_load_f64(x, c->in[0], r * n, n, 1);
        double all = log_sum_exp(x, n), mean = 0;
        for (int64_t i = 0; e != 0 && i < n; i++)
            mean += (all - x[i]) / (double)n;
        loss += (1 - e) * (all - x[class]) + e * mean;
    }
    wk_free(x);
    loss /= (double)counted(c);
    wk_store_f64(c->out, 0, &loss, 1, 1);
    return wk_ok();
}

typedef struct {
    const wk_call *c;
    double         share; /* of a row in the gradient of the loss */
} grad;

/* operands: logits, target, dy [] -> the gradient of the logits */
static void grad_rows(void *ctx, int64_t begin, int64_t end)
{
    const grad    *g = ctx;
    const wk_call *c = g->c;
    int64_t        n = wk_dim(c->in[0], -1);
    double         e = c->opt.loss.label_smoothing, *x = wk_scratch((size_t)n * sizeof *x);
    for (int64_t r = begin; x && r < end; r++) {
        int64_t class = wk_load_index(c->in[1], r);
        bool ignored = is_ignored(c, class);
        if (!ignored && !check_class(class, n))
            return;
        wk_load_f64(x, c->in[0], r * n, n, 1);
        double all = log_sum_exp(x, n);
        for (int64_t i = 0; i < n; i++) {
            double wanted = e / (double)n + (i == class ? 1 - e : 0);
            x[i] = ignored ? 0 : (exp(x[i] - all) - wanted) * g->share;
        }
        wk_store_f64(c->out, r * n, x, n, 1);
    }
}

static bool grad_compute(const wk_call *c)
{
    double dy;
    wk_load_f64(&dy, c->in[2], 0, 1, 1);
    grad g = { c, dy / (double)counted(c) };
    wk_parallel(wk_count(c->in[1]), 4096 / wk_dim(c->in[0], -1) + 1, grad_rows, &g);
    return wk_ok();
}

const wk_op wk_op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .id = WK_OP_cross_entropy_grad,
    .required = 3,
    .infer = wk_infer_same,
    .compute = grad_compute,
};

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(cross_entropy_grad, WK_IN(c->in[0], c->in[1], dy), .opt = c->opt);
}

const wk_op wk_op_cross_entropy = {
    .name = "cross_entropy",
    .id = WK_OP_cross_entropy,
    .required = 2,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};
