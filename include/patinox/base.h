/* SPDX-License-Identifier: MIT */
/**
 * @file base.h
 * The ground every other room stands on: status codes and error values, resource ids, time and the
 * log hook.
 *
 * Promises: nothing here allocates, blocks or aborts; every function may be called from any thread,
 * and those marked *signal-safe* from a signal handler too.
 */
#ifndef PATINOX_BASE_H
#define PATINOX_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PNX_VERSION_MAJOR 0
#define PNX_VERSION_MINOR 1
#define PNX_VERSION_PATCH 0

#if defined(__GNUC__)
#define PNX_API __attribute__((visibility("default")))
#define PNX_MUST_CHECK __attribute__((warn_unused_result))
#define PNX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PNX_LIKELY(x) __builtin_expect(!!(x), 1)
#define PNX_UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#error "patinox needs GCC or Clang: guards are built on __attribute__((cleanup))"
#endif

/** The version of the library that is loaded, "0.1.0"; compare with PNX_VERSION_* of the header. */
PNX_API const char *pnx_version(void);

/* ---- status ---------------------------------------------------------------------------------- */

/** What became of a call or a release. Zero is success; every failure is positive. */
typedef enum pnx_status {
    PNX_OK = 0,
    PNX_PENDING,      /**< a release goes on and will be completed through its token */
    PNX_ETIMEOUT,     /**< did not finish before its deadline */
    PNX_EALREADY,     /**< already cleaned up: there is nothing left to give back */
    PNX_EFAILED,      /**< the operation itself failed; errno says why where it can */
    PNX_ESHUTDOWN,    /**< the registry takes nothing in any more */
    PNX_ENOMEM,       /**< no memory; nothing was changed */
    PNX_EINVAL,       /**< an argument is wrong; the message names it */
    PNX_ECANCELED,    /**< canceled on request before it started */
    PNX_ENOTFOUND,    /**< no such thing, and there never was one under this id */
    PNX_EBUSY,        /**< in use; try again later */
    PNX_EDEADLOCK,    /**< would wait for itself, e.g. a shutdown called from a release */
    PNX_ELIMIT,       /**< a configured limit is reached; the message names it */
    PNX_EABANDONED,   /**< given up: it did not finish in time and could not be retried */
    PNX_EUNSUPPORTED, /**< this machine, build or configuration cannot do it */
    PNX_EFORKED,      /**< the object belongs to the parent process of this fork child */
    PNX_STATUS_COUNT
} pnx_status;

/**
 * Short lower-case text of a status: "timeout", "already cleaned up", … Never NULL. Signal-safe.
 */
PNX_API const char *pnx_status_name(pnx_status status);

/** What to do about a status. */
typedef enum pnx_recovery {
    PNX_RECOVER_NONE,     /**< nothing to recover from: success or pending */
    PNX_RECOVER_RETRY,    /**< may well succeed when tried again: timeout, busy, no memory */
    PNX_RECOVER_FALLBACK, /**< this way failed; another way may not: failed, unsupported */
    PNX_RECOVER_FAIL,     /**< neither helps: already cleaned up, shutting down, invalid, … */
} pnx_recovery;

/** The recovery that a status calls for; the registry follows it for releases. Signal-safe. */
PNX_API pnx_recovery pnx_recovery_of(pnx_status status);

/* ---- error value ----------------------------------------------------------------------------- */

#define PNX_ERROR_MESSAGE_MAX 224
#define PNX_ERROR_CAUSE_MAX 160

/**
 * Says more about a failure than its status can. A plain value that the caller owns, usually on the
 * stack: `pnx_error err = {0};`. Functions take `pnx_error *err`, which may be NULL, and write it
 * only when they fail. Nothing in it is allocated, nothing has to be freed. Texts are always
 * terminated; too long ones are cut and end in "...".
 */
