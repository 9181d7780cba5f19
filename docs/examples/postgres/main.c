/* SPDX-License-Identifier: MIT */
/*
 * Ten queries, each on a lease, on at most two connections:
 *
 *     cc -I/usr/include/postgresql main.c pg_pool.c -lpatinox -lpq && ./a.out "host=/tmp
 *     dbname=postgres"
 */
#include "pg_pool.h"

#include <patinox/patinox.h>
#include <stdio.h>

static pnx_status query_once(pnx_pool *pool, pnx_error *err)
{
    const pnx_time deadline = pnx_time_after(pnx_monotonic_now(), PNX_S(2));
    pnx_auto_lease lease = pnx_lease_acquire(pool, deadline, err);
    if (lease.status)
        return lease.status;
    PGresult *result = pg_query(&lease, "select pg_backend_pid()", deadline, err);
    if (result == NULL)
        return PNX_EFAILED;
    printf("backend %s\n", PQgetvalue(result, 0, 0));
    PQclear(result);
    return PNX_OK;
}

int main(int argc, char **argv)
{
    pnx_registry *registry = pnx_registry_default();
    const pnx_pool_config config = {.name = "db", .max = 2};
    pnx_pool *pool = NULL;
    pnx_error err = {0};
    pnx_status status = pg_pool_create(registry, argc > 1 ? argv[1] : "", &config, &pool, &err);
    for (int i = 0; i < 10 && status == PNX_OK; i++)
        status = query_once(pool, &err);
    if (status != PNX_OK) {
        char text[512];
        (void)pnx_error_format(&err, text, sizeof text);
        fprintf(stderr, "%s\n", text);
    }
    if (pool != NULL)
        (void)pnx_pool_close(pool, PNX_FOREVER, NULL, NULL);
    (void)pnx_pool_destroy(pool, NULL);
    return status == PNX_OK ? 0 : 1;
}
