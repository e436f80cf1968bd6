// SPDX-License-Identifier: MIT OR Apache-2.0
/* binary.c - the functions of wick/binary.def: of two tensors, which broadcast. */
#include "../core/core.h"

#include <math.h>

/* ---- Portable kernels, in doubles --------------------------------------- */

typedef double T;

#define K(c)            ((T)(c))
#define select(c, x, y) ((c) ? (x) : (y))
#define max(x, y)       ((x) > (y) ? (x) : (y))
#define min(x, y)       ((x) < (y) ? (x) : (y))
#define modulo(x, y)    wk_modulo_f64(x, y)
#define floordiv(x, y)  wk_floordiv_f64(x, y)
#define atan2(x, y)     wk_atan2_f64(x, y)

#define ROW(name, value)                                                                           \
    static void name##_row(const wk_call *c, int64_t n, void *out, void *const *in)                \
    {                                                                                              \
        const T *pa = in[0], *pb = in[1];                                                          \
        T       *r = out;                                                                          \
        (void)c;                                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const T a = pa[i], b = pb[i];                                                          \
            r[i] = value;                                                                          \
        }                                                                                          \
    }
#define KEEP_ROW(name, value)             ROW(name, value)
#define FLOAT_ROW(name, value)            ROW(name, value)
#define TRUTH_ROW(name, value)            ROW(name, value)
#define INTEGER_ROW(name, value)          enum { name##_has_no_row };
#define BINARY(name, ints, value, da, db) ints##_ROW(name, value)
#include <wick/binary.def>

/* ---- The same in integers ----------------------------------------------- */

#undef K
#define K(c) ((int64_t)(c))

static inline int64_t integer_fmod(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }

static inline int64_t integer_modulo(int64_t a, int64_t b)
{
    int64_t m = integer_fmod(a, b);
    return m && (m < 0) != (b < 0) ? m + b : m;
}

static inline int64_t integer_floordiv(int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : (a - integer_modulo(a, b)) / b;
}

static inline int64_t integer_pow(int64_t a, int64_t b)
{
    uint64_t y = 1, x = (uint64_t)a;
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    for (; b; b >>= 1, x *= x)
        if (b & 1)
            y *= x;
    return (int64_t)y;
}

static inline int64_t shift_left(int64_t a, int64_t b)
{
    return b >= 0 && b < 64 ? (int64_t)((uint64_t)a << b) : 0;
}

static inline int64_t shift_right(int64_t a, int64_t b)
{
    return b >= 0 && b < 64 ? a >> b : a < 0 ? -1 : 0;
}

#undef modulo
#undef floordiv
#define fmod(x, y)     integer_fmod(x, y)
#define modulo(x, y)   integer_modulo(x, y)
#define floordiv(x, y) integer_floordiv(x, y)
#define pow(x, y)      integer_pow(x, y)

#define WHOLE_ROW(name, value)                                                                     \
    __attribute__((no_sanitize("signed-integer-overflow"))) static void name##_integer_row(        \
        const wk_call *c, int64_t n, void *out, void *const *in)                                   \
    {                                                                                              \
        const int64_t *pa = in[0], *pb = in[1];                                                    \
        int64_t       *r = out;                                                                    \
        (void)c;                                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const int64_t a = pa[i], b = pb[i];                                                    \
            r[i] = value;                                                                          \
        }                                                                                          \
    }
#define KEEP_WHOLE(name, value)           WHOLE_ROW(name, value)
#define FLOAT_WHOLE(name, value)          enum { name##_has_no_integer_row };
#define TRUTH_WHOLE(name, value)          WHOLE_ROW(name, value)
#define INTEGER_WHOLE(name, value)        WHOLE_ROW(name, value)
#define BINARY(name, ints, value, da, db) ints##_WHOLE(name, value)
#include <wick/binary.def>
#undef fmod
#undef modulo
#undef floordiv
#undef pow

static bool compute(const wk_call *c)
{
    bool floats = wk_dtypes[c->in[0]->dtype].is_float || wk_dtypes[c->in[1]->dtype].is_float ||
                  !c->op->integer_row;
    return floats ? wk_loop(c, WK_AS_F64, c->op->row) : wk_loop(c, WK_AS_I64, c->op->integer_row);
}

