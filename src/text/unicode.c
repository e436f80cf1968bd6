// SPDX-License-Identifier: MIT OR Apache-2.0
/* unicode.c - what a character is: its category, its lower case, and whether
 * normalisation could touch it.
 *
 * The tables of unicode.inc are made of runs, block by block.  A block has few of
 * them, so a lookup is a short linear search; ASCII has a table of its own. */
#include "text.h"

typedef struct {
    uint32_t first, last;
    uint8_t  value;
} tail_range;

typedef struct {
    uint32_t first, last, step;
    int32_t  difference;
} lower_range;

#include "unicode.inc"

/* ---- ASCII -------------------------------------------------------------- */

#define U WK_UPPER
#define L WK_LOWER
#define N WK_NUMBER
#define P WK_PUNCT
#define S WK_SYMBOL
#define B WK_BLANK
#define R WK_NEWLINE
#define W WK_SPACE
#define X WK_OTHER
const uint16_t wk_ascii_class[128] = {
    X, X, X, X, X, X, X, X, X, W, R, W, W, R, X, X, /* control, tab, \n, \v, \f, \r */
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, /**/
    B, P, P, P, S, P, P, P, P, P, P, S, P, P, P, P, /*  !"#$%&'()*+,-./ */
    N, N, N, N, N, N, N, N, N, N, P, P, S, S, S, P, /* 0123456789:;<=>? */
    P, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, /* @ABCDEFGHIJKLMNO */
    U, U, U, U, U, U, U, U, U, U, U, P, P, P, S, P, /* PQRSTUVWXYZ[\]^_ */
    S, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* `abcdefghijklmno */
    L, L, L, L, L, L, L, L, L, L, L, P, S, P, S, X, /* pqrstuvwxyz{|}~ */
};
#undef U
#undef L
#undef N
#undef P
#undef S
#undef B
#undef R
#undef W
#undef X

/* ---- Tables ------------------------------------------------------------- */

static uint8_t look_up(const uint16_t *index, const uint8_t (*run)[2], uint32_t c)
{
    size_t i = index[c >> 8];
    while (run[i + 1][0] && run[i + 1][0] <= (c & 255))
        i++;
    return run[i][1];
}

static uint8_t category(uint32_t c)
{
    if (c >> 8 < WK_COUNT(category_index)) {
        uint8_t x = look_up(category_index, category_runs, c);
        if (x < EVEN_UPPER)
            return x;
        return (c & 1) == (x == ODD_UPPER) ? LU : LL;
    }
    for (size_t i = 0; i < WK_COUNT(category_tail); i++)
        if (c >= category_tail[i].first && c <= category_tail[i].last)
            return category_tail[i].value;
    return CN;
}

unsigned wk_char_unsafe(uint32_t c)
{
    return c >= 0xA0 && c >> 8 < WK_COUNT(unsafe_index) ? look_up(unsafe_index, unsafe_runs, c) : 0;
}

uint32_t wk_char_lower(uint32_t c)
{
    if (c < 128)
        return c - 'A' < 26 ? c + 32 : c;
    size_t low = 0, high = WK_COUNT(lower);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (lower[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == WK_COUNT(lower) || c < lower[low].first || (c - lower[low].first) % lower[low].step)
        return c;
    return c + (uint32_t)lower[low].difference;
}

/* ---- Classes ------------------------------------------------------------ */

static const uint16_t class_of[] = {
    [LU] = WK_UPPER,  [LT] = WK_UPPER,  [LL] = WK_LOWER, [LM] = WK_LETTER, [LO] = WK_LETTER,
    [MN] = WK_MARK,   [MC] = WK_MARK,   [ME] = WK_MARK,  [ND] = WK_NUMBER, [NL] = WK_NUMBER,
    [NO] = WK_NUMBER, [PC] = WK_PUNCT,  [PD] = WK_PUNCT, [PS] = WK_PUNCT,  [PE] = WK_PUNCT,
    [PI] = WK_PUNCT,  [PF] = WK_PUNCT,  [PO] = WK_PUNCT, [SM] = WK_SYMBOL, [SC] = WK_SYMBOL,
    [SK] = WK_SYMBOL, [SO] = WK_SYMBOL, [ZS] = WK_SPACE, [ZL] = WK_SPACE,  [ZP] = WK_SPACE,
    [CC] = WK_OTHER,  [CF] = WK_OTHER,  [CO] = WK_OTHER, [CS] = WK_OTHER,  [CN] = WK_OTHER,
};

/* White space beyond the separators, as \s sees it. */
static uint16_t control_class(uint32_t c)
{
    if (c == '\n' || c == '\r')
        return WK_NEWLINE;
    return (c >= '\t' && c <= '\f') || c == 0x85 ? WK_SPACE : WK_OTHER;
}

uint16_t wk_char_class(uint32_t c)
{
    if (c < 128)
        return wk_ascii_class[c];
    uint16_t class = class_of[category(c)];
    return class == WK_OTHER ? control_class(c) : class;
}

bool wk_is_space(uint32_t c) { return wk_char_class(c) & WK_SPACES; }
bool wk_is_number(uint32_t c) { return wk_char_class(c) & WK_NUMBER; }
bool wk_is_mark(uint32_t c) { return wk_char_class(c) & WK_MARK; }
bool wk_is_punct(uint32_t c)
{
    return wk_char_class(c) & (c < 128 ? WK_PUNCT | WK_SYMBOL : WK_PUNCT);
}
bool wk_is_nonspacing(uint32_t c) { return category(c) == MN; }

bool wk_is_word(uint32_t c)
{
    /* Letters that are symbols by category: in circles and squares; and the joiners. */
    static const uint32_t odd[][2] = { { 0x200C, 0x200D },
                                       { 0x24B6, 0x24E9 },
                                       { 0x1F130, 0x1F149 },
                                       { 0x1F150, 0x1F169 },
                                       { 0x1F170, 0x1F189 } };
    if (wk_char_class(c) & (WK_LETTERS | WK_MARK))
        return true;
    uint8_t x = category(c);
    if (x == ND || x == NL || x == PC)
        return true;
    for (size_t i = 0; i < WK_COUNT(odd); i++)
        if (c >= odd[i][0] && c <= odd[i][1])
            return true;
    return false;
}

bool wk_is_control(uint32_t c)
{
    uint8_t x = category(c);
    return x == CC || x == CF || x == CO;
}
