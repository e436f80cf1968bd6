// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_quantized_checkpoints.c - tiny Llamas in the formats of quantized safetensors files
 * (tests/golden/make_quantized.py): weights and logits against what the reference of each
 * format says, and files that are damaged or lie. */
#include "../test.h"

#include "../../src/nn/quantized.h"
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GOLDEN        "tests/golden/quantized/"
#define COUNT(array)  (sizeof(array) / sizeof(array)[0])
#define Q_PROJ        "model.layers.0.self_attn.q_proj"
#define LAYER(name)   "model.layers.0." name
#define F16_ROUNDING  0x1p-11
#define BF16_ROUNDING 0x1p-8

static const struct {
    const char *name;
    double      weights; /* off by so much of the largest of a row at most */
    wk_dtype    attention, mlp;
} cases[] = {
    { "fp8_block", BF16_ROUNDING, WK_BF16, WK_BF16 },
    { "fp8_tensor", BF16_ROUNDING, WK_BF16, WK_BF16 },
    { "ct_float", BF16_ROUNDING, WK_BF16, WK_BF16 },
    { "ct_block", BF16_ROUNDING, WK_BF16, WK_BF16 },
    { "ct_int8", F16_ROUNDING, WK_Q8_0, WK_F16 },
    { "ct_packed", F16_ROUNDING, WK_Q4_0, WK_Q4_0 },
    { "ct_packed_8", F16_ROUNDING, WK_Q8_0, WK_Q8_0 },
    { "ct_order", 0, WK_Q5_0, WK_Q5_0 },
    { "ct_mxfp4", 0, WK_MXFP4, WK_MXFP4 },
    { "ct_nvfp4", BF16_ROUNDING, WK_BF16, WK_BF16 },
    { "gptq", 0, WK_Q4_0, WK_Q4_0 },
    { "gptq_order", 0, WK_Q5_0, WK_Q5_0 },
    { "gptq_bits", F16_ROUNDING, WK_Q2_0, WK_Q8_0 },
    { "awq", 0, WK_Q5_0, WK_Q5_0 },
    { "bnb_nf4", 0.0032, WK_NF4, WK_NF4 },
    { "bnb_nf4_nested", 0.0032, WK_NF4, WK_NF4 },
    { "bnb_fp4", BF16_ROUNDING, WK_BF16, WK_BF16 },
    { "bnb_int8", F16_ROUNDING, WK_Q8_0, WK_Q8_0 },
};

static const char *const layers[] = {
    Q_PROJ,
    LAYER("self_attn.k_proj"),
    LAYER("self_attn.v_proj"),
    LAYER("self_attn.o_proj"),
    LAYER("mlp.gate_proj"),
    LAYER("mlp.up_proj"),
    LAYER("mlp.down_proj"),
};

static wk_archive *golden_of(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, GOLDEN "%s/golden.safetensors", name);
    return wk_archive_open(path);
}

static wk_model *open_case(const char *name, bool train, wk_dtype dtype)
{
    char path[200];
    snprintf(path, sizeof path, GOLDEN "%s", name);
    return wk_model_open(path, .train = train, .dtype = dtype);
}

static double largest(wk_tensor *x) { return wk_item(wk_max(wk_abs(x))); }

static double relative_error(wk_tensor *a, wk_tensor *b)
{
    return largest(wk_sub(wk_cast(a, WK_F32), b)) / largest(b);
}

static wk_tensor *weight_of(const wk_model *m, const char *layer, const char *what)
{
    char name[200];
    snprintf(name, sizeof name, "%s.%s", layer, what);
    return wk_store_find(wk_model_store(m), name);
}

/* How far rows 0, 1 and the last are off, of the largest of all three. */
static double weight_error(const wk_model *m, const wk_archive *golden, const char *layer)
{
    wk_tensor *w = weight_of(m, layer, "weight"), *order = weight_of(m, layer, "order");
    wk_tensor *want = wk_archive_get(golden, layer);
    wk_tensor *three = wk_cat(0, wk_narrow(w, 0, 0, 2), wk_narrow(w, 0, wk_dim(w, 0) - 1, 1));
    if (order)
        want = wk_index_select(want, 1, order);
    return relative_error(three, want);
}

