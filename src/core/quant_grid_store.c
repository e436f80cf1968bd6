// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_grid_store.c - rows of f32 to blocks of IQ1, IQ2 and IQ3.
 *
 * Numbers are rounded to digits by themselves; where the point with these digits is not
 * on the grid, the best of those near it is taken.  Which are near is a table for each
 * grid, made before its first use.  The bits are those of llama.cpp, but for blocks of iq3_s
 * with a group of zeros, behind which it loses its place. */
#include "quant.h"

#include <float.h>
#include <math.h>
#include <pthread.h>

enum { CODES = 6561, MAX_POINTS = 2048, MAX_GROUP = 32 };

/* ---- What is near ------------------------------------------------------- */

/* For each code, of digits in the base of the grid: the index of the point, or, less than
 * 0, -1 - where in list the points near it begin, after their count. */
static int32_t   places[WK_GRID_COUNT][CODES];
static uint16_t *lists[WK_GRID_COUNT];

static int code_of(const wk_grid *g, const uint8_t *digit)
{
    int code = 0;
    for (int d = g->digits; d-- > 0;)
        code = code * g->base + digit[d];
    return code;
}

static void digits_of(const wk_grid *g, int index, uint8_t *digit)
{
    for (int d = 0; d < g->digits; d++)
        digit[d] = (uint8_t)(g->points[index] >> d * g->bits & ((1 << g->bits) - 1));
}

/* Adds the points in the nearest `shells` distances from a code, by distance and index. */
static bool add_near(const wk_grid *g, int code, int shells, uint16_t **list, size_t *size,
                     size_t *room)
{
    uint16_t distance[MAX_POINTS];
    uint8_t  digit[8];
    if (!wk_reserve(list, room, *size + 1 + (size_t)g->count, sizeof **list))
        return false;
    for (int i = 0; i < g->count; i++) {
        int sum = 0;
        digits_of(g, i, digit);
        for (int d = 0, rest = code; d < g->digits; d++, rest /= g->base)
            sum += (digit[d] - rest % g->base) * (digit[d] - rest % g->base);
        distance[i] = (uint16_t)sum;
    }
    size_t start = (*size)++;
    for (int shell = 0, above = 0; shell < shells; shell++) {
        int least = INT16_MAX;
        for (int i = 0; i < g->count; i++)
            if (distance[i] > above && distance[i] < least)
                least = distance[i];
        for (int i = 0; i < g->count; i++)
            if (distance[i] == least)
                (*list)[(*size)++] = (uint16_t)i;
        above = least;
    }
    (*list)[start] = (uint16_t)(*size - start - 1);
    return true;
}

static bool prepare(int grid)
{
    static const int8_t shells[WK_GRID_COUNT] = { 2, 2, 1, 3, 2, 3 };
    const wk_grid      *g = &wk_grids[grid];
    uint8_t             digit[8];
    size_t              size = 0, room = 0;
    uint16_t           *list = NULL;
    int32_t            *place = places[grid];
    int                 codes = g->base == 3 ? CODES : 4096;
    wk_grids_expand();
    memset(place, -1, sizeof places[grid]);
    for (int i = 0; i < g->count; i++) {
        digits_of(g, i, digit);
        place[code_of(g, digit)] = i;
    }
    for (int code = 0; code < codes; code++) {
        if (place[code] >= 0)
            continue;
        place[code] = -1 - (int32_t)size;
        if (!add_near(g, code, shells[grid], &list, &size, &room)) {
            wk_free(list);
            return false;
        }
    }
    lists[grid] = list;
    return true;
}

bool wk_grid_prepare(int grid)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    bool good = lists[grid] || prepare(grid);
    pthread_mutex_unlock(&lock);
    return good;
}

/* The index of the point with these digits, or of the best one near, whose digits they
 * become: the least weighted square of scale * level[digit] - x. */
static int settle(int grid, uint8_t *digit, const float *x, const float *weight, float scale,
                  const float *level, bool *on)
{
    const wk_grid *g = &wk_grids[grid];
    int32_t        place = places[grid][code_of(g, digit)];
    *on = place >= 0;
    if (*on)
        return place;
    const uint16_t *near = lists[grid] - 1 - place;
    int             index = near[1];
    float           best = FLT_MAX;
    for (int i = 1; i <= near[0]; i++) {
        float    sum = 0;
        unsigned rest = g->points[near[i]], mask = (1u << g->bits) - 1;
        for (int d = 0; d < g->digits && sum < best; d++, rest >>= g->bits) {
            float off = scale * level[rest & mask] - x[d];
            sum += weight[d] * off * off;
        }
        if (sum < best)
            best = sum, index = near[i];
    }
    digits_of(g, index, digit);
    return index;
}

