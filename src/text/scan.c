// SPDX-License-Identifier: MIT OR Apache-2.0
/* scan.c - the splitters that nearly all byte-level models use, without a regular
 * expression engine.
 *
 * Their patterns are variations of GPT-2's: contractions, words with a character in
 * front, numbers, runs of punctuation, white space.  A rule says what varies, and is
 * recognised by its exact pattern; one scanner serves them all.  It gives what the
 * pattern gives, backtracking included. */
#include "text.h"

typedef enum {
    NO_CONTRACTIONS,
    EXACT,  /* 's in front of the other alternatives */
    FOLDED, /* in upper case too */
    SUFFIX, /* ... at the end of a word */
} contractions;

struct wk_scan {
    const char  *pattern;
    contractions contractions;
    uint16_t     lead, letters;       /* a word: one character of lead at most, then letters */
    bool         cased;               /* in a word, upper case does not follow lower case */
    uint16_t     number_lead, digits; /* how many digits at most */
    uint16_t     punct;               /* a run of these, after one blank at most ... */
    const char  *tail;                /* ... with some of these behind it */
    bool         ascii_words;         /* ASCII punctuation and ASCII letters, before all else */
    bool         lines;               /* white space up to the last line end is one piece */
    bool         spaces;              /* so is white space up to the blank before a word */
    bool         covers;              /* every character is in a match */
    const uint32_t (*range)[2];       /* nothing but runs of these; ends with { 0, 0 } */
    bool exact;                       /* nothing but so many digits */
    bool (*is)(uint32_t c);           /* nothing but runs of these */
    uint16_t run;                     /* nothing but runs of these classes, of digits at most */
};

#define MANY UINT16_MAX

enum { /* classes that the patterns name by what they are not */
       NO_WORD = WK_ANY & ~(WK_SPACES | WK_LETTERS | WK_NUMBER),
       MODERN_LEAD = WK_ANY & ~(WK_NEWLINE | WK_LETTERS | WK_NUMBER),
       SYMBOL_LEAD = WK_ANY & ~(WK_NEWLINE | WK_LETTERS | WK_PUNCT | WK_SYMBOL),
};

/* Chinese characters, hiragana, katakana */
static const uint32_t cjk[][2] = {
    { 0x4E00, 0x9FA5 }, { 0x3040, 0x309F }, { 0x30A0, 0x30FF }, { 0, 0 }
};

static const uint32_t ascii_digits[][2] = { { '0', '9' }, { 0, 0 } };

static const wk_scan rules[] = {
    /* GPT-2, and ByteLevel's own */
    { .pattern = WK_RE_GPT2,
      .contractions = EXACT,
      .lead = WK_BLANK,
      .letters = WK_LETTERS,
      .number_lead = WK_BLANK,
      .digits = MANY,
      .punct = NO_WORD,
      .tail = "",
      .spaces = true,
      .covers = true },
    /* Llama 3, GLM 4 */
    { .pattern = WK_RE_LLAMA3,
      .contractions = FOLDED,
      .lead = MODERN_LEAD,
      .letters = WK_LETTERS,
      .digits = 3,
      .punct = NO_WORD,
      .tail = "\r\n",
      .lines = true,
      .spaces = true,
      .covers = true },
    /* Qwen 2, Qwen 3 */
    { .pattern = WK_RE_QWEN2,
      .contractions = FOLDED,
      .lead = MODERN_LEAD,
      .letters = WK_LETTERS,
      .digits = 1,
      .punct = NO_WORD,
      .tail = "\r\n",
      .lines = true,
      .spaces = true,
      .covers = true },
    /* Qwen 3.5 */
    { .pattern = WK_RE_QWEN35,
      .contractions = FOLDED,
      .lead = MODERN_LEAD,
      .letters = WK_LETTERS | WK_MARK,
      .digits = 1,
      .punct = NO_WORD & ~WK_MARK,
      .tail = "\r\n",
      .lines = true,
      .spaces = true,
      .covers = true },
    /* o200k: GPT-4o, gpt-oss, Llama 4 */
    { .pattern = WK_RE_O200K,
      .contractions = SUFFIX,
      .lead = MODERN_LEAD,
      .letters = WK_LETTERS | WK_MARK,
      .cased = true,
      .digits = 3,
      .punct = NO_WORD,
      .tail = "\r\n/",
      .lines = true,
      .spaces = true,
      .covers = true },
    /* Tekken: Mistral Nemo and later */
    { .pattern = WK_RE_TEKKEN,
      .lead = MODERN_LEAD,
      .letters = WK_LETTERS | WK_MARK,
      .cased = true,
      .digits = 1,
      .punct = NO_WORD,
      .tail = "\r\n/",
      .lines = true,
      .spaces = true,
      .covers = true },
    /* DeepSeek V3: the last of three */
    { .pattern = WK_RE_DEEPSEEK3,
      .ascii_words = true,
      .lead = SYMBOL_LEAD,
      .letters = WK_LETTERS | WK_MARK,
      .punct = WK_PUNCT | WK_SYMBOL,
      .tail = "\r\n",
      .lines = true,
      .spaces = true },
    { .pattern = WK_RE_CJK, .range = cjk, .digits = MANY },
    { .pattern = WK_RE_THREE_DIGITS, .range = ascii_digits, .digits = 3, .exact = true },
    { .pattern = WK_RE_PUNCT_RUN, .is = wk_is_punct },
    { .pattern = WK_RE_ONE_LINE, .lines = true, .covers = true },
    { .pattern = "\\p{N}{1,3}", .run = WK_NUMBER, .digits = 3 },
    { .pattern = "\\p{N}", .run = WK_NUMBER, .digits = 1 },
    { .pattern = "\\p{N}+", .run = WK_NUMBER, .digits = MANY },
    { .pattern = "\\s+", .run = WK_SPACES, .digits = MANY },
};

