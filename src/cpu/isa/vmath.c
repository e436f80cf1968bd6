// SPDX-License-Identifier: MIT OR Apache-2.0
/* vmath.c - the functions of vmath.h.
 *
 * Polynomials are minimax fits by tools/fit_vmath.py.  Where f32 has too few digits for
 * an intermediate result, it is carried as a sum of two, or in doubles. */
#include "vmath.h"

/* c[0] x^(n-1) + ... + c[n-1] */
static inline __attribute__((always_inline)) vf poly(vf x, const float *c, int n)
{
    vf p = vset(c[0]);
#pragma GCC unroll 16
    for (int i = 1; i < n; i++)
        p = vfma(p, x, vset(c[i]));
    return p;
}
#define POLY(x, ...)                                                                               \
    poly((x), (const float[]){ __VA_ARGS__ }, (int)(sizeof((float[]){ __VA_ARGS__ }) / 4))

static inline bool vany(vi condition)
{
#if defined __AVX512F__
    return _mm512_test_epi32_mask((__m512i)condition, (__m512i)condition);
#elif defined __AVX2__
    return !_mm256_testz_si256((__m256i)condition, (__m256i)condition);
#else
    int32_t any = 0;
    for (int i = 0; i < VF; i++)
        any |= condition[i];
    return any;
#endif
}

static inline vf vclamp(vf x, float low, float high) /* NaN passes */
{
    return vmin(vset(high), vmax(vset(low), x));
}

/* x 2^n for whole n from -252 to 254, in two steps: the result may be subnormal */
static inline vf vscale2(vf x, vf n)
{
#if defined __AVX512F__
    return _mm512_scalef_ps(x, n);
#else
    vf half = vround(n * 0.5f);
    return x * vexp2i(half) * vexp2i(n - half);
#endif
}

/* 1 / x for x from 1 to 2^100, where division is slow by way of an estimate */
static inline vf vrecip(vf x)
{
#if defined __AVX512F__
    vf r = _mm512_rcp14_ps(x);
    return vfma(r, vfma(-x, r, vset(1)), r);
#else
    return 1.0f / x;
#endif
}

/* ---- Exponentials ------------------------------------------------------- */

/* x = n log(2) + r with |r| <= log(2) / 2; gives e^r - 1 and n. */
static inline vf vexp_parts(vf high, vf low, vf *n)
{
    *n = vround((high + low) * 1.44269504f);
    vf r = vfma(*n, vset(-0.693359375f), high);
    r = vfma(*n, vset(2.12194440e-4f), r) + low;
    vf p =
        POLY(r, 0.000198458773f, 0.00139406254f, 0.00833338965f, 0.0416663624f, 0.166666657f, 0.5f);
    return vfma(p, r * r, r);
}

/* e^(high + low), low much the smaller one */
static inline vf vexp_of(vf high, vf low)
{
    vf n, p = vexp_parts(high, low, &n);
    return vscale2(p + 1.0f, n);
}

/* The same where it does not matter that it is a call. */
static __attribute__((noinline)) vf vexp_far(vf high, vf low) { return vexp_of(high, low); }

VMATH(vexp_all)(vf x) { return vexp_of(vclamp(x, -104, 89), vset(0)); }

VMATH(vexp2_all)(vf x)
{
    vf c = vclamp(x, -151, 128), n = vround(c), r = c - n;
    vf p = POLY(r, 0.00015353362f, 0.00133988739f, 0.00961843692f, 0.0555033237f, 0.240226477f,
                0.693147182f);
    return vscale2(vfma(p, r, vset(1)), n);
}

VMATH(vexpm1)(vf x)
{
    vf n, p = vexp_parts(vclamp(x, -104, 89), vset(0), &n);
    vf half = vexp2i(vmax(n - 1.0f, vset(-126))); /* 2^n itself may overflow */
    vf r = vfma(p, half, half - 0.5f);
    return vselect(vabs(x) < 0x1p-25f, x, r + r);
}

