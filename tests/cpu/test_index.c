// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_index.c - the CPU's kernels that move elements by index, against the portable ones:
 * the same bits, and the same complaints. */
#include "test.h"

#include "../src/cpu/cpu.h"
#include <wick/wick.h>

/* The portable kernel's result of the same call. */
static wk_tensor *portable(const wk_op *op, wk_tensor **in, int count, int axis)
{
    wk_call c = { .op = op, .in = in, .count = count, .opt.mode.axis = axis };
    if (!op->infer(&c) || !(c.out = wk_pool(wk_tensor_new(wk_default_device(), c.dtype, c.shape))))
        return NULL;
    return op->compute(&c) ? c.out : NULL;
}

static void compare(const wk_op *op, wk_tensor *x, wk_tensor *index, wk_tensor *source, int axis)
{
    wk_tensor *in[] = { x, index, source };
    int        count = source ? 3 : 2;
    uint64_t   before = wk_fallbacks();
    wk_tensor *got =
        wk_run(&(wk_call){ .op = op, .in = in, .count = count, .opt.mode.axis = axis });
    CHECK_MSG(wk_fallbacks() == before, "%s fell back", op->name);
    wk_tensor *want = portable(op, in, count, axis);
    CHECK_MSG(wk_item(wk_all(wk_eq(got, want))) == 1, "%s along axis %d of %s", op->name, axis,
              wk_dtype_name(x->dtype));
}

static wk_tensor *indices(wk_shape shape, int64_t below, wk_dtype dtype)
{
    return wk_cast(wk_randint_of(shape, 0, below), dtype);
}

static void check_dtype(wk_dtype dtype, bool adds)
{
    for (int axis = 0; axis < 3; axis++) {
        wk_scope   s = wk_mark();
        wk_shape   small = WK_SHAPE(3, 20, 5), shape = WK_SHAPE(4, 300, 70);
        wk_tensor *x = wk_cast(wk_randn(4, 300, 70), dtype);
        wk_tensor *turned = wk_transpose(wk_cast(wk_randn(70, 300, 4), dtype), 0, 2);
        small.dim[axis] = 600; /* more than the axis has: gather alone may */
        wk_tensor *many = indices(small, shape.dim[axis], WK_I64);
        compare(&wk_op_gather, x, many, NULL, axis);
        compare(&wk_op_gather, turned, many, NULL, axis);
        small.dim[axis] = 3;
        wk_tensor *few = wk_transpose(indices(WK_SHAPE(5, 20, 3), 3, WK_I32), 0, 2);
        compare(&wk_op_scatter, x, wk_remainder(few, wk_full_like(few, 1)), turned, axis);
        if (adds) {
            wk_tensor *list = indices(WK_SHAPE(900), shape.dim[axis], WK_I32);
            wk_shape   all = shape;
            all.dim[axis] = 900;
            compare(&wk_op_scatter_add, x, few, turned, axis);
            compare(&wk_op_index_add, x, list, wk_randn_of(dtype, all), axis);
        }
        wk_sweep(s);
    }
}

TEST(index_kernels_agree_with_the_portable_ones)
{
    static const wk_dtype dtypes[] = { WK_F32, WK_F64, WK_BF16, WK_I8 };
    for (size_t i = 0; i < WK_COUNT(dtypes); i++)
        check_dtype(dtypes[i], dtypes[i] == WK_F32);
    wk_tensor *x = wk_randn(5, 3), *wide = wk_randn(5, 200);
    compare(&wk_op_index_add, x, indices(WK_SHAPE(7), 5, WK_U8), wk_randn(7, 3), 0);
    compare(&wk_op_index_add, wide, indices(WK_SHAPE(7), 5, WK_I64), wk_randn(7, 200), 0);
}

TEST(index_kernels_refuse_what_is_out_of_range)
{
    const int64_t at[] = { 0, 5, 1 };
    wk_tensor    *x = wk_zeros(5), *index = wk_from_i64(WK_SHAPE(3), at), *y = wk_ones(3);
    CHECK(!wk_gather(x, 0, index));
    CHECK_ERROR("index 5 is not between 0 and 4");
    CHECK(!wk_scatter(x, 0, index, y));
    CHECK_ERROR("index 5 is not between 0 and 4");
    CHECK(!wk_scatter_add(x, 0, index, y));
    CHECK_ERROR("index 5 is not between 0 and 4");
    CHECK(!wk_index_add(x, 0, index, y));
    CHECK_ERROR("index 5 is not between 0 and 4");
}
