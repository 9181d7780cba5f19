/* SPDX-License-Identifier: MIT */
/* A monitor that records. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pnx_test_monitor {
    pnx_monitor *attached; /* NULL: detached */
    pnx__test_lock lock;   /* guards all that follows */
    pnx_event *events;
    size_t count, room;
    char *shown;
};

static void record(const pnx_event *event, void *context)
{
    pnx_test_monitor *monitor = context;
    if (event->kind != NULL && strcmp(event->kind->name, "pnx_test_occupied") == 0)
        return;
    pnx__test_acquire(&monitor->lock);
    monitor->events =
        pnx__test_grow(monitor->events, monitor->count, &monitor->room, sizeof *monitor->events);
    monitor->events[monitor->count++] = *event;
    pnx__test_tell(&monitor->lock);
    pnx__test_release(&monitor->lock);
}

pnx_test_monitor *pnx_test_monitor_new(pnx_registry *registry, pnx_error *err)
{
    pnx_test_monitor *monitor = pnx__test_alloc(sizeof *monitor);
    pnx__test_lock_init(&monitor->lock);
    if (pnx_monitor_attach(registry, record, monitor, &monitor->attached, err) == PNX_OK)
        return monitor;
    monitor->attached = NULL;
    pnx_test_monitor_free(monitor);
    return NULL;
}

void pnx_test_monitor_detach(pnx_test_monitor *monitor)
{
    (void)pnx_monitor_detach(monitor->attached);
    monitor->attached = NULL;
}

void pnx_test_monitor_free(pnx_test_monitor *monitor)
{
    if (monitor == NULL)
        return;
    pnx_test_monitor_detach(monitor);
    pnx__test_lock_done(&monitor->lock);
    free(monitor->events);
    free(monitor->shown);
    free(monitor);
}

/* ---- what it has seen ------------------------------------------------------------------------ */

size_t pnx_test_monitor_size(pnx_test_monitor *monitor)
{
    pnx__test_acquire(&monitor->lock);
    const size_t count = monitor->count;
    pnx__test_release(&monitor->lock);
    return count;
}

bool pnx_test_monitor_at(pnx_test_monitor *monitor, size_t index, pnx_event *ret)
{
    pnx__test_acquire(&monitor->lock);
    const bool there = index < monitor->count;
    if (there)
        *ret = monitor->events[index];
    pnx__test_release(&monitor->lock);
    return there;
}

static size_t count(const pnx_event *events, size_t size, pnx_event_type type, const pnx_id *id)
{
    size_t found = 0;
    for (size_t i = 0; i < size; i++)
        found += events[i].type == type && (id == NULL || pnx_id_equal(events[i].id, *id));
    return found;
}

size_t pnx_test_monitor_count(pnx_test_monitor *monitor, pnx_event_type type)
{
    pnx__test_acquire(&monitor->lock);
    const size_t found = count(monitor->events, monitor->count, type, NULL);
    pnx__test_release(&monitor->lock);
    return found;
}

size_t pnx_test_monitor_count_of(pnx_test_monitor *monitor, pnx_event_type type, pnx_id id)
{
    pnx__test_acquire(&monitor->lock);
    const size_t found = count(monitor->events, monitor->count, type, &id);
    pnx__test_release(&monitor->lock);
    return found;
}

void pnx_test_monitor_clear(pnx_test_monitor *monitor)
{
    pnx__test_acquire(&monitor->lock);
    monitor->count = 0;
    pnx__test_release(&monitor->lock);
}

/* ---- waiting --------------------------------------------------------------------------------- */

pnx_status pnx_test_monitor_wait(pnx_test_monitor *monitor, pnx_test_condition condition,
                                 void *context, pnx_duration patience)
{
    const pnx_time deadline = pnx_time_after(pnx_monotonic_now(), patience);
    bool holds;
    pnx__test_acquire(&monitor->lock);
    while (!(holds = condition(monitor->events, monitor->count, context)) &&
           pnx__test_wait(&monitor->lock, deadline))
        continue;
    pnx__test_release(&monitor->lock);
    return holds ? PNX_OK : PNX_ETIMEOUT;
}

struct wanted {
    pnx_event_type type;
    size_t count;
};

static bool are_there(const pnx_event *events, size_t size, void *context)
{
    const struct wanted *wanted = context;
    return count(events, size, wanted->type, NULL) >= wanted->count;
}

pnx_status pnx_test_monitor_wait_count(pnx_test_monitor *monitor, pnx_event_type type,
                                       size_t wanted_count, pnx_duration patience)
{
    struct wanted wanted = {type, wanted_count};
    return pnx_test_monitor_wait(monitor, are_there, &wanted, patience);
}

/* ---- as text --------------------------------------------------------------------------------- */

/* The how many-th resource of its kind, by when it was first seen, from 1 on. */
static unsigned number_of(const pnx_test_monitor *monitor, const pnx_event *event)
{
    unsigned number = 0;
    for (size_t i = 0; i < monitor->count; i++) {
        const pnx_event *other = &monitor->events[i];
        if (other->kind == NULL || strcmp(other->kind->name, event->kind->name) != 0)
            continue;
        bool seen = false;
        for (size_t k = 0; k < i && !seen; k++)
            seen = pnx_id_equal(monitor->events[k].id, other->id);
        number += !seen;
        if (pnx_id_equal(other->id, event->id))
            break;
    }
    return number;
}

static void write_event(FILE *out, const pnx_test_monitor *monitor, const pnx_event *event)
{
    (void)fputs(pnx_event_name(event->type), out);
    if (event->kind != NULL)
        (void)fprintf(out, " %s %u", event->kind->name, number_of(monitor, event));
    switch (event->type) {
    case PNX_EVENT_SCHEDULED:
        (void)fprintf(out, ": %s, %s", pnx_priority_name(event->priority),
                      pnx_reason_name(event->reason));
        break;
    case PNX_EVENT_STARTED:
    case PNX_EVENT_FALLBACK:
    case PNX_EVENT_COMPLETED:
        (void)fprintf(out, ": attempt %u", event->attempt);
        break;
    case PNX_EVENT_RETRIED:
    case PNX_EVENT_TIMED_OUT:
    case PNX_EVENT_FAILED:
    case PNX_EVENT_ABANDONED:
    case PNX_EVENT_LATE_COMPLETION:
        (void)fprintf(out, ": attempt %u, %s", event->attempt, pnx_status_name(event->status));
        break;
    case PNX_EVENT_SHUTDOWN_END:
        (void)fprintf(out, ": %s", pnx_status_name(event->status));
        break;
    default:
        break;
    }
    (void)fputc('\n', out);
}

const char *pnx_test_monitor_text(pnx_test_monitor *monitor, unsigned flags)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    pnx__test_acquire(&monitor->lock);
    for (size_t i = 0; out != NULL && i < monitor->count; i++) {
        const pnx_event *event = &monitor->events[i];
        char time[48];
        if ((flags & PNX_TEST_TIMES) != 0) {
            (void)pnx_span_format(event->time, time, sizeof time);
            (void)fprintf(out, "%s ", time);
        }
        write_event(out, monitor, event);
    }
    if (out != NULL)
        (void)fclose(out);
    free(monitor->shown);
    monitor->shown = text != NULL ? text : pnx__test_alloc(1);
    pnx__test_release(&monitor->lock);
    return monitor->shown;
}
