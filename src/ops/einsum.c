// SPDX-License-Identifier: MIT OR Apache-2.0
/* einsum.c - sums of products by Einstein's notation: wk_einsum("bik,bkj->bij", a, b).
 *
 * Each axis of a tensor has a label.  Operands are taken in one by one: labels that neither
 * the rest nor the result needs are summed away, in a matrix product if both have them. */
#include "../core/core.h"

#include <ctype.h>

/* Labels are a-z, A-Z, and what an ellipsis stands for, counted from its end. */
enum { LABELS = 52 + WK_MAX_RANK, MOST = 16 };

typedef struct {
    wk_tensor *x;
    int        label[WK_MAX_RANK];
} term;

typedef struct {
    const char *text;
    int64_t     size[LABELS];
    int         uses[LABELS]; /* in terms to come, and in the result */
    int         times[LABELS];
    int         ellipsis; /* most axes that one stands for */
    int         out[LABELS], outs;
} plan;

static void bad(const plan *p, const char *why)
{
    wk_fail(WK_ERR_ARGUMENT, "einsum \"%s\": %s", p->text, why);
}

/* ---- Reading ------------------------------------------------------------- */

static int letter(char c) { return islower((unsigned char)c) ? c - 'a' : c - 'A' + 26; }

/* The labels of one term up to a comma, an arrow or the end; rank < 0: of the result. */
static const char *read_labels(plan *p, const char *s, int rank, int *label, int *count)
{
    const char *dots = NULL;
    int         letters = 0, n = 0;
    for (const char *q = s; *q && *q != ',' && *q != '-'; q++)
        letters += isalpha((unsigned char)*q) != 0;
    for (; wk_ok() && *s && *s != ',' && *s != '-'; s++) {
        if (isalpha((unsigned char)*s)) {
            if (n == WK_MAX_RANK || (rank >= 0 && n == rank)) {
                bad(p, "more labels than axes");
                break;
            }
            label[n++] = letter(*s);
        } else if (!dots && !strncmp(s, "...", 3)) {
            int axes = rank < 0 ? p->ellipsis : rank - letters;
            dots = s;
            for (int i = axes; i-- > 0 && n < WK_MAX_RANK;)
                label[n++] = 52 + i;
            p->ellipsis = axes > p->ellipsis ? axes : p->ellipsis;
            s += 2;
        } else if (*s != ' ') {
            bad(p, "letters, \"...\", commas and one \"->\" are understood");
        }
    }
    if (wk_ok() && rank >= 0 && n != rank)
        bad(p, "labels and axes are not the same number");
    *count = n;
    return s;
}

/* Axes with the same label become one, the diagonal; sizes are noted. */
static void take(plan *p, term *t)
{
    for (int i = 0; wk_ok() && i < wk_rank(t->x); i++)
        for (int k = i + 1; wk_ok() && k < wk_rank(t->x); k++) {
            if (t->label[i] != t->label[k])
                continue;
            if (wk_dim(t->x, i) != wk_dim(t->x, k))
                bad(p, "a repeated label has two sizes");
            int same = t->label[i], n = wk_rank(t->x), to = 0;
            t->x = wk_diagonal(t->x, i, k); /* its axis is the last */
            for (int a = 0; a < n; a++)
                if (a != i && a != k)
                    t->label[to++] = t->label[a];
            t->label[to] = same;
            k = i;
        }
    for (int i = 0; wk_ok() && i < wk_rank(t->x); i++) {
        int64_t *size = &p->size[t->label[i]], n = wk_dim(t->x, i);
        if (*size > 1 && n > 1 && *size != n)
            bad(p, "a label has two sizes");
        *size = *size > 1 ? *size : n;
        p->uses[t->label[i]]++;
    }
}

static void read_result(plan *p, const char *s)
{
    if (*s == '-') {
        int label[WK_MAX_RANK];
        if (s[1] != '>')
            bad(p, "what is behind -");
        s = read_labels(p, s + 2, -1, label, &p->outs);
        memcpy(p->out, label, sizeof label);
    } else {
        for (int i = p->ellipsis; i-- > 0;)
            p->out[p->outs++] = 52 + i;
        for (int i = 0; i < 52; i++) /* capitals first, as in ASCII */
            if (p->times[(i + 26) % 52] == 1)
                p->out[p->outs++] = (i + 26) % 52;
    }
    if (wk_ok() && (*s || p->outs > WK_MAX_RANK))
        bad(p, *s ? "there is more than a result" : "the result has too many axes");
    for (int i = 0; wk_ok() && i < p->outs; i++) {
        for (int k = 0; k < i; k++)
            if (p->out[k] == p->out[i])
                bad(p, "a label is twice in the result");
        if (!p->uses[p->out[i]]++)
            bad(p, "a label of the result is in no operand");
    }
}

/* ---- Computing ----------------------------------------------------------- */

static int find(const term *t, int label)
{
    for (int i = 0; i < wk_rank(t->x); i++)
        if (t->label[i] == label)
            return i;
    return -1;
}