/* ---- IQ2 and IQ3 -------------------------------------------------------- */

enum { OFF_GRID, ALL_IF_ANY_OFF, ALL }; /* which cells are settled again at the end */

typedef struct {               /* a block before it is packed */
    uint8_t low[64], high[64]; /* of the indices */
    uint8_t signs[32], scale[16];
} parts;

static void put_nibbles(uint8_t *b, int at, const parts *p, int n)
{
    wk_fields_put(b, p->scale, n, (wk_fields){ (uint8_t)at, 4, 1 }, 0);
}

/* Four times seven signs, and a scale above. */
static void put_words(uint8_t *word, int stride, const parts *p)
{
    for (int g = 0; g < 8; g++, word += stride) {
        uint32_t u = (uint32_t)p->scale[g] << 28;
        for (int k = 0; k < 4; k++)
            u |= (uint32_t)p->signs[4 * g + k] << 7 * k;
        for (int i = 0; i < 4; i++)
            word[i] = (uint8_t)(u >> 8 * i);
    }
}

static void put_iq2_xxs(uint8_t *b, const parts *p)
{
    for (int k = 0; k < 32; k++)
        b[2 + k / 4 * 8 + k % 4] = p->low[k];
    put_words(b + 6, 8, p);
}

static void put_iq3_xxs(uint8_t *b, const parts *p)
{
    memcpy(b + 2, p->low, 64);
    put_words(b + 66, 4, p);
}

static void put_iq2_xs(uint8_t *b, const parts *p)
{
    for (int k = 0; k < 32; k++) {
        b[2 + 2 * k] = p->low[k];
        b[3 + 2 * k] = (uint8_t)(p->high[k] | p->signs[k] << 1);
    }
    put_nibbles(b, 66, p, 16);
}

static void put_iq2_s(uint8_t *b, const parts *p)
{
    memcpy(b + 2, p->low, 32);
    memcpy(b + 34, p->signs, 32);
    wk_fields_put(b, p->high, 32, (wk_fields){ 66, 2, 1 }, 0);
    put_nibbles(b, 74, p, 16);
}

static void put_iq3_s(uint8_t *b, const parts *p)
{
    memcpy(b + 2, p->low, 64);
    memcpy(b + 74, p->signs, 32);
    wk_fields_put(b, p->high, 64, (wk_fields){ 66, 1, 1 }, 0);
    put_nibbles(b, 106, p, 8);
}

typedef struct {
    int   reach; /* scales tried on each side of the one that fits ... */
    float step;  /* ... and how far apart */
    bool  even;  /* of eight signs seven are kept */
    bool  fit;   /* the first scale is searched, not that of the largest number */
    int   again;
    float base;    /* of the weights without importance, times the mean square */
    float nothing; /* numbers below are 0 */
    float mean;    /* times the mean square: of the weights with importance */
    float correction;
    void (*put)(uint8_t *b, const parts *p);
} tuning;

static const tuning tunings[WK_GRID_COUNT] = {
    [WK_GRID_IQ2_XXS] = { 6, 0.1f, true, true, ALL, 0, 1e-15f, 1, 1, put_iq2_xxs },
    [WK_GRID_IQ2_XS] = { 9, 0.1f, true, false, OFF_GRID, 0, 1e-15f, 1, 1, put_iq2_xs },
    [WK_GRID_IQ2_S] = { 9, 0.1f, false, false, OFF_GRID, 0.25f, 1e-8f, 2, 0.9875f, put_iq2_s },
    [WK_GRID_IQ3_XXS] = { 15, 0.2f, true, false, OFF_GRID, 0, 1e-8f, 2, 1.0125f, put_iq3_xxs },
    [WK_GRID_IQ3_S] = { 9, 0.2f, false, false, ALL_IF_ANY_OFF, 0, FLT_MIN, 2, 1.033f, put_iq3_s },
};

typedef struct { /* a group on its way: magnitudes and their weights */
    int     grid, n;
    float   x[MAX_GROUP], weight[MAX_GROUP], root[MAX_GROUP]; /* of the weight */
    uint8_t digit[MAX_GROUP];
    bool    on[MAX_GROUP / 4]; /* the grid, before they were settled */
} group;

static const float odd[8] = { 1, 3, 5, 7, 9, 11, 13, 15 }; /* the levels of the search */