TEST(weights_of_quantized_checkpoints)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        wk_scope    scope = wk_mark();
        wk_archive *golden = golden_of(cases[i].name);
        wk_model   *m = open_case(cases[i].name, true, WK_DEFAULT);
        CHECK_MSG(m, "%s: %s", cases[i].name, wk_message());
        for (size_t k = 0; m && k < COUNT(layers); k++) {
            double error = weight_error(m, golden, layers[k]);
            CHECK_MSG(error <= cases[i].weights, "%s: %s is off by %g", cases[i].name, layers[k],
                      error);
        }
        wk_dtype q = wk_dtype_of(weight_of(m, Q_PROJ, "weight"));
        wk_dtype up = wk_dtype_of(weight_of(m, LAYER("mlp.up_proj"), "weight"));
        CHECK_MSG(q == cases[i].attention && up == cases[i].mlp, "%s: %s and %s", cases[i].name,
                  wk_dtype_name(q), wk_dtype_name(up));
        CHECK_MSG(!wk_store_unused(wk_model_store(m), 0), "%s: %s is not used", cases[i].name,
                  wk_store_unused(wk_model_store(m), 0));
        wk_model_free(m);
        wk_archive_free(golden);
        wk_sweep(scope);
    }
}

/* In f32 all is exact, and so are the logits; as they come, the weights are off by what the test
 * above says, and layers with bf16 round their inputs to that; packed, to 8 bits. */
TEST(logits_of_quantized_checkpoints)
{
    static const struct {
        bool     train;
        wk_dtype dtype;
        double   exact, other;
    } ways[] = {
        { true, WK_F32, 2e-5, 2e-5 },
        { true, WK_DEFAULT, 5e-3, 3e-2 },
        { false, WK_DEFAULT, 3e-2, 3e-2 },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t k = 0; k < COUNT(ways); k++) {
            wk_scope    scope = wk_mark();
            wk_archive *golden = golden_of(cases[i].name);
            wk_model   *m = open_case(cases[i].name, ways[k].train, ways[k].dtype);
            wk_tensor  *y = wk_model_logits(m, wk_archive_get(golden, "ids"));
            double      error = relative_error(y, wk_archive_get(golden, "logits"));
            double      most = cases[i].weights > F16_ROUNDING ? ways[k].other : ways[k].exact;
            CHECK_MSG(wk_ok(), "%s: %s", cases[i].name, wk_message());
            CHECK_MSG(error < most, "%s, way %d: off by %g", cases[i].name, (int)k, error);
            wk_clear();
            wk_model_free(m);
            wk_archive_free(golden);
            wk_sweep(scope);
        }
}

TEST(experts_of_gpt_oss_are_mxfp4)
{
    wk_archive *a = wk_archive_open(GOLDEN "experts.safetensors");
    wk_scope    scope = wk_mark();
    wk_tensor  *blocks = wk_archive_get(a, "blocks"), *scales = wk_archive_get(a, "scales");
    wk_tensor  *w = wk_mxfp4_of(blocks, scales);
    CHECK_INT(wk_dtype_of(w), WK_MXFP4);
    CHECK_NEAR(relative_error(w, wk_archive_get(a, "weight")), 0, 0);
    CHECK(!wk_mxfp4_of(scales, scales));
    CHECK_ERROR("should be [.., 16] u8");
    CHECK(!wk_mxfp4_of(blocks, wk_narrow(scales, 2, 0, 2)));
    CHECK_ERROR("should be [2, 5, 3] u8");
    wk_sweep(scope);
    wk_archive_free(a);
}