const wk_scan *wk_scan_find(wk_str pattern)
{
    for (size_t i = 0; i < WK_COUNT(rules); i++)
        if (wk_str_is(pattern, rules[i].pattern))
            return &rules[i];
    return NULL;
}

const wk_scan *wk_scan_gpt2(void) { return &rules[0]; }
bool           wk_scan_covers(const wk_scan *s) { return s->covers; }

/* ---- Runs --------------------------------------------------------------- */

/* The class of the character at *p, which is stepped over. */
static unsigned take(const char **p, const char *end)
{
    unsigned char b = (unsigned char)**p;
    if (b < 128) {
        ++*p;
        return wk_ascii_class[b];
    }
    return wk_char_class(wk_utf8_next(p, end, NULL));
}

static unsigned peek(const char *p, const char *end) { return p < end ? take(&p, end) : 0; }

/* The end of a run of classes. */
static const char *skip(const char *p, const char *end, unsigned classes)
{
    for (const char *q = p; p < end && take(&q, end) & classes;)
        p = q;
    return p;
}

/* ... that is no longer than the rule's digits. */
static const char *skip_some(const wk_scan *s, const char *p, const char *end, unsigned classes)
{
    if (s->digits == MANY)
        return skip(p, end, classes);
    const char *q = p;
    for (unsigned n = 0; n < s->digits && p < end && take(&q, end) & classes; n++)
        p = q;
    return p;
}

static const char *skip_ranges(const wk_scan *s, const char *p, const char *end)
{
    const uint32_t(*range)[2] = s->range;
    const char *start = p, *q = p;
    unsigned    n = 0;
    for (; p < end && (s->digits == MANY || n < s->digits); p = q, n++) {
        uint32_t c = wk_utf8_next(&q, end, NULL);
        size_t   i = 0;
        while (range[i][1] && !(c >= range[i][0] && c <= range[i][1]))
            i++;
        if (!range[i][1])
            break;
    }
    return s->exact && n < s->digits ? start : p;
}

static const char *skip_chars(const wk_scan *s, const char *p, const char *end)
{
    for (const char *q = p; p < end && s->is(wk_utf8_next(&q, end, NULL));)
        p = q;
    return p;
}

/* A line, or line ends. */
static const char *skip_line(const char *p, const char *end)
{
    const char *q = p + 1;
    while (q < end && (*q == '\n') == (*p == '\n'))
        q++;
    return q;
}

/* ---- Words -------------------------------------------------------------- */

