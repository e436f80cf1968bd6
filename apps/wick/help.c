// SPDX-License-Identifier: MIT OR Apache-2.0
/* help.c - help, the manual page and shell completion, from the tables. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static bool takes(const verb *v, const option *o) { return (v->takes | FOR_ALL) & o->verbs; }

static void print_option(const option *o)
{
    char name[64];
    int  n = o->letter ? snprintf(name, sizeof name, "-%c, --%s", o->letter, o->name)
                       : snprintf(name, sizeof name, "    --%s", o->name);
    if (o->value)
        snprintf(name + n, sizeof name - (size_t)n, " %s", o->value);
    printf("  %-26s  %s\n", name, o->help);
}

void print_help(const verb *v)
{
    if (v) {
        printf("wick %s %s\n\n  %s.\n\n", v->name, v->arguments, v->summary);
        for (int i = 0; i < option_count; i++)
            if (takes(v, &options[i]))
                print_option(&options[i]);
        printf("\nExamples:\n  %s\n  %s\n", v->example[0], v->example[1]);
        return;
    }
    printf("wick %s - language models on your own machine\n\n", wk_version());
    for (int i = 0; i < verb_count; i++)
        printf("  wick %-10s %-18s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].summary);
    printf("\nMODEL is a folder with config.json, weights and tokenizer.json, or a GGUF file;\n"
           "without one, run and chat use the small model that comes with wick.\n"
           "wick help VERB shows the options and two examples.\n");
}

/* ---- The manual page ---------------------------------------------------- */

static void roff(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p == '-')
            fputs("\\-", stdout);
        else if (*p == '\\')
            fputs("\\e", stdout);
        else
            putchar(*p);
}

static void manual_verb(const verb *v)
{
    printf(".SS \"wick %s ", v->name);
    roff(v->arguments);
    printf("\"\n%s.\n", v->summary);
    for (int i = 0; i < option_count; i++) {
        const option *o = &options[i];
        if (!(v->takes & o->verbs))
            continue;
        printf(".TP\n.B ");
        if (o->letter)
            printf("\\-%c, ", o->letter);
        roff("--");
        roff(o->name);
        printf("%s%s\n", o->value ? " " : "", o->value ? o->value : "");
        roff(o->help);
        putchar('\n');
    }
    printf(".PP\nExamples:\n.nf\n");
    for (int i = 0; i < 2; i++) {
        roff(v->example[i]);
        putchar('\n');
    }
    printf(".fi\n");
}

static void manual(void)
{
    printf(".TH WICK 1 \"\" \"wick %s\"\n.SH NAME\nwick \\- language models on your own machine\n"
           ".SH SYNOPSIS\n.B wick\nVERB [ARGUMENTS] [OPTIONS]\n.SH DESCRIPTION\n"
           "MODEL is a folder with config.json, weights and tokenizer.json, or a GGUF file.\n"
           "Data goes to stdout, talk to stderr.\n.SH VERBS\n",
           wk_version());
    for (int i = 0; i < verb_count; i++)
        manual_verb(&verbs[i]);
    printf(".SH EXIT STATUS\n0: done; 1: failed; 2: wrong usage; 130: interrupted.\n"
           ".SH ENVIRONMENT\n"
           ".TP\n.B WICK_THREADS\nhow many threads\n"
           ".TP\n.B WICK_CPU\nan instruction set: base, avx2, avx512, amx, i8mm\n"
           ".TP\n.B WICK_LOG\nerror, warn, info or debug\n"
           ".TP\n.B WICK_TRACE\nops, fallback: every operation, or those without a fast kernel\n"
           ".TP\n.B WICK_ABORT\nabort where the first error happens\n");
}

int help_verb(settings *s)
{
    if (s->places == 0) {
        print_help(NULL);
        return DONE;
    }
    if (!strcmp(s->place[0], "man")) {
        manual();
        return DONE;
    }
    for (int i = 0; i < verb_count; i++)
        if (!strcmp(verbs[i].name, s->place[0])) {
            print_help(&verbs[i]);
            return DONE;
        }
    return usage("there is no verb %s: wick help lists them", s->place[0]);
}

/* ---- Completion --------------------------------------------------------- */

static void bash(void)
{
    printf("_wick() {\n  local word=${COMP_WORDS[COMP_CWORD]} words=\n"
           "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words='");
    for (int i = 0; i < verb_count; i++)
        printf("%s%s", i ? " " : "", verbs[i].name);
    printf("'\n  else case ${COMP_WORDS[1]} in\n");
    for (int i = 0; i < verb_count; i++) {
        printf("    %s) words='", verbs[i].name);
        for (int k = 0; k < option_count; k++)
            if (takes(&verbs[i], &options[k]))
                printf("--%s ", options[k].name);
        printf("' ;;\n");
    }
    printf("  esac; fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
           "complete -o default -F _wick wick\n");
}

static void fish(void)
{
    for (int i = 0; i < verb_count; i++) {
        printf("complete -c wick -n __fish_use_subcommand -a %s -d '%s'\n", verbs[i].name,
               verbs[i].summary);
        for (int k = 0; k < option_count; k++)
            if (takes(&verbs[i], &options[k]))
                printf("complete -c wick -n '__fish_seen_subcommand_from %s' -l %s%s\n",
                       verbs[i].name, options[k].name, options[k].value ? " -r" : "");
    }
}

int completion_verb(settings *s)
{
    const char *shell = s->places ? s->place[0] : "";
    if (!strcmp(shell, "zsh"))
        printf("autoload -U +X bashcompinit && bashcompinit\n");
    if (!strcmp(shell, "bash") || !strcmp(shell, "zsh"))
        bash();
    else if (!strcmp(shell, "fish"))
        fish();
    else
        return usage("completion: for bash, zsh or fish?");
    return DONE;
}
