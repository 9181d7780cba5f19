/* SPDX-License-Identifier: MIT */
/* APR: apr_reslist, one mutex and one condition variable; no order among waiters. */
#include "common/bench.h"
#include "peer.h"

#include <apr_general.h>
#include <apr_pools.h>
#include <apr_reslist.h>

static apr_pool_t *memory;
static apr_reslist_t *list;

static apr_status_t make(void **ret, void *unused, apr_pool_t *pool)
{
    (void)unused;
    *ret = apr_palloc(pool, sizeof(int));
    return APR_SUCCESS;
}

static apr_status_t end(void *thing, void *unused, apr_pool_t *pool)
{
    (void)thing;
    (void)unused;
    (void)pool;
    return APR_SUCCESS;
}

static void open_list(unsigned size)
{
    apr_initialize();
    apr_pool_create(&memory, NULL);
    if (apr_reslist_create(&list, (int)size, (int)size, (int)size, 0, make, end, NULL, memory) !=
        APR_SUCCESS)
        bench_give_up("no reslist");
}

static void *borrow(void)
{
    void *thing;
    if (apr_reslist_acquire(list, &thing) != APR_SUCCESS)
        bench_give_up("apr_reslist_acquire failed");
    return thing;
}

static void give_back(void *thing)
{
    apr_reslist_release(list, thing);
}

static void cycle(size_t count)
{
    for (size_t i = 0; i < count; i++)
        give_back(borrow());
}

static void close_list(void)
{
    apr_reslist_destroy(list);
    apr_pool_destroy(memory);
    apr_terminate();
}

static const struct pool_operations operations = {open_list, cycle, borrow, give_back, close_list};

static const struct bench_contender contenders[] = {
    {"APR reslist", PEER_VERSION, &operations},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return pool_main(argc, argv, contenders);
}
