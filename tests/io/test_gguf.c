// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_gguf.c - files of the reference library (tests/golden/make_gguf.py), of llama.cpp, of
 * our own, and files that lie. */
#include "test.h"

#include "../src/base/base.h"
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/gguf/"

/* ---- Reading what the reference wrote ----------------------------------- */

static void check_equal(const wk_archive *a, const char *name)
{
    char twin[40];
    snprintf(twin, sizeof twin, "%s.f64", name);
    wk_tensor *x = wk_archive_get(a, name), *y = wk_archive_get(a, twin);
    double     u[8], v[8];
    if (!CHECK(x && y && wk_count(x) == 8))
        return;
    wk_read(x, WK_F64, u);
    wk_read(y, WK_F64, v);
    for (int i = 0; i < 8; i++)
        CHECK_MSG(!memcmp(&u[i], &v[i], sizeof u[i]), "%s[%d] is %g, not %g", name, i, u[i], v[i]);
}

static int64_t integer(const wk_archive *a, const char *key)
{
    wk_meta m = wk_archive_meta(a, key, 0);
    CHECK_MSG(m.type == WK_META_INTEGER || m.type == WK_META_BOOL, "%s is no integer", key);
    CHECK(m.list ? m.count > 0 : m.count == 1);
    return m.integer;
}

static void check_text(const wk_archive *a, const char *key, int64_t i, wk_str want)
{
    wk_meta m = wk_archive_meta(a, key, i);
    CHECK_MSG(m.type == WK_META_TEXT && m.size == want.size && !memcmp(m.text, want.at, want.size),
              "%s[%d] is \"%.*s\"", key, (int)i, (int)m.size, m.text);
}

static void check_values(const wk_archive *a)
{
    CHECK_INT(integer(a, "v.u8"), 200);
    CHECK_INT(integer(a, "v.i8"), -100);
    CHECK_INT(integer(a, "v.u16"), 60000);
    CHECK_INT(integer(a, "v.i16"), -30000);
    CHECK_INT(integer(a, "v.u32"), 4000000000);
    CHECK_INT(integer(a, "v.i32"), -2000000000);
    CHECK_INT(integer(a, "v.i64"), -(1LL << 62) - 1);
    CHECK(integer(a, "v.u64") == INT64_MAX && wk_archive_meta(a, "v.u64", 0).number == 0x1p64);
    CHECK(integer(a, "v.true") == 1 && integer(a, "v.false") == 0);
    CHECK_INT(wk_archive_meta(a, "v.true", 0).type, WK_META_BOOL);
    CHECK(wk_archive_meta(a, "v.f32", 0).number == (double)0.1f);
    CHECK(wk_archive_meta(a, "v.f64", 0).number == -1e300);
    CHECK(wk_archive_meta(a, "v.i8", 0).number == -100);
    check_text(a, "v.text", 0, WK_STR("a \"quoted\" \xC3\xA9"));
    check_text(a, "v.empty", 0, WK_STR(""));
    check_text(a, "l.text", 0, WK_STR(""));
    check_text(a, "l.text", 1, WK_STR("one"));
    check_text(a, "l.text", 2, WK_STR("\xFF\0\xFE"));
    check_text(a, "l.text", 3, WK_STR("four"));
    CHECK_INT(wk_archive_meta(a, "l.i32", 1).integer, -1);
    CHECK_INT(wk_archive_meta(a, "l.i32", 2).integer, 1 << 30);
    CHECK(wk_archive_meta(a, "l.f32", 1).number == -0.25);
    CHECK_INT(wk_archive_meta(a, "l.bool", 1).integer, 0);
    CHECK_INT(wk_archive_meta(a, "l.u16", 1).integer, 65535);
    CHECK(wk_archive_meta(a, "l.u16", 0).list && !wk_archive_meta(a, "v.u16", 0).list);
}

static void check_reference(const char *path, bool big)
{
    static const char *const names[] = { "F32", "F16", "F64", "I8", "I16", "I32", "I64", "BF16" };
    wk_archive              *a = wk_archive_open(path);
    check_values(a);
    for (size_t i = 0; i < WK_COUNT(names) - big; i++)
        check_equal(a, names[i]);
    wk_tensor *four = wk_archive_get(a, "four");
    CHECK(wk_rank(four) == 4 && wk_dim(four, 0) == 2 && wk_dim(four, 2) == 4);
    CHECK_NEAR(wk_item(wk_sum(wk_select(wk_select(four, 0, 1), 0, 2))), 20 + 21 + 22 + 23, 0);
    CHECK_STR(wk_name(four), "four");
    wk_archive_free(a);
}

TEST(gguf_of_the_reference) { check_reference(GOLDEN "types.gguf", false); }
TEST(gguf_of_the_reference_big_endian) { check_reference(GOLDEN "types-be.gguf", true); }

