// SPDX-License-Identifier: MIT OR Apache-2.0
#include "portable.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static wk_dtype_info portable_rows[WK_DTYPE_COUNT];

/* Before the device is opened, which puts its own rows in. */
__attribute__((constructor)) static void save_rows(void)
{
    memcpy(portable_rows, wk_dtypes, sizeof portable_rows);
}

static void restore_rows(void) { memcpy(wk_dtypes, portable_rows, sizeof portable_rows); }

void use_portable(void)
{
    static const wk_kernel none[WK_OP_COUNT];
    static wk_cpu_isa      portable;
    portable = *wk_cpu_current();
    portable.name = "portable";
    portable.kernels = none;
    portable.install_rows = restore_rows;
    wk_cpu_use(&portable);
}

void use_isa(const wk_cpu_isa *isa)
{
    restore_rows();
    wk_cpu_use(isa);
}

void each_isa(void (*test)(const char *isa))
{
    const wk_cpu_isa *isas[8], *before;
    wk_default_device();
    before = wk_cpu_current();
    int n = wk_cpu_list(isas, 8);
    for (int i = 0; i < n; i++) {
        use_isa(isas[i]);
        test(isas[i]->name);
    }
    use_isa(before);
}

static double last_place(double x)
{
    int e;
    frexp(x, &e);
    return isfinite(x) && x != 0 ? ldexp(1, (e < -125 ? -125 : e) - 24) : 0x1p-149;
}

double ulps(double got, double want, double scale)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (isinf((float)want) || isinf(got))
        return got == (double)(float)want || fabs(want) > 0x1.fffff0p127 ? 0 : INFINITY;
    return fabs(got - want) / last_place(fmax(fabs(want), scale));
}

double *doubles(wk_tensor *x)
{
    double *p = x ? malloc((size_t)wk_count(x) * sizeof *p) : NULL;
    if (p && !wk_read(x, WK_F64, p)) {
        free(p);
        return NULL;
    }
    return p;
}
