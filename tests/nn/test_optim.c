// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_optim.c - optimisers and schedules against PyTorch (tests/golden/make_optim.py), and
 * what else training needs: state that is saved, groups, averages, narrow weights. */
#include "test.h"

#include "../src/core/core.h"
#include <wick/wick.h>

#include <math.h>
#include <stdio.h>
#include <unistd.h>

enum { STEPS = 50 };

typedef struct {
    wk_archive *file;
    wk_store   *s;
    wk_layer    a, n, b;
} classifier;

static void set(wk_archive *file, wk_tensor *p) { wk_assign(p, wk_archive_get(file, wk_name(p))); }

static classifier begin(wk_dtype dtype)
{
    classifier c = { .file = wk_archive_open("tests/golden/nn/training.safetensors"),
                     .s = wk_store_new() };
    wk_store_set_dtype(c.s, dtype);
    c.a = wk_linear_new(wk_at(wk_root(c.s), "a"), 6, 16);
    c.n = wk_layer_norm_new(wk_at(wk_root(c.s), "n"), 16);
    c.b = wk_linear_new(wk_at(wk_root(c.s), "b"), 16, 5);
    wk_no_grad(true);
    for (int i = 0; i < wk_store_count(c.s); i++)
        set(c.file, wk_store_at(c.s, i));
    wk_no_grad(false);
    return c;
}

static void end(classifier *c)
{
    wk_archive_free(c->file);
    wk_store_free(c->s);
}

static double step(classifier *c, wk_optim *opt)
{
    wk_scope   scope = wk_mark();
    wk_tensor *h = wk_linear(wk_archive_get(c->file, "x"), c->a);
    h = wk_tanh(wk_layer_norm(h, c->n, 1e-5));
    wk_tensor *loss = wk_cross_entropy(wk_linear(h, c->b), wk_archive_get(c->file, "y"));
    wk_backward(loss);
    wk_step(opt);
    double value = wk_item(wk_detach(loss));
    wk_sweep(scope);
    return value;
}

/* ---- Against PyTorch ---------------------------------------------------- */

static void follow(const char *name, classifier c, wk_optim *opt)
{
    char key[60];
    snprintf(key, sizeof key, "loss.%s", name);
    double     want[STEPS];
    wk_scope   scope = wk_mark();
    const bool read = wk_read(wk_archive_get(c.file, key), WK_F64, want);
    for (int i = 0; CHECK(read && wk_ok()) && i < STEPS; i++) {
        double got = step(&c, opt);
        if (!CHECK_MSG(fabs(got - want[i]) <= 1e-4 * want[i], "%s, step %d: %.7f instead of %.7f",
                       name, i, got, want[i]))
            break;
    }
    wk_sweep(scope);
    wk_optim_free(opt);
    end(&c);
}

