// SPDX-License-Identifier: MIT OR Apache-2.0
/* vmath.h - the functions of math.h, and some more, on vectors of floats.
 *
 * All are right at zeros, subnormals, infinities, NaN and huge arguments.  They are
 * called, not inlined: a call costs little beside them, and there are many callers. */
#ifndef WK_CPU_VMATH_H
#define WK_CPU_VMATH_H

#include "../simd.h"
#include "isa.h"

#define VMATH(name) __attribute__((const)) vf WK_ISA(name)

VMATH(vexp_all)(vf x); /* e^x and 2^x, from 0 by way of subnormals to infinity */
VMATH(vexp2_all)(vf x);
VMATH(vexpm1)(vf x);
VMATH(vlog)(vf x);
VMATH(vlog2)(vf x);
VMATH(vlog10)(vf x);
VMATH(vlog1p)(vf x);
VMATH(vpow)(vf x, vf y);
VMATH(vsin)(vf x);
VMATH(vcos)(vf x);
VMATH(vsinh)(vf x);
VMATH(vcosh)(vf x);
VMATH(vtanh)(vf x);
VMATH(verf)(vf x);
VMATH(verfc)(vf x);
VMATH(vncdf)(vf x); /* the normal distribution, and its density */
VMATH(vnpdf)(vf x);
VMATH(vsig)(vf x);   /* 1 / (1 + e^-x) */
VMATH(vsplus)(vf x); /* log(1 + e^x) */

/* Each lane through a function of doubles: for what is rare. */
vf WK_ISA(vlanes)(double (*f)(double), vf x);
vf WK_ISA(vlanes2)(double (*f)(double, double), vf x, vf y);

/* ---- Small ones --------------------------------------------------------- */

static inline vf vsign_of(vf magnitude, vf sign) /* magnitude >= 0 */
{
    return (vf)((vi)magnitude | ((vi)sign & viset(INT32_MIN)));
}

static inline vf vtrunc(vf x)
{
    vf a = vabs(x), r = vround(a);
    return vsign_of(r - vselect(r > a, vset(1), vset(0)), x);
}

static inline vf vfloor(vf x)
{
    vf r = vround(x);
    return vselect(r > x, r - 1.0f, r);
}

static inline vf vceil(vf x) { return -vfloor(-x); }

static inline vf vsgn(vf x)
{
    return vselect(x > 0.0f, vset(1), vset(0)) - vselect(x < 0.0f, vset(1), vset(0));
}

#endif
