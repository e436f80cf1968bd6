// SPDX-License-Identifier: MIT OR Apache-2.0
/* post.c - what stands around a text: <s>, [CLS], [SEP].
 *
 * Whatever the post-processor is called, for a single text it comes to a list of ids
 * with the text somewhere between them. */
#include "text.h"

enum { MAX_NESTING = 16 };

/* The name of a template's item waits until the names have ids. */
typedef struct {
    wk_str  *name; /* at is NULL: the text */
    size_t   names, name_room;
    wk_map   ids; /* from a name to its place in id: how many, and they */
    int32_t *id;
    size_t   count, room;
} template;

static bool add(int32_t **id, size_t *count, size_t *room, int64_t x)
{
    if (!wk_reserve(id, room, *count + 1, sizeof **id))
        return false;
    (*id)[(*count)++] = (int32_t)x;
    return true;
}

bool wk_post_add(wk_post *p, int64_t id) { return add(&p->id, &p->count, &p->room, id); }

static int64_t read_id(wk_json *j)
{
    int64_t id = wk_json_int(j);
    if (wk_ok() && (id < 0 || id > INT32_MAX))
        wk_json_fail(j, "post_processor: %lld is not an id", (long long)id);
    return id;
}

static void unknown(wk_json *j, const char *type, wk_str key)
{
    wk_json_fail(j, "post_processor %s: unknown option \"%.*s\"", type,
                 (int)wk_min_i64((int64_t)key.size, 60), key.at);
}

/* ---- TemplateProcessing ------------------------------------------------- */

/* {"SpecialToken": {"id": name, ...}} or {"Sequence": {"id": "A", ...}} */
static void read_item(template *x, wk_tokenizer *t, wk_json *j)
{
    wk_str key, name = { 0 };
    bool   special = false;
    for (wk_json_object(j); wk_json_key(j, &key);) {
        special = wk_str_is(key, "SpecialToken");
        if (!special && !wk_str_is(key, "Sequence"))
            unknown(j, "TemplateProcessing", key);
        for (wk_json_object(j); wk_json_key(j, &key);)
            if (wk_str_is(key, "id"))
                name = wk_text_keep(t, wk_json_string(j));
            else
                wk_json_skip(j);
    }
    if (wk_ok() && (!name.at || (!special && !wk_str_is(name, "A"))))
        wk_json_fail(j, "post_processor TemplateProcessing: \"single\" has the text A alone");
    if (wk_ok() && wk_reserve(&x->name, &x->name_room, x->names + 1, sizeof *x->name))
        x->name[x->names++] = special ? name : (wk_str){ 0 };
}

/* {name: {"id": name, "ids": [...], "tokens": [...]}, ...} */
static void read_special(template *x, wk_tokenizer *t, wk_json *j)
{
    wk_str key;
    for (wk_json_object(j); wk_json_key(j, &key);) {
        size_t start = x->count;
        wk_map_put(&x->ids, wk_text_keep(t, key), (int64_t)start);
        add(&x->id, &x->count, &x->room, 0);
        for (wk_json_object(j); wk_json_key(j, &key);)
            if (!wk_str_is(key, "ids"))
                wk_json_skip(j);
            else
                for (wk_json_array(j); wk_json_item(j);)
                    if (add(&x->id, &x->count, &x->room, read_id(j)))
                        x->id[start]++;
    }
}

static void resolve(const template *x, wk_post *post, wk_json *j)
{
    for (size_t i = 0; i < x->names && wk_ok(); i++) {
        int64_t at;
        if (!x->name[i].at)
            wk_post_add(post, WK_SEQUENCE);
        else if (wk_map_get(&x->ids, x->name[i], &at))
            for (int32_t n = 0; n < x->id[at]; n++)
                wk_post_add(post, x->id[at + 1 + n]);
        else
            wk_json_fail(j, "post_processor TemplateProcessing: no ids for \"%.60s\"",
                         x->name[i].at);
    }
}

