// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_grid_vnni.c - rows of blocks with VNNI: see quant_vnni.c. */
#define ISA vnni
#include "../isa/quant_grid.c"
