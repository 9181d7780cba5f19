/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include "kind/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

const char *pnx_session_step(const pnx_session *session)
{
    const char *step = atomic_load_explicit(&session->step, memory_order_relaxed);
    return step ? step : "running";
}

/* Relaxed: see `step`. */
static void enter(pnx_session *session, const char *step)
{
    atomic_store_explicit(&session->step, step, memory_order_relaxed);
}

/* ---- the steps, in order; each ends before the next begins ----------------------------------- */

/* The command was still running: by now it was ended with all the rest. */
static void collect_command(pnx_session *session)
{
    struct pnx__process_set *set = &session->set;
    if (!session->ran || session->collected || session->adopted) /* it was no child of ours */
        return;
    pnx_time soon = pnx_time_after(pnx_monotonic_now(), PNX_MS(100));
    session->collected = pnx_process_wait(&set->command, soon, &session->status) == PNX_OK;
    if (!session->adopted)
        session->duration = pnx_monotonic_now() - set->started;
}

static bool failed(const pnx_session *session)
{
    return !session->ran || !session->collected || session->timed_out || session->status != 0;
}

static bool is_kept(const pnx_session *session)
{
    pnx_keep keep = session->config.keep;
    return keep == PNX_KEEP_ALWAYS || (keep == PNX_KEEP_ON_FAILURE && failed(session));
}

static void keep(pnx_outcome *outcome)
{
    outcome->fate = PNX_FATE_KEPT;
    snprintf(outcome->reason, sizeof outcome->reason, "kept, as asked");
}

/* Processes go all the same; the rest stays, and is told. */
static void keep_all(pnx_session *session)
{
    session->kept = true;
    for (size_t i = 0; i < session->thing_count; i++)
        if (session->things[i].ours && !session->things[i].outcome.verified)
            keep(&session->things[i].outcome);
    if (session->dir) {
        (void)pnx_take(&session->dir_guard);
        keep(&session->dir_outcome);
    }
}

static bool remove_dir(pnx_session *session, pnx_time deadline)
{
    if (!session->dir) { /* an adopter found none, or could not take hold of it */
        pnx__session_gone(session, session->dir_resource, &session->dir_outcome);
        return session->dir_outcome.fate != PNX_FATE_STUCK;
    }
    pnx_status dir = pnx_close_by(&session->dir_guard, deadline, NULL);
    session->dir_hangs = dir == PNX_ETIMEOUT;
    if (!session->dir_hangs)
        pnx__session_gone(session, session->dir_resource, &session->dir_outcome);
    return dir == PNX_OK;
}

/* What was hit is asked of the groups while they are there. */
static void ask_limits(pnx_session *session)
{
    bool signaled = session->collected && WIFSIGNALED(session->status);
    if (session->limiter)
        session->limits_told_count = pnx_limits_report(
            session->limiter, signaled ? WTERMSIG(session->status) : 0, session->limits_told);
}

/* The groups of a limiter that died with its process are found by the session's name. */
static pnx_status remove_limits(pnx_session *session, pnx_time deadline)
{
    pnx_status limits = PNX_OK;
    if (session->adopted)
        return pnx_limits_remove(session->label, NULL, NULL);
    if (session->limiter && session->set_hangs)
        (void)pnx_take(&session->limiter_guard);
    else if (session->limiter)
        limits = pnx_close_by(&session->limiter_guard, deadline, NULL);
    session->limiter_hangs = session->limiter && (session->set_hangs || limits == PNX_ETIMEOUT);
    return limits;
}

/*
 * A release that outstays the deadline goes on by itself, and with it its use of the set: from then
 * on the set is left alone, and so is the cgroup that it works with.
 */
