// SPDX-License-Identifier: MIT OR Apache-2.0
/* chat.c - wick chat: a conversation, line by line.
 *
 * Each turn renders the whole conversation anew; the session computes only what it does not
 * hold yet.  Ctrl-C stops the answer; without one to stop, twice of it ends the program. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *role;
    char       *text;
} message;

typedef struct {
    const settings *s;
    wk_model       *model, *draft;
    wk_session     *session;
    message        *said;
    size_t          count;
    bool            person; /* somebody sits at a terminal */
    char           *answer; /* as it comes ... */
    size_t          answer_size;
    FILE           *answer_into; /* ... through this */
    bool            over;
} chat;

static volatile sig_atomic_t terminated;

static void on_signal(int number)
{
    terminated |= number == SIGTERM;
    wk_interrupt();
}

/* ---- What was said ------------------------------------------------------ */

static void no_memory(void) { wk_fail(WK_ERR_MEMORY, "the conversation is too long for memory"); }

static bool say(chat *c, const char *role, const char *text, size_t size)
{
    message *more = realloc(c->said, (c->count + 1) * sizeof *more);
    c->said = more ? more : c->said;
    char *copy = more ? strndup(text, size) : NULL;
    if (!copy)
        return no_memory(), false;
    c->said[c->count++] = (message){ role, copy };
    return true;
}

/* Forget all but the first so many messages. */
static void forget(chat *c, size_t count)
{
    while (c->count > count)
        free(c->said[--c->count].text);
}

static size_t system_count(const chat *c) { return c->count && !strcmp(c->said[0].role, "system"); }

/* As JSON, free() it. */
static char *messages(const chat *c, const char *between)
{
    char  *text = NULL;
    size_t size = 0;
    FILE  *f = open_memstream(&text, &size);
    if (!f)
        return no_memory(), NULL;
    fputc('[', f);
    for (size_t i = 0; i < c->count; i++) {
        fprintf(f, "%s{\"role\": \"%s\", \"content\": ", i ? between : "", c->said[i].role);
        json_into(f, c->said[i].text, strlen(c->said[i].text));
        fputc('}', f);
    }
    fputs("]", f);
    if (fclose(f)) {
        free(text);
        return no_memory(), NULL;
    }
    return text;
}

/* ---- Answers ------------------------------------------------------------ */

static bool show(const char *text, void *user)
{
    chat *c = user;
    fputs(text, c->answer_into);
    fputs(text, stdout);
    return !fflush(stdout); /* nobody reads any more: stop */
}

static bool ask(chat *c, const char *json, wk_generate_stats *stats)
{
    wk_tokens prompt = { 0 };
    if (wk_chat_tokens(&prompt, .model = c->model, .messages = json))
        wk_generate(c->model, .tokens = prompt.id, .token_count = (int64_t)prompt.count,
                    .max_tokens = c->s->max_tokens, .context = c->s->context, .session = c->session,
                    .sampling = sampling_of(c->s, c->model), .stop = c->s->stop, .draft = c->draft,
                    .lookup = c->s->lookup, .draft_tokens = c->s->draft_tokens, .on_text = show,
                    .user = c, .stats = stats);
    wk_tokens_free(&prompt);
    return wk_ok();
}

/* An error in a conversation does not end it, unless a script speaks. */
static void recover(chat *c)
{
    if (wk_ok())
        return;
    if (wk_error() == WK_ERR_INTERRUPTED && !terminated) {
        wk_resume();
        wk_clear();
    } else if (c->person && !terminated) {
        fprintf(stderr, "wick: %s\n", wk_message());
        wk_clear();
    } else {
        c->over = true;
    }
}

static void answer(chat *c, const char *line)
{
    size_t            before = c->count;
    wk_generate_stats stats = { 0 };
    char             *json = say(c, "user", line, strlen(line)) ? messages(c, ", ") : NULL;
    c->answer_into = json ? open_memstream(&c->answer, &c->answer_size) : NULL;
    if (json && !c->answer_into)
        no_memory();
    bool good = c->answer_into && ask(c, json, &stats);
    if (c->answer_into && fclose(c->answer_into) && good)
        no_memory();
    bool stopped = wk_error() == WK_ERR_INTERRUPTED;
    if (stats.new_tokens || good)
        putchar('\n');
    if (fflush(stdout) || ferror(stdout))
        c->over = true;
    recover(c);
    if ((good || stopped) && wk_ok())
        say(c, "assistant", c->answer, c->answer_size);
    else
        forget(c, before);
    if (good && c->s->verbose)
        report(&stats);
    free(c->answer);
    free(json);
    c->answer = NULL;
}

