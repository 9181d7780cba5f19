/* SPDX-License-Identifier: MIT */
#include <cleanroom/netns.h>

#include "kind/netlink.h"
#include "kind/sys.h"
#include "kind/thing.h"

#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Newer than the headers of our oldest platform. */
#ifndef RTEXT_FILTER_SKIP_STATS
#define RTEXT_FILTER_SKIP_STATS (1 << 3)
#endif
#define PARENT_DEV_NAME 56 /* IFLA_PARENT_DEV_NAME, Linux 5.14 */

#define IDENTITY_MAX 96
#define SORT_MAX 32

struct network_link {
    int number;
    char name[IFNAMSIZ], sort[SORT_MAX]; /* an empty sort: it is nothing that could be removed */
    unsigned char address[32];
    unsigned address_size;
};

/* ---- reading --------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t size, const struct rtattr *from)
{
    snprintf(to, size, "%.*s", (int)RTA_PAYLOAD(from), (const char *)RTA_DATA(from));
}

/* RTA_NEXT without its cast, of which compilers cannot know that it keeps the alignment. */
static const struct rtattr *next(const struct rtattr *at, size_t *left)
{
    size_t length = RTA_ALIGN(at->rta_len);
    *left = length < *left ? *left - length : 0;
    return (const void *)((const char *)at + length);
}

static void read_sort(const struct rtattr *info, struct network_link *ret)
{
    size_t left = RTA_PAYLOAD(info);
    for (const struct rtattr *at = RTA_DATA(info); RTA_OK(at, left); at = next(at, &left))
        if (at->rta_type == IFLA_INFO_KIND)
            copy_text(ret->sort, sizeof ret->sort, at);
}

static bool read_link(const struct nlmsghdr *message, struct network_link *ret)
{
    if (message->nlmsg_type != RTM_NEWLINK)
        return false;
    const struct ifinfomsg *about = NLMSG_DATA(message);
    size_t left = IFLA_PAYLOAD(message);
    bool on_a_bus = false;
    *ret = (struct network_link){.number = about->ifi_index};
    const struct rtattr *at = (const void *)(about + 1); /* what ifinfomsg needs no padding after */
    for (; RTA_OK(at, left); at = next(at, &left)) {
        switch (at->rta_type & NLA_TYPE_MASK) {
        case IFLA_IFNAME:
            copy_text(ret->name, sizeof ret->name, at);
            break;
        case IFLA_LINKINFO:
            read_sort(at, ret);
            break;
        case IFLA_ADDRESS:
            ret->address_size = (unsigned)RTA_PAYLOAD(at);
            if (ret->address_size > sizeof ret->address)
                ret->address_size = 0;
            memcpy(ret->address, RTA_DATA(at), ret->address_size);
            break;
        case PARENT_DEV_NAME:
            on_a_bus = true;
            break;
        default:
            break;
        }
    }
    if (on_a_bus)
        ret->sort[0] = '\0';
    return true;
}

/*
 * Neither name nor address belong to it: both may change while it is the same (a bridge takes the
 * address of a port). Numbers are not given again within a namespace.
 */
static void identify(int fd, const struct network_link *link, char ret[IDENTITY_MAX])
{
    snprintf(ret, IDENTITY_MAX, "n%llx:%d:%s", (unsigned long long)pnx__netlink_namespace(fd),
             link->number, link->sort);
}

static bool keep_link(const struct nlmsghdr *message, void *context)
{
    return !read_link(message, context);
}

