// SPDX-License-Identifier: MIT OR Apache-2.0
/* steps.c - reads the normalizers, pre-tokenizers and decoders of a tokenizer.json.
 *
 * All options of all types are in one table: a key has the same meaning wherever it
 * occurs.  Sequences are unrolled, so that a tokenizer has one plain list of each.
 * What is not understood, a type or an option, is an error. */
#include "text.h"

#include <stdio.h>

enum { MAX_NESTING = 16, MAX_STEPS = 64 };

typedef enum { FLAG, INTEGER, STRING, PATTERN, BEHAVIOR, SCHEME, BASE64 } option_type;

static const struct {
    const char *name;
    option_type type;
    size_t      at;
} options[] = {
    { "add_prefix_space", FLAG, offsetof(wk_step, add_prefix_space) },
    { "behavior", BEHAVIOR, offsetof(wk_step, behavior) },
    { "clean_text", FLAG, offsetof(wk_step, clean_text) },
    { "cleanup", FLAG, offsetof(wk_step, cleanup) },
    { "content", STRING, offsetof(wk_step, content) },
    { "delimiter", STRING, offsetof(wk_step, content) },
    { "handle_chinese_chars", FLAG, offsetof(wk_step, handle_chinese_chars) },
    { "individual_digits", FLAG, offsetof(wk_step, individual_digits) },
    { "invert", FLAG, offsetof(wk_step, invert) },
    { "length", INTEGER, offsetof(wk_step, length) },
    { "lowercase", FLAG, offsetof(wk_step, lowercase) },
    { "pattern", PATTERN, offsetof(wk_step, pattern) },
    { "precompiled_charsmap", BASE64, offsetof(wk_step, content) },
    { "prefix", STRING, offsetof(wk_step, prefix) },
    { "prepend", STRING, offsetof(wk_step, content) },
    { "prepend_scheme", SCHEME, offsetof(wk_step, scheme) },
    { "replacement", STRING, offsetof(wk_step, content) },
    { "split", FLAG, offsetof(wk_step, split) },
    { "start", INTEGER, offsetof(wk_step, start) },
    { "stop", INTEGER, offsetof(wk_step, stop) },
    { "str_rep", STRING, offsetof(wk_step, prefix) }, /* replacement again, in old files */
    { "strip_accents", FLAG, offsetof(wk_step, strip_accents) },
    { "strip_left", FLAG, offsetof(wk_step, strip_left) },
    { "strip_right", FLAG, offsetof(wk_step, strip_right) },
    { "suffix", STRING, offsetof(wk_step, content) },
    { "trim_offsets", FLAG, offsetof(wk_step, trim_offsets) },
    { "use_regex", FLAG, offsetof(wk_step, use_regex) },
};

typedef struct { /* what wk_steps_read() hands down */
    wk_steps            *steps;
    const wk_step_table *table;
    wk_tokenizer        *t;
    wk_json             *j;
} reader;

void wk_step_fail(const wk_step *s, wk_status status, const char *format, ...)
{
    char    what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    wk_fail(status, "%s: %s %s: %s", s->file, s->role, s->kind->name, what);
}

/* Is word one of those in list?  *needed: with an exclamation mark. */
static bool listed(const char *list, const char *word, bool *needed)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ' ') && (!p[n] || strchr(" !", p[n]))) {
            *needed = p[n] == '!';
            return true;
        }
    return false;
}

bool wk_step_given(const wk_step *s, const char *option)
{
    for (size_t i = 0; i < WK_COUNT(options); i++)
        if (!strcmp(options[i].name, option))
            return s->given >> i & 1;
    return false;
}

/* ---- Options ------------------------------------------------------------ */

static int one_of(reader *r, const wk_step *s, const char *const *names, int count)
{
    wk_str text = wk_json_string(r->j);
    for (int i = 0; i < count; i++)
        if (wk_str_is(text, names[i]))
            return i;
    wk_json_fail(r->j, "%s %s: unknown choice \"%.*s\"", s->role, s->kind->name,
                 (int)wk_min_i64((int64_t)text.size, 60), text.at);
    return 0;
}

