// SPDX-License-Identifier: MIT OR Apache-2.0
/* conf.c - a JSON object as a flat list of named values. */
#include "conf.h"

#include <stdio.h>

typedef struct {
    char        *key;
    wk_json_kind kind;
    double       number;
    bool         truth, asked;
    char        *text;
} item;

struct wk_conf {
    char  *file;
    item  *item;
    size_t count, room;
    wk_map index;
};

/* ---- Reading ------------------------------------------------------------ */

static item *add(wk_conf *c, const char *key, wk_json_kind kind)
{
    if (!wk_reserve(&c->item, &c->room, c->count + 1, sizeof *c->item))
        return NULL;
    item *it = &c->item[c->count];
    *it = (item){ .key = wk_str_copy(wk_str_of(key)), .kind = kind };
    if (!it->key)
        return NULL;
    if (!wk_map_put(&c->index, wk_str_of(it->key), (int64_t)c->count)) {
        wk_free(it->key);
        return NULL;
    }
    c->count++;
    return it;
}

static void read_scalar(wk_conf *c, wk_json *j, const char *key, wk_json_kind kind)
{
    item *it = add(c, key, kind);
    if (!it)
        return;
    switch (kind) {
    case WK_JSON_NULL:
        wk_json_null(j);
        break;
    case WK_JSON_BOOL:
        it->truth = wk_json_bool(j);
        break;
    case WK_JSON_NUMBER:
        it->number = wk_json_number(j);
        break;
    case WK_JSON_STRING:
        it->text = wk_str_copy(wk_json_string(j));
        break;
    default:
        wk_json_fail(j, "expected a value");
    }
}

/* Members of the container at the reader, under path; its length on the way back. */
static void read_value(wk_conf *c, wk_json *j, wk_buf *path)
{
    enum { MOST = 32 };
    struct {
        size_t path; /* its length without the member */
        int    index;
        bool   object;
    } open[MOST];
    int depth = 0;
    do {
        wk_json_kind kind = wk_json_peek(j);
        if ((kind == WK_JSON_OBJECT || kind == WK_JSON_ARRAY) && depth == MOST) {
            wk_json_fail(j, "nested deeper than %d", MOST);
        } else if (kind == WK_JSON_OBJECT || kind == WK_JSON_ARRAY) {
            open[depth].path = path->size;
            open[depth].index = 0;
            open[depth++].object = kind == WK_JSON_OBJECT;
            kind == WK_JSON_OBJECT ? wk_json_object(j) : wk_json_array(j);
        } else {
            read_scalar(c, j, path->data, kind);
        }
        for (bool more = false; depth && wk_ok() && !more; depth -= !more) {
            wk_str key;
            bool   object = open[depth - 1].object;
            path->size = open[depth - 1].path;
            more = object ? wk_json_key(j, &key) : wk_json_item(j);
            if (more && path->size)
                wk_buf_char(path, '.');
            if (more && object)
                wk_buf_str(path, key);
            else if (more)
                wk_buf_printf(path, "%d", open[depth - 1].index++);
        }
    } while (depth && wk_ok());
}

wk_conf *wk_conf_parse(const char *file, const char *data, size_t size)
{
    wk_conf *c = wk_ok() ? wk_alloc(sizeof *c) : NULL;
    wk_buf   path = { 0 };
    wk_json  j;
    if (!c)
        return NULL;
    c->file = wk_str_copy(wk_str_of(file));
    if (wk_json_open(&j, file, data, size) && wk_json_peek(&j) != WK_JSON_OBJECT)
        wk_json_fail(&j, "expected an object");
    if (wk_ok())
        read_value(c, &j, &path);
    wk_json_close(&j);
    wk_buf_free(&path);
    if (wk_ok())
        return c;
    wk_conf_free(c);
    return NULL;
}

wk_conf *wk_conf_open(const char *path)
{
    wk_file *f = wk_file_open(path);
    wk_conf *c = f ? wk_conf_parse(path, f->data, f->size) : NULL;
    wk_file_release(f);
    return c;
}

