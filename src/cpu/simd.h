// SPDX-License-Identifier: MIT OR Apache-2.0
/* simd.h - vectors of floats, as wide as the instruction set a file is compiled for.
 *
 * Kernels are written once against these names.  They rest on the vector extensions of
 * gcc and clang, so + - * / and comparisons work on vectors (a comparison gives a vi of
 * 0 and -1); intrinsics stand only where the extensions have no word for it. */
#ifndef WK_CPU_SIMD_H
#define WK_CPU_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined __AVX512F__ || defined __AVX2__
#include <immintrin.h>
#elif defined __ARM_NEON
#include <arm_neon.h>
#endif

#if defined __AVX512F__
enum { VF = 16 };
#elif defined __AVX2__
enum { VF = 8 };
#else
enum { VF = 4 };
#endif

#define VBYTES (4 * VF)
typedef float    vf __attribute__((vector_size(VBYTES)));
typedef int32_t  vi __attribute__((vector_size(VBYTES)));
typedef uint32_t vu __attribute__((vector_size(VBYTES)));
typedef uint16_t vh __attribute__((vector_size(VBYTES / 2))); /* halves: f16 or bf16 bits */
typedef uint8_t  vb __attribute__((vector_size(VF)));         /* bytes */
typedef float    vf_any __attribute__((vector_size(VBYTES), aligned(4), may_alias));
typedef uint32_t vu_any __attribute__((vector_size(VBYTES), aligned(4), may_alias));
typedef uint16_t vh_any __attribute__((vector_size(VBYTES / 2), aligned(2), may_alias));
typedef uint8_t  vb_any __attribute__((vector_size(VF), aligned(1), may_alias));

/* ---- Loads and stores, of any alignment --------------------------------- */

static inline vf   vload(const float *p) { return *(const vf_any *)p; }
static inline void vstore(float *p, vf a) { *(vf_any *)p = a; }
static inline vf   vset(float a) { return a - (vf){ 0 }; }
static inline vi   viset(int32_t a) { return a - (vi){ 0 }; }

#if defined __AVX2__ && !defined __AVX512F__

/* -1 in the first n lanes */
static inline __m256i vfirst(int64_t n)
{
    static const int32_t mask[2 * VF] = { -1, -1, -1, -1, -1, -1, -1, -1 };
    return _mm256_loadu_si256((const __m256i *)(const void *)(mask + VF - n));
}
#endif

/* The first n lanes, 0 <= n <= VF; the others are 0. */
static inline vf vload_part(const float *p, int64_t n)
{
#if defined __AVX512F__
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined __AVX2__
    return _mm256_maskload_ps(p, vfirst(n));
#else
    vf a = { 0 };
    memcpy(&a, p, (size_t)n * sizeof *p);
    return a;
#endif
}

