// SPDX-License-Identifier: MIT OR Apache-2.0
/* gemm_bf16.c - the engine for bf16 products with AVX512-BF16: vdpbf16ps adds to each
 * f32 lane the products of a pair of bf16.
 *
 * Steps of k therefore come in pairs, 32 bits each, which are what is moved about: of A
 * [k / 2][14 rows], of B [k / 2][16 columns] twice. */
#define ISA avx512
#include "../isa/matrix.h"
#include "../simd.h"

enum { MR = 14, NR = 32, KC = 1024 };

/* ---- The micro-kernel --------------------------------------------------- */

INLINE void tile(int rows, int width, const wk_gemm_tile *t)
{
    const uint32_t *a = t->a, *next = t->next ? t->next : t->a;
    const char     *b = t->b;
    __m512          sum[MR][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    for (int64_t p = 0; p < t->k; p += 2, a += MR, next += MR, b += 64) {
        __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
        __m512bh b1 = width > 1 ? (__m512bh)_mm512_loadu_si512(b + t->group) : b0;
        __builtin_prefetch(next);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[r]);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, b0);
            if (width > 1)
                sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, b1);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < width; v++) {
            float *to = t->c + r * t->ldc + v * 16;
            if (t->add)
                sum[r][v] = _mm512_add_ps(sum[r][v], _mm512_loadu_ps(to));
            _mm512_storeu_ps(to, sum[r][v]);
        }
}

#define TILE(rows)                                                                                 \
    static void tile_##rows##_1(const wk_gemm_tile *t) { tile(rows, 1, t); }                       \
    static void tile_##rows##_2(const wk_gemm_tile *t) { tile(rows, 2, t); }
#define NAMES(rows)                                                                                \
    {                                                                                              \
        tile_##rows##_1, tile_##rows##_2                                                           \
    }
TILE(1)
TILE(2)
TILE(4)
TILE(8)
TILE(14)

/* Panels are filled up with zeros, so that some numbers of rows can stand for all. */
static void kernel(const wk_gemm_tile *t)
{
    static void (*const tiles[5][2])(const wk_gemm_tile *t) = { NAMES(1), NAMES(2), NAMES(4),
                                                                NAMES(8), NAMES(14) };
    static const uint8_t size[MR + 1] = { 0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4 };
    tiles[size[t->rows]][t->cols > 16](t);
}

/* ---- Packing ------------------------------------------------------------ */

/* n <= 32 elements from p on, stride apart, as 16 pairs of bf16; the others are 0. */
INLINE vf load_pairs(const void *p, wk_dtype dtype, int64_t n, int64_t stride)
{
    float     row[32];
    __mmask32 live = n >= 32 ? ~0u : (1u << n) - 1;
    if (dtype == WK_BF16 && stride == 1)
        return (vf)_mm512_maskz_loadu_epi16(live, p);
    if (dtype != WK_F32 || stride != 1) {
        wk_dtypes[dtype].load[WK_AS_F32](row, p, n, stride);
        p = row;
    }
    __m512 low = _mm512_maskz_loadu_ps((__mmask16)live, p);
    __m512 high = _mm512_maskz_loadu_ps((__mmask16)(live >> 16), (const float *)p + 16);
    return (vf)_mm512_cvtne2ps_pbh(high, low);
}

/* up to 16 rows of x -> [k / 2][width <= 16] pairs */
INLINE void pack_rows(uint32_t *to, int width, const wk_mat *x, int64_t count, int64_t k)
{
    int64_t size = (int64_t)wk_dtypes[x->dtype].size;
    for (int64_t p = 0; p < k; p += 32) {
        int64_t     n = wk_min_i64(32, k - p);
        const char *from = wk_mat_at(*x, 0, p).data;
        vf          v[16];
        for (int i = 0; i < 16; i++) {
            v[i] = i < count ? load_pairs(from, x->dtype, n, x->col) : vset(0);
            from += i < count ? x->row * size : 0;
        }
        vtranspose(v);
        for (int i = 0; i < (n + 1) / 2; i++, to += width)
            _mm512_mask_storeu_ps(to, (__mmask16)((1u << width) - 1), (__m512)v[i]);
    }
}

/* n <= 16 elements side by side as bf16, one in each 32 bits. */
INLINE __m512i load_step(const void *p, wk_dtype dtype, int64_t n)
{
    __mmask16 live = (__mmask16)((1u << n) - 1);
    if (dtype == WK_BF16)
        return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(live, p));
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(live, p)));
}

/* The same for rows whose elements lie side by side. */
INLINE void pack_steps(uint32_t *to, int width, const wk_mat *x, int64_t count, int64_t k)
{
    for (int64_t p = 0; p < k; p += 2, to += width) {
        __m512i even = load_step(wk_mat_at(*x, 0, p).data, x->dtype, count);
        __m512i odd = p + 1 < k ? load_step(wk_mat_at(*x, 0, p + 1).data, x->dtype, count)
                                : _mm512_setzero_si512();
        __m512i pair = _mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
        _mm512_mask_storeu_epi32(to, (__mmask16)((1u << width) - 1), pair);
    }
}

INLINE void pack(uint32_t *to, int width, const wk_mat *x, int64_t count, int64_t k)
{
    if (x->row == 1 && x->col != 1 && (x->dtype == WK_F32 || x->dtype == WK_BF16))
        pack_steps(to, width, x, count, k);
    else
        pack_rows(to, width, x, count, k);
}

static void pack_a(void *panel, const wk_mat *x, int64_t count, int64_t k)
{
    pack(panel, MR, x, count, k);
}

static void pack_b(void *panel, const wk_mat *x, int64_t count, int64_t k)
{
    for (int g = 0; g < NR / 16 && g * 16 < count; g++) {
        wk_mat part = wk_mat_at(*x, g * 16, 0);
        pack((uint32_t *)panel + g * ((k + 1) / 2) * 16, 16, &part, wk_min_i64(16, count - g * 16),
             k);
    }
}

static const wk_engine engine = {
    .name = "avx512bf16",
    .mr = MR,
    .nr = NR,
    .kr = 2,
    .a_size = 2,
    .b_size = 2,
    .kc = KC,
    .mc = 4 * MR,
    .nc = 8 * NR,
    .pairs = true,
    .pack_a = pack_a,
    .pack_b = pack_b,
    .kernel = kernel,
};

/* All other kernels are those of avx512. */
#define ON_PANELS                                                                                  \
    .level = WK_LEVEL_avx512, .kernels = WK_ISA(kernels), .install_rows = WK_ISA(install_rows),    \
    .f32 = &WK_ISA(engine), .gemm = WK_ISA(gemm), .quant = &wk_cpu_quant_kernels_vnni,             \
    .pack = wk_panels_pack, .few = wk_panels_few

const wk_cpu_isa wk_cpu_avx512bf16 = { .name = "avx512bf16", .bf16 = &engine, ON_PANELS };

/* Where products of pairs run at half the rate of those in f32, only what waits for memory
 * is made with them: few rows. */
const wk_cpu_isa wk_cpu_avx512panels = { .name = "avx512panels", ON_PANELS };
