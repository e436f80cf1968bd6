// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_safetensors.c - files of the reference library (tests/golden/make_io.py), files of
 * our own, and files that lie. */
#include "test.h"

#include "../src/base/base.h"
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOLDEN "tests/golden/io/"

/* ---- Reading what the reference wrote ----------------------------------- */

static void check_equal(const wk_archive *a, const char *name)
{
    char twin[40];
    snprintf(twin, sizeof twin, "%s.f64", name);
    wk_tensor *x = wk_archive_get(a, name), *y = wk_archive_get(a, twin);
    double     u[14], v[14];
    if (!CHECK(x && y && wk_count(x) <= 14))
        return;
    wk_read(x, WK_F64, u);
    wk_read(y, WK_F64, v);
    for (int64_t i = 0; i < wk_count(x); i++)
        CHECK_MSG(!memcmp(&u[i], &v[i], sizeof u[i]) || (u[i] != u[i] && v[i] != v[i]),
                  "%s[%d] is %g, not %g", name, (int)i, u[i], v[i]);
}

TEST(all_dtypes_of_the_reference)
{
    static const char *const names[] = { "F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64",
                                         "I32", "I16", "I8",  "U8",   "U32",     "BOOL" };
    wk_archive              *a = wk_archive_open(GOLDEN "types.safetensors");
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        check_equal(a, names[i]);
        CHECK_STR(wk_archive_dtype(a, wk_archive_find(a, names[i])), names[i]);
    }
    int64_t large[2];
    wk_to_i64(wk_archive_get(a, "I64.large"), large);
    CHECK(large[0] == (1LL << 62) + 1 && large[1] == -(1LL << 62) - 1);
    CHECK_NEAR(wk_item(wk_archive_get(a, "scalar")), 2.5, 0);
    CHECK_INT(wk_rank(wk_archive_get(a, "scalar")), 0);
    CHECK_INT(wk_count(wk_archive_get(a, "empty")), 0);
    CHECK_INT(wk_dim(wk_archive_get(a, "empty"), 2), 2);
    CHECK_STR(wk_name(wk_archive_get(a, "F16")), "F16");
    CHECK_STR(wk_archive_metadata(a, "format"), "pt");
    CHECK_STR(wk_archive_metadata(a, "quote"), "a \"quoted\" \xC3\xA9");
    CHECK_STR(wk_archive_metadata(a, "empty"), "");
    CHECK(wk_archive_metadata(a, "nothing") == NULL);
    wk_archive_get(a, "G64");
    CHECK_ERROR("there is no tensor G64");
    wk_archive_free(a);
}

TEST(tensors_outlive_their_archive_and_change_in_private)
{
    wk_archive *a = wk_archive_open(GOLDEN "types.safetensors");
    wk_tensor  *x = wk_archive_get(a, "F32");
    wk_archive_free(a);
    wk_fill(x, 3);
    CHECK_NEAR(wk_item(wk_sum(x)), 42, 0);
    a = wk_archive_open(GOLDEN "types.safetensors");
    CHECK_NEAR(wk_item(wk_select(wk_select(wk_archive_get(a, "F32"), 0, 0), 0, 2)), 1, 0);
    wk_archive_free(a);
}

TEST(shards_and_unaligned_data)
{
    wk_archive *a = wk_archive_open(GOLDEN "sharded");
    CHECK_INT(wk_archive_count(a), 3);
    CHECK_NEAR(wk_item(wk_sum(wk_archive_get(a, "a"))), 15, 0);
    CHECK_NEAR(wk_item(wk_sum(wk_archive_get(a, "c"))), 28, 0);
    wk_archive_free(a);
    a = wk_archive_open(GOLDEN "sharded/model.safetensors.index.json");
    CHECK_INT(wk_archive_find(a, "c"), 2);
    wk_archive_free(a);
    a = wk_archive_open(GOLDEN "unaligned.safetensors");
    CHECK_NEAR(wk_item(wk_sum(wk_archive_get(a, "x"))), 2.25, 0);
    wk_archive_free(a);
    wk_archive_open("tests/golden");
    CHECK_ERROR("there is no model.safetensors");
}

/* ---- Our own ------------------------------------------------------------ */

