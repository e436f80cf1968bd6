// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_errors.c - what operations say to operands that are missing, released, or do not
 * fit: the message names the operation and the shapes. */
#include "../test.h"
#include "cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Missing and released operands, by the table ------------------------ */

/* An operand that the case's own expression hands to others, or that may be NULL. */
static bool may_be_null(const op_case *c, int k)
{
    static const char *const optional[] = {
        "linear",     "linear_add", "linear_glu", "linear_cat", "attention",  "rms_norm",
        "layer_norm", "group_norm", "stft",       "istft",      "batch_norm", "instance_norm"
    };
    if (!strncmp(c->op->name, "conv", 4))
        return k == 2;
    static const char *const weighted[] = { "mse_loss", "bce_loss", "bce_logits_loss", "nll_loss",
                                            "cross_entropy_weighted" };
    for (size_t i = 0; k > 1 && i < sizeof weighted / sizeof *weighted; i++)
        if (!strcmp(c->op->name, weighted[i]))
            return true;
    for (size_t i = 0; k > 0 && i < sizeof optional / sizeof *optional; i++)
        if (!strcmp(c->op->name, optional[i]))
            return true;
    return false;
}

/* In messages "reshape_to" is "reshape", and "linear_add" may be "linear". */
static bool names_the_operation(const op_case *c)
{
    size_t n = strcspn(c->op->name, "_");
    return !strncmp(wk_message(), c->op->name, n);
}

/* Of wk_matmul(wk_transpose(x[0], ..), ..) it is transpose that complains. */
static bool is_composed(const op_case *c)
{
    const char *first = c->row->wick ? strstr(c->row->wick, "wk_") : NULL;
    if (c->row->wick && !strncmp(c->row->wick, "recurrent(", 10))
        return true;
    return first && (strstr(first + 3, "wk_") || strstr(first, "cosines") ||
                     strstr(first, "off(") || strstr(first, "spd(") || strstr(first, "wide("));
}

static void check_refused(const op_case *c, int k, const char *how, const char *text)
{
    CHECK_MSG(!wk_ok(), "%s: operand %d is %s, and no error", c->name, k + 1, how);
    CHECK_MSG(wk_ok() || (strstr(wk_message(), text) && names_the_operation(c)),
              "%s: operand %d is %s", c->name, k + 1, how);
    wk_clear();
}

TEST(missing_and_released_operands_are_errors)
{
    int            count;
    const op_case *cases = op_cases(&count);
    for (int i = 0; i < count; i++) {
        const op_case *c = &cases[i];
        op_inputs      in;
        if (is_composed(c) || (c->row->kind == ROW_FUNCTION && !strstr(c->name, ".0")))
            continue;
        op_inputs_open(&in, c, DENSE, true);
        for (int k = 0; k < in.count && !may_be_null(c, k); k++) {
            wk_scope scope = wk_mark();
            op_inputs_make(&in, WK_F64, false);
            in.x[k] = NULL;
            op_run(c, &in);
            check_refused(c, k, "NULL", "NULL");
            op_inputs_make(&in, WK_F64, false);
            wk_scope   inner = wk_mark();
            wk_tensor *gone = wk_copy(in.x[k]);
            in.x[k] = gone;
            wk_sweep(inner);
            op_run(c, &in);
            check_refused(c, k, "released", "released");
            wk_sweep(scope);
        }
        op_inputs_close(&in);
    }
}

/* ---- What does not fit -------------------------------------------------- */

/* The call fails, and its message has all of these texts in it. */
static void fails(int line, bool failed, const char *const *texts)
{
    test_check(failed && !wk_ok(), __FILE__, line, "this should fail");
    for (; *texts && !wk_ok(); texts++)
        test_check(strstr(wk_message(), *texts) != NULL, __FILE__, line, "no \"%s\" in the message",
                   *texts);
    wk_clear();
}
#define FAILS(call, ...) fails(__LINE__, !(call), (const char *const[]){ __VA_ARGS__, NULL })

static wk_tensor *ints(int64_t n, int64_t value)
{
    return wk_full_of(WK_I64, WK_SHAPE(n), (double)value);
}

static wk_layer layer(wk_tensor *weight, wk_tensor *bias) { return (wk_layer){ weight, bias }; }

