// SPDX-License-Identifier: MIT OR Apache-2.0
/* layers.c - the parameters of layers, named and begun as PyTorch does. */
#include "nn.h"

#include <math.h>

/* kaiming_uniform with a = sqrt(5), which comes to 1 / sqrt(in): He et al., 2015 */
wk_init wk_init_within(int64_t in)
{
    return (wk_init){ WK_INIT_UNIFORM, in > 0 ? 1 / sqrt((double)in) : 0 };
}

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
    return wk_param(at, "weight", WK_SHAPE(count, width), (wk_init){ WK_INIT_NORMAL, 1 });
}

wk_tensor *wk_rms_norm_new(wk_vars at, int64_t width)
{
    return wk_param(at, "weight", WK_SHAPE(width), (wk_init){ WK_INIT_ONES, 0 });
}

wk_layer wk_layer_norm_new(wk_vars at, int64_t width)
{
    return (wk_layer){ wk_param(at, "weight", WK_SHAPE(width), (wk_init){ WK_INIT_ONES, 0 }),
                       wk_param(at, "bias", WK_SHAPE(width), (wk_init){ WK_INIT_ZEROS, 0 }) };
}

wk_tensor *wk_drop_out(wk_tensor *x, double p, bool train)
{
    if (!train || p <= 0 || !x)
        return x;
    wk_scope   scope = wk_mark();
    wk_tensor *kept = wk_ge(wk_rand_of(WK_F32, wk_shape_of(x)), wk_scalar(p));
    return wk_yield(scope, wk_mul(x, wk_scale(wk_cast(kept, wk_dtype_of(x)), 1 / (1 - p))));
}
