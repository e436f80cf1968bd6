// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_isas.c - every case on every instruction set that this processor has, against the
 * portable kernels; strided operands against dense; many threads against one.
 *
 * Integers and bools must be equal.  Floats may differ by what another order of a sum and
 * f32 instead of f64 within it make: the bounds are in units of max(1, |largest|). */
#include "../test.h"
#include "cases.h"

#include "../../src/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- The portable kernels as an instruction set of their own ------------ */

static wk_dtype_info portable_rows[WK_DTYPE_COUNT];

/* Before the device is opened, which puts its own rows in. */
__attribute__((constructor)) static void save_rows(void)
{
    memcpy(portable_rows, wk_dtypes, sizeof portable_rows);
}

static void restore_rows(void) { memcpy(wk_dtypes, portable_rows, sizeof portable_rows); }

static const wk_kernel  no_kernels[WK_OP_COUNT];
static const wk_cpu_isa portable = { .name = "portable",
                                     .kernels = no_kernels,
                                     .install_rows = restore_rows };

static void use(const wk_cpu_isa *isa)
{
    restore_rows();
    wk_cpu_use(isa);
}

/* ---- One case, two ways ------------------------------------------------- */

static const struct {
    wk_dtype dtype;
    double   bound;
} kinds[] = { { WK_F64, 1e-11 }, { WK_F32, 1e-5 }, { WK_BF16, 0x1p-7 }, { WK_F16, 0x1p-10 } };

typedef struct {
    wk_dtype dtype;
    int64_t  n;
    double  *value;
} result;

/* The result of a case, NULL values after an error. */
static result result_of(const op_case *c, wk_dtype dtype, op_layout layout)
{
    op_inputs in;
    wk_scope  scope = wk_mark();
    wk_seed(1);
    op_inputs_open(&in, c, layout, true);
    op_inputs_make(&in, dtype, false);
    wk_tensor *y = op_run(c, &in);
    result     r = { .dtype = wk_dtype_of(y), .n = wk_count(y) };
    r.value = calloc((size_t)r.n + 1, sizeof *r.value);
    wk_read(y, WK_F64, r.value);
    op_inputs_close(&in);
    wk_sweep(scope);
    if (!wk_ok())
        CHECK_MSG(false, "%s", c->name), wk_clear();
    return r;
}

static void compare(const op_case *c, const char *what, wk_dtype dtype, const result *got,
                    const result *want, double bound)
{
    double most = 1;
    if (!CHECK_MSG(got->n == want->n && got->dtype == want->dtype, "%s, %s: %lld %s, not %lld %s",
                   c->name, what, (long long)got->n, wk_dtype_name(got->dtype), (long long)want->n,
                   wk_dtype_name(want->dtype)))
        return;
    if (!wk_dtype_is_float(want->dtype))
        bound = 0;
    for (int64_t i = 0; i < want->n; i++)
        most = isfinite(want->value[i]) ? fmax(most, fabs(want->value[i])) : most;
    for (int64_t i = 0; i < want->n; i++) {
        double g = got->value[i], w = want->value[i];
        if (!CHECK_MSG(g == w || (isnan(g) && isnan(w)) || fabs(g - w) <= bound * most,
                       "%s of %s, %s: element %lld is %.9g, not %.9g", c->name,
                       wk_dtype_name(dtype), what, (long long)i, g, w))
            return;
    }
}

/* Random numbers are the same bits everywhere, and cross no cast. */
static double bound_of(const op_case *c, double bound)
{
    return strncmp(c->op->name, "rand", 4) ? bound : 0;
}

static bool has_floats(const op_case *c)
{
    return strpbrk(c->inputs, "fpsev") != NULL || !*c->inputs;
}

TEST(every_instruction_set_agrees_with_the_portable_kernels)
{
    const wk_cpu_isa *isas[8], *before;
    int               count, n;
    const op_case    *cases = op_cases(&count);
    wk_default_device();
    before = wk_cpu_current();
    n = wk_cpu_list(isas, 8);
    CHECK(n > 0);
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < WK_COUNT(kinds) && (k == 0 || has_floats(&cases[i])); k++) {
            use(&portable);
            result want = result_of(&cases[i], kinds[k].dtype, DENSE);
            double bound = bound_of(&cases[i], kinds[k].bound);
            for (int p = 0; p < n; p++) {
                use(isas[p]);
                for (op_layout layout = DENSE; layout <= STRIDED; layout++) {
                    result got = result_of(&cases[i], kinds[k].dtype, layout);
                    compare(&cases[i], isas[p]->name, kinds[k].dtype, &got, &want, bound);
                    free(got.value);
                }
            }
            free(want.value);
        }
    use(before);
}

