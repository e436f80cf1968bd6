// SPDX-License-Identifier: MIT OR Apache-2.0
/* 03 - An attention block with a cache, as decoders have it.
 *
 * Ten positions at once must give what they give one after the other, when keys and
 * values of the past are kept.  Shapes: b batch, t time, h heads, g groups of keys and
 * values, d head dim. */
#include <wick/wick.h>

#include <math.h>
#include <stdio.h>

enum { WIDTH = 64, HEADS = 8, GROUPS = 2, DIM = 8, CONTEXT = 32 };

typedef struct {
    wk_tensor *norm;
    wk_layer   q, k, v, o;
} block;

typedef struct {
    wk_tensor *k, *v; // [1, g, CONTEXT, d]
} cache;

static block block_new(wk_vars at)
{
    return (block){
        .norm = wk_rms_norm_new(wk_at(at, "norm"), WIDTH),
        .q = wk_linear_new_unbiased(wk_at(at, "q_proj"), WIDTH, HEADS * DIM),
        .k = wk_linear_new_unbiased(wk_at(at, "k_proj"), WIDTH, GROUPS * DIM),
        .v = wk_linear_new_unbiased(wk_at(at, "v_proj"), WIDTH, GROUPS * DIM),
        .o = wk_linear_new_unbiased(wk_at(at, "o_proj"), HEADS * DIM, WIDTH),
    };
}

/* cos and sin of the angles of positions first .. first + count - 1: [count, d/2] */
static wk_tensor *angles(int64_t first, int64_t count)
{
    wk_tensor *position = wk_arange(WK_F32, (double)first, (double)(first + count), 1);
    wk_tensor *i = wk_arange(WK_F32, 0, DIM / 2, 1);
    wk_tensor *frequency = wk_exp(wk_scale(i, -log(10000) * 2 / DIM));
    return wk_mul(wk_unsqueeze(position, 1), frequency);
}

/* [b, t, n * d] -> [b, n, t, d], without moving a number */
static wk_tensor *heads(wk_tensor *x, int64_t n)
{
    return wk_permute(wk_reshape(x, wk_dim(x, 0), wk_dim(x, 1), n, DIM), 0, 2, 1, 3);
}

/* x [1, t, WIDTH] at positions position .. position + t - 1 */
static wk_tensor *forward(const block *m, cache *c, wk_tensor *x, int64_t position)
{
    int64_t    t = wk_dim(x, 1), end = position + t;
    wk_tensor *turn = angles(position, t), *cos = wk_cos(turn), *sin = wk_sin(turn);
    wk_tensor *h = wk_rms_norm(x, m->norm, 1e-5);
    wk_tensor *q = wk_rope(heads(wk_linear(h, m->q), HEADS), cos, sin, false);
    wk_write(c->k, wk_rope(heads(wk_linear(h, m->k), GROUPS), cos, sin, false), 2, position);
    wk_write(c->v, heads(wk_linear(h, m->v), GROUPS), 2, position);
    wk_tensor *y = wk_attention(q, wk_narrow(c->k, 2, 0, end), wk_narrow(c->v, 2, 0, end),
                                .causal = true);                  // [1, h, t, d]
    y = wk_reshape(wk_permute(y, 0, 2, 1, 3), 1, t, HEADS * DIM); // [1, t, h * d]
    return wk_linear_add(y, m->o, x);
}

static cache cache_new(void)
{
    return (cache){ wk_zeros(1, GROUPS, CONTEXT, DIM), wk_zeros(1, GROUPS, CONTEXT, DIM) };
}

int main(void)
{
    wk_no_grad(true);
    wk_store  *params = wk_store_new();
    block      m = block_new(wk_root(params));
    wk_tensor *x = wk_randn(1, 10, WIDTH);
    cache      whole = cache_new(), steps = cache_new();

    wk_tensor *together = forward(&m, &whole, x, 0);
    double     worst = 0;
    for (int64_t t = 0; t < 10 && wk_ok(); t++) {
        wk_scope   s = wk_mark();
        wk_tensor *one = forward(&m, &steps, wk_narrow(x, 1, t, 1), t);
        wk_tensor *far = wk_max(wk_abs(wk_sub(one, wk_narrow(together, 1, t, 1))));
        worst = fmax(worst, wk_item(far));
        wk_sweep(s);
    }
    printf("one by one and together: %s\n", worst < 1e-5 ? "the same" : "different");
    printf("%lld parameters\n", (long long)wk_store_elements(params));

    wk_store_free(params);
    return wk_finish();
}
