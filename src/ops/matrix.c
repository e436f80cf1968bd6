// SPDX-License-Identifier: MIT OR Apache-2.0
/* matrix.c - what elimination gives: LU, determinants, inverses, systems; Cholesky.
 *
 * Golub and Van Loan, "Matrix Computations", chapters 3 and 4.  Inner loops run along
 * rows, which lie together. */
#include "matrix.h"

#include <math.h>

static void subtract(double *y, double f, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] -= f * x[i];
}

static void swap_rows(double *a, double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

/* a becomes L (below the diagonal, ones on it) and U, of the rows in the order row[].
 * Gives the sign of that order, 0 where a pivot is 0. */
static int eliminate(double *a, double *row, int64_t m, int64_t n)
{
    int sign = 1;
    for (int64_t i = 0; i < m; i++)
        row[i] = (double)i;
    for (int64_t k = 0; k < m && k < n; k++) {
        int64_t best = k;
        for (int64_t i = k + 1; i < m; i++)
            best = fabs(a[i * n + k]) > fabs(a[best * n + k]) ? i : best;
        if (best != k) {
            swap_rows(a + best * n, a + k * n, n);
            swap_rows(row + best, row + k, 1);
            sign = -sign;
        }
        double pivot = a[k * n + k];
        if (pivot == 0) {
            sign = 0;
            continue;
        }
        for (int64_t i = k + 1; i < m; i++) {
            a[i * n + k] /= pivot;
            subtract(a + i * n + k + 1, a[i * n + k], a + k * n + k + 1, n - k - 1);
        }
    }
    return sign;
}

bool wk_matrix_solve_triangle(const double *a, double *x, int64_t n, int64_t r, bool upper,
                              bool unit)
{
    for (int64_t s = 0; s < n; s++) {
        int64_t i = upper ? n - 1 - s : s, from = upper ? i + 1 : 0, to = upper ? n : i;
        for (int64_t k = from; k < to; k++)
            subtract(x + i * r, a[i * n + k], x + k * r, r);
        if (!unit && a[i * n + i] == 0)
            return false;
        for (int64_t c = 0; c < r && !unit; c++)
            x[i * r + c] /= a[i * n + i];
    }
    return true;
}

bool wk_matrix_solve(const double *a, const double *b, double *x, int64_t n, int64_t r,
                     double *work)
{
    double *lu = work, *row = work + n * n;
    memcpy(lu, a, (size_t)(n * n) * sizeof *a);
    if (!eliminate(lu, row, n, n))
        return false;
    for (int64_t i = 0; i < n; i++)
        memcpy(x + i * r, b + (int64_t)row[i] * r, (size_t)r * sizeof *x);
    return wk_matrix_solve_triangle(lu, x, n, r, false, true) &&
           wk_matrix_solve_triangle(lu, x, n, r, true, false);
}

bool wk_matrix_inverse(const double *a, int64_t m, int64_t n, double *out, double *work)
{
    double *eye = work + m * n + m;
    for (int64_t i = 0; i < n * n; i++)
        eye[i] = i / n == i % n;
    return wk_matrix_solve(a, eye, out, n, n, work);
}

bool wk_matrix_det(const double *a, int64_t m, int64_t n, double *out, double *work)
{
    memcpy(work, a, (size_t)(m * n) * sizeof *a);
    *out = eliminate(work, work + m * n, m, n);
    for (int64_t i = 0; i < n; i++)
        *out *= work[i * n + i];
    return true;
}

bool wk_matrix_slogdet(const double *a, int64_t m, int64_t n, double *out, double *work)
{
    memcpy(work, a, (size_t)(m * n) * sizeof *a);
    out[0] = eliminate(work, work + m * n, m, n);
    out[1] = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = work[i * n + i];
        out[0] *= d < 0 ? -1 : 1;
        out[1] += log(fabs(d));
    }
    return true;
}

/* parts: P [m, m], L [m, k], U [k, n] */
bool wk_matrix_lu(const double *a, int64_t m, int64_t n, double *out, double *work)
{
    int64_t k = wk_min_i64(m, n);
    double *row = work + m * n, *p = out, *l = p + m * m, *u = l + m * k;
    memcpy(work, a, (size_t)(m * n) * sizeof *a);
    eliminate(work, row, m, n);
    for (int64_t i = 0; i < m * m; i++)
        p[i] = (int64_t)row[i % m] == i / m;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++)
            l[i * k + j] = j < i ? work[i * n + j] : i == j;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++)
            u[i * n + j] = j < i ? 0 : work[i * n + j];
    return true;
}

bool wk_matrix_cholesky(const double *a, int64_t m, int64_t n, double *l, double *work)
{
    (void)work;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = j > i ? 0 : a[i * n + j];
            for (int64_t k = 0; k < j && j <= i; k++)
                sum -= l[i * n + k] * l[j * n + k];
            if (i == j && !(sum > 0))
                return false;
            l[i * n + j] = j > i ? 0 : i == j ? sqrt(sum) : sum / l[j * n + j];
        }
    return true;
}
