// SPDX-License-Identifier: MIT OR Apache-2.0
/* decoder.c - decoder-only language models: embed, then layers of attention and a gated
 * MLP around a residual stream, then the logits.  decoder_table.c says how architectures
 * differ.
 *
 * The tokens of all timelines of a step are the rows of one matrix, [rows, width]; only
 * attention, which looks at each timeline's own cache, takes them apart. */
#include "models.h"

#include <stdio.h>

/* Those of GGUF files, if there are such. */
static const wk_decoder_names *names_in(const wk_decoder_row *row, wk_vars vars)
{
    if (wk_has(wk_at(vars, "%s", wk_gguf_names.embed), "weight"))
        return &wk_gguf_names;
    return row->names ? row->names : &wk_llama_names;
}

/* ---- Numbers: config.json ----------------------------------------------- */

static wk_act read_act(wk_conf *c)
{
    static const struct {
        const char *name;
        wk_act      act;
    } acts[] = {
        { "silu", WK_ACT_SILU },
        { "swish", WK_ACT_SILU },
        { "gelu", WK_ACT_GELU },
        { "gelu_new", WK_ACT_GELU_TANH },
        { "gelu_pytorch_tanh", WK_ACT_GELU_TANH },
        { "relu", WK_ACT_RELU },
    };
    const char *name = wk_conf_text(c, "hidden_act", "silu");
    for (size_t i = 0; i < WK_COUNT(acts); i++)
        if (!strcmp(name, acts[i].name))
            return acts[i].act;
    wk_fail(WK_ERR_UNSUPPORTED, "%s: unknown hidden_act %s", wk_conf_file(c), name);
    return WK_ACT_NONE;
}

/* Which layers see only the last tokens, and how many. */
static bool read_windows(wk_decoder_config *c, wk_conf *conf)
{
    bool    by_flag = c->row->window == WK_WINDOW_BY_FLAG;
    int64_t size = 0, first = 0;
    if (c->row->window != WK_WINDOW_NONE) /* null is none, but silence is transformers' default */
        size =
            wk_conf_int(conf, "sliding_window", wk_conf_named(conf, "sliding_window") ? 0 : 4096);
    if (by_flag) {
        first = wk_conf_int(conf, "max_window_layers", 28);
        if (!wk_conf_bool(conf, "use_sliding_window", false))
            size = 0;
    }
    c->window = wk_alloc_array((size_t)c->layers, sizeof *c->window);
    for (int64_t i = 0; c->window && i < c->layers; i++) {
        char key[40];
        snprintf(key, sizeof key, "layer_types.%lld", (long long)i);
        const char *type = wk_conf_text(conf, key, NULL);
        bool        local = type ? !strcmp(type, "sliding_attention") : i >= first;
        if (type && !local && strcmp(type, "full_attention"))
            wk_fail(WK_ERR_UNSUPPORTED, "%s: unknown layer type %s", wk_conf_file(conf), type);
        if (type && !by_flag && local != (size > 0))
            wk_fail(WK_ERR_UNSUPPORTED, "%s: %s is %s, which %s has not", wk_conf_file(conf), key,
                    type, c->row->type);
        c->window[i] = local && size > 0 ? size : 0;
    }
    return wk_ok();
}