/* The end of 's and the like at p, or p. */
static const char *contraction(const char *p, const char *end, bool fold)
{
    if (end - p < 2 || *p != '\'')
        return p;
    char a = p[1], b = end - p > 2 ? p[2] : '\0';
    if (fold) {
        if (b && !memcmp(p + 1, "\xC5\xBF", 2))
            return p + 3; /* U+017F is an s, too */
        a = a >= 'A' && a <= 'Z' ? (char)(a + 32) : a;
        b = b >= 'A' && b <= 'Z' ? (char)(b + 32) : b;
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return p + 2;
    if ((b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l'))
        return p + 3;
    return p;
}

/* Upper case letters and then lower case ones; what is neither counts as both.
 * UPPER*LOWER+ comes first, and gives characters back until it fits (*lower is then
 * true); only then UPPER+ alone.  NULL: no match. */
static const char *cased_word(const char *p, const char *end, bool *lower)
{
    const char *q = p, *next = p, *both = NULL;
    unsigned class = 0;
    while (q < end && (class = take(&next, end)) & (WK_UPPER | WK_LETTER | WK_MARK)) {
        q = next;
        if (class != WK_UPPER)
            both = q;
    }
    *lower = true;
    if (q < end && class == WK_LOWER)
        return skip(q, end, WK_LOWER | WK_LETTER | WK_MARK);
    if (both)
        return both;
    *lower = false;
    return q > p ? q : NULL;
}

/* The end of a word at at, whose first character ends at p and is of class c. */
static const char *word(const wk_scan *s, const char *at, const char *p, const char *end,
                        unsigned c)
{
    if (!s->cased) {
        const char *q = p;
        if (c & s->lead && q < end && take(&q, end) & s->letters)
            return skip(q, end, s->letters);
        return c & s->letters ? skip(p, end, s->letters) : NULL;
    }
    bool        lower;
    const char *q = c & s->lead ? cased_word(p, end, &lower) : NULL;
    /* A mark may stand in front and may be a letter: without it in front comes before
     * upper case alone. */
    if (!q || (c == WK_MARK && !lower))
        q = c & s->letters ? cased_word(at, end, &lower) : NULL;
    return q && s->contractions == SUFFIX ? contraction(q, end, true) : q;
}

static const char *white_space(const wk_scan *s, const char *at, const char *end)
{
    const char *q = skip(at, end, WK_SPACES), *last = q;
    if (s->lines)
        for (const char *p = q; p > at; p--)
            if (p[-1] == '\n' || p[-1] == '\r')
                return p;
    if (q == end)
        return q;
    do /* leave the last one to the word behind it */
        last--;
    while (last > at && (*last & 0xC0) == 0x80);
    return last > at ? last : q;
}

size_t wk_scan_match(const wk_scan *s, const char *at, const char *end)
{
    const char *p = at, *q;
    if (s->range)
        return (size_t)(skip_ranges(s, at, end) - at);
    if (s->is)
        return (size_t)(skip_chars(s, at, end) - at);
    if (s->lines && !s->letters)
        return (size_t)(skip_line(at, end) - at);
    if (s->run)
        return (size_t)(skip_some(s, at, end, s->run) - at);

    unsigned c = take(&p, end);
    if (*at == '\'' && (s->contractions == EXACT || s->contractions == FOLDED) &&
        (q = contraction(at, end, s->contractions == FOLDED)) > at)
        return (size_t)(q - at);
    if (s->ascii_words && c & (WK_PUNCT | WK_SYMBOL) && p == at + 1) {
        for (q = p; q < end && (unsigned)((*q | 32) - 'a') < 26;)
            q++;
        if (q > p)
            return (size_t)(q - at);
    }
    if ((q = word(s, at, p, end, c)))
        return (size_t)(q - at);
    if (s->digits) {
        q = c & WK_NUMBER ? at : c & s->number_lead && peek(p, end) & WK_NUMBER ? p : NULL;
        if (q)
            return (size_t)(skip_some(s, q, end, WK_NUMBER) - at);
    }
    q = c & s->punct ? at : c & WK_BLANK && peek(p, end) & s->punct ? p : NULL;
    if (q) {
        q = skip(q, end, s->punct);
        while (q < end && *q && strchr(s->tail, *q))
            q++;
        return (size_t)(q - at);
    }
    return s->spaces && c & WK_SPACES ? (size_t)(white_space(s, at, end) - at) : 0;
}
