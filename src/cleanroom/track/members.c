/* SPDX-License-Identifier: MIT */
#include "track/members.h"

#include <stdint.h>
#include <stdlib.h>

#define FREE 0
#define LEFT (-1)
#define SIZE_MIN_SLOTS 256

/* Pids come in a row: spread them (Fibonacci hashing, Knuth, TAOCP 3, 6.4). */
static size_t slot_of(const struct pnx__members *members, pid_t pid)
{
    return (size_t)(((uint32_t)pid * 2654435769u) & (members->size - 1));
}

static pid_t *find(const struct pnx__members *members, pid_t pid)
{
    if (members->size == 0)
        return NULL;
    for (size_t at = slot_of(members, pid);; at = (at + 1) & (members->size - 1)) {
        if (members->slots[at] == pid)
            return &members->slots[at];
        if (members->slots[at] == FREE)
            return NULL;
    }
}

bool pnx__members_has(const struct pnx__members *members, pid_t pid)
{
    return pid > 0 && find(members, pid) != NULL;
}

static void put(struct pnx__members *members, pid_t pid)
{
    size_t at = slot_of(members, pid);
    while (members->slots[at] > 0)
        at = (at + 1) & (members->size - 1);
    members->used += members->slots[at] == FREE;
    members->slots[at] = pid;
    members->count++;
}

/* Twice the room for those that are there; what left leaves no trace. */
static bool grow(struct pnx__members *members)
{
    size_t size = SIZE_MIN_SLOTS;
    while (size < 4 * members->count)
        size *= 2;
    struct pnx__members grown = {.slots = calloc(size, sizeof *grown.slots), .size = size};
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < members->size; i++)
        if (members->slots[i] > 0)
            put(&grown, members->slots[i]);
    free(members->slots);
    *members = grown;
    return true;
}

bool pnx__members_add(struct pnx__members *members, pid_t pid)
{
    if (pid <= 0 || find(members, pid))
        return true;
    if (members->used + 1 > members->size / 2 && !grow(members))
        return false;
    put(members, pid);
    return true;
}

void pnx__members_remove(struct pnx__members *members, pid_t pid)
{
    pid_t *slot = pid > 0 ? find(members, pid) : NULL;
    if (!slot)
        return;
    *slot = LEFT;
    members->count--;
}

void pnx__members_each(const struct pnx__members *members, void (*visit)(pid_t pid, void *context),
                       void *context)
{
    for (size_t i = 0; i < members->size; i++)
        if (members->slots[i] > 0)
            visit(members->slots[i], context);
}

void pnx__members_done(struct pnx__members *members)
{
    free(members->slots);
    *members = (struct pnx__members){0};
}
