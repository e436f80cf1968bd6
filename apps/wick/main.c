// SPDX-License-Identifier: MIT OR Apache-2.0
/* main.c - the program wick: finds the verb, reads the options, runs it. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const verb verbs[] = {
    { "run",
      "[MODEL] [PROMPT]",
      "continue a text",
      FOR_MODEL | FOR_SAMPLING | FOR_RUN,
      run_verb,
      { "wick run ./Qwen3-0.6B \"The capital of France is\" -n 20 --temperature 0",
        "wick run \"One day,\" --echo" } },
    { "chat",
      "[MODEL]",
      "a conversation",
      FOR_MODEL | FOR_SAMPLING | FOR_CHAT,
      chat_verb,
      { "wick chat ./Qwen3-0.6B",
        "wick chat ./Llama-3.2-1B --system \"Answer in one sentence.\"" } },
    { "logits",
      "MODEL [TEXT]",
      "what the model expects next, as numbers",
      FOR_MODEL | FOR_LOGITS | FOR_JSON,
      logits_verb,
      { "wick logits ./Qwen3-0.6B \"The capital of\" --top 5",
        "wick logits ./Qwen3-0.6B --tokens 1,2,3 --all --json" } },
    { "tokenize",
      "MODEL TEXT",
      "text to token ids",
      FOR_TOKENS | FOR_JSON,
      tokenize_verb,
      { "wick tokenize ./Qwen3-0.6B \"Hello, world\" --pieces",
        "wick tokenize tokenizer.json - --json < letter.txt" } },
    { "detokenize",
      "MODEL ID...",
      "token ids to text",
      FOR_DETOKENIZE,
      detokenize_verb,
      { "wick detokenize ./Qwen3-0.6B 9707 11 1879",
        "wick tokenize M - < a.txt | xargs wick detokenize M" } },
    { "tokenizer",
      "train FILE...",
      "a new tokenizer from text: byte-level BPE",
      FOR_TOKENIZER,
      tokenizer_verb,
      { "wick tokenizer train stories.txt -o tokens --vocab 8000",
        "wick tokenizer train *.txt -o tokens --special-token \"<s>\" --special-token \"</s>\"" } },
    { "inspect",
      "FILE [TENSOR]",
      "what is in a file of tensors",
      FOR_JSON,
      inspect_verb,
      { "wick inspect model.safetensors", "wick inspect model.safetensors model.norm.weight" } },
    { "quantize",
      "IN OUT",
      "a model into a GGUF file of fewer bits",
      FOR_QUANTIZE | FOR_JSON,
      quantize_verb,
      { "wick quantize model-bf16.gguf model.gguf --type q4_k_m",
        "wick quantize ./Qwen3-0.6B small.gguf --type iq3_xs --imatrix imatrix.gguf" } },
    { "imatrix",
      "MODEL TEXT...",
      "what the columns of weights count, for quantize",
      FOR_MODEL | FOR_IMATRIX,
      imatrix_verb,
      { "wick imatrix ./Qwen3-0.6B texts.txt -o qwen3.imatrix.gguf",
        "wick imatrix model.gguf a.txt b.txt --ctx 2048 --chunks 200" } },
    { "convert",
      "IN OUT",
      "between folders, GGUF files and safetensors",
      FOR_CONVERT | FOR_JSON,
      convert_verb,
      { "wick convert ./Qwen3-0.6B qwen3.gguf", "wick convert model.gguf ./folder --dtype bf16" } },
    { "train",
      "FILE...",
      "a new model from text",
      FOR_MODEL | FOR_TRAINING | FOR_TRAIN | FOR_JSON,
      train_verb,
      { "wick train stories.txt -o tiny --layers 5 --width 128 --epochs 10",
        "wick train book.txt -o small --config config.json --dtype bf16 --resume" } },
    { "finetune",
      "MODEL FILE...",
      "teach a model more, from text or from conversations",
      FOR_MODEL | FOR_TRAINING | FOR_FINETUNE | FOR_JSON,
      finetune_verb,
      { "wick finetune ./Qwen3-0.6B chats.jsonl -o tuned --lora 16",
        "wick finetune ./Llama-3.2-1B letters.txt -o mine --epochs 2" } },
    { "perplexity",
      "[MODEL] FILE",
      "how well a model predicts a text",
      FOR_MODEL | FOR_PERPLEXITY | FOR_JSON,
      perplexity_verb,
      { "wick perplexity ./Qwen3-0.6B letters.txt --ctx 2048",
        "wick perplexity ./Qwen3-0.6B - --stride 256 --json < letters.txt" } },
    { "bench",
      "[MODEL]",
      "how fast a model runs",
      FOR_MODEL | FOR_BENCH | FOR_JSON,
      bench_verb,
      { "wick bench ./Qwen3-0.6B -p 512 -n 128",
        "wick bench --synthetic llama-1.1b --dtype bf16 --threads 2" } },
    { "doctor",
      "",
      "what this build and this machine can do",
      FOR_JSON,
      doctor_verb,
      { "wick doctor", "wick doctor --json" } },
    { "completion",
      "bash|zsh|fish",
      "completion for a shell",
      0,
      completion_verb,
      { "wick completion bash > /etc/bash_completion.d/wick",
        "wick completion fish > ~/.config/fish/completions/wick.fish" } },
    { "help",
      "[VERB]",
      "this text, or that of a verb; \"help man\" is the manual page",
      0,
      help_verb,
      { "wick help run", "wick help man | man -l -" } },
};
const int verb_count = sizeof verbs / sizeof verbs[0];

int usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("wick: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return USAGE;
}

/* ---- Helpers of several verbs ------------------------------------------- */

int finish(void)
{
    if (wk_error() == WK_ERR_INTERRUPTED) {
        wk_clear();
        wk_finish();
        return INTERRUPTED;
    }
    return wk_finish() ? FAILED : DONE;
}

