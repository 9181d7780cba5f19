/* SPDX-License-Identifier: MIT */
#include "probe/probe.h"

#include "kind/isolate.h"
#include "kind/sys.h"

#include <linux/capability.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/random.h>
#include <sys/socket.h>

/* ---- process events -------------------------------------------------------------------------- */

static bool ask(int fd, enum proc_cn_mcast_op op, uint32_t number)
{
    struct cn_msg message = {.id = {CN_IDX_PROC, CN_VAL_PROC}, .ack = number, .len = sizeof op};
    char request[NLMSG_SPACE(sizeof message + sizeof op)] = {0};
    struct nlmsghdr header = {.nlmsg_len = sizeof request, .nlmsg_type = NLMSG_DONE};
    memcpy(request, &header, sizeof header);
    memcpy(request + NLMSG_HDRLEN, &message, sizeof message);
    memcpy(request + NLMSG_HDRLEN + sizeof message, &op, sizeof op);
    return send(fd, request, sizeof request, 0) == sizeof request;
}

/*
 * The kernel answers before send(2) returns, with an event that says nothing but whether we may;
 * among others. What it answers to one it tells all who listen, and in a pid namespace it does not
 * answer at all: only the number of the question tells that the answer is not a neighbour's.
 */
static bool is_acknowledged(int fd, uint32_t number)
{
    _Alignas(struct nlmsghdr) char buffer[1024];
    ssize_t got;
    while ((got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) >= 0) {
        const struct nlmsghdr *header = (const void *)buffer;
        const struct cn_msg *message = NLMSG_DATA(header);
        struct proc_event event;
        size_t needed = NLMSG_LENGTH(sizeof *message + sizeof event);
        if (got < (ssize_t)needed)
            continue;
        memcpy(&event, message->data, sizeof event);
        if (event.what != PROC_EVENT_NONE || message->ack != number + 1)
            continue;
        errno = (int)event.event_data.ack.err;
        return errno == 0;
    }
    errno = EOPNOTSUPP;
    return false;
}

bool pnx__can_watch_processes(void)
{
    uint32_t number;
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    bool can = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
               getrandom(&number, sizeof number, 0) == sizeof number &&
               ask(fd, PROC_CN_MCAST_LISTEN, number) && is_acknowledged(fd, number);
    int error = errno;
    if (can)
        (void)ask(fd, PROC_CN_MCAST_IGNORE, number);
    pnx__close(fd);
    errno = error;
    return can;
}

/* ---- files ----------------------------------------------------------------------------------- */

bool pnx__may_watch_files(void)
{
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME,
                           O_RDONLY | O_CLOEXEC);
    bool may = fd >= 0 && pnx__has_capability(CAP_SYS_ADMIN);
    if (fd >= 0 && !may)
        errno = EPERM;
    pnx__close(fd);
    return may;
}

static bool can_watch_files(const char *dir)
{
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME,
                           O_RDONLY | O_CLOEXEC);
    bool can = fd >= 0 &&
               fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
                             FAN_CREATE | FAN_DELETE | FAN_MOVED_TO | FAN_MOVED_FROM | FAN_ONDIR,
                             AT_FDCWD, dir) == 0;
    pnx__close(fd);
    return can;
}

#ifndef FAN_REPORT_PIDFD
#define FAN_REPORT_PIDFD 0x00000080
#endif

static bool can_attribute(void)
{
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_REPORT_DFID_NAME | FAN_REPORT_PIDFD,
                           O_RDONLY | O_CLOEXEC);
    pnx__close(fd);
    return fd >= 0;
}

void pnx__probe_watching(struct pnx__probe *probe)
{
    static const char as_root[] = "run as root, outside of containers";
    pnx_capability *capability =
        pnx__probe_add(probe, "process-events", "every fork is told, so that none gets away");
    if (pnx__can_watch_processes())
        pnx__probe_yes(capability, "the process events connector");
    else
        pnx__probe_no(capability, "the process events connector: %m");
    if (!capability->ok)
        pnx__probe_change(capability, "%s", as_root);

    capability = pnx__probe_add(probe, "fanotify", "files left anywhere are found");
    if (can_watch_files(probe->tmp_dir ? probe->tmp_dir : "/tmp"))
        pnx__probe_yes(capability, "whole file systems");
    else
        pnx__probe_no(capability, "fanotify of whole file systems: %m");
    if (!capability->ok)
        pnx__probe_change(capability, "%s", as_root);

    capability = pnx__probe_add(probe, "fanotify-pidfd", "and who left them is known");
    if (can_attribute())
        pnx__probe_yes(capability, "FAN_REPORT_PIDFD");
    else
        pnx__probe_no(capability, "FAN_REPORT_PIDFD: %m");
    if (!capability->ok)
        pnx__probe_change(capability, "%s", as_root);
}
