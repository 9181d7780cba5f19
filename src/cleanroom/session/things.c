/* SPDX-License-Identifier: MIT */
/*
 * Things that are neither processes nor in the session's directory: what the command left of them,
 * and whose it is.
 *
 * New is what was not there before. It is the session's when something proves it: a member made it
 * (evidence; the creator that the kernel keeps of System V objects), it lies in the session's
 * directory, or its name has the session's id in it. What is new and not proved is told and left
 * alone; and when all that happened was tracked, what no member made is a neighbour's, and nobody's
 * business.
 */
#include "session/session.h"

#include "kind/outcome.h"
#include "kind/thing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the list -------------------------------------------------------------------------------- */

struct pnx__session_thing *pnx__session_add_thing(pnx_session *session, const pnx_thing_kind *kind,
                                                  const char *name, const char *identity)
{
    if (session->thing_count == session->thing_room) {
        size_t room = session->thing_room ? 2 * session->thing_room : 8;
        struct pnx__session_thing *grown = realloc(session->things, room * sizeof *session->things);
        if (!grown)
            return NULL;
        session->things = grown;
        session->thing_room = room;
    }
    struct pnx__session_thing *thing = &session->things[session->thing_count];
    *thing = (struct pnx__session_thing){
        .kind = kind,
        .name = strdup(name),
        .identity = strdup(identity),
        .order = kind->order,
        .origin = PNX_ORIGIN_FOUND,
        .owner = -1,
    };
    session->thing_count++;
    if (thing->name && thing->identity)
        return thing;
    pnx__session_drop_thing(session, thing);
    return NULL;
}

void pnx__session_drop_thing(pnx_session *session, struct pnx__session_thing *last)
{
    free(last->name);
    free(last->identity);
    free(last->type);
    free(last->detail);
    session->thing_count--;
}

void pnx__session_forget_things(pnx_session *session)
{
    while (session->thing_count > 0)
        pnx__session_drop_thing(session, &session->things[session->thing_count - 1]);
    free(session->things);
    session->things = NULL;
    session->thing_room = 0;
}

/* ---- whose is it? ---------------------------------------------------------------------------- */