/* An adapter's product with the input is in the file's order, the weight may be in another. */
TEST(adapters_of_layers_in_another_order)
{
    wk_scope    scope = wk_mark();
    wk_archive *golden = golden_of("gptq_order");
    wk_tensor  *ids = wk_archive_get(golden, "ids"), *y[3];
    for (int i = 0; i < 2; i++) {
        wk_model *m = open_case("gptq_order", true, i ? WK_F32 : WK_DEFAULT);
        wk_seed(3);
        wk_lora *l = wk_lora_new(m);
        bool     before = wk_no_grad(true);
        for (int k = 0; k < wk_store_count(wk_lora_store(l)); k++) {
            wk_tensor *p = wk_store_at(wk_lora_store(l), k);
            wk_write(p, wk_scale(wk_randn_of(WK_F32, wk_shape_of(p)), 0.05), 0, 0);
        }
        y[i] = wk_detach(wk_model_logits(m, ids));
        if (i) {
            CHECK(!weight_of(m, Q_PROJ, "order"));
        } else {
            CHECK(weight_of(m, Q_PROJ, "order") != NULL);
            CHECK(wk_lora_merge(l));
            y[2] = wk_detach(wk_model_logits(m, ids));
        }
        wk_no_grad(before);
        wk_lora_free(l);
        wk_model_free(m);
    }
    CHECK(relative_error(y[0], wk_archive_get(golden, "logits")) > 0.05);
    CHECK(relative_error(y[0], y[1]) < 1e-2);
    CHECK(relative_error(y[2], y[1]) < 0.2); /* merged into 5 bits */
    wk_archive_free(golden);
    wk_sweep(scope);
}

/* ---- Damage ------------------------------------------------------------- */

enum { MOST = 80 };

typedef struct {
    int         count;
    const char *name[MOST];
    wk_tensor  *x[MOST];
} tensors;

static char folder[1024];

static void read_all(tensors *t, const wk_archive *a)
{
    t->count = wk_archive_count(a);
    for (int i = 0; i < t->count && i < MOST; i++) {
        t->name[i] = wk_archive_name(a, i);
        t->x[i] = wk_archive_get(a, t->name[i]);
    }
    CHECK(t->count < MOST && wk_ok());
}

static void write_all(const tensors *t)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    CHECK(wk_safetensors_save(path, t->count, t->name, t->x));
}

static void write_config(const char *from, const char *find, const char *replace)
{
    char  path[1200], text[8192];
    FILE *f = fopen(from, "rb");
    text[f ? fread(text, 1, sizeof text - 1, f) : 0] = 0;
    if (f)
        fclose(f);
    char *at = find ? strstr(text, find) : text + strlen(text);
    snprintf(path, sizeof path, "%s/config.json", folder);
    f = fopen(path, "wb");
    if (CHECK(f && at)) {
        fprintf(f, "%.*s%s%s", (int)(at - text), text, find ? replace : "",
                find ? at + strlen(find) : "");
        fclose(f);
    }
}

/* The model in the folder does not open; the error names the folder and the tensor.  Or it does,
 * and computes. */
static void try_open(const char *name, const char *how, bool must_fail)
{
    wk_model *m = wk_model_open(folder);
    if (!m)
        CHECK_MSG(strstr(wk_message(), folder) && strstr(wk_message(), "model."),
                  "%s %s: no file and tensor in: %s", name, how, wk_message());
    CHECK_MSG(!m || !must_fail, "%s %s: accepted", name, how);
    if (m)
        wk_model_logits(m, wk_from_i64(WK_SHAPE(1, 2), (int64_t[]){ 3, 4 }));
    wk_clear();
    wk_model_free(m);
}

