/* SPDX-License-Identifier: MIT */
#include "probe/probe.h"

#include "kind/isolate.h"
#include "kind/procfs.h"
#include "kind/sys.h"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOBODY 65534

/* ---- trying ---------------------------------------------------------------------------------- */

struct answer {
    int stage, number;
};

/* In a child of a child: the first process of the new pid namespace. */
static int try_proc(void)
{
    if (unshare(CLONE_NEWPID) != 0)
        return PNX__IN_PID;
    pid_t pid = _Fork();
    if (pid < 0)
        return PNX__IN_INIT;
    if (pid == 0)
        _exit(pnx__isolate_mount_proc() ? errno : 0);
    int status = 0;
    (void)waitpid(pid, &status, 0);
    errno = WEXITSTATUS(status);
    return status ? PNX__IN_PROC : 0;
}

static struct answer try_here(struct pnx__isolation *isolation)
{
    int disk;
    int stage = pnx__isolate_enter(isolation, &disk);
    if (!stage && (isolation->isolate & PNX_ISOLATE_PID))
        stage = try_proc();
    return (struct answer){stage, stage ? errno : 0};
}

static bool become(uid_t user)
{
    return user == geteuid() || (setgroups(0, NULL) == 0 && setresgid(user, user, user) == 0 &&
                                 setresuid(user, user, user) == 0);
}

/* Does all that a command's start does, but in a child that ends at once. */
static _Noreturn void try_in_child(unsigned isolate, uid_t as, const char *tmpdir, int out)
{
    struct pnx__isolation isolation;
    struct answer answer = {PNX__IN_USER, EPERM};
    pnx_command command = {.isolate = isolate, .tmpdir = tmpdir};
    if (become(as) && pnx__isolation_plan(&command, 0, &isolation, NULL) == PNX_OK)
        answer = try_here(&isolation);
    (void)!write(out, &answer, sizeof answer);
    _exit(0);
}

static struct answer try(unsigned isolate, uid_t as, const char *tmpdir)
{
    struct answer answer = {PNX__IN_USER, EPERM};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return answer;
    pid_t pid = _Fork();
    if (pid == 0)
        try_in_child(isolate, as, tmpdir, ends[1]);
    close(ends[1]);
    if (read(ends[0], &answer, sizeof answer) != sizeof answer)
        answer = (struct answer){PNX__IN_INIT, pid < 0 ? EAGAIN : EPERM};
    close(ends[0]);
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
    return answer;
}

/* "cannot make a user namespace: Operation not permitted; …", without the name of a command. */
static void explain(struct answer answer, unsigned isolate, bool user, char *reason, size_t size)
{
    struct pnx__isolation isolation = {.isolate = isolate, .user = user};
    pnx_error err = {0};
    (void)pnx__isolate_explain(&isolation, answer.stage, answer.number, "", &err);
    const char *at = strstr(err.message, ": ");
    snprintf(reason, size, "%s", at ? at + 2 : err.message);
}

bool pnx__can_isolate(unsigned isolate, uid_t as, char *reason, size_t size)
{
    char tmpdir[] = "/tmp/cleanroom-doctor-XXXXXX";
    bool needs_dir = isolate & PNX_ISOLATE_TMP;
    if (needs_dir && !mkdtemp(tmpdir)) {
        snprintf(reason, size, "no directory can be made in /tmp");
        return false;
    }
    if (needs_dir && as != geteuid())
        (void)!chown(tmpdir, as, as);
    struct answer answer = try(isolate, as, needs_dir ? tmpdir : NULL);
    if (answer.stage)
        explain(answer, isolate, as != 0 || !pnx__has_capability(CAP_SYS_ADMIN), reason, size);
    if (needs_dir) {
        char path[sizeof tmpdir + 48];
        snprintf(path, sizeof path, "%s/tmp/%s", tmpdir, strrchr(tmpdir, '/') + 1);
        (void)unlink(path);
        snprintf(path, sizeof path, "%s/tmp", tmpdir);
        (void)rmdir(path);
        snprintf(path, sizeof path, "%s/var-tmp", tmpdir);
        (void)rmdir(path);
        (void)rmdir(tmpdir);
    }
    return answer.stage == 0;
}

/* ---- telling --------------------------------------------------------------------------------- */

/* What comes after the first semicolon of a reason is what to do about it. */
static void answer_no(pnx_capability *capability, const char *reason)
{
    const char *advice = strchr(reason, ';');
    pnx__probe_no(capability, "%.*s", advice ? (int)(advice - reason) : (int)strlen(reason),
                  reason);
    if (advice)
        pnx__probe_change(capability, "%s", advice + 1 + strspn(advice + 1, " "));
}

static void probe_form(struct pnx__probe *probe, const char *name, const char *gives,
                       unsigned isolate)
{
    pnx_capability *capability = pnx__probe_add(probe, name, gives);
    char reason[224];
    bool privileged = pnx__has_capability(CAP_SYS_ADMIN);
    if (pnx__can_isolate(isolate, geteuid(), reason, sizeof reason))
        pnx__probe_yes(capability, "%s", privileged ? "as root" : "in a user namespace");
    else
        answer_no(capability, reason);
}

static void probe_knobs(struct pnx__probe *probe)
{
    static const struct {
        const char *path, *name, *gives;
    } knobs[] = {
        {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "apparmor-userns",
         "what AppArmor says of user namespaces"},
        {"/proc/sys/kernel/yama/ptrace_scope", "yama", "whom a debugger may attach to"},
    };
    for (size_t i = 0; i < sizeof knobs / sizeof *knobs; i++) {
        char text[32];
        if (pnx__read_file(knobs[i].path, text, sizeof text) <= 0)
            continue;
        text[strcspn(text, "\n")] = '\0';
        pnx_capability *capability = pnx__probe_add(probe, knobs[i].name, knobs[i].gives);
        pnx__probe_yes(capability, "%s = %s", strrchr(knobs[i].path, '/') + 1, text);
        if (i == 0 && strcmp(text, "0") != 0) {
            capability->ok = false;
            pnx__probe_change(capability,
                              "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an "
                              "AppArmor profile for cleanroom with 'userns,'");
        }
    }
}

void pnx__probe_namespaces(struct pnx__probe *probe)
{
    pnx_capability *capability = pnx__probe_add(probe, "userns", "--isolate without privileges");
    char reason[224];
    uid_t user = geteuid() == 0 ? NOBODY : geteuid();
    if (pnx__can_isolate(PNX_ISOLATE_MOUNT, user, reason, sizeof reason))
        pnx__probe_yes(capability, "unprivileged users may make them (tried as user %u)", user);
    else
        answer_no(capability, reason);
    probe_form(probe, "isolate-tmp", "--isolate tmp", PNX_ISOLATE_TMP);
    probe_form(probe, "isolate-ipc", "--isolate ipc", PNX_ISOLATE_IPC);
    probe_form(probe, "isolate-pid", "--isolate pid; nothing outlives its init", PNX_ISOLATE_PID);
    probe_form(probe, "isolate-mount", "--isolate mount", PNX_ISOLATE_MOUNT);
    probe_form(probe, "isolate-net", "--isolate net", PNX_ISOLATE_NET);
    probe_knobs(probe);
}
