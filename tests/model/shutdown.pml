/* SPDX-License-Identifier: MIT */
/*
 * shutdown.pml: shutdown against everybody else. Two droppers reserve, arm and drop whenever they
 * like: before, during, or long after the shutdown. A release may fail and be tried again; one may
 * hang for ever, or until the shutdown has returned. The deadlines may come at any time.
 *
 * Promises:
 *   - shutdown returns, whatever the releases do; before the deadline, if nothing hangs;
 *   - what was armed ends: done, failed, or abandoned and listed; abandoned only after the deadline;
 *   - nothing stays in the inbox for ever, no matter what hangs;
 *   - when shutdown has returned, each worker has ended, or is in a release that is listed.
 *
 * The steps of pnx_registry_shutdown():
 *   1. close the intake; queue what is live;
 *   2. wait until queued + running + waiting = 0, or the grace is over;
 *   3. only fallbacks from now on; wait again, until the hard deadline;
 *   4. set INLINE in `idle` (seq_cst), *then* see to it that the workers look once more, and wait
 *      again: who pushed and did not see INLINE is served by them, all others serve themselves;
 *   5. set STOP under the dispatch lock and wake all: nobody takes anything out to run it any more;
 *      wait again: a worker may have something in its hands;
 *   6. end the timekeeper; it never runs a release, so that it can be joined;
 *   7. when the hard deadline is over: abandon by CAS all that is queued, running or waiting, found
 *      in the table, not in the inbox;
 *   8. take out of the inbox what is not queued any more;
 *   9. join the workers that run nothing; the others are listed.
 *
 * Abstracted: sleeping and waking are as wake.pml shows them (a worker sleeps exactly while there is
 * nothing to pop), the inbox is as inbox.pml shows it, and what is done under the dispatch lock is
 * one step. Claims are as claim.pml shows them: LINKED keeps a slot until its link is out.
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
#define quiet (!is_outstanding(0) && !is_outstanding(1))

/* the inbox, as in wake.pml */
byte order[PUSHES];
byte pushed, linked, popped;
#define has_link(i) (linked & (1 << (i)))
#define at_end (popped + 1 == pushed)
#define can_pop (popped < pushed && has_link(popped) && (at_end || has_link(popped + 1)))

bool INLINE, STOP; /* in the word `idle`; STOP is set and read under the dispatch lock */
byte busy;         /* workers that are in a release; counted in `idle` as scanning */

bool intake_closed, only_fallbacks, timekeeper_stop, timekeeper_ended;
bool patient;  /* tried both ways: no deadline ever comes, and nothing hangs */
bool deadline; /* the hard deadline came before all had ended */
bool returned;
byte run_word[WORKERS] = NIL; /* what a worker runs */
bool ended[WORKERS];

bool hung;                      /* one release hangs */
byte in_release[WORKERS] = NIL; /* what is really so, for the assertions */
#define INLINE_RUN WORKERS      /* in place of a worker's number */

/* inbox_push(), in its two steps. */
inline inbox_push(item) {
    d_step { at = pushed; order[at] = item; pushed++ }
    d_step { linked = linked | (1 << at); at = 0 }
}

/* pnx__run_one(): the claim; got = NIL if it was not QUEUED any more. */
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
        fi
    }
}

/* The release, and its outcome by CAS. */
inline release(who) {
    if
    :: skip
    :: d_step { !hung && !patient -> hung = true }
end_hung_for_long:
        returned
    :: d_step { !hung && !patient -> hung = true }
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

proctype Worker(byte me) {
    byte got = NIL;
    do
    :: atomic { !STOP && can_pop -> got = order[popped]; popped++ } /* pnx__pick() */
#ifdef BUG_CLAIM_BEFORE_TOLD
        claim(me);
        run_word[me] = got;
#else
        run_word[me] = got; /* before the claim: whoever abandons what I claimed sees it in step 9 */
        claim(me);
#endif
        if
        :: got != NIL -> busy++; release(me); busy--
        :: else
        fi;
        run_word[me] = NIL
    :: STOP -> break
    od;
    ended[me] = true
}

/* Takes out what was claimed or abandoned in the inbox, up to the first that is QUEUED: whoever pushed
 * that will come here, too. In one hold of the lock. */
inline let_go() {
#ifndef BUG_NOT_LET_GO
    d_step {
        do
        :: can_pop && state[order[popped]] != QUEUED -> popped++
        :: else -> break
        od
    }
#else
    skip
#endif
}

/* INLINE: I run what I pushed, and only that, so that I cannot hang in something else with mine still
 * to do. */
inline run_inline(item) {
#ifdef BUG_RUN_ALL_INLINE
    do
    :: atomic { can_pop -> got = order[popped]; popped++ }
        claim(INLINE_RUN);
        if
        :: got != NIL -> release(INLINE_RUN)
        :: else
        fi
    :: atomic { !can_pop -> break }
    od
#else
    got = item;
    claim(INLINE_RUN);
    let_go();
    if
    :: got != NIL -> release(INLINE_RUN)
    :: else
    fi
#endif
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
    :: INLINE -> inbox_push(me); run_inline(me)
    :: else -> inbox_push(me)
    fi;
#else
    inbox_push(me);
    if /* pnx__notify() */
#ifdef BUG_SCANNING_FIRST
    :: busy == 0 && INLINE -> run_inline(me)
#else
    :: INLINE -> run_inline(me)
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
#ifdef BUG_TIMEKEEPER_RUNS
        if
        :: INLINE -> run_inline(0)
        :: else
        fi
#endif
    :: timekeeper_stop -> break
    od;
    timekeeper_ended = true
}

inline wait_quiet() {
    if
    :: quiet
    :: !patient -> deadline = true
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
    INLINE = true; /* 4: atomic_fetch_or, seq_cst */
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

#ifndef BUG_NO_ABANDON
    do /* 7 */
    :: deadline && i < ITEMS ->
        d_step {
            if
            :: is_outstanding(i) -> state[i] = ABANDONED; listed[i] = true
            :: else
            fi;
            i++
        }
    :: else -> i = 0; break
    od;
#endif
    let_go(); /* 8 */
    do /* 9 */
    :: i < WORKERS ->
        if
        :: run_word[i] != NIL /* not joined: what it runs is listed */
        :: else -> ended[i] /* pthread_join() */
        fi;
        i++
    :: else -> i = 0; break
    od;
    atomic {
        returned = true;
        do
        :: i < WORKERS ->
            assert(ended[i] || in_release[i] == NIL || listed[in_release[i]]);
            i++
        :: else -> i = 0; break
        od
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
    assert(popped == pushed);
    do
    :: i < ITEMS ->
        assert(state[i] != LIVE && state[i] != QUEUED && state[i] != WAITING);
        assert(state[i] != RUNNING || hung); /* inline, after the shutdown */
        assert(state[i] != ABANDONED || (listed[i] && deadline));
        i++
    :: else -> break
    od
}
