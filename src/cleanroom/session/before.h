/* SPDX-License-Identifier: MIT */
/**
 * @file before.h
 * What there was before the command ran, of every sort of thing that can be listed: not the things
 * themselves but 64-bit hashes of sort, name and identity. Two that collide are taken for one that
 * was there before, which errs on the side of leaving alone.
 */
#ifndef CLEANROOM_SESSION_BEFORE_H
#define CLEANROOM_SESSION_BEFORE_H

#include <cleanroom/thing.h>

/** Zeroed: nothing is known. */
struct pnx__before {
    bool taken;
    uint64_t *hashes; /* sorted once it was taken */
    size_t count, room;
    uint64_t
        unlisted; /* bit N: the sort with code N could not be listed, so nothing is new in it */
};

/** Lists everything there is. PNX_ENOMEM. */
PNX_MUST_CHECK pnx_status pnx__before_take(struct pnx__before *before, pnx_error *err);
bool pnx__before_has(const struct pnx__before *before, const pnx_thing_kind *kind, const char *name,
                     const char *identity);
/** Writes it to, and reads it from, a file in the session's directory. PNX_EFAILED, PNX_ENOMEM. */
PNX_MUST_CHECK pnx_status pnx__before_save(const struct pnx__before *before, int dir_fd,
                                           pnx_error *err);
PNX_MUST_CHECK pnx_status pnx__before_load(struct pnx__before *before, int dir_fd, pnx_error *err);
void pnx__before_done(struct pnx__before *before);

/** Is this a sort that is compared before and after? */
bool pnx__before_covers(const pnx_thing_kind *kind);

#endif
