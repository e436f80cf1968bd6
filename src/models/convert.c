// SPDX-License-Identifier: MIT OR Apache-2.0
/* convert.c - models from one kind of file to another. */
#include "convert.h"
#include "../io/quantize.h"

#include <stdio.h>

/* ---- From an archive as it is -------------------------------------------- */

typedef struct {
    wk_archive  *archive;
    const char **name;
    wk_shape    *shape;
    wk_dtype    *dtype;
} listed;

static wk_tensor *get(int i, void *user)
{
    const listed *l = user;
    return wk_archive_get(l->archive, l->name[i]);
}

static bool list(listed *l)
{
    size_t n = (size_t)wk_archive_count(l->archive);
    l->name = wk_alloc_array(n, sizeof *l->name);
    l->shape = wk_alloc_array(n, sizeof *l->shape);
    l->dtype = wk_alloc_array(n, sizeof *l->dtype);
    for (int i = 0; wk_ok() && i < (int)n; i++) {
        wk_scope scope = wk_mark();
        l->name[i] = wk_archive_name(l->archive, i);
        l->shape[i] = wk_archive_shape(l->archive, i);
        l->dtype[i] = wk_dtype_of(wk_archive_get(l->archive, l->name[i]));
        wk_sweep(scope);
    }
    return wk_ok();
}

static void free_list(listed *l)
{
    wk_free(l->name);
    wk_free(l->shape);
    wk_free(l->dtype);
    wk_archive_free(l->archive);
}

bool wk_quantize_with(const wk_quantize_args *a)
{
    if (wk_ok() && (!a->from || !a->to))
        wk_fail(WK_ERR_ARGUMENT, "quantize: from what, and to what?");
    if (wk_ok() && wk_is_model_folder(a->from))
        return wk_model_to_gguf(a);
    listed l = { .archive = wk_ok() ? wk_archive_open(a->from) : NULL };
    if (l.archive && list(&l))
        wk_quantize_tensors(&(wk_gguf_args){ .count = wk_archive_count(l.archive),
                                             .names = l.name,
                                             .dtypes = l.dtype,
                                             .shapes = l.shape,
                                             .tensor = get,
                                             .user = &l,
                                             .like = l.archive },
                            a);
    free_list(&l);
    return wk_ok();
}

/* ---- To safetensors ------------------------------------------------------- */

typedef struct {
    const wk_convert_args *how;
    listed                 list;
    wk_renamed             weights;
} to_plain;

/* What safetensors files have: floats as asked for, blocks as bf16. */
static wk_dtype plain(const wk_convert_args *how, wk_dtype dtype)
{
    if (!wk_dtype_is_float(dtype))
        return dtype;
    return how->dtype ? how->dtype : wk_dtype_block(dtype) > 1 ? WK_BF16 : dtype;
}

static wk_tensor *plain_tensor(int i, void *user)
{
    const to_plain   *t = user;
    const wk_renamed *r = &t->weights;
    wk_tensor        *x = r->at ? wk_renamed_get(r, i) : get(i, (void *)&t->list);
    wk_dtype          dtype = r->at ? wk_dtype_of(r->at[i].tensor) : t->list.dtype[i];
    return x ? wk_cast(x, plain(t->how, dtype)) : NULL;
}

/* Metadata of which a safetensors file can say all: texts. */
static const char **texts_of(const wk_archive *a)
{
    const char *key;
    int         n = 0, k = 0;
    while (wk_archive_metadata_key(a, n))
        n++;
    const char **list = wk_alloc_array((size_t)n * 2 + 1, sizeof *list);
    for (int i = 0; list && (key = wk_archive_metadata_key(a, i)); i++)
        if (wk_archive_metadata(a, key)) {
            list[k++] = key;
            list[k++] = wk_archive_metadata(a, key);
        }
    return list;
}

static bool archive_to_safetensors(const wk_convert_args *how)
{
    to_plain t = { .how = how, .list = { .archive = wk_archive_open(how->from) } };
    int      n = wk_archive_count(t.list.archive);
    if (t.list.archive && list(&t.list)) {
        const char **texts = texts_of(t.list.archive);
        wk_dtype    *dtypes = wk_alloc_array((size_t)n, sizeof *dtypes);
        for (int i = 0; dtypes && i < n; i++)
            dtypes[i] = plain(how, t.list.dtype[i]);
        if (texts && dtypes)
            wk_safetensors_save(how->to, n, t.list.name, .metadata = texts, .dtypes = dtypes,
                                .shapes = t.list.shape, .tensor = plain_tensor, .user = &t);
        wk_free(texts);
        wk_free(dtypes);
    }
    free_list(&t.list);
    return wk_ok();
}

