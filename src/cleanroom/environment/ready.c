/* SPDX-License-Identifier: MIT */
/* Waiting until a service is ready. Nothing tells when it is: it is looked at again and again. */
#include "environment/internal.h"

#include "docker/calls.h"

#include <string.h>

/* Pauses between two looks, doubling. A look costs the engine about a millisecond, a command in the
 * container tens of them. */
#define PAUSE_MIN PNX_MS(20)
#define PAUSE_MAX PNX_MS(250)
/* One look takes so long at most: what hangs must not be the last one. */
#define LOOK_WITHIN PNX_S(5)

struct looking {
    pnx_engine *engine;
    const char *container;
    bool completes; /* that it ends with status 0 is as good */
    pnx_duration within;
    struct pnx__limit limit;
    const pnx_call *call;
    uint64_t count;
    char seen[PNX_ERROR_MESSAGE_MAX]; /* what the last look that did not pass has seen */
};

/* ---- one look -------------------------------------------------------------------------------- */

static pnx_status dead(const pnx_check_result *result, pnx_error *err)
{
    return pnx_fail(err, PNX_EFAILED, "it ended with status %d before it was ready%s",
                    result->exit_code, result->oom_killed ? ": it ran out of memory" : "");
}

/* PNX_OK: it was seen; `*ret_passes` says what. An end for which somebody waits is no failure. */
static pnx_status look(struct looking *looking, const pnx_check *check, bool *ret_passes,
                       pnx_error *err)
{
    pnx_check_result result;
    pnx_call call = pnx_call_within(LOOK_WITHIN);
    call.cancel = looking->call->cancel;
    if (looking->limit.deadline < call.deadline)
        call.deadline = looking->limit.deadline;
    looking->count++;
    pnx_status status =
        pnx_check_once(looking->engine, looking->container, check, &call, &result, err);
    if (status == PNX_ETIMEOUT && pnx_monotonic_now() < looking->limit.deadline) {
        *ret_passes = false; /* the engine is slow; it has time left */
        return PNX_OK;
    }
    if (status != PNX_OK)
        return status;
    *ret_passes = result.verdict == PNX_VERDICT_PASSES;
    /* A look that was cut short by the end of all says less than the one before it. */
    bool cut_short = pnx_monotonic_now() >= looking->limit.deadline && looking->seen[0];
    if (!*ret_passes && !cut_short)
        snprintf(looking->seen, sizeof looking->seen, "%s", result.reason);
    if (result.running || *ret_passes)
        return PNX_OK;
    if (looking->completes && result.exit_code == 0)
        *ret_passes = true;
    return *ret_passes ? PNX_OK : dead(&result, err);
}

static pnx_status look_at(struct looking *looking, const pnx_wait *wait, bool *ret_passes,
                          pnx_error *err)
{
    if (wait->type == PNX_WAIT_CHECK)
        return look(looking, &wait->check, ret_passes, err);
    for (size_t i = 0; i < wait->count; i++) {
        pnx_status status = look_at(looking, &wait->of[i], ret_passes, err);
        if (status != PNX_OK || *ret_passes == (wait->type == PNX_WAIT_ANY))
            return status;
    }
    return PNX_OK;
}

/* Without a wait of its own: healthy, if its image or its configuration says what that is. */
static pnx_status look_by_default(struct looking *looking, bool *ret_passes, pnx_error *err)
{
    static const pnx_check healthy = {.type = PNX_CHECK_ENGINE}, runs = {.type = PNX_CHECK_RUNS};
    pnx_error local = {0};
    pnx_status status = look(looking, &healthy, ret_passes, &local);
    if (status == PNX_EUNSUPPORTED)
        return look(looking, &runs, ret_passes, err);
    if (status != PNX_OK && err)
        *err = local;
    return status;
}

/* ---- until it passes ------------------------------------------------------------------------- */

static pnx_status late(const struct looking *looking, pnx_status status, pnx_error *err)
{
    char span[32];
    if (status != PNX_ETIMEOUT)
        return status;
    pnx_span_format(looking->within, span, sizeof span);
    return pnx_fail(err, PNX_ETIMEOUT, "it was not ready within %s%s%s", span,
                    looking->seen[0] ? "; seen last: " : "", looking->seen);
}

static pnx_status wait_for(struct looking *looking, const pnx_wait *ready, pnx_error *err)
{
    pnx_duration pause = PAUSE_MIN;
    looking->limit = pnx__docker_limit_of(looking->engine, looking->call);
    looking->limit.deadline = pnx_time_after(pnx_monotonic_now(), looking->within);
    if (looking->call->deadline && looking->call->deadline < looking->limit.deadline)
        looking->limit.deadline = looking->call->deadline;
    for (;;) {
        bool passes = false;
        pnx_status status =
            ready ? look_at(looking, ready, &passes, err) : look_by_default(looking, &passes, err);
        if (status == PNX_OK && passes)
            return PNX_OK;
        if (status == PNX_OK)
            status = pnx__docker_pause(pause, &looking->limit, err);
        if (status != PNX_OK)
            return late(looking, status, err);
        pause = pause < PAUSE_MAX ? pause * 2 : pause;
    }
}

pnx_status pnx__wait_until_ready(pnx_engine *engine, const char *container, const pnx_wait *ready,
                                 const pnx_call *call, pnx_error *err)
{
    static const pnx_call none;
    struct looking looking = {.engine = engine,
                              .container = container,
                              .within = PNX__READY_WITHIN,
                              .call = call ? call : &none};
    return wait_for(&looking, ready, err);
}

pnx_status pnx__service_wait(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    struct looking looking = {.engine = service->environment->engine,
                              .container = service->id,
                              .completes = service->completes,
                              .within = service->within,
                              .call = call};
    pnx_status status = wait_for(&looking, service->ready, err);
    PNX__COUNT(service->environment, checks, looking.count);
    return status;
}

pnx_status pnx__service_wait_end(pnx_service *service, const pnx_call *call, pnx_error *err)
{
    int code = -1;
    pnx_call until = *call;
    pnx_time deadline = pnx_time_after(pnx_monotonic_now(), service->within);
    if (!until.deadline || deadline < until.deadline)
        until.deadline = deadline;
    pnx_status status =
        pnx_engine_wait(service->environment->engine, service->id, &until, &code, err);
    if (status == PNX_ETIMEOUT)
        return pnx_fail(err, status, "it has not ended in time, and a service waits for that");
    if (status != PNX_OK)
        return status;
    return code == 0 ? PNX_OK
                     : pnx_fail(err, PNX_EFAILED, "it ended with status %d, not with 0", code);
}