TEST(shapes_that_do_not_fit)
{
    wk_tensor *a = wk_ones(2, 3), *b = wk_ones(4, 5), *q = wk_ones(1, 4, 3, 8);
    FAILS(wk_add(a, b), "add", "[2, 3] f32", "[4, 5] f32");
    FAILS(wk_where(wk_gt(a, a), a, b), "where", "[2, 3]", "[4, 5]");
    FAILS(wk_swiglu(a, b), "glu", "[2, 3]", "[4, 5]");
    FAILS(wk_matmul(a, b), "matmul", "[2, 3]", "[4, 5]");
    FAILS(wk_matmul(wk_ones(3), wk_ones(4)), "matmul", "[1, 3]", "[4, 1]");
    FAILS(wk_matmul(wk_ones(2, 1, 2, 3), wk_ones(3, 3, 4))
              ? wk_matmul(wk_ones(2, 2, 3), wk_ones(3, 3, 4))
              : a,
          "matmul", "[2, 2, 3]", "[3, 3, 4]");
    FAILS(wk_linear(a, layer(b, NULL)), "linear", "x [2, 3]", "[4, 5]");
    FAILS(wk_linear(a, layer(wk_ones(4, 3), wk_ones(5))), "linear", "bias [5]", "[4, 3]");
    FAILS(wk_linear_add(a, layer(wk_ones(4, 3), NULL), a), "linear", "y [2, 3]", "[2, 4]");
    FAILS(
        wk_linear_cat(a, (wk_layer[]){ layer(wk_ones(4, 3), NULL), layer(wk_ones(5, 4), NULL) }, 2),
        "linear_cat", "does not fit", "[5, 4]");
    FAILS(wk_linear_cat(a, NULL, 9), "linear_cat", "9 layers", "1 to 8");
    FAILS(wk_linear_glu(a, layer(wk_ones(4, 3), NULL), layer(wk_ones(5, 3), NULL), WK_ACT_SILU),
          "linear_glu", "[4, 3]", "[5, 3]");
    FAILS(wk_reshape(a, 4, -1), "reshape", "[2, 3]", "[4, -1]");
    FAILS(wk_reshape(a, 7), "reshape", "[2, 3]", "[7]");
    FAILS(wk_reshape(a, -1, -1), "reshape", "[2, 3]", "[-1, -1]");
    FAILS(wk_permute(a, 0), "permute", "[0]", "[2, 3]");
    FAILS(wk_permute(a, 0, 0), "permute", "axis 0 is given twice");
    FAILS(wk_expand(a, 3, 3), "expand", "[2, 3]", "[3, 3]");
    FAILS(wk_expand(a, 3), "expand", "[2, 3]", "[3]");
    FAILS(wk_transpose(a, 0, 2), "transpose", "axis 2", "[2, 3]");
    FAILS(wk_narrow(a, 1, 2, 2), "2 elements from 2", "[2, 3]");
    FAILS(wk_narrow(a, 1, -1, 1), "1 elements from -1", "[2, 3]");
    FAILS(wk_narrow(a, 1, INT64_MAX, 1), "[2, 3]");
    FAILS(wk_narrow(a, 1, 1, INT64_MAX), "[2, 3]");
    CHECK_INT(wk_dim(wk_slice(a, 1, 1, INT64_MAX, INT64_MAX), 1), 1);
    CHECK_INT(wk_dim(wk_slice(a, 1, 1, INT64_MIN, INT64_MIN), 1), 1);
    FAILS(wk_slice(a, 0, 0, 2, 0), "slice", "step is 0");
    FAILS(wk_select(a, 0, 2), "select", "index 2", "[2, 3]");
    FAILS(wk_select(a, 0, -3), "select", "index -3", "[2, 3]");
    FAILS(wk_squeeze(a, 0), "squeeze", "axis 0", "[2, 3]");
    FAILS(wk_unsqueeze(a, 3), "unsqueeze", "axis 3", "[2, 3]");
    FAILS(wk_unsqueeze(wk_ones(1, 1, 1, 1, 1, 1, 1, 1), 0), "unsqueeze");
    FAILS(wk_flatten(a, 1, 0), "flatten", "axis 1 to axis 0");
    FAILS(wk_flip(a, 2), "flip", "axis 2", "[2, 3]");
    FAILS(wk_diagonal(a, 1, -1), "diagonal", "axis 1 with itself");
    FAILS(wk_split(a, 0, 1, &b, 1), "split", "2 in pieces of 1, into 1");
    FAILS(wk_split(a, 0, 0, &b, 1), "split");
    FAILS(wk_sum_to(a, WK_SHAPE(2)), "sum_to", "[2, 3]", "[2]");
    FAILS(wk_sum(a, .over = WK_AXES(2)), "sum", "axis 2", "[2, 3]");
    FAILS(wk_sum(a, .over = WK_AXES(1, -1)), "sum", "axis 1 is given twice");
    FAILS(wk_max(wk_ones(2, 0)), "max", "no elements", "[2, 0]");
    FAILS(wk_argmax(q, .over = WK_AXES(0, 1)), "argmax", "one axis");
    FAILS(wk_softmax(a, 2), "softmax", "axis 2", "[2, 3]");
    FAILS(wk_softmax(wk_scalar(1), 0), "softmax", "axis 0", "[]");
    FAILS(wk_cat(0, a, b), "cat", "[4, 5]", "[2, 3]", "axis 0");
    FAILS(wk_cat(0, a, wk_ones(2)), "cat", "[2]", "[2, 3]");
    FAILS(wk_cat_of(0, NULL, 0), "cat");
    FAILS(wk_cat(0, wk_scalar(1), wk_scalar(2)), "cat", "axis 0", "[]");
    FAILS(wk_stack(0, a, b), "[1, 2, 3]", "[1, 4, 5]");
    FAILS(wk_stack(3, a, a), "axis 3", "[2, 3]");
    FAILS(wk_pad(a, 0, -2, -1, 0), "pad", "axis 0", "[2, 3]");
    FAILS(wk_pad_by(a, 1, 3, 0, WK_PAD_REFLECT), "pad", "3 and 0 elements", "[2, 3]");
    FAILS(wk_pad(a, 0, INT64_MAX, 1, 0), "pad");
    FAILS(wk_pad_by(a, 0, INT64_MAX, INT64_MAX, WK_PAD_REPLICATE), "pad");
    FAILS(wk_repeat(a, -1), "repeat", "-1 times");
    FAILS(wk_repeat(a, INT64_MAX / 2, 1), "repeat");
    FAILS(wk_repeat_interleave(a, 0, -1), "repeat_interleave", "-1 times");
    FAILS(wk_repeat_interleave(a, 0, INT64_MAX / 2), "[2, 4611686018427387903, 3]");
    FAILS(wk_roll(a, 2, 1), "roll", "axis 2");
    FAILS(wk_rms_norm(a, wk_ones(2), 1e-5), "rms_norm", "[2, 3]", "[2]");
    FAILS(wk_layer_norm(a, layer(wk_ones(3), wk_ones(2)), 1e-5), "layer_norm", "[2, 3]", "[2]");
    FAILS(wk_layer_norm(wk_scalar(1), layer(NULL, NULL), 1e-5), "layer_norm", "[]");
    FAILS(wk_group_norm(wk_ones(2, 5), 2, layer(NULL, NULL), 1e-5), "group_norm", "2", "[2, 5]");
    FAILS(wk_rope(a, wk_ones(2, 2), wk_ones(2, 2), false), "rope", "[2, 3]", "[2, 2]");
    FAILS(wk_attention(q, a, a), "attention", "q [1, 4, 3, 8]", "[2, 3]");
    FAILS(wk_attention(q, wk_ones(1, 3, 3, 8), wk_ones(1, 3, 3, 8)), "attention", "[1, 3, 3, 8]");
    FAILS(wk_attention(q, q, q, .mask = a), "attention", "mask [2, 3]", "[1, 4, 3, 3]");
    FAILS(wk_attention(q, q, q, .slopes = wk_ones(3)), "attention", "slopes [3]");
    FAILS(wk_assign(a, b), "assign", "[4, 5]", "[2, 3]");
    FAILS(wk_accumulate(wk_ones(3), a), "accumulate", "[2, 3]", "[3]");
    FAILS(wk_write(a, wk_ones(2, 2), 0, 1), "[2, 3]");
    FAILS(wk_write(a, wk_ones(3), 0, 1), "write", "[3]", "[2, 3]");
}

