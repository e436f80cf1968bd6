// SPDX-License-Identifier: MIT OR Apache-2.0
/* mnist.c - the steps of a small convolutional network on pictures like MNIST's: 64 of 28 x 28.
 *
 *   build/bench/mnist [STEPS]      beside PyTorch: python3 bench/peers_mnist.py */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 64, EPOCH = 60000 / BATCH };

int main(int argc, char **argv)
{
    int64_t steps = argc > 1 ? atoll(argv[1]) : 100;
    wk_seed(1);
    wk_store    *s = wk_store_new();
    wk_vars      at = wk_root(s);
    wk_conv_args conv1 = wk_conv_new(wk_at(at, "conv1"), 1, 32, WK_SHAPE(3, 3));
    wk_conv_args conv2 = wk_conv_new(wk_at(at, "conv2"), 32, 64, WK_SHAPE(3, 3));
    wk_layer     fc1 = wk_linear_new(wk_at(at, "fc1"), 9216, 128);
    wk_layer     fc2 = wk_linear_new(wk_at(at, "fc2"), 128, 10);
    wk_optim    *opt = wk_adamw_new(s);
    wk_tensor   *x = wk_rand(BATCH, 1, 28, 28), *y = wk_randint_of(WK_SHAPE(BATCH), 0, 10);
    double       start = 0;
    for (int64_t i = -5; i < steps && wk_ok(); i++) {
        wk_scope scope = wk_mark();
        if (i == 0)
            start = now();
        wk_tensor *h = wk_relu(wk_conv_forward(&conv1, x));
        h = wk_relu(wk_conv_forward(&conv2, h));
        h = wk_reshape(wk_max_pool2d(h, .size = WK_SHAPE(2)), BATCH, -1);
        h = wk_linear(wk_relu(wk_linear(h, fc1)), fc2);
        wk_backward(wk_cross_entropy(h, y));
        wk_step(opt);
        wk_sweep(scope);
    }
    double ms = 1e3 * (now() - start) / (double)steps;
    printf("%.2f ms a step, %.1f s an epoch\n", ms, ms * EPOCH / 1e3);
    wk_optim_free(opt);
    wk_store_free(s);
    return wk_finish();
}
