// SPDX-License-Identifier: MIT OR Apache-2.0
/* tile_trap.h - runs tile instructions on processors that have none. */
#ifndef WK_TILE_TRAP_H
#define WK_TILE_TRAP_H

#include <stdbool.h>

/* From now on, and until trap_end(), the instructions are caught where the processor
 * refuses them, decoded from their bytes, and done in C.  Whatever a processor with tiles
 * would refuse too (no tiles configured, a configuration that is not allowed) ends the
 * program with a message. */
void trap_begin(void);
long trap_end(void); /* how many they were */

/* This thread has released its tiles. */
bool trap_released(void);

#endif
