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
 *     Before, it gives back what the worker had picked and not begun.
 *  5. "Is there work" must never say no while an item is inside, not even behind half a push.
 *
 * Variants, all of them right:
 *   RECHECK_SCAN  between announcing and sleeping comes a whole scan under the lock, in which half a
 *                 push counts as nothing: its producer will read `idle` when it has done the rest.
 *                 (default: only "is there work", which makes a worker spin while a push is half done)
 *   TOKENS        calls are counted in a futex word of their own: the caller moves sleeping-1,
 *                 scanning+1, and gives a token then. Who finds work, but sleeping = 0, was called
 *                 by somebody who has not given the token yet, and waits for it.
 */

#define WORKERS 2
#ifndef ITEMS
#define ITEMS 3 /* producer 0 pushes one, producer 1 the others */
#endif
#define BATCH 2 /* how many a worker picks at once */

/* The inbox as inbox.pml shows it to be: items are numbered in the order of their exchange on the
 * tail. Item i can be popped when its predecessor links to it and it links to its successor. */
byte pushed; /* exchanged the tail */
byte linked; /* a bit for each item: its producer has done the second step, too */
byte popped;
#define has_link(i) (linked & (1 << (i)))
#define can_pop(i) ((i) < pushed && has_link(i) && ((i) + 1 == pushed || has_link((i) + 1)))

bool locked;         /* the dispatch lock */
byte ready;          /* items in the ready queue: changed under the lock, read by anybody */
byte started;        /* items that ran */

byte scanning = WORKERS; /* these three are one word: changed only inside one atomic step */
byte sleeping;
#ifdef TOKENS
byte tokens;
#define woken 0
#else
byte woken;
#endif
bool stop; /* a flag in the same word, set under the dispatch lock */
#define IDLE ((stop << 7) | (sleeping << 5) | (woken << 3) | scanning)
bool waits[WORKERS]; /* is in the kernel's queue of the futex */

/* A worker's role word: its role, and how many items of its batch it has not begun. Only RUNNING is
 * demoted; the CAS that does so takes the rest of the batch, too, so that nobody else runs it. */
mtype = { SCANNING, RUNNING, DEMOTED, AWAY };
mtype role[WORKERS] = SCANNING;
byte picked[WORKERS];
byte hung; /* workers in a release that never returns */
byte ended;

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

inline call_sleeper() {
    assert(sleeping > 0);
    sleeping--;
#ifdef TOKENS
    scanning++
#else
    woken++
#endif
}

/* wake_one(): rules 1 and 2. A failed CAS reads and decides again, so the loop is one step. */
inline wake_one() {
#ifdef BUG_NO_CAS
    called = (scanning + woken == 0 && sleeping > 0);
    d_step {
        if
        :: called -> call_sleeper()
        :: else
        fi
    }
#else
    d_step {
        if
        :: scanning + woken == 0 && sleeping > 0 -> call_sleeper(); called = true
        :: else
        fi
    }
#endif
    if
    :: called ->
        called = false;
#ifdef TOKENS
        tokens++;
#endif
        futex_wake()
    :: else
    fi
}

/* inbox_visible(), rule 5: tail and head are both at the stub. The tail alone is there, too, when a
 * pop has put the stub behind a gap (see inbox.pml). */
#ifdef BUG_ONLY_TAIL
byte stub_after;
#define work_in_inbox (popped < pushed && stub_after != pushed)
#else
#define work_in_inbox (popped < pushed)
#endif

/* pnx__work_visible(). Items go from the inbox to the ready queue: that is the order to look in. */
inline look_for_work() {
    if
    :: work_in_inbox -> found = true
    :: else -> found = (ready > 0)
    fi
}

/* pnx__scanning_leave(): rule 4. By a worker before a long run, by the timekeeper in its place;
 * `rest` is what was left of the batch. */
inline leave_scanning() {
    if
    :: rest > 0 ->
        atomic { !locked -> locked = true }
        d_step { ready = ready + rest; rest = 0; locked = false }
    :: else
    fi;
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
        wake_one() /* pnx__notify() */
#endif
    od
}

/* pnx__pick(): moves what is in the inbox to the ready queue, and takes what is to run next. For a
 * while what was popped can be seen in neither. */
inline pick() {
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
        do
        :: !stop && ready > 0 && picked[me] < BATCH -> ready--; picked[me]++; found = true
        :: else -> break
        od;
        locked = false
    }
}

