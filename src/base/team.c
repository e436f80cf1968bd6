// SPDX-License-Identifier: MIT OR Apache-2.0
/* team.c - the threads that kernels run on.
 *
 * One team serves the process.  Its workers wait for a region by spinning for a
 * short while, so that a chain of small kernels costs a fraction of a microsecond
 * for each, and then park on a condition variable; a team of more threads than there are
 * processors leaves them to each other at once.  Nobody waits for a worker that has not come
 * when the work is done: where other programs keep it from its processor, the others do its
 * share.  Whoever opens a region while another one runs does its work alone. */
#include "base.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A pause takes 10 to 45 ns: workers park after 40 to 180 us. */
enum { MAX_THREADS = 256, SPINS = 4000, SPINS_BEFORE_YIELD = 2000 };

#if defined __x86_64__ || defined __i386__
#define RELAX() __builtin_ia32_pause()
#elif defined __aarch64__
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

typedef struct {
    _Alignas(64) atomic_uint_fast64_t region; /* the last one it was called to */
    atomic_bool    parked;
    pthread_cond_t wake;
    pthread_t      thread;
    uint64_t       seen; /* the last region that it entered, or came too late for */
} worker;

/* The door to a region: its number, in steps of NUMBER, how many threads it is for and how
 * many workers came in.  It is for none when it is closed. */
enum { COUNT_BITS = 9, COUNT = (1 << COUNT_BITS) - 1, THREADS = 1 << COUNT_BITS };
static const uint64_t NUMBER = 1 << 2 * COUNT_BITS;

static struct {
    atomic_int      wanted; /* threads asked for, with the caller; 0: not decided */
    int             size;   /* workers started */
    atomic_bool     stop;
    pthread_mutex_t lock;  /* for parking, and for error */
    wk_error_state  error; /* the first one of any worker */
    wk_region_fn    fn;    /* the region ... */
    void           *ctx;
    int             threads;
    atomic_bool     crowded;       /* more threads than processors */
    _Alignas(64) atomic_bool busy; /* ... runs */
    _Alignas(64) atomic_uint_fast64_t door;
    _Alignas(64) atomic_int left;     /* workers that have left it */
    _Alignas(64) atomic_int met;      /* threads at the barrier ... */
    _Alignas(64) atomic_uint meeting; /* ... number so and so */
    worker member[MAX_THREADS - 1];
} team = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local int region_threads; /* of the region this thread is in; 0: none */

/* ---- How many threads --------------------------------------------------- */

/* The one or two numbers that a file of the kernel begins with; how many there are. */
static int read_numbers(const char *path, long number[2])
{
    char    text[64] = "", *at = text, *end;
    int     f = open(path, O_RDONLY | O_CLOEXEC), n = 0;
    ssize_t size = f >= 0 ? read(f, text, sizeof text - 1) : 0;
    if (f >= 0)
        close(f);
    for (; size > 0 && n < 2; n++, at = end) {
        number[n] = strtol(at, &end, 10);
        if (end == at)
            break;
    }
    return n;
}

