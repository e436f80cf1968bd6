// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_attention.c - the fast kernels of attention and of its gradient, on every instruction
 * set, against the portable kernels and against PyTorch (tests/golden/make_attention.py). */
#include "test.h"

#include "../src/cpu/cpu.h"
#include <wick/wick.h>

#include <math.h>
#include <stdio.h>

enum { NO_MASK, BOOL_MASK, FLOAT_MASK, KEY_MASK, HEAD_MASK };

typedef struct {
    int64_t  b, h, g, t, s, d, e;
    bool     causal;
    int64_t  window;
    double   scale, cap;
    int      mask;
    bool     slopes, strided;
    wk_dtype q, kv;
} shape;

static const shape shapes[] = {
    { 1, 2, 2, 5, 7, 8, 8, .causal = false },
    { 2, 3, 3, 70, 70, 64, 64, .causal = false },
    { 1, 2, 1, 131, 131, 64, 64, .causal = true },
    { 2, 6, 2, 33, 77, 33, 45, .causal = true },
    { 1, 4, 1, 40, 300, 80, 48, .causal = true, .window = 37 },
    { 1, 2, 2, 9, 300, 17, 3, .window = 5 },
    { 1, 2, 2, 50, 20, 16, 16, .causal = true }, /* the first 30 queries see nothing */
    { 1, 1, 1, 7, 129, 256, 200, .scale = 0.05 },
    { 1, 1, 1, 7, 129, 64, 64, .scale = -0.3 },
    { 2, 4, 2, 19, 140, 40, 40, .cap = 3, .causal = true },
    { 2, 4, 2, 19, 140, 40, 40, .cap = 30 },
    { 2, 4, 4, 19, 141, 24, 24, .mask = BOOL_MASK },
    { 2, 4, 4, 19, 141, 24, 24, .mask = FLOAT_MASK, .causal = true },
    { 2, 4, 2, 19, 141, 24, 24, .mask = KEY_MASK, .window = 100 },
    { 2, 4, 2, 19, 141, 24, 24, .mask = HEAD_MASK, .cap = 5, .slopes = true, .causal = true },
    { 1, 8, 8, 50, 50, 32, 32, .slopes = true, .causal = true },
    { 1, 200, 1, 3, 150, 32, 32, .causal = true },
    { 1, 32, 4, 1, 1025, 64, 64, .causal = true },
    { 1, 8, 1, 3, 1300, 64, 64, .causal = true, .mask = KEY_MASK },
    { 2, 8, 2, 8, 700, 48, 80, .causal = true, .window = 90, .slopes = true },
    { 1, 8, 2, 4, 600, 64, 64, .strided = true, .causal = true },
    { 2, 4, 2, 65, 130, 20, 36, .strided = true, .mask = HEAD_MASK },
    { 1, 4, 2, 40, 90, 64, 64, .q = WK_F32, .kv = WK_BF16, .causal = true },
    { 1, 4, 2, 1, 700, 72, 64, .q = WK_F32, .kv = WK_F16, .strided = true },
    { 1, 4, 2, 40, 90, 37, 29, .q = WK_F16, .kv = WK_F16, .causal = true },
    { 1, 4, 2, 140, 290, 64, 64, .q = WK_BF16, .kv = WK_BF16, .causal = true },
    { 2, 4, 2, 33, 135, 38, 31, .q = WK_BF16, .kv = WK_BF16, .window = 50, .slopes = true },
    { 1, 4, 4, 9, 55, 37, 24, .q = WK_BF16, .kv = WK_BF16, .mask = FLOAT_MASK, .cap = 4 },
    { 1, 8, 2, 2, 1500, 64, 128, .q = WK_BF16, .kv = WK_BF16, .strided = true, .causal = true },
};

/* [b, n, t, d]; strided: a part of a larger tensor whose axes lie in another order */
static wk_tensor *operand(const shape *z, wk_dtype dtype, int64_t n, int64_t t, int64_t d)
{
    wk_tensor *x = z->strided ? wk_permute(wk_randn(z->b, t + 3, n, d), 0, 2, 1, 3)
                              : wk_randn(z->b, n, t + 3, d);
    return wk_narrow(wk_cast(x, dtype ? dtype : WK_F32), 2, 1, t);
}

static wk_tensor *mask_of(const shape *z)
{
    switch (z->mask) {
    case BOOL_MASK:
        return wk_gt(wk_randn(z->t, z->s), wk_scalar(0.5));
    case FLOAT_MASK:
        return wk_scale(wk_randn(z->b, 1, z->t, z->s), 2);
    case KEY_MASK:
        return wk_gt(wk_randn(z->b, 1, 1, z->s), wk_scalar(-0.5));
    case HEAD_MASK:
        return wk_transpose(wk_randn(z->h, z->s, z->t), 1, 2);
    }
    return NULL;
}

