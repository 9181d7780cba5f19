/* SPDX-License-Identifier: MIT */
/* A monitor that writes each event as one line of JSON; keys in docs/monitoring.md. */
#include <inttypes.h>
#include <patinox/monitor.h>

static void write_resource(FILE *out, const pnx_event *event)
{
    char id[PNX_ID_TEXT_SIZE];

    fprintf(out, ",\"id\":\"%s\"", pnx_id_format(event->id, id));
    if (event->kind) {
        fputs(",\"kind\":", out);
        pnx_json_string(out, event->kind->name);
    }
    fprintf(out, ",\"priority\":\"%s\",\"reason\":\"%s\",\"status\":\"%s\",\"attempt\":%u",
            pnx_priority_name(event->priority), pnx_reason_name(event->reason),
            pnx_status_name(event->status), event->attempt);
    if (event->queued >= 0) {
        fprintf(out, ",\"queued_ns\":%" PRId64, event->queued);
    }
    if (event->ran >= 0) {
        fprintf(out, ",\"ran_ns\":%" PRId64, event->ran);
    }
    if (event->site) {
        fputs(",\"file\":", out);
        pnx_json_string(out, event->site->file);
        fprintf(out, ",\"line\":%d,\"function\":", event->site->line);
        pnx_json_string(out, event->site->function);
    }
}

void pnx_monitor_json_lines(const pnx_event *event, void *file)
{
    FILE *out = file;

    flockfile(out); /* the program may write to it too; a line stays whole */
    fprintf(out, "{\"event\":\"%s\",\"time_ns\":%" PRId64, pnx_event_name(event->type),
            event->time);
    if (!pnx_id_is_none(event->id)) {
        write_resource(out, event);
    }
    if (event->lost > 0) {
        fprintf(out, ",\"lost\":%u", event->lost);
    }
    fputs("}\n", out);
    fflush(out);
    funlockfile(out);
}
