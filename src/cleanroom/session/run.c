/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include "kind/poll.h"
#include "kind/procfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_WITHIN PNX_S(2)

char **pnx__session_copy_list(const char *const *list)
{
    size_t count = 0;
    while (list[count])
        count++;
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        if (!(copy[i] = strdup(list[i])))
            break;
    return copy;
}

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* The cgroup was made, but nothing may be started in it: go on at tier 0. */
static void do_without_cgroup(pnx_session *session, const pnx_error *why)
{
    pnx_error_format(why, session->tier_reason, sizeof session->tier_reason);
    (void)pnx_close(&session->cgroup_guard, NULL);
    session->cgroup = session->set.cgroup = NULL;
    session->tier = 0;
}

static pnx_status spawn_with(pnx_session *session, const char *const *argv, char *const *set,
                             pnx_error *err)
{
    pnx_error why = {0};
    bool offered = session->engine.listener >= 0;
    char **environment = offered ? pnx__engine_environment_of_command() : NULL;
    if (offered && !environment)
        return pnx_fail(err, PNX_ENOMEM, "no memory for the command's environment");
    pnx_command command = {
        .argv = argv,
        .environment = (const char *const *)environment,
        .set = (const char *const *)set,
        .cgroup = session->cgroup,
        .isolate = session->config.isolate,
        .tmpdir = pnx_tempdir_path(session->dir),
        .limiter = session->limiter,
    };
    pnx_status status = pnx_process_spawn(&command, &session->set.command, &why);
    if (status == PNX_EBUSY && !session->limiter) { /* limits may be the cgroup's */
        do_without_cgroup(session, &why);
        command.cgroup = NULL;
        status = pnx_process_spawn(&command, &session->set.command, &why);
    }
    free(environment);
    if (status != PNX_OK && err)
        *err = why;
    return status;
}

static pnx_status spawn(pnx_session *session, const char *const *argv, pnx_error *err)
{
    char **set = pnx__services_add_variables(session, session->variables);
    pnx_status status = set ? spawn_with(session, argv, set, err)
                            : pnx_fail(err, PNX_ENOMEM, "no memory for the command's environment");
    free(set);
    return status;
}

/* In a library the program may start things of its own meanwhile: they are not the command's. */
static void expect_command(pnx_session *session)
{
    if (session->config.owns_children || !session->reaper.tracking)
        return;
    pnx_time soon = pnx_time_after(pnx_monotonic_now(), ANSWER_WITHIN);
    if (!pnx__reaper_expect(&session->reaper, soon))
        snprintf(session->warning, sizeof session->warning,
                 "the reaper did not answer; what the program starts itself counts, too");
}

static void tell_command(pnx_session *session)
{
    if (session->config.owns_children || !session->reaper.tracking)
        return;
    const pnx_process *command = &session->set.command;
    pnx_time soon = pnx_time_after(pnx_monotonic_now(), ANSWER_WITHIN);
    if (!pnx__reaper_expected(&session->reaper, command->pid, session->set.init, soon))
        snprintf(session->warning, sizeof session->warning,
                 "the reaper did not answer; what the program starts itself counts, too");
}

bool pnx__session_serve(pnx_session *session, int fd, pnx_time deadline, bool *ret_ready)
{
    struct pollfd fds[4 + PNX__COMPANIONS_MAX * PNX__COMPANION_FDS] = {
        {.fd = fd, .events = POLLIN},
        {.fd = session->signals[0], .events = POLLIN},
        {.fd = session->reaper.running ? session->reaper.process.pidfd : -1, .events = POLLIN},
        {.fd = pnx__engine_poll_fd(session), .events = POLLIN},
    };
    size_t companions = pnx__companions_poll_set(session, fds + 4);
    int ready = pnx__poll(fds, 4 + companions, deadline);
    if (fds[1].revents)
        (void)pnx__session_take_signals(session);
    if (fds[2].revents)
        pnx__session_replace_reaper(session);
    if (companions > 0)
        pnx__companions_serve(session);
    if (fds[3].revents)
        pnx__engine_connected(session);
    *ret_ready = fds[0].revents != 0;
    return ready != 0;
}

/* False: its time was over. */
static bool wait_for_command(pnx_session *session, pnx_time deadline)
{
    bool ended = false;
    while (!ended)
        if (!pnx__session_serve(session, session->set.command.pidfd, deadline, &ended))
            return false;
    return true;
}

pnx_status pnx_session_run(pnx_session *session, const char *const *argv, pnx_error *err)
{
    struct pnx__process_set *set = &session->set;
    if (session->ran)
        return pnx_fail(err, PNX_EALREADY, "a session runs one command");
    if (!argv || !argv[0])
        return pnx_fail(err, PNX_EINVAL, "no command to run");
    session->command = pnx__session_copy_list(argv);
    if (!session->config.name)
        session->config.name = strdup(last_component(argv[0]));

    set->started = pnx_monotonic_now();
    session->started = pnx__now_since_1970();
    pnx_status status = pnx__session_note_command(session, err);
    if (status == PNX_OK)
        status = pnx__services_start(session, err);
    if (status != PNX_OK)
        return status;
    expect_command(session);
    set->started = pnx_monotonic_now(); /* the command's own time */
    status = spawn(session, argv, err);
    if (status != PNX_OK)
        return status;
    session->ran = true;
    set->init = set->command.init_pidfd > 0 ? pnx__proc_pid_of(set->command.init_pidfd) : 0;
    tell_command(session);
    set->command_ended = false;
    pnx_arm(&session->set_guard, set);

    if (!wait_for_command(session, pnx_time_after(set->started, session->config.timeout))) {
        session->timed_out = set->interrupted = true;
        return pnx_fail(err, PNX_ETIMEOUT, "'%s' took longer than it may", argv[0]);
    }
    (void)pnx_process_wait(&set->command, PNX_FOREVER, &session->status);
    session->duration = pnx_monotonic_now() - set->started;
    session->collected = set->command_ended = true;
    (void)!pnx__session_note_number(session, "status", session->status, NULL);
    return PNX_OK;
}
