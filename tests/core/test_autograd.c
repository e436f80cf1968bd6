// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_autograd.c - the graph itself: sums of gradients, shared parts, depth, and when
 * nothing is recorded.  Derivatives of operations are in tests/ops. */
#include "../test.h"

#include "../../src/core/core.h"

#include <math.h>

static wk_tensor *vector(double a, double b)
{
    return wk_track(wk_from(WK_F64, WK_SHAPE(2), (double[]){ a, b }));
}

static double grad_at(wk_tensor *x, int64_t i)
{
    return wk_grad(x) ? wk_item(wk_select(wk_grad(x), 0, i)) : NAN;
}

TEST(gradients_add_up_until_they_are_forgotten)
{
    wk_tensor *x = vector(2, 3);
    wk_backward(wk_sum(wk_square(x)));
    CHECK_NEAR(grad_at(x, 1), 6, 0);
    wk_backward(wk_sum(wk_square(x)));
    CHECK_NEAR(grad_at(x, 1), 12, 0);
    wk_tensor *first = wk_grad(x);
    wk_set_grad(x, NULL);
    CHECK(wk_grad(x) == NULL);
    wk_backward(wk_sum(x));
    CHECK_NEAR(grad_at(x, 0), 1, 0);
    CHECK(wk_grad(x) != first);
    wk_set_grad(x, wk_full_like(x, 10));
    wk_backward(wk_sum(x));
    CHECK_NEAR(grad_at(x, 0), 11, 0);
}

/* y feeds three others, and x both sides of one: each path counts, each node once. */
TEST(shared_parts_are_computed_once)
{
    wk_tensor *x = vector(0.5, -1), *y = wk_exp(x);
    wk_tensor *z = wk_add(wk_mul(y, y), wk_mul(wk_sin(y), x)); /* e^2x + x sin e^x */
    wk_backward(wk_sum(wk_add(z, z)));
    for (int i = 0; i < 2; i++) {
        double v = i ? -1 : 0.5, e = exp(v);
        CHECK_NEAR(grad_at(x, i), 2 * (2 * e * e + sin(e) + v * e * cos(e)), 1e-13);
    }
    wk_tensor *w = vector(1, 1), *sum = w; /* a ladder with 2^40 paths */
    for (int i = 0; i < 40; i++)
        sum = wk_add(sum, sum);
    wk_backward(wk_sum(sum));
    CHECK_NEAR(grad_at(w, 0), 0x1p40, 0);
}

TEST(a_graph_may_be_deep)
{
    int        deep = 100000 / test_stride(4);
    wk_tensor *x = vector(1, 2);
    wk_scope   scope = wk_mark();
    wk_tensor *y = x;
    for (int i = 0; i < deep; i++)
        y = wk_yield(scope, wk_add_scalar(y, 1));
    CHECK(wk_live_tensors() > (size_t)deep);
    wk_backward(wk_sum(y));
    CHECK_NEAR(grad_at(x, 0), 1, 0);
    wk_sweep(scope);
    CHECK(wk_live_tensors() < 10);
    y = x; /* and is released without having been used, as well */
    for (int i = 0; i < deep; i++)
        y = wk_yield(scope, wk_neg(y));
    wk_sweep(scope);
    CHECK(wk_live_tensors() < 10);
}

TEST(nothing_is_recorded_where_it_is_not_wanted)
{
    wk_tensor *x = vector(1, 2);
    CHECK(!wk_no_grad(true));
    wk_tensor *y = wk_exp(x);
    CHECK(wk_no_grad(true));
    wk_no_grad(false);
    CHECK(!wk_wants_grad(y) && wk_wants_grad(wk_exp(x)));
    wk_backward(wk_sum(y));
    CHECK_ERROR("not computed from tracked tensors");
    wk_tensor *z = wk_mul(wk_detach(wk_exp(x)), x); /* d/dx: the exponential alone */
    wk_backward(wk_sum(z));
    CHECK_NEAR(grad_at(x, 1), exp(2), 1e-14);
    CHECK(!wk_wants_grad(wk_cast(x, WK_I64)) && !wk_wants_grad(wk_gt(x, x)));
    CHECK(!wk_wants_grad(wk_exp(wk_ones(2))));
    size_t     live = wk_live_tensors(); /* untracked operands leave no graph behind */
    wk_scope   scope = wk_mark();
    wk_tensor *w = wk_ones(2);
    for (int i = 0; i < 10; i++)
        w = wk_yield(scope, wk_exp(w));
    CHECK_INT((int64_t)(wk_live_tensors() - live), 1);
}

