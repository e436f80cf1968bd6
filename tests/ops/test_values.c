// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_values.c - every case of the table against PyTorch: values, dtypes, gradients.
 *
 * The bounds are of |got - wanted| in units of max(1, |largest wanted|): f64 and f32
 * leave room for another order of a sum; bf16 and f16 for the roundings of operations
 * that are made of up to four others. */
#include "../test.h"
#include "cases.h"

#include "../../src/core/core.h"
#include <wick/io.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    wk_dtype dtype;
    double   value, gradient;
} bounds[] = {
    { WK_F64, 1e-10, 1e-9 },
    { WK_F32, 2e-6, 2e-5 },
    { WK_BF16, 0x1p-7, 0 },
    { WK_F16, 0x1p-10, 0 },
};

static wk_archive *open_goldens(void)
{
    wk_archive *a = wk_archive_open("tests/golden/ops/ops.safetensors");
    CHECK(a != NULL);
    return a;
}

static double *values_of(wk_tensor *x)
{
    double *v = calloc((size_t)wk_count(x) + 1, sizeof *v);
    wk_read(x, WK_F64, v);
    return v;
}

static void compare(const char *name, const char *what, wk_tensor *got, wk_tensor *want,
                    double bound)
{
    char a[160], b[160];
    if (!CHECK_MSG(got && want && wk_same_shape(wk_shape_of(got), wk_shape_of(want)),
                   "%s %s: %s is not %s", name, what, got ? wk_show(got, a) : "NULL",
                   want ? wk_show(want, b) : "NULL"))
        return;
    double *g = values_of(got), *w = values_of(want), most = 1;
    int64_t n = wk_count(want);
    for (int64_t i = 0; i < n; i++)
        most = isfinite(w[i]) ? fmax(most, fabs(w[i])) : most;
    for (int64_t i = 0; i < n; i++) {
        bool same =
            g[i] == w[i] || (isnan(g[i]) && isnan(w[i])) || fabs(g[i] - w[i]) <= bound * most;
        if (!CHECK_MSG(same, "%s %s: element %lld is %.17g, not %.17g", name, what, (long long)i,
                       g[i], w[i]))
            break;
    }
    free(g);
    free(w);
}

static void check_value(const wk_archive *goldens, const op_case *c, int which)
{
    char      what[64];
    op_inputs in;
    wk_dtype  dtype = bounds[which].dtype;
    snprintf(what, sizeof what, "in %s", wk_dtype_name(dtype));
    op_inputs_open(&in, c, DENSE, true);
    op_inputs_make(&in, dtype, false);
    wk_tensor *want = wk_archive_get(goldens, c->name), *got = op_run(c, &in);
    if (which == 0) /* PyTorch's dtype; later ones convert nothing that f64 would not */
        CHECK_MSG(wk_dtype_of(got) == wk_dtype_of(want), "%s: the result is %s, not %s", c->name,
                  wk_dtype_name(wk_dtype_of(got)), wk_dtype_name(wk_dtype_of(want)));
    double bound = !wk_dtype_is_float(wk_dtype_of(want)) ? 0 : bounds[which].value;
    if (bound > 0 && wk_dtype_of(want) == WK_F32)
        bound = fmax(bound, bounds[1].value);
    compare(c->name, what, got, want, bound);
    op_inputs_close(&in);
}

static void check_gradients(const wk_archive *goldens, const op_case *c, int which)
{
    char      key[64], what[64];
    op_inputs in;
    op_inputs_open(&in, c, DENSE, true);
    op_inputs_make(&in, bounds[which].dtype, true);
    wk_backward(op_loss(op_run(c, &in)));
    for (int k = 0; k < in.count; k++) {
        snprintf(key, sizeof key, "%s/%d", c->name, k);
        if (wk_archive_find(goldens, key) < 0)
            continue;
        snprintf(what, sizeof what, "gradient of operand %d in %s", k + 1,
                 wk_dtype_name(bounds[which].dtype));
        compare(c->name, what, wk_grad(in.base[k]), wk_archive_get(goldens, key),
                bounds[which].gradient);
    }
    op_inputs_close(&in);
}