TEST(losses_follow_pytorch)
{
#define FOLLOW(name, rule, ...)                                                                    \
    do {                                                                                           \
        classifier c = begin(WK_F32);                                                              \
        follow(name, c, wk_##rule##_new(c.s, __VA_ARGS__));                                        \
    } while (0)
    FOLLOW("sgd", sgd, .lr = 0.1);
    FOLLOW("momentum", sgd, .lr = 0.1, .momentum = 0.9, .dampening = 0.1, .decay = 0.02);
    FOLLOW("nesterov", sgd, .lr = 0.1, .momentum = 0.8, .nesterov = true);
    FOLLOW("adam", adam, .lr = 0.02, .decay = 0.03);
    FOLLOW("adam_amsgrad", adam, .lr = 0.02, .amsgrad = true);
    FOLLOW("adamw", adamw, .lr = 0.02, .decay = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6);
    FOLLOW("adamw_amsgrad", adamw, .lr = 0.02, .decay = 0.1, .amsgrad = true);
    FOLLOW("adamax", adamax, .lr = 0.02, .decay = 0.03);
    FOLLOW("nadam", nadam, .lr = 0.01, .decay = 0.03);
    FOLLOW("radam", radam, .lr = 0.02, .decay = 0.03);
    FOLLOW("rmsprop", rmsprop, .lr = 0.01, .decay = 0.03);
    FOLLOW("rmsprop_centered", rmsprop, .lr = 0.005, .centered = true, .momentum = 0.6,
           .alpha = 0.9);
    FOLLOW("adagrad", adagrad, .lr = 0.05, .lr_decay = 0.01, .decay = 0.03);
    FOLLOW("adadelta", adadelta, .lr = 1.0, .decay = 0.03);
    FOLLOW("adafactor", adafactor, .lr = 0.02, .decay = 0.03);
    FOLLOW("adafactor_small", adafactor, .lr = 0.02, .beta2_decay = -0.6, .eps = 1e-4, .eps2 = 0.05,
           .threshold = 1.5);
    for (int rms = 0; rms < 2; rms++) { /* b.weight is named as one for adamw */
        classifier c = begin(WK_F32);
        wk_optim  *o =
            rms ? wk_muon_new(c.s, .lr = 0.02, .decay = 0.05, .momentum = 0.8, .match_rms = true)
                 : wk_muon_new(c.s, .lr = 0.02);
        wk_optim_group(o, "b.", .adamw = true);
        follow(rms ? "muon_rms" : "muon", c, o);
    }
    FOLLOW("lion", lion, .lr = 0.005, .decay = 0.1);
#undef FOLLOW
}

TEST(schedules_follow_pytorch)
{
    static const struct {
        const char *name;
        wk_schedule plan;
    } cases[] = {
        { "cosine", { .kind = WK_LR_COSINE, .steps = 60, .floor = 0.1 } },
        { "linear", { .kind = WK_LR_LINEAR, .steps = 60, .floor = 0.25 } },
        { "steps", { .kind = WK_LR_STEPS, .gamma = 0.5, .every = 7 } },
        { "exponential", { .kind = WK_LR_EXPONENTIAL, .gamma = 0.9 } },
        { "one_cycle", { .kind = WK_LR_ONE_CYCLE, .steps = 60 } },
    };
    wk_archive *file = wk_archive_open("tests/golden/nn/training.safetensors");
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        char   key[60];
        double want[60];
        snprintf(key, sizeof key, "factor.%s", cases[i].name);
        if (CHECK(wk_read(wk_archive_get(file, key), WK_F64, want)))
            for (int k = 0; k < 60; k++)
                CHECK_MSG(fabs(wk_schedule_at(&cases[i].plan, k) - want[k]) < 1e-9,
                          "%s, step %d: %.9f instead of %.9f", cases[i].name, k,
                          wk_schedule_at(&cases[i].plan, k), want[k]);
    }
    wk_archive_free(file);
    wk_schedule wsd = { .kind = WK_LR_WSD, .warmup = 10, .steps = 110, .fall = 0.2 };
    CHECK_NEAR(wk_schedule_at(&wsd, 5), 0.5, 1e-12);
    CHECK_NEAR(wk_schedule_at(&wsd, 10), 1, 0);
    CHECK_NEAR(wk_schedule_at(&wsd, 89), 1, 0);
    CHECK_NEAR(wk_schedule_at(&wsd, 100), 0.5, 1e-12);
    CHECK_NEAR(wk_schedule_at(&wsd, 110), 0, 0);
}

/* ---- State -------------------------------------------------------------- */

static bool same(wk_store *a, wk_store *b)
{
    bool good = true;
    for (int i = 0; i < wk_store_count(a); i++) {
        wk_tensor *x = wk_store_at(a, i), *y = wk_store_at(b, i);
        size_t     bytes = wk_bytes(x);
        good &= !memcmp(wk_at_host(x), wk_at_host(y), bytes);
    }
    return good;
}

/* A run of 8 steps, and one that is stopped, saved and resumed after 5. */
static void resume(wk_dtype dtype, wk_optim *(*make)(const wk_optim_args *args))
{
    char          weights[1024], state[1024];
    classifier    whole = begin(dtype), half = begin(dtype);
    wk_optim_args a = { .lr = 0.01, .decay = 0.1, .momentum = 0.8 }; /* all that has state */
    a.amsgrad = a.centered = true;
    a.store = whole.s;
    wk_optim *o = make(&a);
    for (int i = 0; i < 8; i++)
        step(&whole, o);
    wk_optim_free(o);
    a.store = half.s;
    o = make(&a);
    for (int i = 0; i < 5; i++)
        step(&half, o);
    CHECK(wk_store_save(half.s, test_temporary("weights.safetensors", weights)));
    CHECK(wk_optim_save(o, test_temporary("state.safetensors", state)));
    wk_optim_free(o);
    end(&half);

    half = begin(dtype);
    wk_archive *saved = wk_archive_open(weights);
    wk_no_grad(true);
    for (int i = 0; i < wk_store_count(half.s); i++)
        set(saved, wk_store_at(half.s, i));
    wk_no_grad(false);
    wk_archive_free(saved);
    a.store = half.s;
    o = make(&a);
    CHECK(wk_optim_load(o, state));
    for (int i = 5; i < 8; i++)
        step(&half, o);
    CHECK(same(whole.s, half.s));
    wk_optim_free(o);
    o = make == wk_adagrad_new_with ? wk_lion_new(half.s) : wk_adagrad_new(half.s);
    CHECK(!wk_optim_load(o, state));
    CHECK_ERROR("not the state of ");
    wk_optim_free(o);
    end(&whole), end(&half);
}

