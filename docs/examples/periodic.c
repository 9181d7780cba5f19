/* SPDX-License-Identifier: MIT */
/* A periodic task is a timer, not a thread: it ticks on a worker until its scope ends. */
#include <patinox/patinox.h>
#include <semaphore.h>
#include <stdio.h>

static sem_t ticked;

static pnx_status flush_cache(void *count)
{
    ++*(unsigned *)count;
    sem_post(&ticked);
    return PNX_OK; /* anything else would end it */
}

int main(void)
{
    unsigned count = 0; /* outlives the scope, and so the ticks */
    pnx_error err = {0};
    sem_init(&ticked, 0, 0);
    {
        pnx_scope scope = pnx_scope_open(pnx_registry_default(), "server", &err);
        pnx_periodic periodic;
        if (scope.status ||
            pnx_periodic_start(&scope, "flush", PNX_MS(5), flush_cache, &count, &periodic, &err))
            return 1;
        for (int i = 0; i < 3; i++)
            sem_wait(&ticked);
        if (pnx_scope_close(&scope, PNX_FOREVER, NULL, &err) != PNX_OK)
            return 1;
    }
    const unsigned at_close = count;
    printf("%s, and then no more: %s\n", at_close >= 3 ? "ticked" : "did not tick",
           at_close == count ? "yes" : "no");
    return 0;
}

/* Prints:
 *   ticked, and then no more: yes
 */
