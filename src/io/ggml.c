// SPDX-License-Identifier: MIT OR Apache-2.0
/* ggml.c - LLaMA as llama.cpp wrote it in 2023, before GGUF: read as the GGUF file that
 * convert_llama_ggml_to_gguf.py of llama.cpp makes of it.
 *
 *     "lmgg" (ggml), "fmgg" | u32 1 (ggmf) or "tjgg" | u32 1 .. 3 (ggjt)
 *     u32 vocab, width, multiple of the MLP's width, heads, layers, rotary dims, file type
 *     tokens:  u32 size | bytes | f32 score, which ggml has not
 *     tensors: u32 rank | u32 size of the name | u32 type | u32 dimensions, last first | name |
 *              in ggjt padding to 32 | elements; up to the end
 *
 * What the file does not say is as llama.cpp had it: 2048 tokens of context, 5e-6 for norms.
 * Blocks of 4 and 8 bits were laid out otherwise before ggjt 3, and all before ggjt 2. */
#include "io.h"

#include <stdio.h>

static const size_t MOST_TEXT = 4095, MOST_BYTES = 1 << 30;

typedef struct {
    wk_archive *archive;
    wk_file    *file;
    const char *at, *end;
    int         version; /* 0: ggml and ggmf; 1 .. 3: ggjt */
    bool        scored, any_blocks;
    uint64_t    vocab, width, heads, layers, turning, file_type;
} reader;

static const char *take(reader *r, uint64_t bytes)
{
    if (wk_ok() && bytes > (uint64_t)(r->end - r->at))
        wk_file_refuse(r->file, "ends before what it says it holds");
    if (!wk_ok())
        return NULL;
    r->at += bytes;
    return r->at - bytes;
}

static uint64_t take_number(reader *r)
{
    const char *p = take(r, 4);
    return p ? wk_load_uint(p, 4, false) : 0;
}

static wk_str take_text(reader *r, uint64_t size)
{
    if (wk_ok() && size > MOST_TEXT)
        wk_file_refuse(r->file, "a name or token of %llu bytes", (unsigned long long)size);
    const char *p = take(r, size);
    return p ? (wk_str){ p, size } : WK_STR("");
}

/* ---- Values -------------------------------------------------------------- */

static void add_number(wk_buf *b, uint64_t u)
{
    for (int i = 0; i < 4; i++)
        wk_buf_char(b, (char)(u >> 8 * i));
}

/* Elements as a little-endian GGUF file would have them; the archive takes them over. */
static void put_list(reader *r, const char *key, int kind, int64_t count, wk_buf *elements)
{
    wk_meta_value m = { .kind = &wk_meta_kinds[kind],
                        .data = elements->data,
                        .text = elements->data,
                        .count = count,
                        .list = true };
    *elements = (wk_buf){ 0 };
    wk_archive_add_value(r->archive, wk_str_of(key), m);
}

static void put(reader *r, const char *key, int kind, uint64_t bits)
{
    wk_buf b = { 0 };
    add_number(&b, bits);
    wk_meta_value m = { .kind = &wk_meta_kinds[kind], .data = b.data, .text = b.data, .count = 1 };
    wk_archive_add_value(r->archive, wk_str_of(key), m);
}

static void put_text(reader *r, const char *key, const char *text)
{
    wk_archive_add_metadata(r->archive, wk_str_of(key), wk_str_of(text));
}

/* ---- Tokens -------------------------------------------------------------- */

/* As GGUF has it; its type. */
static int add_token(wk_buf *out, uint64_t id, wk_str s)
{
    static const char *const first[] = { "<unk>", "<s>", "</s>" };
    enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, BYTE = 6 };
    if (id < WK_COUNT(first)) {
        wk_buf_str(out, wk_str_of(first[id]));
        return id ? CONTROL : UNKNOWN;
    }
    if (s.size == 1 && id < WK_COUNT(first) + 256) {
        wk_buf_printf(out, "<0x%02X>", (unsigned)(unsigned char)*s.at);
        return BYTE;
    }
    for (size_t i = 0; i < s.size; i++)
        if (s.at[i] == ' ')
            wk_buf_str(out, WK_STR("\xE2\x96\x81"));
        else
            wk_buf_char(out, s.at[i]);
    return s.size ? NORMAL : CONTROL;
}

