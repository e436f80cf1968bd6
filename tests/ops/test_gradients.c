// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_gradients.c - first and second derivatives against central differences in f64,
 * for dense, strided and broadcast operands. */
#include "../test.h"
#include "cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double STEP = 1e-5, BOUND = 2e-7;

/* sum(y dy), with the numbers that in holds */
static double loss_at(const op_case *c, op_inputs *in)
{
    wk_scope scope = wk_mark();
    op_inputs_make(in, WK_F64, false);
    wk_tensor *y = op_run(c, in);
    int64_t    n = wk_count(y);
    double    *v = calloc((size_t)n + 1, 2 * sizeof *v), *dy = v + n, loss = 0;
    op_weights(dy, n);
    if (wk_read(y, WK_F64, v))
        for (int64_t i = 0; i < n; i++)
            loss += v[i] * dy[i];
    free(v);
    wk_sweep(scope);
    return loss;
}

/* How operand k is weighted where its gradient is made a number. */
static double direction(int k, int64_t i) { return 0.5 + 0.25 * sin(3.0 * k + 1.7 * (double)i); }

/* Not of integers, and not of what no operand of floats has a part in. */
static bool has_history(const op_inputs *in, const wk_tensor *y)
{
    bool any = false;
    for (int k = 0; k < in->count; k++)
        any |= op_is_float(in, k);
    return wk_ok() && any && wk_dtype_is_float(wk_dtype_of(y));
}

/* sum over operands of their gradient times direction, as a tensor with history */
static wk_tensor *slope(const op_case *c, op_inputs *in, bool record)
{
    op_inputs_make(in, WK_F64, true);
    wk_tensor *y = op_run(c, in), *sum = NULL;
    if (!has_history(in, y))
        return NULL;
    wk_tensor *loss = op_loss(y);
    if (record)
        wk_backward_recorded(loss);
    else
        wk_backward(loss);
    for (int k = 0; k < in->count; k++) {
        wk_tensor *g = op_is_float(in, k) && wk_ok() ? wk_grad(in->base[k]) : NULL;
        if (!g)
            continue;
        int64_t n = wk_count(g);
        double *v = calloc((size_t)n + 1, sizeof *v);
        for (int64_t i = 0; i < n; i++)
            v[i] = direction(k, i);
        wk_tensor *part = wk_sum(wk_mul(g, wk_from(WK_F64, wk_shape_of(g), v)));
        free(v);
        sum = sum ? wk_add(sum, part) : part;
    }
    return sum;
}

static double slope_at(const op_case *c, op_inputs *in)
{
    wk_scope   scope = wk_mark();
    wk_tensor *s = slope(c, in, false);
    double     value = s ? wk_item(s) : 0;
    wk_sweep(scope);
    return value;
}

/* grad[k] against differences of f in every number of operand k. */
static void against_differences(const op_case *c, op_inputs *in, double *const *grad,
                                double (*f)(const op_case *, op_inputs *), const char *what,
                                bool strided)
{
    static const char *const layouts[] = { "dense", "strided", "broadcast" };
    for (int k = 0; k < in->count; k++)
        for (int64_t i = 0; grad[k] && i < in->n[k]; i++) {
            double *x = &in->value[k][i], before = *x;
            *x = before + STEP;
            double up = f(c, in);
            *x = before - STEP;
            double down = f(c, in);
            *x = before;
            double want = (up - down) / (2 * STEP);
            if (!isfinite(want))
                continue; /* as where a mask puts infinities */
            double got = grad[k][strided && in->shape[k].rank <= 1 ? 2 * i : i];
            if (!CHECK_MSG(fabs(got - want) <= BOUND * fmax(10, fabs(want)),
                           "%s, %s: the %s derivative for number %lld of operand %d is %.10g, "
                           "not %.10g",
                           c->name, layouts[in->layout], what, (long long)i, k + 1, got, want))
                return;
        }
}

