/* SPDX-License-Identifier: MIT */
#include "kind/sock_diag.h"

#include "kind/sys.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/*
 * The kernel sets aside as much for the next message as the last reader offered, up to 32 KiB. On a
 * quiet machine all of it fits into one: the four dumps of ports took 49 us with 4 or 8 KiB, 60 us
 * with 16, and 90 us with 32.
 */
#define BUFFER_SIZE 8192

/* Reads one message; true: go on. */
typedef bool (*message_fn)(const struct nlmsghdr *message, void *context);

/* ---- one dump -------------------------------------------------------------------------------- */

static pnx_status cannot_dump(pnx_error *err)
{
    bool missing = errno == ENOENT || errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT ||
                   errno == EOPNOTSUPP || errno == EINVAL || errno == EPERM || errno == EACCES;
    return pnx_fail(err, missing ? PNX_EUNSUPPORTED : PNX_EFAILED,
                    "this system does not let us list sockets (sock_diag): %m");
}

static bool send_request(int fd, const void *request, size_t size)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    do
        sent = sendto(fd, request, size, 0, (struct sockaddr *)&kernel, sizeof kernel);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size;
}

enum progress { GO_ON, ENDED, FAILED };

/* NLMSG_NEXT and RTA_NEXT without their casts, of which compilers cannot know that they are
 * aligned. */
static const void *after(const void *at, size_t length, ssize_t *left)
{
    *left -= (ssize_t)length;
    return (const char *)at + length;
}

static enum progress read_messages(const struct nlmsghdr *message, ssize_t left, message_fn visit,
                                   void *context)
{
    while (left > 0 && NLMSG_OK(message, (size_t)left)) {
        if (message->nlmsg_type == NLMSG_DONE)
            return ENDED;
        if (message->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *answer = NLMSG_DATA(message);
            errno = -answer->error;
            return FAILED;
        }
        if (message->nlmsg_type == SOCK_DIAG_BY_FAMILY && !visit(message, context))
            return ENDED;
        message = after(message, NLMSG_ALIGN(message->nlmsg_len), &left);
    }
    return GO_ON;
}

static enum progress read_dump(int fd, message_fn visit, void *context)
{
    _Alignas(struct nlmsghdr) char buffer[BUFFER_SIZE];
    enum progress progress = GO_ON;
    while (progress == GO_ON) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return FAILED;
        progress = read_messages((const void *)buffer, got, visit, context);
    }
    return progress;
}

static int open_diag(pnx_error *err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        cannot_dump(err);
    return fd;
}

static pnx_status dump(int fd, const void *request, size_t size, message_fn visit, void *context,
                       pnx_error *err)
{
    if (!send_request(fd, request, size) || read_dump(fd, visit, context) == FAILED)
        return cannot_dump(err);
    return PNX_OK;
}

static uint64_t cookie_of(const uint32_t words[2])
{
    return (uint64_t)words[1] << 32 | words[0];
}

void pnx__socket_identity(uint64_t inode, uint64_t cookie, char ret[PNX__SOCKET_IDENTITY_MAX])
{
    snprintf(ret, PNX__SOCKET_IDENTITY_MAX, "%llu:%llx", (unsigned long long)inode,
             (unsigned long long)cookie);
}

/* ---- unix ------------------------------------------------------------------------------------ */

bool pnx__unix_is_bound_itself(const struct pnx__unix_socket *socket)
{
    return socket->type == SOCK_DGRAM || socket->state != TCP_ESTABLISHED;
}

const char *pnx__unix_type(const struct pnx__unix_socket *socket)
{
    return socket->type == SOCK_STREAM  ? "stream"
           : socket->type == SOCK_DGRAM ? "datagram"
                                        : "seqpacket";
}

struct unix_visit {
    pnx__unix_fn visit;
    void *context;
};

static void read_attribute(const struct rtattr *attribute, struct pnx__unix_socket *ret)
{
    size_t size = RTA_PAYLOAD(attribute);
    if (attribute->rta_type == UNIX_DIAG_NAME) {
        ret->name = RTA_DATA(attribute);
        ret->length = size;
    } else if (attribute->rta_type == UNIX_DIAG_VFS && size >= sizeof(struct unix_diag_vfs)) {
        struct unix_diag_vfs file;
        memcpy(&file, RTA_DATA(attribute), sizeof file);
        ret->file_inode = file.udiag_vfs_ino;
        ret->file_device = file.udiag_vfs_dev;
    } else if (attribute->rta_type == UNIX_DIAG_UID && size >= sizeof(uint32_t)) {
        uint32_t owner;
        memcpy(&owner, RTA_DATA(attribute), sizeof owner);
        ret->owner = owner;
    }
}

