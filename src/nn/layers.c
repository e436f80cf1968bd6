// SPDX-License-Identifier: MIT OR Apache-2.0
/* layers.c - the parameters of layers, named and begun as PyTorch does. */
#include "nn.h"

#include <math.h>

/* kaiming_uniform with a = sqrt(5), which comes to 1 / sqrt(in): He et al., 2015 */
wk_init wk_init_within(int64_t in)
{
    return (wk_init){ .kind = WK_INIT_UNIFORM, .spread = in > 0 ? 1 / sqrt((double)in) : 0 };
}

static const wk_init ones = { .kind = WK_INIT_ONES }, zeros = { .kind = WK_INIT_ZEROS };

wk_layer wk_linear_new_unbiased(wk_vars at, int64_t in, int64_t out)
{
    return (wk_layer){ wk_param(at, "weight", WK_SHAPE(out, in), wk_init_within(in)), NULL };
}

wk_layer wk_linear_new(wk_vars at, int64_t in, int64_t out)
{
    wk_layer p = wk_linear_new_unbiased(at, in, out);
    p.bias = wk_param(at, "bias", WK_SHAPE(out), wk_init_within(in));
    return p;
}

wk_tensor *wk_embedding_new(wk_vars at, int64_t count, int64_t width)
{
    return wk_param(at, "weight", WK_SHAPE(count, width),
                    (wk_init){ .kind = WK_INIT_NORMAL, .spread = 1 });
}

wk_tensor *wk_rms_norm_new(wk_vars at, int64_t width)
{
    return wk_param(at, "weight", WK_SHAPE(width), ones);
}

wk_layer wk_layer_norm_new(wk_vars at, int64_t width)
{
    return (wk_layer){ wk_param(at, "weight", WK_SHAPE(width), ones),
                       wk_param(at, "bias", WK_SHAPE(width), zeros) };
}

wk_layer wk_group_norm_new(wk_vars at, int64_t channels) { return wk_layer_norm_new(at, channels); }

wk_layer wk_instance_norm_new(wk_vars at, int64_t channels)
{
    return wk_layer_norm_new(at, channels);
}

/* ---- Batch norm ----------------------------------------------------------- */

static wk_tensor *no_count(wk_shape shape, const wk_init *how)
{
    (void)how;
    return wk_zeros_of(WK_I64, shape);
}

wk_batch_norm_layer wk_batch_norm_new(wk_vars at, int64_t channels)
{
    wk_layer p = wk_layer_norm_new(at, channels);
    return (wk_batch_norm_layer){
        .weight = p.weight,
        .bias = p.bias,
        .running_mean = wk_buffer(at, "running_mean", WK_SHAPE(channels), zeros),
        .running_var = wk_buffer(at, "running_var", WK_SHAPE(channels), ones),
        .num_batches_tracked =
            wk_buffer(at, "num_batches_tracked", WK_SCALAR, (wk_init){ .make = no_count }),
        .eps = 1e-5,
        .momentum = 0.1,
    };
}

wk_tensor *wk_batch_norm_forward_with(const wk_batch_norm_forward_args *a)
{
    const wk_batch_norm_layer *m = a->m;
    wk_tensor *y = wk_batch_norm(a->x, m->weight, m->bias, m->running_mean, m->running_var,
                                 .training = a->train, .momentum = m->momentum, .eps = m->eps);
    if (a->train && y) {
        wk_scope scope = wk_mark();
        wk_assign(m->num_batches_tracked, wk_add_scalar(m->num_batches_tracked, 1));
        wk_sweep(scope);
    }
    return wk_ok() ? y : NULL;
}

/* ---- Embedding with a row for nothing ------------------------------------ */

static wk_tensor *normal_but_one(wk_shape shape, const wk_init *how)
{
    int64_t    row = (int64_t)how->number[0];
    wk_tensor *x = wk_randn_of(WK_F32, shape);
    wk_fill(wk_narrow(x, 0, row < 0 ? row + shape.dim[0] : row, 1), 0);
    return x;
}

