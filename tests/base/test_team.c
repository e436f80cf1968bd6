// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_team.c - regions, barriers and ranges, on any number of threads, from any thread. */
#include "test.h"

#include "../src/base/base.h"

#include <wick/wick.h>

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 8 };

/* Run fn with 1 to 8 threads allowed. */
static void each_count(void (*fn)(int threads))
{
    int before = wk_threads();
    for (int n = 1; n <= MOST; n++) {
        wk_set_threads(n);
        CHECK_INT(wk_threads(), n);
        fn(n);
    }
    wk_set_threads(before);
}

/* ---- Regions ------------------------------------------------------------ */

typedef struct {
    atomic_int ran[MOST], threads;
} presence;

static void be_present(void *ctx, int thread, int threads)
{
    presence *p = ctx;
    atomic_fetch_add(&p->ran[thread], 1);
    atomic_store(&p->threads, threads);
}

static void be_present_and_meet(void *ctx, int thread, int threads)
{
    be_present(ctx, thread, threads);
    wk_team_barrier();
}

static void check_presence(int allowed)
{
    for (int wish = 0; wish <= MOST + 1; wish++)
        for (int meets = 0; meets < 2; meets++) {
            presence p = { 0 };
            wk_team_run(wish, meets ? be_present_and_meet : be_present, &p);
            int want = wish < 1 ? 1 : wish < allowed ? wish : allowed;
            CHECK_INT(p.threads, want);
            for (int i = 0; i < MOST; i++)
                CHECK(meets || !i ? p.ran[i] == (i < want) : p.ran[i] <= (i < want));
        }
}

TEST(each_thread_of_a_region_runs_once_at_most) { each_count(check_presence); }

TEST(thread_counts_are_kept_in_range)
{
    int before = wk_threads();
    wk_set_threads(0);
    CHECK_INT(wk_threads(), 1);
    wk_set_threads(-5);
    CHECK_INT(wk_threads(), 1);
    wk_set_threads(1000000);
    CHECK(wk_threads() >= 64 && wk_threads() < 100000);
    wk_set_threads(before);
}

typedef struct {
    int        rounds;
    int        mark[MOST][64]; /* a cache line apart, and not atomic: the barrier orders them */
    atomic_int wrong;
} meeting;

/* Each round every thread writes its mark; behind the barrier all marks are there. */
static void meet(void *ctx, int thread, int threads)
{
    meeting *m = ctx;
    for (int round = 1; round <= m->rounds; round++) {
        m->mark[thread][0] = round;
        wk_team_barrier();
        for (int i = 0; i < threads; i++)
            if (m->mark[i][0] != round)
                atomic_fetch_add(&m->wrong, 1);
        wk_team_barrier();
    }
}

static void check_barrier(int threads)
{
    meeting m = { .rounds = threads <= 2 ? 2000 : 100 }; /* more threads than cores are slow */
    wk_team_run(threads, meet, &m);
    CHECK_INT(m.wrong, 0);
    for (int i = 0; i < threads; i++)
        CHECK_INT(m.mark[i][0], m.rounds);
}

TEST(all_meet_at_the_barrier)
{
    wk_team_barrier(); /* outside of a region there is nobody to meet */
    each_count(check_barrier);
}

/* ---- Ranges ------------------------------------------------------------- */

typedef struct {
    int64_t      count, grain;
    atomic_uchar seen[5000];
    atomic_int   wrong;
} cover;

static void cover_part(void *ctx, int64_t begin, int64_t end)
{
    cover *c = ctx;
    if (begin >= end || begin < 0 || end > c->count || end - begin > c->grain || begin % c->grain ||
        (end % c->grain && end != c->count)) {
        atomic_fetch_add(&c->wrong, 1);
        return;
    }
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add(&c->seen[i], 1);
}

static void check_ranges(int threads)
{
    static const int64_t counts[] = { 0, 1, 2, 3, 7, 64, 65, 1000, 4999 };
    static const int64_t grains[] = { 1, 2, 3, 16, 64, 999, 5000, INT64_MAX };
    (void)threads;
    for (size_t i = 0; i < WK_COUNT(counts); i++)
        for (size_t k = 0; k < WK_COUNT(grains); k++) {
            static cover c;
            memset(&c, 0, sizeof c);
            c.count = counts[i];
            c.grain = grains[k];
            wk_parallel(c.count, c.grain, cover_part, &c);
            CHECK_INT(c.wrong, 0);
            for (int64_t n = 0; n < 5000; n++)
                if (c.seen[n] != (n < c.count))
                    CHECK_MSG(false, "%d of %d by %d was seen %d times", (int)n, (int)c.count,
                              (int)c.grain, c.seen[n]);
        }
}

TEST(ranges_cover_every_index_once) { each_count(check_ranges); }

static void count_calls(void *ctx, int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    atomic_fetch_add((atomic_int *)ctx, 1);
}

