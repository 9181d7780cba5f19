/* SPDX-License-Identifier: MIT */
/* Ours, as it comes, and in strict order; validation, keep-alive and leak watch are on. */
#include "common/bench.h"
#include "peer.h"

#include <limits.h>
#include <patinox/patinox.h>
#include <patinox/pool.h>
#include <stdlib.h>

static pnx_registry *registry;
static pnx_pool *pool;

static pnx_status close_thing(int thing, const pnx_release *why)
{
    (void)thing;
    (void)why;
    return PNX_OK;
}
PNX_KIND(thing, int, close_thing, .flags = PNX_QUICK);

static pnx_status create(const pnx_pool_call *call, void *ret_value, pnx_error *err)
{
    static int last;
    (void)call;
    (void)err;
    *(int *)ret_value = ++last;
    return PNX_OK;
}

static pnx_status validate(const pnx_pool_call *call, void *value, pnx_error *err)
{
    (void)call;
    (void)value;
    (void)err;
    return PNX_OK;
}

static const pnx_pool_manager manager = {.create = create, .validate = validate};

static void open_with(unsigned size, unsigned bypass_max)
{
    const pnx_pool_config config = {.kind = thing_kind,
                                    .manager = &manager,
                                    .min = size,
                                    .max = size,
                                    .bypass_max = bypass_max};
    if (pnx_registry_create(NULL, &registry, NULL) != PNX_OK ||
        pnx_pool_create(registry, &config, &pool, NULL) != PNX_OK ||
        pnx_pool_warm(pool, size, PNX_FOREVER, NULL) != PNX_OK)
        bench_give_up("cannot make a pool");
}

static void open_default(unsigned size)
{
    open_with(size, 0);
}

static void open_strict(unsigned size)
{
    open_with(size, UINT_MAX);
}

static void cycle(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pnx_lease lease;
        if (pnx_pool_acquire(pool, PNX_FOREVER, &lease, NULL) != PNX_OK)
            bench_give_up("no lease");
        pnx_lease_return(&lease);
    }
}

static void *borrow(void)
{
    pnx_lease *lease = malloc(sizeof *lease);
    if (lease == NULL || pnx_pool_acquire(pool, PNX_FOREVER, lease, NULL) != PNX_OK)
        bench_give_up("no lease");
    return lease;
}

static void give_back(void *handle)
{
    pnx_lease_return(handle);
    free(handle);
}

static void close_pool(void)
{
    if (pnx_pool_close(pool, PNX_FOREVER, NULL, NULL) != PNX_OK ||
        pnx_pool_destroy(pool, NULL) != PNX_OK ||
        pnx_registry_shutdown(registry, NULL, NULL, NULL) != PNX_OK)
        bench_give_up("the pool does not end");
    (void)pnx_registry_destroy(registry, NULL);
}

static const struct pool_operations ours = {open_default, cycle, borrow, give_back, close_pool};
static const struct pool_operations strict = {open_strict, cycle, borrow, give_back, close_pool};

static const struct bench_contender contenders[] = {
    {"patinox", PEER_VERSION, &ours},
    {"patinox, strict", PEER_VERSION, &strict},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return pool_main(argc, argv, contenders);
}
