/* SPDX-License-Identifier: MIT */
/** @file query.h  What is asked for: the target of a request, and the parameters in it. */
#ifndef CLEANROOM_PROXY_QUERY_H
#define CLEANROOM_PROXY_QUERY_H

#include "proxy/bytes.h"

#include <patinox/base.h>

/** Takes out %XX (and, if `plus`, '+'); in place or not. False: a zero byte comes out. */
bool pnx__query_decode(const char *text, size_t size, bool plus, struct pnx__bytes *ret);
/** Adds it as a value of a query. */
bool pnx__query_encode(struct pnx__bytes *ret, const char *text);
/** The decoded value of the first parameter of that name in the target; false: there is none. */
bool pnx__query_get(const char *target, const char *name, struct pnx__bytes *ret);
/** The target with that parameter, instead of all that had its name. */
bool pnx__query_set(const char *target, const char *name, const char *value,
                    struct pnx__bytes *ret);
/** The target with one more of them. */
bool pnx__query_add(const char *target, const char *name, const char *value,
                    struct pnx__bytes *ret);

#endif
