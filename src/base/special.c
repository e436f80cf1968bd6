// SPDX-License-Identifier: MIT OR Apache-2.0
/* special.c - special functions that libm lacks.
 *
 * The polygamma functions step up by their recurrence to where the asymptotic series
 * (Abramowitz and Stegun, 6.3.18 and 6.4.11) is exact to double precision. */
#include "base.h"

#include <math.h>

enum { FAR = 12 };

static const double PI = 3.14159265358979323846;

double wk_modulo_f64(double a, double b)
{
    double m = fmod(a, b);
    return m != 0 && (m < 0) != (b < 0) ? m + b : m;
}

double wk_floordiv_f64(double a, double b) /* of a - a mod b */
{
    double m = fmod(a, b), y = (a - m) / b;
    if (b == 0)
        return a / b;
    y -= m != 0 && (m < 0) != (b < 0);
    return y == 0 ? copysign(0, a / b) : floor(y) + (y - floor(y) > 0.5);
}

/* Newton's method on erf, from Winitzki's approximation. */
double wk_erfinv_f64(double x)
{
    if (!(fabs(x) < 1))
        return fabs(x) == 1 ? copysign(INFINITY, x) : NAN;
    double l = log1p(-x * x), h = 2 / (PI * 0.147) + l / 2;
    double y = copysign(sqrt(sqrt(h * h - l / 0.147) - h), x);
    for (int i = 0; i < 3; i++) { /* erfc keeps its digits where erf is close to 1 */
        double error = x < 0 ? (1 + x) - erfc(-y) : erfc(y) - (1 - x);
        y += error / (1.1283791670955126 * exp(-y * y));
    }
    return y;
}

double wk_lgamma_f64(double x)
{
#if defined __GLIBC__ || defined __APPLE__
    int sign;
    return lgamma_r(x, &sign); /* lgamma() writes a global */
#else
    return lgamma(x);
#endif
}

double wk_digamma_f64(double x)
{
    if (x == floor(x) && x <= 0)
        return x == 0 ? copysign(INFINITY, -x) : NAN;
    if (x < 0)
        return wk_digamma_f64(1 - x) - PI / tan(PI * x);
    double sum = 0;
    for (; x < FAR; x++)
        sum -= 1 / x;
    double r = 1 / (x * x);
    return sum + log(x) - 0.5 / x -
           r * (1. / 12 - r * (1. / 120 - r * (1. / 252 - r * (1. / 240 - r * (1. / 132)))));
}

double wk_asin_f64(double x) { return atan(x / sqrt((1 - x) * (1 + x))); }
double wk_acos_f64(double x) { return 2 * atan(sqrt((1 - x) / (1 + x))); }

double wk_atan2_f64(double y, double x)
{
    if (x != x || y != y)
        return x + y;
    double a = y == 0 ? 0 : isinf(x) && isinf(y) ? PI / 4 : atan(fabs(y / x));
    return copysign(signbit(x) ? PI - a : a, y);
}

double wk_trigamma_f64(double x)
{
    if (x == floor(x) && x <= 0)
        return INFINITY;
    if (x < 0) {
        double s = sin(PI * x);
        return PI * PI / (s * s) - wk_trigamma_f64(1 - x);
    }
    double sum = 0;
    for (; x < FAR; x++)
        sum += 1 / (x * x);
    double r = 1 / (x * x);
    return sum + 1 / x + r / 2 +
           r / x * (1. / 6 - r * (1. / 30 - r * (1. / 42 - r * (1. / 30 - r * (5. / 66)))));
}

double wk_tetragamma_f64(double x)
{
    if (x == floor(x) && x <= 0)
        return NAN;
    if (x < 0) {
        double s = sin(PI * x);
        return wk_tetragamma_f64(1 - x) - 2 * PI * PI * PI * cos(PI * x) / (s * s * s);
    }
    double sum = 0;
    for (; x < FAR; x++)
        sum -= 2 / (x * x * x);
    double r = 1 / (x * x);
    return sum - r - r / x -
           r * r * (1. / 2 - r * (1. / 6 - r * (1. / 6 - r * (3. / 10 - r * (5. / 6)))));
}
