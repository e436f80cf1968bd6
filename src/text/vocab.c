// SPDX-License-Identifier: MIT OR Apache-2.0
/* vocab.c - pieces and their ids, both ways.
 *
 * The text of all pieces is one block of memory.  A hash table with eight bytes for
 * each slot leads from a piece to its id, an array from an id to its piece. */
#include "text.h"

enum { MAX_ID = (1 << 24) - 1 };

static const uint32_t NO_PIECE = UINT32_MAX; /* the size of what is not there */

struct wk_vocab_slot {
    uint32_t hash;
    int32_t  id; /* plus 1; 0: free */
};

wk_str wk_vocab_piece(const wk_vocab *v, int32_t id)
{
    if (id < 0 || (size_t)id >= v->size || v->piece[id].size == NO_PIECE)
        return (wk_str){ 0 };
    return (wk_str){ v->text + v->piece[id].at, v->piece[id].size };
}

/* The slot of a piece, or the free one where it would go. */
static struct wk_vocab_slot *find(const wk_vocab *v, wk_str piece, uint32_t hash)
{
    for (size_t i = hash & (v->slots - 1);; i = (i + 1) & (v->slots - 1)) {
        struct wk_vocab_slot *s = &v->slot[i];
        if (!s->id || (s->hash == hash && wk_str_eq(wk_vocab_piece(v, s->id - 1), piece)))
            return s;
    }
}

int32_t wk_vocab_find(const wk_vocab *v, wk_str piece)
{
    return v->slots ? find(v, piece, (uint32_t)wk_hash(piece.at, piece.size))->id - 1 : -1;
}

/* At most two thirds of the slots are used. */
static bool grow(wk_vocab *v)
{
    if (v->slots && (v->count + 1) * 3 <= v->slots * 2)
        return true;
    size_t                slots = v->slots ? 2 * v->slots : 1024;
    struct wk_vocab_slot *slot = wk_alloc_array(slots, sizeof *slot);
    if (!slot)
        return false;
    for (size_t i = 0; i < v->slots; i++)
        if (v->slot[i].id) {
            size_t to = v->slot[i].hash & (slots - 1);
            while (slot[to].id)
                to = (to + 1) & (slots - 1);
            slot[to] = v->slot[i];
        }
    wk_free(v->slot);
    v->slot = slot;
    v->slots = slots;
    return true;
}

static bool bad_id(wk_str piece, int64_t id, const char *why)
{
    wk_fail(WK_ERR_FORMAT, "\"%.*s\" has the id %lld, which is %s",
            (int)wk_min_i64((int64_t)piece.size, 60), piece.at, (long long)id, why);
    return false;
}

/* Of equal pieces the last one counts. */
bool wk_vocab_add(wk_vocab *v, wk_str piece, int64_t id)
{
    if (id < 0 || id > MAX_ID)
        return bad_id(piece, id, "not from 0 to 16777215");
    if (v->text_size + piece.size >= UINT32_MAX) {
        wk_fail(WK_ERR_FORMAT, "more than 4 GiB of pieces");
        return false;
    }
    if (!grow(v) || !wk_reserve(&v->text, &v->text_room, v->text_size + piece.size + 1, 1) ||
        !wk_reserve(&v->piece, &v->room, (size_t)id + 1, sizeof *v->piece))
        return false;
    for (; v->size <= (size_t)id; v->size++)
        v->piece[v->size].size = NO_PIECE;

    uint32_t              hash = (uint32_t)wk_hash(piece.at, piece.size);
    struct wk_vocab_slot *s = find(v, piece, hash);
    if (v->piece[id].size != NO_PIECE && s->id != (int32_t)id + 1)
        return bad_id(piece, id, "that of another piece, too");
    if (s->id)
        v->piece[s->id - 1].size = NO_PIECE;
    else
        v->count++;
    *s = (struct wk_vocab_slot){ hash, (int32_t)id + 1 };
    v->piece[id] = (wk_vocab_place){ (uint32_t)v->text_size, (uint32_t)piece.size };
    memcpy(v->text + v->text_size, piece.at, piece.size);
    v->text[v->text_size + piece.size] = '\0';
    v->text_size += piece.size + 1;
    if (piece.size > v->longest)
        v->longest = piece.size;
    return true;
}

void wk_vocab_free(wk_vocab *v)
{
    wk_free(v->text);
    wk_free(v->piece);
    wk_free(v->slot);
    *v = (wk_vocab){ 0 };
}
