// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_gemm.c - products of matrices in every instruction set and with every engine,
 * against sums in double precision.
 *
 * The numbers are such that bf16 and f16 hold them exactly: so that all engines owe the
 * accuracy of f32 sums, and only the rounding of results differs. */
#include "../../src/cpu/cpu.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <wick/wick.h>

enum { MOST_ISAS = 8 };

static uint64_t state;

static int64_t below(int64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

static double number(void) { return (double)(below(255) - 127) / 64; }

/* ---- Matrices for the driver -------------------------------------------- */

static wk_mat make(int64_t rows, int64_t cols, wk_dtype dtype, int layout)
{
    static const int gap[] = { 0, 0, 3 };
    wk_mat           x = { .dtype = dtype };
    size_t           size = wk_dtypes[dtype].size;
    bool             transposed = layout == 1;
    int64_t          step = layout == 2 ? 2 : 1;
    x.row = transposed ? 1 : cols * step + gap[layout];
    x.col = transposed ? rows : step;
    int64_t n = rows * x.row + cols * x.col + 8;
    char   *data = calloc((size_t)n, size);
    for (int64_t i = 0; i < n; i++) {
        double v = number();
        wk_dtypes[dtype].store[WK_AS_F64](data + (size_t)i * size, &v, 1, 1);
    }
    x.data = data;
    return x;
}

static double element(const wk_mat *x, int64_t i, int64_t p)
{
    double v;
    wk_dtypes[x->dtype].load[WK_AS_F64](&v, wk_mat_at(*x, i, p).data, 1, 1);
    return v;
}

static double act_of(wk_act act, double x)
{
    switch (act) {
    case WK_ACT_NONE:
        return x;
    case WK_ACT_SILU:
        return x / (1 + exp(-x));
    case WK_ACT_GELU:
        return x * 0.5 * erfc(-x * 0.7071067811865476);
    case WK_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case WK_ACT_RELU:
        return x > 0 ? x : 0;
    }
    return NAN;
}

/* One element of the product, and how far off an f32 computation may be. */
static double expected(const wk_gemm *g, int64_t i, int64_t j, double *bound)
{
    double y[2] = { 0, 0 }, size[2] = { 0, 0 };
    int    sides = g->b[1].data ? 2 : 1;
    for (int s = 0; s < sides; s++) {
        for (int64_t p = 0; p < g->k; p++) {
            double t = element(&g->a, i, p) * element(&g->b[s], j, p);
            y[s] += t;
            size[s] += fabs(t);
        }
        if (g->bias[s])
            y[s] += g->bias[s][j], size[s] += fabs((double)g->bias[s][j]);
    }
    double unit = ldexp(1, -24), error = 2 * sqrt((double)g->k) + 4;
    if (sides == 2) { /* no activation is steeper than 1.13 */
        double x = act_of(g->act, y[0]);
        size[0] = 1.2 * size[0] * fabs(y[1]) + size[1] * fabs(x) + 4 * fabs(x * y[1]);
        y[0] = x * y[1];
    }
    if (g->add.data)
        y[0] += element(&g->add, i, j), size[0] += fabs(element(&g->add, i, j));
    *bound = error * unit * (size[0] + 1e-30);
    *bound += g->out.dtype == WK_BF16 ? ldexp(fabs(y[0]), -8) : 0;
    *bound += g->out.dtype == WK_F16 ? ldexp(fabs(y[0]), -11) + 3e-8 : 0;
    return y[0];
}

static bool right(const wk_gemm *g, const char *isa, const char *what)
{
    int64_t all = g->m * g->n, some = 1000000 / g->k + 1, n = wk_min_i64(all, some);
    for (int64_t t = 0; t < n; t++) { /* every element, or some of many */
        int64_t at = n < all ? below(all) : t, i = at / g->n, j = at % g->n;
        double  bound, y = expected(g, i, j, &bound), z = element(&g->out, i, j);
        if (!(fabs(z - y) <= bound))
            return CHECK_MSG(false, "%s, %s, engine %s: %dx%dx%d at %d, %d: %.9g instead of %.9g",
                             isa, what, g->engine->name, (int)g->m, (int)g->n, (int)g->k, (int)i,
                             (int)j, z, y);
    }
    return true;
}

static void discard(const wk_mat *x) { free((void *)x->data); }

typedef struct {
    wk_dtype a, b, add, out;
    int      layout_a, layout_b;
    int      sides;
    bool     bias;
    wk_act   act;
} variety;

static bool try_gemm(const wk_cpu_isa *isa, const wk_engine *e, int64_t m, int64_t n, int64_t k,
                     const variety *v)
{
    wk_gemm g = { .engine = e, .m = m, .n = n, .k = k, .act = v->act };
    wk_mat  outs[3];
    float  *bias[2] = { NULL, NULL };
    g.a = make(m, k, v->a, v->layout_a);
    for (int s = 0; s < v->sides; s++) {
        g.b[s] = make(n, k, v->b, v->layout_b);
        if (v->bias)
            g.bias[s] = bias[s] = (float *)(uintptr_t)make(1, n, WK_F32, 0).data;
    }
    if (v->add)
        g.add = make(m, n, v->add, 0);
    size_t bytes = (size_t)(m * n) * wk_dtypes[v->out].size;
    for (int t = 0; t < 3; t++) {
        g.out = outs[t] = make(m, n, v->out, 0);
        isa->gemm(&g, t + 1);
    }
    bool good = right(&g, isa->name, "gemm");
    good &= CHECK_MSG(!memcmp(outs[0].data, outs[1].data, bytes) &&
                          !memcmp(outs[0].data, outs[2].data, bytes),
                      "%s, engine %s: %dx%dx%d depends on the number of threads", isa->name,
                      e->name, (int)m, (int)n, (int)k);
    discard(&g.a), discard(&g.add);
    for (int s = 0; s < 2; s++)
        discard(&g.b[s]), free(bias[s]);
    for (int t = 0; t < 3; t++)
        discard(&outs[t]);
    return good;
}

/* fn for every engine of every instruction set that is here. */
static void each_engine(bool (*fn)(const wk_cpu_isa *isa, const wk_engine *e))
{
    wk_cpu_device(); /* makes its choice of an instruction set */
    const wk_cpu_isa *isas[MOST_ISAS], *before = wk_cpu_current();
    int               n = wk_cpu_list(isas, MOST_ISAS), threads = wk_threads();
    wk_set_threads(3);
    for (int i = 0; i < n; i++) {
        wk_cpu_use(isas[i]);
        if (fn(isas[i], isas[i]->f32) && isas[i]->bf16)
            fn(isas[i], isas[i]->bf16);
    }
    wk_cpu_use(before);
    wk_set_threads(threads);
}

static bool all_sizes(const wk_cpu_isa *isa, const wk_engine *e)
{
    static const variety plain = { WK_F32, WK_F32, WK_DEFAULT, WK_F32, 0, 0, 1, false, 0 };
    for (int64_t m = 1; m <= 70; m += m < 34 ? 1 : 7)
        for (int64_t n = 1; n <= 70; n += 1 + below(9))
            if (!try_gemm(isa, e, m, n, 1 + below(70), &plain))
                return false;
    return true;
}

TEST(every_size) { each_engine(all_sizes); }

static bool all_varieties(const wk_cpu_isa *isa, const wk_engine *e)
{
    static const wk_dtype in[] = { WK_F32, WK_BF16, WK_F16, WK_F64 };
    static const wk_dtype out[] = { WK_F32, WK_BF16, WK_F16 };
    for (int i = 0; i < 200; i++) {
        variety v = { .a = in[below(4)],
                      .b = in[below(4)],
                      .add = below(2) ? out[below(3)] : WK_DEFAULT,
                      .out = out[below(3)],
                      .layout_a = (int)below(3),
                      .layout_b = (int)below(3),
                      .sides = 1 + (int)below(2),
                      .bias = below(2),
                      .act = (wk_act)below(5) };
        if (!try_gemm(isa, e, 1 + below(50), 1 + below(80), 1 + below(100), &v))
            return false;
    }
    return true;
}

TEST(every_variety) { each_engine(all_varieties); }

/* Around the borders of blocks. */
static bool all_blocks(const wk_cpu_isa *isa, const wk_engine *e)
{
    static const variety plain = { WK_F32, WK_F32, WK_DEFAULT, WK_F32, 0, 1, 1, false, 0 };
    static const variety rich = { WK_F32, WK_BF16, WK_BF16, WK_BF16, 1, 0, 2, true, WK_ACT_SILU };
    for (int i = -1; i <= 1; i++) {
        if (!try_gemm(isa, e, e->mr + i, e->nr - i, e->kc + i, &plain) ||
            !try_gemm(isa, e, 2 * e->mr + i, 2 * e->nr + i, 2 * e->kc + i, &rich) ||
            !try_gemm(isa, e, e->mc + i, e->nc + i, 40, &plain))
            return false;
        if (e->late > 0 && i >= 0 && /* the last rows for which B is packed late, and one more */
            (!try_gemm(isa, e, e->late + i, 3 * e->nr + 5, e->kc + 70, &plain) ||
             !try_gemm(isa, e, e->late + i, e->nc + 1, e->kc + 70, &rich)))
            return false;
    }
    return try_gemm(isa, e, 3, 5, 40000, &plain) && try_gemm(isa, e, 40, 300, 9000, &plain);
}

TEST(every_block) { each_engine(all_blocks); }

/* ---- Operations --------------------------------------------------------- */

/* Values that bf16 and f16 hold exactly. */
static wk_tensor *values(wk_dtype dtype, wk_shape shape)
{
    wk_tensor *x = wk_empty_of(WK_F32, shape);
    float     *p = wk_data(x);
    for (int64_t i = 0; i < wk_count(x); i++)
        p[i] = (float)number();
    return wk_cast(x, dtype);
}

/* How far x may be from exact, with sums of k products that are at most 4 each. */
static void check_close(wk_tensor *x, wk_tensor *exact, int64_t k, const char *what)
{
    int64_t n = wk_count(x);
    double *a = malloc((size_t)n * sizeof *a), *b = malloc((size_t)n * sizeof *b);
    double  half = wk_dtype_of(x) == WK_BF16  ? ldexp(1, -8)
                   : wk_dtype_of(x) == WK_F16 ? ldexp(1, -11)
                                              : ldexp(1, -24);
    if (CHECK(a && b && wk_read(x, WK_F64, a) && wk_read(exact, WK_F64, b)))
        for (int64_t i = 0; i < n; i++) {
            double bound = half * fabs(b[i]) + ldexp(4 * sqrt((double)k) + 16, -22);
            if (!CHECK_MSG(fabs(a[i] - b[i]) <= bound, "%s, %s: %.9g instead of %.9g at %d",
                           wk_cpu_current()->name, what, a[i], b[i], (int)i))
                break;
        }
    free(a), free(b);
}

static wk_tensor *f64(wk_tensor *x) { return x ? wk_cast(x, WK_F64) : NULL; }

static bool try_linear(const wk_cpu_isa *isa, const wk_engine *e)
{
    static const wk_dtype dtypes[] = { WK_F32, WK_BF16, WK_F16 };
    (void)isa, (void)e;
    for (int i = 0; i < 150 && wk_ok(); i++) {
        wk_scope   s = wk_mark();
        int64_t    rows = 1 + below(i % 5 ? 10 : 60), in = 1 + below(150), out = 1 + below(150);
        wk_dtype   dx = dtypes[below(3)], dw = dtypes[below(3)], db = dtypes[below(3)];
        wk_tensor *x = values(dx, WK_SHAPE(rows, in)), *w = values(dw, WK_SHAPE(out, in));
        wk_tensor *u = values(dw, WK_SHAPE(out, in)), *y = values(dx, WK_SHAPE(rows, out));
        wk_tensor *b = below(2) ? values(db, WK_SHAPE(out)) : NULL;
        wk_layer   p = { w, b }, q = { u, b }, p64 = { f64(w), f64(b) }, q64 = { f64(u), f64(b) };
        wk_tensor *once = wk_linear(x, p);
        check_close(once, wk_linear(f64(x), p64), in, "linear");
        check_close(wk_linear_add(x, p, y), wk_linear_add(f64(x), p64, f64(y)), in, "linear_add");
        wk_set_threads(1);
        wk_tensor *alone = wk_linear(x, p);
        CHECK(!memcmp(wk_data(once), wk_data(alone), (size_t)wk_count(once) * wk_dtype_size(dx)));
        wk_set_threads(3);
        wk_layer packed = { wk_pack(w), b }, packed2 = { wk_pack(u), b };
        check_close(wk_linear(x, packed), wk_linear(f64(x), p64), in, "linear, packed");
        if (dx == WK_F32)
            check_close(wk_linear_glu(x, packed, packed2, WK_ACT_RELU),
                        wk_linear_glu(f64(x), p64, q64, WK_ACT_RELU), in * in * 4, "glu, packed");
        if (dx == WK_F32) /* the sizes of products of sums are another matter */
            check_close(wk_linear_glu(x, p, q, WK_ACT_RELU),
                        wk_linear_glu(f64(x), p64, q64, WK_ACT_RELU), in * in * 4, "linear_glu");
        wk_sweep(s);
    }
    return wk_ok();
}

TEST(linear_of_few_and_many_rows) { each_engine(try_linear); }

/* Packed by the best instruction set, multiplied by another one. */
static wk_tensor *loose, *packed;

static bool try_packed(const wk_cpu_isa *isa, const wk_engine *e)
{
    (void)e;
    for (int64_t rows = 1; rows <= 40; rows += 3) {
        wk_scope   s = wk_mark();
        wk_tensor *x = values(WK_F32, WK_SHAPE(rows, wk_dim(loose, 1)));
        wk_tensor *y = wk_linear(f64(x), (wk_layer){ f64(loose), NULL });
        check_close(wk_linear(x, (wk_layer){ packed, NULL }), y, wk_dim(loose, 1), isa->name);
        wk_sweep(s);
    }
    return wk_ok();
}

TEST(packed_weights)
{
    static const int64_t shapes[][2] = { { 1, 1 },   { 16, 32 }, { 17, 33 },
                                         { 50, 31 }, { 64, 64 }, { 333, 129 } };
    for (size_t i = 0; i < WK_COUNT(shapes); i++) {
        wk_scope s = wk_mark();
        loose = values(WK_BF16, WK_SHAPE(shapes[i][0], shapes[i][1]));
        packed = wk_pack(loose);
        wk_tensor *back = packed ? wk_copy(packed) : NULL, *picked = wk_narrow(packed, 0, 0, 1);
        if (CHECK(back && picked)) {
            size_t bytes = (size_t)wk_count(loose) * 2;
            CHECK(!memcmp(wk_data(back), wk_data(loose), bytes));
            CHECK(!memcmp(wk_data(picked), wk_data(loose), (size_t)wk_dim(loose, 1) * 2));
            CHECK(wk_pack(packed) == packed);
            each_engine(try_packed);
        }
        wk_sweep(s);
    }
}

static bool try_matmul(const wk_cpu_isa *isa, const wk_engine *e)
{
    static const wk_dtype dtypes[] = { WK_F32, WK_BF16, WK_F16 };
    (void)isa, (void)e;
    for (int i = 0; i < 150 && wk_ok(); i++) {
        wk_scope   s = wk_mark();
        int64_t    m = 1 + below(40), n = 1 + below(90), k = 1 + below(90), batch = 1 + below(4);
        wk_dtype   da = dtypes[below(3)], db = dtypes[below(3)];
        bool       ta = below(2), tb = below(2);
        wk_tensor *a = values(da, ta ? WK_SHAPE(batch, k, m) : WK_SHAPE(batch, m, k));
        wk_tensor *b = values(db, tb ? WK_SHAPE(n, k) : WK_SHAPE(k, n));
        if (below(2))
            b = values(db, tb ? WK_SHAPE(batch, n, k) : WK_SHAPE(batch, k, n));
        else if (below(2))
            b = wk_reshape(b, 1, tb ? n : k, tb ? k : n);
        a = ta ? wk_transpose(a, -1, -2) : a;
        b = tb ? wk_transpose(b, -1, -2) : b;
        if (below(3) == 0 && m > 2)
            a = wk_slice(a, 1, 0, m, 2);
        wk_tensor *y = wk_matmul(a, b);
        check_close(y, wk_matmul(f64(a), f64(b)), k, "matmul");
        wk_set_threads(1);
        wk_tensor *alone = wk_matmul(a, b);
        size_t     bytes = (size_t)wk_count(y) * wk_dtype_size(wk_dtype_of(y));
        CHECK(!memcmp(wk_data(y), wk_data(alone), bytes));
        wk_set_threads(3);
        wk_sweep(s);
    }
    return wk_ok();
}

TEST(matmul_of_views_and_batches) { each_engine(try_matmul); }

/* Large enough for threads, and for several pieces on the road without packing. */
static bool try_direct(const wk_cpu_isa *isa, const wk_engine *e)
{
    static const int64_t size[][3] = { { 130, 100, 200 }, { 70, 300, 257 }, { 257, 33, 300 } };
    (void)isa, (void)e;
    for (int i = 0; i < 3; i++) {
        wk_scope   s = wk_mark();
        int64_t    m = size[i][0], n = size[i][1], k = size[i][2];
        wk_tensor *a = values(WK_F32, WK_SHAPE(m, k)), *b = values(WK_F32, WK_SHAPE(k, n));
        wk_tensor *w = values(WK_F32, WK_SHAPE(n, k)), *bias = values(WK_F32, WK_SHAPE(n));
        check_close(wk_matmul(a, b), wk_matmul(f64(a), f64(b)), k, "matmul");
        check_close(wk_linear(a, (wk_layer){ w, bias }),
                    wk_linear(f64(a), (wk_layer){ f64(w), f64(bias) }), k, "linear");
        wk_sweep(s);
    }
    return wk_ok();
}

TEST(products_without_packing) { each_engine(try_direct); }
