// SPDX-License-Identifier: MIT OR Apache-2.0
/* 06 - Digits: a convolutional network, batches from a loader, batch norm and dropout.
 *
 *     06_mnist_cnn            digits that this program draws itself
 *     06_mnist_cnn FOLDER     MNIST, from its four files in FOLDER */
#include <wick/wick.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 28, TRAIN = 2000, TEST = 500, BATCH = 25, EPOCHS = 2 };

/* ---- Digits -------------------------------------------------------------- */

/* A digit as strokes between points of a 3 x 5 grid, numbered row by row from 'a'. */
static const char *const strokes[10] = {
    "ac co om ma",    "be bn eb",       "ac ci ig gm mo", "ac co om gi",    "ag gi co",
    "ca ag gi io om", "ca am mo oi ig", "ac cn",          "ac co om ma gi", "ig ga ac co om",
};

static double chance(void) { return (double)rand() / RAND_MAX; }

static double distance(double x, double y, const double *a, const double *b)
{
    double dx = b[0] - a[0], dy = b[1] - a[1];
    double t = ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return hypot(x - a[0] - t * dx, y - a[1] - t * dy);
}

/* Moved, turned, slanted, stretched, thick or thin, with noise. */
static void draw(int digit, uint8_t *pixel)
{
    double point[15][2], turn = 0.3 * (chance() - 0.5), slant = 0.5 * (chance() - 0.5);
    double width = 3.5 + 2 * chance(), height = 3.5 + chance(), thick = 0.9 + chance();
    double x = 14 + 4 * (chance() - 0.5), y = 14 + 4 * (chance() - 0.5);
    for (int i = 0; i < 15; i++) {
        double u = (i % 3 - 1) * width + chance(), v = (i / 3 - 2) * height + chance();
        u -= slant * v;
        point[i][0] = x + u * cos(turn) - v * sin(turn);
        point[i][1] = y + u * sin(turn) + v * cos(turn);
    }
    for (int i = 0; i < SIDE * SIDE; i++) {
        double nearest = 100;
        for (const char *s = strokes[digit]; *s; s += s[2] ? 3 : 2)
            nearest =
                fmin(nearest, distance(i % SIDE, i / SIDE, point[s[0] - 'a'], point[s[1] - 'a']));
        double ink = 1 / (1 + exp(3 * (nearest - thick))) + 0.15 * chance();
        pixel[i] = (uint8_t)(255 * fmin(ink, 1));
    }
}

typedef struct {
    wk_tensor *images, *labels; /* u8 [n, 28, 28], i64 [n] */
} digits;

static digits draw_all(int count)
{
    uint8_t *pixel = malloc((size_t)count * SIDE * SIDE);
    int64_t *label = malloc((size_t)count * sizeof *label);
    for (int i = 0; i < count; i++)
        draw((int)(label[i] = i % 10), pixel + i * SIDE * SIDE);
    digits d = { wk_from(WK_U8, WK_SHAPE(count, SIDE, SIDE), pixel),
                 wk_from_i64(WK_SHAPE(count), label) };
    free(pixel);
    free(label);
    return d;
}

/* ---- The network --------------------------------------------------------- */

typedef struct {
    wk_conv_args        conv1, conv2;
    wk_batch_norm_layer norm1, norm2;
    wk_layer            fc;
} cnn;

static cnn cnn_new(wk_vars at)
{
    return (cnn){
        .conv1 = wk_conv_new(wk_at(at, "conv1"), 1, 16, WK_SHAPE(3, 3), .same = true),
        .norm1 = wk_batch_norm_new(wk_at(at, "norm1"), 16),
        .conv2 = wk_conv_new(wk_at(at, "conv2"), 16, 32, WK_SHAPE(3, 3), .same = true),
        .norm2 = wk_batch_norm_new(wk_at(at, "norm2"), 32),
        .fc = wk_linear_new(wk_at(at, "fc"), 32 * 7 * 7, 10),
    };
}