TEST(gguf_metadata_asked_for_in_vain)
{
    wk_archive *a = wk_archive_open(GOLDEN "types.gguf");
    CHECK_INT(wk_archive_meta(a, "v.u9", 0).type, WK_META_NONE);
    CHECK_INT(wk_archive_meta(a, "v.u8", 1).type, WK_META_NONE);
    CHECK_INT(wk_archive_meta(a, "v.u8", -1).type, WK_META_NONE);
    CHECK_INT(wk_archive_meta(a, "l.text", 4).type, WK_META_NONE);
    CHECK_INT(wk_archive_meta(a, "l.text", 4).count, 4);
    CHECK_INT(wk_archive_meta(a, NULL, 0).type, WK_META_NONE);
    CHECK_INT(wk_archive_meta(NULL, "v.u8", 0).type, WK_META_NONE);
    CHECK_STR(wk_archive_metadata(a, "general.architecture"), "test");
    CHECK(wk_archive_metadata(a, "v.u8") == NULL && wk_archive_metadata(a, "l.text") == NULL);
    CHECK_STR(wk_archive_metadata_key(a, 1), "v.u8");
    CHECK(wk_archive_metadata_key(a, 20) == NULL && wk_archive_metadata_key(a, -1) == NULL);
    wk_archive_free(a);
    a = wk_archive_open("tests/golden/io/types.safetensors");
    check_text(a, "format", 0, WK_STR("pt"));
    CHECK_INT(wk_archive_meta(a, "format", 0).count, 1);
    wk_archive_free(a);
}

static void check_six(const char *path)
{
    wk_archive *a = wk_archive_open(path);
    CHECK_INT(wk_archive_count(a), 6);
    for (int i = 0; i < 6; i++) {
        char name[] = { 't', (char)('0' + i), 0 };
        CHECK_STR(wk_archive_name(a, i), name);
        CHECK_NEAR(wk_item(wk_sum(wk_archive_get(a, name))), 6 * i, 0);
    }
    CHECK_INT(integer(a, "split.no"), 0);
    wk_archive_free(a);
}

TEST(gguf_in_parts)
{
    check_six(GOLDEN "split/six-00001-of-00003.gguf");
    check_six(GOLDEN "split/six-00003-of-00003.gguf");
    check_six(GOLDEN "split");
}

static void try_parts(const char *change, const char *open, const char *error)
{
    char folder[1024], path[1200], command[4000];
    test_temporary("parts", folder);
    snprintf(command, sizeof command,
             "rm -rf '%s' && cp -r " GOLDEN "split '%s' && cd '%s' && s=-of-00003.gguf && %s",
             folder, folder, folder, change);
    CHECK(system(command) == 0);
    snprintf(path, sizeof path, "%s/%s", folder, open);
    wk_archive *a = wk_archive_open(path);
    CHECK_MSG(a == NULL, "accepted: %s", change);
    CHECK_ERROR(error);
    wk_archive_free(a);
}

TEST(gguf_parts_that_are_refused)
{
    try_parts("rm six-00002$s", "six-00001-of-00003.gguf", "six-00002-of-00003.gguf: cannot open");
    try_parts("cp six-00001$s six-00002$s", "six-00001-of-00003.gguf", "two tensors t0");
    try_parts("cp six-00003$s six-00001$s", "six-00002-of-00003.gguf", "it is part 2");
    try_parts("mv six-00001$s one.gguf", "one.gguf", "its name does not end");
    try_parts("mv six-00001$s a-00001-of-00001.gguf", "a-00001-of-00001.gguf", "its name does not");
    try_parts("for i in 1 2; do mv six-0000$i$s six-0000$i-of-00002.gguf; done",
              "six-00001-of-00002.gguf", "its name does not end");
    try_parts("echo text > six-00002$s", "six-00001-of-00003.gguf", "not a GGUF file");
    try_parts("cp six-00001$s another.gguf", "", "there are 4 GGUF files in this folder");
    try_parts("rm *", "", "no GGUF file");
    try_parts("sed -i s/t4/t3/ six-00003$s", "six-00001-of-00003.gguf", "two tensors t3");
    try_parts("LC_ALL=C sed -i 's/tensors.count\\x05\\x00\\x00\\x00\\x06/tensors.count\\x05\\x00"
              "\\x00\\x00\\x07/' six-0000*",
              "six-00001-of-00003.gguf", "there are 6 tensors, not 7");
}

TEST(gguf_vocabularies_of_llama_cpp)
{
    static const struct {
        const char *name, *model;
        int64_t     tokens;
    } files[] = {
        { "bert-bge", "bert", 30522 },   { "falcon", "gpt2", 65024 }, { "gpt-2", "gpt2", 50257 },
        { "llama-spm", "llama", 32000 }, { "phi-3", "llama", 32064 },
    };
    char path[1024], name[64];
    for (size_t i = 0; i < WK_COUNT(files); i++) {
        snprintf(name, sizeof name, "tokenizers/%s.gguf", files[i].name);
        if (!test_shared(name, path))
            return;
        wk_archive *a = wk_archive_open(path);
        CHECK_STR(wk_archive_metadata(a, "tokenizer.ggml.model"), files[i].model);
        CHECK_INT(wk_archive_meta(a, "tokenizer.ggml.tokens", 0).count, files[i].tokens);
        CHECK_INT(wk_archive_count(a), 0);
        wk_archive_free(a);
    }
    test_shared("tokenizers/llama-spm.gguf", path);
    wk_archive *a = wk_archive_open(path);
    check_text(a, "tokenizer.ggml.tokens", 31999, WK_STR("\xE7\xBB\x99"));
    CHECK_INT(wk_archive_meta(a, "tokenizer.ggml.token_type", 3).integer, 6);
    wk_archive_free(a);
}

