// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_custom.c - operations of users, first and second derivatives; functions that are
 * computed again: the same gradients, of parameters too, with less memory. */
#include "test.h"

#include <wick/wick.h>

#include <math.h>
#include <stdlib.h>

/* a b^2, with its gradient written by hand */
static wk_tensor *forward(wk_tensor *const *in, void *user)
{
    ++*(int *)user;
    return wk_mul(in[0], wk_square(in[1]));
}

static void backward(wk_tensor *const *in, wk_tensor *y, wk_tensor *dy, wk_tensor **dx, void *user)
{
    (void)y, (void)user;
    dx[0] = wk_mul(dy, wk_square(in[1]));
    dx[1] = wk_scale(wk_mul(dy, wk_mul(in[0], in[1])), 2);
}

static double apart(wk_tensor *a, wk_tensor *b) { return wk_item(wk_max(wk_abs(wk_sub(a, b)))); }

TEST(custom_operations_have_their_gradients)
{
    int        calls = 0;
    wk_scope   scope = wk_mark();
    wk_tensor *a = wk_track(wk_randn(3, 4)), *b = wk_track(wk_randn(4)); /* broadcast */
    wk_tensor *c = wk_track(wk_copy(wk_detach(a))), *d = wk_track(wk_copy(wk_detach(b)));
    wk_tensor *y = wk_custom({ a, b }, forward, backward, &calls);
    wk_tensor *z = wk_mul(c, wk_square(d));
    CHECK(apart(y, z) == 0);
    wk_backward(wk_sum(wk_exp(y)));
    wk_backward(wk_sum(wk_exp(z)));
    CHECK(apart(wk_grad(a), wk_grad(c)) < 1e-4 && apart(wk_grad(b), wk_grad(d)) < 1e-3);
    CHECK_INT(calls, 1);
    CHECK(!wk_custom({ a, b }, forward, NULL, &calls));
    CHECK_ERROR("there is no backward");
    CHECK(wk_custom({ wk_detach(a), wk_detach(b) }, forward, NULL, &calls));
    CHECK(!wk_custom({ NULL }, forward, backward, &calls));
    CHECK_ERROR("custom: operand 1 is NULL");
    CHECK(!wk_custom({ a }));
    CHECK_ERROR("no forward");
    wk_sweep(scope);
}

TEST(custom_operations_have_second_derivatives)
{
    int        calls = 0;
    wk_scope   scope = wk_mark();
    wk_tensor *a = wk_scalar(3), *b = wk_track(wk_scalar(5));
    wk_backward_recorded(wk_custom({ a, b }, forward, backward, &calls)); /* 2 a b */
    wk_tensor *slope = wk_grad(b);
    CHECK(wk_item(slope) == 30);
    wk_keep(slope);
    wk_set_grad(b, NULL);
    wk_backward(slope);
    CHECK(wk_item(wk_grad(b)) == 6); /* 2 a */
    wk_drop(slope);
    wk_sweep(scope);
}

/* ---- Computed again ------------------------------------------------------ */

typedef struct {
    wk_layer in, out;
    double   dropout;
    int      depth;
} part;

static wk_tensor *run(wk_tensor *const *in, void *user)
{
    const part *p = user;
    wk_tensor  *h = wk_tanh(wk_linear(in[0], p->in));
    h = p->dropout > 0 ? wk_dropout(h, p->dropout) : h;
    h = wk_linear(wk_mul(wk_sin(h), wk_exp(h)), p->out);
    return in[1] ? wk_add(h, in[1]) : h;
}

static wk_tensor *nested(wk_tensor *const *in, void *user)
{
    wk_tensor *h = wk_checkpoint({ in[0] }, run, user);
    return wk_checkpoint({ h, in[0] }, run, user);
}

