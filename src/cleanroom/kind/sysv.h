/* SPDX-License-Identifier: MIT */
/** @file sysv.h  What the three sorts of System V objects have in common. */
#ifndef CLEANROOM_KIND_SYSV_H
#define CLEANROOM_KIND_SYSV_H

#include <cleanroom/sysv.h>

struct pnx__sysv_object {
    int id;
    key_t key;
    uid_t owner, made_by;
    pid_t creator;          /* 0: the kernel does not tell */
    int64_t changed;        /* seconds since 1970: when it was made, or changed last */
    uint64_t bytes;         /* of memory */
    unsigned long attached; /* processes; they keep a dying one alive */
    bool dying;             /* marked for destruction: it has lost its key */
    char detail[64];
};

/** One of the sorts. The functions answer as the system's own: -1 and errno. */
struct pnx__sysv_sort {
    const pnx_thing_kind *kind;
    int (*id_of)(key_t key);
    int (*highest)(void); /* the highest index in use */
    /* Whatever is in the slot of this id or index now; its id. */
    int (*look)(int id, struct pnx__sysv_object *ret);
    int (*destroy)(int id);
    int (*make)(key_t key, size_t size); /* IPC_CREAT | IPC_EXCL, 0600 */
};

pnx_status pnx__sysv_find(const struct pnx__sysv_sort *sort, const char *name, char *ret_identity,
                          size_t size, pnx_error *err);
pnx_status pnx__sysv_remove(const struct pnx__sysv_sort *sort, const char *name,
                            const char *identity, pnx_error *err);
pnx_status pnx__sysv_still(const struct pnx__sysv_sort *sort, const char *identity);
pnx_status pnx__sysv_list(const struct pnx__sysv_sort *sort, pnx_thing_visit_fn visit,
                          void *context, pnx_error *err);
pnx_status pnx__sysv_create(const struct pnx__sysv_sort *sort, key_t key, size_t size,
                            const pnx_keeper *keeper, pnx_thing **ret, int *ret_id, pnx_error *err);

#endif
