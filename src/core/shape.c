// SPDX-License-Identifier: MIT OR Apache-2.0
/* shape.c - arithmetic on shapes, and how they are shown in errors. */
#include "core.h"

#include <stdio.h>

int64_t wk_elements(wk_shape s)
{
    int64_t n = 1;
    for (int i = 0; i < s.rank; i++)
        n *= s.dim[i];
    return n;
}

bool wk_same_shape(wk_shape a, wk_shape b)
{
    return a.rank == b.rank && !memcmp(a.dim, b.dim, (size_t)a.rank * sizeof a.dim[0]);
}

bool wk_broadcast(wk_shape a, wk_shape b, wk_shape *out)
{
    wk_shape r = { .rank = a.rank > b.rank ? a.rank : b.rank };
    for (int i = 1; i <= r.rank; i++) {
        int64_t m = i <= a.rank ? a.dim[a.rank - i] : 1;
        int64_t n = i <= b.rank ? b.dim[b.rank - i] : 1;
        if (m != n && m != 1 && n != 1)
            return false;
        r.dim[r.rank - i] = m == 1 ? n : m;
    }
    *out = r;
    return true;
}

bool wk_shape_valid(const char *what, wk_shape s)
{
    char    text[160];
    int64_t n = 1;
    if (s.rank < 0 || s.rank > WK_MAX_RANK) {
        wk_fail(WK_ERR_SHAPE, "%s: rank %d is not between 0 and %d", what, s.rank, WK_MAX_RANK);
        return false;
    }
    for (int i = 0; i < s.rank; i++)
        if (s.dim[i] < 0 || (s.dim[i] && n > INT64_MAX / 16 / s.dim[i])) {
            wk_fail(WK_ERR_SHAPE, "%s: %s is not a possible shape", what, wk_show_shape(s, text));
            return false;
        } else if (s.dim[i]) {
            n *= s.dim[i];
        }
    return true;
}

int wk_axis(const char *what, wk_shape s, int64_t axis)
{
    char text[160];
    if (axis >= -s.rank && axis < s.rank)
        return (int)(axis < 0 ? axis + s.rank : axis);
    wk_fail(WK_ERR_ARGUMENT, "%s: there is no axis %lld in %s", what, (long long)axis,
            wk_show_shape(s, text));
    return -1;
}

bool wk_axis_set(const char *what, wk_shape s, wk_shape axes, bool in[WK_MAX_RANK])
{
    for (int i = 0; i < WK_MAX_RANK; i++)
        in[i] = false;
    for (int i = 0; i < axes.rank; i++) {
        int axis = wk_axis(what, s, axes.dim[i]);
        if (axis < 0)
            return false;
        if (in[axis]) {
            wk_fail(WK_ERR_ARGUMENT, "%s: axis %d is given twice", what, axis);
            return false;
        }
        in[axis] = true;
    }
    return true;
}

const char *wk_show_shape(wk_shape s, char buf[160])
{
    int n = snprintf(buf, 160, "[");
    for (int i = 0; i < s.rank && i < WK_MAX_RANK && n < 130; i++)
        n += snprintf(buf + n, (size_t)(160 - n), "%s%lld", i ? ", " : "", (long long)s.dim[i]);
    snprintf(buf + n, (size_t)(160 - n), "]");
    return buf;
}

const char *wk_show(const wk_tensor *x, char buf[160])
{
    char shape[160];
    snprintf(buf, 160, "%.90s%s%.60s %s", wk_name(x), *wk_name(x) ? " " : "",
             wk_show_shape(x->shape, shape), wk_dtypes[x->dtype].name);
    return buf;
}