TEST(a_resumed_run_is_the_same_run)
{
    wk_optim *(*const makes[])(const wk_optim_args *args) = {
        wk_sgd_new_with,      wk_adam_new_with,  wk_adamw_new_with,     wk_adamax_new_with,
        wk_nadam_new_with,    wk_radam_new_with, wk_rmsprop_new_with,   wk_adagrad_new_with,
        wk_adadelta_new_with, wk_lion_new_with,  wk_adafactor_new_with, wk_muon_new_with
    };
    for (size_t i = 0; i < WK_COUNT(makes); i++) {
        resume(WK_F32, makes[i]);
        resume(WK_BF16, makes[i]);
    }
}

/* Steps far below bf16's own grain still count. */
TEST(narrow_weights_have_wide_copies)
{
    wk_store *s = wk_store_new();
    wk_store_set_dtype(s, WK_BF16);
    wk_tensor *p = wk_param(wk_root(s), "p", WK_SHAPE(4), (wk_init){ .kind = WK_INIT_ONES });
    wk_optim  *o = wk_sgd_new(s, .lr = 1e-4);
    for (int i = 0; i < 1000; i++) {
        wk_scope scope = wk_mark();
        wk_backward(wk_sum(p));
        wk_step(o);
        wk_sweep(scope);
    }
    CHECK_NEAR(wk_item(wk_mean(wk_cast(wk_detach(p), WK_F32))), 0.9, 0.003);
    wk_optim_free(o);
    wk_store_free(s);
}

TEST(groups_of_parameters)
{
    wk_store  *s = wk_store_new();
    wk_tensor *w = wk_param(wk_root(s), "w.weight", WK_SHAPE(1), (wk_init){ .kind = WK_INIT_ONES });
    wk_tensor *b = wk_param(wk_root(s), "w.bias", WK_SHAPE(1), (wk_init){ .kind = WK_INIT_ONES });
    wk_tensor *h = wk_param(wk_root(s), "head", WK_SHAPE(1), (wk_init){ .kind = WK_INIT_ONES });
    wk_optim  *o = wk_sgd_new(s, .lr = 0.1, .decay = 0.5);
    wk_optim_group(o, "bias", .decay = WK_NONE);
    wk_optim_group(o, "head", .lr = 2);
    wk_backward(wk_add(wk_sum(w), wk_add(wk_sum(b), wk_sum(h))));
    wk_step(o);
    CHECK_NEAR(wk_item(wk_detach(w)), 1 - 0.1 * 1.5, 1e-6);
    CHECK_NEAR(wk_item(wk_detach(b)), 1 - 0.1, 1e-6);
    CHECK_NEAR(wk_item(wk_detach(h)), 1 - 0.2 * 1.5, 1e-6);
    wk_optim_free(o);
    wk_store_free(s);
}

TEST(averages_of_parameters)
{
    wk_store  *s = wk_store_new();
    wk_tensor *p = wk_param(wk_root(s), "p", WK_SHAPE(3), (wk_init){ .kind = WK_INIT_ONES });
    wk_ema    *e = wk_ema_new(s, 0.75);
    wk_no_grad(true);
    wk_fill(p, 5);
    wk_no_grad(false);
    CHECK(wk_ema_update(e) && wk_ema_swap(e));
    CHECK_NEAR(wk_item(wk_mean(wk_detach(p))), 2, 1e-6);
    CHECK(wk_ema_swap(e));
    CHECK_NEAR(wk_item(wk_mean(wk_detach(p))), 5, 1e-6);
    wk_ema_free(e);
    wk_store_free(s);
}

