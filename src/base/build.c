// SPDX-License-Identifier: MIT OR Apache-2.0
/* build.c - what this build is, and what it was built with. */
#include "base.h"

#if defined WICK_PCRE2
#define HAS_PCRE2 true
#else
#define HAS_PCRE2 false
#endif
#if defined WICK_UTF8PROC
#define HAS_UTF8PROC true
#else
#define HAS_UTF8PROC false
#endif

static const wk_feature features[] = {
    { "pcre2", HAS_PCRE2, "tokenizers with unusual patterns",
      "install libpcre2-dev and make again" },
    { "utf8proc", HAS_UTF8PROC, "tokenizers that normalise Unicode",
      "install libutf8proc-dev and make again" },
};

const char *wk_version(void) { return WICK_VERSION; }

const wk_feature *wk_features(int i)
{
    return i >= 0 && (size_t)i < WK_COUNT(features) ? &features[i] : NULL;
}
