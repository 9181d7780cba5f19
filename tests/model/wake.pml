/* SPDX-License-Identifier: MIT */
/*
 * wake.pml: inbox, sleep, wake. Producers push, workers sleep on a futex; nobody is forgotten, and
 * nobody is woken while somebody else is looking anyway.
 *
 * The word `idle` (32 bits, changed by CAS or fetch-add only, seq_cst) holds three counts of workers:
 *
 *     scanning  look for work, or run something short and will look again
 *     sleeping  announced that they go to sleep; nobody has called them since
 *     woken     calls that nobody has taken yet; for all others as good as scanning
 *
 * A worker in none of them runs something long, or was demoted while it ran. The rules:
 *
 *  1. Push first, then read `idle` (both seq_cst). Call a sleeper only if scanning + woken = 0.
 *  2. To call is one CAS (sleeping-1, woken+1), then FUTEX_WAKE of one. Calls have no addressee.
 *  3. A worker that announced its sleep gets up only by taking a call (woken-1, scanning+1) or, if
 *     there is none and it found work itself, by taking its word back (sleeping-1, scanning+1).
 *     The workers between announcing and getting up are exactly sleeping + woken, so one of the
 *     two is always possible. Whatever else lets futex_wait return means nothing: look again.
 *  4. Whoever takes 1 from scanning looks for work *afterwards*, and calls a sleeper by rule 1.
 *  5. "Is there work" must never say no while an item is inside, not even behind half a push.
 *
 * Variants, all of them right:
 *   (default)      between announcing and sleeping comes a whole scan under the lock, in which half
 *                  a push counts as nothing: its producer will read `idle` when it has done the rest
 *   RECHECK_EMPTY  instead only "is there work": cheaper, but it spins while a push is half done
 *   WAKE_SEQ       the futex is a counter of calls (default: `idle` itself)
 */

#define WORKERS 2
#ifndef ITEMS
#define ITEMS 3 /* producer 0 pushes one, producer 1 the others */
#endif

/* The inbox as inbox.pml shows it to be: items are numbered in the order of their exchange on the
 * tail. Item i can be popped when its predecessor links to it and it links to its successor. */
byte pushed; /* exchanged the tail */
byte linked; /* a bit for each item: its producer has done the second step, too */
byte popped;
#define has_link(i) (linked & (1 << (i)))
#define can_pop(i) ((i) < pushed && has_link(i) && ((i) + 1 == pushed || has_link((i) + 1)))

bool locked;  /* the dispatch lock */
byte ready;   /* items in the ready queue: changed under the lock, read by anybody */
byte started; /* items that ran */

byte scanning = WORKERS; /* these three are one word: changed only inside one d_step */
byte sleeping;
byte woken;
#define IDLE ((sleeping << 5) | (woken << 3) | scanning)

#ifdef WAKE_SEQ
byte wake_seq;
#define FUTEX wake_seq
#else
#define FUTEX IDLE
#endif
bool waits[WORKERS]; /* is in the kernel's queue of the futex */

mtype = { SCANNING, RUNNING, DEMOTED, AWAY }; /* a worker's role word; only RUNNING is demoted */
mtype role[WORKERS] = SCANNING;
byte hung; /* workers in a release that never returns */

/* FUTEX_WAKE of one: any of those that wait. */
inline futex_wake() {
    atomic {
        if
        :: waits[0] -> waits[0] = false
        :: waits[1] -> waits[1] = false
        :: !waits[0] && !waits[1]
        fi
    }
}

/* pnx__wake_one(): rules 1 and 2. A failed CAS reads and decides again, so the loop is one step. */
inline wake_one() {
#ifdef BUG_NO_CAS
    called = (scanning + woken == 0 && sleeping > 0);
    d_step {
        if
        :: called -> assert(sleeping > 0); sleeping--; woken++
        :: else
        fi
    }
#else
    d_step {
        if
        :: scanning + woken == 0 && sleeping > 0 -> sleeping--; woken++; called = true
        :: else
        fi
    }
#endif
    if
    :: called ->
        called = false;
#ifdef WAKE_SEQ
        wake_seq++;
#endif
        futex_wake()
    :: else
    fi
}

/* pnx__inbox_is_empty(), rule 5: tail and head are both at the stub. The tail alone is there, too,
 * when a pop has put the stub behind a gap (see inbox.pml). */
#ifdef BUG_ONLY_TAIL
byte stub_after;
#define work_in_inbox (popped < pushed && stub_after != pushed)
#else
#define work_in_inbox (popped < pushed)
#endif

/* Items go from the inbox to the ready queue, so that is the order to look in. */
inline look_for_work() {
    if
    :: work_in_inbox -> found = true
    :: else -> found = (ready > 0)
    fi
}

/* pnx__leave_scanning(): rule 4. By a worker before a long run, by the timekeeper in its place. */
inline leave_scanning() {
    d_step { assert(scanning > 0); scanning-- }
#ifndef BUG_LEAVE_UNCHECKED
    look_for_work();
    if
    :: found -> found = false; wake_one()
    :: else
    fi
#endif
}

