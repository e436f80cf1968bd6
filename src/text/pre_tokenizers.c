// SPDX-License-Identifier: MIT OR Apache-2.0
/* pre_tokenizers.c - cut text into the words that the model gets.
 *
 * Text goes through the steps depth first: a part is passed on to the next step as
 * soon as it is found, and what passes the last step is a word.  So nothing is
 * collected but the spans of one text in each step. */
#include "text.h"

bool wk_text_emit(wk_encoder *e, size_t step, wk_str text, bool first)
{
    if (!text.size)
        return true;
    if (!wk_text_spend(&e->budget, text.size, e->t->name))
        return false;
    if (step == e->t->pre_tokenizers.count)
        return wk_model_encode(e, text);
    return e->t->pre_tokenizers.at[step].kind->split(e, step, text, first);
}

/* ---- Spans -------------------------------------------------------------- */

static bool push_span(wk_encoder *e, size_t start, size_t end, bool match)
{
    if (!wk_reserve(&e->span, &e->span_room, e->spans + 1, sizeof(wk_span)))
        return false;
    e->span[e->spans++] = (wk_span){ start, end, match };
    return true;
}

/* All matches in text, and what is between them. */
static bool find_spans(wk_encoder *e, const wk_step *s, wk_str text)
{
    wk_search at = { 0 };
    wk_span   x;
    size_t    done = 0;
    for (; wk_search_next(s, &e->work, text, &at, &x); done = x.end)
        if ((x.start > done && !push_span(e, done, x.start, s->invert)) ||
            !push_span(e, x.start, x.end, !s->invert))
            return false;
    return wk_ok() && (done == text.size || push_span(e, done, text.size, s->invert));
}

/* Join neighbours: runs of matches, or a match with what is before it. */
static size_t join_forward(wk_span *span, size_t count, bool runs)
{
    size_t n = 0;
    bool   previous = false;
    for (size_t i = 0; i < count; i++) {
        wk_span x = span[i];
        if (n && (runs ? x.match == previous : x.match && !previous))
            span[n - 1].end = x.end;
        else
            span[n++] = (wk_span){ x.start, x.end, false };
        previous = x.match;
    }
    return n;
}

/* Join a match with what comes after it. */
static size_t join_backward(wk_span *span, size_t count)
{
    size_t n = count;
    bool   previous = false;
    for (size_t i = count; i-- > 0;) {
        wk_span x = span[i];
        if (n < count && x.match && !previous)
            span[n].start = x.start;
        else
            span[--n] = (wk_span){ x.start, x.end, false };
        previous = x.match;
    }
    memmove(span, span + n, (count - n) * sizeof *span);
    return count - n;
}

/* After this, spans that are a match are left out. */
static size_t arrange(wk_span *span, size_t count, wk_behavior behavior)
{
    switch (behavior) {
    case WK_REMOVED:
        break;
    case WK_ISOLATED:
        for (size_t i = 0; i < count; i++)
            span[i].match = false;
        break;
    case WK_CONTIGUOUS:
        return join_forward(span, count, true);
    case WK_MERGED_WITH_PREVIOUS:
        return join_forward(span, count, false);
    case WK_MERGED_WITH_NEXT:
        return join_backward(span, count);
    }
    return count;
}

/* ---- Splitting ---------------------------------------------------------- */

/* The common case: the pattern matches everything, and matches are the words. */
static bool split_scan(wk_encoder *e, const wk_scan *scan, size_t next, wk_str text, bool first)
{
    const char *end = text.at + text.size;
    for (const char *p = text.at; p < end;) {
        size_t n = wk_scan_match(scan, p, end);
        if (!wk_text_emit(e, next, (wk_str){ p, n }, first && p == text.at))
            return false;
        p += n;
    }
    return true;
}

