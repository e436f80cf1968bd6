// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_grid_dotprod.c - rows of blocks with dotprod: see quant_dotprod.c. */
#define ISA dotprod
#include "../isa/quant_grid.c"
