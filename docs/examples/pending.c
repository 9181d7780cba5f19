/* SPDX-License-Identifier: MIT */
/* A release that only begins the work; somebody else completes it, from another thread. */
#include <patinox/patinox.h>
#include <pthread.h>
#include <stdio.h>

struct upload {
    const char *name;
    pnx_token token;
    pthread_t sender;
};

static void *send_rest(void *argument)
{
    struct upload *upload = argument;
    printf("%s: the last block is out\n", upload->name);
    /* PNX_ETIMEOUT would say that we came too late. */
    const pnx_status status = pnx_complete(upload->token, PNX_OK);
    printf("completing it: %s\n", pnx_status_name(status));
    return NULL;
}

static pnx_status finish_upload(struct upload *upload, const pnx_release *why)
{
    upload->token = pnx_release_token(why); /* before anything can complete it */
    return pthread_create(&upload->sender, NULL, send_rest, upload) == 0 ? PNX_PENDING
                                                                         : PNX_EFAILED;
}

PNX_KIND(upload, struct upload *, finish_upload, .timeout = PNX_S(10));

int main(void)
{
    struct upload upload = {.name = "backup.tar"};
    pnx_error err = {0};
    pnx_auto(upload) guard = pnx_reserve(upload, pnx_registry_default(), &err);
    if (guard.status || !pnx_arm(&guard, &upload))
        return 1;
    const pnx_status closed = pnx_close(&guard, &err);
    pthread_join(upload.sender, NULL);
    printf("closed: %s\n", pnx_status_name(closed));
    return 0;
}

/* Prints:
 *   backup.tar: the last block is out
 *   completing it: ok
 *   closed: ok
 */
