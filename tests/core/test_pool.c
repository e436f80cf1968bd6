// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_pool.c - who owns what: pool, scopes, kept tensors; errors, one for each thread;
 * and what views say of their storage. */
#include "../test.h"

#include "../../src/core/core.h"

#include <pthread.h>

/* ---- Pool and scopes ---------------------------------------------------- */

TEST(a_sweep_releases_what_was_made_since_the_mark)
{
    wk_ones(2);
    wk_scope outer = wk_mark();
    wk_ones(3), wk_ones(4);
    wk_scope inner = wk_mark();
    wk_ones(5);
    CHECK_INT((int64_t)wk_live_tensors(), 4);
    wk_sweep(inner);
    CHECK_INT((int64_t)wk_live_tensors(), 3);
    wk_sweep(inner); /* a second time: nothing */
    wk_ones(6);
    wk_sweep(outer); /* inner was never swept again: outer does it */
    CHECK_INT((int64_t)wk_live_tensors(), 1);
    wk_sweep(inner); /* above the pool's height: nothing */
    CHECK_INT((int64_t)wk_live_tensors(), 1);
}

TEST(a_yielded_tensor_moves_to_the_outer_scope)
{
    wk_scope   outer = wk_mark(), inner;
    wk_tensor *x, *all[3], *same;
    wk_ones(1);
    inner = wk_mark();
    x = wk_yield(inner, wk_add(wk_ones(2), wk_ones(2)));
    CHECK_INT((int64_t)wk_live_tensors(), 2);
    CHECK_NEAR(wk_item(wk_sum(x)), 4, 0);
    CHECK(wk_yield(wk_mark(), NULL) == NULL);
    inner = wk_mark();
    all[0] = wk_ones(7), all[1] = NULL, all[2] = x; /* x is of the outer scope already */
    wk_ones(8);
    wk_yield_all(inner, all, 3);
    CHECK_INT((int64_t)wk_live_tensors(), 4);
    same = wk_yield(inner, all[0]); /* to where it is */
    CHECK(same == all[0] && wk_count(same) == 7);
    wk_sweep(outer);
    CHECK_INT((int64_t)wk_live_tensors(), 0);
}

TEST(what_is_kept_lives_until_it_is_dropped)
{
    wk_scope   scope = wk_mark();
    wk_tensor *x = wk_keep(wk_ones(3)), *slot = NULL;
    wk_set(&slot, wk_ones(4));
    wk_sweep(scope);
    CHECK_INT((int64_t)wk_live_tensors(), 2);
    CHECK_NEAR(wk_item(wk_sum(x)), 3, 0);
    wk_set(&slot, slot); /* onto itself */
    CHECK_INT(wk_count(slot), 4);
    wk_set(&slot, x);
    wk_drop(x); /* the slot has its own count */
    wk_sweep(scope);
    CHECK_INT((int64_t)wk_live_tensors(), 1);
    wk_set(&slot, NULL);
    CHECK_INT((int64_t)wk_live_tensors(), 0);
    wk_drop(NULL);
    CHECK(wk_keep(NULL) == NULL);
    CHECK(wk_add(x, x) == NULL);
    CHECK_ERROR("add: operand 1 was released: keep it with wk_keep()");
}

/* A view holds the storage, not the tensor it was made from. */
TEST(a_view_outlives_what_it_was_made_from)
{
    wk_scope   scope = wk_mark();
    size_t     before = wk_device_used(wk_default_device());
    wk_tensor *row = wk_yield(scope, wk_select(wk_reshape(wk_arange(WK_F32, 0, 6, 1), 2, 3), 0, 1));
    CHECK_INT((int64_t)wk_live_tensors(), 1);
    CHECK_INT((int64_t)(wk_device_used(wk_default_device()) - before), 24);
    CHECK_NEAR(wk_item(wk_sum(row)), 12, 0);
    wk_sweep(scope);
    CHECK_INT((int64_t)(wk_device_used(wk_default_device()) - before), 0);
}

