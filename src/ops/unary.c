// SPDX-License-Identifier: MIT OR Apache-2.0
/* unary.c - the functions of wick/unary.def: of one tensor, and of one or two numbers.
 *
 * Each line becomes three operations: y = f(x), and
 *     name_d1(x, y, dy) = dy f'(x)      the gradient,
 *     name_d2(x, y, t)  = t f''(x)      the gradient of the gradient.
 * The portable kernels compute in doubles, and in 64-bit integers where the function
 * keeps them. */
#include "../core/core.h"

#include <math.h>

/* ---- Portable kernels --------------------------------------------------- */

typedef double T;

#define K(c)            ((T)(c))
#define select(c, x, y) ((c) ? (x) : (y))
#define both(c, d)      ((c) && (d))
#define max(x, y)       ((x) > (y) ? (x) : (y))
#define min(x, y)       ((x) < (y) ? (x) : (y))
#define erfinv(x)       wk_erfinv_f64(x)
#define digamma(x)      wk_digamma_f64(x)
#define trigamma(x)     wk_trigamma_f64(x)
#define tetragamma(x)   wk_tetragamma_f64(x)
#define lgamma(x)       wk_lgamma_f64(x)
#define asin(x)         wk_asin_f64(x)
#define acos(x)         wk_acos_f64(x)

static inline T sgn(T x) { return (T)((x > 0) - (x < 0)); }
static inline T sig(T x) { return 1 / (1 + exp(-x)); }
static inline T splus(T x) { return max(x, 0) + log1p(exp(-fabs(x))); }
static inline T npdf(T x) { return 0.3989422804014327 * exp(-0.5 * x * x); }
static inline T ncdf(T x) { return 0.5 * erfc(-0.7071067811865476 * x); }

/* The operands are x, y and the factor, of which f(x) has only the first. */
#define ROW(name, value, factor)                                                                   \
    static void name##_row(const wk_call *c, int64_t n, void *out, void *const *in)                \
    {                                                                                              \
        const T *px = in[0], *py = c->count > 1 ? in[1] : px, *pt = c->count > 1 ? in[2] : px;     \
        const T  a = c->opt.number[0], b = c->opt.number[1];                                       \
        T       *r = out;                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const T x = px[i], y = py[i], t = pt[i];                                               \
            (void)a, (void)b, (void)x, (void)y, (void)t;                                           \
            r[i] = factor(value);                                                                  \
        }                                                                                          \
    }
#define UNARY(name, ints, low, high, f, d1, d2)                                                    \
    ROW(name, f, ) ROW(name##_d1, d1, t *) ROW(name##_d2, d2, t *)
#define SCALAR(name, ints, low, high, a, f, d1, d2)     UNARY(name, ints, low, high, f, d1, d2)
#define SCALAR2(name, ints, low, high, a, b, f, d1, d2) UNARY(name, ints, low, high, f, d1, d2)
#include <wick/unary.def>

/* ---- The same in integers ----------------------------------------------- */

#undef K
#define K(c)     ((int64_t)(c))
#define fabs(x)  ((x) < 0 ? -(x) : (x))
#define sgn(x)   (((x) > 0) - ((x) < 0))
#define floor(x) (x)
#define ceil(x)  (x)
#define rint(x)  (x)
#define trunc(x) (x)

#define INTEGER_ROW(name, value)                                                                   \
    __attribute__((no_sanitize("signed-integer-overflow"))) static void name##_integer_row(        \
        const wk_call *c, int64_t n, void *out, void *const *in)                                   \
    {                                                                                              \
        const int64_t *px = in[0], a = (int64_t)c->opt.number[0], b = (int64_t)c->opt.number[1];   \
        int64_t       *r = out;                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const int64_t x = px[i];                                                               \
            (void)a, (void)b;                                                                      \
            r[i] = value;                                                                          \
        }                                                                                          \
    }
#define UNARY(name, ints, low, high, f, d1, d2)         ints##_INTEGERS(name, f)
#define KEEP_INTEGERS(name, f)                          INTEGER_ROW(name, f)
#define FLOAT_INTEGERS(name, f)                         enum { name##_has_no_integer_row };
#define TRUTH_INTEGERS(name, f)                         enum { name##_has_no_integer_row };
#define SCALAR(name, ints, low, high, a, f, d1, d2)     UNARY(name, ints, low, high, f, d1, d2)
#define SCALAR2(name, ints, low, high, a, b, f, d1, d2) UNARY(name, ints, low, high, f, d1, d2)
#include <wick/unary.def>