/* The cores among the processors this process may use, or all of those, within its CPU quota. */
static int count_processors(bool cores)
{
    int n = 0;
#if defined __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    if (!sched_getaffinity(0, sizeof set, &set))
        for (int i = 0; i < CPU_SETSIZE; i++) {
            char path[96];
            long first[2]; /* the lowest of the core's threads */
            if (!CPU_ISSET(i, &set))
                continue;
            snprintf(path, sizeof path,
                     "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
            bool other = cores && read_numbers(path, first) && first[0] >= 0 && first[0] < i;
            n += !(other && CPU_ISSET(first[0], &set));
        }
    long quota[2]; /* microseconds in a period of so many */
    if (read_numbers("/sys/fs/cgroup/cpu.max", quota) == 2 && quota[0] > 0 && quota[1] > 0)
        n = (int)wk_min_i64(n, (quota[0] + quota[1] - 1) / quota[1]);
#endif
    return n > 0 ? n : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static int clamp_threads(long n) { return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int)n; }

int wk_threads(void)
{
    int n = atomic_load_explicit(&team.wanted, memory_order_relaxed);
    if (!n) {
        const char *wish = getenv("WICK_THREADS");
        n = wish ? (int)strtol(wish, NULL, 10) : 0;
        n = clamp_threads(n > 0 ? n : count_processors(true));
        atomic_store_explicit(&team.wanted, n, memory_order_relaxed);
    }
    return n;
}

void wk_set_threads(int count)
{
    atomic_store_explicit(&team.wanted, clamp_threads(count), memory_order_relaxed);
}

/* ---- Workers ------------------------------------------------------------ */

static int processors(void)
{
    static atomic_int known;
    int               n = atomic_load_explicit(&known, memory_order_relaxed);
    if (!n)
        atomic_store_explicit(&known, n = count_processors(false), memory_order_relaxed);
    return n;
}

static void run_part(int thread)
{
    region_threads = team.threads;
    team.fn(team.ctx, thread, team.threads);
    region_threads = 0;
}

static void hand_over_error(void)
{
    if (wk_ok())
        return;
    pthread_mutex_lock(&team.lock);
    if (team.error.status == WK_OK)
        wk_error_take(&team.error);
    pthread_mutex_unlock(&team.lock);
    wk_clear();
}

static bool is_crowded(void) { return atomic_load_explicit(&team.crowded, memory_order_relaxed); }

static bool is_called(worker *w, memory_order order)
{
    return (int64_t)(atomic_load_explicit(&w->region, order) - w->seen) > 0;
}

static void wait_for_call(worker *w)
{
    for (int i = is_crowded() ? SPINS : 0; i < SPINS; i++) {
        if (is_called(w, memory_order_acquire))
            return;
        RELAX();
    }
    pthread_mutex_lock(&team.lock);
    /* Before the last look at region: call() does the reverse.  An exchange, as emulators of
     * AArch64 are known to let a load pass a plain store, be both sequentially consistent. */
    atomic_exchange(&w->parked, true);
    while (!is_called(w, memory_order_seq_cst))
        pthread_cond_wait(&w->wake, &team.lock);
    atomic_store(&w->parked, false);
    pthread_mutex_unlock(&team.lock);
}

/* Go in, if there is a region for so many threads: the one of the call or one after it. */
static bool enter(worker *w, int thread)
{
    uint64_t called = atomic_load_explicit(&w->region, memory_order_relaxed);
    uint64_t door = atomic_load_explicit(&team.door, memory_order_relaxed);
    while ((int)(door / THREADS & COUNT) > thread)
        if (atomic_compare_exchange_weak_explicit(&team.door, &door, door + 1, memory_order_acq_rel,
                                                  memory_order_relaxed)) {
            w->seen = door / NUMBER * NUMBER;
            return true;
        }
    w->seen = called;
    return false;
}

static void call(worker *w, uint64_t region)
{
    atomic_exchange(&w->region, region);
    if (!atomic_load(&w->parked))
        return;
    pthread_mutex_lock(&team.lock);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&team.lock);
}

static void *work(void *arg)
{
    worker *w = arg;
    int     thread = (int)(w - team.member) + 1;
    for (;;) {
        wait_for_call(w);
        if (team.stop)
            return NULL;
        if (!enter(w, thread))
            continue;
        run_part(thread);
        hand_over_error();
        atomic_fetch_add_explicit(&team.left, 1, memory_order_acq_rel);
    }
}

static void forget_workers(void) /* in a forked child there are none */
{
    team.size = 0;
    atomic_store(&team.door, atomic_load(&team.door) / NUMBER * NUMBER);
    atomic_store(&team.busy, false);
    pthread_mutex_init(&team.lock, NULL);
}

