/* SPDX-License-Identifier: MIT */
/* A connection that is closed politely, tried again when that fails, and cut off in the end. */
#include <patinox/patinox.h>
#include <stdio.h>

struct conn {
    const char *peer;
    unsigned refusals; /* polite closes that the peer will refuse */
};

static pnx_status close_conn(struct conn *conn, const pnx_release *why)
{
    printf("%s: attempt %u: goodbye\n", conn->peer, why->attempt);
    return conn->refusals-- > 0 ? PNX_EFAILED : PNX_OK;
}

static pnx_status abort_conn(struct conn *conn, const pnx_release *why)
{
    printf("%s: attempt %u: cut off\n", conn->peer, why->attempt);
    return PNX_OK;
}

PNX_KIND(conn, struct conn *, close_conn, .priority = PNX_HIGH, .timeout = PNX_MS(500),
         .retries = 2, .retry_delay = PNX_MS(1), .fallback = abort_conn);

int main(void)
{
    pnx_registry *registry;
    pnx_error err = {0};
    if (pnx_registry_create(&(pnx_config){.name = "connections"}, &registry, &err) != PNX_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    struct conn moody = {"moody", 1}, stubborn = {"stubborn", 99};
    struct conn *peers[] = {&moody, &stubborn};
    for (int i = 0; i < 2; i++) {
        pnx_auto(conn) conn = pnx_reserve(conn, registry, &err);
        if (conn.status || !pnx_arm(&conn, peers[i]))
            return 1;
        /* Close waits for the outcome, retries and fallback included; a drop would not. */
        printf("%s: %s\n", peers[i]->peer, pnx_status_name(pnx_close(&conn, &err)));
    }
    if (pnx_registry_shutdown(registry, NULL, NULL, &err) != PNX_OK ||
        pnx_registry_destroy(registry, &err) != PNX_OK)
        return 1;
    return 0;
}

/* Prints:
 *   moody: attempt 1: goodbye
 *   moody: attempt 2: goodbye
 *   moody: ok
 *   stubborn: attempt 1: goodbye
 *   stubborn: attempt 2: goodbye
 *   stubborn: attempt 3: goodbye
 *   stubborn: attempt 4: cut off
 *   stubborn: ok
 */
