// SPDX-License-Identifier: MIT OR Apache-2.0
/* print.c - tensors as text, laid out as PyTorch does it.
 *
 * All elements are shown in one format, chosen from those that will be seen: whole
 * numbers, fixed point, or scientific where the largest is 1000 times the smallest. */
#include "core.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    wk_print_args  arg;
    wk_dtype       dtype;
    const double  *value;   /* dense */
    const int64_t *integer; /* instead, for integers */
    wk_shape       shape;
    int64_t        stride[WK_MAX_RANK];
    bool           summary, whole, scientific;
    int            width;
    wk_buf        *out;
} printer;

static int show(const printer *p, int64_t at, char text[64])
{
    if (p->dtype == WK_BOOL)
        return snprintf(text, 64, "%s", p->integer[at] ? "True" : "False");
    if (p->integer)
        return snprintf(text, 64, "%lld", (long long)p->integer[at]);
    double x = p->value[at];
    if (isnan(x))
        return snprintf(text, 64, "nan");
    if (p->scientific)
        return snprintf(text, 64, "%.*e", p->arg.precision, x);
    if (p->whole)
        return snprintf(text, 64, "%.0f%s", x, isinf(x) ? "" : ".");
    return snprintf(text, 64, "%.*f", p->arg.precision, x);
}

/* ---- Which elements are seen -------------------------------------------- */

/* Of n along an axis, how many at each end; 0: all. */
static int64_t edge(const printer *p, int64_t n)
{
    return p->summary && n > 2 * p->arg.edge_items ? p->arg.edge_items : 0;
}

typedef void (*visitor)(printer *p, int64_t at, void *ctx);

static void each_seen(printer *p, int axis, int64_t at, visitor visit, void *ctx)
{
    if (axis == p->shape.rank) {
        visit(p, at, ctx);
        return;
    }
    int64_t n = p->shape.dim[axis], e = edge(p, n);
    for (int64_t i = 0; i < n; i++) {
        if (e && i == e)
            i = n - e;
        each_seen(p, axis + 1, at + i * p->stride[axis], visit, ctx);
    }
}

typedef struct {
    double least, most;
    bool   whole, any;
} range;

static void widen_range(printer *p, int64_t at, void *ctx)
{
    range *r = ctx;
    double x = fabs(p->value[at]);
    if (!isfinite(x) || x == 0)
        return;
    r->least = r->any ? fmin(r->least, x) : x;
    r->most = r->any ? fmax(r->most, x) : x;
    r->whole &= x == ceil(x);
    r->any = true;
}

static void widen(printer *p, int64_t at, void *ctx)
{
    char text[64];
    (void)ctx;
    if (!p->integer && (!isfinite(p->value[at]) || p->value[at] == 0))
        return;
    int n = show(p, at, text);
    p->width = n > p->width ? n : p->width;
}

static void choose_format(printer *p)
{
    range r = { .whole = true };
    p->width = 1;
    if (!p->integer) {
        each_seen(p, 0, 0, widen_range, &r);
        p->whole = r.whole;
        p->scientific =
            p->arg.scientific ||
            (r.any && (r.most / r.least > 1000 || r.most > 1e8 || (!r.whole && r.least < 1e-4)));
    }
    each_seen(p, 0, 0, widen, NULL);
}

/* ---- Text --------------------------------------------------------------- */

static void item(printer *p, int64_t at)
{
    char text[64];
    int  n = show(p, at, text);
    wk_buf_printf(p->out, "%*s%s", p->width > n ? p->width - n : 0, "", text);
}

static void spaces(printer *p, int n) { wk_buf_printf(p->out, "%*s", n, ""); }

static void vector(printer *p, int64_t at, int indent)
{
    int64_t n = p->shape.dim[p->shape.rank - 1], e = edge(p, n), shown = 0;
    int64_t per_line = wk_max_i64(1, (p->arg.line_width - indent) / (p->width + 2));
    for (int64_t i = 0; i < n; i++, shown++) {
        if (shown && shown % per_line == 0) {
            wk_buf_str(p->out, WK_STR(",\n"));
            spaces(p, indent + 1);
        } else if (shown) {
            wk_buf_str(p->out, WK_STR(", "));
        }
        if (e && i == e) {
            wk_buf_str(p->out, WK_STR(" ..."));
            i = n - e - 1;
        } else {
            item(p, at + i * p->stride[p->shape.rank - 1]);
        }
    }
}

