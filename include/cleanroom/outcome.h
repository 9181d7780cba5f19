/* SPDX-License-Identifier: MIT */
/**
 * @file outcome.h
 * What became of one thing outside the process: every release of libcleanroom can tell.
 */
#ifndef CLEANROOM_OUTCOME_H
#define CLEANROOM_OUTCOME_H

#include <patinox/guard.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How the removal of a thing ended. */
typedef enum pnx_fate {
    PNX_FATE_HELD = 0,     /**< nothing was tried yet */
    PNX_FATE_REMOVED,      /**< we ended or removed it */
    PNX_FATE_ALREADY_GONE, /**< it was gone when we came */
    PNX_FATE_GONE_LATE,    /**< it went after its deadline */
    PNX_FATE_FOREIGN,      /**< it is not, or no longer, provably ours: not touched */
    PNX_FATE_STUCK,        /**< it is still there; `reason` says why */
    PNX_FATE_KEPT,         /**< kept on purpose */
    PNX_FATE_COUNT
} pnx_fate;

/** "held", "removed", "already gone", "gone late", "foreign", "stuck", "kept". Never NULL. */
PNX_API const char *pnx_fate_name(pnx_fate fate);

#define PNX_OUTCOME_REASON_MAX PNX_ERROR_MESSAGE_MAX

/** A plain value. Zeroed: nothing was tried yet. */
typedef struct pnx_outcome {
    pnx_fate fate;
    bool verified; /**< gone, and seen to be gone by looking again */
    unsigned attempts;
    pnx_duration took;                   /**< of all attempts, without the pauses between them */
    pnx_time ended;                      /**< of the last attempt, on CLOCK_MONOTONIC */
    uint64_t bytes;                      /**< given back to disk */
    char reason[PNX_OUTCOME_REASON_MAX]; /**< why it is stuck, foreign or kept, or what it took;
                                              may be empty */
} pnx_outcome;

#ifdef __cplusplus
}
#endif

/*
 * A kind that a header offers is defined in the library, so that the header stays C++17: this makes
 * the guard type, and the name under which pnx_reserve and pnx_auto find the kind.
 */
#define PNX__OFFER_KIND(NAME, TYPE)                                                                \
    typedef TYPE NAME##_value;                                                                     \
    PNX__GUARD_TYPE(NAME)                                                                          \
    static const pnx_kind *const NAME##_kind __attribute__((unused)) = &pnx_kind_##NAME

#endif
