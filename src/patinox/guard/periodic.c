/* SPDX-License-Identifier: MIT */
/*
 * Periodic tasks: a timer of the registry's, not a thread. The registry sees to the rhythm, and
 * that no two ticks run at a time; here is only what ties one to its scope.
 */
#include "guard/scope.h"

#include <string.h>

/* Timers count ticks of a millisecond in 32 bits. */
#define LONGEST PNX_S(52 * 86400)

struct tick {
    pnx_action_fn run;
    void *argument;
};
_Static_assert(sizeof(struct tick) <= PNX_VALUE_MAX, "a tick is a value");

static pnx_status run_tick(void *value, const pnx_release *why)
{
    struct tick tick;
    memcpy(&tick, value, sizeof tick);
    (void)why;
    return tick.run(tick.argument);
}

/* What keeps ticking is the registry's; there is nothing else to give back. */
static pnx_status stop(void *value, const pnx_release *why)
{
    (void)value;
    (void)why;
    return PNX_OK;
}

static const pnx_kind periodic_kind = {
    .name = "periodic",
    .value_size = sizeof(struct tick),
    .release = stop,
    .run_fallback = run_tick,
};

pnx_status pnx__periodic_start(pnx_scope *handle, const char *name, pnx_duration period,
                               pnx_action_fn tick, void *argument, const pnx_site *site,
                               pnx_periodic *ret, pnx_error *err)
{
    pnx_status status;
    struct pnx__scope *scope = pnx__scope_usable(handle, &status, err);
    if (scope == NULL) {
        return status;
    }
    if (tick == NULL) {
        return pnx_fail(err, PNX_EINVAL, "scope %s: the tick of a periodic task is NULL",
                        scope->name);
    }
    if (period < PNX_MS(1) || period > LONGEST) {
        char text[48];
        pnx_span_format(period, text, sizeof text);
        return pnx_fail(err, PNX_EINVAL, "scope %s: the period is %s: accepted is 1ms to 52d",
                        scope->name, text);
    }
    status = pnx__scope_room(scope, 1, err);
    if (status != PNX_OK) {
        return status;
    }
    const struct tick value = {tick, argument};
    pnx_id id;
    status =
        pnx__register_periodic(scope->registry, &periodic_kind, &value, site, period, &id, err);
    if (status != PNX_OK) {
        return status;
    }
    if (name != NULL) {
        /* For reports; copied there. */
        status = pnx_resource_set_metadata(scope->registry, id, "name", name, err);
    }
    if (status != PNX_OK) {
        (void)pnx_release_later(scope->registry, id, NULL);
        return status;
    }
    pnx__scope_push(scope, pnx__slot_of(scope->registry, id), pnx__id_generation(id));
    if (ret != NULL) {
        ret->id = id;
    }
    return PNX_OK;
}
