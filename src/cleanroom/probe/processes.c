/* SPDX-License-Identifier: MIT */
#include "probe/probe.h"

#include "kind/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void probe_subreaper(struct pnx__probe *probe)
{
    pnx_capability *capability =
        pnx__probe_add(probe, "subreaper", "orphans of a command come to cleanroom");
    int was = 0;
    if (prctl(PR_GET_CHILD_SUBREAPER, &was) == 0 && prctl(PR_SET_CHILD_SUBREAPER, was) == 0)
        pnx__probe_yes(capability, "prctl(PR_SET_CHILD_SUBREAPER)");
    else
        pnx__probe_no(capability, "prctl(PR_SET_CHILD_SUBREAPER): %m");
}

/* Handles of pidfds are of a file system of their own since Linux 6.14. */
static void probe_handle(struct pnx__probe *probe, int pidfd)
{
    pnx_capability *capability =
        pnx__probe_add(probe, "pid-identity", "a process is never taken for a later one");
    struct {
        struct file_handle handle;
        unsigned char bytes[128];
    } room = {.handle.handle_bytes = sizeof room.bytes};
    int mount;
    if (pidfd >= 0 && name_to_handle_at(pidfd, "", &room.handle, &mount, AT_EMPTY_PATH) == 0)
        pnx__probe_yes(capability, "file handles of pidfds");
    else if (access("/proc/self/stat", R_OK) == 0)
        pnx__probe_yes(capability, "pid, start time and boot id (handles of pidfds: Linux 6.14)");
    else
        pnx__probe_no(capability, "/proc/self/stat: %m");
}

void pnx__probe_processes(struct pnx__probe *probe)
{
    probe_subreaper(probe);
    pnx_capability *capability =
        pnx__probe_add(probe, "pidfd", "who is signalled is who was looked at");
    int pidfd = pnx__pidfd_open(getpid());
    if (pidfd >= 0)
        pnx__probe_yes(capability, "pidfd_open(2)");
    else
        pnx__probe_no(capability, "pidfd_open(2): %m");
    probe_handle(probe, pidfd);
    pnx__close(pidfd);

    capability = pnx__probe_add(probe, "proc", "processes are found at all");
    if (access("/proc/self/stat", R_OK) == 0 && access("/proc/1/stat", F_OK) == 0)
        pnx__probe_yes(capability, "/proc");
    else if (access("/proc/self/stat", R_OK) == 0)
        pnx__probe_no(capability, "/proc hides the processes of others (hidepid)");
    else
        pnx__probe_no(capability, "/proc: %m");
    if (!capability->ok)
        pnx__probe_change(capability, "mount -t proc proc /proc, without hidepid");

    struct rlimit limit = {0};
    capability = pnx__probe_add(probe, "processes-max", "room for a command's processes");
    if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY)
        pnx__probe_yes(capability, "no limit per user");
    else
        pnx__probe_yes(capability, "%llu per user (ulimit -u)", (unsigned long long)limit.rlim_cur);
    capability = pnx__probe_add(probe, "open-files", "room for what is watched and removed");
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= 256)
        pnx__probe_yes(capability, "%llu (ulimit -n)", (unsigned long long)limit.rlim_cur);
    else
        pnx__probe_no(capability, "only %llu (ulimit -n)", (unsigned long long)limit.rlim_cur);
    if (!capability->ok)
        pnx__probe_change(capability, "ulimit -n 256, or more");
}
