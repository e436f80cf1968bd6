// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_quants.c - layers with quantized weights as wk_pack() leaves them, in every
 * instruction set, against sums in double precision of the numbers in the file.
 *
 * x is rounded to bytes, with a scale for each 32 of a row: the bound is what that may
 * change, half a step for each number. */
#include "../../src/core/quant.h"
#include "../../src/cpu/cpu.h"
#include "../../src/cpu/quants.h"
#include "portable.h"
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <wick/wick.h>

enum { MOST_ISAS = 8, UNIT = 32 };

/* Those before ROWS are packed, the others stay as they are. */
static const wk_dtype types[] = { WK_Q4_0,  WK_Q8_0,  WK_Q4_K,    WK_Q6_K,   WK_Q5_K,   WK_Q5_0,
                                  WK_Q4_1,  WK_Q5_1,  WK_Q2_K,    WK_Q3_K,   WK_IQ4_NL, WK_IQ4_XS,
                                  WK_MXFP4, WK_NVFP4, WK_NF4,     WK_TQ2_0,  WK_Q2_0,   WK_Q1_0,
                                  WK_Q8_1,  WK_Q8_K,  WK_IQ2_XXS, WK_IQ2_XS, WK_IQ2_S,  WK_IQ3_XXS,
                                  WK_IQ3_S, WK_IQ1_S, WK_IQ1_M,   WK_TQ1_0 };
enum { ROWS = 20 };

static uint64_t state;

static int64_t below(int64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

#ifdef __x86_64__
extern const wk_cpu_isa emulated_avxvnni; /* see avxvnni.c */
#endif

static int list(const wk_cpu_isa **isas)
{
    int n = wk_cpu_list(isas, MOST_ISAS - 1);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && !wk_cpu_quant_kernels_avx2.bias)
        isas[n++] = &emulated_avxvnni;
#endif
    return n;
}

/* fn for every instruction set that is here, on 1 or more threads. */
static void everywhere(void (*fn)(const char *isa))
{
    wk_cpu_device(); /* makes its choice of an instruction set */
    const wk_cpu_isa *isas[MOST_ISAS], *before = wk_cpu_current();
    int               n = list(isas), threads = wk_threads();
    for (int i = 0; i < n && wk_ok(); i++) {
        wk_cpu_use(isas[i]);
        wk_set_threads(1 + i % 3);
        fn(isas[i]->name);
    }
    wk_cpu_use(before);
    wk_set_threads(threads);
}

typedef struct {
    double value, bound;
} result;

/* One result: row x with row w, k numbers each. */
static result dot(const double *x, const double *w, int64_t k)
{
    result r = { 0, 0 };
    for (int64_t p = 0; p < k; p += UNIT) {
        double most = 0, sum = 0;
        for (int64_t i = p; i < p + UNIT; i++) {
            r.value += x[i] * w[i];
            r.bound += fabs(x[i] * w[i]) * 1e-5;
            most = fmax(most, fabs(x[i]));
            sum += fabs(w[i]);
        }
        r.bound += most / 127 * 0.5001 * sum;
    }
    return r;
}

/* y = x w^T + b + a, within what rounding x may change; the mean error is far below it. */
static void check_product(wk_tensor *y, wk_tensor *x, wk_tensor *w, wk_tensor *b, wk_tensor *a,
                          const char *what)
{
    int64_t n = wk_dim(w, 0), k = wk_dim(w, 1), m = wk_count(y) / n;
    double *dy = doubles(y), *dx = doubles(x), *dw = doubles(w), *db = doubles(b), *da = doubles(a);
    double  error = 0, size = 0;
    double  half = wk_dtype_of(y) == WK_BF16 ? ldexp(1, -8) : wk_dtype_of(y) == WK_F16 ? 5e-4 : 0;
    bool    good = CHECK(dy && dx && dw);
    for (int64_t i = 0; good && i < m; i++)
        for (int64_t j = 0; good && j < n; j++) {
            result r = dot(dx + i * k, dw + j * k, k);
            double plus = (db ? db[j] : 0) + (da ? da[i * n + j] : 0);
            double off = dy[i * n + j] - r.value - plus;
            error += off * off, size += r.value * r.value;
            r.bound += half * fabs(r.value + plus) + 1e-5 * fabs(plus) + 1e-30;
            good = CHECK_MSG(
                fabs(off) <= r.bound, "%s, %s [%d, %d] x %s: %g instead of %g (+- %g) at %d, %d",
                wk_cpu_current()->name, what, (int)m, (int)k, wk_dtype_name(wk_dtype_of(w)),
                dy[i * n + j], r.value + plus, r.bound, (int)i, (int)j);
        }
    if (good && half == 0 && m * n > 100)
        CHECK_MSG(sqrt(error / size) < 8e-3, "%s, %s x %s: relative error %g",
                  wk_cpu_current()->name, what, wk_dtype_name(wk_dtype_of(w)), sqrt(error / size));
    free(dy), free(dx), free(dw), free(db), free(da);
}

