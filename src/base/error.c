// SPDX-License-Identifier: MIT OR Apache-2.0
/* error.c - the pending error of each thread, and the interrupt flag of all. */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>

static _Thread_local wk_error_state pending;
static atomic_bool                  interrupted;

bool        wk_ok(void) { return pending.status == WK_OK; }
wk_status   wk_error(void) { return pending.status; }
const char *wk_message(void) { return pending.text; }

void wk_clear(void)
{
    pending.status = WK_OK;
    pending.text[0] = '\0';
}

void wk_fail(wk_status status, const char *format, ...)
{
    if (pending.status != WK_OK || status == WK_OK)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(pending.text, sizeof pending.text, format, args);
    va_end(args);
    pending.status = status;
    if (getenv("WICK_ABORT")) { /* stop in a debugger, where it happened */
        fprintf(stderr, "wick: %s\n", pending.text);
        abort();
    }
}

void wk_context(const char *format, ...)
{
    if (pending.status == WK_OK)
        return;
    char    text[sizeof pending.text];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int room = (int)sizeof text - 3 - n;
    if (n >= 0 && room > 0)
        snprintf(text + n, (size_t)room + 3, ": %.*s", room, pending.text);
    memcpy(pending.text, text, sizeof text);
}

void wk_error_take(wk_error_state *state)
{
    *state = pending;
    wk_clear();
}

void wk_error_raise(const wk_error_state *state)
{
    if (pending.status == WK_OK && state->status != WK_OK)
        pending = *state;
}

void wk_interrupt(void) { atomic_store_explicit(&interrupted, true, memory_order_relaxed); }
bool wk_interrupted(void) { return atomic_load_explicit(&interrupted, memory_order_relaxed); }
void wk_resume(void) { atomic_store_explicit(&interrupted, false, memory_order_relaxed); }
