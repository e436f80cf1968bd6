// SPDX-License-Identifier: MIT OR Apache-2.0
/* panels_bf16.c - wk_pack() where the processor multiplies bf16: panels of a weight.
 *
 * For each 16 outputs: for each pair of inputs, 16 times 32 bits; inputs are filled up
 * with zeros to a multiple of 32.  The engines of products read that as it lies.  With few
 * rows a panel is one stream, and no sum crosses lanes. */
#define ISA avx512
#include "../isa/matrix.h"
#include "../shared.h"
#include "../simd.h"

enum { OUTPUTS = 16, INPUTS = 32 };

static int64_t wide(int64_t k) { return (k + INPUTS - 1) / INPUTS * INPUTS; }

/* ---- Packing ------------------------------------------------------------ */

typedef struct {
    const wk_tensor *from;
    char            *to;
} job;

static void pack_some(void *ctx, int64_t begin, int64_t end)
{
    const job *j = ctx;
    int64_t    n = wk_dim(j->from, 0), k = wk_dim(j->from, 1);
    int64_t    filled = (k + 1) / 2 * OUTPUTS * 4, panel = wide(k) * OUTPUTS * 2;
    wk_mat     w = { wk_at_host(j->from), WK_BF16, k, 1 };
    for (int64_t i = begin; i < end; i++) {
        wk_mat part = wk_mat_at(w, i * OUTPUTS, 0);
        char  *to = j->to + i * panel;
        wk_cpu_avx512bf16.bf16->pack_b(to, &part, wk_min_i64(OUTPUTS, n - i * OUTPUTS), k);
        memset(to + filled, 0, (size_t)(panel - filled));
    }
}

static bool unpack(const wk_call *c)
{
    const wk_tensor *x = c->in[0];
    const uint16_t  *from = wk_at_host(x);
    uint16_t        *to = wk_at_host(c->out);
    int64_t          n = wk_dim(x, 0), k = wk_dim(x, 1);
    for (int64_t i = 0; i < n; i++) {
        const uint16_t *row = from + i / OUTPUTS * OUTPUTS * wide(k) + i % OUTPUTS * 2;
        for (int64_t p = 0; p < k; p++)
            to[i * k + p] = row[p / 2 * 2 * OUTPUTS + p % 2];
    }
    return true;
}

static int64_t count_of(const wk_tensor *w) { return (wk_dim(w, 0) + OUTPUTS - 1) / OUTPUTS; }

static void fill(const wk_tensor *w, void *to)
{
    wk_parallel(count_of(w), 32768 / wide(wk_dim(w, 1)) + 1, pack_some, &(job){ w, to });
}

static wk_shape room_for(const wk_tensor *w)
{
    return WK_SHAPE(count_of(w) * OUTPUTS, wide(wk_dim(w, 1)));
}

static const wk_packing panels = { "bf16 panels", room_for, fill, unpack };

wk_tensor *wk_panels_pack(wk_tensor *w)
{
    if (w->dtype != WK_BF16 || !wk_count(w) || !wk_is_contiguous(w))
        return w;
    return wk_packed_new(w, &panels);
}

/* ---- Few rows ----------------------------------------------------------- */

/* Each result has `chains` sums, so that additions need not wait. */
INLINE void few(int m, int chains, const char *w, int64_t w_row, int64_t count,
                const wk_few_rows *j, float *sums)
{
    const char *x = j->x, *end;
    for (int64_t at = 0; at < count; at += OUTPUTS, x = j->x) {
        __m512 sum[8][4];
#pragma GCC unroll 8
        for (int i = 0; i < m; i++)
#pragma GCC unroll 4
            for (int u = 0; u < chains; u++)
                sum[i][u] = _mm512_setzero_ps();
        for (end = w + OUTPUTS * w_row; w < end; w += 64 * chains, x += 4 * chains)
#pragma GCC unroll 4
            for (int u = 0; u < chains; u++) {
                __m512bh y = (__m512bh)_mm512_loadu_si512(w + 64 * u);
                if (j->ask)
                    __builtin_prefetch(w + 64 * u + WK_DISTANCE, 0, 2);
#pragma GCC unroll 8
                for (int i = 0; i < m; i++) {
                    int z;
                    memcpy(&z, x + i * j->x_row * 2 + 4 * u, sizeof z);
                    sum[i][u] = _mm512_dpbf16_ps(sum[i][u], y, (__m512bh)_mm512_set1_epi32(z));
                }
            }
#pragma GCC unroll 8
        for (int i = 0; i < m; i++) {
#pragma GCC unroll 4
            for (int u = 1; u < chains; u++)
                sum[i][0] = _mm512_add_ps(sum[i][0], sum[i][u]);
            _mm512_storeu_ps(sums + i * WK_AT_ONCE + at, sum[i][0]);
        }
    }
}

#define FEW(m, chains)                                                                             \
    static void few_##m(const char *w, int64_t w_row, int64_t count, const wk_few_rows *j,         \
                        float *sums)                                                               \
    {                                                                                              \
        few(m, chains, w, w_row, count, j, sums);                                                  \
    }
FEW(1, 2)
FEW(2, 2)
FEW(4, 2)
FEW(8, 2)

const wk_few_fn wk_panels_few[4] = { few_1, few_2, few_4, few_8 };
