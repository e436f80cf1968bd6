// SPDX-License-Identifier: MIT OR Apache-2.0
/* base.h - what needs no tensors: memory, strings, maps, JSON, files, threads, talk.
 *
 * Everything here reports failure through wk_fail() and then returns NULL, false
 * or 0.  After a failure the rest does nothing, so that callers check once. */
#ifndef WK_BASE_H
#define WK_BASE_H

#include <wick/base.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#define WK_COUNT(array) (sizeof(array) / sizeof(array)[0])

static inline int64_t wk_min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t wk_max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- Errors (error.c) --------------------------------------------------- */

/* An error taken off one thread, to be raised on another. */
typedef struct {
    wk_status status;
    char      text[512];
} wk_error_state;

void wk_error_take(wk_error_state *state);        /* move the pending error into *state */
void wk_error_raise(const wk_error_state *state); /* make it pending here, if it is one */

/* ---- Memory (alloc.c) --------------------------------------------------- */

bool wk_mul_overflows(size_t a, size_t b, size_t *product);

void *wk_alloc(size_t bytes);                           /* zeroed */
void *wk_alloc_array(size_t count, size_t size);        /* zeroed, the product is checked */
void *wk_realloc(void *old, size_t count, size_t size); /* new bytes are not zeroed */
void  wk_free(void *p);

/* Make room for need items in the array at *items; grows by half or more. */
bool wk_reserve(void *items, size_t *room, size_t need, size_t item_size);

/* Memory for tensor data: 64-byte aligned, in huge pages where large, not zeroed. */
void *wk_alloc_pages(size_t bytes);
void  wk_free_pages(void *p, size_t bytes);

/* This thread's scratch memory, 64-byte aligned, valid until the next call: only
 * for leaf code, inside a region of the team. */
void *wk_scratch(size_t bytes);
void  wk_scratch_free(void); /* this thread's; done by itself when a thread ends */

/* Fault injection: the allocation behind the next n fails, -1 for none.  Returns how many
 * were left until then; negative: it has failed, or none was to. */
long wk_fail_alloc_after(long n);
bool wk_alloc_may(size_t bytes); /* counts, and says whether this allocation may succeed */
long wk_live_allocs(void);       /* blocks not yet freed */

/* ---- Strings (str.c) ---------------------------------------------------- */

typedef struct { /* borrowed bytes, not terminated */
    const char *at;
    size_t      size;
} wk_str;

#define WK_STR(literal) ((wk_str){ (literal), sizeof(literal) - 1 })

wk_str wk_str_of(const char *s);
bool   wk_str_eq(wk_str a, wk_str b);
bool   wk_str_is(wk_str a, const char *b);
bool   wk_str_starts(wk_str a, const char *prefix);
bool   wk_str_ends(wk_str a, const char *suffix);
char  *wk_str_copy(wk_str s); /* terminated; wk_free() it */

typedef struct { /* growing bytes; {0} is empty */
    char  *data; /* always terminated once something was added */
    size_t size, room;
} wk_buf;

void   wk_buf_add(wk_buf *b, const void *data, size_t size);
void   wk_buf_str(wk_buf *b, wk_str s);
void   wk_buf_char(wk_buf *b, char c);
void   wk_buf_printf(wk_buf *b, const char *format, ...) WK_PRINTF(2, 3);
void   wk_buf_vprintf(wk_buf *b, const char *format, va_list args);
void   wk_buf_utf8(wk_buf *b, uint32_t code);
void   wk_buf_clear(wk_buf *b); /* keeps the memory */
void   wk_buf_free(wk_buf *b);
wk_str wk_buf_view(const wk_buf *b);

/* Decode the code point at *at and step over it.  Invalid bytes come back one at a
 * time as 0xFFFD with *valid false.  valid may be NULL. */
uint32_t wk_utf8_next(const char **at, const char *end, bool *valid);
int      wk_utf8_put(char out[4], uint32_t code); /* how many bytes */
bool     wk_utf8_valid(const char *s, size_t size);

