// SPDX-License-Identifier: MIT OR Apache-2.0
/* glu.c - gated linear units: act(gate) * up.  Shazeer, "GLU variants improve
 * transformer", 2020. */
#include "../core/core.h"

#include <math.h>

static const struct {
    const wk_op *op, *d1;
} acts[] = {
    [WK_ACT_SILU] = { &wk_op_silu, &wk_op_silu_d1 },
    [WK_ACT_GELU] = { &wk_op_gelu, &wk_op_gelu_d1 },
    [WK_ACT_GELU_TANH] = { &wk_op_gelu_tanh, &wk_op_gelu_tanh_d1 },
    [WK_ACT_RELU] = { &wk_op_relu, &wk_op_relu_d1 },
};

static wk_tensor *activate(wk_tensor *x, wk_act act)
{
    return act == WK_ACT_NONE ? x : wk_run(&(wk_call){ .op = acts[act].op, WK_IN(x) });
}

static bool infer(wk_call *c)
{
    if (c->opt.mode.act <= WK_ACT_RELU)
        return wk_infer_broadcast(c);
    wk_fail(WK_ERR_ARGUMENT, "glu: there is no activation %d", (int)c->opt.mode.act);
    return false;
}

static void row(const wk_call *c, int64_t n, void *out, void *const *in)
{
    const double *gate = in[0], *up = in[1];
    double       *r = out;
    for (int64_t i = 0; i < n; i++) {
        double x = gate[i];
        switch (c->opt.mode.act) {
        case WK_ACT_NONE:
            break;
        case WK_ACT_SILU:
            x /= 1 + exp(-x);
            break;
        case WK_ACT_GELU:
            x *= 0.5 * erfc(-0.7071067811865476 * x);
            break;
        case WK_ACT_GELU_TANH:
            x /= 1 + exp(-1.5957691216057308 * x * (1 + 0.044715 * x * x));
            break;
        case WK_ACT_RELU:
            x = x > 0 ? x : 0;
            break;
        }
        r[i] = x * up[i];
    }
}

static bool compute(const wk_call *c) { return wk_loop(c, WK_AS_F64, row); }

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *gate = c->in[0], *up = c->in[1];
    wk_act     act = c->opt.mode.act;
    wk_tensor *a = activate(gate, act), *da = wk_mul(dy, up);
    dx[0] = act == WK_ACT_NONE ? da : wk_run(&(wk_call){ .op = acts[act].d1, WK_IN(gate, a, da) });
    dx[1] = wk_wants_grad(up) ? wk_mul(dy, a) : NULL;
}

const wk_op wk_op_glu = {
    .name = "glu",
    .id = WK_OP_glu,
    .required = 2,
    .strided = WK_ALL_OPERANDS,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

wk_tensor *wk_glu(wk_tensor *gate, wk_tensor *up, wk_act act)
{
    return WK_RUN(glu, WK_IN(gate, up), .opt.mode.act = act);
}
