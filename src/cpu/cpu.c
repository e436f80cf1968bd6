// SPDX-License-Identifier: MIT OR Apache-2.0
/* cpu.c - the CPU as a device, and the choice of its instruction set. */
#include "cpu.h"
#include "quants.h"
#include "shared.h"

#include "x86/amx.h"

#include <stdio.h>
#include <stdlib.h>
#if defined WITH_avx2
#include <cpuid.h>
#endif
#if defined WITH_dotprod
#include <sys/auxv.h>
#endif

/* ---- Instruction sets --------------------------------------------------- */

static bool always(void) { return true; }

#if defined WITH_avx2
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static bool leaf_7_1(unsigned bit)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> bit & 1;
}
/* Not where the compiler may use AVX-512 in kernels for AVX2 (-march=native). */
static bool has_avxvnni(void)
{
    return has_avx2() && leaf_7_1(4) && !wk_cpu_quant_kernels_avx2.bias;
}
static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
static bool has_vnni(void) { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
static bool has_avx512bf16(void) { return has_vnni() && leaf_7_1(5); }
/* Intel's processors take two cycles for each product of pairs. */
static bool has_avx512panels(void) { return has_avx512bf16() && __builtin_cpu_is("intel"); }
static bool has_amx(void) { return has_avx512bf16() && wk_amx_usable(); }
#endif

#if defined WITH_dotprod
static bool has_dotprod(void) { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP; }
static bool has_i8mm(void) { return has_dotprod() && getauxval(AT_HWCAP2) & HWCAP2_I8MM; }
#endif

static const struct { /* from the plainest to the best */
    const wk_cpu_isa *isa;
    bool (*has)(void);
} known[] = {
    { &wk_cpu_base, always },
#if defined WITH_avx2
    { &wk_cpu_avx2, has_avx2 },
    { &wk_cpu_avxvnni, has_avxvnni },
    { &wk_cpu_avx512, has_avx512 },
    { &wk_cpu_avx512vnni, has_vnni },
    { &wk_cpu_avx512bf16, has_avx512bf16 },
    { &wk_cpu_avx512panels, has_avx512panels },
    { &wk_cpu_amx, has_amx },
#elif defined WITH_dotprod
    { &wk_cpu_dotprod, has_dotprod },
    { &wk_cpu_i8mm, has_i8mm },
#endif
};

static const wk_cpu_isa *current;

int wk_cpu_list(const wk_cpu_isa **isas, int room)
{
    int n = 0;
    for (size_t i = 0; i < WK_COUNT(known) && n < room; i++)
        if (known[i].has())
            isas[n++] = known[i].isa;
    return n;
}

void wk_cpu_use(const wk_cpu_isa *isa)
{
    current = isa;
    isa->install_rows();
}

const wk_cpu_isa *wk_cpu_current(void) { return current; }

static void choose(void)
{
    const wk_cpu_isa *isas[WK_COUNT(known)];
    const char       *wish = getenv("WICK_CPU");
    int               n = wk_cpu_list(isas, (int)WK_COUNT(known)), i = n - 1;
    for (int k = 0; wish && k < n; k++)
        if (!strcmp(wish, isas[k]->name))
            i = k;
    if (wish && strcmp(wish, isas[i]->name))
        wk_say(WK_LOG_WARN, "WICK_CPU=%s is not in this build or processor: using %s", wish,
               isas[i]->name);
    wk_cpu_use(isas[i]);
}

/* ---- The device --------------------------------------------------------- */

static int count(void) { return 1; }

static bool open_cpu(wk_device *d)
{
    (void)d;
    choose();
    return true;
}

static void *alloc(wk_device *d, size_t bytes)
{
    (void)d;
    return wk_alloc_pages(bytes);
}

static void release(wk_device *d, void *memory, size_t bytes)
{
    (void)d;
    wk_free_pages(memory, bytes);
}

static bool upload(wk_device *d, void *memory, size_t at, const void *from, size_t bytes)
{
    (void)d;
    if (bytes)
        memcpy((char *)memory + at, from, bytes);
    return true;
}

static bool download(wk_device *d, void *to, const void *memory, size_t at, size_t bytes)
{
    (void)d;
    if (bytes)
        memcpy(to, (const char *)memory + at, bytes);
    return true;
}

static bool sync_cpu(wk_device *d)
{
    (void)d;
    return true;
}

/* All of wick/unary.def and wick/binary.def have one entry, the last one.  What no
 * instruction set has of its own is in the table that they share. */
static const wk_kernel *kernel(wk_device *d, int op)
{
    (void)d;
    if (op > WK_OP_LISTED)
        op = WK_OP_LISTED;
    const wk_kernel *k = &current->kernels[op];
    return k->run ? k : &wk_cpu_shared[op];
}

wk_tensor *wk_packed_new(wk_tensor *w, const wk_packing *packing)
{
    wk_scope   scope = wk_mark();
    bool       lazy = w->storage->file && wk_bytes(w) == w->storage->bytes;
    wk_tensor *all = w;
    if (!lazy)
        all = wk_pool(wk_tensor_new(w->storage->device, w->dtype, packing->room(w)));
    wk_tensor *y = all ? wk_pool(wk_tensor_view(all)) : NULL;
    if (y) {
        if (!lazy)
            packing->fill(w, wk_at_host(all));
        y->shape = w->shape;
        wk_dense_strides(y->shape, y->stride);
        y->packing = packing;
        if (w->name)
            wk_set_name(y, w->name);
    }
    return wk_yield(scope, wk_ok() ? y : NULL);
}

void *wk_packed_data(const wk_tensor *w, bool needed)
{
    wk_storage *s = w->storage, *packed, *before = NULL;
    size_t      bytes;
    if (!s->file)
        return wk_at_host(w);
    if ((packed = s->packed) || !needed)
        return packed ? packed->data : NULL;
    if (!wk_bytes_of(w->dtype, w->packing->room(w), &bytes) ||
        !(packed = wk_storage_new(s->device, bytes)))
        return NULL;
    w->packing->fill(w, packed->data);
    if (!atomic_compare_exchange_strong(&s->packed, &before, packed)) {
        wk_storage_release(packed); /* another thread was faster */
        return before->data;
    }
    if (!s->version)
        wk_file_unread(s->data, s->bytes);
    return packed->data;
}

static wk_tensor *pack(wk_tensor *weight)
{
    if (wk_is_quantized(weight))
        return current->quant ? wk_quants_pack(weight) : weight;
    return current->pack ? current->pack(weight) : weight;
}

static const char *detail(const wk_device *d)
{
    (void)d;
    return current->name;
}

static const char *options(const wk_device *d)
{
    static char       names[128]; /* the same every time */
    const wk_cpu_isa *isas[WK_COUNT(known)];
    int               n = wk_cpu_list(isas, (int)WK_COUNT(known));
    size_t            at = 0;
    (void)d;
    for (int i = 0; i < n; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? " " : "", isas[i]->name);
    return names;
}

const wk_backend wk_cpu_backend = {
    .name = "cpu",
    .host = true,
    .count = count,
    .open = open_cpu,
    .alloc = alloc,
    .release = release,
    .upload = upload,
    .download = download,
    .sync = sync_cpu,
    .kernel = kernel,
    .pack = pack,
    .detail = detail,
    .options = options,
};
