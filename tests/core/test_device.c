// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_device.c - a small complete backend, as docs/adding-a-backend.md describes one.
 *
 * Its memory is a handle and not an address.  It is asynchronous: uploads and releases
 * wait in a queue until somebody has to know.  It fails late: a command that goes wrong
 * says so in sync() or download().  It owns one kernel, which declines all but f32, so
 * everything else goes by way of host memory. */
#include "../ops/cases.h"
#include "../test.h"

#include "../../src/core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The backend -------------------------------------------------------- */

typedef struct {
    size_t size;
    char  *data;
} memory;

typedef struct command {
    struct command *next;
    enum { UPLOAD, RELEASE, NEGATE, BREAK } what;
    memory *to, *from;
    size_t  at, from_at, bytes;
    char   *data; /* the caller's, copied: it may change after the call */
} command;

typedef struct {
    command *first, **last;
    bool     broken; /* what runs after a failure does nothing */
    int      waiting, most;
    size_t   allocated;
} toy;

static toy *state;
static bool out_of_memory;

static toy *toy_of(const wk_device *d) { return d->state; }

static bool push(wk_device *d, command c)
{
    command *copy = malloc(sizeof *copy);
    *copy = c;
    *toy_of(d)->last = copy;
    toy_of(d)->last = &copy->next;
    if (++toy_of(d)->waiting > toy_of(d)->most)
        toy_of(d)->most = toy_of(d)->waiting;
    return true;
}

static void perform(toy *t, const command *c)
{
    if (c->what == RELEASE) {
        free(c->to->data);
        free(c->to);
    } else if (c->what == BREAK) {
        t->broken = true;
    } else if (c->what == UPLOAD && !t->broken) {
        memcpy(c->to->data + c->at, c->data, c->bytes);
    } else if (c->what == NEGATE && !t->broken) {
        for (size_t i = 0; i < c->bytes; i += sizeof(float)) {
            float x;
            memcpy(&x, c->from->data + c->from_at + i, sizeof x);
            x = -x;
            memcpy(c->to->data + c->at + i, &x, sizeof x);
        }
    }
}

static bool toy_sync(wk_device *d)
{
    toy *t = toy_of(d);
    while (t->first) {
        command *c = t->first;
        t->first = c->next;
        perform(t, c);
        free(c->data);
        free(c);
    }
    t->last = &t->first;
    t->waiting = 0;
    if (t->broken)
        wk_fail(WK_ERR_DEVICE, "%s: a command failed", d->name);
    t->broken = false;
    return wk_ok();
}

static int toy_count(void) { return 2; }

static bool toy_open(wk_device *d)
{
    toy *t = calloc(1, sizeof *t);
    t->last = &t->first;
    d->state = t;
    if (d->index == 0)
        state = t;
    return true;
}

static void toy_close(wk_device *d)
{
    toy_sync(d);
    CHECK_INT((int64_t)toy_of(d)->allocated, 0);
    free(d->state);
}

static void *toy_alloc(wk_device *d, size_t bytes)
{
    memory *m = malloc(sizeof *m);
    if (out_of_memory) {
        free(m);
        wk_fail(WK_ERR_MEMORY, "%s: cannot allocate %zu bytes", d->name, bytes);
        return NULL;
    }
    *m = (memory){ bytes, malloc(bytes + 1) };
    memset(m->data, 0xAB, bytes);
    toy_of(d)->allocated += bytes;
    return m;
}

static void toy_release(wk_device *d, void *m, size_t bytes)
{
    CHECK_INT((int64_t)((memory *)m)->size, (int64_t)bytes);
    toy_of(d)->allocated -= bytes;
    push(d, (command){ .what = RELEASE, .to = m });
}

static bool toy_upload(wk_device *d, void *m, size_t at, const void *from, size_t bytes)
{
    CHECK(at + bytes <= ((memory *)m)->size);
    char *data = malloc(bytes + 1);
    memcpy(data, from, bytes);
    return push(d, (command){ .what = UPLOAD, .to = m, .at = at, .bytes = bytes, .data = data });
}

static bool toy_download(wk_device *d, void *to, const void *m, size_t at, size_t bytes)
{
    CHECK(at + bytes <= ((const memory *)m)->size);
    if (!toy_sync(d))
        return false;
    memcpy(to, ((const memory *)m)->data + at, bytes);
    return true;
}

