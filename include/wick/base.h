// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/base.h - errors, threads, progress: what everything else stands on. */
#ifndef WICK_BASE_H
#define WICK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined __GNUC__
#define WK_API          __attribute__((visibility("default")))
#define WK_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WK_API
#define WK_PRINTF(f, a)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ------------------------------------------------------------- */

typedef enum {
    WK_OK,
    WK_ERR_ARGUMENT,    /* a NULL, released or out-of-range argument */
    WK_ERR_SHAPE,       /* shapes that do not fit each other */
    WK_ERR_DTYPE,       /* a dtype the operation does not take */
    WK_ERR_DEVICE,      /* operands on different devices, or a device that failed */
    WK_ERR_MEMORY,      /* host or device memory exhausted */
    WK_ERR_IO,          /* a file or a connection failed */
    WK_ERR_FORMAT,      /* a file is damaged or not what it says it is */
    WK_ERR_UNSUPPORTED, /* understood, but not built or not implemented */
    WK_ERR_INTERRUPTED, /* wk_interrupt() was called */
} wk_status;

WK_API bool        wk_ok(void);      /* no error is pending on this thread */
WK_API wk_status   wk_error(void);   /* the pending error ... */
WK_API const char *wk_message(void); /* ... and its text, "" if none */
WK_API void        wk_clear(void);   /* forget it: operations work again */

/* Record an error.  Only the first one counts: what follows it is a consequence.
 * With WICK_ABORT=1 in the environment the program aborts right here. */
WK_API void wk_fail(wk_status status, const char *format, ...) WK_PRINTF(2, 3);

/* Put "format: " in front of the pending error, if there is one. */
WK_API void wk_context(const char *format, ...) WK_PRINTF(1, 2);

/* Report a pending error on stderr and release everything in this thread's pool.
 * Returns the exit code of a program: 0, or 1 if there was an error. */
WK_API int wk_finish(void);

/* ---- The process -------------------------------------------------------- */

WK_API const char *wk_version(void); /* "0.1.0" */

/* The optional libraries of this build: number i, NULL at the end. */
typedef struct {
    const char *name;
    bool        present;
    const char *purpose; /* what needs it */
    const char *get;     /* how to have it */
} wk_feature;

WK_API const wk_feature *wk_features(int i);

/* How many threads the kernels use: by default one for each physical core this
 * process may run on, or WICK_THREADS. */
WK_API int  wk_threads(void);
WK_API void wk_set_threads(int count);

/* Ask long operations (generation, training, loading) on all threads to stop with
 * WK_ERR_INTERRUPTED.  May be called from a signal handler. */
WK_API void wk_interrupt(void);
WK_API bool wk_interrupted(void); /* has it been called? */
WK_API void wk_resume(void);      /* forget it */

/* Progress bars on stderr for what takes longer than a second.  Off by default;
 * never drawn where stderr is not a terminal. */
WK_API void wk_show_progress(bool on);

/* Messages of the library on stderr: 0 errors only, 1 warnings (default), 2 info,
 * 3 debug.  WICK_LOG=error|warn|info|debug sets it from outside. */
WK_API void wk_set_log_level(int level);

#ifdef __cplusplus
}
#endif
#endif
