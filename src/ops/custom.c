// SPDX-License-Identifier: MIT OR Apache-2.0
/* custom.c - operations that users write, with gradients of their own; and functions that are
 * computed again when their gradient is needed, instead of being remembered.
 *
 * What the user's forward computes is the first operand of a node that shows it unchanged:
 * the others are the user's operands, and the node's backward is the user's. */
#include "../core/core.h"

static bool show(const wk_call *c)
{
    memcpy(c->out->stride, c->in[0]->stride, sizeof c->out->stride);
    return true;
}

#define SHOWN(name_, backward_)                                                                    \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 1,                                                                             \
        .flags = WK_OP_VIEW,                                                                       \
        .infer = wk_infer_same,                                                                    \
        .compute = show,                                                                           \
        .backward = backward_,                                                                     \
    };

/* y, seen as the result of op on these operands. */
static wk_tensor *shown(const wk_op *op, wk_tensor *y, wk_tensor *const *in, int count,
                        const wk_options *opt)
{
    wk_tensor *operand[WK_CUSTOM_OPERANDS + 1] = { y };
    memcpy(operand + 1, in, (size_t)count * sizeof *in);
    return wk_run(&(wk_call){ .op = op, .in = operand, .count = count + 1, .opt = *opt });
}

/* How many there are, of one at least. */
static int operands(const char *what, wk_tensor *const in[WK_CUSTOM_OPERANDS], int given)
{
    int count = 0;
    if (wk_ok() && (given < 0 || given > WK_CUSTOM_OPERANDS))
        wk_fail(WK_ERR_ARGUMENT, "%s: %d operands", what, given);
    for (; wk_ok() && count < WK_CUSTOM_OPERANDS && (given ? count < given : in[count] || !count);
         count++)
        wk_usable(what, count + 1, in[count]);
    return count;
}

/* ---- Operations of users ------------------------------------------------- */

static void custom_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    c->opt.custom.backward(c->in + 1, c->out, dy, dx + 1, c->opt.custom.user);
}
SHOWN(custom, custom_backward)

wk_tensor *wk_custom_with(const wk_custom_args *a)
{
    int  count = operands("custom", a->in, a->count);
    bool wanted = false;
    if (wk_ok() && !a->forward)
        wk_fail(WK_ERR_ARGUMENT, "custom: no forward");
    if (!wk_ok())
        return NULL;
    wk_scope   scope = wk_mark();
    bool       before = wk_no_grad(true);
    wk_tensor *y = a->forward(a->in, a->user);
    wk_no_grad(before);
    for (int i = 0; i < count; i++)
        wanted |= wk_recording && wk_wants_grad(a->in[i]);
    if (wk_ok() && wanted && !a->backward)
        wk_fail(WK_ERR_UNSUPPORTED, "custom: a gradient is wanted, and there is no backward");
    if (wk_ok() && wanted)
        y = shown(&wk_op_custom, wk_detach(y), a->in, count,
                  &(wk_options){ .custom = { .backward = a->backward, .user = a->user } });
    return wk_yield(scope, wk_ok() ? y : NULL);
}

/* ---- Computed again ------------------------------------------------------ */

/* The function once more, with the same random numbers, of operands that are nobody's results. */
static void checkpoint_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *in[WK_CUSTOM_OPERANDS] = { NULL };
    if (wk_recording) {
        wk_fail(WK_ERR_UNSUPPORTED, "checkpoint: it has no second derivative");
        return;
    }
    for (int i = 0; wk_ok() && i < c->opt.custom.count; i++) {
        in[i] = wk_detach(c->in[i + 1]);
        if (wk_wants_grad(c->in[i + 1]))
            wk_track(in[i]);
    }
    wk_random now = wk_random_state();
    wk_random_restore(c->opt.custom.random);
    wk_no_grad(false);
    wk_tensor *product = wk_sum(wk_mul(c->opt.custom.run(in, c->opt.custom.user), dy));
    wk_no_grad(true);
    wk_random_restore(now);
    wk_backward(product);
    for (int i = 0; wk_ok() && i < c->opt.custom.count; i++)
        dx[i + 1] = wk_grad(in[i]);
}
SHOWN(checkpoint, checkpoint_backward)

wk_tensor *wk_checkpoint_with(const wk_checkpoint_args *a)
{
    int count = operands("checkpoint", a->in, a->count);
    if (wk_ok() && (!a->run || count == WK_CUSTOM_OPERANDS))
        wk_fail(WK_ERR_ARGUMENT, "checkpoint: %s", a->run ? "too many operands" : "no function");
    if (!wk_ok())
        return NULL;
    wk_scope   scope = wk_mark();
    wk_options opt = { .custom = { .run = a->run, .user = a->user, .count = count } };
    opt.custom.random = wk_random_state();
    wk_tensor *y = a->run(a->in, a->user), *in[WK_CUSTOM_OPERANDS];
    memcpy(in, a->in, sizeof in);
    if (wk_ok() && wk_recording && wk_wants_grad(y)) {
        in[count] = wk_track(wk_zeros(1)); /* parameters may be all that wants a gradient */
        y = shown(&wk_op_checkpoint, wk_detach(y), in, count + 1, &opt);
    }
    return wk_yield(scope, wk_ok() ? y : NULL);
}
