/* SPDX-License-Identifier: MIT */
#include "track/tracker_internal.h"

#include "kind/netlink.h"
#include "kind/sys.h"
#include "probe/probe.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* A fork is some 80 bytes of the socket's memory accounting: this is a storm of 50 000. */
#define RECEIVE_BUFFER (16 << 20)

/* struct proc_input of <linux/cn_proc.h> since 6.6: older headers lack it. */
struct listen {
    uint32_t operation;
    uint32_t events;
};

/* The first `payload` bytes of the operation and its events. */
static ssize_t send_listen(int fd, size_t payload)
{
    struct listen listen = {.operation = PROC_CN_MCAST_LISTEN, .events = PROC_EVENT_FORK};
    struct cn_msg message = {.id = {CN_IDX_PROC, CN_VAL_PROC}, .len = (uint16_t)payload};
    char request[NLMSG_LENGTH(sizeof message + sizeof listen)] = {0};
    size_t size = NLMSG_LENGTH(sizeof message + payload);
    struct nlmsghdr header = {.nlmsg_len = (uint32_t)size, .nlmsg_type = NLMSG_DONE};
    memcpy(request, &header, sizeof header);
    memcpy(request + NLMSG_HDRLEN, &message, sizeof message);
    memcpy(request + NLMSG_HDRLEN + sizeof message, &listen, payload);
    return send(fd, request, size, 0);
}

/*
 * In a pid namespace we may listen, too, and hear what neighbours outside are told: of pids that
 * mean other processes here. The kernel's own answer tells that they are meant for us.
 */
int pnx__tracker_open_processes(pnx_error *err)
{
    if (!pnx__can_watch_processes()) {
        pnx_fail(err, PNX_EUNSUPPORTED, "cannot follow forks (process events connector): %m");
        return -1;
    }
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        pnx_fail(err, PNX_EUNSUPPORTED, "cannot follow forks (process events connector): %m");
        pnx__close(fd);
        return -1;
    }
    int size = RECEIVE_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    /* Only forks, where the kernel can tell them apart (6.6); an older one takes the short form. */
    if (send_listen(fd, 8) < 0 && send_listen(fd, 4) < 0) {
        pnx_fail(err, PNX_EUNSUPPORTED, "cannot follow forks (process events connector): %m");
        pnx__close(fd);
        return -1;
    }
    return fd;
}

void pnx__tracker_tell_pid(struct pnx__tracker *tracker, char what, pid_t pid)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    pnx__tracker_tell(tracker, what, text);
}

/* A pid that was a member's and is given out again to a stranger is the stranger's from now on. */
static void take_fork(struct pnx__tracker *tracker, pid_t parent, pid_t child)
{
    bool helper = pnx__members_has(&tracker->excluded, parent) || parent == tracker->self;
    bool by_root = parent == tracker->root && (!tracker->choosy || tracker->expecting);
    bool member = !helper && child != tracker->self &&
                  (by_root || pnx__members_has(&tracker->members, parent));
    if (member && by_root && tracker->expecting && !pnx__members_add(&tracker->expected, child))
        pnx__tracker_lost(tracker, "no memory to follow processes");
    if (helper)
        (void)pnx__members_add(&tracker->excluded, child);
    else
        pnx__members_remove(&tracker->excluded, child);
    if (member) {
        if (!pnx__members_add(&tracker->members, child))
            pnx__tracker_lost(tracker, "no memory to follow processes");
        pnx__tracker_tell_pid(tracker, '+', child);
    } else if (pnx__members_has(&tracker->members, child)) {
        pnx__members_remove(&tracker->members, child);
        pnx__tracker_tell_pid(tracker, '-', child);
    }
}

static void take_message(struct pnx__tracker *tracker, const struct nlmsghdr *header)
{
    struct cn_msg message;
    struct proc_event event;
    const unsigned char *data = NLMSG_DATA(header);
    size_t least = NLMSG_LENGTH(sizeof message + offsetof(struct proc_event, event_data) +
                                sizeof event.event_data.fork);
    if (header->nlmsg_len < least)
        return;
    memcpy(&message, data, sizeof message);
    if (message.id.idx != CN_IDX_PROC || message.id.val != CN_VAL_PROC)
        return;
    memset(&event, 0, sizeof event);
    size_t size = header->nlmsg_len - NLMSG_LENGTH(sizeof message);
    memcpy(&event, data + sizeof message, size < sizeof event ? size : sizeof event);
    if (event.what != PROC_EVENT_FORK)
        return;
    if (event.event_data.fork.child_pid == event.event_data.fork.child_tgid) /* else a thread */
        take_fork(tracker, event.event_data.fork.parent_tgid, event.event_data.fork.child_tgid);
}

void pnx__tracker_take_processes(struct pnx__tracker *tracker)
{
    char buffer[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
    for (;;) {
        struct sockaddr_nl from = {.nl_pid = UINT32_MAX}; /* nobody until it is told */
        socklen_t from_size = sizeof from;
        ssize_t size = recvfrom(tracker->processes, buffer, sizeof buffer, 0,
                                (struct sockaddr *)&from, &from_size);
        if (size < 0 && errno == ENOBUFS) {
            pnx__tracker_lost(tracker,
                              "more processes were started at a time than can be followed");
            continue;
        }
        if (size <= 0)
            return;
        if (from.nl_pid != 0) /* only the kernel's word counts */
            continue;
        size_t left = (size_t)size;
        for (const struct nlmsghdr *message = (const void *)buffer; NLMSG_OK(message, left);
             message = pnx__netlink_next(message, &left))
            take_message(tracker, message);
    }
}
