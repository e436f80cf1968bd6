// SPDX-License-Identifier: MIT OR Apache-2.0
/* charsmap.c - the normalisation that SentencePiece compiles into its models, and what it
 * does with blanks.
 *
 * A charsmap is a number of bytes (4 of them, little-endian), a trie of so many bytes, and
 * texts that end in NUL.  The trie is a double array as Darts-clone has it, a word per
 * node: bits 0-7 and 31 the label, bit 8 set where a key ends here, bits 10-30 the offset to
 * the children (times 256 with bit 9), of which child c is at (node ^ offset) ^ c; a key's
 * value, where its text begins, is in child 0.
 *
 * SentencePiece replaces the longest key at each place.  The tokenizers of Hugging Face look
 * at a character with its marks, if that is less than 6 bytes, else at a character alone, and
 * replace all of it by what they have for the shortest key that it begins with. */
#include "text.h"

static uint32_t word_at(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static size_t trie_size(wk_str map) { return map.size < 4 ? 0 : word_at(map.at); }

bool wk_charsmap_prepare(wk_step *s)
{
    size_t size = trie_size(s->content);
    if (s->content.size < 4 || size > s->content.size - 4 || size % 4)
        wk_step_fail(s, WK_ERR_FORMAT, "its trie of %zu bytes does not fit %zu bytes", size,
                     s->content.size);
    return wk_ok();
}

static uint32_t offset(uint32_t node) { return (node >> 10) << ((node & 0x200) >> 6); }

/* The length of the longest (or shortest) key that text begins with, 0 for none. */
static size_t find_key(wk_str map, wk_str text, bool longest, uint32_t *value)
{
    const char *trie = map.at + 4;
    size_t      nodes = trie_size(map) / 4, found = 0;
    uint32_t    at = 0, node = nodes ? word_at(trie) : 0;
    for (size_t i = 0; i < text.size && text.at[i]; i++) {
        uint8_t c = (uint8_t)text.at[i];
        at ^= offset(node) ^ c;
        if (at >= nodes)
            break;
        node = word_at(trie + 4 * (size_t)at);
        if ((node & 0x800000FF) != c)
            break;
        uint32_t leaf = at ^ offset(node);
        if (node & 0x100 && leaf < nodes) {
            found = i + 1;
            *value = word_at(trie + 4 * (size_t)leaf) & 0x7FFFFFFF;
            if (!longest)
                break;
        }
    }
    return found;
}

/* The first character; with what belongs to it, if that is short. */
static wk_str cluster(wk_str text)
{
    enum { SHORT = 6, JOINERS = 0x200C };
    const char *p = text.at, *end = p + text.size, *q = p;
    uint32_t    c = wk_utf8_next(&p, end, NULL);
    size_t      one = (size_t)(p - text.at);
    if (c == '\r' && p < end && *p == '\n')
        return (wk_str){ text.at, 2 };
    for (q = p; p < end && c != '\r' && c != '\n'; q = p) {
        c = wk_utf8_next(&p, end, NULL);
        if (!wk_is_mark(c) && (c & ~1u) != JOINERS)
            break;
    }
    return (wk_str){ text.at, q - text.at < SHORT ? (size_t)(q - text.at) : one };
}

/* The text for what text begins with, *taken bytes of it; at is NULL: it stays. */
static wk_str replacement(const wk_step *step, wk_str text, size_t *taken)
{
    wk_str   map = step->content;
    size_t   texts = 4 + trie_size(map);
    uint32_t value = 0;
    if (!step->longest)
        text = cluster(text);
    *taken = find_key(map, text, step->longest, &value);
    if (*taken && !step->longest)
        *taken = text.size;
    if (!*taken || value >= map.size - texts)
        return (wk_str){ 0 };
    wk_str      s = { map.at + texts + value, map.size - texts - value };
    const char *end = memchr(s.at, '\0', s.size);
    bool        whole = *taken == text.size || (text.at[*taken] & 0xC0) != 0x80;
    s.size = end ? (size_t)(end - s.at) : 0;
    return end && whole && wk_utf8_valid(s.at, s.size) ? s : (wk_str){ 0 };
}

bool wk_charsmap_normalize(const wk_step *s, wk_text_work *w, wk_str text, wk_buf *out)
{
    const char *end = text.at + text.size;
    uint64_t    budget = wk_text_budget(text.size);
    for (const char *p = text.at; p < end && wk_ok();) {
        size_t taken;
        wk_str new = replacement(s, (wk_str){ p, (size_t)(end - p) }, &taken);
        if (new.at) {
            w->cut_front |= !new.size && !out->size;
            if (wk_text_spend(&budget, new.size, s->file))
                wk_buf_str(out, new);
            p += taken;
        } else {
            wk_buf_utf8(out, wk_utf8_next(&p, end, NULL));
        }
    }
    return true;
}

/* No blanks at the ends, and one between words. */
static bool merge_blanks(const wk_step *s, wk_text_work *w, wk_str text, wk_buf *out)
{
    (void)s, (void)w;
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] != ' ') {
            if (i && text.at[i - 1] == ' ' && out->size)
                wk_buf_char(out, ' ');
            wk_buf_char(out, text.at[i]);
        }
    return true;
}

const wk_step_kind wk_merge_blanks = { "MergeBlanks", "", .normalize = merge_blanks };
