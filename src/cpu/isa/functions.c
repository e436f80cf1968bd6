// SPDX-License-Identifier: MIT OR Apache-2.0
/* functions.c - the functions of wick/unary.def and wick/binary.def on vectors, and the
 * other operations that go element by element: where, glu, accumulate.
 *
 * Each one, and each gradient of the former, becomes a function of one vector of each
 * operand, called through its address: that costs little beside reading and writing
 * the vectors, and keeps two hundred loops out of the program. */
#include "vocabulary.h"

typedef vf (*function)(vf x, vf y, vf t, vf a, vf b);

/* ---- Their definitions --------------------------------------------------- */

/* The operands are x, y and the factor t, of which f(x) has only the first. */
#define FUNCTION(name, value)                                                                      \
    static vf name##_of(vf x, vf y, vf t, vf a, vf b)                                              \
    {                                                                                              \
        (void)x, (void)y, (void)t, (void)a, (void)b;                                               \
        return value;                                                                              \
    }
// clang-format off
#define UNARY(name, ints, low, high, f, d1, d2)                                                    \
    FUNCTION(name, f) FUNCTION(name##_d1, t * (d1))
// clang-format on
#define SCALAR(name, ints, low, high, a, f, d1, d2)     UNARY(name, ints, low, high, f, d1, d2)
#define SCALAR2(name, ints, low, high, a, b, f, d1, d2) UNARY(name, ints, low, high, f, d1, d2)
#include <wick/unary.def>

#define TWO(name, value)                                                                           \
    static vf name##_of(vf a, vf b, vf t, vf x, vf y)                                              \
    {                                                                                              \
        (void)t, (void)x, (void)y;                                                                 \
        return value;                                                                              \
    }
#define KEEP_TWO(name, value)             TWO(name, value)
#define FLOAT_TWO(name, value)            TWO(name, value)
#define TRUTH_TWO(name, value)            TWO(name, value)
#define INTEGER_TWO(name, value)          enum { name##_is_not_here };
#define BINARY(name, ints, value, da, db) ints##_TWO(name, value)
#include <wick/binary.def>

static vf where_of(vf x, vf y, vf t, vf a, vf b)
{
    (void)a, (void)b;
    return vselect(x != 0.0f, y, t);
}

#define GLU(act, value)                                                                            \
    static vf glu_##act##_of(vf x, vf y, vf t, vf a, vf b)                                         \
    {                                                                                              \
        (void)t, (void)a, (void)b;                                                                 \
        return (value)*y;                                                                          \
    }
GLU(none, x)
GLU(silu, silu_of(x, x, x, x, x))
GLU(gelu, gelu_of(x, x, x, x, x))
GLU(gelu_tanh, gelu_tanh_of(x, x, x, x, x))
GLU(relu, relu_of(x, x, x, x, x))

static function find(const wk_call *c) /* a switch takes less room than a table of addresses */
{
    static const function glu[] = { glu_none_of, glu_silu_of, glu_gelu_of, glu_gelu_tanh_of,
                                    glu_relu_of };
#define CASE(name)                                                                                 \
    case WK_OP_##name:                                                                             \
        return name##_of;
#define KEEP_CASE(name)  CASE(name)
#define FLOAT_CASE(name) CASE(name)
#define TRUTH_CASE(name) CASE(name)
#define INTEGER_CASE(name)
    switch (c->op->id) {
#define UNARY(name, ...)   CASE(name) CASE(name##_d1)
#define SCALAR(name, ...)  UNARY(name, )
#define SCALAR2(name, ...) UNARY(name, )
#include <wick/unary.def>
#define BINARY(name, ints, ...) ints##_CASE(name)
#include <wick/binary.def>
    case WK_OP_where:
        return where_of;
    case WK_OP_accumulate:
        return add_of;
    case WK_OP_glu:
        return glu[c->opt.mode.act];
    default:
        return NULL;
    }
}

/* ---- Rows ---------------------------------------------------------------- */

/* Those that wait for nothing but memory, or are most used, have a loop of their own, as
 * far as whole vectors go. */
static int64_t hot_row(const wk_call *c, int64_t n, float *r, const float *x, const float *y,
                       const float *t)
{
    vf      a = vset((float)c->opt.number[0]), b = a;
    int64_t i = 0;
    switch (c->op->id) {
#define HOT(op, name)                                                                              \
    case WK_OP_##op:                                                                               \
        for (; i + VF <= n; i += VF)                                                               \
            vstore(r + i, name##_of(vload(x + i), vload(y + i), vload(t + i), a, b));              \
        break;
        HOT(add, add)
        HOT(accumulate, add)
        HOT(sub, sub)
        HOT(mul, mul)
        HOT(div, div)
        HOT(scale, scale)
        HOT(add_scalar, add_scalar)
        HOT(relu, relu)
        HOT(relu_d1, relu_d1)
        HOT(where, where)
        HOT(exp, exp)
        HOT(sigmoid, sigmoid)
        HOT(silu, silu)
        HOT(gelu, gelu)
#undef HOT
    default:
        break;
    }
    return i;
}

static void row(const wk_call *c, int64_t n, void *out, void *const *in)
{
    const float *x = in[0], *y = c->count > 1 ? in[1] : x, *t = c->count > 2 ? in[2] : x;
    float       *r = out;
    vf           a = vset((float)c->opt.number[0]), b = vset((float)c->opt.number[1]);
    function     f = find(c);
    int64_t      i = hot_row(c, n, r, x, y, t);
    for (; i + VF <= n; i += VF)
        vstore(r + i, f(vload(x + i), vload(y + i), vload(t + i), a, b));
    if (i < n) {
        int64_t m = n - i;
        vf      last = f(vload_part(x + i, m), vload_part(y + i, m), vload_part(t + i, m), a, b);
        vstore_part(r + i, last, m);
    }
}

/* Is every element of such a tensor a float of 32 bits or less? */
static bool fits(wk_dtype d)
{
    return wk_dtypes[d].as == WK_AS_F32 || (wk_dtypes[d].size == 1 && !wk_dtypes[d].is_float);
}

bool WK_ISA(function)(const wk_call *c)
{
    bool fit = wk_dtypes[c->dtype].as == WK_AS_F32 || c->dtype == WK_BOOL;
    for (int i = 0; i < c->count; i++)
        fit &= fits(c->in[i]->dtype);
    return fit && find(c) && wk_loop(c, WK_AS_F32, row);
}