/* ---- Our own ------------------------------------------------------------ */

static const int64_t     three[] = { -1, 5, 70000 };
static const double      halves[] = { 0.5, -2.5 };
static const char *const words[] = { "", "a\0b", "word" };

static const wk_gguf_value values[] = {
    { "general.architecture", .text = "test" },
    { "v.u8", "u8", .integer = 200 },
    { "v.i8", "i8", .integer = -100 },
    { "v.u16", "u16", .integer = 60000 },
    { "v.i16", "i16", .integer = -30000 },
    { "v.u32", "u32", .integer = 4000000000 },
    { "v.i32", "i32", .integer = -2000000000 },
    { "v.f32", "f32", .number = 0.1 },
    { "v.true", "bool", .integer = 1 },
    { "v.false", "bool", .integer = 0 },
    { "v.text", "text", .text = "a \"quoted\" \xC3\xA9" },
    { "v.empty", .text = "" },
    { "v.u64", "u64", .integer = INT64_MAX },
    { "v.i64", "i64", .integer = INT64_MIN },
    { "v.f64", "f64", .number = -1e300 },
    { "l.text", .texts = words, .count = 3, .sizes = (const size_t[]){ 0, 3, 4 } },
    { "l.i32", "i32", .integers = three, .count = 3 },
    { "l.f64", "f64", .numbers = halves, .count = 2 },
    { "l.bool", "bool", .integers = three, .count = 2 },
    { "l.none", "u8", .integers = three, .count = 0 },
};

TEST(gguf_that_is_saved_comes_back)
{
    char        path[1024];
    wk_tensor  *x = wk_randn(3, 5), *view = wk_permute(x, 1, 0);
    wk_tensor  *list[] = { x, view, wk_cast(x, WK_BF16), wk_scalar(7), wk_cast(view, WK_I8) };
    const char *names[] = { "x", "view", "narrow", "seven", "whole" };
    test_temporary("saved.gguf", path);
    CHECK(wk_gguf_save(path, 5, names, list, (int)WK_COUNT(values), values));
    wk_archive *a = wk_archive_open(path);
    for (int i = 0; i < 5; i++) {
        wk_tensor *y = wk_archive_get(a, names[i]);
        CHECK_INT(wk_dtype_of(y), wk_dtype_of(list[i]));
        CHECK_INT(wk_count(y), wk_count(list[i]));
        CHECK(wk_item(wk_all(wk_eq(wk_cast(y, WK_F32), wk_cast(list[i], WK_F32)))) == 1);
    }
    CHECK_INT(integer(a, "v.u32"), 4000000000);
    CHECK_INT(integer(a, "v.i64"), INT64_MIN);
    CHECK_INT(integer(a, "v.u64"), INT64_MAX);
    CHECK(wk_archive_meta(a, "v.f32", 0).number == (double)0.1f);
    check_text(a, "l.text", 1, WK_STR("a\0b"));
    CHECK_INT(wk_archive_meta(a, "l.i32", 2).integer, 70000);
    CHECK(wk_archive_meta(a, "l.f64", 1).number == -2.5);
    CHECK(wk_archive_meta(a, "l.none", 0).list && wk_archive_meta(a, "l.none", 0).count == 0);
    wk_archive_free(a);
}

/* What a big-endian file has comes out as the reference wrote it into the little-endian one. */
TEST(gguf_metadata_is_copied)
{
    char                 path[1024];
    wk_archive          *a = wk_archive_open(GOLDEN "types-be.gguf");
    static const int64_t list[] = { 1, 2 };
    const wk_gguf_value  own[] = { { "v.text", .text = "mine" },
                                   { "l.i32", "u8", .integers = list, .count = 2 } };
    test_temporary("copy.gguf", path);
    CHECK(wk_gguf_save(path, .value_count = 2, .values = own, .like = a));
    wk_archive_free(a);
    a = wk_archive_open(path);
    CHECK_STR(wk_archive_metadata(a, "v.text"), "mine");
    CHECK_INT(wk_archive_meta(a, "l.i32", 0).count, 2);
    wk_archive_free(a);
    a = wk_archive_open(GOLDEN "types-be.gguf");
    CHECK(wk_gguf_save(path, .like = a));
    wk_archive_free(a);
    a = wk_archive_open(path);
    check_values(a);
    wk_archive_free(a);
    wk_file *mine = wk_file_open(path), *theirs = wk_file_open(GOLDEN "types.gguf");
    size_t   end = mine->size - 32; /* of the values, but for padding and counts */
    CHECK(theirs->size > end && !memcmp(mine->data + 24, theirs->data + 24, end - 24));
    wk_file_release(mine);
    wk_file_release(theirs);
}

