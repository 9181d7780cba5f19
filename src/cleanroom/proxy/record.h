/* SPDX-License-Identifier: MIT */
/**
 * @file record.h
 * What is made through the proxy, in a ledger of its own: a record of kind container, network,
 * volume or image, whose INTENT is "MARK NAME" (the value of the label PNX_LABEL_ID, and the name
 * that was asked for, if any), whose BOUND is the id, of a volume its name, and whose GONE says why
 * nothing of it is left. Any thread.
 */
#ifndef CLEANROOM_PROXY_RECORD_H
#define CLEANROOM_PROXY_RECORD_H

#include <cleanroom/docker.h>

struct pnx__record;

/** Instead of a mark: a volume that a container of the session had for itself; then its id. */
#define PNX__RECORD_ANONYMOUS "anonymous"

/** Makes the ledger, or goes on with that of a proxy of the same session that is dead. */
PNX_MUST_CHECK pnx_status pnx__record_open(const char *path, const char *session,
                                           struct pnx__record **ret, pnx_error *err);
/** NULL is fine. */
void pnx__record_close(struct pnx__record *record);

/** Durable when it returns. All do nothing where `record` is NULL. */
PNX_MUST_CHECK pnx_status pnx__record_intend(struct pnx__record *record, pnx_object_type type,
                                             const char *mark, const char *name,
                                             uint32_t *ret_token, pnx_error *err);
PNX_MUST_CHECK pnx_status pnx__record_bind(struct pnx__record *record, uint32_t token,
                                           const char *id, pnx_error *err);
PNX_MUST_CHECK pnx_status pnx__record_gone(struct pnx__record *record, uint32_t token,
                                           const char *fate, pnx_error *err);

#endif