proctype Worker(byte me) {
    byte batch, rest;
    short seen;
    bool called, found;

scan:
    pick();
    if
    :: found -> found = false; goto run_batch
    :: !found && stop -> goto over
    :: else -> goto park
    fi;

run_batch:
    if
    :: atomic { picked[me] == 0 -> goto scan }
    :: atomic { /* short: stays among the scanning; the timekeeper sees when it is not */
            picked[me] > 0 -> picked[me]--;
            role[me] = RUNNING
        }
    :: atomic { /* known to be long, or the last one in sight */
            picked[me] > 0 -> rest = picked[me] - 1; picked[me] = 0;
            role[me] = AWAY
        }
        leave_scanning()
    fi;
    atomic { started++; assert(started <= ITEMS) } /* each once */
    if
    :: d_step { hung < WORKERS - 1 -> hung++ } /* the release never returns */
end_hung:
        false
    :: d_step { /* CAS RUNNING to SCANNING; when that fails, I am not counted any more */
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
    goto run_batch;

park: /* pnx__worker_sleep() */
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
#elif defined(RECHECK_SCAN)
    pick();
#else
    look_for_work();
#endif
    if
    :: found -> found = false
    :: else -> goto wait
    fi;
    atomic { /* rule 3, with work in sight */
        if
#ifdef BUG_TAKE_BACK_BLINDLY
        :: assert(sleeping > 0); sleeping--; scanning++
#else
#ifndef TOKENS
        :: woken > 0 -> woken--; scanning++
        :: woken == 0 -> assert(sleeping > 0); sleeping--; scanning++
#else
        :: sleeping > 0 -> sleeping--; scanning++
        :: sleeping == 0 -> goto wait
#endif
#endif
        fi
    }
    goto run_batch; /* empty, if nothing was picked yet */

wait: /* rule 3, without */
#ifdef TOKENS
    atomic {
        if
        :: tokens > 0 -> tokens--; called = true
        :: else
        fi
    }
#else
    atomic { /* one load tells if there is a call, and is the value to wait on */
        if
        :: woken > 0 -> woken--; scanning++; called = true
#ifndef BUG_STOP_BY_CALLS
        :: woken == 0 && stop -> goto over
#endif
        :: else
        fi;
#ifndef BUG_SEEN_TOO_LATE
        seen = IDLE
#endif
    }
#endif
    if
    :: called -> called = false; seen = 0; goto run_batch
    :: else
    fi;
#ifdef BUG_SEEN_TOO_LATE
    seen = IDLE;
#endif
    atomic { /* futex_wait(): into the kernel's queue only while the word is as it was seen */
        if
#ifdef TOKENS
        :: tokens == 0 -> waits[me] = true
#else
        :: seen == IDLE -> waits[me] = true
#endif
        :: else
        fi;
        seen = 0;
end_asleep:
        !waits[me]
    }
#ifdef BUG_ANY_WAKE_IS_A_CALL
#ifdef TOKENS
    atomic { assert(tokens > 0); tokens--; goto scan }
#else
    atomic { assert(woken > 0); woken--; scanning++; goto scan }
#endif
#else
    goto wait;
#endif

over:
    ended++
}

inline demote(who) {
#if defined(BUG_BATCH_KEPT)
    d_step { role[who] == RUNNING -> role[who] = DEMOTED }
#elif defined(BUG_BATCH_TAKEN_LATER)
    d_step { role[who] == RUNNING -> role[who] = DEMOTED; rest = picked[who] }
    picked[who] = 0;
#else
    d_step { role[who] == RUNNING -> role[who] = DEMOTED; rest = picked[who]; picked[who] = 0 }
#endif
    leave_scanning()
}

/* Gives up scanning for a worker whose run is not that short; too early does no harm. */
active proctype Timekeeper() {
    byte rest;
    bool called, found;
end:
    do
    :: demote(0)
    :: demote(1)
    od
}

/* futex_wait returns without a call, once, at any time. */
active proctype Spurious() { futex_wake() }

#ifdef STOPPING
/* The shutdown sends the workers home, at any time. */
active proctype Stopper() {
    atomic { !locked -> stop = true }
#ifdef BUG_STOP_BY_CALLS
    d_step { woken = woken + sleeping; sleeping = 0 }
#endif
    d_step { waits[0] = false; waits[1] = false } /* FUTEX_WAKE of all */
}
#endif

init {
    atomic {
        run Producer(1);
        run Producer(ITEMS - 1);
        run Worker(0);
        run Worker(1)
    }
    timeout; /* nothing can move any more */
#ifdef STOPPING
    assert(ended + hung == WORKERS);
#else
    assert(started == ITEMS);
    assert(scanning == 0 && woken == 0 && sleeping == WORKERS - hung)
#endif
}
