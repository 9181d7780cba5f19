/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include "kind/cgroup_place.h"
#include "kind/sys.h"
#include "kind/thing.h"
#include "ledger/state.h"

#include <cleanroom/capability.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

#define GRACE PNX_S(1)
#define PATIENCE PNX_S(300)
#define LISTED 1000

int64_t pnx__now_since_1970(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * PNX_S(1) + now.tv_nsec;
}

/* A UUID of version 7 (RFC 9562): 48 bits of milliseconds, then random; so names sort by age. */
static pnx_status make_id(pnx_session *session, pnx_error *err)
{
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return pnx_fail(err, PNX_EFAILED, "no random number for the session: %m");
    uint64_t milliseconds = (uint64_t)(pnx__now_since_1970() / PNX_MS(1));
    session->id.high = milliseconds << 16 | 0x7000 | (random[0] & 0xfff);
    session->id.low = (random[1] >> 2) | 1ull << 63;
    pnx__session_set_label(session);
    return pnx__session_make_cookie(session, err);
}

void pnx__session_set_label(pnx_session *session)
{
    char text[PNX_ID_TEXT_SIZE];
    snprintf(session->label, sizeof session->label, "cleanroom-%s",
             pnx_id_format(session->id, text));
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static pnx_status configure(pnx_session *session, const pnx_session_config *config, pnx_error *err)
{
    if (config)
        session->config = *config;
    pnx_session_config *c = &session->config;
    const char *name = c->name, *parent = c->parent, *tool = c->tool;
    c->name = copy(name);
    c->parent = copy(parent);
    c->tool = copy(tool);
    if ((name && !c->name) || (parent && !c->parent) || (tool && !c->tool))
        return pnx_fail(err, PNX_ENOMEM, "no memory for a session");
    if (c->timeout < 0)
        return pnx_fail(err, PNX_EINVAL, "the timeout must not be negative");
    if (c->timeout == 0)
        c->timeout = PNX_FOREVER;
    if (c->grace == 0)
        c->grace = GRACE;
    if (c->patience <= 0)
        c->patience = PATIENCE;
    if (c->listed_max == 0)
        c->listed_max = LISTED;
    return PNX_OK;
}

/* ---- what it makes: each reserved before it exists ------------------------------------------- */

pnx_status pnx__session_make_registry(pnx_session *session, pnx_error *err)
{
    pnx_config config = {
        .name = "cleanroom",
        .workers = 1, /* what is removed here is removed in order */
        .resources_max = 64,
        .at_exit = session->config.at_exit,
        .timing = PNX_TIMING_NONE,
    };
    pnx_status status = pnx_registry_create(&config, &session->registry, err);
    return status == PNX_OK ? status : pnx_wrap(err, status, "cannot prepare the clean-up");
}

static const char *parent_of(const pnx_session *session)
{
    const char *parent = session->config.parent;
    if (!parent || !*parent)
        parent = getenv("TMPDIR");
    return parent && *parent == '/' ? parent : "/tmp";
}

static pnx_status make_dir(pnx_session *session, pnx_error *err)
{
    const char *parent = parent_of(session);
    session->dir_guard = pnx_reserve(tempdir, session->registry, err);
    if (session->dir_guard.status != PNX_OK)
        return session->dir_guard.status;
    if (asprintf(&session->dir_path, "%s/%s", parent, session->label) < 0) {
        session->dir_path = NULL;
        return pnx_fail(err, PNX_ENOMEM, "no memory for a session");
    }
    pnx_status status = pnx__session_intend_path(session, PNX__CODE_TEMPDIR, parent,
                                                 session->dir_path, &session->dir_resource, err);
    if (status == PNX_OK)
        status = pnx_tempdir_create(parent, session->label, &session->dir, err);
    if (status != PNX_OK)
        return status;
    pnx__session_watch_dir(session);
    pnx_arm(&session->dir_guard, session->dir);
    pnx_tempdir_identity(session->dir, session->dir_identity, sizeof session->dir_identity);
    return pnx__session_bind(session, session->dir_resource, session->dir_identity, err);
}

/* Where it will be made is not known for sure before; each place has an intent. */
static pnx_status intend_cgroup(pnx_session *session, uint32_t ret_resources[2], pnx_error *err)
{
    struct pnx__cgroup_place place;
    char path[PATH_MAX + sizeof session->label + sizeof "//cleanroom"];
    pnx_status status = PNX_OK;
    if (pnx__cgroup_find_place(&place, NULL) != PNX_OK)
        return PNX_OK;
    if (place.own_dir[0]) {
        snprintf(path, sizeof path, "%s/%s", place.own_dir, session->label);
        status =
            pnx__session_intend_path(session, PNX__CODE_CGROUP, "", path, &ret_resources[0], err);
    }
    if (status == PNX_OK && geteuid() == 0) {
        snprintf(path, sizeof path, "%s/cleanroom/%s", place.mount, session->label);
        status =
            pnx__session_intend_path(session, PNX__CODE_CGROUP, "", path, &ret_resources[1], err);
    }
    return status;
}

static void forget_intent(pnx_session *session, uint32_t resource)
{
    pnx__session_gone(session, resource,
                      &(pnx_outcome){.fate = PNX_FATE_ALREADY_GONE, .verified = true});
}

/* Without a cgroup it goes on, at tier 0, and says so. */
static pnx_status make_cgroup(pnx_session *session, pnx_error *err)
{
    pnx_error why = {0};
    char identity[48];
    uint32_t resources[2] = {0};
    pnx_status status = intend_cgroup(session, resources, err);
    if (status != PNX_OK)
        return status;
    session->cgroup_guard = pnx_reserve(cgroup, session->registry, &why);
    if (session->cgroup_guard.status != PNX_OK ||
        pnx_cgroup_create_for(session->label, &session->config.limits, &session->cgroup, &why) !=
            PNX_OK) {
        forget_intent(session, resources[0]);
        forget_intent(session, resources[1]);
        pnx_drop(&session->cgroup_guard);
        session->cgroup = NULL;
        session->tier = 0;
        pnx_error_format(&why, session->tier_reason, sizeof session->tier_reason);
        return PNX_OK;
    }
    pnx_cgroup_watch_by(session->cgroup, &session->cgroup_outcome);
    session->cgroup_path = copy(pnx_cgroup_path(session->cgroup));
    pnx_arm(&session->cgroup_guard, session->cgroup);
    bool at_top = pnx__cgroup_is_at_top(session->cgroup);
    forget_intent(session, resources[at_top ? 0 : 1]);
    session->cgroup_resource = resources[at_top ? 1 : 0];
    pnx_cgroup_identity(session->cgroup, identity, sizeof identity);
    return pnx__session_bind(session, session->cgroup_resource, identity, err);
}

static pnx_status choose_tier(pnx_session *session, pnx_error *err)
{
    const pnx_session_config *config = &session->config;
    pnx_tier_choice choice;
    int requested = config->tier ? (int)config->tier - 1 : PNX_TIER_AUTO;
    pnx_status status =
        pnx_tier_choose(requested, config->tier_required, config->isolate, &choice, err);
    if (status != PNX_OK)
        return status;
    session->tier = choice.tier;
    snprintf(session->tier_reason, sizeof session->tier_reason, "%s", choice.reason);
    return PNX_OK;
}

/* Something that was promised by the choice could not be had after all. */
static pnx_status check_tier(const pnx_session *session, pnx_error *err)
{
    if (session->tier >= session->config.tier_required)
        return PNX_OK;
    return pnx_fail(err, PNX_ELIMIT, "only tier %u can be had, %u is required: %s", session->tier,
                    session->config.tier_required, session->tier_reason);
}

/* What holds the command to its limits: if that cannot be, nothing is run. */
static pnx_status make_limiter(pnx_session *session, pnx_error *err)
{
    if (!pnx_limits_any(&session->config.limits))
        return PNX_OK;
    session->limiter_guard = pnx_reserve(limiter, session->registry, err);
    if (session->limiter_guard.status != PNX_OK)
        return session->limiter_guard.status;
    pnx_status status = pnx_limits_enforce(&session->config.limits, session->label, session->cgroup,
                                           &session->limiter, err);
    if (status != PNX_OK)
        return status;
    pnx_limiter_watch_by(session->limiter, &session->limiter_outcome);
    pnx_arm(&session->limiter_guard, session->limiter);
    return PNX_OK;
}

static pnx_status prepare_set(pnx_session *session, pnx_error *err)
{
    struct pnx__process_set *set = &session->set;
    set->cookie = session->variables[0];
    set->cgroup = session->cgroup;
    set->owns_children = session->config.owns_children;
    set->grace = session->config.grace;
    set->alarm_fd = session->signals[0];
    set->alarm = pnx__session_take_signals;
    set->remembers = pnx__session_remembers;
    set->each_remembered = pnx__session_each_remembered;
    set->context = session;
    set->found_max = session->config.listed_max;
    set->found = malloc(set->found_max * sizeof *set->found);
    if (!set->found || !pnx__set_note_strangers(set))
        return pnx_fail(err, PNX_ENOMEM, "no memory to follow the command's processes");
    session->set_guard = pnx_reserve(processes, session->registry, err);
    return session->set_guard.status;
}

pnx_status pnx__session_make_cookie(pnx_session *session, pnx_error *err)
{
    char id[PNX_ID_TEXT_SIZE];
    if (asprintf(&session->variables[0], "CLEANROOM_SESSION=%s", pnx_id_format(session->id, id)) >
        0)
        return PNX_OK;
    session->variables[0] = NULL;
    return pnx_fail(err, PNX_ENOMEM, "no memory for a session");
}

static pnx_status make_variables(pnx_session *session, pnx_error *err)
{
    static const char *const names[] = {"TMPDIR", "TMP", "TEMP"};
    const char *path = session->dir_path ? session->dir_path : "";
    bool made = true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        made = made && asprintf(&session->variables[i + 1], "%s=%s", names[i], path) > 0;
    return made ? PNX_OK : pnx_fail(err, PNX_ENOMEM, "no memory for the command's environment");
}

static void become_subreaper(pnx_session *session)
{
    int was = 0;
    (void)prctl(PR_GET_CHILD_SUBREAPER, &was);
    session->was_subreaper = was != 0;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/*
 * The reaper starts first, since that takes longest; the rest is done meanwhile. Children that we
 * had before are strangers, so they are noted before it is one.
 */
static pnx_status make(pnx_session *session, pnx_error *err)
{
    pnx_status status;
    if (access("/proc/self/stat", R_OK) != 0)
        return pnx_fail(err, PNX_EFAILED, "cannot read /proc: %m; mount it to follow processes");
    if ((status = make_id(session, err)) || (status = choose_tier(session, err)) ||
        (status = pnx__session_record(session, err)) ||
        (status = pnx__session_make_registry(session, err)))
        return status;
    if (!pnx__session_open_signals(session, err))
        return PNX_EFAILED;
    if ((status = prepare_set(session, err)) ||
        (status = pnx__session_start_reaper(session, err)) || (status = make_dir(session, err)) ||
        (status = make_variables(session, err)) ||
        (status = pnx__session_note_hooks(session, err)) ||
        (status = pnx__session_note_artifacts(session, err)) ||
        (status = pnx__engine_offer(session, err)) || (status = pnx__services_take(session, err)))
        return status;
    if (session->tier > 0 && (status = make_cgroup(session, err)))
        return status;
    if ((status = make_limiter(session, err)))
        return status;
    session->set.cgroup = session->cgroup;
    if ((status = pnx__before_take(&session->before, err)) ||
        (status = pnx__watch_begin(&session->watch, session->config.watch, err)) ||
        (status = pnx__before_save(&session->before, session->record_fd, err)) ||
        (status = pnx__session_await_reaper(session, err)))
        return status;
    if (session->tier == 3 && !session->reaper.tracking) {
        session->tier = session->cgroup ? 1 : 0;
        snprintf(session->tier_reason, sizeof session->tier_reason, "%s",
                 session->reaper.running ? session->reaper.no_tracking : "there is no reaper");
    }
    if ((status = check_tier(session, err)) ||
        (status = pnx__session_note_number(session, "tier", session->tier, err)))
        return status;
    become_subreaper(session);
    return PNX_OK;
}

pnx_status pnx__session_new(const pnx_session_config *config, pnx_session **ret, pnx_error *err)
{
    pnx_session *session = calloc(1, sizeof *session);
    if (!session) {
        pnx_fail(err, PNX_ENOMEM, "no memory for a session");
        return PNX_ENOMEM;
    }
    session->owner = getpid();
    session->state_fd = session->record_fd = -1;
    session->signals[0] = session->signals[1] = session->engine.listener = -1;
    session->set.alarm_fd = session->set.command.pidfd = -1;
    session->set.command_ended = true;
    pthread_mutex_init(&session->things_lock, NULL);
    pnx_status status = configure(session, config, err);
    if (status == PNX_OK)
        *ret = session;
    else
        pnx__session_free_all(session);
    return status;
}

pnx_status pnx_session_open(const pnx_session_config *config, pnx_session **ret, pnx_error *err)
{
    pnx_session *session;
    pnx_status status = pnx__session_new(config, &session, err);
    if (status != PNX_OK)
        return status;
    status = make(session, err);
    if (status == PNX_OK)
        *ret = session;
    else
        pnx_session_free(session);
    return status;
}

pnx_id pnx_session_id(const pnx_session *session)
{
    return session->id;
}

const char *pnx_session_tmpdir(const pnx_session *session)
{
    return session->dir_path;
}
