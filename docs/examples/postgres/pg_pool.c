/* SPDX-License-Identifier: MIT */
#include "pg_pool.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* libpq ends its messages with a line feed, or two. */
static pnx_status pg_fail(pnx_error *err, pnx_status status, const char *what, PGconn *conn)
{
    const char *text = PQerrorMessage(conn);
    return pnx_fail(err, status, "%s: %.*s", what, (int)strcspn(text, "\n"), text);
}

/* Waits until the socket is ready, or the deadline has passed. */
static pnx_status wait_for(PGconn *conn, short events, pnx_time deadline, pnx_error *err)
{
    for (;;) {
        const pnx_duration left = deadline - pnx_monotonic_now();
        if (left <= 0)
            return pnx_fail(err, PNX_ETIMEOUT, "the server did not answer in time");
        struct pollfd wanted = {.fd = PQsocket(conn), .events = events};
        const pnx_duration ms = left / PNX_MS(1) + 1;
        const int ready = poll(&wanted, 1, ms < 60000 ? (int)ms : 60000);
        if (ready > 0)
            return PNX_OK;
        if (ready < 0 && errno != EINTR)
            return pnx_fail(err, PNX_EFAILED, "poll: %m");
    }
}

/* ---- the kind: how a connection is given back ------------------------------------------------ */

static pnx_status finish(PGconn *conn, const pnx_release *why)
{
    (void)why;
    /* Says good-bye, which a peer that reads nothing any more must not hold up. */
    (void)PQsetnonblocking(conn, 1);
    PQfinish(conn);
    return PNX_OK;
}

static int describe(PGconn *conn, char *buffer, size_t size)
{
    return snprintf(buffer, size, "backend %d", PQbackendPID(conn));
}
PNX_KIND(pg_conn, PGconn *, finish, .timeout = PNX_S(5), .describe = describe);

/* ---- the manager ----------------------------------------------------------------------------- */

static pnx_status connect_until(PGconn *conn, pnx_time deadline, pnx_error *err)
{
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
        if (PQstatus(conn) == CONNECTION_BAD || next == PGRES_POLLING_FAILED)
            return pg_fail(err, PNX_EFAILED, "connect", conn);
        const pnx_status status =
            wait_for(conn, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline, err);
        if (status != PNX_OK)
            return status;
        next = PQconnectPoll(conn);
    }
    return PNX_OK;
}

static pnx_status create(const pnx_pool_call *call, void *ret_value, pnx_error *err)
{
    const char *const *conninfo = call->context;
    PGconn *conn = PQconnectStart(*conninfo);
    if (conn == NULL)
        return pnx_fail(err, PNX_ENOMEM, "no memory for a connection");
    const pnx_status status = connect_until(conn, call->deadline, err);
    if (status != PNX_OK) {
        PQfinish(conn);
        return status;
    }
    memcpy(ret_value, &conn, sizeof conn);
    return PNX_OK;
}

/* Sends a query and takes its last result, until the deadline. */
static pnx_status run(PGconn *conn, const char *sql, pnx_time deadline, PGresult **ret,
                      pnx_error *err)
{
    *ret = NULL;
    if (PQsendQuery(conn, sql) != 1)
        return pg_fail(err, PNX_EFAILED, "send", conn);
    for (;;) {
        while (PQisBusy(conn)) {
            const pnx_status status = wait_for(conn, POLLIN, deadline, err);
            if (status != PNX_OK)
                return status;
            if (PQconsumeInput(conn) != 1)
                return pg_fail(err, PNX_EFAILED, "receive", conn);
        }
        PGresult *result = PQgetResult(conn);
        if (result == NULL)
            break;
        PQclear(*ret);
        *ret = result;
    }
    const ExecStatusType status = PQresultStatus(*ret);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
        return PNX_OK;
    return pg_fail(err, PNX_EFAILED, "query", conn);
}

static pnx_status command(PGconn *conn, const char *sql, pnx_time deadline, pnx_error *err)
{
    PGresult *result;
    const pnx_status status = run(conn, sql, deadline, &result, err);
    PQclear(result);
    return status;
}

static pnx_status validate(const pnx_pool_call *call, void *value, pnx_error *err)
{
    return command(*(PGconn **)value, "", call->deadline, err); /* the cheapest round trip */
}

static pnx_status reset(const pnx_pool_call *call, void *value, pnx_error *err)
{
    return command(*(PGconn **)value, "ROLLBACK", call->deadline, err);
}

static PGTransactionStatusType transaction(const void *value)
{
    PGconn *conn;
    memcpy(&conn, value, sizeof conn);
    return PQtransactionStatus(conn);
}

static bool broken(void *context, const void *value)
{
    (void)context;
    /* Active: a query is still under way, nobody knows for how long. Unknown: no connection. */
    return transaction(value) == PQTRANS_ACTIVE || transaction(value) == PQTRANS_UNKNOWN;
}

/* Somebody forgot to end a transaction. */
static bool dirty(void *context, const void *value)
{
    (void)context;
    return transaction(value) != PQTRANS_IDLE;
}

static const pnx_pool_manager manager = {
    .create = create,
    .validate = validate,
    .reset = reset,
    .broken = broken,
    .dirty = dirty,
};

pnx_status pg_pool_create(pnx_registry *registry, const char **conninfo,
                          const pnx_pool_config *like, pnx_pool **ret, pnx_error *err)
{
    pnx_pool_config config = like != NULL ? *like : (pnx_pool_config){.name = "postgres"};
    config.kind = pg_conn_kind;
    config.manager = &manager;
    config.context = conninfo;
    return pnx_pool_create(registry, &config, ret, err);
}

PGresult *pg_query(pnx_lease *lease, const char *sql, pnx_time deadline, pnx_error *err)
{
    PGconn *conn = pnx_lease_get(lease, PGconn *);
    PGresult *result;
    if (run(conn, sql, deadline, &result, err) == PNX_OK)
        return result;
    PQclear(result);
    if (broken(NULL, lease->value))
        pnx_lease_broken(lease);
    return NULL;
}
