// SPDX-License-Identifier: MIT OR Apache-2.0
/* train_bpe.c - a byte-level BPE tokenizer from text: Sennrich et al., 2016, on the bytes of
 * words as GPT-2 cuts them.
 *
 * The pair of neighbours that occurs most often becomes a token, again and again; of equals
 * the one with the lower ids.  Pairs wait in a heap under the counts they had when they came
 * in; one whose count has changed since goes back under its new one.  Each brings the words it
 * occurs in, so that a merge looks at those alone.  This order of things, and so the result,
 * is that of Hugging Face's BpeTrainer. */
#include "text.h"

enum { PIECE = 1 << 22 }; /* bytes of text that are cut into words at once */

typedef struct {
    wk_str   text; /* borrowed from a file */
    int64_t  count;
    uint32_t at, size; /* in symbols */
} word;

typedef struct { /* a pair of neighbours: left << 32 | right */
    uint64_t  key;
    int64_t   count;
    uint32_t *words; /* where it came up since it was last queued */
    size_t    found, room;
    size_t    merged; /* its place among the merges, from 1 on; 0: it is none */
} pair;

typedef struct {
    uint64_t  key;
    int64_t   count;
    uint32_t *words;
    size_t    found;
} waiting;

typedef struct {
    wk_file          **file;
    size_t             files;
    const char *const *specials;
    word              *words;
    size_t             count, room;
    wk_map             index; /* of words by their text */
    int32_t           *symbol;
    wk_str            *token; /* its bytes */
    size_t             tokens, token_room;
    wk_map             ids;   /* of tokens by their bytes */
    pair              *pairs; /* a hash table; where the key is 0 nothing is */
    size_t             slots, used;
    waiting           *heap;
    size_t             heaped, heap_room;
    uint64_t          *merge; /* pairs, in order */
    size_t             merges, merge_room;
    uint64_t          *touched; /* pairs that came up in this merge */
    size_t             touches, touch_room;
} trainer;

/* ---- Words --------------------------------------------------------------- */

typedef struct { /* a part of a file, and what it was cut into */
    wk_str         text;
    word          *words;
    size_t         count, room;
    wk_map         index;
    wk_error_state error;
} part;

static bool count_word(word **words, size_t *count, size_t *room, wk_map *index, wk_str text,
                       int64_t times)
{
    int64_t at;
    if (wk_map_get(index, text, &at)) {
        (*words)[at].count += times;
        return true;
    }
    if (!wk_reserve(words, room, *count + 1, sizeof **words) ||
        !wk_map_put(index, text, (int64_t)*count))
        return false;
    (*words)[(*count)++] = (word){ .text = text, .count = times };
    return true;
}

static void cut(void *ctx, int64_t begin, int64_t end)
{
    for (part *p = (part *)ctx + begin; p < (part *)ctx + end; p++) {
        const char *at = p->text.at, *stop = at + p->text.size;
        while (at < stop && wk_ok()) {
            size_t n = wk_scan_match(wk_scan_gpt2(), at, stop);
            n = n ? n : 1;
            count_word(&p->words, &p->count, &p->room, &p->index, (wk_str){ at, n }, 1);
            at += n;
        }
        wk_error_take(&p->error);
    }
}

static bool is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

/* A place at or behind at where no word goes on: before a blank between letters. */
static const char *seam(const char *at, const char *end)
{
    while (at + 2 < end && !(is_letter(at[0]) && at[1] == ' ' && is_letter(at[2])))
        at++;
    return at + 2 < end ? at + 1 : end;
}

/* The first special token in a text, or its end. */
static const char *next_special(const trainer *t, const char *at, const char *end, size_t *size)
{
    const char *best = end;
    *size = 0;
    for (int i = 0; t->specials[i]; i++) {
        size_t      n = strlen(t->specials[i]);
        const char *found = n ? memmem(at, (size_t)(best - at), t->specials[i], n) : NULL;
        if (found) {
            best = found;
            *size = n;
        }
    }
    return best;
}

/* Parts of all files, as long as is handy for a thread. */
static part *cut_files(const trainer *t, size_t *count)
{
    part  *parts = NULL;
    size_t room = 0, size;
    for (size_t i = 0; wk_ok() && i < t->files; i++) {
        const char *at = t->file[i]->data, *end = at + t->file[i]->size;
        while (wk_ok() && at < end) {
            const char *most = end - at > PIECE ? seam(at + PIECE, end) : end;
            const char *stop = next_special(t, at, most, &size);
            if (stop > at && wk_reserve(&parts, &room, *count + 1, sizeof *parts))
                parts[(*count)++] = (part){ .text = { at, (size_t)(stop - at) } };
            at = stop + size;
        }
    }
    return parts;
}

