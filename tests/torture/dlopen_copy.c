/* SPDX-License-Identifier: MIT */
/* An object with a copy of the library of its own inside; see dlopen.c. */
#include <patinox/guard.h>
#include <stdatomic.h>

static _Atomic int released;

static pnx_status release(int value, const pnx_release *why)
{
    (void)value;
    (void)why;
    atomic_fetch_add(&released, 1);
    return PNX_OK;
}
PNX_KIND(thing, int, release);

PNX_API void *copy_default(void);
PNX_API int copy_use(void *registry, int count);

void *copy_default(void)
{
    return pnx_registry_default();
}

/* Acquires and drops `count`; answers how many of them were released. */
int copy_use(void *registry, int count)
{
    const int before = atomic_load(&released);
    for (int i = 0; i < count; i++) {
        pnx_auto(thing) guard = pnx_reserve(thing, (pnx_registry *)registry, NULL);
        if (guard.status != PNX_OK || !pnx_arm(&guard, i))
            return -1;
    }
    if (pnx_registry_wait_idle(registry, PNX_FOREVER) != PNX_OK)
        return -2;
    return atomic_load(&released) - before;
}