TEST(losses_that_do_not_fit)
{
    wk_tensor *a = wk_ones(2, 3), *b = wk_ones(4, 5);
    FAILS(wk_mse_loss(a, b), "mse_loss", "[2, 3]", "[4, 5]");
    FAILS(wk_triplet_margin_loss(a, a, b), "triplet_margin_loss", "[2, 3]", "[4, 5]");
    FAILS(wk_cosine_embedding_loss(a, a, b), "cosine_embedding_loss", "[2]", "[4, 5]");
    FAILS(wk_cross_entropy(a, ints(3, 0), .reduction = WK_SUM), "cross_entropy", "[2, 3]", "[3]");
    FAILS(wk_cross_entropy(a, b), "cross_entropy", "[2, 3]", "[4, 5]");
    FAILS(wk_nll_loss(a, ints(2, 0), .weight = wk_ones(4)), "nll_loss", "[4]", "[2, 3]");
    FAILS(wk_nll_loss(a, ints(2, 3)), "nll_loss", "3");
    FAILS(wk_cross_entropy(a, ints(3, 0)), "cross_entropy", "[2, 3]", "[3]");
}

TEST(images_that_do_not_fit)
{
    wk_tensor *x = wk_ones(2, 4, 5, 6), *w = wk_ones(6, 4, 3, 3), *i = wk_cast(x, WK_I64);
    FAILS(wk_conv2d(x, NULL), "conv2d", "operand 2 is NULL");
    FAILS(wk_conv(NULL, NULL), "conv", "operand 1 is NULL");
    FAILS(wk_conv2d(x, wk_ones(6, 3, 3, 3)), "conv2d", "[2, 4, 5, 6]", "[6, 3, 3, 3]");
    FAILS(wk_conv2d(x, w, .groups = 2), "conv2d", "[6, 4, 3, 3]", "2 groups");
    FAILS(wk_conv2d(x, wk_ones(5, 2, 3, 3), .groups = 2), "conv2d", "[5, 2, 3, 3]", "2 groups");
    FAILS(wk_conv2d(x, w, .groups = -1), "conv2d", "-1 groups");
    FAILS(wk_conv1d(x, w), "conv1d", "[2, 4, 5, 6]", "[6, 4, 3, 3]", "1 spatial");
    FAILS(wk_conv(x, wk_ones(3, 4)), "conv", "[3, 4]");
    FAILS(wk_conv(wk_ones(4), wk_ones(4)), "conv", "[4]");
    FAILS(wk_conv2d(x, w, wk_ones(5)), "conv2d", "bias [5]", "[6, 4, 3, 3]");
    FAILS(wk_conv2d(x, wk_ones(6, 4, 7, 1)), "conv2d", "nothing is left", "[6, 4, 7, 1]");
    FAILS(wk_conv2d(x, wk_ones(6, 4, 0, 1)), "conv2d", "nothing is left", "[6, 4, 0, 1]");
    FAILS(wk_conv2d(x, w, .after = WK_SHAPE(-4)), "conv2d", "nothing is left");
    FAILS(wk_conv2d(x, w, .stride = WK_SHAPE(0)), "conv2d", "stride [0]");
    FAILS(wk_conv2d(x, w, .stride = WK_SHAPE(1, 1, 1)), "conv2d", "stride [1, 1, 1]");
    FAILS(wk_conv2d(x, w, .padding = WK_SHAPE(-1)), "conv2d", "padding [-1]");
    FAILS(wk_conv2d(x, w, .dilation = WK_SHAPE(1, INT64_MAX)), "conv2d", "dilation");
    FAILS(wk_conv2d(x, w, .same = true, .stride = WK_SHAPE(2)), "conv2d", "stride of 1");
    FAILS(wk_conv2d(x, w, .output_padding = WK_SHAPE(1)), "conv2d", "output padding of 1");
    FAILS(wk_conv2d(x, w, .padding = WK_SHAPE((1 << 30) - 1)), "conv");
    FAILS(wk_conv_transpose2d(x, w), "conv_transpose2d", "[2, 4, 5, 6]", "[6, 4, 3, 3]");
    FAILS(wk_conv_transpose2d(x, wk_ones(4, 2, 3, 3), .output_padding = WK_SHAPE(1)),
          "conv_transpose2d", "output padding of 1");
    FAILS(wk_conv2d(i, w), "conv2d", "[2, 4, 5, 6] i64");
    FAILS(wk_max_pool2d(x, WK_SHAPE(6, 1)), "max_pool2d", "[2, 4, 5, 6]", "[6, 1]");
    FAILS(wk_max_pool2d(x, .stride = WK_SHAPE(1)), "max_pool2d", "no size");
    FAILS(wk_max_pool2d(x, WK_SHAPE(2), .padding = WK_SHAPE(2)), "max_pool2d", "half", "[2]");
    FAILS(wk_max_pool1d(x, WK_SHAPE(2)), "max_pool1d", "[2, 4, 5, 6]");
    FAILS(wk_max_pool2d(i, WK_SHAPE(2)), "max_pool2d", "i64");
    FAILS(wk_avg_pool2d(x, WK_SHAPE(2), .divisor = -1), "avg_pool2d");
    FAILS(wk_lp_pool2d(x, WK_SHAPE(2, 2, 2)), "[2, 2, 2]");
    FAILS(wk_adaptive_avg_pool(x, WK_SHAPE(0, 2)), "adaptive_avg_pool", "[0, 2]");
    FAILS(wk_adaptive_max_pool(x, WK_SCALAR), "adaptive_max_pool", "[2, 4, 5, 6]");
    FAILS(wk_unfold(x, WK_SHAPE(6, 6)), "unfold", "[2, 4, 5, 6]", "[6, 6]");
    FAILS(wk_unfold(x, WK_SHAPE(1 << 29, 1 << 29), .padding = WK_SHAPE(1 << 29)), "unfold");
    FAILS(wk_fold(wk_ones(1, 4, 5), WK_SHAPE(2, 2), .output = WK_SHAPE(3, 3)), "fold", "[1, 4, 5]");
    FAILS(wk_fold(x, WK_SHAPE(2, 2), .output = WK_SHAPE(3, 3)), "fold", "[2, 4, 5, 6]");
    FAILS(wk_interpolate(x), "interpolate", "[2, 4, 5, 6]");
    FAILS(wk_interpolate(x, WK_SHAPE(3)), "interpolate", "[3]");
    FAILS(wk_interpolate(x, WK_SHAPE(3, 0)), "interpolate", "[3, 0]");
    FAILS(wk_interpolate(x, .scale = .01), "interpolate", "[0, 0]");
    FAILS(wk_interpolate(x, .scale = 2, .mode = (wk_interpolation)9), "interpolate", "9");
    FAILS(wk_interpolate(wk_ones(2, 3), .scale = 2), "interpolate", "[2, 3]");
    FAILS(wk_pixel_shuffle(x, 3), "pixel_shuffle", "[2, 4, 5, 6]", "3");
    FAILS(wk_pixel_unshuffle(x, 0), "pixel_unshuffle", "[2, 4, 5, 6]");
    FAILS(wk_grid_sample(x, wk_ones(2, 3, 3, 3)), "grid_sample", "[2, 3, 3, 3]");
    FAILS(wk_grid_sample(x, wk_ones(2, 3, 3, 2), .padding = WK_PAD_CIRCULAR), "grid_sample");
}

