/* SPDX-License-Identifier: MIT */
/*
 * APR: clean-ups of a pool, last in first out, in the calling thread. Not thread-safe.
 */
#include "common/bench.h"
#include "peer.h"

#include <apr_general.h>
#include <apr_pools.h>

static apr_status_t give_back(void *thing)
{
    release_thing(thing);
    return APR_SUCCESS;
}

static void scope(size_t count)
{
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (size_t i = 0; i < count; i++) {
        apr_pool_cleanup_register(pool, thing_of(i), give_back, apr_pool_cleanup_null);
        apr_pool_cleanup_run(pool, thing_of(i), give_back);
    }
    apr_pool_destroy(pool);
    apr_terminate();
}

static const struct core_operations operations = {.scope = scope};

static const struct bench_contender contenders[] = {
    {"APR pool", PEER_VERSION, &operations},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return core_main(argc, argv, contenders);
}
