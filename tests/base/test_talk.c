// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_talk.c - what is said on stderr, and what is not. */
#include "test.h"

#include "../src/base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* What fn writes to stderr. */
static void capture(void (*fn)(void), char *text, size_t size)
{
    char path[1024];
    test_temporary("stderr", path);
    fflush(stderr);
    int old = dup(STDERR_FILENO), file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(file, STDERR_FILENO);
    fn();
    fflush(stderr);
    dup2(old, STDERR_FILENO);
    close(old);
    ssize_t n = pread(file, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(file);
}

static void say_all(void)
{
    wk_say(WK_LOG_ERROR, "e%d", 1);
    wk_say(WK_LOG_WARN, "w");
    wk_say(WK_LOG_INFO, "i");
    wk_say(WK_LOG_DEBUG, "d");
}

TEST(levels_of_the_log)
{
    static const char *const want[] = {
        "wick: e1\n",
        "wick: e1\nwick: warning: w\n",
        "wick: e1\nwick: warning: w\nwick: i\n",
        "wick: e1\nwick: warning: w\nwick: i\nwick: d\n",
    };
    char text[256];
    for (int level = WK_LOG_DEBUG; level >= WK_LOG_ERROR; level--) {
        wk_set_log_level(level);
        capture(say_all, text, sizeof text);
        CHECK_STR(text, want[level]);
    }
}

static void show_bar(void)
{
    wk_progress p;
    wk_show_progress(true);
    wk_progress_start(&p, "work", 4);
    p.start -= 100; /* it has been at it for long */
    for (int i = 0; i <= 4; i++)
        CHECK(wk_progress_at(&p, i));
    wk_progress_end(&p);
    wk_show_progress(false);
}

TEST(no_bar_where_there_is_no_terminal)
{
    char text[256];
    capture(show_bar, text, sizeof text);
    CHECK_STR(text, "");
}

TEST(time_goes_on)
{
    double before = wk_now();
    usleep(2000);
    double passed = wk_now() - before;
    CHECK(passed > 0.0015 && passed < 60);
}