/* images [n, 28, 28] -> logits [n, 10] */
static wk_tensor *cnn_forward(const cnn *m, wk_tensor *images, bool train)
{
    wk_tensor *x = wk_scale(wk_cast(images, WK_F32), 1 / 255.0);
    x = wk_reshape(x, -1, 1, SIDE, SIDE);
    x = wk_batch_norm_forward(&m->norm1, wk_conv_forward(&m->conv1, x), train);
    x = wk_max_pool2d(wk_relu(x), .size = WK_SHAPE(2)); // [n, 16, 14, 14]
    x = wk_batch_norm_forward(&m->norm2, wk_conv_forward(&m->conv2, x), train);
    x = wk_max_pool2d(wk_relu(x), .size = WK_SHAPE(2)); // [n, 32, 7, 7]
    x = wk_reshape(x, -1, 32 * 7 * 7);
    return wk_linear(train ? wk_dropout(x, 0.2) : x, m->fc);
}

static double accuracy(const cnn *m, const digits *d)
{
    double  right = 0;
    int64_t n = wk_dim(d->images, 0);
    bool    before = wk_no_grad(true);
    for (int64_t at = 0; at < n && wk_ok(); at += 500) {
        wk_scope   s = wk_mark();
        int64_t    count = n - at < 500 ? n - at : 500;
        wk_tensor *logits = cnn_forward(m, wk_narrow(d->images, 0, at, count), false);
        wk_tensor *guess = wk_argmax(logits, .over = WK_AXES(1));
        right += wk_item(wk_sum(wk_cast(wk_eq(guess, wk_narrow(d->labels, 0, at, count)), WK_F32)));
        wk_sweep(s);
    }
    wk_no_grad(before);
    return right / (double)n;
}

/* ---- Training ------------------------------------------------------------ */

/* Runs on the loader's thread: the rows of these numbers. */
static bool load(void *user, const int64_t *index, int64_t n, wk_tensor **out)
{
    const digits *d = user;
    wk_tensor    *rows = wk_from_i64(WK_SHAPE(n), index);
    out[0] = wk_index_select(d->images, 0, rows);
    out[1] = wk_index_select(d->labels, 0, rows);
    return wk_ok();
}

int main(int argc, char **argv)
{
    digits train, test;
    bool   real = argc > 1 && wk_mnist_open(argv[1], false, &train.images, &train.labels);
    wk_clear(); /* the argument may be anything: then digits are drawn */
    if (!real || !wk_mnist_open(argv[1], true, &test.images, &test.labels)) {
        train = draw_all(TRAIN);
        test = draw_all(TEST);
    }
    wk_seed(1);
    wk_store  *params = wk_store_new();
    cnn        net = cnn_new(wk_root(params));
    wk_optim  *opt = wk_adamw_new(params, .lr = 2e-3);
    wk_loader *batches = wk_loader_new(wk_dim(train.images, 0), BATCH, .seed = 1, .whole = true,
                                       .load = load, .user = &train);
    int64_t    steps = EPOCHS * wk_loader_epoch(batches);
    for (int64_t step = 0; step < steps && wk_ok(); step++) {
        wk_scope   s = wk_mark();
        wk_tensor *batch[WK_LOADER_TENSORS], *loss;
        wk_loader_next(batches, batch);
        loss = wk_cross_entropy(cnn_forward(&net, batch[0], true), batch[1]);
        wk_backward(loss);
        wk_step(opt);
        if (real && step % 100 == 0)
            fprintf(stderr, "step %lld of %lld, loss %.4f\n", (long long)step, (long long)steps,
                    wk_item(loss));
        wk_sweep(s);
    }
    double right = accuracy(&net, &test);
    if (real)
        printf("%.2f %% of the test digits are recognised\n", 100 * right);
    else
        printf("%s 97 %% of the digits are recognised\n", right > 0.97 ? "more than" : "less than");
    wk_loader_free(batches);
    wk_optim_free(opt);
    wk_store_free(params);
    return wk_finish();
}