static inline void vstore_part(float *p, vf a, int64_t n)
{
#if defined __AVX512F__
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
#elif defined __AVX2__ /* masked stores are slow on AMD's processors */
    if (n == VF) {
        _mm256_storeu_ps(p, a);
        return;
    }
    __m128 rest = _mm256_castps256_ps128(a);
    if (n & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(a, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (n & 1)
        _mm_store_ss(p, rest);
#else
    memcpy(p, &a, (size_t)n * sizeof *p);
#endif
}

/* ---- Arithmetic --------------------------------------------------------- */

/* a * b + c, fused where the instruction set can */
static inline vf vfma(vf a, vf b, vf c)
{
#if defined __AVX512F__
    return _mm512_fmadd_ps(a, b, c);
#elif defined __AVX2__
    return _mm256_fmadd_ps(a, b, c);
#elif defined __ARM_NEON
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

static inline vf vselect(vi condition, vf yes, vf no)
{
    return (vf)((condition & (vi)yes) | (~condition & (vi)no));
}

/* Where one is NaN, b: as the instructions of x86 do. */
static inline vf vmax(vf a, vf b)
{
#if defined __AVX512F__
    return _mm512_max_ps(a, b);
#elif defined __AVX2__
    return _mm256_max_ps(a, b);
#else
    return vselect(a > b, a, b);
#endif
}

static inline vf vmin(vf a, vf b)
{
#if defined __AVX512F__
    return _mm512_min_ps(a, b);
#elif defined __AVX2__
    return _mm256_min_ps(a, b);
#else
    return vselect(a < b, a, b);
#endif
}

static inline vf vabs(vf a) { return (vf)((vi)a & viset(0x7FFFFFFF)); }

static inline vf vsqrt(vf a)
{
#if defined __AVX512F__
    return _mm512_sqrt_ps(a);
#elif defined __AVX2__
    return _mm256_sqrt_ps(a);
#elif defined __aarch64__
    return (vf)vsqrtq_f32((float32x4_t)a);
#else
    for (int i = 0; i < VF; i++)
        a[i] = sqrtf(a[i]);
    return a;
#endif
}

/* To the nearest whole number, ties to even. */
static inline vf vround(vf a)
{
#if defined __AVX512F__
    return _mm512_roundscale_ps(a, 8);
#elif defined __AVX2__
    return _mm256_round_ps(a, 8);
#elif defined __aarch64__
    return (vf)vrndnq_f32((float32x4_t)a);
#else
    vf big = vset(0x1p23f), sign = (vf)((vi)a & viset(INT32_MIN)), x = vabs(a);
    vf r = vselect(x < big, (x + big) - big, x);
    return (vf)((vi)r | (vi)sign);
#endif
}

/* ---- Over the lanes ----------------------------------------------------- */

static inline float vsum(vf a)
{
#if defined __AVX512F__
    return _mm512_reduce_add_ps(a);
#elif defined __AVX2__
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
#else
    float s[VF];
    memcpy(s, &a, sizeof s);
    for (int n = VF / 2; n; n /= 2)
        for (int i = 0; i < n; i++)
            s[i] += s[i + n];
    return s[0];
#endif
}

static inline float vlargest(vf a)
{
#if defined __AVX512F__
    return _mm512_reduce_max_ps(a);
#elif defined __AVX2__
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
#else
    float s[VF];
    memcpy(s, &a, sizeof s);
    for (int n = VF / 2; n; n /= 2)
        for (int i = 0; i < n; i++)
            s[i] = s[i] > s[i + n] ? s[i] : s[i + n];
    return s[0];
#endif
}

/* Exchange the rows and columns of a square: lane j of r[i] and lane i of r[j]. */
#if defined __AVX512F__
#define VLANES(f, s)                                                                               \
    f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s), f(8, s), f(9, s),      \
        f(10, s), f(11, s), f(12, s), f(13, s), f(14, s), f(15, s)
#elif defined __AVX2__
#define VLANES(f, s) f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s)
#else
#define VLANES(f, s) f(0, s), f(1, s), f(2, s), f(3, s)
#endif
#define VFROM_LOW(l, s)  ((l) & (s) ? VF + (l) - (s) : (l))
#define VFROM_HIGH(l, s) ((l) & (s) ? VF + (l) : (l) + (s))
#define VEXCHANGE(r, s)                                                                            \
    for (int i = 0; i < VF; i++)                                                                   \
        if (!(i & (s))) {                                                                          \
            vf a = r[i], b = r[i + (s)];                                                           \
            r[i] = __builtin_shufflevector(a, b, VLANES(VFROM_LOW, s));                            \
            r[i + (s)] = __builtin_shufflevector(a, b, VLANES(VFROM_HIGH, s));                     \
        }

static inline __attribute__((always_inline)) void vtranspose(vf r[VF])
{
#pragma GCC unroll 16
    VEXCHANGE(r, 1)
#pragma GCC unroll 16
    VEXCHANGE(r, 2)
#if defined __AVX2__
#pragma GCC unroll 16
    VEXCHANGE(r, 4)
#endif
#if defined __AVX512F__
#pragma GCC unroll 16
    VEXCHANGE(r, 8)
#endif
}

/* a[0] b[0] a[1] b[1] ...: the first VF of them, and the rest. */
#define VZIP(l, s) ((l) % 2 * VF + (l) / 2 + (s))
static inline vf vzip_low(vf a, vf b) { return __builtin_shufflevector(a, b, VLANES(VZIP, 0)); }
static inline vf vzip_high(vf a, vf b)
{
    return __builtin_shufflevector(a, b, VLANES(VZIP, VF / 2));
}

/* Lane l is lane l / 4 of the h-th quarter of a. */
static inline vf vquarter(vf a, int h)
{
#if defined __AVX512F__
    __m512i which = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(_mm512_add_epi32(which, _mm512_set1_epi32(4 * h)), a);
#elif defined __AVX2__
    __m256i which = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    return _mm256_permutevar8x32_ps(a, _mm256_add_epi32(which, _mm256_set1_epi32(2 * h)));
#else
    return vset(a[h]);
#endif
}

/* p[0] p[2] p[4] ..: the first n of them, 0 < n <= VF; what is behind them is not read. */
#define VEVEN(l, s) ((l) < VF / 2 ? 2 * (l) : 2 * (l) + 1)
static inline vf vload_even(const float *p, int64_t n)
{
    int64_t first = 2 * n - 1 < VF ? 2 * n - 1 : VF, second = 2 * n - VF > 0 ? 2 * n - VF : 0;
    vf      a = n == VF ? vload(p) : vload_part(p, first);
    vf      b = n == VF ? vload(p + VF - 1) : second ? vload_part(p + VF - 1, second) : vset(0);
    return __builtin_shufflevector(a, b, VLANES(VEVEN, 0));
}

/* ---- Halves ------------------------------------------------------------- */

/* To and from 32 bits; convertvector makes the same in more steps. */
static inline vu vwiden(const uint16_t *p)
{
#if defined __AVX512F__
    return (vu)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
#elif defined __AVX2__
    return (vu)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
#else
    return __builtin_convertvector(*(const vh_any *)p, vu);
#endif
}

static inline void vnarrow(uint16_t *p, vu a)
{
#if defined __AVX512F__
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16((__m512i)a));
#else
    *(vh_any *)p = __builtin_convertvector(a, vh);
#endif
}

static inline vu vwiden_part(const uint16_t *p, int64_t n)
{
#if defined __AVX512F__
    return (vu)_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
#else
    uint16_t row[VF] = { 0 };
    memcpy(row, p, (size_t)n * sizeof *p);
    return vwiden(row);
#endif
}

static inline void vnarrow_part(uint16_t *p, vu a, int64_t n)
{
#if defined __AVX512F__
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), _mm512_cvtepi32_epi16((__m512i)a));
#else
    uint16_t row[VF];
    vnarrow(row, a);
    memcpy(p, row, (size_t)n * sizeof *p);
