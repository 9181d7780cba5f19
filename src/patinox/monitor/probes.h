/* SPDX-License-Identifier: MIT */
/*
 * Static probes of provider "patinox", one per event type, at the same places as the events; for
 * bpftrace, perf, SystemTap and gdb (docs/monitoring.md shows how). A probe is one nop and a note
 * in the ELF file (systemtap's <sys/sdt.h>). What costs is computing its arguments, so pass what
 * is at hand: the kind's name is a memory operand, read only by whoever traces.
 *
 *     PNX__PROBE(started, id, kind, priority, status, attempt, duration)
 *
 *     arg0, arg1  id.high, id.low
 *     arg2        name of the kind
 *     arg3        enum pnx_priority
 *     arg4        enum pnx_status
 *     arg5        attempt, 1 for the first
 *     arg6        nanoseconds: `queued` of "started", `ran` of the others; -1: not known
 *
 * shutdown_begin and shutdown_end have no arguments: PNX__PROBE_SHUTDOWN(shutdown_begin).
 */
#ifndef PNX_MONITOR_PROBES_H
#define PNX_MONITOR_PROBES_H

#include <patinox/monitor.h>

#if PNX_PROBES

#include <sys/sdt.h>

#define PNX__PROBE(probe, id, kind, priority, status, attempt, duration)                           \
    DTRACE_PROBE7(patinox, probe, (id).high, (id).low, (kind)->name, (priority), (status),         \
                  (attempt), (duration))
#define PNX__PROBE_SHUTDOWN(probe) DTRACE_PROBE(patinox, probe)

#else

/* Never run; but the arguments stay in use, and are type-checked in every build. */
#define PNX__PROBE(probe, id, kind, priority, status, attempt, duration)                           \
    ((void)sizeof((id).high + (id).low + (uintptr_t)(kind)->name + (priority) + (status) +         \
                  (attempt) + (duration)))
#define PNX__PROBE_SHUTDOWN(probe) ((void)0)

#endif

/** The probe of an event that is at hand anyway. With a constant type it folds to one probe. */
#define PNX__PROBE_EVENT(event) pnx__probe_event(event)

static inline __attribute__((always_inline)) void pnx__probe_event(const pnx_event *e)
{
#define PNX__PROBE_CASE(TYPE, probe, duration)                                                     \
    case PNX_EVENT_##TYPE:                                                                         \
        PNX__PROBE(probe, e->id, e->kind, e->priority, e->status, e->attempt, e->duration);        \
        break
    switch (e->type) {
        PNX__PROBE_CASE(REGISTERED, registered, ran);
        PNX__PROBE_CASE(SCHEDULED, scheduled, ran);
        PNX__PROBE_CASE(STARTED, started, queued);
        PNX__PROBE_CASE(COMPLETED, completed, ran);
        PNX__PROBE_CASE(FAILED, failed, ran);
        PNX__PROBE_CASE(RETRIED, retried, ran);
        PNX__PROBE_CASE(TIMED_OUT, timed_out, ran);
        PNX__PROBE_CASE(FALLBACK, fallback, ran);
        PNX__PROBE_CASE(ABANDONED, abandoned, ran);
        PNX__PROBE_CASE(LATE_COMPLETION, late_completion, ran);
        PNX__PROBE_CASE(SCHEDULE_FAILED, schedule_failed, ran);
        PNX__PROBE_CASE(LEAKED, leaked, ran);
    case PNX_EVENT_SHUTDOWN_BEGIN:
        PNX__PROBE_SHUTDOWN(shutdown_begin);
        break;
    case PNX_EVENT_SHUTDOWN_END:
        PNX__PROBE_SHUTDOWN(shutdown_end);
        break;
    case PNX_EVENT_COUNT:
        break;
    }
#undef PNX__PROBE_CASE
}

#endif
