// SPDX-License-Identifier: MIT OR Apache-2.0
/* storage.c - the memory of tensors, kept for reuse.
 *
 * Sizes are rounded up to one of eight classes per power of two, large ones to one of 64, and
 * a storage that is released waits, memory and all, in a list of its class, or for a
 * somewhat smaller one.  A device works in order, so that memory can be given out again while
 * work on its former contents is still queued.
 *
 * Under AddressSanitizer nothing is kept, so that it sees every use after free. */
#include "core.h"

#include <pthread.h>

#if defined __SANITIZE_ADDRESS__
#define KEEPS 0
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define KEEPS 0
#endif
#endif
#ifndef KEEPS
#define KEEPS 1
#endif

enum {
    SMALLEST = 6, /* a power of two, as are these: 64 bytes */
    LARGE = 23,
    STEPS = 8, /* per power of two */
    LARGE_STEPS = 64,
    CLASSES = (LARGE - SMALLEST) * STEPS + (48 - LARGE) * LARGE_STEPS + 1
};

struct wk_cache {
    pthread_mutex_t lock;
    wk_storage     *list[CLASSES];
};

wk_cache *wk_cache_new(void)
{
    wk_cache *c = wk_alloc(sizeof *c);
    if (c)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

void wk_cache_free(wk_device *d)
{
    wk_device_trim(d);
    pthread_mutex_destroy(&d->cache->lock);
    wk_free(d->cache);
    d->cache = NULL;
}

/* The class of a size, and the size that blocks of this class have. */
static int class_of(size_t bytes, size_t *room)
{
    *room = (size_t)1 << SMALLEST;
    if (bytes <= *room)
        return 0;
    int    power = 63 - __builtin_clzll((unsigned long long)(bytes - 1));
    int    steps = power < LARGE ? STEPS : LARGE_STEPS;
    size_t low = (size_t)1 << power, step = low / (size_t)steps; /* low < bytes <= 2 low */
    size_t k = (bytes - low + step - 1) / step;
    *room = low + k * step;
    return power < LARGE ? (power - SMALLEST) * STEPS + (int)k
                         : (LARGE - SMALLEST) * STEPS + (power - LARGE) * LARGE_STEPS + (int)k;
}

/* A released storage of the class, or of a few above if it is a large one; or NULL. */
static wk_storage *take(wk_cache *c, int class, int above)
{
    int last = class > (LARGE - SMALLEST) * STEPS ? class + above : class;
    pthread_mutex_lock(&c->lock);
    while (class < last && class < CLASSES - 1 && !c->list[class])
        class ++;
    wk_storage *s = c->list[class];
    if (s)
        c->list[class] = s->next;
    pthread_mutex_unlock(&c->lock);
    return s;
}

static void *alloc_on(wk_device *d, size_t bytes)
{
    wk_error_state first, second;
    void          *memory = d->backend->alloc(d, bytes);
    if (memory)
        return memory;
    wk_error_take(&first);
    wk_device_trim(d); /* what waits for reuse may be what is missing */
    d->backend->sync(d);
    memory = wk_ok() ? d->backend->alloc(d, bytes) : NULL;
    wk_error_take(&second);
    if (memory)
        return memory;
    wk_error_raise(&first);
    wk_context("%s, with %zu bytes in use", d->name, (size_t)d->used);
    return NULL;
}

wk_storage *wk_storage_new(wk_device *d, size_t bytes)
{
    size_t room;
    if (!wk_alloc_may(bytes))
        return NULL;
    if (bytes > (size_t)1 << 47) {
        wk_fail(WK_ERR_MEMORY, "%s: cannot allocate %zu bytes", d->name, bytes);
        return NULL;
    }
    int class = class_of(bytes, &room);
    wk_storage *s = take(d->cache, class, LARGE_STEPS / 2);
    if (!s) {
        s = wk_alloc(sizeof *s);
        void *memory = s ? alloc_on(d, room) : NULL;
        if (!memory) {
            wk_free(s);
            return NULL;
        }
        s->device = d;
        s->data = memory;
        s->room = room;
    }
    s->refs = 1;
    s->version = 0;
    s->bytes = bytes;
    atomic_fetch_add_explicit(&d->used, bytes, memory_order_relaxed);
    return s;
}

static void destroy(wk_storage *s)
{
    s->device->backend->release(s->device, s->data, s->room);
    wk_free(s);
}

void wk_storage_release(wk_storage *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (s->file) {
        wk_storage_release(s->packed);
        wk_file_release(s->file);
        wk_free(s);
        return;
    }
    wk_device *d = s->device;
    size_t     room;
    atomic_fetch_sub_explicit(&d->used, s->bytes, memory_order_relaxed);
    if (!KEEPS) {
        destroy(s);
        return;
    }
    int class = class_of(s->room, &room);
    pthread_mutex_lock(&d->cache->lock);
    s->next = d->cache->list[class];
    d->cache->list[class] = s;
    pthread_mutex_unlock(&d->cache->lock);
}

void wk_device_trim(wk_device *d)
{
    if (!d)
        return;
    for (int i = 0; i < CLASSES; i++)
        for (wk_storage *s; (s = take(d->cache, i, 0));)
            destroy(s);
}