/* By name, or by number if `name` is NULL. PNX_ENOTFOUND: none, or one that is not for removal. */
static pnx_status ask(int fd, const char *name, int number, struct network_link *ret,
                      pnx_error *err)
{
    struct pnx__netlink_request request;
    *ret = (struct network_link){0};
    pnx__netlink_begin(&request, RTM_GETLINK, 0);
    request.link.ifi_index = number;
    if (name)
        pnx__netlink_text(&request, IFLA_IFNAME, name);
    pnx__netlink_number(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    char shown[IFNAMSIZ + 16];
    if (name)
        snprintf(shown, sizeof shown, "'%.15s'", name);
    else
        snprintf(shown, sizeof shown, "number %d", number);
    if (!pnx__netlink_ask(fd, &request, keep_link, ret))
        return pnx_fail(err, errno == ENODEV ? PNX_ENOTFOUND : PNX_EFAILED,
                        "cannot look at the link %s: %m", shown);
    if (!ret->sort[0])
        return pnx_fail(err, PNX_ENOTFOUND, "the link %s is not made of software", shown);
    return PNX_OK;
}

static pnx_status open_socket(int *ret, pnx_error *err)
{
    *ret = pnx__netlink_open();
    if (*ret >= 0)
        return PNX_OK;
    return pnx_fail(err, PNX_EUNSUPPORTED, "cannot ask the kernel for links: %m");
}

/* The kernel makes a number of its own out of "%d". */
static bool is_name(const char *name)
{
    return name[0] && strlen(name) < IFNAMSIZ && !strpbrk(name, "/ \t\n\v\f\r:%") &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* ---- find, still ----------------------------------------------------------------------------- */

static pnx_status find_link(const char *name, char *ret_identity, size_t size, pnx_error *err)
{
    struct network_link link = {0};
    char identity[IDENTITY_MAX];
    int fd = -1;
    if (!is_name(name))
        return pnx_fail(err, PNX_EINVAL, "'%s' is not the name of a link", name);
    pnx_status status = open_socket(&fd, err);
    if (status != PNX_OK)
        return status;
    status = ask(fd, name, 0, &link, err);
    if (status == PNX_OK)
        identify(fd, &link, identity);
    pnx__close(fd);
    if (status == PNX_OK && snprintf(ret_identity, size, "%s", identity) >= (int)size)
        status = pnx_fail(err, PNX_EINVAL, "no room for the identity of the link '%s'", name);
    return status;
}

/* PNX_OK: the one with this identity, whatever its name is now. */
static pnx_status ask_identity(int fd, const char *identity, struct network_link *ret,
                               pnx_error *err)
{
    char found[IDENTITY_MAX];
    const char *number = strchr(identity, ':');
    int index = number ? (int)strtol(number + 1, NULL, 10) : 0;
    if (index <= 0)
        return pnx_fail(err, PNX_ENOTFOUND, "'%s' is not the identity of a link", identity);
    pnx_status status = ask(fd, NULL, index, ret, err);
    if (status != PNX_OK)
        return status;
    identify(fd, ret, found);
    if (strcmp(found, identity) != 0)
        return pnx_fail(err, PNX_ENOTFOUND, "the link number %d is another one", index);
    return PNX_OK;
}

static pnx_status still_link(const char *name, const char *identity, pnx_error *err)
{
    struct network_link link = {0};
    int fd = -1;
    pnx_status status = open_socket(&fd, err);
    if (status != PNX_OK)
        return status;
    status = ask_identity(fd, identity, &link, err);
    pnx__close(fd);
    return status;
}

/* ---- listing --------------------------------------------------------------------------------- */

struct listing {
    pnx_thing_visit_fn visit;
    void *context;
    int fd;
};

static bool list_one(const struct nlmsghdr *message, void *context)
{
    const struct listing *listing = context;
    struct network_link link = {0};
    char identity[IDENTITY_MAX], address[3 * sizeof link.address + 1] = "";
    if (!read_link(message, &link) || !link.sort[0])
        return true;
    identify(listing->fd, &link, identity);
    for (unsigned i = 0; i < link.address_size; i++)
        snprintf(address + 3 * i - (i > 0), 4, "%s%02x", i ? ":" : "", link.address[i]);
    pnx_thing_info info = {
        .name = link.name,
        .identity = identity,
        .type = link.sort,
        .detail = address[0] ? address : NULL,
        .owner = -1,
    };
    return listing->visit(&info, listing->context);
}

static pnx_status list_links(pnx_thing_visit_fn visit, void *context, pnx_error *err)
{
    struct listing listing = {.visit = visit, .context = context};
    struct pnx__netlink_request request;
    pnx_status status = open_socket(&listing.fd, err);
    if (status != PNX_OK)
        return status;
    pnx__netlink_begin(&request, RTM_GETLINK, NLM_F_DUMP);
    pnx__netlink_number(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    if (!pnx__netlink_ask(listing.fd, &request, list_one, &listing))
        status = pnx_fail(err, PNX_EFAILED, "cannot list the links: %m");
    pnx__close(listing.fd);
    return status;
}

/* ---- removing -------------------------------------------------------------------------------- */

static pnx_status remove_link(const char *name, const char *identity, pnx_time deadline,
                              pnx_error *err)
{
    struct pnx__netlink_request request;
    struct network_link link = {0};
    int fd = -1;
    pnx_status status = open_socket(&fd, err);
    if (status != PNX_OK)
        return status;
    status = ask_identity(fd, identity, &link, err);
    if (status == PNX_OK) {
        pnx__netlink_begin(&request, RTM_DELLINK, NLM_F_ACK);
        request.link.ifi_index = link.number; /* never by name: that may be another one's by now */
        if (!pnx__netlink_ask(fd, &request, NULL, NULL))
            status = errno == ENODEV ? PNX_EALREADY
                     : errno == EBUSY
                         ? pnx_fail(err, PNX_EBUSY, "the link '%s' is in use", name)
                         : pnx_fail(err, PNX_EFAILED, "cannot remove the link '%s': %m", name);
    }
    pnx__close(fd);
    return status == PNX_ENOTFOUND ? PNX_EALREADY : status;
}

/* ---- making ---------------------------------------------------------------------------------- */

static void put_together(struct pnx__netlink_request *request, const char *name, const char *type,
                         const char *peer)
{
    pnx__netlink_begin(request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
    pnx__netlink_text(request, IFLA_IFNAME, name);
    size_t info = pnx__netlink_nest(request, IFLA_LINKINFO);
    pnx__netlink_text(request, IFLA_INFO_KIND, type);
    if (peer) {
        size_t data = pnx__netlink_nest(request, IFLA_INFO_DATA);
        size_t other = pnx__netlink_nest(request, VETH_INFO_PEER);
        (void)pnx__netlink_room(request, sizeof(struct ifinfomsg));
        pnx__netlink_text(request, IFLA_IFNAME, peer);
        pnx__netlink_end(request, other);
        pnx__netlink_end(request, data);
    }
    pnx__netlink_end(request, info);
}

/* Asked before the intent is written: a name that is taken never gets into a ledger as ours. */
static pnx_status expect_free(const char *name, pnx_error *err)
{
    if (if_nametoindex(name) != 0)
        errno = EEXIST;
    else if (errno == ENODEV)
        return PNX_OK;
    return pnx_fail(err, PNX_EFAILED, "cannot create the link '%s': %m", name);
}

pnx_status pnx_link_create(const char *name, const char *type, const char *peer,
                           const pnx_keeper *keeper, pnx_thing **ret, pnx_error *err)
{
    if (!is_name(name) || (peer && !is_name(peer)))
        return pnx_fail(err, PNX_EINVAL,
                        "'%s' is not a name for a link: 1 to 15 bytes but blanks, '/', ':', '%%'",
                        peer && is_name(name) ? peer : name);
    if (!*type || strlen(type) >= SORT_MAX || (peer != NULL) != (strcmp(type, "veth") == 0))
        return pnx_fail(err, PNX_EINVAL, "'%s' is not a sort of link, or only a veth has a peer",
                        type);
    struct pnx__netlink_request request;
    pnx_thing *thing = NULL;
    int fd = -1;
    pnx_status status = open_socket(&fd, err);
    if (status != PNX_OK)
        return status;
    status = expect_free(name, err);
    if (status == PNX_OK)
        status = pnx_thing_intend(&pnx__thing_link, name, keeper, &thing, err);
    if (status == PNX_OK) {
        put_together(&request, name, type, peer);
        if (!pnx__netlink_ask(fd, &request, NULL, NULL)) {
            status = pnx_fail(err, errno == EOPNOTSUPP ? PNX_EUNSUPPORTED : PNX_EFAILED,
                              "cannot create the link '%s' of the sort '%s': %m", name, type);
            pnx_thing_unmade(thing);
        } else {
            status = pnx_thing_made(thing, err);
        }
    }
    pnx__close(fd);
    if (status == PNX_OK)
        *ret = thing;
    return status;
}

const pnx_thing_kind pnx__thing_link = {
    .name = "link",
    .kind = &pnx_kind_link,
    .code = PNX__CODE_LINK,
    .order = PNX_ORDER_NET,
    .find = find_link,
    .remove = remove_link,
    .list = list_links,
    .still = still_link,
};

const pnx_kind pnx_kind_link = {PNX__THING_GUARD("link"), .retries = 2, .retry_delay = PNX_MS(20)};
