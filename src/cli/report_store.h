/* SPDX-License-Identifier: MIT */
/** @file report_store.h  The reports that sessions have left in the state directory. */
#ifndef CLI_REPORT_STORE_H
#define CLI_REPORT_STORE_H

#include <patinox/base.h>

/** One that is there. */
struct stored {
    pnx_id id;
    int64_t written; /* nanoseconds since 1970 */
};

/** All that there are, the newest first. */
struct store {
    int fd; /* of their directory */
    size_t count;
    struct stored *reports;
};

/** PNX_EFAILED, PNX_EINVAL: there is no usable state directory. On success store_close ends it. */
PNX_MUST_CHECK pnx_status store_open(struct store *ret, pnx_error *err);
void store_close(struct store *store);

/**
 * The one that is meant by "last", an id, or the beginning of one that no other has.
 * PNX_ENOTFOUND: there is none; PNX_EINVAL: it is no id, or there are several.
 */
PNX_MUST_CHECK pnx_status store_find(const struct store *store, const char *text, pnx_id *ret,
                                     pnx_error *err);
/** The whole file; the caller frees `*ret_text`. PNX_EFAILED, PNX_ENOTFOUND, PNX_ENOMEM. */
PNX_MUST_CHECK pnx_status store_read(const struct store *store, pnx_id id, char **ret_text,
                                     size_t *ret_size, pnx_error *err);
/** The same of any file, "-" is stdin. */
PNX_MUST_CHECK pnx_status file_read(const char *path, char **ret_text, size_t *ret_size,
                                    pnx_error *err);

#endif