/* {"String": text} or {"Regex": text} */
static void read_pattern(reader *r, wk_step *s)
{
    wk_str key;
    for (wk_json_object(r->j); wk_json_key(r->j, &key);) {
        bool regex = wk_str_is(key, "Regex");
        if (!regex && !wk_str_is(key, "String"))
            wk_json_fail(r->j, "%s %s: a pattern is a String or a Regex", s->role, s->kind->name);
        s->pattern_is_regex = regex;
        s->pattern = wk_text_keep(r->t, wk_json_string(r->j));
    }
}

/* Bytes, as text. */
static wk_str read_base64(reader *r, const wk_step *s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    wk_str            text = wk_json_string(r->j);
    wk_buf            out = { 0 };
    uint32_t          bits = 0;
    while (text.size && text.at[text.size - 1] == '=')
        text.size--;
    for (size_t i = 0; i < text.size && wk_ok(); i++) {
        const char *digit = text.at[i] ? strchr(digits, text.at[i]) : NULL;
        if (!digit)
            wk_json_fail(r->j, "%s %s: not base64", s->role, s->kind->name);
        bits = bits << 6 | (digit ? (uint32_t)(digit - digits) : 0);
        if (i % 4)
            wk_buf_char(&out, (char)(bits >> (6 - 2 * (i % 4))));
    }
    wk_str kept = wk_text_keep(r->t, wk_buf_view(&out));
    wk_buf_free(&out);
    return kept;
}

static void read_option(reader *r, wk_step *s, size_t option)
{
    static const char *const behaviors[] = { "Removed", "Isolated", "MergedWithPrevious",
                                             "MergedWithNext", "Contiguous" };
    static const char *const schemes[] = { "always", "first", "never" };
    char                    *to = (char *)s + options[option].at;
    switch (options[option].type) {
    case FLAG:
        *(bool *)to = wk_json_bool(r->j);
        break;
    case INTEGER:
        *(int64_t *)to = wk_json_int(r->j);
        break;
    case STRING:
        *(wk_str *)to = wk_text_keep(r->t, wk_json_string(r->j));
        break;
    case PATTERN:
        read_pattern(r, s);
        break;
    case BEHAVIOR:
        s->behavior = (wk_behavior)one_of(r, s, behaviors, (int)WK_COUNT(behaviors));
        break;
    case BASE64:
        *(wk_str *)to = read_base64(r, s);
        break;
    case SCHEME:
        s->scheme = (wk_prepend_scheme)one_of(r, s, schemes, (int)WK_COUNT(schemes));
        break;
    }
    s->given |= UINT64_C(1) << option;
}

static void read_key(reader *r, wk_step *s, wk_str key)
{
    char name[64];
    bool needed;
    snprintf(name, sizeof name, "%.*s", (int)wk_min_i64((int64_t)key.size, 63), key.at);
    if (!strcmp(name, "type")) {
        wk_json_skip(r->j);
        return;
    }
    if (*name && !strpbrk(name, " !") && listed(s->kind->keys, name, &needed))
        for (size_t i = 0; i < WK_COUNT(options); i++)
            if (!strcmp(options[i].name, name)) {
                if (needed || !wk_json_null(r->j))
                    read_option(r, s, i);
                return;
            }
    wk_json_fail(r->j, "%s %s: unknown option \"%s\"", s->role, s->kind->name, name);
}

/* ---- Steps -------------------------------------------------------------- */

bool wk_peek_type(const wk_json *j, char type[64])
{
    wk_json look = *j;
    wk_str  key;
    look.text = (wk_buf){ 0 };
    *type = '\0';
    for (wk_json_object(&look); wk_json_key(&look, &key);)
        if (wk_str_is(key, "type")) {
            wk_str s = wk_json_string(&look);
            snprintf(type, 64, "%.*s", (int)wk_min_i64((int64_t)s.size, 63), s.at);
        } else {
            wk_json_skip(&look);
        }
    wk_buf_free(&look.text);
    return wk_ok();
}

