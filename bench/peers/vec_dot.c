// SPDX-License-Identifier: MIT OR Apache-2.0
/* vec_dot.c - one row of x with weights of blocks: wk_linear and ggml's vec_dot in turns.
 *
 *   cc -O2 -Iinclude -I$LLAMA/ggml/include bench/peers/vec_dot.c build/libwick.a \
 *      -L$GGML -Wl,-rpath,$GGML -lggml-cpu -lggml-base -lm -lpthread ... -o vec_dot
 *   [WICK_CPU=avx2] ./vec_dot [type ...]
 *
 * with what `make -n` links the program with at the dots; LLAMA is a tree of llama.cpp, GGML the
 * folder of its libraries, built for the same instruction set.  Prints for each type the ns for 256
 * numbers of 256 outputs of 4096, on one thread: the least of 60 turns; and how far the results are
 * from each other, of the largest. */
#include <ggml-cpu.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wick/wick.h>

enum { OUTPUTS = 256, K = 4096, TURNS = 60, REPEATS = 8 };

static const struct {
    const char    *name;
    wk_dtype       dtype;
    enum ggml_type type;
} types[] = {
    { "iq2_xxs", WK_IQ2_XXS, GGML_TYPE_IQ2_XXS }, { "iq2_xs", WK_IQ2_XS, GGML_TYPE_IQ2_XS },
    { "iq2_s", WK_IQ2_S, GGML_TYPE_IQ2_S },       { "iq3_xxs", WK_IQ3_XXS, GGML_TYPE_IQ3_XXS },
    { "iq3_s", WK_IQ3_S, GGML_TYPE_IQ3_S },       { "iq1_s", WK_IQ1_S, GGML_TYPE_IQ1_S },
    { "iq1_m", WK_IQ1_M, GGML_TYPE_IQ1_M },       { "tq1_0", WK_TQ1_0, GGML_TYPE_TQ1_0 },
    { "tq2_0", WK_TQ2_0, GGML_TYPE_TQ2_0 },       { "q1_0", WK_Q1_0, GGML_TYPE_Q1_0 },
    { "q2_0", WK_Q2_0, GGML_TYPE_Q2_0 },          { "q4_0", WK_Q4_0, GGML_TYPE_Q4_0 },
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Any bits are blocks of iq1 .. iq3, but for the scale, which is small here. */
static void fill(wk_tensor *w, wk_dtype dtype, size_t block)
{
    uint8_t *b = wk_data(w), *end = b + wk_bytes(w);
    for (uint8_t *p = b; p < end; p++)
        *p = (uint8_t)(rand() >> 8);
    for (; b < end; b += block) {
        b[1] = (uint8_t)(dtype == WK_IQ1_M ? b[1] : 0x20 | (b[1] & 3));
        for (int i = 0; dtype == WK_IQ1_M && i < 4; i++)
            b[49 + 2 * i] = (uint8_t)((b[49 + 2 * i] & 15) | (i < 3 ? 0x50 : 0x20));
    }
}

static void measure(size_t t)
{
    const struct ggml_type_traits_cpu *traits = ggml_get_type_traits_cpu(types[t].type);
    static float                       theirs[OUTPUTS];
    static char                        x_bytes[K * 8];
    size_t                             row = ggml_row_size(types[t].type, K);
    wk_scope                           s = wk_mark();
    wk_tensor *w = wk_empty_of(types[t].dtype, WK_SHAPE(OUTPUTS, K)), *x = wk_randn(1, K);
    if (types[t].name[0] == 'i')
        fill(w, types[t].dtype, row / (K / 256));
    else
        w = wk_cast(wk_randn(OUTPUTS, K), types[t].dtype);
    const char *data = wk_data(w);
    wk_layer    layer = { wk_pack(w), NULL };
    double      best[2] = { 1e30, 1e30 }, off = 0, most = 0;
    if (!wk_ok())
        return;
    for (int turn = 0; turn < TURNS; turn++) {
        double start = now();
        for (int r = 0; r < REPEATS; r++) {
            ggml_get_type_traits_cpu(traits->vec_dot_type)->from_float(wk_data(x), x_bytes, K);
            for (size_t i = 0; i < OUTPUTS; i++)
                traits->vec_dot(K, &theirs[i], 0, data + i * row, 0, x_bytes, 0, 1);
        }
        double   middle = now();
        wk_scope inner = wk_mark();
        for (int r = 0; r < REPEATS; r++)
            wk_linear(x, layer);
        double end = now();
        wk_sweep(inner);
        best[0] = fmin(best[0], middle - start), best[1] = fmin(best[1], end - middle);
    }
    const float *ours = wk_data(wk_linear(x, layer));
    for (int i = 0; i < OUTPUTS; i++)
        off = fmax(off, fabs((double)ours[i] - theirs[i])), most = fmax(most, fabs(theirs[i]));
    double blocks = (double)REPEATS * OUTPUTS * K / 256;
    printf("%-8s ggml %5.1f  wick %5.1f  ratio %.2f   off by %.4f\n", types[t].name,
           best[0] / blocks, best[1] / blocks, best[0] / best[1], off / most);
    wk_sweep(s);
}

int main(int argc, char **argv)
{
    ggml_cpu_init();
    wk_set_threads(1);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted |= !strcmp(argv[i], types[t].name);
        if (wanted)
            measure(t);
    }
    return wk_finish();
}
