// SPDX-License-Identifier: MIT OR Apache-2.0
/* main.c - runs the tests: all, or those whose file or name contains an argument. */
#include "test.h"

#include <wick/base.h>
#include <wick/tensor.h>

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    const char *file, *name;
    void (*run)(void);
} test;

static test  *tests;
static size_t count;

static const test *now;
static int         failures; /* of the test that runs */
static const char *skipped;
static char        folder[256]; /* for temporary files */

void test_register(const char *file, const char *name, void (*run)(void))
{
    tests = realloc(tests, (count + 1) * sizeof *tests);
    if (!tests)
        abort();
    tests[count++] = (test){ file, name, run };
}

bool test_check(bool good, const char *file, int line, const char *format, ...)
{
    if (good)
        return true;
    if (failures++ < 10) {
        va_list args;
        va_start(args, format);
        printf("%s:%d: %s: ", file, line, now->name);
        vprintf(format, args);
        printf("%s%s\n", wk_ok() ? "" : "  -- ", wk_message());
        va_end(args);
    }
    return false;
}

bool test_check_str(const char *a, const char *b, const char *file, int line)
{
    bool same = a && b && !strcmp(a, b);
    return test_check(same, file, line, "\"%s\" is not \"%s\"", a ? a : "NULL", b ? b : "NULL");
}

bool test_check_int(int64_t a, int64_t b, const char *file, int line)
{
    return test_check(a == b, file, line, "%lld is not %lld", (long long)a, (long long)b);
}

bool test_check_near(double a, double b, double tolerance, const char *file, int line)
{
    bool near = fabs(a - b) <= tolerance || a == b || (isnan(a) && isnan(b));
    return test_check(near, file, line, "%.9g is not %.9g within %.3g", a, b, tolerance);
}

bool test_check_error(const char *text, const char *file, int line)
{
    bool good = !wk_ok() && strstr(wk_message(), text);
    char message[512];
    snprintf(message, sizeof message, "%s", wk_message());
    wk_clear();
    return test_check(good, file, line, "expected an error with \"%s\", got \"%s\"", text, message);
}

void test_skip(const char *why) { skipped = why; }

int test_stride(int n) { return getenv("WICK_SLOW") ? n : 1; }

const char *test_shared(const char *name, char path[1024])
{
    struct stat info;
    const char *shared = getenv("WICK_SHARED");
    snprintf(path, 1024, "%s/%s", shared ? shared : "../shared", name);
    if (!stat(path, &info))
        return path;
    test_skip("../shared is not here");
    return NULL;
}

const char *test_temporary(const char *name, char path[1024])
{
    snprintf(path, 1024, "%s/%s", folder, name);
    return path;
}

static void clean(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command))
        printf("cannot remove %s\n", folder);
}

/* A test that hangs is named, and ends them all. */
static void late(int signal)
{
    static const char text[] = ": still runs after WICK_TEST_LIMIT seconds\n";
    (void)signal;
    bool said = write(1, now->name, strlen(now->name)) > 0 && write(1, text, sizeof text - 1) > 0;
    _exit(said ? 124 : 125);
}

static bool run_one(const test *t)
{
    const char *limit = getenv("WICK_TEST_LIMIT");
    now = t;
    alarm(limit ? (unsigned)atoi(limit) : 300);
    failures = 0;
    skipped = NULL;
    snprintf(folder, sizeof folder, "/tmp/wick-test-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    wk_seed(1);
    t->run();
    test_check(wk_ok(), t->file, 0, "an error is left");
    wk_clear();
    wk_sweep(0);
    test_check(wk_live_tensors() == 0, t->file, 0, "%zu tensors are still alive",
               wk_live_tensors());
    clean();
    alarm(0);
    if (skipped)
        printf("%s: %s: skipped: %s\n", t->file, t->name, skipped);
    return failures == 0;
}

/* Memory that cannot be had is an error to be tested, for the sanitizers too. */
WK_API const char *__asan_default_options(void);
WK_API const char *__tsan_default_options(void);
const char        *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void) { return "allocator_may_return_null=1:die_after_fork=0"; }

int main(int argc, char **argv)
{
    int    passed = 0, failed = 0, left_out = 0;
    bool   verbose = argc > 1 && !strcmp(argv[1], "-v");
    double slow = getenv("WICK_TEST_TIMES") ? atof(getenv("WICK_TEST_TIMES")) : 1e9;
    signal(SIGALRM, late);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < count; i++) {
        bool wanted = argc == 1 + verbose;
        for (int a = 1 + verbose; a < argc; a++)
            wanted |= strstr(tests[i].file, argv[a]) || strstr(tests[i].name, argv[a]);
        if (!wanted)
            continue;
        if (verbose) {
            printf("%s: %s\n", tests[i].file, tests[i].name);
            fflush(stdout);
        }
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        bool good = run_one(&tests[i]);
        clock_gettime(CLOCK_MONOTONIC, &after);
        double seconds = (double)(after.tv_sec - before.tv_sec) +
                         1e-9 * (double)(after.tv_nsec - before.tv_nsec);
        if (seconds > slow)
            printf("%s: %s took %.2f s\n", tests[i].file, tests[i].name, seconds);
        passed += good && !skipped;
        left_out += good && skipped;
        failed += !good;
    }
    free(tests);
    if (left_out)
        printf("%d skipped\n", left_out);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
