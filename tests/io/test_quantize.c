// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_quantize.c - files of fewer bits against what llama-quantize makes of the same models
 * (tests/golden/make_quantize.py): types, file type and bytes; and what is refused. */
#include "test.h"

#include "../src/base/base.h"
#include "../src/io/quantize.h"
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The models of make_quantize.py ------------------------------------- */

static const struct {
    const char *name, *architecture;
    int         layers, width, heads, kv_heads, experts;
    bool        head;
} models[] = {
    { "plain", "llama", 16, 256, 4, 2, 0, true },  { "shared", "qwen2", 9, 256, 4, 1, 0, false },
    { "experts", "llama", 8, 256, 4, 2, 8, true }, { "large", "llama", 80, 256, 4, 2, 0, true },
    { "narrow", "llama", 2, 96, 4, 2, 0, true },   { "odd", "llama", 1, 40, 4, 2, 0, false },
};
enum { MOST_TENSORS = 2048, MOST_NAME = 60 };

typedef struct {
    int         count;
    char        text[MOST_TENSORS][MOST_NAME];
    const char *name[MOST_TENSORS];
    wk_tensor  *tensor[MOST_TENSORS];
} list;

static list model, weights; /* too large for a stack */

static int numbers(uint64_t seed, uint64_t i)
{
    uint64_t x = (i + (seed << 32)) * UINT64_C(6364136223846793005);
    x ^= x >> 29;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 32;
    return (int)((x & 255) + (x >> 8 & 255) + (x >> 16 & 255) + (x >> 24 & 255)) - 510;
}

static void add(list *l, const char *name, wk_shape shape, int seed, int zero, float scale)
{
    wk_tensor *x = wk_empty_of(WK_F32, shape);
    float     *data = wk_data(x);
    for (int64_t i = 0; data && i < wk_count(x); i++)
        data[i] = (float)(numbers((uint64_t)seed, (uint64_t)i) + zero) * scale;
    snprintf(l->text[l->count], MOST_NAME, "%s", name);
    l->name[l->count] = l->text[l->count];
    l->tensor[l->count++] = x;
}

/* A tensor, and what its columns count. */
static void add_tensor(const char *name, wk_shape shape)
{
    int     seed = model.count;
    int64_t matrices = shape.rank > 2 ? shape.dim[0] : 1;
    char    other[MOST_NAME];
    add(&model, name, shape, seed, 0, 1.0f / 4096);
    if (shape.rank < 2 || strstr(name, "inp") || !strcmp(name, "token_embd.weight"))
        return;
    snprintf(other, sizeof other, "%s.in_sum2", name);
    add(&weights, other, WK_SHAPE(matrices, shape.dim[shape.rank - 1]), 1000 + seed, 511,
        1.0f / 64);
    snprintf(other, sizeof other, "%s.counts", name);
    add(&weights, other, WK_SHAPE(matrices, 1), 0, 0, 0);
    wk_fill(weights.tensor[weights.count - 1], 8);
}

static void make_layer(int m, int i)
{
    static const char *const names[] = { "attn_norm", "attn_q",      "attn_k",
                                         "attn_v",    "attn_output", "ffn_gate_inp",
                                         "ffn_gate",  "ffn_up",      "ffn_down" };
    int64_t                  experts = models[m].experts, width = models[m].width;
    for (size_t k = 0; k < WK_COUNT(names); k++) {
        char name[MOST_NAME];
        bool stacked = k > 5 && experts;
        snprintf(name, sizeof name, "blk.%d.%s%s.weight", i, names[k], stacked ? "_exps" : "");
        if (k == 5 && !experts)
            continue;
        add_tensor(name, k == 0    ? WK_SHAPE(width)
                         : k == 5  ? WK_SHAPE(experts, width)
                         : stacked ? WK_SHAPE(experts, 2, width)
                                   : WK_SHAPE(2, width));
    }
}