wk_tensor *wk_embedding_new_padded(wk_vars at, int64_t count, int64_t width, int64_t padding)
{
    return wk_param(at, "weight", WK_SHAPE(count, width),
                    (wk_init){ .make = normal_but_one, .number = { (double)padding } });
}

wk_tensor *wk_embedding_padded(wk_tensor *ids, wk_tensor *weight, int64_t padding)
{
    wk_scope   scope = wk_mark();
    int64_t    row = padding < 0 ? padding + wk_dim(weight, 0) : padding;
    wk_tensor *x = wk_embedding(ids, weight);
    if (wk_wants_grad(x)) {
        wk_tensor *nothing = wk_unsqueeze(wk_eq(ids, wk_full_like(ids, (double)row)), -1);
        x = wk_where(nothing, wk_detach(x), x);
    }
    return wk_yield(scope, x);
}

/* ---- Convolution ---------------------------------------------------------- */

static wk_conv_args conv_new(const wk_conv_new_args *a, bool transposed)
{
    int64_t  groups = a->groups ? a->groups : 1, size = 1;
    wk_shape shape = { .rank = a->kernel.rank + 2 };
    if (groups < 0 || a->in % groups || a->out % groups || shape.rank > 5 || shape.rank < 3)
        wk_fail(WK_ERR_ARGUMENT, "conv: %lld to %lld channels in %lld groups, with a kernel of %d",
                (long long)a->in, (long long)a->out, (long long)groups, a->kernel.rank);
    if (!wk_ok())
        return (wk_conv_args){ .x = NULL };
    shape.dim[0] = transposed ? a->in : a->out;
    shape.dim[1] = (transposed ? a->out : a->in) / groups;
    for (int i = 0; i < a->kernel.rank; i++)
        size *= shape.dim[2 + i] = a->kernel.dim[i];
    wk_init begin = wk_init_within(shape.dim[1] * size);
    return (wk_conv_args){
        .weight = wk_param(a->at, "weight", shape, begin),
        .bias = a->unbiased ? NULL : wk_param(a->at, "bias", WK_SHAPE(a->out), begin),
        .stride = a->stride,
        .padding = a->padding,
        .dilation = a->dilation,
        .output_padding = a->output_padding,
        .groups = groups,
        .same = a->same,
        .dims = a->kernel.rank,
    };
}

wk_conv_args wk_conv_new_with(const wk_conv_new_args *a) { return conv_new(a, false); }
wk_conv_args wk_conv_transpose_new_with(const wk_conv_new_args *a) { return conv_new(a, true); }

wk_tensor *wk_conv_forward(const wk_conv_args *m, wk_tensor *x)
{
    wk_conv_args a = *m;
    a.x = x;
    return wk_conv_with(&a);
}

wk_tensor *wk_conv_transpose_forward(const wk_conv_args *m, wk_tensor *x)
{
    wk_conv_args a = *m;
    a.x = x;
    return wk_conv_transpose_with(&a);
}

/* ---- One after the other -------------------------------------------------- */

wk_tensor *wk_sequential_with(const wk_sequential_args *a)
{
    wk_scope   scope = wk_mark();
    wk_tensor *x = a->x;
    for (int i = 0; i < a->count && wk_ok(); i++) {
        const wk_block *b = &a->blocks[i];
        x = b->linear.weight ? wk_linear(x, b->linear) : x;
        x = b->conv.weight ? wk_conv_forward(&b->conv, x) : x;
        if (b->batch_norm.weight)
            x = wk_batch_norm_forward(&b->batch_norm, x, .train = a->train);
        x = b->norm.weight ? wk_layer_norm(x, b->norm, 1e-5) : x;
        x = b->call ? b->call(x) : x;
        x = wk_drop_out(x, b->dropout, a->train);
    }
    return wk_yield(scope, x);
}