static void damage(tensors *t, int i)
{
    wk_tensor  *x = t->x[i], *flat = wk_reshape(x, -1);
    const char *name = t->name[i];
    int64_t     n = wk_count(x);
    /* Without these there are just fewer checks, or other zeros; and it need not be a matrix. */
    bool        optional = strstr(name, "input_scale") || strstr(name, "weight_format") ||
                    strstr(name, "weight_shape") || strstr(name, "g_idx") ||
                    strstr(name, "zero_point") ||
                    (strstr(name, "weight_scale") && n == 2); /* half of it is one for all */
    bool       any_shape = strstr(name, "weight") && wk_dtype_of(x) == WK_U8 && wk_rank(x) == 2;
    wk_tensor *changes[] = {
        n > 1 ? wk_narrow(flat, 0, 0, n - 1) : wk_zeros_of(wk_dtype_of(x), WK_SHAPE(0)),
        wk_cat(0, flat, flat),
        wk_rank(x) == 2 ? wk_transpose(x, 0, 1) : NULL,
        wk_zeros_of(wk_dtype_of(x) == WK_I32 ? WK_F32 : WK_I32, wk_shape_of(x)),
        flat,
    };
    static const char *const how[] = { "shortened", "doubled", "turned", "of another dtype",
                                       "flat" };
    bool                     must[] = { !optional, !optional, false, false, false };
    for (size_t k = 0; k < COUNT(changes); k++) {
        if (!changes[k])
            continue;
        t->x[i] = changes[k];
        write_all(t);
        try_open(name, how[k], must[k] && !any_shape);
    }
    t->x[i] = x;
    const char *last = t->name[t->count - 1];
    wk_tensor  *last_x = t->x[t->count - 1];
    t->name[i] = last, t->x[i] = last_x;
    t->count--;
    write_all(t);
    try_open(name, "removed", !optional);
    t->name[i] = name, t->x[i] = x;
    t->name[t->count] = last, t->x[t->count] = last_x;
    t->count++;
}

/* Every tensor of two layers of every format in turn. */
TEST(damaged_quantized_checkpoints)
{
    test_temporary("quantized", folder);
    mkdir(folder, 0777);
    for (size_t i = 0; i < COUNT(cases); i++) {
        char    path[200];
        tensors t = { 0 };
        snprintf(path, sizeof path, GOLDEN "%s/config.json", cases[i].name);
        write_config(path, NULL, NULL);
        snprintf(path, sizeof path, GOLDEN "%s/model.safetensors", cases[i].name);
        wk_archive *a = wk_archive_open(path);
        wk_scope    scope = wk_mark();
        read_all(&t, a);
        for (int k = 0; k < t.count; k++)
            if (strstr(t.name[k], "q_proj") || strstr(t.name[k], "down_proj")) {
                wk_scope each = wk_mark();
                damage(&t, k);
                wk_sweep(each);
            }
        wk_sweep(scope);
        wk_archive_free(a);
    }
}

/* A tensor of a case, other elements in its place: the error. */
static void with_tensor(const char *name, const char *tensor, wk_tensor *x, const char *error)
{
    char    path[200];
    tensors t = { 0 };
    snprintf(path, sizeof path, GOLDEN "%s/config.json", name);
    write_config(path, NULL, NULL);
    snprintf(path, sizeof path, GOLDEN "%s/model.safetensors", name);
    wk_archive *a = wk_archive_open(path);
    wk_scope    scope = wk_mark();
    read_all(&t, a);
    for (int i = 0; i < t.count; i++)
        if (!strcmp(t.name[i], tensor))
            t.x[i] = x;
    write_all(&t);
    wk_model *m = wk_model_open(folder);
    CHECK_MSG(!m, "%s: accepted", tensor);
    CHECK_MSG(strstr(wk_message(), folder) != NULL, "no file in: %s", wk_message());
    CHECK_ERROR(error);
    wk_model_free(m);
    wk_sweep(scope);
    wk_archive_free(a);
}

static wk_tensor *text(const char *s) { return wk_from(WK_U8, WK_SHAPE((int64_t)strlen(s)), s); }