/* Digits for a scale; of all cells, or of those that are off the grid. */
static void snap(group *p, float factor, float scale, bool all)
{
    const wk_grid *g = &wk_grids[p->grid];
    for (int i = 0; i < p->n; i += g->digits) {
        bool *on = &p->on[i / g->digits];
        if (*on && !all)
            continue;
        for (int d = i; d < i + g->digits; d++)
            p->digit[d] = (uint8_t)wk_nearest_in(0.5f * (factor * p->x[d] - 1), 0, g->base - 1);
        settle(p->grid, p->digit + i, p->x + i, p->root + i, scale, odd, on);
    }
}

static void fit(const group *p, float *xq, float *qq)
{
    *xq = *qq = 0;
    for (int i = 0; i < p->n; i++) {
        float q = odd[p->digit[i]];
        *xq += p->weight[i] * p->x[i] * q;
        *qq += p->weight[i] * q * q;
    }
}

/* Sets the digits and gives the scale. */
static float search(group *p)
{
    const tuning *how = &tunings[p->grid];
    int           base = wk_grids[p->grid].base, cells = p->n / wk_grids[p->grid].digits, off = 0;
    float         most = p->x[0], best = 0, xq, qq;
    for (int i = 1; i < p->n; i++)
        most = p->x[i] > most ? p->x[i] : most;
    memset(p->digit, 0, sizeof p->digit);
    if (most < how->nothing)
        return 0;
    float scale = most / (float)(2 * base - 1);
    if (how->fit) {
        scale = wk_search_positive(p->x, p->n, base + 1, p->weight, p->digit);
        memset(p->digit, 0, sizeof p->digit);
        most = scale * (float)base;
        if (most <= 0)
            return 0;
    }
    memset(p->on, how->again == OFF_GRID, sizeof p->on);
    group other = *p;
    for (int i = -how->reach; i <= how->reach; i++) {
        float factor = ((float)(2 * base - 1) + (float)i * how->step) / most;
        snap(&other, factor, 1 / factor, true);
        fit(&other, &xq, &qq);
        if (qq > 0 && xq * xq > best * qq) {
            *p = other;
            scale = xq / qq;
            best = scale * xq;
        }
    }
    for (int k = 0; k < cells; k++)
        off += !p->on[k];
    if (scale > 0 && (off || how->again == ALL)) {
        snap(p, 1 / scale, scale, how->again != OFF_GRID);
        fit(p, &xq, &qq);
        scale = qq > 0 ? xq / qq : scale;
    }
    return scale;
}

/* Takes the signs off eight numbers: bits of those that were negative.  Where only seven
 * are kept, the one that matters least is turned to make their number even. */
static uint8_t take_signs(float *x, const float *weight, bool even)
{
    int      least = 0, count = 0;
    unsigned signs = 0;
    for (int i = 0; i < 8; i++) {
        if (weight[i] * x[i] * x[i] < weight[least] * x[least] * x[least])
            least = i;
        if (!(x[i] >= 0))
            signs |= 1u << i, count++;
    }
    for (int i = 0; i < 8; i++)
        x[i] = signs >> i & 1 ? -x[i] : x[i];
    if (even && count % 2) {
        x[least] = -x[least];
        signs ^= 1u << least;
    }
    return (uint8_t)(even ? signs & 127 : signs);
}

/* iq2_..., iq3_... */
void wk_store_grid(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    int            grid = t->grid - 1, n = t->group, groups = t->block / n;
    const tuning  *how = &tunings[grid];
    const wk_grid *g = &wk_grids[grid];
    float          mean = wk_mean_square(s.x, t->block) * how->mean, scale[16], most = 0;
    parts          p = { 0 };
    for (int i = 0, cell = 0; i < groups; i++, cell += n / g->digits) {
        group        w = { .grid = grid, .n = n };
        const float *x = s.x + i * n;
        for (int j = 0; j < n; j++)
            w.weight[j] = how->base * mean + x[j] * x[j];
        if (s.importance)
            wk_weigh(w.weight, x, s.importance + i * n, n, mean);
        uint8_t signs[4];
        for (int j = 0; j < n; j++) {
            w.x[j] = x[j];
            w.root[j] = sqrtf(w.weight[j]);
        }
        for (int k = 0; k < n / 8; k++)
            signs[k] = take_signs(w.x + 8 * k, w.weight + 8 * k, how->even);
        scale[i] = search(&w);
        if (scale[i] == 0)
            continue;
        uint8_t turn = scale[i] < 0 ? how->even ? 127 : 255 : 0;
        scale[i] = fabsf(scale[i]);
        most = scale[i] > most ? scale[i] : most;
        for (int k = 0; k < n / 8; k++)
            p.signs[i * n / 8 + k] = signs[k] ^ turn;
        for (int k = 0; k < n / g->digits; k++) {
            int index = places[grid][code_of(g, w.digit + k * g->digits)];
            p.low[cell + k] = (uint8_t)index, p.high[cell + k] = (uint8_t)(index >> 8);
        }
    }
    float d = most / 31, factor = 1 / d;
    if (most == 0)
        return;
    wk_put_half(b, d * how->correction);
    for (int i = 0; i < groups; i++)
        p.scale[i] = (uint8_t)wk_nearest_in(0.5f * (factor * scale[i] - 1), 0, 15);
    how->put(b, &p);
}

