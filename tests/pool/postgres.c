/* SPDX-License-Identifier: MIT */
/*
 * The example's PostgreSQL pool against a real server: a killed backend, a restart, a server that
 * is full, one that is slow to accept, and a network that is cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../docs/examples/postgres/pg_pool.h"
#include "pg_server.h"

#include <cmocka.h>
#include <patinox/patinox.h>
#include <patinox/test.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static pnx_registry *registry;
static pnx_pool *pool;
static pnx_error err;
static _Atomic unsigned events[PNX_POOL_EVENT_COUNT];

static void observe(const pnx_pool_event *event, void *context)
{
    (void)context;
    atomic_fetch_add(&events[event->type], 1);
}

static pnx_time after(pnx_duration span)
{
    return pnx_time_after(pnx_monotonic_now(), span);
}

static bool there_is_a_server;

static int begin(void **state)
{
    (void)state;
    there_is_a_server = pg_server_begin(8);
    return 0;
}

static int end(void **state)
{
    (void)state;
    pg_server_end();
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    if (!there_is_a_server)
        return 0;
    for (unsigned i = 0; i < PNX_POOL_EVENT_COUNT; i++)
        atomic_store(&events[i], 0);
    pool = NULL;
    pg_proxy_begin();
    return pnx_registry_create(&(pnx_config){.name = "test", .workers = 4}, &registry, &err);
}

static int tear_down(void **state)
{
    (void)state;
    if (!there_is_a_server)
        return 0;
    pg_proxy_set(PG_PROXY_PASS);
    if (pool != NULL) {
        if (pnx_pool_close(pool, after(PNX_TEST_PATIENCE), NULL, &err) != PNX_OK)
            fail_msg("%s", err.message);
        assert_int_equal(pnx_pool_destroy(pool, &err), PNX_OK);
    }
    pnx_report report;
    assert_int_equal(pnx_registry_shutdown(registry, NULL, &report, &err), PNX_OK);
    assert_int_equal(report.leaked, 0);
    assert_int_equal(pnx_counts_imbalance(&report.counts), 0);
    pnx_report_done(&report);
    assert_int_equal(pnx_registry_destroy(registry, &err), PNX_OK);
    pg_proxy_end();
    return 0;
}

static void make(const char *conninfo, pnx_pool_config config)
{
    if (!there_is_a_server)
        skip();
    config.name = "db";
    config.observe = observe;
    if (config.backoff == 0)
        config.backoff = PNX_MS(10);
    if (config.backoff_max == 0)
        config.backoff_max = PNX_MS(50);
    static const char *where;
    where = conninfo;
    if (pg_pool_create(registry, &where, &config, &pool, &err) != PNX_OK)
        fail_msg("%s", err.message);
}

static pnx_lease get(void)
{
    pnx_lease lease = {0};
    if (pnx_pool_acquire(pool, after(PNX_TEST_PATIENCE), &lease, &err) != PNX_OK) {
        char text[512];
        (void)pnx_error_format(&err, text, sizeof text);
        fail_msg("%s", text);
    }
    return lease;
}

/* The process of the lease's backend. */
static int backend_of(pnx_lease *lease)
{
    PGresult *result = pg_query(lease, "select pg_backend_pid()", after(PNX_TEST_PATIENCE), &err);
    if (result == NULL)
        fail_msg("%s", err.message);
    const int backend = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return backend;
}

/* Ends a backend, and returns when it is gone. */
static void kill_backend(int backend)
{
    PGconn *conn = PQconnectdb(pg_server_conninfo());
    char sql[96];
    snprintf(sql, sizeof sql, "select pg_terminate_backend(%d, 60000)", backend);
    PGresult *result = PQexec(conn, sql);
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    assert_string_equal(PQgetvalue(result, 0, 0), "t");
    PQclear(result);
    PQfinish(conn);
}

static pnx_pool_stats stats(void)
{
    pnx_pool_stats now;
    pnx_pool_get_stats(pool, &now);
    return now;
}

static void lent_again(void **state)
{
    (void)state;
    make(pg_server_conninfo(), (pnx_pool_config){.max = 2});
    pnx_lease lease = get();
    const int backend = backend_of(&lease);
    pnx_lease_return(&lease);
    lease = get();
    assert_int_equal(backend_of(&lease), backend);
    pnx_lease_return(&lease);
    assert_int_equal(stats().created, 1);
}