static pnx_status clean_up(pnx_session *session)
{
    struct pnx__process_set *set = &session->set;
    pnx_duration limit = pnx_time_after(session->config.patience, session->config.grace);
    pnx_time deadline = pnx_time_after(pnx_monotonic_now(), limit);
    enter(session, "running undo hooks");
    pnx__session_run_hooks(session, deadline);
    enter(session, "ending processes");
    pnx__session_judge_intents(session);
    bool clean = pnx__session_sweep(session, PNX_ORDER_PROCESS - 1, deadline);
    pnx__session_learn(session);
    pnx__session_find_sockets(session);
    pnx_status processes = pnx_close_by(&session->set_guard, deadline, NULL);
    session->set_hangs = processes == PNX_ETIMEOUT;
    collect_command(session);
    pnx_status namespaces = pnx_process_end_namespace(&set->command, deadline, NULL);
    if (!session->set_hangs) {
        set->command_ended = !session->ran || session->collected;
        pnx__set_reap(set);
    }
    clean = processes == PNX_OK && clean;
    enter(session, "ending helpers");
    pnx__engine_withdraw(session); /* who connected in time is served to the end */
    if (failed(session))
        pnx__services_tell_failure(session);
    clean = pnx__companions_stop(session, deadline) && clean;
    pnx__services_settle(session);
    if (session->engine.resource != 0) {
        enter(session, "removing containers");
        clean = pnx__engine_sweep(session, failed(session), deadline) && clean;
    }

    enter(session, "looking for what is left");
    ask_limits(session);
    if (!session->set_hangs)         /* else the evidence is still being used */
        pnx__session_learn(session); /* of what was made until the last process went */
    pnx__session_find_things(session);
    pnx__session_find_outside(session);
    enter(session, "saving artifacts");
    pnx__session_save_artifacts(session, deadline);
    enter(session, "removing files and other leftovers");
    if (is_kept(session))
        keep_all(session);
    else {
        (void)pnx__session_sweep(session, PNX_ORDER_FILE, deadline);
        pnx__session_empty_disk(session, deadline);
        clean = remove_dir(session, deadline) && clean;
        (void)pnx__session_sweep(session, PNX_ORDER_CGROUP - 1, deadline);
        clean = pnx__session_look_again(session) && clean;
        pnx__session_remove_netns_dir(session);
    }

    enter(session, "removing the cgroup");
    pnx_status limits = remove_limits(session, deadline), cgroup = PNX_ETIMEOUT;
    if (session->set_hangs)
        (void)pnx_take(&session->cgroup_guard);
    else
        cgroup = pnx_close_by(&session->cgroup_guard, deadline, NULL);
    session->cgroup_hangs = cgroup == PNX_ETIMEOUT;
    if (!session->cgroup_hangs)
        pnx__session_gone(session, session->cgroup_resource, &session->cgroup_outcome);
    clean = clean && namespaces == PNX_OK && limits == PNX_OK && cgroup == PNX_OK;
    return clean ? PNX_OK : PNX_EFAILED;
}

