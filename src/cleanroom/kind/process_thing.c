/* SPDX-License-Identifier: MIT */
/* Processes as things: the name is the pid, the identity pid and start time. */
#include "kind/procfs.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <cleanroom/process.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_MAX 48

static pid_t pid_of(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    if (name[0] < '1' || name[0] > '9' || digits > 10 || name[digits])
        return 0;
    long pid = strtol(name, NULL, 10);
    return pid <= INT_MAX ? (pid_t)pid : 0;
}

static void identify(pid_t pid, uint64_t start_time, char ret[IDENTITY_MAX])
{
    snprintf(ret, IDENTITY_MAX, "%d:%llu", (int)pid, (unsigned long long)start_time);
}

static pnx_status take_hold(const char *name, pnx_process *ret, char ret_identity[IDENTITY_MAX],
                            pnx_error *err)
{
    pid_t pid = pid_of(name);
    if (!pid)
        return pnx_fail(err, PNX_EINVAL, "'%s' is not a pid", name);
    /* The descriptor comes first: what was read after it is true of what it stands for. */
    pnx_status status = pnx_process_open(pid, ret, err);
    if (status == PNX_OK)
        identify(pid, ret->start_time, ret_identity);
    return status;
}

static pnx_status find_process(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    pnx_process process = {.pidfd = -1};
    char identity[IDENTITY_MAX];
    pnx_status status = take_hold(name, &process, identity, err);
    if (status != PNX_OK)
        return status;
    pnx_process_close(&process);
    if (snprintf(ret_identity, size, "%s", identity) >= (int)size)
        return pnx_fail(err, PNX_EINVAL, "no room for the identity of process %s", name);
    return PNX_OK;
}

/* SIGTERM, its grace or half of the time that there is, SIGKILL. */
static pnx_status remove_process(const char *name, const char *identity, pnx_time deadline,
                                 pnx_error *err)
{
    pnx_process process = {.pidfd = -1};
    char found[IDENTITY_MAX] = "";
    pnx_status status = take_hold(name, &process, found, err);
    if (status != PNX_OK)
        return status == PNX_ENOTFOUND ? PNX_EALREADY : status;
    if (strcmp(found, identity) != 0) {
        status = PNX_EALREADY;
    } else if (process.pid == 1 || process.pid == getpid()) {
        status = pnx_fail(err, PNX_EFAILED, "process %s is %s, and is not ended", name,
                          process.pid == 1 ? "the init" : "this one");
    } else {
        pnx_duration grace = PNX_MS(process.grace_ms);
        pnx_duration left = deadline == PNX_FOREVER ? grace : (deadline - pnx_monotonic_now()) / 2;
        pnx_outcome outcome = {0};
        status = pnx_process_end(&process,
                                 left < 0       ? 0
                                 : left < grace ? left
                                                : grace,
                                 &outcome, err);
        if (status == PNX_OK && outcome.reason[0])
            (void)pnx_fail(err, PNX_EBUSY, "%s", outcome.reason);
    }
    pnx_process_close(&process);
    return status;
}

/* ---- listing --------------------------------------------------------------------------------- */

struct listing {
    pnx_thing_visit_fn visit;
    void *context;
    bool ended;
};

static void list_one(pid_t pid, void *context)
{
    struct listing *listing = context;
    struct pnx__proc_stat about;
    char name[16], identity[IDENTITY_MAX], command[256];
    if (listing->ended || !pnx__proc_stat(pid, &about) || about.kernel || about.state == 'Z' ||
        about.state == 'X')
        return;
    snprintf(name, sizeof name, "%d", (int)pid);
    identify(pid, about.start_time, identity);
    pnx__proc_command(pid, command, sizeof command);
    pnx_thing_info info = {
        .name = name,
        .identity = identity,
        .detail = command,
        .owner = about.user,
        .creator = about.parent,
    };
    listing->ended = !listing->visit(&info, listing->context);
}

static pnx_status list_processes(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {visit, context, false};
    pnx__proc_each(list_one, &listing);
    return PNX_OK;
}

const pnx_thing_kind pnx__thing_process = {
    .name = "process",
    .code = PNX__CODE_PROCESS,
    .order = PNX_ORDER_PROCESS,
    .name_is_given = true,
    .find = find_process,
    .remove = remove_process,
    .list = list_processes,
};
