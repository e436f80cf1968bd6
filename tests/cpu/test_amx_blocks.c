// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_amx_blocks.c - many rows times quantized weights on tiles: what panels of blocks become,
 * products with tiles in plain C against sums in doubles, and as they ship against those. */
#include "../../src/base/base.h"

#if defined __x86_64__ && defined __linux__

#define ISA avx512
#include "../../src/cpu/isa/matrix.h"
#include "../../src/cpu/quants.h"
#include "../../src/cpu/x86/amx.h"
#include "portable.h"
#include "test.h"
#include "tile_trap.h"

#include <math.h>
#include <stdlib.h>
#include <wick/wick.h>

extern const wk_engine emulated_amx_bf16, emulated_amx_x6, emulated_amx_blocks;

static const wk_cpu_isa emulated = {
    .name = "amx",
    .level = WK_LEVEL_avx512,
    .kernels = WK_ISA(kernels),
    .install_rows = WK_ISA(install_rows),
    .f32 = &emulated_amx_x6,
    .bf16 = &emulated_amx_bf16,
    .gemm = WK_ISA(gemm),
    .quant = &wk_cpu_quant_kernels_vnni,
    .blocks = &emulated_amx_blocks,
};

static const wk_cpu_isa *before;
static int               threads;

/* Emulated tiles are in use until end(); false: not here. */
static bool begin(void)
{
    wk_cpu_device(); /* makes its choice */
    before = wk_cpu_current(), threads = wk_threads();
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vbmi") ||
        !__builtin_cpu_supports("avx512vnni")) {
        test_skip("the kernels need AVX-512 with bf16, VBMI and VNNI");
        return false;
    }
    wk_cpu_use(&emulated);
    return true;
}

static void end(void)
{
    wk_cpu_use(before);
    wk_set_threads(threads);
}

static uint64_t state;

