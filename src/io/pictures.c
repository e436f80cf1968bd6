// SPDX-License-Identifier: MIT OR Apache-2.0
/* pictures.c - MNIST (LeCun et al., 1998) and CIFAR (Krizhevsky, 2009), from their files. */
#include "../core/core.h"

#include <wick/data.h>

#include <stdio.h>

/* The file of that name in a folder, or of the second name; NULL: neither is there. */
static char *find(const char *folder, const char *name, const char *other)
{
    char *path = wk_path_join(folder, name);
    if (path && !wk_path_is_file(path) && other) {
        wk_free(path);
        path = wk_path_join(folder, other);
    }
    if (path && !wk_path_is_file(path)) {
        wk_free(path);
        path = NULL;
    }
    return path;
}

/* ---- MNIST: IDX ---------------------------------------------------------- */

/* Two zeros, 8 for bytes, the rank; then the dimensions and the bytes, all of them big-endian. */
static wk_tensor *read_idx(const char *path, int rank)
{
    wk_file *f = wk_file_open(path);
    wk_shape shape = { .rank = rank };
    size_t   head = 4 + 4 * (size_t)rank, bytes = 0;
    if (!f)
        return NULL;
    const uint8_t *p = (const uint8_t *)f->data;
    bool           ok = f->size >= head && !p[0] && !p[1] && p[2] == 8 && p[3] == rank;
    for (int i = 0; ok && i < rank; i++) {
        const uint8_t *d = p + 4 + 4 * i;
        shape.dim[i] = (int64_t)d[0] << 24 | d[1] << 16 | d[2] << 8 | d[3];
    }
    ok = ok && wk_bytes_of(WK_U8, shape, &bytes) && bytes == f->size - head;
    if (!ok && wk_ok())
        wk_fail(WK_ERR_FORMAT, "%s: not an IDX file of bytes with %d dimensions, or cut off", path,
                rank);
    wk_tensor *x = ok ? wk_from(WK_U8, shape, f->data + head) : NULL;
    wk_file_release(f);
    return x;
}

static wk_tensor *read_mnist(const char *folder, bool test, const char *what, int rank)
{
    char name[64], other[64];
    snprintf(name, sizeof name, "%s-%s-idx%d-ubyte", test ? "t10k" : "train", what, rank);
    snprintf(other, sizeof other, "%s-%s.idx%d-ubyte", test ? "t10k" : "train", what, rank);
    char      *path = wk_ok() ? find(folder, name, other) : NULL;
    wk_tensor *x = path ? read_idx(path, rank) : NULL;
    if (!path && wk_ok())
        wk_fail(WK_ERR_IO, "%s: there is no %s in it (unpack the .gz files first)", folder, name);
    wk_free(path);
    return x;
}

bool wk_mnist_open(const char *folder, bool test, wk_tensor **images, wk_tensor **labels)
{
    *images = read_mnist(folder, test, "images", 3);
    *labels = wk_cast(read_mnist(folder, test, "labels", 1), WK_I64);
    if (wk_ok() && wk_dim(*images, 0) != wk_dim(*labels, 0))
        wk_fail(WK_ERR_FORMAT, "%s: %lld images with %lld labels", folder,
                (long long)wk_dim(*images, 0), (long long)wk_dim(*labels, 0));
    return wk_ok();
}

/* ---- CIFAR --------------------------------------------------------------- */

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE };

/* Records of some bytes of labels, of which the last counts, and an image. */
static void read_records(const char *path, int labels, wk_tensor **image, wk_tensor **label)
{
    wk_file *f = wk_file_open(path);
    int64_t  size = PIXELS + labels, n = f ? (int64_t)f->size / size : 0;
    if (f && (n == 0 || (int64_t)f->size % size))
        wk_fail(WK_ERR_FORMAT, "%s: %zu bytes are no images of %d", path, f->size, (int)size);
    if (wk_ok()) {
        wk_tensor *x = wk_from(WK_U8, WK_SHAPE(n, size), f->data);
        *image = wk_reshape(wk_narrow(x, 1, labels, PIXELS), n, 3, SIDE, SIDE);
        *label = wk_cast(wk_reshape(wk_narrow(x, 1, labels - 1, 1), n), WK_I64);
    }
    wk_file_release(f);
}

bool wk_cifar_open(const char *folder, bool test, wk_tensor **images, wk_tensor **labels)
{
    static const char *const names[] = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                         "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin" };
    wk_tensor               *image[5], *label[5];
    char                    *hundred = find(folder, test ? "test.bin" : "train.bin", NULL);
    int                      first = test ? 5 : 0, count = hundred || test ? 1 : 5;
    for (int i = 0; wk_ok() && i < count; i++) {
        char *path = hundred ? NULL : find(folder, names[first + i], NULL);
        if (!path && !hundred && wk_ok())
            wk_fail(WK_ERR_IO, "%s: there is no %s in it", folder, names[first + i]);
        if (wk_ok())
            read_records(hundred ? hundred : path, hundred ? 2 : 1, &image[i], &label[i]);
        wk_free(path);
    }
    wk_free(hundred);
    *images = wk_ok() ? wk_cat_of(0, image, count) : NULL;
    *labels = wk_ok() ? wk_cat_of(0, label, count) : NULL;
    return wk_ok();
}
