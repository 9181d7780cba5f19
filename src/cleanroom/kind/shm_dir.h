/* SPDX-License-Identifier: MIT */
/** @file shm_dir.h  /dev/shm, where the C library keeps shared memory objects and semaphores. */
#ifndef CLEANROOM_KIND_SHM_DIR_H
#define CLEANROOM_KIND_SHM_DIR_H

#include <cleanroom/thing.h>

#define PNX__SEMAPHORE_PREFIX "sem."

/** One of the two sorts of files in there. */
struct pnx__shm_sort {
    const pnx_thing_kind *kind;
    const char *prefix;  /* of its files; "" for shared memory */
    const char *not_for; /* prefix of files that are not of this sort, or NULL */
};

pnx_status pnx__shm_find(const struct pnx__shm_sort *sort, const char *name, char *ret_identity,
                         size_t size, pnx_error *err);
pnx_status pnx__shm_remove(const struct pnx__shm_sort *sort, const char *name, const char *identity,
                           pnx_error *err);
pnx_status pnx__shm_still(const char *identity);
pnx_status pnx__shm_list(const struct pnx__shm_sort *sort, pnx_thing_visit_fn visit, void *context,
                         pnx_error *err);

/**
 * Makes a file without a name, has `fill` write into it, tells the keeper, and gives it the name,
 * which must be free. `*ret_fd` is the caller's.
 */
pnx_status pnx__shm_make(const struct pnx__shm_sort *sort, const char *name,
                         pnx_status (*fill)(int fd, const void *context, pnx_error *err),
                         const void *context, const pnx_keeper *keeper, pnx_thing **ret,
                         int *ret_fd, pnx_error *err);

#endif
