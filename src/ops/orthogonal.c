// SPDX-License-Identifier: MIT OR Apache-2.0
/* orthogonal.c - what reflections and rotations give: QR, singular and eigenvalues.
 *
 * QR by Householder's reflections, with LAPACK's signs.  SVD by Hestenes' one-sided Jacobi
 * rotations, eigenvalues by Jacobi's: slower than the ways over bidiagonals, shorter, and
 * as accurate as there is (Demmel and Veselic, 1992). */
#include "matrix.h"

#include <math.h>

enum { SWEEPS = 60 };

/* ---- QR ----------------------------------------------------------------- */

/* x [m, c] less tau v (v^T x), for v = 1 at row j and below it column j of w [m, n] */
static void reflect(double *x, int64_t c, const double *w, int64_t m, int64_t n, int64_t j,
                    double tau, int64_t from, double *sum)
{
    for (int64_t i = j; i < m; i++) {
        double v = i == j ? 1 : w[i * n + j];
        for (int64_t k = from; k < c; k++)
            sum[k] = (i == j ? 0 : sum[k]) + v * x[i * c + k];
    }
    for (int64_t i = j; i < m; i++) {
        double v = i == j ? tau : tau * w[i * n + j];
        for (int64_t k = from; k < c; k++)
            x[i * c + k] -= v * sum[k];
    }
}

/* parts: Q [m, k], R [k, n] */
bool wk_matrix_qr(const double *a, int64_t m, int64_t n, double *out, double *work)
{
    int64_t k = wk_min_i64(m, n);
    double *w = work, *tau = w + m * n, *sum = tau + k, *q = out, *r = q + m * k;
    memcpy(w, a, (size_t)(m * n) * sizeof *a);
    for (int64_t j = 0; j < k; j++) {
        double first = w[j * n + j], below = 0;
        for (int64_t i = j + 1; i < m; i++)
            below = hypot(below, w[i * n + j]);
        tau[j] = 0;
        if (below == 0)
            continue;
        double beta = -copysign(hypot(first, below), first);
        tau[j] = (beta - first) / beta;
        for (int64_t i = j + 1; i < m; i++)
            w[i * n + j] /= first - beta;
        reflect(w, n, w, m, n, j, tau[j], j + 1, sum);
        w[j * n + j] = beta;
    }
    for (int64_t i = 0; i < k * n; i++)
        r[i] = i % n < i / n ? 0 : w[i];
    for (int64_t i = 0; i < m * k; i++)
        q[i] = i / k == i % k;
    for (int64_t j = k - 1; j >= 0; j--)
        reflect(q, k, w, m, n, j, tau[j], j, sum);
    return true;
}

/* ---- Rotations ---------------------------------------------------------- */

/* The angle that makes [[a, c], [c, b]] diagonal, no larger than 45 degrees. */
static void angle(double a, double b, double c, double *cosine, double *sine)
{
    double z = (b - a) / (2 * c), t = copysign(1, z) / (fabs(z) + hypot(1, z));
    *cosine = 1 / sqrt(1 + t * t);
    *sine = t * *cosine;
}

static void rotate(double *restrict x, double *restrict y, int64_t n, double c, double s)
{
    for (int64_t i = 0; i < n; i++) {
        double t = x[i];
        x[i] = c * t - s * y[i];
        y[i] = s * t + c * y[i];
    }
}

/* In eight sums, for the sake of speed. */
static double dot(const double *x, const double *y, int64_t n)
{
    double  sum[8] = { 0 };
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            sum[k] += x[i + k] * y[i + k];
    for (; i < n; i++)
        sum[i % 8] += x[i] * y[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

static void make_eye(double *x, int64_t n)
{
    for (int64_t i = 0; i < n * n; i++)
        x[i] = i / n == i % n;
}

/* order: which of value comes first, second ... */
static void sort_order(const double *value, double *order, int64_t n, bool descending)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t k = i;
        for (; k > 0; k--) {
            double before = value[(int64_t)order[k - 1]];
            if (descending ? before >= value[i] : before <= value[i])
                break;
            order[k] = order[k - 1];
        }
        order[k] = (double)i;
    }
}

/* ---- SVD ---------------------------------------------------------------- */

/* Turn the k rows of w, each p long, until they are orthogonal; v turns with them.  The
 * squares of their lengths are known between sweeps: a turn says how they change. */
static void make_orthogonal(double *w, double *v, double *square, int64_t k, int64_t p)
{
    double tiny = 1e-34 * dot(w, w, k * p);
    bool   turned = true;
    for (int sweep = 0; turned && sweep < SWEEPS; sweep++) {
        turned = false;
        for (int64_t i = 0; i < k; i++)
            square[i] = dot(w + i * p, w + i * p, p);
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = i + 1; j < k; j++) {
                double *x = w + i * p, *y = w + j * p, c, s;
                double  a = square[i], b = square[j], ab = dot(x, y, p);
                if (a <= tiny || b <= tiny || !(fabs(ab) > 1e-16 * sqrt(a) * sqrt(b)))
                    continue;
                angle(a, b, ab, &c, &s);
                rotate(x, y, p, c, s);
                rotate(v + i * k, v + j * k, k, c, s);
                square[i] = fmax(a - s / c * ab, 0);
                square[j] = b + s / c * ab;
                turned = true;
            }
    }
}

