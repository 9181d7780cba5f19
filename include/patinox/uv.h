/* SPDX-License-Identifier: MIT */
/**
 * @file uv.h
 * A registry on a libuv loop: no threads of its own, releases run between the loop's other
 * callbacks. For programs that live in one loop and whose things belong to its thread, as every
 * uv_handle_t does. A library of its own, libpatinox-uv; docs/uv.md tells the whole story.
 *
 * Promises:
 *   - Releases, fallbacks, ticks and monitors run on the loop's thread, about a millisecond of them
 *     a turn; what is wrapped by PNX_UV_POOL runs in libuv's thread pool instead.
 *   - Dropping is as safe and as cheap from any thread: it wakes the loop by uv_async_send.
 *   - With nothing to do there is no timer and no wake-up. The loop is kept alive by what is queued
 *     or waits for a retry, and by what runs in the pool; not by what is live, nor by what is
 *     pending elsewhere.
 *
 * Unless said otherwise call these functions on the loop's thread, or before the loop runs.
 */
#ifndef PATINOX_UV_H
#define PATINOX_UV_H

#include <patinox/registry.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* uv_loop_t; <uv.h> itself does not compile in strict ISO C. */
struct uv_loop_s;

/** A registry and the loop that runs it. */
typedef struct pnx_uv pnx_uv;

/**
 * Makes a registry that `loop` runs; the loop must outlive it. `config` may be NULL; its executor,
 * `wake` and `clock` are this library's business and must be unset. End it by pnx_uv_close.
 * PNX_EINVAL, PNX_ENOMEM, PNX_EFAILED (libuv refused; the error says why).
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_uv_create(struct uv_loop_s *loop, const pnx_config *config,
                                                pnx_uv **ret, pnx_error *err);
/** Its registry, for guards, scopes and everything else. From any thread. */
PNX_API pnx_registry *pnx_uv_registry(const pnx_uv *uv);
/** Its loop. From any thread. */
PNX_API struct uv_loop_s *pnx_uv_loop(const pnx_uv *uv);

/**
 * All is closed: `report` and `status` are what pnx_registry_shutdown would answer. The report is
 * the library's, valid during the call. The pnx_uv is gone, and so is the registry, unless guards
 * still refer to it: it then stays for ever, and they run their releases inline.
 */
typedef void (*pnx_uv_closed_fn)(const pnx_report *report, pnx_status status, void *context);

/**
 * Ends it in the background while the loop turns on: closes the intake, releases what is queued and
 * (unless options->live says to keep it) live, until the grace is over; then shuts down what is
 * left, which blocks the loop for as long as fallbacks take, at most options->hard. Then calls
 * `closed` (may be NULL). Keeps the loop alive until then. `options` may be NULL. May be called
 * from inside a release. In a fork child (after uv_loop_fork) only the handles are closed, and
 * `status` is PNX_EFORKED. PNX_EALREADY: it is being closed.
 */
PNX_API pnx_status pnx_uv_close(pnx_uv *uv, const pnx_shutdown_options *options,
                                pnx_uv_closed_fn closed, void *context);

/**
 * For the release function of a kind whose giving back blocks: runs `function` on a copy of `value`
 * (at most PNX_VALUE_MAX bytes) in libuv's thread pool and answers PNX_PENDING; what `function`
 * answers completes the release. Where there is no loop to turn (`why` is of another registry, or
 * somebody waits on the loop's thread) or no memory, it runs here and now instead.
 *
 * The pool's threads are few (4, see UV_THREADPOOL_SIZE) and belong to everybody: a release that
 * hangs or ends its thread takes one of them for ever. Time in the pool's queue counts against the
 * kind's timeout, so give the kind a `.max_concurrency`. A release that is late before it begins
 * does not begin, if the kind will retry or fall back while it still might run (PNX_IDEMPOTENT,
 * PNX_FALLBACK_CONCURRENT). All signals are blocked during the call. Inside of it, do not wait for
 * releases. PNX_UV_POOL makes this typed.
 */
PNX_API pnx_status pnx_uv_work(const pnx_release *why, pnx_release_fn function, const void *value,
                               size_t size);

#ifdef __cplusplus
}
#endif

/**
 * PNX_UV_POOL(name, type, function) defines the release (or fallback) `name` that runs `function`
 * in libuv's pool:
 *
 *     static pnx_status close_log(struct log *log, const pnx_release *why) { … fsync … }
 *     PNX_UV_POOL(close_log_in_pool, struct log *, close_log)
 *     PNX_KIND(log, struct log *, close_log_in_pool, .max_concurrency = 2);
 */
#define PNX_UV_POOL(NAME, TYPE, FUNCTION)                                                          \
    static pnx_status NAME##__bytes(void *bytes, const pnx_release *why)                           \
    {                                                                                              \
        __typeof__(TYPE) value;                                                                    \
        memcpy(&value, bytes, sizeof value);                                                       \
        return FUNCTION(value, why);                                                               \
    }                                                                                              \
    static pnx_status NAME(__typeof__(TYPE) value, const pnx_release *why)                         \
    {                                                                                              \
        return pnx_uv_work(why, NAME##__bytes, &value, sizeof value);                              \
    }

#endif
