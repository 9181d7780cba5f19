/* SPDX-License-Identifier: MIT */
/** @file arena.h  Memory of one owner, freed together. */
#ifndef CLEANROOM_ENVIRONMENT_ARENA_H
#define CLEANROOM_ENVIRONMENT_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/** Zeroed: it is empty. One thread at a time. */
struct pnx__arena {
    struct pnx__arena_block *blocks;
    bool failed; /* memory was short once; what was asked for then is NULL */
};

/** Zeroed memory. */
void *pnx__arena_take(struct pnx__arena *arena, size_t size);
/** Copies; NULL stays NULL. */
const char *pnx__arena_text(struct pnx__arena *arena, const char *text);
const char *const *pnx__arena_texts(struct pnx__arena *arena, const char *const *texts);
const char *pnx__arena_format(struct pnx__arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void pnx__arena_free(struct pnx__arena *arena);

#endif
