// SPDX-License-Identifier: MIT OR Apache-2.0
/* elementwise.c - functions, copies and reductions: GB/s of what is read and written
 * for [512, 4096], and microseconds for a call on [4, 4].
 *
 *   build/bench/elementwise [name]
 *
 * Medians.  peers_elementwise.py does the same with PyTorch. */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 41, BATCH = 200 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct {
    wk_tensor *x, *y, *half, *turned, *target;
} inputs;

#define OPERATION(name, expression)                                                                \
    static wk_tensor *run_##name(const inputs *in) { return expression; }
/* name, tensors read and written, expression */
#define OPERATIONS(OP)                                                                             \
    OP(add, 3, wk_add(in->x, in->y))                                                               \
    OP(mul, 3, wk_mul(in->x, in->y))                                                               \
    OP(relu, 2, wk_relu(in->x))                                                                    \
    OP(exp, 2, wk_exp(in->x))                                                                      \
    OP(log, 2, wk_log(in->y))                                                                      \
    OP(sin, 2, wk_sin(in->x))                                                                      \
    OP(tanh, 2, wk_tanh(in->x))                                                                    \
    OP(sigmoid, 2, wk_sigmoid(in->x))                                                              \
    OP(silu, 2, wk_silu(in->x))                                                                    \
    OP(gelu, 2, wk_gelu(in->x))                                                                    \
    OP(pow, 2, wk_pow_scalar(in->y, 1.7))                                                          \
    OP(silu_mul, 3, wk_swiglu(in->x, in->y))                                                       \
    OP(add_bf16, 1.5, wk_add(in->half, in->half))                                                  \
    OP(gelu_bf16, 1, wk_gelu(in->half))                                                            \
    OP(to_bf16, 1.5, wk_cast(in->x, WK_BF16))                                                      \
    OP(from_bf16, 1.5, wk_cast(in->half, WK_F32))                                                  \
    OP(copy, 2, wk_copy(in->x))                                                                    \
    OP(transpose, 2, wk_copy(in->turned))                                                          \
    OP(zeros, 1, wk_full_like(in->x, 0))                                                           \
    OP(sum, 1, wk_sum(in->x))                                                                      \
    OP(sum_rows, 1, wk_sum(in->x, .over = WK_AXES(-1)))                                            \
    OP(sum_columns, 1, wk_sum(in->x, .over = WK_AXES(0)))                                          \
    OP(max_rows, 1, wk_max(in->x, .over = WK_AXES(-1)))                                            \
    OP(argmax_rows, 1, wk_argmax(in->x, .over = WK_AXES(-1)))                                      \
    OP(var_rows, 1, wk_var(in->x, .over = WK_AXES(-1)))                                            \
    OP(logsumexp, 1, wk_logsumexp(in->x, .over = WK_AXES(-1)))                                     \
    OP(cross_entropy, 1, wk_cross_entropy(in->x, in->target))
#define DEFINE(name, tensors, expression) OPERATION(name, expression)
OPERATIONS(DEFINE)

static const struct {
    const char *name;
    double      tensors;
    wk_tensor *(*run)(const inputs *in);
} operations[] = {
#define ROW(name, tensors, expression) { #name, tensors, run_##name },
    OPERATIONS(ROW)
};

static inputs inputs_of(int64_t rows, int64_t columns)
{
    inputs in = { .x = wk_randn(rows, columns), .target = wk_zeros_of(WK_I64, WK_SHAPE(rows)) };
    in.y = wk_add_scalar(wk_abs(wk_randn(rows, columns)), 0.1);
    in.half = wk_cast(in.x, WK_BF16);
    in.turned = wk_transpose(wk_randn(columns, rows), 0, 1);
    return in;
}

/* Seconds for one call. */
static double time_of(wk_tensor *(*run)(const inputs *in), const inputs *in, int batch)
{
    double t[RUNS];
    for (int i = 0; i < RUNS; i++) {
        double start = now();
        for (int k = 0; k < batch; k++) {
            wk_scope scope = wk_mark();
            run(in);
            wk_sweep(scope);
        }
        t[i] = (now() - start) / batch;
    }
    qsort(t, RUNS, sizeof *t, by_value);
    return t[RUNS / 2];
}

int main(int argc, char **argv)
{
    inputs large = inputs_of(512, 4096), tiny = inputs_of(4, 4);
    printf("%s, %d threads\n", wk_device_detail(wk_default_device()), wk_threads());
    printf("%-14s %9s %9s %9s\n", "", "ms", "GB/s", "tiny us");
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (argc > 1 && strcmp(argv[1], operations[i].name))
            continue;
        double seconds = time_of(operations[i].run, &large, 3);
        double bytes = operations[i].tensors * 512 * 4096 * 4;
        double small = time_of(operations[i].run, &tiny, BATCH);
        printf("%-14s %9.3f %9.1f %9.2f\n", operations[i].name, 1e3 * seconds,
               1e-9 * bytes / seconds, 1e6 * small);
    }
    return wk_finish();
}