static bool read_config(wk_decoder_config *c, wk_conf *conf)
{
    c->width = wk_conf_size(conf, "hidden_size", 0);
    c->layers = wk_conf_size(conf, "num_hidden_layers", 0);
    c->heads = wk_conf_size(conf, "num_attention_heads", 0);
    c->kv_heads = wk_conf_size(conf, "num_key_value_heads", c->heads);
    c->ffn = wk_conf_size(conf, "intermediate_size", 0);
    c->vocab = wk_conf_size(conf, "vocab_size", 0);
    c->context = wk_conf_size(conf, "max_position_embeddings", 2048);
    if (!wk_ok())
        return false;
    c->head_dim =
        wk_conf_size(conf, "head_dim", c->row->head_dim ? c->row->head_dim : c->width / c->heads);
    c->eps = wk_conf_number(conf, "rms_norm_eps", 1e-6);
    c->tied = wk_conf_bool(conf, "tie_word_embeddings", false);
    c->act = read_act(conf);
    c->attention_bias = wk_conf_bool(conf, "attention_bias", false);
    c->mlp_bias = wk_conf_bool(conf, "mlp_bias", false);
    if (wk_ok() && !(c->eps >= 0 && c->eps < 1))
        wk_fail(WK_ERR_FORMAT, "%s: rms_norm_eps is %g", wk_conf_file(conf), c->eps);
    if (wk_ok() && (c->heads % c->kv_heads || c->layers > 10000))
        wk_fail(WK_ERR_FORMAT, "%s: %lld layers with %lld heads for %lld of keys and values",
                wk_conf_file(conf), (long long)c->layers, (long long)c->heads,
                (long long)c->kv_heads);
    return wk_ok() && read_windows(c, conf) &&
           wk_rope_read(&c->rope, conf, c->head_dim, c->context);
}

/* ---- Weights ------------------------------------------------------------ */

static const wk_init spread = { .kind = WK_INIT_NORMAL,
                                .spread = 0.02 }; /* as transformers begins them */

static wk_tensor *norm_at(wk_vars at, const char *name, int64_t width)
{
    wk_vars here = wk_at(at, "%s", name);
    return wk_rms_norm_new(here, width);
}

/* A norm that only some models have. */
static wk_tensor *norm_if(wk_vars at, const char *name, int64_t width, bool wanted)
{
    return wanted || wk_has(wk_at(at, "%s", name), "weight") ? norm_at(at, name, width) : NULL;
}

/* order: as in wk_quantized_load() */
static wk_layer linear_at(const wk_decoder *d, wk_vars at, const char *name, int64_t in,
                          int64_t out, bool loose, bool biased, wk_tensor **order)
{
    wk_vars  here = wk_at(at, "%s", name);
    wk_scope scope = wk_mark();
    wk_layer p = { 0 };
    if (wk_quantized_load(&d->quantization, here, in, out, order))
        p.weight = wk_param(here, "weight", WK_SHAPE(out, in), spread);
    wk_tensor *packed = loose ? p.weight : wk_pack(p.weight);
    if (packed != p.weight)
        p.weight = wk_store_replace(at.store, wk_at(here, "weight").path, packed);
    if (biased || wk_has(here, "bias"))
        p.bias = wk_param(here, "bias", WK_SHAPE(out), (wk_init){ 0 });
    wk_sweep(scope);
    return p;
}

static bool make_layer(wk_decoder *d, wk_decoder_layer *l, wk_vars at)
{
    const wk_decoder_names  *n = d->names;
    const wk_decoder_config *c = &d->c;
    int64_t       w = c->width, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const int64_t size[WK_PROJECTIONS][2] = {
        [WK_Q] = { w, q },         [WK_K] = { w, kv },        [WK_V] = { w, kv },
        [WK_O] = { q, w },         [WK_GATE] = { w, c->ffn }, [WK_UP] = { w, c->ffn },
        [WK_DOWN] = { c->ffn, w },
    };
    *l = (wk_decoder_layer){
        .of = d,
        .attn_in = norm_at(at, n->attn_in, w),
        .q_norm = norm_if(at, n->q_norm, c->head_dim, d->fresh && c->row->qk_norm),
        .k_norm = norm_if(at, n->k_norm, c->head_dim, d->fresh && c->row->qk_norm),
        .mlp_in = norm_at(at, n->mlp_in, w),
    };
    for (int i = 0; i < WK_PROJECTIONS; i++) {
        bool biased =
            i >= WK_GATE ? c->mlp_bias : c->attention_bias || (i < WK_O && c->row->qkv_bias);
        wk_projection *p = &l->projection[i];
        p->own = linear_at(d, at, n->projection[i], size[i][0], size[i][1], d->train,
                           d->fresh && biased, &p->order);
    }
    return wk_ok();
}

