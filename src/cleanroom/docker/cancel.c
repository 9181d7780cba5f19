/* SPDX-License-Identifier: MIT */
#include "docker/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Readable once and for ever: whoever polls it, now or later, is woken. */
struct pnx_cancel {
    int fd;
};

pnx_status pnx_cancel_create(pnx_cancel **ret, pnx_error *err)
{
    pnx_cancel *cancel = malloc(sizeof *cancel);
    if (!cancel)
        return pnx__docker_no_memory(err);
    cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cancel->fd < 0) {
        free(cancel);
        return pnx_fail(err, PNX_EFAILED, "cannot make a descriptor to cancel by: %m");
    }
    *ret = cancel;
    return PNX_OK;
}

void pnx_cancel_now(const pnx_cancel *cancel)
{
    int saved = errno;
    uint64_t one = 1;
    (void)!write(cancel->fd, &one, sizeof one); /* fails only when it is readable already */
    errno = saved;
}

void pnx_cancel_free(pnx_cancel *cancel)
{
    if (!cancel)
        return;
    close(cancel->fd);
    free(cancel);
}

int pnx__docker_cancel_fd(const pnx_cancel *cancel)
{
    return cancel ? cancel->fd : -1;
}