static int64_t below(int64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

/* Every type with panels, in turn; NULL after the last. */
static const wk_quant *type_of(int i, wk_dtype *dtype)
{
    for (int q = 0; q < WK_QUANT_COUNT; q++)
        if (wk_quant_layouts[q].numbers && i-- == 0) {
            *dtype = WK_Q4_0 + q;
            return &wk_quants[q];
        }
    return NULL;
}

/* ---- Panels ------------------------------------------------------------- */

static double widen(uint16_t half) { return (double)wk_bits_f32((uint32_t)half << 16); }

/* half a unit of the last place of bf16 */
static double half_place(double x)
{
    int e;
    frexp(x, &e);
    return ldexp(1, e - 9);
}

/* All columns of a panel j, k steps from at on. */
static void check_panel(const wk_gemm *g, const double *w, int64_t j, int64_t at, int64_t k,
                        const char *name)
{
    uint16_t *tile = aligned_alloc(64, (size_t)k * WK_TILE_SIDE * 2);
    bool      good = true;
    memset(tile, 0xFF, (size_t)k * WK_TILE_SIDE * 2);
    wk_amx_unpack(tile, g, 0, j, at, k);
    for (int64_t c = 0; c < WK_TILE_SIDE && j * WK_TILE_SIDE + c < g->n; c++)
        for (int64_t p = 0; good && p < k; p++) {
            double want = w[(j * WK_TILE_SIDE + c) * g->k + at + p];
            double got = widen(tile[c / 16 * 16 * k + p / 2 * 32 + c % 16 * 2 + p % 2]);
            good = CHECK_MSG(fabs(got - want) <= half_place(want) * 1.0001,
                             "%s: %g instead of %g, column %d of %d, %d of %d", name, got, want,
                             (int)(j * WK_TILE_SIDE + c), (int)g->n, (int)(at + p), (int)g->k);
        }
    free(tile);
}

TEST(amx_blocks_become_bf16)
{
    const wk_quant *type;
    wk_dtype        dtype;
    if (!begin())
        return;
    for (int i = 0; (type = type_of(i, &dtype)); i++)
        for (int t = 0; t < 8; t++) {
            wk_scope   s = wk_mark();
            int64_t    n = 1 + below(80), k = type->block * (1 + below(type->block < 256 ? 30 : 4));
            wk_tensor *w = wk_cast(wk_randn(n, k), dtype), *packed = wk_pack(w);
            double    *dw = doubles(w);
            if (CHECK(dw && packed)) {
                wk_gemm g = { .n = n, .k = k, .b = { { wk_at_host(packed), dtype, k, 1 } } };
                check_panel(&g, dw, 0, 0, k, type->name);
                int64_t at = 32 * below(k / 32);
                check_panel(&g, dw, below((n + 31) / 32), at, 32 * (1 + below((k - at) / 32)),
                            type->name);
            }
            free(dw);
            wk_sweep(s);
        }
    end();
}

/* ---- Products ----------------------------------------------------------- */

/* y = x w^T + b, within what it may change that x and w are rounded to bf16 and sums to f32. */
static void check_product(wk_tensor *y, wk_tensor *x, wk_tensor *w, wk_tensor *b)
{
    int64_t     n = wk_dim(w, 0), k = wk_dim(w, 1), m = wk_count(y) / n;
    double     *dy = doubles(y), *dx = doubles(x), *dw = doubles(w), *db = doubles(b);
    double      error = 0, size = 0;
    bool        good = CHECK(dy && dx && dw);
    const char *name = wk_dtype_name(wk_dtype_of(w));
    for (int64_t e = 0; good && e < m * n; e++) {
        double sum = db ? db[e % n] : 0, most = fabs(sum);
        for (int64_t p = 0; p < k; p++) {
            double z = dx[e / n * k + p] * dw[e % n * k + p];
            sum += z, most += fabs(z);
        }
        double off = dy[e] - sum;
        double bound = most * (0x1p-8 + 0x1p-8 + 0x1p-16 + (double)(k + 2) * 0x1p-24);
        error += off * off, size += sum * sum;
        good = CHECK_MSG(fabs(off) <= bound, "[%d, %d] x %s: %g instead of %g (+- %g) at %d, %d",
                         (int)m, (int)k, name, dy[e], sum, bound, (int)(e / n), (int)(e % n));
    }
    if (good && m * n > 100)
        CHECK_MSG(sqrt(error / size) < 3.2e-3, "[%d, %d] x %s: relative error %g", (int)m, (int)k,
                  name, sqrt(error / size));
    free(dy), free(dx), free(dw), free(db);
}

/* From one row to several tiles of them: those below the least go without tiles. */
TEST(amx_blocks_of_every_size)
{
    static const int rows[] = { 16, 17, 31, 32, 33, 47, 48, 64, 65, 70 };
    const wk_quant  *type;
    wk_dtype         dtype;
    if (!begin())
        return;
    for (int i = 0; (type = type_of(i, &dtype)); i++)
        for (size_t r = 0; r < WK_COUNT(rows); r++) {
            wk_scope   s = wk_mark();
            int64_t    n = 1 + below(75), k = type->block * (1 + below(type->block < 256 ? 20 : 3));
            wk_tensor *w = wk_cast(wk_randn(n, k), dtype), *x = wk_randn(rows[r], k);
            wk_tensor *b = below(2) ? wk_randn(n) : NULL;
            wk_set_threads(1 + (int)r % 3);
            check_product(wk_linear(x, (wk_layer){ wk_pack(w), b }), x, w, b);
            wk_sweep(s);
        }
    end();
}

/* Several steps of k, and several rounds of them; x of bf16. */
TEST(amx_blocks_of_long_sums)
{
    static const struct {
        wk_dtype dtype;
        int64_t  k;
    } cases[] = { { WK_Q4_0, 1312 }, { WK_Q6_K, 1280 }, { WK_Q5_1, 16384 + 352 } };
    if (!begin())
        return;
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        wk_scope   s = wk_mark();
        wk_tensor *w = wk_cast(wk_randn(21, cases[i].k), cases[i].dtype);
        wk_tensor *x = wk_cast(wk_randn(18, cases[i].k), WK_BF16);
        check_product(wk_linear(wk_cast(x, WK_F32), (wk_layer){ wk_pack(w), NULL }), x, w, NULL);
        wk_sweep(s);
    }
    end();
}

