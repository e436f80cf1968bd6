// SPDX-License-Identifier: MIT OR Apache-2.0
/* amx.c - is there a matrix unit, and may it be used?
 *
 * Linux gives a process the 8 KB of tile registers only if it asks, before threads use
 * them: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA). */
#define ISA avx512
#include "amx.h"

#include "../isa/matrix.h"

#include <cpuid.h>

#if defined __linux__
#include <sys/syscall.h>
#include <unistd.h>

static bool permitted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA);
}
#else
static bool permitted(void) { return false; }
#endif

/* Tiles, their bf16 products, and AVX-512's permutations of bytes (VBMI), which come with
 * them; and XCR0 says that the system saves tiles (bits 17, 18). */
static bool present(void)
{
    enum { OSXSAVE = 1 << 27, VBMI = 1 << 1, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE))
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(c & VBMI) || !(d & AMX_BF16) ||
        !(d & AMX_TILE))
        return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low >> 17 & 3) == 3;
}

bool wk_amx_usable(void)
{
    static atomic_int known; /* 1 no, 2 yes */
    if (!atomic_load(&known))
        atomic_store(&known, present() && permitted() ? 2 : 1);
    return atomic_load(&known) == 2;
}

/* All kernels but these are those of AVX-512. */
static wk_kernel kernels[WK_OP_LISTED + 1];

static bool attention(const wk_call *c)
{
    bool (*other)(const wk_call *) = WK_ISA(kernels)[WK_OP_attention].run;
    return wk_amx_attention(c) || (wk_ok() && other && other(c));
}

static void install(void)
{
    memcpy(kernels, WK_ISA(kernels), sizeof kernels);
    kernels[WK_OP_attention].run = attention;
    kernels[WK_OP_attention].strided |= 7; /* q, k, v */
    WK_ISA(install_rows)();
}

const wk_cpu_isa wk_cpu_amx = {
    .name = "amx",
    .level = WK_LEVEL_avx512,
    .kernels = kernels,
    .install_rows = install,
    .f32 = &wk_amx_x6,
    .bf16 = &wk_amx_bf16,
    .gemm = WK_ISA(gemm),
    .quant = &wk_cpu_quant_kernels_vnni,
    .blocks = &wk_amx_blocks,
    .pack = wk_panels_pack,
    .few = wk_panels_few,
};