static void try_value(wk_gguf_value v, const char *error)
{
    char path[1024];
    test_temporary("never.gguf", path);
    CHECK(!wk_gguf_save(path, .value_count = 1, .values = &v));
    CHECK_ERROR(error);
    CHECK(access(path, F_OK) != 0);
}

TEST(gguf_that_is_not_saved)
{
    try_value((wk_gguf_value){ "k", "u8", .integer = 256 },
              "k: a number that its type does not hold");
    try_value((wk_gguf_value){ "k", "u8", .integer = -1 }, "does not hold");
    try_value((wk_gguf_value){ "k", "i8", .integer = -129 }, "does not hold");
    try_value((wk_gguf_value){ "k", "i32", .integer = 1LL << 31 }, "does not hold");
    try_value((wk_gguf_value){ "k", "u64", .integer = -1 }, "does not hold");
    try_value((wk_gguf_value){ "k", .type = "list" }, "no known type");
    try_value((wk_gguf_value){ "k", .integer = 1 }, "no known type");
    try_value((wk_gguf_value){ "", "u8", .integer = 1 }, "not a name");
    try_value((wk_gguf_value){ NULL, "u8", .integer = 1 }, "not a name");
    try_value((wk_gguf_value){ "\xFF", "u8", .integer = 1 }, "not a name");
    try_value((wk_gguf_value){ "k", .type = "text" }, "a text is NULL");
    try_value((wk_gguf_value){ "k", "f32", .integers = three, .count = 3 }, "without elements");
    try_value((wk_gguf_value){ "k", "f32", .count = 3 }, "without elements");
    char          path[1024];
    wk_gguf_value twice[] = { { "k", "u8", .integer = 1 }, { "k", "u8", .integer = 1 } };
    wk_tensor    *x[] = { wk_ones(2), wk_ones(2) }, *none = wk_zeros(0, 2), *missing = NULL;
    wk_tensor    *deep = wk_ones(1, 1, 1, 1, 1), *eight = wk_cast(x[0], WK_F8_E4M3);
    const char   *name = "x", *same[] = { "x", "x" };
    test_temporary("never.gguf", path);
    CHECK(!wk_gguf_save(path, .value_count = 2, .values = twice));
    CHECK_ERROR("k: is there twice");
    CHECK(!wk_gguf_save(path, 2, same, x));
    CHECK_ERROR("x: is there twice");
    CHECK(!wk_gguf_save(path, 1, &name, &none));
    CHECK_ERROR("x: no elements");
    CHECK(!wk_gguf_save(path, 1, &name, &missing));
    CHECK_ERROR("x: the tensor is NULL");
    CHECK(!wk_gguf_save(path, 1, &name, &deep));
    CHECK_ERROR("more than 4 dimensions");
    CHECK(!wk_gguf_save(path, 1, &name, &eight));
    CHECK_ERROR("GGUF has no such dtype");
    CHECK(!wk_gguf_save("/nowhere/at/all.gguf", 1, &name, x));
    CHECK_ERROR("/nowhere/at/all.gguf");
    CHECK(access(path, F_OK) != 0);
}

/* ---- Files that lie ----------------------------------------------------- */

static wk_buf file; /* the file that is being made */
static bool   big;
static int    width; /* of counts */

static void put(uint64_t u, int bytes)
{
    for (int i = 0; i < bytes; i++)
        wk_buf_char(&file, (char)(u >> 8 * (big ? bytes - 1 - i : i)));
}

static void put_bytes(const void *data, size_t size)
{
    put(size, width);
    wk_buf_add(&file, data, size);
}

static void put_text(const char *s) { put_bytes(s, strlen(s)); }

static void begin(uint64_t version, uint64_t tensors, uint64_t values_count)
{
    wk_buf_clear(&file);
    width = version == 1 ? 4 : 8;
    wk_buf_str(&file, WK_STR("GGUF"));
    put(version, 4);
    put(tensors, width);
    put(values_count, width);
}

static void put_key(const char *key, uint64_t kind)
{
    put_text(key);
    put(kind, 4);
}

static void put_u32(const char *key, uint64_t value)
{
    put_key(key, 4);
    put(value, 4);
}

static void put_list(const char *key, uint64_t kind, uint64_t count)
{
    put_key(key, 9);
    put(kind, 4);
    put(count, width);
}

static void put_tokens(int count)
{
    put_list("tokenizer.ggml.tokens", 8, (uint64_t)count);
    for (int i = 0; i < count; i++)
        put_text("\xFF"); /* a token need not be UTF-8 */
}

static void put_tensor(const char *name, uint64_t rows, uint64_t columns, uint64_t type,
                       uint64_t offset)
{
    put_text(name);
    put(2, 4);
    put(columns, width);
    put(rows, width);
    put(type, 4);
    put(offset, 8);
}

static void put_zeros(size_t count)
{
    while (file.size % 32)
        wk_buf_char(&file, 0);
    for (size_t i = 0; i < count; i++)
        wk_buf_char(&file, 0);
}

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

