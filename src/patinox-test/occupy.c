/* SPDX-License-Identifier: MIT */
/*
 * Occupies workers: each runs a release that waits to be let go. One after the other, so that no
 * worker takes two of them.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

struct pnx_test_occupation {
    unsigned count;
    pnx_test_resource *resources[];
};

static pnx_status run(void *value, const pnx_release *why)
{
    return pnx_test_release(*(pnx_test_resource **)value, why);
}

static const pnx_kind occupied_kind = {
    .name = "pnx_test_occupied", /* the recording monitor knows it by this name */
    .priority = PNX_CRITICAL,
    .timeout = PNX_FOREVER,
    .max_concurrency = UINT32_MAX,
    .value_size = sizeof(pnx_test_resource *),
    .release = run,
};

static pnx_status occupy_one(pnx_registry *registry, pnx_test_resource *resource, pnx_error *err)
{
    pnx_id id;
    pnx_test_always(resource, PNX_TEST_HANG);
    const pnx_status status = pnx_register(registry, &occupied_kind, &resource, PNX_HERE, &id, err);
    if (status != PNX_OK)
        return status;
    (void)pnx_release_later(registry, id, NULL);
    if (pnx_test_wait_begun(resource, 1, PNX_TEST_PATIENCE) == PNX_OK)
        return PNX_OK;
    (void)pnx_unregister(registry, id, NULL, NULL);
    return pnx_fail(err, PNX_ETIMEOUT, "registry %s: no worker could be occupied",
                    pnx_registry_name(registry));
}

pnx_test_occupation *pnx_test_occupy(pnx_registry *registry, unsigned workers, pnx_error *err)
{
    if (workers == 0) {
        pnx_stats stats = {0};
        if (pnx_registry_stats(registry, &stats, err) != PNX_OK)
            return NULL;
        workers = stats.workers - stats.workers_hung;
        pnx_stats_done(&stats);
    }
    pnx_test_occupation *occupation =
        pnx__test_alloc(sizeof *occupation + workers * sizeof occupation->resources[0]);
    while (occupation->count < workers) {
        pnx_test_resource *resource = pnx_test_resource_new("occupied", NULL);
        occupation->resources[occupation->count++] = resource;
        if (occupy_one(registry, resource, err) != PNX_OK) {
            /* It may still run one day: then it must not hang, nor be gone. */
            pnx_test_let_go(resource);
            occupation->count--;
            pnx_test_vacate(occupation);
            return NULL;
        }
    }
    return occupation;
}

void pnx_test_vacate(pnx_test_occupation *occupation)
{
    if (occupation == NULL)
        return;
    for (unsigned i = 0; i < occupation->count; i++)
        pnx_test_let_go(occupation->resources[i]);
    for (unsigned i = 0; i < occupation->count; i++)
        pnx_test_resource_free(occupation->resources[i]);
    free(occupation);
}