/* An average in bf16 would not move at all. */
TEST(averages_of_narrow_parameters)
{
    wk_store *s = wk_store_new();
    wk_store_set_dtype(s, WK_BF16);
    wk_tensor *p = wk_param(wk_root(s), "p", WK_SHAPE(3), (wk_init){ .kind = WK_INIT_ONES });
    wk_ema    *e = wk_ema_new(s, 0.999);
    wk_no_grad(true);
    wk_fill(p, 2);
    wk_no_grad(false);
    for (int i = 0; i < 1000; i++)
        wk_ema_update(e);
    CHECK(wk_ema_swap(e));
    CHECK_NEAR(wk_item(wk_max(wk_cast(wk_detach(p), WK_F32))), 2 - pow(0.999, 1000), 0.01);
    CHECK(wk_ema_swap(e));
    CHECK_NEAR(wk_item(wk_max(wk_cast(wk_detach(p), WK_F32))), 2, 0);
    wk_ema_free(e);
    wk_store_free(s);
}

/* State comes with the first gradient, and so do the steps that Adam counts. */
TEST(late_and_frozen_parameters)
{
    char       path[1024];
    wk_store  *s = wk_store_new();
    wk_tensor *early = wk_param(wk_root(s), "early", WK_SHAPE(8), (wk_init){ 0 });
    wk_tensor *late = wk_param(wk_root(s), "late", WK_SHAPE(8), (wk_init){ 0 });
    wk_optim  *o = wk_adamw_new(s, .lr = 0.01);
    CHECK(wk_optim_save(o, test_temporary("empty.safetensors", path)) && wk_optim_load(o, path));
    for (int i = 0; i < 20; i++) {
        wk_scope scope = wk_mark();
        size_t   live = wk_live_tensors();
        wk_backward(wk_sum(i < 19 ? early : wk_add(early, late)));
        wk_step(o);
        wk_sweep(scope);
        CHECK(i == 0 || i == 19 || wk_live_tensors() == live);
    }
    CHECK_NEAR(wk_item(wk_max(wk_detach(late))), -0.01, 1e-6);
    CHECK_NEAR(wk_item(wk_max(wk_detach(early))), -0.2, 1e-5);
    CHECK(wk_optim_save(o, test_temporary("state.safetensors", path)));
    wk_optim_free(o);
    wk_store_free(s);
    s = wk_store_new();
    wk_param(wk_root(s), "early", WK_SHAPE(2, 4), (wk_init){ 0 });
    o = wk_adamw_new(s);
    CHECK(!wk_optim_load(o, path));
    CHECK_ERROR("[8] f32 is not of the shape of early [2, 4] f32");
    wk_optim_free(o);
    wk_store_free(s);
}

/* A norm that f16 cannot hold. */
TEST(narrow_gradients_are_clipped)
{
    wk_store *s = wk_store_new();
    wk_store_set_dtype(s, WK_F16);
    wk_tensor *p = wk_param(wk_root(s), "p", WK_SHAPE(100), (wk_init){ 0 });
    wk_backward(wk_sum(wk_scale(p, 10000)));
    CHECK_NEAR(wk_clip_grad_norm(s, 1), 1e5, 10);
    CHECK_NEAR(wk_item(wk_cast(wk_max(wk_grad(p)), WK_F32)), 0.1, 1e-3);
    wk_store_free(s);
}

TEST(gradients_are_clipped)
{
    wk_store  *s = wk_store_new();
    wk_tensor *p = wk_param(wk_root(s), "p", WK_SHAPE(2), (wk_init){ 0 });
    wk_tensor *k = wk_from_f32(WK_SHAPE(2), (float[]){ 3, -4 });
    wk_backward(wk_sum(wk_mul(p, k)));
    CHECK_NEAR(wk_clip_grad_norm(s, 10), 5, 1e-6);
    CHECK_NEAR(wk_clip_grad_norm(s, 1), 5, 1e-6);
    CHECK_NEAR(wk_item(wk_norm(wk_grad(p))), 1, 1e-5);
    wk_clip_grad_value(s, 0.7);
    CHECK_NEAR(wk_item(wk_min(wk_grad(p))), -0.7, 1e-6);
    CHECK_NEAR(wk_item(wk_max(wk_grad(p))), 0.6, 1e-5);
    wk_store_free(s);
}

/* ---- Many steps --------------------------------------------------------- */

static long resident_pages(void)
{
    long  all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident;
}

TEST(a_thousand_steps_do_not_grow)
{
    classifier c = begin(WK_F32);
    wk_optim  *o = wk_adamw_new(c.s, .lr = 1e-3);
    for (int i = 0; i < 50; i++)
        step(&c, o);
    size_t live = wk_live_tensors();
    long   pages = resident_pages();
    for (int i = 0; i < 950; i++)
        step(&c, o);
    CHECK_INT(wk_live_tensors(), live);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    CHECK(resident_pages() <= pages + 64);
#else
    (void)pages;
#endif
    wk_optim_free(o);
    end(&c);
}
