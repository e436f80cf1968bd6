// SPDX-License-Identifier: MIT OR Apache-2.0
/* init.c - how parameters begin: the functions of torch.nn.init.
 *
 * Each is a wk_init that names the function which makes the tensor, so that a program has
 * those that it uses. */
#include "nn.h"

#include <math.h>

/* ---- Numbers alone ------------------------------------------------------ */

static wk_tensor *constant(wk_shape shape, const wk_init *how)
{
    return wk_full_of(WK_F32, shape, how->number[0]);
}

static wk_tensor *between(wk_shape shape, double low, double high)
{
    return wk_add_scalar(wk_scale(wk_rand_of(WK_F32, shape), high - low), low);
}

static wk_tensor *spread(wk_shape shape, double mean, double std)
{
    return wk_add_scalar(wk_scale(wk_randn_of(WK_F32, shape), std), mean);
}

static wk_tensor *uniform(wk_shape shape, const wk_init *how)
{
    return between(shape, how->number[0], how->number[1]);
}

static wk_tensor *normal(wk_shape shape, const wk_init *how)
{
    return spread(shape, how->number[0], how->number[1]);
}

/* The inverse of the normal distribution, at uniform numbers between its values at the bounds. */
static wk_tensor *trunc_normal(wk_shape shape, const wk_init *how)
{
    double     mean = how->number[0], std = how->number[1];
    double     low = erf((how->number[2] - mean) / std * M_SQRT1_2);
    double     high = erf((how->number[3] - mean) / std * M_SQRT1_2);
    wk_tensor *u = wk_add_scalar(wk_scale(wk_rand_of(WK_F64, shape), high - low), low);
    wk_tensor *x = wk_add_scalar(wk_scale(wk_erfinv(u), std * M_SQRT2), mean);
    return wk_cast(wk_clamp(x, how->number[2], how->number[3]), WK_F32);
}

wk_init wk_init_constant(double value)
{
    return (wk_init){ .make = constant, .number = { value } };
}

wk_init wk_init_uniform(double low, double high)
{
    return (wk_init){ .make = uniform, .number = { low, high } };
}

wk_init wk_init_normal(double mean, double std)
{
    return (wk_init){ .make = normal, .number = { mean, std } };
}

wk_init wk_init_trunc_normal(double mean, double std, double low, double high)
{
    return (wk_init){ .make = trunc_normal, .number = { mean, std, low, high } };
}

/* ---- By inputs and outputs ---------------------------------------------- */

/* Of each unit of a weight [out, in, ..]. */
static bool fans(wk_shape s, double *in, double *out)
{
    char   text[160];
    double size = 1;
    for (int i = 2; i < s.rank; i++)
        size *= (double)s.dim[i];
    if (s.rank < 2)
        wk_fail(WK_ERR_SHAPE, "init: %s has no inputs and outputs", wk_show_shape(s, text));
    *out = wk_ok() ? (double)s.dim[0] * size : 1;
    *in = wk_ok() ? (double)s.dim[1] * size : 1;
    return wk_ok();
}

static double xavier(wk_shape shape, const wk_init *how)
{
    double in, out;
    return fans(shape, &in, &out) && in + out > 0 ? how->number[0] * sqrt(2 / (in + out)) : 0;
}

static double kaiming(wk_shape shape, const wk_init *how)
{
    double in, out;
    if (!fans(shape, &in, &out))
        return 0;
    double n = how->number[1] == WK_FAN_OUT ? out : in;
    return n > 0 ? how->number[0] / sqrt(n) : 0;
}

static wk_tensor *within(wk_shape shape, double std)
{
    return between(shape, -sqrt(3) * std, sqrt(3) * std);
}

static wk_tensor *xavier_uniform(wk_shape shape, const wk_init *how)
{
    return within(shape, xavier(shape, how));
}

static wk_tensor *xavier_normal(wk_shape shape, const wk_init *how)
{
    return spread(shape, 0, xavier(shape, how));
}

static wk_tensor *kaiming_uniform(wk_shape shape, const wk_init *how)
{
    return within(shape, kaiming(shape, how));
}

static wk_tensor *kaiming_normal(wk_shape shape, const wk_init *how)
{
    return spread(shape, 0, kaiming(shape, how));
}

wk_init wk_init_xavier_uniform(double gain)
{
    return (wk_init){ .make = xavier_uniform, .number = { gain } };
}

wk_init wk_init_xavier_normal(double gain)
{
    return (wk_init){ .make = xavier_normal, .number = { gain } };
}

wk_init wk_init_kaiming_uniform(wk_fan n, double gain)
{
    return (wk_init){ .make = kaiming_uniform, .number = { gain, n } };
}

wk_init wk_init_kaiming_normal(wk_fan n, double gain)
{
    return (wk_init){ .make = kaiming_normal, .number = { gain, n } };
}

double wk_gain_leaky_relu(double slope) { return sqrt(2 / (1 + slope * slope)); }

/* ---- Matrices ----------------------------------------------------------- */

/* count vectors of n numbers, of which those before the first are done. */
typedef struct {
    double *v;
    int64_t n, first;
} vectors;

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Take from each what it has of the direction of the one before the first. */
static void straighten(void *ctx, int64_t begin, int64_t end)
{
    const vectors *s = ctx;
    const double  *q = s->v + (s->first - 1) * s->n;
    for (int64_t i = s->first + begin; i < s->first + end; i++) {
        double *v = s->v + i * s->n, d = dot(q, v, s->n);
        for (int64_t k = 0; k < s->n; k++)
            v[k] -= d * q[k];
    }
}