/* ---- IQ1 ---------------------------------------------------------------- */

/* Numbers are scale * (-1, 0 or 1, and an eighth more, or less).  shift: bit 1 says less
 * for the first eight numbers, bit 0 for those behind. */
static const float levels[2][3] = { { -0.875f, 0.125f, 1.125f }, { -1.125f, -0.125f, 0.875f } };

typedef struct {
    float score, scale;
    int   low, high, shift; /* of the numbers in order, low are -1, and those from high on 1 */
} split;

static void better(split *s, float xq, float qq, int low, int high, int shift)
{
    if (!(qq > 0 && xq * xq > s->score * qq))
        return;
    float scale = xq / qq;
    *s = (split){ scale * xq, scale, low, high, shift };
}

/* The best of all splits, by sums over the numbers in order: one shift for all. */
static void split_all(split *s, int n, const float *x, const float *weight, const int *order)
{
    float sx[MAX_GROUP + 1] = { 0 }, sw[MAX_GROUP + 1] = { 0 };
    for (int i = 0; i < n; i++) {
        sx[i + 1] = sx[i] + weight[order[i]] * x[order[i]];
        sw[i + 1] = sw[i] + weight[order[i]];
    }
    for (int i = 0; i <= n; i++)
        for (int j = i; j <= n; j++)
            for (int k = 0; k < 2; k++) {
                const float *q = levels[k];
                float        xq = sx[i] * q[0] + (sx[j] - sx[i]) * q[1] + (sx[n] - sx[j]) * q[2];
                float        qq = sw[i] * q[0] * q[0] + (sw[j] - sw[i]) * q[1] * q[1] +
                           (sw[n] - sw[j]) * q[2] * q[2];
                better(s, xq, qq, i, j, k ? 3 : 0);
            }
}

/* The same where each half of the group has its own shift.  Levels are 1 apart, so that
 * the sum over a half is that at the highest level less the sums below the two bounds. */
static void split_halves(split *s, int n, const float *x, const float *weight, const int *order)
{
    float sx[2][MAX_GROUP + 1] = { 0 }, sw[2][MAX_GROUP + 1] = { 0 };
    for (int i = 0; i < n; i++)
        for (int h = 0, at = order[i]; h < 2; h++) {
            bool mine = at / (n / 2) == h;
            sx[h][i + 1] = mine ? sx[h][i] + weight[at] * x[at] : sx[h][i];
            sw[h][i + 1] = mine ? sw[h][i] + weight[at] : sw[h][i];
        }
    for (int i = 0; i <= n; i++)
        for (int j = i; j <= n; j++) {
            float xq[2][2], qq[2][2];
            for (int h = 0; h < 2; h++)
                for (int k = 0; k < 2; k++) {
                    const float *q = levels[k];
                    xq[h][k] = sx[h][n] * q[2] - (sx[h][i] + sx[h][j]);
                    qq[h][k] = sw[h][n] * q[2] * q[2] + sw[h][i] * (q[0] * q[0] - q[1] * q[1]) +
                               sw[h][j] * (q[1] * q[1] - q[2] * q[2]);
                }
            for (int k = 0; k < 4; k++)
                better(s, xq[0][k >> 1] + xq[1][k & 1], qq[0][k >> 1] + qq[1][k & 1], i, j, k);
        }
}

static void add_fit(float *xq, float *qq, float x, float weight, float q)
{
    *xq += weight * q * x;
    *qq += weight * q * q;
}

/* The levels of cell k of a group. */
static const float *levels_of(int shift, int k) { return levels[k == 0 ? shift >> 1 : shift & 1]; }

