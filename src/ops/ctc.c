// SPDX-License-Identifier: MIT OR Apache-2.0
/* ctc.c - connectionist temporal classification: Graves et al., 2006, in logarithms.
 *
 * A target of s labels has 2 s + 1 states, blanks between them.  alpha[t][state] is the
 * probability of all paths there up to t, beta[state] that of the rest after t. */
#include "../core/core.h"

#include <math.h>

enum { PROBS, TARGETS, INPUTS, LENGTHS, DY };

/* ---- Checks -------------------------------------------------------------- */

static bool check(const wk_call *c)
{
    char             s[160], t[160];
    const wk_tensor *p = c->in[PROBS], *y = c->in[TARGETS];
    if (wk_rank(p) != 3 || (wk_rank(y) != 1 && (wk_rank(y) != 2 || wk_dim(y, 0) != wk_dim(p, 1))))
        wk_fail(WK_ERR_SHAPE, "ctc_loss: log_probs %s do not fit targets %s", wk_show(p, s),
                wk_show(y, t));
    for (int i = INPUTS; i <= LENGTHS; i++)
        if (wk_rank(c->in[i]) != 1 || wk_dim(c->in[i], 0) != wk_dim(p, 1))
            wk_fail(WK_ERR_SHAPE, "ctc_loss: lengths %s do not fit log_probs %s",
                    wk_show(c->in[i], t), wk_show(p, s));
    for (int i = TARGETS; i <= LENGTHS; i++)
        if (wk_dtypes[c->in[i]->dtype].is_float || !wk_dtypes[p->dtype].is_float)
            wk_fail(WK_ERR_DTYPE, "ctc_loss: log_probs %s must be floats and %s integers",
                    wk_show(p, s), wk_show(c->in[i], t));
    if (!(c->opt.number[0] >= 0) || c->opt.number[0] >= (double)wk_dim(p, 2))
        wk_fail(WK_ERR_ARGUMENT, "ctc_loss: blank %.0f is not a class of %s", c->opt.number[0],
                wk_show(p, s));
    return wk_ok();
}

static bool infer(wk_call *c)
{
    c->shape = WK_SHAPE(wk_dim(c->in[PROBS], 1));
    c->dtype = c->in[PROBS]->dtype;
    return check(c);
}

/* ---- One example ----------------------------------------------------------- */

typedef struct {
    const wk_call *c;
    int64_t        example, t, s, start; /* its lengths, and where its targets start */
    int64_t        states, classes;
    double        *alpha, *beta, *row, *grad, *label;
} path;

/* Its lengths, or an error. */
static bool find(path *p, const wk_call *c, int64_t example)
{
    const wk_tensor *y = c->in[TARGETS];
    int64_t          room = wk_dim(y, -1);
    *p = (path){ .c = c, .example = example, .classes = wk_dim(c->in[PROBS], 2) };
    p->t = wk_load_index(c->in[INPUTS], example);
    p->s = wk_load_index(c->in[LENGTHS], example);
    p->start = wk_rank(y) == 2 ? example * room : 0;
    for (int64_t i = 0; wk_rank(y) == 1 && i < example; i++) {
        int64_t before = wk_load_index(c->in[LENGTHS], i);
        p->start += before > 0 && before <= room ? before : 0;
        room -= before > 0 && before <= room ? before : 0;
    }
    if (p->t < 0 || p->t > wk_dim(c->in[PROBS], 0) || p->s < 0 || p->s > room)
        wk_fail(WK_ERR_ARGUMENT, "ctc_loss: lengths %lld and %lld of example %lld do not fit",
                (long long)p->t, (long long)p->s, (long long)example);
    p->states = wk_ok() ? 2 * p->s + 1 : 0;
    return wk_ok();
}

/* Scratch for it, and its labels. */
static bool prepare(path *p)
{
    double *at = wk_scratch((size_t)((p->t + 2) * p->states + 2 * p->classes) * sizeof *at);
    if (!at)
        return false;
    p->alpha = at;
    p->beta = at + p->t * p->states;
    p->label = p->beta + p->states;
    p->row = p->label + p->states;
    p->grad = p->row + p->classes;
    for (int64_t k = 0; k < p->states; k++) {
        p->label[k] = p->c->opt.number[0];
        if (k % 2)
            p->label[k] = (double)wk_load_index(p->c->in[TARGETS], p->start + k / 2);
        if (p->label[k] < 0 || p->label[k] >= (double)p->classes)
            wk_fail(WK_ERR_ARGUMENT, "ctc_loss: class %.0f is not between 0 and %lld", p->label[k],
                    (long long)p->classes - 1);
    }
    return wk_ok();
}

static void load_row(const path *p, int64_t t)
{
    int64_t n = wk_dim(p->c->in[PROBS], 1);
    wk_load_f64(p->row, p->c->in[PROBS], (t * n + p->example) * p->classes, p->classes, 1);
}

static double log_add(double a, double b)
{
    double top = fmax(a, b);
    return top == -INFINITY ? top : top + log1p(exp(fmin(a, b) - top));
}

