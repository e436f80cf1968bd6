// SPDX-License-Identifier: MIT OR Apache-2.0
/* recurrent.c - all steps of a recurrent layer, and their gradient: see ops/recurrent.c.
 *
 * A thread has some of the units, for the whole batch and all steps: its part of the weight
 * is packed once and stays in its cache.  The threads meet after each step, as the next one
 * needs the state of all units. */
#include "attention.h"
#include "vmath.h"

#define REAL           vf
#define K(x)           vset(x)
#define TANH(x)        WK_ISA(vtanh)(x)
#define SIG(x)         WK_ISA(vsig)(x)
#define POSITIVE(x, y) vselect((x) > 0.0f, (y), vset(0))
#include "../../core/cells.h"

enum { FEW = 2 * MR, SOME = 8 * MR }; /* sequences of the batch at once */

typedef struct {
    const wk_call *c;
    int            kind, gates, planes;
    bool           reverse;
    int64_t        steps, batch, n, wide; /* n units; gates n */
    int64_t        panels, panel;         /* floats of a packed panel of the weight */
    float         *packed;
    float         *room; /* for each panel: sums, or the state's gradient */
} job;

static const float *rows_at(const wk_tensor *x, int64_t row, int64_t n)
{
    return x ? wk_f32(x) + row * n : NULL;
}

static bool all_f32(const wk_call *c)
{
    for (int i = 0; i < c->count; i++)
        if (c->in[i] && c->in[i]->dtype != WK_F32)
            return false;
    return true;
}

static vf part(const float *x, int64_t at, int64_t n)
{
    return x ? vload_part(x + at, n) : vset(0);
}

static void range(const job *j, int thread, int threads, int64_t *begin, int64_t *end)
{
    *begin = j->panels * thread / threads;
    *end = j->panels * (thread + 1) / threads;
}

/* Where step number s is, and where the one before it. */
static int64_t time_of(const job *j, int64_t s) { return j->reverse ? j->steps - 1 - s : s; }

/* ---- Forward: a panel has all gates of VF units ------------------------- */

/* [n][gates][VF] */
static void pack_units(const job *j, int64_t p)
{
    float  *to = j->packed + p * j->panel;
    int64_t left = wk_min_i64(VF, j->n - p * VF);
    for (int64_t g = 0; g < j->gates; g++) {
        const float *w = rows_at(j->c->in[1], g * j->n + p * VF, j->n);
        for (int64_t k = 0; k < j->n; k++)
            for (int64_t i = 0; i < left; i++)
                to[(k * j->gates + g) * VF + i] = w[i * j->n + k];
    }
}

/* Sequence b of a step: the gates' sums w [gates][VF] of panel p, and what follows. */
static void units(const job *j, int64_t p, int64_t s, int64_t b, const float *w)
{
    const wk_call *c = j->c;
    int64_t        u = p * VF, left = wk_min_i64(VF, j->n - u), all = j->steps * j->batch;
    int64_t        at = time_of(j, s) * j->batch + b;
    int64_t        last = s ? time_of(j, s - 1) * j->batch + b : b;
    const float   *x = rows_at(c->in[0], at, j->wide) + u, *bias = rows_at(c->in[2], 0, 0);
    const float   *h = rows_at(s ? c->out : c->in[3], last, j->n);
    const float   *cell = rows_at(s && j->kind == WK_LSTM ? c->out : c->in[4],
                                s && j->kind == WK_LSTM ? all + last : b, j->n);
    float *out = wk_f32(c->out) + at * j->n + u;
    vf     xs[CELL_GATES], ws[CELL_GATES], values[CELL_PLANES];
    for (int g = 0; g < j->gates; g++) {
        xs[g] = vload_part(x + g * j->n, left);
        ws[g] = vload(w + g * VF) + part(bias, g * j->n + u, left);
    }
    cell_forward(j->kind, xs, ws, part(h, u, left), part(cell, u, left), values);
    for (int k = 0; k < j->planes; k++)
        vstore_part(out + k * all * j->n, values[k], left);
}

/* Panels begin .. end in step s: the sums of a few sequences, then what follows, in which
 * neighbouring units are written one after the other.  w [FEW][panels][gates][VF] */
