// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_rows.c - norms, softmax and rope of each instruction set, in f32 and from bf16 and
 * f16, against the portable kernels, which compute doubles in doubles. */
#include "test.h"

#include "../src/cpu/cpu.h"
#include <wick/wick.h>

#include <math.h>

typedef wk_tensor *(*function)(wk_tensor *x, wk_tensor *p, wk_tensor *q);

static wk_tensor *rms(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    (void)q;
    return wk_rms_norm(x, p, 1e-5);
}
static wk_tensor *rms_bare(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    (void)p, (void)q;
    return wk_rms_norm(x, NULL, 0);
}
static wk_tensor *layer(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    return wk_layer_norm(x, (wk_layer){ p, q }, 1e-5);
}
static wk_tensor *layer_unbiased(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    (void)q;
    return wk_layer_norm(wk_add_scalar(x, 100), (wk_layer){ p, NULL }, 1e-3);
}
static wk_tensor *softmax(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    (void)p, (void)q;
    return wk_softmax(wk_scale(x, 8), -1);
}
static wk_tensor *log_softmax(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    (void)p, (void)q;
    return wk_log_softmax(wk_add_scalar(wk_scale(x, 9), 500), -1);
}
static wk_tensor *softmax_first(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    (void)p, (void)q;
    return wk_softmax(x, 0);
}
static wk_tensor *log_softmax_middle(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    (void)p, (void)q;
    return wk_log_softmax(x, 1);
}

/* p and q [n] give angles [t, n / 2], or fewer that turn only a part */
static wk_tensor *rope(wk_tensor *x, wk_tensor *p, wk_tensor *q, bool pairs, int64_t parts)
{
    int64_t    t = wk_dim(x, -2), half = wk_dim(x, -1) / parts;
    wk_tensor *at = wk_reshape(wk_arange(wk_dtype_of(p), 0, (double)t, 1), t, 1);
    wk_tensor *angle = wk_mul(at, wk_add(wk_narrow(p, 0, 0, half), wk_narrow(q, 0, 0, half)));
    return wk_rope(x, wk_cos(angle), wk_sin(angle), pairs);
}
static wk_tensor *rope_halves(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    return rope(x, p, q, false, 2);
}
static wk_tensor *rope_pairs(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    return rope(x, p, q, true, 2);
}
static wk_tensor *rope_part(wk_tensor *x, wk_tensor *p, wk_tensor *q)
{
    return rope(x, p, q, false, 5);
}

static const struct {
    const char *name;
    function    f;
} cases[] = {
    { "rms_norm", rms },
    { "rms_norm, bare", rms_bare },
    { "layer_norm", layer },
    { "layer_norm, far from 0", layer_unbiased },
    { "softmax", softmax },
    { "log_softmax", log_softmax },
    { "softmax, first axis", softmax_first },
    { "log_softmax, middle axis", log_softmax_middle },
    { "rope", rope_halves },
    { "rope, pairs", rope_pairs },
    { "rope, a part", rope_part },
};

/* The same numbers in doubles, for the portable kernel; views stay views. */
static wk_tensor *wide(wk_tensor *x) { return wk_cast(x, WK_F64); }

static void compare(int i, wk_tensor *x, wk_tensor *p, wk_tensor *q, double bound, const char *isa)
{
    wk_tensor *want = cases[i].f(wide(x), wide(p), wide(q)), *got = cases[i].f(x, p, q);
    wk_tensor *far = wk_abs(wk_sub(wk_cast(got, WK_F64), want));
    double     error = wk_item(wk_max(wk_div(far, wk_add_scalar(wk_abs(want), 1))));
    CHECK(wk_dtype_of(got) == wk_dtype_of(x));
    CHECK_MSG(error < bound, "%s of %s [%d, %d, %d]: error %g", cases[i].name, isa,
              (int)wk_dim(x, 0), (int)wk_dim(x, 1), (int)wk_dim(x, 2), error);
}

static void check_isa(const char *isa)
{
    static const int64_t lengths[] = { 1, 2, 7, 15, 16, 17, 31, 33, 64, 70, 129 };
    wk_seed(1); /* the same numbers for all: close ones are hard for layer_norm */
    for (size_t k = 0; k < WK_COUNT(lengths); k++)
        for (size_t i = 0; i < WK_COUNT(cases); i++) {
            int64_t    n = lengths[k];
            wk_scope   s = wk_mark();
            wk_tensor *x = wk_randn(3, 5, n), *p = wk_randn_of(WK_F32, WK_SHAPE(n));
            wk_tensor *q = wk_randn_of(WK_F32, WK_SHAPE(n));
            bool       turns = cases[i].f == rope_halves || cases[i].f == rope_pairs;
            if ((turns && n % 2) || (cases[i].f == rope_part && n < 5))
                continue;
            bool far = cases[i].f == layer_unbiased || cases[i].f == log_softmax;
            compare((int)i, x, p, q, far ? 2e-4 : 4e-6, isa);
            wk_tensor *turned = wk_permute(wk_randn(5, 3, n), 1, 0, 2);
            compare((int)i, turned, p, q, far ? 2e-4 : 4e-6, isa);
            if (!far) {
                compare((int)i, wk_cast(x, WK_BF16), p, q, 1e-2, isa);
                compare((int)i, wk_cast(x, WK_F16), p, q, 2e-3, isa);
            }
            wk_sweep(s);
        }
}

TEST(rows_of_each_instruction_set_agree_with_doubles)
{
    wk_seed(3); /* of two numbers that are all but equal layer_norm keeps few digits */
    wk_device_name(wk_default_device());
    const wk_cpu_isa *isas[8], *before = wk_cpu_current();
    int               n = wk_cpu_list(isas, 8);
    for (int i = 0; i < n; i++) {
        wk_cpu_use(isas[i]);
        check_isa(isas[i]->name);
    }
    wk_cpu_use(before);
}

TEST(softmax_of_what_is_not_finite)
{
    const float x[] = { -INFINITY, 0, -INFINITY, -INFINITY, -INFINITY, -INFINITY, 1, NAN, 2 };
    float       y[9];
    wk_to_f32(wk_softmax(wk_from_f32(WK_SHAPE(3, 3), x), -1), y);
    CHECK(y[0] == 0 && y[1] == 1 && y[2] == 0);
    CHECK(isnan(y[3]) && isnan(y[6]) && isnan(y[8]));
}
