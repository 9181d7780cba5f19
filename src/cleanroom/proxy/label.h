/* SPDX-License-Identifier: MIT */
/** @file label.h  Putting labels into what others ask for. */
#ifndef CLEANROOM_PROXY_LABEL_H
#define CLEANROOM_PROXY_LABEL_H

#include "proxy/route.h"

/**
 * Puts `labels` over those in the JSON object `body`, into `field`, however that is written there:
 * engines do not tell "Labels" from "labels". Where another session has already put labels of its
 * own (a program that uses libcleanroom-docker, a clean room in this one), these stay: their maker
 * knows the thing by them. `ret_mark` is the mark that it carries, `ret_name` what it is to be
 * called. PNX_EINVAL: it is no JSON object, or its labels are none.
 */
PNX_MUST_CHECK pnx_status pnx__label_body(const char *body, size_t size, const char *field,
                                          const struct json_t *labels, struct pnx__bytes *ret,
                                          char ret_mark[PNX_ID_TEXT_SIZE],
                                          struct pnx__bytes *ret_name, pnx_error *err);
/** The same for a build: the parameter "labels" of its target. */
PNX_MUST_CHECK pnx_status pnx__label_build(const char *target, const struct json_t *labels,
                                           struct pnx__bytes *ret, char ret_mark[PNX_ID_TEXT_SIZE],
                                           pnx_error *err);
/** The same for a commit or an import: parameters "changes", one for each label. */
PNX_MUST_CHECK pnx_status pnx__label_changes(const char *target, const struct json_t *labels,
                                             struct pnx__bytes *ret, pnx_error *err);
/** Adds to the parameter "filters" of a list or prune that only this session's things are meant.
 *  PNX_EINVAL: what is there is no filter. */
PNX_MUST_CHECK pnx_status pnx__label_filter(const char *target, const char *session,
                                            struct pnx__bytes *ret, pnx_error *err);

#endif
