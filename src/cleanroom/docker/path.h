/* SPDX-License-Identifier: MIT */
/** @file path.h  Paths of requests. */
#ifndef CLEANROOM_DOCKER_PATH_H
#define CLEANROOM_DOCKER_PATH_H

#include <patinox/base.h>

struct json_t;

/**
 * Like asprintf(3), but that `%s` is put in with everything escaped that has a meaning in a URL
 * ('/', ':' and what is unreserved stay), `%p` as JSON that is escaped like that, and of all others
 * there is `%u`, `%lld` and `%%`. The caller frees `*ret`. PNX_ENOMEM; PNX_EINVAL: a text is empty
 * or would lead elsewhere in the tree of paths, as ".." does.
 */
pnx_status pnx__docker_path(char **ret, pnx_error *err, const char *format, ...);

#endif