static void read_one(reader *r, const wk_step_kind *kind)
{
    wk_str key;
    if (r->steps->count == MAX_STEPS) {
        wk_json_fail(r->j, "more than %d %s", MAX_STEPS, r->table->list);
        return;
    }
    if (!wk_reserve(&r->steps->at, &r->steps->room, r->steps->count + 1, sizeof(wk_step)))
        return;
    wk_step *s = &r->steps->at[r->steps->count++];
    *s = (wk_step){ .kind = kind,
                    .file = r->t->name,
                    .role = r->table->role,
                    .behavior = WK_ISOLATED,
                    .length = 5,
                    .use_regex = true,
                    .split = true };
    for (wk_json_object(r->j); wk_json_key(r->j, &key);)
        read_key(r, s, key);
    for (size_t i = 0; wk_ok() && i < WK_COUNT(options); i++) {
        bool needed;
        if (listed(kind->keys, options[i].name, &needed) && needed && !(s->given >> i & 1))
            wk_json_fail(r->j, "%s %s: \"%s\" is missing", s->role, kind->name, options[i].name);
    }
    if (wk_ok() && kind->prepare)
        kind->prepare(s);
}

bool wk_steps_add(wk_steps *steps, const wk_step_table *table, const char *file, const char *type,
                  const wk_step *step)
{
    size_t i = 0;
    while (type && strcmp(table->kind[i].name, type))
        i++;
    if (!wk_ok() || !wk_reserve(&steps->at, &steps->room, steps->count + 1, sizeof *steps->at))
        return false;
    wk_step *s = &steps->at[steps->count++];
    *s = *step;
    if (type)
        s->kind = &table->kind[i];
    s->file = file;
    s->role = table->role;
    s->given = UINT64_MAX;
    return !s->kind->prepare || s->kind->prepare(s);
}

static void read_any(reader *r, int nesting);

static void read_sequence(reader *r, int nesting)
{
    wk_str key;
    if (nesting == MAX_NESTING)
        wk_json_fail(r->j, "%s: sequences nested deeper than %d", r->table->role, MAX_NESTING);
    for (wk_json_object(r->j); wk_json_key(r->j, &key);)
        if (wk_str_is(key, r->table->list))
            for (wk_json_array(r->j); wk_json_item(r->j);)
                read_any(r, nesting + 1);
        else if (wk_str_is(key, "type"))
            wk_json_skip(r->j);
        else
            wk_json_fail(r->j, "%s Sequence: unknown option \"%.*s\"", r->table->role,
                         (int)wk_min_i64((int64_t)key.size, 60), key.at);
}

static void read_any(reader *r, int nesting)
{
    char type[64];
    if (!wk_peek_type(r->j, type))
        return;
    if (!strcmp(type, "Sequence")) {
        read_sequence(r, nesting);
        return;
    }
    for (size_t i = 0; i < r->table->count; i++)
        if (!strcmp(r->table->kind[i].name, type)) {
            read_one(r, &r->table->kind[i]);
            return;
        }
    wk_json_fail(r->j, "%s of type \"%s\" is not supported", r->table->role, type);
}

bool wk_steps_read(wk_steps *steps, const wk_step_table *table, wk_tokenizer *t, wk_json *j)
{
    reader r = { steps, table, t, j };
    if (steps->count)
        wk_json_fail(j, "a second \"%s\"", table->role);
    else if (!wk_json_null(j))
        read_any(&r, 0);
    return wk_ok();
}

void wk_steps_free(wk_steps *steps)
{
    for (size_t i = 0; i < steps->count; i++)
        wk_regex_free(steps->at[i].regex);
    wk_free(steps->at);
    *steps = (wk_steps){ 0 };
}