wk_vars wk_decoder_layer_at(const wk_decoder *d, wk_vars root, int layer)
{
    char name[64];
    snprintf(name, sizeof name, d->names->layer, layer);
    return wk_at(root, "%s", name);
}

wk_vars wk_decoder_projection_at(const wk_decoder *d, wk_vars layer, int which)
{
    return wk_at(layer, "%s", d->names->projection[which]);
}

static bool make_weights(wk_decoder *d, wk_vars vars)
{
    const wk_decoder_names *n = d->names;
    wk_decoder_config      *c = &d->c;
    wk_progress             progress;
    wk_vars                 embed = wk_at(vars, "%s", n->embed);
    wk_quantized_load(&d->quantization, embed, c->width, c->vocab, NULL);
    d->embed = wk_param(embed, "weight", WK_SHAPE(c->vocab, c->width), spread);
    d->layer = wk_alloc_array((size_t)c->layers, sizeof *d->layer);
    wk_progress_start(&progress, "loading", (double)c->layers);
    for (int64_t i = 0; wk_ok() && i < c->layers; i++) {
        make_layer(d, &d->layer[i], wk_decoder_layer_at(d, vars, (int)i));
        wk_progress_at(&progress, (double)(i + 1));
    }
    wk_progress_end(&progress);
    d->norm = norm_at(vars, n->norm, c->width);
    if (c->tied) {
        /* whose rows are read, too: only blocks are packed such that this is no trouble */
        bool     loose = d->train || wk_dtype_block(wk_dtype_of(d->embed)) == 1;
        wk_layer head = linear_at(d, vars, n->embed, c->width, c->vocab, loose, false, NULL);
        d->embed = d->head.weight = head.weight;
    } else {
        d->head = linear_at(d, vars, n->head, c->width, c->vocab, d->train, false, NULL);
    }
    wk_dtype stored = wk_dtype_of(d->layer ? d->layer[0].projection[WK_Q].own.weight : NULL);
    d->cache = wk_dtype_block(stored) > 1              ? WK_F16
               : stored == WK_F16 || stored == WK_BF16 ? stored
                                                       : WK_F32;
    return wk_ok();
}

wk_decoder *wk_decoder_new(const wk_decoder_row *row, wk_conf *conf, wk_vars vars, bool train,
                           bool fresh)
{
    wk_decoder *d = wk_ok() ? wk_alloc(sizeof *d) : NULL;
    if (!d)
        return NULL;
    d->c.row = row;
    d->train = train;
    d->fresh = fresh;
    d->names = names_in(row, vars);
    d->c.pairs = row->pairs && d->names == &wk_gguf_names;
    if (read_config(&d->c, conf) && wk_quantization_read(&d->quantization, conf) &&
        make_weights(d, vars))
        return d;
    wk_decoder_free(d);
    return NULL;
}

void wk_decoder_free(wk_decoder *d)
{
    if (!d)
        return;
    wk_rope_free(&d->c.rope);
    wk_free(d->c.window);
    wk_free(d->layer);
    wk_free(d);
}

/* ---- One pass ----------------------------------------------------------- */

typedef struct {
    const wk_decoder *d;
    int64_t           b, t;      /* rows are b x t; with segments b is 1 */
    wk_tensor        *cos, *sin; /* of the rows of t */
    const wk_segment *segment;   /* NULL: no cache, b texts of t tokens */
    int               segments;
    double            dropout; /* while training: of what is added to the residual stream */
    bool              recompute;
    const wk_watch   *watch; /* NULL: nobody looks */
} pass;

/* [rows, n * d] -> [b, n, t, d], a view */
static wk_tensor *heads(const pass *p, wk_tensor *x, int64_t n)
{
    return wk_permute(wk_reshape(x, p->b, p->t, n, p->d->c.head_dim), 0, 2, 1, 3);
}

