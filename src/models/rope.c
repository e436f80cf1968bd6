// SPDX-License-Identifier: MIT OR Apache-2.0
/* rope.c - rotary tables: the frequencies of config.json and its ways to stretch them.
 *
 * Frequency i of n/2 is theta^(-2i/n).  Texts longer than those a model was trained on
 * need lower ones; how much lower is what the kinds differ in:
 *   linear    all divided by a factor (kaiokendev, 2023)
 *   dynamic   theta grows with the length of the text (NTK scaling; bloc97, 2023)
 *   yarn      low frequencies divided, high ones kept, a ramp between (Peng et al., 2023)
 *   longrope  each divided by a factor of its own (Ding et al., 2024)
 *   llama3    as yarn, with another ramp (Llama 3.1, 2024)
 * Frequencies and angles are rounded to f32 where the reference rounds them. */
#include "models.h"

#include <math.h>
#include <stdio.h>

static const double PI = 3.14159265358979323846;

/* ---- From config.json --------------------------------------------------- */

static const struct {
    const char  *name;
    wk_rope_kind kind;
} kinds[] = {
    { "default", WK_ROPE_DEFAULT }, { "linear", WK_ROPE_LINEAR }, { "dynamic", WK_ROPE_DYNAMIC },
    { "yarn", WK_ROPE_YARN },       { "longrope", WK_ROPE_LONG }, { "su", WK_ROPE_LONG },
    { "llama3", WK_ROPE_LLAMA3 },
};

/* The parameters lie under rope_parameters, or in older files rope_scaling. */
static const char *full(const char *group, const char *key, char name[64])
{
    snprintf(name, 64, "%s.%s", group, key);
    return name;
}

static float *read_list(wk_conf *c, const char *group, const char *key, int64_t count)
{
    float *list = wk_alloc_array((size_t)count, sizeof *list);
    char   name[96];
    for (int64_t i = 0; list && i < count && wk_ok(); i++) {
        snprintf(name, sizeof name, "%s.%s.%lld", group, key, (long long)i);
        double x = wk_conf_number(c, name, 0);
        if (wk_ok() && !(x > 0))
            wk_fail(WK_ERR_FORMAT, "%s: %s.%s has not %lld factors", wk_conf_file(c), group, key,
                    (long long)count);
        list[i] = (float)x;
    }
    return list;
}

static double yarn_magnitude(double factor, double scale)
{
    return factor > 1 ? 0.1 * scale * log(factor) + 1 : 1;
}

static void read_kind(wk_rope_config *r, wk_conf *c, const char *group)
{
    char        key[64];
    const char *type = wk_conf_text(c, full(group, "rope_type", key), NULL);
    const char *old = wk_conf_text(c, full(group, "type", key), NULL);
    type = type ? type : old ? old : "default";
    for (size_t i = 0; i < WK_COUNT(kinds); i++)
        if (!strcmp(type, kinds[i].name)) {
            r->kind = kinds[i].kind;
            return;
        }
    wk_fail(WK_ERR_UNSUPPORTED, "%s: unknown kind of rope scaling: %s", wk_conf_file(c), type);
}

static void read_scaling(wk_rope_config *r, wk_conf *c, const char *group)
{
    char key[64];
    r->original_context =
        wk_conf_int(c, full(group, "original_max_position_embeddings", key), r->original_context);
    double ratio = (double)r->context / (double)r->original_context;
    bool   may_lack = r->kind == WK_ROPE_YARN || r->kind == WK_ROPE_LONG;
    r->factor = wk_conf_number(c, full(group, "factor", key), may_lack ? ratio : 0);
    double given = wk_conf_number(c, full(group, "attention_factor", key), 0);
    if (r->kind == WK_ROPE_YARN) {
        r->high = wk_conf_number(c, full(group, "beta_fast", key), 32);
        r->low = wk_conf_number(c, full(group, "beta_slow", key), 1);
        r->truncate = wk_conf_bool(c, full(group, "truncate", key), true);
        double one = wk_conf_number(c, full(group, "mscale", key), 0);
        double all = wk_conf_number(c, full(group, "mscale_all_dim", key), 0);
        r->magnitude = one != 0 && all != 0
                           ? yarn_magnitude(r->factor, one) / yarn_magnitude(r->factor, all)
                           : yarn_magnitude(r->factor, 1);
    } else if (r->kind == WK_ROPE_LONG) {
        r->short_factor = read_list(c, group, "short_factor", r->dims / 2);
        r->long_factor = read_list(c, group, "long_factor", r->dims / 2);
        if (r->factor > 1)
            r->magnitude = sqrt(1 + log(r->factor) / log((double)r->original_context));
    } else if (r->kind == WK_ROPE_LLAMA3) {
        r->low = wk_conf_number(c, full(group, "low_freq_factor", key), 1);
        r->high = wk_conf_number(c, full(group, "high_freq_factor", key), 4);
    }
    if (given != 0 && may_lack)
        r->magnitude = given;
    if (wk_ok() && (!(r->factor > 0) || r->original_context < 1))
        wk_fail(WK_ERR_FORMAT, "%s: %s has no usable factor", wk_conf_file(c), group);
}

