/* SPDX-License-Identifier: MIT */
#include "kind/sysv.h"
#include "kind/thing.h"

#include <errno.h>
#include <stdio.h>
#include <sys/sem.h>

/* What semctl(2) wants as its fourth argument; programs define it themselves. */
union semun {
    int value;
    struct semid_ds *about;
    struct seminfo *info;
};

static int id_of(key_t key)
{
    return semget(key, 0, 0);
}

static int highest(void)
{
    struct seminfo info;
    return semctl(0, 0, SEM_INFO, (union semun){.info = &info});
}

/* Nobody tells who made it: sempid is who used it last. */
static int look(int id, struct pnx__sysv_object *ret)
{
    struct semid_ds about = {0};
    int found = semctl(id, 0, SEM_STAT_ANY, (union semun){.about = &about});
    if (found < 0)
        return -1;
    *ret = (struct pnx__sysv_object){
        .id = found,
        .key = about.sem_perm.__key,
        .owner = about.sem_perm.uid,
        .made_by = about.sem_perm.cuid,
        .changed = about.sem_ctime,
    };
    snprintf(ret->detail, sizeof ret->detail, "%lu semaphores", (unsigned long)about.sem_nsems);
    return found;
}

static int destroy(int id)
{
    return semctl(id, 0, IPC_RMID);
}

static int make(key_t key, size_t count)
{
    if (count > INT32_MAX) {
        errno = EINVAL;
        return -1;
    }
    return semget(key, (int)count, IPC_CREAT | IPC_EXCL | 0600);
}

static const struct pnx__sysv_sort sort = {
    &pnx__thing_sysv_sem, id_of, highest, look, destroy, make};

static pnx_status find_sem(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    return pnx__sysv_find(&sort, name, ret_identity, size, err);
}

static pnx_status remove_sem(const char *name, const char *identity, pnx_time deadline,
                             pnx_error *err)
{
    return pnx__sysv_remove(&sort, name, identity, err);
}

static pnx_status list_sem(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    return pnx__sysv_list(&sort, visit, context, err);
}

pnx_status pnx_sysv_sem_create(key_t key, unsigned count, const pnx_keeper *keeper, pnx_thing **ret,
                               int *ret_id, pnx_error *err)
{
    return pnx__sysv_create(&sort, key, count, keeper, ret, ret_id, err);
}

const pnx_thing_kind pnx__thing_sysv_sem = {
    .name = "sysv-sem",
    .kind = &pnx_kind_sysv_sem,
    .code = PNX__CODE_SYSV_SEM,
    .order = PNX_ORDER_IPC,
    .find = find_sem,
    .remove = remove_sem,
    .list = list_sem,
};

const pnx_kind pnx_kind_sysv_sem = {PNX__THING_GUARD("sysv-sem"), .retries = 2,
                                    .retry_delay = PNX_MS(10)};
