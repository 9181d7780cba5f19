/* SPDX-License-Identifier: MIT */
/** @file command.h  A command in a container that can be ended. */
#ifndef CLEANROOM_ENVIRONMENT_COMMAND_H
#define CLEANROOM_ENVIRONMENT_COMMAND_H

#include <cleanroom/docker.h>

/**
 * Runs it as pnx_engine_exec does. When the call ends early, it is killed with its process group,
 * and looked for until it is gone, `grace` at most: `*ret_ended` says whether that was seen.
 */
pnx_status pnx__command_run(pnx_engine *engine, const char *container, const pnx_exec *exec,
                            const pnx_call *call, pnx_duration grace, int *ret_exit,
                            bool *ret_ended, pnx_error *err);

#endif
