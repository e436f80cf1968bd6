// SPDX-License-Identifier: MIT OR Apache-2.0
/* cases.c - the table of cases.def as data, and the operands of a case. */
#include "cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What the expressions of the table use ------------------------------ */

static wk_layer layer(wk_tensor *weight, wk_tensor *bias) { return (wk_layer){ weight, bias }; }

static wk_tensor *piece(wk_tensor *x, int axis, int64_t size, int which)
{
    wk_tensor *out[8];
    return wk_split(x, axis, size, out, 8) > which ? out[which] : NULL;
}

/* Position i turns pair j by 0.7 i - 0.3 j. */
static wk_tensor *angles(wk_tensor *x, int64_t half)
{
    wk_tensor *i = wk_arange(WK_F64, 0, (double)wk_dim(x, -2), 1);
    wk_tensor *j = wk_arange(WK_F64, 0, (double)half, 1);
    return wk_sub(wk_scale(wk_unsqueeze(i, 1), 0.7), wk_scale(j, 0.3));
}
static wk_tensor *cosines(wk_tensor *x, int64_t half) { return wk_cos(angles(x, half)); }
static wk_tensor *sines(wk_tensor *x, int64_t half) { return wk_sin(angles(x, half)); }

/* Matrices far from singular: x x^T + 1, symmetric, and x + 9 on the diagonal. */
static wk_tensor *one(wk_tensor *x, double scale)
{
    wk_tensor *d = wk_eye(WK_F64, (wk_dim(x, -1) < wk_dim(x, -2) ? wk_dim(x, -1) : wk_dim(x, -2)));
    return wk_scale(wk_pad(wk_pad(d, 0, 0, wk_dim(x, -2) - wk_dim(d, 0), 0), 1, 0,
                           wk_dim(x, -1) - wk_dim(d, 1), 0),
                    scale);
}
static wk_tensor *wide(wk_tensor *x) { return wk_cast(x, WK_F64); }
static wk_tensor *off(wk_tensor *x) { return x ? wk_add(wide(x), one(x, 9)) : NULL; }
static wk_tensor *spd(wk_tensor *x)
{
    wk_tensor *y = wide(x);
    y = wk_matmul(y, wk_transpose(y, -2, -1));
    return y ? wk_add(y, one(y, 1)) : NULL;
}

/* One layer, of one bias, from a state on. */
static wk_tensor *recurrent(wk_rnn_kind kind, wk_tensor *x, wk_tensor *in, wk_tensor *weight,
                            wk_tensor *bias, wk_tensor *h, wk_tensor *c)
{
    wk_rnn       m = { .kind = kind, .layers = 1, .cell = { { in, weight, bias, bias, NULL } } };
    wk_rnn_state s = { wk_unsqueeze(h, 0), c ? wk_unsqueeze(c, 0) : NULL };
    return wk_rnn_forward(&m, x, .state = &s);
}

/* a b^2 by a user's own operation, and sin(a) exp(a) computed twice. */
static wk_tensor *product(wk_tensor *const *in, void *user)
{
    (void)user;
    return wk_mul(in[0], wk_square(in[1]));
}
static void product_backward(wk_tensor *const *in, wk_tensor *y, wk_tensor *dy, wk_tensor **dx,
                             void *user)
{
    (void)y, (void)user;
    dx[0] = wk_mul(dy, wk_square(in[1]));
    dx[1] = wk_scale(wk_mul(dy, wk_mul(in[0], in[1])), 2);
}
static wk_tensor *custom(wk_tensor *a, wk_tensor *b)
{
    return wk_custom({ a, b }, product, product_backward, .count = 2);
}
static wk_tensor *wave(wk_tensor *const *in, void *user)
{
    (void)user;
    return wk_mul(wk_sin(in[0]), wk_exp(in[0]));
}
static wk_tensor *grid(wk_tensor **x, bool xy, int which)
{
    wk_tensor *out[2] = { NULL };
    return wk_meshgrid_of(x, 2, xy, out) ? out[which] : NULL;
}
static wk_tensor *checkpoint(wk_tensor *a) { return wk_checkpoint({ a }, wave); }

#define FLOATS(...)   ((float[]){ __VA_ARGS__ })
#define INTEGERS(...) ((int64_t[]){ __VA_ARGS__ })

/* ---- The table ---------------------------------------------------------- */

#define PASTE(a, b, c)  a##b##c
#define PASTE3(a, b, c) PASTE(a, b, c)

