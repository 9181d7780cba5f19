/* SPDX-License-Identifier: MIT */
/*
 * shutdown.pml: shutdown against everybody else (shutdown.c). Two droppers reserve, arm and drop
 * whenever they like: before, during, or long after the shutdown. A release may fail and be tried
 * again; one may hang for ever, or until the shutdown has returned. Deadlines come at any time.
 *
 * Promises:
 *   - shutdown returns, whatever the releases do; before the deadline, if nothing hangs;
 *   - what was armed ends: done, failed, or abandoned and listed, that only after the deadline;
 *   - nothing stays in the inbox for ever, unless a release hangs that a dropper runs inline: then
 *     what it has found in the inbox stays until the next drop;
 *   - when shutdown has returned, no worker begins a release, and what it is still in is listed.
 *
 * The steps:
 *   1. close the intake; queue what is live;
 *   2. wait until queued + running + waiting = 0, or the grace is over;
 *   3. only fallbacks from now on; wait again, until the hard deadline;
 *   4. set INLINE in `idle` (seq_cst), *then* see to it that the workers look once more, and wait
 *      again: who pushed and did not see INLINE is served by them, all others serve themselves. Who
 *      pushed tests INLINE before anything else: a worker that hangs may be counted as scanning;
 *   5. set STOP under the dispatch lock and wake all: no worker picks any more; wait again, for
 *      what workers have picked already;
 *   6. end the timekeeper; it never runs a release, so that it can be joined;
 *   7. if the hard deadline is over: take back what workers have picked and not begun, take out all
 *      that is in the inbox, and abandon both; then abandon what is waiting or running. Else leave
 *      the inbox alone: who dropped what is in there has seen INLINE, and comes for it;
 *   8. join the workers, for a bounded time.
 *
 * Abstracted: sleeping and waking are as wake.pml shows them (a worker sleeps exactly while there
 * is nothing to pop), the inbox is as inbox.pml shows it, and what is done under the dispatch lock
 * is one step. A claim is a CAS from QUEUED, as in claim.pml.
 */

#ifndef WORKERS
#define WORKERS 1
#endif
#define ITEMS 2  /* one for each dropper */
#define PUSHES 3 /* item 0 may fail once, and is then pushed again */
#define NIL 15

mtype = { RESERVED, LIVE, QUEUED, RUNNING, WAITING, DONE, FAILED, ABANDONED };
mtype state[ITEMS] = RESERVED;
bool retried; /* item 0 */
bool listed[ITEMS];
#define is_outstanding(i) (state[i] == QUEUED || state[i] == RUNNING || state[i] == WAITING)
#define quiet (!is_outstanding(0) && !is_outstanding(1)) /* pnx__outstanding() == 0 */

/* the inbox, as in wake.pml */
byte order[PUSHES];
byte pushed, linked, popped;
#define has_link(i) (linked & (1 << (i)))
#define at_end (popped + 1 == pushed)
#define can_pop (popped < pushed && has_link(popped) && (at_end || has_link(popped + 1)))

bool INLINE, STOP; /* in the word `idle`; STOP is set and read under the dispatch lock */
byte busy;         /* workers that run something; may count in `idle` as scanning */

bool intake_closed, only_fallbacks, timekeeper_stop, timekeeper_ended;
bool patient;  /* tried both ways: no deadline ever comes, and nothing hangs */
bool deadline; /* the hard deadline came before all had ended */
bool returned;
bool hung; /* one release hangs */
bool hung_inline;

byte batch[WORKERS] = NIL;      /* picked, and not begun */
byte in_release[WORKERS] = NIL; /* what a worker runs */
bool ended[WORKERS];
#define NO_WORKER WORKERS

/* pnx__inbox_push(), in its two steps. */
inline inbox_push(item) {
    d_step { at = pushed; order[at] = item; pushed++ }
    d_step { linked = linked | (1 << at); at = 0 }
}

/* pnx__run_one(): the claim; got = NIL if it is not QUEUED any more. */
inline claim(who) {
    d_step {
        if
        :: state[got] == QUEUED ->
            state[got] = RUNNING;
            if
            :: who < WORKERS -> assert(!returned); in_release[who] = got
            :: else
            fi
        :: else -> got = NIL
        fi;
        if
        :: who < WORKERS -> batch[who] = NIL
        :: else
        fi
    }
}

/* The release, and pnx__outcome(). */
inline release(who) {
    if
    :: skip
    :: d_step { !hung && !patient -> hung = true; hung_inline = (who == NO_WORKER) }
end_hung_for_long:
        returned
    :: d_step { !hung && !patient -> hung = true; hung_inline = (who == NO_WORKER) }
end_hung_for_ever:
        false
    fi;
    atomic {
        if
        :: state[got] == RUNNING ->
            if
            :: state[got] = DONE
            :: got == 0 && !retried && !only_fallbacks -> retried = true; state[got] = WAITING
            :: only_fallbacks -> state[got] = FAILED
            fi
        :: else /* late */
        fi;
        got = NIL;
        if
        :: who < WORKERS -> in_release[who] = NIL
        :: else
        fi
    }
}

#ifdef BUG_STOP_WHEN_IDLE
#define may_pick true
#else
#define may_pick (!STOP)
#endif

