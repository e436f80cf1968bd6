// SPDX-License-Identifier: MIT OR Apache-2.0
/* conv.h - what the kernels of convolution share.
 *
 * A field is the image that a kernel reads, with zeros around it, so that no element of a
 * window needs a check; where windows are stride apart along the last axis, every row is
 * split into stride rows, so that neighbouring windows read neighbouring elements.  It is
 * in f32, or in bf16 for an engine that multiplies that. */
#ifndef WK_CPU_CONV_H
#define WK_CPU_CONV_H

#include "../simd.h"
#include "matrix.h"

/* Names that carry the instruction set. */
#define conv_read            WK_ISA(conv_read)
#define conv_field           WK_ISA(conv_field)
#define conv_field_of_x      WK_ISA(conv_field_of_x)
#define conv_plane           WK_ISA(conv_plane)
#define conv_offset          WK_ISA(conv_offset)
#define conv_put_part        WK_ISA(conv_put_part)
#define conv_runs            WK_ISA(conv_runs)
#define conv_gather          WK_ISA(conv_gather)
#define conv_winograd        WK_ISA(conv_winograd)
#define conv_winograd_weight WK_ISA(conv_winograd_weight)

typedef struct { /* a call of conv, conv_transpose or conv_weight; see ops/conv.c */
    const wk_tensor *xt, *wt, *yt;
    int64_t          x[3], k[3], y[3], stride[3], dilation[3], before[3];
    int64_t          b, groups, c_of, o_of; /* channels of a group in x and in y */
    int64_t          nx, nk, ny;
} conv;

bool conv_read(conv *v, const wk_call *c); /* false: not of these kernels' dtypes */

typedef struct {
    const char *data;
    wk_dtype    dtype, from;
    int64_t     size[3], border[3], split; /* with its border, elements before the image */
    int64_t     gap[3];                    /* zeros between elements of the image */
    int64_t     width, plane;              /* of a part of a row; elements of a channel */
    bool        later;                     /* f32, laid out when a plane is read: conv_plane() */
    int64_t     n[3];                      /* of the image */
} field;

/* from [b, c, n[0], n[1], n[2]] within borders; the image itself where there are none. */
bool conv_field(field *f, const wk_tensor *from, const int64_t n[3]);

/* What a field of x is made of for an engine. */
static inline wk_dtype conv_dtype(const wk_engine *e, const wk_tensor *x)
{
    return x->dtype == WK_BF16 && e == wk_cpu_current()->bf16 ? WK_BF16 : WK_F32;
}

/* A channel of an image; room for one plane and an element, which it may be laid out in. */
const float *conv_plane(const field *f, int64_t plane, float *room);

/* Groups of one channel that make one. */
static inline bool conv_is_depthwise(const conv *v) { return v->c_of == 1 && v->o_of == 1; }

/* The field of x for all windows of y, and where element k of window 0 lies in it. */
bool    conv_field_of_x(field *f, const conv *v);
int64_t conv_offset(const field *f, const conv *v, const int64_t k[3]);

/* Element (i, j, k) of a field. */
static inline int64_t field_at(const field *f, int64_t i, int64_t j, int64_t k)
{
    return ((i * f->size[1] + j) * f->split + k % f->split) * f->width + k / f->split;
}

/* ---- Places -------------------------------------------------------------- */

enum { CONV_MOST_NR = 64 };

/* The windows of all images: how far apart they begin in the field, and their results. */
typedef struct {
    int64_t grid[3], count; /* of an image */
    int64_t from[2];        /* along the first two axes; along the last it is 1 */
    int64_t to[3], to_first;
    int64_t image_from, image_to; /* from one image to the next */
} conv_places;

typedef struct { /* places side by side in the field and in the result */
    int     lane, count;
    int64_t from, to;
} conv_run;

/* The places j .. j + cols, as runs of lanes; how many. */
int conv_runs(const conv_places *p, int64_t j, int cols, conv_run runs[CONV_MOST_NR]);

/* k rows of width elements, in the field's dtype: row i begins row[i] behind each run. */
void conv_gather(const field *f, void *to, int width, const int64_t *row, int64_t k,
                 const conv_run *runs, int n);

void conv_put_part(void *to, wk_dtype dtype, vf x, int64_t n, int64_t apart);

/* n <= VF results, which lie apart elements from each other. */
static inline void conv_put(void *to, wk_dtype dtype, vf x, int64_t n, int64_t apart)
{
    if (dtype == WK_F32 && apart == 1 && n == VF)
        vstore(to, x);
    else if (dtype == WK_BF16 && apart == 1 && n == VF)
        vstore_bf16(to, x);
    else
        conv_put_part(to, dtype, x, n, apart);
}

/* conv, or conv_transpose, with Winograd's products; false: not for this one. */
bool conv_winograd(const conv *v, const wk_call *c, const float *bias);
bool conv_winograd_weight(const conv *v, const wk_call *c);

#endif
