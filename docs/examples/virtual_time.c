/* SPDX-License-Identifier: MIT */
/* Time in a test's own hands: an hour passes in no time, and always in the same way. */
#include <patinox/patinox.h>
#include <stdio.h>

static pnx_time time_now = PNX_S(1);

static pnx_time tell_time(const pnx_clock *clock)
{
    (void)clock;
    return time_now;
}

static pnx_status end_session(int number, const pnx_release *why)
{
    printf("session %d ends: %s\n", number, pnx_reason_name(why->reason));
    return PNX_OK;
}
PNX_KIND(session, int, end_session);

int main(void)
{
    const pnx_clock clock = {.now = tell_time};
    const pnx_config config = {.executor = PNX_MANUAL, .clock = &clock};
    pnx_registry *registry;
    pnx_error err = {0};
    if (pnx_registry_create(&config, &registry, &err) != PNX_OK)
        return 1;
    int number = 1;
    pnx_id id;
    if (pnx_register(registry, session_kind, &number, PNX_HERE, &id, &err) != PNX_OK ||
        pnx_expire_idle(registry, id, PNX_S(3600)) != PNX_OK)
        return 1;

    time_now += PNX_S(3599);
    printf("after 59:59: %zu\n", pnx_registry_step(registry, 100));
    (void)pnx_touch(registry, id); /* somebody used it: another hour */
    time_now += PNX_S(3599);
    printf("touched: %s\n", pnx_state_name(pnx_registry_state(registry, id)));
    time_now += PNX_S(2);
    while (pnx_registry_step(registry, 100) > 0) {
    }
    (void)pnx_registry_shutdown(registry, NULL, NULL, NULL);
    return pnx_registry_destroy(registry, &err) == PNX_OK ? 0 : 1;
}

/* Prints:
 *   after 59:59: 0
 *   touched: live
 *   session 1 ends: expiry
 */