#endif
}

static inline vf vload_bf16(const uint16_t *p) { return (vf)(vwiden(p) << 16); }

/* Rounded to nearest, ties to even; NaN stays NaN. */
static inline vu vround_bf16(vf a)
{
    vu u = (vu)a, r = (u + 0x7FFF + (u >> 16 & 1)) >> 16;
    return (vu)vselect(a == a, (vf)r, (vf)(u >> 16 | 0x40));
}
static inline void vstore_bf16(uint16_t *p, vf a) { vnarrow(p, vround_bf16(a)); }

static inline vf vload_f16(const uint16_t *p)
{
#if defined __AVX512F__
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
#elif defined __AVX2__
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif defined __aarch64__
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else /* as bits with f32's exponent range; the product scales subnormals right too */
    vu u = __builtin_convertvector(*(const vh_any *)p, vu), a = (u & 0x7FFF) << 13;
    vf f = (vf)a * 0x1p112f;
    f = vselect((vi)(a >= (0x7C00u << 13)), (vf)(a | 0x7F800000u), f);
    return (vf)((vu)f | (u & 0x8000) << 16);
#endif
}

static inline void vstore_f16(uint16_t *p, vf a)
{
#if defined __AVX512F__
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(a, 0));
#elif defined __AVX2__
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(a, 0));
#elif defined __aarch64__
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)a)));
#else
    vu u = (vu)a, sign = u >> 16 & 0x8000, x = u & 0x7FFFFFFFu;
    /* normal numbers round in place; small ones by the addition of a larger number */
    vu normal = (x - (112u << 23) + 0xFFF + (x >> 13 & 1)) >> 13;
    vf small = (vf)x + 0.5f; /* the last bit of 0.5 is worth f16's smallest number */
    vu r = (vu)vselect((vi)(x < (113u << 23)), (vf)((vu)small - (126u << 23)), (vf)normal);
    r = (vu)vselect((vi)(r > 0x7C00u), (vf)(vu){ 0x7C00, 0x7C00, 0x7C00, 0x7C00 }, (vf)r);
    r = (vu)vselect(a == a, (vf)r, (vf)(0x7E00u | (x >> 13 & 0x3FF)));
    *(vh_any *)p = __builtin_convertvector(r | sign, vh);
#endif
}

/* Pairs of bf16 in a lane, the even one in the lower half: sum + a0 b0 + a1 b1 in each.
 * Only for avx512bf16: in assembly, as the same object serves avx512 too. */
#if defined      __AVX512F__
static inline vf vdot_pairs(vi a, vi b, vf sum)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}
static inline void vstore_pairs(uint16_t *p, vf a)
{
    vh half;
    __asm__("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(a));
    *(vh_any *)p = half;
}
static inline vf vpairs(vf even, vf odd) /* as they meet in vdot_pairs */
{
    __m512i both,
        order = _mm512_setr_epi32(0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005,
                                  0x160006, 0x170007, 0x180008, 0x190009, 0x1A000A, 0x1B000B,
                                  0x1C000C, 0x1D000D, 0x1E000E, 0x1F000F);
    __asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(both) : "v"(odd), "v"(even));
    return (vf)_mm512_permutexvar_epi16(order, both);
}
#else
static inline vf   vdot_pairs(vi a, vi b, vf sum) { return (void)a, (void)b, sum; }
static inline void vstore_pairs(uint16_t *p, vf a) { vstore_bf16(p, a); }
static inline vf   vpairs(vf even, vf odd) { return (void)odd, even; }
#endif

