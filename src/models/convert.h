// SPDX-License-Identifier: MIT OR Apache-2.0
/* convert.h - what converters of models share. */
#ifndef WK_MODELS_CONVERT_H
#define WK_MODELS_CONVERT_H

#include "models.h"

#include <wick/convert.h>
#include <wick/io.h>

typedef struct {
    char      *name;
    wk_tensor *tensor; /* of the model's store */
    int64_t    heads;  /* whose rows lie in another order; 0: none */
} wk_renamed_tensor;

typedef struct { /* the weights of a model under other names */
    wk_renamed_tensor *at;
    size_t             room;
    int                count;
    bool               turned, to_pairs; /* q and k have their rows in another order; in pairs */
} wk_renamed;

bool       wk_rename(wk_renamed *r, const wk_model *m, const wk_decoder_names *to);
wk_tensor *wk_renamed_get(const wk_renamed *r, int i);
void       wk_renamed_free(wk_renamed *r);

bool wk_model_to_gguf(const wk_quantize_args *a); /* of a folder */

/* The weights as transformers names them; and from a GGUF file what lies beside them. */
bool wk_weights_save(const wk_model *m, const char *path, const wk_convert_args *how);
bool wk_gguf_save_beside(const wk_archive *a, const char *folder);

/* wk_model_save() with weights as how says. */
bool wk_model_save_as(const wk_model *m, const char *folder, const wk_convert_args *how);

#endif