TEST(what_is_saved_comes_back)
{
    char        path[1024];
    wk_tensor  *x = wk_randn(3, 5), *view = wk_permute(x, 1, 0);
    wk_tensor  *list[] = { x, view, wk_cast(x, WK_F8_E4M3), wk_scalar(7),
                           wk_zeros_of(WK_I16, WK_SHAPE(0, 2)) };
    const char *names[] = { "x", "a \"name\"\n", "eight", "seven", "none" };
    test_temporary("saved.safetensors", path);
    CHECK(wk_safetensors_save(path, 5, names, list, (const char *[]){ "k", "v", NULL }));
    wk_archive *a = wk_archive_open(path);
    for (int i = 0; i < 5; i++) {
        wk_tensor *y = wk_archive_get(a, names[i]);
        CHECK_INT(wk_dtype_of(y), wk_dtype_of(list[i]));
        if (wk_count(y))
            CHECK(wk_item(wk_all(wk_eq(wk_cast(y, WK_F32), wk_cast(list[i], WK_F32)))) == 1);
    }
    CHECK_STR(wk_archive_metadata(a, "k"), "v");
    wk_archive_free(a);
}

TEST(a_failed_save_leaves_the_old_file)
{
    char        path[1024];
    struct stat info;
    wk_tensor  *x = wk_ones(2), *none = NULL;
    test_temporary("old.safetensors", path);
    wk_safetensors_save(path, 1, (const char *[]){ "x" }, &x);
    wk_safetensors_save(path, 1, (const char *[]){ "x" }, &none);
    CHECK_ERROR("tensor 1 of 1 is NULL");
    wk_archive *a = wk_archive_open(path);
    CHECK_INT(wk_archive_count(a), 1);
    wk_archive_free(a);
    wk_safetensors_save("/nowhere/at/all.safetensors", 1, (const char *[]){ "x" }, &x);
    CHECK_ERROR("/nowhere/at/all.safetensors");
    CHECK(stat("/nowhere", &info) != 0);
}

/* ---- Files that lie ----------------------------------------------------- */

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

/* A file of this header and so many bytes of data. */
static void try_header(const char *header, size_t data, const char *error)
{
    char   path[1024], file[4096] = { 0 };
    size_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        file[i] = (char)(n >> 8 * i);
    memcpy(file + 8, header, n);
    write_bytes(test_temporary("bad.safetensors", path), file, 8 + n + data);
    wk_archive *a = wk_archive_open(path);
    if (error) {
        CHECK_MSG(a == NULL, "accepted: %s", header);
        CHECK_MSG(!a && strstr(wk_message(), "bad.safetensors"), "no file in: %s", wk_message());
        CHECK_ERROR(error);
    }
    CHECK(wk_ok());
    wk_archive_free(a);
}

#define ONE(dtype, shape, range)                                                                   \
    "{\"x\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" range "}}"

TEST(headers_that_are_refused)
{
    try_header(ONE("F32", "[2]", "[0,8]"), 8, NULL);
    try_header(ONE("F4", "[4]", "[0,2]"), 2, NULL); /* of the format, though not of ours */
    try_header("{}", 0, NULL);
    try_header(ONE("F32", "[2]", "[0,8]") "   ", 8, NULL);
    try_header(ONE("F32", "[2]", "[0,8]"), 9, "1 bytes behind the last tensor");
    try_header(ONE("F32", "[2]", "[0,8]"), 7, "outside of the file");
    try_header(ONE("F32", "[2]", "[4,12]"), 12, "begins at byte");
    try_header(ONE("F32", "[2]", "[8,0]"), 8, "the shape does not take");
    try_header(ONE("F32", "[3]", "[0,8]"), 8, "x: the shape does not take 8 bytes");
    try_header(ONE("F32", "[-2]", "[0,8]"), 8, "negative dimension");
    try_header(ONE("F32", "[2.5]", "[0,8]"), 8, "expected an integer");
    try_header(ONE("F32", "[1e300]", "[0,8]"), 8, "expected an integer");
    try_header(ONE("F32", "[4294967296,4294967296]", "[0,0]"), 0, "the shape does not take");
    try_header(ONE("F32", "[4611686018427387904,4]", "[0,0]"), 0, "the shape does not take");
    try_header(ONE("F32", "[0,9223372036854775807,9223372036854775807]", "[0,0]"), 0, NULL);
    try_header(ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "too many dimensions");
    try_header(ONE("F33", "[2]", "[0,8]"), 8, "x: unknown dtype F33");
    try_header(ONE("F4", "[3]", "[0,2]"), 2, "the shape does not take");
    try_header(ONE("F32", "[2]", "[0]"), 8, "not two");
    try_header(ONE("F32", "[2]", "[0,8,8]"), 8, "not two");
    try_header(ONE("F32", "[2]", "[-1,8]"), 8, "outside of the file");
    try_header("{\"x\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "missing");
    try_header("{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"y\":1}}", 8,
               "unknown key y");
    try_header("{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
               8, "a second key dtype");
    try_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
               "\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
               8, "two tensors x");
    try_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[6],\"data_offsets\":[0,6]},"
               "\"y\":{\"dtype\":\"U8\",\"shape\":[6],\"data_offsets\":[2,8]}}",
               8, "y begins at byte");
    try_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
               "\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
               8, "y begins at byte");
    try_header("{\"__metadata__\":{\"a\":1}}", 0, "expected a string");
    try_header("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "NUL");
    try_header("{\"x\":[]}", 0, "expected an object");
    try_header("{\"x\":", 0, "bad.safetensors:1:");
    try_header("{} x", 0, "text after the end");
    try_header("{\"\xFF\":1}", 0, "not UTF-8");
}