static bool negate(const wk_call *c)
{
    const wk_tensor *x = c->in[0];
    if (c->dtype != WK_F32)
        return false;
    return push(c->device, (command){ .what = NEGATE,
                                      .to = c->out->storage->data,
                                      .at = (size_t)c->out->offset * sizeof(float),
                                      .from = x->storage->data,
                                      .from_at = (size_t)x->offset * sizeof(float),
                                      .bytes = (size_t)wk_count(x) * sizeof(float) });
}

static const wk_kernel *toy_kernel(wk_device *d, int op)
{
    static const wk_kernel neg = { .run = negate };
    (void)d;
    return op == WK_OP_neg ? &neg : NULL;
}

static const wk_backend toy_backend = {
    .name = "toy",
    .count = toy_count,
    .open = toy_open,
    .close = toy_close,
    .alloc = toy_alloc,
    .release = toy_release,
    .upload = toy_upload,
    .download = toy_download,
    .sync = toy_sync,
    .kernel = toy_kernel,
};

static wk_device *toy_begin(void)
{
    CHECK(wk_backend_add(&toy_backend));
    wk_device *d = wk_device_open("toy");
    CHECK_STR(wk_device_name(d), "toy:0");
    return d;
}

static void toy_end(void)
{
    wk_sweep(0);
    wk_set_default_device(NULL);
    wk_backend_remove(&toy_backend);
}

/* ---- Tests -------------------------------------------------------------- */

TEST(a_device_is_found_opened_and_used)
{
    wk_device *d = toy_begin(), *other = wk_device_open("toy:1");
    CHECK(wk_best_device() == d && wk_device_open("toy:0") == d && other != d);
    CHECK(!wk_device_open("toy:2"));
    CHECK_ERROR("there is no device toy:2: toy has 2");
    CHECK(!wk_device_open("toy:x"));
    CHECK_ERROR("toy:x");
    wk_tensor *x = wk_to_device(wk_arange(WK_F32, 0, 6, 1), d);
    CHECK(wk_device_of(x) == d);
    CHECK_INT((int64_t)wk_device_used(d), 24);
    CHECK(wk_data(x) == NULL);
    CHECK_ERROR("not contiguous in host memory");
    CHECK_NEAR(wk_item(wk_sum(x)), 15, 0);
    wk_tensor *far = wk_to_device(x, other);
    CHECK_NEAR(wk_item(wk_max(far)), 5, 0);
    wk_add(x, far);
    CHECK_ERROR("add: operands on toy:0 and on toy:1");
    wk_add(x, wk_scalar(1));
    CHECK_ERROR("add: operands on toy:0 and on cpu");
    CHECK(wk_to_device(x, NULL) == NULL);
    CHECK_ERROR("the device is NULL");
    toy_end();
}

TEST(work_of_a_device_waits_in_order)
{
    wk_device *d = toy_begin();
    wk_set_default_device(d);
    float      numbers[3] = { 1, 2, 3 };
    wk_tensor *x = wk_from_f32(WK_SHAPE(3), numbers), *y = wk_neg(x), *z = wk_neg(y);
    numbers[0] = 99; /* the device has its own copy, though nothing has run yet */
    CHECK_INT(state->waiting, 3);
    float got[3];
    CHECK(wk_to_f32(z, got));
    CHECK(got[0] == 1 && got[2] == 3 && state->waiting == 0);
    for (int i = 0; i < 20; i++) { /* memory is reused while its last use still waits */
        wk_scope scope = wk_mark();
        z = wk_yield(scope, wk_neg(wk_neg(wk_neg(z))));
    }
    CHECK(state->waiting >= 60);
    CHECK(wk_to_f32(z, got) && got[1] == 2);
    uint64_t before = wk_fallbacks();
    wk_neg(wk_cast(x, WK_F64)); /* the kernel declines */
    CHECK_INT((int64_t)(wk_fallbacks() - before), 2);
    toy_end();
}

