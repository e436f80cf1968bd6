// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_nn.c - stores, and optimisers against PyTorch (tests/golden/make_nn.py). */
#include "test.h"

#include "../src/base/base.h"
#include <wick/wick.h>

#include <math.h>
#include <stdio.h>

static double distance(wk_tensor *a, wk_tensor *b) { return wk_item(wk_max(wk_abs(wk_sub(a, b)))); }

/* ---- Optimisers --------------------------------------------------------- */

static void follow(const char *name, wk_optim *opt, wk_store *s, wk_layer p, bool clip)
{
    char        key[40];
    wk_archive *a = wk_archive_open("tests/golden/nn/optimisers.safetensors");
    wk_no_grad(true);
    wk_assign(p.weight, wk_archive_get(a, "weight0"));
    wk_assign(p.bias, wk_archive_get(a, "bias0"));
    wk_no_grad(false);
    snprintf(key, sizeof key, "weight.%s", name);
    wk_tensor *weights = wk_archive_get(a, key);
    snprintf(key, sizeof key, "bias.%s", name);
    wk_tensor *biases = wk_archive_get(a, key);
    for (int step = 0; step < 6 && wk_ok(); step++) {
        wk_tensor *far = wk_sub(wk_linear(wk_archive_get(a, "x"), p), wk_archive_get(a, "y"));
        wk_backward(wk_mean(wk_square(far)));
        if (clip)
            CHECK(wk_clip_grad_norm(s, 1) > 0);
        wk_step(opt);
        CHECK(wk_grad(p.weight) == NULL);
        CHECK_MSG(distance(wk_detach(p.weight), wk_select(weights, 0, step)) < 2e-6, "%s, step %d",
                  name, step);
        CHECK_MSG(distance(wk_detach(p.bias), wk_select(biases, 0, step)) < 2e-6, "%s, step %d",
                  name, step);
    }
    wk_archive_free(a);
    wk_optim_free(opt);
    wk_store_free(s);
}

TEST(optimisers_follow_pytorch)
{
#define FOLLOW(name, clip, ...)                                                                    \
    do {                                                                                           \
        wk_store *s = wk_store_new();                                                              \
        wk_layer  p = wk_linear_new(wk_root(s), 3, 2);                                             \
        follow(name, __VA_ARGS__, s, p, clip);                                                     \
    } while (0)
    FOLLOW("sgd", true, wk_sgd_new(s, .lr = 0.1));
    FOLLOW("momentum", false, wk_sgd_new(s, .lr = 0.1, .momentum = 0.9, .decay = 0.02));
    FOLLOW("nesterov", false, wk_sgd_new(s, .lr = 0.1, .momentum = 0.8, .nesterov = true));
    FOLLOW("adamw", false, wk_adamw_new(s, .lr = 0.05, .decay = 0.1));
    FOLLOW("adamw_betas", false,
           wk_adamw_new(s, .lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-4));
#undef FOLLOW
}

/* ---- Stores ------------------------------------------------------------- */

TEST(parameters_have_names_and_one_owner)
{
    wk_store *s = wk_store_new();
    wk_vars   at = wk_at(wk_at(wk_root(s), "model"), "layers.%d", 7);
    wk_layer  p = wk_linear_new(wk_at(at, "q_proj"), 16, 8);
    CHECK_STR(wk_name(p.weight), "model.layers.7.q_proj.weight");
    CHECK_INT(wk_dim(p.weight, 0), 8);
    CHECK(wk_linear_new(wk_at(at, "q_proj"), 16, 8).weight == p.weight); /* tied */
    CHECK_INT(wk_store_count(s), 2);
    CHECK_INT(wk_store_elements(s), 8 * 17);
    CHECK(wk_store_find(s, "model.layers.7.q_proj.bias") == p.bias);
    CHECK(wk_has(at, "q_proj.bias") && !wk_has(at, "k_proj.bias"));
    double most = wk_item(wk_max(wk_abs(wk_detach(p.weight))));
    CHECK(most <= 0.25 && most > 0.2); /* 1 / sqrt(16) */
    wk_linear_new(wk_at(at, "q_proj"), 16, 9);
    CHECK_ERROR("model.layers.7.q_proj.weight [8, 16] f32 should be [9, 16]");
    wk_linear(wk_randn(1, 5, 12), p);
    CHECK_ERROR("linear: x [1, 5, 12] f32 does not fit model.layers.7.q_proj.weight [8, 16] f32");
    for (int i = 0; i < 10; i++)
        at = wk_at(at, "a_rather_long_name_of_a_module_%d", i);
    CHECK_ERROR("a name is too long");
    wk_store_free(s);
}