proctype Worker(byte me) {
    byte got = NIL;
    do
    :: atomic { may_pick && can_pop -> got = order[popped]; popped++; batch[me] = got }
        claim(me);
        if
        :: got != NIL -> busy++; release(me); busy--
        :: else
        fi
    :: atomic { STOP && !(may_pick && can_pop) -> break }
    od;
    ended[me] = true
}

/* pnx__drain_inline(). */
inline drain_inline() {
    do
    :: atomic { can_pop -> got = order[popped]; popped++ }
        claim(NO_WORKER);
        if
        :: got != NIL -> release(NO_WORKER)
        :: else
        fi
    :: atomic { !can_pop -> break }
    od
}

/* Reserve, arm, drop. */
proctype Dropper(byte me) {
    byte got = NIL, at;
    if
    :: intake_closed -> goto refused
    :: else
    fi;
    state[me] = LIVE;
    atomic {
        if
        :: state[me] == LIVE -> state[me] = QUEUED
        :: else -> goto refused /* the shutdown has queued it */
        fi
    }
#ifdef BUG_LOOK_BEFORE_PUSH
    if
    :: INLINE -> inbox_push(me); drain_inline()
    :: else -> inbox_push(me)
    fi;
#else
    inbox_push(me);
    if /* pnx__notify() */
#ifdef BUG_SCANNING_FIRST
    :: busy == 0 && INLINE -> drain_inline()
#else
    :: INLINE -> drain_inline()
#endif
    :: else
    fi;
#endif
refused:
    skip
}

/* pnx__retry_due(). */
proctype Timekeeper() {
    byte got = NIL, at;
end:
    do
    :: d_step { state[0] == WAITING -> state[0] = QUEUED }
        inbox_push(0);
#ifdef BUG_TIMEKEEPER_DRAINS
        if
        :: INLINE -> drain_inline()
        :: else
        fi
#endif
    :: timekeeper_stop -> break
    od;
    timekeeper_ended = true
}

inline wait_quiet() { /* pnx__wait_quiet(): true, or the hard deadline is over */
    if
    :: quiet
    :: !patient -> deadline = true
    fi
}

inline abandon(item) {
    if
    :: is_outstanding(item) -> state[item] = ABANDONED; listed[item] = true
    :: else
    fi
}

proctype Shutdown() {
    byte at, i;
    bool queued;

    intake_closed = true; /* 1 */
    do
    :: i < ITEMS ->
        d_step {
            if
            :: state[i] == LIVE -> state[i] = QUEUED; queued = true
            :: else
            fi
        }
        if
        :: queued -> queued = false; inbox_push(i)
        :: else
        fi;
        i++
    :: else -> i = 0; break
    od;

    if /* 2 */
    :: quiet
    :: !patient
    fi;
    only_fallbacks = true; /* 3 */
    wait_quiet();

#ifndef BUG_NO_INLINE
    INLINE = true; /* 4 */
#endif
#ifndef BUG_NO_WAIT_BEFORE_STOP
    wait_quiet();
#endif
    STOP = true; /* 5 */
#ifndef BUG_NO_WAIT_AFTER_STOP
    wait_quiet();
#endif
    timekeeper_stop = true; /* 6 */
    timekeeper_ended;

#ifdef BUG_ABANDON_ALWAYS
    deadline = true;
#endif
    if /* 7 */
    :: deadline ->
#ifndef BUG_BATCH_NOT_TAKEN_BACK
        do
        :: i < WORKERS ->
            d_step {
                if
                :: batch[i] != NIL -> abandon(batch[i])
                :: else
                fi;
                i++
            }
        :: else -> i = 0; break
        od;
#endif
#ifndef BUG_INBOX_NOT_EMPTIED
        do
        :: d_step { can_pop -> abandon(order[popped]); popped++ }
        :: atomic { !can_pop -> break } /* behind half a push: its dropper will come for it */
        od;
#endif
        do
        :: i < ITEMS ->
            d_step {
                if
                :: state[i] == RUNNING || state[i] == WAITING -> abandon(i)
                :: else
                fi;
                i++
            }
        :: else -> i = 0; break
        od
    :: else
    fi;
    atomic { /* 8: pnx__report_fill() comes first, so that all is listed by now */
        do
        :: i < WORKERS ->
            assert(in_release[i] == NIL || listed[in_release[i]]);
            i++
        :: else -> break
        od;
        returned = true
    }
}

init {
    byte i;
    atomic {
        if
        :: patient = true
        :: skip
        fi;
        run Dropper(0);
        run Dropper(1);
        do
        :: i < WORKERS -> run Worker(i); i++
        :: else -> i = 0; break
        od;
        run Timekeeper();
        run Shutdown()
    }
    timeout; /* nothing can move any more */
    assert(returned);
    assert(popped == pushed || hung_inline);
    do
    :: i < ITEMS ->
        assert(state[i] != LIVE && state[i] != WAITING);
        assert((state[i] != QUEUED && state[i] != RUNNING) || hung_inline);
        assert(state[i] != ABANDONED || (listed[i] && deadline && !patient));
        i++
    :: else -> i = 0; break
    od;
    do
    :: i < WORKERS -> assert(ended[i] || in_release[i] != NIL); i++
    :: else -> break
    od
}
