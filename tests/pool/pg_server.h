/* SPDX-License-Identifier: MIT */
/*
 * A PostgreSQL server of the test's own, in a temporary directory, on a unix socket there; and a
 * proxy before it, on another one, that can stall and cut.
 */
#ifndef TESTS_POOL_PG_SERVER_H
#define TESTS_POOL_PG_SERVER_H

#include <stdbool.h>

/** Makes and starts one with `max_connections`. False: there is none on this machine; says why. */
bool pg_server_begin(unsigned max_connections);
/** Immediately, as a crash would. */
void pg_server_stop(void);
void pg_server_start(void);
/** Stops it and removes its directory. Also when nothing was begun. */
void pg_server_end(void);

/** "host=DIR dbname=postgres user=postgres": directly, and by the proxy. */
const char *pg_server_conninfo(void);
const char *pg_proxy_conninfo(void);

enum pg_proxy_mode {
    PG_PROXY_PASS,
    PG_PROXY_STALL, /**< accepts, and moves no byte in either direction */
    PG_PROXY_CUT,   /**< ends all connections, and refuses new ones */
};
void pg_proxy_begin(void);
void pg_proxy_set(enum pg_proxy_mode mode);
void pg_proxy_end(void);

#endif