TEST(many_temporaries)
{
    wk_scope scope = wk_mark();
    for (int i = 0; i < 5000; i++)
        wk_scalar(i);
    CHECK_INT((int64_t)wk_live_tensors(), 5000);
    wk_sweep(scope);
    CHECK_INT((int64_t)wk_live_tensors(), 0);
}

/* ---- Threads ------------------------------------------------------------ */

static void *other_thread(void *shared)
{
    wk_tensor *x = shared;
    bool       good = wk_ok() && wk_item(wk_sum(x)) == 3; /* the other's error is not ours */
    wk_matmul(x, x), wk_ones(5);
    good &= wk_ok();
    wk_add(x, wk_ones(7));
    good &= wk_error() == WK_ERR_SHAPE;
    wk_seed(9);
    wk_no_grad(true);
    return good ? x : NULL; /* with an error pending, and a pool that is not swept */
}

TEST(pool_error_and_modes_belong_to_the_thread)
{
    wk_tensor *x = wk_ones(3), *first;
    pthread_t  thread;
    void      *result = NULL;
    wk_seed(5);
    first = wk_rand(4);
    wk_seed(5);
    wk_reshape(x, 5);
    CHECK(wk_error() == WK_ERR_SHAPE);
    CHECK(!pthread_create(&thread, NULL, other_thread, x) && !pthread_join(thread, &result));
    CHECK_ERROR("reshape: [3] f32 has not the shape [5]"); /* still the one from here */
    CHECK(result == x);
    CHECK_INT((int64_t)wk_live_tensors(), 2); /* what the other made went with it */
    CHECK_NEAR(wk_item(wk_all(wk_eq(first, wk_rand(4)))), 1, 0);
    CHECK(!wk_no_grad(false));
}

static void *use_many(void *shared)
{
    for (int i = 0; i < 300; i++) {
        wk_scope   scope = wk_mark();
        wk_tensor *y = wk_softmax(wk_matmul(shared, wk_transpose(shared, 0, 1)), -1);
        if (wk_item(wk_sum(y)) < 7.999)
            wk_fail(WK_ERR_ARGUMENT, "wrong sum");
        wk_sweep(scope);
    }
    return wk_ok() ? shared : NULL;
}

TEST(threads_share_tensors)
{
    wk_tensor *x = wk_randn(8, 40);
    pthread_t  thread[3];
    void      *result = NULL;
    for (int i = 0; i < 3; i++)
        CHECK(!pthread_create(&thread[i], NULL, use_many, x));
    CHECK(use_many(x) == x);
    for (int i = 0; i < 3; i++)
        CHECK(!pthread_join(thread[i], &result) && result == x);
    CHECK_INT(x->refs, 1);
}

/* ---- Errors ------------------------------------------------------------- */

TEST(the_first_error_stays_and_nothing_runs_until_it_is_cleared)
{
    wk_tensor *x = wk_ones(2);
    size_t     live = wk_live_tensors();
    wk_reshape(x, 3);
    CHECK(!wk_add(x, x) && !wk_ones(9) && !wk_sum(x) && !wk_reshape(x, 4) && !wk_randn(3));
    CHECK(!wk_copy(x) && !wk_from_f32(WK_SHAPE(1), (float[]){ 1 }) && !wk_track(x));
    float out[2] = { 7, 7 };
    CHECK(!wk_to_f32(x, out) && out[0] == 7);
    wk_fill(x, 5);
    wk_backward(x);
    CHECK(wk_error() == WK_ERR_SHAPE);
    CHECK_ERROR("reshape: [2] f32 has not the shape [3]");
    CHECK_INT((int64_t)wk_live_tensors(), (int64_t)live);
    CHECK_NEAR(wk_item(wk_sum(x)), 2, 0);
    CHECK_STR(wk_message(), "");
    wk_context("not an error"); /* puts nothing in front of nothing */
    CHECK(wk_ok());
    wk_fail(WK_ERR_IO, "%s", "a");
    wk_context("b");
    CHECK_STR(wk_message(), "b: a");
    wk_clear();
}