/* The words of all files, each once, and how often it comes. */
static bool count_words(trainer *t)
{
    size_t count = 0;
    part  *parts = cut_files(t, &count);
    if (wk_ok())
        wk_parallel((int64_t)count, 1, cut, parts);
    for (size_t i = 0; i < count; i++) {
        part *p = &parts[i];
        wk_error_raise(&p->error);
        for (size_t k = 0; wk_ok() && k < p->count; k++)
            count_word(&t->words, &t->count, &t->room, &t->index, p->words[k].text,
                       p->words[k].count);
        wk_map_free(&p->index);
        wk_free(p->words);
    }
    wk_free(parts);
    return wk_ok();
}

/* ---- Tokens -------------------------------------------------------------- */

static int32_t add_token(trainer *t, wk_str left, wk_str right)
{
    int64_t id = -1;
    char   *text = wk_alloc(left.size + right.size + 1);
    if (!text)
        return -1;
    memcpy(text, left.at, left.size);
    memcpy(text + left.size, right.at, right.size);
    wk_str token = { text, left.size + right.size };
    if (wk_map_get(&t->ids, token, &id)) { /* two ways to the same bytes */
        wk_free(text);
        return (int32_t)id;
    }
    if (wk_reserve(&t->token, &t->token_room, t->tokens + 1, sizeof *t->token) &&
        wk_map_put(&t->ids, token, (int64_t)t->tokens)) {
        t->token[t->tokens] = token;
        return (int32_t)t->tokens++;
    }
    wk_free(text);
    return -1;
}

/* Special tokens, then the bytes in the order of the characters that stand for them. */
static bool begin_tokens(trainer *t)
{
    for (int i = 0; t->specials[i]; i++)
        add_token(t, wk_str_of(t->specials[i]), WK_STR(""));
    for (uint32_t c = 0; wk_ok() && c < 0x200; c++) {
        char byte = (char)wk_char_to_byte(c);
        if (wk_char_to_byte(c) >= 0)
            add_token(t, (wk_str){ &byte, 1 }, WK_STR(""));
    }
    return wk_ok();
}

/* Words as the ids of their bytes. */
static bool spell(trainer *t)
{
    int32_t byte_id[256];
    size_t  total = 0;
    for (int b = 0; b < 256; b++) {
        char    byte = (char)b;
        int64_t id = 0;
        wk_map_get(&t->ids, (wk_str){ &byte, 1 }, &id);
        byte_id[b] = (int32_t)id;
    }
    for (size_t i = 0; i < t->count; i++)
        total += t->words[i].text.size;
    if (total > UINT32_MAX || t->count > UINT32_MAX)
        wk_fail(WK_ERR_UNSUPPORTED, "%zu different words are too many", t->count);
    t->symbol = wk_ok() ? wk_alloc_array(total + 1, sizeof *t->symbol) : NULL;
    total = 0;
    for (size_t i = 0; t->symbol && i < t->count; i++) {
        word *w = &t->words[i];
        w->at = (uint32_t)total;
        w->size = (uint32_t)w->text.size;
        for (size_t k = 0; k < w->size; k++)
            t->symbol[total++] = byte_id[(uint8_t)w->text.at[k]];
    }
    return wk_ok();
}

/* ---- Pairs --------------------------------------------------------------- */

static uint64_t key_of(int32_t left, int32_t right)
{
    return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1; /* 0 is a free slot */
}

static pair *slot_of(const trainer *t, uint64_t key)
{
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15 >> 20) & (t->slots - 1);
    while (t->pairs[i].key && t->pairs[i].key != key)
        i = (i + 1) & (t->slots - 1);
    return &t->pairs[i];
}

static bool grow_pairs(trainer *t)
{
    trainer old = *t;
    t->slots = t->slots ? 2 * t->slots : 1 << 16;
    t->pairs = wk_alloc_array(t->slots, sizeof *t->pairs);
    if (!t->pairs) {
        *t = old;
        return false;
    }
    for (size_t i = 0; i < old.slots; i++)
        if (old.pairs[i].key)
            *slot_of(t, old.pairs[i].key) = old.pairs[i];
    wk_free(old.pairs);
    return true;
}

