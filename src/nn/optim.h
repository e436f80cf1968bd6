// SPDX-License-Identifier: MIT OR Apache-2.0
/* optim.h - what optimisers are made of: a rule that turns a parameter, its gradient and
 * some state of the parameter's shape into the parameter's next value. */
#ifndef WK_NN_OPTIM_H
#define WK_NN_OPTIM_H

#include "../core/core.h"
#include <wick/optim.h>

enum { MOST_STATE = 3 };

typedef struct {
    const char *name;
    int         states; /* tensors kept for each parameter, at first zero */
    /* Of other shapes than the parameter's, and false where state k is not needed. */
    bool (*shape)(const wk_optim *o, const wk_tensor *p, int k, wk_shape *out);
    wk_optim_args defaults; /* of numbers that are 0 */
    void (*update)(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state);
} wk_rule;

typedef struct {
    char  *part; /* of names */
    double lr, decay;
    bool   adamw;
} wk_group;

/* What is kept of a parameter from its first gradient on. */
typedef struct {
    wk_tensor *state[MOST_STATE];
    wk_tensor *wide; /* the parameter in f32, where it is narrower */
    int64_t    steps;
    double     product; /* of nadam's momenta so far */
} wk_slot;

struct wk_optim {
    wk_optim_args  arg; /* while a parameter is updated, lr and decay are its own ... */
    int64_t        steps;
    double         product; /* ... and so are these */
    bool           adamw;
    const wk_rule *rule;
    wk_slot       *slot; /* of each parameter of the store */
    size_t         count, room;
    wk_group      *group;
    size_t         groups, group_room;
};

wk_optim *wk_optim_new(const wk_optim_args *args, const wk_rule *rule);

#endif