static void end_registry(pnx_session *session)
{
    pnx_shutdown_options options = {.grace = PNX_MS(100), .hard = PNX_MS(100)};
    if (!session->registry)
        return;
    /* What was reserved, and never made. */
    pnx_drop(&session->set_guard);
    pnx_drop(&session->dir_guard);
    pnx_drop(&session->cgroup_guard);
    pnx_drop(&session->limiter_guard);
    (void)pnx_registry_shutdown(session->registry, &options, NULL, NULL);
    if (pnx_registry_destroy(session->registry, NULL) == PNX_OK)
        session->registry = NULL;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* What is gone was freed by its release; what is not is given up here, where nobody uses it. */
static void free_what_is_stuck(pnx_session *session)
{
    if (session->dir && !session->dir_outcome.verified && !session->dir_hangs)
        pnx_tempdir_free(session->dir);
    if (session->limiter && !session->limiter_outcome.verified) {
        (void)pnx_limiter_remove(session->limiter, NULL, NULL);
        pnx_limiter_free(session->limiter);
    }
    if (session->cgroup && !session->cgroup_outcome.verified) {
        (void)pnx_cgroup_remove(session->cgroup, NULL, NULL);
        pnx_cgroup_free(session->cgroup);
    }
}

void pnx__session_free_all(pnx_session *session)
{
    pnx__session_forget_files(session);
    pnx__session_forget_things(session);
    pnx__session_forget_artifacts(session);
    pnx__companions_forget(session);
    pnx__engine_forget(session);
    pnx__services_forget(session);
    for (size_t i = 0; i < session->warning_count; i++)
        free(session->warnings[i]);
    pnx_process_close(&session->set.command);
    pnx__close(session->signals[0]);
    pnx__close(session->signals[1]);
    pnx__close(session->state_fd);
    pnx__before_done(&session->before);
    pnx__watch_done(&session->watch);
    pnx__evidence_done(&session->evidence);
    for (size_t i = 0; session->command && session->command[i]; i++)
        free(session->command[i]);
    free(session->command);
    for (size_t i = 0; i < sizeof session->variables / sizeof *session->variables; i++)
        free(session->variables[i]);
    free(session->set.strangers);
    free(session->set.found);
    free(session->cgroup_path);
    free(session->dir_path);
    free((char *)session->config.name);
    free((char *)session->config.parent);
    free((char *)session->config.tool);
    pthread_mutex_destroy(&session->things_lock);
    free(session);
}

void pnx_session_free(pnx_session *session)
{
    if (!session || session->owner != getpid())
        return;
    if (!session->closed)
        (void)pnx_session_close(session, NULL, NULL);
    end_registry(session);
    if (session->registry) /* a release hangs, and still uses this memory */
        return;
    free_what_is_stuck(session);
    pnx__session_free_all(session);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/*
 * The report stays for `cleanroom report`; the ledger goes when nothing is left that it would help
 * to remove, else it stays for whoever tries again.
 */
static void end_record(pnx_session *session, const pnx_session_report *report)
{
    if (!session->ledger) {
        pnx__session_unrecord(session);
        return;
    }
    pnx__session_keep_report(session, report);
    /* One in which the engine was away is no attempt. */
    unsigned attempts = session->adoption - (session->adopted && session->engine.unknown);
    if (attempts != session->adoption)
        (void)!pnx__session_note_number(session, PNX__NOTE_ADOPTION, attempts, NULL);
    bool over = report->unremoved == 0 || attempts >= PNX__ADOPTIONS_MAX;
    if (over)
        (void)!pnx__ledger_closed(session->ledger, NULL);
    else /* from here on it is anybody's, though we live */
        (void)!pnx__ledger_note(session->ledger, PNX__NOTE_GIVEN_UP, "yes", NULL);
    pnx__reaper_dismiss(&session->reaper);
    session->recorded = session->recorded && over;
    pnx__session_unrecord(session);
}

pnx_status pnx_session_close(pnx_session *session, pnx_session_report *ret, pnx_error *err)
{
    pnx_session_report report = {0};
    if (ret)
        *ret = report;
    if (session->owner != getpid())
        return pnx_fail(err, PNX_EFORKED, "the session is that of process %d", session->owner);
    if (session->closed)
        return pnx_fail(err, PNX_EALREADY, "the session is closed");
    session->closed = true;
    pnx_time began = pnx_monotonic_now();
    pnx_status status = clean_up(session);
    report.cleanup = pnx_monotonic_now() - began;
    if (!session->adopted)
        (void)prctl(PR_SET_CHILD_SUBREAPER, session->was_subreaper);
    pnx__session_account(session, &report);
    end_record(session, &report);
    if (status != PNX_OK)
        pnx_fail(err, status, "%llu things that the session had are still there",
                 (unsigned long long)report.unremoved);
    if (ret)
        *ret = report;
    else
        pnx_session_report_done(&report);
    return status;
}

static pnx_status release_session(void *value, const pnx_release *why)
{
    pnx_session *session;
    memcpy(&session, value, sizeof session);
    pnx_status status = pnx_session_close(session, NULL, NULL);
    pnx_session_free(session);
    return status;
}

const pnx_kind pnx_kind_session = {
    .name = "session",
    .priority = PNX_HIGH,
    .timeout = PNX_FOREVER, /* the session's own patience limits it */
    .value_size = sizeof(pnx_session *),
    .release = release_session,
};
