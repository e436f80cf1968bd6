// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_data.c - pictures and tokens from files: as their formats are published, cut off,
 * bent, and made from texts. */
#include "test.h"

#include "../src/base/base.h"

#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>

static char folder[1024];

static void write(const char *name, const void *data, size_t size)
{
    char path[1200];
    test_temporary("data", folder);
    wk_make_folder(folder);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(wk_write_file(path, data, size));
}

static void erase(const char *name)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(remove(path) == 0);
}

/* ---- MNIST and CIFAR ------------------------------------------------------ */

TEST(idx_files_as_they_are_published)
{
    static const uint8_t images[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,   0, 0,
                                      0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 0, 128 };
    static const uint8_t labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 9, 3 };
    wk_tensor           *x, *y;
    wk_scope             scope = wk_mark();
    write("t10k-images-idx3-ubyte", images, sizeof images);
    write("t10k-labels.idx1-ubyte", labels, sizeof labels);
    CHECK_MSG(wk_mnist_open(folder, true, &x, &y), "%s", wk_message());
    CHECK(wk_dtype_of(x) == WK_U8 && wk_rank(x) == 3 && wk_dim(x, 0) == 2 && wk_dim(x, 2) == 3);
    CHECK(wk_item(wk_narrow(wk_reshape(x, -1), 0, 9, 1)) == 255);
    CHECK(wk_dtype_of(y) == WK_I64 && wk_item(wk_narrow(y, 0, 1, 1)) == 3);
    CHECK(!wk_mnist_open(folder, false, &x, &y));
    CHECK_ERROR("there is no train-images-idx3-ubyte");
    for (size_t n = 0; n < sizeof images; n++) { /* cut off anywhere */
        write("t10k-images-idx3-ubyte", images, n);
        CHECK(!wk_mnist_open(folder, true, &x, &y));
        CHECK_ERROR("t10k-images-idx3-ubyte");
    }
    uint8_t bent[sizeof images];
    for (size_t i = 0; i < 16; i++) { /* a wrong byte in the header */
        memcpy(bent, images, sizeof bent);
        bent[i] ^= 0x81;
        write("t10k-images-idx3-ubyte", bent, sizeof bent);
        CHECK(!wk_mnist_open(folder, true, &x, &y));
        CHECK_ERROR("not an IDX file");
    }
    write("t10k-images-idx3-ubyte", images, sizeof images);
    write("t10k-labels.idx1-ubyte", (const uint8_t[]){ 0, 0, 8, 1, 0, 0, 0, 1, 9 }, 9);
    CHECK(!wk_mnist_open(folder, true, &x, &y));
    CHECK_ERROR("2 images with 1 labels");
    wk_sweep(scope);
    erase("t10k-images-idx3-ubyte");
    erase("t10k-labels.idx1-ubyte");
}

TEST(cifar_files_as_they_are_published)
{
    enum { IMAGE = 3072 };
    uint8_t    records[2 * (IMAGE + 2)];
    wk_tensor *x, *y;
    wk_scope   scope = wk_mark();
    for (size_t i = 0; i < sizeof records; i++)
        records[i] = (uint8_t)(i % 251);
    for (int i = 1; i <= 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        records[0] = (uint8_t)i;
        write(name, records, 2 * (IMAGE + 1));
    }
    CHECK_MSG(wk_cifar_open(folder, false, &x, &y), "%s", wk_message());
    CHECK(wk_rank(x) == 4 && wk_dim(x, 0) == 10 && wk_dim(x, 1) == 3 && wk_dim(x, 3) == 32);
    CHECK_INT((int64_t)wk_item(wk_narrow(y, 0, 6, 1)), 4);
    CHECK_INT((int64_t)wk_item(wk_narrow(y, 0, 7, 1)), (IMAGE + 1) % 251);
    wk_tensor *second = wk_reshape(wk_narrow(x, 0, 1, 1), -1); /* behind its label */
    CHECK_INT((int64_t)wk_item(wk_narrow(second, 0, 100, 1)), (IMAGE + 1 + 1 + 100) % 251);
    CHECK(!wk_cifar_open(folder, true, &x, &y));
    CHECK_ERROR("there is no test_batch.bin");
    write("test_batch.bin", records, IMAGE);
    CHECK(!wk_cifar_open(folder, true, &x, &y));
    CHECK_ERROR("3072 bytes are no images of 3073");
    write("train.bin", records, sizeof records); /* CIFAR-100: coarse, fine, image */
    CHECK(wk_cifar_open(folder, false, &x, &y));
    CHECK_INT(wk_dim(x, 0), 2);
    CHECK_INT((int64_t)wk_item(wk_narrow(y, 0, 1, 1)), (IMAGE + 2 + 1) % 251);
    CHECK_INT((int64_t)wk_item(wk_narrow(wk_reshape(x, -1), 0, 0, 1)), 2);
    wk_sweep(scope);
    erase("train.bin");
}