static bool split(wk_encoder *e, size_t step, wk_str text, bool first)
{
    const wk_step *s = &e->t->pre_tokenizers.at[step];
    if (s->scan && wk_scan_covers(s->scan) &&
        (s->behavior == WK_ISOLATED || (s->behavior == WK_REMOVED && s->invert)))
        return split_scan(e, s->scan, step + 1, text, first);

    size_t base = e->spans;
    bool   good = find_spans(e, s, text);
    size_t count = good ? arrange(e->span + base, e->spans - base, s->behavior) : 0;
    e->spans = base + count;
    for (size_t i = base; good && i < base + count; i++) {
        wk_span x = e->span[i];
        if (!x.match)
            good = wk_text_emit(e, step + 1, (wk_str){ text.at + x.start, x.end - x.start },
                                first && x.start == 0);
    }
    e->spans = base;
    return good;
}

static bool split_bert(wk_encoder *e, size_t step, wk_str text, bool first)
{
    const char *end = text.at + text.size, *start = text.at, *q = start;
    for (const char *p = start; p < end; p = q) {
        uint32_t c = wk_utf8_next(&q, end, NULL);
        bool     space = wk_is_space(c);
        if (!space && !wk_is_punct(c))
            continue;
        if (!wk_text_emit(e, step + 1, (wk_str){ start, (size_t)(p - start) },
                          first && start == text.at))
            return false;
        start = q;
        if (!space &&
            !wk_text_emit(e, step + 1, (wk_str){ p, (size_t)(q - p) }, first && p == text.at))
            return false;
    }
    return wk_text_emit(e, step + 1, (wk_str){ start, (size_t)(end - start) },
                        first && start == text.at);
}

static bool split_byte_level(wk_encoder *e, size_t step, wk_str text, bool first)
{
    const wk_step *s = &e->t->pre_tokenizers.at[step];
    wk_buf        *spaced = &e->rewritten[2 * step], *mapped = spaced + 1;
    if (s->add_prefix_space && text.at[0] != ' ') {
        wk_buf_clear(spaced);
        wk_buf_char(spaced, ' ');
        wk_buf_str(spaced, text);
        text = wk_buf_view(spaced);
    }
    bool        raw = e->t->model.raw && step + 1 == e->t->pre_tokenizers.count;
    const char *end = text.at + text.size;
    if (raw && s->use_regex && wk_ok())
        return split_scan(e, wk_scan_gpt2(), step + 1, text, first);
    for (const char *p = text.at; p < end && wk_ok();) {
        wk_str word = { p, s->use_regex ? wk_scan_match(wk_scan_gpt2(), p, end) : text.size };
        bool   begins = first && p == text.at;
        p += word.size;
        if (!raw) {
            wk_buf_clear(mapped);
            wk_bytes_to_chars(word, mapped);
            word = wk_buf_view(mapped);
        }
        if (!wk_text_emit(e, step + 1, word, begins))
            return false;
    }
    return wk_ok();
}

/* Spaces become U+2581, and one more is put in front. */
static bool split_metaspace(wk_encoder *e, size_t step, wk_str text, bool first)
{
    const wk_step *s = &e->t->pre_tokenizers.at[step];
    wk_buf        *out = &e->rewritten[2 * step];
    bool           starts = text.at[0] == ' ' || wk_str_starts(text, s->content.at);
    wk_buf_clear(out);
    if (!starts && (s->scheme == WK_ALWAYS || (s->scheme == WK_FIRST && first)))
        wk_buf_str(out, s->content);
    for (const char *p = text.at, *end = p + text.size, *q; p < end; p = q) {
        q = memchr(p, ' ', (size_t)(end - p));
        wk_buf_add(out, p, (size_t)((q ? q : end) - p));
        if (q)
            wk_buf_str(out, s->content);
        q = q ? q + 1 : end;
    }
    if (!wk_ok())
        return false;
    return s->split ? split(e, step, wk_buf_view(out), first)
                    : wk_text_emit(e, step + 1, wk_buf_view(out), first);
}

