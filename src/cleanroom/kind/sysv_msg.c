/* SPDX-License-Identifier: MIT */
#include "kind/sysv.h"
#include "kind/thing.h"

#include <stdio.h>
#include <sys/msg.h>

static int id_of(key_t key)
{
    return msgget(key, 0);
}

static int highest(void)
{
    struct msginfo info;
    return msgctl(0, MSG_INFO, (void *)&info);
}

static int look(int id, struct pnx__sysv_object *ret)
{
    struct msqid_ds about;
    int found = msgctl(id, MSG_STAT_ANY, &about);
    if (found < 0)
        return -1;
    *ret = (struct pnx__sysv_object){
        .id = found,
        .key = about.msg_perm.__key,
        .owner = about.msg_perm.uid,
        .made_by = about.msg_perm.cuid,
        .changed = about.msg_ctime,
        .bytes = about.__msg_cbytes,
    };
    int length =
        snprintf(ret->detail, sizeof ret->detail, "%lu messages", (unsigned long)about.msg_qnum);
    if (about.msg_lspid)
        snprintf(ret->detail + length, sizeof ret->detail - (size_t)length,
                 ", the last one from process %d", (int)about.msg_lspid);
    return found;
}

static int destroy(int id)
{
    return msgctl(id, IPC_RMID, NULL);
}

static int make(key_t key, size_t size)
{
    return msgget(key, IPC_CREAT | IPC_EXCL | 0600);
}

static const struct pnx__sysv_sort sort = {
    &pnx__thing_sysv_msg, id_of, highest, look, destroy, make};

static pnx_status find_msg(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    return pnx__sysv_find(&sort, name, ret_identity, size, err);
}

static pnx_status remove_msg(const char *name, const char *identity, pnx_time deadline,
                             pnx_error *err)
{
    return pnx__sysv_remove(&sort, name, identity, err);
}

static pnx_status list_msg(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    return pnx__sysv_list(&sort, visit, context, err);
}

pnx_status pnx_sysv_msg_create(key_t key, const pnx_keeper *keeper, pnx_thing **ret, int *ret_id,
                               pnx_error *err)
{
    return pnx__sysv_create(&sort, key, 0, keeper, ret, ret_id, err);
}

const pnx_thing_kind pnx__thing_sysv_msg = {
    .name = "sysv-msg",
    .kind = &pnx_kind_sysv_msg,
    .code = PNX__CODE_SYSV_MSG,
    .order = PNX_ORDER_IPC,
    .find = find_msg,
    .remove = remove_msg,
    .list = list_msg,
};

const pnx_kind pnx_kind_sysv_msg = {PNX__THING_GUARD("sysv-msg"), .retries = 2,
                                    .retry_delay = PNX_MS(10)};