/* ---- Shape rules -------------------------------------------------------- */

static bool infer_float(wk_call *c)
{
    if (!wk_infer_broadcast(c))
        return false;
    if (!wk_dtypes[c->dtype].is_float)
        c->dtype = WK_F32;
    return true;
}

static bool infer_keep(wk_call *c)
{
    if (!wk_infer_broadcast(c))
        return false;
    if (c->dtype == WK_BOOL)
        c->dtype = WK_I64;
    return true;
}

static bool infer_truth(wk_call *c)
{
    if (!wk_infer_broadcast(c))
        return false;
    c->dtype = WK_BOOL;
    return true;
}

static bool infer_integer(wk_call *c)
{
    char a[160], b[160];
    if (!wk_infer_broadcast(c))
        return false;
    if (!wk_dtypes[c->dtype].is_float)
        return true;
    wk_fail(WK_ERR_DTYPE, "%s: %s and %s must be integers", c->op->name, wk_show(c->in[0], a),
            wk_show(c->in[1], b));
    return false;
}

/* ---- Gradients that take more than a line ------------------------------- */

/* Where a is the larger one its gradient is dy; ties share. */
static wk_tensor *larger_share(wk_tensor *a, wk_tensor *b, wk_tensor *dy)
{
    wk_tensor *share =
        wk_add(wk_cast(wk_gt(a, b), dy->dtype), wk_scale(wk_cast(wk_eq(a, b), dy->dtype), 0.5));
    return wk_mul(dy, share);
}

static wk_tensor *squares(wk_tensor *a, wk_tensor *b) { return wk_add(wk_square(a), wk_square(b)); }

/* b a^(b - 1), and 0 where b is 0 */
static wk_tensor *pow_da(wk_tensor *a, wk_tensor *b, wk_tensor *dy)
{
    wk_tensor *d = wk_mul(b, wk_pow(a, wk_add_scalar(b, -1)));
    return wk_mul(dy, wk_masked_fill(d, wk_eq(b, wk_full_like(b, 0)), 0));
}

/* a^b log a, and 0 where a is 0 and b is not negative */
static wk_tensor *pow_db(wk_tensor *a, wk_tensor *b, wk_tensor *y, wk_tensor *dy)
{
    wk_tensor *zero = wk_logical_and(wk_eq(a, wk_full_like(a, 0)), wk_ge(b, wk_full_like(b, 0)));
    return wk_mul(dy, wk_masked_fill(wk_mul(y, wk_log(a)), zero, 0));
}

/* ---- Operations --------------------------------------------------------- */

static wk_tensor *run(const wk_op *op, wk_tensor *a, wk_tensor *b)
{
    return wk_run(&(wk_call){ .op = op, WK_IN(a, b) });
}

#define KEEP_INFER         infer_keep
#define FLOAT_INFER        infer_float
#define TRUTH_INFER        infer_truth
#define INTEGER_INFER      infer_integer
#define KEEP_ROWS(name)    .row = name##_row, .integer_row = name##_integer_row
#define FLOAT_ROWS(name)   .row = name##_row
#define TRUTH_ROWS(name)   KEEP_ROWS(name)
#define INTEGER_ROWS(name) .integer_row = name##_integer_row

#define BINARY(name_, ints, value, da, db)                                                         \
    static void name_##_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)                  \
    {                                                                                              \
        wk_tensor *a = c->in[0], *b = c->in[1], *y = c->out;                                       \
        (void)y, (void)dy;                                                                         \
        dx[0] = wk_wants_grad(a) ? da : NULL;                                                      \
        dx[1] = wk_wants_grad(b) ? db : NULL;                                                      \
    }                                                                                              \
    const wk_op wk_op_##name_ = { .name = #name_,                                                  \
                                  .id = WK_OP_##name_,                                             \
                                  .required = 2,                                                   \
                                  .strided = WK_ALL_OPERANDS,                                      \
                                  .infer = ints##_INFER,                                           \
                                  .compute = compute,                                              \
                                  .backward = name_##_backward,                                    \
                                  ints##_ROWS(name_) };                                            \
    wk_tensor  *wk_##name_(wk_tensor *a, wk_tensor *b) { return run(&wk_op_##name_, a, b); }
#include <wick/binary.def>