bool wk_rope_read(wk_rope_config *r, wk_conf *c, int64_t head_dim, int64_t context)
{
    bool old = wk_conf_has(c, "rope_scaling.rope_type") || wk_conf_has(c, "rope_scaling.type");
    const char *group = old ? "rope_scaling" : "rope_parameters";
    char        key[64];
    double      partial = wk_conf_number(c, "partial_rotary_factor", 1);
    partial = wk_conf_number(c, full(group, "partial_rotary_factor", key), partial);
    if (wk_ok() && !(partial > 0 && partial <= 1))
        wk_fail(WK_ERR_FORMAT, "%s: partial_rotary_factor is %g", wk_conf_file(c), partial);
    if (!wk_ok())
        return false;
    *r = (wk_rope_config){ .dims = (int64_t)((double)head_dim * partial),
                           .magnitude = 1,
                           .context = context };
    r->original_context = wk_conf_int(c, "original_max_position_embeddings", context);
    r->theta = wk_conf_number(c, "rope_theta", 10000);
    r->theta = wk_conf_number(c, full(group, "rope_theta", key), r->theta);
    if (wk_ok() && (!(r->theta > 1) || r->dims < 2 || r->dims > head_dim || r->dims % 2))
        wk_fail(WK_ERR_FORMAT, "%s: rope_theta %g, %lld of %lld numbers of a head", wk_conf_file(c),
                r->theta, (long long)r->dims, (long long)head_dim);
    read_kind(r, c, group);
    if (wk_ok() && r->kind != WK_ROPE_DEFAULT)
        read_scaling(r, c, group);
    return wk_ok();
}

void wk_rope_free(wk_rope_config *r)
{
    wk_free(r->short_factor);
    wk_free(r->long_factor);
}

/* ---- Frequencies -------------------------------------------------------- */

/* The dimension that turns so many times in the original context. */
static double yarn_limit(const wk_rope_config *r, double turns)
{
    return (double)r->dims * log((double)r->original_context / (turns * 2 * PI)) /
           (2 * log(r->theta));
}

/* 1 where a frequency is kept, 0 where it is divided by the factor. */
static double yarn_keep(const wk_rope_config *r, int64_t i)
{
    double low = yarn_limit(r, r->high), high = yarn_limit(r, r->low);
    if (r->truncate)
        low = floor(low), high = ceil(high);
    low = fmax(low, 0);
    high = fmin(high, (double)r->dims - 1);
    if (low == high)
        high += 0.001;
    return 1 - fmin(fmax(((double)i - low) / (high - low), 0), 1);
}

static double llama3_keep(const wk_rope_config *r, double frequency)
{
    double turns = (double)r->original_context * frequency / (2 * PI);
    return fmin(fmax((turns - r->low) / (r->high - r->low), 0), 1);
}

int wk_rope_class(const wk_rope_config *r, int64_t length)
{
    return r->kind == WK_ROPE_LONG && length > r->original_context;
}

static float frequency(const wk_rope_config *r, int64_t i, int64_t length)
{
    double n = (double)r->dims, theta = r->theta;
    if (r->kind == WK_ROPE_DYNAMIC && length > r->context)
        theta *=
            pow(r->factor * (double)length / (double)r->context - (r->factor - 1), n / (n - 2));
    double f = (double)(1 / powf((float)theta, (float)(2 * i) / (float)n)), keep = 0;
    switch (r->kind) {
    case WK_ROPE_DEFAULT:
    case WK_ROPE_DYNAMIC:
        return (float)f;
    case WK_ROPE_LONG:
        return (float)(f / (double)(length > r->original_context ? r->long_factor
                                                                 : r->short_factor)[i]);
    case WK_ROPE_LINEAR:
        break;
    case WK_ROPE_YARN:
        keep = yarn_keep(r, i);
        break;
    case WK_ROPE_LLAMA3:
        keep = llama3_keep(r, f);
        break;
    }
    return (float)(f * keep + f / r->factor * (1 - keep));
}

float wk_rope_divisor(const wk_rope_config *r, int64_t i)
{
    wk_rope_config plain = *r;
    plain.kind = WK_ROPE_DEFAULT;
    return frequency(&plain, i, 1) / frequency(r, i, 1);
}

void wk_rope_fill(const wk_rope_config *r, int64_t first, int64_t count, int64_t length, float *co,
                  float *si)
{
    int64_t half = r->dims / 2;
    for (int64_t i = 0; i < half; i++) {
        float f = frequency(r, i, length);
        for (int64_t t = 0; t < count; t++) {
            float angle = (float)(first + t) * f;
            co[t * half + i] = (float)(cos((double)angle) * r->magnitude);
            si[t * half + i] = (float)(sin((double)angle) * r->magnitude);
        }
    }
}
