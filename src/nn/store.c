// SPDX-License-Identifier: MIT OR Apache-2.0
/* store.c - named parameters: made, or taken from files, and owned.
 *
 * A parameter is found by its full name; asking twice gives the same tensor, which is
 * how weights are tied. */
#include "nn.h"
#include <wick/io.h>

#include <math.h>
#include <stdio.h>

struct wk_store {
    wk_tensor **param;
    bool       *fixed; /* which of them are buffers */
    size_t      count, room, fixed_room;
    wk_map      index;   /* name -> param; the names are the tensors' */
    wk_archive *archive; /* NULL: parameters are made */
    bool       *asked;   /* for, of each tensor of the archive */
    wk_dtype    dtype;
    wk_device  *device;
};

wk_store *wk_store_new(void) { return wk_ok() ? wk_alloc(sizeof(wk_store)) : NULL; }

void wk_store_set_dtype(wk_store *s, wk_dtype dtype)
{
    if (s)
        s->dtype = dtype;
}

wk_store *wk_store_open_with(const wk_store_args *a)
{
    wk_store *s = wk_store_new();
    if (!s)
        return NULL;
    s->dtype = a->dtype;
    s->device = a->device ? a->device : wk_default_device();
    s->archive = wk_archive_open(a->path);
    if (s->archive)
        s->asked = wk_alloc_array((size_t)wk_archive_count(s->archive), sizeof *s->asked);
    if (wk_ok())
        return s;
    wk_store_free(s);
    return NULL;
}

void wk_store_free(wk_store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        wk_drop(s->param[i]);
    wk_free(s->param);
    wk_free(s->fixed);
    wk_free(s->asked);
    wk_map_free(&s->index);
    wk_archive_free(s->archive);
    wk_free(s);
}

/* ---- What is in it ------------------------------------------------------ */

int wk_store_count(const wk_store *s) { return s ? (int)s->count : 0; }

wk_tensor *wk_store_at(const wk_store *s, int i)
{
    return s && i >= 0 && (size_t)i < s->count ? s->param[i] : NULL;
}

wk_tensor *wk_store_find(const wk_store *s, const char *name)
{
    int64_t i;
    return s && name && wk_map_get(&s->index, wk_str_of(name), &i) ? s->param[i] : NULL;
}

int64_t wk_store_elements(const wk_store *s)
{
    int64_t n = 0;
    for (int i = 0; i < wk_store_count(s); i++)
        n += wk_count(s->param[i]);
    return n;
}

void wk_store_track(wk_store *s, bool on)
{
    for (int i = 0; i < wk_store_count(s); i++)
        if (wk_dtypes[s->param[i]->dtype].is_float && !wk_is_quantized(s->param[i]) && !s->fixed[i])
            s->param[i]->tracked = on;
}

const wk_archive *wk_store_archive(const wk_store *s) { return s ? s->archive : NULL; }

const char *wk_store_unused(const wk_store *s, int i)
{
    for (int k = 0; s && s->archive && k < wk_archive_count(s->archive); k++)
        if (!s->asked[k] && i-- == 0)
            return wk_archive_name(s->archive, k);
    return NULL;
}

static wk_tensor *keep(wk_store *s, const char *name, wk_tensor *x, bool fixed)
{
    size_t need = s->count + 1;
    if (!x || !wk_set_name(x, name) || !wk_reserve(&s->param, &s->room, need, sizeof x) ||
        !wk_reserve(&s->fixed, &s->fixed_room, need, sizeof *s->fixed) ||
        !wk_map_put(&s->index, wk_str_of(x->name), (int64_t)s->count))
        return NULL;
    s->fixed[s->count] = fixed;
    return s->param[s->count++] = wk_keep(x);
}

wk_tensor *wk_store_replace(wk_store *s, const char *name, wk_tensor *x)
{
    int64_t i;
    if (!wk_ok() || !s || !x)
        return NULL;
    if (!wk_map_get(&s->index, wk_str_of(name), &i)) {
        wk_fail(WK_ERR_ARGUMENT, "store: there is no parameter %s", name);
        return NULL;
    }
    if (x == s->param[i] || !wk_set_name(x, name))
        return wk_ok() ? x : NULL;
    if (!wk_map_put(&s->index, wk_str_of(x->name), i)) /* the key is the new tensor's name now */
        return NULL;
    wk_set(&s->param[i], x);
    return x;
}