#define HEADING(...)
#define ELEMENTWISE(...)
#define ELEMENT(...)
#define OPERATION(...)
#define CASE(inputs, wick, ...)                                                                    \
    static wk_tensor *PASTE3(run_, PART, __LINE__)(wk_tensor * *x)                                 \
    {                                                                                              \
        (void)x;                                                                                   \
        return wick;                                                                               \
    }
#define PLAIN(inputs, wick) CASE(inputs, wick, )
#define WIDE(inputs, wick)  CASE(inputs, wick, )
#include "all.def"

#define KEEP    TWICE
#define FLOAT   TWICE
#define TRUTH   NO
#define INTEGER NO

static const op_row rows[] = {
#define FUNCTION(name_, ints, int_, text_, ...)                                                    \
    { .kind = ROW_FUNCTION,                                                                        \
      .name = #name_,                                                                              \
      .gradient = ints,                                                                            \
      .integers = int_,                                                                            \
      .text = text_,                                                                               \
      __VA_ARGS__ },
#define UNARY(name, ints, low_, high_, f, ...)                                                     \
    FUNCTION(name, ints, #ints, #f, .of1 = wk_##name, .low = low_, .high = high_)
#define SCALAR(name, ints, low_, high_, a_, f, ...)                                                \
    FUNCTION(name, ints, #ints, #f, .of_a = wk_##name, .low = low_, .high = high_, .a = a_)
#define SCALAR2(name, ints, low_, high_, a_, b_, f, ...)                                           \
    FUNCTION(name, ints, #ints, #f, .of_ab = wk_##name, .low = low_, .high = high_, .a = a_,       \
             .b = b_)
#include <wick/unary.def>
#define BINARY(name, ints, f, ...) FUNCTION(name, ints, #ints, #f, .of2 = wk_##name)
#include <wick/binary.def>

#define HEADING(text_)     { .kind = ROW_HEADING, .text = text_ },
#define ELEMENTWISE(which) { .kind = ROW_ELEMENTWISE, .text = #which },
#define ELEMENT(name_, inputs_, ...)                                                               \
    { .kind = ROW_ELEMENT, .name = #name_, .inputs = inputs_, .torch = #__VA_ARGS__ },
#define OPERATION(name_, gradient_, call_, torch_, text_)                                          \
    { .kind = ROW_OPERATION,                                                                       \
      .name = #name_,                                                                              \
      .gradient = gradient_,                                                                       \
      .call = call_,                                                                               \
      .torch = torch_,                                                                             \
      .text = text_ },
#define ROW(kind_, inputs_, wick_, torch_)                                                         \
    { .kind = kind_,                                                                               \
      .inputs = inputs_,                                                                           \
      .wick = wick_,                                                                               \
      .run = PASTE3(run_, PART, __LINE__),                                                         \
      .torch = torch_ },
#define CASE(inputs, wick, ...) ROW(ROW_CASE, inputs, #wick, #__VA_ARGS__)
#define PLAIN(inputs, wick)     ROW(ROW_PLAIN, inputs, #wick, NULL)
#define WIDE(inputs, wick)      ROW(ROW_WIDE, inputs, #wick, NULL)
#include "all.def"
};

enum { ROWS = sizeof rows / sizeof rows[0] };

const op_row *op_rows(int *count)
{
    *count = ROWS;
    return rows;
}

const op_row *op_element(const char *name)
{
    for (int i = 0; i < ROWS; i++)
        if (rows[i].kind == ROW_ELEMENT && !strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

/* ---- Cases -------------------------------------------------------------- */

static op_case cases[2048];
static int     count;

static void add_case(const op_row *op, const op_row *row, const char *inputs, const char *torch,
                     int gradient)
{
    op_case *c = &cases[count++];
    int      number = 0;
    for (op_case *d = c; d > cases && d[-1].op == op; d--)
        number++;
    snprintf(c->name, sizeof c->name, "%s.%d", op->name, number);
    c->op = op;
    c->row = row;
    c->inputs = inputs;
    c->torch = torch;
    c->gradient = gradient;
    c->wide = !torch;
}

/* The cases of an element-wise function: its range, odd numbers, integers, long rows. */
static void add_function(const op_row *f)
{
    const op_row *e = op_element(f->name);
    const char   *torch = e ? e->torch : "";
    bool          integer = !strcmp(f->integers, "INTEGER");
    if (!f->of2) {
        add_case(f, f, "e3x5", torch, f->gradient);
        add_case(f, f, "v=0,-0,1,-1,0.5,inf,-inf,nan", torch, NO);
        add_case(f, f, "n3x4", torch, NO);
        add_case(f, f, "e", torch, f->gradient);
        add_case(f, f, "e2x0", torch, NO);
        add_case(f, f, "e3x67", NULL, f->gradient);
        add_case(f, f, "e2x1030", NULL, f->gradient);
        return;
    }
    const char *inputs = e && *e->inputs ? e->inputs : integer ? "n3x4 n4" : "f3x4 f4";
    add_case(f, f, inputs, torch, f->gradient);
    if (!integer)
        add_case(f, f, "v8x1=0,-0,1,-1,2,inf,-inf,nan v8=0,-0,1,-1,2,inf,-inf,nan", torch, NO);
    add_case(f, f, "n3x4 k=1,-2,3,-1", torch, NO);
    if (!integer) {
        add_case(f, f, "p p3x1x2", torch, f->gradient);
        add_case(f, f, "p7x333 p333", NULL, f->gradient);
        add_case(f, f, "p5x67 p5x1", NULL, f->gradient);
        add_case(f, f, "p1030 p", NULL, f->gradient);
    }
}

const op_case *op_cases(int *n)
{
    const op_row *op = NULL;
    for (int i = 0; i < ROWS && !(i == 0 && count); i++) {
        const op_row *r = &rows[i];
        if (r->kind == ROW_FUNCTION)
            add_function(r);
        else if (r->kind == ROW_OPERATION)
            op = r;
        else if (r->kind >= ROW_CASE)
            add_case(op, r, r->inputs, r->torch, op->gradient);
    }
    *n = count;
    return cases;
}

wk_tensor *op_run(const op_case *c, op_inputs *in)
{
    const op_row *r = c->row;
    return r->of1     ? r->of1(in->x[0])
           : r->of_a  ? r->of_a(in->x[0], r->a)
           : r->of_ab ? r->of_ab(in->x[0], r->a, r->b)
           : r->of2   ? r->of2(in->x[0], in->x[1])
                      : r->run(in->x);
}

/* ---- Operands ----------------------------------------------------------- */

static double hash(uint32_t i, uint32_t k) /* [0, 1) */
{
    uint32_t h = i * 0x9E3779B1u + k * 0x85EBCA77u + 0x165667B1u;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    h = (h ^ h >> 12) * 0x297A2D39u;
    h ^= h >> 15;
    return h / 4294967296.0;
}

static double odd(double x, double low, double high)
{
    double unit = fmax(fabs(low), fabs(high)) <= 4 ? 32 : 8;
    return (2 * floor(x * unit) + 1) / (2 * unit);
}

static double value_of(char kind, int64_t i, int k, int64_t classes, double low, double high,
                       bool exact)
{
    double u = hash((uint32_t)i, (uint32_t)k);
    switch (kind) {
    case 'b':
        return u >= 0.4;
    case 'n':
        return floor(u * 7) - 3;
    case 'i':
        return floor(u * (double)classes);
    }
    if (kind == 's' && exact)
        return floor(u * 4) - 1;
    u += exact ? 0 : hash((uint32_t)i, (uint32_t)k + 1000) / 4294967296.0;
    double x = low + (high - low) * u;
    return exact ? odd(x, low, high) : x;
}

bool op_is_float(const op_inputs *in, int k) { return strchr("fpsev", in->kind[k]); }

/* "f2x3", "i4%7", "v=1,2", "k2x2=1,2,3,4": steps over it. */
static const char *parse(op_inputs *in, const char *s, const op_case *c, bool exact)
{
    int           k = in->count++;
    char          kind = *s++;
    wk_shape     *shape = &in->shape[k];
    const op_row *f = c->row;
    double        low = kind == 'p' ? 0.3 : kind == 'e' ? f->low : -3;
    double        high = kind == 'e' ? f->high : 3;
    int64_t       classes = 0, n = 1;
    char         *end = (char *)s;
    *shape = WK_SCALAR;
    while (*s >= '0' && *s <= '9') {
        shape->dim[shape->rank++] = strtol(s, &end, 10);
        n *= shape->dim[shape->rank - 1];
        s = *end == 'x' ? end + 1 : end;
    }
    if (*s == '%')
        classes = strtol(s + 1, &end, 10), s = end;
    if (*s == '=') {
        if (!shape->rank)
            shape->rank = 1, shape->dim[0] = 0;
        in->value[k] = calloc(64, sizeof(double));
        for (n = 0; *s == '=' || *s == ','; n++, s = end)
            in->value[k][n] = strtod(s + 1, &end);
        shape->dim[0] = shape->rank == 1 ? n : shape->dim[0];
    } else {
        in->value[k] = calloc((size_t)n + 1, sizeof(double));
        for (int64_t i = 0; i < n; i++)
            in->value[k][i] = value_of(kind, i, k, classes, low, high, exact);
    }
    in->kind[k] = kind;
    in->n[k] = n;
    return s;
}

/* The numbers in the order of a tensor with the axes reversed. */
static void reverse_axes(double *value, wk_shape s, int64_t n)
{
    double *copy = malloc((size_t)(n + 1) * sizeof *copy);
    memcpy(copy, value, (size_t)n * sizeof *copy);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0, rest = i, step = n;
        for (int k = s.rank - 1; k >= 0; k--) {
            step /= s.dim[k];
            at += rest % s.dim[k] * step;
            rest /= s.dim[k];
        }
        value[at] = copy[i];
    }
    free(copy);
}

void op_inputs_open(op_inputs *in, const op_case *c, op_layout layout, bool exact)
{
    *in = (op_inputs){ .layout = layout };
    for (const char *s = c->inputs; *s; s += *s == ' ')
        s = parse(in, s, c, exact);
    for (int k = 0; k < in->count; k++) {
        if (!op_is_float(in, k) || !in->shape[k].rank)
            continue;
        if (layout == BROADCAST && in->shape[k].dim[0] > 1)
            in->n[k] /= in->shape[k].dim[0]; /* the first of its slices */
        else if (layout == STRIDED && in->shape[k].rank > 1)
            reverse_axes(in->value[k], in->shape[k], in->n[k]);
    }
}

void op_inputs_close(op_inputs *in)
{
    for (int k = 0; k < in->count; k++)
        free(in->value[k]);
    in->count = 0;
}

/* The values at every second place, with others between. */
static wk_tensor *stepped(op_inputs *in, int k)
{
    int64_t n = in->n[k];
    double *apart = calloc((size_t)(2 * n + 1), sizeof *apart);
    for (int64_t i = 0; i < 2 * n; i++)
        apart[i] = i % 2 ? 1e30 : in->value[k][i / 2];
    wk_tensor *x = wk_from(WK_F64, WK_SHAPE(2 * n), apart);
    free(apart);
    return x;
}

static wk_tensor *base_of(op_inputs *in, int k)
{
    wk_shape s = in->shape[k];
    if (in->layout == STRIDED && s.rank <= 1)
        return stepped(in, k);
    if (in->layout == STRIDED) /* stored with the axes reversed */
        for (int i = 0; i < s.rank; i++)
            s.dim[i] = in->shape[k].dim[s.rank - 1 - i];
    if (in->layout == BROADCAST && s.rank && s.dim[0] > 1)
        s.dim[0] = 1;
    return wk_from(WK_F64, s, in->value[k]);
}

static wk_tensor *view_of(const op_inputs *in, int k, wk_tensor *base)
{
    wk_shape s = in->shape[k], reverse = { .rank = s.rank };
    for (int i = 0; i < s.rank; i++)
        reverse.dim[i] = s.rank - 1 - i;
    if (in->layout == STRIDED && s.rank == 0)
        return wk_select(base, 0, 0);
    if (in->layout == STRIDED && s.rank == 1)
        return wk_slice(base, 0, 0, INT64_MAX, 2);
    if (in->layout == STRIDED)
        return wk_permute_by(base, reverse);
    return in->layout == BROADCAST ? wk_expand_to(base, s) : base;
}

void op_inputs_make(op_inputs *in, wk_dtype floats, bool track)
{
    for (int k = 0; k < in->count; k++) {
        wk_tensor *x;
        if (op_is_float(in, k)) {
            x = wk_cast(base_of(in, k), floats);
            in->base[k] = track ? wk_track(x) : x;
            in->x[k] = view_of(in, k, x);
        } else {
            x = wk_from(WK_F64, in->shape[k], in->value[k]);
            in->base[k] = in->x[k] = wk_cast(x, in->kind[k] == 'b' ? WK_BOOL : WK_I64);
        }
    }
}

void op_weights(double *dy, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dy[i] = value_of('f', i, 77, 0, -3, 3, true);
}

wk_tensor *op_loss(wk_tensor *y)
{
    double *dy = calloc((size_t)wk_count(y) + 1, sizeof *dy);
    op_weights(dy, wk_count(y));
    wk_tensor *weights = wk_cast(wk_from(WK_F64, wk_shape_of(y), dy), wk_dtype_of(y));
    free(dy);
    return wk_sum(wk_mul(y, weights));
}
