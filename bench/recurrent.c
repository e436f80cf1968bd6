// SPDX-License-Identifier: MIT OR Apache-2.0
/* recurrent.c - how fast recurrent layers are: forward, and forward with the gradients of
 * parameters and inputs.
 *
 *   build/bench/recurrent [text]      cases whose name has the text in it
 *
 * A line for each case: its name and the median times in milliseconds.
 * bench/peers_recurrent.py sets PyTorch beside it. */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 400 };

static const struct {
    const char *name;
    wk_rnn_kind kind;
    int64_t     t, b, h;
} cases[] = {
    { "lstm", WK_LSTM, 64, 32, 256 },       { "gru", WK_GRU, 64, 32, 256 },
    { "rnn", WK_RNN_TANH, 64, 32, 256 },    { "lstm small", WK_LSTM, 32, 16, 64 },
    { "lstm large", WK_LSTM, 32, 64, 512 }, { "lstm one", WK_LSTM, 64, 1, 256 },
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const wk_rnn *m, wk_tensor *x, wk_store *s, bool train)
{
    static double time[RUNS];
    int           n = 0;
    bool          before = wk_no_grad(!train);
    for (double end = now() + 0.5; n < RUNS && (n < 5 || now() < end) && wk_ok(); n++) {
        wk_scope   scope = wk_mark();
        double     start = now();
        wk_tensor *y = wk_rnn_forward(m, x);
        if (train)
            wk_backward(wk_sum(y));
        time[n] = now() - start;
        for (int i = 0; i < wk_store_count(s); i++)
            wk_set_grad(wk_store_at(s, i), NULL);
        wk_set_grad(x, NULL);
        wk_sweep(scope);
    }
    wk_no_grad(before);
    qsort(time, (size_t)n, sizeof *time, by_value);
    return 1e3 * time[n / 2];
}

int main(int count, char **arg)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (count > 1 && !strstr(cases[i].name, arg[1]))
            continue;
        wk_store   *s = wk_store_new();
        wk_vars     at = wk_root(s);
        int64_t     h = cases[i].h;
        wk_rnn_kind kind = cases[i].kind;
        wk_rnn      m = kind == WK_LSTM  ? wk_lstm_new(at, h, h)
                        : kind == WK_GRU ? wk_gru_new(at, h, h)
                                         : wk_rnn_new(at, h, h);
        wk_tensor  *x = wk_track(wk_randn(cases[i].t, cases[i].b, h));
        double      forward = median(&m, x, s, false), both = median(&m, x, s, true);
        printf("%-11s t %lld b %lld h %-4lld %8.3f ms forward %8.3f ms with gradients\n",
               cases[i].name, (long long)cases[i].t, (long long)cases[i].b, (long long)h, forward,
               both);
        wk_store_free(s);
    }
    return wk_finish();
}
