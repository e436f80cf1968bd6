// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_amx.c - products of matrices on tiles: the kernels with tiles in plain C against
 * sums in doubles, and the kernels as they ship against those, bit for bit. */
#include "../../src/base/base.h"

#if defined __x86_64__ && defined __linux__

#define ISA avx512
#include "../../src/cpu/isa/matrix.h"
#include "../../src/cpu/x86/amx.h"
#include "test.h"
#include "tile_trap.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <wick/ops.h>

extern const wk_engine emulated_amx_bf16, emulated_amx_x3, emulated_amx_x6;

static uint64_t seed;

static bool can_pack(void)
{
    seed = 0;
    if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw"))
        return true;
    test_skip("the kernels need AVX-512 with bf16");
    return false;
}

/* ---- Operands ----------------------------------------------------------- */

/* [rows, k], wanted as float; stored row after row, column after column, or with gaps. */
typedef enum { ROWS, COLUMNS, GAPS } order;

typedef struct {
    wk_mat mat;
    void  *memory;
    float *f32; /* what is stored, dense */
} operand;

typedef double (*value_fn)(int64_t i, int64_t p);

static double uniform(void) /* -1 .. 1 */
{
    uint32_t w[4];
    wk_philox(7, seed++, w);
    return 2.0 * w[0] / 4294967296.0 - 1;
}

static double plain(int64_t i, int64_t p) { return (void)i, (void)p, uniform(); }

static operand operand_new(int64_t rows, int64_t k, wk_dtype dtype, order o, value_fn value)
{
    const wk_dtype_info *d = &wk_dtypes[dtype];
    int64_t              row = o == ROWS ? k : o == COLUMNS ? 1 : 2 * k + 3;
    int64_t              col = o == ROWS ? 1 : o == COLUMNS ? rows : 2;
    size_t               count = (size_t)((rows - 1) * row + (k - 1) * col + 1);
    operand              x = { .memory = calloc(count, d->size) };
    x.f32 = malloc((size_t)(rows * k) * sizeof(float));
    x.mat = (wk_mat){ x.memory, dtype, row, col };
    for (int64_t i = 0; i < rows; i++)
        for (int64_t p = 0; p < k; p++) {
            float v = (float)value(i, p);
            char *at = (char *)x.memory + (size_t)(i * row + p * col) * d->size;
            d->store[WK_AS_F32](at, &v, 1, 1);
            d->load[WK_AS_F32](&x.f32[i * k + p], at, 1, 1);
        }
    return x;
}

static void operand_free(operand *x) { free(x->memory), free(x->f32); }

/* ---- Products ----------------------------------------------------------- */

/* As gemm.h says that engines are driven, one tile after another. */
static void tile_by_tile(const wk_engine *e, const operand *a, const operand *b, int64_t m,
                         int64_t n, int64_t k, float *c)
{
    int64_t kc = e->kc, kp = (k + e->kr - 1) / e->kr * e->kr;
    int64_t longest = kp < kc ? kp : kc;
    char   *pa = aligned_alloc(64, (size_t)(longest * e->mr * e->a_size));
    char   *pb = aligned_alloc(64, (size_t)(longest * e->nr * e->b_size));
    float  *sum = aligned_alloc(64, (size_t)(e->mr * e->nr) * sizeof(float));
    e->begin();
    for (int64_t i = 0; i < m; i += e->mr)
        for (int64_t j = 0; j < n; j += e->nr) {
            wk_gemm_tile t = { .rows = (int)wk_min_i64(e->mr, m - i),
                               .cols = (int)wk_min_i64(e->nr, n - j),
                               .a = pa,
                               .b = pb,
                               .c = sum,
                               .ldc = e->nr };
            for (int64_t at = 0; at < k; at += kc) {
                wk_mat  xa = wk_mat_at(a->mat, i, at), xb = wk_mat_at(b->mat, j, at);
                int64_t some = wk_min_i64(kc, k - at);
                t.k = wk_min_i64(kc, kp - at);
                t.group = t.k * 32;
                t.add = at > 0;
                e->pack_a(pa, &xa, t.rows, some);
                e->pack_b(pb, &xb, t.cols, some);
                e->kernel(&t);
            }
            for (int r = 0; r < t.rows; r++)
                memcpy(c + (i + r) * n + j, sum + r * e->nr, (size_t)t.cols * sizeof *c);
        }
    e->end();
    free(pa), free(pb), free(sum);
}

typedef struct {
    double worst, rms; /* error over the sum of magnitudes */
    bool   same_kind;  /* infinities and NaN where they should be */
} outcome;