typedef struct pnx_error {
    pnx_status code;
    int sys_errno; /**< errno at the time, or 0 where it had nothing to do with it; see pnx_fail */
    struct {
        pnx_status code; /**< PNX_OK: there is no cause */
        int sys_errno;
        char message[PNX_ERROR_CAUSE_MAX];
    } cause; /**< the first failure, kept when callers wrap it */
    char message[PNX_ERROR_MESSAGE_MAX];
} pnx_error;

/**
 * Fills `err` (if not NULL) and returns `code`, so that `return pnx_fail(err, PNX_EINVAL, "…")`
 * reads well. `%m` prints errno, as in syslog(3). errno is recorded when the format shows it by
 * `%m` or the code is PNX_EFAILED: any other errno is left over from an earlier call. It is left
 * unchanged. The arguments may be texts of `err` itself.
 */
PNX_API pnx_status pnx_fail(pnx_error *err, pnx_status code, const char *format, ...)
    PNX_PRINTF(3, 4);
PNX_API pnx_status pnx_fail_va(pnx_error *err, pnx_status code, const char *format, va_list args)
    PNX_PRINTF(3, 0);

/**
 * Adds context to a failure that `err` already holds: what it said becomes the cause (a cause that
 * is there already stays: the first failure matters most), the new text becomes the message. The
 * errno stays that of the failure unless the format shows a new one by `%m`. An `err` that holds
 * nothing is filled as by pnx_fail.
 */
PNX_API pnx_status pnx_wrap(pnx_error *err, pnx_status code, const char *format, ...)
    PNX_PRINTF(3, 4);

/** "message: cause message" into `buffer`; returns the length it would need, like snprintf(3). */
PNX_API size_t pnx_error_format(const pnx_error *err, char *buffer, size_t size);

/** Forgets what `err` held. `err` may be NULL. */
PNX_API void pnx_error_clear(pnx_error *err);

/**
 * Maps failures into the host program's own error numbers. A domain is a static const table; codes
 * that it does not list (0) map to `otherwise`. `map`, if set, is asked first and may look at the
 * whole error; it answers true when it has decided.
 */
typedef struct pnx_error_domain {
    const char *name;
    int codes[PNX_STATUS_COUNT]; /**< indexed by pnx_status */
    int otherwise;
    bool (*map)(const pnx_error *err, int *ret_code);
} pnx_error_domain;

/**
 * The number that `err` has in `domain`; PNX_OK, and no error at all (NULL), is always 0. Without
 * a domain it is the status itself. Either may be built at run time.
 */
PNX_API int pnx_error_in(const pnx_error_domain *domain, const pnx_error *err);

/** Negative errno values, as the kernel and systemd use them; a recorded errno wins. */
extern PNX_API const pnx_error_domain pnx_domain_errno;

/* ---- time ------------------------------------------------------------------------------------ */

/** A span of time in nanoseconds. */
typedef int64_t pnx_duration;
/** A point on the monotonic clock of a registry, in nanoseconds; never compared across machines. */
typedef int64_t pnx_time;

#define PNX_NS(n) ((pnx_duration)(n))
#define PNX_US(n) ((pnx_duration)(n)*1000)
#define PNX_MS(n) ((pnx_duration)(n)*1000000)
#define PNX_S(n) ((pnx_duration)(n)*1000000000)
/** No limit, never: as a span or as a point in time. */
#define PNX_FOREVER INT64_MAX

/** `time + span` that saturates at PNX_FOREVER instead of overflowing. Signal-safe. */
static inline pnx_time pnx_time_after(pnx_time time, pnx_duration span)
{
    pnx_time sum;
    return __builtin_add_overflow(time, span, &sum) ? (span < 0 ? INT64_MIN : PNX_FOREVER) : sum;
}

/**
 * A clock that can be injected. `now` must be monotonic and callable from any thread. `wait_until`
 * is not part of it: a registry with an injected clock is stepped by hand (see pnx_registry_step).
 */
typedef struct pnx_clock {
    pnx_time (*now)(const struct pnx_clock *clock);
    void *context;
} pnx_clock;

