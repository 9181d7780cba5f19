/* SPDX-License-Identifier: MIT */
/*
 * Status codes, the error value, and its way into the host program's error numbers.
 *
 * Nothing here allocates, and whoever fails with "%m" finds errno as it was. Messages are built
 * beside the error first, for the arguments may well be texts of that same error.
 */
#include "base/text.h"

#include <errno.h>
#include <string.h>

static bool is_status(pnx_status status)
{
    return (unsigned)status < PNX_STATUS_COUNT;
}

const char *pnx_status_name(pnx_status status)
{
    static const char *const names[PNX_STATUS_COUNT] = {
        [PNX_OK] = "ok",
        [PNX_PENDING] = "pending",
        [PNX_ETIMEOUT] = "timeout",
        [PNX_EALREADY] = "already cleaned up",
        [PNX_EFAILED] = "failed",
        [PNX_ESHUTDOWN] = "shutting down",
        [PNX_ENOMEM] = "no memory",
        [PNX_EINVAL] = "invalid",
        [PNX_ECANCELED] = "canceled",
        [PNX_ENOTFOUND] = "not found",
        [PNX_EBUSY] = "busy",
        [PNX_EDEADLOCK] = "deadlock",
        [PNX_ELIMIT] = "limit reached",
        [PNX_EABANDONED] = "abandoned",
        [PNX_EUNSUPPORTED] = "unsupported",
        [PNX_EFORKED] = "belongs to the parent process",
    };
    return is_status(status) ? names[status] : "unknown status";
}

pnx_recovery pnx_recovery_of(pnx_status status)
{
    switch (status) {
    case PNX_OK:
    case PNX_PENDING:
        return PNX_RECOVER_NONE;
    case PNX_ETIMEOUT:
    case PNX_ENOMEM:
    case PNX_EBUSY:
        return PNX_RECOVER_RETRY;
    case PNX_EFAILED:
    case PNX_ELIMIT:
    case PNX_EUNSUPPORTED:
        return PNX_RECOVER_FALLBACK;
    case PNX_EALREADY:
    case PNX_ESHUTDOWN:
    case PNX_EINVAL:
    case PNX_ECANCELED:
    case PNX_ENOTFOUND:
    case PNX_EDEADLOCK:
    case PNX_EABANDONED:
    case PNX_EFORKED:
    case PNX_STATUS_COUNT:
        break;
    }
    return PNX_RECOVER_FAIL;
}

/* ---- error value ----------------------------------------------------------------------------- */

/* Does the format print errno? */
static bool shows_errno(const char *format)
{
    for (const char *at = strchr(format, '%'); at; at = strchr(at, '%')) {
        at++;
        at += strspn(at, "#0- +'I123456789.*$hlLqjzt");
        if (*at == 'm') {
            return true;
        }
        if (*at != '\0') {
            at++;
        }
    }
    return false;
}

pnx_status pnx_fail_va(pnx_error *err, pnx_status code, const char *format, va_list args)
{
    if (!err) {
        return code;
    }
    char message[PNX_ERROR_MESSAGE_MAX];
    pnx__text_format_va(message, sizeof(message), format, args);
    /* An errno that nobody talks about is left over from some earlier call. */
    bool has_errno = code == PNX_EFAILED || shows_errno(format);

    *err = (pnx_error){.code = code, .sys_errno = has_errno ? errno : 0};
    memcpy(err->message, message, sizeof(message));
    return code;
}

pnx_status pnx_fail(pnx_error *err, pnx_status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pnx_fail_va(err, code, format, args);
    va_end(args);
    return code;
}

pnx_status pnx_wrap(pnx_error *err, pnx_status code, const char *format, ...)
{
    if (!err) {
        return code;
    }
    va_list args;
    va_start(args, format);
    pnx_error wrapped;
    pnx_fail_va(&wrapped, code, format, args);
    va_end(args);
    if (err->code != PNX_OK) {
        if (!shows_errno(format)) {
            /* Still the errno of the failure, not of what ran since. */
            wrapped.sys_errno = err->sys_errno;
        }
        wrapped.cause = err->cause;
        if (err->cause.code == PNX_OK) {
            wrapped.cause.code = err->code;
            wrapped.cause.sys_errno = err->sys_errno;
            pnx__text_copy(wrapped.cause.message, sizeof(wrapped.cause.message), err->message);
        }
    }
    *err = wrapped;
    return code;
}

static const char *message_or_name(const char *message, pnx_status code)
{
    return message[0] ? message : pnx_status_name(code);
}

size_t pnx_error_format(const pnx_error *err, char *buffer, size_t size)
{
    if (!err) {
        return pnx__text_copy(buffer, size, pnx_status_name(PNX_OK));
    }
    const char *message = message_or_name(err->message, err->code);
    if (err->cause.code == PNX_OK) {
        return pnx__text_copy(buffer, size, message);
    }
    return pnx__text_format(buffer, size, "%s: %s", message,
                            message_or_name(err->cause.message, err->cause.code));
}

void pnx_error_clear(pnx_error *err)
{
    if (err) {
        *err = (pnx_error){0};
    }
}

/* ---- domains --------------------------------------------------------------------------------- */

int pnx_error_in(const pnx_error_domain *domain, const pnx_error *err)
{
    if (!err || err->code == PNX_OK) {
        return 0;
    }
    if (!domain) {
        return (int)err->code;
    }
    int code;
    if (domain->map && domain->map(err, &code)) {
        return code;
    }
    if (is_status(err->code) && domain->codes[err->code] != 0) {
        return domain->codes[err->code];
    }
    return domain->otherwise;
}

static bool map_recorded_errno(const pnx_error *err, int *ret_code)
{
    if (err->sys_errno <= 0) {
        return false;
    }
    *ret_code = -err->sys_errno;
    return true;
}

const pnx_error_domain pnx_domain_errno = {
    .name = "errno",
    .codes =
        {
            [PNX_PENDING] = -EINPROGRESS,
            [PNX_ETIMEOUT] = -ETIMEDOUT,
            [PNX_EALREADY] = -EALREADY,
            [PNX_ESHUTDOWN] = -ESHUTDOWN,
            [PNX_ENOMEM] = -ENOMEM,
            [PNX_EINVAL] = -EINVAL,
            [PNX_ECANCELED] = -ECANCELED,
            [PNX_ENOTFOUND] = -ENOENT,
            [PNX_EBUSY] = -EBUSY,
            [PNX_EDEADLOCK] = -EDEADLK,
            [PNX_ELIMIT] = -EDQUOT,
            [PNX_EABANDONED] = -ETIME,
            [PNX_EUNSUPPORTED] = -EOPNOTSUPP,
            /* As sd-bus(3) does for a bus that is used in a fork child. */
            [PNX_EFORKED] = -ECHILD,
        },
    .otherwise = -EIO,
    .map = map_recorded_errno,
};