/* Model number m and its importance matrix, as files. */
static void write_files(int m, const char *path, const char *imatrix)
{
    static const char *const datasets[] = { "text.txt" };
    char                     key[4][60];
    static const char *const keys[4] = { "block_count", "attention.head_count",
                                         "attention.head_count_kv", "expert_count" };
    const int                number[4] = { models[m].layers, models[m].heads, models[m].kv_heads,
                                           models[m].experts };
    wk_gguf_value values[5] = { { "general.architecture", .text = models[m].architecture } };
    wk_scope      scope = wk_mark();
    model.count = weights.count = 0;
    for (int i = 0; i < 4; i++) {
        snprintf(key[i], sizeof key[i], "%s.%s", models[m].architecture, keys[i]);
        values[1 + i] = (wk_gguf_value){ key[i], "u32", .integer = number[i] };
    }
    add_tensor("token_embd.weight", WK_SHAPE(4, models[m].width));
    add_tensor("output_norm.weight", WK_SHAPE(models[m].width));
    if (models[m].head)
        add_tensor("output.weight", WK_SHAPE(4, models[m].width));
    for (int i = 0; i < models[m].layers; i++)
        make_layer(m, i);
    wk_gguf_save(path, model.count, model.name, model.tensor, 5, values);
    const wk_gguf_value of_imatrix[] = {
        { "general.type", .text = "imatrix" },
        { "imatrix.datasets", .count = 1, .texts = datasets },
        { "imatrix.chunk_count", "u32", .integer = 3 },
        { "imatrix.chunk_size", "u32", .integer = 32 },
    };
    wk_gguf_save(imatrix, weights.count, weights.name, weights.tensor, 4, of_imatrix);
    CHECK_MSG(wk_ok(), "%s", wk_message());
    wk_sweep(scope);
}

/* ---- Against llama-quantize ---------------------------------------------- */

static uint64_t fnv(uint64_t h, const unsigned char *p, size_t n)
{
    while (n--)
        h = (h ^ *p++) * UINT64_C(0x100000001B3);
    return h;
}

/* The line of the fixture for this file, behind the name of the type. */
static void describe(const char *path, wk_buf *out)
{
    wk_archive *a = wk_archive_open(path);
    wk_buf      types = { 0 };
    uint64_t    h = UINT64_C(0xCBF29CE484222325);
    int         n = wk_archive_count(a), run = 0;
    for (int i = 0; i < n && wk_ok(); i++) {
        wk_scope   scope = wk_mark();
        wk_tensor *x = wk_archive_get(a, wk_archive_name(a, i));
        h = fnv(h, wk_data(x), wk_bytes(x));
        const char *type = wk_dtype_name(wk_dtype_of(x));
        wk_dtype    next =
            wk_dtype_of(i + 1 < n ? wk_archive_get(a, wk_archive_name(a, i + 1)) : NULL);
        run++;
        if (i + 1 == n || next != wk_dtype_of(x)) {
            wk_buf_printf(&types, run > 1 ? " %s*%d" : " %s", type, run);
            run = 0;
        }
        wk_sweep(scope);
    }
    wk_buf_printf(out, "%d %016llx%s", (int)wk_archive_meta(a, "general.file_type", 0).integer,
                  (unsigned long long)h, types.data);
    CHECK_INT(wk_archive_meta(a, "general.quantization_version", 0).integer, 2);
    wk_buf_free(&types);
    wk_archive_free(a);
}

static void check_line(char *line, const char *folder, int *at)
{
    char  path[1100], imatrix[1100], out[1100], *save;
    char *name = strtok_r(line, " ", &save), *type = strtok_r(NULL, " ", &save);
    bool  weighed = *strtok_r(NULL, " ", &save) == '1';
    snprintf(path, sizeof path, "%s.model", folder);
    snprintf(imatrix, sizeof imatrix, "%s.imatrix", folder);
    snprintf(out, sizeof out, "%s.out", folder);
    if (*at < 0 || strcmp(models[*at].name, name)) {
        ++*at;
        CHECK_STR(models[*at].name, name);
        write_files(*at, path, imatrix);
    }
    wk_buf got = { 0 };
    CHECK_MSG(wk_quantize(path, out, type, weighed ? imatrix : NULL), "%s", wk_message());
    describe(out, &got);
    CHECK_MSG(got.data && !strcmp(got.data, save), "%s %s %d:\n%s\n%s", name, type, weighed,
              got.data, save);
    wk_buf_free(&got);
    remove(out);
}

TEST(quantized_as_by_llama_quantize)
{
    static char line[4096];
    char        folder[1024];
    int         at = -1, lines = 0;
    FILE       *f = fopen("tests/golden/io/quantized.txt", "r");
    CHECK(f != NULL);
    test_temporary("quantized", folder);
    while (f && wk_ok() && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (lines++ % test_stride(4) == 0)
            check_line(line, folder, &at);
    }
    CHECK(lines > 100 && at + 1 == (int)WK_COUNT(models));
    if (f)
        fclose(f);
}

