// SPDX-License-Identifier: MIT OR Apache-2.0
/* mixes.c - which tensor of a model gets which type: the mixes of llama.cpp, as tables.
 *
 * A rule is a line: in these mixes, tensors of these roles get this type, if all that it asks
 * holds.  The first line that fits counts; without one it is the mix's own type. */
#include "quantize.h"

#include <stdlib.h>

/* ---- The mixes ----------------------------------------------------------- */

enum {
#define MIX(name, ...) NO_##name,
#include "mixes.def"
#undef MIX
};
#define M(name) (UINT64_C(1) << NO_##name)

static const struct {
    const char *name;
    int8_t      file_type;
    uint8_t     dtype;
} mixes[] = {
#define MIX(name, file_type, dtype) { #name, file_type, dtype },
#include "mixes.def"
#undef MIX
};

static const char *const aliases[][2] = { { "q3_k", "q3_k_m" },
                                          { "q4_k", "q4_k_m" },
                                          { "q5_k", "q5_k_m" } };

static bool same(const char *a, const char *lower)
{
    for (; *a && (*a | (*a >= 'A' && *a <= 'Z' ? 0x20 : 0)) == *lower; a++)
        lower++;
    return !*a && !*lower;
}

bool wk_mix_find(const char *name, wk_mix *mix)
{
    for (size_t i = 0; i < WK_COUNT(aliases); i++)
        if (same(name, aliases[i][0]))
            name = aliases[i][1];
    for (size_t i = 0; i < WK_COUNT(mixes); i++)
        if (same(name, mixes[i].name)) {
            *mix = (wk_mix){ mixes[i].name, mixes[i].file_type, mixes[i].dtype, UINT64_C(1) << i };
            return true;
        }
    for (int d = WK_F32; d < WK_DTYPE_COUNT; d++) /* a type of which there is no mix */
        if (same(name, wk_dtype_name(d)) && wk_dtype_is_float(d)) {
            *mix = (wk_mix){ wk_dtype_name(d), -1, d, 0 };
            return true;
        }
    return false;
}

/* ---- The rules ----------------------------------------------------------- */

enum { /* roles */
       HEAD = 1,
       EMBED = 2,
       V = 4, /* q, k and v in one, too */
       K = 8,
       Q = 16,
       OUT = 32,
       DOWN = 64,
       GATE = 128,
       UP = 256,
       OTHER = 512,
       ANY = 1023
};

enum {                   /* what must hold */
       SHARED = 1,       /* at least 4 heads share keys and values */
       WIDE = 2,         /* that, or at least 4 experts */
       EIGHT = 4,        /* there are 8 experts */
       NOT_EIGHT = 8,    /* or not */
       FIRST_TWO = 16,   /* it is one of the first two of its kind */
       FIRST_FOUR = 32,  /* four */
       FIRST_16TH = 64,  /* of the layers */
       FIRST_8TH = 128,  /* of the layers */
       MIDDLE = 256,     /* not in the first or last eighth */
       MORE = 512,       /* in those, or every third of the others */
       WEIGHED = 1024,   /* there is an importance matrix */
       UNWEIGHED = 2048, /* there is none */
       FALCON = 4096,
       NOT_FALCON = 8192,
       UNEVEN = 16384, /* rows are not whole blocks of the mix's type */
       STACKED = 32768 /* matrices of several experts */
};

#define LOW  (M(iq1_s) | M(iq1_m) | M(iq2_xxs) | M(iq2_xs) | M(iq2_s) | M(iq2_m))
#define LOW2 (M(iq2_s) | M(iq2_m))
#define REST (~LOW)

