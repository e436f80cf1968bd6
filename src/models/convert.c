// SPDX-License-Identifier: MIT OR Apache-2.0
/* convert.c - models from one kind of file to another. */
#include "../io/quantize.h"
#include "models.h"

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

bool wk_quantize_with(const wk_quantize_args *a)
{
    if (wk_ok() && (!a->from || !a->to))
        wk_fail(WK_ERR_ARGUMENT, "quantize: from what, and to what?");
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
    wk_free(l.name);
    wk_free(l.shape);
    wk_free(l.dtype);
    wk_archive_free(l.archive);
    return wk_ok();
}
