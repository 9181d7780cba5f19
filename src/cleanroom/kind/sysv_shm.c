/* SPDX-License-Identifier: MIT */
#include "kind/sysv.h"
#include "kind/thing.h"

#include <stdio.h>
#include <sys/shm.h>

static int id_of(key_t key)
{
    return shmget(key, 0, 0);
}

static int highest(void)
{
    struct shm_info info;
    return shmctl(0, SHM_INFO, (void *)&info);
}

/* SHM_STAT_ANY, unlike IPC_STAT, needs no permission: /proc/sysvipc shows the same to everybody. */
static int look(int id, struct pnx__sysv_object *ret)
{
    struct shmid_ds about;
    int found = shmctl(id, SHM_STAT_ANY, &about);
    if (found < 0)
        return -1;
    *ret = (struct pnx__sysv_object){
        .id = found,
        .key = about.shm_perm.__key,
        .owner = about.shm_perm.uid,
        .made_by = about.shm_perm.cuid,
        .creator = about.shm_cpid,
        .changed = about.shm_ctime,
        .bytes = about.shm_segsz,
        .attached = about.shm_nattch,
        .dying = about.shm_perm.mode & SHM_DEST,
    };
    snprintf(ret->detail, sizeof ret->detail, "attached by %lu", ret->attached);
    return found;
}

static int destroy(int id)
{
    return shmctl(id, IPC_RMID, NULL);
}

static int make(key_t key, size_t size)
{
    return shmget(key, size, IPC_CREAT | IPC_EXCL | 0600);
}

static const struct pnx__sysv_sort sort = {
    &pnx__thing_sysv_shm, id_of, highest, look, destroy, make};

static pnx_status find_shm(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    return pnx__sysv_find(&sort, name, ret_identity, size, err);
}

static pnx_status remove_shm(const char *name, const char *identity, pnx_time deadline,
                             pnx_error *err)
{
    return pnx__sysv_remove(&sort, name, identity, err);
}

static pnx_status still_shm(const char *name, const char *identity, pnx_error *err)
{
    return pnx__sysv_still(&sort, identity);
}

static pnx_status list_shm(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    return pnx__sysv_list(&sort, visit, context, err);
}

pnx_status pnx_sysv_shm_create(key_t key, size_t size, const pnx_keeper *keeper, pnx_thing **ret,
                               int *ret_id, pnx_error *err)
{
    return pnx__sysv_create(&sort, key, size, keeper, ret, ret_id, err);
}

const pnx_thing_kind pnx__thing_sysv_shm = {
    .name = "sysv-shm",
    .kind = &pnx_kind_sysv_shm,
    .code = PNX__CODE_SYSV_SHM,
    .order = PNX_ORDER_IPC,
    .find = find_shm,
    .remove = remove_shm,
    .list = list_shm,
    .still = still_shm,
};

/* Who is still attached may be just about to end. */
const pnx_kind pnx_kind_sysv_shm = {PNX__THING_GUARD("sysv-shm"), .retries = 4,
                                    .retry_delay = PNX_MS(10), .retry_delay_max = PNX_MS(200)};
