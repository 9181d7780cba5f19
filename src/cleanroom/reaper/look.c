/* SPDX-License-Identifier: MIT */
#include "reaper/reaper.h"

#include "kind/sys.h"
#include "kind/thing.h"
#include "ledger/state.h"

#include <cleanroom/thing.h>
#include <stdlib.h>
#include <sys/stat.h>

const char *pnx_session_life_name(pnx_session_life life)
{
    static const char *const names[] = {"live", "dead", "adopted", "unknown"};
    return (unsigned)life < sizeof names / sizeof *names ? names[life] : "unknown";
}

struct look {
    bool (*visit)(const pnx_session_info *info, void *context);
    void *context;
};

/* ---- what the ledger says -------------------------------------------------------------------- */

static pnx_session_life life_of(int dir_fd, const struct pnx__ledger_view *view,
                                pid_t *ret_supervisor, pnx_error *why)
{
    int pidfd, lock_fd;
    pnx_status status = pnx__supervisor_pidfd(view, ret_supervisor, &pidfd, why);
    if (status == PNX_OK) {
        pnx__close(pidfd);
        return PNX_SESSION_LIVE;
    }
    if (status != PNX_EALREADY)
        return PNX_SESSION_UNKNOWN;
    if (*ret_supervisor == 0 && pnx__is_being_made(dir_fd))
        return PNX_SESSION_LIVE;
    status = pnx__ledger_try_lock(dir_fd, PNX__STATE_LEDGER, &lock_fd, NULL);
    if (status != PNX_OK)
        return PNX_SESSION_ADOPTED;
    pnx__close(lock_fd);
    return PNX_SESSION_DEAD;
}

static const char *kind_of(uint16_t code)
{
    const pnx_thing_kind *kind = pnx_thing_kind_of(code);
    if (code == PNX__CODE_COMPANION)
        return "helper";
    if (code == PNX__CODE_ENGINE)
        return "engine";
    return kind ? kind->name : "thing";
}

static pnx_session_held *held_of(const struct pnx__ledger_view *view, size_t *ret_count)
{
    pnx_session_held *held = calloc(view->resource_count + 1, sizeof *held);
    *ret_count = 0;
    for (size_t i = 0; held && i < view->resource_count; i++) {
        const struct pnx__ledger_resource *resource = &view->resources[i];
        if (resource->state == PNX__LEDGER_IS_GONE || !resource->name)
            continue;
        held[(*ret_count)++] = (pnx_session_held){
            .kind = kind_of(resource->kind),
            .name = resource->name,
            .identity = resource->identity,
            .since = resource->bound ? resource->bound : resource->intended,
        };
    }
    return held;
}

static pid_t reaper_of(const struct pnx__ledger_view *view)
{
    const char *text = pnx__ledger_view_note(view, "reaper");
    return text ? (pid_t)strtol(text, NULL, 10) : 0;
}

static bool tell(struct look *look, pnx_session_info *info, int dir_fd,
                 const struct pnx__ledger_view *view)
{
    const char *tier = pnx__ledger_view_note(view, "tier");
    pnx_error why = {0};
    info->life = life_of(dir_fd, view, &info->supervisor, &why);
    info->problem = info->life == PNX_SESSION_UNKNOWN ? why.message : NULL;
    info->name = pnx__ledger_view_note(view, "name");
    info->command = pnx__ledger_view_note(view, "command");
    info->tier = tier ? (unsigned)strtoul(tier, NULL, 10) : 0;
    info->reaper = reaper_of(view);
    info->created = view->created;
    pnx_session_held *held = held_of(view, &info->held_count);
    info->held = held;
    bool more = look->visit(info, look->context);
    free(held);
    return more;
}

/* ---- every session --------------------------------------------------------------------------- */

static bool is_removed(int dir_fd)
{
    struct stat stat;
    return fstat(dir_fd, &stat) != 0 || stat.st_nlink == 0;
}

static bool visit_session(pnx_id id, int dir_fd, const pnx_error *problem, void *context)
{
    struct look *look = context;
    pnx_session_info info = {.id = id, .life = PNX_SESSION_UNKNOWN};
    if (problem) {
        info.problem = problem->message;
        return look->visit(&info, look->context);
    }
    pnx_error why = {0};
    struct pnx__ledger_view *view;
    pnx_status status = pnx__ledger_load(dir_fd, PNX__STATE_LEDGER, &view, &why);
    if (status == PNX_ENOTFOUND && is_removed(dir_fd)) /* it went away while we looked */
        return true;
    if (status == PNX_ENOTFOUND || status == PNX_ECANCELED) {
        /* Just being made, or its maker died that early; or whoever removed it died meanwhile. */
        info.life = pnx__is_being_made(dir_fd) ? PNX_SESSION_LIVE : PNX_SESSION_DEAD;
        return look->visit(&info, look->context);
    }
    if (status != PNX_OK) {
        info.problem = why.message;
        return look->visit(&info, look->context);
    }
    bool more = tell(look, &info, dir_fd, view);
    pnx__ledger_view_free(view);
    return more;
}

pnx_status pnx_sessions_each(bool (*visit)(const pnx_session_info *info, void *context),
                             void *context, pnx_error *err)
{
    struct look look = {visit, context};
    int state_fd;
    pnx_status status = pnx__state_open(&state_fd, NULL, 0, err);
    if (status != PNX_OK)
        return status;
    status = pnx__state_each_session(state_fd, visit_session, &look, err);
    pnx__close(state_fd);
    return status;
}