void wk_conf_free(wk_conf *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++) {
        wk_free(c->item[i].key);
        wk_free(c->item[i].text);
    }
    wk_free(c->item);
    wk_map_free(&c->index);
    wk_free(c->file);
    wk_free(c);
}

/* ---- Asking ------------------------------------------------------------- */

/* The value, if it is there and not null; it must then be of this kind. */
static const item *find(wk_conf *c, const char *key, wk_json_kind kind)
{
    static const char *const names[] = {
        [WK_JSON_BOOL] = "true or false",
        [WK_JSON_NUMBER] = "a number",
        [WK_JSON_STRING] = "a text",
    };
    int64_t i;
    if (!wk_ok() || !wk_map_get(&c->index, wk_str_of(key), &i))
        return NULL;
    item *it = &c->item[i];
    it->asked = true;
    if (it->kind == WK_JSON_NULL)
        return NULL;
    if (it->kind != kind) {
        wk_fail(WK_ERR_FORMAT, "%s: %s is not %s", c->file, key, names[kind]);
        return NULL;
    }
    return it;
}

bool wk_conf_named(const wk_conf *c, const char *key)
{
    return wk_map_get(&c->index, wk_str_of(key), NULL);
}

bool wk_conf_has(wk_conf *c, const char *key)
{
    int64_t i;
    return wk_map_get(&c->index, wk_str_of(key), &i) && c->item[i].kind != WK_JSON_NULL;
}

double wk_conf_number(wk_conf *c, const char *key, double otherwise)
{
    const item *it = find(c, key, WK_JSON_NUMBER);
    return it ? it->number : otherwise;
}

int64_t wk_conf_int(wk_conf *c, const char *key, int64_t otherwise)
{
    const item *it = find(c, key, WK_JSON_NUMBER);
    if (!it)
        return otherwise;
    if (it->number >= -0x1p53 && it->number <= 0x1p53 && it->number == (double)(int64_t)it->number)
        return (int64_t)it->number;
    wk_fail(WK_ERR_FORMAT, "%s: %s is not an integer", c->file, key);
    return otherwise;
}

int32_t wk_conf_int32(wk_conf *c, const char *key, int32_t otherwise)
{
    int64_t n = wk_conf_int(c, key, otherwise);
    if (n >= INT32_MIN && n <= INT32_MAX)
        return (int32_t)n;
    wk_fail(WK_ERR_FORMAT, "%s: %s is %lld", c->file, key, (long long)n);
    return otherwise;
}

int64_t wk_conf_size(wk_conf *c, const char *key, int64_t otherwise)
{
    int64_t n = wk_conf_int(c, key, otherwise);
    if (wk_ok() && n == 0 && otherwise == 0 && !wk_conf_has(c, key))
        wk_fail(WK_ERR_FORMAT, "%s: %s is missing", c->file, key);
    else if (wk_ok() && (n < 1 || n > INT32_MAX))
        wk_fail(WK_ERR_FORMAT, "%s: %s is %lld", c->file, key, (long long)n);
    return n;
}

bool wk_conf_bool(wk_conf *c, const char *key, bool otherwise)
{
    const item *it = find(c, key, WK_JSON_BOOL);
    return it ? it->truth : otherwise;
}

const char *wk_conf_text(wk_conf *c, const char *key, const char *otherwise)
{
    const item *it = find(c, key, WK_JSON_STRING);
    return it ? it->text : otherwise;
}

const char *wk_conf_file(const wk_conf *c) { return c->file; }

void wk_conf_accept(wk_conf *c, const char *prefix)
{
    for (size_t i = 0; i < c->count; i++)
        if (wk_str_starts(wk_str_of(c->item[i].key), prefix))
            c->item[i].asked = true;
}

const char *wk_conf_unknown(const wk_conf *c, const char *const *harmless)
{
    for (size_t i = 0; i < c->count; i++) {
        const item *it = &c->item[i];
        bool        fine =
            it->asked || it->kind == WK_JSON_NULL || (it->kind == WK_JSON_BOOL && !it->truth);
        for (int k = 0; !fine && harmless[k]; k++)
            fine = wk_str_starts(wk_str_of(it->key), harmless[k]);
        if (!fine)
            return it->key;
    }
    return NULL;
}
