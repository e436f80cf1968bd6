// SPDX-License-Identifier: MIT OR Apache-2.0
/* text.h - the parts of a tokenizer, as the files of this folder share them.
 *
 * A tokenizer is a chain: added tokens are cut out of the text, what is between them
 * goes through the normalizers, the pre-tokenizers cut it into words, the model turns
 * words into ids, the post-processor adds <s> and the like.  Each link of tokenizer.json
 * becomes a wk_step with its options; a table row per type (wk_step_kind) says which
 * options there are and what the step does. */
#ifndef WK_SRC_TEXT_H
#define WK_SRC_TEXT_H

#include "chat.h"

/* ---- Unicode (unicode.c, normal.c) -------------------------------------- */

/* What a character is to a splitter: exactly one of these. */
enum {
    WK_UPPER = 1 << 0,   /* Lu Lt */
    WK_LOWER = 1 << 1,   /* Ll */
    WK_LETTER = 1 << 2,  /* Lm Lo */
    WK_MARK = 1 << 3,    /* Mn Mc Me */
    WK_NUMBER = 1 << 4,  /* Nd Nl No */
    WK_PUNCT = 1 << 5,   /* Pc Pd Ps Pe Pi Pf Po */
    WK_SYMBOL = 1 << 6,  /* Sm Sc Sk So */
    WK_BLANK = 1 << 7,   /* U+0020 */
    WK_NEWLINE = 1 << 8, /* \r \n */
    WK_SPACE = 1 << 9,   /* the rest of \s */
    WK_OTHER = 1 << 10,  /* control, format, private, unassigned */

    WK_LETTERS = WK_UPPER | WK_LOWER | WK_LETTER,
    WK_SPACES = WK_BLANK | WK_NEWLINE | WK_SPACE,
    WK_ANY = (1 << 11) - 1,
};

extern const uint16_t wk_ascii_class[128];

uint16_t wk_char_class(uint32_t c);
bool     wk_is_space(uint32_t c);
bool     wk_is_number(uint32_t c);
bool     wk_is_mark(uint32_t c);
bool     wk_is_nonspacing(uint32_t c); /* Mn */
bool     wk_is_punct(uint32_t c);      /* P, and ASCII symbols too */
bool     wk_is_word(uint32_t c);       /* \w of Rust's regular expressions */
bool     wk_is_control(uint32_t c);    /* Cc Cf Co */
uint32_t wk_char_lower(uint32_t c);    /* U+0130, which becomes two, stays */

typedef enum { WK_NFC, WK_NFD, WK_NFKC, WK_NFKD } wk_form;

/* Bit f: c may change in form f, or change its surroundings. */
unsigned wk_char_unsafe(uint32_t c);

/* Append text in a normal form to out.  False: it is in that form already. */
bool wk_to_form(wk_form form, wk_str text, wk_buf *out);

/* ---- Patterns (regex.c, regex_translate.c, scan.c) ---------------------- */

typedef struct {
    size_t start, end;
    bool   match;
} wk_span;

typedef struct wk_regex wk_regex;
typedef struct { /* what going over texts needs of its own, one for each thread; {0} is fresh */
    void *match, *context, *stack; /* of regular expressions */
    bool  cut_front;               /* the normalizers took away what the text began with */
} wk_text_work;

wk_regex *wk_regex_new(wk_str pattern);
void      wk_regex_free(wk_regex *r);
bool wk_regex_next(const wk_regex *r, wk_text_work *w, wk_str text, size_t from, wk_span *found);
void wk_text_work_free(wk_text_work *w);

/* Rewrite a pattern of Oniguruma, as tokenizer.json has them, for PCRE2. */
bool wk_regex_translate(wk_str pattern, wk_buf *out);

/* Patterns of byte-level models, as tokenizer.json has them: parts ... */
#define WK_RE_LEAD       "[^\\r\\n\\p{L}\\p{N}]?"
#define WK_RE_CONTRACTED "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WK_RE_UPPER      "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define WK_RE_LOWER      "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define WK_RE_SPACES     "\\s+(?!\\S)|\\s+"
#define WK_RE_LINES      "|\\s*[\\r\\n]+|" WK_RE_SPACES
#define WK_RE_ASCII_WORD "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
#define WK_RE_CASED(end)                                                                           \
    WK_RE_LEAD WK_RE_UPPER "*" WK_RE_LOWER "+" end "|" WK_RE_LEAD WK_RE_UPPER "+" WK_RE_LOWER      \
                           "*" end

