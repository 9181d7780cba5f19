/* SPDX-License-Identifier: MIT */
/*
 * wake.pml: inbox, sleep, wake (notify.c, worker.c, timekeeper.c). Nobody who queues is forgotten,
 * and nobody is woken while somebody else is looking anyway.
 *
 * The word `idle`, changed by seq_cst compare-and-swap or fetch-and-add only, counts workers:
 *
 *     scanning  look for work, or run something short and will look again
 *     sleeping  announced that they go to sleep; nobody has called them since
 *     woken     calls that nobody has answered yet; for all others as good as scanning
 *
 * A worker in none of them runs something alone, or was demoted while it ran. The rules:
 *
 *  1. Push first, then read `idle` (both seq_cst). Call a sleeper only if scanning + woken = 0.
 *  2. To call is one CAS (sleeping-1, woken+1), then FUTEX_WAKE of one. Calls have no addressee.
 *  3. A worker that announced its sleep gets up only by answering a call (woken-1, scanning+1) or,
 *     if there is none and it saw work, by stepping back (sleeping-1, scanning+1). The workers
 *     between announcing and getting up are exactly sleeping + woken, so one of the two is always
 *     possible. Whatever else lets futex_wait return means nothing: it reads `idle` again.
 *  4. Whoever takes 1 from scanning looks for work *afterwards*, and calls a sleeper by rule 1.
 *     Before, what its worker had picked and not begun is given back.
 *  5. "Is there work" never says no while an item is inside: not when a pop has put the stub behind
 *     it, and not when its push is half done, for its producer may have read `idle` already: the
 *     second step of a push is a plain release store, which the read of `idle` may overtake.
 *  6. Who sends the workers home sets a flag in `idle` under the dispatch lock, then wakes all.
 *     Calls would not do: they have no addressee, and who ends answers one that another needs. Nor
 *     would a flag elsewhere: `idle` may be as it was before when a sleeper gets to futex_wait.
 *
 * -DSTOPPING adds rule 6; then items may stay behind, and workers must end.
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

bool locked;  /* the dispatch lock */
byte ready;   /* items in the front list: changed under the lock, counted for anybody */
byte started; /* items that ran */

byte scanning = WORKERS; /* these four are one word: changed only inside one step */
byte sleeping;
byte woken;
bool stop;
#ifdef BUG_STOP_BESIDE_IDLE
#define IDLE ((sleeping << 5) | (woken << 3) | scanning)
#else
#define IDLE ((stop << 7) | (sleeping << 5) | (woken << 3) | scanning)
#endif
bool waits[WORKERS]; /* is in the kernel's queue of the futex, which is `idle` */

mtype = { SCANNING, RUNNING, DEMOTED, AWAY }; /* a worker's role; only RUNNING is demoted */
mtype role[WORKERS] = SCANNING;
byte picked[WORKERS]; /* a worker's batch, as far as it has not begun; claim.pml shows that each
                       * is begun by the worker or taken by the timekeeper, and never both */
byte hung;            /* workers in a release that never returns */
byte ended;

/* call_if_needed(): rules 1 and 2. A failed CAS reads and decides again: the loop is one step. */
inline call_if_needed() {
#ifdef BUG_CALL_WITHOUT_CAS
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
    :: called -> /* FUTEX_WAKE of one: any of those that wait */
        atomic {
            called = false;
            if
            :: waits[0] -> waits[0] = false
            :: waits[1] -> waits[1] = false
            :: !waits[0] && !waits[1]
            fi
        }
    :: else
    fi
}

/* pnx__work_visible(): rule 5. Items go from the inbox to the front list: the order to look in. */
#if defined(BUG_HALF_PUSH_IS_NOTHING)
#define inbox_visible can_pop(popped)
#elif defined(BUG_ONLY_TAIL)
byte stub_after; /* where a pop has put the stub, as inbox.pml shows it may */
#define inbox_visible (popped < pushed && stub_after != pushed)
#else
#define inbox_visible (popped < pushed)
#endif
inline look_for_work() {
    if
    :: inbox_visible -> seen_work = true
    :: else -> seen_work = (ready > 0)
    fi
}

/* pnx__scanning_leave(): rule 4. */
inline scanning_leave() {
    d_step { assert(scanning > 0); scanning-- }
#ifndef BUG_LEAVE_WITHOUT_LOOK
    look_for_work();
    if
    :: seen_work -> seen_work = false; call_if_needed()
    :: else
    fi
#endif
}

/* pnx__queue(). */
proctype Producer(byte count) {
    byte item;
    bool called;
    do
    :: count == 0 -> break
    :: else ->
        count--;
#ifdef BUG_CALL_BEFORE_PUSH
        call_if_needed();
#endif
        d_step { item = pushed; pushed++ } /* first step: exchanges the tail, seq_cst */
        if
        :: d_step { linked = linked | (1 << item); item = 0 } /* second step: links, release */
#ifndef BUG_CALL_BEFORE_PUSH
            call_if_needed()
        :: call_if_needed(); /* the store was overtaken */
            d_step { linked = linked | (1 << item); item = 0 }
#endif
        fi
    od
}