TEST(a_device_may_fail_late)
{
    wk_device *d = toy_begin();
    wk_set_default_device(d);
    wk_tensor *x = wk_neg(wk_from_f32(WK_SHAPE(2), (float[]){ 1, 2 }));
    push(d, (command){ .what = BREAK });
    CHECK(wk_neg(x) != NULL && wk_ok()); /* nobody knows yet */
    CHECK(!wk_device_sync(d));
    CHECK(wk_error() == WK_ERR_DEVICE);
    CHECK_ERROR("toy:0: a command failed");
    push(d, (command){ .what = BREAK });
    float got[2];
    CHECK(!wk_to_f32(x, got));
    CHECK_ERROR("toy:0: a command failed");
    push(d, (command){ .what = BREAK });
    CHECK(!wk_exp(x)); /* falls back, and so has to wait */
    CHECK_ERROR("toy:0: a command failed");
    CHECK(wk_to_f32(x, got) && got[1] == -2);
    toy_end();
}

TEST(a_device_may_run_out_of_memory)
{
    wk_device *d = toy_begin();
    wk_set_default_device(d);
    wk_tensor *x = wk_from_f32(WK_SHAPE(2), (float[]){ 1, 2 });
    out_of_memory = true;
    CHECK(!wk_reshape(wk_zeros(100, 100), -1));
    CHECK(wk_error() == WK_ERR_MEMORY);
    CHECK_ERROR("with 8 bytes in use: toy:0: cannot allocate");
    out_of_memory = false;
    CHECK_NEAR(wk_item(wk_sum(wk_zeros(100, 100))), 0, 0);
    CHECK_NEAR(wk_item(wk_sum(x)), 3, 0);
    toy_end();
}

/* In place on a view: what lies between its elements stays. */
TEST(in_place_on_views_of_a_device)
{
    wk_device *d = toy_begin();
    wk_set_default_device(d);
    wk_tensor *x = wk_reshape(wk_arange(WK_F32, 0, 12, 1), 3, 4);
    wk_fill(wk_slice(x, 1, 3, -5, -2), -1);
    wk_accumulate(wk_select(wk_transpose(x, 0, 1), 0, 2), wk_full_of(WK_F32, WK_SHAPE(3), 100));

    wk_write(x, wk_zeros(3, 1), 1, 0);
    float want[] = { 0, -1, 102, -1, 0, -1, 106, -1, 0, -1, 110, -1 }, got[12];
    CHECK(wk_to_f32(x, got) && !memcmp(want, got, sizeof got));
    toy_end();
}

/* Every case of the table, and its gradients, on the device and on the CPU. */
TEST(every_operation_works_on_a_device_without_kernels)
{
    int            count;
    const op_case *cases = op_cases(&count);
    wk_device     *d = toy_begin(), *cpu = wk_cpu_device();
    for (int i = 0; i < count; i++) {
        op_inputs      in[2];
        wk_tensor     *y[2];
        const op_case *c = &cases[i];
        if (c->wide || (c->row->kind == ROW_FUNCTION && !strstr(c->name, ".0")))
            continue;
        for (int k = 0; k < 2; k++) {
            wk_set_default_device(k ? d : cpu);
            wk_seed(1);
            op_inputs_open(&in[k], c, STRIDED, true);
            op_inputs_make(&in[k], WK_F64, c->gradient != NO);
            y[k] = op_run(c, &in[k]);
            if (y[k] && wk_wants_grad(y[k]))
                wk_backward(op_loss(y[k]));
        }
        wk_set_default_device(cpu);
        CHECK_MSG(wk_ok() && wk_device_of(y[1]) == d, "%s", c->name);
        CHECK_MSG(wk_item(wk_all(wk_eq(wk_to_device(y[1], cpu), y[0]))) == 1 ||
                      strstr(c->inputs, "nan") || strstr(c->inputs, "inf") || !wk_count(y[0]) ||
                      wk_item(wk_any(wk_isnan(y[0]))) == 1,
                  "%s", c->name);
        for (int k = 0; k < in[0].count; k++) {
            wk_tensor *g = wk_grad(in[0].base[k]), *h = wk_grad(in[1].base[k]);
            if (g && CHECK_MSG(h != NULL, "%s", c->name))
                CHECK_MSG(wk_item(wk_any(wk_ne(wk_to_device(h, cpu), g))) == 0 ||
                              wk_item(wk_any(wk_isnan(g))) == 1,
                          "gradient %d of %s", k, c->name);
        }
        if (!wk_ok())
            wk_clear();
        op_inputs_close(&in[0]);
        op_inputs_close(&in[1]);
        wk_sweep(0);
    }
    toy_end();
}
