/* SPDX-License-Identifier: MIT */
/*
 * A pool of PostgreSQL connections over libpq. Copy it into your program and make it yours: nothing
 * here blocks for longer than its deadline, which libpq's own calls do not promise.
 */
#ifndef PG_POOL_H
#define PG_POOL_H

#include <libpq-fe.h>
#include <patinox/pool.h>

/* Makes a pool of connections as `*conninfo` says; both must outlive the pool. Fields of `like`
 * that are not zero are taken: sizes, spans, the observer. */
pnx_status pg_pool_create(pnx_registry *registry, const char **conninfo,
                          const pnx_pool_config *like, pnx_pool **ret, pnx_error *err);

/* Runs a query on a lease, until `deadline`. NULL: it failed, `err` says why, and the lease is
 * marked as broken if the connection is. The caller clears the result. */
PGresult *pg_query(pnx_lease *lease, const char *sql, pnx_time deadline, pnx_error *err);

#endif
