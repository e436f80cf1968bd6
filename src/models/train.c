// SPDX-License-Identifier: MIT OR Apache-2.0
/* train.c - the training loop: batches, steps, validation, checkpoints.
 *
 * What a step does depends on the weights, the optimiser's state and the step's number
 * alone, so a checkpoint is a folder of the first two with the third in its name. */
#include "models.h"

#include <wick/data.h>
#include <wick/train.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    wk_train_args  a; /* with defaults in their places */
    wk_store      *params;
    wk_optim      *optim;
    wk_loader     *loader;
    int64_t        rows, held, first_held; /* to learn from; to validate with, from number .. on */
    wk_train_state state;
    double         begun;
    wk_buf         log; /* the lines of log.jsonl */
} run;

/* ---- Checkpoints --------------------------------------------------------- */

static const char prefix[] = "checkpoint-";

/* The step of "checkpoint-120"; -1: it is none. */
static int64_t step_of(const char *path)
{
    const char *name = strrchr(path, '/');
    char       *end = "x";
    name = name ? name + 1 : path;
    if (strncmp(name, prefix, sizeof prefix - 1))
        return -1;
    long long step = strtoll(name + sizeof prefix - 1, &end, 10);
    return *end || step < 0 ? -1 : step;
}

typedef struct {
    int64_t lowest, highest, count; /* steps; -1: there is none */
} found;

static found find(const char *folder)
{
    found f = { -1, -1, 0 };
    DIR  *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        int64_t step = step_of(e->d_name);
        if (step < 0)
            continue;
        f.lowest = f.count++ && f.lowest < step ? f.lowest : step;
        f.highest = wk_max_i64(f.highest, step);
    }
    if (d)
        closedir(d);
    return f;
}

static char *path_of(const char *folder, const char *before, int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%lld", before, prefix, (long long)step);
    return wk_path_join(folder, name);
}

char *wk_train_latest(const char *folder)
{
    int64_t step = folder ? find(folder).highest : -1;
    char   *own = step >= 0 ? path_of(folder, "", step) : NULL, *path = own ? strdup(own) : NULL;
    wk_free(own);
    return path;
}

