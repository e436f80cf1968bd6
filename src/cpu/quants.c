// SPDX-License-Identifier: MIT OR Apache-2.0
/* quants.c - where the bits of quantized weights lie in panels: see quants.h. */
#include "quants.h"
#include "shared.h"

const wk_quant_bits wk_quant_bits_of[WK_NUMBERS_COUNT] = {
#define BITS(name, ...) [WK_NUMBERS_##name] = { __VA_ARGS__ },
    WK_NUMBERS(BITS)
};

/* numbers, scales; the head of a block of a file: where halves begin and how many there
 * are, where bytes begin and how many */
#define LAYOUT(type, numbers, scales, ...)                                                         \
    [WK_QUANT_##type] = { WK_NUMBERS_##numbers, WK_SCALES_##scales, __VA_ARGS__ },
const wk_quant_layout wk_quant_layouts[WK_QUANT_COUNT] = {
    LAYOUT(q4_0, b4, half, 0, 1, 0, 0)             /**/
    LAYOUT(q8_0, b8, half, 0, 1, 0, 0)             /**/
    LAYOUT(q4_k, b4_least, k45, 0, 2, 4, 12)       /**/
    LAYOUT(q6_k, b6, k6, 208, 1, 192, 16)          /**/
    LAYOUT(q5_k, b5_least, k45, 0, 2, 4, 12)       /**/
    LAYOUT(q5_0, b5, half, 0, 1, 0, 0)             /**/
    LAYOUT(q4_1, b4_least, half_least, 0, 2, 0, 0) /**/
    LAYOUT(q5_1, b5_least, half_least, 0, 2, 0, 0) /**/
    LAYOUT(q2_k, b2_least, k2, 80, 2, 0, 16)       /**/
    LAYOUT(q3_k, b3, k3, 108, 1, 96, 12)           /**/
    LAYOUT(iq4_nl, values, half, 0, 1, 0, 0)       /**/
    LAYOUT(iq4_xs, values, iq4, 0, 1, 2, 6)        /**/
    LAYOUT(nf4, values, half, 0, 1, 0, 0)          /**/
    LAYOUT(mxfp4, values, e8m0, 0, 0, 0, 1)        /**/
    LAYOUT(nvfp4, values_half, ue4m3, 0, 0, 0, 4)  /**/
    LAYOUT(tq2_0, b2, half_8, 64, 1, 0, 0)         /**/
    LAYOUT(q1_0, b1, half_4, 0, 1, 0, 0)           /**/
    LAYOUT(q2_0, b2, half_2, 0, 1, 0, 0)           /**/
    LAYOUT(q8_1, b8, half_least, 0, 2, 0, 0)       /**/
    LAYOUT(q8_k, b8, k8, 0, 2, 260, 32)            /**/
};

const wk_quant_rows *wk_quant_rows_of(const wk_quant_kernels *q)
{
#if defined __x86_64__
    if (q->rows_vbmi && __builtin_cpu_supports("avx512vbmi"))
        return q->rows_vbmi;
#endif
    return q->rows;
}

/* ---- The numbers of a block, and back ----------------------------------- */

static inline uint32_t word_at(const void *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint32_t each(int mask) { return (uint32_t)mask * 0x01010101u; }

/* The fields of n numbers, above the shift bits that are there, or those are not yet. */
INLINE void get_fields(uint8_t *number, const uint8_t *b, int n, wk_fields f, int shift)
{
    typedef uint32_t words __attribute__((vector_size(16)));
    words            mask = { 0 }, x, old = { 0 };
    mask += each((1 << f.width) - 1);
    if (f.run % 16) {
        memset(number, 0, shift ? 0 : (size_t)n);
        wk_fields_get(number, b, n, f, shift);
        return;
    }
    b += f.at;
    for (uint8_t *end = number + n; number < end; b += f.run) {
        UNROLLED
        for (int s = 0; s < 8; s += f.width)
            for (int i = 0; i < f.run; i += 16, number += 16) {
                memcpy(&x, b + i, sizeof x);
                if (shift)
                    memcpy(&old, number, sizeof old);
                x = (x >> s & mask) << shift | old;
                memcpy(number, &x, sizeof x);
            }
    }
}

/* ---- One row of blocks -------------------------------------------------- */

typedef struct {
    const wk_quant        *t;
    const wk_quant_layout *l;
    wk_quant_bits          bits;
    int64_t                blocks; /* of a chunk */
    int                    output;
} place;

/* The halves and bytes of a block's head; in the panel those of 16 outputs side by side. */
INLINE void move_head(const place *p, char *block, char *head, bool pack)
{
    const wk_quant_layout *l = p->l;
    head += 2 * p->output;
    for (int i = 0; i < l->halves; i++, head += 2 * WK_PANEL) {
        char *here = block + l->half_at + 2 * i;
        memcpy(pack ? head : here, pack ? here : head, 2);
    }
    head -= p->output;
    for (int i = 0; i < l->bytes; i++, head += WK_PANEL) {
        char *here = block + l->byte_at + i;
        *(pack ? head : here) = *(pack ? here : head);
    }
}

/* Fields of `bits` of a unit's quads, which have them at bit shift: two quads at a time.  Numbers
 * of 8 bits are signed in files, and have 128 more in panels. */
INLINE void put_bits(char *to, const uint8_t *number, int bits, int shift)
{
    const uint64_t mask = each((1 << bits) - 1) * 0x100000001u;
    uint64_t       x = 0, pair;
    uint32_t       word;
    if (!bits)
        return;
    UNROLLED
    for (int q = 0; q < WK_QUADS; q += 2) {
        memcpy(&pair, number + 4 * q, sizeof pair);
        pair = pair >> shift & mask;
        if (bits == 8) {
            pair ^= 0x8080808080808080u;
            memcpy(to, &pair, 4);
            memcpy(to + WK_QUAD_BYTES, (char *)&pair + 4, 4);
            to += 2 * WK_QUAD_BYTES;
            continue;
        }
        x |= (pair | pair >> (32 - bits)) << q * bits % 8;
        if ((q + 2) * bits % 8 == 0) {
            word = (uint32_t)x;
            memcpy(to, &word, 4);
            to += WK_QUAD_BYTES, x = 0;
        }
    }
}

static void get_bits(const char *from, uint8_t *number, int bits, int shift)
{
    uint32_t mask = each((1 << bits) - 1);
    for (int q = 0; bits && q < WK_QUADS; q++) {
        uint32_t x = word_at(from + q * bits / 8 * WK_QUAD_BYTES) >> q * bits % 8 & mask;
        x = word_at(number + 4 * q) | x << shift;
        memcpy(number + 4 * q, &x, 4);
    }
}

/* Blocks of one output; the bits are constants where this is called. */
INLINE void pack_blocks(const place *p, wk_quant_bits bits, char *head, char *to, char *block)
{
    uint8_t         room[WK_QUANT_MAX_BLOCK];
    const wk_quant *t = p->t;
    const int       size = t->block, bytes = t->bytes;
    wk_fields       low = t->low, high = t->high;
    low.width = bits.low, high.width = bits.high;
    low.run = bits.low == 1 ? 1 : low.run; /* of q1_0, the only one */
    for (int64_t n = p->blocks; n > 0; n--, block += bytes, head += wk_quant_head(p->l)) {
        move_head(p, block, head, true);
        const uint8_t *b = (const uint8_t *)block, *number = bits.low < 8 ? room : b + low.at;
        if (bits.low < 8)
            get_fields(room, b, size, low, 0);
        if (bits.high)
            get_fields(room, b, size, high, bits.low);
        for (int i = 0; i < size; i += WK_UNIT) {
            put_bits(to, number + i, bits.low, 0);
            to += bits.low * WK_QUAD_BYTES;
            put_bits(to, number + i, bits.high, bits.low);
            to += bits.high * WK_QUAD_BYTES;
        }
    }
}

#define PACK(name, ...)                                                                            \
    static void pack_##name(const place *p, char *head, char *to, char *block)                     \
    {                                                                                              \
        pack_blocks(p, (wk_quant_bits){ __VA_ARGS__ }, head, to, block);                           \
    }
WK_NUMBERS(PACK)

static void (*const packers[])(const place *p, char *head, char *to, char *block) = {
#define PACKER(name, ...) [WK_NUMBERS_##name] = pack_##name,
    WK_NUMBERS(PACKER)
};

static void unpack_blocks(const place *p, char *head, const char *from, char *block)
{
    const wk_quant *t = p->t;
    for (int64_t n = p->blocks; n > 0; n--, block += t->bytes, head += wk_quant_head(p->l)) {
        uint8_t number[WK_QUANT_MAX_BLOCK] = { 0 };
        move_head(p, block, head, false);
        for (int i = 0; i < t->block; i += WK_UNIT) {
            get_bits(from, number + i, p->bits.low, 0);
            from += p->bits.low * WK_QUAD_BYTES;
            get_bits(from, number + i, p->bits.high, p->bits.low);
            from += p->bits.high * WK_QUAD_BYTES;
        }
        for (int i = 0; i < t->block; i += 4) {
            uint32_t x = word_at(number + i) ^ (p->bits.low == 8 ? 0x80808080u : 0);
            memcpy(number + i, &x, 4);
        }
        wk_fields_put((uint8_t *)block, number, t->block, t->low, 0);
        if (t->high.width)
            wk_fields_put((uint8_t *)block, number, t->block, t->high, t->low.width);
    }
}

/* ---- Panels ------------------------------------------------------------- */

typedef struct {
    int     type;
    char   *panels, *rows; /* one of them is written */
    int64_t n, k, row_bytes;
    bool    pack;
} job;

/* k numbers of outputs first .. first + count. */
static void move_chunk(int type, bool pack, int64_t k, char *chunk, char *rows, int64_t row_bytes,
                       int64_t first, int64_t count)
{
    const wk_quant *t = &wk_quants[type];
    place           p = { .t = t, .l = &wk_quant_layouts[type], .blocks = k / t->block };
    p.bits = wk_quant_bits_of[p.l->numbers];
    int64_t bytes = p.blocks * t->bytes, head = p.blocks * wk_quant_head(p.l);
    for (p.output = (int)first; p.output < first + count; p.output++, rows += row_bytes) {
        char *numbers = chunk + head + 4 * p.output;
        for (int64_t i = bytes; i < 2 * bytes; i += 64)
            __builtin_prefetch(rows + i);
        if (pack)
            packers[p.l->numbers](&p, chunk, numbers, rows);
        else
            unpack_blocks(&p, chunk, numbers, rows);
    }
}

void wk_quants_pack_chunk(wk_dtype dtype, const char *rows, int64_t row_bytes, int64_t count,
                          int64_t k, char *chunk)
{
    if (count < WK_PANEL)
        memset(chunk, 0, (size_t)wk_bytes_at(dtype, k * WK_PANEL));
    move_chunk(dtype - WK_Q4_0, true, k, chunk, (char *)(uintptr_t)rows, row_bytes, 0, count);
}

/* Outputs first .. first + count of a panel. */
static void move_panel(const job *j, char *panel, char *rows, int64_t first, int64_t count)
{
    const wk_quant *t = &wk_quants[j->type];
    if (!j->pack)
        memset(rows, 0, (size_t)(j->row_bytes * count));
    else if (count < WK_PANEL)
        memset(panel, 0, (size_t)(j->row_bytes * WK_PANEL));
    for (int64_t k = j->k, n; k > 0; k -= n) {
        n = wk_min_i64(k, WK_CHUNK);
        move_chunk(j->type, j->pack, n, panel, rows, j->row_bytes, first, count);
        rows += n / t->block * t->bytes;
        panel += n / t->block * t->bytes * WK_PANEL;
    }
}

/* ---- Tensors ------------------------------------------------------------ */

static job job_of(const wk_tensor *x)
{
    job j = { .type = x->dtype - WK_Q4_0, .n = wk_dim(x, 0), .k = wk_dim(x, 1) };
    j.row_bytes = wk_bytes_at(x->dtype, j.k);
    return j;
}

static void move_some(void *ctx, int64_t begin, int64_t end)
{
    const job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        char *panel = j->panels + i * WK_PANEL * j->row_bytes;
        char *rows = j->rows + i * WK_PANEL * j->row_bytes;
        move_panel(j, panel, rows, 0, wk_min_i64(WK_PANEL, j->n - i * WK_PANEL));
    }
}

static void move_all(const job *j)
{
    wk_parallel((j->n + WK_PANEL - 1) / WK_PANEL, 65536 / (j->k * WK_PANEL) + 1, move_some,
                (void *)j);
}

static bool unpack(const wk_call *c)
{
    job j = job_of(c->in[0]);
    j.panels = wk_at_host(c->in[0]), j.rows = wk_at_host(c->out);
    move_all(&j);
    return true;
}

static void fill(const wk_tensor *w, void *to)
{
    job j = job_of(w);
    j.panels = to, j.rows = wk_at_host(w), j.pack = true;
    move_all(&j);
}

static wk_shape room_for(const wk_tensor *w)
{
    return WK_SHAPE((wk_dim(w, 0) + WK_PANEL - 1) / WK_PANEL * WK_PANEL, wk_dim(w, 1));
}

static const wk_packing panels_of_blocks = { "panels of blocks", room_for, fill, unpack };

wk_tensor *wk_quants_pack(wk_tensor *w)
{
    if (!wk_quant_layouts[w->dtype - WK_Q4_0].numbers || !wk_count(w) || !wk_is_contiguous(w))
        return w;
    return wk_packed_new(w, &panels_of_blocks);
}

/* Rows of a weight whose columns meet x elsewhere, as in models with tied embeddings. */
static void embed_rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *w = c->in[1];
    job              j = job_of(w);
    char            *blocks = wk_scratch((size_t)j.row_bytes);
    for (int64_t r = begin; blocks && r < end; r++) {
        int64_t i = wk_load_index(c->in[0], r), in_panel = i % WK_PANEL;
        char   *panel = (char *)wk_at_host(w) + (i - in_panel) * j.row_bytes;
        move_panel(&j, panel, blocks, in_panel, 1);
        wk_dtypes[w->dtype].load[WK_AS_F32](wk_f32(c->out) + r * j.k, blocks, j.k, 1);
    }
}

bool wk_cpu_embedding(const wk_call *c)
{
    const wk_tensor *w = c->in[1];
    if (!w->packing || w->storage->file)
        return c->op->compute(c);
    for (int64_t r = 0; r < wk_count(c->in[0]); r++)
        if ((uint64_t)wk_load_index(c->in[0], r) >= (uint64_t)wk_dim(w, 0))
            return false; /* the portable kernel says which */
    if (w->packing != &panels_of_blocks)
        return false;
    wk_parallel(wk_count(c->in[0]), 16384 / wk_dim(w, 1) + 1, embed_rows, (void *)c);
    return wk_ok();
}
