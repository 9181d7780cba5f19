/* SPDX-License-Identifier: MIT */
/*
 * inbox.pml: the inbox itself, Vyukov's intrusive queue: many producers, and one consumer at a time
 * (under the dispatch lock), step by step as the C code has it. The other models take from here:
 *
 *   - each item comes out once, and the items of one producer in their order;
 *   - a pop that gives nothing though something is inside: a push is half done, or its second step
 *     was done during the pop. Its producer will read `idle` after that;
 *   - `tail == &stub && head == &stub`, read in this order with or without the lock, says "empty"
 *     while an item is inside only if it was pushed since, or a consumer is at it, who will look
 *     again. `tail == &stub` alone says so with items inside and nobody at them: BUG_ONLY_TAIL.
 */

#ifndef ITEMS
#define ITEMS 3 /* producer 0 pushes the first, producer 1 the others */
#endif
#define ALL ((1 << (ITEMS + 1)) - 2) /* bits 1 .. ITEMS */
#define STUB 0
#define NIL 15

byte next[ITEMS + 1] = NIL;
byte tail = STUB; /* shared */
byte head = STUB; /* written under the lock, read by anybody */
bool locked;

/* What is really so, for the assertions. */
byte pushed;      /* a bit for each item that was exchanged with the tail */
byte popped;      /* a bit for each item that came out */
byte gaps;        /* producers between the two steps of a push */
bool gap_closed;  /* a producer did a second step since the pop began */

/* inbox_push(): wait-free; between its two steps the queue ends at the gap. */
inline inbox_push(node) {
    next[node] = NIL;
    d_step { /* atomic_exchange(&tail, node), seq_cst */
        previous = tail;
        tail = node;
        if
        :: node != STUB -> pushed = pushed | (1 << node); gaps++
        :: else
        fi
    }
    d_step { /* atomic_store(&previous->next, node), seq_cst */
        assert(!(popped & (1 << previous))); /* never into an item that has an owner again */
        next[previous] = node;
        previous = STUB;
        if
        :: node != STUB -> gaps--; gap_closed = true
        :: else
        fi
    }
}

/* inbox_pop(): under the lock; NIL when it is empty, or a gap is right here. */
inline inbox_pop() {
    d_step { at = head; after = next[at] }
    if
    :: at == STUB && after != NIL -> d_step { head = after; at = after; after = next[at] }
    :: else
    fi;
    if
    :: at != STUB && after != NIL -> d_step { head = after; got = at }
    :: at != STUB && after == NIL ->
        if
        :: tail == at -> /* the last one: it can only go when something comes after it */
#ifdef BUG_NO_STUB
            atomic { head = STUB; next[STUB] = NIL; tail = STUB; got = at }
#else
            inbox_push(STUB);
            d_step {
                after = next[at];
                if
                :: after != NIL -> head = after; got = at
                :: else
                fi
            }
#endif
        :: else
        fi
    :: else
    fi
}

proctype Producer(byte first, last) {
    byte previous;
    do
    :: first > last -> break
    :: else -> inbox_push(first); first++
    od
}

proctype Consumer() {
    byte previous, at, after, got = NIL;
    do
    :: popped == ALL -> break
    :: else ->
#ifndef BUG_NO_LOCK
        atomic { !locked -> locked = true }
#endif
        gap_closed = false;
        inbox_pop();
        atomic {
            if
            :: got == NIL -> assert(pushed == popped || gaps > 0 || gap_closed)
            :: else ->
                assert(!(popped & (1 << got))); /* once */
                assert(got <= 2 || (popped & (1 << (got - 1)))); /* in order */
                popped = popped | (1 << got)
            fi;
            at = 0; after = 0; got = NIL;
            locked = false
        }
    od
}

/* inbox_is_empty(), as who leaves scanning asks it, at any time. */
active proctype Observer() {
    byte inside, seen;
    atomic { inside = pushed & ~popped; seen = tail }
#ifdef BUG_ONLY_TAIL
    if
    :: seen == STUB -> assert(!(inside & ~popped) || locked)
    :: else
    fi
#else
    if
    :: seen == STUB && head == STUB -> assert(!(inside & ~popped) || locked)
    :: else
    fi
#endif
}

init {
    atomic {
        run Producer(1, 1);
        run Producer(2, ITEMS);
        run Consumer();
        run Consumer()
    }
}
