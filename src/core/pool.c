// SPDX-License-Identifier: MIT OR Apache-2.0
/* pool.c - each thread's pool of temporary tensors.
 *
 * The pool is a stack of references.  A scope is nothing but its height at some
 * moment, so scopes nest for free, and one that is left early is cleaned up by the
 * next one out.  A thread that ends gives up its pool. */
#include "core.h"

#include <pthread.h>
#include <stdio.h>

static _Thread_local struct {
    wk_tensor **item;
    size_t      count, room;
} pool;

static pthread_key_t  end_key;
static pthread_once_t end_once = PTHREAD_ONCE_INIT;

static void thread_ends(void *unused)
{
    (void)unused;
    wk_sweep(0);
}

static void make_key(void) { pthread_key_create(&end_key, thread_ends); }

wk_tensor *wk_pool(wk_tensor *x)
{
    if (!x)
        return NULL;
    if (!pool.item) {
        pthread_once(&end_once, make_key);
        pthread_setspecific(end_key, &pool);
    }
    if (!wk_reserve(&pool.item, &pool.room, pool.count + 1, sizeof *pool.item)) {
        wk_release(x);
        return NULL;
    }
    return pool.item[pool.count++] = x;
}

wk_scope wk_mark(void) { return pool.count; }

void wk_yield_all(wk_scope scope, wk_tensor **x, int count)
{
    for (int i = 0; i < count; i++)
        wk_retain(x[i]);
    while (pool.count > scope)
        wk_release(pool.item[--pool.count]);
    for (int i = 0; i < count; i++)
        x[i] = wk_pool(x[i]);
    if (pool.count == 0) {
        wk_free(pool.item);
        pool.item = NULL;
        pool.room = 0;
    }
}

wk_tensor *wk_yield(wk_scope scope, wk_tensor *x)
{
    wk_yield_all(scope, &x, 1);
    return x;
}

void wk_sweep(wk_scope scope) { wk_yield_all(scope, NULL, 0); }

wk_tensor *wk_keep(wk_tensor *x)
{
    wk_retain(x);
    return x;
}

void wk_drop(wk_tensor *x) { wk_release(x); }

void wk_set(wk_tensor **slot, wk_tensor *x)
{
    wk_tensor *old = *slot;
    wk_retain(x);
    *slot = x;
    wk_release(old);
}

int wk_finish(void)
{
    bool failed = !wk_ok();
    if (failed)
        fprintf(stderr, "wick: %s\n", wk_message());
    wk_clear();
    wk_sweep(0);
    return failed;
}