/* ---- Tokens --------------------------------------------------------------- */

static wk_tokenizer *tokenizer(void)
{
    return wk_tokenizer_open("tests/golden/tokenizer/gpt2.json");
}

TEST(tokens_of_documents)
{
    static const char text[] =
        "One day, a cat.<|endoftext|><|endoftext|>Two days, \xC3\xA9t\xC3\xA9";
    char          path[1200], out[1200];
    wk_tokenizer *t = tokenizer();
    write("text.txt", text, sizeof text - 1);
    snprintf(path, sizeof path, "%s/text.txt", folder);
    snprintf(out, sizeof out, "%s/text.bin", folder);
    wk_tokens want = { 0 };
    wk_encode(&want, t, "One day, a cat.", .no_special = true);
    wk_tokens_add(&want, 7);
    wk_tokens_add(&want, 7); /* of an empty document */
    wk_encode(&want, t, "Two days, \xC3\xA9t\xC3\xA9", .no_special = true);
    wk_tokens_add(&want, 7);
    for (int kept = 0; kept < 3; kept++) { /* in memory, to a file, from that file */
        wk_token_file *f = wk_token_file_new(t, (const char *[]){ path, NULL }, .ends = true,
                                             .end = 7, .path = kept ? out : NULL);
        int64_t       *id = calloc(want.count, sizeof *id);
        CHECK_INT(wk_token_file_count(f), (int64_t)want.count);
        CHECK_INT(wk_token_file_vocab(f), wk_tokenizer_size(t));
        CHECK(wk_token_file_get(f, 0, (int64_t)want.count, id));
        for (size_t i = 0; i < want.count; i++)
            CHECK_INT(id[i], want.id[i]);
        CHECK(!wk_token_file_get(f, 1, (int64_t)want.count, id));
        CHECK_ERROR("of");
        CHECK(!wk_token_file_get(f, -1, 1, id));
        CHECK_ERROR("tokens -1");
        wk_token_file_free(f);
        free(id);
    }
    /* another text makes another file */
    write("text.txt", "One", 3);
    wk_token_file *f = wk_token_file_new(t, (const char *[]){ path, NULL }, .path = out);
    CHECK(wk_token_file_count(f) < 4);
    wk_token_file_free(f);
    wk_tokens_free(&want);
    wk_tokenizer_free(t);
}

TEST(token_files_that_are_none)
{
    uint8_t good[24 + 4 + 8] = "wicktok1\2\0\0\0\5\0\0\0", bent[sizeof good];
    char    path[1200];
    int64_t id[2];
    good[24] = 4, good[26] = 1, good[28] = 2;
    write("tokens.bin", good, sizeof good);
    snprintf(path, sizeof path, "%s/tokens.bin", folder);
    wk_token_file *f = wk_token_file_open(path);
    CHECK(wk_token_file_get(f, 0, 2, id) && id[0] == 4 && id[1] == 1);
    wk_token_file_free(f);
    for (size_t n = 0; n < sizeof good; n++) {
        write("tokens.bin", good, n);
        CHECK(!wk_token_file_open(path));
        CHECK_ERROR("tokens.bin");
    }
    static const size_t places[] = { 0, 8, 15, 28, 35 }; /* magic, width, vocabulary, count */
    for (size_t i = 0; i < WK_COUNT(places); i++) {
        memcpy(bent, good, sizeof bent);
        bent[places[i]] ^= 0x81;
        write("tokens.bin", bent, sizeof bent);
        CHECK(!wk_token_file_open(path));
        CHECK_ERROR("tokens.bin");
    }
    memcpy(bent, good, sizeof bent);
    bent[24] = 5; /* not below the vocabulary */
    write("tokens.bin", bent, sizeof bent);
    f = wk_token_file_open(path);
    CHECK(!wk_token_file_get(f, 0, 2, id));
    CHECK_ERROR("token 0 is 5, of a vocabulary of 5");
    wk_token_file_free(f);
}
