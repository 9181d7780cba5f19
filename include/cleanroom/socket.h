/* SPDX-License-Identifier: MIT */
/**
 * @file socket.h
 * Sockets, as seen from outside the process. Three of the sorts of thing.h:
 *
 * `socket`    one that is bound to a path. Its name is the absolute path, its identity device,
 *             inode and, where the file system keeps it, time of birth of the file. It is removed
 *             only if that is still a socket of this identity; the last component is never
 *             followed. Listed are those that somebody holds open: what a process left in the file
 *             system when it ended is a file like others, which only a walk finds. Nor are those
 *             listed that were bound to a relative path, whose file is not where the path leads
 *             from here (another mount namespace), or whose file system shows other device
 *             numbers than it has (btrfs).
 * `abstract`  one that has an abstract name: "@" and the name, in which a zero byte is written \0
 *             and a backslash \\.
 * `port`      a TCP port that is listened on, or a UDP port that is bound and not connected:
 *             "tcp 127.0.0.1:8080", "udp [::]:53", "udp 0.0.0.0%eth0:68". What only waits for its
 *             time to be over (TIME_WAIT) is not listed.
 *
 * The identity of the last two is inode and cookie of the socket; the kernel gives no other socket
 * the same cookie until it boots again. Several may share one name. They go with the processes that
 * hold them, so there is nothing to remove and nothing to guard. Only the sockets of our own
 * network namespace are seen.
 *
 * A listing does not say who holds a socket: for that all descriptors of all processes have to be
 * looked at, which costs a hundred times as much. It gives the inode of the socket by which that
 * can be found.
 */
#ifndef CLEANROOM_SOCKET_H
#define CLEANROOM_SOCKET_H

#include <cleanroom/thing.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes a socket of this type (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET; | SOCK_NONBLOCK) and binds
 * it to `path`, which is absolute, free, and at most 107 bytes long. The file is for its owner
 * alone (mode 0600, less the umask). `*ret_fd` is close-on-exec and the caller's, who may pass NULL
 * for none. The caller owns `*ret`: pnx_thing_remove and pnx_thing_free, or a guard.
 * PNX_EINVAL (path or type cannot be); PNX_EFAILED: errno says why, EEXIST: the path is taken, and
 * the keeper was told nothing; PNX_ENOMEM; what the keeper answers. Nothing exists after a failure.
 */
PNX_MUST_CHECK PNX_API pnx_status pnx_socket_bind(const char *path, int type,
                                                  const pnx_keeper *keeper, pnx_thing **ret,
                                                  int *ret_fd, pnx_error *err);

/** Its release removes the file if it is still the same, and verifies that; it closes nothing. */
extern PNX_API const pnx_kind pnx_kind_socket;

/** Who holds a socket. */
typedef struct pnx_socket_owner {
    uint64_t inode; /**< given: as in pnx_thing_info.socket */
    pid_t pid;      /**< found: the process with the smallest pid that has it open; 0: none */
} pnx_socket_owner;

/**
 * Finds who holds these sockets, in one pass over the descriptors of all processes that we may look
 * into, until all are found or `deadline` (CLOCK_MONOTONIC) is reached. Sorts them by inode.
 * Returns how many were found.
 */
PNX_API size_t pnx_socket_owners(pnx_socket_owner *sockets, size_t count, pnx_time deadline);
/** The same in one process: how many of those without an owner it holds. They must be sorted. */
PNX_API size_t pnx_socket_owners_in(pid_t pid, pnx_socket_owner *sockets, size_t count,
                                    pnx_time deadline);

#ifdef __cplusplus
}
#endif

PNX__OFFER_KIND(socket, pnx_thing *);

#endif
