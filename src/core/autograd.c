// SPDX-License-Identifier: MIT OR Apache-2.0
/* autograd.c - the graph of recorded calls, and its traversal backwards.
 *
 * A tensor that may need a gradient points to the call that made it, the call to its
 * operands, and so on down to the parameters.  There is no tape: a graph lives
 * exactly as long as a tensor computed by it. */
#include "core.h"

_Thread_local bool wk_recording = true;

bool wk_no_grad(bool on)
{
    bool before = !wk_recording;
    wk_recording = !on;
    return before;
}

/* ---- Recording ---------------------------------------------------------- */

bool wk_wants_grad(const wk_tensor *x) { return x && (x->tracked || x->node); }

bool wk_needs_record(const wk_call *c)
{
    if (!wk_recording || !wk_dtypes[c->out->dtype].is_float)
        return false;
    for (int i = 0; i < c->count; i++)
        if (wk_wants_grad(c->in[i])) {
            if (c->op->backward)
                return true;
            if (!(c->op->flags & WK_OP_NO_HISTORY))
                wk_fail(WK_ERR_UNSUPPORTED,
                        "%s has no gradient: use wk_detach() or wk_no_grad() if none is needed",
                        c->op->name);
            return false;
        }
    return false;
}

void wk_record(const wk_call *c)
{
    size_t   n = (size_t)c->count;
    wk_node *node =
        wk_alloc(sizeof *node + n * (sizeof *c->in + sizeof(unsigned)) + sizeof(unsigned));
    wk_tensor *result = node ? wk_tensor_view(c->out) : NULL;
    if (!result) {
        wk_free(node);
        return;
    }
    *node = (wk_node){ .refs = 1, .call = *c, .result = result };
    node->call.out = NULL;
    node->call.in = (wk_tensor **)(node + 1);
    node->version = (unsigned *)(node->call.in + n);
    for (size_t i = 0; i < n; i++) {
        node->call.in[i] = wk_keep(c->in[i]);
        node->version[i] = c->in[i] ? c->in[i]->storage->version : 0;
    }
    node->version[n] = result->storage->version;
    c->out->node = node;
}

/* Graphs can be thousands of nodes deep, so they are released through a work list
 * and not by recursion. */
