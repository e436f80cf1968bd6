// SPDX-License-Identifier: MIT OR Apache-2.0
/* losses.c - what a model's output costs, of operations that have gradients of their own:
 * so losses can be differentiated twice, on every device.
 *
 * Each is the cost of every element (or row), which reduce() then makes one number of. */
#include "../core/core.h"
#include <wick/nn.h>

#include <float.h>
#include <math.h>

/* ---- Helpers ------------------------------------------------------------ */

/* x, or if its dtype is too short for sums, x in f32. */
static wk_tensor *wide(wk_tensor *x)
{
    return x && wk_dtypes[x->dtype].is_float && wk_dtypes[x->dtype].size < 4 ? wk_cast(x, WK_F32)
                                                                             : x;
}

static wk_tensor *reduce(wk_tensor *each, wk_reduction how)
{
    switch (how) {
    case WK_SUM:
        return wk_sum(each);
    case WK_EACH:
        return each;
    case WK_BATCH_MEAN:
        return wk_scale(wk_sum(each), 1 / (double)(wk_rank(each) ? wk_dim(each, 0) : 1));
    default:
        return wk_mean(each);
    }
}

/* Both are there and of one shape: to broadcast is nearly always a mistake here. */
static bool alike(const char *loss, const wk_tensor *x, const wk_tensor *y)
{
    char s[160], t[160];
    if (!wk_usable(loss, 1, x) || !wk_usable(loss, 2, y))
        return false;
    if (!wk_same_shape(x->shape, y->shape))
        wk_fail(WK_ERR_SHAPE, "%s: %s and %s differ in shape", loss, wk_show(x, s), wk_show(y, t));
    return wk_ok();
}

/* ---- Of elements -------------------------------------------------------- */

typedef wk_tensor *(*cost_fn)(const wk_loss_args *a, wk_tensor *x, wk_tensor *y);

static wk_tensor *square(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    (void)a;
    return wk_square(wk_sub(x, y));
}

static wk_tensor *absolute(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    (void)a;
    return wk_abs(wk_sub(x, y));
}

/* d^2 / 2 within -delta .. delta, and delta (|d| - delta / 2) outside: with d clamped to
 * c both are c (d - c / 2). */
static wk_tensor *quadratic_within(wk_tensor *d, double delta)
{
    wk_tensor *c = wk_clamp(d, -delta, delta);
    return wk_mul(c, wk_sub(d, wk_scale(c, 0.5)));
}

static wk_tensor *smooth_l1(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    double beta = a->beta != 0 ? a->beta : 1;
    return wk_scale(quadratic_within(wk_sub(x, y), beta), 1 / beta);
}

static wk_tensor *huber(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    return quadratic_within(wk_sub(x, y), a->delta != 0 ? a->delta : 1);
}

/* The logarithm of a probability, at least -100 as in PyTorch. */
static wk_tensor *log_probability(wk_tensor *p)
{
    wk_tensor *none = wk_lt(p, wk_scalar(FLT_MIN));
    return wk_masked_fill(wk_log(wk_clamp(p, FLT_MIN, INFINITY)), none, -100);
}

static wk_tensor *one_minus(wk_tensor *x) { return wk_add_scalar(wk_neg(x), 1); }

static wk_tensor *bce(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    (void)a;
    return wk_neg(
        wk_add(wk_mul(y, log_probability(x)), wk_mul(one_minus(y), log_probability(one_minus(x)))));
}

/* (1 - y) x + (1 + (pos_weight - 1) y) softplus(-x), which large x do not overflow */
static wk_tensor *bce_logits(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    wk_tensor *rest = wk_neg(wk_logsigmoid(x));
    if (a->pos_weight)
        rest = wk_mul(rest, wk_add_scalar(wk_mul(wk_add_scalar(a->pos_weight, -1), y), 1));
    return wk_add(wk_mul(one_minus(y), x), rest);
}

