/* SPDX-License-Identifier: MIT */
/**
 * @file flat_json.h
 * One JSON object without objects and arrays in it, as our own helpers write, one a line. So the
 * tool needs no library for it, which it would have to load in every run.
 */
#ifndef CLEANROOM_SESSION_FLAT_JSON_H
#define CLEANROOM_SESSION_FLAT_JSON_H

#include <stdbool.h>
#include <stddef.h>

/** Members that are taken; more are an error. */
#define PNX__FLAT_MAX 24

struct pnx__flat {
    char *text; /* the caller's, changed in place */
    size_t count;
    struct {
        const char *key, *value; /* UTF-8; numbers, true, false and null as they are written */
    } members[PNX__FLAT_MAX];
};

/** Reads `text` in place. False: it is not such an object. */
bool pnx__flat_read(char *text, struct pnx__flat *ret);
/** The value; "": there is none. */
const char *pnx__flat_get(const struct pnx__flat *flat, const char *key);

#endif
