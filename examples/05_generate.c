// SPDX-License-Identifier: MIT OR Apache-2.0
/* 05 - Text from a model: 05_generate FOLDER [PROMPT] */
#include <wick/wick.h>

#include <stdio.h>

static bool print_text(const char *text, void *user)
{
    (void)user;
    return fputs(text, stdout) >= 0;
}

int main(int argc, char **argv)
{
    wk_model *m = wk_model_open(argc > 1 ? argv[1] : "build/demo");
    wk_generate(m, argc > 2 ? argv[2] : "", .max_tokens = 40, .on_text = print_text);
    putchar('\n');
    wk_model_free(m);
    return wk_finish();
}
