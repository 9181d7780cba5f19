/* SPDX-License-Identifier: MIT */
/*
 * Sessions whose supervisor and reaper were both killed are cleaned up by the next run, beside its
 * own command: by `cleanroom reap`, in a process of its own, which is waited for in the end.
 */
#include "cli.h"

#include <cleanroom/process.h>
#include <cleanroom/reaper.h>

/* A clean-up that takes longer than that goes on without us. */
#define PATIENCE PNX_S(30)

static bool is_dead(const pnx_session_info *info, void *context)
{
    bool *dead = context;
    *dead = info->life == PNX_SESSION_DEAD;
    return !*dead;
}

bool begin_to_adopt(pnx_process *ret)
{
    static const char *const argv[] = {"/proc/self/exe", "reap", "--all", NULL};
    bool dead = false;
    if (pnx_sessions_each(is_dead, &dead, NULL) != PNX_OK || !dead)
        return false;
    return pnx_process_spawn(&(pnx_command){.argv = argv}, ret, NULL) == PNX_OK;
}

void end_adopting(pnx_process *process)
{
    (void)pnx_process_wait(process, pnx_time_after(pnx_monotonic_now(), PATIENCE), NULL);
    pnx_process_close(process);
}
