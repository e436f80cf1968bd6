// SPDX-License-Identifier: MIT OR Apache-2.0
/* rows.c - rows of floats to and from f32, on vectors: what wk_dtypes gets. */
#include "../simd.h"
#include "isa.h"

enum { PIECE = 256 }; /* elements that lie apart are first gathered, so many at a time */

typedef vf (*load_fn)(const uint16_t *p);
typedef void (*store_fn)(uint16_t *p, vf a);

static inline __attribute__((always_inline)) void load_dense(float *r, const uint16_t *e, int64_t n,
                                                             load_fn load)
{
    int64_t i = 0;
    for (; i + VF <= n; i += VF)
        vstore(r + i, load(e + i));
    if (i < n) {
        uint16_t end[VF] = { 0 };
        memcpy(end, e + i, (size_t)(n - i) * sizeof *e);
        vstore_part(r + i, load(end), n - i);
    }
}

static inline __attribute__((always_inline)) void store_dense(uint16_t *e, const float *r,
                                                              int64_t n, store_fn store)
{
    int64_t i = 0;
    for (; i + VF <= n; i += VF)
        store(e + i, vload(r + i));
    if (i < n) {
        uint16_t end[VF];
        store(end, vload_part(r + i, n - i));
        memcpy(e + i, end, (size_t)(n - i) * sizeof *e);
    }
}

#define HALF_ROWS(name)                                                                            \
    static void name##_load(void *row, const void *elements, int64_t n, int64_t stride)            \
    {                                                                                              \
        const uint16_t *e = elements;                                                              \
        uint16_t        piece[PIECE];                                                              \
        if (stride == 1) {                                                                         \
            load_dense(row, e, n, vload_##name);                                                   \
            return;                                                                                \
        }                                                                                          \
        for (int64_t at = 0; at < n; at += PIECE) {                                                \
            int64_t m = wk_min_i64(PIECE, n - at);                                                 \
            for (int64_t i = 0; i < m; i++)                                                        \
                piece[i] = e[(at + i) * stride];                                                   \
            load_dense((float *)row + at, piece, m, vload_##name);                                 \
        }                                                                                          \
    }                                                                                              \
    static void name##_store(void *elements, const void *row, int64_t n, int64_t stride)           \
    {                                                                                              \
        uint16_t *e = elements, piece[PIECE];                                                      \
        if (stride == 1) {                                                                         \
            store_dense(e, row, n, vstore_##name);                                                 \
            return;                                                                                \
        }                                                                                          \
        for (int64_t at = 0; at < n; at += PIECE) {                                                \
            int64_t m = wk_min_i64(PIECE, n - at);                                                 \
            store_dense(piece, (const float *)row + at, m, vstore_##name);                         \
            for (int64_t i = 0; i < m; i++)                                                        \
                e[(at + i) * stride] = piece[i];                                                   \
        }                                                                                          \
    }
HALF_ROWS(bf16)
HALF_ROWS(f16)

static void f32_load(void *row, const void *elements, int64_t n, int64_t stride)
{
    const float *e = elements;
    float       *r = row;
    if (stride == 1) {
        memmove(r, e, (size_t)n * sizeof *r); /* it may be in place */
    } else if (stride == 0) {
        float value = *e;
        for (int64_t i = 0; i < n; i++)
            r[i] = value;
    } else {
        for (int64_t i = 0; i < n; i++)
            r[i] = e[i * stride];
    }
}

static void truth_load(void *row, const void *elements, int64_t n, int64_t stride)
{
    const uint8_t *e = elements;
    float         *r = row;
    if (stride == 1)
        for (int64_t i = 0; i < n; i++)
            r[i] = e[i];
    else
        for (int64_t i = 0; i < n; i++)
            r[i] = e[i * stride];
}

static void truth_store(void *elements, const void *row, int64_t n, int64_t stride)
{
    uint8_t     *e = elements;
    const float *r = row;
    if (stride == 1)
        for (int64_t i = 0; i < n; i++)
            e[i] = r[i] != 0;
    else
        for (int64_t i = 0; i < n; i++)
            e[i * stride] = r[i] != 0;
}

void WK_ISA(install_rows)(void)
{
    wk_dtypes[WK_F32].load[WK_AS_F32] = f32_load;
    wk_dtypes[WK_BF16].load[WK_AS_F32] = bf16_load;
    wk_dtypes[WK_BF16].store[WK_AS_F32] = bf16_store;
    wk_dtypes[WK_F16].load[WK_AS_F32] = f16_load;
    wk_dtypes[WK_F16].store[WK_AS_F32] = f16_store;
    wk_dtypes[WK_BOOL].load[WK_AS_F32] = truth_load;
    wk_dtypes[WK_BOOL].store[WK_AS_F32] = truth_store;
}