static void check_file(const char *error, const char *call, int line)
{
    char path[1024];
    write_bytes(test_temporary("bad.gguf", path), file.data, file.size);
    double      start = wk_now();
    wk_archive *a = wk_archive_open(path);
    if (error) {
        CHECK_MSG(a == NULL && strstr(wk_message(), "bad.gguf") && strstr(wk_message(), error),
                  "line %d, %s: %s", line, call, a ? "accepted" : wk_message());
        wk_clear();
    }
    CHECK(wk_now() - start < 5);
    CHECK(wk_ok());
    wk_archive_free(a);
}
#define REFUSED(error) check_file(error, error, __LINE__)
#define ACCEPTED()     check_file(NULL, "", __LINE__)

TEST(gguf_headers_that_are_refused)
{
    begin(3, 0, 0), ACCEPTED();
    begin(2, 0, 0), ACCEPTED();
    begin(1, 0, 0), ACCEPTED();
    begin(0, 0, 0), REFUSED("GGUF version 0");
    begin(4, 0, 0), REFUSED("GGUF version 4");
    begin(3, UINT64_MAX, 0), REFUSED("18446744073709551615 tensors do not fit");
    begin(3, 1, 0), REFUSED("1 tensors do not fit");
    begin(3, 0, UINT64_MAX), REFUSED("18446744073709551615 values do not fit");
    begin(3, 0, 1LL << 40), put_u32("k", 1), put_zeros(1000), REFUSED("values do not fit");
    begin(3, 1LL << 40, 1), put_u32("k", 1), put_zeros(1000), REFUSED("tensors do not fit");
    begin(3, 0, 2), put_u32("k", 1), put_zeros(0), REFUSED("a key of 0 bytes");
    begin(1, 1 << 30, 1 << 30), put_zeros(100), REFUSED("values do not fit");
    file.size = 0, wk_buf_str(&file, WK_STR("GGUF")), REFUSED("ends before");
    file.size = 0, wk_buf_str(&file, WK_STR("GGUG")), REFUSED("not a safetensors file, and not");
    file.size = 0, wk_buf_str(&file, WK_STR("algg")), REFUSED("not a safetensors file, and not");
    file.size = 0, wk_buf_str(&file, WK_STR("tjgg\3\0\0\0")), REFUSED("ends before what it says");
    file.size = 0, wk_buf_str(&file, WK_STR("lmgg\0\0\0\0")), REFUSED("ends before what it says");
    wk_buf_free(&file);
}

TEST(gguf_values_that_are_refused)
{
    begin(3, 0, 1), put_u32("k", 1), ACCEPTED();
    begin(3, 0, 1), put_text(""), put_zeros(64), REFUSED("a key of 0 bytes");
    begin(3, 0, 1), put_bytes("a\0b", 3), put_zeros(64), REFUSED("a key that is not UTF-8");
    begin(3, 0, 1), put_text("a\xFF"), put_zeros(64), REFUSED("a key that is not UTF-8");
    begin(3, 0, 1), put(70000, 8), put_zeros(70000), REFUSED("a key of 70000 bytes");
    begin(3, 0, 1), put(UINT64_MAX, 8), put_zeros(64), REFUSED("a text of 18446744073709551615");
    begin(3, 0, 1), put(1 << 29, 8), put_zeros(64), REFUSED("ends before");
    begin(3, 0, 2), put_u32("k", 1), put_u32("k", 2), REFUSED("two values of k");
    begin(3, 0, 1), put_key("k", 13), put_zeros(64), REFUSED("k: a value of unknown kind 13");
    begin(3, 0, 1), put_key("k", UINT32_MAX), put_zeros(64), REFUSED("unknown kind 4294967295");
    begin(3, 0, 1), put_key("k", 10), put(1, 4), REFUSED("k: its value does not fit");
    begin(3, 0, 1), put_key("k", 8), put(1LL << 62, 8), put_zeros(64), REFUSED("a text of 46116");
    begin(3, 0, 1), put_key("k", 7), put(1, 1), ACCEPTED();
    begin(3, 0, 1), put_key("k", 7), put(2, 1), REFUSED("k: a bool is 2");
    begin(3, 0, 1), put_list("k", 7, 3), put(0x020100, 3), REFUSED("k: a bool is 2");
    begin(3, 0, 1), put_list("k", 9, 1), put_zeros(64), REFUSED("k: a list of lists");
    begin(3, 0, 1), put_list("k", 0, UINT64_MAX), put_zeros(64), REFUSED("k: a list of 184467");
    begin(3, 0, 1), put_list("k", 12, 1 << 29), put_zeros(64), REFUSED("k: its value does not");
    begin(3, 0, 1), put_list("k", 8, 1 << 29), put_zeros(64), REFUSED("k: its value does not");
    begin(3, 0, 1), put_list("k", 8, 3), put_text("a"), put(99, 8), put(0, 8), REFUSED("ends bef");
    begin(3, 0, 1), put_list("k", 13, 1), put_zeros(64), REFUSED("unknown kind 13");
    begin(3, 0, 1), put_list("k", 8, 0), ACCEPTED();
    wk_buf_free(&file);
}

