/* SPDX-License-Identifier: MIT */
/**
 * @file watch.h
 * Files outside of the session's directory, by comparing what there was with what there is: the
 * first level of /tmp and /var/tmp, and all of the directories that the user names. Whatever is new
 * there is told, and never touched.
 */
#ifndef CLEANROOM_SESSION_WATCH_H
#define CLEANROOM_SESSION_WATCH_H

#include <patinox/base.h>

struct pnx_session;

/** Zeroed: nothing is watched. */
struct pnx__watch {
    struct pnx__watched *places;
    size_t place_count;
};

/**
 * Notes what there is. `dirs` (NULL-terminated, or NULL) are copied. PNX_EINVAL: one is no
 * directory; PNX_ENOMEM.
 */
PNX_MUST_CHECK pnx_status pnx__watch_begin(struct pnx__watch *watch, const char *const *dirs,
                                           pnx_error *err);
/** Visits what is new. `path` is absolute; false ends it. */
typedef bool (*pnx__watch_fn)(const char *path, const void *stat, bool named, void *context);
/** Returns false if a place had too much in it to be compared. */
bool pnx__watch_end(struct pnx__watch *watch, pnx__watch_fn visit, void *context);
void pnx__watch_done(struct pnx__watch *watch);

#endif