/* Row j of w, which is 0 or noise, becomes a unit vector across the rows seen before. */
static void complete(double *w, const double *order, int64_t j, int64_t p)
{
    double *x = w + (int64_t)order[j] * p, size = 0;
    for (int64_t axis = 0; axis < p && size < 0.5 / sqrt((double)p); axis++) {
        for (int64_t i = 0; i < p; i++)
            x[i] = i == axis;
        for (int64_t twice = 0; twice < 2; twice++)
            for (int64_t r = 0; r < j; r++) {
                const double *y = w + (int64_t)order[r] * p;
                double        f = dot(x, y, p);
                for (int64_t i = 0; i < p; i++)
                    x[i] -= f * y[i];
            }
        size = sqrt(dot(x, x, p));
    }
    for (int64_t i = 0; i < p; i++)
        x[i] /= size;
}

/* parts: U [m, k], S [k], V^T [k, n].  Of a wide matrix the transpose is taken apart. */
bool wk_matrix_svd(const double *a, int64_t m, int64_t n, double *out, double *work)
{
    int64_t k = wk_min_i64(m, n), p = wk_max_i64(m, n);
    double *w = work, *v = w + k * p, *sigma = v + k * k, *order = sigma + k;
    double *u = out, *s = u + m * k, *vt = s + k, scale = largest(a, m * n);
    scale = scale > 0 ? scale : 1;
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < p; i++)
            w[j * p + i] = (m >= n ? a[i * n + j] : a[j * n + i]) / scale;
    make_eye(v, k);
    make_orthogonal(w, v, sigma, k, p);
    for (int64_t j = 0; j < k; j++)
        sigma[j] = sqrt(dot(w + j * p, w + j * p, p));
    sort_order(sigma, order, k, true);
    for (int64_t j = 0; j < k; j++) {
        int64_t from = (int64_t)order[j];
        s[j] = sigma[from] * scale;
        if (sigma[from] <= 1e-16 * sigma[(int64_t)order[0]])
            complete(w, order, j, p);
        else
            for (int64_t i = 0; i < p; i++)
                w[from * p + i] /= sigma[from];
        const double *left = m >= n ? w + from * p : v + from * k;
        const double *right = m >= n ? v + from * k : w + from * p;
        for (int64_t i = 0; i < m; i++)
            u[i * k + j] = left[i];
        memcpy(vt + j * n, right, (size_t)n * sizeof *vt);
    }
    return true;
}

/* ---- Eigenvalues of a symmetric matrix, of which the lower triangle is read ---------- */

/* Make element (i, j) of the symmetric matrix 0, by turning rows and columns alike. */
static void turn(double *w, int64_t n, int64_t i, int64_t j, double *c, double *s)
{
    double *x = w + i * n, *y = w + j * n, a = x[i], b = y[j], ab = x[j];
    angle(a, b, ab, c, s);
    rotate(x, y, n, *c, *s);
    x[i] = a - *s / *c * ab;
    y[j] = b + *s / *c * ab;
    x[j] = y[i] = 0;
    for (int64_t k = 0; k < n; k++) {
        w[k * n + i] = x[k];
        w[k * n + j] = y[k];
    }
}

/* parts: values [n], ascending; vectors [n, n], in columns */
bool wk_matrix_eigh(const double *a, int64_t m, int64_t n, double *out, double *work)
{
    double *w = work, *v = w + m * n, *value = v + n * n, *order = value + n;
    for (int64_t i = 0; i < n * n; i++)
        w[i] = a[i / n >= i % n ? i : i % n * n + i / n];
    make_eye(v, n);
    double tiny = 1e-18 * largest(w, n * n);
    bool   turned = true;
    for (int sweep = 0; turned && sweep < SWEEPS; sweep++) {
        turned = false;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i + 1; j < n; j++) {
                double c, s;
                if (!(fabs(w[i * n + j]) > tiny))
                    continue;
                turn(w, n, i, j, &c, &s);
                rotate(v + i * n, v + j * n, n, c, s);
                turned = true;
            }
    }
    for (int64_t i = 0; i < n; i++)
        value[i] = w[i * n + i];
    sort_order(value, order, n, false);
    for (int64_t j = 0; j < n; j++) {
        out[j] = value[(int64_t)order[j]];
        for (int64_t i = 0; i < n; i++)
            out[n + i * n + j] = v[(int64_t)order[j] * n + i];
    }
    return true;
}