TEST(empty_and_odd_ranges)
{
    atomic_int calls = 0;
    wk_parallel(-5, 1, count_calls, &calls);
    wk_parallel(0, 0, count_calls, &calls);
    CHECK_INT(calls, 0);
    wk_parallel(3, 0, count_calls, &calls); /* a grain is at least 1 */
    CHECK_INT(calls, 3);
    wk_parallel(2, -7, count_calls, &calls);
    CHECK_INT(calls, 5);
    wk_parallel(INT64_MAX, INT64_MAX, count_calls, &calls);
    CHECK_INT(calls, 6);
    wk_parallel(INT64_MAX, INT64_MAX / 2, count_calls, &calls);
    CHECK_INT(calls, 9);
}

/* ---- Stages ------------------------------------------------------------- */

static const int64_t items[] = { 5, 0, 64, 1, 0, 17 };

enum { STAGES = 6 };

typedef struct {
    wk_stages  all;
    int        mark[STAGES][64]; /* not atomic: a stage is behind all of the one before */
    atomic_int wrong, ended;
} journey;

static void go_through(void *ctx, int thread, int threads)
{
    journey *j = ctx;
    wk_stage stage = wk_stage_first(&j->all);
    int64_t  i;
    (void)thread, (void)threads;
    for (int s = 0; s < STAGES; s++)
        while ((i = wk_stage_take(&stage, items[s])) >= 0) {
            bool before = true;
            for (int64_t k = 0; s > 0 && k < items[s - 1]; k++)
                before &= j->mark[s - 1][k] == 1;
            if (!before || i >= items[s] || j->mark[s][i]++)
                atomic_fetch_add(&j->wrong, 1);
        }
    for (int64_t k = 0; k < items[STAGES - 1]; k++)
        if (j->mark[STAGES - 1][k] != 1)
            atomic_fetch_add(&j->wrong, 1);
    atomic_fetch_add(&j->ended, 1);
}

static void check_stages(int threads)
{
    for (int round = 0; round < 300 / threads; round++) {
        journey j = { 0 };
        wk_team_run(threads, go_through, &j);
        CHECK_INT(j.wrong, 0);
        CHECK(j.ended >= 1 && j.ended <= threads);
    }
}

TEST(each_item_of_a_stage_is_done_once_before_the_next) { each_count(check_stages); }

/* ---- Nesting and errors ------------------------------------------------- */

static void inner(void *ctx, int thread, int threads)
{
    wk_team_barrier();
    if (thread != 0 || threads != 1)
        atomic_fetch_add((atomic_int *)ctx, 1000);
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void outer(void *ctx, int thread, int threads)
{
    (void)thread, (void)threads;
    wk_team_run(4, inner, ctx);
    wk_team_barrier(); /* of the outer region again */
    wk_parallel(10, 1, count_calls, ctx);
}

static void check_nesting(int threads)
{
    atomic_int calls = 0;
    wk_team_run(threads, outer, &calls);
    CHECK_INT(calls, threads * 11);
}

TEST(a_region_inside_a_region_is_one_thread) { each_count(check_nesting); }

static void add_one(void *ctx, int thread, int threads)
{
    (void)thread, (void)threads;
    atomic_fetch_add((atomic_int *)ctx, 1);
    wk_team_barrier(); /* nobody stays away */
}

/* Regions that come just when a worker gives up waiting: it must not sleep through one. */
TEST(a_worker_about_to_park_is_called)
{
    int before = wk_threads(), rounds = 50000 / test_stride(3);
    wk_set_threads(2);
    atomic_int ran = 0, pause = 0;
    wk_team_run(2, add_one, &ran);
    int per_region = atomic_load(&ran);
    for (int i = 1; i < rounds; i++) {
        for (int k = 0; k < i % 3000; k++) /* about as long as it waits, and then less and more */
            atomic_fetch_add_explicit(&pause, 1, memory_order_relaxed);
        wk_team_run(2, add_one, &ran);
    }
    CHECK_INT(ran, rounds * per_region);
    wk_set_threads(before);
}

static void fail_in_one(void *ctx, int thread, int threads)
{
    if (thread == threads - 1)
        wk_fail(WK_ERR_DTYPE, "from thread %d of %d", thread, *(int *)ctx);
    wk_team_barrier();
}

static void fail_in_all(void *ctx, int thread, int threads)
{
    (void)ctx, (void)threads;
    wk_fail(WK_ERR_SHAPE, "from thread %d", thread);
}

static bool nothing_pending(void)
{
    atomic_int calls = 0;
    wk_parallel(64, 1, count_calls, &calls);
    return wk_ok() && calls == 64;
}

static void check_errors(int threads)
{
    char want[40];
    snprintf(want, sizeof want, "from thread %d of %d", threads - 1, threads);
    wk_team_run(threads, fail_in_one, &threads);
    CHECK_INT(wk_error(), WK_ERR_DTYPE);
    CHECK_ERROR(want);
    CHECK(nothing_pending()); /* the workers have forgotten it */
    wk_team_run(threads, fail_in_all, NULL);
    CHECK_INT(wk_error(), WK_ERR_SHAPE);
    CHECK_ERROR("from thread ");
    CHECK(nothing_pending());
    wk_fail(WK_ERR_IO, "before");
    wk_team_run(threads, fail_in_all, NULL);
    CHECK_ERROR("before"); /* the first one counts */
}

TEST(errors_of_workers_arrive) { each_count(check_errors); }

/* ---- Several user threads ----------------------------------------------- */

static void add_up(void *ctx, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add((atomic_llong *)ctx, (long long)i);
}

static void *use_the_team(void *arg)
{
    for (int round = 0; round < 200; round++) {
        atomic_llong sum = 0;
        wk_parallel(1000, 10, add_up, &sum);
        if (sum != 499500)
            *(bool *)arg = true;
        meeting m = { .rounds = 3 };
        wk_team_run(3, meet, &m);
        if (m.wrong)
            *(bool *)arg = true;
    }
    return NULL;
}

TEST(several_threads_open_regions_at_once)
{
    pthread_t thread[4];
    bool      wrong[4] = { false };
    int       before = wk_threads();
    wk_set_threads(3);
    for (int i = 0; i < 4; i++)
        CHECK(!pthread_create(&thread[i], NULL, use_the_team, &wrong[i]));
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        CHECK(!wrong[i]);
    }
    wk_set_threads(before);
}

