/* SPDX-License-Identifier: MIT */
/** @file tell.h  Lines of JSON for whoever started the proxy. The loop's thread only. */
#ifndef CLEANROOM_PROXY_TELL_H
#define CLEANROOM_PROXY_TELL_H

#include <patinox/base.h>
#include <uv.h>

struct pnx__tell;

/** Writes to `fd`, without ever waiting for who reads there: what is not read is kept, up to a
 *  bound, and then left out, which is told. */
PNX_MUST_CHECK pnx_status pnx__tell_open(uv_loop_t *loop, int fd, struct pnx__tell **ret,
                                         pnx_error *err);
/** Closes its handle in the loop, which must run once more. NULL is fine. */
void pnx__tell_close(struct pnx__tell *tell);
void pnx__tell_done(struct pnx__tell *tell);

/** {"event":"ready", …} */
void pnx__tell_ready(struct pnx__tell *tell, const char *host, const char *engine, unsigned api);
/** {"event":"told","message":…} */
void pnx__tell_message(struct pnx__tell *tell, const char *format, ...) PNX_PRINTF(2, 3);

#endif
