// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_train_bpe.c - tokenizers made from text, against the merges that Hugging Face's trainer
 * finds in the same text (tests/golden/make_bpe.py). */
#include "test.h"

#include "../src/base/base.h"

#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>

static bool make(const char *file, const char *folder, int32_t vocab, int64_t least)
{
    return wk_tokenizer_train((const char *[]){ file, NULL }, folder, .vocab = vocab,
                              .min_frequency = least);
}

/* The merges in a tokenizer.json, a line each. */
static void read_merges(const char *folder, wk_buf *out)
{
    char     path[1200];
    wk_json  j;
    wk_str   key;
    wk_file *f;
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    if (!(f = wk_file_open(path)))
        return;
    for (wk_json_open(&j, path, f->data, f->size), wk_json_object(&j); wk_json_key(&j, &key);) {
        if (!wk_str_is(key, "model")) {
            wk_json_skip(&j);
            continue;
        }
        for (wk_json_object(&j); wk_json_key(&j, &key);) {
            if (!wk_str_is(key, "merges")) {
                wk_json_skip(&j);
                continue;
            }
            for (wk_json_array(&j); wk_json_item(&j);) {
                wk_buf_str(out, wk_json_string(&j));
                wk_buf_char(out, '\n');
            }
        }
    }
    wk_json_close(&j);
    wk_file_release(f);
}

TEST(merges_are_those_of_hugging_face)
{
    char     folder[1024];
    wk_buf   merges = { 0 };
    wk_file *f = wk_file_open("tests/golden/tokenizer/bpe.txt");
    test_temporary("bpe", folder);
    CHECK_MSG(make("LICENSE-APACHE", folder, 900, 3), "%s", wk_message());
    read_merges(folder, &merges);
    const char *want = strstr(f->data, "\n\n") + 2;
    size_t      size = (size_t)(f->data + f->size - want);
    CHECK_INT((int64_t)merges.size, (int64_t)size);
    CHECK(merges.size == size && !memcmp(merges.data, want, size));
    wk_buf_free(&merges);
    wk_file_release(f);
}

static uint64_t checksum(const wk_buf *text)
{
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < text->size; i++)
        h = (h ^ (uint8_t)text->data[i]) * 0x100000001b3;
    return h;
}

TEST(merges_of_large_texts)
{
    char               folder[1024], path[1024], name[64], line[300], file[100];
    FILE              *f = fopen("tests/golden/tokenizer/bpe.txt", "r");
    int                vocab, count, n = 0;
    unsigned long long sum;
    while (f && fgets(line, sizeof line, f) &&
           sscanf(line, "%63s %d %d %llx", name, &vocab, &count, &sum) == 4) {
        wk_buf merges = { 0 };
        snprintf(file, sizeof file, "corpora/%s.txt", name);
        if (!test_shared(file, path))
            break;
        CHECK(make(path, test_temporary("bpe", folder), vocab, 0));
        read_merges(folder, &merges);
        CHECK_MSG(checksum(&merges) == sum, "%s, %d", name, vocab);
        wk_buf_free(&merges);
        n++;
    }
    CHECK(n == 0 || n == 4);
    if (f)
        fclose(f);
}

TEST(a_new_tokenizer_works)
{
    char              folder[1024], path[1100];
    static const char odd[] = "a<|endoftext|>b\xF0\x9F\x98\x80 \xff\n\t caf\xC3\xA9 <s>x";
    test_temporary("bpe", folder);
    wk_make_folder(folder);
    snprintf(path, sizeof path, "%s/text.txt", folder);
    wk_write_file(path, odd, sizeof odd - 1);
    CHECK(wk_tokenizer_train((const char *[]){ path, "LICENSE-MIT", NULL }, folder, .vocab = 400,
                             .specials = (const char *[]){ "<s>", "<|endoftext|>", NULL }));
    wk_tokenizer *t = wk_tokenizer_open(folder);
    wk_tokens     ids = { 0 };
    CHECK_INT(wk_tokenizer_find(t, "<|endoftext|>"), 1);
    CHECK_INT(wk_tokenizer_size(t), 400);
    CHECK(wk_encode(&ids, t, "b\xF0\x9F\x98\x80 caf\xC3\xA9<|endoftext|>, the Software"));
    CHECK_INT(ids.id[0], 0);
    char *back = wk_decode(t, ids.id, ids.count, false);
    CHECK_STR(back, "b\xF0\x9F\x98\x80 caf\xC3\xA9, the Software");
    free(back);
    wk_tokens_free(&ids);
    wk_tokenizer_free(t);
    CHECK(wk_tokenizer_train((const char *[]){ path, NULL }, folder, .vocab = 4000,
                             .specials = (const char *[]){ NULL })); /* fewer than were asked for */
    t = wk_tokenizer_open(folder);
    CHECK(wk_tokenizer_size(t) > 256 && wk_tokenizer_size(t) < 300);
    wk_tokenizer_free(t);
    CHECK(!make("LICENSE-NOTHING", folder, 300, 0));
    CHECK_ERROR("LICENSE-NOTHING");
    CHECK(!wk_tokenizer_train((const char *[]){ NULL }, folder));
    CHECK_ERROR("no files");
    CHECK(!wk_tokenizer_train((const char *[]){ path, NULL }));
    CHECK_ERROR("no folder");
}
