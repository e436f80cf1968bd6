// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_error.c - errors stick, belong to a thread, and say where they come from. */
#include "test.h"

#include "../src/base/base.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(the_first_error_sticks)
{
    CHECK(wk_ok());
    CHECK_INT(wk_error(), WK_OK);
    CHECK_STR(wk_message(), "");
    wk_fail(WK_OK, "no error at all");
    CHECK(wk_ok());
    wk_fail(WK_ERR_SHAPE, "the %s of %d", "first", 2);
    wk_fail(WK_ERR_IO, "the second");
    CHECK(!wk_ok());
    CHECK_INT(wk_error(), WK_ERR_SHAPE);
    CHECK_STR(wk_message(), "the first of 2");
    wk_clear();
    CHECK(wk_ok());
    CHECK_STR(wk_message(), "");
    wk_fail(WK_ERR_IO, "another");
    CHECK_STR(wk_message(), "another");
    wk_clear();
}

TEST(context_goes_in_front)
{
    wk_context("nothing to add to");
    CHECK(wk_ok());
    CHECK_STR(wk_message(), "");
    wk_fail(WK_ERR_FORMAT, "100%% wrong");
    wk_context("file %d", 7);
    wk_context("model");
    CHECK_STR(wk_message(), "model: file 7: 100% wrong");
    wk_clear();
}

/* Text that is too long is cut, and never written past the end. */
TEST(long_errors_are_cut)
{
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    wk_fail(WK_ERR_FORMAT, "%s", long_text);
    size_t n = strlen(wk_message());
    CHECK(n > 400 && n < 600);
    wk_context("%s", "where");
    CHECK_INT(strlen(wk_message()), n);
    CHECK(!strncmp(wk_message(), "where: xxx", 10));
    for (size_t size = n - 10; size < n + 10; size++) { /* the text just fits, or just not */
        long_text[size] = '\0';
        wk_context("%s", long_text);
        CHECK(strlen(wk_message()) <= n);
        CHECK(!strncmp(wk_message(), long_text, size < n ? size : n));
        long_text[size] = 'x';
    }
    wk_clear();
}

static void *fail_alone(void *arg)
{
    *(bool *)arg = wk_ok();
    wk_fail(WK_ERR_IO, "of this thread alone");
    return NULL;
}

TEST(errors_belong_to_their_thread)
{
    pthread_t thread;
    bool      was_clear = false;
    wk_fail(WK_ERR_SHAPE, "mine");
    CHECK(!pthread_create(&thread, NULL, fail_alone, &was_clear));
    pthread_join(thread, NULL);
    CHECK(was_clear);
    CHECK_STR(wk_message(), "mine");
    wk_clear();
}

TEST(errors_can_be_moved)
{
    wk_error_state state;
    wk_fail(WK_ERR_DTYPE, "carried");
    wk_error_take(&state);
    CHECK(wk_ok());
    wk_fail(WK_ERR_IO, "older");
    wk_error_raise(&state); /* what is pending stays */
    CHECK_STR(wk_message(), "older");
    wk_clear();
    wk_error_raise(&state);
    CHECK_INT(wk_error(), WK_ERR_DTYPE);
    CHECK_STR(wk_message(), "carried");
    wk_clear();
    wk_error_take(&state);
    wk_error_raise(&state); /* none */
    CHECK(wk_ok());
}

TEST(wick_abort_stops_in_the_guilty_call)
{
    int   status = 0;
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDERR_FILENO);
        setenv("WICK_ABORT", "1", 1);
        wk_fail(WK_ERR_SHAPE, "stop here");
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

TEST(interrupts_are_seen_and_forgotten)
{
    wk_progress p;
    CHECK(!wk_interrupted());
    wk_progress_start(&p, "work", 10);
    CHECK(wk_progress_at(&p, 1));
    wk_interrupt();
    CHECK(wk_interrupted());
    CHECK(!wk_progress_at(&p, 2));
    CHECK_INT(wk_error(), WK_ERR_INTERRUPTED);
    CHECK_ERROR("work: interrupted");
    wk_resume();
    CHECK(!wk_interrupted());
    CHECK(wk_progress_at(&p, 3));
    wk_progress_end(&p);
}