/* ---- Commands ----------------------------------------------------------- */

static void save(const chat *c, const char *path)
{
    char *json = messages(c, ",\n ");
    FILE *f = json ? fopen(path, "w") : NULL;
    bool  written = f && fprintf(f, "%s\n", json) > 0;
    if (f && fclose(f))
        written = false;
    if (json && !written)
        fprintf(stderr, "wick: %s: %s\n", path, strerror(errno));
    free(json);
}

static void set_system(chat *c, const char *text)
{
    forget(c, 0);
    if (*text)
        say(c, "system", text, strlen(text));
}

static bool is(const char *line, const char *name)
{
    size_t n = strlen(name);
    return !strncmp(line, name, n) && (!line[n] || line[n] == ' ');
}

static void command(chat *c, const char *line)
{
    size_t      n = strcspn(line, " ");
    const char *rest = line + n + strspn(line + n, " ");
    if (is(line, "/exit") || is(line, "/quit"))
        c->over = true;
    else if (is(line, "/reset"))
        forget(c, system_count(c));
    else if (is(line, "/system"))
        set_system(c, rest);
    else if (is(line, "/save") && *rest)
        save(c, rest);
    else
        fprintf(stderr, "/reset          begin anew\n"
                        "/system TEXT    begin anew with these instructions\n"
                        "/save FILE      write the conversation as JSON\n"
                        "/exit           end; so does Ctrl-D\n"
                        "A line that ends with \\ goes on in the next one.  Ctrl-C stops an "
                        "answer.\n");
}

/* ---- Lines -------------------------------------------------------------- */

/* A line, and those that a \ at its end joins to it; free() it.  NULL: there are no more. */
static char *read_line(const chat *c)
{
    char  *text = NULL, *line = NULL;
    size_t size = 0, room = 0;
    bool   more = true;
    while (more) {
        if (c->person)
            fputs(text ? ". " : "> ", stderr);
        ssize_t n = getline(&line, &room, stdin);
        if (n < 0)
            break;
        n -= n && line[n - 1] == '\n';
        n -= n && line[n - 1] == '\r';
        more = n && line[n - 1] == '\\';
        if (more)
            line[n - 1] = '\n';
        char *grown = realloc(text, size + (size_t)n + 1);
        if (!grown) {
            no_memory();
            break;
        }
        text = grown;
        memcpy(text + size, line, (size_t)n);
        size += (size_t)n;
        text[size] = '\0';
    }
    free(line);
    if (wk_ok() && !wk_interrupted())
        return text;
    free(text);
    return NULL;
}

static void converse(chat *c)
{
    int in_a_row = 0;
    while (!c->over && wk_ok()) {
        char *line = read_line(c);
        if (!line && wk_interrupted() && c->person && !terminated && !in_a_row++) {
            fputs("\n(Ctrl-C again, Ctrl-D or /exit ends)\n", stderr);
            clearerr(stdin);
            wk_resume();
            continue;
        }
        if (!line && wk_interrupted())
            wk_fail(WK_ERR_INTERRUPTED, "interrupted");
        else if (!line && ferror(stdin))
            wk_fail(WK_ERR_IO, "cannot read stdin: %s", strerror(errno));
        if (!line)
            break;
        in_a_row = 0;
        if (line[0] == '/')
            command(c, line);
        else if (line[strspn(line, " \t")])
            answer(c, line);
        free(line);
    }
    if (c->person && wk_ok() && !c->over)
        fputc('\n', stderr);
}

int chat_verb(settings *s)
{
    if (s->places > 1)
        return usage("chat: one model, not %d arguments", s->places);
    struct sigaction action = { .sa_handler = on_signal };
    chat             c = { .s = s, .person = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) };
    c.model = open_model(s, s->places ? s->place[0] : NULL);
    c.draft = c.model && s->draft ? open_model(s, s->draft) : NULL;
    wk_lora *lora = c.model && s->adapter ? wk_lora_open(c.model, s->adapter) : NULL;
    wk_lora_merge(lora);
    if (c.model && wk_ok())
        c.session = wk_session_new(c.model, .context = s->context);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (c.session) {
        if (c.person && !s->quiet)
            fputs("/help shows the commands\n", stderr);
        set_system(&c, s->system ? s->system : "");
        converse(&c);
    }
    forget(&c, 0);
    free(c.said);
    wk_session_free(c.session);
    wk_lora_free(lora);
    wk_model_free(c.model);
    wk_model_free(c.draft);
    return finish();
}
