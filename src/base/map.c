// SPDX-License-Identifier: MIT OR Apache-2.0
/* map.c - a hash map from borrowed strings to integers: open addressing, linear
 * probing, at most three quarters full.  The hash is seeded anew in each process,
 * so that no file can be made to collide. */
#include "base.h"

#include <time.h>

struct wk_map_slot {
    wk_str   key; /* at is NULL: free */
    uint32_t hash;
    int64_t  value;
};

static uint64_t hash_seed(void)
{
    static _Atomic uint64_t seed;
    uint64_t                s = atomic_load_explicit(&seed, memory_order_relaxed);
    if (!s) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        uint64_t mine = (uint64_t)(uintptr_t)&t * 0x9E3779B97F4A7C15u ^
                        (uint64_t)t.tv_nsec * 0xD1B54A32D192ED03u ^ (uint64_t)t.tv_sec;
        mine |= 1;
        s = atomic_compare_exchange_strong(&seed, &s, mine) ? mine : s;
    }
    return s;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * 0x9FB21C651E98DF25u;
    return a ^ a >> 32;
}

uint64_t wk_hash(const void *data, size_t size)
{
    const char *p = data;
    uint64_t    h = hash_seed() ^ size * 0x9E3779B97F4A7C15u, word;
    for (; size >= 8; p += 8, size -= 8) {
        memcpy(&word, p, 8);
        h = mix(h, word);
    }
    word = 0;
    if (size)
        memcpy(&word, p, size);
    h = mix(h, word);
    return mix(h, h >> 29);
}

/* The slot of key, or the free one where it would go. */
static struct wk_map_slot *find(const wk_map *m, wk_str key, uint32_t hash)
{
    for (size_t i = hash & (m->room - 1);; i = (i + 1) & (m->room - 1)) {
        struct wk_map_slot *s = &m->slot[i];
        if (!s->key.at || (s->hash == hash && wk_str_eq(s->key, key)))
            return s;
    }
}

static bool rebuild(wk_map *m, size_t room)
{
    struct wk_map_slot *old = m->slot;
    size_t              n = m->room;
    wk_map              grown = { .slot = wk_alloc_array(room, sizeof *old), .room = room };
    if (!grown.slot)
        return false;
    for (size_t i = 0; i < n; i++)
        if (old[i].key.at)
            *find(&grown, old[i].key, old[i].hash) = old[i];
    grown.count = m->count;
    *m = grown;
    wk_free(old);
    return true;
}

bool wk_map_reserve(wk_map *m, size_t count)
{
    size_t room = m->room ? m->room : 16;
    while (room / 4 * 3 < count)
        room *= 2;
    return room == m->room || rebuild(m, room);
}

bool wk_map_put(wk_map *m, wk_str key, int64_t value)
{
    if (!wk_map_reserve(m, m->count + 1))
        return false;
    uint32_t            hash = (uint32_t)wk_hash(key.at, key.size);
    struct wk_map_slot *s = find(m, key, hash);
    m->count += !s->key.at;
    *s = (struct wk_map_slot){ { key.at ? key.at : "", key.size }, hash, value };
    return true;
}

bool wk_map_get(const wk_map *m, wk_str key, int64_t *value)
{
    if (!m->room)
        return false;
    struct wk_map_slot *s = find(m, key, (uint32_t)wk_hash(key.at, key.size));
    if (s->key.at && value)
        *value = s->value;
    return s->key.at != NULL;
}

void wk_map_free(wk_map *m)
{
    wk_free(m->slot);
    *m = (wk_map){ 0 };
}
