// SPDX-License-Identifier: MIT OR Apache-2.0
/* amx_pack.c - operands of products on tiles: read, split, and put in the order of tiles.
 *
 * A tile of A is 16 rows of 32 k.  A tile of B is 16 pairs of k of 16 columns: the same,
 * transposed as 16 x 16 pairs.  Operands are read 16 rows x 32 k at a time, row by row or,
 * where rows lie side by side, pair by pair: so that one of the two needs no transposing. */
#include "amx.h"

#include "../simd.h"

enum { SIDE = WK_TILE_SIDE, STEP = WK_TILE_STEP, TILE = WK_TILE_BYTES };

/* ---- Reading ------------------------------------------------------------ */

enum { ANY, F32, BF16 }; /* dtypes; the latter two where 16 elements lie in a row */

typedef struct {
    wk_mat x;
    int    rows, ks; /* of 16 and 32: so many are there; beyond them are zeros */
} block;

static block block_at(const wk_mat *x, int64_t i, int64_t p, int64_t count, int64_t k)
{
    bool there = i < count;
    return (block){ wk_mat_at(*x, there ? i : 0, p), (int)wk_min_i64(16, there ? count - i : 0),
                    (int)wk_min_i64(STEP, k - p) };
}

static bool lies_across(const wk_mat *x) { return x->row == 1 && x->col != 1; }

static int kind_of(const wk_mat *x)
{
    if (x->row != 1 && x->col != 1)
        return ANY;
    return x->dtype == WK_F32 ? F32 : x->dtype == WK_BF16 ? BF16 : ANY;
}

static inline __mmask16 lanes(int n)
{
    return (__mmask16)(n >= 16 ? 0xFFFF : n <= 0 ? 0 : (1u << n) - 1);
}

/* n elements from (i, p) on, stride apart; the rest of 16 is 0. */
INLINE __m512 read16(int kind, const wk_mat *x, int64_t i, int64_t p, int64_t stride, int n)
{
    if (kind == F32)
        return _mm512_maskz_loadu_ps(lanes(n), (const float *)x->data + i * x->row + p * x->col);
    _Alignas(64) float row[16] = { 0 };
    if (n > 0)
        wk_dtypes[x->dtype].load[WK_AS_F32](row, wk_mat_at(*x, i, p).data, n < 16 ? n : 16, stride);
    return _mm512_load_ps(row);
}

/* Unit u of 16: a row, or a pair of columns. */
INLINE void read_unit(int kind, bool across, const block *w, int u, __m512 *lo, __m512 *hi)
{
    const wk_mat *x = &w->x;
    if (across) {
        *lo = read16(kind, x, 0, 2 * u, x->row, 2 * u < w->ks ? w->rows : 0);
        *hi = read16(kind, x, 0, 2 * u + 1, x->row, 2 * u + 1 < w->ks ? w->rows : 0);
    } else {
        *lo = read16(kind, x, u, 0, x->col, u < w->rows ? w->ks : 0);
        *hi = read16(kind, x, u, 16, x->col, u < w->rows ? w->ks - 16 : 0);
    }
}

/* The same of bf16, as it is. */
INLINE __m512i read_halves(bool across, const block *w, int u)
{
    const wk_mat   *x = &w->x;
    const uint16_t *lo = (const uint16_t *)x->data + (across ? 2 * u * x->col : u * x->row);
    const uint16_t *hi = lo + (across ? x->col : 16);
    int             n = across ? (2 * u < w->ks ? w->rows : 0) : u < w->rows ? w->ks : 0;
    int             m = across ? (2 * u + 1 < w->ks ? w->rows : 0) : n - 16;
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi16(lanes(n), lo)),
                              _mm256_maskz_loadu_epi16(lanes(m), hi), 1);
}

/* ---- Packing ------------------------------------------------------------ */

/* Both rounded to bf16, lo's first; they keep what that left. */
INLINE __m512i round_off(__m512 *lo, __m512 *hi)
{
    __m512i r = (__m512i)_mm512_cvtne2ps_pbh(*hi, *lo);
    __m512i l = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(r));
    __m512i h = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(r, 1));
    *lo = _mm512_sub_ps(*lo, _mm512_castsi512_ps(_mm512_slli_epi32(l, 16)));
    *hi = _mm512_sub_ps(*hi, _mm512_castsi512_ps(_mm512_slli_epi32(h, 16)));
    return r;
}

