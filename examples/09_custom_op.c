// SPDX-License-Identifier: MIT OR Apache-2.0
/* 09 - An operation of your own, with its own gradient: the straight-through estimator.
 *
 * Rounding has a gradient of zero nearly everywhere, so nothing could be learned through it.
 * Bengio et al. (2013) let the gradient through as if the rounding were not there, and that
 * is how networks with few-bit weights are trained. */
#include <wick/wick.h>

#include <math.h>
#include <stdio.h>

static wk_tensor *round_forward(wk_tensor *const *in, void *user)
{
    double step = *(const double *)user;
    return wk_scale(wk_round(wk_scale(in[0], 1 / step)), step);
}

static void round_backward(wk_tensor *const *in, wk_tensor *y, wk_tensor *dy, wk_tensor **dx,
                           void *user)
{
    (void)in, (void)y, (void)user;
    dx[0] = dy;
}

static wk_tensor *round_to(wk_tensor *x, const double *step)
{
    return wk_custom({ x }, round_forward, round_backward, (void *)step);
}

/* Another: softplus, whose true gradient is the sigmoid; compared with differences. */
static wk_tensor *softplus_forward(wk_tensor *const *in, void *user)
{
    (void)user;
    return wk_log(wk_add_scalar(wk_exp(in[0]), 1));
}

static void softplus_backward(wk_tensor *const *in, wk_tensor *y, wk_tensor *dy, wk_tensor **dx,
                              void *user)
{
    (void)y, (void)user;
    dx[0] = wk_mul(dy, wk_sigmoid(in[0]));
}

static wk_tensor *softplus(wk_tensor *x)
{
    return wk_custom({ x }, softplus_forward, softplus_backward);
}

int main(void)
{
    /* Weights that are multiples of 1/4, found by gradient descent. */
    static const double step = 0.25;
    const float         want[4] = { 0.5f, -1.25f, 2, 0 };
    wk_seed(3);
    wk_store  *params = wk_store_new();
    wk_tensor *w = wk_param(wk_root(params), "w", WK_SHAPE(4), (wk_init){ 0 });
    wk_optim  *opt = wk_adam_new(params, .lr = 0.02);
    for (int i = 0; i < 300 && wk_ok(); i++) {
        wk_scope   s = wk_mark();
        wk_tensor *x = wk_randn(16, 4);
        wk_tensor *y = wk_matmul(x, wk_from_f32(WK_SHAPE(4, 1), want));
        wk_tensor *guess = wk_matmul(x, wk_reshape(round_to(w, &step), 4, 1));
        wk_backward(wk_mean(wk_square(wk_sub(guess, y))));
        wk_step(opt);
        wk_sweep(s);
    }
    wk_print(round_to(wk_detach(w), &step));

    /* Is a gradient right?  In f64, a small step either way says so. */
    wk_tensor *x = wk_track(wk_scale(wk_randn_of(WK_F64, WK_SHAPE(50)), 3));
    wk_backward(wk_sum(softplus(x)));
    wk_tensor *d = wk_scalar(1e-6), *a = wk_detach(x);
    wk_tensor *slope = wk_scale(wk_sub(softplus(wk_add(a, d)), softplus(wk_sub(a, d))), 0.5e6);
    double     apart = wk_item(wk_max(wk_abs(wk_sub(slope, wk_grad(x)))));
    printf("the gradient of softplus is %s\n", apart < 1e-4 ? "right" : "wrong");

    wk_optim_free(opt);
    wk_store_free(params);
    return wk_finish();
}
