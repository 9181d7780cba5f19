/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include "kind/outcome.h"
#include "kind/thing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files have no sort of their own among things: they are only told. */
static const pnx_thing_kind kind_file = {
    .name = "file",
    .code = PNX__CODE_FILE,
    .order = PNX_ORDER_FILE,
    .survives_reboot = true,
};

#define NETNS_DIR "/run/netns"

struct finding {
    pnx_session *session;
    size_t listed;
};

static bool is_beneath_ours(const pnx_session *session, const char *path)
{
    size_t length = strlen(session->dir_path);
    return strncmp(path, session->dir_path, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

/* The first level of /tmp and /var/tmp is tracked; what lies elsewhere is only compared. */
static bool is_a_neighbours(const pnx_session *session, const char *path, const struct stat *stat,
                            bool named)
{
    uid_t user = geteuid();
    if (user != 0 && stat->st_uid != user)
        return true;
    return !named && pnx__evidence_would_see(&session->evidence, path) &&
           !pnx__evidence_saw(&session->evidence, 'c', path);
}

/* A socket, say, whose path is a thing of its own. */
static bool is_told_already(const pnx_session *session, const char *path)
{
    for (size_t i = 0; i < session->thing_count; i++)
        if (session->things[i].ours && strcmp(session->things[i].name, path) == 0)
            return true;
    return false;
}

static struct pnx__session_thing *add(pnx_session *session, const char *path,
                                      const struct stat *stat)
{
    char identity[48];
    snprintf(identity, sizeof identity, "%" PRIx64 ":%" PRIu64, (uint64_t)stat->st_dev,
             (uint64_t)stat->st_ino);
    struct pnx__session_thing *thing = pnx__session_add_thing(session, &kind_file, path, identity);
    if (!thing)
        return NULL;
    thing->type = strdup(pnx__session_type_of(stat->st_mode));
    thing->owner = stat->st_uid;
    thing->created = stat->st_ctim.tv_sec * PNX_S(1) + stat->st_ctim.tv_nsec;
    thing->bytes = (uint64_t)stat->st_blocks * 512;
    return thing;
}

static bool consider(const char *path, const void *stat_of_it, bool named, void *context)
{
    struct finding *finding = context;
    pnx_session *session = finding->session;
    const struct stat *stat = stat_of_it;
    if (is_beneath_ours(session, path) || is_told_already(session, path) ||
        is_a_neighbours(session, path, stat, named))
        return true;
    struct pnx__session_thing *thing =
        finding->listed++ < session->config.listed_max ? add(session, path, stat) : NULL;
    if (!thing) {
        session->outside_unlisted++;
        return true;
    }
    thing->outcome.fate = PNX_FATE_FOREIGN;
    bool seen = pnx__evidence_saw(&session->evidence, 'c', path);
    snprintf(thing->outcome.reason, sizeof thing->outcome.reason, "%s",
             seen ? "made by this run, outside of its own directory" : "new since the run began");
    return true;
}

void pnx__session_find_outside(pnx_session *session)
{
    struct finding finding = {session, 0};
    if (session->adopted || !session->ran)
        return;
    if (!pnx__watch_end(&session->watch, consider, &finding) && !session->warning[0])
        snprintf(session->warning, sizeof session->warning,
                 "a directory that is watched has too many files in it to be compared");
}

/*
 * The first `ip netns add` since the machine was started makes the directory of all of them. It
 * goes when nobody uses it, which rmdir(2) sees to.
 */
void pnx__session_remove_netns_dir(pnx_session *session)
{
    struct stat about;
    if (!pnx__evidence_saw(&session->evidence, 'c', NETNS_DIR) || lstat(NETNS_DIR, &about) != 0)
        return;
    bool gone = rmdir(NETNS_DIR) == 0;
    int number = errno;
    struct pnx__session_thing *thing = add(session, NETNS_DIR, &about);
    if (!thing) {
        session->outside_unlisted++;
        return;
    }
    thing->ours = gone;
    thing->outcome.attempts = 1;
    if (gone) {
        pnx__outcome_gone(&thing->outcome, PNX_FATE_REMOVED);
        thing->outcome.ended = pnx_monotonic_now();
        thing->removed = pnx__now_since_1970();
        return;
    }
    thing->outcome.fate = PNX_FATE_FOREIGN;
    snprintf(thing->outcome.reason, sizeof thing->outcome.reason,
             "made by this run, but others use it now: %s", strerrordesc_np(number));
}
