// SPDX-License-Identifier: MIT OR Apache-2.0
/* matrix.h - factorisations of one matrix, in doubles, row by row: see matrix.c, orthogonal.c. */
#ifndef WK_MATRIX_H
#define WK_MATRIX_H

#include "../base/base.h"

/* Each reads a [m, n] and writes its parts one after the other to out; work has room for
 * wk_matrix_work() numbers.  False: the matrix has no such factors.  k is min(m, n). */
typedef bool (*wk_matrix_fn)(const double *a, int64_t m, int64_t n, double *out, double *work);

bool wk_matrix_cholesky(const double *a, int64_t m, int64_t n, double *out, double *work);
bool wk_matrix_inverse(const double *a, int64_t m, int64_t n, double *out, double *work);
bool wk_matrix_det(const double *a, int64_t m, int64_t n, double *out, double *work);
bool wk_matrix_slogdet(const double *a, int64_t m, int64_t n, double *out, double *work);
bool wk_matrix_lu(const double *a, int64_t m, int64_t n, double *out, double *work);
bool wk_matrix_qr(const double *a, int64_t m, int64_t n, double *out, double *work);
bool wk_matrix_svd(const double *a, int64_t m, int64_t n, double *out, double *work);
bool wk_matrix_eigh(const double *a, int64_t m, int64_t n, double *out, double *work);

static inline int64_t wk_matrix_work(int64_t m, int64_t n)
{
    int64_t k = m < n ? m : n;
    return 2 * m * n + k * k + 4 * (m + n) + 1;
}

/* x [n, r] with a x = b [n, r]; work as above.  False: a is singular. */
bool wk_matrix_solve(const double *a, const double *b, double *x, int64_t n, int64_t r,
                     double *work);

/* The same in place for a triangle of a, with ones on its diagonal if unit. */
bool wk_matrix_solve_triangle(const double *a, double *x, int64_t n, int64_t r, bool upper,
                              bool unit);

#endif