/* A block as tiles, one for each part, part bytes apart. */
INLINE void pack_block(int kind, bool across, int parts, char *to, const block *w, bool as_b,
                       int64_t part, const float *scale)
{
    const __m512i pairs =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    vf v[3][16];
    for (int u = 0; u < 16; u++) {
        __m512 lo, hi;
        if (kind != BF16)
            read_unit(kind, across, w, u, &lo, &hi);
        if (parts > 1) {
            __m512 s = across ? _mm512_loadu_ps(scale) : _mm512_set1_ps(scale[u]);
            lo = _mm512_scalef_ps(lo, s), hi = _mm512_scalef_ps(hi, s);
        }
        for (int n = 0; n < parts; n++) {
            __m512i r = kind == BF16 ? read_halves(across, w, u) : round_off(&lo, &hi);
            r = across ? _mm512_permutexvar_epi16(pairs, r) : r;
            if (across == as_b)
                _mm512_store_si512(to + n * part + u * 64, r);
            else
                v[n][u] = (vf)r;
        }
    }
    for (int n = 0; n < parts && across != as_b; n++) {
        vtranspose(v[n]);
        for (int u = 0; u < 16; u++)
            _mm512_store_ps(to + n * part + u * 64, v[n][u]);
    }
}

typedef void (*pack_fn)(char *to, const block *w, bool as_b, int64_t part, const float *scale);

#define PACK(name, kind, across, parts)                                                            \
    static void name(char *to, const block *w, bool as_b, int64_t part, const float *scale)        \
    {                                                                                              \
        pack_block(kind, across, parts, to, w, as_b, part, scale);                                 \
    }
PACK(round_any_along, ANY, false, 1)
PACK(round_any_across, ANY, true, 1)
PACK(round_f32_along, F32, false, 1)
PACK(round_f32_across, F32, true, 1)
PACK(copy_bf16_along, BF16, false, 1)
PACK(copy_bf16_across, BF16, true, 1)
PACK(split_any_along, ANY, false, 3)
PACK(split_any_across, ANY, true, 3)
PACK(split_f32_along, F32, false, 3)
PACK(split_f32_across, F32, true, 3)

static const pack_fn rounding[][2] = { [ANY] = { round_any_along, round_any_across },
                                       [F32] = { round_f32_along, round_f32_across },
                                       [BF16] = { copy_bf16_along, copy_bf16_across } };
static const pack_fn splitting[][2] = { [ANY] = { split_any_along, split_any_across },
                                        [F32] = { split_f32_along, split_f32_across },
                                        [BF16] = { split_any_along, split_any_across } };

static int64_t steps_of(int64_t k) { return (k + STEP - 1) / STEP; }

static void pack_bf16(void *panel, const wk_mat *x, int64_t count, int64_t k, bool as_b,
                      int64_t step_size, int64_t half)
{
    pack_fn pack = rounding[kind_of(x)][lies_across(x)];
    for (int64_t s = 0; s < steps_of(k); s++)
        for (int i = 0; i < SIDE; i += 16) {
            block w = block_at(x, i, s * STEP, count, k);
            pack((char *)panel + s * step_size + i / 16 * half, &w, as_b, 0, NULL);
        }
}

void wk_amx_pack_a_bf16(void *panel, const wk_mat *x, int64_t count, int64_t k)
{
    pack_bf16(panel, x, count, k, false, 2 * TILE, TILE);
}

void wk_amx_pack_pairs(void *panel, const wk_mat *x, int64_t count, int64_t k, int64_t group)
{
    pack_bf16(panel, x, count, k, true, TILE, group);
}

void wk_amx_pack_b_bf16(void *panel, const wk_mat *x, int64_t count, int64_t k)
{
    wk_amx_pack_pairs(panel, x, count, k, steps_of(k) * TILE);
}

/* ---- Splitting ---------------------------------------------------------- */

enum {
    /* Largest numbers after scaling are below 2^(TOP + 1), so that sums of products stay
     * in range; where B is not scaled, and weights are small, A may be larger. */
    TOP_X6 = 58,
    TOP_X3 = 96,
    /* Smaller ones by more than 2^RANGE would lose bits among the products of their parts. */
    RANGE = 106
};

/* The largest and smallest magnitude of 16 rows, as bits; of the latter less 1, so that 0
 * does not count. */