TEST(gguf_known_keys_of_a_wrong_type)
{
    begin(3, 0, 1), put_u32("general.architecture", 1);
    REFUSED("general.architecture must not be u32");
    begin(3, 0, 1), put_key("general.alignment", 8), put_text("32");
    REFUSED("general.alignment must not be text");
    begin(3, 0, 1), put_list("general.alignment", 4, 1), put(32, 4);
    REFUSED("general.alignment must not be a list of u32");
    begin(3, 0, 1), put_key("tokenizer.ggml.tokens", 8), put_text("a");
    REFUSED("tokenizer.ggml.tokens must not be text");
    begin(3, 0, 1), put_list("tokenizer.ggml.tokens", 4, 1), put(1, 4);
    REFUSED("tokens must not be a list of u32");
    begin(3, 0, 1), put_list("tokenizer.ggml.scores", 5, 1), put(1, 4);
    REFUSED("scores must not be a list of i32");
    begin(3, 0, 1), put_key("tokenizer.ggml.bos_token_id", 6), put(1, 4);
    REFUSED("bos_token_id must not be f32");
    begin(3, 0, 1), put_u32("tokenizer.ggml.add_bos_token", 1);
    REFUSED("add_bos_token must not be u32");
    static const uint64_t bad[] = { 0, 3, 24, 33, 1 << 21, UINT32_MAX };
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        begin(3, 0, 1), put_u32("general.alignment", bad[i]);
        REFUSED("an alignment of");
    }
    begin(3, 0, 1), put_key("general.alignment", 5), put(0x80000000u, 4);
    REFUSED("an alignment of -2147483648");
    begin(3, 0, 1), put_u32("general.alignment", 1 << 20), ACCEPTED();
    begin(3, 0, 1), put_u32("split.count", 2), REFUSED("its name does not end");
    wk_buf_free(&file);
}

TEST(gguf_vocabularies_that_are_refused)
{
    begin(3, 0, 3), put_tokens(3), put_u32("tokenizer.ggml.bos_token_id", 2);
    put_list("tokenizer.ggml.scores", 6, 3), put_zeros(12), ACCEPTED();
    begin(3, 0, 2), put_tokens(3), put_u32("tokenizer.ggml.bos_token_id", 3);
    REFUSED("tokenizer.ggml.bos_token_id is 3, but there are 3 tokens");
    begin(3, 0, 2), put_key("tokenizer.ggml.eos_token_id", 5), put(UINT32_MAX, 4), put_tokens(3);
    REFUSED("eos_token_id is -1, but there are 3 tokens");
    begin(3, 0, 2), put_tokens(3), put_list("tokenizer.ggml.scores", 6, 2), put_zeros(8);
    REFUSED("tokenizer.ggml.scores has 2 elements for 3 tokens");
    begin(3, 0, 2), put_tokens(3), put_list("tokenizer.ggml.token_type", 5, 4), put_zeros(16);
    REFUSED("tokenizer.ggml.token_type has 4 elements for 3 tokens");
    begin(3, 0, 1), put_list("tokenizer.ggml.token_type", 5, 1), put_zeros(16);
    REFUSED("tokenizer.ggml.token_type has 1 elements for 0 tokens");
    wk_buf_free(&file);
}

static void one_tensor(uint64_t rows, uint64_t columns, uint64_t type, uint64_t offset, size_t data)
{
    begin(3, 1, 0), put_tensor("x", rows, columns, type, offset), put_zeros(data);
}

