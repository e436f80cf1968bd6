// SPDX-License-Identifier: MIT OR Apache-2.0
/* dropout.c - every element is kept or not, by chance; what is kept is scaled so that the mean
 * stays: Srivastava et al., 2014.
 *
 * The choice is not stored: a seed and a counter give it again, so the gradient is the same
 * operation on the gradient. */
#include "../core/core.h"

enum { PIECE = 4096, LANES = 64 }; /* numbers; counters at once: compilers make vectors of them */

/* Philox, as wk_philox(), of LANES counters: word k of counter i is word[k][i]. */
static void draw(uint64_t seed, uint64_t counter, uint32_t word[4][LANES])
{
    uint32_t *x0 = word[0], *x1 = word[1], *x2 = word[2], *x3 = word[3];
    uint32_t  k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (uint32_t i = 0; i < LANES; i++) {
        x0[i] = (uint32_t)(counter + i);
        x1[i] = (uint32_t)((counter + i) >> 32);
        x2[i] = x3[i] = 0;
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int i = 0; i < LANES; i++) {
            uint64_t a = (uint64_t)x0[i] * 0xD2511F53u, b = (uint64_t)x2[i] * 0xCD9E8D57u;
            x0[i] = (uint32_t)(b >> 32) ^ x1[i] ^ k0;
            x1[i] = (uint32_t)b;
            x2[i] = (uint32_t)(a >> 32) ^ x3[i] ^ k1;
            x3[i] = (uint32_t)a;
        }
}

static void pieces(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    double         p = c->opt.random.probability, scale = p < 1 ? 1 / (1 - p) : 0;
    uint64_t       limit = (uint64_t)(p * 0x1p32); /* words below it drop an element */
    uint32_t       word[4][LANES];
    float          factor[4 * LANES];
    double         row[4 * LANES];
    for (int64_t at = begin; at < end; at += 4 * LANES) {
        int64_t n = wk_min_i64(end - at, 4 * LANES);
        draw(c->opt.random.seed, c->opt.random.counter + (uint64_t)at / 4, word);
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < LANES; i++)
                factor[4 * i + k] = word[k][i] < limit ? 0 : (float)scale;
        if (c->out->dtype == WK_F32) {
            const float *x = wk_f32(c->in[0]) + at;
            float       *y = wk_f32(c->out) + at;
            for (int64_t i = 0; i < n; i++)
                y[i] = factor[i] != 0 ? x[i] * factor[i] : 0;
        } else {
            wk_load_f64(row, c->in[0], at, n, 1);
            for (int64_t i = 0; i < n; i++)
                row[i] = factor[i] != 0 ? row[i] * scale : 0;
            wk_store_f64(c->out, at, row, n, 1);
        }
    }
}

static bool compute(const wk_call *c)
{
    wk_parallel(wk_count(c->out), PIECE, pieces, (void *)c);
    return true;
}

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(dropout, WK_IN(dy), .opt = c->opt);
}

static bool infer(wk_call *c)
{
    double p = c->opt.random.probability;
    if (!(p >= 0 && p <= 1)) {
        wk_fail(WK_ERR_ARGUMENT, "dropout: a probability of %g", p);
        return false;
    }
    return wk_infer_same(c);
}

const wk_op wk_op_dropout = {
    .name = "dropout",
    .id = WK_OP_dropout,
    .required = 1,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

wk_tensor *wk_dropout(wk_tensor *x, double p)
{
    wk_call c = { .op = &wk_op_dropout, WK_IN(x), .opt.random.probability = p };
    if (wk_ok() && x)
        wk_draw(((uint64_t)wk_count(x) + 3) / 4, &c.opt.random.seed, &c.opt.random.counter);
    return wk_run(&c);
}