/* With p the probability of what is: (1 - p)^gamma times the cross entropy. */
static wk_tensor *focal(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    double     alpha = a->alpha != 0 ? a->alpha : 0.25, gamma = a->gamma != 0 ? a->gamma : 2;
    wk_tensor *q = wk_sigmoid(x), *entropy = bce_logits(a, x, y);
    wk_tensor *wrong = wk_add(wk_mul(q, one_minus(y)), wk_mul(one_minus(q), y)); /* 1 - p */
    wk_tensor *each = wk_mul(entropy, wk_pow_scalar(wrong, gamma));
    if (alpha < 0)
        return each;
    return wk_mul(each, wk_add_scalar(wk_scale(y, 2 * alpha - 1), 1 - alpha));
}

static wk_tensor *kl(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    if (a->log_target)
        return wk_mul(wk_exp(y), wk_sub(y, x));
    return wk_sub(wk_xlogy(y, y), wk_mul(y, x));
}

/* The terms of y alone are Stirling's for log y!, where y > 1. */
static wk_tensor *poisson(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    double     eps = a->eps != 0 ? a->eps : 1e-8;
    wk_tensor *each = a->plain_input ? wk_sub(x, wk_mul(y, wk_log(wk_add_scalar(x, eps))))
                                     : wk_sub(wk_exp(x), wk_mul(y, x));
    if (!a->full)
        return each;
    wk_tensor *few = wk_le(y, wk_scalar(1)), *n = wk_masked_fill(y, few, 1);
    wk_tensor *rest =
        wk_add(wk_sub(wk_xlogy(n, n), n), wk_scale(wk_log(wk_scale(n, 2 * M_PI)), .5));
    return wk_add(each, wk_masked_fill(rest, few, 0));
}

static wk_tensor *gaussian(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    wk_tensor *var = wk_clamp(wide(a->var), a->eps != 0 ? a->eps : 1e-6, INFINITY);
    wk_tensor *each = wk_add(wk_log(var), wk_div(wk_square(wk_sub(x, y)), var));
    return wk_scale(a->full ? wk_add_scalar(each, log(2 * M_PI)) : each, 0.5);
}

static wk_tensor *hinge_embedding(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    double     margin = a->margin != 0 ? a->margin : 1;
    wk_tensor *far = wk_relu(wk_add_scalar(wk_neg(x), margin));
    return wk_where(wk_gt(y, wk_scalar(0)), x, far);
}

static wk_tensor *soft_margin(const wk_loss_args *a, wk_tensor *x, wk_tensor *y)
{
    (void)a;
    return wk_neg(wk_logsigmoid(wk_mul(x, y)));
}

static wk_tensor *pairs(const char *name, const wk_loss_args *a, cost_fn cost)
{
    wk_tensor *more[] = { a->weight, a->pos_weight, a->var };
    if (!wk_ok() || !alike(name, a->x, a->y))
        return NULL;
    for (int i = 0; i < (int)WK_COUNT(more); i++)
        if (more[i] && !wk_usable(name, i + 3, more[i]))
            return NULL;
    if (cost == gaussian && !wk_usable(name, 3, a->var))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *each = cost(a, wide(a->x), wide(a->y));
    if (a->weight)
        each = wk_mul(each, a->weight);
    wk_tensor *y = wk_yield(scope, reduce(each, a->reduction));
    wk_context("%s", name);
    return y;
}

#define PAIRS(name, cost)                                                                          \
    wk_tensor *wk_##name##_with(const wk_loss_args *args) { return pairs(#name, args, cost); }
PAIRS(mse_loss, square)
PAIRS(l1_loss, absolute)
PAIRS(smooth_l1_loss, smooth_l1)
PAIRS(huber_loss, huber)
PAIRS(bce_loss, bce)
PAIRS(bce_logits_loss, bce_logits)
PAIRS(focal_loss, focal)
PAIRS(kl_loss, kl)
PAIRS(poisson_nll_loss, poisson)
PAIRS(gaussian_nll_loss, gaussian)
PAIRS(hinge_embedding_loss, hinge_embedding)
PAIRS(soft_margin_loss, soft_margin)