/* ---- Maps (map.c) ------------------------------------------------------- */

uint64_t wk_hash(const void *data, size_t size);

typedef struct { /* from borrowed strings to integers; {0} is empty */
    struct wk_map_slot *slot;
    size_t              count, room;
} wk_map;

bool wk_map_put(wk_map *m, wk_str key, int64_t value); /* replaces; false: out of memory */
bool wk_map_get(const wk_map *m, wk_str key, int64_t *value);
bool wk_map_reserve(wk_map *m, size_t count);
void wk_map_free(wk_map *m);

/* ---- JSON (json.c, json_write.c) ---------------------------------------- */

/* A pull reader: the caller says what comes next, in the order of the text.
 *
 *     wk_json j;
 *     wk_str  key;
 *     for (wk_json_open(&j, "config.json", data, size), wk_json_object(&j);
 *          wk_json_key(&j, &key);)
 *         if (wk_str_is(key, "width"))
 *             width = wk_json_int(&j);
 *         else
 *             wk_json_skip(&j);
 *     wk_json_close(&j);
 *
 * The text must be UTF-8 and strict JSON.  Errors name file, line and column. */
typedef struct {
    const char *file, *start, *at, *end;
    int         depth;
    bool        fresh; /* nothing was read yet from the innermost container */
    wk_buf      text;  /* the last string that had escapes */
} wk_json;

typedef enum {
    WK_JSON_NULL,
    WK_JSON_BOOL,
    WK_JSON_NUMBER,
    WK_JSON_STRING,
    WK_JSON_ARRAY,
    WK_JSON_OBJECT,
    WK_JSON_NOTHING, /* after an error, and where no value is */
} wk_json_kind;

bool         wk_json_open(wk_json *j, const char *file, const char *data, size_t size);
bool         wk_json_close(wk_json *j); /* nothing but white space may be left */
wk_json_kind wk_json_peek(wk_json *j);
bool         wk_json_object(wk_json *j);           /* enter an object ... */
bool         wk_json_key(wk_json *j, wk_str *key); /* ... next member; false: left it */
bool         wk_json_array(wk_json *j);            /* enter an array ... */
bool         wk_json_item(wk_json *j);             /* ... next element; false: left it */
wk_str       wk_json_string(wk_json *j);           /* valid until the next string or key */
double       wk_json_number(wk_json *j);
int64_t      wk_json_int(wk_json *j); /* 4096 and 4096.0, not 0.5 */
bool         wk_json_bool(wk_json *j);
bool         wk_json_null(wk_json *j); /* step over a null, if that is what comes next */
void         wk_json_skip(wk_json *j); /* step over any value */
wk_str       wk_json_raw(wk_json *j);  /* the same: its text as it stands there */
void         wk_json_fail(wk_json *j, const char *format, ...) WK_PRINTF(2, 3);

typedef struct { /* writes into out; indent 0 is one line */
    wk_buf *out;
    int     indent, depth;
    bool    fresh, after_key;
} wk_json_writer;

void wk_json_begin(wk_json_writer *w, char bracket); /* '{' or '[' */
void wk_json_end(wk_json_writer *w, char bracket);   /* '}' or ']' */
void wk_json_put_key(wk_json_writer *w, const char *key);
void wk_json_put_str(wk_json_writer *w, wk_str s);
void wk_json_put_number(wk_json_writer *w, double x); /* reads back as the same double */
void wk_json_put_int(wk_json_writer *w, int64_t x);
void wk_json_put_bool(wk_json_writer *w, bool x);
void wk_json_put_null(wk_json_writer *w);

/* ---- Files (file.c) ----------------------------------------------------- */

typedef struct { /* a whole file, mapped; changes to data stay private */
    atomic_int refs;
    char      *data;
    size_t     size;
    char      *path;
} wk_file;

wk_file *wk_file_open(const char *path);
wk_file *wk_file_retain(wk_file *f);
void     wk_file_release(wk_file *f);
void     wk_file_unread(const void *data, size_t bytes); /* they need not be in memory for now */