static void read_template(wk_tokenizer *t, wk_json *j)
{
    template x = { 0 };
    wk_str key;
    for (wk_json_object(j); wk_json_key(j, &key);)
        if (wk_str_is(key, "single"))
            for (wk_json_array(j); wk_json_item(j);)
                read_item(&x, t, j);
        else if (wk_str_is(key, "special_tokens"))
            read_special(&x, t, j);
        else if (wk_str_is(key, "type") || wk_str_is(key, "pair"))
            wk_json_skip(j);
        else
            unknown(j, "TemplateProcessing", key);
    if (wk_ok())
        resolve(&x, &t->post, j);
    wk_free(x.name);
    wk_free(x.id);
    wk_map_free(&x.ids);
}

/* ---- The others --------------------------------------------------------- */

/* BertProcessing and RobertaProcessing: "cls" and "sep" are [text, id]. */
static void read_pair(wk_tokenizer *t, wk_json *j)
{
    int64_t id[2] = { -1, -1 };
    wk_str  key;
    for (wk_json_object(j); wk_json_key(j, &key);) {
        bool sep = wk_str_is(key, "sep");
        if (sep || wk_str_is(key, "cls")) {
            int n = 0;
            for (wk_json_array(j); wk_json_item(j); n++)
                if (n == 1)
                    id[sep] = read_id(j);
                else
                    wk_json_string(j);
        } else if (wk_str_is(key, "type") || wk_str_is(key, "trim_offsets") ||
                   wk_str_is(key, "add_prefix_space")) {
            wk_json_skip(j); /* the latter two move offsets, not ids */
        } else {
            unknown(j, "BertProcessing", key);
        }
    }
    if (wk_ok() && (id[0] < 0 || id[1] < 0))
        wk_json_fail(j, "post_processor: \"cls\" or \"sep\" is missing");
    wk_post_add(&t->post, id[0]);
    wk_post_add(&t->post, WK_SEQUENCE);
    wk_post_add(&t->post, id[1]);
}

static void read_any(wk_tokenizer *t, wk_json *j, int nesting);

static void read_sequence(wk_tokenizer *t, wk_json *j, int nesting)
{
    wk_str key;
    if (nesting == MAX_NESTING)
        wk_json_fail(j, "post_processor: sequences nested deeper than %d", MAX_NESTING);
    for (wk_json_object(j); wk_json_key(j, &key);)
        if (wk_str_is(key, "processors"))
            for (wk_json_array(j); wk_json_item(j);)
                read_any(t, j, nesting + 1);
        else if (wk_str_is(key, "type"))
            wk_json_skip(j);
        else
            unknown(j, "Sequence", key);
}

static void read_any(wk_tokenizer *t, wk_json *j, int nesting)
{
    static const struct {
        const char *type;
        void (*read)(wk_tokenizer *t, wk_json *j);
    } kinds[] = { { "TemplateProcessing", read_template },
                  { "BertProcessing", read_pair },
                  { "RobertaProcessing", read_pair } };
    char type[64];
    if (!wk_peek_type(j, type))
        return;
    if (!strcmp(type, "Sequence")) {
        read_sequence(t, j, nesting);
        return;
    }
    if (!strcmp(type, "ByteLevel")) { /* moves offsets, not ids */
        wk_json_skip(j);
        return;
    }
    for (size_t i = 0; i < WK_COUNT(kinds); i++)
        if (!strcmp(kinds[i].type, type)) {
            if (t->post.given)
                wk_json_fail(j, "post_processor: two that add tokens");
            t->post.given = true;
            kinds[i].read(t, j);
            return;
        }
    wk_json_fail(j, "post_processor of type \"%s\" is not supported", type);
}

bool wk_post_read(wk_tokenizer *t, wk_json *j)
{
    if (!wk_json_null(j))
        read_any(t, j, 0);
    return wk_ok();
}