static void a_forgotten_transaction_is_rolled_back(void **state)
{
    (void)state;
    make(pg_server_conninfo(), (pnx_pool_config){.max = 1});
    pnx_lease lease = get();
    const int backend = backend_of(&lease);
    PQclear(pg_query(&lease, "begin", after(PNX_S(10)), &err));
    PQclear(pg_query(&lease, "create table forgotten (i int)", after(PNX_S(10)), &err));
    pnx_lease_return(&lease);
    lease = get();
    assert_int_equal(backend_of(&lease), backend);
    assert_null(pg_query(&lease, "select * from forgotten", after(PNX_S(10)), &err));
    assert_non_null(strstr(err.message, "does not exist"));
    pnx_lease_return(&lease);
    assert_int_equal(stats().broken, 0);
}

static void a_query_that_goes_on_is_not_lent(void **state)
{
    (void)state;
    make(pg_server_conninfo(), (pnx_pool_config){.max = 1});
    pnx_lease lease = get();
    const int backend = backend_of(&lease);
    assert_null(pg_query(&lease, "select pg_sleep(1000)", after(PNX_MS(20)), &err));
    assert_int_equal(err.code, PNX_ETIMEOUT);
    pnx_lease_return(&lease);
    lease = get();
    assert_int_not_equal(backend_of(&lease), backend);
    pnx_lease_return(&lease);
    kill_backend(backend); /* it would sleep on */
}

static void a_killed_backend_in_use(void **state)
{
    (void)state;
    make(pg_server_conninfo(), (pnx_pool_config){.max = 1});
    pnx_lease lease = get();
    kill_backend(backend_of(&lease));
    assert_null(pg_query(&lease, "select 1", after(PNX_S(10)), &err));
    pnx_lease_return(&lease);
    lease = get();
    assert_true(backend_of(&lease) > 0);
    pnx_lease_return(&lease);
    assert_int_equal(stats().broken, 1);
}

static void a_killed_backend_while_idle(void **state)
{
    (void)state;
    make(pg_server_conninfo(), (pnx_pool_config){.max = 1, .validate_window = PNX_NS(1)});
    pnx_lease lease = get();
    const int backend = backend_of(&lease);
    pnx_lease_return(&lease);
    kill_backend(backend);
    lease = get(); /* within one acquire: found dead, replaced, lent */
    assert_int_not_equal(backend_of(&lease), backend);
    pnx_lease_return(&lease);
    assert_int_equal(stats().invalid, 1);
}

static void a_restarted_server(void **state)
{
    (void)state;
    make(
        pg_server_conninfo(),
        (pnx_pool_config){.min = 4, .max = 4, .validate_window = PNX_NS(1), .circuit_failures = 2});
    assert_int_equal(pnx_pool_warm(pool, 4, after(PNX_TEST_PATIENCE), &err), PNX_OK);
    pg_server_stop();
    pnx_lease lease = {0};
    assert_int_equal(pnx_pool_acquire(pool, after(PNX_MS(300)), &lease, &err), PNX_ETIMEOUT);
    assert_int_equal(err.cause.code, PNX_EFAILED);
    assert_non_null(strstr(err.cause.message, "connect"));
    assert_true(atomic_load(&events[PNX_POOL_CIRCUIT_OPEN]) >= 1);
    pnx_health health;
    assert_int_equal(pnx_pool_get_health(pool, &health), PNX_HEALTH_FAILING);
    /* Four waited for, and one was tried at a time: no storm. */
    assert_true(stats().create_failed < 60);
    pg_server_start();
    lease = get();
    assert_true(backend_of(&lease) > 0);
    pnx_lease_return(&lease);
    assert_int_equal(pnx_pool_warm(pool, 4, after(PNX_TEST_PATIENCE), &err), PNX_OK);
    assert_int_equal(stats().circuit, PNX_CIRCUIT_CLOSED);
    assert_true(atomic_load(&events[PNX_POOL_CIRCUIT_CLOSED]) >= 1);
}

static void a_full_server(void **state)
{
    (void)state;
    make(pg_server_conninfo(), (pnx_pool_config){.max = 12});
    pnx_lease leases[8] = {{0}}, more = {0};
    for (int i = 0; i < 8; i++)
        leases[i] = get();
    assert_int_equal(pnx_pool_acquire(pool, after(PNX_MS(200)), &more, &err), PNX_ETIMEOUT);
    assert_non_null(strstr(err.message, "8 of 12 leased"));
    assert_non_null(strstr(err.cause.message, "too many clients"));
    /* What there is goes round. */
    pnx_lease_return(&leases[0]);
    more = get();
    assert_true(backend_of(&more) > 0);
    pnx_lease_return(&more);
    for (int i = 1; i < 8; i++)
        pnx_lease_return(&leases[i]);
}

