// SPDX-License-Identifier: MIT OR Apache-2.0
/* tensor.c - tensors: made, viewed, counted, released, read.
 *
 * Tensor structs come from slabs that are never given back, so that a tensor used
 * after it was released is still recognised as such, and named in an error. */
#include "core.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

enum { LIVE = 0x6c697665, DEAD = 0x64656164, SLAB = 64 };

/* ---- Slabs -------------------------------------------------------------- */

typedef union slot {
    wk_tensor tensor;
    struct {
        uint32_t    magic;
        union slot *next;
    } free;
} slot;

typedef struct slab {
    struct slab *next;
    slot         slot[SLAB];
} slab;

static pthread_mutex_t slab_lock = PTHREAD_MUTEX_INITIALIZER;
static slab           *slabs; /* all of them, so that none counts as leaked */
static slot           *free_slots;
static atomic_size_t   live_tensors;

static wk_tensor *take_slot(void)
{
    if (!wk_alloc_may(sizeof(wk_tensor)))
        return NULL;
    pthread_mutex_lock(&slab_lock);
    if (!free_slots) {
        slab *fresh = wk_alloc(sizeof *fresh);
        for (int i = 0; fresh && i < SLAB; i++) {
            fresh->slot[i].free.magic = DEAD;
            fresh->slot[i].free.next = free_slots;
            free_slots = &fresh->slot[i];
        }
        if (fresh) {
            fresh->next = slabs;
            slabs = fresh;
        }
    }
    slot *s = free_slots;
    if (s)
        free_slots = s->free.next;
    pthread_mutex_unlock(&slab_lock);
    return s ? &s->tensor : NULL;
}

static void give_slot(wk_tensor *x)
{
    slot *s = (slot *)x;
    pthread_mutex_lock(&slab_lock);
    s->free.magic = DEAD;
    s->free.next = free_slots;
    free_slots = s;
    pthread_mutex_unlock(&slab_lock);
}

size_t wk_live_tensors(void) { return atomic_load(&live_tensors); }
bool   wk_tensor_live(const wk_tensor *x) { return x->magic == LIVE; }

/* ---- Tensors ------------------------------------------------------------ */

bool wk_bytes_of(wk_dtype dtype, wk_shape shape, size_t *bytes)
{
    char text[160];
    if (dtype <= WK_DEFAULT || dtype >= WK_DTYPE_COUNT) {
        wk_fail(WK_ERR_DTYPE, "there is no dtype %d", (int)dtype);
        return false;
    }
    if (!wk_shape_valid("tensor", shape))
        return false;
    int64_t block = wk_dtype_block(dtype);
    if (block > 1 && (!shape.rank || shape.dim[shape.rank - 1] % block)) {
        wk_fail(WK_ERR_SHAPE, "%s: the last dimension of %s is not made of blocks of %d",
                wk_dtypes[dtype].name, wk_show_shape(shape, text), (int)block);
        return false;
    }
    *bytes = wk_dtypes[dtype].size;
    if (block > 1)
        shape.dim[shape.rank - 1] /= block;
    for (int i = 0; i < shape.rank; i++)
        if (wk_mul_overflows(*bytes, (size_t)shape.dim[i], bytes)) {
            wk_fail(WK_ERR_MEMORY, "a tensor of shape %s is too large", wk_show_shape(shape, text));
            return false;
        }
    return true;
}

void wk_dense_strides(wk_shape shape, int64_t stride[WK_MAX_RANK])
{
    int64_t step = 1;
    for (int i = shape.rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= wk_max_i64(shape.dim[i], 1);
    }
}

/* Takes over one reference to storage. */
static wk_tensor *tensor_on(wk_storage *storage, wk_dtype dtype, wk_shape shape)
{
    wk_tensor *x = storage ? take_slot() : NULL;
    if (!x) {
        wk_storage_release(storage);
        return NULL;
    }
    *x =
        (wk_tensor){ .magic = LIVE, .refs = 1, .dtype = dtype, .shape = shape, .storage = storage };
    wk_dense_strides(shape, x->stride);
    atomic_fetch_add_explicit(&live_tensors, 1, memory_order_relaxed);
    return x;
}

wk_tensor *wk_tensor_new(wk_device *device, wk_dtype dtype, wk_shape shape)
{
    size_t bytes;
    if (!device || !wk_bytes_of(dtype, shape, &bytes))
        return NULL;
    return tensor_on(wk_storage_new(device, bytes), dtype, shape);
}

wk_tensor *wk_tensor_view(const wk_tensor *x)
{
    atomic_fetch_add_explicit(&x->storage->refs, 1, memory_order_relaxed);
    wk_tensor *y = tensor_on(x->storage, x->dtype, x->shape);
    if (y) {
        memcpy(y->stride, x->stride, sizeof y->stride);
        y->offset = x->offset;
        y->packing = x->packing;
    }
    return y;
}

