/* SPDX-License-Identifier: MIT */
#include "probe/probe.h"

#include <cleanroom/cgroup.h>
#include <cleanroom/limits.h>

#include "kind/cgroup_place.h"
#include "kind/sys.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static const char delegate[] = "run as root, or where a cgroup is delegated: systemd-run --user "
                               "--scope -p Delegate=yes cleanroom run …";

bool pnx__can_make_cgroup(char *reason, size_t size)
{
    struct pnx__cgroup_place place;
    pnx_error err = {0};
    char procs[PATH_MAX + 16];
    if (pnx__cgroup_find_place(&place, &err) != PNX_OK) {
        snprintf(reason, size, "%s", err.message);
        return false;
    }
    snprintf(procs, sizeof procs, "%s/cgroup.procs", place.own_dir);
    if (place.own_dir[0] && access(place.own_dir, W_OK) == 0 && access(procs, W_OK) == 0)
        return true;
    if (geteuid() == 0 && access(place.mount, W_OK) == 0)
        return true;
    pnx_fail(&err, PNX_EFAILED, "no right to make a cgroup in %.150s: %m",
             place.own_dir[0] ? place.own_dir : place.mount);
    snprintf(reason, size, "%s", err.message);
    return false;
}

static void probe_file(struct pnx__probe *probe, const pnx_cgroup *cgroup, const char *name,
                       const char *gives, const char *file, const char *since)
{
    pnx_capability *capability = pnx__probe_add(probe, name, gives);
    if (!cgroup)
        pnx__probe_no(capability, "no cgroup to look into");
    else if (faccessat(pnx_cgroup_fd(cgroup), file, W_OK, 0) == 0)
        pnx__probe_yes(capability, "%s", file);
    else
        pnx__probe_no(capability, "%s: %m; it is there since Linux %s", file, since);
}

static void probe_birth(struct pnx__probe *probe, const pnx_cgroup *cgroup)
{
    pnx_capability *capability =
        pnx__probe_add(probe, "into-cgroup", "no fork can come before the cgroup");
    if (!cgroup) {
        pnx__probe_no(capability, "no cgroup to be born in");
        return;
    }
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)pnx_cgroup_fd(cgroup),
    };
    pid_t pid = pnx__clone3(&args);
    if (pid == 0)
        _exit(0);
    if (pid < 0) {
        pnx__probe_no(capability, "clone3(CLONE_INTO_CGROUP): %m; a command moves there instead");
        return;
    }
    (void)waitpid(pid, NULL, 0);
    pnx__probe_yes(capability, "clone3(CLONE_INTO_CGROUP)");
}

static void probe_limit(struct pnx__probe *probe, pnx_cgroup *cgroup, const char *label,
                        const char *name, const char *gives, const pnx_limits *limits)
{
    pnx_capability *capability = pnx__probe_add(probe, name, gives);
    pnx_limiter *limiter;
    pnx_error err = {0};
    if (pnx_limits_enforce(limits, label, cgroup, &limiter, &err) != PNX_OK) {
        pnx__probe_no(capability, "%s", err.cause.message[0] ? err.cause.message : err.message);
        pnx__probe_change(capability, "%s", delegate);
        return;
    }
    pnx_limit_told told[PNX_LIMIT_COUNT];
    (void)pnx_limits_report(limiter, 0, told);
    pnx__probe_yes(capability, "%s", told[0].by);
    (void)pnx_limiter_remove(limiter, NULL, NULL);
    pnx_limiter_free(limiter);
}

void pnx__probe_cgroups(struct pnx__probe *probe)
{
    pnx_capability *capability = pnx__probe_add(
        probe, "cgroup-v2", "holds all together that a command starts, however it gets away");
    const pnx_limits all = {.memory = 1 << 30, .pids = 1000, .cpu = 1000};
    pnx_cgroup *cgroup = NULL;
    pnx_error err = {0};
    char label[48];
    snprintf(label, sizeof label, "cleanroom-doctor-%d", (int)getpid());
    if (pnx_cgroup_create_for(label, &all, &cgroup, &err) == PNX_OK) {
        int length = (int)(strlen(pnx_cgroup_path(cgroup)) - strlen(label) - 1);
        pnx__probe_yes(capability, "in %.*s", length, pnx_cgroup_path(cgroup));
    } else {
        pnx__probe_no(capability, "%s", err.message);
        pnx__probe_change(capability, "%s", delegate);
    }
    probe_birth(probe, cgroup);
    probe_file(probe, cgroup, "cgroup-kill", "kills all of it at once", "cgroup.kill", "5.14");
    probe_file(probe, cgroup, "cgroup-freeze", "holds all of it still", "cgroup.freeze", "5.2");
    probe_limit(probe, cgroup, label, "limit-mem", "--limit mem", &(pnx_limits){.memory = 1 << 30});
    probe_limit(probe, cgroup, label, "limit-pids", "--limit pids", &(pnx_limits){.pids = 1000});
    probe_limit(probe, cgroup, label, "limit-cpu", "--limit cpu", &(pnx_limits){.cpu = 1000});
    if (!cgroup)
        return;
    (void)pnx_cgroup_remove(cgroup, NULL, NULL);
    pnx_cgroup_free(cgroup);
}