static bool read_tokens(reader *r)
{
    wk_buf    texts = { 0 }, scores = { 0 }, types = { 0 };
    uint64_t  least = r->scored ? 8 : 4;
    uint32_t *place = NULL;
    if (r->vocab < 3 || r->vocab > (uint64_t)(r->end - r->at) / least)
        return wk_file_refuse(r->file, "%llu tokens do not fit into the file",
                              (unsigned long long)r->vocab);
    place = wk_alloc_array(r->vocab, sizeof *place);
    for (uint64_t i = 0; i < r->vocab && wk_ok(); i++) {
        wk_str s = take_text(r, take_number(r));
        size_t at = texts.size;
        if (at > MOST_BYTES)
            wk_file_refuse(r->file, "more than %zu bytes of tokens", MOST_BYTES);
        place[i] = (uint32_t)at;
        add_number(&texts, 0);
        int type = add_token(&texts, i, s);
        for (size_t k = 0; wk_ok() && k < 4; k++)
            texts.data[at + k] = (char)((texts.size - at - 4) >> 8 * k);
        add_number(&scores, r->scored ? take_number(r) : 0);
        add_number(&types, (uint64_t)type);
    }
    wk_meta_value m = { .kind = &wk_meta_kinds[WK_KIND_TEXT],
                        .data = texts.data,
                        .text = texts.data,
                        .place = place,
                        .count = (int64_t)r->vocab,
                        .width = 4,
                        .list = true };
    put_text(r, "tokenizer.ggml.model", "llama");
    put_text(r, "tokenizer.ggml.pre", "default");
    wk_archive_add_value(r->archive, WK_STR("tokenizer.ggml.tokens"), m);
    put_list(r, "tokenizer.ggml.scores", WK_KIND_F32, m.count, &scores);
    put_list(r, "tokenizer.ggml.token_type", WK_KIND_I32, m.count, &types);
    put(r, "tokenizer.ggml.unknown_token_id", WK_KIND_U32, 0);
    put(r, "tokenizer.ggml.bos_token_id", WK_KIND_U32, 1);
    put(r, "tokenizer.ggml.eos_token_id", WK_KIND_U32, 2);
    return wk_ok();
}

/* ---- Tensors ------------------------------------------------------------- */

static bool rename_tensor(const reader *r, wk_str old, wk_buf *out)
{
    static const char *const names[][2] = {
        { "tok_embeddings", "token_embd" },
        { "norm", "output_norm" },
        { "output", "output" },
        { "attention_norm", "attn_norm" },
        { "attention.wq", "attn_q" },
        { "attention.wk", "attn_k" },
        { "attention.wv", "attn_v" },
        { "attention.wo", "attn_output" },
        { "ffn_norm", "ffn_norm" },
        { "feed_forward.w1", "ffn_gate" },
        { "feed_forward.w2", "ffn_down" },
        { "feed_forward.w3", "ffn_up" },
    };
    enum { OF_MODEL = 3 };
    wk_str rest = old;
    size_t digits = 0, first = 0;
    if (wk_str_starts(old, "layers.")) {
        rest = (wk_str){ old.at + 7, old.size - 7 };
        while (digits < rest.size && rest.at[digits] >= '0' && rest.at[digits] <= '9')
            digits++;
        wk_buf_printf(out, "blk.%.*s.", (int)digits, rest.at);
        digits += digits < rest.size; /* and the dot */
        rest = (wk_str){ rest.at + digits, rest.size - digits };
        first = OF_MODEL;
    }
    bool weight = wk_str_ends(rest, ".weight");
    if (weight)
        rest.size -= 7;
    for (size_t i = first; weight && i < (first ? WK_COUNT(names) : OF_MODEL); i++)
        if (wk_str_is(rest, names[i][0])) {
            wk_buf_printf(out, "%s.weight", names[i][1]);
            return wk_ok();
        }
    return wk_file_refuse(r->file,
                          "%.*s is no tensor of LLaMA, the only model of such files that is read",
                          (int)wk_min_i64((int64_t)old.size, 100), old.at);
}

/* Are blocks of that type the same bits today? */
static bool check_type(const reader *r, wk_str name, const wk_gguf_type *type, uint64_t id)
{
    int n = (int)wk_min_i64((int64_t)name.size, 100);
    if (!type)
        return wk_file_refuse(r->file, "%.*s: unknown type %llu", n, name.at,
                              (unsigned long long)id);
    bool four_or_eight = type->dtype == WK_Q4_0 || type->dtype == WK_Q4_1 || type->dtype == WK_Q8_0;
    int  since = type->block == 1 ? 0 : four_or_eight ? 3 : 2;
    if (!type->block)
        wk_fail(WK_ERR_UNSUPPORTED,
                "%s: %.*s: type %s is no longer in use: make the file again "
                "from the model in f16 or f32",
                r->file->path, n, name.at, type->name);
    else if (r->version < since)
        wk_fail(WK_ERR_UNSUPPORTED,
                "%s: %.*s: %s was laid out otherwise before ggjt version %d: "
                "make the file again from the model in f16 or f32",
                r->file->path, n, name.at, type->name, since);
    return wk_ok();
}