/* A folder of files, and its files. */
static void remove_folder(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *file = e->d_name[0] == '.' ? NULL : wk_path_join(path, e->d_name);
        if (file)
            unlink(file);
        wk_free(file);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

/* Out of sight first: what is called a checkpoint is one. */
static void forget(const run *r, int64_t step)
{
    char *path = path_of(r->a.folder, "", step), *aside = path_of(r->a.folder, ".old-", step);
    if (path && aside && !rename(path, aside))
        remove_folder(aside);
    wk_free(path);
    wk_free(aside);
}

static bool save_weights(const run *r, const char *folder)
{
    return r->a.lora ? wk_lora_save(r->a.lora, folder) : wk_model_save(r->a.model, folder);
}

static bool write_log(const run *r)
{
    char *path = wk_path_join(r->a.folder, "log.jsonl");
    bool  ok = path && wk_write_file(path, r->log.data ? r->log.data : "", r->log.size);
    wk_free(path);
    return ok;
}

static const char *const order_keys[] = { "rows", "batch", "accumulate", "seed" };

static int64_t order_of(const run *r, int key)
{
    const int64_t value[] = { r->rows, r->a.batch, r->a.accumulate, (int64_t)r->a.seed };
    return value[key];
}

static bool write_order(const run *r, const char *path)
{
    wk_buf         text = { 0 };
    wk_json_writer w = { .out = &text, .indent = 1 };
    wk_json_begin(&w, '{');
    for (size_t i = 0; i < WK_COUNT(order_keys); i++) {
        wk_json_put_key(&w, order_keys[i]);
        wk_json_put_int(&w, order_of(r, (int)i));
    }
    wk_json_end(&w, '}');
    wk_write_file(path, text.data, text.size);
    wk_buf_free(&text);
    return wk_ok();
}

static bool save(const run *r)
{
    int64_t step = r->state.step;
    char   *path = path_of(r->a.folder, "", step), *aside = path_of(r->a.folder, ".new-", step);
    char   *state = aside ? wk_path_join(aside, "optimizer.safetensors") : NULL;
    char   *order = state ? wk_path_join(aside, "order.json") : NULL;
    if (aside)
        remove_folder(aside);
    if (order && save_weights(r, aside) && wk_optim_save(r->optim, state) &&
        write_order(r, order) && write_log(r)) {
        forget(r, step);
        if (rename(aside, path))
            wk_fail(WK_ERR_IO, "%s cannot be renamed to %s", aside, path);
    }
    for (found f; wk_ok() && (f = find(r->a.folder)).count > r->a.keep;)
        forget(r, f.lowest);
    wk_free(order);
    wk_free(state);
    wk_free(aside);
    wk_free(path);
    return wk_ok();
}

/* What the next batches depend on must be as it was. */
static bool check_order(const run *r)
{
    char    *path = wk_path_join(r->a.resume, "order.json");
    wk_conf *c = path ? wk_conf_open(path) : NULL;
    for (size_t i = 0; c && i < WK_COUNT(order_keys); i++) {
        int64_t was = wk_conf_int(c, order_keys[i], -1), is = order_of(r, (int)i);
        if (wk_ok() && was != is)
            wk_fail(WK_ERR_ARGUMENT, "%s: this run had %s %lld, not %lld", path, order_keys[i],
                    (long long)was, (long long)is);
    }
    wk_conf_free(c);
    wk_free(path);
    return wk_ok();
}

/* The lines of the log up to the step of the checkpoint. */
static bool read_log(run *r)
{
    char    *path = wk_path_join(r->a.folder, "log.jsonl");
    wk_file *f = path && wk_path_is_file(path) ? wk_file_open(path) : NULL;
    for (const char *at = f ? f->data : NULL, *end = f ? at + f->size : NULL;
         wk_ok() && at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t      size = stop ? (size_t)(stop - at) + 1 : (size_t)(end - at);
        wk_conf    *c = wk_conf_parse(path, at, size);
        if (c && wk_conf_int(c, "step", 0) <= r->state.step)
            wk_buf_add(&r->log, at, size);
        wk_conf_free(c);
        at += size;
    }
    wk_file_release(f);
    wk_free(path);
    return wk_ok();
}

static bool resume(run *r)
{
    char *state = wk_path_join(r->a.resume, "optimizer.safetensors");
    r->state.step = step_of(r->a.resume);
    if (wk_ok() && r->state.step < 0)
        wk_fail(WK_ERR_ARGUMENT, "%s: not a checkpoint", r->a.resume);
    bool ok = state && check_order(r) && wk_optim_load(r->optim, state) && read_log(r);
    wk_free(state);
    return ok;
}

/* ---- Steps --------------------------------------------------------------- */

static double rate_at(const run *r, int64_t step)
{
    return r->a.optim_args.lr * wk_schedule_at(&r->a.schedule, step);
}

/* The sum over the targets of a batch of what each costs, and how many there are. */
static wk_tensor *cost(const run *r, wk_tensor *const batch[2], double dropout)
{
    wk_tensor *logits =
        wk_decoder_logits(wk_model_decoder(r->a.model), batch[0], dropout, r->a.recompute);
    return wk_cross_entropy(logits, batch[1], .ignore = true, .ignore_index = -100,
                            .reduction = WK_SUM);
}

static double targets(wk_tensor *const batch[2])
{
    return wk_item(wk_sum(wk_cast(wk_ge(batch[1], wk_full_like(batch[1], 0)), WK_F32)));
}

/* All rows of a step weigh the same, however they are cut into batches. */
static void step(run *r)
{
    const wk_train_args *a = &r->a;
    wk_scope             scope = wk_mark();
    wk_tensor *(*batch)[2] = wk_alloc_array((size_t)a->accumulate, sizeof *batch);
    double count = 0, loss = 0, tokens = 0, start = wk_now();
    wk_seed(a->seed ^ (uint64_t)(r->state.step + 1) << 32);
    for (int64_t i = 0; batch && wk_ok() && i < a->accumulate; i++)
        if (wk_loader_next(r->loader, batch[i])) {
            count += targets(batch[i]);
            tokens += (double)wk_count(batch[i][0]);
        }
    for (int64_t i = 0; wk_ok() && i < a->accumulate; i++) {
        wk_scope   inner = wk_mark();
        wk_tensor *sum = wk_scale(cost(r, batch[i], a->dropout), count > 0 ? 1 / count : 0);
        loss += wk_item(sum);
        wk_backward(sum);
        wk_sweep(inner);
    }
    wk_free(batch);
    r->state.norm = wk_clip_grad_norm(r->params, a->clip);
    r->state.lr = rate_at(r, r->state.step);
    wk_set_lr(r->optim, r->state.lr);
    wk_step(r->optim);
    wk_sweep(scope);
    if (wk_ok() && !isfinite(loss))
        wk_fail(WK_ERR_ARGUMENT, "the loss is %g at step %lld: a lower learning rate may help",
                loss, (long long)r->state.step);
    double rate = tokens / (wk_now() - start), late = r->state.tokens_per_s;
    r->state.tokens_per_s = late > 0 ? 0.95 * late + 0.05 * rate : rate;
    r->state.loss = loss;
    r->state.step++;
    r->state.run++;
}

/* The loss per token over what was held out. */
static double validate(const run *r)
{
    const wk_examples *e = r->a.validation ? r->a.validation : r->a.examples;
    bool               before = wk_no_grad(true);
    double             sum = 0, count = 0;
    int64_t           *index = wk_alloc_array((size_t)r->a.batch, sizeof *index);
    for (int64_t at = 0; index && wk_ok() && !wk_interrupted() && at < r->held; at += r->a.batch) {
        wk_scope   scope = wk_mark();
        wk_tensor *batch[2];
        int64_t    n = wk_min_i64(r->a.batch, r->held - at);
        for (int64_t i = 0; i < n; i++)
            index[i] = r->first_held + at + i;
        if (wk_examples_get(e, index, n, batch)) {
            sum += wk_item(cost(r, batch, 0));
            count += targets(batch);
        }
        wk_sweep(scope);
    }
    wk_free(index);
    wk_no_grad(before);
    return sum / count;
}

static void log_step(run *r)
{
    const wk_train_state *s = &r->state;
    wk_json_writer        w = { .out = &r->log };
    wk_json_begin(&w, '{');
    wk_json_put_key(&w, "step");
    wk_json_put_int(&w, s->step);
    wk_json_put_key(&w, "loss");
    wk_json_put_number(&w, s->loss);
    if (!isnan(s->validation)) {
        wk_json_put_key(&w, "validation");
        wk_json_put_number(&w, s->validation);
    }
    wk_json_put_key(&w, "lr");
    wk_json_put_number(&w, s->lr);
    wk_json_put_key(&w, "norm");
    wk_json_put_number(&w, s->norm);
    wk_json_end(&w, '}');
    wk_buf_char(&r->log, '\n');
}

static bool is_due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

static void loop(run *r)
{
    wk_train_state      *s = &r->state;
    const wk_train_args *a = &r->a;
    r->begun = wk_now();
    for (bool stop = false; wk_ok() && !stop && s->step < s->steps;) {
        step(r);
        bool interrupted = wk_interrupted(), last = s->step == s->steps;
        s->validation = NAN;
        if (wk_ok() && !interrupted && r->held && (last || is_due(s->step, a->validate_every)))
            s->validation = validate(r);
        s->seconds = wk_now() - r->begun;
        log_step(r);
        wk_resume(); /* saving is not what was interrupted */
        stop = a->on_step && wk_ok() && !a->on_step(s, a->user);
        if (wk_ok() && (stop || interrupted || last || is_due(s->step, a->save_every)))
            save(r);
        if (interrupted)
            wk_fail(WK_ERR_INTERRUPTED, "interrupted at step %lld of %lld; %s%lld is saved",
                    (long long)s->step, (long long)s->steps, prefix, (long long)s->step);
    }
    if (wk_ok())
        save_weights(r, a->folder);
}

/* ---- A run --------------------------------------------------------------- */

/* Norms and biases are not pulled towards zero. */
static bool make_optim(run *r)
{
    wk_optim_args *o = &r->a.optim_args;
    o->store = r->params;
    o->lr = o->lr != 0 ? o->lr : 1e-3;
    o->decay = o->decay != 0 ? o->decay : 0.1;
    o->beta2 = o->beta2 != 0 ? o->beta2 : 0.95;
    r->optim = r->a.optim ? r->a.optim(o) : wk_adamw_new_with(o);
    wk_optim_group(r->optim, "norm", .decay = WK_NONE);
    wk_optim_group(r->optim, "bias", .decay = WK_NONE);
    return wk_ok();
}

static void defaults(run *r)
{
    wk_train_args *a = &r->a;
    a->batch = a->batch ? a->batch : 8;
    a->accumulate = a->accumulate ? a->accumulate : 1;
    a->clip = a->clip == WK_NONE ? INFINITY : a->clip != 0 ? a->clip : 1;
    a->held_out = a->held_out == WK_NONE ? 0 : a->held_out != 0 ? a->held_out : 0.05;
    a->validate_every = a->validate_every ? a->validate_every : wk_max_i64(a->steps / 20, 1);
    a->save_every = a->save_every ? a->save_every : wk_max_i64(a->steps / 5, 1);
    a->keep = a->keep ? a->keep : 2;
    if (a->schedule.steps == 0)
        a->schedule = (wk_schedule){
            .kind = WK_LR_COSINE, .warmup = a->steps / 50, .steps = a->steps, .floor = 0.1
        };
    r->params = a->lora ? wk_lora_store(a->lora) : wk_model_store(a->model);
    r->state.steps = a->steps;
    r->rows = wk_examples_count(a->examples);
    if (a->validation) {
        r->held = wk_examples_count(a->validation);
    } else {
        r->held = (int64_t)((double)r->rows * a->held_out);
        r->rows -= r->held;
        r->first_held = r->rows;
    }
}

static bool check(const run *r)
{
    const wk_train_args *a = &r->a;
    if (wk_ok() && (!a->model || !a->examples || !a->folder))
        wk_fail(WK_ERR_ARGUMENT, "train: %s missing",
                !a->model      ? "the model is"
                : !a->examples ? "examples are"
                               : "the folder is");
    if (wk_ok() && (a->steps < 1 || a->batch < 1 || a->accumulate < 1 || a->keep < 1))
        wk_fail(WK_ERR_ARGUMENT, "train: %lld steps of %lld x %lld rows, keeping %lld checkpoints",
                (long long)a->steps, (long long)a->batch, (long long)a->accumulate,
                (long long)a->keep);
    if (wk_ok() && wk_make_folder(a->folder) && !a->resume && find(a->folder).count)
        wk_fail(WK_ERR_ARGUMENT,
                "%s has checkpoints of an earlier run: resume it, or take another folder",
                a->folder);
    return wk_ok();
}

static bool load(void *user, const int64_t *index, int64_t n, wk_tensor **out)
{
    return wk_examples_get(((const run *)user)->a.examples, index, n, out);
}

bool wk_train_with(const wk_train_args *args)
{
    run r = { .a = *args, .state.validation = NAN };
    if (!wk_ok())
        return false;
    defaults(&r);
    if (check(&r) && (r.a.lora || wk_model_settle(r.a.model, r.a.folder)) && make_optim(&r) &&
        (!r.a.resume || resume(&r)))
        r.loader = wk_loader_new(r.rows, .batch = r.a.batch, .seed = r.a.seed, .whole = true,
                                 .start = r.state.step * r.a.accumulate, .load = load, .user = &r);
    if (r.loader)
        loop(&r);
    wk_loader_free(r.loader);
    wk_optim_free(r.optim);
    wk_buf_free(&r.log);
    return wk_ok();
}
