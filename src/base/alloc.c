// SPDX-License-Identifier: MIT OR Apache-2.0
/* alloc.c - all memory of the library comes from here.
 *
 * That makes three things possible: every allocation can be made to fail in turn,
 * leaks can be counted, and large blocks can be placed in huge pages. */
#include "base.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20 };

static atomic_long budget = -1; /* allocations left until one fails; -1: no limit */
static atomic_long live;

long wk_fail_alloc_after(long n) { return atomic_exchange(&budget, n); }
long wk_live_allocs(void) { return atomic_load(&live); }

bool wk_alloc_may(size_t bytes)
{
    if (atomic_load_explicit(&budget, memory_order_relaxed) < 0 ||
        atomic_fetch_sub(&budget, 1) != 0)
        return true;
    wk_fail(WK_ERR_MEMORY, "cannot allocate %zu bytes", bytes);
    return false;
}

bool wk_mul_overflows(size_t a, size_t b, size_t *product)
{
    *product = a * b;
    return a && *product / a != b;
}

/* Count a new block, or say why there is none. */
static void *counted(void *p, size_t bytes)
{
    if (p)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    else
        wk_fail(WK_ERR_MEMORY, "cannot allocate %zu bytes", bytes);
    return p;
}

void *wk_alloc(size_t bytes)
{
    return wk_alloc_may(bytes) ? counted(calloc(1, bytes ? bytes : 1), bytes) : NULL;
}

void *wk_alloc_array(size_t count, size_t size)
{
    size_t bytes;
    if (!wk_mul_overflows(count, size, &bytes))
        return wk_alloc(bytes);
    wk_fail(WK_ERR_MEMORY, "cannot allocate %zu items of %zu bytes", count, size);
    return NULL;
}

void *wk_realloc(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (wk_mul_overflows(count, size, &bytes)) {
        wk_fail(WK_ERR_MEMORY, "cannot allocate %zu items of %zu bytes", count, size);
        return NULL;
    }
    if (!wk_alloc_may(bytes))
        return NULL;
    void *p = realloc(old, bytes ? bytes : 1);
    if (!old)
        return counted(p, bytes);
    if (!p)
        wk_fail(WK_ERR_MEMORY, "cannot allocate %zu bytes", bytes);
    return p;
}

void wk_free(void *p)
{
    if (p)
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(p);
}

bool wk_reserve(void *items, size_t *room, size_t need, size_t item_size)
{
    if (need <= *room)
        return true;
    size_t more = *room + *room / 2 + 8;
    void  *old;
    memcpy(&old, items, sizeof old);
    void *grown = wk_realloc(old, more > need ? more : need, item_size);
    if (!grown)
        return false;
    memcpy(items, &grown, sizeof grown);
    *room = more > need ? more : need;
    return true;
}

/* ---- Large blocks ------------------------------------------------------- */

static size_t small_pages(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

void *wk_alloc_pages(size_t bytes)
{
    if (!wk_alloc_may(bytes))
        return NULL;
    if (bytes < HUGE_PAGE) {
        size_t round = bytes ? (bytes + 63) & ~(size_t)63 : 64;
        return counted(aligned_alloc(64, round), bytes);
    }
    if (bytes > SIZE_MAX - 2 * (size_t)HUGE_PAGE)
        return counted(NULL, bytes);
    /* From a huge page's beginning on; what is left at the end has small pages. */
    size_t room = small_pages(bytes) + HUGE_PAGE;
    char  *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return counted(NULL, bytes);
    size_t before = (size_t)(-(uintptr_t)p & (HUGE_PAGE - 1));
    if (before)
        munmap(p, before);
    munmap(p + before + room - HUGE_PAGE, HUGE_PAGE - before);
#ifdef MADV_HUGEPAGE
    madvise(p + before, bytes & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
#endif
    return counted(p + before, bytes);
}

void wk_free_pages(void *p, size_t bytes)
{
    if (p && bytes >= HUGE_PAGE) {
        munmap(p, small_pages(bytes));
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    } else {
        wk_free(p);
    }
}

/* ---- Scratch ------------------------------------------------------------ */

typedef struct {
    size_t bytes;
    char   pad[64 - sizeof(size_t)];
} scratch_head; /* stands in front of the memory and keeps it aligned */

static pthread_key_t  scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_release(void *p)
{
    if (p)
        wk_free_pages(p, ((scratch_head *)p)->bytes);
}

static void scratch_init(void) { pthread_key_create(&scratch_key, scratch_release); }

void *wk_scratch(size_t bytes)
{
    pthread_once(&scratch_once, scratch_init);
    scratch_head *head = pthread_getspecific(scratch_key);
    if (!head || head->bytes - sizeof *head < bytes) {
        if (bytes > SIZE_MAX / 2)
            return counted(NULL, bytes);
        size_t need = bytes + bytes / 4 + sizeof *head;
        wk_scratch_free();
        head = wk_alloc_pages(need);
        if (!head)
            return NULL;
        head->bytes = need;
        pthread_setspecific(scratch_key, head);
    }
    return head + 1;
}

void wk_scratch_free(void)
{
    pthread_once(&scratch_once, scratch_init);
    scratch_release(pthread_getspecific(scratch_key));
    pthread_setspecific(scratch_key, NULL);
}