/* ---- Choices of the user ------------------------------------------------- */

static void check_dtype(const char *path, const char *name, const char *dtype)
{
    wk_archive *a = wk_archive_open(path);
    CHECK_STR(wk_archive_dtype(a, wk_archive_find(a, name)), dtype);
    wk_archive_free(a);
}

TEST(quantizing_with_types_of_ones_own)
{
    static const char *const own[] = { "blk\\.[0-3]\\.attn_(q|k)=q8_0", "ffn_down=Q5_0", NULL };
    char                     path[1024], matrix[1024], out[1024];
    write_files(0, test_temporary("model", path), test_temporary("matrix", matrix));
    test_temporary("out", out);
    CHECK(wk_quantize(path, out, "Q4_K", .overrides = own, .output_type = "f16",
                      .embedding_type = "bf16"));
    check_dtype(out, "blk.3.attn_q.weight", "Q8_0");
    check_dtype(out, "blk.3.attn_k.weight", "Q8_0");
    check_dtype(out, "blk.4.attn_q.weight", "Q4_K");
    check_dtype(out, "blk.9.ffn_down.weight", "Q5_0");
    check_dtype(out, "output.weight", "F16");
    check_dtype(out, "token_embd.weight", "BF16");
    CHECK(wk_quantize(path, out, "q4_k_m", .pure = true));
    check_dtype(out, "output.weight", "Q4_K");
    check_dtype(out, "blk.0.attn_v.weight", "Q4_K");
    CHECK(wk_quantize(path, out));
    check_dtype(out, "blk.0.attn_v.weight", "F32");
    CHECK(wk_quantize(path, out, "nvfp4", .pure = true));
    check_dtype(out, "blk.0.attn_v.weight", "NVFP4");
    CHECK(!wk_quantize(out, path, "q8_0"));
    CHECK_ERROR("is nvfp4 already");
    CHECK(wk_quantize(out, path, "q8_0", .requantize = true));
    check_dtype(path, "blk.0.attn_v.weight", "Q8_0");
}