/* ---- Near and far ------------------------------------------------------- */

static wk_tensor *dot(wk_tensor *a, wk_tensor *b)
{
    return wk_sum(wk_mul(a, b), .over = WK_AXES(-1));
}

wk_tensor *wk_cosine_embedding_loss_with(const wk_margin_args *m)
{
    const double eps = 1e-12;
    if (!wk_ok() || !alike("cosine_embedding_loss", m->a, m->b) ||
        !wk_usable("cosine_embedding_loss", 3, m->y))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *a = wide(m->a), *b = wide(m->b); // [.., c]
    wk_tensor *sizes = wk_mul(wk_add_scalar(dot(a, a), eps), wk_add_scalar(dot(b, b), eps));
    wk_tensor *cosine = wk_div(dot(a, b), wk_sqrt(sizes)); // [..]
    if (!wk_ok() || !alike("cosine_embedding_loss", cosine, m->y))
        return wk_yield(scope, NULL);
    wk_tensor *far = wk_relu(wk_add_scalar(cosine, -m->margin));
    wk_tensor *each = wk_where(wk_gt(m->y, wk_scalar(0)), one_minus(cosine), far);
    return wk_yield(scope, reduce(each, m->reduction));
}

wk_tensor *wk_margin_ranking_loss_with(const wk_margin_args *m)
{
    if (!wk_ok() || !alike("margin_ranking_loss", m->a, m->b) ||
        !wk_usable("margin_ranking_loss", 3, m->y) || !alike("margin_ranking_loss", m->a, m->y))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *ahead = wk_mul(m->y, wk_sub(wide(m->a), wide(m->b)));
    return wk_yield(scope, reduce(wk_relu(wk_add_scalar(wk_neg(ahead), m->margin)), m->reduction));
}

static wk_tensor *distance(wk_tensor *a, wk_tensor *b, double p)
{
    const double eps = 1e-6; /* so that there is a slope at nought */
    wk_tensor   *d = wk_add_scalar(wk_sub(a, b), eps);
    return wk_norm(d, .over = WK_AXES(-1), .p = p);
}

wk_tensor *wk_triplet_margin_loss_with(const wk_margin_args *m)
{
    if (!wk_ok() || !alike("triplet_margin_loss", m->a, m->b) ||
        !wk_usable("triplet_margin_loss", 3, m->y) || !alike("triplet_margin_loss", m->a, m->y))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *a = wide(m->a), *b = wide(m->b), *c = wide(m->y); // [.., c]
    wk_tensor *near = distance(a, b, m->p), *far = distance(a, c, m->p);
    if (m->swap)
        far = wk_minimum(far, distance(b, c, m->p));
    wk_tensor *each = wk_add_scalar(wk_sub(near, far), m->margin != 0 ? m->margin : 1);
    return wk_yield(scope, reduce(wk_relu(each), m->reduction));
}

/* ---- Of classes --------------------------------------------------------- */

/* The mean of rows that have weights: over these. */
static wk_tensor *reduce_rows(wk_tensor *each, wk_tensor *weight, wk_reduction how)
{
    return how == WK_MEAN ? wk_div(wk_sum(each), wk_sum(weight)) : reduce(each, how);
}