/* The oracle of a case: its text in the fixture must be the one in the table. */
static bool has_golden(const wk_archive *goldens, const op_case *c)
{
    const char *known = wk_archive_metadata(goldens, c->name);
    return known && !strstr(known, " | none") && wk_archive_find(goldens, c->name) >= 0;
}

TEST(the_goldens_are_of_this_table)
{
    int            count;
    const op_case *cases = op_cases(&count);
    wk_archive    *goldens = open_goldens();
    char           text[1024];
    CHECK(count > 800);
    for (int i = 0; i < count; i++) {
        const op_case *c = &cases[i];
        const char    *known = c->torch ? wk_archive_metadata(goldens, c->name) : NULL;
        if (!c->torch)
            continue;
        snprintf(text, sizeof text, "%s | %s", c->inputs, c->torch);
        CHECK_MSG(known && (c->torch[0] ? !strncmp(known, text, strlen(text))
                                        : !strncmp(known, text, strlen(c->inputs) + 3)),
                  "%s is \"%s\" in the table and \"%s\" in the fixture: run "
                  "tests/golden/make_ops.py",
                  c->name, text, known ? known : "");
    }
    wk_archive_free(goldens);
}

TEST(values_are_those_of_pytorch)
{
    int            count, compared = 0;
    const op_case *cases = op_cases(&count);
    wk_archive    *goldens = open_goldens();
    for (int i = 0; i < count; i++)
        for (int d = 0; d < (int)WK_COUNT(bounds) && has_golden(goldens, &cases[i]); d++) {
            wk_scope scope = wk_mark();
            check_value(goldens, &cases[i], d);
            compared++;
            if (!wk_ok())
                CHECK_MSG(false, "%s", cases[i].name), wk_clear();
            wk_sweep(scope);
        }
    CHECK(compared > 2000);
    wk_archive_free(goldens);
}

TEST(gradients_are_those_of_pytorch)
{
    int            count, compared = 0;
    const op_case *cases = op_cases(&count);
    wk_archive    *goldens = open_goldens();
    for (int i = 0; i < count; i++)
        for (int d = 0; d < 2 && cases[i].gradient && has_golden(goldens, &cases[i]); d++) {
            char     key[64];
            wk_scope scope = wk_mark();
            bool     any = false;
            for (int k = 0; k < OP_INPUTS; k++) {
                snprintf(key, sizeof key, "%s/%d", cases[i].name, k);
                any |= wk_archive_find(goldens, key) >= 0;
            }
            if (any)
                check_gradients(goldens, &cases[i], d), compared++;
            if (!wk_ok())
                CHECK_MSG(false, "%s", cases[i].name), wk_clear();
            wk_sweep(scope);
        }
    CHECK(compared > 600);
    wk_archive_free(goldens);
}

TEST(promotion_is_pytorchs)
{
    char  a[16], b[16], both[16], scalar[16];
    int   count = 0;
    FILE *f = fopen("tests/golden/ops/promote.txt", "r");
    while (CHECK(f != NULL) && fscanf(f, "%15s %15s %15s %15s", a, b, both, scalar) == 4) {
        wk_dtype   got = wk_dtype_promote(wk_dtype_find(a), wk_dtype_find(b));
        wk_scope   scope = wk_mark();
        wk_tensor *x = wk_ones_of(wk_dtype_find(a), WK_SHAPE(1)), *y;
        CHECK_MSG(!strcmp(wk_dtype_name(got), both), "%s with %s gives %s, not %s", a, b,
                  wk_dtype_name(got), both);
        y = wk_where(wk_ones(1), x, wk_ones_of(wk_dtype_find(b), WK_SCALAR));
        CHECK_MSG(!strcmp(wk_dtype_name(wk_dtype_of(y)), scalar),
                  "%s with %s of rank 0 gives %s, not %s", a, b, wk_dtype_name(wk_dtype_of(y)),
                  scalar);
        wk_sweep(scope);
        count++;
    }
    CHECK(count > 100);
    if (f)
        fclose(f);
}