TEST(quantized_checkpoints_that_lie)
{
    static const char state[] = Q_PROJ ".weight.quant_state.bitsandbytes__nf4";
    wk_scope          scope = wk_mark();
    test_temporary("quantized", folder);
    mkdir(folder, 0777);
    with_tensor("gptq", Q_PROJ ".g_idx", wk_full_of(WK_I32, WK_SHAPE(64), 2),
                "q_proj.g_idx [64] i32: an input's group is not among");
    with_tensor("gptq", Q_PROJ ".g_idx", wk_full_of(WK_I32, WK_SHAPE(64), -2),
                "group is not among");
    with_tensor("gptq", Q_PROJ ".qweight", wk_zeros_of(WK_I32, WK_SHAPE(9, 64)),
                "q_proj.qweight [9, 64] i32 should be");
    with_tensor("gptq", Q_PROJ ".scales", wk_zeros_of(WK_F16, WK_SHAPE(0, 64)), "has no scales");
    with_tensor("gptq", Q_PROJ ".qzeros", wk_zeros_of(WK_I32, WK_SHAPE(2, 9)), "should be [2, 8]");
    with_tensor("awq", Q_PROJ ".scales", wk_zeros_of(WK_F16, WK_SHAPE(3, 64)), "do not divide");
    with_tensor("ct_packed", Q_PROJ ".weight_shape",
                wk_from_i64(WK_SHAPE(2), (int64_t[]){ 64, 96 }), "is not the shape of this layer");
    with_tensor("ct_mxfp4", Q_PROJ ".weight_scale", wk_full_of(WK_U8, WK_SHAPE(64, 2), 255),
                "a scale is not a number");
    with_tensor("ct_float", Q_PROJ ".weight_scale", wk_ones(63, 1), "do not divide the weight");
    with_tensor("bnb_nf4", Q_PROJ ".weight.absmax", wk_ones(63), "is not as long");
    with_tensor("bnb_nf4", state, text("{\"blocksize\": 64, \"shape\": [64, 64]"),
                "q_proj.weight.quant_state.bitsandbytes__nf4");
    with_tensor("bnb_nf4", state, text("[]"), "bitsandbytes__nf4");
    with_tensor("bnb_nf4", state, text("{\"blocksize\": 64, \"shape\": [64, 32]}"),
                "the shape should be [64, 64]");
    with_tensor("bnb_nf4", state, text("{\"blocksize\": 0, \"shape\": [64, 64]}"),
                "blocksize is 0");
    with_tensor("bnb_nf4", state, text("{\"blocksize\": 48, \"shape\": [64, 64]}"),
                "blocksize is 48");
    with_tensor("bnb_nf4_nested", state, text("{\"blocksize\": 64, \"shape\": [64, 64]}"),
                "without a nested_blocksize");
    wk_sweep(scope);
}

TEST(quantization_configs)
{
    static const struct {
        const char *name, *find, *replace, *error;
    } changes[] = {
        { "gptq", "\"quant_method\": \"gptq\"", "\"quant_method\": \"hqq\"", "\"hqq\"" },
        { "gptq", "\"checkpoint_format\": \"gptq\"", "\"checkpoint_format\": \"marlin\"",
          "marlin" },
        { "gptq", "\"meta\"", "\"rotation\"", "rotation" },
        { "awq", "\"version\": \"gemm\"", "\"version\": \"gemv\"", "version is \"gemv\"" },
        { "ct_int8", "\"transform_config\": {}", "\"transform_config\": {\"a\": 1}", "transform" },
        { "ct_int8", "\"format\": \"int-quantized\"", "\"format\": \"marlin-24\"", "marlin-24" },
        { "ct_int8", "\"sparsity_config\": {}",
          "\"sparsity_config\": {\"format\": \"sparse-24-bitmask\"}", "sparse-24-bitmask" },
        { "fp8_block", "\"fmt\": \"e4m3\"", "\"fmt\": \"e3m4\"", "e3m4" },
    };
    test_temporary("quantized", folder);
    mkdir(folder, 0777);
    for (size_t i = 0; i < COUNT(changes); i++) {
        char path[200];
        snprintf(path, sizeof path, GOLDEN "%s/config.json", changes[i].name);
        write_config(path, changes[i].find, changes[i].replace);
        snprintf(path, sizeof path, GOLDEN "%s/model.safetensors", changes[i].name);
        wk_archive *a = wk_archive_open(path);
        tensors     t = { 0 };
        wk_scope    scope = wk_mark();
        read_all(&t, a);
        write_all(&t);
        wk_model *m = wk_model_open(folder);
        CHECK_MSG(!m, "%s: accepted", changes[i].replace);
        CHECK_MSG(strstr(wk_message(), "config.json") != NULL, "no file in: %s", wk_message());
        CHECK_ERROR(changes[i].error);
        wk_clear();
        wk_model_free(m);
        wk_sweep(scope);
        wk_archive_free(a);
    }
}
