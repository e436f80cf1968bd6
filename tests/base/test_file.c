// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_file.c - files mapped, replaced whole or not at all, and paths that are no files. */
#include "test.h"

#include "../src/base/base.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_content(const char *path, const char *want)
{
    wk_file *f = wk_file_open(path);
    CHECK_MSG(f && f->size == strlen(want) && (!f->size || !memcmp(f->data, want, f->size)),
              "%s does not hold \"%s\"", path, want);
    wk_file_release(f);
}

/* How many files are in the folder of this path? */
static int count_files(const char *path)
{
    char folder[1024];
    int  n = 0;
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

TEST(files_are_written_and_mapped)
{
    char path[1024];
    test_temporary("file", path);
    CHECK(wk_write_file(path, "hello", 5));
    check_content(path, "hello");
    CHECK(wk_write_file(path, NULL, 0));
    check_content(path, "");
    CHECK(wk_path_is_file(path) && !wk_path_is_folder(path));
    CHECK_INT(count_files(path), 1);

    CHECK(wk_write_file(path, "private", 7));
    wk_file *f = wk_file_open(path), *same = wk_file_retain(f);
    CHECK_STR(f->path, path);
    f->data[0] = 'P'; /* what is changed in memory stays there */
    wk_file_release(f);
    CHECK(!memcmp(same->data, "Private", 7));
    CHECK(wk_write_file(path, "replaced", 8)); /* the old file lives on, as it is mapped */
    CHECK(!memcmp(same->data, "Private", 7));
    wk_file_release(same);
    wk_file_release(NULL);
    check_content(path, "replaced");
}

TEST(what_is_no_file_is_an_error)
{
    char path[1024];
    CHECK(!wk_file_open(NULL));
    CHECK_ERROR("without a name");
    CHECK(!wk_file_open("/no/such/file"));
    CHECK_INT(wk_error(), WK_ERR_IO);
    CHECK_ERROR("/no/such/file: cannot open: No such file");
    CHECK(!wk_file_open("/"));
    CHECK_ERROR("/: not a file");
    CHECK(!wk_file_open("/dev/null"));
    CHECK_ERROR("/dev/null: not a file");
    test_temporary("pipe", path);
    CHECK(!mkfifo(path, 0600));
    CHECK(!wk_file_open(path)); /* and it does not wait for a writer */
    CHECK_ERROR("pipe: not a file");
    CHECK(!wk_file_open(""));
    CHECK_ERROR("cannot open");
    test_temporary("link", path);
    CHECK(!symlink(path, path));
    CHECK(!wk_file_open(path));
    CHECK_ERROR("link: cannot open");
}

TEST(a_write_that_fails_leaves_the_old_file)
{
    char path[1024], below[1100];
    test_temporary("kept", path);
    CHECK(wk_write_file(path, "old", 3));

    wk_writer *w = wk_writer_open(path); /* an error on the way */
    CHECK(wk_writer_add(w, "new", 3));
    check_content(path, "old");
    wk_fail(WK_ERR_SHAPE, "on the way");
    CHECK(!wk_writer_add(w, "more", 4));
    CHECK(!wk_writer_close(w));
    CHECK_ERROR("on the way");
    check_content(path, "old");
    CHECK_INT(count_files(path), 1); /* nothing is left beside it */

    snprintf(below, sizeof below, "%s/file", path); /* a file is no folder */
    CHECK(!wk_write_file(below, "x", 1));
    CHECK_ERROR("cannot write");
    CHECK(!wk_write_file("/no/such/folder/file", "x", 1));
    CHECK_ERROR("/no/such/folder/file");
    test_temporary("folder", path);
    CHECK(wk_make_folder(path) && wk_make_folder(path));
    CHECK(!wk_write_file(path, "x", 1));
    CHECK_ERROR("folder: cannot replace");
    CHECK_INT(count_files(path), 2);
    CHECK(!wk_writer_close(NULL));
}

/* No room on the disk: here by a limit on the size of files. */
TEST(a_full_disk_leaves_the_old_file)
{
    char path[1024];
    int  status = 0;
    test_temporary("full", path);
    CHECK(wk_write_file(path, "old", 3));
    pid_t child = fork();
    if (child == 0) {
        static char large[1 << 20];
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1 << 16, 1 << 16 });
        bool written = wk_write_file(path, large, sizeof large);
        _exit(!written && wk_error() == WK_ERR_IO && strstr(wk_message(), "full") ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    check_content(path, "old");
    CHECK_INT(count_files(path), 1);
}

/* A process that dies while it writes. */
TEST(a_killed_writer_leaves_the_old_file)
{
    char path[1024];
    int  status = 0;
    test_temporary("killed", path);
    CHECK(wk_write_file(path, "old", 3));
    pid_t child = fork();
    if (child == 0) {
        static char large[1 << 20];
        wk_writer  *w = wk_writer_open(path);
        wk_writer_add(w, large, sizeof large);
        raise(SIGKILL);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    check_content(path, "old");
    CHECK(wk_write_file(path, "new", 3)); /* what the dead one left is in nobody's way */
    check_content(path, "new");
}

static void *write_often(void *path)
{
    static atomic_int letter; /* each thread has its own */
    char             *text = malloc(1 << 16);
    memset(text, 'a' + atomic_fetch_add(&letter, 1), 1 << 16);
    for (int i = 0; i < 10; i++)
        wk_write_file(path, text, 1 << 16);
    free(text);
    return wk_ok() ? path : NULL;
}

/* Several threads write one file: it is at any moment what one of them wrote. */
TEST(writers_do_not_mix)
{
    char      path[1024];
    pthread_t thread[4];
    test_temporary("contended", path);
    CHECK(wk_write_file(path, "x", 1));
    for (int i = 0; i < 4; i++)
        CHECK(!pthread_create(&thread[i], NULL, write_often, path));
    for (int i = 0; i < 20; i++) {
        wk_file *f = wk_file_open(path);
        CHECK(f && (f->size == 1 || f->size == 1 << 16));
        for (size_t k = 1; f && k < f->size; k++)
            if (f->data[k] != f->data[0]) {
                CHECK_MSG(false, "two writers in one file");
                break;
            }
        wk_file_release(f);
    }
    for (int i = 0; i < 4; i++) {
        void *good = NULL;
        pthread_join(thread[i], &good);
        CHECK(good != NULL);
    }
    CHECK_INT(count_files(path), 1);
}

TEST(paths_are_joined)
{
    static const char *const cases[][3] = {
        { "a", "b", "a/b" },
        { "a/", "b", "a/b" },
        { "", "b", "b" },
        { "/", "b", "/b" },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        char *path = wk_path_join(cases[i][0], cases[i][1]);
        CHECK_STR(path, cases[i][2]);
        wk_free(path);
    }
    CHECK(!wk_path_is_file(NULL) && !wk_path_is_folder(NULL) && !wk_path_is_file("/no/such"));
    CHECK(!wk_make_folder("/no/such/folder"));
    CHECK_ERROR("/no/such/folder: cannot make the folder");
}
