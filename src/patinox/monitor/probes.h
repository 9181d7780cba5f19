/* SPDX-License-Identifier: MIT */
/*
 * Static probes of provider "patinox", one for each event type, at the same places as the events;
 * for bpftrace, perf, SystemTap and gdb (docs/monitoring.md shows how). A probe is one nop and a
 * note in the ELF file (systemtap's <sys/sdt.h>); a tracer that uses any of them raises the counter
 * `pnx__tracers`, without which no event is made at all (pnx__hub_active).
 *
 *     PNX__PROBE(started, id, kind, priority, status, attempt, duration)
 *
 *     arg0  name of the kind
 *     arg1  nanoseconds: `queued` of "started", `ran` of the others; -1: not known
 *     arg2  enum pnx_status
 *     arg3  attempt, 1 for the first
 *     arg4  enum pnx_priority
 *     arg5  id.low, which tells resources of one registry apart
 *     arg6  id.high; last, for bpftrace reads only six
 *
 * (perf counts from arg1.) shutdown_begin and shutdown_end have no arguments:
 * PNX__PROBE_SHUTDOWN(shutdown_begin).
 */
#ifndef PNX_MONITOR_PROBES_H
#define PNX_MONITOR_PROBES_H

#include <patinox/monitor.h>

#if PNX_PROBES

/** How many tracers use a probe, in the terms of <sys/sdt.h>: one semaphore for all probes. */
extern unsigned short pnx__tracers;

#define _SDT_HAS_SEMAPHORES 1
#define patinox_registered_semaphore pnx__tracers
#define patinox_scheduled_semaphore pnx__tracers
#define patinox_started_semaphore pnx__tracers
#define patinox_completed_semaphore pnx__tracers
#define patinox_failed_semaphore pnx__tracers
#define patinox_retried_semaphore pnx__tracers
#define patinox_timed_out_semaphore pnx__tracers
#define patinox_fallback_semaphore pnx__tracers
#define patinox_abandoned_semaphore pnx__tracers
#define patinox_late_completion_semaphore pnx__tracers
#define patinox_schedule_failed_semaphore pnx__tracers
#define patinox_leaked_semaphore pnx__tracers
#define patinox_shutdown_begin_semaphore pnx__tracers
#define patinox_shutdown_end_semaphore pnx__tracers
#include <sys/sdt.h>

/** Does anybody trace? Relaxed: a tracer writes it from outside, at any time. */
static inline bool pnx__traced(void)
{
    return __atomic_load_n(&pnx__tracers, __ATOMIC_RELAXED) != 0;
}

#define PNX__PROBE(probe, id, kind, priority, status, attempt, duration)                           \
    DTRACE_PROBE7(patinox, probe, (kind)->name, (duration), (status), (attempt), (priority),       \
                  (id).low, (id).high)
#define PNX__PROBE_SHUTDOWN(probe) DTRACE_PROBE(patinox, probe)

#else

static inline bool pnx__traced(void)
{
    return false;
}

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
