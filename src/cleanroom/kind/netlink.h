/* SPDX-License-Identifier: MIT */
/** @file netlink.h  As much of netlink(7) as is needed. Nothing here allocates. */
#ifndef CLEANROOM_KIND_NETLINK_H
#define CLEANROOM_KIND_NETLINK_H

#include <linux/rtnetlink.h>
#include <patinox/base.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PNX__NETLINK_REQUEST 1024

/**
 * NLMSG_NEXT without its cast, of which compilers cannot know that it keeps the alignment, and with
 * a length that does not wrap around where the last message is not padded.
 */
static inline const struct nlmsghdr *pnx__netlink_next(const struct nlmsghdr *message, size_t *left)
{
    size_t length = NLMSG_ALIGN(message->nlmsg_len);
    *left = length < *left ? *left - length : 0;
    return (const void *)((const char *)message + length);
}

/** A request that is being put together. */
struct pnx__netlink_request {
    struct nlmsghdr header;
    struct ifinfomsg link;
    char attributes[PNX__NETLINK_REQUEST];
};

void pnx__netlink_begin(struct pnx__netlink_request *request, uint16_t type, uint16_t flags);
void pnx__netlink_text(struct pnx__netlink_request *request, uint16_t type, const char *text);
void pnx__netlink_number(struct pnx__netlink_request *request, uint16_t type, uint32_t number);
/** Opens an attribute that holds others; end it with what this answers. */
size_t pnx__netlink_nest(struct pnx__netlink_request *request, uint16_t type);
/** Room for a header of `size` bytes within an attribute. */
void *pnx__netlink_room(struct pnx__netlink_request *request, size_t size);
void pnx__netlink_end(struct pnx__netlink_request *request, size_t nest);

/** A socket in the network namespace of the calling thread; -1 and errno. */
int pnx__netlink_open(void);
/** A number of that namespace which no other has had since the machine was started; else 0. */
uint64_t pnx__netlink_namespace(int fd);

/** Visits each message of the answer; false ends it. */
typedef bool (*pnx__netlink_visit_fn)(const struct nlmsghdr *message, void *context);
/** Sends it and reads the answer. False: errno, which may be what the kernel answered. */
bool pnx__netlink_ask(int fd, struct pnx__netlink_request *request, pnx__netlink_visit_fn visit,
                      void *context);

#endif
