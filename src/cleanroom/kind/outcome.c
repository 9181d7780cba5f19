/* SPDX-License-Identifier: MIT */
#include "kind/outcome.h"

#include <stdio.h>

const char *pnx_fate_name(pnx_fate fate)
{
    static const char *const names[PNX_FATE_COUNT] = {
        [PNX_FATE_HELD] = "held",
        [PNX_FATE_REMOVED] = "removed",
        [PNX_FATE_ALREADY_GONE] = "already gone",
        [PNX_FATE_GONE_LATE] = "gone late",
        [PNX_FATE_FOREIGN] = "foreign",
        [PNX_FATE_STUCK] = "stuck",
        [PNX_FATE_KEPT] = "kept",
    };
    return (unsigned)fate < PNX_FATE_COUNT ? names[fate] : "unknown";
}

void pnx__outcome_attempt(pnx_outcome *outcome, pnx_time began)
{
    outcome->ended = pnx_monotonic_now();
    outcome->attempts++;
    outcome->took += outcome->ended - began;
}

void pnx__outcome_gone(pnx_outcome *outcome, pnx_fate fate)
{
    outcome->fate = fate;
    outcome->verified = true;
    outcome->reason[0] = '\0';
}

pnx_status pnx__outcome_stuck(pnx_outcome *outcome, pnx_fate fate, const pnx_error *err)
{
    outcome->fate = fate;
    outcome->verified = false;
    /* Who reads it knows what thing it is of: the first failure says more than what it led to. */
    const char *reason = err->cause.code ? err->cause.message : err->message;
    snprintf(outcome->reason, sizeof outcome->reason, "%s", reason);
    return err->code;
}

pnx_time pnx__before_deadline(pnx_time deadline)
{
    if (deadline == PNX_FOREVER)
        return deadline;
    pnx_time now = pnx_monotonic_now();
    return deadline - (deadline - now) / 16;
}