proctype Worker(byte me) {
    byte popping;
    short seen;
    bool called, seen_work;

pick: /* take_batch(), pnx__pick() */
    atomic { !locked -> locked = true }
    d_step {
        do
        :: can_pop(popped) -> popped++; popping++
        :: else -> break
        od;
#ifdef BUG_ONLY_TAIL
        stub_after = pushed
#endif
    }
    atomic { /* meanwhile nobody saw what was popped */
        ready = ready + popping;
        popping = 0;
        do
        :: !stop && ready > 0 && picked[me] < BATCH -> ready--; picked[me]++
        :: else -> break
        od;
        locked = false;
        if
        :: picked[me] == 0 && stop -> goto over
        :: picked[me] == 0 && !stop -> goto sleep
        :: else
        fi
    }
    if
    :: role[me] = RUNNING /* run_batch(): stays among the scanning */
    :: picked[me] == 1 -> role[me] = AWAY; /* run_alone() */
        scanning_leave()
    fi;
    do
    :: atomic { picked[me] > 0 -> picked[me]--; started++; assert(started <= ITEMS) }
        if
        :: d_step { hung < WORKERS - 1 -> hung++ } /* the release never returns */
end_hung:
            false
        :: role[me] != DEMOTED
        :: role[me] == DEMOTED -> break /* the rest is with others */
        fi
    :: picked[me] == 0 -> break
    :: role[me] == RUNNING -> break /* something of a higher priority is there */
    od;
    atomic { /* CAS RUNNING to SCANNING; when that fails, I am not counted any more */
        if
        :: role[me] == RUNNING
#ifdef BUG_IGNORE_DEMOTED
        :: role[me] == DEMOTED
#endif
        :: else -> scanning++
        fi;
        called = (role[me] == RUNNING && picked[me] > 0);
        role[me] = SCANNING
    }
    if
    :: called -> /* pnx__unpick() */
        atomic { !locked -> locked = true }
        d_step { called = false; ready = ready + picked[me]; picked[me] = 0; locked = false }
    :: else
    fi;
    goto pick;

sleep: /* pnx__worker_sleep() */
#ifdef BUG_LOOK_BEFORE_ANNOUNCING
    look_for_work();
    if
    :: seen_work -> seen_work = false; goto pick
    :: else
    fi;
#endif
    atomic { assert(scanning > 0); scanning--; sleeping++ } /* announces it */
#if !defined(BUG_LOOK_BEFORE_ANNOUNCING) && !defined(BUG_NO_LOOK)
    look_for_work();
#endif
again:
    atomic { /* rule 3: reads `idle`, and moves it on by CAS, or waits on the value that it read */
        if
#ifdef BUG_STEP_BACK_ALWAYS
        :: seen_work -> assert(sleeping > 0); sleeping--; scanning++; goto up
        :: !seen_work && woken > 0 -> woken--; scanning++; goto up
#else
        :: woken > 0 -> woken--; scanning++; goto up
        :: seen_work && woken == 0 -> assert(sleeping > 0); sleeping--; scanning++; goto up
#endif
#if !defined(BUG_STOP_BY_CALLS) && !defined(BUG_STOP_BESIDE_IDLE)
        :: !seen_work && woken == 0 && stop -> goto over
#endif
        :: else
        fi;
#ifndef BUG_READ_AGAIN_TO_WAIT
        seen = IDLE
#endif
    }
#ifdef BUG_READ_AGAIN_TO_WAIT
    seen = IDLE;
#endif
#ifdef BUG_STOP_BESIDE_IDLE
    if
    :: stop -> goto over
    :: else
    fi;
#endif
    atomic { /* futex_wait(): into the kernel's queue only while the word is as it was seen */
        if
        :: seen == IDLE -> waits[me] = true
        :: else
        fi;
        seen = 0;
end_asleep:
        !waits[me]
    }
#ifdef BUG_ANY_WAKE_IS_A_CALL
    atomic { assert(woken > 0); woken--; scanning++; goto up }
#else
    goto again;
#endif

up:
    atomic { seen_work = false; seen = 0; goto pick }
over:
    ended++
}

/* look_at(): gives up scanning for a worker whose run is not that short, and takes the rest of its
 * batch; too early does no harm. All of it under the dispatch lock. */
active proctype Timekeeper() {
    byte who;
    bool called, seen_work;
end:
    do
    :: atomic { !locked && (role[0] == RUNNING || role[1] == RUNNING) ->
            locked = true;
            if
            :: role[0] == RUNNING -> who = 0
            :: role[1] == RUNNING -> who = 1
            fi
        }
        if
        :: d_step { role[who] == RUNNING -> role[who] = DEMOTED } /* CAS */
#ifndef BUG_BATCH_STAYS
            d_step { ready = ready + picked[who]; picked[who] = 0 } /* pnx__rescue() */
#endif
            scanning_leave()
        :: else
        fi;
        atomic { locked = false; who = 0 }
    od
}

/* futex_wait returns for no reason, once, at any time. */
active proctype Spurious() {
    atomic {
        if
        :: waits[0] -> waits[0] = false
        :: waits[1] -> waits[1] = false
        :: true
        fi
    }
}

#ifdef STOPPING
/* pnx__workers_stop(): rule 6, at any time. */
active proctype Stopper() {
    atomic { !locked -> stop = true }
#if defined(BUG_STOP_BY_CALLS) || defined(BUG_STOP_BESIDE_IDLE)
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