TEST(gguf_tensors_that_are_refused)
{
    one_tensor(2, 4, 0, 0, 32), ACCEPTED();
    one_tensor(2, 4, 0, 32, 64), ACCEPTED();
    one_tensor(2, 4, 0, 0, 31), REFUSED("x: lies outside of the file");
    one_tensor(2, 4, 0, 4, 64), REFUSED("x: its offset 4 is not aligned");
    one_tensor(2, 4, 0, 64, 64), REFUSED("x: lies outside");
    one_tensor(2, 4, 0, 1LL << 40, 64), REFUSED("x: lies outside");
    one_tensor(2, 4, 0, UINT64_MAX - 31, 64), REFUSED("x: lies outside");
    one_tensor(0, 4, 0, 0, 32), REFUSED("x: a dimension of 0");
    one_tensor(2, UINT64_MAX, 0, 0, 32), REFUSED("x: a dimension of -1");
    one_tensor(1LL << 32, 1LL << 32, 0, 0, 32), REFUSED("x: its size overflows");
    one_tensor(1LL << 31, 1LL << 31, 0, 0, 32), REFUSED("x: its size overflows");
    one_tensor(1, 1LL << 62, 0, 0, 32), REFUSED("x: its size overflows");
    one_tensor(1, 1LL << 60, 0, 0, 32), REFUSED("x: lies outside");
    one_tensor(1, 48, 2, 0, 32), REFUSED("x: rows of 48 elements are not blocks of 32");
    one_tensor(1, 32, 2, 0, 18), ACCEPTED();
    one_tensor(1, 32, 2, 0, 17), REFUSED("x: lies outside");
    one_tensor(1, 32, 4, 0, 64), REFUSED("x: type Q4_2 is no longer in use");
    one_tensor(1, 32, 36, 0, 64), REFUSED("x: type IQ4_NL_4_4 or I2_S is no longer in use");
    one_tensor(1, 32, 139, 0, 64), REFUSED("x: type IQ4_K is ik_llama.cpp's own");
    one_tensor(1, 32, 399, 0, 64), REFUSED("x: type Q8_K_R8 is ik_llama.cpp's own");
    one_tensor(1, 32, 43, 0, 64), REFUSED("x: unknown type 43");
    one_tensor(1, 32, UINT32_MAX, 0, 64), REFUSED("x: unknown type 4294967295");
    begin(3, 2, 0), put_tensor("x", 1, 8, 0, 0), put_tensor("y", 1, 8, 0, 32), put_zeros(64);
    ACCEPTED();
    begin(3, 2, 0), put_tensor("x", 1, 8, 0, 32), put_tensor("y", 1, 8, 0, 0), put_zeros(64);
    ACCEPTED();
    begin(3, 2, 0), put_tensor("x", 1, 16, 0, 0), put_tensor("y", 1, 8, 0, 32), put_zeros(64);
    REFUSED("x and y overlap");
    begin(3, 2, 0), put_tensor("x", 1, 8, 0, 32), put_tensor("y", 1, 9, 0, 0), put_zeros(64);
    REFUSED("y and x overlap");
    begin(3, 2, 0), put_tensor("x", 1, 8, 0, 0), put_tensor("y", 1, 8, 0, 0), put_zeros(64);
    REFUSED("overlap");
    begin(3, 2, 0), put_tensor("x", 1, 8, 0, 0), put_tensor("x", 1, 8, 0, 32), put_zeros(64);
    REFUSED("there are two tensors x");
    begin(3, 1, 0), put_text("x"), put(0, 4), put(0, 4), put(0, 8), put_zeros(64);
    REFUSED("x: a tensor of rank 0");
    begin(3, 1, 0), put_text("x"), put(5, 4), put_zeros(128), REFUSED("x: a tensor of rank 5");
    begin(3, 1, 0), put_text("x"), put(UINT32_MAX, 4), put_zeros(128), REFUSED("rank 4294967295");
    begin(3, 1, 0), put_text(""), put_zeros(128), REFUSED("the name of a tensor of 0 bytes");
    begin(3, 1, 0), put_bytes("a\0b", 3), put_zeros(128), REFUSED("the name of a tensor that is");
    begin(3, 1, 0), put(1ULL << 63, 8), put_zeros(128), REFUSED("a text of 9223372036854775808");
    begin(3, 1, 1), put_u32("general.alignment", 1 << 20), put_tensor("x", 1, 8, 0, 0);
    put_zeros(64), REFUSED("ends before");
    begin(3, 1, 1), put_u32("general.alignment", 128), put_tensor("x", 1, 8, 0, 32);
    put_zeros(256), REFUSED("x: its offset 32 is not aligned");
    wk_buf_free(&file);
}

/* Sizes and names of all types, as ggml has them. */
TEST(gguf_types_without_a_dtype_are_named)
{
    static const struct {
        const char *name;
        int         id, block, bytes;
    } types[] = {
        { "Q4_0", 2, 32, 18 },      { "Q4_1", 3, 32, 20 },      { "Q5_0", 6, 32, 22 },
        { "Q5_1", 7, 32, 24 },      { "Q8_0", 8, 32, 34 },      { "Q8_1", 9, 32, 36 },
        { "Q2_K", 10, 256, 84 },    { "Q3_K", 11, 256, 110 },   { "Q4_K", 12, 256, 144 },
        { "Q5_K", 13, 256, 176 },   { "Q6_K", 14, 256, 210 },   { "Q8_K", 15, 256, 292 },
        { "IQ2_XXS", 16, 256, 66 }, { "IQ2_XS", 17, 256, 74 },  { "IQ3_XXS", 18, 256, 98 },
        { "IQ1_S", 19, 256, 50 },   { "IQ4_NL", 20, 32, 18 },   { "IQ3_S", 21, 256, 110 },
        { "IQ2_S", 22, 256, 82 },   { "IQ4_XS", 23, 256, 136 }, { "IQ1_M", 29, 256, 56 },
        { "TQ1_0", 34, 256, 54 },   { "TQ2_0", 35, 256, 66 },   { "MXFP4", 39, 32, 17 },
        { "NVFP4", 40, 64, 36 },    { "Q1_0", 41, 128, 18 },    { "Q2_0", 42, 64, 18 },
    };
    char path[1024], error[64];
    for (size_t i = 0; i < WK_COUNT(types); i++) {
        one_tensor(1, (uint64_t)types[i].block, (uint64_t)types[i].id, 0,
                   (size_t)types[i].bytes - 1);
        REFUSED("x: lies outside");
        one_tensor(1, (uint64_t)types[i].block, (uint64_t)types[i].id, 0, (size_t)types[i].bytes);
        write_bytes(test_temporary("typed.gguf", path), file.data, file.size);
        wk_archive *a = wk_archive_open(path);
        CHECK_STR(wk_archive_dtype(a, 0), types[i].name);
        CHECK_INT(wk_archive_shape(a, 0).dim[1], types[i].block);
        if (!wk_archive_get(a, "x")) {
            snprintf(error, sizeof error, "x is of dtype %s", types[i].name);
            CHECK_ERROR(error);
        }
        wk_archive_free(a);
    }
    wk_buf_free(&file);
}