/* Attention of one segment's rows of q, k, v to its cache. */
static wk_tensor *cached(const pass *p, int i, const wk_segment *s, wk_tensor *q, wk_tensor *k,
                         wk_tensor *v)
{
    const wk_kv *kv = &s->kv[i];
    int64_t      end = s->position + s->count;
    wk_write(kv->k, k, 2, s->position);
    wk_write(kv->v, v, 2, s->position);
    return wk_attention(q, wk_narrow(kv->k, 2, 0, end), wk_narrow(kv->v, 2, 0, end), .causal = true,
                        .window = p->d->c.window[i]);
}

static wk_tensor *attend(const pass *p, int i, wk_tensor *q, wk_tensor *k, wk_tensor *v)
{
    if (!p->segment)
        return wk_attention(q, k, v, .causal = true, .window = p->d->c.window[i]);
    if (p->segments == 1)
        return cached(p, i, p->segment, q, k, v);
    wk_tensor *y = wk_empty_of(wk_dtype_of(q), wk_shape_of(q)); // [1, heads, rows, d]
    int64_t    row = 0;
    for (int n = 0; n < p->segments; n++) {
        const wk_segment *s = &p->segment[n];
        int64_t           n_rows = s->count;
        wk_write(y,
                 cached(p, i, s, wk_narrow(q, 2, row, n_rows), wk_narrow(k, 2, row, n_rows),
                        wk_narrow(v, 2, row, n_rows)),
                 2, row);
        row += s->count;
    }
    return y;
}

static wk_tensor *adapted(wk_tensor *x, const wk_projection *p, wk_tensor *y)
{
    if (!p->a)
        return y;
    wk_tensor *h = wk_linear(x, (wk_layer){ p->a, NULL }); // [rows, rank]
    return wk_linear_add(wk_scale(h, p->scale), (wk_layer){ p->b, NULL }, y);
}

/* x as the columns of the weight are. */
static wk_tensor *ordered(wk_tensor *x, const wk_projection *p)
{
    return p->order ? wk_index_select(x, -1, p->order) : x;
}

static wk_tensor *project(wk_tensor *x, const wk_projection *p)
{
    return adapted(x, p, wk_linear(ordered(x, p), p->own));
}

static wk_tensor *project_add(wk_tensor *x, const wk_projection *p, wk_tensor *y)
{
    return adapted(x, p, wk_linear_add(ordered(x, p), p->own, y));
}

/* y and what a layer adds to it. */
static wk_tensor *join(const pass *p, wk_tensor *x, const wk_projection *w, wk_tensor *y)
{
    return p->dropout > 0 ? wk_add(y, wk_dropout(project(x, w), p->dropout)) : project_add(x, w, y);
}

/* Queries, keys and values of x, [rows, n * d] each. */
static void project_qkv(wk_tensor *x, const wk_projection *w, wk_tensor *y[3])
{
    wk_layer own[3];
    bool     plain = true;
    for (int i = 0; i < 3; i++) {
        own[i] = w[WK_Q + i].own;
        plain &= !w[WK_Q + i].a && !w[WK_Q + i].order;
    }
    wk_tensor *all = plain ? wk_linear_cat(x, own, 3) : NULL;
    int64_t    first = 0;
    for (int i = 0; i < 3; i++) {
        int64_t n = wk_ok() ? wk_dim(own[i].weight, 0) : 0;
        y[i] = plain ? wk_narrow(all, 1, first, n) : project(x, &w[WK_Q + i]);
        first += n;
    }
}

static wk_tensor *project_glu(wk_tensor *x, const wk_projection *gate, const wk_projection *up,
                              wk_act act)
{
    if (!gate->a && !up->a && !gate->order && !up->order)
        return wk_linear_glu(x, gate->own, up->own, act);
    return wk_glu(project(x, gate), project(x, up), act);
}

