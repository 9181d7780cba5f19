/* SPDX-License-Identifier: MIT */
/*
 * Sockets that the processes hold which the command left: ports that are listened to, abstract
 * names, paths. They are looked for before the processes end, for afterwards nobody can tell whose
 * they were; most go with the process, a path has to be removed.
 */
#include "session/session.h"

#include "kind/thing.h"

#include <cleanroom/socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A process with very many descriptors must not hold up the clean-up. */
#define PATIENCE PNX_MS(500)
#define SOCKETS_MAX 65536u

struct search {
    pnx_session *session;
    const pnx_thing_kind *kind;
    pnx_socket_owner *sockets;
    size_t count, room;
    pnx_time deadline;
    size_t members;
};

static bool is_socket(const pnx_thing_kind *kind)
{
    return kind->code == PNX__CODE_PORT || kind->code == PNX__CODE_ABSTRACT ||
           kind->code == PNX__CODE_SOCKET;
}

static bool note_inode(const pnx_thing_info *info, void *context)
{
    struct search *search = context;
    if (info->socket == 0)
        return true;
    if (search->count == search->room) {
        size_t room = search->room ? 2 * search->room : 64;
        pnx_socket_owner *grown =
            room <= SOCKETS_MAX ? realloc(search->sockets, room * sizeof *grown) : NULL;
        if (!grown)
            return false;
        search->sockets = grown;
        search->room = room;
    }
    search->sockets[search->count++] = (pnx_socket_owner){.inode = info->socket};
    return true;
}

static int compare(const void *a, const void *b)
{
    const pnx_socket_owner *left = a, *right = b;
    return (left->inode > right->inode) - (left->inode < right->inode);
}

static void ask_member(struct pnx__process_set *set, pid_t pid, bool outside, void *context)
{
    struct search *search = context;
    search->members++;
    (void)pnx_socket_owners_in(pid, search->sockets, search->count, search->deadline);
}

static void count_member(struct pnx__process_set *set, pid_t pid, bool outside, void *context)
{
    struct search *search = context;
    search->members++;
}

static pid_t owner_of(const struct search *search, uint64_t inode)
{
    pnx_socket_owner key = {.inode = inode};
    const pnx_socket_owner *found =
        search->count > 0 ? bsearch(&key, search->sockets, search->count, sizeof key, compare)
                          : NULL;
    return found ? found->pid : 0;
}

static bool add_if_ours(const pnx_thing_info *info, void *context)
{
    struct search *search = context;
    pnx_session *session = search->session;
    pid_t owner = info->socket ? owner_of(search, info->socket) : 0;
    size_t length = strlen(session->dir_path);
    if (owner == 0 || strncmp(info->name, session->dir_path, length) == 0)
        return true; /* what is in the directory is a file there */
    if (search->kind->code == PNX__CODE_SOCKET && info->created < session->started)
        return true; /* it holds what somebody else has made */
    struct pnx__session_thing *thing =
        pnx__session_add_thing(session, search->kind, info->name, info->identity);
    if (!thing) {
        session->things_unlisted++;
        return true;
    }
    char *detail;
    thing->ours = true;
    thing->type = info->type ? strdup(info->type) : NULL;
    thing->detail = asprintf(&detail, "held by pid %d", (int)owner) > 0 ? detail : NULL;
    thing->owner = info->owner;
    thing->created = info->created;
    return true;
}

/* Cheap where nobody is left, which is the ordinary case. */
static bool somebody_is_left(struct search *search)
{
    struct pnx__process_set *set = &search->session->set;
    if (set->cgroup && pnx_cgroup_populated(set->cgroup))
        return true;
    pnx__set_each(set, PNX__LOOK_NEAR, count_member, search);
    return search->members > 0;
}

void pnx__session_find_sockets(pnx_session *session)
{
    struct search search = {
        .session = session,
        .deadline = pnx_time_after(pnx_monotonic_now(), PATIENCE),
    };
    if (!session->dir_path || !session->ran || !somebody_is_left(&search))
        return;
    for (const pnx_thing_kind *const *kind = pnx_thing_kinds(); *kind; kind++)
        if (is_socket(*kind))
            (void)(*kind)->list(note_inode, &search, NULL);
    if (search.count > 0) {
        qsort(search.sockets, search.count, sizeof *search.sockets, compare);
        pnx__set_each(&session->set, PNX__LOOK_KNOWN, ask_member, &search);
    }
    for (const pnx_thing_kind *const *kind = pnx_thing_kinds(); *kind; kind++) {
        search.kind = *kind;
        if (is_socket(*kind) && search.count > 0)
            (void)(*kind)->list(add_if_ours, &search, NULL);
    }
    free(search.sockets);
}
