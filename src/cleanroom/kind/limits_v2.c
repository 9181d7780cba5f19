/* SPDX-License-Identifier: MIT */
/*
 * Limits in the files of the command's own cgroup v2. Its parent must hand the controller down
 * (cgroup.subtree_control), which the kernel allows only while no process lives in the parent
 * itself, unless that is the root of the hierarchy: "no internal processes".
 */
#include <cleanroom/cgroup.h>

#include "kind/limiter.h"
#include "kind/sys.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PERIOD 100000u /* microseconds: the kernel's own default */

static const char *const file_of[PNX__CONTROLLERS] = {"memory.max", "pids.max", "cpu.max"};

static bool has_file(int dir, const char *file)
{
    return faccessat(dir, file, F_OK, 0) == 0;
}

static bool lists(int dir, const char *file, const char *word)
{
    char text[512];
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    pnx__close(fd);
    text[got > 0 ? got : 0] = '\0';
    size_t length = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += length)
        if ((at == text || at[-1] == ' ') && strchr(" \n", at[length]))
            return true;
    return false;
}

static pnx_status enable(pnx_limiter *limiter, int controller, pnx_error *err)
{
    const char *name = pnx__controller_name[controller];
    const char *path = pnx_cgroup_path(limiter->cgroup);
    int parent = openat(pnx_cgroup_fd(limiter->cgroup), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char word[16];
    snprintf(word, sizeof word, "+%s", name);
    pnx_status status = PNX_OK;
    if (parent < 0 || !lists(parent, "cgroup.controllers", name))
        status =
            pnx_fail(err, PNX_EUNSUPPORTED, "cgroup v2 has no %s controller at %s", name, path);
    else if (!pnx__cgroup_write(parent, "cgroup.subtree_control", word))
        status = pnx_fail(err, PNX_EUNSUPPORTED, "%s is not handed down to %s: %m%s", name, path,
                          errno == EBUSY ? " (processes live in its parent)" : "");
    pnx__close(parent);
    return status;
}

static bool set(int dir, int controller, uint64_t limit)
{
    char text[48];
    if (controller == PNX__CPU)
        snprintf(text, sizeof text, "%" PRIu64 " %u", limit * PERIOD / 1000, PERIOD);
    else
        snprintf(text, sizeof text, "%" PRIu64, limit);
    if (!pnx__cgroup_write(dir, file_of[controller], text))
        return false;
    /* Without swap accounting there is no such file, and nothing that could be swapped is counted. */
    return controller != PNX__MEMORY || !has_file(dir, "memory.swap.max") ||
           pnx__cgroup_write(dir, "memory.swap.max", "0");
}

pnx_status pnx__limit_by_v2(pnx_limiter *limiter, int controller, pnx_error *err)
{
    if (!limiter->cgroup)
        return pnx_fail(err, PNX_EUNSUPPORTED, "the command has no cgroup v2 of its own");
    int dir = pnx_cgroup_fd(limiter->cgroup);
    pnx_status status = PNX_OK;
    if (!has_file(dir, file_of[controller]))
        status = enable(limiter, controller, err);
    if (status != PNX_OK)
        return status;
    if (!set(dir, controller, pnx__limit_of(&limiter->limits, controller)))
        return pnx_fail(err, PNX_EUNSUPPORTED, "cannot write %s of %s: %m", file_of[controller],
                        pnx_cgroup_path(limiter->cgroup));
    limiter->by_v2[controller] = true;
    return PNX_OK;
}

void pnx__unlimit_by_v2(pnx_limiter *limiter, int controller)
{
    int dir = limiter->by_v2[controller] ? pnx_cgroup_fd(limiter->cgroup) : -1;
    limiter->by_v2[controller] = false;
    if (dir < 0)
        return;
    (void)pnx__cgroup_write(dir, file_of[controller], "max");
    if (controller == PNX__MEMORY)
        (void)pnx__cgroup_write(dir, "memory.swap.max", "max");
}
