/* SPDX-License-Identifier: MIT */
/** @file mqueue.h  The directory that the message queues are files of. */
#ifndef CLEANROOM_KIND_MQUEUE_H
#define CLEANROOM_KIND_MQUEUE_H

/** That of our own IPC namespace, mounted nowhere; to be read. -1, with errno: it cannot be had. */
int pnx__mqueue_open_dir(void);

#endif