INLINE void measure(int kind, bool across, const wk_mat *x, int64_t i, int64_t count, int64_t k,
                    __m512i *most, __m512i *least)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF), one = _mm512_set1_epi32(1);
    __m512i       high[16], low[16];
    uint32_t      h[16], l[16];
    for (int u = 0; u < 16; u++)
        high[u] = _mm512_setzero_si512(), low[u] = _mm512_set1_epi32(-1);
    for (int64_t p = 0; p < k; p += STEP) {
        block w = block_at(x, i, p, count, k);
        for (int u = 0; u < 16; u++) {
            __m512 lo, hi;
            read_unit(kind, across, &w, u, &lo, &hi);
            __m512i a = _mm512_and_si512(_mm512_castps_si512(lo), magnitude);
            __m512i b = _mm512_and_si512(_mm512_castps_si512(hi), magnitude);
            high[u] = _mm512_max_epu32(high[u], _mm512_max_epu32(a, b));
            a = _mm512_min_epu32(_mm512_sub_epi32(a, one), _mm512_sub_epi32(b, one));
            low[u] = _mm512_min_epu32(low[u], a);
        }
    }
    for (int u = 0; u < 16; u++) {
        h[u] = _mm512_reduce_max_epu32(high[u]), l[u] = _mm512_reduce_min_epu32(low[u]);
        high[0] = _mm512_max_epu32(high[0], high[u]), low[0] = _mm512_min_epu32(low[0], low[u]);
    }
    *most = across ? high[0] : _mm512_loadu_si512(h);
    *least = across ? low[0] : _mm512_loadu_si512(l);
}

static void choose_scales(wk_amx_end *end, const wk_mat *x, int64_t count, int64_t k, int top)
{
    const __m512i one = _mm512_set1_epi32(1), infinity = _mm512_set1_epi32(0x7F800000);
    const bool    across = lies_across(x), f32 = kind_of(x) == F32;
    end->whole = 0;
    for (int i = 0; i < SIDE; i += 16) {
        __m512i most, least;
        if (f32 && across)
            measure(F32, true, x, i, count, k, &most, &least);
        else if (f32)
            measure(F32, false, x, i, count, k, &most, &least);
        else
            measure(ANY, false, x, i, count, k, &most, &least);
        __mmask16 some = _mm512_test_epi32_mask(most, most);
        __m512    e = _mm512_getexp_ps(_mm512_castsi512_ps(most));
        __m512    f = _mm512_getexp_ps(_mm512_castsi512_ps(_mm512_add_epi32(least, one)));
        _mm512_storeu_ps(end->scale + i, _mm512_maskz_sub_ps(some, _mm512_set1_ps((float)top), e));
        end->whole |=
            _mm512_cmpge_epu32_mask(most, infinity) |
            _mm512_mask_cmp_ps_mask(some, _mm512_sub_ps(e, f), _mm512_set1_ps(RANGE), _CMP_GT_OQ);
    }
}

static void pack_split(void *panel, const wk_mat *x, int64_t count, int64_t k, bool as_b, int top)
{
    wk_amx_end *end = wk_amx_end_of(panel, steps_of(k) * STEP);
    float      *row = panel;
    pack_fn     pack = splitting[kind_of(x)][lies_across(x)];
    choose_scales(end, x, count, k, top);
    for (int64_t p = 0; end->whole && p < steps_of(k) * STEP; p++, row += SIDE) {
        memset(row, 0, SIDE * sizeof *row);
        if (p < k)
            wk_dtypes[x->dtype].load[WK_AS_F32](row, wk_mat_at(*x, 0, p).data, count, x->row);
    }
    for (int64_t s = 0; !end->whole && s < steps_of(k); s++)
        for (int i = 0; i < SIDE; i += 16) {
            block w = block_at(x, i, s * STEP, count, k);
            pack((char *)panel + s * 6 * TILE + i / 16 * TILE, &w, as_b, 2 * TILE, end->scale + i);
        }
}

void wk_amx_pack_a_x3(void *panel, const wk_mat *x, int64_t count, int64_t k)
{
    pack_split(panel, x, count, k, false, TOP_X3);
}

void wk_amx_pack_a_x6(void *panel, const wk_mat *x, int64_t count, int64_t k)
{
    pack_split(panel, x, count, k, false, TOP_X6);
}

void wk_amx_pack_b_x6(void *panel, const wk_mat *x, int64_t count, int64_t k)
{
    pack_split(panel, x, count, k, true, TOP_X6);
}