bool  wk_path_is_file(const char *path);
bool  wk_path_is_folder(const char *path);
char *wk_path_join(const char *folder, const char *name); /* wk_free() it */

/* Fails with WK_ERR_FORMAT, naming the file; false. */
bool WK_PRINTF(2, 3) wk_file_refuse(const wk_file *f, const char *format, ...);

/* How many files in a folder have names with that end; first: of these, by name (NULL: none, or
 * not wanted): wk_free() it. */
int wk_folder_count(const char *folder, const char *end, char **first);

/* A file is written aside and renamed into place, so that path is at any moment
 * either the old or the new file. */
typedef struct wk_writer wk_writer;
wk_writer               *wk_writer_open(const char *path);
bool                     wk_writer_add(wk_writer *w, const void *data, size_t size);
bool                     wk_writer_close(wk_writer *w); /* commits, unless an error is pending */
bool                     wk_write_file(const char *path, const void *data, size_t size);
bool                     wk_make_folder(const char *path);

/* ---- Threads (team.c) --------------------------------------------------- */

/* fn runs on up to threads threads at once, the caller being thread 0 of them.  A thread
 * that has not come when the caller's fn returns stays away: fn takes its share of the work
 * from what is left, or meets all others at a barrier once it is done.  Regions do not nest:
 * inside one, and while another thread's region runs, the caller does all the work itself
 * (threads is then 1). */
typedef void (*wk_region_fn)(void *ctx, int thread, int threads);
void wk_team_run(int threads, wk_region_fn fn, void *ctx);
void wk_team_barrier(void); /* all threads of the region meet */

/* Work of a region in stages, taken item by item by whoever is there: each thread goes through
 * all stages, of as many items each as for all others.  Items are counted through the stages. */
typedef struct {
    atomic_int_fast64_t taken, done;
} wk_stages;
typedef struct {
    wk_stages *all;
    int64_t    begin, item; /* the first one of the stage; the one in hand ... */
    bool       works;       /* ... was given to the caller */
} wk_stage;
wk_stage wk_stage_first(wk_stages *all);
/* The next one of the stage's count items, from 0, when the one before is done; -1 when all
 * are, whoever did them: then the next stage begins. */
int64_t  wk_stage_take(wk_stage *s, int64_t count);

/* fn(ctx, begin, end) for pieces of 0 .. count, each at most grain long and cut at
 * multiples of it: what a piece computes does not depend on the number of threads. */
typedef void (*wk_range_fn)(void *ctx, int64_t begin, int64_t end);
void wk_parallel(int64_t count, int64_t grain, wk_range_fn fn, void *ctx);

/* ---- Special functions (special.c) -------------------------------------- */

double wk_modulo_f64(double a, double b);   /* has the sign of b */
double wk_floordiv_f64(double a, double b); /* 1 by 0.1 is 9, as 10 times 0.1 is more */
double wk_asin_f64(double x); /* these three with the arctangent: its tables serve for all */
double wk_acos_f64(double x);
double wk_atan2_f64(double y, double x);
double wk_erfinv_f64(double x);
double wk_lgamma_f64(double x);
double wk_digamma_f64(double x);
double wk_trigamma_f64(double x);
double wk_tetragamma_f64(double x); /* the derivative of trigamma */

/* ---- Talk (talk.c) ------------------------------------------------------ */

enum { WK_LOG_ERROR, WK_LOG_WARN, WK_LOG_INFO, WK_LOG_DEBUG };
void wk_say(int level, const char *format, ...) WK_PRINTF(2, 3);

double wk_now(void); /* seconds, monotonic */

/* One bar at a time, for the thread that draws it; nothing for the first second. */
typedef struct {
    const char *what;
    double      total, start, drawn;
} wk_progress;

void wk_progress_start(wk_progress *p, const char *what, double total);
bool wk_progress_at(wk_progress *p, double done); /* false when interrupted: an error */
void wk_progress_end(wk_progress *p);

#endif
