/* SPDX-License-Identifier: MIT */
#include <cleanroom/socket.h>

#include "kind/procfs.h"
#include "kind/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many descriptors are looked at between two looks at the clock. */
#define PATIENCE 256

struct search {
    pnx_socket_owner *sockets;
    size_t count, found;
    pnx_time deadline;
    bool late;
};

static int by_inode(const void *a, const void *b)
{
    const pnx_socket_owner *left = a, *right = b;
    return (left->inode > right->inode) - (left->inode < right->inode);
}

static void note(struct search *search, uint64_t inode, pid_t pid)
{
    pnx_socket_owner wanted = {.inode = inode};
    pnx_socket_owner *owner =
        bsearch(&wanted, search->sockets, search->count, sizeof wanted, by_inode);
    if (!owner || owner->pid)
        return;
    owner->pid = pid;
    search->found++;
}

static void look_at_descriptor(struct search *search, int dir, const char *name, pid_t pid)
{
    static const char prefix[] = "socket:[";
    char target[40];
    ssize_t length = readlinkat(dir, name, target, sizeof target - 1);
    if (length <= 0)
        return;
    target[length] = '\0';
    if (strncmp(target, prefix, sizeof prefix - 1) == 0)
        note(search, strtoull(target + sizeof prefix - 1, NULL, 10), pid);
}

static bool is_over(struct search *search)
{
    search->late = search->late || pnx_monotonic_now() >= search->deadline;
    return search->late || search->found == search->count;
}

static void look_into(pid_t pid, void *context)
{
    struct search *search = context;
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    if (is_over(search))
        return;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return;
    _Alignas(8) char buffer[8192];
    ssize_t got;
    unsigned looked_at = 0;
    while (!search->late && (got = pnx__getdents(dir, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got && !search->late;) {
            const struct pnx__dirent *entry = (const void *)(buffer + at);
            at += entry->length;
            if (entry->name[0] != '.')
                look_at_descriptor(search, dir, entry->name, pid);
            if (++looked_at % PATIENCE == 0)
                (void)is_over(search);
        }
    }
    pnx__close(dir);
}

size_t pnx_socket_owners_in(pid_t pid, pnx_socket_owner *sockets, size_t count, pnx_time deadline)
{
    struct search search = {.sockets = sockets, .count = count, .deadline = deadline};
    look_into(pid, &search);
    return search.found;
}

size_t pnx_socket_owners(pnx_socket_owner *sockets, size_t count, pnx_time deadline)
{
    struct search search = {.sockets = sockets, .count = count, .deadline = deadline};
    if (!count)
        return 0;
    qsort(sockets, count, sizeof *sockets, by_inode);
    for (size_t i = 0; i < count; i++)
        sockets[i].pid = 0;
    pnx__proc_each(look_into, &search);
    return search.found;
}