/* The bits of a result must not depend on the number of threads. */
TEST(results_do_not_depend_on_the_number_of_threads)
{
    int            count, before = wk_threads();
    const op_case *cases = op_cases(&count);
    for (int i = 0; i < count; i++)
        for (size_t k = 1; k < 3 && cases[i].wide; k++) {
            wk_set_threads(1);
            result one = result_of(&cases[i], kinds[k].dtype, DENSE);
            wk_set_threads(3);
            result three = result_of(&cases[i], kinds[k].dtype, DENSE);
            compare(&cases[i], "3 threads", kinds[k].dtype, &three, &one, 0);
            free(one.value);
            free(three.value);
        }
    wk_set_threads(before);
}

static void gradients_of(const op_case *c, wk_dtype dtype, op_inputs *in)
{
    op_inputs_open(in, c, DENSE, true);
    op_inputs_make(in, dtype, true);
    wk_tensor *y = op_run(c, in);
    if (wk_dtype_is_float(wk_dtype_of(y)))
        wk_backward(op_loss(y));
    if (!wk_ok() && strstr(wk_message(), "not computed from tracked"))
        wk_clear();
}

/* Gradients too: they are sums over what the threads share out. */
TEST(gradients_do_not_depend_on_the_number_of_threads)
{
    int            count, before = wk_threads();
    const op_case *cases = op_cases(&count);
    for (int i = 0; i < count; i++) {
        wk_scope  scope = wk_mark();
        op_inputs in[2];
        if (!cases[i].wide || !cases[i].gradient || cases[i].row->kind == ROW_FUNCTION)
            continue;
        for (int t = 0; t < 2; t++) {
            wk_set_threads(t ? 3 : 1);
            gradients_of(&cases[i], WK_F32, &in[t]);
        }
        for (int k = 0; k < in[0].count; k++) {
            wk_tensor *a = wk_grad(in[0].base[k]), *b = wk_grad(in[1].base[k]);
            if (a && CHECK_MSG(b != NULL, "%s", cases[i].name))
                CHECK_MSG(wk_item(wk_all(wk_eq(a, b))) == 1, "%s: operand %d", cases[i].name, k);
        }
        op_inputs_close(&in[0]);
        op_inputs_close(&in[1]);
        wk_sweep(scope);
    }
    wk_set_threads(before);
}

static void compare_gradients(const op_case *c, wk_dtype dtype, double bound)
{
    const wk_cpu_isa *isas[8];
    int               n = wk_cpu_list(isas, 8);
    wk_scope          scope = wk_mark();
    op_inputs         want, got;
    use(&portable);
    gradients_of(c, dtype, &want);
    for (int p = 0; p < n; p++) {
        use(isas[p]);
        gradients_of(c, dtype, &got);
        for (int k = 0; k < want.count; k++) {
            wk_tensor *a = wk_grad(want.base[k]), *b = wk_grad(got.base[k]);
            double     most = a && b ? wk_item(wk_max(wk_abs(a))) : 0;
            if (a && CHECK_MSG(b != NULL, "%s", c->name))
                CHECK_MSG(wk_item(wk_max(wk_abs(wk_sub(a, b)))) <= bound * fmax(most, 1),
                          "%s of %s: operand %d, %s", c->name, wk_dtype_name(dtype), k,
                          isas[p]->name);
        }
        op_inputs_close(&got);
    }
    op_inputs_close(&want);
    wk_sweep(scope);
}

/* Gradients have kernels of their own, which meet odd sizes here; in bf16 those of convolution. */
TEST(gradients_agree_with_the_portable_kernels)
{
    const wk_cpu_isa *before = (wk_default_device(), wk_cpu_current());
    int               count;
    const op_case    *cases = op_cases(&count);
    for (int i = 0; i < count; i++) {
        if (!cases[i].wide || !cases[i].gradient || cases[i].row->kind == ROW_FUNCTION)
            continue;
        compare_gradients(&cases[i], WK_F32, 1e-5);
        if (!strncmp(cases[i].op->name, "conv", 4))
            compare_gradients(&cases[i], WK_BF16, 0x1p-7);
    }
    use(before);
}