/* The pair comes so many times more (or fewer) in word number w. */
static bool change(trainer *t, uint64_t key, int64_t by, uint32_t w)
{
    if (2 * (t->used + 1) > t->slots && !grow_pairs(t))
        return false;
    pair *p = slot_of(t, key);
    t->used += p->key == 0;
    p->key = key;
    p->count += by;
    if (by < 0 || (p->found && p->words[p->found - 1] == w))
        return true;
    if (!p->found) {
        if (!wk_reserve(&t->touched, &t->touch_room, t->touches + 1, sizeof *t->touched))
            return false;
        t->touched[t->touches++] = key;
    }
    if (!wk_reserve(&p->words, &p->room, p->found + 1, sizeof *p->words))
        return false;
    p->words[p->found++] = w;
    return true;
}

/* ---- The heap ------------------------------------------------------------ */

static bool before(const waiting *a, const waiting *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static bool push(trainer *t, waiting item)
{
    if (!wk_reserve(&t->heap, &t->heap_room, t->heaped + 1, sizeof *t->heap)) {
        wk_free(item.words);
        return false;
    }
    size_t i = t->heaped++;
    for (; i && before(&item, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = item;
    return true;
}

static waiting pop(trainer *t)
{
    waiting top = t->heap[0], last = t->heap[--t->heaped];
    size_t  i = 0;
    for (size_t child; (child = 2 * i + 1) < t->heaped; i = child) {
        child += child + 1 < t->heaped && before(&t->heap[child + 1], &t->heap[child]);
        if (!before(&t->heap[child], &last))
            break;
        t->heap[i] = t->heap[child];
    }
    t->heap[i] = last;
    return top;
}

/* The pairs that came up wait to be merged, with the words they came up in. */
static bool queue(trainer *t)
{
    for (size_t i = 0; i < t->touches; i++) {
        pair *p = slot_of(t, t->touched[i]);
        if (p->count > 0)
            push(t, (waiting){ p->key, p->count, p->words, p->found });
        else
            wk_free(p->words);
        p->words = NULL;
        p->found = p->room = 0;
    }
    t->touches = 0;
    return wk_ok();
}

/* ---- Merging ------------------------------------------------------------- */

/* Left and right become one, wherever they are neighbours in word number i. */
static void merge_word(trainer *t, uint32_t i, int32_t left, int32_t right, int32_t id)
{
    word    *w = &t->words[i];
    int32_t *s = t->symbol + w->at;
    uint32_t to = 0;
    for (uint32_t k = 0; k < w->size; k++, to++) {
        if (k + 1 == w->size || s[k] != left || s[k + 1] != right) {
            s[to] = s[k];
            continue;
        }
        if (to > 0) {
            change(t, key_of(s[to - 1], left), -w->count, i);
            change(t, key_of(s[to - 1], id), w->count, i);
        }
        if (k + 2 < w->size) {
            change(t, key_of(right, s[k + 2]), -w->count, i);
            change(t, key_of(id, s[k + 2]), w->count, i);
        }
        s[to] = id;
        k++;
    }
    w->size = to;
}

/* A pair that is merged a second time counts from then on. */
static bool add_merge(trainer *t, uint64_t key)
{
    pair *p = slot_of(t, key);
    if (!wk_reserve(&t->merge, &t->merge_room, t->merges + 1, sizeof *t->merge))
        return false;
    if (p->merged)
        t->merge[p->merged - 1] = 0;
    t->merge[t->merges++] = key;
    p->merged = t->merges;
    return true;
}

static bool learn(trainer *t, size_t vocab, int64_t least)
{
    wk_progress progress;
    wk_progress_start(&progress, "merging", (double)vocab);
    for (uint32_t i = 0; i < t->count; i++)
        for (uint32_t k = 0; wk_ok() && k + 1 < t->words[i].size; k++)
            change(t, key_of(t->symbol[t->words[i].at + k], t->symbol[t->words[i].at + k + 1]),
                   t->words[i].count, i);
    queue(t);
    while (wk_ok() && t->tokens < vocab && t->heaped) {
        waiting top = pop(t);
        int64_t now = slot_of(t, top.key)->count;
        if (top.count != now) {
            top.count = now;
            push(t, top);
            continue;
        }
        int32_t left = (int32_t)((top.key - 1) >> 32), right = (int32_t)(uint32_t)(top.key - 1);
        int32_t id = now < 1 || now < least ? -1 : add_token(t, t->token[left], t->token[right]);
        if (id < 0) {
            wk_free(top.words);
            break;
        }
        if (add_merge(t, top.key))
            for (size_t i = 0; i < top.found; i++)
                merge_word(t, top.words[i], left, right, id);
        wk_free(top.words);
        queue(t);
        wk_progress_at(&progress, (double)t->tokens);
    }
    wk_progress_end(&progress);
    return wk_ok();
}

/* ---- Files --------------------------------------------------------------- */

static void put_text(wk_json_writer *w, const char *key, const char *text)
{
    wk_json_put_key(w, key);
    wk_json_put_str(w, wk_str_of(text));
}

static void put_flags(wk_json_writer *w, const char *const *keys)
{
    for (; *keys; keys++) {
        wk_json_put_key(w, *keys + 1);
        wk_json_put_bool(w, **keys == '+');
    }
}

static void put_byte_level(wk_json_writer *w, const char *key)
{
    static const char *const flags[] = { "-add_prefix_space", "+trim_offsets", "+use_regex", NULL };
    wk_json_put_key(w, key);
    wk_json_begin(w, '{');
    put_text(w, "type", "ByteLevel");
    put_flags(w, flags);
    wk_json_end(w, '}');
}

static void put_added(const trainer *t, wk_json_writer *w)
{
    static const char *const flags[] = { "-single_word", "-lstrip",  "-rstrip",
                                         "-normalized",  "+special", NULL };
    wk_json_put_key(w, "added_tokens");
    wk_json_begin(w, '[');
    for (int i = 0; t->specials[i]; i++) {
        wk_json_begin(w, '{');
        wk_json_put_key(w, "id");
        wk_json_put_int(w, i);
        put_text(w, "content", t->specials[i]);
        put_flags(w, flags);
        wk_json_end(w, '}');
    }
    wk_json_end(w, ']');
}

/* {kind: {"id": id, "type_id": 0}} */
static void put_place(wk_json_writer *w, const char *kind, const char *id)
{
    wk_json_begin(w, '{');
    wk_json_put_key(w, kind);
    wk_json_begin(w, '{');
    put_text(w, "id", id);
    wk_json_put_key(w, "type_id");
    wk_json_put_int(w, 0);
    wk_json_end(w, '}');
    wk_json_end(w, '}');
}

/* Every text begins with the first special token. */
static void put_post(const trainer *t, wk_json_writer *w)
{
    const char *first = t->specials[0];
    wk_json_put_key(w, "post_processor");
    if (!first) {
        wk_json_put_null(w);
        return;
    }
    wk_json_begin(w, '{');
    put_text(w, "type", "TemplateProcessing");
    for (int two = 0; two < 2; two++) {
        wk_json_put_key(w, two ? "pair" : "single");
        wk_json_begin(w, '[');
        put_place(w, "SpecialToken", first);
        put_place(w, "Sequence", "A");
        if (two)
            put_place(w, "Sequence", "B");
        wk_json_end(w, ']');
    }
    wk_json_put_key(w, "special_tokens");
    wk_json_begin(w, '{');
    wk_json_put_key(w, first);
    wk_json_begin(w, '{');
    put_text(w, "id", first);
    wk_json_put_key(w, "ids");
    wk_json_begin(w, '[');
    wk_json_put_int(w, 0);
    wk_json_end(w, ']');
    wk_json_put_key(w, "tokens");
    wk_json_begin(w, '[');
    wk_json_put_str(w, wk_str_of(first));
    wk_json_end(w, ']');
    wk_json_end(w, '}');
    wk_json_end(w, '}');
    wk_json_end(w, '}');
}

/* The text of a token, in the characters that stand for its bytes. */
static wk_str shown(const trainer *t, int64_t id, wk_buf *room)
{
    wk_buf_clear(room);
    for (int64_t i = 0; i <= id && t->specials[i]; i++)
        if (i == id)
            wk_buf_str(room, t->token[id]);
    if (!room->size)
        wk_bytes_to_chars(t->token[id], room);
    return wk_buf_view(room);
}

static void put_model(const trainer *t, wk_json_writer *w)
{
    static const char *const flags[] = { "-fuse_unk", "-byte_fallback", "-ignore_merges", NULL };
    wk_buf                   text = { 0 }, other = { 0 };
    wk_json_put_key(w, "model");
    wk_json_begin(w, '{');
    put_text(w, "type", "BPE");
    put_flags(w, flags);
    wk_json_put_key(w, "vocab");
    wk_json_begin(w, '{');
    for (size_t i = 0; wk_ok() && i < t->tokens; i++) {
        shown(t, (int64_t)i, &text);
        wk_json_put_key(w, text.data);
        wk_json_put_int(w, (int64_t)i);
    }
    wk_json_end(w, '}');
    wk_json_put_key(w, "merges");
    wk_json_begin(w, '[');
    for (size_t i = 0; wk_ok() && i < t->merges; i++) {
        if (!t->merge[i])
            continue;
        shown(t, (int64_t)((t->merge[i] - 1) >> 32), &text);
        wk_buf_char(&text, ' ');
        wk_buf_str(&text, shown(t, (int64_t)(uint32_t)(t->merge[i] - 1), &other));
        wk_json_put_str(w, wk_buf_view(&text));
    }
    wk_json_end(w, ']');
    wk_json_end(w, '}');
    wk_buf_free(&text);
    wk_buf_free(&other);
}

static bool write(const char *folder, const char *name, wk_buf *text)
{
    char *path = wk_make_folder(folder) ? wk_path_join(folder, name) : NULL;
    wk_buf_char(text, '\n');
    bool ok = path && wk_ok() && wk_write_file(path, text->data, text->size);
    wk_buf_free(text);
    wk_free(path);
    return ok;
}

static bool save(const trainer *t, const char *folder)
{
    wk_buf         text = { 0 }, config = { 0 };
    wk_json_writer w = { .out = &text, .indent = 1 }, c = { .out = &config, .indent = 1 };
    wk_json_begin(&w, '{');
    put_text(&w, "version", "1.0");
    put_added(t, &w);
    wk_json_put_key(&w, "normalizer");
    wk_json_put_null(&w);
    put_byte_level(&w, "pre_tokenizer");
    put_post(t, &w);
    put_byte_level(&w, "decoder");
    put_model(t, &w);
    wk_json_end(&w, '}');
    wk_json_begin(&c, '{');
    put_text(&c, "tokenizer_class", "PreTrainedTokenizerFast");
    if (t->specials[0]) {
        put_text(&c, "bos_token", t->specials[0]);
        put_text(&c, "eos_token", t->specials[0]);
    }
    wk_json_put_key(&c, "clean_up_tokenization_spaces");
    wk_json_put_bool(&c, false);
    wk_json_end(&c, '}');
    bool ok = write(folder, "tokenizer.json", &text);
    return write(folder, "tokenizer_config.json", &config) && ok;
}

/* ---- The trainer --------------------------------------------------------- */

static void release(trainer *t)
{
    for (size_t i = 0; i < t->files; i++)
        wk_file_release(t->file[i]);
    for (size_t i = 0; i < t->tokens; i++)
        wk_free((void *)t->token[i].at);
    for (size_t i = 0; i < t->slots; i++)
        wk_free(t->pairs[i].words);
    for (size_t i = 0; i < t->heaped; i++)
        wk_free(t->heap[i].words);
    wk_map_free(&t->index);
    wk_map_free(&t->ids);
    void *const owned[] = { t->file,  t->words, t->symbol, t->token,
                            t->pairs, t->heap,  t->merge,  t->touched };
    for (size_t i = 0; i < WK_COUNT(owned); i++)
        wk_free(owned[i]);
}

bool wk_tokenizer_train_with(const wk_tokenizer_train_args *a)
{
    static const char *const usual[] = { "<|endoftext|>", NULL };
    trainer                  t = { .specials = a->specials ? a->specials : usual };
    size_t                   room = 0;
    if (wk_ok() && (!a->files || !a->files[0] || !a->folder))
        wk_fail(WK_ERR_ARGUMENT, "tokenizer: %s", a->folder ? "no files" : "no folder");
    for (int i = 0; wk_ok() && a->files[i]; i++)
        if (wk_reserve(&t.file, &room, t.files + 1, sizeof *t.file) &&
            (t.file[t.files] = wk_file_open(a->files[i])))
            t.files++;
    if (wk_ok() && begin_tokens(&t) && count_words(&t) && spell(&t) &&
        learn(&t, (size_t)(a->vocab > 0 ? a->vocab : 8000), a->min_frequency))
        save(&t, a->folder);
    release(&t);
    return wk_ok();
}
