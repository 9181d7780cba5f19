/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include "kind/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A machine under heavy load takes its time to execute a program. */
#define READY_WITHIN PNX_S(10)
#define ANSWER_WITHIN PNX_S(2)
/* Somebody who kills one reaper after the other wants none. */
#define REPLACED_MAX 16

const char *pnx__session_tool(const pnx_session *session)
{
    const char *tool = getenv("CLEANROOM_TOOL");
    if (session->config.tool)
        return session->config.tool;
    return tool && *tool == '/' ? tool : PNX__TOOL_PATH;
}

/* Following forks may be had without being root (Linux 6.6); it proves some things at any tier. */
static bool wants_tracking(const pnx_session *session)
{
    return session->config.tier == 0 || session->config.tier == PNX_TIER(3);
}

pnx_status pnx__session_start_reaper(pnx_session *session, pnx_error *err)
{
    if (session->config.no_reaper)
        return PNX_OK;
    return pnx__reaper_start(&session->reaper, pnx__session_tool(session), session->id,
                             wants_tracking(session), err);
}

/* It is a child of ours that the command has no part in, however like its orphans it looks. */
static pnx_status set_apart(pnx_session *session, pnx_error *err)
{
    struct pnx__process_set *set = &session->set;
    size_t size = (set->stranger_count + 1) * sizeof *set->strangers;
    struct pnx__child *grown = realloc(set->strangers, size);
    if (!grown)
        return pnx_fail(err, PNX_ENOMEM, "no memory to follow the command's processes");
    grown[set->stranger_count++] = (struct pnx__child){
        session->reaper.process.pid,
        session->reaper.process.start_time,
    };
    set->strangers = grown;
    return PNX_OK;
}

static pnx_status await_once(pnx_session *session, pnx_error *err)
{
    pnx_status status =
        pnx__reaper_await(&session->reaper, pnx_time_after(pnx_monotonic_now(), READY_WITHIN), err);
    if (status == PNX_OK)
        status = set_apart(session, err);
    if (status == PNX_OK)
        status = pnx__session_note_number(session, "reaper", session->reaper.process.pid, err);
    return status;
}

/* It may be killed before it has begun: then another one has to. */
pnx_status pnx__session_await_reaper(pnx_session *session, pnx_error *err)
{
    if (!session->reaper.running)
        return PNX_OK;
    pnx_status status = await_once(session, err);
    while ((status == PNX_EFAILED || status == PNX_ENOTFOUND) &&
           session->reaper.replaced < REPLACED_MAX) {
        pnx__reaper_forget(&session->reaper);
        session->reaper.replaced++;
        pnx_error_clear(err);
        status = pnx__session_start_reaper(session, err);
        if (status == PNX_OK)
            status = await_once(session, err);
    }
    return status;
}

void pnx__session_replace_reaper(pnx_session *session)
{
    pnx_error why = {0};
    bool tracked = session->reaper.tracking;
    pnx__reaper_forget(&session->reaper);
    if (session->reaper.replaced++ < REPLACED_MAX &&
        pnx__session_start_reaper(session, &why) == PNX_OK &&
        pnx__session_await_reaper(session, &why) == PNX_OK) {
        pnx__companions_exclude(session);
        if (session->ran && !session->config.owns_children)
            pnx__reaper_expect_nothing(&session->reaper);
        if (tracked) /* what happened meanwhile nobody saw */
            snprintf(session->warning, sizeof session->warning,
                     "the reaper was killed and replaced; what was made meanwhile was not tracked");
        return;
    }
    pnx__reaper_forget(&session->reaper);
    snprintf(session->warning, sizeof session->warning,
             "the reaper was killed, and there is no other one: %.160s",
             why.message[0] ? why.message : "that happened too often");
}

void pnx__session_learn(pnx_session *session)
{
    (void)pnx__reaper_sync(&session->reaper, pnx_time_after(pnx_monotonic_now(), ANSWER_WITHIN));
    if (session->record_fd < 0)
        return;
    pnx__evidence_done(&session->evidence);
    int fd = openat(session->record_fd, PNX__SESSION_EVIDENCE,
                    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    pnx_error why = {0};
    if (fd >= 0 && pnx__evidence_load(fd, &session->evidence, &why) != PNX_OK) {
        pnx__evidence_done(&session->evidence);
        snprintf(session->warning, sizeof session->warning, "%s", why.message);
    }
    pnx__close(fd);
    if (session->reaper.replaced > 0)
        snprintf(session->evidence.lost, sizeof session->evidence.lost, "the reaper was killed");
    if (session->evidence.lost[0] && !session->warning[0])
        snprintf(session->warning, sizeof session->warning, "not all could be tracked: %.150s",
                 session->evidence.lost);
}
