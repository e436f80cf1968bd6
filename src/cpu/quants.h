// SPDX-License-Identifier: MIT OR Apache-2.0
/* quants.h - quantized weights as panels, and what multiplies them.
 *
 * A panel has 16 outputs.  A lane of 32 bits belongs to one of them: its four bytes are
 * four numbers with consecutive k, a quad, as the instructions for products of bytes
 * want it.  Of each chunk of up to 256 k a panel has first the heads of its blocks, byte
 * by byte (halves: two by two) of all 16 outputs, then for each unit of 32 k the numbers
 * in as many bits as in the file.  So a panel has just the bytes of 16 rows of blocks.
 *
 * The other factor, x, is rounded to signed bytes with a scale for each unit: x is
 * about scale * byte, and a row with a NaN or an infinity becomes NaN.  Each result is
 *
 *     sum over groups of  scale_w * scale_x * sum(w x)  +  least_w * scale_x * sum(x)
 *
 * with exact integer sums of products.
 *
 * Types whose numbers are points of a grid, and tq1_0, stay rows as they are in files.  A
 * block of them is written out as bytes, each WK_ROW_ZERO more than its number, with a
 * scale for each 16 numbers, when it is multiplied. */
#ifndef WK_CPU_QUANTS_H
#define WK_CPU_QUANTS_H

#include "../core/quant.h"
#include "gemm.h"

enum {
    WK_PANEL = 16,
    WK_UNIT = 32,
    WK_CHUNK = 256,
    WK_CHUNK_GROUPS = 16,
    WK_QUADS = WK_UNIT / 4,
    WK_QUAD_BYTES = 4 * WK_PANEL, /* of a quad of bytes of all outputs */
    WK_TILE = 6,                  /* the most rows of a tile; its columns are two panels */
    WK_TILE_RECORDS = 32,         /* the same if they are records */
    WK_SIDE = 4 * WK_PANEL,       /* sums of a row that are finished together */
    WK_ROW_BLOCK = 256,           /* of types that stay rows */
    WK_ROW_ZERO = 64,
    WK_ROW_FEW = 8,     /* the most rows of x with which nothing is turned into panels */
    WK_ROW_RECORD = 96, /* words of those rows for each block */
};

/* How numbers lie; one bit stands for 0 or 2.  F(name, bits in a first field, and in a second one
 * above those; do they stand for the values of a table; groups in a unit; does a group have a least
 * value) */
#define WK_NUMBERS(F)                                                                              \
    F(b4, 4, 0, false, 1, false)                                                                   \
    F(b4_least, 4, 0, false, 1, true)                                                              \
    F(b5, 4, 1, false, 1, false)                                                                   \
    F(b5_least, 4, 1, false, 1, true)                                                              \
    F(b8, 8, 0, false, 1, false)                                                                   \
    F(b6, 4, 2, false, 2, false)                                                                   \
    F(b2_least, 2, 0, false, 2, true)                                                              \
    F(b2, 2, 0, false, 1, false)                                                                   \
    F(b1, 1, 0, false, 1, false)                                                                   \
    F(b3, 2, 1, false, 2, false)                                                                   \
    F(values, 4, 0, true, 1, false)                                                                \
    F(values_half, 4, 0, true, 2, false)

/* How scales lie in the head of a block. */
#define WK_SCALES(F)                                                                               \
    F(half)                                                                                        \
    F(half_least)                                                                                  \
    F(k45) F(k6) F(k2) F(k3) F(iq4) F(e8m0) F(ue4m3) F(half_2) F(half_4) F(half_8) F(k8)

#define NAMED(name, ...) WK_NUMBERS_##name,
enum { WK_NUMBERS_none, WK_NUMBERS(NAMED) WK_NUMBERS_COUNT };
#undef NAMED
#define NAMED(name) WK_SCALES_##name,
enum { WK_SCALES(NAMED) WK_SCALES_COUNT };
#undef NAMED

typedef struct {
    uint8_t  numbers, scales; /* numbers: none for types without panels */
    uint8_t  half_at, halves; /* the head: where it is in a block of a file */
    uint16_t byte_at, bytes;
} wk_quant_layout;

typedef struct {
    uint8_t low, high;
    bool    table;
    uint8_t parts;
    bool    least;
} wk_quant_bits;

/* How many products of pairs, numbers with bytes of x, have sums of 16 bits; 0: numbers are
 * signed, and one has such a sum if signs go from numbers to x. */
static inline int wk_quant_fit(wk_quant_bits f)
{
    int bits = f.low + f.high;
    return f.table || bits == 8 ? 0 : bits > 6 ? 1 : bits > 4 ? 2 : 8;
}

