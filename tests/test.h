// SPDX-License-Identifier: MIT OR Apache-2.0
/* test.h - a test is a function, written TEST(name) { ... }, that registers itself.
 *
 * After each test no tensor may be alive that was not swept or dropped, and no error
 * may be pending.  Tests may include the internal headers of what they test. */
#ifndef WK_TEST_H
#define WK_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEST(name)                                                                                 \
    static void                              test_##name(void);                                    \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        test_register(__FILE__, #name, test_##name);                                               \
    }                                                                                              \
    static void test_##name(void)

/* A failed check is reported and the test goes on. */
#define CHECK(condition)            test_check((condition), __FILE__, __LINE__, "%s", #condition)
#define CHECK_MSG(condition, ...)   test_check((condition), __FILE__, __LINE__, __VA_ARGS__)
#define CHECK_STR(a, b)             test_check_str((a), (b), __FILE__, __LINE__)
#define CHECK_INT(a, b)             test_check_int((a), (b), __FILE__, __LINE__)
#define CHECK_NEAR(a, b, tolerance) test_check_near((a), (b), (tolerance), __FILE__, __LINE__)

/* The pending error has this text in it.  Clears it. */
#define CHECK_ERROR(text) test_check_error((text), __FILE__, __LINE__)

void test_register(const char *file, const char *name, void (*run)(void));
bool test_check(bool good, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool test_check_str(const char *a, const char *b, const char *file, int line);
bool test_check_int(int64_t a, int64_t b, const char *file, int line);
bool test_check_near(double a, double b, double tolerance, const char *file, int line);
bool test_check_error(const char *text, const char *file, int line);

/* The test cannot be done here: say why, and return. */
void test_skip(const char *why);
int  test_stride(int n); /* of many cases each n-th, where WICK_SLOW says that steps are; else 1 */

/* The folder ../shared with models and corpora, or NULL and a skip. */
const char *test_shared(const char *name, char path[1024]);

/* A path for a temporary file, removed after the test. */
const char *test_temporary(const char *name, char path[1024]);

#endif
