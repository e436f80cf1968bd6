// SPDX-License-Identifier: MIT OR Apache-2.0
/* 04 - Files: write a safetensors file, see what is in it, map it.
 *
 * An opened archive is checked from end to end but not read: a tensor of it is a view
 * of the file, so that gigabytes open at once.  The file is this program's argument. */
#include <wick/wick.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "example.safetensors";
    wk_tensor  *squares = wk_square(wk_arange(WK_F32, 0, 6, 1));

    wk_safetensors_save(path, 2, (const char *[]){ "squares", "half" },
                        (wk_tensor *[]){ wk_reshape(squares, 2, 3), wk_cast(squares, WK_BF16) },
                        (const char *[]){ "made by", "example 04", NULL });

    wk_archive *a = wk_archive_open(path);
    for (int i = 0; i < wk_archive_count(a); i++) {
        const char *name = wk_archive_name(a, i);
        printf("%s, %s:\n", name, wk_archive_dtype(a, i));
        wk_print(wk_archive_get(a, name));
    }
    printf("made by %s\n", wk_archive_metadata(a, "made by"));
    wk_archive_get(a, "cubes");
    printf("%s\n", wk_error() == WK_ERR_ARGUMENT ? "there are no cubes" : "strange");
    wk_clear();
    wk_archive_free(a);

    /* A store opened on the file gives a model its parameters by name. */
    wk_store  *s = wk_store_open(path);
    wk_tensor *w = wk_param(wk_root(s), "squares", WK_SHAPE(2, 3), (wk_init){ 0 });
    printf("%s has %lld elements\n", wk_name(w), (long long)wk_count(w));
    wk_store_free(s);
    return wk_finish();
}