wk_tensor *wk_tensor_map(wk_dtype dtype, wk_shape shape, wk_file *file, const void *data)
{
    size_t      bytes;
    wk_storage *s = wk_bytes_of(dtype, shape, &bytes) ? wk_alloc(sizeof *s) : NULL;
    if (!s)
        return NULL;
    *s = (wk_storage){ .refs = 1,
                       .device = wk_cpu_device(),
                       .bytes = bytes,
                       .data = (void *)data,
                       .file = wk_file_retain(file) };
    return tensor_on(s, dtype, shape);
}

void wk_retain(wk_tensor *x)
{
    if (x)
        atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
}

void wk_release(wk_tensor *x)
{
    if (!x || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
        return;
    wk_node   *node = x->node;
    wk_tensor *grad = x->grad;
    wk_storage_release(x->storage);
    wk_free(x->name);
    atomic_fetch_sub_explicit(&live_tensors, 1, memory_order_relaxed);
    give_slot(x);
    wk_release(grad);
    wk_node_release(node);
}

bool wk_set_name(wk_tensor *x, const char *name)
{
    char *copy = wk_str_copy(wk_str_of(name));
    if (!copy)
        return false;
    wk_free(x->name);
    x->name = copy;
    return true;
}

void wk_touched(wk_tensor *x)
{
    atomic_fetch_add_explicit(&x->storage->version, 1, memory_order_relaxed);
}

wk_tensor *wk_dense(wk_tensor *x)
{
    if (!x || (wk_is_contiguous(x) && !x->packing))
        return x;
    bool before = wk_no_grad(true);
    x = WK_RUN(copy, WK_IN(x));
    wk_no_grad(before);
    return x;
}

/* ---- Queries ------------------------------------------------------------ */

int         wk_rank(const wk_tensor *x) { return x ? x->shape.rank : 0; }
int64_t     wk_count(const wk_tensor *x) { return x ? wk_elements(x->shape) : 0; }
wk_shape    wk_shape_of(const wk_tensor *x) { return x ? x->shape : WK_SCALAR; }
wk_dtype    wk_dtype_of(const wk_tensor *x) { return x ? x->dtype : WK_DEFAULT; }
wk_device  *wk_device_of(const wk_tensor *x) { return x ? x->storage->device : NULL; }
const char *wk_name(const wk_tensor *x) { return x && x->name ? x->name : ""; }

size_t wk_bytes(const wk_tensor *x) { return x ? (size_t)wk_bytes_at(x->dtype, wk_count(x)) : 0; }

int64_t wk_dim(const wk_tensor *x, int axis)
{
    int i = axis < 0 ? axis + wk_rank(x) : axis;
    return i >= 0 && i < wk_rank(x) ? x->shape.dim[i] : 0;
}

bool wk_is_contiguous(const wk_tensor *x)
{
    int64_t step = 1;
    if (!x || wk_count(x) == 0)
        return x != NULL;
    for (int i = x->shape.rank - 1; i >= 0; i--) {
        if (x->shape.dim[i] != 1 && x->stride[i] != step)
            return false;
        step *= x->shape.dim[i];
    }
    return true;
}

/* ---- Reading ------------------------------------------------------------ */

bool wk_read(wk_tensor *x, wk_dtype dtype, void *out)
{
    if (!wk_usable("read", 1, x))
        return false;
    if (!out) {
        wk_fail(WK_ERR_ARGUMENT, "read: where to is NULL");
        return false;
    }
    wk_scope scope = wk_mark();
    bool     before = wk_no_grad(true);
    x = wk_dense(wk_cast(x, dtype));
    if (wk_count(x)) {
        wk_device *d = x->storage->device;
        d->backend->download(d, out, x->storage->data, (size_t)wk_bytes_at(x->dtype, x->offset),
                             wk_bytes(x));
    }
    wk_no_grad(before);
    wk_sweep(scope);
    return wk_ok();
}

bool wk_to_f32(wk_tensor *x, float *out) { return wk_read(x, WK_F32, out); }
bool wk_to_i64(wk_tensor *x, int64_t *out) { return wk_read(x, WK_I64, out); }

static bool read_one(wk_tensor *x, wk_dtype dtype, void *out)
{
    char text[160];
    if (wk_usable("item", 1, x) && wk_count(x) != 1)
        wk_fail(WK_ERR_SHAPE, "item: %s has %lld elements, not one", wk_show(x, text),
                (long long)wk_count(x));
    return wk_read(x, dtype, out);
}

double wk_item(wk_tensor *x)
{
    double value;
    return read_one(x, WK_F64, &value) ? value : NAN;
}

int64_t wk_item_i64(wk_tensor *x)
{
    int64_t value;
    return read_one(x, WK_I64, &value) ? value : 0;
}

void *wk_data(wk_tensor *x)
{
    char text[160];
    if (!wk_usable("data", 1, x))
        return NULL;
    if (!x->storage->device->backend->host || !wk_is_contiguous(x) || x->packing) {
        wk_fail(WK_ERR_ARGUMENT, "data: %s is not contiguous in host memory", wk_show(x, text));
        return NULL;
    }
    return wk_at_host(x);
}