/* Any bits are blocks of IQ1, IQ2 and IQ3, but for the scale: between 2^-7 and 2^-6. */
static wk_tensor *weight_of(wk_dtype dtype, int64_t n, int64_t k)
{
    const wk_quant *t = &wk_quants[dtype - WK_Q4_0];
    if (!t->grid)
        return wk_cast(wk_randn(n, k), dtype);
    wk_tensor *w = wk_empty_of(dtype, WK_SHAPE(n, k));
    uint8_t   *b = w ? wk_data(w) : NULL, *end = w ? b + wk_bytes(w) : NULL;
    for (int64_t i = 0; b && i < end - b; i++)
        b[i] = (uint8_t)below(256);
    for (; b < end; b += t->bytes) {
        b[1] = (uint8_t)(dtype == WK_IQ1_M ? b[1] : 0x20 | (b[1] & 3));
        for (int i = 0; dtype == WK_IQ1_M && i < 4; i++)
            b[49 + 2 * i] = (uint8_t)((b[49 + 2 * i] & 15) | (i < 3 ? 0x50 : 0x20));
    }
    return w;
}

/* ---- Packing ------------------------------------------------------------ */

TEST(packed_blocks_come_back)
{
    for (size_t i = 0; i < ROWS; i++)
        for (int t = 0; t < 6; t++) {
            wk_scope   s = wk_mark();
            int64_t    block = wk_max_i64(wk_dtype_block(types[i]), UNIT);
            wk_tensor *w = weight_of(types[i], 1 + below(50), block * (1 + below(20)));
            wk_tensor *packed = wk_pack(w), *back = wk_copy(packed);
            if (CHECK(packed && packed != w && back)) {
                CHECK(!memcmp(wk_data(back), wk_data(w), wk_bytes(w)));
                CHECK(wk_pack(packed) == packed);
            }
            int64_t    ids[3] = { 0, below(wk_dim(w, 0)), wk_dim(w, 0) - 1 };
            wk_tensor *rows = wk_from(WK_I64, WK_SHAPE(3), ids);
            wk_tensor *a = wk_embedding(rows, w), *b = wk_embedding(rows, packed);
            if (CHECK(a && b))
                CHECK(!memcmp(wk_data(a), wk_data(b), wk_bytes(a)));
            ids[1] = wk_dim(w, 0);
            CHECK(!wk_embedding(wk_from(WK_I64, WK_SHAPE(3), ids), packed));
            CHECK_ERROR("is not between 0 and");
            wk_sweep(s);
        }
}

/* ---- Products ----------------------------------------------------------- */

static void many_sizes(const char *isa)
{
    (void)isa;
    for (size_t i = 0; i < WK_COUNT(types) && wk_ok(); i++)
        for (int64_t m = 1; m <= 24; m += m < 18 ? test_stride(5) : 3) {
            wk_scope   s = wk_mark();
            int64_t    block = wk_max_i64(wk_dtype_block(types[i]), UNIT);
            int64_t    n = 1 + below(100), k = block * (1 + below(block < 256 ? 20 : 3));
            wk_tensor *w = weight_of(types[i], n, k), *x = wk_randn(m, k);
            check_product(wk_linear(x, (wk_layer){ wk_pack(w), NULL }), x, w, NULL, NULL, "linear");
            wk_sweep(s);
        }
}

TEST(quantized_layers_of_every_size) { everywhere(many_sizes); }