TEST(patterns_of_names)
{
    static const struct {
        const char *pattern, *text;
        bool        found;
    } cases[] = {
        { "attn_q", "blk.0.attn_q.weight", true },
        { "^attn_q", "blk.0.attn_q.weight", false },
        { "^blk\\.0\\.", "blk.0.attn_q.weight", true },
        { "^blk\\.0\\.", "blk.00.attn_q.weight", false },
        { "blk\\.(0|1[0-9]|2)\\.ffn", "blk.17.ffn_up", true },
        { "blk\\.(0|1[0-9]|2)\\.ffn", "blk.3.ffn_up", false },
        { "weight$", "a.weight", true },
        { "weight$", "a.weights", false },
        { "a+b?c*d", "aaad", true },
        { "^a+b?c*$", "aabccc", true },
        { "^a+b?c*$", "abbc", false },
        { "^(ab|c)*d$", "abcabd", true },
        { "^(ab|c)+d$", "d", false },
        { "^(a*)*$", "aaab", false },
        { "^(a?)+b$", "b", true },
        { "[^a-c]x", "ax", false },
        { "[^a-c]x", "dx", true },
        { "[]]", "]", true },
        { "\\d+\\.\\w", "12.x", true },
        { "", "anything", true },
        { "(", "x", true },
        { "[", "x", false },
        { "a\\", "a", false },
        { "(a|aa)+(a|aa)+(a|aa)+(a|aa)+(a|aa)+b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          false },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++)
        CHECK_MSG(wk_pattern_in(cases[i].pattern, cases[i].text) == cases[i].found, "%s in %s",
                  cases[i].pattern, cases[i].text);
}

/* ---- What is refused ----------------------------------------------------- */

TEST(quantizing_what_cannot_be)
{
    static const char *const bad[][2] = {
        { "attn_q", NULL }, { "=q8_0", NULL }, { "attn_q=q9_0", NULL }, { "attn_q=i32", NULL }
    };
    char path[1024], matrix[1024], other[1024], out[1024];
    write_files(1, test_temporary("model", path), test_temporary("matrix", matrix));
    write_files(4, test_temporary("narrow", other), test_temporary("other", out));
    test_temporary("out", out);
    CHECK(!wk_quantize(path, out, "q9_k"));
    CHECK_ERROR("there is no type q9_k");
    CHECK(!wk_quantize(path, out, "f8_e4m3"));
    CHECK_ERROR("GGUF files do not have f8_e4m3");
    CHECK(!wk_quantize(path, out, "iq2_xs"));
    CHECK_ERROR("needs an importance matrix (--imatrix)");
    CHECK(!wk_quantize(path, out, "q4_k_m", path));
    CHECK_ERROR("not an importance matrix");
    CHECK(!wk_quantize(other, out, "q4_0", matrix));
    CHECK_ERROR("256 columns in the importance matrix, not 96");
    CHECK(!wk_quantize(path, "no/such/folder/x.gguf", "q8_0"));
    CHECK_ERROR("no/such/folder");
    CHECK(!wk_quantize(NULL, out, "q8_0"));
    CHECK_ERROR("from what");
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        CHECK(!wk_quantize(path, out, "q8_0", .overrides = bad[i]));
        CHECK_ERROR(i < 2 ? "expected NAME=TYPE" : "there is no type");
    }
    CHECK(fopen(out, "rb") == NULL);
    wk_interrupt();
    CHECK(!wk_quantize(path, out, "q8_0"));
    wk_resume();
    CHECK_ERROR("interrupted");
    CHECK(fopen(out, "rb") == NULL);
    const char *names[] = { "a.weight" };
    wk_scope    scope = wk_mark();
    wk_tensor  *tensors[] = { wk_full_of(WK_F32, WK_SHAPE(2, 256), 1.0 / 0.0) };
    CHECK(wk_gguf_save(path, 1, names, tensors));
    CHECK(!wk_quantize(path, out, "q8_0"));
    CHECK_ERROR("a.weight has numbers that are not finite");
    wk_sweep(scope);
}

/* ---- Importance matrices of the older kind ------------------------------- */

static void put32(wk_buf *b, uint32_t u)
{
    for (int i = 0; i < 4; i++)
        wk_buf_char(b, (char)(u >> 8 * i));
}

static void old_matrix(wk_buf *b)
{
    const float means[] = { 8, 4, 2 };
    put32(b, 2);
    for (int k = 0; k < 2; k++) {
        put32(b, 3);
        wk_buf_str(b, k ? WK_STR("two") : WK_STR("one"));
        put32(b, 2); /* calls */
        put32(b, 3);
        for (int i = 0; i < 3; i++) {
            uint32_t bits;
            memcpy(&bits, &means[i], 4);
            put32(b, bits);
        }
    }
    put32(b, 7);
    put32(b, 4);
    wk_buf_str(b, WK_STR("text"));
}

TEST(importance_of_the_older_kind)
{
    char       path[1024];
    wk_buf     b = { 0 };
    wk_imatrix m;
    old_matrix(&b);
    test_temporary("imatrix.dat", path);
    CHECK(wk_write_file(path, b.data, b.size) && wk_imatrix_read(&m, path));
    CHECK_INT(m.count, 2);
    CHECK_INT(m.chunks, 7);
    CHECK_STR(m.text, "text");
    const wk_importance *e = wk_imatrix_find(&m, "two");
    CHECK(e && e->count == 3 && e->mean[0] == 4 && e->mean[2] == 1);
    CHECK(!wk_imatrix_find(&m, "three"));
    wk_imatrix_free(&m);
    size_t whole = b.size, without_text = whole - 12;
    for (size_t n = 0; n < whole; n++) { /* cut off anywhere */
        CHECK(wk_write_file(path, b.data, n));
        bool good = wk_imatrix_read(&m, path);
        CHECK_MSG(good == (n >= without_text && n < without_text + 8), "%zu bytes", n);
        wk_clear();
        wk_imatrix_free(&m);
    }
    for (size_t i = 0; i < whole; i++) { /* any byte as large as can be */
        char c = b.data[i];
        b.data[i] = (char)0xFF;
        CHECK(wk_write_file(path, b.data, whole));
        wk_imatrix_read(&m, path);
        wk_clear();
        wk_imatrix_free(&m);
        b.data[i] = c;
    }
    wk_buf_free(&b);
}