static outcome compare(const operand *a, const operand *b, int64_t m, int64_t n, int64_t k,
                       const float *c)
{
    outcome o = { .same_kind = true };
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0, size = (double)k * 0x1p-126, got = c[i * n + j];
            for (int64_t p = 0; p < k; p++) {
                double x = (double)a->f32[i * k + p] * b->f32[j * k + p];
                sum += x, size += fabs(x);
            }
            if (!isfinite(sum)) {
                o.same_kind &= isnan(sum) ? isnan(got) : got == sum;
                continue;
            }
            double error = fabs(got - sum) / size;
            if (!(error <= o.worst))
                o.worst = error;
            o.rms += error * error;
        }
    o.rms = sqrt(o.rms / (double)(m * n));
    return o;
}

/* The same with sums in f32, in order. */
static void plain_f32(const operand *a, const operand *b, int64_t m, int64_t n, int64_t k, float *c)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum = fmaf(a->f32[i * k + p], b->f32[j * k + p], sum);
            c[i * n + j] = sum;
        }
}

/* ---- Accuracy ----------------------------------------------------------- */

static outcome run(const wk_engine *e, int64_t m, int64_t n, int64_t k, operand a, operand b,
                   outcome *f32)
{
    float *c = malloc((size_t)(m * n) * sizeof *c);
    tile_by_tile(e, &a, &b, m, n, k, c);
    outcome o = compare(&a, &b, m, n, k, c);
    plain_f32(&a, &b, m, n, k, c);
    *f32 = compare(&a, &b, m, n, k, c);
    free(c);
    operand_free(&a), operand_free(&b);
    return o;
}

static const int64_t shapes[][3] = {
    { 1, 1, 1 }, { 16, 16, 32 }, { 32, 32, 64 }, { 33, 17, 31 }, { 15, 50, 257 }, { 70, 33, 600 },
};

/* Any float dtype, however it lies; errors as those of sums in f32 may be. */
TEST(amx_f32_operands)
{
    const bool            ready = can_pack();
    static const wk_dtype dtypes[] = { WK_F32, WK_F16, WK_BF16, WK_F64 };
    for (size_t s = 0; ready && s < WK_COUNT(shapes); s++)
        for (int variant = 0; variant < 12; variant++) {
            int64_t  m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
            wk_dtype da = dtypes[variant % 4], db = dtypes[variant / 3];
            outcome  f32, o;
            o = run(&emulated_amx_x6, m, n, k, operand_new(m, k, da, variant % 3, plain),
                    operand_new(n, k, db, variant % 2, plain), &f32);
            CHECK_MSG(o.worst <= (double)(k + 2) * 0x1p-24, "x6 %lld %lld %lld, %d: %g",
                      (long long)m, (long long)n, (long long)k, variant, o.worst);
            o = run(&emulated_amx_x3, m, n, k, operand_new(m, k, da, variant % 3, plain),
                    operand_new(n, k, WK_BF16, variant % 2, plain), &f32);
            CHECK_MSG(o.worst <= (double)(k + 2) * 0x1p-24, "x3 %lld %lld %lld, %d: %g",
                      (long long)m, (long long)n, (long long)k, variant, o.worst);
        }
}

/* The longer the sum, the more is won over adding in order. */
TEST(amx_f32_long_sums)
{
    const bool           ready = can_pack();
    static const int64_t ks[] = { 64, 256, 1000, 4096, 16384 };
    for (size_t i = 0; ready && i < WK_COUNT(ks); i++) {
        int64_t k = ks[i];
        outcome f32, o;
        o = run(&emulated_amx_x6, 32, 32, k, operand_new(32, k, WK_F32, ROWS, plain),
                operand_new(32, k, WK_F32, ROWS, plain), &f32);
        CHECK_MSG(o.rms <= f32.rms, "x6 k %lld: %g, f32 %g", (long long)k, o.rms, f32.rms);
        o = run(&emulated_amx_x3, 32, 32, k, operand_new(32, k, WK_F32, ROWS, plain),
                operand_new(32, k, WK_BF16, ROWS, plain), &f32);
        CHECK_MSG(o.rms <= f32.rms, "x3 k %lld: %g, f32 %g", (long long)k, o.rms, f32.rms);
    }
}

static double exponents; /* magnitudes from 2^-exponents to 2^exponents, around 2^middle */
static double middle;
static double spread(int64_t i, int64_t p)
{
    (void)i, (void)p;
    double u = uniform();
    return copysign(exp2(middle + exponents * uniform()), u);
}

/* Numbers whose parts, or the products of them, are subnormal or too large for bf16.  Where
 * they spread far, one product is all of a sum, and either way just rounds it: the two errors
 * are then samples of the same one. */
