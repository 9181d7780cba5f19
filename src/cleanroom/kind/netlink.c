/* SPDX-License-Identifier: MIT */
#include "kind/netlink.h"

#include "kind/sys.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* The kernel fills in as many messages as fit; a link with all its attributes takes some 2 KiB. */
#define ANSWER 32768

/* ---- putting a request together -------------------------------------------------------------- */

void pnx__netlink_begin(struct pnx__netlink_request *request, uint16_t type, uint16_t flags)
{
    memset(request, 0, sizeof *request);
    request->header = (struct nlmsghdr){
        .nlmsg_len = NLMSG_LENGTH(sizeof request->link),
        .nlmsg_type = type,
        .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
        .nlmsg_seq = 1,
    };
}

void *pnx__netlink_room(struct pnx__netlink_request *request, size_t size)
{
    size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
    request->header.nlmsg_len = (uint32_t)(at + size); /* requests are ours, and fit */
    return (char *)request + at;
}

static void attribute(struct pnx__netlink_request *request, uint16_t type, const void *data,
                      size_t size)
{
    struct rtattr *to = pnx__netlink_room(request, RTA_LENGTH(size));
    *to = (struct rtattr){.rta_len = (unsigned short)RTA_LENGTH(size), .rta_type = type};
    memcpy(RTA_DATA(to), data, size);
}

void pnx__netlink_text(struct pnx__netlink_request *request, uint16_t type, const char *text)
{
    attribute(request, type, text, strlen(text) + 1);
}

void pnx__netlink_number(struct pnx__netlink_request *request, uint16_t type, uint32_t number)
{
    attribute(request, type, &number, sizeof number);
}

size_t pnx__netlink_nest(struct pnx__netlink_request *request, uint16_t type)
{
    struct rtattr *to = pnx__netlink_room(request, sizeof *to);
    to->rta_type = type;
    return (size_t)((char *)to - (char *)request);
}

void pnx__netlink_end(struct pnx__netlink_request *request, size_t nest)
{
    struct rtattr *to = (void *)((char *)request + nest);
    to->rta_len = (unsigned short)(request->header.nlmsg_len - nest);
}

/* ---- asking ---------------------------------------------------------------------------------- */

int pnx__netlink_open(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

uint64_t pnx__netlink_namespace(int fd)
{
    uint64_t cookie;
    socklen_t size = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

enum reading { MORE, DONE, ENOUGH, WRONG };

/* One datagram of the answer. */
static enum reading read_messages(const char *buffer, size_t length, pnx__netlink_visit_fn visit,
                                  void *context, bool dump)
{
    for (const struct nlmsghdr *message = (const void *)buffer; NLMSG_OK(message, length);
         message = pnx__netlink_next(message, &length)) {
        if (message->nlmsg_type == NLMSG_DONE)
            return DONE;
        if (message->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *error = NLMSG_DATA(message);
            errno = -error->error;
            return error->error ? WRONG : DONE;
        }
        if (visit && !visit(message, context))
            return ENOUGH;
        if (!dump)
            return DONE;
    }
    return MORE;
}

bool pnx__netlink_ask(int fd, struct pnx__netlink_request *request, pnx__netlink_visit_fn visit,
                      void *context)
{
    _Alignas(8) char buffer[ANSWER];
    bool dump = (request->header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (sendto(fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel,
               sizeof kernel) < 0)
        return false;
    for (;;) {
        ssize_t got = recv(fd, buffer, sizeof buffer, MSG_TRUNC);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if ((size_t)got > sizeof buffer) {
            errno = EMSGSIZE;
            return false;
        }
        enum reading reading = read_messages(buffer, (size_t)got, visit, context, dump);
        if (reading != MORE)
            return reading != WRONG;
    }
}