/* Modified Gram-Schmidt, twice, after which angles are right to the last digits. */
static void orthonormal(double *v, int64_t count, int64_t n)
{
    for (int64_t i = 0; i < 2 * count; i++) {
        double *q = v + i % count * n, size = sqrt(dot(q, q, n));
        for (int64_t k = 0; k < n; k++)
            q[k] /= size;
        vectors rest = { v, n, i % count + 1 };
        wk_parallel(count - i % count - 1, 16384 / (n + 1) + 1, straighten, &rest);
    }
}

/* A matrix of normal numbers as doubles, and its rows and columns; NULL after an error. */
static double *normal_matrix(wk_shape shape, int64_t *rows, int64_t *cols)
{
    char text[160];
    if (shape.rank < 2)
        wk_fail(WK_ERR_SHAPE, "init: %s is no matrix", wk_show_shape(shape, text));
    wk_tensor *x = wk_randn_of(WK_F32, shape);
    double    *v = wk_ok() ? wk_alloc_array((size_t)wk_count(x) + 1, sizeof *v) : NULL;
    if (!v)
        return NULL;
    wk_read(x, WK_F64, v);
    *rows = shape.dim[0];
    *cols = *rows ? wk_count(x) / *rows : 0;
    return v;
}

static wk_tensor *orthogonal(wk_shape shape, const wk_init *how)
{
    int64_t rows, cols;
    double *v = normal_matrix(shape, &rows, &cols);
    if (!v)
        return NULL;
    wk_scope scope = wk_mark();
    bool     tall = rows > cols;
    orthonormal(v, tall ? cols : rows, tall ? rows : cols);
    wk_tensor *x = wk_from(WK_F64, tall ? WK_SHAPE(cols, rows) : WK_SHAPE(rows, cols), v);
    wk_free(v);
    x = wk_reshape_to(wk_contiguous(tall ? wk_transpose(x, 0, 1) : x), shape);
    return wk_yield(scope, wk_cast(wk_scale(x, how->number[0]), WK_F32));
}

static wk_tensor *sparse(wk_shape shape, const wk_init *how)
{
    int64_t rows, cols;
    double *v = normal_matrix(shape, &rows, &cols);
    if (!v)
        return NULL;
    int64_t  zeros = wk_min_i64((int64_t)ceil(how->number[0] * (double)rows), rows);
    int64_t *order = wk_alloc_array((size_t)rows + 1, sizeof *order);
    for (int64_t c = 0; order && c < cols; c++) {
        wk_scope scope = wk_mark();
        wk_to_i64(wk_randperm(rows), order);
        for (int64_t i = 0; i < zeros && wk_ok(); i++)
            v[order[i] * cols + c] = 0;
        wk_sweep(scope);
    }
    wk_tensor *x = wk_scale(wk_cast(wk_from(WK_F64, shape, v), WK_F32), how->number[1]);
    wk_free(order);
    wk_free(v);
    return x;
}

/* Element (i, i, middle ..) of each group's outputs. */
static wk_tensor *dirac(wk_shape shape, const wk_init *how)
{
    char       text[160];
    int64_t    groups = (int64_t)how->number[0], size = 1, middle = 0;
    wk_tensor *x = wk_zeros_of(WK_F32, shape);
    if (shape.rank < 2 || groups < 1 || shape.dim[0] % groups)
        wk_fail(WK_ERR_SHAPE, "init: %s has no diagonal in %lld groups", wk_show_shape(shape, text),
                (long long)groups);
    for (int i = 2; i < shape.rank; i++) {
        size *= shape.dim[i];
        middle = middle * shape.dim[i] + shape.dim[i] / 2;
    }
    float  *v = wk_ok() ? wk_alloc_array((size_t)wk_count(x) + 1, sizeof *v) : NULL;
    int64_t out = v ? shape.dim[0] / groups : 0, in = shape.dim[1];
    for (int64_t i = 0; i < groups * out; i++)
        if (i % out < in && size)
            v[(i * in + i % out) * size + middle] = 1;
    x = v ? wk_from_f32(shape, v) : NULL;
    wk_free(v);
    return x;
}

wk_init wk_init_orthogonal(double gain)
{
    return (wk_init){ .make = orthogonal, .number = { gain } };
}

wk_init wk_init_sparse(double zeros, double std)
{
    return (wk_init){ .make = sparse, .number = { zeros, std } };
}

wk_init wk_init_dirac(int64_t groups)
{
    return (wk_init){ .make = dirac, .number = { (double)groups } };
}

wk_init wk_init_eye(void) { return wk_init_dirac(1); }

/* ---- Again -------------------------------------------------------------- */

wk_tensor *wk_init_again(wk_tensor *x, wk_init how)
{
    if (!wk_usable("init", 1, x))
        return NULL;
    bool     before = wk_no_grad(true);
    wk_scope scope = wk_mark();
    wk_assign(x, wk_to_device(wk_init_new(x->shape, how), x->storage->device));
    wk_sweep(scope);
    wk_no_grad(before);
    return wk_ok() ? x : NULL;
}