static wk_tensor *run(const wk_attention_args *a, bool fast)
{
    if (fast)
        return wk_attention_with(a);
    wk_call c = { .op = &wk_op_attention,
                  WK_IN(a->q, a->k, a->v, a->mask, a->slopes),
                  .opt.attention = { a->causal, a->window, a->scale, a->softcap } };
    if (!c.op->infer(&c) || !(c.out = wk_pool(wk_tensor_new(wk_cpu_device(), c.dtype, c.shape))))
        return NULL;
    return c.op->compute(&c) ? c.out : NULL;
}

static double distance(wk_tensor *a, wk_tensor *b)
{
    return wk_item(wk_max(wk_abs(wk_sub(wk_cast(a, WK_F64), wk_cast(b, WK_F64)))));
}

static bool same_bits(wk_tensor *a, wk_tensor *b)
{
    return !memcmp(wk_data(a), wk_data(b), (size_t)wk_count(a) * wk_dtype_size(wk_dtype_of(a)));
}

/* The same bits on 1, 2 and 3 threads, and near to what is expected. */
static void check_threads(const char *what, const wk_attention_args *a, wk_tensor *expected,
                          double bound, wk_tensor *(*compute)(const wk_attention_args *, bool))
{
    int        threads = wk_threads();
    uint64_t   fallbacks = wk_fallbacks();
    wk_tensor *first = NULL;
    for (int n = 1; n <= 3 && wk_ok(); n++) {
        wk_set_threads(n);
        wk_tensor *y = compute(a, true);
        if (n == 1)
            first = y;
        CHECK_MSG(wk_ok() && same_bits(first, y), "%s: %d threads", what, n);
    }
    wk_set_threads(threads);
    CHECK_MSG(wk_fallbacks() == fallbacks, "%s: not the fast kernel", what);
    double far = distance(first, expected);
    CHECK_MSG(far <= bound, "%s: %g away, %g allowed", what, far, bound);
}

/* pairs: the bound where keys and values of bf16 are multiplied as that */
static void check_all(const char *what, const wk_attention_args *a, wk_tensor *expected,
                      double bound, double pairs,
                      wk_tensor *(*compute)(const wk_attention_args *, bool))
{
    const wk_cpu_isa *isas[8], *before = wk_cpu_current();
    int               count = wk_cpu_list(isas, 8);
    char              name[120];
    for (int i = 0; i < count; i++) {
        wk_cpu_use(isas[i]);
        snprintf(name, sizeof name, "%s, %s", what, isas[i]->name);
        bool other = wk_dtype_of(a->k) == WK_BF16 && !strcmp(isas[i]->name, "avx512bf16");
        check_threads(name, a, expected, other ? pairs : bound, compute);
    }
    wk_cpu_use(before);
}

static wk_attention_args operands(const shape *z)
{
    return (wk_attention_args){
        .q = operand(z, z->q, z->h, z->t, z->d),
        .k = operand(z, z->kv, z->g, z->s, z->d),
        .v = operand(z, z->kv, z->g, z->s, z->e),
        .mask = mask_of(z),
        .slopes = z->slopes ? wk_rand(z->h) : NULL,
        .causal = z->causal,
        .window = z->window,
        .scale = z->scale,
        .softcap = z->cap,
    };
}

TEST(attention_is_the_portable_kernel)
{
    for (size_t i = 0; i < WK_COUNT(shapes); i++) {
        wk_scope          scope = wk_mark();
        wk_attention_args a = operands(&shapes[i]);
        wk_dtype          type = wk_dtype_of(a.q);
        char              name[40];
        snprintf(name, sizeof name, "shape %zu", i);
        double bound = type == WK_BF16 ? 2e-2 : type == WK_F16 ? 2e-3 : 3e-6;
        check_all(name, &a, run(&a, false), bound, fmax(bound, 5e-3), run);
        wk_sweep(scope);
    }
}

TEST(attention_hides_no_nan)
{
    wk_attention_args a = { .q = wk_randn(1, 1, 3, 8), .k = wk_randn(1, 1, 9, 8) };
    a.v = a.k;
    a.q = wk_masked_fill(a.q, wk_gt(wk_reshape(wk_arange(WK_F32, 0, 3, 1), 3, 1), wk_scalar(1)),
                         NAN); /* the last query */
    for (int fast = 0; fast < 2; fast++) {
        wk_tensor *y = run(&a, fast);
        CHECK(isfinite(wk_item(wk_sum(wk_narrow(y, 2, 0, 2)))));
        CHECK(isnan(wk_item(wk_min(wk_narrow(y, 2, 2, 1)))));
        CHECK(isnan(wk_item(wk_max(wk_narrow(y, 2, 2, 1)))));
    }
}