/* Version 1 has short counts; the byte order turns around everything. */
TEST(gguf_of_all_versions)
{
    char path[1024];
    for (int i = 0; i < 6; i++) {
        big = i & 1;
        begin((uint64_t)i / 2 + 1, 1, 2);
        put_list("l", 8, 2), put_text("a"), put_text("bc");
        put_u32("n", 77);
        put_tensor("x", 2, 4, 25, 0), put_zeros(0);
        for (int k = 0; k < 8; k++)
            put((uint64_t)(k - 300), 2);
        write_bytes(test_temporary("version.gguf", path), file.data, file.size);
        wk_archive *a = wk_archive_open(path);
        CHECK_INT(integer(a, "n"), 77);
        check_text(a, "l", 1, WK_STR("bc"));
        wk_tensor *x = wk_archive_get(a, "x");
        CHECK(wk_dim(x, 0) == 2 && wk_dim(x, 1) == 4);
        CHECK_NEAR(wk_item(wk_sum(wk_cast(x, WK_F32))), 28 - 8 * 300, 0);
        wk_archive_free(a);
    }
    big = true;
    one_tensor(1, 32, 2, 0, 18);
    write_bytes(path, file.data, file.size);
    wk_archive *a = wk_archive_open(path);
    CHECK(wk_archive_get(a, "x") == NULL);
    CHECK_ERROR("x is of dtype Q4_0");
    wk_archive_free(a);
    big = false;
    wk_buf_free(&file);
}

static void use(const wk_archive *a)
{
    const char *key;
    for (int i = 0; (key = wk_archive_metadata_key(a, i)); i++)
        for (int64_t k = 0, n = wk_archive_meta(a, key, 0).count; k < n && k < 1000; k++) {
            wk_meta m = wk_archive_meta(a, key, k);
            CHECK(m.type != WK_META_TEXT || wk_hash(m.text, m.size) + 1 != 0);
        }
    for (int i = 0; i < wk_archive_count(a); i++) {
        wk_scope s = wk_mark();
        wk_sum(wk_archive_get(a, wk_archive_name(a, i)));
        wk_clear();
        wk_sweep(s);
    }
}

/* Every truncation and every flipped bit: an error, or a valid archive. */
TEST(gguf_that_is_damaged_does_no_harm)
{
    char path[1024];
    test_temporary("damaged.gguf", path);
    begin(3, 2, 4), put_u32("general.alignment", 32), put_tokens(3);
    put_list("tokenizer.ggml.scores", 6, 3), put(0, 8), put(0, 4);
    put_key("k", 7), put(1, 1);
    put_tensor("x", 1, 8, 0, 0), put_tensor("y", 2, 32, 8, 32), put_zeros(32 + 68);
    for (size_t n = 0; n < file.size; n++) {
        write_bytes(path, file.data, n);
        wk_archive *a = wk_archive_open(path);
        CHECK_MSG(a == NULL, "accepted %d of %d bytes", (int)n, (int)file.size);
        CHECK_ERROR("damaged.gguf");
    }
    for (size_t bit = 0; bit < 8 * file.size; bit++) {
        file.data[bit / 8] ^= (char)(1 << bit % 8);
        write_bytes(path, file.data, file.size);
        wk_archive *a = wk_archive_open(path);
        CHECK(a || strstr(wk_message(), "damaged.gguf"));
        wk_clear();
        use(a);
        wk_archive_free(a);
        file.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    wk_buf_free(&file);
}

TEST(every_allocation_of_a_gguf_archive_may_fail)
{
    char path[1024];
    test_temporary("faults.gguf", path);
    for (long n = 0;; n++) {
        wk_scope s = wk_mark();
        long     before = wk_live_allocs();
        wk_fail_alloc_after(n);
        wk_archive *a = wk_archive_open(GOLDEN "split"),
                   *b = wk_archive_open(GOLDEN "types-be.gguf");
        wk_tensor *x = wk_archive_get(b, "I32");
        wk_gguf_save(path, 1, (const char *[]){ "a" }, &x, (int)WK_COUNT(values), values, b);
        wk_fail_alloc_after(-1);
        bool done = wk_ok();
        CHECK(done || wk_error() == WK_ERR_MEMORY);
        wk_clear();
        wk_sweep(s);
        wk_archive_free(a);
        wk_archive_free(b);
        wk_device_trim(wk_default_device());
        CHECK_MSG(n < 3 || wk_live_allocs() == before, "leak after %ld allocations", n);
        if (done)
            break;
    }
}