static bool read_tensor(reader *r)
{
    wk_entry e = { .file = r->file };
    wk_buf   name = { 0 };
    uint64_t rank = take_number(r), size = take_number(r), id = take_number(r);
    if (!wk_ok() || rank < 1 || rank > 2)
        return wk_ok() &&
               wk_file_refuse(r->file, "a tensor of rank %llu", (unsigned long long)rank);
    e.shape.rank = (int)rank;
    for (int i = e.shape.rank - 1; i >= 0; i--)
        e.shape.dim[i] = (int64_t)take_number(r);
    wk_str              old = take_text(r, size);
    const wk_gguf_type *type = wk_gguf_type_by_id(id);
    if (!wk_ok() || !check_type(r, old, type, id) || !rename_tensor(r, old, &name)) {
        wk_buf_free(&name);
        return false;
    }
    e.dtype = type->dtype;
    e.dtype_name = type->name;
    r->any_blocks |= type->block > 1;
    if (r->version)
        take(r, -(uint64_t)(r->at - r->file->data) & 31);
    int64_t row = e.shape.dim[e.shape.rank - 1], rows = rank > 1 ? e.shape.dim[0] : 1;
    if (wk_ok() && (row < 1 || rows < 1 || row % type->block))
        wk_file_refuse(r->file, "%s: %lld rows of %lld elements", name.data, (long long)rows,
                       (long long)row);
    else if (wk_ok() &&
             wk_mul_overflows((size_t)(row / type->block * type->bytes), (size_t)rows, &e.bytes))
        wk_file_refuse(r->file, "%s: its size overflows", name.data);
    e.data = take(r, e.bytes);
    if (wk_ok())
        wk_archive_add(r->archive, wk_buf_view(&name), e);
    wk_buf_free(&name);
    return wk_ok();
}

/* ---- Files --------------------------------------------------------------- */

bool wk_ggml_is(const wk_file *f)
{
    static const char magics[][5] = { "lmgg", "fmgg", "tjgg" };
    bool              found = false;
    for (size_t i = 0; f->size >= 4 && i < WK_COUNT(magics); i++)
        found |= !memcmp(f->data, magics[i], 4);
    return found;
}

static bool read_header(reader *r)
{
    const char *magic = take(r, 4);
    if (magic && *magic != 'l') {
        uint64_t version = take_number(r), most = *magic == 't' ? 3 : 1;
        if (wk_ok() && (version < 1 || version > most))
            return wk_file_refuse(r->file, "%s version %llu", *magic == 't' ? "ggjt" : "ggmf",
                                  (unsigned long long)version);
        r->version = *magic == 't' ? (int)version : 0;
        r->scored = true;
    }
    r->vocab = take_number(r);
    r->width = take_number(r);
    take_number(r);
    r->heads = take_number(r);
    r->layers = take_number(r);
    r->turning = take_number(r);
    r->file_type = take_number(r);
    if (wk_ok() && (!r->heads || r->width > 1 << 20 || r->layers > 10000 || !r->layers ||
                    r->turning * r->heads != r->width || !r->width))
        return wk_file_refuse(r->file,
                              "not a LLaMA, the only model of such files that is read: width %llu, "
                              "%llu heads of %llu, %llu layers",
                              (unsigned long long)r->width, (unsigned long long)r->heads,
                              (unsigned long long)r->turning, (unsigned long long)r->layers);
    return wk_ok();
}

/* Numbers that shapes have, and the header has not. */
static bool put_shapes(reader *r)
{
    const wk_archive *a = r->archive;
    int               embed = wk_archive_find(a, "token_embd.weight");
    wk_shape          gate = wk_archive_shape(a, wk_archive_find(a, "blk.0.ffn_gate.weight"));
    wk_shape          keys = wk_archive_shape(a, wk_archive_find(a, "blk.0.attn_k.weight"));
    uint64_t          rows = keys.rank == 2 ? (uint64_t)keys.dim[0] : 0;
    if (!a->count)
        return wk_ok(); /* a vocabulary alone */
    if (embed < 0 || gate.rank != 2 || rows % r->turning || !rows)
        return wk_file_refuse(r->file, "embeddings, or layer 0, are missing or of a wrong shape");
    if ((uint64_t)wk_archive_shape(a, embed).dim[1] < r->width) {
        wk_fail(WK_ERR_UNSUPPORTED, "%s: one of several parts: join them first", r->file->path);
        return false;
    }
    put(r, "llama.feed_forward_length", WK_KIND_U32, (uint64_t)gate.dim[0]);
    put(r, "llama.attention.head_count_kv", WK_KIND_U32, rows / r->turning);
    put(r, "general.file_type", WK_KIND_U32, r->file_type);
    if (r->any_blocks)
        put(r, "general.quantization_version", WK_KIND_U32, 2);
    return wk_ok();
}

bool wk_ggml_read(wk_archive *a, wk_file *f)
{
    reader      r = { .archive = a, .file = f, .at = f->data, .end = f->data + f->size };
    const float eps = 5e-6f;
    uint32_t    bits;
    memcpy(&bits, &eps, sizeof bits);
    if (!read_header(&r))
        return false;
    put_text(&r, "general.architecture", "llama");
    put(&r, "llama.context_length", WK_KIND_U32, 2048);
    put(&r, "llama.embedding_length", WK_KIND_U32, r.width);
    put(&r, "llama.block_count", WK_KIND_U32, r.layers);
    put(&r, "llama.attention.head_count", WK_KIND_U32, r.heads);
    put(&r, "llama.rope.dimension_count", WK_KIND_U32, r.turning);
    put(&r, "llama.attention.layer_norm_rms_epsilon", WK_KIND_F32, bits);
    if (wk_ok() && read_tokens(&r))
        while (wk_ok() && r.at < r.end)
            read_tensor(&r);
    return wk_ok() && put_shapes(&r);
}