static void read_gradients(op_inputs *in, double **grad)
{
    for (int k = 0; k < OP_INPUTS; k++)
        grad[k] = NULL;
    for (int k = 0; k < in->count; k++)
        if (op_is_float(in, k)) {
            wk_tensor *g = wk_grad(in->base[k]);
            grad[k] = calloc((size_t)(2 * in->n[k] + 1), sizeof **grad); /* stepped: twice */
            if (g)
                wk_read(g, WK_F64, grad[k]);
        }
}

static void free_gradients(double **grad)
{
    for (int k = 0; k < OP_INPUTS; k++)
        free(grad[k]);
}

static bool suits(const op_case *c, op_layout layout)
{
    if (!c->gradient || c->wide || strchr(c->inputs, 'v'))
        return false; /* what has such numbers is at a kink, or far away */
    /* a broadcast row: everything is a tie, and the spread of none has no derivative */
    return layout != BROADCAST || (strcmp(c->op->name, "std") && strcmp(c->op->name, "to_device"));
}

static void first(const op_case *c, op_layout layout)
{
    op_inputs in;
    double   *grad[OP_INPUTS];
    op_inputs_open(&in, c, layout, false);
    op_inputs_make(&in, WK_F64, true);
    wk_tensor *y = op_run(c, &in);
    if (has_history(&in, y)) {
        wk_backward(op_loss(y));
        read_gradients(&in, grad);
        against_differences(c, &in, grad, loss_at, "first", layout == STRIDED);
        free_gradients(grad);
    }
    op_inputs_close(&in);
}

static void second(const op_case *c, op_layout layout)
{
    op_inputs in;
    double   *grad[OP_INPUTS];
    op_inputs_open(&in, c, layout, false);
    wk_tensor *s = slope(c, &in, true);
    bool       curved = wk_ok() && s;
    if (curved) {
        for (int k = 0; k < in.count; k++)
            wk_set_grad(in.base[k], NULL);
        wk_backward(s);
        if (!wk_ok() && strstr(wk_message(), "was not computed from tracked")) {
            wk_clear(); /* linear in all operands: zeros are right */
        }
        read_gradients(&in, grad);
        against_differences(c, &in, grad, slope_at, "second", layout == STRIDED);
        free_gradients(grad);
    }
    op_inputs_close(&in);
}

static void each(op_layout layout, void (*check)(const op_case *, op_layout), int times)
{
    int            count, done = 0;
    const op_case *cases = op_cases(&count);
    for (int i = 0; i < count; i++) {
        wk_scope scope = wk_mark();
        if (cases[i].gradient < times || !suits(&cases[i], layout))
            continue;
        if (done++ % test_stride(4))
            continue;
        check(&cases[i], layout);
        if (!wk_ok())
            CHECK_MSG(false, "%s", cases[i].name), wk_clear();
        wk_sweep(scope);
    }
    CHECK(done > 250);
}

TEST(gradients_of_dense_operands_are_differences) { each(DENSE, first, ONCE); }
TEST(gradients_of_strided_operands_are_differences) { each(STRIDED, first, ONCE); }
TEST(gradients_of_broadcast_operands_are_differences) { each(BROADCAST, first, ONCE); }
TEST(second_derivatives_are_differences) { each(DENSE, second, TWICE); }
TEST(second_derivatives_of_strided_operands_are_differences) { each(STRIDED, second, TWICE); }

/* What cannot be differentiated twice says so. */
TEST(a_missing_second_derivative_is_an_error)
{
    int            count;
    const op_case *cases = op_cases(&count);
    const char    *once[] = { "prod.0", "attention.0", "cross_entropy.0" };
    for (int i = 0; i < count; i++)
        for (int k = 0; k < 3; k++)
            if (!strcmp(cases[i].name, once[k])) {
                op_inputs in;
                op_inputs_open(&in, &cases[i], DENSE, true);
                slope(&cases[i], &in, true);
                CHECK_ERROR("has no gradient: use wk_detach() or wk_no_grad()");
                op_inputs_close(&in);
            }
}
