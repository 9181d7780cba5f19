/* SPDX-License-Identifier: MIT */
/* A monitor of one's own: it sees what happens, and cannot hold it up. */
#include <patinox/patinox.h>
#include <stdio.h>

static void watch(const pnx_event *event, void *prefix)
{
    if (event->kind != NULL)
        printf("%s%s %s (%s)\n", (const char *)prefix, event->kind->name,
               pnx_event_name(event->type), pnx_status_name(event->status));
}

static pnx_status refuse(int value, const pnx_release *why)
{
    (void)value, (void)why;
    return PNX_EFAILED;
}
PNX_KIND(lock, int, refuse);

int main(void)
{
    pnx_registry *registry = pnx_registry_default();
    pnx_monitor *monitor;
    pnx_error err = {0};
    if (pnx_monitor_attach(registry, watch, "seen: ", &monitor, &err) != PNX_OK)
        return 1;
    {
        pnx_auto(lock) lock = pnx_reserve(lock, registry, &err);
        if (lock.status || !pnx_arm(&lock, 1))
            return 1;
    }
    /* Idle means: everything has ended, and its events are delivered. */
    if (pnx_registry_wait_idle(registry, PNX_FOREVER) != PNX_OK)
        return 1;
    pnx_health health;
    pnx_registry_health(registry, NULL, &health);
    printf("health: %s\n", pnx_health_name(health.level));
    return pnx_monitor_detach(monitor) == PNX_OK ? 0 : 1;
}

/* Prints:
 *   seen: lock registered (ok)
 *   seen: lock scheduled (ok)
 *   seen: lock started (ok)
 *   seen: lock failed (failed)
 *   health: ok
 */