VMATH(vsig)(vf x)
{
    vf e = vexp_of(vclamp(-vabs(x), -104, 0), vset(0)), r = vrecip(1.0f + e);
    return vselect(x < 0.0f, e * r, r);
}

VMATH(vtanh)(vf x)
{
    vf e = WK_ISA(vexpm1)(vmin(vset(20), vabs(x + x))); /* NaN passes */
    return vsign_of(vabs(e / (e + 2.0f)), x);
}

VMATH(vcosh)(vf x)
{
    vf e = vexp_far(vmin(vset(91), vabs(x)), vset(-0.69314718f));
    return vfma(vset(0.25f), 1.0f / e, e);
}

VMATH(vsinh)(vf x)
{
    vf a = vabs(x), e = vexp_far(vmin(vset(91), a), vset(-0.69314718f)), s = x * x;
    vf p = POLY(s, 2.81695134e-06f, 0.000198361595f, 0.0083333496f, 0.166666672f);
    vf large = vfma(vset(-0.25f), 1.0f / e, e);
    return vselect(a < 1.0f, vfma(p * s, x, x), vsign_of(large, x));
}

/* ---- Logarithms --------------------------------------------------------- */

/* x = 2^e (1 + z) with sqrt(1/2) <= 1 + z < sqrt(2); gives log(1 + z) - z, z and e.
 * x must be positive. */
static inline vf vlog_parts(vf x, vf *z, vf *e)
{
    vi small = x < 0x1p-126f;
    vi bits = (vi)vselect(small, x * 0x1p23f, x);
    vi k = (vi)((vu)bits - 0x3F3504F3u) >> 23; /* sqrt(1/2) is 3F3504F3 */
    *e = __builtin_convertvector(k, vf) - vselect(small, vset(23), vset(0));
    *z = (vf)((vu)bits - ((vu)k << 23)) - 1.0f;
    vf s = *z * *z;
    vf p = POLY(*z, 0.0674458966f, -0.116748199f, 0.118885882f, -0.124057531f, 0.14219521f,
                -0.166679859f, 0.200021192f, -0.250000089f, 0.333333135f);
    return vfma(vset(-0.5f), s, p * s * *z);
}

/* What the logarithm r of x is where x is not a positive number. */
static inline vf vlog_ends(vf x, vf r)
{
    r = vselect(x == INFINITY, x, r);
    r = vselect(x == 0.0f, vset(-INFINITY), r);
    return vselect(x >= 0.0f, r, vset(NAN));
}

VMATH(vlog)(vf x)
{
    vf z, e, r = vlog_parts(x, &z, &e);
    r = vfma(e, vset(-2.12194440e-4f), r);
    return vlog_ends(x, vfma(e, vset(0.693359375f), r + z));
}

VMATH(vlog2)(vf x) /* log2(e) in two parts, the first one of few digits */
{
    vf z, e, r = vlog_parts(x, &z, &e);
    vf low = vfma(z + r, vset(4.42695041e-1f), r);
    return vlog_ends(x, low + z + e);
}

VMATH(vlog10)(vf x) /* likewise log10(2) and log10(e) */
{
    vf z, e, r = vlog_parts(x, &z, &e);
    vf low = vfma(z + r, vset(-3.20551811e-3f), e * vset(4.60503892e-6f));
    low = vfma(r, vset(0.4375f), low);
    vf high = vfma(z, vset(0.4375f), low);
    return vlog_ends(x, vfma(e, vset(0.301025391f), high));
}

VMATH(vlog1p)(vf x)
{
    vf u = 1.0f + x, lost = vselect(u >= 2.0f, 1.0f - (u - x), x - (u - 1.0f)) / u;
    vf r = WK_ISA(vlog)(u);
    r = vselect(vabs(r) < INFINITY, r + lost, r);
    return vselect(u == 1.0f, x, r);
}

/* ---- In doubles: powers, and the reduction of angles --------------------- */

