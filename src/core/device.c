// SPDX-License-Identifier: MIT OR Apache-2.0
/* device.c - which devices there are, and which one a thread works on. */
#include "core.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

extern const wk_backend wk_cpu_backend;

enum { MAX_BACKENDS = 16 };

/* The best one comes first. */
static const wk_backend *backends[MAX_BACKENDS] = { &wk_cpu_backend };

static pthread_mutex_t          lock = PTHREAD_MUTEX_INITIALIZER;
static wk_device               *devices;
static _Thread_local wk_device *current;

bool wk_backend_add(const wk_backend *b)
{
    pthread_mutex_lock(&lock);
    int n = 0;
    while (n < MAX_BACKENDS && backends[n])
        n++;
    if (n < MAX_BACKENDS) {
        memmove(backends + 1, backends, (size_t)n * sizeof backends[0]);
        backends[0] = b;
    }
    pthread_mutex_unlock(&lock);
    if (n == MAX_BACKENDS)
        wk_fail(WK_ERR_UNSUPPORTED, "more than %d backends", MAX_BACKENDS);
    return n < MAX_BACKENDS;
}

static void close_device(wk_device *d)
{
    wk_cache_free(d);
    if (d->backend->close)
        d->backend->close(d);
    wk_free(d);
}

void wk_backend_remove(const wk_backend *b)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_BACKENDS; i++)
        if (backends[i] == b)
            memmove(backends + i, backends + i + 1,
                    (size_t)(MAX_BACKENDS - 1 - i) * sizeof backends[0]);
    for (wk_device **at = &devices; *at;)
        if ((*at)->backend == b) {
            wk_device *gone = *at;
            *at = gone->next;
            if (current == gone)
                current = NULL;
            close_device(gone);
        } else {
            at = &(*at)->next;
        }
    pthread_mutex_unlock(&lock);
}

/* ---- Opening ------------------------------------------------------------ */

static wk_device *open_device(const wk_backend *b, int index)
{
    wk_device *d = wk_alloc(sizeof *d);
    if (!d)
        return NULL;
    d->backend = b;
    d->index = index;
    if (b->host)
        snprintf(d->name, sizeof d->name, "%.15s", b->name);
    else
        snprintf(d->name, sizeof d->name, "%.15s:%d", b->name, index);
    d->cache = wk_cache_new();
    if (d->cache && b->open(d))
        return d;
    if (d->cache)
        wk_cache_free(d);
    wk_free(d);
    return NULL;
}

/* The device, opened when it is first asked for. */
static wk_device *find(const wk_backend *b, int index)
{
    wk_device *d;
    pthread_mutex_lock(&lock);
    for (d = devices; d; d = d->next)
        if (d->backend == b && d->index == index)
            break;
    if (!d && (d = open_device(b, index))) {
        d->next = devices;
        devices = d;
    }
    pthread_mutex_unlock(&lock);
    return d;
}

wk_device *wk_device_open(const char *name)
{
    if (!wk_ok())
        return NULL;
    const char *colon = name ? strchr(name, ':') : NULL;
    size_t      length = !name ? 0 : colon ? (size_t)(colon - name) : strlen(name);
    char       *end = NULL;
    long        index = colon ? strtol(colon + 1, &end, 10) : 0;
    for (int i = 0; i < MAX_BACKENDS && backends[i] && length; i++) {
        const wk_backend *b = backends[i];
        if (strlen(b->name) != length || memcmp(b->name, name, length))
            continue;
        int count = b->count();
        if ((!end || (*end == '\0' && end > colon + 1)) && index >= 0 && index < count)
            return find(b, (int)index);
        wk_fail(WK_ERR_DEVICE, "there is no device %s: %s has %d", name, b->name, count);
        return NULL;
    }
    wk_fail(WK_ERR_DEVICE, "there is no device %s in this build", name ? name : "NULL");
    return NULL;
}

wk_device *wk_cpu_device(void)
{
    static _Atomic(wk_device *) cpu;
    wk_device                  *d = atomic_load_explicit(&cpu, memory_order_acquire);
    if (!d) {
        d = find(&wk_cpu_backend, 0);
        atomic_store_explicit(&cpu, d, memory_order_release);
    }
    return d;
}

wk_device *wk_best_device(void)
{
    for (int i = 0; i < MAX_BACKENDS && backends[i]; i++)
        if (wk_ok() && backends[i]->count() > 0)
            return find(backends[i], 0);
    return NULL;
}

wk_device  *wk_default_device(void) { return current ? current : wk_cpu_device(); }
void        wk_set_default_device(wk_device *d) { current = d; }
const char *wk_device_name(const wk_device *d) { return d ? d->name : ""; }
size_t      wk_device_used(const wk_device *d) { return d ? (size_t)d->used : 0; }
bool        wk_device_sync(wk_device *d) { return wk_ok() && d && d->backend->sync(d); }

const char *wk_device_detail(const wk_device *d)
{
    return d && d->backend->detail ? d->backend->detail(d) : "";
}

const char *wk_device_options(const wk_device *d)
{
    return d && d->backend->options ? d->backend->options(d) : "";
}
