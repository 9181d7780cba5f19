/* SPDX-License-Identifier: MIT */
/*
 * Limits in the files of the command's own cgroup v2. Its parent must hand the controller down:
 * pnx_cgroup_create_for has chosen one that can, if there is any.
 */
#include <cleanroom/cgroup.h>

#include "kind/cgroup_hand_down.h"
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

static pnx_status enable(pnx_limiter *limiter, int controller, pnx_error *err)
{
    const char *name = pnx__controller_name[controller];
    const char *path = pnx_cgroup_path(limiter->cgroup);
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    if (!pnx__cgroup_has(parent, 1u << controller))
        return pnx_fail(err, PNX_EUNSUPPORTED, "cgroup v2 has no %s controller in %s", name,
                        parent);
    if (!pnx__cgroup_hand_down(parent, 1u << controller))
        return pnx_fail(err, PNX_EUNSUPPORTED, "cgroup %s does not hand %s down: %m%s", parent,
                        name, errno == EBUSY ? ", since processes live in it" : "");
    return PNX_OK;
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
    /* Without swap accounting there is no such file, and nobody counts what is swapped. */
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
