/* SPDX-License-Identifier: MIT */
/* Which tier a run has. On the way of every run: nothing here starts a process unless it was asked
 * for a tier that cannot be judged otherwise. */
#include "probe/probe.h"

#include <cleanroom/process.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *pnx_tier_name(unsigned tier)
{
    static const char *const names[] = {
        "T0 (subreaper)",
        "T1 (cgroup)",
        "T2 (pid namespace)",
        "T3 (root: cgroup, process events, fanotify)",
    };
    return tier < sizeof names / sizeof *names ? names[tier] : "no such tier";
}

/* The first reason is the one that keeps it from the next tier; the others would not help alone. */
static void because(pnx_tier_choice *choice, const char *format, ...) PNX_PRINTF(2, 3);
static void because(pnx_tier_choice *choice, const char *format, ...)
{
    pnx_error text = {0};
    va_list args;
    va_start(args, format);
    (void)pnx_fail_va(&text, PNX_EFAILED, format, args);
    va_end(args);
    size_t length = strlen(choice->reason);
    snprintf(choice->reason + length, sizeof choice->reason - length, "%s%s", length ? "; " : "",
             text.message);
}

static bool can_watch(pnx_tier_choice *choice)
{
    if (geteuid() != 0)
        because(choice, "T3 needs root");
    else if (!pnx__can_watch_processes())
        because(choice, "T3 needs the process events connector: %m");
    else if (!pnx__may_watch_files())
        because(choice, "T3 needs fanotify of whole file systems: %m");
    else
        return true;
    return false;
}

/* Was a pid namespace asked for, it is had or the run fails: that need not be tried twice. */
static bool can_have_namespace(int requested, unsigned isolate, pnx_tier_choice *choice)
{
    char reason[160];
    if (isolate & PNX_ISOLATE_PID)
        return true;
    if (requested != 2) {
        because(choice, "T2 needs --isolate pid");
        return false;
    }
    if (pnx__can_isolate(PNX_ISOLATE_PID, geteuid(), reason, sizeof reason))
        return true;
    because(choice, "%s", reason);
    return false;
}

static bool can_have_cgroup(pnx_tier_choice *choice)
{
    char reason[160];
    if (pnx__can_make_cgroup(reason, sizeof reason))
        return true;
    because(choice, "%s", reason);
    return false;
}

static unsigned best(int requested, unsigned isolate, pnx_tier_choice *choice)
{
    unsigned most = requested == PNX_TIER_AUTO ? 3 : (unsigned)requested;
    if (most < 3)
        because(choice, "no more than T%u was asked for", most);
    if (most == 0)
        return 0;
    bool cgroup = false, looked = false;
    if (most == 3 && can_watch(choice)) {
        looked = true;
        cgroup = can_have_cgroup(choice);
        if (cgroup)
            return 3;
    }
    if (most >= 2 && can_have_namespace(requested, isolate, choice))
        return 2;
    return looked ? cgroup : can_have_cgroup(choice);
}

pnx_status pnx_tier_choose(int requested, unsigned required, unsigned isolate, pnx_tier_choice *ret,
                           pnx_error *err)
{
    pnx_tier_choice choice = {0};
    if (requested < PNX_TIER_AUTO || requested > 3 || required > 3)
        return pnx_fail(err, PNX_EINVAL, "there is no tier %d: 0 to 3, or auto",
                        required > 3 ? (int)required : requested);
    choice.tier = best(requested, isolate, &choice);
    if (choice.tier < required)
        return pnx_fail(err, PNX_ELIMIT, "tier T%u is required, but only T%u can be had: %s",
                        required, choice.tier, choice.reason);
    *ret = choice;
    return PNX_OK;
}
