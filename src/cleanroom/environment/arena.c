/* SPDX-License-Identifier: MIT */
#include "environment/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pnx__arena_block {
    struct pnx__arena_block *next;
    max_align_t data[];
};

void *pnx__arena_take(struct pnx__arena *arena, size_t size)
{
    struct pnx__arena_block *block = calloc(1, sizeof *block + size);
    if (!block) {
        arena->failed = true;
        return NULL;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    return block->data;
}

const char *pnx__arena_text(struct pnx__arena *arena, const char *text)
{
    char *copy = text ? pnx__arena_take(arena, strlen(text) + 1) : NULL;
    return copy ? strcpy(copy, text) : NULL; /* NOLINT: it has exactly this size */
}

const char *const *pnx__arena_texts(struct pnx__arena *arena, const char *const *texts)
{
    size_t count = 0;
    if (!texts)
        return NULL;
    while (texts[count])
        count++;
    const char **copy = pnx__arena_take(arena, (count + 1) * sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = pnx__arena_text(arena, texts[i]);
    return copy;
}

const char *pnx__arena_format(struct pnx__arena *arena, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0) {
        arena->failed = true;
        return NULL;
    }
    const char *copy = pnx__arena_text(arena, text);
    free(text);
    return copy;
}

void pnx__arena_free(struct pnx__arena *arena)
{
    for (struct pnx__arena_block *block; (block = arena->blocks);) {
        arena->blocks = block->next;
        free(block);
    }
}