TEST(amx_f32_ranges)
{
    const bool          ready = can_pack();
    static const double cases[][4] = {
        /* A's middle and spread, B's */
        { 0, 20, 0, 20 },     { 0, 60, 0, 60 },      { -60, 5, -60, 5 },  { -120, 5, 100, 5 },
        { 127.9, 0, -12, 3 }, { -126, 3, 0, 5 },     { -140, 5, 120, 5 }, { -75, 3, -70, 3 },
        { 58, 0.4, 59, 0.4 }, { -100, 45, 100, 25 }, { 0, 120, -5, 5 },   { -5, 5, 0, 120 },
    };
    const int64_t m = 33, n = 40, k = 300;
    for (size_t s = 0; ready && s < WK_COUNT(cases); s++) {
        outcome f32;
        middle = cases[s][0], exponents = cases[s][1];
        operand a = operand_new(m, k, WK_F32, s % 2 ? ROWS : COLUMNS, spread);
        middle = cases[s][2], exponents = cases[s][3];
        operand b = operand_new(n, k, WK_F32, s % 2 ? ROWS : COLUMNS, spread);
        outcome o = run(&emulated_amx_x6, m, n, k, a, b, &f32);
        CHECK_MSG(o.same_kind && o.rms <= 1.1 * f32.rms && o.worst <= 0x1p-21,
                  "case %zu: %g %g, f32 %g %g", s, o.rms, o.worst, f32.rms, f32.worst);
    }
}

static double with_specials(int64_t i, int64_t p)
{
    if (i == 3 && p == 40)
        return INFINITY;
    if (i == 20 && p == 7)
        return NAN;
    if (i == 17 && (p == 3 || p == 90))
        return p == 3 ? INFINITY : -INFINITY;
    return p % 5 == 2 ? 0 : (double)(1 + (i + p) % 3); /* exact in bf16: other parts are 0 */
}
static double whole(int64_t i, int64_t p) { return p == 11 ? 0 : (double)((i + p) % 7) - 3.5; }

/* inf x 1 is inf, though 1's other parts are 0; and nobody else's sums are hurt. */
TEST(amx_infinity_and_nan)
{
    const bool       ready = can_pack();
    const wk_engine *engines[] = { &emulated_amx_bf16, &emulated_amx_x3, &emulated_amx_x6 };
    const int64_t    m = 40, n = 35, k = 100;
    for (size_t i = 0; ready && i < 2 * WK_COUNT(engines); i++) {
        outcome f32, o;
        o = run(engines[i / 2], m, n, k,
                operand_new(m, k, i < 2 ? WK_BF16 : WK_F32, ROWS, i % 2 ? whole : with_specials),
                operand_new(n, k, i < 4 ? WK_BF16 : WK_F32, ROWS, i % 2 ? with_specials : whole),
                &f32);
        CHECK_MSG(o.same_kind && o.worst == 0, "%s: %g", engines[i / 2]->name, o.worst);
    }
}

/* ---- bf16 ----------------------------------------------------------------- */

/* Products of bf16 are exact in f32; what is left are sums of f32. */
TEST(amx_bf16)
{
    const bool ready = can_pack();
    for (size_t s = 0; ready && s < WK_COUNT(shapes); s++)
        for (int variant = 0; variant < 4; variant++) {
            int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
            outcome f32, o;
            o = run(&emulated_amx_bf16, m, n, k, operand_new(m, k, WK_BF16, variant % 3, plain),
                    operand_new(n, k, WK_BF16, variant / 2, plain), &f32);
            CHECK_MSG(o.worst <= (double)(k + 1) * 0x1p-24, "%lld %lld %lld, %d: %g", (long long)m,
                      (long long)n, (long long)k, variant, o.worst);
        }
}

/* What is not bf16 is rounded to it: to nearest, ties to even. */
static double ties(int64_t i, int64_t p) { return 1 + (double)((i + p) % 8) / 256; }
static double first(int64_t i, int64_t p) { return i == p; }

TEST(amx_bf16_rounds_to_even)
{
    if (!can_pack())
        return;
    float   c[8 * 8];
    operand a = operand_new(8, 8, WK_F32, ROWS, ties), b = operand_new(8, 8, WK_BF16, ROWS, first);
    tile_by_tile(&emulated_amx_bf16, &a, &b, 8, 8, 8, c);
    static const float want[8] = { 1,
                                   1,
                                   1 + 1 / 128.f,
                                   1 + 2 / 128.f,
                                   1 + 2 / 128.f,
                                   1 + 2 / 128.f,
                                   1 + 3 / 128.f,
                                   1 + 4 / 128.f };
    for (int i = 0; i < 64; i++)
        CHECK_NEAR(c[i], want[(i / 8 + i % 8) % 8], 0);
    operand_free(&a), operand_free(&b);
}