/** CLOCK_MONOTONIC now. It stands still while the machine is suspended. Signal-safe. */
PNX_API pnx_time pnx_monotonic_now(void);
/**
 * CLOCK_MONOTONIC_COARSE: a tick (1 to 10 ms) behind at most, several times cheaper. Signal-safe.
 */
PNX_API pnx_time pnx_monotonic_coarse(void);

/**
 * Reads a span of time: "1.5s", "200ms", "2m30s", "1h", "7d", "250us", "100ns", "0", "forever"; a
 * number without a unit is in seconds and stands alone. Spaces around and between parts are
 * allowed. Never rounds: what is finer than a nanosecond is invalid. Does not ask the locale. On
 * failure `*ret` is untouched and the error names the text and where it went wrong. PNX_EINVAL,
 * PNX_ELIMIT (overflow).
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_span_parse(const char *text, pnx_duration *ret,
                                                 pnx_error *err);
/**
 * An exact text that people can read and pnx_span_parse reads back: whole days, hours and minutes,
 * then one decimal number of the largest unit that fits: "1.5s", "2m30s", "250us", "1d2h", "0",
 * "forever". A negative span begins with "-" (and is not read back). Like snprintf(3).
 */
PNX_API size_t pnx_span_format(pnx_duration span, char *buffer, size_t size);

/* ---- resource id ----------------------------------------------------------------------------- */

/**
 * The name of one resource, for ever: a UUID of version 8 (RFC 9562, section 5.8). 64 bits are
 * random per registry and process, 26 are the slot that leads to the resource in constant time, 32
 * count the slot's uses, so that a stale id is always detected: a slot whose count would wrap is
 * retired. Ids are unique, not secret: do not use them as tokens.
 */
typedef struct pnx_id {
    uint64_t high; /**< the first eight bytes of the UUID, in host order */
    uint64_t low;
} pnx_id;

#define PNX_ID_TEXT_SIZE 37 /**< 36 characters and the terminator */
#define PNX_ID_NONE ((pnx_id){0, 0})

static inline bool pnx_id_equal(pnx_id a, pnx_id b)
{
    return a.high == b.high && a.low == b.low;
}
static inline bool pnx_id_is_none(pnx_id id)
{
    return (id.high | id.low) == 0;
}
/** <0, 0, >0 in the order of the printed form. */
PNX_API int pnx_id_compare(pnx_id a, pnx_id b);
/** Well mixed 64 bits, for hash tables. */
PNX_API uint64_t pnx_id_hash(pnx_id id);
/** Writes "xxxxxxxx-xxxx-8xxx-xxxx-xxxxxxxxxxxx" and returns `buffer`. Signal-safe. */
PNX_API char *pnx_id_format(pnx_id id, char buffer[PNX_ID_TEXT_SIZE]);
/** Reads the 36-character form in either case. Any UUID is accepted. PNX_EINVAL. */
PNX_MUST_CHECK PNX_API pnx_status pnx_id_parse(const char *text, pnx_id *ret, pnx_error *err);

/* ---- log hook -------------------------------------------------------------------------------- */

typedef enum pnx_log_level {
    PNX_LOG_ERROR,
    PNX_LOG_WARNING,
    PNX_LOG_INFO,
    PNX_LOG_DEBUG,
} pnx_log_level;

/** Receives one line without newline. Must not call back into the library; may run anywhere. */
typedef void (*pnx_log_fn)(pnx_log_level level, const char *message, void *context);

/**
 * Sets where the library's own few words go; NULL is silence, which is the default. Lines above
 * `most` are not even formatted. Process-wide; set it before the registries are made, from one
 * thread at a time: a line that another thread has to say just then goes nowhere.
 */
PNX_API void pnx_log_set(pnx_log_fn log, void *context, pnx_log_level most);
/** A ready-made hook: "patinox: warning: …" on stderr, one write(2) a line. */
PNX_API void pnx_log_stderr(pnx_log_level level, const char *message, void *context);

#ifdef __cplusplus
}
#endif

#endif