static bool lies_beneath(const char *path, const char *dir)
{
    size_t length = strlen(dir);
    return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static bool was_a_member(const pnx_session *session, pid_t pid)
{
    const struct pnx__process_set *set = &session->set;
    if (pid <= 0)
        return false;
    if (pnx__evidence_has(&session->evidence, pid) || (session->ran && pid == set->command.pid))
        return true;
    for (size_t i = 0; !session->set_hangs && i < set->found_count; i++)
        if (set->found[i].pid == pid)
            return true;
    return false;
}

/* A file that something is known by: what the tracker saw being made. */
static bool path_of(const pnx_thing_kind *kind, const char *name, char *ret, size_t size)
{
    const char *prefix;
    switch (kind->code) {
    case PNX__CODE_SHM:
        prefix = "/dev/shm/";
        break;
    case PNX__CODE_SEMAPHORE:
        prefix = "/dev/shm/sem.";
        break;
    case PNX__CODE_MQUEUE:
        prefix = "/dev/mqueue/";
        break;
    default:
        return false;
    }
    const char *base = strrchr(name, '/');
    return snprintf(ret, size, "%s%s", prefix, base ? base + 1 : name) < (int)size;
}

/* What stands before the id in the label of a session. */
#define LABEL_PREFIX (sizeof "cleanroom-" - 1)

/* PROVED it is ours; NEIGHBOUR it is not; UNKNOWN else. */
enum whose { UNKNOWN, PROVED, NEIGHBOUR };

static enum whose judge_by_sighting(const pnx_session *session, char what, const char *text)
{
    if (pnx__evidence_saw(&session->evidence, what, text))
        return PROVED;
    return pnx__evidence_would_see(&session->evidence, text) ? NEIGHBOUR : UNKNOWN;
}

/* The identity of a named network namespace ends in that of the mount that it is. */
static const char *mount_in(const char *identity)
{
    const char *dot = strrchr(identity, '.');
    return dot ? dot + 1 : identity;
}

/* $CLEANROOM_SESSION: nobody else would choose a name with that in it. */
static bool carries_id(const pnx_session *session, const char *name)
{
    char id[PNX_ID_TEXT_SIZE];
    return strstr(name, pnx_id_format(session->id, id)) != NULL;
}

static enum whose judge(const pnx_session *session, const pnx_thing_kind *kind,
                        const pnx_thing_info *info)
{
    char path[PNX_THING_NAME_MAX + 16];
    if (was_a_member(session, info->creator) || strstr(info->name, session->label + LABEL_PREFIX))
        return PROVED; /* nobody else knows the session's id */
    uid_t user = geteuid();
    if (user != 0 && info->owner >= 0 && info->owner != (int64_t)user)
        return NEIGHBOUR; /* our command cannot make what belongs to somebody else */
    if (carries_id(session, info->name))
        return PROVED;
    switch (kind->code) {
    case PNX__CODE_SYSV_SHM:
    case PNX__CODE_SYSV_SEM:
    case PNX__CODE_SYSV_MSG:
        return info->creator > 0 && session->evidence.tracked && !session->evidence.lost[0]
                   ? NEIGHBOUR
                   : UNKNOWN;
    case PNX__CODE_MOUNT:
        if (session->dir_path && lies_beneath(info->name, session->dir_path))
            return PROVED;
        /* A kernel that does not tell of mounts proves nothing, neither way. */
        return pnx__evidence_saw(&session->evidence, 'm', info->identity) ? PROVED : UNKNOWN;
    case PNX__CODE_NETNS:
        snprintf(path, sizeof path, "/run/netns/%s", info->name);
        if (pnx__evidence_saw(&session->evidence, 'c', path))
            return PROVED;
        return pnx__evidence_saw(&session->evidence, 'm', mount_in(info->identity)) ? PROVED
                                                                                    : UNKNOWN;
    case PNX__CODE_LOOP:
        if (session->dir_path && info->detail && strstr(info->detail, session->dir_path))
            return PROVED;
        return judge_by_sighting(session, 'w', info->name) == PROVED ? PROVED : UNKNOWN;
    default:
        return path_of(kind, info->name, path, sizeof path) ? judge_by_sighting(session, 'c', path)
                                                            : UNKNOWN;
    }
}

bool pnx__session_remembers(void *context, pid_t pid)
{
    const pnx_session *session = context;
    return pnx__evidence_has(&session->evidence, pid);
}

/* More than there are processes, as a rule: then a look at these costs less. */
#define REMEMBERED_MAX 4096

bool pnx__session_each_remembered(void *context, void (*visit)(pid_t pid, void *visit_context),
                                  void *visit_context)
{
    const pnx_session *session = context;
    const struct pnx__evidence *evidence = &session->evidence;
    if (!evidence->tracked || evidence->lost[0] || evidence->members.count > REMEMBERED_MAX)
        return false;
    pnx__members_each(&evidence->members, visit, visit_context);
    return true;
}

/*
 * An intent that was never bound: the thing may have been made or not, and whoever has the name now
 * is ours only if nobody else would have chosen that name.
 */
void pnx__session_judge_intents(pnx_session *session)
{
    char id[PNX_ID_TEXT_SIZE];
    pnx_id_format(session->id, id);
    for (size_t i = 0; i < session->thing_count; i++) {
        struct pnx__session_thing *thing = &session->things[i];
        char identity[PNX_THING_IDENTITY_MAX];
        if (!thing->intended || thing->outcome.verified || strstr(thing->name, id))
            continue;
        thing->ours = false;
        if (thing->kind->find(thing->name, identity, sizeof identity, NULL) == PNX_ENOTFOUND) {
            pnx__outcome_gone(&thing->outcome, PNX_FATE_ALREADY_GONE);
            pnx__session_gone(session, thing->resource, &thing->outcome);
            continue;
        }
        thing->outcome.fate = PNX_FATE_FOREIGN;
        snprintf(thing->outcome.reason, sizeof thing->outcome.reason,
                 "it was about to be made; who made what has this name now is not known");
    }
}

/* ---- finding --------------------------------------------------------------------------------- */

struct finding {
    pnx_session *session;
    const pnx_thing_kind *kind;
};

/* What the session itself made is in the list already. */
static bool is_listed(const pnx_session *session, const pnx_thing_kind *kind, const char *name,
                      const char *identity)
{
    for (size_t i = 0; i < session->thing_count; i++)
        if (session->things[i].kind == kind && strcmp(session->things[i].name, name) == 0 &&
            (session->things[i].intended || strcmp(session->things[i].identity, identity) == 0))
            return true;
    return false;
}

/* The mount that makes a network namespace a named one goes with that. */
static bool is_another_sorts(const pnx_thing_kind *kind, const pnx_thing_info *info)
{
    return kind->code == PNX__CODE_MOUNT && info->type && strcmp(info->type, "nsfs") == 0 &&
           strncmp(info->name, "/run/netns/", 11) == 0;
}

static char *copy_of(const char *text)
{
    return text ? strdup(text) : NULL;
}

static bool consider(const pnx_thing_info *info, void *context)
{
    struct finding *finding = context;
    pnx_session *session = finding->session;
    if (pnx__before_has(&session->before, finding->kind, info->name, info->identity) ||
        is_listed(session, finding->kind, info->name, info->identity))
        return true;
    if (is_another_sorts(finding->kind, info))
        return true;
    enum whose whose = judge(session, finding->kind, info);
    if (whose == NEIGHBOUR)
        return true;
    struct pnx__session_thing *thing =
        pnx__session_add_thing(session, finding->kind, info->name, info->identity);
    if (!thing) {
        session->things_unlisted++;
        return true;
    }
    thing->ours = whose == PROVED;
    /* What ip-netns(8) mounts beneath all named namespaces goes after them. */
    if (finding->kind->code == PNX__CODE_MOUNT && strcmp(info->name, "/run/netns") == 0)
        thing->order = PNX_ORDER_NET + 1;
    thing->type = copy_of(info->type);
    thing->detail = copy_of(info->detail);
    thing->owner = info->owner;
    thing->created = info->created;
    thing->bytes = info->bytes;
    if (thing->ours)
        return true;
    thing->outcome.fate = PNX_FATE_FOREIGN;
    snprintf(thing->outcome.reason, sizeof thing->outcome.reason, "%s",
             session->evidence.tracked
                 ? "new, but nothing proves that this run made it"
                 : "new; at this tier nothing can prove that this run made it");
    return true;
}

void pnx__session_find_things(pnx_session *session)
{
    for (const pnx_thing_kind *const *kind = pnx_thing_kinds(); *kind; kind++) {
        struct finding finding = {session, *kind};
        /* A named network namespace is a mount, too. */
        bool mounted = (*kind)->code == PNX__CODE_MOUNT || (*kind)->code == PNX__CODE_NETNS;
        if (mounted && session->other_mounts)
            continue;
        if (pnx__before_covers(*kind))
            (void)(*kind)->list(consider, &finding, NULL); /* before could list it, or nothing is
                                                              new in it */
    }
}