static bool same_bits(wk_tensor *a, wk_tensor *b)
{
    return a && b && wk_bytes(a) == wk_bytes(b) && !memcmp(wk_data(a), wk_data(b), wk_bytes(a));
}

/* A row's sums are the same beside any others, and on any number of threads. */
TEST(amx_blocks_row_by_row)
{
    const wk_quant *type;
    wk_dtype        dtype;
    if (!begin())
        return;
    for (int i = 0; (type = type_of(i, &dtype)); i++) {
        wk_scope   s = wk_mark();
        wk_layer   a = { wk_pack(wk_cast(wk_randn(50, 768), dtype)), wk_randn(50) };
        wk_layer   b = { wk_pack(wk_cast(wk_randn(50, 768), dtype)), NULL };
        wk_tensor *x = wk_randn(70, 768), *y[2], *z[2];
        for (int t = 0; t < 2; t++) {
            wk_set_threads(1 + 2 * t);
            y[t] = wk_linear(x, a), z[t] = wk_linear_glu(x, a, b, WK_ACT_SILU);
        }
        CHECK_MSG(same_bits(y[0], y[1]) && same_bits(z[0], z[1]), "%s: threads", type->name);
        for (int64_t m = 16; m < 70; m += 9) {
            wk_tensor *part = wk_narrow(x, 0, 70 - m, m);
            CHECK_MSG(same_bits(wk_linear(part, a), wk_copy(wk_narrow(y[0], 0, 70 - m, m))),
                      "%s: %d rows", type->name, (int)m);
            CHECK_MSG(same_bits(wk_linear_glu(part, a, b, WK_ACT_SILU),
                                wk_copy(wk_narrow(z[0], 0, 70 - m, m))),
                      "%s: %d rows, gated", type->name, (int)m);
        }
        wk_sweep(s);
    }
    end();
}

/* Fewer rows than make tiles worth it are those of VNNI. */
TEST(amx_blocks_with_few_rows)
{
    if (!begin())
        return;
    wk_scope s = wk_mark();
    wk_layer p = { wk_pack(wk_cast(wk_randn(50, 512), WK_Q4_K)), NULL };
    for (int64_t m = 1; m < 20; m++) {
        wk_tensor *x = wk_randn(m, 512), *y = wk_linear(x, p);
        wk_cpu_use(&wk_cpu_avx512vnni);
        CHECK_MSG(same_bits(y, wk_linear(x, p)) == (m < wk_amx_blocks.least), "%d rows", (int)m);
        wk_cpu_use(&emulated);
    }
    wk_sweep(s);
    end();
}

/* The code that ships: its tiles are caught where the processor has none. */
TEST(amx_blocks_machine_code)
{
    const wk_quant *type;
    wk_dtype        dtype;
    bool            trap = !wk_amx_usable();
    if (!begin())
        return;
    for (int i = 0; (type = type_of(i, &dtype)); i++) {
        wk_scope   s = wk_mark();
        int64_t    k = type->block * (1 + below(type->block < 256 ? 20 : 3));
        wk_layer   p = { wk_pack(wk_cast(wk_randn(1 + below(70), k), dtype)), NULL };
        wk_tensor *x = wk_randn(16 + below(40), k), *y = wk_linear(x, p);
        if (trap)
            trap_begin();
        wk_cpu_use(&wk_cpu_amx);
        CHECK_MSG(same_bits(y, wk_linear(x, p)), "%s", type->name);
        wk_cpu_use(&emulated);
        CHECK(!trap || (trap_end() > 0 && trap_released()));
        wk_sweep(s);
    }
    end();
}

#endif
