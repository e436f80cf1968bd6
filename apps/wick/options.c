// SPDX-License-Identifier: MIT OR Apache-2.0
/* options.c - the table of options, and how they are read. */
#include "cli.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(settings, field)

const option options[] = {
#include "options.def"
};
const int option_count = sizeof options / sizeof options[0];
_Static_assert(sizeof options / sizeof options[0] <= MOST_OPTIONS, "settings.given is too short");

bool given(const settings *s, const char *name)
{
    for (int i = 0; i < option_count; i++)
        if (!strcmp(options[i].name, name))
            return s->given[i];
    return false;
}

/* ---- Reading ------------------------------------------------------------ */

static bool takes(const verb *v, const option *o) { return (v->takes | FOR_ALL) & o->verbs; }

/* The option of --name, --name=value, or -x; *value is what stands behind a =. */
static const option *find(const verb *v, const char *arg, const char **value)
{
    const char *equals = strchr(arg, '=');
    size_t      length = equals ? (size_t)(equals - arg) : strlen(arg);
    *value = equals ? equals + 1 : NULL;
    for (int i = 0; i < option_count; i++) {
        const option *o = &options[i];
        bool          is_long =
            arg[1] == '-' && strlen(o->name) == length - 2 && !memcmp(o->name, arg + 2, length - 2);
        if (takes(v, o) && (is_long || (arg[1] == o->letter && o->letter && length == 2)))
            return o;
    }
    return NULL;
}

static bool store(const option *o, const char *text, settings *s)
{
    void *field = (char *)s + o->field;
    char *end = "";
    errno = 0;
    switch (o->kind) {
    case FLAG:
        *(bool *)field = true;
        break;
    case INTEGER:
        *(int64_t *)field = strtoll(text, &end, 10);
        break;
    case NUMBER:
        *(double *)field = strtod(text, &end);
        break;
    case TEXT:
        *(const char **)field = text;
        break;
    case TEXTS: {
        const char **list = field;
        int          n = 0;
        while (list[n])
            n++;
        if (n == MOST_STOPS)
            return false;
        list[n] = text;
    } break;
    }
    s->given[o - options] = true;
    return errno == 0 && *end == '\0' && (o->kind == FLAG || *text || o->kind == TEXT);
}

/* A negative number is no option: wick detokenize -1 is an error of its own. */
static bool is_option(const char *arg)
{
    return arg[0] == '-' && arg[1] && !(arg[1] >= '0' && arg[1] <= '9');
}

bool parse(const verb *v, int argc, char **argv, settings *s)
{
    bool only_places = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i], *value;
        if (!only_places && !strcmp(arg, "--")) {
            only_places = true;
        } else if (only_places || !is_option(arg)) {
            if (s->places == MOST_PLACES)
                return usage("%s: more than %d arguments", v->name, MOST_PLACES), false;
            s->place[s->places++] = arg;
        } else {
            const option *o = find(v, arg, &value);
            if (!o)
                return usage("%s: there is no option %s: wick help %s", v->name, arg, v->name),
                       false;
            if (o->value && !value)
                value = ++i < argc ? argv[i] : NULL;
            if (o->value && !value)
                return usage("%s: %s needs a value: %s", v->name, arg, o->value), false;
            if ((!o->value && value) || !store(o, value ? value : "", s))
                return usage("%s: %s: not a value: %s", v->name, arg, value), false;
        }
    }
    return true;
}
