/* SPDX-License-Identifier: MIT */
/* What events are called. */
#include <patinox/monitor.h>

static const char *const event_names[] = {
    [PNX_EVENT_REGISTERED] = "registered",
    [PNX_EVENT_SCHEDULED] = "scheduled",
    [PNX_EVENT_STARTED] = "started",
    [PNX_EVENT_COMPLETED] = "completed",
    [PNX_EVENT_FAILED] = "failed",
    [PNX_EVENT_RETRIED] = "retried",
    [PNX_EVENT_TIMED_OUT] = "timed out",
    [PNX_EVENT_FALLBACK] = "fallback",
    [PNX_EVENT_ABANDONED] = "abandoned",
    [PNX_EVENT_LATE_COMPLETION] = "late completion",
    [PNX_EVENT_SCHEDULE_FAILED] = "schedule failed",
    [PNX_EVENT_LEAKED] = "leaked",
    [PNX_EVENT_SHUTDOWN_BEGIN] = "shutdown begin",
    [PNX_EVENT_SHUTDOWN_END] = "shutdown end",
};
_Static_assert(sizeof(event_names) / sizeof(event_names[0]) == PNX_EVENT_COUNT, "a name for each");

const char *pnx_event_name(pnx_event_type type)
{
    return (unsigned)type < PNX_EVENT_COUNT ? event_names[type] : "unknown";
}
