// SPDX-License-Identifier: MIT OR Apache-2.0
/* random.c - random numbers from a counter.
 *
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
 * 2011) turns a seed and a counter into four words, so that any element of a tensor
 * can be computed by itself, in any order, on any device.
 *
 * A normal number is the inverse of the normal distribution at a word, from a table
 * of cubics: the leading zeros of the word choose a power of two of the tail, three
 * more bits one of its eight segments.  That is exact but for three fused
 * multiply-adds, which all devices round alike: the same bits everywhere. */
#include "core.h"

#include <math.h>

static _Thread_local wk_random generator = { .seed = 42 };

void      wk_seed(uint64_t seed) { generator = (wk_random){ .seed = seed }; }
wk_random wk_random_state(void) { return generator; }
void      wk_random_restore(wk_random state) { generator = state; }

void wk_draw(uint64_t count, uint64_t *seed, uint64_t *counter)
{
    *seed = generator.seed;
    *counter = generator.counter;
    generator.counter += count;
}

void wk_philox(uint64_t seed, uint64_t counter, uint32_t out[4])
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32), x2 = 0, x3 = 0;
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)x0 * 0xD2511F53u, b = (uint64_t)x2 * 0xCD9E8D57u;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)b;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

float wk_uniform(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

static const float cubic[32 * 8][4] = {
#include "normal.inc"
};

float wk_normal(uint32_t word)
{
    uint32_t     tail = word & 0x7FFFFFFFu; /* the tail's probability is (tail + 1/2) / 2^32 */
    int          zeros = tail ? __builtin_clz(tail) - 1 : 31;
    uint32_t     rest = tail ? tail << zeros << 2 : 0; /* what follows the leading one */
    const float *c = cubic[zeros * 8 + (int)(rest >> 29)];
    float        t = (float)(rest << 3 >> 8) * 0x1p-24f;
    float        z = fmaf(fmaf(fmaf(c[3], t, c[2]), t, c[1]), t, c[0]);
    return word >> 31 ? z : -z;
}