TEST(matrices_and_transforms_that_do_not_fit)
{
    wk_tensor *a = wk_ones(2, 3), *sq = wk_ones(2, 3, 3), *i = ints(3, 1), *z = wk_ones(5, 2);
    FAILS(wk_inverse(a), "inverse", "[2, 3]", "square");
    FAILS(wk_inverse(wk_ones(3)), "inverse", "[3]", "square");
    FAILS(wk_inverse(sq), "inverse: matrix", "is singular");
    FAILS(wk_inverse(wk_cast(sq, WK_I64)), "inverse", "i64");
    FAILS(wk_det(a), "det", "[2, 3]");
    FAILS(wk_slogdet(a).log, "slogdet", "[2, 3]");
    FAILS(wk_cholesky(wk_neg(sq)), "cholesky: matrix", "is not positive definite");
    FAILS(wk_lu(i).l, "lu", "[3] i64");
    FAILS(wk_qr(wk_ones(3)).q, "qr", "[3]");
    FAILS(wk_svd(wk_ones(3)).s, "svd", "[3]");
    FAILS(wk_eigh(a).values, "eigh", "[2, 3]");
    FAILS(wk_solve(sq, sq), "solve: matrix", "is singular");
    FAILS(wk_solve(sq, wk_ones(4, 1)), "solve", "[2, 3, 3]", "[2, 4, 1]");
    FAILS(wk_solve(sq, wk_ones(5, 3, 1)), "solve", "[5, 3, 1]", "[2, 3, 3]");
    FAILS(wk_solve_triangular(wk_zeros(2, 2), wk_ones(2, 1)), "solve_triangular: matrix 0");
    FAILS(wk_lstsq(a, a), "lstsq", "[2, 3]", "fewer rows");
    FAILS(wk_pinv(i), "svd", "[3] i64");
    FAILS(wk_fft(a), "fft", "[2, 3]");
    FAILS(wk_fft(wk_ones(0, 2)), "fft", "[0, 2]");
    FAILS(wk_ifft(wk_cast(z, WK_I64)), "fft", "i64");
    FAILS(wk_rfft(wk_scalar(1)), "rfft", "[]");
    FAILS(wk_rfft(wk_ones(1, 1, 1, 1, 1, 1, 1, 3)), "rfft", "rank 9");
    FAILS(wk_irfft(z, 7), "irfft", "[5, 2]", "length 7");
    FAILS(wk_irfft(z, 0), "irfft", "length 0");
    FAILS(wk_frames(a, 4, 1), "frames", "[2, 3]", "4, 1 apart");
    FAILS(wk_frames(a, 1, 0), "frames", "0 apart");
    FAILS(wk_overlap_add(a, -1), "overlap_add", "-1 apart");
    FAILS(wk_overlap_add(wk_expand(wk_ones(1, 1), 2, 1), INT64_MAX), "overlap_add");
    FAILS(wk_stft(a, 0), "stft", "n_fft 0");
    FAILS(wk_stft(a, 8), "stft", "4 elements more", "[2, 3]");
    FAILS(wk_stft(a, 4, .win_length = 5), "stft", "win_length 5");
    FAILS(wk_stft(a, 4, .window = wk_ones(3)), "stft", "window [3]", "[4]");
    FAILS(wk_istft(a, 4), "istft", "[2, 3]", "n_fft 4");
    FAILS(wk_istft(wk_ones(3, 4, 2), 4, .window = wk_zeros(4)), "istft", "leave out");
}