/* Dtypes of x, bias and addend; x dense or not. */
static void varieties(const char *isa)
{
    static const wk_dtype floats[] = { WK_F32, WK_BF16, WK_F16 };
    (void)isa;
    for (int t = 0; t < 60 / test_stride(4) && wk_ok(); t++) {
        wk_scope   s = wk_mark();
        wk_dtype   dtype = types[below(WK_COUNT(types))], dx = floats[below(3)];
        int64_t    m = 1 + below(t % 4 ? 10 : 300), n = 1 + below(90), k = 256 * (1 + below(3));
        wk_tensor *w = weight_of(dtype, n, k), *x = wk_cast(wk_randn(m, k), dx);
        wk_tensor *b = below(2) ? wk_cast(wk_randn(n), floats[below(3)]) : NULL;
        wk_tensor *a = below(2) ? wk_cast(wk_randn(m, n), dx) : NULL;
        if (below(2))
            x = wk_transpose(wk_copy(wk_transpose(x, 0, 1)), 0, 1);
        if (below(2))
            x = wk_unsqueeze(x, 0), a = a ? wk_unsqueeze(a, 0) : NULL;
        wk_layer   p = { wk_pack(w), b };
        wk_tensor *y = a ? wk_linear_add(x, p, a) : wk_linear(x, p);
        check_product(y, x, w, b, a, "linear_add");
        wk_sweep(s);
    }
}

TEST(quantized_layers_of_every_variety) { everywhere(varieties); }

static void units(const char *isa)
{
    for (int t = 0; t < 30 && wk_ok(); t++) {
        wk_scope   s = wk_mark();
        wk_dtype   dtype = types[below(WK_COUNT(types))];
        int64_t    m = 1 + below(t % 4 ? 10 : 100), n = 1 + below(90), k = 256 * (1 + below(2));
        wk_tensor *g = wk_pack(weight_of(dtype, n, k)), *u = wk_pack(weight_of(dtype, n, k));
        wk_tensor *x = wk_randn(m, k), *b = wk_randn(n);
        wk_layer   gate = { g, b }, up = { u, NULL };
        wk_tensor *y = wk_linear_glu(x, gate, up, WK_ACT_SILU);
        wk_tensor *z = wk_glu(wk_linear(x, gate), wk_linear(x, up), WK_ACT_SILU);
        wk_tensor *off = wk_max(wk_abs(wk_sub(y, z))), *most = wk_max(wk_abs(z));
        if (CHECK(off && most))
            CHECK_MSG(wk_item(off) <= 1e-5 * wk_item(most),
                      "%s: linear_glu of %s is off by %g of %g", isa, wk_dtype_name(dtype),
                      wk_item(off), wk_item(most));
        wk_sweep(s);
    }
}

TEST(quantized_gated_units) { everywhere(units); }

/* Several weights with one x, of any types: bit for bit what they are one by one. */
static void several(const char *isa)
{
    for (int t = 0; t < 40 && wk_ok(); t++) {
        wk_scope   s = wk_mark();
        wk_layer   layers[3];
        wk_tensor *alone[3];
        int64_t    m = 1 + below(t % 4 ? 10 : 100), k = 256 * (1 + below(2));
        wk_tensor *x = wk_randn(m, k);
        for (int i = 0; i < 3; i++) {
            wk_dtype   dtype = below(8) ? types[below(WK_COUNT(types))] : WK_BF16;
            int64_t    n = 1 + below(90);
            wk_tensor *w =
                wk_dtype_block(dtype) > 1 ? weight_of(dtype, n, k) : wk_cast(wk_randn(n, k), dtype);
            layers[i] = (wk_layer){ below(8) ? wk_pack(w) : w, below(2) ? wk_randn(n) : NULL };
            alone[i] = wk_linear(x, layers[i]);
        }
        wk_tensor *y = wk_linear_cat(x, layers, 3), *z = wk_cat_of(-1, alone, 3);
        if (CHECK(y && z))
            CHECK_MSG(!memcmp(wk_data(y), wk_data(z), wk_bytes(z)), "%s: linear_cat %d", isa, t);
        wk_sweep(s);
    }
}

TEST(quantized_layers_side_by_side) { everywhere(several); }

/* A row with a NaN or an infinity is NaN, or infinite where weights are read as f32; the others
 * are what they are without it. */