/* ---- What to look for --------------------------------------------------- */

/* Runs of word characters, and runs of what is neither that nor white space. */
static bool next_word(const wk_step *s, wk_text_work *w, wk_str text, size_t from, wk_span *found)
{
    (void)s, (void)w;
    const char *end = text.at + text.size, *q = text.at + from, *start = NULL;
    bool        word = false;
    for (const char *p = q; p < end; p = q) {
        uint32_t c = wk_utf8_next(&q, end, NULL);
        bool     is_word = wk_is_word(c), is_space = !is_word && wk_is_space(c);
        if (start && (is_space || is_word != word)) {
            *found = (wk_span){ (size_t)(start - text.at), (size_t)(p - text.at), true };
            return true;
        }
        if (!start && !is_space) {
            start = p;
            word = is_word;
        }
    }
    if (start)
        *found = (wk_span){ (size_t)(start - text.at), text.size, true };
    return start != NULL;
}

static bool next_fixed(const wk_step *s, wk_text_work *w, wk_str text, size_t from, wk_span *found)
{
    (void)w;
    const char *end = text.at + text.size, *p = text.at + from;
    for (int64_t i = 0; i < s->length && p < end; i++)
        wk_utf8_next(&p, end, NULL);
    *found = (wk_span){ from, (size_t)(p - text.at), true };
    return from < text.size;
}

static bool prepare_words(wk_step *s)
{
    s->next = next_word;
    s->behavior = WK_REMOVED;
    s->invert = true;
    return true;
}

static bool prepare_spaces(wk_step *s)
{
    s->next = wk_next_char;
    s->is = wk_is_space;
    s->behavior = WK_REMOVED;
    return true;
}

static bool prepare_digits(wk_step *s)
{
    s->next = wk_next_char;
    s->is = wk_is_number;
    s->behavior = s->individual_digits ? WK_ISOLATED : WK_CONTIGUOUS;
    return true;
}

static bool prepare_punctuation(wk_step *s)
{
    s->next = wk_next_char;
    s->is = wk_is_punct;
    return true;
}

static bool prepare_delimiter(wk_step *s)
{
    s->behavior = WK_REMOVED;
    return wk_step_char(s, "delimiter");
}

static bool prepare_metaspace(wk_step *s)
{
    s->behavior = WK_MERGED_WITH_NEXT;
    if (wk_step_given(s, "add_prefix_space") && !s->add_prefix_space && s->scheme != WK_NEVER)
        wk_step_fail(s, WK_ERR_FORMAT, "\"add_prefix_space\" contradicts \"prepend_scheme\"");
    return wk_step_char(s, "replacement");
}

static bool prepare_length(wk_step *s)
{
    s->next = next_fixed;
    if (s->length < 1)
        wk_step_fail(s, WK_ERR_FORMAT, "\"length\" must be at least 1");
    return wk_ok();
}

static const wk_step_kind kinds[] = {
    { "BertPreTokenizer", "", .split = split_bert },
    { "ByteLevel", "add_prefix_space! trim_offsets use_regex", .split = split_byte_level },
    { "CharDelimiterSplit", "delimiter!", prepare_delimiter, .split = split },
    { "Digits", "individual_digits!", prepare_digits, .split = split },
    { "FixedLength", "length", prepare_length, .split = split },
    { "Metaspace", "replacement! prepend_scheme split add_prefix_space str_rep", prepare_metaspace,
      .split = split_metaspace },
    { "Punctuation", "behavior", prepare_punctuation, .split = split },
    { "Split", "pattern! behavior! invert!", wk_step_pattern, .split = split },
    { "Whitespace", "", prepare_words, .split = split },
    { "WhitespaceSplit", "", prepare_spaces, .split = split },
};

const wk_step_table wk_pre_tokenizers = { "pre_tokenizer", "pretokenizers", kinds,
                                          WK_COUNT(kinds) };
