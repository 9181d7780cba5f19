/* SPDX-License-Identifier: MIT */
/** @file outcome.h  How the kinds fill in a pnx_outcome. */
#ifndef CLEANROOM_KIND_OUTCOME_H
#define CLEANROOM_KIND_OUTCOME_H

#include <cleanroom/outcome.h>

/** An attempt that began at `began` has ended now. */
void pnx__outcome_attempt(pnx_outcome *outcome, pnx_time began);
/** It is gone, and was seen to be. */
void pnx__outcome_gone(pnx_outcome *outcome, pnx_fate fate);
/** It is still there, `err` says why; returns the code of `err`. */
pnx_status pnx__outcome_stuck(pnx_outcome *outcome, pnx_fate fate, const pnx_error *err);

/** A little earlier than `deadline`: a release that stops then is not declared late. */
pnx_time pnx__before_deadline(pnx_time deadline);

#endif
