/* SPDX-License-Identifier: MIT */
#include <cleanroom/shm.h>

#include "kind/shm_dir.h"
#include "kind/sys.h"
#include "kind/thing.h"

static const struct pnx__shm_sort sort = {
    .kind = &pnx__thing_shm, .prefix = "", .not_for = PNX__SEMAPHORE_PREFIX};

static pnx_status find_shm(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    return pnx__shm_find(&sort, name, ret_identity, size, err);
}

static pnx_status remove_shm(const char *name, const char *identity, pnx_time deadline,
                             pnx_error *err)
{
    /* three system calls that wait for nobody */
    return pnx__shm_remove(&sort, name, identity, err);
}

static pnx_status still_shm(const char *name, const char *identity, pnx_error *err)
{
    return pnx__shm_still(identity);
}

static pnx_status list_shm(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    return pnx__shm_list(&sort, visit, context, err);
}

static pnx_status set_size(int fd, const void *context, pnx_error *err)
{
    const size_t *size = context;
    if (*size > INT64_MAX || ftruncate(fd, (off_t)*size) != 0) {
        if (*size > INT64_MAX)
            errno = EFBIG;
        bool impossible = errno == EFBIG || errno == EINVAL;
        return pnx_fail(err, impossible ? PNX_EINVAL : PNX_EFAILED,
                        "cannot give a shared memory object %zu bytes: %m", *size);
    }
    return PNX_OK;
}

pnx_status pnx_shm_create(const char *name, size_t size, const pnx_keeper *keeper, pnx_thing **ret,
                          int *ret_fd, pnx_error *err)
{
    int fd;
    pnx_status status = pnx__shm_make(&sort, name, set_size, &size, keeper, ret, &fd, err);
    if (status != PNX_OK)
        return status;
    if (ret_fd)
        *ret_fd = fd;
    else
        pnx__close(fd);
    return PNX_OK;
}

const pnx_thing_kind pnx__thing_shm = {
    .name = "shm",
    .kind = &pnx_kind_shm,
    .code = PNX__CODE_SHM,
    .order = PNX_ORDER_FILE,
    .find = find_shm,
    .remove = remove_shm,
    .list = list_shm,
    .still = still_shm,
};

const pnx_kind pnx_kind_shm = {PNX__THING_GUARD("shm"), .retries = 2, .retry_delay = PNX_MS(10)};