/* The loss and all gradients of two layers on x, remembered or computed again. */
static double gradients(wk_store *s, part *p, wk_tensor *x, int how, wk_tensor *out[5])
{
    wk_seed(9);
    wk_set_grad(x, NULL);
    wk_tensor *h, *y;
    if (how == 0) {
        h = run((wk_tensor *[]){ x, NULL }, p);
        y = run((wk_tensor *[]){ h, x }, p);
    } else if (how == 1) {
        h = wk_checkpoint({ x }, run, p);
        y = wk_checkpoint({ h, x }, run, p);
    } else {
        y = wk_checkpoint({ x }, nested, p);
    }
    wk_tensor *loss = wk_mean(wk_square(y));
    wk_backward(loss);
    for (int i = 0; i < wk_store_count(s); i++) {
        out[i] = wk_copy(wk_grad(wk_store_at(s, i)));
        wk_set_grad(wk_store_at(s, i), NULL);
    }
    out[4] = wk_grad(x) ? wk_copy(wk_grad(x)) : NULL;
    return wk_item(loss);
}

TEST(checkpoints_give_the_same_gradients)
{
    wk_scope  scope = wk_mark();
    wk_store *s = wk_store_new();
    for (int k = 0; k < 4; k++) {
        wk_vars at = wk_at(wk_root(s), "%d", k / 4);
        part    p = { wk_linear_new(wk_at(at, "in"), 8, 24), wk_linear_new(wk_at(at, "out"), 24, 8),
                   k % 2 ? 0.3 : 0, 0 };
        wk_tensor *x = wk_randn(10, 8), *want[5], *got[5];
        if (k < 2)
            wk_track(x); /* else parameters are all that wants a gradient */
        double loss = gradients(s, &p, x, 0, want);
        for (int how = 1; how < 3; how++) {
            CHECK(gradients(s, &p, x, how, got) == loss);
            for (int i = 0; i < (k < 2 ? 5 : 4); i++)
                CHECK_MSG(apart(want[i], got[i]) < 1e-6, "%d %d %d: %g", k, how, i,
                          apart(want[i], got[i]));
        }
    }
    wk_tensor *y =
        wk_checkpoint({ wk_track(wk_randn(2, 2)) }, run,
                      &(part){ { wk_randn(3, 2), NULL }, { wk_randn(2, 3), NULL }, 0, 0 });
    wk_backward_recorded(wk_sum(y));
    CHECK_ERROR("no second derivative");
    CHECK(!wk_checkpoint({ y }));
    CHECK_ERROR("no function");
    wk_store_free(s);
    wk_sweep(scope);
}

static wk_tensor *deep(wk_tensor *const *in, void *user)
{
    wk_tensor *x = in[0];
    for (int i = 0; i < 20; i++)
        x = wk_sin(x);
    *(size_t *)user = wk_live_tensors() > *(size_t *)user ? wk_live_tensors() : *(size_t *)user;
    return x;
}

TEST(checkpoints_remember_less)
{
    size_t most[2] = { 0 }, kept[2];
    for (int how = 0; how < 2; how++) {
        wk_scope   scope = wk_mark();
        size_t     before = wk_live_tensors();
        wk_tensor *x = wk_track(wk_randn(100));
        for (int i = 0; i < 10; i++) {
            wk_scope inner = wk_mark();
            x = wk_yield(inner, how ? wk_checkpoint({ x }, deep, &most[how])
                                    : deep((wk_tensor *[]){ x }, &most[how]));
        }
        kept[how] = wk_live_tensors() - before;
        wk_backward(wk_sum(x));
        wk_sweep(scope);
    }
    CHECK_MSG(kept[1] * 5 < kept[0], "%zu, %zu", kept[0], kept[1]);
    CHECK_MSG(most[1] * 2 < most[0], "%zu, %zu", most[0], most[1]);
}

TEST(random_numbers_go_on_where_they_were)
{
    wk_scope scope = wk_mark();
    wk_seed(4);
    wk_rand(7);
    wk_random  state = wk_random_state();
    wk_tensor *a = wk_rand(100), *b = wk_dropout(a, 0.5);
    wk_seed(1);
    wk_random_restore(state);
    wk_tensor *c = wk_rand(100);
    CHECK(apart(a, c) == 0 && apart(b, wk_dropout(c, 0.5)) == 0);
    wk_sweep(scope);
}
