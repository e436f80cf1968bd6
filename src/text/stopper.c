// SPDX-License-Identifier: MIT OR Apache-2.0
/* stopper.c - finds stop strings in a text that arrives in parts.
 *
 * Each stop string is searched with the automaton of Knuth, Morris and Pratt, whose
 * state is also how much of it the text may have begun: that much is held back. */
#include "text.h"

typedef struct {
    char   *text;
    size_t *border; /* of its first n bytes: the longest end that is also a beginning */
    size_t  size, state;
} stop;

struct wk_stopper {
    stop  *stop;
    size_t count;
    wk_buf held, out;
    bool   hit;
};

static bool prepare(stop *s, const char *text)
{
    if (!text || !*text) {
        wk_fail(WK_ERR_ARGUMENT, "a stop string is empty");
        return false;
    }
    s->text = wk_str_copy(wk_str_of(text));
    s->size = strlen(text);
    s->border = wk_alloc_array(s->size + 1, sizeof *s->border);
    for (size_t i = 1, k = 0; wk_ok() && i < s->size; s->border[++i] = k) {
        while (k && text[i] != text[k])
            k = s->border[k];
        k += text[i] == text[k];
    }
    return wk_ok();
}

wk_stopper *wk_stopper_new(const char *const *stops, int count)
{
    if (wk_ok() && (count < 0 || (count && !stops)))
        wk_fail(WK_ERR_ARGUMENT, "no stop strings");
    wk_stopper *s = wk_ok() ? wk_alloc(sizeof *s) : NULL;
    if (!s)
        return NULL;
    s->stop = wk_alloc_array((size_t)count, sizeof *s->stop);
    for (int i = 0; i < count && wk_ok(); i++) {
        s->count++;
        prepare(&s->stop[i], stops[i]);
    }
    if (wk_ok())
        return s;
    wk_stopper_free(s);
    return NULL;
}

void wk_stopper_free(wk_stopper *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        wk_free(s->stop[i].text);
        wk_free(s->stop[i].border);
    }
    wk_free(s->stop);
    wk_buf_free(&s->held);
    wk_buf_free(&s->out);
    wk_free(s);
}

/* One more byte.  *begun: how much of a stop string the text ends with; true: all of
 * one, the longest if there are several. */
static bool step(wk_stopper *s, char c, size_t *begun)
{
    bool hit = false;
    *begun = 0;
    for (size_t i = 0; i < s->count; i++) {
        stop *x = &s->stop[i];
        while (x->state && x->text[x->state] != c)
            x->state = x->border[x->state];
        x->state += x->text[x->state] == c;
        bool whole = x->state == x->size;
        if (whole > hit || (whole == hit && x->state > *begun))
            *begun = x->state;
        hit |= whole;
        if (whole)
            x->state = x->border[x->state];
    }
    return hit;
}

/* Show what is held but the last bytes. */
static void show(wk_stopper *s, size_t keep)
{
    size_t n = s->held.size - keep;
    wk_buf_add(&s->out, s->held.data, n);
    memmove(s->held.data, s->held.data + n, keep);
    s->held.size = keep;
}

const char *wk_stopper_push(wk_stopper *s, const char *text)
{
    if (!s || !wk_ok())
        return NULL;
    size_t begun = s->held.size;
    wk_buf_clear(&s->out);
    for (const char *p = text ? text : ""; *p && !s->hit; p++) {
        wk_buf_char(&s->held, *p);
        s->hit = step(s, *p, &begun);
    }
    if (!wk_ok())
        return NULL;
    if (s->held.size)
        show(s, begun);
    if (s->hit)
        s->held.size = 0;
    return wk_ok() ? wk_buf_view(&s->out).at : NULL;
}

const char *wk_stopper_end(wk_stopper *s)
{
    if (!s || !wk_ok())
        return NULL;
    wk_buf_clear(&s->out);
    if (s->held.size)
        show(s, 0);
    for (size_t i = 0; i < s->count; i++)
        s->stop[i].state = 0;
    return wk_ok() ? wk_buf_view(&s->out).at : NULL;
}

bool wk_stopper_hit(const wk_stopper *s) { return s && s->hit; }