static const struct {
    uint64_t mixes;
    uint16_t roles, when;
    uint8_t  dtype;
} rules[] = {
    { M(mxfp4_moe), HEAD, 0, WK_Q8_0 },
    { M(mxfp4_moe), ANY, STACKED, WK_MXFP4 },
    { M(mxfp4_moe), ANY, 0, WK_Q8_0 },

    { ~UINT64_C(0), HEAD, UNEVEN, WK_Q8_0 },
    { ~UINT64_C(0), HEAD, FALCON, WK_Q8_0 },
    { LOW | M(iq3_xxs), HEAD, 0, WK_Q5_K },
    { ~M(q8_0), HEAD, 0, WK_Q6_K },

    { LOW & ~LOW2, EMBED, 0, WK_Q2_K },
    { LOW2 | M(iq3_xxs), EMBED, 0, WK_IQ3_S },
    { M(tq1_0) | M(tq2_0) | M(q2_0), EMBED, 0, WK_Q4_K },

    { LOW, V, WIDE, WK_Q4_K },
    { LOW2, V, 0, WK_IQ3_S },
    { LOW, V, 0, WK_Q2_K },
    { LOW, K, EIGHT, WK_Q4_K },
    { LOW2, DOWN, FIRST_8TH, WK_IQ3_S },
    { LOW, DOWN, FIRST_8TH, WK_Q2_K },
    { LOW, OUT, EIGHT, WK_Q5_K },
    { M(iq1_s) | M(iq1_m), OUT, 0, WK_IQ2_XXS },
    { LOW2, OUT, 0, WK_IQ3_S },

    { REST, V | K, EIGHT, WK_Q8_0 },
    { M(q2_k) | M(q2_k_s) | M(iq3_xxs) | M(iq3_xs) | M(iq3_s), V, SHARED, WK_Q4_K },
    { M(q2_k), V, 0, WK_Q3_K },
    { M(iq3_xxs), V, UNWEIGHED, WK_IQ3_S },
    { M(iq3_m), V, 0, WK_Q4_K },
    { M(q3_k_m), V, FIRST_TWO, WK_Q5_K },
    { M(q3_k_m), V, 0, WK_Q4_K },
    { M(q3_k_l), V, 0, WK_Q5_K },
    { M(iq4_nl) | M(iq4_xs), V, SHARED, WK_Q5_K },
    { M(q4_k_m) | M(q5_k_m), V, MORE, WK_Q6_K },
    { M(q4_k_s), V, FIRST_FOUR, WK_Q5_K },

    { M(iq3_xs), K | Q, 0, WK_IQ3_XXS },
    { M(iq3_xxs), K | Q, 0, WK_IQ2_S },

    { M(q2_k), DOWN, 0, WK_Q3_K },
    { M(q2_k_s), DOWN, FIRST_8TH, WK_Q4_K },
    { M(iq3_xxs), DOWN, UNWEIGHED | FIRST_8TH, WK_Q4_K },
    { M(iq3_xxs), DOWN, UNWEIGHED, WK_Q3_K },
    { M(q3_k_m), DOWN, FIRST_16TH, WK_Q5_K },
    { M(q3_k_m), DOWN, NOT_FALCON, WK_Q4_K },
    { M(q3_k_m), DOWN, MORE, WK_Q4_K },
    { M(iq3_m), DOWN, FIRST_8TH, WK_Q4_K },
    { M(iq3_m), DOWN, EIGHT | MORE, WK_Q4_K },
    { M(q3_k_l), DOWN, FALCON, WK_Q4_K },
    { M(q3_k_l), DOWN, 0, WK_Q5_K },
    { M(q4_k_m), DOWN, FALCON | FIRST_16TH, WK_Q6_K },
    { M(q4_k_m), DOWN, FALCON | MORE, WK_Q5_K },
    { M(q4_k_m), DOWN, NOT_FALCON | MORE, WK_Q6_K },
    { M(q5_k_m), DOWN, MORE, WK_Q6_K },
    { M(iq4_nl) | M(iq4_xs), DOWN, FIRST_8TH | UNWEIGHED, WK_Q5_K },
    { M(q4_k_s), DOWN, NOT_FALCON | FIRST_8TH, WK_Q5_K },
    { M(q4_0), DOWN, WEIGHED | FIRST_8TH, WK_Q4_1 },
    { M(q5_0), DOWN, WEIGHED | FIRST_8TH, WK_Q5_1 },

    { M(q2_k) | M(iq3_xs) | M(iq3_xxs) | M(q3_k_s) | M(q3_k_m) | M(iq4_nl) | M(q4_k_s) | M(q4_k_m) |
          M(iq3_s) | M(iq3_m) | M(iq4_xs),
      OUT, NOT_FALCON | EIGHT, WK_Q5_K },
    { M(q2_k), OUT, NOT_FALCON | NOT_EIGHT, WK_Q3_K },
    { M(iq3_xxs), OUT, NOT_FALCON | NOT_EIGHT, WK_IQ3_S },
    { M(q3_k_m) | M(iq3_m), OUT, NOT_FALCON | NOT_EIGHT, WK_Q4_K },
    { M(q3_k_l), OUT, NOT_FALCON | NOT_EIGHT, WK_Q5_K },
    { M(q3_k_l), OUT, FALCON, WK_Q4_K },

    { M(iq3_xs), GATE | UP, MIDDLE, WK_IQ3_XXS },
};

