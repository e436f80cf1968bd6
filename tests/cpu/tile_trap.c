// SPDX-License-Identifier: MIT OR Apache-2.0
/* tile_trap.c - a handler of SIGILL that does what tile instructions would have done.
 *
 * So the machine code that ships is tested, operand order, addresses and strides
 * included, where nobody can run it.  Encodings are from Intel's instruction set
 * reference: VEX in three bytes, map 0F 38, W and L 0;
 *
 *   NP 49 /0 mem  ldtilecfg     F2 4B  tileloadd     F3 5C  tdpbf16ps  reg += rm x vvvv
 *   NP 49 C0      tilerelease   66 4B  tileloaddt1
 *   F2 49 11:reg  tilezero      F3 4B  tilestored */
#include "tile_trap.h"

#if defined __x86_64__ && defined __linux__

#define WK_TILE_EMULATED
#include "../../src/cpu/x86/tile.h"

#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>
#include <unistd.h>

static _Thread_local bool configured;
static struct sigaction   before;
static atomic_long        caught;

static void refuse(const char *why)
{
    ssize_t n = write(2, "tile_trap: ", 11);
    n += write(2, why, strlen(why));
    n += write(2, "\n", 1);
    _exit(n > 0 ? 3 : 4);
}

/* ---- Decoding ----------------------------------------------------------- */

typedef struct {
    int            opcode, prefix, reg, rm, vvvv; /* prefix: 0 none, 1 66, 2 F3, 3 F2 */
    bool           memory, has_sib;
    char          *base; /* of memory, with the displacement; and SIB's index, scaled */
    long           stride;
    const uint8_t *after;
} instruction;

static long value(const ucontext_t *u, int number)
{
    static const int names[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                   REG_R12, REG_R13, REG_R14, REG_R15 };
    return u->uc_mcontext.gregs[names[number]];
}

/* The memory operand: mod, rm, SIB and displacement; b and x extend register numbers. */
static const uint8_t *decode_memory(instruction *i, const ucontext_t *u, const uint8_t *p, int mod,
                                    int b, int x)
{
    long    base = 0, move = 0;
    bool    relative = mod == 0 && i->rm == 5;
    int8_t  byte;
    int32_t word;
    i->has_sib = i->rm == 4;
    if (i->has_sib) {
        int sib = *p++, index = (sib >> 3 & 7) | x << 3, low = sib & 7;
        i->stride = index == 4 ? 0 : value(u, index) << (sib >> 6);
        if (mod == 0 && low == 5)
            refuse("a memory operand without base");
        base = value(u, low | b << 3);
    } else if (!relative) {
        base = value(u, i->rm | b << 3);
    }
    if (mod == 1) {
        memcpy(&byte, p, 1), p += 1;
        move = byte;
    } else if (mod == 2 || relative) {
        memcpy(&word, p, 4), p += 4;
        move = word;
    }
    i->base = (char *)((relative ? (long)p : base) + move); /* nothing follows it */
    return p;
}

static bool decode(instruction *i, const ucontext_t *u)
{
    const uint8_t *p = (const uint8_t *)u->uc_mcontext.gregs[REG_RIP];
    if (p[0] != 0xC4 || (p[1] & 0x1F) != 2 || p[2] & 0x84)
        return false;
    int r = !(p[1] & 0x80), x = !(p[1] & 0x40), b = !(p[1] & 0x20), mod = p[4] >> 6;
    *i = (instruction){ .opcode = p[3], .prefix = p[2] & 3, .vvvv = ~p[2] >> 3 & 15 };
    i->reg = (p[4] >> 3 & 7) | r << 3;
    i->rm = p[4] & 7;
    i->memory = mod != 3;
    p += 5;
    if (i->memory)
        p = decode_memory(i, u, p, mod, b, x);
    else
        i->rm |= b << 3;
    i->after = p;
    return i->opcode == 0x49 || i->opcode == 0x4B || i->opcode == 0x5C;
}

/* ---- Execution ---------------------------------------------------------- */

static void configure(const instruction *i)
{
    tile_config c, full = tile_full_config();
    memcpy(&c, i->base, sizeof c);
    if (memcmp(&c, &full, sizeof c)) /* all that the kernels ever ask for */
        refuse("a configuration other than 8 tiles of 16 rows of 64 bytes");
    memset(tile_emulated, 0, sizeof tile_emulated);
    configured = true;
}

static bool execute(const instruction *i)
{
    int what = i->opcode << 4 | i->prefix;
    if (what == 0x490 && i->memory && i->reg == 0 && i->vvvv == 0) {
        configure(i);
        return true;
    }
    if (what == 0x490 && !i->memory && i->reg == 0 && i->rm == 0 && i->vvvv == 0) {
        configured = false;
        return true;
    }
    if (!configured)
        refuse("no tiles are configured");
    if (i->reg > 7 || i->vvvv > 7 || (!i->memory && i->rm > 7))
        refuse("a tile beyond the seventh");
    if (what == 0x493 && !i->memory && i->rm == 0 && i->vvvv == 0)
        memset(tile_emulated[i->reg], 0, sizeof tile_emulated[i->reg]);
    else if ((what == 0x4B3 || what == 0x4B1) && i->has_sib && i->vvvv == 0)
        tile_move_in(i->reg, i->base, i->stride);
    else if (what == 0x4B2 && i->has_sib && i->vvvv == 0)
        tile_move_out(i->reg, i->base, i->stride);
    else if (what == 0x5C2 && !i->memory && i->reg != i->rm && i->reg != i->vvvv &&
             i->rm != i->vvvv)
        tile_dot_bf16(i->reg, i->rm, i->vvvv);
    else
        return false;
    return true;
}

static void on_illegal(int number, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    instruction i;
    (void)number, (void)info;
    if (!decode(&i, u) || !execute(&i))
        refuse("an illegal instruction");
    atomic_fetch_add(&caught, 1);
    u->uc_mcontext.gregs[REG_RIP] = (greg_t)i.after;
}

void trap_begin(void)
{
    struct sigaction s = { .sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO };
    atomic_store(&caught, 0);
    sigaction(SIGILL, &s, &before);
}

long trap_end(void)
{
    sigaction(SIGILL, &before, NULL);
    return atomic_load(&caught);
}

bool trap_released(void) { return !configured; }

#endif
