// SPDX-License-Identifier: MIT OR Apache-2.0
/* cli.h - what the verbs of the command line share.
 *
 * One table of options and one of verbs give parsing, help, completion and the manual
 * page.  stdout is for data, stderr for talk. */
#ifndef CLI_H
#define CLI_H

#include <wick/wick.h>

#include <stdio.h>

enum { DONE = 0, FAILED = 1, USAGE = 2, INTERRUPTED = 130 };
enum { MOST_STOPS = 16, MOST_PLACES = 4096, MOST_OPTIONS = 128 };

typedef struct { /* what the options say; zero is the default */
    int64_t     max_tokens, context, threads, top, prompt_length, repeats, top_k;
    double      temperature, top_p, min_p;
    double      repeat_penalty, presence_penalty, frequency_penalty;
    int64_t     seed, draft_tokens;
    int64_t     steps, batch, accumulate, stride, warmup, validate_every, save_every, keep;
    int64_t     chunks, min_frequency, layers, width, heads, kv_heads, ffn, vocab, rank;
    double      epochs, lr, decay, dropout, clip, held_out, alpha;
    const char *output, *config, *tokenizer, *type, *schedule, *optimizer, *validation;
    const char *targets, *adapter, *system, *draft;
    const char *imatrix, *output_tensor_type, *token_embedding_type;
    const char *tokens, *device, *dtype, *cache, *synthetic;
    const char *stop[MOST_STOPS + 1], *special[MOST_STOPS + 1];
    const char *tensor_type[MOST_STOPS + 1];
    bool echo, ids, all, pieces, no_special, keep_special, json, quiet, verbose, lenient, help;
    bool resume, merge, untied, recompute, lookup, pure, requantize;
    bool given[MOST_OPTIONS];           /* by its place in the table */
    const char *place[MOST_PLACES + 1]; /* what is not an option; NULL */
    int         places;
} settings;

/* Which verbs take an option. */
enum {
    FOR_MODEL = 1,    /* those that load one */
    FOR_SAMPLING = 2, /* those that choose tokens */
    FOR_RUN = 4,
    FOR_LOGITS = 8,
    FOR_TOKENS = 16, /* tokenize */
    FOR_BENCH = 32,
    FOR_JSON = 64,
    FOR_DETOKENIZE = 128,
    FOR_ALL = 256,
    FOR_TRAINING = 512,  /* train and finetune */
    FOR_TRAIN = 1024,    /* a new model */
    FOR_FINETUNE = 2048, /* one there is */
    FOR_TOKENIZER = 4096,
    FOR_PERPLEXITY = 8192,
    FOR_CHAT = 16384,
    FOR_QUANTIZE = 32768,
    FOR_CONVERT = 65536,
    FOR_IMATRIX = 131072,
};

typedef struct {
    const char *name;   /* "temperature" */
    char        letter; /* 'n', or 0 */
    const char *value;  /* what follows, for help: "N"; NULL: nothing does */
    const char *help;
    int         verbs; /* FOR_... */
    size_t      field; /* offset in settings */
    enum { FLAG, INTEGER, NUMBER, TEXT, TEXTS } kind;
} option;

typedef struct {
    const char *name, *arguments, *summary;
    int         takes; /* FOR_... */
    int (*run)(settings *s);
    const char *example[2];
} verb;

extern const option options[];
extern const int    option_count;
extern const verb   verbs[];
extern const int    verb_count;

bool parse(const verb *v, int argc, char **argv, settings *s); /* false: said why on stderr */
bool given(const settings *s, const char *name);
int  usage(const char *format, ...) WK_PRINTF(1, 2); /* says it, and is USAGE */

void print_help(const verb *v); /* NULL: of the program */
int  help_verb(settings *s);
int  completion_verb(settings *s);

int run_verb(settings *s);
int chat_verb(settings *s);
int logits_verb(settings *s);
int tokenize_verb(settings *s);
int detokenize_verb(settings *s);
int inspect_verb(settings *s);
int perplexity_verb(settings *s);
int bench_verb(settings *s);
int tokenizer_verb(settings *s);
int train_verb(settings *s);
int finetune_verb(settings *s);
int quantize_verb(settings *s);
int convert_verb(settings *s);
int imatrix_verb(settings *s);
int doctor_verb(settings *s);

/* Helpers of several verbs. */
wk_dtype  dtype_of(const settings *s);
wk_dtype  cache_of(const settings *s);
wk_model *open_model(const settings *s, const char *path); /* NULL: our own */
char     *read_stdin(void);                                /* all of it; free() it */
bool      prompt_tokens(const settings *s, wk_model *m, const char *text, wk_tokens *out);
void      json_string(const char *text); /* to stdout, quoted */
void      json_text(const char *text, size_t size);
void      json_into(FILE *f, const char *text, size_t size);
void      report(const wk_generate_stats *t); /* speeds, to stderr */

/* What was asked for, or else what the model's authors recommend, or else 0.8. */
wk_sampler_args sampling_of(const settings *s, const wk_model *m);
int             finish(void); /* a pending error to stderr; the exit code */

#endif