/* May a path step from state k - 2 to k?  Over a blank between different labels. */
static bool may_skip(const path *p, int64_t k)
{
    return k % 2 && k >= 2 && p->label[k] != p->label[k - 2];
}

static double forwards(path *p)
{
    int64_t n = p->states;
    if (p->t == 0)
        return p->s ? INFINITY : 0;
    for (int64_t t = 0; t < p->t; t++) {
        double *a = p->alpha + t * n, *before = a - n;
        load_row(p, t);
        for (int64_t k = 0; k < n; k++) {
            double sum = t == 0 ? (k < 2 ? 0 : -INFINITY) : before[k];
            if (t && k)
                sum = log_add(sum, before[k - 1]);
            if (t && may_skip(p, k))
                sum = log_add(sum, before[k - 2]);
            a[k] = sum + p->row[(int64_t)p->label[k]];
        }
    }
    const double *last = p->alpha + p->t * n - 1;
    return -(n > 1 ? log_add(last[0], last[-1]) : last[0]);
}

/* beta[] at t + 1, with the probabilities of t + 1 in row, becomes that at t. */
static void step_back(path *p)
{
    int64_t n = p->states;
    for (int64_t k = 0; k < n; k++)
        p->beta[k] += p->row[(int64_t)p->label[k]];
    for (int64_t k = 0; k < n; k++) {
        double sum = p->beta[k];
        if (k + 1 < n)
            sum = log_add(sum, p->beta[k + 1]);
        if (k + 2 < n && may_skip(p, k + 2))
            sum = log_add(sum, p->beta[k + 2]);
        p->beta[k] = sum;
    }
}

/* ---- Kernels --------------------------------------------------------------- */

static void losses(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    for (int64_t i = begin; i < end; i++) {
        path p;
        if (!find(&p, c, i) || !prepare(&p))
            return;
        double loss = forwards(&p);
        loss = c->opt.number[1] != 0 && loss == INFINITY ? 0 : loss;
        wk_store_f64(c->out, i, &loss, 1, 1);
    }
}

static bool compute(const wk_call *c)
{
    wk_parallel(wk_dim(c->in[PROBS], 1), 1, losses, (void *)c);
    return wk_ok();
}

/* Minus the probability of being at each class at t, given the target, times dy. */
static void gradients(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        n = wk_dim(c->in[PROBS], 1);
    for (int64_t i = begin; i < end; i++) {
        path   p;
        double dy;
        if (!find(&p, c, i) || !prepare(&p))
            return;
        double loss = forwards(&p);
        bool   none = c->opt.number[1] != 0 && loss == INFINITY;
        wk_load_f64(&dy, c->in[DY], i, 1, 1);
        for (int64_t k = 0; k < p.states; k++)
            p.beta[k] = k >= p.states - 2 ? 0 : -INFINITY;
        for (int64_t t = wk_dim(c->in[PROBS], 0) - 1; t >= 0; t--) {
            const double *a = p.alpha + t * p.states;
            memset(p.grad, 0, (size_t)p.classes * sizeof *p.grad);
            if (t + 1 < p.t)
                step_back(&p);
            for (int64_t k = 0; k < p.states && t < p.t && !none; k++)
                p.grad[(int64_t)p.label[k]] -= dy * exp(a[k] + p.beta[k] + loss);
            if (t < p.t)
                load_row(&p, t);
            wk_store_f64(c->out, (t * n + i) * p.classes, p.grad, p.classes, 1);
        }
    }
}

static bool grad_compute(const wk_call *c)
{
    wk_parallel(wk_dim(c->in[PROBS], 1), 1, gradients, (void *)c);
    return wk_ok();
}

const wk_op wk_op_ctc_loss_grad = {
    .name = "ctc_loss_grad",
    .id = WK_OP_ctc_loss_grad,
    .required = 5,
    .infer = wk_infer_same,
    .compute = grad_compute,
};

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(ctc_loss_grad,
                   WK_IN(c->in[PROBS], c->in[TARGETS], c->in[INPUTS], c->in[LENGTHS], dy),
                   .opt = c->opt);
}

const wk_op wk_op_ctc_loss = {
    .name = "ctc_loss",
    .id = WK_OP_ctc_loss,
    .required = 4,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

wk_tensor *wk_ctc_loss_with(const wk_ctc_loss_args *a)
{
    if (a->reduction > WK_EACH)
        wk_fail(WK_ERR_ARGUMENT, "ctc_loss: reduction %d", (int)a->reduction);
    wk_scope   scope = wk_mark();
    wk_tensor *loss =
        WK_RUN(ctc_loss, WK_IN(a->log_probs, a->targets, a->input_lengths, a->target_lengths),
               .opt.number = { (double)a->blank, a->zero_infinity });
    if (loss && a->reduction == WK_MEAN) {
        wk_tensor *n = wk_clamp(a->target_lengths, 1, INFINITY);
        loss = wk_mean(wk_div(loss, wk_cast(n, wk_dtype_of(loss))));
    } else if (loss && a->reduction == WK_SUM) {
        loss = wk_sum(loss);
    }
    return wk_yield(scope, loss);
}
