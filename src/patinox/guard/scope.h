/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share about scopes: the block behind a handle, its state word, and
 * the chain that gives its entries back. README.md tells the story.
 *
 * A handle leads to its block through an *anchor*, a slot of the registry's (anchor.c). Slots stay
 * where they are and count their uses, so a stale handle is detected; and whoever moves the
 * anchor's word first, the handle or the chain of the outer scope, is the one to end the scope.
 *
 * The state word, a futex
 *
 *     OPEN             its owner's
 *     RUNNING          its chain is on its way down to `floor`; the block is the chain's
 *       + END          … and that is the bottom: the scope is over then
 *       + WAITED       somebody waits for the chain's end on this word
 *     FOLLOWED         the chain of an outer scope goes on when this one is over
 *     ENDED            over: nothing of it is used any more but its memory
 *
 *     from              to                     by
 *     OPEN              RUNNING | …            begin: drop, close, unwind, the outer chain
 *     RUNNING | …       more flags, epoch + 1  begin again: a lower floor, or END
 *     RUNNING           OPEN                   the chain, at its floor, if the epoch is the same
 *     RUNNING | END     ENDED                  the chain, at the bottom
 *     any but ENDED     the same + FOLLOWED    the outer chain, which then waits
 */
#ifndef PATINOX_GUARD_SCOPE_H
#define PATINOX_GUARD_SCOPE_H

#include "registry/internal.h"

#include <patinox/task.h>

enum {
    PNX__SCOPE_RUNNING = 1 << 0,
    PNX__SCOPE_END = 1 << 1,
    PNX__SCOPE_WAITED = 1 << 2,
    PNX__SCOPE_FOLLOWED = 1 << 3,
    PNX__SCOPE_ENDED = 1 << 4,
    PNX__SCOPE_EPOCH = 1 << 8, /* one; counts how often the chain was told something new */
};

/* A resource, or an inner scope. Serial numbers grow from entry to entry, and are what a mark is:
 * entries that are over may be cleared away without moving a mark. */
typedef struct pnx__entry {
    union {
        pnx__slot *slot;
        struct pnx__scope *inner;
    };
    size_t serial;
    uint32_t generation; /* of the slot */
    bool is_scope;
    bool claimed; /* the chain has moved it to QUEUED, and will queue it in its turn */
} pnx__entry;

#define PNX__SCOPE_NAME_SIZE 24

struct pnx__scope {
    pnx__hook hook; /* on the resource whose end the chain waits for; its first member */
    pnx_registry *registry;
    struct pnx__scope *outer;
    pnx_guard anchor;
    pnx_token running;           /* the anchor's, while the chain runs to the end */
    _Atomic uint32_t references; /* of the owner or chain or outer scope, and of each who waits */
    char name[PNX__SCOPE_NAME_SIZE];

    /* The owner's while OPEN, the chain's while RUNNING. Reserved slots for actions lie at the far
     * end of the same memory, and grow towards the entries. */
    pnx__entry *entries;
    size_t count, reserved, room;
    size_t serial;          /* of the next entry */
    struct pnx_task *tasks; /* their memory is kept until the scope ends; the newest first */

    _Atomic uint32_t state;
    _Atomic size_t floor;        /* entries with lower serial numbers stay */
    _Atomic uint32_t turns;      /* see pnx__chain_begin */
    struct pnx__scope *at;       /* chain: the inner scope that it is in, or this one */
    size_t claimed;              /* chain: entries from this serial number on are claimed */
    struct pnx__scope *follower; /* set before FOLLOWED */
    pthread_mutex_t result_lock; /* held for moments: to add a failure, or to leave */
    pnx_scope_result *result;    /* of who waits; result lock */
};

/* The block of a scope that is open, or NULL with the error: no scope, closed, or busy. */
struct pnx__scope *pnx__scope_usable(const pnx_scope *handle, pnx_status *ret_status,
                                     pnx_error *err);
/* Makes room for `count` entries more than there are. PNX_ENOMEM. */
pnx_status pnx__scope_room(struct pnx__scope *scope, size_t count, pnx_error *err);
/* Adds a live resource for which there is room. Never fails. */
void pnx__scope_push(struct pnx__scope *scope, pnx__slot *slot, uint32_t generation);
void pnx__scope_unref(struct pnx__scope *scope);
/* Frees what the scope holds but its block; nothing is in it any more. */
void pnx__scope_empty(struct pnx__scope *scope);

/* anchor.c: PNX_ENOMEM, PNX_ELIMIT, PNX_ESHUTDOWN, PNX_EFORKED. */
pnx_status pnx__anchor_reserve(pnx_guard *anchor, pnx_registry *registry, pnx_error *err);
void pnx__anchor_set(const pnx_guard *anchor, struct pnx__scope *scope);
/* The scope of a handle, if it is open. */
struct pnx__scope *pnx__anchor_scope(const pnx_scope *handle);
/* True for one caller only: the scope is there, and he must end it, after one of the next two. (By
 * the slot: the block may be gone when it is not true.) */
bool pnx__anchor_claim(pnx__slot *slot, uint32_t generation);
/* It ends as a part of its outer one. */
void pnx__anchor_cancel(struct pnx__scope *scope);
/* It ends by itself, and the registry knows of it until `running` is completed. */
void pnx__anchor_run(struct pnx__scope *scope);

/* chain.c: a new scope. */
void pnx__chain_init(struct pnx__scope *scope);
/* Gives back, last in, first out, what has a serial number of `floor` or more, and goes on
 * by itself. With END the scope must have been claimed. Neither fails nor waits nor allocates. */
void pnx__chain_begin(struct pnx__scope *scope, size_t floor, uint32_t flags);
/* The same in this thread, one release after the other: for use from inside a release. What cannot
 * be waited for there is left to the chain: PNX_ETIMEOUT. */
pnx_status pnx__chain_inline(struct pnx__scope *root, size_t floor, uint32_t flags,
                             pnx_time deadline);
/* In a fork child: what the kinds say about forks. The scope is over, its block freed. */
void pnx__chain_in_child(struct pnx__scope *root);

/* task.c: gives up the scope's interest in tasks that were started from serial `floor` on. */
void pnx__tasks_forget(struct pnx__scope *scope, size_t floor);

#endif