TEST(buffers_have_no_gradient)
{
    char       path[1024];
    wk_store  *s = wk_store_new();
    wk_tensor *b = wk_buffer(wk_root(s), "mean", WK_SHAPE(2), wk_init_constant(3));
    wk_tensor *p = wk_param(wk_root(s), "scale", WK_SHAPE(2), wk_init_constant(2));
    wk_store_track(s, true);
    wk_backward(wk_sum(wk_mul(b, p)));
    CHECK(wk_grad(b) == NULL && wk_grad(p) != NULL);
    CHECK(wk_buffer(wk_root(s), "mean", WK_SHAPE(2), wk_init_constant(0)) == b);
    CHECK(wk_store_save(s, test_temporary("buffer.safetensors", path)));
    wk_store  *t = wk_store_open(path);
    wk_tensor *c = wk_buffer(wk_root(t), "mean", WK_SHAPE(2), wk_init_constant(0));
    CHECK_NEAR(distance(b, c), 0, 0);
    wk_store_free(t);
    wk_store_free(s);
}

TEST(a_store_saves_and_opens)
{
    char      path[1024];
    wk_store *s = wk_store_new();
    wk_layer  p = wk_linear_new(wk_at(wk_root(s), "fc"), 4, 3);
    wk_layer_norm_new(wk_at(wk_root(s), "norm"), 5);
    CHECK(wk_store_save(s, test_temporary("store.safetensors", path)));
    wk_store *t = wk_store_open(path);
    wk_layer  q = wk_linear_new(wk_at(wk_root(t), "fc"), 4, 3);
    CHECK_NEAR(distance(wk_detach(p.weight), q.weight), 0, 0);
    CHECK_STR(wk_store_unused(t, 0), "norm.weight");
    CHECK_STR(wk_store_unused(t, 1), "norm.bias");
    CHECK(wk_store_unused(t, 2) == NULL);
    wk_linear_new(wk_at(wk_root(t), "fc2"), 4, 3);
    CHECK_ERROR("there is no tensor fc2.weight");
    wk_store_free(t);
    t = wk_store_open(path, WK_BF16);
    CHECK_INT(wk_dtype_of(wk_linear_new(wk_at(wk_root(t), "fc"), 4, 3).weight), WK_BF16);
    wk_store_free(t);
    wk_store_free(s);
}

/* ---- Faults ------------------------------------------------------------- */

static void train_step(void)
{
    wk_store  *s = wk_store_new();
    wk_optim  *opt = wk_adamw_new(s, .lr = 0.1, .decay = 0.1);
    wk_layer   a = wk_linear_new(wk_at(wk_root(s), "a"), 4, 6);
    wk_layer   n = wk_layer_norm_new(wk_at(wk_root(s), "n"), 6);
    wk_tensor *target = wk_from_i64(WK_SHAPE(3), (int64_t[]){ 0, 5, 2 });
    for (int step = 0; step < 2; step++)
        wk_backward(wk_cross_entropy(wk_layer_norm(wk_silu(wk_linear(wk_randn(3, 4), a)), n, 1e-5),
                                     target)),
            wk_clip_grad_norm(s, 0.1), wk_step(opt);
    wk_optim_free(opt);
    wk_store_free(s);
}

/* Modules that allocate in ways of their own. */
static void module_step(void)
{
    wk_store      *s = wk_store_new();
    wk_vars        at = wk_root(s);
    wk_rnn         rnn = wk_lstm_new(wk_at(at, "rnn"), 4, 6, .bidirectional = true, .proj = 2);
    wk_transformer l = wk_encoder_layer_new(wk_at(at, "layer"), 4, 2, 5, .dropout = 0.5);
    wk_tensor     *w = wk_param(at, "w", WK_SHAPE(5, 4), wk_init_orthogonal(1));
    wk_rnn_state   state = { NULL, NULL };
    wk_tensor     *x = wk_randn(2, 3, 4), *target = wk_from_i64(WK_SHAPE(6), (int64_t[6]){ 1, 0 });
    x = wk_rnn_forward(&rnn, x, .state = &state);
    x = wk_linear(wk_transformer_forward(&l, x, .train = true), (wk_layer){ w, NULL });
    wk_tensor *loss = wk_cross_entropy(wk_flatten(x, 0, 1), target, .reduction = WK_SUM);
    wk_backward(wk_add(loss, wk_sum(wk_cast(state.c, WK_F64))));
    wk_init_again(w, wk_init_sparse(0.5, 1));
    wk_store_free(s);
}

static void fail_each(void (*step)(void))
{
    step(); /* so that what is made once is there */
    for (long n = 0;; n++) {
        wk_scope scope = wk_mark();
        wk_device_trim(wk_default_device());
        long before = wk_live_allocs();
        wk_fail_alloc_after(n);
        step();
        wk_fail_alloc_after(-1);
        bool done = wk_ok();
        CHECK(done || wk_error() == WK_ERR_MEMORY);
        wk_clear();
        wk_sweep(scope);
        wk_device_trim(wk_default_device());
        CHECK_MSG(wk_live_allocs() <= before, "leak of %ld after %ld allocations",
                  wk_live_allocs() - before, n);
        if (done)
            break;
    }
}

TEST(every_allocation_of_a_train_step_may_fail) { fail_each(train_step); }
TEST(every_allocation_of_modules_may_fail) { fail_each(module_step); }