proctype Producer(byte count) {
    byte item;
    bool called;
    do
    :: count == 0 -> break
    :: else ->
        count--;
#ifdef BUG_WAKE_BEFORE_PUSH
        wake_one();
#endif
        d_step { item = pushed; pushed++ } /* inbox_push(), first step */
#ifdef BUG_WAKE_IN_GAP
        wake_one();
#endif
        d_step { linked = linked | (1 << item); item = 0 } /* second step */
#if !defined(BUG_WAKE_BEFORE_PUSH) && !defined(BUG_WAKE_IN_GAP)
        wake_one()
#endif
    od
}

/* pnx__dispatch(): moves what is in the inbox to the ready queue and takes what is to run next.
 * For a while what was popped can be seen in neither. */
inline dispatch() {
    atomic { !locked -> locked = true }
    d_step {
        do
        :: can_pop(popped) -> popped++; batch++
        :: else -> break
        od;
#ifdef BUG_ONLY_TAIL
        stub_after = pushed
#endif
    }
    atomic {
        ready = ready + batch;
        batch = 0;
        if
        :: ready > 0 -> ready--; found = true
        :: else
        fi;
        locked = false
    }
}

proctype Worker(byte me) {
    byte batch;
    short seen;
    bool called, found;

scan:
    dispatch();
    if
    :: found -> goto run_it
    :: else -> goto park
    fi;

run_it:
    atomic { found = false; started++ }
    if
    :: role[me] = RUNNING /* short: stays among the scanning; the timekeeper sees when it is not */
    :: role[me] = AWAY; /* known to be long, or the last one in sight */
        leave_scanning()
    fi;
    if
    :: d_step { hung < WORKERS - 1 -> hung++ } /* never returns */
end_hung:
        false
    :: d_step { /* CAS RUNNING -> SCANNING; when that fails, I am not counted any more */
            if
            :: role[me] == RUNNING
#ifdef BUG_IGNORE_DEMOTED
            :: role[me] == DEMOTED
#endif
            :: else -> scanning++
            fi;
            role[me] = SCANNING
        }
    fi;
    goto scan;

park:
#ifdef BUG_RECHECK_FIRST
    look_for_work();
    if
    :: found -> found = false; goto scan
    :: else
    fi;
#endif
    atomic { assert(scanning > 0); scanning--; sleeping++ } /* announce */
#if defined(BUG_RECHECK_FIRST) || defined(BUG_NO_RECHECK)
    goto wait;
#elif defined(RECHECK_EMPTY)
    look_for_work();
#else
    dispatch();
#endif
    if
    :: found -> goto get_up
    :: else -> goto wait
    fi;

get_up: /* rule 3, with work in sight */
    atomic {
        if
#ifndef BUG_TAKE_BACK_BLINDLY
        :: woken > 0 -> woken--
#endif
        :: else -> assert(sleeping > 0); sleeping--
        fi;
        scanning++
    }
#ifdef RECHECK_EMPTY
    found = false;
    goto scan;
#else
    goto run_it;
#endif

wait:
#ifdef WAKE_SEQ
#ifndef BUG_SEEN_TOO_LATE
    seen = FUTEX;
#endif
#endif
    atomic { /* rule 3, without: one load tells if there is a call, and is the value to wait on */
        if
        :: woken > 0 -> woken--; scanning++; called = true
        :: else
        fi;
#if !defined(WAKE_SEQ) && !defined(BUG_SEEN_TOO_LATE)
        seen = FUTEX
#endif
    }
    if
    :: called -> called = false; seen = 0; goto scan
    :: else
    fi;
#ifdef BUG_SEEN_TOO_LATE
    seen = FUTEX;
#endif
    atomic { /* futex_wait(): goes to the kernel's queue only while the word is as it was seen */
        if
        :: seen == FUTEX -> waits[me] = true
        :: else
        fi;
        seen = 0;
end_asleep:
        !waits[me]
    }
#ifdef BUG_ANY_WAKE_IS_A_CALL
    atomic { assert(woken > 0); woken--; scanning++ }
    goto scan
#else
    goto wait
#endif
}

/* Gives up scanning for a worker whose run is not that short; too early does no harm. */
active proctype Timekeeper() {
    bool called, found;
end:
    do
    :: d_step { role[0] == RUNNING -> role[0] = DEMOTED }
        leave_scanning()
    :: d_step { role[1] == RUNNING -> role[1] = DEMOTED }
        leave_scanning()
    od
}

/* futex_wait returns without a call, once, at any time. */
active proctype Spurious() { futex_wake() }

init {
    atomic {
        run Producer(1);
        run Producer(ITEMS - 1);
        run Worker(0);
        run Worker(1)
    }
    timeout; /* nothing can move any more */
    assert(started == ITEMS);
    assert(scanning == 0 && woken == 0 && sleeping == WORKERS - hung)
}