/* Start what is missing of the workers for a team of count threads. */
static void enlist(int count)
{
    static bool once;
    if (!once)
        once = !pthread_atfork(NULL, NULL, forget_workers);
    static const int own[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV };
    sigset_t         others, before;
    sigfillset(&others); /* signals are for the program's threads, but for a fault of its own */
    for (size_t i = 0; i < WK_COUNT(own); i++)
        sigdelset(&others, own[i]);
    pthread_sigmask(SIG_SETMASK, &others, &before);
    for (; team.size < count - 1; team.size++) {
        worker *w = &team.member[team.size];
        *w = (worker){ .wake = PTHREAD_COND_INITIALIZER };
        atomic_store(&w->region, w->seen = atomic_load(&team.door));
        if (pthread_create(&w->thread, NULL, work, w))
            break; /* fewer threads do the same work */
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

__attribute__((destructor)) static void dissolve(void)
{
    if (atomic_exchange(&team.busy, true))
        return; /* another thread computes while the program ends: leave it alone */
    team.stop = true;
    for (int i = 0; i < team.size; i++)
        call(&team.member[i], atomic_load(&team.door) + NUMBER);
    for (int i = 0; i < team.size; i++)
        pthread_join(team.member[i].thread, NULL);
}

/* ---- Regions ------------------------------------------------------------ */

static void spin_wait(int *spins)
{
    if (++*spins < SPINS_BEFORE_YIELD && !is_crowded())
        RELAX();
    else
        sched_yield();
}

void wk_team_run(int threads, wk_region_fn fn, void *ctx)
{
    int most = threads > 1 && !region_threads ? wk_threads() : 1;
    threads = threads < most ? threads : most;
    if (threads <= 1 || atomic_exchange_explicit(&team.busy, true, memory_order_acquire)) {
        int outer = region_threads;
        region_threads = 1;
        fn(ctx, 0, 1);
        region_threads = outer;
        return;
    }
    if (team.size < threads - 1)
        enlist(threads);
    team.fn = fn;
    team.ctx = ctx;
    team.threads = threads <= team.size + 1 ? threads : team.size + 1;
    team.error.status = WK_OK;
    atomic_store_explicit(&team.crowded, team.threads > processors(), memory_order_relaxed);
    atomic_store_explicit(&team.left, 0, memory_order_relaxed);
    uint64_t region = atomic_load_explicit(&team.door, memory_order_relaxed) + NUMBER;
    atomic_store_explicit(&team.door, region + (uint64_t)team.threads * THREADS,
                          memory_order_release);
    for (int i = 0; i < team.threads - 1; i++)
        call(&team.member[i], region);
    run_part(0);
    uint64_t door = atomic_exchange_explicit(&team.door, region, memory_order_acq_rel);
    for (int spins = 0, in = (int)(door & COUNT);
         atomic_load_explicit(&team.left, memory_order_acquire) < in;)
        spin_wait(&spins);
    wk_error_raise(&team.error);
    atomic_store_explicit(&team.busy, false, memory_order_release);
}

void wk_team_barrier(void)
{
    if (region_threads <= 1)
        return;
    unsigned meeting = atomic_load_explicit(&team.meeting, memory_order_acquire);
    if (atomic_fetch_add_explicit(&team.met, 1, memory_order_acq_rel) == region_threads - 1) {
        atomic_store_explicit(&team.met, 0, memory_order_relaxed);
        atomic_store_explicit(&team.meeting, meeting + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&team.meeting, memory_order_acquire) == meeting;)
        spin_wait(&spins);
}

/* ---- Stages ------------------------------------------------------------- */

static int64_t take(wk_stages *all)
{
    return atomic_fetch_add_explicit(&all->taken, 1, memory_order_relaxed);
}

wk_stage wk_stage_first(wk_stages *all) { return (wk_stage){ .all = all, .item = take(all) }; }

int64_t wk_stage_take(wk_stage *s, int64_t count)
{
    if (s->works) {
        atomic_fetch_add_explicit(&s->all->done, 1, memory_order_acq_rel);
        s->item = take(s->all);
    }
    s->works = s->item < s->begin + count;
    if (s->works)
        return s->item - s->begin;
    s->begin += count;
    for (int spins = 0; atomic_load_explicit(&s->all->done, memory_order_acquire) < s->begin;)
        spin_wait(&spins);
    return -1;
}

/* ---- Ranges ------------------------------------------------------------- */

typedef struct {
    int64_t             count, grain, pieces;
    wk_range_fn         fn;
    void               *ctx;
    atomic_int_fast64_t next;
} range;

static void take_pieces(void *ctx, int thread, int threads)
{
    range *r = ctx;
    (void)thread, (void)threads;
    for (;;) {
        int64_t piece = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        if (piece >= r->pieces)
            return;
        int64_t begin = piece * r->grain;
        r->fn(r->ctx, begin, begin + wk_min_i64(r->grain, r->count - begin));
    }
}

void wk_parallel(int64_t count, int64_t grain, wk_range_fn fn, void *ctx)
{
    range r = { .count = count, .grain = wk_max_i64(grain, 1), .fn = fn, .ctx = ctx };
    if (count <= 0)
        return;
    r.pieces = (count - 1) / r.grain + 1;
    wk_team_run((int)wk_min_i64(r.pieces, MAX_THREADS), take_pieces, &r);
}