static bool visit_unix(const struct nlmsghdr *message, void *context)
{
    const struct unix_visit *visit = context;
    const struct unix_diag_msg *about = NLMSG_DATA(message);
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof *about))
        return true;
    struct pnx__unix_socket socket = {
        .inode = about->udiag_ino,
        .cookie = cookie_of(about->udiag_cookie),
        .type = about->udiag_type,
        .state = about->udiag_state,
        .owner = -1,
    };
    ssize_t left = (ssize_t)(message->nlmsg_len - NLMSG_LENGTH(sizeof *about));
    const struct rtattr *attribute = (const struct rtattr *)(about + 1);
    while (RTA_OK(attribute, left)) {
        read_attribute(attribute, &socket);
        attribute = after(attribute, RTA_ALIGN(attribute->rta_len), &left);
    }
    return !socket.length || visit->visit(&socket, visit->context);
}

pnx_status pnx__unix_each(pnx__unix_fn visit, void *context, pnx_error *err)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } ask = {
        .header = {.nlmsg_len = sizeof ask,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = AF_UNIX,
                    .udiag_states = UINT32_MAX,
                    .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_UID},
    };
    struct unix_visit both = {visit, context};
    int fd = open_diag(err);
    if (fd < 0)
        return PNX_EUNSUPPORTED;
    pnx_status status = dump(fd, &ask, sizeof ask, visit_unix, &both, err);
    pnx__close(fd);
    return status;
}

/* ---- internet -------------------------------------------------------------------------------- */

struct inet_visit {
    int protocol;
    bool ended; /* by the visitor: the rest of the dump is still to be read */
    pnx__inet_fn visit;
    void *context;
};

static bool visit_inet(const struct nlmsghdr *message, void *context)
{
    struct inet_visit *visit = context;
    const struct inet_diag_msg *about = NLMSG_DATA(message);
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof *about))
        return true;
    struct pnx__inet_socket socket = {
        .inode = about->idiag_inode,
        .cookie = cookie_of(about->id.idiag_cookie),
        .family = about->idiag_family,
        .protocol = visit->protocol,
        .owner = about->idiag_uid,
        .port = ntohs(about->id.idiag_sport),
        .interface = about->id.idiag_if,
    };
    memcpy(&socket.address, about->id.idiag_src, sizeof socket.address);
    visit->ended = !visit->visit(&socket, visit->context);
    return !visit->ended;
}

static pnx_status dump_inet(int fd, int family, struct inet_visit *visit, pnx_error *err)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } ask = {
        .header = {.nlmsg_len = sizeof ask,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = (uint8_t)family,
                    .sdiag_protocol = (uint8_t)visit->protocol,
                    .idiag_states = 1u
                                    << (visit->protocol == IPPROTO_TCP ? TCP_LISTEN : TCP_CLOSE)},
    };
    return dump(fd, &ask, sizeof ask, visit_inet, visit, err);
}

pnx_status pnx__inet_each(int family, int protocol, pnx__inet_fn visit, void *context,
                          pnx_error *err)
{
    static const int families[] = {AF_INET, AF_INET6}, protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
    struct inet_visit both = {.visit = visit, .context = context};
    pnx_status status = PNX_OK;
    int fd = open_diag(err);
    if (fd < 0)
        return PNX_EUNSUPPORTED;
    for (size_t i = 0; i < 4 && status == PNX_OK && !both.ended; i++) {
        both.protocol = protocols[i % 2];
        if ((family && family != families[i / 2]) || (protocol && protocol != both.protocol))
            continue;
        status = dump_inet(fd, families[i / 2], &both, err);
        if (status == PNX_EUNSUPPORTED && families[i / 2] == AF_INET6) {
            pnx_error_clear(err); /* a kernel without it has no such sockets */
            status = PNX_OK;
        }
    }
    pnx__close(fd);
    return status;
}