/* Digits and indices of a group, and its scale; 0 where there is nothing. */
static float search_iq1(int n, const float *x, const float *weight, float nothing, uint8_t *digit,
                        int *index, int *shift)
{
    int   order[MAX_GROUP];
    float most = 0;
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && x[order[at - 1]] > x[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    }
    split s = { .score = -FLT_MAX, .low = -1 };
    if (most >= nothing)
        (n == 32 ? split_all : split_halves)(&s, n, x, weight, order);
    if (s.low < 0)
        return 0;
    bool turn = s.scale < 0, all_on = true;
    for (int i = 0; i < n; i++) {
        int d = i < s.low ? 0 : i < s.high ? 1 : 2;
        digit[order[i]] = (uint8_t)(turn ? 2 - d : d);
    }
    float scale = fabsf(s.scale), xq = 0, qq = 0;
    *shift = turn ? 3 - s.shift : s.shift;
    for (int k = 0; k < n / 8; k++) {
        bool         on;
        const float *q = levels_of(*shift, k);
        index[k] = settle(WK_GRID_IQ1, digit + 8 * k, x + 8 * k, weight + 8 * k, scale, q, &on);
        all_on = all_on && on;
        for (int i = 8 * k; i < 8 * k + 8; i++)
            add_fit(&xq, &qq, x[i], weight[i], q[digit[i]]);
    }
    return !all_on && xq > 0 && qq > 0 ? xq / qq : scale;
}

static void put_iq1_s(uint8_t *b, const int *index, const int *shift, const int *sc, float d)
{
    wk_put_half(b, d);
    for (int g = 0; g < 8; g++) {
        int h = sc[g] << 12 | (shift[g] ? 1 << 15 : 0);
        for (int k = 0; k < 4; k++) {
            b[2 + 4 * g + k] = (uint8_t)index[4 * g + k];
            h |= index[4 * g + k] >> 8 << 3 * k;
        }
        b[34 + 2 * g] = (uint8_t)h, b[35 + 2 * g] = (uint8_t)(h >> 8);
    }
}

static void put_iq1_m(uint8_t *b, const int *index, const int *shift, const int *sc, float d)
{
    uint8_t half[2];
    wk_put_half(half, d);
    for (int k = 0; k < 32; k++) {
        int less = k % 2 ? shift[k / 2] & 1 : shift[k / 2] >> 1;
        b[k] = (uint8_t)index[k];
        b[32 + k / 2] = (uint8_t)(b[32 + k / 2] | (index[k] >> 8 | less << 3) << k % 2 * 4);
    }
    for (int w = 0; w < 4; w++) { /* four scales and a nibble of the block's */
        uint32_t u = (wk_le16(half) >> 4 * w & 15) << 12;
        for (int g = 0; g < 4; g++)
            u |= (uint32_t)sc[4 * w + g] << 3 * g;
        b[48 + 2 * w] = (uint8_t)u, b[49 + 2 * w] = (uint8_t)(u >> 8);
    }
}

/* iq1_s, iq1_m */
void wk_store_iq1(const wk_quant *t, uint8_t *b, wk_quant_source s)
{
    int     n = t->group, groups = t->block / n, shift[16] = { 0 }, sc[16];
    bool    halves = n == 16;
    float   weight[WK_QUANT_MAX_BLOCK], scale[16], most = 0, xq = 0, qq = 0;
    uint8_t digit[WK_QUANT_MAX_BLOCK] = { 0 };
    for (int i = 0; i < t->block; i++)
        weight[i] = s.x[i] * s.x[i];
    if (s.importance)
        wk_weigh(weight, s.x, s.importance, t->block, wk_mean_square(s.x, t->block) * 2);
    int index[32] = { 0 };
    for (int g = 0; g < groups; g++) {
        scale[g] = search_iq1(n, s.x + g * n, weight + g * n, halves ? 1e-7f : 1e-12f,
                              digit + g * n, index + g * n / 8, &shift[g]);
        most = scale[g] > most ? scale[g] : most;
    }
    if (most == 0)
        return;
    float d = most / 15, factor = 1 / d;
    for (int g = 0; g < groups; g++) {
        sc[g] = wk_nearest_in(0.5f * (factor * scale[g] - 1), 0, 7);
        for (int i = 0; i < n; i++) {
            float q = levels_of(shift[g], i / 8)[digit[g * n + i]] * (float)(2 * sc[g] + 1);
            add_fit(&xq, &qq, s.x[g * n + i], weight[g * n + i], q);
        }
    }
    (halves ? put_iq1_m : put_iq1_s)(b, index, shift, sc,
                                     !halves  ? d * 1.125f
                                     : qq > 0 ? xq / qq * 1.1125f
                                              : d * 1.1125f);
}
