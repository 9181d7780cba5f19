/* SPDX-License-Identifier: MIT */
#include "track/tracker_internal.h"

#include "kind/sys.h"

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int pnx__tracker_open_links(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        pnx__close(fd);
        return -1;
    }
    return fd;
}

/*
 * A notification carries the port of the socket that asked for the change (Linux 6.2), and the
 * first netlink socket of a process has the process's pid for its port unless that is taken.
 */
static void take_link(struct pnx__tracker *tracker, const struct nlmsghdr *header)
{
    struct ifinfomsg about;
    char text[16];
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof about))
        return;
    memcpy(&about, NLMSG_DATA(header), sizeof about);
    bool asked = header->nlmsg_pid != 0;
    bool by_member = asked && pnx__members_has(&tracker->members, (pid_t)header->nlmsg_pid);
    snprintf(text, sizeof text, "%d", about.ifi_index);
    if (header->nlmsg_type == RTM_NEWLINK && about.ifi_change == ~0u && by_member)
        pnx__tracker_tell(tracker, 'l', text);
    else if (header->nlmsg_type == RTM_DELLINK)
        pnx__tracker_tell(tracker, 'L', text);
}

void pnx__tracker_take_links(struct pnx__tracker *tracker)
{
    char buffer[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
    if (tracker->links < 0)
        return;
    for (;;) {
        struct sockaddr_nl from;
        socklen_t from_size = sizeof from;
        ssize_t size = recvfrom(tracker->links, buffer, sizeof buffer, 0, (struct sockaddr *)&from,
                                &from_size);
        if (size < 0 && errno == ENOBUFS)
            continue; /* a link that is not proved to be ours is told, and left alone */
        if (size <= 0)
            return;
        if (from.nl_pid != 0)
            continue;
        unsigned length = (unsigned)size;
        for (struct nlmsghdr *at = (struct nlmsghdr *)buffer; NLMSG_OK(at, length);
             at = NLMSG_NEXT(at, length))
            take_link(tracker, at);
    }
}
