/* SPDX-License-Identifier: MIT */
/* A server that shuts down in order when it is told to. */
#include <patinox/patinox.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pnx_status close_session(int number, const pnx_release *why)
{
    printf("session %d closed (%s)\n", number, pnx_reason_name(why->reason));
    return PNX_OK;
}
PNX_KIND(session, int, close_session);

static pnx_status work(pnx_task *self, void *unused)
{
    (void)unused;
    kill(getpid(), SIGTERM); /* what an operator would send */
    while (!pnx_task_canceled(self))
        (void)pnx_task_wait(self, PNX_FOREVER);
    printf("worker: %s\n", pnx_task_cancel_reason(self));
    return PNX_OK;
}

int main(void)
{
    pnx_registry *registry;
    pnx_error err = {0};
    if (pnx_registry_create(&(pnx_config){.name = "server", .workers = 1}, &registry, &err) ||
        pnx_shutdown_on_signal(registry, SIGTERM, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    for (int number = 1; number <= 2; number++) {
        pnx_id id;
        if (pnx_register(registry, session_kind, &number, PNX_HERE, &id, &err) != PNX_OK)
            return EXIT_FAILURE;
    }
    pnx_scope workers = pnx_scope_open(registry, "workers", &err);
    pnx_task *task;
    if (workers.status || pnx_task_start(&workers, NULL, work, NULL, &task, &err) != PNX_OK)
        return EXIT_FAILURE;

    /* The server's own loop polls its sockets too; without one, pnx_wait_shutdown_request waits. */
    struct pollfd told = {.fd = pnx_shutdown_fd(registry), .events = POLLIN};
    while (!pnx_shutdown_requested(registry))
        (void)poll(&told, 1, -1);
    pnx_task_cancel(task, "the server ends");
    (void)pnx_scope_close(&workers, pnx_time_after(pnx_registry_now(registry), PNX_S(2)), NULL,
                          &err);
    pnx_report report;
    const pnx_shutdown_options options = {.grace = PNX_S(3), .hard = PNX_S(1)};
    const pnx_status status = pnx_registry_shutdown(registry, &options, &report, &err);
    printf("%s: %zu left\n", pnx_status_name(status), report.survivor_count);
    pnx_report_done(&report);
    return pnx_registry_destroy(registry, &err) == PNX_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Prints:
 *   worker: the server ends
 *   session 1 closed (shutdown)
 *   session 2 closed (shutdown)
 *   ok: 0 left
 */
