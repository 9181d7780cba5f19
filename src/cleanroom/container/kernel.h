/* SPDX-License-Identifier: MIT */
/** @file kernel.h  What the kernel says of a container: its cgroup, where it can be seen. */
#ifndef CLEANROOM_CONTAINER_KERNEL_H
#define CLEANROOM_CONTAINER_KERNEL_H

#include <cleanroom/docker.h>

/** In the units of pnx_usage_type; 0: no limit, or not told. */
struct pnx__kernel {
    bool visible;
    uint64_t memory_max, cpu_max, pids_max;
    uint64_t memory_peak;
    uint64_t oom, refused; /* how often */
    uint64_t memory, pids,
        cpu; /* now; memory without page cache that can go at once; nanoseconds */
};

/** `about` is what inspect says. Not visible: it does not run, or not in a pid namespace that is
 *  seen from here, or there is no cgroup file system where it usually is. */
void pnx__kernel_look(const struct json_t *about, struct pnx__kernel *ret);

#endif
