// SPDX-License-Identifier: MIT OR Apache-2.0
/* 02 - Training: tell two interleaved spirals apart.
 *
 * A model is a plain struct of layers, whose parameters belong to a store.  A scope
 * around each step releases the step's tensors and the graph of its gradient. */
#include <wick/wick.h>

#include <math.h>
#include <stdio.h>

enum { POINTS = 192, HIDDEN = 32, STEPS = 300 };

typedef struct {
    wk_layer fc1, fc2, fc3;
} mlp;

static mlp mlp_new(wk_vars at)
{
    return (mlp){
        .fc1 = wk_linear_new(wk_at(at, "fc1"), 2, HIDDEN),
        .fc2 = wk_linear_new(wk_at(at, "fc2"), HIDDEN, HIDDEN),
        .fc3 = wk_linear_new(wk_at(at, "fc3"), HIDDEN, 2),
    };
}

static wk_tensor *mlp_forward(const mlp *m, wk_tensor *x)
{
    x = wk_tanh(wk_linear(x, m->fc1));
    x = wk_tanh(wk_linear(x, m->fc2));
    return wk_linear(x, m->fc3);
}

int main(void)
{
    float   point[POINTS][2];
    int64_t arm[POINTS];
    for (int i = 0; i < POINTS; i++) {
        double r = (double)(i / 2 + 4) / (POINTS / 2 + 4), angle = 6 * r + 3.14159 * (i % 2);
        point[i][0] = (float)(r * cos(angle));
        point[i][1] = (float)(r * sin(angle));
        arm[i] = i % 2;
    }
    wk_seed(1);
    wk_store  *params = wk_store_new();
    mlp        net = mlp_new(wk_root(params));
    wk_optim  *opt = wk_adamw_new(params, .lr = 0.01);
    wk_tensor *x = wk_from_f32(WK_SHAPE(POINTS, 2), point[0]);
    wk_tensor *y = wk_from_i64(WK_SHAPE(POINTS), arm);

    for (int step = 0; step < STEPS && wk_ok(); step++) {
        wk_scope   s = wk_mark();
        wk_tensor *loss = wk_cross_entropy(mlp_forward(&net, x), y);
        wk_backward(loss);
        wk_step(opt);
        if (step == 0)
            printf("loss at the beginning: %.1f\n", wk_item(loss));
        wk_sweep(s);
    }

    bool       before = wk_no_grad(true);
    wk_tensor *guess = wk_argmax(mlp_forward(&net, x), .over = WK_AXES(1));
    wk_tensor *right = wk_cast(wk_eq(guess, y), WK_F32);
    printf("points told apart: %.0f of %d\n", wk_item(wk_sum(right)), POINTS);
    wk_no_grad(before);

    wk_optim_free(opt);
    wk_store_free(params);
    return wk_finish();
}