/* ... and wholes. */
#define WK_RE_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" WK_RE_SPACES
#define WK_RE_UNCONTRACTED(digits)                                                                 \
    WK_RE_LEAD "\\p{L}+|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" WK_RE_LINES
#define WK_RE_LLAMA3 WK_RE_CONTRACTED "|" WK_RE_UNCONTRACTED("{1,3}")
#define WK_RE_QWEN2  WK_RE_CONTRACTED "|" WK_RE_UNCONTRACTED("")
#define WK_RE_QWEN35                                                                               \
    WK_RE_CONTRACTED "|" WK_RE_LEAD                                                                \
                     "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" WK_RE_LINES
#define WK_RE_O200K                                                                                \
    WK_RE_CASED(WK_RE_CONTRACTED "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" WK_RE_LINES
#define WK_RE_TEKKEN WK_RE_CASED("") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" WK_RE_LINES
#define WK_RE_DEEPSEEK3                                                                            \
    WK_RE_ASCII_WORD                                                                               \
    "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" WK_RE_LINES
#define WK_RE_PUNCT_RUN    "[\\p{P}\\$\\+<=>\\^~\\|`]+" /* ASCII symbols, too */
#define WK_RE_THREE_DIGITS "[0-9][0-9][0-9]"
#define WK_RE_ONE_LINE     "[^\\n]+|[\\n]+"
#define WK_RE_CJK          "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"

/* Hand-written splitters, for the patterns that all models use. */
typedef struct wk_scan wk_scan;
const wk_scan         *wk_scan_find(wk_str pattern); /* NULL: not one of them */
const wk_scan         *wk_scan_gpt2(void);
bool                   wk_scan_covers(const wk_scan *s); /* every character is in a match */
size_t                 wk_scan_match(const wk_scan *s, const char *at, const char *end);

/* ---- Steps (steps.c and a file for each table) -------------------------- */

typedef struct wk_step    wk_step;
typedef struct wk_encoder wk_encoder;

typedef enum {
    WK_REMOVED,
    WK_ISOLATED,
    WK_MERGED_WITH_PREVIOUS,
    WK_MERGED_WITH_NEXT,
    WK_CONTIGUOUS,
} wk_behavior;

typedef enum { WK_ALWAYS, WK_FIRST, WK_NEVER } wk_prepend_scheme;

typedef struct {
    const char *name;
    const char *keys; /* its options; "key!" must be there */

    bool (*prepare)(wk_step *s); /* check the options, set what follows from them */

    /* A normalizer appends what becomes of text to out; false: nothing changes. */
    bool (*normalize)(const wk_step *s, wk_text_work *w, wk_str text, wk_buf *out);

    /* A pre-tokenizer passes on the parts of text; first: it begins the input. */
    bool (*split)(wk_encoder *e, size_t step, wk_str text, bool first);

    /* A decoder takes tokens in chunks and passes chunks on. */
    void (*decode)(wk_detokenizer *d, size_t step, wk_str text, bool ends);
    void (*decode_end)(wk_detokenizer *d, size_t step);
} wk_step_kind;

/* The next match in text at or after from. */
typedef bool (*wk_next_fn)(const wk_step *s, wk_text_work *w, wk_str text, size_t from,
                           wk_span *found);

struct wk_step {
    const wk_step_kind *kind;
    const char         *file, *role; /* for errors: "tokenizer.json", "normalizer" */
    uint64_t            given;       /* which options the file has */

    wk_str         pattern, content, prefix; /* prepend, replacement, delimiter, suffix: content */
    bool           pattern_is_regex;
    bool           longest; /* of a charsmap: the longest key counts, as in SentencePiece */
    wk_regex      *regex;   /* one of these, if there is a pattern */
    const wk_scan *scan;
    wk_next_fn     next;
    bool (*is)(uint32_t c); /* for what cuts at single characters */

    wk_behavior       behavior;
    wk_prepend_scheme scheme;
    int64_t           length, start, stop;
    bool              invert, add_prefix_space, use_regex, split, individual_digits;
    bool              strip_left, strip_right, clean_text, handle_chinese_chars, lowercase;
    bool              strip_accents, cleanup, trim_offsets;
};

typedef struct {
    wk_step *at;
    size_t   count, room;
} wk_steps;

typedef struct {
    const char         *role, *list; /* "normalizer", "normalizers" */
    const wk_step_kind *kind;
    size_t              count;
} wk_step_table;

extern const wk_step_table wk_normalizers, wk_pre_tokenizers, wk_detokenizers;

/* The "type" of the object that comes next, without reading on. */
bool wk_peek_type(const wk_json *j, char type[64]);
bool wk_steps_read(wk_steps *steps, const wk_step_table *table, wk_tokenizer *t, wk_json *j);
void wk_steps_free(wk_steps *steps);
/* Append a step of a type with the options of step, all of which count as given.  Where type
 * is NULL the step has its kind. */
bool wk_steps_add(wk_steps *steps, const wk_step_table *table, const char *file, const char *type,
                  const wk_step *step);
void wk_step_fail(const wk_step *s, wk_status status, const char *format, ...) WK_PRINTF(3, 4);
bool wk_step_given(const wk_step *s, const char *option);
bool wk_step_pattern(wk_step *s); /* compile pattern, choose next */
bool wk_step_char(wk_step    *s,
                  const char *option); /* content is one character: that is the pattern */

wk_str wk_text_normalize(const wk_steps *steps, wk_text_work *w, wk_buf buf[2], wk_str text);
bool   wk_text_emit(wk_encoder *e, size_t step, wk_str text, bool first);

bool wk_next_char(const wk_step *s, wk_text_work *w, wk_str text, size_t from, wk_span *found);

/* Match after match; what matches nothing right behind a match is passed over. */
typedef struct {
    size_t from, done; /* done: the end of the last match */
    bool   matched;
} wk_search;

bool wk_search_next(const wk_step *s, wk_text_work *w, wk_str text, wk_search *at, wk_span *found);

/* Append text with the content of the step for each match; false: there is none. */
bool wk_text_replace(const wk_step *s, wk_text_work *w, wk_str text, wk_buf *out);

/* SentencePiece's normalisation (charsmap.c). */
bool wk_charsmap_prepare(wk_step *s);
bool wk_charsmap_normalize(const wk_step *s, wk_text_work *w, wk_str text, wk_buf *out);
extern const wk_step_kind wk_merge_blanks; /* tokenizer.json has no such type */

/* Byte-level: a byte as a printable character, and back (-1: not one of them). */
uint32_t wk_byte_to_char(uint8_t byte);
int      wk_char_to_byte(uint32_t c);
void     wk_bytes_to_chars(wk_str bytes, wk_buf *out);

/* ---- Vocabulary (vocab.c) ----------------------------------------------- */

typedef struct {
    uint32_t at, size; /* in text; size is UINT32_MAX where an id is not used */
} wk_vocab_place;

typedef struct {
    char                 *text; /* the pieces, each terminated */
    size_t                text_size, text_room;
    wk_vocab_place       *piece;             /* by id */
    size_t                size, room, count; /* ids are below size, count of them are used */
    struct wk_vocab_slot *slot;
    size_t                slots;
    size_t                longest; /* bytes of the longest piece */
} wk_vocab;

bool    wk_vocab_add(wk_vocab *v, wk_str piece, int64_t id);
int32_t wk_vocab_find(const wk_vocab *v, wk_str piece); /* -1: none */
wk_str  wk_vocab_piece(const wk_vocab *v, int32_t id);  /* at is NULL: none */
void    wk_vocab_free(wk_vocab *v);

/* ---- Models (model.c and a file for each) ------------------------------- */

typedef struct {
    const char *name;
    bool (*prepare)(wk_tokenizer *t);
    bool (*encode)(wk_encoder *e, wk_str word);
} wk_model_kind;

extern const wk_model_kind wk_bpe, wk_word_piece, wk_word_level, wk_unigram;

typedef struct {
    uint64_t pair; /* left << 32 | right, all ones: free */
    uint32_t rank;
    int32_t  id;
} wk_merge;

typedef struct {
    const wk_model_kind *kind;
    wk_str               unk_token, prefix, suffix; /* at is NULL: none */
    int32_t              unk_id;                    /* -1: unk_token is not in the vocabulary */
    bool                 fuse_unk, byte_fallback, ignore_merges, has_merges, has_prefix;
    int64_t              max_chars; /* of a word; -1: not given */

    wk_merge *merge; /* a hash table */
    size_t    merges, slots;
    uint32_t *rank;  /* by id, instead of merges: of joining two pieces to this one */
    double   *score; /* by id: of Unigram; NAN for what is not looked for in texts */
    size_t    scores;
    double    unk_score;        /* of a character that is in no piece */
    uint16_t *reach;            /* the bytes of the longest piece, by what it begins with */
    int32_t   last_merged;      /* the id that the last merge made */
    int32_t   byte_id[256];     /* of the character that stands for a byte */
    int32_t   fallback_id[256]; /* of "<0x41>" */
    bool      raw;              /* words come as bytes, not yet as byte-level characters */
    bool      cut;              /* no piece reaches over the start of a run of U+2581 */
} wk_model;

bool wk_model_read(wk_tokenizer *t, wk_json *j);
bool wk_model_encode(wk_encoder *e, wk_str word);
void wk_text_model_free(wk_model *m);
void wk_model_find_bytes(wk_tokenizer *t); /* fills fallback_id */
bool wk_piece_can_cut(wk_str piece);       /* no U+2581 in it has another character before it */

bool     wk_bpe_read_merges(wk_tokenizer *t, wk_json *j);
/* joined: the two pieces, one behind the other. */
bool     wk_bpe_add_merge(wk_tokenizer *t, wk_buf *joined, size_t left_size);
bool     wk_bpe_merge_room(wk_tokenizer *t, size_t count);
/* The rank of a piece with this score: of two pieces the better one has the lower rank. */
uint32_t wk_bpe_rank(float score);
bool     wk_unigram_read_vocab(wk_tokenizer *t, wk_json *j); /* [[piece, score], ...] */

/* Words seen before and their ids. */
typedef struct wk_word_cache wk_word_cache;
typedef struct {
    uint64_t word[3];
    size_t   size;
} wk_word_cache_key;

enum { WK_WORD_CACHE_BYTES = 24, WK_WORD_CACHE_IDS = 9 };

wk_word_cache *wk_word_cache_new(void);
bool wk_word_cache_get(const wk_word_cache *c, const wk_word_cache_key *key, wk_tokens *out);
void wk_word_cache_put(wk_word_cache *c, const wk_word_cache_key *key, const int32_t *id,
                       size_t count);
wk_word_cache_key wk_word_cache_key_of(wk_str word); /* at most WK_WORD_CACHE_BYTES */

/* ---- Added tokens and the post-processor (added.c, post.c) -------------- */

typedef struct {
    wk_str  content, matched; /* matched: as it stands in normalised text */
    int32_t id;
    bool    single_word, lstrip, rstrip, normalized, special;
} wk_added_token;

typedef struct { /* tokens in the order of their bytes */
    uint32_t *token;
    size_t    count;
    bool      starts[256]; /* a token begins with this byte */
    int       only;        /* the one byte that they all begin with, or -1 */
} wk_added_set;

typedef struct {
    wk_added_token *at;
    size_t          count, room;
    wk_added_set    raw, normal; /* matched before and after normalising */
    int32_t        *by_id;       /* by id less than size: index, or -1 */
} wk_added;

bool                  wk_added_read(wk_tokenizer *t, wk_json *j);
bool                  wk_added_finish(wk_tokenizer *t);
void                  wk_added_free(wk_added *a);
const wk_added_token *wk_added_get(const wk_tokenizer *t, int32_t id); /* NULL: none */

/* Call part for each piece of text: added token or what is between. */
typedef bool (*wk_segment_fn)(wk_encoder *e, const wk_added_token *token, wk_str text, bool first);
bool wk_added_cut(wk_encoder *e, const wk_added_set *set, wk_str text, bool first,
                  wk_segment_fn part);

enum { WK_SEQUENCE = -1 };

typedef struct {
    int32_t *id; /* ids, and WK_SEQUENCE where the text goes */
    size_t   count, room;
    bool     given;
} wk_post;

bool wk_post_read(wk_tokenizer *t, wk_json *j);
bool wk_post_add(wk_post *p, int64_t id);

/* ---- The tokenizer (tokenizer.c) ---------------------------------------- */

typedef struct { /* of BPE; Unigram takes some of it, too */
    int32_t  *symbol, *pair_id;
    uint32_t *rank, *previous, *next;
    uint64_t *heap;
    double   *score;
    size_t    symbol_room, pair_room, rank_room, previous_room, next_room, heap_room, heaped;
    size_t    score_room;
} wk_bpe_work;

/* What one call of wk_encode() works with.  Lent by the tokenizer, which keeps it and
 * so the words it has learned. */
struct wk_encoder {
    const wk_tokenizer *t;
    wk_tokens          *out;
    bool                plain;
    const char         *base; /* of origins: where the text begins */
    const uint8_t      *origin;
    const char         *control; /* the text of the template */
    int                 part;    /* origin of what is behind the normalizers */

    uint64_t       budget;
    wk_text_work   work;
    wk_span       *span; /* a stack: each pre-tokenizer at work has its spans here */
    size_t         spans, span_room;
    wk_buf         clean, normal[2], word;
    wk_buf        *rewritten; /* two for each pre-tokenizer */
    wk_bpe_work    bpe;
    wk_word_cache *cache;
};

enum { WK_IDLE_ENCODERS = 16 };

struct wk_tokenizer {
    char    *name;
    void   **kept; /* memory of the strings in steps and added tokens */
    size_t   kept_count, kept_room;
    size_t   size; /* ids are below */
    wk_vocab vocab;
    wk_model model;
    wk_added added;
    wk_steps normalizers, pre_tokenizers, decoders;
    bool     has_decoder;
    wk_post  post;

    _Atomic(wk_encoder *) idle[WK_IDLE_ENCODERS];
};

/* May token x be made of bytes of this origin?  Bytes of the template may be anything. */
bool wk_added_may(const wk_encoder *e, const wk_added_token *x, int origin);

wk_str wk_text_keep(wk_tokenizer *t, wk_str s); /* a copy that lives as long as t */
bool   wk_tokenizer_finish(wk_tokenizer *t); /* once all was read: what depends on several parts */

/* A file can ask for steps that double a text, again and again.  So each text has a
 * budget: how many bytes may be passed from step to step until it is done. */
static inline uint64_t wk_text_budget(size_t size) { return (1 << 16) + 4096 * (uint64_t)size; }
bool                   wk_text_spend(uint64_t *budget, size_t size, const char *file);
bool                   wk_push_id(wk_encoder *e, int32_t id);

/* ---- GGUF (gguf.c, gguf_pre.c) ------------------------------------------ */

enum {
    WK_PRE_WHOLE = 1 << 0, /* a word that is a piece is not built of merges */
    WK_PRE_BOS = 1 << 1,   /* texts begin with a token, if nothing is said */
    WK_PRE_CHARS = 1 << 2, /* pieces are made of characters, not of bytes */
    WK_PRE_MARKS = 1 << 3, /* ... and U+2581 stands for a blank */
};

typedef struct {          /* how byte-level models cut texts into words */
    const char *names;    /* what tokenizer.ggml.pre may say, with blanks between */
    const char *split[6]; /* regular expressions: each cuts what the ones before it left */
    unsigned    flags;
} wk_pre;

const wk_pre *wk_pre_find(wk_str name); /* NULL: unknown */

/* The name of what cuts at these expressions, and takes words that are tokens whole or not; of
 * several the first.  "": there is none. */
wk_str wk_pre_name(const char *const *split, size_t count, bool whole);

/* ---- Sampling (sampler.c) ----------------------------------------------- */

typedef struct {
    int32_t id;
    float   logit;  /* after penalties and temperature */
    double  weight; /* not normalised */
} wk_candidate;

/* What is left to choose from, valid until the next call.  NULL: an error. */
const wk_candidate *wk_sampler_filter(wk_sampler *s, const float *logits, int64_t count,
                                      size_t *left);

#endif