typedef double  vd __attribute__((vector_size(VBYTES)));
typedef int64_t vl __attribute__((vector_size(VBYTES)));
typedef float   vhalf __attribute__((vector_size(VBYTES / 2)));

static inline vd vhalf_to_f64(vf x, int part)
{
    vhalf h;
    memcpy(&h, (char *)&x + part * VBYTES / 2, sizeof h);
    return __builtin_convertvector(h, vd);
}

static inline void vhalf_from_f64(vf *x, int part, vd d)
{
    vhalf h = __builtin_convertvector(d, vhalf);
    memcpy((char *)x + part * VBYTES / 2, &h, sizeof h);
}

static inline vd vround_f64(vd x) /* |x| < 2^51 */
{
    vd big = 0x1.8p52 - (vd){ 0 };
    return (x + big) - big;
}

/* log2 of positive finite x, to about 1e-12 */
static inline vd vlog2_f64(vd x)
{
    vl k = ((vl)x - 0x3FE6A09E667F3BCD) >> 52; /* sqrt(1/2) */
    vd m = (vd)((vl)x - (k << 52)), s = (m - 1.0) / (m + 1.0), q = s * s;
    vd p = q * 0.22195308321368, t; /* 2 / (log(2) (2k + 1)) */
    p = (p + 0.26230818925253) * q + 0.32059889797532;
    p = (p * q + 0.41219858311113) * q + 0.57707801635558;
    p = (p * q + 0.96179669392597) * q + 2.88539008177793;
    t = (vd)(k + 0x4338000000000000) - 0x1.8p52; /* k as a double */
    return p * s + t;
}

/* |x|^y, for x neither 0 nor infinite nor -1 or 1 */
static inline vf vpow_inner(vf x, vf y)
{
    vf n = { 0 }, f = { 0 };
    for (int part = 0; part < 2; part++) {
        vd l = vlog2_f64(vhalf_to_f64(x, part)) * vhalf_to_f64(y, part);
        l = (vd)(((vl)l & (l < 200.0)) | ((vl)(200.0 - (vd){ 0 }) & (l >= 200.0)));
        l = (vd)(((vl)l & (l > -200.0)) | ((vl)(-200.0 - (vd){ 0 }) & (l <= -200.0)));
        vd whole = vround_f64(l);
        vhalf_from_f64(&n, part, whole);
        vhalf_from_f64(&f, part, l - whole);
    }
    vf p = POLY(f, 0.00015353362f, 0.00133988739f, 0.00961843692f, 0.0555033237f, 0.240226477f,
                0.693147182f);
    return vscale2(vfma(p, f, vset(1)), n);
}

VMATH(vpow)(vf x, vf y)
{
    vf a = vabs(x), b = vabs(y), zero = vset(0), one = vset(1), infinity = vset(INFINITY);
    vi whole = vround(y) == y, odd = whole & (b < 0x1p24f);
    odd &= (__builtin_convertvector(vselect(odd, y, zero), vi) & 1) == 1;
    vf r = vpow_inner(a, y);
    r = vselect(a == 0.0f, vselect(y > 0.0f, zero, infinity), r);
    r = vselect(a == INFINITY, vselect(y > 0.0f, infinity, zero), r);
    r = vselect((x < 0.0f) & (a < INFINITY) & ~whole, vset(NAN), r);
    r = vselect(a == 1.0f, vselect((x > 0.0f) | whole, one, vset(NAN)), r);
    r = (vf)((vi)r | ((vi)x & odd & viset(INT32_MIN)));
    r = vselect((x != x) | (y != y), x + y, r);
    return vselect((y == 0.0f) | (x == 1.0f), one, r);
}

static double sine(double x) { return sin(x); }
static double cosine(double x) { return cos(x); }

