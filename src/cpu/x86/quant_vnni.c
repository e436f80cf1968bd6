// SPDX-License-Identifier: MIT OR Apache-2.0
/* quant_vnni.c - isa/quant.c for AVX-512 with VNNI: four products of bytes and their sum in
 * one instruction. */
#define ISA vnni
#include "../isa/quant.c"