TEST(norms_and_sequences_that_do_not_fit)
{
    wk_tensor *a = wk_ones(2, 3), *p = wk_ones(4, 2, 3), *n = ints(2, 3), *y = wk_reshape(n, 2, 1);
    wk_tensor *three = wk_ones(3), *tracked = wk_track(wk_ones(3));
    FAILS(wk_batch_norm(a, wk_ones(2), .training = true), "batch_norm", "[2, 3]", "[2]");
    FAILS(wk_batch_norm(wk_ones(1, 3), .training = true), "batch_norm", "[1, 3]", "one element");
    FAILS(wk_batch_norm(three, .training = true), "batch_norm", "[3]");
    FAILS(wk_batch_norm(a), "batch_norm: operand 2 is NULL");
    FAILS(wk_batch_norm(a, NULL, NULL, tracked, three), "batch_norm", "no gradient");
    FAILS(wk_batch_norm(wk_cast(a, WK_I64), NULL, NULL, three, three), "batch_norm", "i64");
    FAILS(wk_instance_norm(a, layer(NULL, NULL), 1e-5), "instance_norm", "[2, 3]");
    FAILS(wk_weight_norm(a, three, 0), "weight_norm", "g [3]", "[2, 3]");
    FAILS(wk_weight_norm(a, three, 2), "weight_norm", "axis 2");
    FAILS(wk_cosine_similarity(a, a, 2, 0), "cosine_similarity", "axis 2");
    FAILS(wk_cdist(a, wk_ones(2, 4), 2), "cdist", "[2, 3]", "[2, 4]");
    FAILS(wk_ctc_loss(a, y, n, n), "ctc_loss", "[2, 3]", "[2, 1]");
    FAILS(wk_ctc_loss(p, y, ints(3, 1), n), "ctc_loss", "lengths [3]");
    FAILS(wk_ctc_loss(p, y, n, n), "ctc_loss", "lengths 3 and 3 of example");
    FAILS(wk_ctc_loss(p, y, ints(2, 5), ints(2, 1)), "ctc_loss", "lengths 5 and 1");
    FAILS(wk_ctc_loss(p, n, ints(2, 4), ints(2, INT64_MAX)), "ctc_loss", "lengths 4 and");
    FAILS(wk_ctc_loss(p, y, ints(2, 4), ints(2, -1)), "ctc_loss", "lengths 4 and -1");
    FAILS(wk_ctc_loss(p, y, ints(2, 4), ints(2, 1)), "ctc_loss", "class 3");
    FAILS(wk_ctc_loss(p, y, n, n, .blank = 3), "ctc_loss", "blank 3");
    FAILS(wk_ctc_loss(p, y, n, n, .reduction = WK_BATCH_MEAN), "ctc_loss", "reduction 3");
    FAILS(wk_ctc_loss(p, a, n, n), "ctc_loss", "f32", "integers");
}