/* Sum away what nobody needs any more. */
static void shed(const plan *p, term *t)
{
    for (int i = wk_rank(t->x); wk_ok() && i-- > 0;)
        if (p->uses[t->label[i]] == 0) {
            t->x = wk_sum(t->x, .over = WK_AXES(i));
            memmove(t->label + i, t->label + i + 1, (size_t)(WK_MAX_RANK - 1 - i) * sizeof(int));
        }
}

/* The axes of these labels, in this order, as [first.., second.., third..] of one axis each. */
static wk_tensor *arranged(const plan *p, const term *t, const int *label, const int count[3])
{
    wk_shape order = { .rank = 0 }, full = { .rank = 0 }, flat = WK_SHAPE(1, 1, 1);
    for (int g = 0, i = 0; g < 3; g++)
        for (int k = 0; k < count[g]; k++, i++) {
            order.dim[order.rank++] = find(t, label[i]);
            full.dim[full.rank++] = p->size[label[i]];
            flat.dim[g] *= p->size[label[i]];
        }
    return wk_reshape_to(wk_expand_to(wk_permute_by(t->x, order), full), flat);
}

static term product(plan *p, const term *a, const term *b)
{
    int both[LABELS], boths = 0, sums[LABELS], summed = 0;
    int left[WK_MAX_RANK], lefts = 0, right[WK_MAX_RANK], rights = 0;
    for (int i = 0; i < wk_rank(a->x); i++) {
        int l = a->label[i];
        if (find(b, l) < 0)
            left[lefts++] = l;
        else if (p->uses[l] == 0)
            sums[summed++] = l;
        else
            both[boths++] = l;
    }
    for (int i = 0; i < wk_rank(b->x); i++)
        if (find(a, b->label[i]) < 0)
            right[rights++] = b->label[i];
    int  list[2][LABELS], n = 0;
    term y = { 0 };
    if (boths + lefts + rights > WK_MAX_RANK) {
        bad(p, "a product has too many axes");
        return y;
    }
    for (int side = 0; side < 2; side++) {
        int *to = list[side];
        memcpy(to, both, (size_t)boths * sizeof(int));
        memcpy(to + boths, side ? sums : left, (size_t)(side ? summed : lefts) * sizeof(int));
        memcpy(to + boths + (side ? summed : lefts), side ? right : sums,
               (size_t)(side ? rights : summed) * sizeof(int));
    }
    wk_tensor *m = arranged(p, a, list[0], (int[]){ boths, lefts, summed });
    y.x = wk_matmul(m, arranged(p, b, list[1], (int[]){ boths, summed, rights }));
    wk_shape shape = { .rank = 0 };
    for (; n < boths + lefts + rights; n++) {
        int l = n < boths           ? both[n]
                : n < boths + lefts ? left[n - boths]
                                    : right[n - boths - lefts];
        y.label[n] = l;
        shape.dim[shape.rank++] = p->size[l];
    }
    y.x = wk_reshape_to(y.x, shape);
    return y;
}

static void forget(plan *p, const term *t)
{
    for (int i = 0; i < wk_rank(t->x); i++)
        p->uses[t->label[i]]--;
}

static wk_tensor *contract(plan *p, term *t, int count)
{
    term y = t[0];
    forget(p, &y);
    shed(p, &y);
    for (int i = 1; wk_ok() && i < count; i++) {
        forget(p, &t[i]);
        for (int k = 0; k < wk_rank(y.x); k++)
            p->uses[y.label[k]]++; /* a label of y is needed while it is not in y alone */
        shed(p, &t[i]);
        for (int k = 0; k < wk_rank(y.x); k++)
            p->uses[y.label[k]]--;
        if (wk_ok())
            y = product(p, &y, &t[i]);
        if (wk_ok())
            shed(p, &y);
    }
    wk_shape order = { .rank = 0 }, full = { .rank = 0 };
    for (int i = 0; wk_ok() && i < p->outs; i++) {
        order.dim[order.rank++] = find(&y, p->out[i]);
        full.dim[full.rank++] = p->size[p->out[i]];
    }
    return wk_expand_to(wk_permute_by(y.x, order), full);
}

wk_tensor *wk_einsum_of(const char *equation, wk_tensor **x, int count)
{
    plan        p = { .text = equation };
    term        t[MOST] = { { 0 } };
    const char *s = equation;
    if (wk_ok() && (!equation || count < 1 || count > MOST))
        wk_fail(WK_ERR_ARGUMENT, "einsum: %d operands%s", count, equation ? "" : ", no equation");
    wk_scope scope = wk_mark();
    for (int i = 0; i < count && wk_usable("einsum", i + 1, x[i]); i++) {
        int labels;
        t[i].x = x[i];
        s = read_labels(&p, s, wk_rank(x[i]), t[i].label, &labels);
        for (int k = 0; wk_ok() && k < labels; k++)
            p.times[t[i].label[k]]++;
        if (wk_ok())
            take(&p, &t[i]);
        if (wk_ok() && (i + 1 < count) != (*s == ','))
            bad(&p, i + 1 < count ? "fewer terms than operands" : "more terms than operands");
        s += wk_ok() && *s == ',';
    }
    if (wk_ok())
        read_result(&p, s);
    return wk_yield(scope, wk_ok() ? contract(&p, t, count) : NULL);
}