static wk_tensor *dy; /* the gradient of the result, for run_grad() */

/* dq, dk and dv, one after the other */
static wk_tensor *run_grad(const wk_attention_args *a, bool fast)
{
    wk_call c = { .op = &wk_op_attention_grad,
                  WK_IN(a->q, a->k, a->v, a->mask, a->slopes, dy),
                  .opt.attention = { a->causal, a->window, a->scale, a->softcap } };
    if (fast || !wk_ok())
        return wk_run(&c);
    if (!c.op->infer(&c) || !(c.out = wk_pool(wk_tensor_new(wk_cpu_device(), c.dtype, c.shape))))
        return NULL;
    return c.op->compute(&c) ? c.out : NULL;
}

TEST(gradient_of_attention_is_the_portable_kernel)
{
    for (size_t i = 0; i < WK_COUNT(shapes); i += (size_t)test_stride(3)) {
        wk_scope          scope = wk_mark();
        wk_attention_args a = operands(&shapes[i]);
        wk_dtype          type = wk_dtype_of(a.q);
        char              name[40];
        dy = operand(&shapes[i], type, shapes[i].h, shapes[i].t, shapes[i].e);
        wk_tensor *expected = run_grad(&a, false);
        double     most = wk_item(wk_max(wk_abs(wk_cast(expected, WK_F32))));
        snprintf(name, sizeof name, "shape %zu", i);
        double bound = most * (type == WK_BF16 ? 1e-2 : type == WK_F16 ? 1e-3 : 3e-6);
        check_all(name, &a, expected, bound, bound, run_grad);
        wk_sweep(scope);
    }
}

/* ---- PyTorch ------------------------------------------------------------ */

static const struct {
    const char       *name;
    wk_attention_args options;
} goldens[] = {
    { "plain", { .causal = false } },
    { "causal", { .causal = true } },
    { "window", { .causal = true, .window = 6 } },
    { "scale", { .scale = 0.7 } },
    { "bool_mask", { .causal = false } },
    { "float_mask", { .causal = true } },
    { "slopes", { .causal = true } },
    { "softcap", { .softcap = 2 } },
    { "all", { .causal = true, .window = 9, .scale = 0.9, .softcap = 3 } },
};

static wk_tensor *part(wk_archive *a, const char *name, const char *what)
{
    char key[40];
    snprintf(key, sizeof key, "%s.%s", name, what);
    return wk_archive_find(a, key) < 0 ? NULL : wk_archive_get(a, key);
}

static void follow_golden(wk_archive *a, size_t i)
{
    static const char *const operand_names[] = { "q", "k", "v" }, *const grads[] = { "dq", "dk",
                                                                                     "dv" };
    const char       *name = goldens[i].name;
    wk_attention_args args = goldens[i].options;
    wk_tensor        *in[3];
    for (int k = 0; k < 3; k++)
        in[k] = wk_track(part(a, name, operand_names[k]));
    args.q = in[0], args.k = in[1], args.v = in[2];
    args.mask = part(a, name, "mask");
    args.slopes = part(a, name, "slopes");
    wk_tensor *y = wk_attention_with(&args);
    double     far = distance(wk_detach(y), part(a, name, "y"));
    CHECK_MSG(far < 3e-6, "%s, %s: %g", name, wk_cpu_current()->name, far);
    wk_backward(wk_sum(wk_mul(y, part(a, name, "dy"))));
    for (int k = 0; k < 3; k++) {
        far = distance(wk_grad(in[k]), part(a, name, grads[k]));
        CHECK_MSG(far < 1e-5, "%s, %s, %s: %g", name, grads[k], wk_cpu_current()->name, far);
    }
}

TEST(attention_follows_pytorch)
{
    const wk_cpu_isa *isas[8], *before = wk_cpu_current();
    int               count = wk_cpu_list(isas, 8);
    wk_archive       *a = wk_archive_open("tests/golden/attention/attention.safetensors");
    for (int k = 0; k < count; k++) {
        wk_cpu_use(isas[k]);
        for (size_t i = 0; i < WK_COUNT(goldens); i++) {
            wk_scope scope = wk_mark();
            follow_golden(a, i);
            wk_sweep(scope);
        }
    }
    wk_cpu_use(before);
    wk_archive_free(a);
}
