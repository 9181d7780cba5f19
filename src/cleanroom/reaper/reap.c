/* SPDX-License-Identifier: MIT */
#include <cleanroom/reaper.h>

#include "kind/sys.h"
#include "ledger/identity.h"
#include "ledger/state.h"
#include "reaper/reaper.h"
#include "session/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

/* ---- the supervisor -------------------------------------------------------------------------- */

pnx_status pnx__supervisor_pidfd(const struct pnx__ledger_view *view, pid_t *ret_pid,
                                 int *ret_pidfd, pnx_error *err)
{
    const char *text = pnx__ledger_view_note(view, "supervisor");
    struct pnx__identity identity;
    *ret_pid = 0;
    if (pnx__ledger_view_note(view, PNX__NOTE_GIVEN_UP))
        return PNX_EALREADY;
    if (!text) /* it died before it had written who it is; until then it makes nothing */
        return PNX_EALREADY;
    pnx_status status = pnx__identity_parse(text, &identity, err);
    if (status != PNX_OK)
        return status;
    *ret_pid = identity.pid;
    return pnx__identity_pidfd(&identity, ret_pidfd, err);
}

bool pnx__is_being_made(int dir_fd)
{
    int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* locks are of openings */
    bool locked = own >= 0 && flock(own, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    pnx__close(own);
    return locked;
}

static pnx_status check_dead(int dir_fd, const struct pnx__ledger_view *view, pnx_error *err)
{
    int pidfd;
    pid_t pid;
    pnx_status status = pnx__supervisor_pidfd(view, &pid, &pidfd, err);
    if (status == PNX_EALREADY && pid == 0 && pnx__is_being_made(dir_fd))
        return pnx_fail(err, PNX_EBUSY, "it is only just being made");
    if (status == PNX_EALREADY)
        return PNX_OK;
    if (status != PNX_OK)
        return status;
    pnx__close(pidfd);
    return pnx_fail(err, PNX_EBUSY, "its owner, process %d, lives", (int)pid);
}

/* ---- reports --------------------------------------------------------------------------------- */

/* Where the supervisor was asked to write the report to, we do it in its place. */
static void write_reports(const struct pnx__ledger_view *view, const pnx_session_report *report)
{
    const char *text = pnx__ledger_view_note(view, "reports");
    char **paths = text ? pnx__words_decode(text) : NULL;
    for (size_t i = 0; paths && paths[i]; i++) {
        pnx_report_format format;
        FILE *out = NULL;
        if (paths[i][0] == '/' && pnx_report_format_of(paths[i], &format, NULL) == PNX_OK)
            out = fopen(paths[i], "we");
        if (out) {
            (void)!pnx_session_report_write(report, format, NULL, out, NULL);
            (void)fclose(out);
        }
    }
    for (size_t i = 0; paths && paths[i]; i++)
        free(paths[i]);
    free(paths);
}

/* ---- one session ----------------------------------------------------------------------------- */

static pnx_status clean_up(int state_fd, int dir_fd, const struct pnx__ledger_view *view,
                           const char *adopter, pnx_session_report *ret, pnx_error *err)
{
    pnx_session *session;
    pnx_session_report report = {0};
    pnx_status status = pnx__session_adopt(fcntl(state_fd, F_DUPFD_CLOEXEC, 3),
                                           fcntl(dir_fd, F_DUPFD_CLOEXEC, 3), view, &session, err);
    if (status != PNX_OK)
        return status;
    session->adopter = adopter;
    status = pnx_session_close(session, &report, err);
    pnx_session_free(session);
    write_reports(view, &report);
    if (ret)
        *ret = report;
    else
        pnx_session_report_done(&report);
    return status;
}

static pnx_status reap_locked(int state_fd, int dir_fd, pnx_id id, const char *adopter,
                              pnx_session_report *ret, pnx_error *err)
{
    struct pnx__ledger_view *view;
    pnx_status status = pnx__ledger_load(dir_fd, PNX__STATE_LEDGER, &view, err);
    if (status == PNX_ENOTFOUND) /* the lock was of a ledger that is gone by now */
        return PNX_EALREADY;
    if (status == PNX_ECANCELED) { /* its owner died before it had made anything */
        pnx_error_clear(err);
        return pnx__state_session_remove(state_fd, id, err);
    }
    if (status != PNX_OK)
        return status;
    if (view->closed)
        status = pnx__state_session_remove(state_fd, id, err);
    else if ((status = check_dead(dir_fd, view, err)) == PNX_OK)
        status = clean_up(state_fd, dir_fd, view, adopter, ret, err);
    pnx__ledger_view_free(view);
    return status;
}

pnx_status pnx__reap(int state_fd, pnx_id id, const char *adopter, pnx_time deadline,
                     pnx_session_report *ret, pnx_error *err)
{
    int dir_fd, lock_fd;
    pnx_status status = pnx__state_session_open(state_fd, id, &dir_fd, err);
    if (status != PNX_OK)
        return status;
    if (faccessat(dir_fd, PNX__STATE_LEDGER, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) {
        pnx__close(dir_fd); /* nothing was made, or nothing is left, under it */
        return pnx__state_session_remove(state_fd, id, err);
    }
    status = deadline == 0 ? pnx__ledger_try_lock(dir_fd, PNX__STATE_LEDGER, &lock_fd, err)
                           : pnx__ledger_lock(dir_fd, PNX__STATE_LEDGER, deadline, &lock_fd, err);
    if (status == PNX_OK) {
        status = reap_locked(state_fd, dir_fd, id, adopter, ret, err);
        pnx__close(lock_fd);
    }
    pnx__close(dir_fd);
    return status == PNX_ETIMEOUT ? PNX_EBUSY : status;
}

pnx_status pnx_session_reap(pnx_id id, const char *adopter, pnx_time deadline,
                            pnx_session_report *ret, pnx_error *err)
{
    int state_fd;
    pnx_status status = pnx__state_open(&state_fd, NULL, 0, err);
    if (status != PNX_OK)
        return status;
    status = pnx__reap(state_fd, id, adopter, deadline, ret, err);
    pnx__close(state_fd);
    return status;
}

/* ---- all of them ----------------------------------------------------------------------------- */

struct all {
    int state_fd;
    int64_t before; /* created at the latest then */
    pnx_id *ids;
    size_t count, room;
    bool no_memory;
};

/* Is it worth taking the lock for? */
static bool note_dead(const pnx_session_info *info, void *context)
{
    struct all *all = context;
    if (info->life != PNX_SESSION_DEAD || info->created > all->before)
        return true;
    if (all->count == all->room) {
        size_t room = all->room ? 2 * all->room : 16;
        pnx_id *grown = realloc(all->ids, room * sizeof *grown);
        if (!grown) {
            all->no_memory = true;
            return false;
        }
        all->ids = grown;
        all->room = room;
    }
    all->ids[all->count++] = info->id;
    return true;
}

pnx_status pnx_sessions_reap(pnx_duration older_than, pnx_reaped_fn done, void *context,
                             pnx_error *err)
{
    /* A clock that was set back must not keep the dead: dates count only if they are asked for. */
    struct all all = {.before = older_than > 0 ? pnx__now_since_1970() - older_than : INT64_MAX};
    pnx_status status = pnx_sessions_each(note_dead, &all, err);
    if (status == PNX_OK && all.count > 0)
        status = pnx__state_open(&all.state_fd, NULL, 0, err);
    if (status == PNX_OK && all.no_memory)
        status = pnx_fail(err, PNX_ENOMEM, "no memory to list the dead sessions");
    for (size_t i = 0; status == PNX_OK && i < all.count; i++) {
        pnx_session_report report = {0};
        pnx_error why = {0};
        pnx_status reaped = pnx__reap(all.state_fd, all.ids[i], "adopter", 0, &report, &why);
        if (done && reaped != PNX_EALREADY && reaped != PNX_EBUSY && reaped != PNX_ENOTFOUND)
            done(all.ids[i], reaped, &report, &why, context);
        pnx_session_report_done(&report);
    }
    if (all.count > 0 && status == PNX_OK)
        pnx__close(all.state_fd);
    free(all.ids);
    return status;
}