TEST(dtypes_that_do_not_fit)
{
    wk_tensor *a = wk_ones(2, 3), *i = ints(3, 1), *q = wk_ones(1, 1, 2, 4);
    FAILS(wk_bitwise_and(a, a), "bitwise_and", "[2, 3] f32", "integers");
    FAILS(wk_gather(a, 0, a), "gather", "[2, 3] f32", "integers");
    FAILS(wk_index_select(a, 0, wk_ones(2)), "index_select", "[2] f32");
    FAILS(wk_index_select(a, 0, wk_cast(wk_ones(2), WK_BOOL)), "index_select", "bool");
    FAILS(wk_embedding(a, a), "embedding", "f32");
    FAILS(wk_index_add(a, 1, i, wk_ones_of(WK_F64, WK_SHAPE(2, 3))), "index_add", "f64", "f32");
    FAILS(wk_scatter(a, 0, wk_zeros_of(WK_I64, WK_SHAPE(1, 3)), ints(3, 1)), "scatter");
    FAILS(wk_linear(i, layer(a, NULL)), "linear", "x [3] i64", "float");
    FAILS(wk_rms_norm(i, NULL, 1e-5), "rms_norm", "[3] i64");
    FAILS(wk_rope(wk_cast(a, WK_I64), wk_ones(2, 1), wk_ones(2, 1), false), "rope", "i64");
    FAILS(wk_attention(wk_cast(q, WK_I64), q, q), "attention", "i64");
    FAILS(wk_attention(q, q, q, .mask = wk_zeros_of(WK_I64, WK_SHAPE(2, 2))), "attention", "i64");
    FAILS(wk_cross_entropy(a, wk_ones(2)), "cross_entropy", "[2] f32");
    FAILS(wk_cast(a, (wk_dtype)99), "dtype 99");
    FAILS(wk_cast(a, (wk_dtype)-1), "dtype -1");
    FAILS(wk_zeros_of(WK_DTYPE_COUNT, WK_SHAPE(2)), "dtype");
    FAILS(wk_glu(a, a, (wk_act)9), "glu", "9");
    FAILS(wk_glu(a, a, (wk_act)-1), "glu", "-1");
}