/* What goes into linear layers of layer i, shown to who watches. */
static wk_tensor *shown(const pass *p, int i, int which, wk_tensor *x)
{
    if (p->watch && wk_ok())
        p->watch->see(i, which, x, p->watch->user);
    return x;
}

static wk_tensor *block(const pass *p, int i, wk_tensor *x)
{
    const wk_decoder_config *c = &p->d->c;
    const wk_decoder_layer  *l = &p->d->layer[i];
    const wk_projection     *w = l->projection;
    wk_tensor               *qkv[3], *h = shown(p, i, WK_Q, wk_rms_norm(x, l->attn_in, c->eps));
    project_qkv(h, w, qkv);
    wk_tensor *q = heads(p, qkv[0], c->heads);    // [b, h, t, d]
    wk_tensor *k = heads(p, qkv[1], c->kv_heads); // [b, g, t, d]
    wk_tensor *v = heads(p, qkv[2], c->kv_heads);
    if (l->q_norm)
        q = wk_rms_norm(q, l->q_norm, c->eps);
    if (l->k_norm)
        k = wk_rms_norm(k, l->k_norm, c->eps);
    q = wk_rope(q, p->cos, p->sin, c->pairs);
    k = wk_rope(k, p->cos, p->sin, c->pairs);
    wk_tensor *y = wk_permute(attend(p, i, q, k, v), 0, 2, 1, 3); // [b, t, h, d]
    y = shown(p, i, WK_O, wk_reshape(y, p->b * p->t, c->heads * c->head_dim));
    x = join(p, y, &w[WK_O], x);
    h = shown(p, i, WK_GATE, wk_rms_norm(x, l->mlp_in, c->eps));
    h = shown(p, i, WK_DOWN, project_glu(h, &w[WK_GATE], &w[WK_UP], c->act));
    return join(p, h, &w[WK_DOWN], x);
}

/* A layer that only its operands are kept of: x, cos, sin, and the rate of dropout. */
static wk_tensor *run_again(wk_tensor *const *in, void *user)
{
    const wk_decoder_layer *l = user;
    int64_t                 t = wk_dim(in[1], 0);
    pass                    p = { .d = l->of,
                                  .b = wk_dim(in[0], 0) / t,
                                  .t = t,
                                  .cos = in[1],
                                  .sin = in[2],
                                  .dropout = wk_item(in[3]) };
    return block(&p, (int)(l - l->of->layer), in[0]);
}

static wk_tensor *layer(const pass *p, int i, wk_tensor *x)
{
    if (!p->recompute)
        return block(p, i, x);
    return wk_checkpoint(.run = run_again, .in = { x, p->cos, p->sin, wk_scalar(p->dropout) },
                         .user = &p->d->layer[i]);
}

/* ids [rows] -> what the last layer leaves, [rows, width] */
static wk_tensor *layers(const pass *p, wk_tensor *ids)
{
    wk_scope   scope = wk_mark();
    wk_tensor *x = wk_cast(wk_embedding(ids, p->d->embed), WK_F32);
    x = p->dropout > 0 ? wk_dropout(x, p->dropout) : x;
    for (int i = 0; i < p->d->c.layers && wk_ok(); i++)
        x = wk_yield(scope, layer(p, i, x));
    return wk_yield(scope, x);
}

static wk_tensor *logits(const wk_decoder *d, wk_tensor *x)
{
    return wk_linear(wk_rms_norm(x, d->norm, d->c.eps), d->head);
}

/* ---- Steps -------------------------------------------------------------- */

