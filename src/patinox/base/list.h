/* SPDX-License-Identifier: MIT */
/**
 * @file list.h
 * A doubly-linked list whose links lie inside the things that it lists: nothing is allocated,
 * nothing fails, and adding and removing take constant time.
 *
 * A list is a ring through its head, so that there are no special cases. A node that is in no list
 * points to itself, and removing it again does nothing. Not thread-safe: a list belongs to its
 * owner's lock.
 */
#ifndef PNX_BASE_LIST_H
#define PNX_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct pnx__list {
    struct pnx__list *next;
    struct pnx__list *previous;
} pnx__list;

/** Initialises a head to an empty list, or a node to being in no list. */
static inline void pnx__list_init(pnx__list *list)
{
    list->next = list;
    list->previous = list;
}

/** Is the list of this head empty? Of a node: is it in no list? */
static inline bool pnx__list_empty(const pnx__list *list)
{
    return list->next == list;
}

static inline void pnx__list_link(pnx__list *node, pnx__list *previous, pnx__list *next)
{
    node->previous = previous;
    node->next = next;
    previous->next = node;
    next->previous = node;
}

/** `node` must be in no list, or uninitialised. */
static inline void pnx__list_push_front(pnx__list *head, pnx__list *node)
{
    pnx__list_link(node, head, head->next);
}

/** `node` must be in no list, or uninitialised. */
static inline void pnx__list_push_back(pnx__list *head, pnx__list *node)
{
    pnx__list_link(node, head->previous, head);
}

/** Takes an initialised node out of whatever list it is in, if any. */
static inline void pnx__list_remove(pnx__list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    pnx__list_init(node);
}

/** Takes the first node out and returns it; NULL when the list is empty. */
static inline pnx__list *pnx__list_pop_front(pnx__list *head)
{
    if (pnx__list_empty(head)) {
        return NULL;
    }
    pnx__list *node = head->next;
    pnx__list_remove(node);
    return node;
}

/** Moves everything in `from` behind what is in `into`, in order; `from` is empty afterwards. */
static inline void pnx__list_append(pnx__list *into, pnx__list *from)
{
    if (pnx__list_empty(from)) {
        return;
    }
    into->previous->next = from->next;
    from->next->previous = into->previous;
    from->previous->next = into;
    into->previous = from->previous;
    pnx__list_init(from);
}

/** The structure of `type` that `pointer` is the member `member` of. */
#define pnx__container_of(pointer, type, member)                                                   \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/** Visits the nodes from front to back. The body must not remove `node`. */
#define pnx__list_foreach(node, head)                                                              \
    for (pnx__list *node = (head)->next; node != (head); node = node->next)

/** Visits the nodes from front to back. The body may remove `node`, but no other. */
#define pnx__list_foreach_safe(node, head)                                                         \
    for (pnx__list *node = (head)->next, *node##_next = node->next; node != (head);                \
         node = node##_next, node##_next = node->next)

#endif