TEST(files_that_are_no_safetensors)
{
    static const char huge[] = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F{}";
    static const char longer[] = "\x00\x01\x00\x00\x00\x00\x00\x00{}";
    char              path[1024];
    test_temporary("file", path);
    write_bytes(path, "", 0);
    wk_archive_open(path);
    CHECK_ERROR("not a safetensors file");
    write_bytes(path, "\0\0\0\0\0\0\0\0{}", 10);
    wk_archive_open(path);
    CHECK_ERROR("expected an object");
    write_bytes(path, "short", 5);
    wk_archive_open(path);
    CHECK_ERROR("not a safetensors file");
    write_bytes(path, huge, sizeof huge - 1);
    wk_archive_open(path);
    CHECK_ERROR("not a safetensors file");
    write_bytes(path, longer, sizeof longer - 1);
    wk_archive_open(path);
    CHECK_ERROR("does not fit into the file");
    wk_archive_open("no/such/file.safetensors");
    CHECK_ERROR("no/such/file.safetensors: cannot open");
}

/* Larger headers than try_header() takes. */
static void try_built(const wk_buf *header, size_t data, const char *error)
{
    char   path[1024], zeros[64] = { 0 };
    wk_buf file = { 0 };
    for (int i = 0; i < 8; i++)
        wk_buf_char(&file, (char)(header->size >> 8 * i));
    wk_buf_add(&file, header->data, header->size);
    wk_buf_add(&file, zeros, data);
    write_bytes(test_temporary("built.safetensors", path), file.data, file.size);
    double      start = wk_now();
    wk_archive *a = wk_archive_open(path);
    CHECK(a == NULL && strstr(wk_message(), "built.safetensors"));
    CHECK_ERROR(error);
    CHECK(wk_now() - start < 10);
    wk_archive_free(a);
    wk_buf_free(&file);
}

/* Tensors that all lie in the same place, and brackets without end. */
TEST(large_headers_that_are_refused)
{
    wk_buf h = { 0 };
    wk_buf_char(&h, '{');
    for (int i = 0; i < 100000; i++)
        wk_buf_printf(&h, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}",
                      i ? "," : "", i);
    wk_buf_char(&h, '}');
    try_built(&h, 8, "begins at byte");
    wk_buf_clear(&h);
    wk_buf_str(&h, WK_STR("{\"x\":"));
    for (int i = 0; i < 100000; i++)
        wk_buf_str(&h, WK_STR("[{\"a\":"));
    try_built(&h, 8, "expected an object");
    wk_buf_clear(&h);
    wk_buf_str(&h, WK_STR("{\"x\":{\"shape\":"));
    for (int i = 0; i < 100000; i++)
        wk_buf_char(&h, '[');
    try_built(&h, 8, "expected a number");
    wk_buf_clear(&h);
    wk_buf_str(&h, WK_STR("{\"x\":{\"dtype\":\""));
    for (int i = 0; i < 100000; i++)
        wk_buf_char(&h, 'F');
    wk_buf_str(&h, WK_STR("\",\"shape\":[2],\"data_offsets\":[0,8]}}"));
    try_built(&h, 8, "unknown dtype FFFF");
    wk_buf_free(&h);
}

static void try_index(const char *text, const char *error)
{
    char folder[1024], path[1200], command[3000];
    test_temporary("shards", folder);
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r " GOLDEN "sharded '%s'", folder,
             folder);
    CHECK(system(command) == 0);
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    write_bytes(path, text, strlen(text));
    wk_archive *a = wk_archive_open(folder);
    CHECK_MSG(a == NULL, "accepted: %s", text);
    CHECK_ERROR(error);
    wk_archive_free(a);
}

