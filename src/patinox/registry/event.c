/* SPDX-License-Identifier: MIT */
/*
 * Events out of the registry, to monitors and static probes. Only called when somebody listens.
 */
#include "registry/internal.h"

void pnx__tell_slow(struct pnx_registry *registry, pnx_event_type type, const pnx__about *about,
                    pnx_status status, pnx_time time, pnx_duration queued, pnx_duration ran)
{
    pnx_event event = {
        .type = type,
        .status = status,
        .time = time != 0 ? time : pnx__tick_time(registry),
        .queued = queued,
        .ran = ran,
    };
    if (about != NULL) {
        event.id = about->id;
        event.kind = about->kind->kind;
        event.site = about->site;
        event.priority = pnx__priority_of(about->word);
        event.reason = pnx__reason_of(about->word);
        event.attempt = pnx__attempt_of(about->word);
    }
    PNX__PROBE_EVENT(&event);
    pnx__hub_emit(registry->hub, &event);
    /* Delivering is a step's work; the step that this thread is in will do it before it ends. */
    if (registry->config.wake != NULL &&
        !(pnx__is_stepper(registry) &&
          atomic_load_explicit(&registry->manual_stepping, memory_order_relaxed) != 0))
        registry->config.wake(registry->config.wake_context);
}