/* ---- Roles --------------------------------------------------------------- */

static const struct {
    const char *part; /* of the name */
    int         role;
} roles[] = {
    { "attn_qkv.weight", V }, { "attn_kv_b.weight", V }, { "attn_v.weight", V },
    { "attn_k.weight", K },   { "attn_q.weight", Q },    { "attn_output.weight", OUT },
    { "ffn_up", UP },         { "ffn_gate", GATE },      { "ffn_down", DOWN },
};

bool wk_mix_is_embedding(const char *name)
{
    return !strcmp(name, "token_embd.weight") || !strcmp(name, "per_layer_token_embd.weight");
}

static int role_of(const char *name, bool tied)
{
    if (!strcmp(name, "output.weight"))
        return HEAD;
    if (wk_mix_is_embedding(name))
        return tied ? HEAD : EMBED;
    for (size_t i = 0; i < WK_COUNT(roles); i++)
        if (strstr(name, roles[i].part))
            return roles[i].role;
    return OTHER;
}

bool wk_mix_is_value(const char *name) { return role_of(name, false) == V; }

/* Small ones, and those that are not multiplied. */
static const char *const spared[] = {
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
};

bool wk_mix_may(const char *name, wk_shape shape)
{
    int rank = shape.rank;
    for (int i = 0; i < shape.rank - 1 && shape.dim[i] == 1; i++)
        rank--;
    if (rank < 2 || !wk_str_ends(wk_str_of(name), "weight") ||
        !strcmp(name, "position_embd.weight") || !strcmp(name, "token_types.weight"))
        return false;
    for (size_t i = 0; i < WK_COUNT(spared); i++)
        if (strstr(name, spared[i]))
            return false;
    return true;
}

/* ---- The order ----------------------------------------------------------- */

/* "blk.12.ffn_up.weight" -> 12; -1: of no layer. */
static long layer_of(const char *name)
{
    return !strncmp(name, "blk.", 4) && name[4] >= '0' && name[4] <= '9'
               ? strtol(name + 4, NULL, 10)
               : -1;
}

int wk_mix_order(const char *a, const char *b)
{
    long x = layer_of(a), y = layer_of(b);
    return x != y ? (x > y) - (x < y) : strcmp(a, b);
}

/* ---- Choosing ------------------------------------------------------------ */

static int place(int64_t i, int64_t n)
{
    int     when = 0;
    int64_t eighth = n / 8;
    bool    ends = i < eighth || i >= 7 * n / 8;
    when |= i < 2 ? FIRST_TWO : 0;
    when |= i < 4 ? FIRST_FOUR : 0;
    when |= i < n / 16 ? FIRST_16TH : 0;
    when |= i < eighth ? FIRST_8TH : 0;
    when |= ends ? 0 : MIDDLE;
    return when | (ends || (i - eighth) % 3 == 2 ? MORE : 0);
}