TEST(a_gradient_has_the_shape_and_dtype_of_its_tensor)
{
    wk_tensor *w = wk_track(wk_full_of(WK_F16, WK_SHAPE(3, 1), 2)), *x = wk_ones(2, 3, 4);
    wk_backward(wk_sum(wk_mul(x, w)));
    CHECK(wk_dtype_of(wk_grad(w)) == WK_F16 && wk_same_shape(w->shape, wk_grad(w)->shape));
    CHECK(wk_is_contiguous(wk_grad(w)));
    CHECK_NEAR(wk_item(wk_sum(wk_grad(w))), 24, 0);
    CHECK(!wk_wants_grad(wk_grad(w)));
}

/* The gradient of an expanded tensor is a view; what it is added to must be its own. */
TEST(gradients_do_not_share_memory)
{
    wk_tensor *a = vector(1, 2), *b = vector(3, 4);
    wk_backward(wk_sum(wk_add(a, b)));
    wk_backward(wk_sum(a));
    CHECK_NEAR(grad_at(a, 0), 2, 0);
    CHECK_NEAR(grad_at(b, 0), 1, 0);
    wk_tensor *g = wk_keep(wk_grad(a)); /* somebody else looks at it */
    wk_backward(wk_sum(a));
    CHECK_NEAR(wk_item(wk_select(g, 0, 0)), 2, 0);
    CHECK_NEAR(grad_at(a, 0), 3, 0);
    wk_drop(g);

    /* u's gradient is at first a view of m's, which is q's as well: it must not be added to */
    wk_tensor *x = vector(1, 2), *w = vector(0, 1), *u = wk_exp(x), *q = wk_exp(w);
    wk_tensor *t = wk_add(q, wk_reshape(u, 2)), *m = wk_add(t, wk_reshape(u, 2));
    wk_backward(wk_sum(wk_mul(m, wk_from(WK_F64, WK_SHAPE(2), (double[]){ 3, 5 }))));
    CHECK_NEAR(grad_at(w, 0), 3, 0);
    CHECK_NEAR(grad_at(w, 1), 5 * exp(1), 1e-14);
    CHECK_NEAR(grad_at(x, 0), 6 * exp(1), 1e-14);
}

TEST(the_graph_outlives_its_operands)
{
    wk_tensor *x = vector(2, 3), *loss;
    wk_scope   scope = wk_mark();
    wk_tensor *y = wk_square(x);
    loss = wk_yield(scope, wk_sum(wk_mul(y, wk_exp(y)))); /* y itself is swept */
    wk_backward(loss);
    CHECK_NEAR(grad_at(x, 0) / (2 * 2 * exp(4) * 5), 1, 1e-14);
    wk_set_grad(x, NULL);
    wk_backward(loss); /* again: a graph lasts as long as its loss */
    CHECK_NEAR(grad_at(x, 0) / (2 * 2 * exp(4) * 5), 1, 1e-14);
}

TEST(second_derivatives_by_recording)
{
    wk_tensor *x = vector(0.5, -2);
    wk_backward_recorded(wk_sum(wk_mul(wk_mul(x, x), x)));
    wk_tensor *g = wk_grad(x); /* 3 x^2, with a history */
    CHECK(wk_wants_grad(g));
    wk_keep(g);
    wk_set_grad(x, NULL);
    wk_backward_recorded(wk_sum(wk_square(g))); /* 9 x^4 -> 36 x^3 -> 108 x^2 */
    CHECK_NEAR(grad_at(x, 1), 36 * -8, 1e-12);
    wk_tensor *h = wk_keep(wk_grad(x));
    wk_set_grad(x, NULL);
    wk_backward(wk_sum(h));
    CHECK_NEAR(grad_at(x, 1), 108 * 4, 1e-12);
    wk_set_grad(x, NULL);
    wk_drop(g);
    wk_drop(h);
}

/* After a failure in the middle the next backward finds a clean graph. */
TEST(a_failed_backward_leaves_nothing_behind)
{
    wk_tensor *q = wk_track(wk_ones(1, 1, 2, 2)), *cos = wk_track(wk_ones(2, 1));
    wk_tensor *turned = wk_rope(wk_exp(q), cos, wk_detach(cos), false);
    wk_tensor *loss = wk_sum(wk_mul(turned, turned));
    for (int i = 0; i < 2; i++) {
        wk_backward(loss);
        CHECK_ERROR("cos and sin have no gradient");
        CHECK(wk_grad(q) == NULL);
    }
    cos->tracked = false;
    wk_backward(loss);
    CHECK(wk_grad(q) != NULL && wk_ok());
}
