/* SPDX-License-Identifier: MIT */
/* What the files of this room share. */
#ifndef PATINOX_UV_LOOP_H
#define PATINOX_UV_LOOP_H

#include <patinox/uv.h>
#include <stdatomic.h>
#include <uv.h>

enum pnx__uv_state {
    PNX__UV_OPEN,
    PNX__UV_DRAINING,
    PNX__UV_CLOSING,
};

struct pnx_uv {
    pnx_registry *registry;
    uv_loop_t *loop;
    uv_async_t async;
    uv_timer_t timer;       /* never keeps the loop alive; the async does that for both */
    _Atomic(void *) thread; /* names the loop's thread; NULL until the first turn */
    _Atomic uint32_t gate;  /* calls of `wake` that are inside, and whether more may come in */
    enum pnx__uv_state state;
    unsigned open_handles; /* CLOSING: not closed yet */
    unsigned works;        /* requests in libuv's pool */

    /* From pnx_uv_close on. */
    pnx_shutdown_options options;
    pnx_uv_closed_fn closed;
    void *closed_context;
    pnx_time begin, grace_over;
    uint64_t leaked, done_before;
    bool forked; /* this is a child of the process whose registry it is */
    pnx_report report;
    pnx_status status;
};

/* The one whose registry this thread steps right now. */
extern _Thread_local pnx_uv *pnx__uv_turning;

/* DRAINING: nothing is left or the grace is over, and the rest has been set going. */
bool pnx__uv_drained(pnx_uv *uv);
/* On the loop's thread: a request has come back from the pool. */
void pnx__uv_work_ended(pnx_uv *uv);

#endif