TEST(indices_out_of_range)
{
    wk_tensor *a = wk_ones(2, 3), *row = wk_ones(1, 3);
    FAILS(wk_embedding(ints(1, 2), a), "embedding", "2 is not between 0 and 1");
    FAILS(wk_embedding(ints(1, -1), a), "embedding", "-1");
    FAILS(wk_index_select(a, 1, ints(2, 3)), "index_select", "3 is not between 0 and 2");
    FAILS(wk_index_add(a, 0, ints(1, 2), row), "index_add", "2");
    FAILS(wk_gather(a, 1, wk_full_of(WK_I64, WK_SHAPE(2, 1), 5)), "gather", "5");
    FAILS(wk_scatter(a, 0, wk_full_of(WK_I64, WK_SHAPE(1, 3), 2), row), "scatter", "2");
    FAILS(wk_scatter_add(a, 0, wk_full_of(WK_I64, WK_SHAPE(1, 3), -7), row), "scatter_add", "-7");
    FAILS(wk_cross_entropy(a, ints(2, 3)), "cross_entropy", "class 3");
    FAILS(wk_cross_entropy(a, ints(2, -100)), "cross_entropy", "class -100");
    FAILS(wk_gather(a, 0, wk_zeros_of(WK_I64, WK_SHAPE(3, 4))), "gather", "[3, 4]", "[2, 3]");
    FAILS(wk_index_select(a, 0, wk_zeros_of(WK_I64, WK_SHAPE(1, 1))), "index_select", "[1, 1]");
}