/* Tokens and rotary tables of all segments' rows. */
static wk_tensor *gather_rows(pass *p)
{
    const wk_rope_config *r = &p->d->c.rope;
    int64_t               half = r->dims / 2, row = 0;
    size_t                numbers = (size_t)(p->t * half);
    int64_t              *ids = wk_alloc_array((size_t)p->t, sizeof *ids);
    float                *cos = wk_alloc_array(2 * numbers, sizeof *cos), *sin = cos + numbers;
    wk_tensor            *x = NULL;
    for (int n = 0; ids && cos && n < p->segments; n++) {
        const wk_segment *s = &p->segment[n];
        wk_rope_fill(r, s->position, s->count, s->length, cos + row * half, sin + row * half);
        for (int64_t i = 0; i < s->count; i++)
            ids[row++] = s->tokens[i];
    }
    if (ids && cos) {
        x = wk_from_i64(WK_SHAPE(p->t), ids);
        p->cos = wk_from_f32(WK_SHAPE(p->t, half), cos);
        p->sin = wk_from_f32(WK_SHAPE(p->t, half), sin);
    }
    wk_free(ids);
    wk_free(cos);
    return x;
}

/* The last row of each segment. */
static wk_tensor *last_rows(const pass *p, wk_tensor *x)
{
    if (p->segments == 1)
        return wk_narrow(x, 0, p->t - 1, 1);
    int64_t *last = wk_alloc_array((size_t)p->segments, sizeof *last), row = 0;
    for (int n = 0; last && n < p->segments; n++) {
        row += p->segment[n].count;
        last[n] = row - 1;
    }
    x = last ? wk_index_select(x, 0, wk_from_i64(WK_SHAPE(p->segments), last)) : NULL;
    wk_free(last);
    return x;
}

wk_tensor *wk_decoder_step(const wk_decoder *d, const wk_segment *segments, int n, bool all)
{
    pass     p = { .d = d, .b = 1, .segment = segments, .segments = n };
    wk_scope scope = wk_mark();
    bool     before = wk_no_grad(true);
    for (int i = 0; i < n; i++)
        p.t += segments[i].count;
    wk_tensor *x = layers(&p, gather_rows(&p));
    x = logits(d, all ? x : last_rows(&p, x));
    wk_no_grad(before);
    return wk_yield(scope, x);
}

/* Whole texts, without a cache. */
static bool begin(pass *p, wk_tensor *ids)
{
    const wk_rope_config *r = &p->d->c.rope;
    p->b = wk_dim(ids, 0);
    p->t = wk_dim(ids, 1);
    int64_t half = r->dims / 2;
    size_t  numbers = (size_t)(p->t * half);
    float  *cos = wk_alloc_array(2 * numbers, sizeof *cos);
    if (!cos)
        return false;
    wk_rope_fill(r, 0, p->t, p->t, cos, cos + numbers);
    p->cos = wk_from_f32(WK_SHAPE(p->t, half), cos);
    p->sin = wk_from_f32(WK_SHAPE(p->t, half), cos + numbers);
    wk_free(cos);
    return wk_ok();
}

wk_tensor *wk_decoder_logits(const wk_decoder *d, wk_tensor *ids, double dropout, bool recompute)
{
    if (wk_ok() && wk_rank(ids) != 2)
        wk_fail(WK_ERR_SHAPE, "logits: the ids are not [b, t]");
    if (!wk_ok())
        return NULL;
    wk_scope   scope = wk_mark();
    pass       p = { .d = d, .dropout = dropout, .recompute = recompute };
    wk_tensor *x = begin(&p, ids) ? logits(d, layers(&p, wk_reshape(ids, -1))) : NULL;
    return wk_yield(scope, x ? wk_reshape(x, p.b, p.t, d->c.vocab) : NULL);
}

bool wk_decoder_watch(const wk_decoder *d, wk_tensor *ids, const wk_watch *watch)
{
    wk_scope scope = wk_mark();
    pass     p = { .d = d, .watch = watch };
    bool     before = wk_no_grad(true);
    if (wk_ok() && begin(&p, ids))
        layers(&p, wk_reshape(ids, -1));
    wk_no_grad(before);
    wk_sweep(scope);
    return wk_ok();
}
