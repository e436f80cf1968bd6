// SPDX-License-Identifier: MIT OR Apache-2.0
/* window.c - the options of windows: see window.h. */
#include "window.h"

bool window_numbers(const char *name, const char *what, wk_shape given, int dims, int64_t usual,
                    int64_t least, int64_t out[3])
{
    char text[160];
    bool good = given.rank == 0 || given.rank == 1 || given.rank == dims;
    for (int i = 0; i < 3; i++) {
        int at = given.rank == 1 ? 0 : i - 3 + dims;
        out[i] = i < 3 - dims || !given.rank ? usual : good ? given.dim[at] : 0;
        good &= i < 3 - dims || (out[i] >= least && out[i] < WINDOW_LIMIT);
    }
    if (!good && wk_ok())
        wk_fail(WK_ERR_ARGUMENT, "%s: %s %s is not for %d dimensions", name, what,
                wk_show_shape(given, text), dims);
    return good && wk_ok();
}

bool window_sizes(const char *name, wk_shape s, int dims, int64_t out[3])
{
    char text[160];
    for (int i = 0; i < 3; i++) {
        out[i] = i < 3 - dims ? 1 : s.dim[s.rank - 3 + i];
        if (out[i] >= WINDOW_LIMIT)
            wk_fail(WK_ERR_UNSUPPORTED, "%s: %s is too large", name, wk_show_shape(s, text));
    }
    return wk_ok();
}

wk_tensor *window_batch(const char *name, wk_tensor *x, int dims)
{
    char text[160];
    if (dims >= 1 && dims <= 3 && wk_rank(x) == dims + 1)
        return wk_unsqueeze(x, 0);
    if (dims >= 1 && dims <= 3 && wk_rank(x) == dims + 2)
        return x;
    wk_fail(WK_ERR_SHAPE, "%s: x %s is not [b, c, ..] with %d spatial dimensions", name,
            wk_show(x, text), dims);
    return NULL;
}

window window_of(const wk_options *opt, wk_shape x, wk_shape k, wk_shape y)
{
    window w;
    memcpy(w.stride, opt->window.stride, sizeof w.stride);
    memcpy(w.dilation, opt->window.dilation, sizeof w.dilation);
    memcpy(w.before, opt->window.before, sizeof w.before);
    for (int i = 0; i < 3; i++) {
        bool there = i >= 3 - (x.rank - 2);
        w.x[i] = there ? x.dim[x.rank - 3 + i] : 1;
        w.k[i] = there ? k.dim[k.rank - 3 + i] : 1;
        w.y[i] = there ? y.dim[y.rank - 3 + i] : 1;
    }
    return w;
}
