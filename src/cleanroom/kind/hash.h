/* SPDX-License-Identifier: MIT */
/**
 * @file hash.h
 * FNV-1a of 64 bits, http://www.isthe.com/chongo/tech/comp/fnv: short, and good enough where nobody
 * gains by a collision. Identities of mounts carry it: its values may not change.
 */
#ifndef CLEANROOM_KIND_HASH_H
#define CLEANROOM_KIND_HASH_H

#include <stdint.h>

#define PNX__HASH_START 0xcbf29ce484222325u

/** A number in one step; a byte is the step of the algorithm itself. */
static inline uint64_t pnx__hash_number(uint64_t hash, uint64_t number)
{
    return (hash ^ number) * 0x100000001b3u;
}

/** Without its end: two texts in a row need a separator of the caller's. */
static inline uint64_t pnx__hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = pnx__hash_number(hash, (unsigned char)*text);
    return hash;
}

#endif
