/* SPDX-License-Identifier: MIT */
/* Why a form of isolation cannot be had here, and what would have to change. */
#include "kind/isolate.h"

#include "kind/procfs.h"
#include "kind/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- what the machine says ------------------------------------------------------------------- */

static bool knob(const char *path, long long *ret)
{
    char text[32];
    if (pnx__read_file(path, text, sizeof text) <= 0)
        return false;
    *ret = strtoll(text, NULL, 10);
    return true;
}

static bool knob_is(const char *path, long long value)
{
    long long is;
    return knob(path, &is) && is == value;
}

static bool is_filtered(void)
{
    char text[4096];
    const char *at;
    return pnx__read_file("/proc/self/status", text, sizeof text) > 0 &&
           (at = strstr(text, "\nSeccomp:")) && strtol(at + strlen("\nSeccomp:"), NULL, 10) == 2;
}

static bool is_chrooted(void)
{
    struct stat own, first;
    return stat("/", &own) == 0 && stat("/proc/1/root/.", &first) == 0 &&
           (own.st_ino != first.st_ino || own.st_dev != first.st_dev);
}

const char *pnx__isolate_userns_knob(void)
{
    if (knob_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 1))
        return "AppArmor keeps it from unprivileged programs: set "
               "kernel.apparmor_restrict_unprivileged_userns=0, or give cleanroom a profile with "
               "'userns,'";
    if (knob_is("/proc/sys/kernel/unprivileged_userns_clone", 0))
        return "set kernel.unprivileged_userns_clone=1";
    if (knob_is("/proc/sys/user/max_user_namespaces", 0))
        return "set user.max_user_namespaces higher than 0";
    if (access("/proc/self/ns/user", F_OK) != 0)
        return "the kernel is built without user namespaces (CONFIG_USER_NS)";
    if (is_chrooted())
        return "a process in a chroot may not";
    if (is_filtered())
        return "a seccomp filter (of a container?) refuses it: allow unshare(2), clone(2) and "
               "mount(2)";
    return NULL;
}

/* ---- the stages ------------------------------------------------------------------------------ */

struct form {
    const char *option; /* of --isolate; "": of several */
    const char *what;   /* cannot … */
    const char *limit;  /* the sysctl of how many there may be, beneath /proc/sys/user */
    const char *link;   /* in /proc/self/ns, if the kernel has it */
};

static const struct form form_of[PNX__ISOLATE_STAGES] = {
    [PNX__IN_USER] = {"", "make a user namespace", "max_user_namespaces", "user"},
    [PNX__IN_USER_MAP] = {"", "map the user into its user namespace", NULL, NULL},
    [PNX__IN_MOUNT] = {"mount", "make a mount namespace", "max_mnt_namespaces", "mnt"},
    [PNX__IN_PROPAGATION] = {"mount", "keep mounts from the host", NULL, NULL},
    [PNX__IN_IPC] = {"ipc", "make an IPC namespace", "max_ipc_namespaces", "ipc"},
    [PNX__IN_SHM] = {"ipc", "mount a private /dev/shm", NULL, NULL},
    [PNX__IN_MQUEUE] = {"ipc", "mount a private /dev/mqueue", NULL, NULL},
    [PNX__IN_NET] = {"net", "make a network namespace", "max_net_namespaces", "net"},
    [PNX__IN_LOOPBACK] = {"net", "bring the loopback interface up", NULL, NULL},
    [PNX__IN_DISK] = {"", "limit disk by a file system in memory", NULL, NULL},
    [PNX__IN_TMP] = {"tmp", "make a private /tmp", NULL, NULL},
    [PNX__IN_PID] = {"pid", "make a pid namespace", "max_pid_namespaces", "pid"},
    [PNX__IN_INIT] = {"pid", "start the init of a pid namespace", NULL, NULL},
    [PNX__IN_PROC] = {"pid", "mount a /proc of its own", NULL, NULL},
};

/* "; CLAUSE" for what is known to cause this; empty if nothing is. */
static void advise(const struct pnx__isolation *isolation, int stage, int number, char *ret,
                   size_t size)
{
    const struct form *form = &form_of[stage];
    const char *advice = NULL;
    char link[48], room[PNX_ERROR_CAUSE_MAX];
    snprintf(link, sizeof link, "/proc/self/ns/%s", form->link ? form->link : "");
    if (form->link && access(link, F_OK) != 0) {
        snprintf(room, sizeof room, "the kernel is built without %s namespaces", form->link);
        advice = room;
    } else if (form->limit && (number == ENOSPC || number == EUSERS)) {
        snprintf(room, sizeof room, "set user.%s higher, or nest less deeply", form->limit);
        advice = room;
    } else if (isolation->user && (number == EPERM || number == EACCES || number == ENOSYS)) {
        advice = pnx__isolate_userns_knob();
    } else if (number == EPERM && is_filtered()) {
        advice = "a seccomp filter (of a container?) refuses it";
    } else if (stage == PNX__IN_PROPAGATION && number == EINVAL) {
        advice = "'/' is no mount point, as in a chroot: run it outside, or bind-mount the root";
    } else if (stage == PNX__IN_MQUEUE && number == ENODEV) {
        advice = "the kernel has no POSIX message queues, yet there is a /dev/mqueue: remove that";
    }
    if (!advice && stage == PNX__IN_PROC && number == EPERM)
        advice = "parts of /proc are hidden here, as in a container: run it outside";
    if (!advice && (number == EPERM || number == EACCES))
        advice =
            isolation->user ? "run as root, or see 'cleanroom doctor'" : "see 'cleanroom doctor'";
    snprintf(ret, size, "%s%s", advice ? "; " : "", advice ? advice : "");
}

pnx_status pnx__isolate_explain(const struct pnx__isolation *isolation, int stage, int number,
                                const char *name, pnx_error *err)
{
    char advice[PNX_ERROR_CAUSE_MAX + 2];
    const struct form *form = &form_of[stage];
    advise(isolation, stage, number, advice, sizeof advice);
    errno = number;
    if (!*form->option)
        return pnx_fail(err, PNX_ELIMIT, "cannot run '%.32s': cannot %s: %m%s", name, form->what,
                        advice);
    return pnx_fail(err, PNX_ELIMIT, "cannot run '%.32s' with --isolate %s: cannot %s: %m%s", name,
                    form->option, form->what, advice);
}