static void unusual(const char *isa)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY };
    for (int t = 0; t < 12 && wk_ok(); t++) {
        wk_scope   s = wk_mark();
        int64_t    m = t < 3 ? 1 : 1 + below(20), n = 20, k = 256, bad = below(m);
        wk_layer   p = { wk_pack(weight_of(types[below(WK_COUNT(types))], n, k)), NULL };
        wk_tensor *x = wk_randn(m, k), *y = wk_linear(x, p), *z = wk_copy(x);
        ((float *)wk_data(z))[bad * k + below(k)] = odd[t % 3];
        z = wk_linear(z, p);
        if (CHECK(y && z))
            for (int64_t i = 0; i < m * n; i++) {
                float u = ((float *)wk_data(y))[i], v = ((float *)wk_data(z))[i];
                if (!CHECK_MSG(i / n == bad ? !isfinite(v) : u == v, "%s: %g at row %d", isa,
                               (double)v, (int)(i / n)))
                    break;
            }
        wk_tensor *none = wk_linear(wk_zeros(m, k), p);
        if (CHECK(none))
            for (int64_t i = 0; i < m * n; i++)
                CHECK(((float *)wk_data(none))[i] == 0);
        wk_sweep(s);
    }
}

TEST(quantized_layers_of_unusual_numbers) { everywhere(unusual); }

/* Of up to 8 rows each has the bits that it has alone. */
static void alone(const char *isa)
{
    for (size_t i = 0; i < WK_COUNT(types) && wk_ok(); i++) {
        wk_scope   s = wk_mark();
        int64_t    m = 2 + below(7), n = 1 + below(40), k = 512;
        wk_layer   p = { wk_pack(weight_of(types[i], n, k)), NULL };
        wk_tensor *x = wk_randn(m, k), *y = wk_linear(x, p);
        for (int64_t r = 0; r < m; r++) {
            wk_tensor *one = wk_linear(wk_narrow(x, 0, r, 1), p);
            if (!CHECK(one && y) ||
                !CHECK_MSG(!memcmp(wk_data(one), (float *)wk_data(y) + r * n, wk_bytes(one)),
                           "%s: row %d of %d differs with %s", isa, (int)r, (int)m,
                           wk_dtype_name(types[i])))
                break;
        }
        wk_sweep(s);
    }
}

TEST(quantized_rows_are_the_same_alone) { everywhere(alone); }

/* Instruction sets that differ in their products of bytes alone have the same bits: NEON, dotprod
 * and i8mm; AVX2 and VNNI in AVX2. */
TEST(quantized_layers_are_the_same_in_vectors_of_one_width)
{
    wk_cpu_device();
    const wk_cpu_isa *isas[MOST_ISAS], *before = wk_cpu_current();
    int               n = list(isas);
    for (size_t i = 0; i < WK_COUNT(types) && wk_ok(); i++)
        for (int64_t m = 1; m < 40; m += 1 + below(8)) {
            wk_scope   s = wk_mark();
            wk_layer   p = { wk_pack(weight_of(types[i], 1 + below(90), 256 * (1 + below(3)))),
                             NULL };
            wk_tensor *x = wk_randn(m, p.weight ? wk_dim(p.weight, 1) : 1), *y[MOST_ISAS];
            for (int k = 0, first; k < n; k++) {
                for (first = 0; isas[first]->level != isas[k]->level; first++)
                    ;
                if (!isas[k]->quant || isas[k]->level == WK_LEVEL_avx512)
                    continue;
                wk_cpu_use(isas[k]);
                y[k] = wk_linear(x, p);
                if (CHECK(y[first] && y[k]))
                    CHECK_MSG(!memcmp(wk_data(y[first]), wk_data(y[k]), wk_bytes(y[k])),
                              "%s differs from %s: %d rows with %s", isas[k]->name,
                              isas[first]->name, (int)m, wk_dtype_name(types[i]));
            }
            wk_cpu_use(before);
            wk_sweep(s);
        }
}

TEST(quantized_layers_on_any_number_of_threads)
{
    int threads = wk_threads();
    for (int t = 0; t < 20; t++) {
        wk_scope   s = wk_mark();
        wk_layer   p = { wk_pack(weight_of(types[below(WK_COUNT(types))], 1 + below(300), 512)),
                         NULL };
        wk_tensor *x = wk_randn(1 + below(t % 2 ? 9 : 400), 512), *y[3];
        for (int i = 0; i < 3; i++) {
            wk_set_threads(1 + i);
            y[i] = wk_linear(x, p);
        }
        if (CHECK(y[0] && y[1] && y[2]))
            CHECK(!memcmp(wk_data(y[0]), wk_data(y[1]), wk_bytes(y[0])) &&
                  !memcmp(wk_data(y[0]), wk_data(y[2]), wk_bytes(y[0])));
        wk_sweep(s);
    }
    wk_set_threads(threads);
}

/* ---- Weights in files --------------------------------------------------- */

static const char *const names_in_file[] = { "u", "v", "w" };

