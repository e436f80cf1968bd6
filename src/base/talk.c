// SPDX-License-Identifier: MIT OR Apache-2.0
/* talk.c - what the library says on stderr: log lines and progress bars. */
#include "base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static atomic_int        log_level = -1;
static atomic_bool       bars;

void wk_set_log_level(int level) { log_level = level; }

void wk_say(int level, const char *format, ...)
{
    if (log_level < 0) {
        const char *wish = getenv("WICK_LOG");
        log_level = WK_LOG_WARN;
        for (int i = 0; wish && i < (int)WK_COUNT(level_names); i++)
            if (!strcmp(wish, level_names[i]))
                log_level = i;
    }
    if (level > log_level)
        return;
    char    text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "wick: %s%s\n", level == WK_LOG_WARN ? "warning: " : "", text);
}

double wk_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- Progress ----------------------------------------------------------- */

void wk_show_progress(bool on) { bars = on && isatty(STDERR_FILENO); }

void wk_progress_start(wk_progress *p, const char *what, double total)
{
    *p = (wk_progress){ .what = what, .total = total, .start = wk_now() };
}

bool wk_progress_at(wk_progress *p, double done)
{
    if (wk_interrupted())
        wk_fail(WK_ERR_INTERRUPTED, "%s: interrupted", p->what);
    double now = wk_now(), spent = now - p->start;
    if (!bars || !wk_ok() || spent < 1 || now - p->drawn < 0.1)
        return wk_ok();
    static const char bar[] = "##############################";
    const int         width = sizeof bar - 1;
    double            share = p->total > 0 ? fmin(fmax(done / p->total, 0), 1) : 0;
    double            left = share > 0 ? spent / share - spent : 0;
    int               filled = (int)(share * width);
    fprintf(stderr, "\r%s [%.*s%*s] %3.0f%%  %.0f s left \033[K", p->what, filled, bar,
            width - filled, "", 100 * share, left);
    fflush(stderr);
    p->drawn = now;
    return true;
}

void wk_progress_end(wk_progress *p)
{
    if (p->drawn > 0)
        fputs("\r\033[K", stderr);
    p->drawn = 0;
}