static void a_slow_accept(void **state)
{
    (void)state;
    if (there_is_a_server)
        pg_proxy_set(PG_PROXY_STALL);
    make(pg_proxy_conninfo(), (pnx_pool_config){.max = 2, .create_timeout = PNX_MS(100)});
    pnx_lease lease = {0};
    const pnx_time deadline = after(PNX_MS(400));
    assert_int_equal(pnx_pool_acquire(pool, deadline, &lease, &err), PNX_ETIMEOUT);
    assert_true(pnx_monotonic_now() >= deadline);
    assert_non_null(strstr(err.cause.message, "in time"));
    assert_true(stats().create_failed >= 1); /* each gave up at its own deadline */
    pg_proxy_set(PG_PROXY_PASS);
    lease = get();
    assert_true(backend_of(&lease) > 0);
    pnx_lease_return(&lease);
}

static void a_stalled_network(void **state)
{
    (void)state;
    make(pg_proxy_conninfo(), (pnx_pool_config){.max = 1,
                                                .validate_window = PNX_NS(1),
                                                .validate_timeout = PNX_MS(50),
                                                .create_timeout = PNX_MS(50)});
    pnx_lease lease = get();
    assert_true(backend_of(&lease) > 0);
    pnx_lease_return(&lease);
    pg_proxy_set(PG_PROXY_STALL);
    /* It looks alive, and does not answer: the acquire ends all the same. */
    assert_int_equal(pnx_pool_acquire(pool, after(PNX_MS(300)), &lease, &err), PNX_ETIMEOUT);
    assert_int_equal(stats().invalid, 1);
    pg_proxy_set(PG_PROXY_PASS);
    lease = get();
    assert_true(backend_of(&lease) > 0);
    pnx_lease_return(&lease);
}

static void a_cut_network(void **state)
{
    (void)state;
    make(pg_proxy_conninfo(), (pnx_pool_config){.max = 2});
    pnx_lease lease = get();
    assert_true(backend_of(&lease) > 0);
    pg_proxy_set(PG_PROXY_CUT);
    assert_null(pg_query(&lease, "select 1", after(PNX_TEST_PATIENCE), &err));
    pnx_lease_return(&lease);
    assert_int_equal(stats().broken, 1);
    assert_int_equal(pnx_pool_acquire(pool, after(PNX_MS(100)), &lease, &err), PNX_ETIMEOUT);
    pg_proxy_set(PG_PROXY_PASS);
    lease = get();
    assert_true(backend_of(&lease) > 0);
    pnx_lease_return(&lease);
}

static void drained_for_maintenance(void **state)
{
    (void)state;
    make(pg_server_conninfo(), (pnx_pool_config){.min = 3, .max = 3});
    assert_int_equal(pnx_pool_warm(pool, 3, after(PNX_TEST_PATIENCE), &err), PNX_OK);
    assert_int_equal(pnx_pool_drain(pool, after(PNX_TEST_PATIENCE), &err), PNX_OK);
    /* The server agrees that nobody is there, once it has noticed. */
    PGconn *conn = PQconnectdb(pg_server_conninfo());
    for (int left = 1; left != 0;) {
        PGresult *result =
            PQexec(conn, "select count(*) from pg_stat_activity where backend_type = "
                         "'client backend' and pid <> pg_backend_pid()");
        assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
        left = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
    }
    PQfinish(conn);
    pnx_pool_resume(pool);
    assert_int_equal(pnx_pool_warm(pool, 3, after(PNX_TEST_PATIENCE), &err), PNX_OK);
}

#define on_server(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_server(lent_again),
        on_server(a_forgotten_transaction_is_rolled_back),
        on_server(a_query_that_goes_on_is_not_lent),
        on_server(a_killed_backend_in_use),
        on_server(a_killed_backend_while_idle),
        on_server(a_restarted_server),
        on_server(a_full_server),
        on_server(a_slow_accept),
        on_server(a_stalled_network),
        on_server(a_cut_network),
        on_server(drained_for_maintenance),
    };
    return cmocka_run_group_tests_name("pool postgres", tests, begin, end);
}