/* ---- The code that ships -------------------------------------------------- */

/* Without tiles in the processor, its instructions are caught and done in C. */
TEST(amx_machine_code)
{
    const bool       ready = can_pack();
    const wk_engine *real[] = { &wk_amx_bf16, &wk_amx_x3, &wk_amx_x6 };
    const wk_engine *same[] = { &emulated_amx_bf16, &emulated_amx_x3, &emulated_amx_x6 };
    bool             trap = !wk_amx_usable();
    for (size_t s = 0; ready && s < 3 * WK_COUNT(shapes); s++) {
        int64_t m = shapes[s / 3][0], n = shapes[s / 3][1], k = shapes[s / 3][2];
        operand a = operand_new(m, k, s % 3 ? WK_F32 : WK_BF16, ROWS, plain);
        operand b = operand_new(n, k, s % 3 < 2 ? WK_BF16 : WK_F32, COLUMNS, plain);
        size_t  bytes = (size_t)(m * n) * sizeof(float);
        float  *c = malloc(bytes), *d = malloc(bytes);
        if (trap)
            trap_begin();
        tile_by_tile(real[s % 3], &a, &b, m, n, k, c);
        CHECK(!trap || (trap_released() && trap_end() > 0));
        tile_by_tile(same[s % 3], &a, &b, m, n, k, d);
        CHECK_MSG(!memcmp(c, d, bytes), "%s %lld %lld %lld", real[s % 3]->name, (long long)m,
                  (long long)n, (long long)k);
        free(c), free(d);
        operand_free(&a), operand_free(&b);
    }
}

/* ---- All the way ---------------------------------------------------------- */

static const wk_cpu_isa emulated = {
    .name = "amx",
    .level = WK_LEVEL_avx512,
    .kernels = WK_ISA(kernels),
    .install_rows = WK_ISA(install_rows),
    .f32 = &emulated_amx_x6,
    .bf16 = &emulated_amx_bf16,
    .gemm = WK_ISA(gemm),
};

/* Operations number 0 .. 8: each kind of product, in each of three pairs of dtypes. */
static wk_tensor *operation(int number, wk_tensor *x, wk_tensor *w, wk_tensor *bias)
{
    x = wk_cast(x, number / 3 < 2 ? WK_F32 : WK_BF16);
    w = wk_cast(w, number / 3 < 1 ? WK_F32 : WK_BF16);
    wk_layer   p = { w, bias };
    wk_tensor *y = number % 3 == 0   ? wk_matmul(x, wk_transpose(w, 0, 1))
                   : number % 3 == 1 ? wk_linear(x, p)
                                     : wk_linear_glu(x, p, p, WK_ACT_SILU);
    return wk_cast(y, WK_F32);
}

/* With tiles and without, and whatever the number of threads. */
static void all_the_way(const wk_cpu_isa *isa, int operations, int64_t m, int64_t n, int64_t k)
{
    wk_cpu_device(); /* makes its choice */
    const wk_cpu_isa *before = wk_cpu_current();
    const int         threads = wk_threads();
    wk_scope          s = wk_mark();
    wk_tensor        *x = wk_randn(m, k), *w = wk_randn(n, k), *bias = wk_randn(n);
    for (int i = 0; i < operations; i++) {
        wk_tensor *y[3];
        for (int t = 0; t < 3; t++) {
            wk_cpu_use(t ? isa : &wk_cpu_avx512);
            wk_set_threads(t == 1 ? 1 : 3);
            y[t] = operation(i, x, w, bias);
        }
        double error = 0, size = 0;
        for (int64_t e = 0; wk_ok() && e < m * n; e++) {
            error += pow(wk_f32(y[1])[e] - wk_f32(y[0])[e], 2);
            size += pow(wk_f32(y[0])[e], 2);
        }
        /* with weights of bf16 x is rounded to it, and the last three results are */
        CHECK_MSG(sqrt(error / size) < (i < 3 ? 1e-6 : 5e-3), "%d: %g", i, sqrt(error / size));
        CHECK_MSG(!memcmp(wk_f32(y[1]), wk_f32(y[2]), (size_t)(m * n) * sizeof(float)),
                  "operation %d depends on the number of threads", i);
    }
    wk_cpu_use(before);
    wk_set_threads(threads);
    wk_sweep(s);
}

