// SPDX-License-Identifier: MIT OR Apache-2.0
/* amx_gemm.c - the kernels of the same name, with emulated tiles. */
#include "../../src/base/base.h"

#if defined __AVX512F__
#include "amx_emulated.h"

#include "../../src/cpu/x86/amx_gemm.c"
#endif