TEST(creation_that_cannot_be)
{
    int64_t huge = INT64_MAX / 2;
    FAILS(wk_zeros(-1), "[-1]");
    FAILS(wk_zeros(huge, huge), "4611686018427387903");
    FAILS(wk_empty_of(WK_F32, (wk_shape){ .rank = 9 }), "rank 9");
    FAILS(wk_empty_of(WK_F32, (wk_shape){ .rank = -1 }), "rank -1");
    FAILS(wk_arange(WK_F32, 0, 1, 0), "arange");
    FAILS(wk_arange(WK_F32, 0, INFINITY, 1), "arange");
    FAILS(wk_arange(WK_F32, 0, NAN, 1), "arange");
    FAILS(wk_linspace(WK_F32, 0, 1, -1), "[-1]");
    FAILS(wk_eye(WK_F32, -1), "[-1, -1]");
    FAILS(wk_eye(WK_F32, huge), "4611686018427387903");
    FAILS(wk_from_f32(WK_SHAPE(2), NULL), "NULL");
    FAILS(wk_randint_of(WK_SHAPE(2), 3, 3), "randint", "3 to 3");
    FAILS(wk_randperm(-1), "randperm", "-1");
    FAILS(wk_device_open("tpu"), "tpu");
    FAILS(wk_device_open("cpu:1"), "cpu:1");
    FAILS(wk_device_open(NULL), "NULL");
}

/* ---- Gradients that cannot be ------------------------------------------- */

TEST(changes_in_place_are_refused_where_they_break_a_gradient)
{
    wk_tensor *w = wk_track(wk_ones(3)), *y = wk_mul(w, w), *plain = wk_ones(3);
    FAILS(wk_fill(w, 1), "fill in place", "[3] f32", "wk_no_grad");
    FAILS(wk_assign(y, plain), "assign in place", "[3] f32");
    FAILS(wk_assign(plain, y), "assign in place");
    FAILS(wk_accumulate(w, plain), "accumulate in place");
    FAILS(wk_write(plain, w, 0, 0), "in place");
    bool before = wk_no_grad(true);
    wk_fill(w, 2); /* y's backward reads w */
    wk_no_grad(before);
    wk_backward(wk_sum(y));
    CHECK_ERROR("operand 1 of mul was changed in place since");
    y = wk_exp(w);
    before = wk_no_grad(true);
    wk_fill(y, 2); /* and this one's its result */
    wk_no_grad(before);
    wk_backward(wk_sum(y));
    CHECK_ERROR("of exp was changed in place since");
    y = wk_mul(wk_narrow(w, 0, 0, 2), wk_ones(2));
    before = wk_no_grad(true);
    wk_fill(wk_narrow(w, 0, 2, 1), 5); /* through another view of the storage */
    wk_no_grad(before);
    wk_backward(wk_sum(y));
    CHECK_ERROR("was changed in place since");
}

TEST(what_has_no_gradient_says_so)
{
    wk_tensor *q = wk_track(wk_ones(1, 1, 2, 2)), *cos = wk_track(wk_ones(2, 1));
    FAILS(wk_track(wk_ones_of(WK_I64, WK_SHAPE(2))), "track", "i64");
    FAILS(wk_track(wk_exp(q)), "track", "computed");
    wk_backward(wk_sum(wk_rope(q, cos, cos, false)));
    CHECK_ERROR("backward of rope: cos and sin have no gradient");
    wk_backward(q);
    CHECK_ERROR("the loss must be one float, not [1, 1, 2, 2] f32");
    wk_backward(wk_scalar(1));
    CHECK_ERROR("was not computed from tracked tensors");
    wk_backward(NULL);
    CHECK_ERROR("not NULL");
    wk_backward(wk_sum(wk_argmax(q)));
    CHECK_ERROR("the loss must be one float");
}