/* The weights of a model as transformers has them. */
static bool save_weights(to_plain *t, const wk_model *m, const char *path)
{
    wk_renamed  *r = &t->weights;
    const char **names = NULL;
    wk_dtype    *dtypes = NULL;
    wk_shape    *shapes = NULL;
    r->turned = wk_model_decoder(m)->c.pairs;
    if (wk_rename(r, m, &wk_llama_names)) {
        names = wk_alloc_array((size_t)r->count, sizeof *names);
        dtypes = wk_alloc_array((size_t)r->count, sizeof *dtypes);
        shapes = wk_alloc_array((size_t)r->count, sizeof *shapes);
    }
    for (int i = 0; wk_ok() && i < r->count; i++) {
        names[i] = r->at[i].name;
        shapes[i] = wk_shape_of(r->at[i].tensor);
        dtypes[i] = plain(t->how, wk_dtype_of(r->at[i].tensor));
    }
    if (wk_ok())
        wk_safetensors_save(path, r->count, names,
                            .metadata = (const char *[]){ "format", "pt", NULL }, .dtypes = dtypes,
                            .shapes = shapes, .tensor = plain_tensor, .user = t);
    wk_free(names);
    wk_free(dtypes);
    wk_free(shapes);
    return wk_ok();
}

/* A text of the metadata as a file. */
static bool save_text(const char *folder, const char *name, const wk_archive *a, const char *key)
{
    wk_meta text = wk_archive_meta(a, key, 0);
    char   *path = wk_path_join(folder, name);
    bool    there = wk_ok() && text.type == WK_META_TEXT && !text.list;
    if (there)
        wk_write_file(path, text.text, text.size);
    wk_free(path);
    return there;
}

bool wk_weights_save(const wk_model *m, const char *path, const wk_convert_args *how)
{
    to_plain t = { .how = how };
    bool     before = wk_no_grad(true);
    save_weights(&t, m, path);
    wk_renamed_free(&t.weights);
    wk_no_grad(before);
    return wk_ok();
}

bool wk_gguf_save_beside(const wk_archive *a, const char *folder)
{
    save_text(folder, "chat_template.jinja", a, "tokenizer.chat_template");
    if (!save_text(folder, "tokenizer.json", a, "tokenizer.huggingface.json") && wk_ok())
        wk_say(WK_LOG_WARN,
               "%s: without a tokenizer.json: a GGUF file's vocabulary is not turned back into one",
               folder);
    return wk_ok();
}

/* ---- From any to any ------------------------------------------------------ */

bool wk_convert_with(const wk_convert_args *a)
{
    if (wk_ok() && (!a->from || !a->to))
        wk_fail(WK_ERR_ARGUMENT, "convert: from what, and to what?");
    if (wk_ok() && wk_dtype_block(a->dtype) > 1)
        wk_fail(WK_ERR_ARGUMENT, "convert: %s is quantized: wk_quantize() makes it",
                wk_dtype_name(a->dtype));
    if (!wk_ok())
        return false;
    wk_str to = wk_str_of(a->to);
    if (wk_str_ends(to, ".gguf"))
        return wk_quantize(a->from, a->to, a->dtype ? wk_dtype_name(a->dtype) : NULL,
                           .requantize = true, .on_tensor = a->on_tensor, .user = a->user);
    if (wk_str_ends(to, ".safetensors"))
        return archive_to_safetensors(a);
    if (wk_str_ends(to, ".npz") || wk_str_ends(to, ".bin") || wk_str_ends(to, ".onnx")) {
        wk_fail(WK_ERR_UNSUPPORTED, "%s: GGUF files, safetensors files and folders are written",
                a->to);
        return false;
    }
    wk_model *m = wk_model_open(a->from, .train = true);
    if (m)
        wk_model_save_as(m, a->to, a);
    wk_model_free(m);
    return wk_ok();
}
