// SPDX-License-Identifier: MIT OR Apache-2.0
/* fold.c - the loops of fold.h on vectors. */
#include "../fold.h"
#include "../simd.h"
#include "isa.h"

/* The vector v into what is folded so far. */
static inline __attribute__((always_inline)) vf fold_step(fold_kind kind, vf sum, vf v, vf shift)
{
    switch (kind) {
    case FOLD_SUM:
        return sum + v;
    case FOLD_ABS:
        return sum + vabs(v);
    case FOLD_SQUARE:
        return vfma(v, v, sum);
    case FOLD_OFFSET:
        return sum + (v - shift);
    case FOLD_SPREAD:
        return vfma(v - shift, v - shift, sum);
    case FOLD_EXP:
        return sum + vexp(v - shift);
    case FOLD_ZEROS:
        return sum - __builtin_convertvector(v == 0.0f, vf);
    case FOLD_MAX:
        return vmax(v, sum);
    case FOLD_MIN:
        return vmax(-v, sum);
    case FOLD_MOST:
        return vmax(vabs(v), sum);
    }
    return sum;
}

/* n a multiple of 4 VF */
static void fold_whole(fold_kind kind, const float *x, int64_t n, vf s[4], vf shift)
{
    vf s0 = s[0], s1 = s[1], s2 = s[2], s3 = s[3];
    switch (kind) {
#define LOOP(kind)                                                                                 \
    case kind:                                                                                     \
        for (int64_t i = 0; i < n; i += 4 * VF) {                                                  \
            s0 = fold_step(kind, s0, vload(x + i), shift);                                         \
            s1 = fold_step(kind, s1, vload(x + i + VF), shift);                                    \
            s2 = fold_step(kind, s2, vload(x + i + 2 * VF), shift);                                \
            s3 = fold_step(kind, s3, vload(x + i + 3 * VF), shift);                                \
        }                                                                                          \
        break;
        LOOP(FOLD_SUM)
        LOOP(FOLD_ABS)
        LOOP(FOLD_SQUARE)
        LOOP(FOLD_OFFSET)
        LOOP(FOLD_SPREAD)
        LOOP(FOLD_ZEROS)
        LOOP(FOLD_MAX)
        LOOP(FOLD_MIN)
        LOOP(FOLD_MOST)
#undef LOOP
    case FOLD_EXP:
        for (int64_t i = 0; i < n; i += VF)
            s0 = fold_step(FOLD_EXP, s0, vload(x + i), shift);
        break;
    }
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3;
}

/* The end of a row, filled up with what changes nothing. */
static void fold_rest(fold_kind kind, const float *x, int64_t n, vf s[4], float shift)
{
    float rest[4 * VF], nothing = 0;
    if (kind == FOLD_OFFSET || kind == FOLD_SPREAD)
        nothing = shift;
    else if (kind == FOLD_EXP || kind == FOLD_MAX || kind == FOLD_MIN)
        nothing = kind == FOLD_MIN ? INFINITY : -INFINITY;
    else if (kind == FOLD_ZEROS)
        nothing = 1;
    for (int i = 0; i < 4 * VF; i++)
        rest[i] = i < n ? x[i] : nothing;
    fold_whole(kind, rest, 4 * VF, s, vset(shift));
}

static double fold(fold_kind kind, const float *x, int64_t n, float shift)
{
    bool   sums = !fold_is_extreme(kind);
    double total = 0;
    vf     start = vset(sums ? 0 : -INFINITY), s[4] = { start, start, start, start };
    for (int64_t i = 0; i < n;) {
        int64_t piece = wk_min_i64(n - i, (int64_t)32 * 4 * VF);
        int64_t whole = piece / (4 * VF) * (4 * VF);
        fold_whole(kind, x + i, whole, s, vset(shift));
        if (whole < piece)
            fold_rest(kind, x + i + whole, piece - whole, s, shift);
        i += piece;
        if (sums) {
            total += (double)vsum((s[0] + s[1]) + (s[2] + s[3]));
            s[0] = s[1] = s[2] = s[3] = start;
        }
    }
    return sums ? total : (double)vlargest(vmax(vmax(s[0], s[1]), vmax(s[2], s[3])));
}

/* ---- Columns ------------------------------------------------------------- */

/* One step of each kind, and of extremes what is compared: called through addresses, as
 * the loop below waits for memory. */
#define STEP(kind)                                                                                 \
    static vf kind##_step(vf s, vf v, vf shift) { return fold_step(kind, s, v, shift); }
STEP(FOLD_SUM)
STEP(FOLD_ABS)
STEP(FOLD_SQUARE)
STEP(FOLD_OFFSET)
STEP(FOLD_SPREAD)
STEP(FOLD_EXP)
STEP(FOLD_ZEROS)
#undef STEP

static vf sum_vector(fold_columns *t, int64_t i, fold_kind kind, vf v)
{
    static vf (*const step[])(vf, vf, vf) = { FOLD_SUM_step,    FOLD_ABS_step,    FOLD_SQUARE_step,
                                              FOLD_OFFSET_step, FOLD_SPREAD_step, FOLD_EXP_step,
                                              FOLD_ZEROS_step };
    return step[kind](vload(t->sum + i), v, vload(t->shift + i));
}

static vf best_vector(fold_columns *t, int64_t i, fold_kind kind, vf v, int32_t row)
{
    vf s = vload(t->sum + i);
    vi at;
    v = kind == FOLD_MIN ? -v : kind == FOLD_MOST ? vabs(v) : v;
    vi better = ~(v <= s) & (s == s);
    memcpy(&at, t->at + i, sizeof at);
    at = (better & viset(row)) | (~better & at);
    memcpy(t->at + i, &at, sizeof at);
    return vselect(better, v, s);
}

static void fold_row(fold_kind kind, fold_columns *t, const float *x, int64_t m, int32_t row)
{
    int64_t i = 0;
    for (; kind == FOLD_SUM && i + VF <= m; i += VF) /* the most common one */
        vstore(t->sum + i, vload(t->sum + i) + vload(x + i));
    for (; i < m; i += VF) {
        vf v = m - i < VF ? vload_part(x + i, m - i) : vload(x + i);
        vstore(t->sum + i,
               fold_is_extreme(kind) ? best_vector(t, i, kind, v, row) : sum_vector(t, i, kind, v));
    }
}

/* ---- Softmax ------------------------------------------------------------- */

static void softmax(float *r, const float *x, int64_t n, float top, float factor, float less)
{
    for (int64_t i = 0; i < n; i += VF) {
        int64_t m = wk_min_i64(VF, n - i);
        vf      v = m < VF ? vload_part(x + i, m) : vload(x + i);
        v = vexp(v - top) * factor - less;
        if (m < VF)
            vstore_part(r + i, v, m);
        else
            vstore(r + i, v);
    }
}

/* ---- Kernels ------------------------------------------------------------- */

static const wk_folds folds = { fold, fold_row, softmax };

bool WK_ISA(reduce)(const wk_call *c) { return wk_cpu_reduce(c, &folds); }
bool WK_ISA(cross_entropy)(const wk_call *c) { return wk_cpu_cross_entropy(c, &folds); }
bool WK_ISA(cross_entropy_grad)(const wk_call *c) { return wk_cpu_cross_entropy_grad(c, &folds); }