static bool compute(const wk_call *c)
{
    bool integers = !wk_dtypes[c->dtype].is_float && c->op->integer_row;
    return integers ? wk_loop(c, WK_AS_I64, c->op->integer_row) : wk_loop(c, WK_AS_F64, c->op->row);
}

/* ---- Shape rules -------------------------------------------------------- */

static bool is_whole(double x) { return x >= -0x1p62 && x <= 0x1p62 && x == (double)(int64_t)x; }

static bool infer_float(wk_call *c)
{
    c->shape = c->in[0]->shape;
    c->dtype = wk_dtypes[c->in[0]->dtype].is_float ? c->in[0]->dtype : WK_F32;
    return true;
}

static bool infer_keep(wk_call *c)
{
    c->shape = c->in[0]->shape;
    c->dtype = c->in[0]->dtype == WK_BOOL ? WK_I64 : c->in[0]->dtype;
    if (!is_whole(c->opt.number[0]) || !is_whole(c->opt.number[1]))
        return infer_float(c);
    return true;
}

static bool infer_truth(wk_call *c)
{
    c->shape = c->in[0]->shape;
    c->dtype = WK_BOOL;
    return true;
}

/* ---- Gradients ---------------------------------------------------------- */

static wk_tensor *derived(const wk_call *c, const wk_op *op, wk_tensor *y, wk_tensor *t)
{
    return wk_run(&(wk_call){ .op = op, WK_IN(c->in[0], y, t), .opt = c->opt });
}

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = derived(c, c->op->derivative, c->out, dy);
}

static void backward_d1(const wk_call *c, wk_tensor *g, wk_tensor **dx)
{
    wk_tensor *y = c->in[1], *dy = c->in[2];
    if (wk_wants_grad(c->in[0]))
        dx[0] = derived(c, c->op->derivative, y, wk_mul(g, dy));
    if (wk_wants_grad(dy))
        dx[2] = derived(c, c->op, y, g);
}

/* ---- Operations --------------------------------------------------------- */

#define OPERATION(name_, ints, required_, infer_, backward_, ...)                                  \
    const wk_op wk_op_##name_ = { .name = #name_,                                                  \
                                  .id = WK_OP_##name_,                                             \
                                  .required = required_,                                           \
                                  .strided = WK_ALL_OPERANDS,                                      \
                                  .infer = infer_,                                                 \
                                  .compute = compute,                                              \
                                  .backward = backward_,                                           \
                                  .row = name_##_row,                                              \
                                  __VA_ARGS__ };
#define KEEP_ROW(name) .integer_row = name##_integer_row,
#define FLOAT_ROW(name)
#define TRUTH_ROW(name)
#define KEEP_INFER  infer_keep
#define FLOAT_INFER infer_float
#define TRUTH_INFER infer_truth

#define UNARY(name, ints, ...)                                                                     \
    OPERATION(name, ints, 1, ints##_INFER, backward,                                               \
              ints##_ROW(name).derivative = &wk_op_##name##_d1)                                    \
    OPERATION(name##_d1, ints, 3, infer_float, backward_d1, .derivative = &wk_op_##name##_d2)      \
    OPERATION(name##_d2, ints, 3, infer_float, NULL, .derivative = NULL)
#define SCALAR(name, ints, ...)  UNARY(name, ints, )
#define SCALAR2(name, ints, ...) UNARY(name, ints, )
#include <wick/unary.def>

static wk_tensor *run(const wk_op *op, wk_tensor *x, double a, double b)
{
    return wk_run(&(wk_call){ .op = op, WK_IN(x), .opt.number = { a, b } });
}

#define FUNCTION(name, a, b, ...)                                                                  \
    wk_tensor *wk_##name(__VA_ARGS__) { return run(&wk_op_##name, x, a, b); }
#define UNARY(name, ...)   FUNCTION(name, 0, 0, wk_tensor *x)
#define SCALAR(name, ...)  FUNCTION(name, a, 0, wk_tensor *x, double a)
#define SCALAR2(name, ...) FUNCTION(name, a, b, wk_tensor *x, double a, double b)
#include <wick/unary.def>
