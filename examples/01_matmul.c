// SPDX-License-Identifier: MIT OR Apache-2.0
/* 01 - Tensors.
 *
 * Operations return new tensors, which belong to the thread: nothing is freed by hand.
 * An error is remembered; what follows it does nothing; wk_finish() reports it. */
#include <wick/wick.h>

#include <stdio.h>

int main(void)
{
    wk_tensor *a = wk_from_f32(WK_SHAPE(2, 3), (float[]){ 1, 2, 3, 4, 5, 6 });
    wk_tensor *b = wk_ones(3, 4);

    printf("a b =\n");
    wk_print(wk_matmul(a, b));

    /* Shapes broadcast as in NumPy and PyTorch, and options are given by name. */
    wk_tensor *mean = wk_mean(a, .over = WK_AXES(1), .keep = true); // [2, 1]
    printf("a minus the mean of each row =\n");
    wk_print(wk_sub(a, mean));

    /* A view shares the elements of what it was taken from. */
    printf("a transposed, its last row =\n");
    wk_print(wk_select(wk_permute(a, 1, 0), 0, -1));

    /* These do not fit: the sum is NULL, and the reason is kept. */
    wk_tensor *sum = wk_sum(wk_relu(wk_matmul(a, a)));
    printf("%s: %s\n", sum ? "a tensor" : "no tensor", wk_message());
    wk_clear();

    return wk_finish();
}
