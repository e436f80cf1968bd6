// SPDX-License-Identifier: MIT OR Apache-2.0
/* regex.c - regular expressions by PCRE2, where it is built in.
 *
 * Patterns come from files of strangers, so the work of a match is limited.  All
 * memory but that of compiled machine code is the library's, so that running out of
 * it can be tested.  A compiled pattern is shared by threads, a wk_text_work is not. */
#include "text.h"

#ifdef WICK_PCRE2

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { STACK_START = 32 << 10, STACK_MOST = 8 << 20, LEAST_STEPS = 10 << 20, STEPS_PER_BYTE = 32 };

struct wk_regex {
    pcre2_code *code;
    char       *text; /* the pattern, for errors */
};

static void *take(size_t bytes, void *data)
{
    (void)data;
    return wk_alloc(bytes);
}

static void give(void *p, void *data)
{
    (void)data;
    wk_free(p);
}

static wk_regex *compile(wk_str pattern, const wk_buf *translated)
{
    int                    error = 0;
    size_t                 at = 0;
    wk_regex              *r = wk_alloc(sizeof *r);
    pcre2_general_context *g = pcre2_general_context_create(take, give, NULL);
    pcre2_compile_context *c = g ? pcre2_compile_context_create(g) : NULL;
    if (r && c) {
        pcre2_set_newline(c, PCRE2_NEWLINE_LF);
        r->text = wk_str_copy(pattern);
        r->code = pcre2_compile((PCRE2_SPTR)translated->data, translated->size,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE,
                                &error, &at, c);
        if (r->code)
            pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* without, it is only slower */
        else {
            PCRE2_UCHAR why[160] = "";
            pcre2_get_error_message(error, why, sizeof why);
            wk_fail(WK_ERR_FORMAT, "regular expression \"%.120s\": %s", pattern.at, (char *)why);
        }
    }
    pcre2_compile_context_free(c);
    pcre2_general_context_free(g);
    if (wk_ok())
        return r;
    wk_regex_free(r);
    return NULL;
}

wk_regex *wk_regex_new(wk_str pattern)
{
    wk_buf    translated = { 0 };
    wk_regex *r = NULL;
    if (wk_regex_translate(pattern, &translated))
        r = compile(pattern, &translated);
    wk_buf_free(&translated);
    return r;
}

void wk_regex_free(wk_regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    wk_free(r->text);
    wk_free(r);
}

static bool prepare(wk_text_work *w)
{
    if (w->match)
        return true;
    pcre2_general_context *g = pcre2_general_context_create(take, give, NULL);
    if (g) {
        w->context = pcre2_match_context_create(g);
        w->stack = w->context ? pcre2_jit_stack_create(STACK_START, STACK_MOST, g) : NULL;
        w->match = w->context ? pcre2_match_data_create(1, g) : NULL;
    }
    pcre2_general_context_free(g);
    if (!wk_ok() || !w->match) {
        wk_fail(WK_ERR_MEMORY, "no memory for regular expressions");
        wk_text_work_free(w);
        return false;
    }
    pcre2_jit_stack_assign(w->context, NULL, w->stack); /* NULL: the small one on the stack */
    return true;
}

void wk_text_work_free(wk_text_work *w)
{
    pcre2_match_data_free(w->match);
    pcre2_jit_stack_free(w->stack);
    pcre2_match_context_free(w->context);
    *w = (wk_text_work){ 0 };
}

bool wk_regex_next(const wk_regex *r, wk_text_work *w, wk_str text, size_t from, wk_span *found)
{
    if (!wk_ok() || !prepare(w))
        return false;
    size_t steps = LEAST_STEPS + STEPS_PER_BYTE * text.size;
    pcre2_set_match_limit(w->context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    int n = pcre2_match(r->code, (PCRE2_SPTR)text.at, text.size, from, PCRE2_NO_UTF_CHECK, w->match,
                        w->context);
    if (n >= 0) {
        const size_t *at = pcre2_get_ovector_pointer(w->match);
        if (at[0] <= at[1] && at[0] >= from) { /* \K in a look-ahead could say otherwise */
            *found = (wk_span){ at[0], at[1], true };
            return true;
        }
    } else if (n != PCRE2_ERROR_NOMATCH) {
        PCRE2_UCHAR why[160] = "";
        pcre2_get_error_message(n, why, sizeof why);
        wk_fail(n == PCRE2_ERROR_NOMEMORY ? WK_ERR_MEMORY : WK_ERR_UNSUPPORTED,
                "regular expression \"%.120s\" on %zu bytes of text: %s", r->text, text.size,
                (char *)why);
    }
    return false;
}

#else

struct wk_regex {
    char nothing;
};

wk_regex *wk_regex_new(wk_str pattern)
{
    wk_fail(WK_ERR_UNSUPPORTED,
            "regular expression \"%.200s\": wick was built without PCRE2 (make WITH_PCRE2=1)",
            pattern.at);
    return NULL;
}

bool wk_regex_next(const wk_regex *r, wk_text_work *w, wk_str text, size_t from, wk_span *found)
{
    (void)r, (void)w, (void)text, (void)from, (void)found;
    return false;
}

void wk_regex_free(wk_regex *r) { (void)r; }
void wk_text_work_free(wk_text_work *w) { (void)w; }

#endif