/* Three weights as they lie in a file: packed when somebody needs them so. */
static void mapped(const wk_archive *a, wk_layer p[3])
{
    for (int i = 0; i < 3; i++)
        p[i] = (wk_layer){ wk_pack(wk_archive_get(a, names_in_file[i])), NULL };
}

static bool same(wk_tensor *a, wk_tensor *b)
{
    return a && b && wk_bytes(a) == wk_bytes(b) && !memcmp(wk_data(a), wk_data(b), wk_bytes(a));
}

/* Rows of x for which they wait, for which they do not, and few. */
static void try_mapped(const wk_archive *a, wk_tensor *const w[3], const char *what)
{
    static const int64_t rows[][3] = { { 9, 20, 3 }, { 3, 20, 300 }, { 300, 1, 33 } };
    for (size_t i = 0; i < WK_COUNT(rows); i++) {
        wk_layer p[3], own[3];
        mapped(a, p);
        for (int k = 0; k < 3; k++)
            own[k] = (wk_layer){ wk_pack(w[k]), NULL };
        for (int k = 0; k < 3 && p[0].weight; k++) {
            wk_tensor *x = wk_randn(rows[i][k], wk_dim(w[0], 1));
            CHECK_MSG(same(wk_linear(x, p[0]), wk_linear(x, own[0])), "linear, %s", what);
            CHECK_MSG(same(wk_linear_glu(x, p[0], p[1], WK_ACT_SILU),
                           wk_linear_glu(x, own[0], own[1], WK_ACT_SILU)),
                      "linear_glu, %s", what);
            CHECK_MSG(same(wk_linear_cat(x, p, 3), wk_linear_cat(x, own, 3)), "linear_cat, %s",
                      what);
            CHECK_MSG(same(wk_copy(p[2].weight), w[2]), "copy, %s", what);
            wk_tensor *ids = wk_arange(WK_I64, 0, (double)wk_dim(w[2], 0), 3);
            CHECK_MSG(same(wk_embedding(ids, p[2].weight), wk_embedding(ids, w[2])),
                      "embedding, %s", what);
        }
    }
}

static void from_files(const char *isa)
{
    char path[1024];
    for (size_t i = 0; i <= ROWS && wk_ok(); i += (size_t)test_stride(3)) {
        wk_scope    s = wk_mark();
        wk_dtype    dtype = i < ROWS && types[i] != WK_NF4 ? types[i] : WK_BF16;
        wk_tensor  *w[3];
        wk_archive *a = NULL;
        for (int k = 0; k < 3; k++)
            w[k] = wk_cast(wk_randn(47 + k / 2 * 30, 512), dtype);
        if (CHECK(wk_gguf_save(test_temporary("packed.gguf", path), .count = 3,
                               .names = names_in_file, .tensors = w)) &&
            CHECK(a = wk_archive_open(path)))
            try_mapped(a, w, wk_dtype_name(dtype));
        wk_archive_free(a);
        wk_sweep(s);
    }
    (void)isa;
}

TEST(weights_in_files_are_packed_when_they_are_needed) { everywhere(from_files); }

static void *use_it(void *layer)
{
    wk_scope   s = wk_mark();
    wk_tensor *ones = wk_ones(2, 512), *y = wk_linear(ones, *(wk_layer *)layer);
    double     sum = y ? wk_item(wk_sum(y)) : NAN;
    wk_sweep(s);
    return fabs(sum - 2 * 512 * 500) < 5000 ? layer : NULL; /* q8_0 has not quite 1 */
}

TEST(several_threads_need_a_weight_at_once)
{
    char        path[1024];
    wk_tensor  *w = wk_cast(wk_ones(500, 512), WK_Q8_0);
    wk_archive *a = NULL;
    if (CHECK(wk_gguf_save(test_temporary("packed.gguf", path), .count = 1, .names = names_in_file,
                           .tensors = &w)) &&
        CHECK(a = wk_archive_open(path)))
        for (int i = 0; i < 20; i++) {
            wk_scope  s = wk_mark();
            wk_layer  p = { wk_pack(wk_archive_get(a, "u")), NULL };
            pthread_t other[3];
            void     *good;
            for (int k = 0; k < 3; k++)
                CHECK(!pthread_create(&other[k], NULL, use_it, &p));
            CHECK(use_it(&p));
            for (int k = 0; k < 3; k++)
                CHECK(!pthread_join(other[k], &good) && good);
            wk_sweep(s);
        }
    wk_archive_free(a);
}
