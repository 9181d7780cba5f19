/* SPDX-License-Identifier: MIT */
/**
 * @file netns.h
 * Networks that programs make: `netns` (named network namespaces) and `link` (network interfaces
 * that are nothing but software) among the sorts of thing.h.
 *
 * A named namespace is what `ip netns add NAME` makes: a file /run/netns/NAME on which the
 * namespace is mounted. It is known by the inode of the namespace, the time at which that inode
 * came to be, and, since Linux 6.8, the number of the mount. Removal takes the name away; the
 * namespace goes with its last user, and the outcome says who still is in it. A file without a
 * namespace on it, which a maker leaves that is killed half-way, is listed and removed like one
 * (type "placeholder").
 *
 * A link is known by its number, which is not given again, its sort, and the network namespace that
 * it is in; its name and its address may change. It is looked for in the namespace of the calling
 * thread only. What has no sort (the loopback interface, network cards) or belongs to a bus is
 * never listed and never removed. With one end of a veth pair goes the other.
 *
 * Not promised: a number that was given on purpose (`ip link add … index N`) can be that of a
 * former link.
 */
#ifndef CLEANROOM_NETNS_H
#define CLEANROOM_NETNS_H

#include <cleanroom/thing.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes a network namespace with the name `name`, one component, like ip-netns(8). Its loopback
 * interface is down. The caller owns `*ret`: pnx_thing_remove and pnx_thing_free, or a guard.
 * PNX_EINVAL (name); PNX_EFAILED: errno says why, EEXIST: the name is taken, and the keeper was
 * told nothing; PNX_ENOMEM; what the keeper answers. Nothing exists after a failure.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_netns_create(const char *name, const pnx_keeper *keeper,
                                                   pnx_thing **ret, pnx_error *err);

/**
 * Makes a link `name` of the sort `type` ("dummy", "bridge", "veth", or another that needs no more
 * than a name) in the network namespace of the calling thread. `peer`: the name of the other end of
 * a veth pair; NULL otherwise. It is down. Errors as above; PNX_EUNSUPPORTED: the kernel has no
 * such sort.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_link_create(const char *name, const char *type,
                                                  const char *peer, const pnx_keeper *keeper,
                                                  pnx_thing **ret, pnx_error *err);

/** Their release removes them if they are still the same, and verifies that. */
extern PNX_API const pnx_kind pnx_kind_netns;
extern PNX_API const pnx_kind pnx_kind_link;

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(netns, pnx_thing *);
PNX__OFFER_KIND(link, pnx_thing *);

#endif
