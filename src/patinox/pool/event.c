/* SPDX-License-Identifier: MIT */
/* What the events of a pool are called. */
#include <patinox/pool.h>

static const char *const names[PNX_POOL_EVENT_COUNT] = {
    [PNX_POOL_CREATED] = "created",
    [PNX_POOL_CREATE_FAILED] = "create failed",
    [PNX_POOL_CREATE_LATE] = "create late",
    [PNX_POOL_CHECK_LATE] = "check late",
    [PNX_POOL_INVALID] = "invalid",
    [PNX_POOL_RESET_FAILED] = "reset failed",
    [PNX_POOL_BROKEN] = "broken",
    [PNX_POOL_RETIRED] = "retired",
    [PNX_POOL_IDLE_TIMEOUT] = "idle timeout",
    [PNX_POOL_EVICTED] = "evicted",
    [PNX_POOL_LOST] = "lost",
    [PNX_POOL_HELD_TOO_LONG] = "held too long",
    [PNX_POOL_NESTED] = "nested acquire",
    [PNX_POOL_ACQUIRE_TIMEOUT] = "acquire timeout",
    [PNX_POOL_CIRCUIT_OPEN] = "circuit open",
    [PNX_POOL_CIRCUIT_HALF_OPEN] = "circuit half open",
    [PNX_POOL_CIRCUIT_CLOSED] = "circuit closed",
};

const char *pnx_pool_event_name(pnx_pool_event_type type)
{
    return (unsigned)type < PNX_POOL_EVENT_COUNT ? names[type] : "unknown";
}
