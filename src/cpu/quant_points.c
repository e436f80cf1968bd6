// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_points.c - the points of grids as bytes, side by side: see quants.h. */
#include "quants.h"

#include <pthread.h>

enum { EIGHTS = 256 + 512 + 1024 + 2048, FOURS = 256 + 512 };

static uint8_t bytes[8 * EIGHTS + 4 * FOURS] __attribute__((aligned(64)));

static void expand(void)
{
    uint8_t *p = bytes;
    wk_grids_expand();
    for (const wk_grid *g = wk_grids; g < wk_grids + WK_GRID_COUNT; g++) {
        int more = WK_ROW_ZERO + (g == &wk_grids[WK_GRID_IQ1] ? 1 : 0);
        for (int i = 0; i < g->count; i++)
            for (int d = 0, code = g->points[i]; d < g->digits; d++, code >>= g->bits)
                *p++ = (uint8_t)(more + g->level[code & ((1 << g->bits) - 1)]);
    }
}

const void *wk_quant_points(int grid)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, expand);
    const uint8_t *p = bytes;
    for (const wk_grid *g = wk_grids; g < wk_grids + grid; g++)
        p += g->count * g->digits;
    return p;
}