static void block(printer *p, int axis, int64_t at, int indent)
{
    if (axis == p->shape.rank) {
        item(p, at);
        return;
    }
    wk_buf_char(p->out, '[');
    if (axis == p->shape.rank - 1) {
        vector(p, at, indent);
    } else {
        int64_t n = p->shape.dim[axis], e = edge(p, n);
        for (int64_t i = 0; i < n; i++) {
            if (i) {
                wk_buf_char(p->out, ',');
                for (int k = axis; k < p->shape.rank - 1; k++)
                    wk_buf_char(p->out, '\n');
                spaces(p, indent + 1);
            }
            if (e && i == e) {
                wk_buf_str(p->out, WK_STR("..."));
                i = n - e - 1;
            } else {
                block(p, axis + 1, at + i * p->stride[axis], indent + 1);
            }
        }
    }
    wk_buf_char(p->out, ']');
}

/* What stands behind the elements, on a line of its own if that one is full. */
static void suffix(printer *p, const char *text)
{
    size_t last = p->out->size;
    while (last && p->out->data[last - 1] != '\n')
        last--;
    bool fits = p->out->size - last + strlen(text) + 3 <= (size_t)p->arg.line_width;
    wk_buf_printf(p->out, fits ? ", %s" : ",\n       %s", text);
}

static void print(printer *p, int64_t count)
{
    char text[160];
    wk_buf_str(p->out, WK_STR("tensor("));
    if (count) {
        choose_format(p);
        block(p, 0, 0, 7);
    } else {
        wk_buf_str(p->out, WK_STR("[]"));
        if (p->shape.rank != 1) {
            int n = snprintf(text, sizeof text, "size=(");
            for (int i = 0; i < p->shape.rank; i++)
                n += snprintf(text + n, sizeof text - (size_t)n, "%s%lld", i ? ", " : "",
                              (long long)p->shape.dim[i]);
            snprintf(text + n, sizeof text - (size_t)n, ")");
            suffix(p, text);
        }
    }
    bool usual = p->dtype == WK_F32 || (count && (p->dtype == WK_I64 || p->dtype == WK_BOOL));
    if (!usual) {
        snprintf(text, sizeof text, "dtype=%s", wk_dtype_name(p->dtype));
        suffix(p, text);
    }
    wk_buf_char(p->out, ')');
}

/* ---- Public functions --------------------------------------------------- */

char *wk_format_with(const wk_print_args *args)
{
    wk_buf     out = { 0 };
    printer    p = { .arg = *args, .out = &out };
    wk_tensor *x = args->x;
    if (!wk_usable("print", 1, x))
        return NULL;
    p.arg.precision = p.arg.precision ? p.arg.precision : 4;
    p.arg.threshold = p.arg.threshold ? p.arg.threshold : 1000;
    p.arg.edge_items = p.arg.edge_items ? p.arg.edge_items : 3;
    p.arg.line_width = p.arg.line_width ? p.arg.line_width : 80;
    p.dtype = x->dtype;
    p.shape = x->shape;
    wk_dense_strides(p.shape, p.stride);
    size_t count = (size_t)wk_count(x);
    p.summary = !p.arg.full && count > (size_t)p.arg.threshold;

    bool  integers = !wk_dtypes[x->dtype].is_float;
    void *data = wk_alloc_array(count, 8);
    if (data && wk_read(x, integers ? WK_I64 : WK_F64, data)) {
        if (integers)
            p.integer = data;
        else
            p.value = data;
        print(&p, (int64_t)count);
    }
    wk_free(data);
    char *text = wk_ok() ? strdup(out.data) : NULL; /* of malloc(), for the caller to free() */
    wk_buf_free(&out);
    return text;
}

void wk_print(wk_tensor *x)
{
    char *text = wk_format(x);
    if (text)
        puts(text);
    free(text);
}