TEST(indexes_that_are_refused)
{
    try_index("{\"weight_map\": {\"a\": \"../a.safetensors\"}}", "not a file name");
    try_index("{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "not a file name");
    try_index("{\"weight_map\": {\"a\": \"..\"}}", "not a file name");
    try_index("{\"weight_map\": {\"a\": \"\"}}", "not a file name");
    try_index("{\"weight_map\": {\"a\": \"gone.safetensors\"}}", "gone.safetensors: cannot open");
    try_index("{\"weight_map\": {\"a\": \"model-00002-of-00002.safetensors\"}}", "a is not in");
    try_index("{\"weight_map\": {\"a\": 5}}", "expected a string");
    try_index("{\"metadata\": {}}", "no weight_map");
    try_index("[]", "expected an object");
    try_index("{\"weight_map\": {\"a\": \"a\\u0000.safetensors\"}}", "not a file name");
    try_index("{\"weight_map\": {\"a\": \"x\\\\..\\\\y\"}}", "not a file name");
    try_index("{\"weight_map\": {\"a\": \"model.safetensors.index.json\"}}",
              "not a safetensors file");
    try_index("{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", \"nowhere\": "
              "\"model-00001-of-00002.safetensors\"}}",
              "nowhere is not in");
    try_index("{\"weight_map\": {\"a\": ", "index.json:1:");
    try_index("{\"weight_map\": []}", "expected an object");

    /* One tensor in two shards, a pipe and a folder in place of a shard. */
    char folder[1024], path[1200];
    test_temporary("shards", folder);
    snprintf(path, sizeof path, "%s/b.safetensors", folder);
    wk_file *f = wk_file_open(GOLDEN "sharded/model-00001-of-00002.safetensors");
    write_bytes(path, f->data, f->size);
    wk_file_release(f);
    static const char two[] = "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", "
                              "\"c\": \"b.safetensors\"}}";
    char              index[1200];
    snprintf(index, sizeof index, "%s/model.safetensors.index.json", folder);
    write_bytes(index, two, sizeof two - 1);
    CHECK(wk_archive_open(folder) == NULL);
    CHECK_ERROR("there are two tensors");
    CHECK(!unlink(path) && !mkfifo(path, 0600));
    CHECK(wk_archive_open(folder) == NULL);
    CHECK_ERROR("b.safetensors: not a file");
    CHECK(!unlink(path) && !mkdir(path, 0700));
    CHECK(wk_archive_open(folder) == NULL);
    CHECK_ERROR("b.safetensors: not a file");
}

/* Every truncation and every flipped bit of the header: an error, or a valid archive. */
TEST(damaged_files_do_no_harm)
{
    char     path[1024];
    wk_file *f = wk_file_open(GOLDEN "sharded/model-00001-of-00002.safetensors");
    char    *copy = malloc(f->size);
    test_temporary("damaged.safetensors", path);
    memcpy(copy, f->data, f->size);
    for (size_t n = 0; n < f->size; n++) {
        write_bytes(path, copy, n);
        wk_archive *a = wk_archive_open(path);
        CHECK_MSG(a == NULL, "accepted %d of %d bytes", (int)n, (int)f->size);
        CHECK_ERROR("damaged.safetensors");
    }
    for (size_t bit = 0; bit < 8 * (f->size - 40); bit++) {
        copy[bit / 8] ^= (char)(1 << bit % 8);
        write_bytes(path, copy, f->size);
        wk_archive *a = wk_archive_open(path);
        for (int i = 0; i < wk_archive_count(a); i++) {
            wk_scope s = wk_mark();
            wk_sum(wk_archive_get(a, wk_archive_name(a, i)));
            wk_clear();
            wk_sweep(s);
        }
        wk_clear();
        wk_archive_free(a);
        copy[bit / 8] ^= (char)(1 << bit % 8);
    }
    free(copy);
    wk_file_release(f);
}

TEST(every_allocation_of_an_archive_may_fail)
{
    char path[1024];
    test_temporary("faults.safetensors", path);
    for (long n = 0;; n++) {
        wk_scope s = wk_mark();
        long     before = wk_live_allocs();
        wk_fail_alloc_after(n);
        wk_archive *a = wk_archive_open(GOLDEN "sharded");
        wk_tensor  *x = wk_archive_get(a, "a");
        wk_safetensors_save(path, 1, (const char *[]){ "a" }, &x);
        wk_fail_alloc_after(-1);
        bool done = wk_ok();
        CHECK(done || wk_error() == WK_ERR_MEMORY);
        wk_clear();
        wk_sweep(s);
        wk_archive_free(a);
        wk_device_trim(wk_default_device());
        CHECK_MSG(n < 3 || wk_live_allocs() == before, "leak after %ld allocations", n);
        if (done)
            break;
    }
}
