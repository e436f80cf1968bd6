// SPDX-License-Identifier: MIT OR Apache-2.0
/* conf.h - config.json and its like: values by name, and what nobody asked for.
 *
 * Nested values have dotted names ("rope_scaling.factor", "eos_token_id.0").  What was
 * asked for is what is understood: the rest can be listed and refused. */
#ifndef WK_CONF_H
#define WK_CONF_H

#include "../base/base.h"

typedef struct wk_conf wk_conf;

wk_conf *wk_conf_parse(const char *file, const char *data, size_t size);
wk_conf *wk_conf_open(const char *path);
void     wk_conf_free(wk_conf *c);

bool        wk_conf_named(const wk_conf *c, const char *key); /* if only as null */
bool        wk_conf_has(wk_conf *c, const char *key);         /* and it is not null */
double      wk_conf_number(wk_conf *c, const char *key, double otherwise);
int64_t     wk_conf_int(wk_conf *c, const char *key, int64_t otherwise);
int32_t     wk_conf_int32(wk_conf *c, const char *key, int32_t otherwise);
int64_t     wk_conf_size(wk_conf *c, const char *key, int64_t otherwise); /* 1 .. 2^31; 0: needed */
bool        wk_conf_bool(wk_conf *c, const char *key, bool otherwise);
const char *wk_conf_text(wk_conf *c, const char *key, const char *otherwise);

/* What begins so is understood, whatever it says. */
void wk_conf_accept(wk_conf *c, const char *prefix);

/* The first value that nobody asked for and whose name begins with none of the prefixes.
 * null, false and empty containers count as absent.  NULL: there is none. */
const char *wk_conf_unknown(const wk_conf *c, const char *const *harmless);
const char *wk_conf_file(const wk_conf *c);

#endif