TEST(queries_answer_for_null)
{
    CHECK(wk_rank(NULL) == 0 && wk_count(NULL) == 0 && wk_dim(NULL, 0) == 0);
    CHECK(wk_shape_of(NULL).rank == 0 && wk_dtype_of(NULL) == WK_DEFAULT);
    CHECK(wk_device_of(NULL) == NULL && !wk_is_contiguous(NULL) && wk_grad(NULL) == NULL);
    CHECK_STR(wk_name(NULL), "");
    CHECK_STR(wk_device_name(NULL), "");
    CHECK_INT((int64_t)wk_device_used(NULL), 0);
    wk_device_trim(NULL);
    wk_set_grad(NULL, NULL);
    CHECK(wk_ok());
    CHECK(wk_item_i64(NULL) == 0);
    CHECK_ERROR("NULL");
    wk_item(wk_ones(2));
    CHECK_ERROR("item: [2] f32 has 2 elements, not one");
}

/* ---- Strides ------------------------------------------------------------ */

static void check_layout(wk_tensor *x, wk_tensor *of, int64_t offset, wk_shape stride)
{
    CHECK(x->storage == of->storage);
    CHECK_INT(x->offset, offset);
    CHECK_INT(x->shape.rank, stride.rank);
    for (int i = 0; i < stride.rank; i++)
        CHECK_INT(x->stride[i], stride.dim[i]);
}

TEST(views_move_strides_and_no_data)
{
    wk_tensor *x = wk_reshape(wk_arange(WK_F32, 0, 24, 1), 2, 3, 4);
    check_layout(x, x, 0, WK_SHAPE(12, 4, 1));
    check_layout(wk_permute(x, 2, 0, 1), x, 0, WK_SHAPE(1, 12, 4));
    check_layout(wk_narrow(x, 1, 1, 2), x, 4, WK_SHAPE(12, 4, 1));
    check_layout(wk_slice(x, 2, 3, -5, -2), x, 3, WK_SHAPE(12, 4, -2));
    check_layout(wk_select(x, 1, 2), x, 8, WK_SHAPE(12, 1));
    check_layout(wk_flip(x, 0, 2), x, 15, WK_SHAPE(-12, 4, -1));
    check_layout(wk_expand(wk_narrow(x, 1, 0, 1), 2, 5, 4), x, 0, WK_SHAPE(12, 0, 1));
    check_layout(wk_reshape(x, 6, 2, 2), x, 0, WK_SHAPE(4, 2, 1));
    check_layout(wk_reshape(wk_transpose(x, 0, 1), 3, 2, 2, 2), x, 0, WK_SHAPE(4, 12, 2, 1));
    check_layout(wk_flatten(wk_narrow(x, 2, 0, 3), 0, 1), x, 0, WK_SHAPE(4, 1));
    check_layout(wk_diagonal(wk_select(x, 0, 1), 0, 1), x, 12, WK_SHAPE(5));
    wk_tensor *copied = wk_reshape(wk_transpose(x, 1, 2), 2, 12); /* no strides can say this */
    CHECK(copied->storage != x->storage && wk_is_contiguous(copied));
    wk_tensor *wide = wk_expand(wk_ones(3, 1), 3, 4); /* nor this */
    CHECK(wk_reshape(wide, 12)->storage != wide->storage);
    CHECK(!wk_is_contiguous(wide) && !wk_is_contiguous(wk_narrow(x, 2, 0, 3)));
    CHECK(wk_is_contiguous(wk_narrow(x, 0, 1, 1)) && wk_is_contiguous(wk_zeros(0, 3)));
    CHECK(wk_contiguous(x) == x && wk_copy(x) != x && wk_cast(x, WK_F32) == x);
    CHECK(wk_data(wk_transpose(x, 0, 1)) == NULL);
    CHECK_ERROR("data: [3, 2, 4] f32 is not contiguous");
    wk_fill(wk_select(wk_select(x, 0, 1), 0, 1), -1); /* written through views of views */
    CHECK_NEAR(wk_item(wk_sum(wk_narrow(wk_flatten(x, 0, 2), 0, 16, 4))), -4, 0);
}