TEST(amx_operations)
{
    if (!can_pack())
        return;
    all_the_way(&emulated, 9, 70, 100, 700);
    if (wk_amx_usable()) {
        all_the_way(&wk_cpu_amx, 9, 700, 900, 700);
        return;
    }
    trap_begin();
    all_the_way(&wk_cpu_amx, 9, 70, 100, 300);
    CHECK(trap_end() > 1000 && trap_released());
}

/* ---- Attention ------------------------------------------------------------ */

bool emulated_amx_attention(const wk_call *c);

typedef struct {
    int64_t b, h, g, t, s, d, e;
    bool    causal;
    int64_t window;
    double  scale;
    bool    strided;
} attention_case;

static const attention_case attentions[] = {
    { 1, 1, 1, 32, 32, 32, 32, .causal = false },
    { 2, 2, 2, 33, 70, 64, 64, .causal = true },
    { 1, 4, 2, 50, 50, 64, 32, .causal = true, .strided = true },
    { 1, 2, 1, 40, 1100, 96, 64, .causal = true, .window = 700 },
    { 1, 8, 1, 5, 600, 32, 128, .window = 45, .scale = 0.3 },
    { 1, 2, 2, 90, 40, 32, 32, .causal = true }, /* the first 50 queries see nothing */
    { 1, 1, 1, 45, 45, 256, 256, .causal = true },
};

/* [b, n, t, d]; strided: rows of several heads lie one after another */
static wk_tensor *heads(const attention_case *z, wk_dtype dtype, int64_t n, int64_t t, int64_t d)
{
    wk_tensor *x =
        z->strided ? wk_permute(wk_randn(z->b, t, n, d), 0, 2, 1, 3) : wk_randn(z->b, n, t, d);
    return wk_cast(x, dtype);
}

typedef bool (*compute_fn)(const wk_call *c);

static wk_tensor *attend(const attention_case *z, wk_tensor **in, compute_fn compute)
{
    wk_call c = { .op = &wk_op_attention, .in = in, .count = 5 };
    c.opt.attention.causal = z->causal, c.opt.attention.window = z->window;
    c.opt.attention.scale = z->scale;
    if (!c.op->infer(&c) || !(c.out = wk_pool(wk_tensor_new(wk_cpu_device(), c.dtype, c.shape))))
        return NULL;
    CHECK(compute(&c));
    return c.out;
}

/* Against sums in doubles; the same on any number of threads; tiles as C and as such. */
static void check_attention(const attention_case *z, wk_dtype dtype, bool trap)
{
    wk_scope   s = wk_mark();
    wk_tensor *in[5] = { heads(z, dtype, z->h, z->t, z->d), heads(z, WK_BF16, z->g, z->s, z->d),
                         heads(z, WK_BF16, z->g, z->s, z->e) };
    const int  threads = wk_threads();
    wk_tensor *want = wk_cast(attend(z, in, wk_op_attention.compute), WK_F32), *y[3];
    wk_set_threads(1);
    y[0] = attend(z, in, emulated_amx_attention);
    wk_set_threads(3);
    y[1] = attend(z, in, emulated_amx_attention);
    if (trap)
        trap_begin();
    y[2] = attend(z, in, wk_amx_attention);
    CHECK(!trap || (trap_released() && trap_end() > 0));
    wk_set_threads(threads);
    double error = 0, size = 0, worst = 0;
    for (int64_t i = 0; wk_ok() && i < wk_count(want); i++) {
        double e = fabs(wk_f32(wk_cast(y[0], WK_F32))[i] - wk_f32(want)[i]);
        error += e * e, size += pow(wk_f32(want)[i], 2);
        worst = e > worst ? e : worst;
    }
    error = sqrt(error / size);
    CHECK_MSG(dtype == WK_F32 ? error < 5e-7 && worst < 3e-6 : error < 4e-3 && worst < 2e-2,
              "%lld x %lld, %s: %g, at most %g", (long long)z->t, (long long)z->s,
              wk_dtype_name(dtype), error, worst);
    size_t bytes = (size_t)wk_count(want) * wk_dtype_size(dtype);
    CHECK(wk_ok() && !memcmp(wk_at_host(y[0]), wk_at_host(y[1]), bytes));
    CHECK(wk_ok() && !memcmp(wk_at_host(y[0]), wk_at_host(y[2]), bytes));
    wk_sweep(s);
}

TEST(amx_attention)
{
    const bool ready = can_pack();
    for (size_t i = 0; ready && i < WK_COUNT(attentions); i++)
        for (int f32 = 0; f32 < 2; f32++)
            check_attention(&attentions[i], f32 ? WK_F32 : WK_BF16, !wk_amx_usable());
}

#endif
