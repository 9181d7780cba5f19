/* SPDX-License-Identifier: MIT */
#include <cleanroom/shm.h>

#include "kind/shm_dir.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <limits.h>

static const struct pnx__shm_sort sort = {.kind = &pnx__thing_semaphore,
                                          .prefix = PNX__SEMAPHORE_PREFIX};

static pnx_status find_semaphore(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    return pnx__shm_find(&sort, name, ret_identity, size, err);
}

static pnx_status remove_semaphore(const char *name, const char *identity, pnx_time deadline,
                                   pnx_error *err)
{
    /* three system calls that wait for nobody */
    return pnx__shm_remove(&sort, name, identity, err);
}

static pnx_status still_semaphore(const char *name, const char *identity, pnx_error *err)
{
    return pnx__shm_still(identity);
}

static pnx_status list_semaphores(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    return pnx__shm_list(&sort, visit, context, err);
}

/* ---- making ---------------------------------------------------------------------------------- */

/*
 * A named semaphore is a file that holds a sem_t as sem_init(3) makes it for use between processes;
 * sem_open(3) maps it. With O_CREAT it writes one to a file of a random name first and links that,
 * and a kill in between leaves a file that nobody can find by name. Ours has no name until it has
 * the right one.
 */
static pnx_status write_semaphore(int fd, const void *context, pnx_error *err)
{
    const unsigned *value = context;
    union {
        sem_t semaphore;
        char bytes[sizeof(sem_t)]; /* it may have gaps: they are written as zeros */
    } content = {.bytes = {0}};
    if (sem_init(&content.semaphore, 1, *value) != 0)
        return pnx_fail(err, PNX_EINVAL, "a semaphore cannot have the value %u: %m", *value);
    ssize_t written = write(fd, content.bytes, sizeof content.bytes);
    if (written == (ssize_t)sizeof content.bytes)
        return PNX_OK;
    if (written >= 0)
        errno = ENOSPC;
    return pnx_fail(err, PNX_EFAILED, "cannot write a semaphore to /dev/shm: %m");
}

static pnx_status open_made(pnx_thing *thing, const char *name, sem_t **ret, pnx_error *err)
{
    sem_t *semaphore = sem_open(name, 0);
    if (semaphore != SEM_FAILED) {
        *ret = semaphore;
        return PNX_OK;
    }
    pnx_fail(err, PNX_EFAILED, "cannot open the semaphore '%s': %m", name);
    (void)pnx_thing_remove(thing, pnx_time_after(pnx_monotonic_now(), PNX_S(5)), NULL, NULL);
    pnx_thing_free(thing);
    return PNX_EFAILED;
}

pnx_status pnx_semaphore_create(const char *name, unsigned value, const pnx_keeper *keeper,
                                pnx_thing **ret, sem_t **ret_semaphore, pnx_error *err)
{
    pnx_thing *thing;
    int fd;
    pnx_status status =
        pnx__shm_make(&sort, name, write_semaphore, &value, keeper, &thing, &fd, err);
    if (status != PNX_OK)
        return status;
    pnx__close(fd);
    if (ret_semaphore)
        status = open_made(thing, name, ret_semaphore, err);
    if (status == PNX_OK)
        *ret = thing;
    return status;
}

const pnx_thing_kind pnx__thing_semaphore = {
    .name = "semaphore",
    .kind = &pnx_kind_semaphore,
    .code = PNX__CODE_SEMAPHORE,
    .order = PNX_ORDER_FILE,
    .find = find_semaphore,
    .remove = remove_semaphore,
    .list = list_semaphores,
    .still = still_semaphore,
};

const pnx_kind pnx_kind_semaphore = {PNX__THING_GUARD("semaphore"), .retries = 2,
                                     .retry_delay = PNX_MS(10)};
