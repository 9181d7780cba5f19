/* SPDX-License-Identifier: MIT */
/*
 * A session whose owner is dead, made anew from what was written down: the same value that opening
 * it makes, so that closing it is the same work.
 */
#include "session/session.h"

#include "kind/outcome.h"
#include "kind/sys.h"
#include "kind/thing.h"
#include "ledger/state.h"

#include <cleanroom/limits.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MIN PNX_S(10)

static int64_t number_of(const struct pnx__ledger_view *view, const char *key, int64_t otherwise)
{
    const char *text = pnx__ledger_view_note(view, key);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

/* However impatient the owner was: nobody waits for an adopter. */
static pnx_duration patience_of(const struct pnx__ledger_view *view)
{
    pnx_duration patience = number_of(view, "patience", 0);
    return patience > 0 && patience < PATIENCE_MIN ? PATIENCE_MIN : patience;
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* ---- what it had ----------------------------------------------------------------------------- */

/* The directory may have been made though its identity was never written down: its name is ours. */
static void adopt_dir(pnx_session *session, const struct pnx__ledger_resource *resource)
{
    session->dir_path = copy(resource->name);
    session->dir_resource = resource->number;
    snprintf(session->dir_identity, sizeof session->dir_identity, "%s",
             resource->identity ? resource->identity : "");
    pnx_error why = {0};
    session->dir_guard = pnx_reserve(tempdir, session->registry, &why);
    pnx_status status = session->dir_guard.status;
    if (status == PNX_OK)
        status = pnx_tempdir_adopt(resource->name, resource->identity, &session->dir, &why);
    if (status == PNX_OK) {
        pnx__session_watch_dir(session);
        pnx_arm(&session->dir_guard, session->dir);
        return;
    }
    pnx_drop(&session->dir_guard);
    session->dir = NULL;
    if (status == PNX_ENOTFOUND) /* it is gone, or was never made */
        pnx__outcome_gone(&session->dir_outcome, PNX_FATE_ALREADY_GONE);
    else
        (void)pnx__outcome_stuck(&session->dir_outcome, PNX_FATE_STUCK, &why);
}

static void adopt_cgroup(pnx_session *session, const struct pnx__ledger_resource *resource)
{
    session->cgroup_path = copy(resource->name);
    session->cgroup_resource = resource->number;
    session->cgroup_guard = pnx_reserve(cgroup, session->registry, NULL);
    if (session->cgroup_guard.status == PNX_OK &&
        pnx_cgroup_adopt(resource->name, resource->identity, &session->cgroup, NULL) == PNX_OK) {
        pnx_cgroup_watch_by(session->cgroup, &session->cgroup_outcome);
        pnx_arm(&session->cgroup_guard, session->cgroup);
        return;
    }
    /* It is gone, or never was: there may be another place with an intent. */
    free(session->cgroup_path);
    session->cgroup_path = NULL;
    session->cgroup = NULL;
    pnx_drop(&session->cgroup_guard);
}

static void adopt_thing(pnx_session *session, const struct pnx__ledger_view *view,
                        const struct pnx__ledger_resource *resource)
{
    const pnx_thing_kind *kind = pnx_thing_kind_of(resource->kind);
    if (!kind || (!view->same_boot && !kind->survives_reboot))
        return; /* of a later version, or gone with the machine's last boot */
    if (!resource->identity && kind->name_is_given)
        return; /* it went with its maker, and who has the name now is somebody else's */
    struct pnx__session_thing *thing = pnx__session_add_thing(
        session, kind, resource->name, resource->identity ? resource->identity : "");
    if (!thing) {
        session->things_unlisted++;
        return;
    }
    thing->resource = resource->number;
    thing->origin = PNX_ORIGIN_MADE;
    thing->ours = true;
    thing->intended = !resource->identity;
    thing->created = resource->bound ? resource->bound : resource->intended;
}

static void adopt_resource(pnx_session *session, const struct pnx__ledger_view *view,
                           const struct pnx__ledger_resource *resource)
{
    if (resource->state == PNX__LEDGER_IS_GONE || !resource->name)
        return;
    if (resource->kind == PNX__CODE_TEMPDIR && !session->dir_path)
        adopt_dir(session, resource);
    else if (resource->kind == PNX__CODE_CGROUP && !session->cgroup_path) {
        if (view->same_boot)
            adopt_cgroup(session, resource);
    } else if (resource->kind == PNX__CODE_CGROUP) { /* the other place with an intent: not made */
        const pnx_outcome never = {.fate = PNX_FATE_ALREADY_GONE, .verified = true};
        pnx__session_gone(session, resource->number, &never);
    } else if (resource->kind == PNX__CODE_COMPANION) {
        pnx__companion_adopt(session, resource->number, resource->name,
                             view->same_boot ? resource->identity : NULL);
    } else if (resource->kind == PNX__CODE_ENGINE) {
        pnx__engine_adopt(session, resource->number, resource->name, view);
    } else {
        adopt_thing(session, view, resource);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void recall(pnx_session *session, const struct pnx__ledger_view *view)
{
    const char *command = pnx__ledger_view_note(view, "command");
    const char *status = pnx__ledger_view_note(view, "status");
    session->tier = (unsigned)number_of(view, "tier", 0);
    session->started = number_of(view, "started", view->created);
    pnx__session_recall_artifacts(session, pnx__ledger_view_note(view, "artifacts"),
                                  pnx__ledger_view_note(view, "save"));
    if (!command)
        return;
    session->command = pnx__words_decode(command);
    session->ran = true;
    session->collected = status != NULL;
    session->status = status ? (int)strtol(status, NULL, 10) : 0;
}

static pnx_status prepare_set(pnx_session *session, pnx_error *err)
{
    struct pnx__process_set *set = &session->set;
    set->cookie = session->variables[0];
    set->cgroup = session->cgroup;
    set->grace = session->config.grace;
    set->remembers = pnx__session_remembers;
    set->each_remembered = pnx__session_each_remembered;
    set->context = session;
    set->started = pnx_monotonic_now() - PNX_S(3600); /* long enough ago to look everywhere */
    set->found_max = session->config.listed_max;
    set->found = malloc(set->found_max * sizeof *set->found);
    if (!set->found)
        return pnx_fail(err, PNX_ENOMEM, "no memory to follow the command's processes");
    session->set_guard = pnx_reserve(processes, session->registry, err);
    if (session->set_guard.status == PNX_OK)
        pnx_arm(&session->set_guard, set);
    return session->set_guard.status;
}

/* In another mount namespace all that is mounted would be new. */
static void compare_mounts(pnx_session *session, const struct pnx__ledger_view *view)
{
    const char *then = pnx__ledger_view_note(view, PNX__NOTE_MOUNTS);
    char now[PNX__MOUNTS_ID_SIZE];
    pnx__session_mounts_id(now);
    session->other_mounts = view->same_boot && then && *then && strcmp(then, now) != 0;
    if (session->other_mounts)
        pnx__session_warn(
            session, "it was in another mount namespace: what is mounted there was not looked for");
}

static pnx_status adopt(pnx_session *session, const struct pnx__ledger_view *view, pnx_error *err)
{
    pnx_status status;
    session->adoption = (unsigned)number_of(view, PNX__NOTE_ADOPTION, 0) + 1;
    recall(session, view);
    compare_mounts(session, view);
    pnx__session_set_label(session);
    if ((status = pnx__ledger_open(session->record_fd, PNX__STATE_LEDGER, &session->ledger, err)) ||
        (status = pnx__session_note_number(session, PNX__NOTE_ADOPTION, session->adoption, err)) ||
        (status = pnx__session_make_registry(session, err)))
        return status;
    for (size_t i = 0; i < view->resource_count; i++)
        adopt_resource(session, view, &view->resources[i]);
    if ((status = pnx__session_make_cookie(session, err)))
        return status;
    if (!view->same_boot) { /* no process, and nothing that lives in the kernel, is left */
        session->before.taken = false;
        return PNX_OK;
    }
    (void)!pnx__before_load(&session->before, session->record_fd, NULL); /* then nothing is new */
    return prepare_set(session, err);
}

pnx_status pnx__session_adopt(int state_fd, int record_fd, const struct pnx__ledger_view *view,
                              pnx_session **ret, pnx_error *err)
{
    pnx_session *session;
    pnx_session_config config = {
        .name = pnx__ledger_view_note(view, "name"),
        .tool = pnx__ledger_view_note(view, PNX__NOTE_TOOL),
        .grace = number_of(view, "grace", 0),
        .patience = patience_of(view),
        .keep = (pnx_keep)number_of(view, "keep", PNX_KEEP_NEVER),
        .at_exit = PNX_EXIT_NOTHING,
    };
    pnx_status status = pnx__session_new(&config, &session, err);
    if (status != PNX_OK) {
        pnx__close(state_fd);
        pnx__close(record_fd);
        return status;
    }
    session->id = view->session;
    session->state_fd = state_fd;
    session->record_fd = record_fd;
    session->adopted = session->recorded = true;
    status = adopt(session, view, err);
    if (status == PNX_OK) {
        *ret = session;
        return PNX_OK;
    }
    session->closed = true;
    session->recorded = false; /* it stays for whoever is luckier */
    pnx__session_unrecord(session);
    pnx_session_free(session);
    return status;
}
