/* SPDX-License-Identifier: MIT */
/**
 * @file hook.h
 * A hook as its name says it, taken apart.
 *
 *     hook1 SESSION/NUMBER user=U:G priority=high timeout=9000 retries=0 dir=/x env=A=b… -- sh -c …
 *
 * Words are separated by one blank; in a word all bytes but printable ASCII, and '%', are written
 * as "%" and two hexadecimal digits.
 */
#ifndef CLEANROOM_KIND_HOOK_H
#define CLEANROOM_KIND_HOOK_H

#include <cleanroom/hook.h>

#define PNX__HOOK_WORDS_MAX 512

struct pnx__hook {
    pnx_id session;
    uint32_t number;
    uid_t user;
    gid_t group;
    pnx_priority priority;
    pnx_duration timeout;
    unsigned retries;
    const char *directory;
    char *environment[PNX__HOOK_WORDS_MAX + 1];
    char *argv[PNX__HOOK_WORDS_MAX + 1];
    char text[PNX_THING_NAME_MAX]; /* what the pointers point into */
};

/** PNX_EINVAL: it is not the name of a hook. */
pnx_status pnx__hook_parse(const char *name, struct pnx__hook *ret, pnx_error *err);

#endif
