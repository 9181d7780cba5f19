/* SPDX-License-Identifier: MIT */
/* A pool lends what is expensive to make, and gives it back when it ends. */
#include <patinox/patinox.h>
#include <patinox/pool.h>
#include <stdio.h>
#include <stdlib.h>

struct parser {
    int number;
};

static int made;

static pnx_status make_parser(const pnx_pool_call *call, void *ret_value, pnx_error *err)
{
    (void)call; /* call->deadline says until when */
    struct parser *parser = malloc(sizeof *parser);
    if (parser == NULL)
        return pnx_fail(err, PNX_ENOMEM, "no memory for a parser");
    parser->number = ++made;
    *(struct parser **)ret_value = parser;
    return PNX_OK;
}

static pnx_status free_parser(struct parser *parser, const pnx_release *why)
{
    (void)why;
    free(parser);
    return PNX_OK;
}
PNX_KIND(parser, struct parser *, free_parser, .flags = PNX_QUICK);

static const pnx_pool_manager manager = {.create = make_parser};

static pnx_status parse(pnx_pool *pool, pnx_error *err)
{
    const pnx_time deadline = pnx_time_after(pnx_monotonic_now(), PNX_S(1));
    pnx_auto_lease lease = pnx_lease_acquire(pool, deadline, err);
    if (lease.status)
        return lease.status;
    printf("parser %d\n", pnx_lease_get(&lease, struct parser *)->number);
    return PNX_OK;
} /* here it goes back */

int main(void)
{
    pnx_error err = {0};
    pnx_pool *pool;
    const pnx_pool_config config = {
        .name = "parsers", .kind = parser_kind, .manager = &manager, .max = 1};
    if (pnx_pool_create(pnx_registry_default(), &config, &pool, &err) != PNX_OK)
        return 1;
    for (int i = 0; i < 2; i++)
        if (parse(pool, &err) != PNX_OK)
            return 1;

    /* One is lent, and there are no others: the error says who has it. */
    pnx_lease lease = {0}, another = {0};
    if (pnx_pool_acquire(pool, PNX_FOREVER, &lease, &err) != PNX_OK)
        return 1;
    if (pnx_pool_try(pool, &another, &err) == PNX_EBUSY)
        puts(err.message);

    /* Closing waits for leases until its deadline, and says which are out. */
    pnx_pool_report report;
    const pnx_time soon = pnx_time_after(pnx_monotonic_now(), PNX_MS(10));
    if (pnx_pool_close(pool, soon, &report, NULL) == PNX_ETIMEOUT)
        printf("%zu held, from %s\n", report.held, report.holders[0].site->function);
    pnx_lease_return(&lease);
    if (pnx_pool_close(pool, PNX_FOREVER, NULL, &err) != PNX_OK)
        return 1;
    return pnx_pool_destroy(pool, &err) == PNX_OK ? 0 : 1;
}

/* Prints:
 *   parser 1
 *   parser 1
 *   pool parsers: none is free: 1 of 1 leased, 0 idle, 0 being created, …
 *   1 held, from main
 */
