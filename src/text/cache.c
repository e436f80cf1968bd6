// SPDX-License-Identifier: MIT OR Apache-2.0
/* cache.c - the ids of words that were seen before.
 *
 * A table of fixed size: a word has two places where it may be, each one cache line,
 * and pushes out what was there longer.  Long words are not kept. */
#include "text.h"

enum { LINES = 1 << 14, LINE = 64 };

typedef struct {
    uint64_t word[3];
    int32_t  id[WK_WORD_CACHE_IDS];
    uint8_t  size, count; /* of the word, 0: free; of its ids */
} line;

struct wk_word_cache {
    char lines[(LINES + 1) * LINE]; /* from the next boundary of a line on */
};

_Static_assert(sizeof(line) == LINE, "a word takes one cache line");

wk_word_cache *wk_word_cache_new(void) { return wk_alloc(sizeof(wk_word_cache)); }

/* Every byte of the word is in one of the words of the key, so that with its size
 * the key is the word. */
wk_word_cache_key wk_word_cache_key_of(wk_str word)
{
    wk_word_cache_key k = { .size = word.size };
    const char       *p = word.at;
    size_t            n = word.size;
    if (n >= 8) {
        memcpy(&k.word[0], p, 8);
        if (n > 16)
            memcpy(&k.word[1], p + 8, 8);
        memcpy(&k.word[2], p + n - 8, 8);
    } else if (n >= 4) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        k.word[0] = low | (uint64_t)high << 32;
    } else if (n) {
        k.word[0] =
            (uint8_t)p[0] | (unsigned)(uint8_t)p[n / 2] << 8 | (unsigned)(uint8_t)p[n - 1] << 16;
    }
    return k;
}

static line *find(const wk_word_cache *c, const wk_word_cache_key *k)
{
    uint64_t h = (k->word[0] ^ k->size) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32 ^ k->word[1]) * 0xD1B54A32D192ED03u;
    h = (h ^ h >> 32 ^ k->word[2]) * 0x9FB21C651E98DF25u;
    uintptr_t first = ((uintptr_t)c->lines + LINE - 1) & ~(uintptr_t)(LINE - 1);
    return (line *)first + (h >> 40 & (LINES - 2));
}

static bool is(const line *l, const wk_word_cache_key *k)
{
    return l->size == k->size && l->word[0] == k->word[0] && l->word[1] == k->word[1] &&
           l->word[2] == k->word[2];
}

bool wk_word_cache_get(const wk_word_cache *c, const wk_word_cache_key *k, wk_tokens *out)
{
    const line *l = find(c, k);
    if (!is(l, k) && !is(++l, k))
        return false;
    if (!wk_reserve(&out->id, &out->room, out->count + WK_WORD_CACHE_IDS, sizeof *out->id))
        return false;
    memcpy(out->id + out->count, l->id, sizeof l->id);
    out->count += l->count;
    return true;
}

void wk_word_cache_put(wk_word_cache *c, const wk_word_cache_key *k, const int32_t *id,
                       size_t count)
{
    line *l = find(c, k);
    if (count > WK_WORD_CACHE_IDS)
        return;
    l[1] = l[0];
    l[0] = (line){ .word = { k->word[0], k->word[1], k->word[2] },
                   .size = (uint8_t)k->size,
                   .count = (uint8_t)count };
    if (count)
        memcpy(l->id, id, count * sizeof *id);
}