extern const wk_quant_layout wk_quant_layouts[WK_QUANT_COUNT];
extern const wk_quant_bits   wk_quant_bits_of[WK_NUMBERS_COUNT];

static inline int64_t wk_quant_head(const wk_quant_layout *l) /* bytes of 16 blocks' heads */
{
    return (2 * l->halves + l->bytes) * WK_PANEL;
}

wk_tensor *wk_quants_pack(wk_tensor *weight); /* for wk_pack() */

/* The next k <= WK_CHUNK numbers of count <= 16 rows as a chunk of a panel. */
void wk_quants_pack_chunk(wk_dtype dtype, const char *rows, int64_t row_bytes, int64_t count,
                          int64_t k, char *chunk);

/* ---- What an instruction set offers ------------------------------------- */

/* The numbers and scales of blocks. */
typedef void (*wk_quant_expand)(const void *points, const uint8_t *b, int64_t blocks,
                                uint8_t *number, float *scale);

typedef struct {
    const wk_quant        *type;
    const wk_quant_layout *layout;
    const wk_quant_bits   *bits;
    int8_t                 values[16]; /* the table */
    int                    zero;       /* what numbers have too much */
    int64_t                k;
    int                    rows; /* of x at a time */
    bool                   few;
    bool                   records; /* of x one after another; else word by word of j->rows rows */
    bool                   ask;     /* early for what is to come */
    wk_quant_expand        expand;  /* of types that stay rows */
    const void            *points;
} wk_quant_job;

/* Words of a row of x in a unit: 8 quads, the scale in f32, then for each group the sum of
 * the bytes: times the scale in f32 where w has least values, else times -zero of w as an
 * integer. */
static inline int64_t wk_quant_record(const wk_quant_job *j)
{
    return j->expand && j->few ? WK_ROW_RECORD / 8 : WK_QUADS + 1 + j->bits->parts;
}

/* c [rows, 32] = or += x times numbers as bytes; rows of c are WK_SIDE apart. */
typedef struct {
    const uint32_t *x;
    const char     *w;              /* [units][8 quads][2 panels] */
    const float    *scale, *offset; /* [units * parts][32]; offset may be NULL */
    int64_t         units;
    int             rows, parts;
    int             fit; /* wk_quant_fit() */
    float          *c;
    bool            add;
} wk_quant_tile;

typedef void (*wk_quant_few_fn)(const wk_quant_job *j, const char *panel, const uint32_t *x,
                                float *sums);

/* For types that stay rows. */
struct wk_quant_rows {
    void (*quantize)(const wk_quant_job *j, const float *row, int64_t units, uint32_t *x);
    /* The sums of count <= 16 rows of w with few rows of x. */
    void (*few)(const wk_quant_job *j, const char *w, int64_t count, const uint32_t *x,
                float *sums);
    /* Units of as many rows as one of the two panels of a tile. */
    void (*unpack)(const wk_quant_job *j, const char *w, int64_t count, int64_t unit, int64_t units,
                   char *quads, float *scale);
    wk_quant_expand expand[WK_QUANT_COUNT]; /* NULL for other types */
};

/* The points of a grid of core/quant.h, 1 byte for each number: 4 or 8. */
const void *wk_quant_points(int grid);

struct wk_quant_kernels {
    int bias;      /* what is added to signed numbers of 8 bits */
    int tile_bias; /* the same in tiles: by unpack(), or by them themselves */
    void (*quantize)(const wk_quant_job *j, const float *row, int64_t units, uint32_t *x);
    void (*scales[WK_SCALES_COUNT])(const uint8_t *head, int64_t blocks, float *scale,
                                    float *offset);
    void (*unpack[WK_NUMBERS_COUNT])(const wk_quant_job *j, const char *numbers, int64_t units,
                                     char *quads);
    /* The sums of a panel with one row of x, with few. */
    wk_quant_few_fn one[WK_NUMBERS_COUNT], few[WK_NUMBERS_COUNT];
    void (*tile)(const wk_quant_tile *t);
    bool records; /* tiles take x as records of up to WK_TILE_RECORDS rows; else 4 or 6 rows */
    /* Tiles that take 8 k at a time: the quads of a unit, [4][2][rows] words, become
     * [4][rows][2], of x's rows and of the two panels' outputs.  Else NULL. */
    void (*zip)(uint32_t *quads, int64_t units, int64_t record, int rows);
    const wk_quant_rows *rows, *rows_vbmi; /* with AVX-512 VBMI what is better then, or NULL */
};

/* Is there a product with weights of this type as they are in files? */
static inline bool wk_quant_stays(const wk_quant_kernels *q, wk_dtype dtype)
{
    return q && q->rows->expand[dtype - WK_Q4_0];
}

const wk_quant_rows *wk_quant_rows_of(const wk_quant_kernels *q);

#endif