/* sin(x + turns quarter turns) */
static inline vf vsin_turned(vf x, int turns)
{
    vf r = { 0 }, n = { 0 };
    if (vany(~(vabs(x) < 0x1p20f)))
        return WK_ISA(vlanes)(turns ? cosine : sine, x);
    for (int part = 0; part < 2; part++) {
        vd d = vhalf_to_f64(x, part), k = vround_f64(d * 0.63661977236758134);
        vhalf_from_f64(&n, part, k);
        d = d - k * 0x1.921fb544p0; /* pi / 2 in two parts: the first product is exact */
        vhalf_from_f64(&r, part, d - k * 0x1.0b4611a626331p-34);
    }
    vi quarter = __builtin_convertvector(n, vi) + turns;
    vf s = r * r;
    vf sin = vfma(POLY(s, -0.00019515281f, 0.0083321603f, -0.166666552f) * s, r, r);
    vf cos = POLY(s, 2.4433155e-05f, -0.00138873165f, 0.0416666456f, -0.5f, 1);
    vf y = vselect((quarter & 1) == 1, cos, sin);
    return (vf)((vi)y ^ (quarter >> 1 << 31));
}

VMATH(vsin)(vf x) { return vselect(x == 0.0f, x, vsin_turned(x, 0)); }
VMATH(vcos)(vf x) { return vsin_turned(x, 1); }

/* ---- The normal distribution -------------------------------------------- */

/* -c x^2 as a sum of two, for c = 1/2 or 1: its error would be that of the exponential */
static inline vf vsquare(vf x, float c, vf *low)
{
    vf top = (vf)((vi)x & viset(~0xFFF));
    *low = -c * ((x - top) * (x + top));
    return -c * (top * top);
}

/* e^(x^2 / 2) ncdf(-x), for x from 0 to 14.5 */
static inline vf vtail(vf x)
{
    vf t = vrecip(vfma(x, vset(0.35f), vset(1)));
    return t * POLY(t, -0.0291584451f, 0.144033447f, -0.255843818f, 0.159324735f, -0.0232154932f,
                    0.105553694f, 0.119821019f, 0.139863551f, 0.139621302f);
}

VMATH(vncdf)(vf x)
{
    vf a = vmin(vset(14.5f), vabs(x)), low, high = vsquare(a, 0.5f, &low);
    vf y = vexp_of(high, low) * vtail(a);
    return vselect(x < 0.0f, y, 1.0f - y);
}

VMATH(vnpdf)(vf x)
{
    vf low, high = vsquare(vmin(vset(14.5f), vabs(x)), 0.5f, &low);
    return 0.398942280f * vexp_far(high, low);
}

VMATH(verfc)(vf x)
{
    vf a = vmin(vset(10.2f), vabs(x)), low, high = vsquare(a, 1, &low);
    vf y = 2.0f * vexp_far(high, low) * vtail(a * 1.41421356f);
    return vselect(x < 0.0f, 2.0f - y, y);
}

VMATH(verf)(vf x)
{
    vf s = x * x;
    vf p = POLY(s, -9.64153969e-06f, 0.000112569563f, -0.000848283002f, 0.00522094546f,
                -0.0268654004f, 0.112837821f, -0.376126379f, 0.128379166f);
    vf large = vsign_of(1.0f - WK_ISA(verfc)(vabs(x)), x);
    return vselect(vabs(x) < 1.0f, vfma(p, x, x), large);
}

VMATH(vsplus)(vf x)
{
    return vmax(x, vset(0)) + WK_ISA(vlog1p)(vexp_far(vclamp(-vabs(x), -104, 0), vset(0)));
}

/* ---- Lane by lane ------------------------------------------------------- */

vf WK_ISA(vlanes)(double (*f)(double), vf x)
{
    for (int i = 0; i < VF; i++)
        x[i] = (float)f(x[i]);
    return x;
}

vf WK_ISA(vlanes2)(double (*f)(double, double), vf x, vf y)
{
    for (int i = 0; i < VF; i++)
        x[i] = (float)f(x[i], y[i]);
    return x;
}