static void step(const job *j, int64_t begin, int64_t end, int64_t s, float *w)
{
    int64_t      wide = j->gates * VF, row = (end - begin) * wide;
    const float *h =
        s ? rows_at(j->c->out, time_of(j, s - 1) * j->batch, j->n) : rows_at(j->c->in[3], 0, j->n);
    if (!h)
        memset(w, 0, (size_t)(FEW * row) * sizeof *w);
    for (int64_t b = 0, rows; b < j->batch; b += rows) {
        rows = wk_min_i64(FEW, j->batch - b);
        for (int64_t p = begin; h && p < end; p++)
            multiply((product){ .a = h + b * j->n,
                                .row = j->n,
                                .step = 1,
                                .b = j->packed + p * j->panel,
                                .ldb = wide,
                                .depth = j->n,
                                .c = w + (p - begin) * wide,
                                .ldc = row },
                     rows, wide);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t p = begin; p < end; p++)
                units(j, p, s, b + i, w + i * row + (p - begin) * wide);
    }
}

static void forward(void *ctx, int thread, int threads)
{
    const job *j = ctx;
    int64_t    begin, end;
    range(j, thread, threads, &begin, &end);
    for (int64_t p = begin; p < end; p++)
        pack_units(j, p);
    for (int64_t s = 0; s < j->steps; s++) {
        step(j, begin, end, s, j->room + begin * FEW * j->gates * VF);
        wk_team_barrier();
    }
}

/* Threads are worth their meetings where there is something to do between them. */
/* Threads share panels by their numbers and meet in each step: without steps one does it all. */
static int threads_for(const job *j)
{
    int64_t work = j->batch * j->wide * j->n;
    return work < 16384 || !j->steps ? 1 : (int)wk_min_i64(wk_threads(), j->panels);
}

bool WK_ISA(recurrent)(const wk_call *c)
{
    if (!all_f32(c))
        return false;
    int kind = c->opt.recurrent.kind;
    job j = { .c = c,
              .kind = kind,
              .gates = cell_gates(kind),
              .planes = (int)wk_dim(c->out, 0),
              .reverse = c->opt.recurrent.reverse,
              .steps = wk_dim(c->out, 1),
              .batch = wk_dim(c->out, 2),
              .n = wk_dim(c->out, 3) };
    j.wide = j.gates * j.n;
    j.panels = round_up(j.n, VF) / VF;
    j.panel = j.wide * VF;
    size_t packed = (size_t)(j.panels * j.panel), room = (size_t)(FEW * j.panels * j.gates * VF);
    j.packed = wk_alloc_array(packed + room, sizeof *j.packed);
    if (!j.packed)
        return false;
    j.room = j.packed + packed;
    wk_team_run(threads_for(&j), forward, &j);
    wk_free(j.packed);
    return wk_ok();
}

/* ---- The gradient: a panel has NR units, for which dh = dw W ------------ */

/* [gates n][NR] */
static void pack_columns(const job *j, int64_t p)
{
    float  *to = j->packed + p * j->panel;
    int64_t left = wk_min_i64(NR, j->n - p * NR);
    for (int64_t k = 0; k < j->wide; k++)
        memcpy(to + k * NR, rows_at(j->c->in[1], k, j->n) + p * NR, (size_t)left * sizeof *to);
}

/* VF units from u on, of sequence b, in step s: dh and dc are those of the step after. */
static void units_back(const job *j, int64_t u, int64_t s, int64_t b, float *dh, float *dc)
{
    const wk_call *c = j->c;
    int64_t        left = wk_min_i64(VF, j->n - u), all = j->steps * j->batch;
    int64_t        at = time_of(j, s) * j->batch + b;
    int64_t        last = s ? time_of(j, s - 1) * j->batch + b : b;
    const float   *y = rows_at(c->in[0], at, j->n), *dy = rows_at(c->in[5], at, j->n);
    const float   *h = rows_at(s ? c->in[0] : c->in[3], last, j->n);
    const float   *cell = rows_at(s && j->kind == WK_LSTM ? c->in[0] : c->in[4],
                                s && j->kind == WK_LSTM ? all + last : b, j->n);
    float *out = wk_f32(c->out) + at * j->wide + u;
    vf     values[CELL_PLANES], dw[CELL_GATES], dx;
    vf     d = vload(dh) + part(dy, u, left), e = vload(dc);
    for (int k = 0; k < j->planes; k++)
        values[k] = vload_part(y + k * all * j->n + u, left);
    if (j->kind == WK_LSTM)
        e += part(dy, all * j->n + u, left);
    cell_backward(j->kind, values, part(h, u, left), part(cell, u, left), &d, &e, dw, &dx);
    for (int g = 0; g < j->gates; g++)
        vstore_part(out + g * j->n, dw[g], left);
    if (j->kind == WK_GRU)
        vstore_part(wk_f32(c->out) + all * j->wide + at * j->n + u, dx, left);
    vstore(dh, d);
    vstore(dc, e);
}