static int facts(const wk_mix *mix, const wk_mix_state *s, wk_shape shape)
{
    int64_t shared = s->kv_heads > 0 ? s->heads / s->kv_heads : 0;
    bool    falcon = !strcmp(s->architecture, "falcon");
    int     when = (shared >= 4 ? SHARED | WIDE : 0) | (s->experts >= 4 ? WIDE : 0);
    when |= s->experts == 8 ? EIGHT : NOT_EIGHT;
    when |= s->weighed ? WEIGHED : UNWEIGHED;
    when |= falcon ? FALCON : NOT_FALCON;
    when |= shape.dim[shape.rank - 1] % wk_dtype_block(mix->dtype) ? UNEVEN : 0;
    return when | (shape.rank > 2 && shape.dim[shape.rank - 3] > 1 ? STACKED : 0);
}

/* With 80 layers and fewer heads of values they are small, and worth more bits. */
static bool is_70b(const wk_mix_state *s)
{
    static const char *const of_80[] = { "qwen2", "deci", "olmo" };
    bool                     found = !strcmp(s->architecture, "llama") && s->heads != s->kv_heads;
    for (size_t i = 0; i < WK_COUNT(of_80); i++)
        found |= !strcmp(s->architecture, of_80[i]);
    return found && s->layers == 80;
}

wk_dtype wk_mix_type(const wk_mix *mix, wk_mix_state *s, const char *name, wk_shape shape)
{
    int      role = role_of(name, s->tied), when = facts(mix, s, shape);
    bool     low = mix->bit & LOW;
    int64_t *seen = role == V      ? &s->seen[0]
                    : role == DOWN ? &s->seen[1]
                    : role == GATE ? &s->seen[2]
                    : role == UP   ? &s->seen[3]
                                   : NULL;
    wk_dtype dtype = mix->dtype;
    if (seen) { /* experts need not come in the order of the layers */
        long layer = s->experts > 1 && role != V && !low ? layer_of(name) : -1;
        when |= place(layer >= 0 ? layer : *seen, role == V ? s->values : s->layers);
        ++*seen;
    }
    for (size_t i = 0; i < WK_COUNT(rules); i++)
        if ((rules[i].mixes & mix->bit) && (rules[i].roles & role) && !(rules[i].when & ~when)) {
            dtype = rules[i].dtype;
            break;
        }
    if (role == V && !low && is_70b(s) && (dtype == WK_Q3_K || dtype == WK_Q4_K))
        dtype = WK_Q5_K;
    return dtype;
}

wk_dtype wk_mix_fitting(wk_dtype dtype, int64_t width)
{
    static const uint8_t instead[WK_DTYPE_COUNT] = {
        [WK_IQ1_S] = WK_IQ4_NL,  [WK_IQ1_M] = WK_IQ4_NL,  [WK_IQ2_XXS] = WK_IQ4_NL,
        [WK_IQ2_XS] = WK_IQ4_NL, [WK_IQ2_S] = WK_IQ4_NL,  [WK_IQ3_XXS] = WK_IQ4_NL,
        [WK_IQ3_S] = WK_IQ4_NL,  [WK_IQ4_XS] = WK_IQ4_NL, [WK_Q2_0] = WK_Q4_0,
        [WK_Q2_K] = WK_Q4_0,     [WK_Q3_K] = WK_Q4_0,     [WK_TQ1_0] = WK_Q4_0,
        [WK_TQ2_0] = WK_Q4_0,    [WK_Q4_K] = WK_Q5_0,     [WK_Q5_K] = WK_Q5_1,
        [WK_Q6_K] = WK_Q8_0,
    };
    if (width % wk_dtype_block(dtype) && instead[dtype])
        dtype = instead[dtype];
    return width % wk_dtype_block(dtype) ? WK_F16 : dtype;
}
