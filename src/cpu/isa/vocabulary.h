// SPDX-License-Identifier: MIT OR Apache-2.0
/* vocabulary.h - the words of wick/unary.def and wick/binary.def, for vectors.
 *
 * It renames much of math.h, and so comes last. */
#ifndef WK_CPU_VOCABULARY_H
#define WK_CPU_VOCABULARY_H

#include "vmath.h"

/* ---- Functions without a vector form ------------------------------------- */

#define LANES(f, x)     WK_ISA(vlanes)(f, x)
#define LANES2(f, x, y) WK_ISA(vlanes2)(f, x, y)
#define tan(x)          LANES((tan), x)
#define asin(x)         LANES(wk_asin_f64, x)
#define acos(x)         LANES(wk_acos_f64, x)
#define atan(x)         LANES((atan), x)
#define asinh(x)        LANES((asinh), x)
#define acosh(x)        LANES((acosh), x)
#define atanh(x)        LANES((atanh), x)
#define erfinv(x)       LANES(wk_erfinv_f64, x)
#define lgamma(x)       LANES(wk_lgamma_f64, x)
#define digamma(x)      LANES(wk_digamma_f64, x)
#define trigamma(x)     LANES(wk_trigamma_f64, x)
#define tetragamma(x)   LANES(wk_tetragamma_f64, x)
#define fmod(x, y)      LANES2((fmod), x, y)
#define modulo(x, y)    LANES2(wk_modulo_f64, x, y)
#define floordiv(x, y)  LANES2(wk_floordiv_f64, x, y)
#define atan2(x, y)     LANES2(wk_atan2_f64, x, y)
#define hypot(x, y)     LANES2((hypot), x, y)

/* ---- Those that have one -------------------------------------------------- */

#define K(c)            vset((float)(c))
#define select(c, x, y) vselect(c, x, y)
#define both(c, d)      ((c) & (d))
#define max(x, y)       vmax(x, y)
#define min(x, y)       vmin(x, y)
#define fabs(x)         vabs(x)
#define sqrt(x)         vsqrt(x)
#define rint(x)         vround(x)
#define floor(x)        vfloor(x)
#define ceil(x)         vceil(x)
#define trunc(x)        vtrunc(x)
#define sgn(x)          vsgn(x)
#define copysign(x, y)  vsign_of(vabs(x), y)
#define exp(x)          WK_ISA(vexp_all)(x)
#define exp2(x)         WK_ISA(vexp2_all)(x)
#define expm1(x)        WK_ISA(vexpm1)(x)
#define log(x)          WK_ISA(vlog)(x)
#define log2(x)         WK_ISA(vlog2)(x)
#define log10(x)        WK_ISA(vlog10)(x)
#define log1p(x)        WK_ISA(vlog1p)(x)
#define pow(x, y)       WK_ISA(vpow)(x, y)
#define sin(x)          WK_ISA(vsin)(x)
#define cos(x)          WK_ISA(vcos)(x)
#define sinh(x)         WK_ISA(vsinh)(x)
#define cosh(x)         WK_ISA(vcosh)(x)
#define tanh(x)         WK_ISA(vtanh)(x)
#define erf(x)          WK_ISA(verf)(x)
#define erfc(x)         WK_ISA(verfc)(x)
#define ncdf(x)         WK_ISA(vncdf)(x)
#define npdf(x)         WK_ISA(vnpdf)(x)
#define sig(x)          WK_ISA(vsig)(x)
#define splus(x)        WK_ISA(vsplus)(x)

#endif
