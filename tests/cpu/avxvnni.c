// SPDX-License-Identifier: MIT OR Apache-2.0
/* avxvnni.c - the kernels of quant_avxvnni.c, with their one instruction emulated. */
#include "../../src/base/base.h"

#if defined __AVX2__
#define WK_VNNI_EMULATED
#define wk_cpu_avxvnni emulated_avxvnni
#include "../../src/cpu/x86/quant_avxvnni.c"
#endif