/* Log-probabilities p [.., v] and classes [..] */
static wk_tensor *of_classes(const wk_cross_entropy_args *a, wk_tensor *p)
{
    wk_tensor *ignored = NULL, *class = a->target, *weight;
    double     e = a->label_smoothing;
    if (a->ignore) {
        ignored = wk_eq(class, wk_full_like(class, (double)a->ignore_index));
        class = wk_masked_fill(class, ignored, 0);
    }
    wk_tensor *index = wk_unsqueeze(class, -1); // [.., 1]
    wk_tensor *each = wk_neg(wk_squeeze(wk_gather(p, -1, index), -1));
    if (a->weight)
        weight = wk_squeeze(wk_gather(wk_expand_to(a->weight, wk_shape_of(p)), -1, index), -1);
    else
        weight = wk_full_like(each, 1);
    each = wk_mul(each, weight);
    if (e != 0) {
        wk_tensor *all = wk_sum(a->weight ? wk_mul(p, a->weight) : p, .over = WK_AXES(-1));
        each = wk_sub(wk_scale(each, 1 - e), wk_scale(all, e / (double)wk_dim(p, -1)));
    }
    if (ignored) {
        each = wk_masked_fill(each, ignored, 0);
        weight = wk_masked_fill(weight, ignored, 0);
    }
    return reduce_rows(each, weight, a->reduction);
}

/* Log-probabilities p and what they should be, both [.., v] */
static wk_tensor *of_probabilities(const wk_cross_entropy_args *a, wk_tensor *p)
{
    double     e = a->label_smoothing;
    wk_tensor *y = wide(a->target);
    if (!wk_ok() || !alike("cross_entropy", p, y))
        return NULL;
    if (e != 0)
        y = wk_add_scalar(wk_scale(y, 1 - e), e / (double)wk_dim(p, -1));
    wk_tensor *each = wk_mul(p, a->weight ? wk_mul(y, a->weight) : y);
    return reduce(wk_neg(wk_sum(each, .over = WK_AXES(-1))), a->reduction);
}

/* Classes, one for each row, of floats [.., v]? */
static bool fits(const char *loss, const wk_cross_entropy_args *a)
{
    char s[160], t[160];
    if (!wk_usable(loss, 1, a->logits) || !wk_usable(loss, 2, a->target) ||
        (a->weight && !wk_usable(loss, 3, a->weight)))
        return false;
    wk_shape rows = a->logits->shape;
    rows.rank--;
    if (!wk_dtypes[a->logits->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "%s: %s must be floats", loss, wk_show(a->logits, s));
    else if (!wk_dtypes[a->target->dtype].is_float && !wk_same_shape(rows, a->target->shape))
        wk_fail(WK_ERR_SHAPE, "%s: logits %s do not fit target %s", loss, wk_show(a->logits, s),
                wk_show(a->target, t));
    if (a->weight && (wk_rank(a->weight) != 1 || wk_dim(a->weight, 0) != wk_dim(a->logits, -1)))
        wk_fail(WK_ERR_SHAPE, "%s: the weights %s are not one for each class of %s", loss,
                wk_show(a->weight, s), wk_show(a->logits, t));
    return wk_ok();
}

wk_tensor *wk_cross_entropy_with(const wk_cross_entropy_args *a)
{
    if (!wk_ok() || !wk_usable("cross_entropy", 2, a->target))
        return NULL;
    bool soft = wk_dtypes[a->target->dtype].is_float;
    if (!a->weight && a->reduction == WK_MEAN && !soft)
        return WK_RUN(cross_entropy, WK_IN(a->logits, a->target),
                      .opt.loss = { a->ignore, a->ignore_index, a->label_smoothing });
    if (!fits("cross_entropy", a))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *p = wk_log_softmax(wide(a->logits), -1);
    wk_tensor *y = wk_yield(scope, soft ? of_probabilities(a, p) : of_classes(a, p));
    wk_context("cross_entropy");
    return y;
}

wk_tensor *wk_nll_loss_with(const wk_cross_entropy_args *a)
{
    if (!wk_ok() || !fits("nll_loss", a))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *p = wide(a->logits);
    bool       soft = wk_dtypes[a->target->dtype].is_float;
    wk_tensor *y = wk_yield(scope, soft ? of_probabilities(a, p) : of_classes(a, p));
    wk_context("nll_loss");
    return y;
}
