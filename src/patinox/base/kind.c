/* SPDX-License-Identifier: MIT */
/*
 * What the values of kind.h are called, and how priorities rank. Any number may come in: from a C
 * caller who casts, from a damaged file. It gets a name, and no array is read past its end.
 */
#include <patinox/kind.h>

#define NAME_OF(names, value)                                                                      \
    ((unsigned)(value) < sizeof(names) / sizeof((names)[0]) ? (names)[(unsigned)(value)] : NULL)

static const char *or_unknown(const char *name)
{
    return name ? name : "unknown";
}

const char *pnx_priority_name(pnx_priority priority)
{
    static const char *const names[PNX_PRIORITY_COUNT] = {
        [PNX_NORMAL] = "normal",
        [PNX_LOW] = "low",
        [PNX_HIGH] = "high",
        [PNX_CRITICAL] = "critical",
    };
    return or_unknown(NAME_OF(names, priority));
}

unsigned pnx_priority_rank(pnx_priority priority)
{
    switch (priority) {
    case PNX_LOW:
        return 0;
    case PNX_HIGH:
        return 2;
    case PNX_CRITICAL:
        return 3;
    case PNX_NORMAL:
    case PNX_PRIORITY_COUNT:
        break;
    }
    return 1;
}

const char *pnx_reason_name(pnx_reason reason)
{
    static const char *const names[PNX_REASON_COUNT] = {
        [PNX_SCOPE_END] = "scope end",
        [PNX_EXPLICIT] = "explicit",
        [PNX_SHUTDOWN] = "shutdown",
        [PNX_EXPIRY] = "expiry",
        [PNX_MEMORY_PRESSURE] = "memory pressure",
        [PNX_CRASH] = "crash",
    };
    return or_unknown(NAME_OF(names, reason));
}

const char *pnx_state_name(pnx_state state)
{
    static const char *const names[PNX_STATE_COUNT] = {
        [PNX_FREE] = "free",     [PNX_RESERVED] = "reserved", [PNX_LIVE] = "live",
        [PNX_QUEUED] = "queued", [PNX_RUNNING] = "running",   [PNX_WAITING] = "waiting",
        [PNX_DONE] = "done",     [PNX_FAILED] = "failed",     [PNX_ABANDONED] = "abandoned",
    };
    return or_unknown(NAME_OF(names, state));
}
