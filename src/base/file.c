// SPDX-License-Identifier: MIT OR Apache-2.0
/* file.c - files mapped whole for reading, and written aside for writing. */
#include "base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static wk_file *io_error(const char *path, const char *what)
{
    wk_fail(WK_ERR_IO, "%s: %s: %s", path, what, strerror(errno));
    return NULL;
}

wk_file *wk_file_open(const char *path)
{
    struct stat info;
    if (!wk_ok())
        return NULL;
    if (!path) {
        wk_fail(WK_ERR_ARGUMENT, "a file without a name");
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make it wait */
    if (fd < 0)
        return io_error(path, "cannot open");
    wk_file *f = NULL;
    if (fstat(fd, &info))
        io_error(path, "cannot open");
    else if (!S_ISREG(info.st_mode))
        wk_fail(WK_ERR_IO, "%s: not a file", path);
    else
        f = wk_alloc(sizeof *f);
    if (f) {
        *f = (wk_file){ .refs = 1,
                        .size = (size_t)info.st_size,
                        .path = wk_str_copy(wk_str_of(path)) };
        /* Writable but private: training in place does not touch the file. */
        if (f->path && f->size && wk_alloc_may(f->size)) {
            void *p = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
            if (p == MAP_FAILED)
                io_error(path, "cannot map");
            else
                f->data = p;
        }
    }
    close(fd);
    if (f && !wk_ok()) {
        wk_file_release(f);
        return NULL;
    }
    return f;
}

wk_file *wk_file_retain(wk_file *f)
{
    if (f)
        atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void wk_file_release(wk_file *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (f->data)
        munmap(f->data, f->size);
    wk_free(f->path);
    wk_free(f);
}

void wk_file_unread(const void *data, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)data;
    uintptr_t from = (at + page - 1) / page * page, to = (at + bytes) / page * page;
    if (to > from)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

bool wk_file_refuse(const wk_file *f, const char *format, ...)
{
    char    text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    wk_fail(WK_ERR_FORMAT, "%s: %s", f->path, text);
    return false;
}

/* ---- Paths -------------------------------------------------------------- */

static bool has_mode(const char *path, mode_t mode)
{
    struct stat info;
    return path && !stat(path, &info) && (info.st_mode & S_IFMT) == mode;
}

bool wk_path_is_file(const char *path) { return has_mode(path, S_IFREG); }
bool wk_path_is_folder(const char *path) { return has_mode(path, S_IFDIR); }

char *wk_path_join(const char *folder, const char *name)
{
    size_t n = strlen(folder);
    wk_buf b = { 0 };
    wk_buf_printf(&b, "%s%s%s", folder, n && folder[n - 1] != '/' ? "/" : "", name);
    if (!wk_ok())
        wk_buf_free(&b);
    return b.data;
}

int wk_folder_count(const char *path, const char *end, char **first)
{
    DIR           *folder = wk_ok() ? opendir(path) : NULL;
    struct dirent *e;
    char          *least = NULL;
    int            count = 0;
    while (folder && wk_ok() && (e = readdir(folder))) {
        if (!wk_str_ends(wk_str_of(e->d_name), end))
            continue;
        if (!count++ || strcmp(e->d_name, least) < 0) {
            wk_free(least);
            least = wk_str_copy(wk_str_of(e->d_name));
        }
    }
    if (folder)
        closedir(folder);
    if (first)
        *first = least;
    else
        wk_free(least);
    return count;
}

bool wk_make_folder(const char *path)
{
    if (wk_ok() && mkdir(path, 0777) && !(errno == EEXIST && wk_path_is_folder(path)))
        io_error(path, "cannot make the folder");
    return wk_ok();
}

/* ---- Writing ------------------------------------------------------------ */

struct wk_writer {
    FILE *out;
    char *path, *aside;
};

static void writer_free(wk_writer *w)
{
    wk_free(w->path);
    wk_free(w->aside);
    wk_free(w);
}

wk_writer *wk_writer_open(const char *path)
{
    wk_writer *w = wk_ok() ? wk_alloc(sizeof *w) : NULL;
    if (!w)
        return NULL;
    static atomic_uint writers; /* threads may write the same file */
    wk_buf             name = { 0 };
    wk_buf_printf(&name, "%s.%ld.%u.part", path, (long)getpid(), atomic_fetch_add(&writers, 1));
    w->path = wk_str_copy(wk_str_of(path));
    w->aside = name.data;
    if (wk_ok() && !(w->out = fopen(w->aside, "wb")))
        io_error(w->aside, "cannot write");
    if (wk_ok())
        return w;
    writer_free(w);
    return NULL;
}

bool wk_writer_add(wk_writer *w, const void *data, size_t size)
{
    if (w && wk_ok() && size && fwrite(data, 1, size, w->out) != size)
        io_error(w->aside, "cannot write");
    return wk_ok();
}

bool wk_writer_close(wk_writer *w)
{
    if (!w)
        return false;
    bool flushed = !fflush(w->out) && !fsync(fileno(w->out));
    if (!flushed && wk_ok())
        io_error(w->aside, "cannot write");
    if (fclose(w->out) && wk_ok())
        io_error(w->aside, "cannot write");
    if (wk_ok() && rename(w->aside, w->path))
        io_error(w->path, "cannot replace");
    if (!wk_ok())
        unlink(w->aside);
    writer_free(w);
    return wk_ok();
}

bool wk_write_file(const char *path, const void *data, size_t size)
{
    wk_writer *w = wk_writer_open(path);
    wk_writer_add(w, data, size);
    return wk_writer_close(w);
}