/* ---- Bytes, four in a lane ---------------------------------------------- */

static inline vi vload_words(const void *p) { return (vi) * (const vu_any *)p; }

/* One lane for each byte. */
static inline vu vwiden_bytes(const uint8_t *p)
{
#if defined __AVX512F__
    return (vu)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif defined __AVX2__
    return (vu)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
#else
    return __builtin_convertvector(*(const vb_any *)p, vu);
#endif
}

/* The bytes of whole numbers from -128 to 127. */
static inline void vnarrow_bytes(int8_t *p, vi a)
{
#if defined __AVX512F__
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8((__m512i)a));
#elif defined __AVX2__
    __m256i first = _mm256_shuffle_epi8((__m256i)a, _mm256_set1_epi32(0x0C080400));
    __m128i both =
        _mm_unpacklo_epi32(_mm256_castsi256_si128(first), _mm256_extracti128_si256(first, 1));
    _mm_storel_epi64((__m128i *)(void *)p, both);
#else
    *(vb_any *)p = __builtin_convertvector((vu)a & 255, vb);
#endif
}

/* sum + w0 a0 + w1 a1 + w2 a2 + w3 a3 in each lane; w: 0 .. 127, a: -127 .. 127.  With
 * VBIAS w has up to 255. */
#if defined __AVX512VNNI__ || defined WK_VNNI_256
enum { VBIAS = 128 };
#else
enum { VBIAS = 0 };
#endif
static inline vi vdot(vi sum, vi w, vi a)
{
#if defined __AVX512VNNI__
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)a);
#elif defined __AVX512F__
    __m512i pairs = _mm512_maddubs_epi16((__m512i)w, (__m512i)a);
    return sum + (vi)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif defined WK_VNNI_EMULATED /* for tests */
    const __m256i low = _mm256_set1_epi16(255);
    __m256i       even = _mm256_srai_epi16(_mm256_slli_epi16((__m256i)a, 8), 8);
    __m256i       odd = _mm256_srai_epi16((__m256i)a, 8);
    even = _mm256_madd_epi16(even, _mm256_and_si256((__m256i)w, low));
    odd = _mm256_madd_epi16(odd, _mm256_srli_epi16((__m256i)w, 8));
    return sum + (vi)even + (vi)odd;
#elif defined WK_VNNI_256
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, (__m256i)a);
#elif defined __AVX2__
    __m256i pairs = _mm256_maddubs_epi16((__m256i)w, (__m256i)a);
    return sum + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif defined __ARM_FEATURE_DOTPROD
    return (vi)vdotq_s32((int32x4_t)sum, (int8x16_t)w, (int8x16_t)a);
#elif defined __aarch64__
    int16x8_t low = vmull_s8(vget_low_s8((int8x16_t)w), vget_low_s8((int8x16_t)a));
    int16x8_t high = vmull_high_s8((int8x16_t)w, (int8x16_t)a);
    return sum + (vi)vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
#else
    for (int i = 0; i < 4; i++)
        sum += ((vi)((vu)w << (24 - 8 * i)) >> 24) * ((vi)((vu)a << (24 - 8 * i)) >> 24);
    return sum;
#endif
}

#if !defined __AVX2__ || defined __AVX512F__ || defined WK_VNNI_256
/* As vdot() where w is signed, as it is without VBIAS; products of pairs of bytes would not
 * fit into 16 bits if they were not made signed by a. */
static inline vi                                        vdot_signed(vi sum, vi w, vi a)
{
#if defined __AVX512VNNI__ || defined WK_VNNI_256
    return vdot(sum, w, a);
#elif defined __AVX512F__
    __mmask64 minus = _mm512_movepi8_mask((__m512i)w);
    a = (vi)_mm512_mask_sub_epi8((__m512i)a, minus, _mm512_setzero_si512(), (__m512i)a);
    return vdot(sum, (vi)_mm512_abs_epi8((__m512i)w), a);
#else
    return vdot(sum, w, a);
#endif
}
#endif