bool wk_store_save(const wk_store *s, const char *path)
{
    const char **names = wk_ok() && s ? wk_alloc_array(s->count, sizeof *names) : NULL;
    if (!names)
        return false;
    for (size_t i = 0; i < s->count; i++)
        names[i] = s->param[i]->name;
    wk_safetensors_save(path, (int)s->count, names, s->param,
                        (const char *[]){ "format", "pt", NULL });
    wk_free(names);
    return wk_ok();
}

/* ---- Places ------------------------------------------------------------- */

wk_vars wk_root(wk_store *s) { return (wk_vars){ .store = s }; }

wk_vars wk_at(wk_vars at, const char *format, ...)
{
    size_t  n = strlen(at.path);
    va_list args;
    if (n && n + 1 < sizeof at.path)
        at.path[n++] = '.';
    va_start(args, format);
    int more = vsnprintf(at.path + n, sizeof at.path - n, format, args);
    va_end(args);
    if (more < 0 || n + (size_t)more >= sizeof at.path)
        wk_fail(WK_ERR_ARGUMENT, "store: a name is too long: %s", at.path);
    return at;
}

bool wk_has(wk_vars at, const char *name)
{
    wk_vars full = wk_at(at, "%s", name);
    return wk_ok() && at.store &&
           (wk_store_find(at.store, full.path) ||
            wk_archive_find(at.store->archive, full.path) >= 0);
}

wk_tensor *wk_init_new(wk_shape shape, wk_init init)
{
    if (init.make)
        return init.make(shape, &init);
    switch (init.kind) {
    case WK_INIT_ZEROS:
        return wk_zeros_of(WK_F32, shape);
    case WK_INIT_ONES:
        return wk_ones_of(WK_F32, shape);
    case WK_INIT_NORMAL:
        return wk_scale(wk_randn_of(WK_F32, shape), init.spread);
    case WK_INIT_UNIFORM:
        return wk_scale(wk_add_scalar(wk_rand_of(WK_F32, shape), -0.5), 2 * init.spread);
    }
    return NULL;
}

static wk_tensor *begin(wk_store *s, wk_shape shape, wk_init init)
{
    wk_tensor *x = wk_init_new(shape, init);
    return x && wk_dtypes[x->dtype].is_float ? wk_cast(x, s->dtype) : x;
}

wk_tensor *wk_store_take(wk_store *s, const char *name)
{
    int i = wk_archive_find(s->archive, name);
    if (i >= 0)
        s->asked[i] = true;
    return wk_archive_get(s->archive, name);
}

static wk_tensor *as_wanted(const wk_store *s, wk_tensor *x)
{
    if (x && wk_dtypes[x->dtype].is_float)
        x = wk_cast(x, s->dtype);
    return x ? wk_to_device(x, s->device) : NULL;
}

wk_tensor *wk_store_put(wk_store *s, const char *name, wk_tensor *x, bool fixed)
{
    bool before = wk_no_grad(true);
    x = as_wanted(s, x);
    x = keep(s, name, x, fixed);
    wk_no_grad(before);
    return x;
}

wk_dtype wk_store_dtype(const wk_store *s) { return s->dtype; }

static wk_tensor *ask(wk_vars at, const char *name, wk_shape shape, wk_init init, bool fixed)
{
    char     a[160], b[160];
    wk_vars  full = wk_at(at, "%s", name);
    wk_scope scope = wk_mark();
    if (!wk_ok() || !at.store)
        return NULL;
    wk_store  *s = at.store;
    bool       before = wk_no_grad(true);
    wk_tensor *x = wk_store_find(s, full.path);
    if (!x) {
        x = s->archive ? as_wanted(s, wk_store_take(s, full.path)) : begin(s, shape, init);
        x = keep(s, full.path, x, fixed);
        if (x && !s->archive)
            x->tracked = !fixed;
    }
    if (x && !wk_same_shape(x->shape, shape)) {
        wk_fail(WK_ERR_SHAPE, "%s should be %s", wk_show(x, a), wk_show_shape(shape, b));
        x = NULL;
    }
    wk_no_grad(before);
    wk_sweep(scope);
    return wk_ok() ? x : NULL;
}

wk_tensor *wk_param(wk_vars at, const char *name, wk_shape shape, wk_init init)
{
    return ask(at, name, shape, init, false);
}

wk_tensor *wk_buffer(wk_vars at, const char *name, wk_shape shape, wk_init init)
{
    return ask(at, name, shape, init, true);
}