void wk_node_release(wk_node *n)
{
    static _Thread_local wk_node *dead;
    static _Thread_local bool     burying;
    if (!n || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
        return;
    n->next = dead;
    dead = n;
    if (burying)
        return;
    burying = true;
    while ((n = dead)) {
        dead = n->next;
        for (int i = 0; i < n->call.count; i++)
            wk_release(n->call.in[i]);
        wk_release(n->result);
        wk_release(n->grad);
        wk_free(n);
    }
    burying = false;
}

/* ---- Backwards ---------------------------------------------------------- */

/* Nobody else sees x's elements, so they may be added to. */
static bool is_exclusive(const wk_tensor *x)
{
    return x->refs == 1 && x->storage->refs == 1 && wk_is_contiguous(x) && !x->node;
}

/* Add g, cast and un-broadcast, to the gradient of x. */
static void add_grad(wk_tensor *x, wk_tensor *g)
{
    wk_tensor **slot = x->node ? &x->node->grad : &x->grad;
    g = wk_cast(wk_sum_to(g, x->shape), x->dtype);
    if (!g)
        return;
    if (!*slot)
        wk_set(slot, x->node ? g : wk_contiguous(g));
    else if (is_exclusive(*slot) && !wk_recording)
        wk_accumulate(*slot, g);
    else
        wk_set(slot, wk_add(*slot, g));
}

/* Count how often each node is used, so that it can wait for all its gradients. */
static void count_uses(wk_node *root)
{
    wk_node *work = root;
    root->next = NULL;
    root->visited = true;
    while (work) {
        wk_node *n = work;
        work = n->next;
        for (int i = 0; i < n->call.count; i++) {
            wk_node *m = n->call.in[i] ? n->call.in[i]->node : NULL;
            if (!m)
                continue;
            m->pending++;
            if (!m->visited) {
                m->visited = true;
                m->next = work;
                work = m;
            }
        }
    }
}

/* backward() may read the operands and the result: are they what they were? */
static bool unchanged(const wk_node *n)
{
    const wk_call *c = &n->call;
    for (int i = 0; i <= c->count; i++) {
        const wk_tensor *x = i < c->count ? c->in[i] : n->result;
        if (x && x->storage->version != n->version[i]) {
            wk_fail(WK_ERR_ARGUMENT, "backward: %s %d of %s was changed in place since",
                    i < c->count ? "operand" : "result", i < c->count ? i + 1 : 1, c->op->name);
            return false;
        }
    }
    return true;
}

static void run_backward(wk_node *n, wk_tensor **dx)
{
    wk_call call = n->call;
    call.out = n->result;
    for (int i = 0; i < call.count; i++)
        dx[i] = NULL;
    if (!wk_ok() || !n->grad || !unchanged(n))
        return;
    if (wk_recording) { /* let the result be seen as what it is: computed */
        call.out = wk_pool(wk_tensor_view(n->result));
        if (!call.out)
            return;
        atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
        call.out->node = n;
    }
    call.op->backward(&call, n->grad, dx);
    wk_context("backward of %s", call.op->name);
    for (int i = 0; wk_ok() && i < call.count; i++)
        if (dx[i] && wk_wants_grad(call.in[i]))
            add_grad(call.in[i], dx[i]);
}

static void backward(wk_tensor *loss, bool record)
{
    char text[160];
    if (!wk_ok())
        return;
    if (!loss || wk_count(loss) != 1 || !wk_dtypes[loss->dtype].is_float) {
        wk_fail(WK_ERR_ARGUMENT, "backward: the loss must be one float, not %s",
                loss ? wk_show(loss, text) : "NULL");
        return;
    }
    if (!loss->node) {
        wk_fail(WK_ERR_ARGUMENT, "backward: the loss was not computed from tracked tensors");
        return;
    }
    bool     before = wk_no_grad(!record);
    wk_scope scope = wk_mark();
    wk_set(&loss->node->grad, wk_full_like(loss, 1));
    count_uses(loss->node);

    wk_tensor **dx = NULL;
    size_t      room = 0;
    wk_node    *ready = loss->node;
    ready->next = NULL;
    while (ready) { /* every node whose gradient is complete */
        wk_node *n = ready;
        ready = n->next;
        n->visited = false;
        size_t count = (size_t)n->call.count;
        if (wk_reserve(&dx, &room, count, sizeof *dx))
            run_backward(n, dx);
        for (size_t i = 0; i < count; i++) {
            wk_node *m = n->call.in[i] ? n->call.in[i]->node : NULL;
            if (m && --m->pending == 0) {
                m->next = ready;
                ready = m;
            }
        }
        wk_set(&n->grad, NULL);
        wk_sweep(scope);
    }
    wk_free(dx);
    wk_no_grad(before);
}

void wk_backward(wk_tensor *loss) { backward(loss, false); }
void wk_backward_recorded(wk_tensor *loss) { backward(loss, true); }

/* ---- Gradients of tensors ----------------------------------------------- */

wk_tensor *wk_grad(const wk_tensor *x) { return x ? x->grad : NULL; }

void wk_set_grad(wk_tensor *x, wk_tensor *grad)
{
    if (wk_ok() && x)
        wk_set(&x->grad, grad);
}

wk_tensor *wk_track(wk_tensor *x)
{
    char text[160];
    if (!wk_usable("track", 1, x))
        return NULL;
    if (x->node || !wk_dtypes[x->dtype].is_float || wk_is_quantized(x)) {
        wk_fail(WK_ERR_ARGUMENT, "track: %s is %s", wk_show(x, text),
                x->node              ? "computed from tracked tensors"
                : wk_is_quantized(x) ? "quantized"
                                     : "not of a float dtype");
        return NULL;
    }
    x->tracked = true;
    return x;
}

wk_tensor *wk_detach(wk_tensor *x)
{
    return wk_usable("detach", 1, x) ? wk_pool(wk_tensor_view(x)) : NULL;
}
