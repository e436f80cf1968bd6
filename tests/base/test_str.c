// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_str.c - strings, buffers, and UTF-8 against the table of the Unicode Standard. */
#include "test.h"

#include "../src/base/base.h"

TEST(strings_compare)
{
    wk_str none = wk_str_of(NULL), abc = WK_STR("abc");
    CHECK_INT(none.size, 0);
    CHECK(wk_str_eq(none, WK_STR("")) && wk_str_is(none, "") && wk_str_starts(abc, ""));
    CHECK(wk_str_is(abc, "abc") && !wk_str_is(abc, "abd") && !wk_str_is(abc, "ab"));
    CHECK(wk_str_ends(abc, "bc") && wk_str_ends(abc, "abc") && !wk_str_ends(abc, "xabc"));
    CHECK(wk_str_ends(abc, "") && wk_str_ends(none, "") && !wk_str_ends(abc, "ab"));
    CHECK(wk_str_starts(abc, "ab") && wk_str_starts(abc, "abc") && !wk_str_starts(abc, "abcd"));
    CHECK(wk_str_eq((wk_str){ "a\0b", 3 }, (wk_str){ "a\0b", 3 }));
    CHECK(!wk_str_eq((wk_str){ "a\0b", 3 }, (wk_str){ "a\0c", 3 }));
    char *copy = wk_str_copy((wk_str){ "abcdef", 3 });
    CHECK_STR(copy, "abc");
    wk_free(copy);
}

TEST(buffers_grow_and_stay_terminated)
{
    wk_buf b = { 0 };
    CHECK_STR(wk_buf_view(&b).at, "");
    wk_buf_clear(&b);
    wk_buf_add(&b, NULL, 0);
    CHECK_STR(b.data, "");
    for (int i = 0; i < 300; i++)
        wk_buf_printf(&b, "%d,", i);
    CHECK_INT(b.size, strlen(b.data));
    CHECK(!strncmp(b.data, "0,1,2,3,", 8) && !strcmp(b.data + b.size - 8, "298,299,"));
    size_t room = b.room;
    wk_buf_clear(&b);
    CHECK_INT(b.size, 0);
    CHECK_INT(b.room, room);
    wk_buf_utf8(&b, 0x20AC);
    wk_buf_char(&b, '!');
    wk_buf_str(&b, WK_STR("ok"));
    CHECK_STR(b.data, "\xE2\x82\xAC!ok");
    wk_fail(WK_ERR_IO, "stop"); /* after an error nothing is added */
    wk_buf_str(&b, WK_STR("more"));
    wk_buf_printf(&b, "%d", 5);
    wk_clear();
    CHECK_STR(b.data, "\xE2\x82\xAC!ok");
    wk_buf_free(&b);
    CHECK(!b.data && !b.size && !b.room);
}

/* ---- UTF-8 -------------------------------------------------------------- */

/* Well-formed sequences: Table 3-7 of the Unicode Standard.  How many bytes begin one at
 * p, 0 for none. */
static int well_formed(const unsigned char *p, int size)
{
    static const struct {
        unsigned char first[2], second[2];
        int           size;
    } table[] = {
        { { 0x00, 0x7F }, { 0x00, 0x00 }, 1 }, { { 0xC2, 0xDF }, { 0x80, 0xBF }, 2 },
        { { 0xE0, 0xE0 }, { 0xA0, 0xBF }, 3 }, { { 0xE1, 0xEC }, { 0x80, 0xBF }, 3 },
        { { 0xED, 0xED }, { 0x80, 0x9F }, 3 }, { { 0xEE, 0xEF }, { 0x80, 0xBF }, 3 },
        { { 0xF0, 0xF0 }, { 0x90, 0xBF }, 4 }, { { 0xF1, 0xF3 }, { 0x80, 0xBF }, 4 },
        { { 0xF4, 0xF4 }, { 0x80, 0x8F }, 4 },
    };
    for (size_t i = 0; i < WK_COUNT(table); i++) {
        int n = table[i].size;
        if (p[0] < table[i].first[0] || p[0] > table[i].first[1])
            continue;
        if (n > size || (n > 1 && (p[1] < table[i].second[0] || p[1] > table[i].second[1])))
            return 0;
        for (int k = 2; k < n; k++)
            if (p[k] < 0x80 || p[k] > 0xBF)
                return 0;
        return n;
    }
    return 0;
}

static void check_sequence(const unsigned char *bytes, int size)
{
    const char *start = (const char *)bytes, *p = start;
    bool        valid;
    int         want = well_formed(bytes, size);
    uint32_t    c = wk_utf8_next(&p, start + size, &valid);
    if (valid != (want > 0) || p - start != (want ? want : 1) || (!want && c != 0xFFFD)) {
        CHECK_MSG(false, "%02X %02X %02X %02X (%d bytes): %d bytes, valid %d", bytes[0], bytes[1],
                  bytes[2], bytes[3], size, (int)(p - start), valid);
        return;
    }
    char again[4];
    if (want && (wk_utf8_put(again, c) != want || memcmp(again, start, (size_t)want)))
        CHECK_MSG(false, "U+%04X is not written as it was read", (unsigned)c);
}

/* All first and second bytes, and third and fourth ones at the limits, at every length. */
TEST(utf8_is_that_of_the_standard)
{
    static const unsigned char edge[] = { 0x00, 0x7F, 0x80, 0x8F, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF };
    for (int first = 0; first < 256; first++)
        for (int second = 0; second < 256; second++)
            for (size_t k = 0; k < sizeof edge * sizeof edge; k++) {
                unsigned char bytes[4] = { (unsigned char)first, (unsigned char)second,
                                           edge[k / sizeof edge], edge[k % sizeof edge] };
                for (int size = 1; size <= 4; size++)
                    check_sequence(bytes, size);
            }
}

TEST(every_code_point_comes_back)
{
    for (uint32_t c = 0; c < 0x110000; c++) {
        char        s[4];
        const char *p = s;
        bool        valid, surrogate = c >= 0xD800 && c < 0xE000;
        int         n = wk_utf8_put(s, c);
        if (surrogate)
            continue;
        uint32_t back = wk_utf8_next(&p, s + n, &valid);
        if (back != c || !valid || p != s + n || !wk_utf8_valid(s, (size_t)n))
            CHECK_MSG(false, "U+%04X comes back as U+%04X", (unsigned)c, (unsigned)back);
    }
}

/* The check of whole texts goes eight bytes at a time where it can. */
TEST(one_wrong_byte_is_found_anywhere)
{
    char text[64];
    for (size_t size = 0; size < sizeof text; size++)
        for (size_t at = 0; at < size; at++) {
            memset(text, 'a', size);
            CHECK(wk_utf8_valid(text, size));
            text[at] = (char)0xE9;
            CHECK(!wk_utf8_valid(text, size));
            text[at] = (char)0xC3;
            if (at + 1 < size)
                text[at + 1] = (char)0xA9;
            CHECK_INT(wk_utf8_valid(text, size), at + 1 < size);
        }
}
