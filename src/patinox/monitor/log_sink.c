/* SPDX-License-Identifier: MIT */
/* A monitor that tells the log hook what somebody should look at. */
#include "base/log.h"
#include "base/text.h"

#include <patinox/monitor.h>

/* Which events are worth a line. A final loss is an error, trouble on the way is a warning. */
static bool level_of(pnx_event_type type, pnx_log_level *ret)
{
    switch (type) {
    case PNX_EVENT_FAILED:
    case PNX_EVENT_ABANDONED:
        *ret = PNX_LOG_ERROR;
        return true;
    case PNX_EVENT_RETRIED:
    case PNX_EVENT_TIMED_OUT:
    case PNX_EVENT_FALLBACK:
    case PNX_EVENT_LATE_COMPLETION:
    case PNX_EVENT_SCHEDULE_FAILED:
    case PNX_EVENT_LEAKED:
        *ret = PNX_LOG_WARNING;
        return true;
    default:
        return false;
    }
}

void pnx_monitor_log(const pnx_event *event, void *unused)
{
    char id[PNX_ID_TEXT_SIZE];
    char where[128] = "";
    pnx_log_level level;
    (void)unused;

    if (event->lost > 0) {
        pnx__log(PNX_LOG_WARNING, "%u events were lost: the monitors are too slow", event->lost);
    }
    if (!level_of(event->type, &level)) {
        return;
    }
    if (event->site) {
        pnx__text_format(where, sizeof(where), ", reserved at %s:%d", event->site->file,
                         event->site->line);
    }
    pnx__log(level, "%s %s: %s (%s, %s, attempt %u)%s",
             event->kind && event->kind->name ? event->kind->name : "resource",
             pnx_id_format(event->id, id), pnx_event_name(event->type),
             pnx_reason_name(event->reason), pnx_status_name(event->status), event->attempt, where);
}
