// SPDX-License-Identifier: MIT OR Apache-2.0
/* elementwise.c - how fast everything but products and attention runs.
 *
 *   build/bench/elementwise [operation ...]      e.g. add softmax
 *
 * Rows of 4,096 elements: 512 of them, which a last-level cache may hold, and 4,096, which
 * none does; and single rows of 1 to 1,000.  Prints microseconds, and the GB/s of operands
 * and results of those that are large.  Medians of 15 samples; bench/peers_elementwise.py
 * prints the same for PyTorch. */
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SAMPLES = 15 };

static const double SAMPLE_TIME = 0.02;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* x and y [m, n], p [n], ids [m] below n, half: x in bf16 */
typedef struct {
    wk_tensor *x, *y, *p, *ids, *half;
} operands;

/* name, numbers read and written for each element, the operation */
#define OPERATIONS(OP)                                                                             \
    OP(add, 3, wk_add(o->x, o->y))                                                                 \
    OP(add_row, 2, wk_add(o->x, o->p))                                                             \
    OP(add_bf16, 1.5, wk_add(o->half, o->half))                                                    \
    OP(where, 4, wk_where(o->x, o->x, o->y))                                                       \
    OP(exp, 2, wk_exp(o->x))                                                                       \
    OP(log1p, 2, wk_log1p(o->y))                                                                   \
    OP(tanh, 2, wk_tanh(o->x))                                                                     \
    OP(sin, 2, wk_sin(o->x))                                                                       \
    OP(pow_scalar, 2, wk_pow_scalar(o->y, 1.7))                                                    \
    OP(gelu, 2, wk_gelu(o->x))                                                                     \
    OP(silu_mul, 3, wk_swiglu(o->x, o->y))                                                         \
    OP(copy, 2, wk_copy(o->x))                                                                     \
    OP(transpose, 2, wk_contiguous(wk_transpose(o->x, 0, 1)))                                      \
    OP(to_bf16, 1.5, wk_cast(o->x, WK_BF16))                                                       \
    OP(fill, 1, wk_fill(o->y, 0.5))                                                                \
    OP(sum, 1, wk_sum(o->x))                                                                       \
    OP(sum_last, 1, wk_sum(o->x, .over = WK_AXES(-1)))                                             \
    OP(sum_first, 1, wk_sum(o->x, .over = WK_AXES(0)))                                             \
    OP(var_last, 1, wk_var(o->x, .over = WK_AXES(-1)))                                             \
    OP(max_last, 1, wk_max(o->x, .over = WK_AXES(-1)))                                             \
    OP(argmax_last, 1, wk_argmax(o->x, .over = WK_AXES(-1)))                                       \
    OP(softmax, 2, wk_softmax(o->x, -1))                                                           \
    OP(softmax_first, 2, wk_softmax(o->x, 0))                                                      \
    OP(log_softmax, 2, wk_log_softmax(o->x, -1))                                                   \
    OP(layer_norm, 2, wk_layer_norm(o->x, (wk_layer){ o->p, o->p }, 1e-5))                         \
    OP(rms_norm, 2, wk_rms_norm(o->x, o->p, 1e-5))                                                 \
    OP(cross_entropy, 1, wk_cross_entropy(.logits = o->x, .target = o->ids))                       \
    OP(embedding, 2, wk_embedding(o->ids, o->x))                                                   \
    OP(index_add, 3, wk_index_add(o->x, 0, o->ids, o->y))                                          \
    OP(rand, 1, wk_rand_of(WK_F32, wk_shape_of(o->x)))                                             \
    OP(randn, 1, wk_randn_of(WK_F32, wk_shape_of(o->x)))

#define OP(name, numbers, value)                                                                   \
    static void run_##name(const operands *o) { (void)value; }
OPERATIONS(OP)
#undef OP

static const struct {
    const char *name;
    double      numbers;
    void (*run)(const operands *o);
} operations[] = {
#define OP(name, numbers, value) { #name, numbers, run_##name },
    OPERATIONS(OP)
#undef OP
};

static double measure(void (*run)(const operands *), const operands *o)
{
    double sample[SAMPLES], took = 0;
    long   repeat = 1;
    for (;; repeat *= 2) {
        double start = now();
        for (long i = 0; i < repeat; i++) {
            wk_scope s = wk_mark();
            run(o);
            wk_sweep(s);
        }
        took = now() - start;
        if (took > SAMPLE_TIME / 4 || !wk_ok())
            break;
    }
    repeat = (long)((double)repeat * SAMPLE_TIME / took) + 1;
    for (int k = 0; k < SAMPLES; k++) {
        double start = now();
        for (long i = 0; i < repeat; i++) {
            wk_scope s = wk_mark();
            run(o);
            wk_sweep(s);
        }
        sample[k] = (now() - start) / (double)repeat;
    }
    qsort(sample, SAMPLES, sizeof *sample, by_value);
    return sample[SAMPLES / 2];
}

static void report(int64_t m, int64_t n, int argc, char **argv)
{
    wk_scope scope = wk_mark();
    int64_t  most = m < n ? m : n; /* ids serve as rows and as classes */
    operands o = { .x = wk_randn(m, n), .p = wk_rand_of(WK_F32, WK_SHAPE(n)) };
    o.y = wk_rand_of(WK_F32, WK_SHAPE(m, n));
    o.ids = wk_randint_of(WK_SHAPE(m), 0, most);
    o.half = wk_cast(o.x, WK_BF16);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        bool wanted = argc == 1;
        for (int a = 1; a < argc; a++)
            wanted |= !strcmp(argv[a], operations[i].name);
        if (!wanted)
            continue;
        double t = measure(operations[i].run, &o);
        double bytes = operations[i].numbers * 4 * (double)m * (double)n;
        printf("%-14s %5lldx%-5lld wick  %12.2f", operations[i].name, (long long)m, (long long)n,
               1e6 * t);
        printf(bytes > 1e6 ? " %8.1f\n" : "\n", bytes / t * 1e-9);
        fflush(stdout);
    }
    wk_sweep(scope);
}

int main(int argc, char **argv)
{
    static const int64_t rows[][2] = { { 512, 4096 }, { 4096, 4096 }, { 1, 1 },
                                       { 1, 10 },     { 1, 100 },     { 1, 1000 } };
    printf("operation            size peer            us     GB/s\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        report(rows[i][0], rows[i][1], argc, argv);
    return wk_finish();
}