static void step_back(const job *j, int64_t p, int64_t s)
{
    float *dh = j->room + p * 2 * j->batch * NR, *dc = dh + j->batch * NR;
    for (int64_t b = 0; b < j->batch; b++)
        for (int64_t i = 0; i < NR && p * NR + i < j->n; i += VF)
            units_back(j, p * NR + i, s, b, dh + b * NR + i, dc + b * NR + i);
}

static void state_back(const job *j, int64_t p, int64_t s, const float *ones)
{
    float *dh = j->room + p * 2 * j->batch * NR;
    for (int64_t b = 0, rows; b < j->batch; b += rows) {
        rows = wk_min_i64(SOME, j->batch - b);
        multiply((product){ .a = wk_f32(j->c->out) + (time_of(j, s) * j->batch + b) * j->wide,
                            .row = j->wide,
                            .step = 1,
                            .b = j->packed + p * j->panel,
                            .ldb = NR,
                            .depth = j->wide,
                            .c = dh + b * NR,
                            .ldc = NR,
                            .keep = ones },
                 rows, NR);
    }
}

/* The gradients of the state that it began with, to the end of the list. */
static void store_state(const job *j, int64_t p)
{
    const float *from = j->room + p * 2 * j->batch * NR;
    int64_t      left = wk_min_i64(NR, j->n - p * NR);
    float       *to = wk_f32(j->c->out) + wk_count(j->c->out) - 2 * j->batch * j->n + p * NR;
    for (int64_t b = 0; b < 2 * j->batch; b++)
        memcpy(to + b * j->n, from + b * NR, (size_t)left * sizeof *to);
}

static void back(void *ctx, int thread, int threads)
{
    const job *j = ctx;
    float      ones[SOME];
    int64_t    begin, end;
    range(j, thread, threads, &begin, &end);
    for (int i = 0; i < SOME; i++)
        ones[i] = 1;
    for (int64_t p = begin; p < end; p++)
        pack_columns(j, p);
    for (int64_t s = j->steps - 1; s >= 0; s--) {
        for (int64_t p = begin; p < end; p++)
            step_back(j, p, s);
        wk_team_barrier();
        for (int64_t p = begin; p < end; p++)
            state_back(j, p, s, ones);
    }
    for (int64_t p = begin; p < end; p++)
        store_state(j, p);
}

bool WK_ISA(recurrent_grad)(const wk_call *c)
{
    if (!all_f32(c))
        return false;
    const wk_tensor *y = c->in[0];
    int              kind = c->opt.recurrent.kind;
    job              j = { .c = c,
                           .kind = kind,
                           .gates = cell_gates(kind),
                           .planes = cell_planes(kind),
                           .reverse = c->opt.recurrent.reverse,
                           .steps = wk_dim(y, 1),
                           .batch = wk_dim(y, 2),
                           .n = wk_dim(y, 3) };
    j.wide = j.gates * j.n;
    j.panels = round_up(j.n, NR) / NR;
    j.panel = j.wide * NR;
    size_t packed = (size_t)(j.panels * j.panel), room = (size_t)(j.panels * 2 * j.batch * NR);
    j.packed = wk_alloc_array(packed + room, sizeof *j.packed);
    if (!j.packed)
        return false;
    j.room = j.packed + packed;
    wk_team_run(threads_for(&j), back, &j);
    wk_free(j.packed);
    return wk_ok();
}