/* ---- Workers that do not come -------------------------------------------- */

static atomic_int  held;
static atomic_bool go_on, too_late;

static void hold(int number)
{
    (void)number;
    atomic_fetch_add(&held, 1);
    while (!atomic_load(&go_on))
        poll(NULL, 0, 1);
}

/* Whoever waits for those that are held gets them after ten seconds, and fails. */
static void *let_go(void *unused)
{
    for (int i = 0; i < 10000 && !atomic_load(&go_on); i++)
        poll(NULL, 0, 1);
    atomic_store(&too_late, !atomic_exchange(&go_on, true));
    return unused;
}

#if defined __linux__ && !defined __SANITIZE_THREAD__ /* which has a thread of its own */

/* Has the thread parked? */
static bool sleeps(long thread)
{
    char  path[64], text[128] = "";
    FILE *f;
    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", thread);
    f = fopen(path, "r");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    return n > 0 && strstr(text, ") S");
}

/* Call hold() on all threads but this one; how many. */
static int hold_others(void)
{
    DIR *all = opendir("/proc/self/task");
    int  count = 0;
    for (struct dirent *e; all && (e = readdir(all));) {
        long thread = strtol(e->d_name, NULL, 10);
        if (thread <= 0 || thread == syscall(SYS_gettid))
            continue;
        for (int i = 0; i < 10000 && !sleeps(thread); i++)
            poll(NULL, 0, 1);
        count += !syscall(SYS_tgkill, getpid(), thread, SIGTRAP);
    }
    if (all)
        closedir(all);
    for (int i = 0; i < 10000 && atomic_load(&held) < count; i++)
        poll(NULL, 0, 1);
    return count;
}
#else
static int hold_others(void) { return 0; }
#endif

TEST(absent_workers_are_not_waited_for)
{
    int              before = wk_threads();
    struct sigaction action = { .sa_handler = hold }, old;
    pthread_t        watch;
    if (getenv("WICK_EMULATED")) {
        test_skip("qemu has threads of its own");
        return;
    }
    wk_set_threads(3);
    presence p = { 0 }, q = { 0 };
    wk_team_run(3, be_present_and_meet, &p); /* now there are two workers */
    sigaction(SIGTRAP, &action, &old);
    int count = hold_others();
    CHECK_INT(held, count);
    if (count < 2)
        test_skip("the threads of a process cannot be held here");
    else if (!pthread_create(&watch, NULL, let_go, NULL)) {
        wk_scope   scope = wk_mark();
        atomic_int calls = 0;
        wk_team_run(3, be_present, &q);
        CHECK_INT(q.ran[0], 1);
        wk_parallel(100, 1, count_calls, &calls);
        CHECK_INT(calls, 100);
        /* stages that come after one another: packing, then multiplying */
        wk_tensor *x = wk_ones(600, 600), *y = wk_matmul(x, x);
        CHECK(wk_item(wk_max(y)) == 600 && wk_item(wk_min(y)) == 600);
        wk_sweep(scope);
        atomic_store(&go_on, true);
        pthread_join(watch, NULL);
        CHECK_MSG(!atomic_load(&too_late), "a region waited for workers that were held");
    }
    atomic_store(&go_on, true);
    sigaction(SIGTRAP, &old, NULL);
    wk_set_threads(before);
}

/* A forked child has no workers of its parent, and starts its own. */
TEST(a_forked_child_has_a_team)
{
    int before = wk_threads(), status = 0;
    if (getenv("WICK_EMULATED")) {
        test_skip("qemu 7.2 itself stops in the child of a program with threads");
        return;
    }
    wk_set_threads(3);
    atomic_int calls = 0;
    wk_parallel(100, 1, count_calls, &calls);
    pid_t child = fork();
    if (child == 0) {
        meeting m = { .rounds = 10 };
        wk_team_run(3, meet, &m);
        _exit(m.wrong == 0 && m.mark[2][0] == 10 ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    wk_set_threads(before);
}