static wk_dtype dtype_named(const char *name)
{
    wk_dtype dtype = name ? wk_dtype_find(name) : WK_DEFAULT;
    if (name && dtype == WK_DEFAULT)
        wk_fail(WK_ERR_ARGUMENT, "there is no dtype %s: f32, bf16, f16, q8_0 ..", name);
    return dtype;
}

wk_dtype dtype_of(const settings *s) { return dtype_named(s->dtype); }
wk_dtype cache_of(const settings *s) { return dtype_named(s->cache); }

/* The model that comes with the program: as installed, and in the tree it was built in. */
static const char *own_model(void)
{
    static const char *const places[] = { "../share/wick/demo", "../apps/demo", "../../apps/demo" };
    static char              path[4200];
    char                     program[4096];
    ssize_t                  n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(program, '/');
    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%.*s/%s", (int)(slash - program), program, places[i]);
        if (!access(path, R_OK))
            return path;
    }
    wk_fail(WK_ERR_ARGUMENT, "no model is given, and the one that comes with wick is not there");
    return NULL;
}

wk_model *open_model(const settings *s, const char *path)
{
    wk_dtype dtype = dtype_of(s);
    path = path ? path : own_model();
    return path ? wk_model_open(path, .dtype = dtype, .cache = cache_of(s), .lenient = s->lenient)
                : NULL;
}

char *read_stdin(void)
{
    char  *text = NULL;
    size_t size = 0, room = 0;
    for (;;) {
        if (room - size < 4096) {
            room = room * 2 + 8192;
            char *grown = realloc(text, room);
            if (!grown) {
                free(text);
                wk_fail(WK_ERR_MEMORY, "stdin is too large");
                return NULL;
            }
            text = grown;
        }
        size_t n = fread(text + size, 1, room - size - 1, stdin);
        size += n;
        if (n == 0 || wk_interrupted())
            break;
    }
    if (wk_interrupted())
        wk_fail(WK_ERR_INTERRUPTED, "interrupted");
    else if (ferror(stdin))
        wk_fail(WK_ERR_IO, "cannot read stdin: %s", strerror(errno));
    text[size] = '\0';
    return text;
}

bool prompt_tokens(const settings *s, wk_model *m, const char *text, wk_tokens *out)
{
    if (!s->tokens)
        return wk_encode(out, wk_model_tokenizer(m), text, .no_special = s->no_special);
    for (const char *p = s->tokens; wk_ok() && *p;) {
        char *end;
        long  id = strtol(p, &end, 10);
        if (end == p || id < 0 || id > INT32_MAX || (*end && *end != ',' && *end != ' '))
            wk_fail(WK_ERR_ARGUMENT, "--tokens %s: expected ids like 1,2,3", s->tokens);
        wk_tokens_add(out, (int32_t)id);
        p = *end ? end + 1 : end;
    }
    return wk_ok();
}

/* How many bytes the character at p has, 0 if it is not UTF-8. */
static size_t character(const unsigned char *p, size_t left)
{
    size_t n = *p < 0x80 ? 1 : *p < 0xC2 ? 0 : *p < 0xE0 ? 2 : *p < 0xF0 ? 3 : *p < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if (i >= left || (p[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (*p == 0xE0 && p[1] < 0xA0) || (*p == 0xF0 && p[1] < 0x90);
    bool beyond = (*p == 0xED && p[1] > 0x9F) || (*p == 0xF4 && p[1] > 0x8F);
    return n > 2 && (overlong || beyond) ? 0 : n;
}

void json_into(FILE *f, const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    fputc('"', f);
    for (size_t n; p < end; p += n ? n : 1) {
        n = character(p, (size_t)(end - p));
        if (!n)
            fprintf(f, "\\ufffd");
        else if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if (*p < 32 || *p == 127)
            fprintf(f, "\\u%04x", *p);
        else
            fwrite(p, 1, n, f);
    }
    fputc('"', f);
}

void json_text(const char *text, size_t size) { json_into(stdout, text, size); }
void json_string(const char *text) { json_text(text, strlen(text)); }

/* ---- The program -------------------------------------------------------- */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    wk_interrupt();
}

/* Waiting for input ends, too, and a second signal ends the program at once. */
static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static const verb *find(const char *name)
{
    for (int i = 0; i < verb_count; i++)
        if (!strcmp(name, verbs[i].name))
            return &verbs[i];
    return NULL;
}

static int prepare(const settings *s)
{
    if (s->threads > 0)
        wk_set_threads((int)s->threads);
    wk_show_progress(!s->quiet);
    wk_set_log_level(s->quiet ? 0 : s->verbose ? 2 : 1);
    if (s->device) {
        wk_device *d = wk_device_open(s->device);
        if (!d)
            return finish();
        wk_set_default_device(d);
    }
    return DONE;
}

static int run(int argc, char **argv)
{
    static settings s;
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        print_help(NULL);
        return argc < 2 ? USAGE : DONE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("wick %s\n", wk_version());
        for (int i = 0; wk_features(i); i++)
            if (!wk_features(i)->present)
                printf("without %s\n", wk_features(i)->name);
        return DONE;
    }
    const verb *v = find(argv[1]);
    if (!v)
        return usage("there is no verb %s: wick help lists them", argv[1]);
    if (!parse(v, argc - 2, argv + 2, &s))
        return USAGE;
    if (s.help) {
        print_help(v);
        return DONE;
    }
    catch_signals();
    int code = prepare(&s);
    return code == DONE ? v->run(&s) : code;
}

int main(int argc, char **argv)
{
    int code = run(argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && code == DONE)
        code = usage("cannot write to stdout"), code = FAILED;
    return code;
}
