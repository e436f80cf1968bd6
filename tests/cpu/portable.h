// SPDX-License-Identifier: MIT OR Apache-2.0
/* portable.h - for tests of kernels: every instruction set of this processor in turn,
 * and the portable kernels as one of their own. */
#ifndef WK_TEST_PORTABLE_H
#define WK_TEST_PORTABLE_H

#include "../../src/cpu/cpu.h"

/* Nothing but portable kernels and rows from here on, until use_isa(). */
void use_portable(void);
void use_isa(const wk_cpu_isa *isa);

/* Calls test with each instruction set in use, then goes back to the one before. */
void each_isa(void (*test)(const char *isa));

/* The elements of x, to be freed; NULL: an error. */
double *doubles(wk_tensor *x);

/* The distance in units of the last place of the f32 want, or of scale if it is larger.
 * NaN and the same infinity are 0 apart; what is just too large may be infinite. */
double ulps(double got, double want, double scale);

#endif
