/* SPDX-License-Identifier: MIT */
/**
 * @file scan.h
 * Reads a ledger from its first slot to its last, and calls out for every good entry. Reads by
 * pread(2) only: a file that is cut short meanwhile gives less, never SIGBUS.
 */
#ifndef CLEANROOM_LEDGER_SCAN_H
#define CLEANROOM_LEDGER_SCAN_H

#include "ledger/format.h"

/** What was found besides the entries. */
struct pnx__ledger_scan {
    struct pnx__ledger_header header;
    uint64_t records; /* in good entries */
    uint64_t damaged; /* published but not good, or not part of a whole entry */
    uint32_t tail;    /* the slot after the last good entry */
    uint32_t used;    /* the slot after the last one that has anything in it */
    bool torn;        /* something was begun after the last good entry, and not finished */
};

/** `size` is that of the file `fd`, and `path` names it. Statuses as pnx__ledger_load. */
PNX_MUST_CHECK pnx_status pnx__ledger_scan(int fd, uint64_t size, const char *path,
                                           pnx__ledger_visit_fn visit, void *context,
                                           struct pnx__ledger_scan *ret, pnx_error *err);

#endif