/* The values of 16 that bytes 0 .. 15 stand for; they are in each 16 bytes of table. */
static inline vi vvalues(vi table, vi which)
{
#if defined __AVX512F__
    return (vi)_mm512_shuffle_epi8((__m512i)table, (__m512i)which);
#elif defined __AVX2__
    return (vi)_mm256_shuffle_epi8((__m256i)table, (__m256i)which);
#elif defined __aarch64__
    return (vi)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)which);
#else
    uint8_t t[VBYTES], w[VBYTES];
    memcpy(t, &table, sizeof t);
    memcpy(w, &which, sizeof w);
    for (int i = 0; i < VBYTES; i++)
        w[i] = t[w[i]];
    memcpy(&which, w, sizeof w);
    return which;
#endif
}

/* Each byte eight times. */
static inline vi vspread_bytes(const uint8_t *p)
{
#if defined __AVX2__ && !defined __AVX512F__
    const __m256i spread =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    int32_t word;
    memcpy(&word, p, sizeof word);
    return (vi)_mm256_shuffle_epi8(_mm256_set1_epi32(word), spread);
#else
    uint64_t x[VBYTES / 8];
    vi       a;
    for (int i = 0; i < VBYTES / 8; i++)
        x[i] = p[i] * 0x0101010101010101u;
    memcpy(&a, x, sizeof a);
    return a;
#endif
}

/* Of each byte, yes where its bit of the VBYTES at bits is 1, else no. */
static inline vi vchoose_bytes(const uint8_t *bits, vi yes, vi no)
{
#if defined __AVX512F__
    __mmask64 m;
    memcpy(&m, bits, sizeof m);
    return (vi)_mm512_mask_blend_epi8(m, (__m512i)no, (__m512i)yes);
#elif defined __AVX2__
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201u);
    __m256i       m = _mm256_and_si256((__m256i)vspread_bytes(bits), bit);
    return (vi)_mm256_blendv_epi8((__m256i)no, (__m256i)yes, _mm256_cmpeq_epi8(m, bit));
#elif defined __aarch64__
    static const uint8_t bit[8] = { 1, 2, 4, 8, 16, 32, 64, 128 };
    uint8x8_t            b = vld1_u8(bit);
    uint8x16_t m = vcombine_u8(vtst_u8(vdup_n_u8(bits[0]), b), vtst_u8(vdup_n_u8(bits[1]), b));
    return (vi)vbslq_u8(m, (uint8x16_t)yes, (uint8x16_t)no);
#else
    uint8_t y[VBYTES], n[VBYTES];
    memcpy(y, &yes, sizeof y);
    memcpy(n, &no, sizeof n);
    for (int i = 0; i < VBYTES; i++)
        n[i] = bits[i / 8] >> i % 8 & 1 ? y[i] : n[i];
    memcpy(&no, n, sizeof n);
    return no;
#endif
}

/* ---- exp ---------------------------------------------------------------- */

/* 2^n for whole n from -126 to 127 */
static inline vf vexp2i(vf n) { return (vf)(__builtin_convertvector(n + 127.0f, vi) << 23); }

/* e^x to about 1 unit in the last place: 2^n e^r with |r| <= log(2) / 2. */
static inline vf vexp(vf x)
{
    vf c = vmin(vmax(vset(-104.0f), x), vset(89.0f)); /* NaN passes: it comes second */
    vf n = vround(c * 1.44269504f);
    vf r = vfma(n, vset(-0.693359375f), c);
    r = vfma(n, vset(2.12194440e-4f), r);
    vf p = vset(1.9875691500e-4f);
    p = vfma(p, r, vset(1.3981999507e-3f));
    p = vfma(p, r, vset(8.3334519073e-3f));
    p = vfma(p, r, vset(4.1665795894e-2f));
    p = vfma(p, r, vset(1.6666665459e-1f));
    p = vfma(p, r, vset(5.0000001201e-1f));
    p = vfma(p, r * r, r) + 1.0f;
    vf half = vround(n * 0.5f); /* in two steps: results below 2^-126, and infinity */
    p = p * vexp2i(half) * vexp2i(n - half);
    return vselect(x == x, p, x);
}

/* 2^x for x up to 127, to 2 units in the last place; 0 below 2^-126. */
static inline vf vexp2(vf x)
{
    vf c = vmax(vset(-127.0f), x); /* NaN passes */
    vf n = vround(c), r = c - n;
    vf p = vfma(vset(1.326472731e-3f), r, vset(9.671512991e-3f));
    p = vfma(p, r, vset(5.550733581e-2f));
    p = vfma(p, r, vset(2.402224243e-1f));
    p = vfma(p, r, vset(6.931470037e-1f));
    return vfma(p, r, vset(1)) * vexp2i(n);
}

#endif
