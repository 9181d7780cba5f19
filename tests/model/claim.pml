/* SPDX-License-Identifier: MIT */
/*
 * claim.pml: who may run a release, and what becomes of it (run.c, outcome.c, dispatch.c): claim,
 * time-out, late completion, close, rescue from the batch of a worker that hangs, recycling. One
 * slot; its first life (generation 0) meets everything at once; its second shows that nothing of
 * the first reaches into it.
 *
 * The slot's word is changed by CAS only, so each change below is one step. A compare that fails is
 * tried again while generation, attempt and state are the same, for then only flags have changed.
 *
 *     generation  goes up when the slot is recycled: stale ids, attempts and batches see that
 *     attempt     1 for the first run; the fallback is an attempt, too
 *     state       see state.h
 *     MOVED       QUEUED: it was rescued. Who picked it before that sees that it is gone; who picks
 *                 it now picks nothing else, so that it need not be rescued again
 *     WAITED      somebody waits for the end
 *     LATE        an attempt was declared late, and may still run: no fallback beside it, unless
 *                 the kind allows that
 *     SETTLED     an attempt that was late has succeeded: nothing is left to do
 *     FALLBACK    the next or present attempt is the fallback
 *     KEPT        failed or abandoned, and kept for the leak report
 *
 * Only who has popped a slot claims it from QUEUED; so nothing points to it when it is recycled.
 *
 * With -DCLOSE_QUEUED a close may claim it from QUEUED, too. Then a flag LINKED is needed, set
 * until its link was popped and looked at: a slot that has ended is recycled when it is not LINKED,
 * by whoever ended it, else by who popped it. (No rescue then: a batch would need one owner at a
 * time.)
 */

#define ATTEMPTS 2 /* of the release; then the fallback, if there is one */
#define WORKERS 2

mtype = { FREE, LIVE, QUEUED, RUNNING, WAITING, DONE, FAILED, ABANDONED };

/* the word */
byte generation, attempt;
mtype state = LIVE;
bool MOVED, WAITED, LATE, SETTLED, FALLBACK, KEPT;
bool LINKED; /* part of the word only with CLOSE_QUEUED; else just what is so, for the assertions */

bool in_queue; /* its link is in an inbox or a front list */
byte value;    /* what the slot holds: the generation that it was armed for */

/* Entries of batches: the word as it was picked. The last one is of a worker that hangs for ever in
 * what came before it in its batch; that worker has been replaced. */
#define STUCK WORKERS
typedef entry { bool there; byte generation, attempt; bool moved };
entry batch[WORKERS + 1];
byte stuck;
#define is_same(b) (generation == batch[b].generation && attempt == batch[b].attempt)
#if defined(CLOSE_QUEUED)
#define is_mine(b) (state == QUEUED)
#elif defined(BUG_MOVED_NOT_COMPARED)
#define is_mine(b) (state == QUEUED && is_same(b))
#else
#define is_mine(b) (state == QUEUED && is_same(b) && MOVED == batch[b].moved)
#endif

/* the kind: each combination is tried */
bool idempotent, has_fallback, concurrent_fallback;

/* the account, and what is really so, for the assertions */
byte registered = 1;
byte count[9]; /* by state */
byte out;      /* attempts of the first life between claim and end */
bool current;  /* the attempt that the word stands for is one of them */
bool known_ok; /* a success of the first life was taken note of */
bool waits, told;
bool hung; /* one attempt may hang for ever */

/* Conservation. */
inline balance() {
    assert(registered == (count[LIVE] + count[QUEUED] + count[RUNNING] + count[WAITING] +
                          count[DONE] + count[FAILED] + count[ABANDONED]))
}

/* Part of a step: the state in the word, and the account. */
inline move(to) {
    assert(count[state] > 0);
    count[state]--;
    state = to;
    count[state]++;
    balance()
}

#if defined(CLOSE_QUEUED) && !defined(BUG_RECYCLE_LINKED)
#define nothing_points_to_it (!LINKED)
#else
#define nothing_points_to_it true
#endif

/* Part of a step: an end that nobody keeps frees the slot for its next life. Whoever's CAS that was
 * gives it back, nobody else. */
inline recycle_if_over() {
    if
    :: (state == DONE || state == FAILED || state == ABANDONED) && !KEPT && nothing_points_to_it ->
        assert(!in_queue && !LINKED && !current);
        generation++;
        attempt = 0;
        state = FREE;
        LATE = false; SETTLED = false; FALLBACK = false
    :: else
    fi
}

/* Part of a step: the end of the resource; its waiters are told by whoever did the step. */
inline end_as(to) {
    assert(state == QUEUED || state == RUNNING || state == WAITING);
    move(to);
    KEPT = (to != DONE);
    if
    :: WAITED -> WAITED = false; assert(!told); told = true
    :: else
    fi;
    recycle_if_over()
}

/* Part of a step: to QUEUED; whoever did that has to push, unless it is in the queue still. */
inline queue_it() {
    move(QUEUED);
#ifdef BUG_PUSH_LINKED
    must_push = true;
#else
    must_push = !LINKED;
#endif
    LINKED = true
}

inline push_if_must() {
    if
    :: must_push -> atomic { assert(!in_queue); in_queue = true; must_push = false }
    :: else
    fi
}

/* Part of a step: RUNNING, as a new attempt. Nothing runs again once a success is known; and beside
 * another attempt only what the kind allows. */
inline claim() {
    move(RUNNING);
    attempt++;
    MOVED = false;
    g = generation;
    n = attempt;
    if
    :: SETTLED -> end_as(DONE)
    :: else ->
        claimed = true;
        current = true;
        if
        :: g == 0 ->
            assert(!known_ok);
            assert(out == 0 || (idempotent && !FALLBACK) || (concurrent_fallback && FALLBACK));
            out++
        :: else
        fi
    fi
}

#if defined(BUG_ANY_GENERATION)
#define same_attempt (attempt == n)
#elif defined(BUG_ANY_ATTEMPT)
#define same_attempt (generation == g)
#elif defined(BUG_FLAGS_ARE_LATE)
#define same_attempt (generation == g && attempt == n && !WAITED)
#else
#define same_attempt (generation == g && attempt == n)
#endif

#ifdef BUG_FALLBACK_BESIDE_LATE
#define may_fall_back has_fallback
#else
#define may_fall_back (has_fallback && (!LATE || concurrent_fallback))
#endif

/* pnx__attempt(): the release runs, on a copy of the value. Then pnx__outcome(). */
inline run_claimed() {
#ifdef BUG_COPY_AFTER_CLAIM
    assert(value == g); /* the copy is made here; right: before the CAS of the claim, or before
                         * anybody can declare the attempt late */
#endif
    if
    :: ok = true
    :: g == 0 -> ok = false
    :: atomic { g == 0 && !hung -> hung = true }
end_hung:
        false
    fi;
    atomic {
        claimed = false;
        if
        :: g == 0 ->
            out--;
            assert(!(ok && known_ok) || idempotent || concurrent_fallback); /* else never twice */
            known_ok = (known_ok || ok)
        :: else
        fi;
        if
        :: state == RUNNING && same_attempt -> /* in time */
            if
            :: generation == g && attempt == n -> current = false
            :: else
            fi;
            if
            :: ok || SETTLED -> end_as(DONE)
            :: else ->
                if
                :: !FALLBACK && attempt < ATTEMPTS -> move(WAITING)
                :: !FALLBACK && attempt >= ATTEMPTS && may_fall_back -> FALLBACK = true; queue_it()
                :: else -> end_as(FAILED)
                fi
            fi
        :: else -> /* late() */
            assert(!(current && generation == g && attempt == n)); /* only if it was declared so */
            if
            :: !ok || generation != g
#ifndef BUG_LATE_SUCCESS_IGNORED
            :: ok && generation == g && state == WAITING -> end_as(DONE)
#endif
#ifndef BUG_NOT_SETTLED
            :: ok && generation == g && (state == QUEUED || state == RUNNING) -> SETTLED = true
#endif
            :: ok && generation == g && (state == FAILED || state == ABANDONED) ->
                KEPT = false; /* it was counted, and that stays; but there is nothing to list */
#ifdef BUG_COUNTED_TWICE
                count[DONE]++;
                balance();
#endif
                recycle_if_over()
            :: else
            fi
        fi;
        ok = false
    }
    push_if_must()
}

/* A guard is dropped: pnx__schedule_claim(), pnx__schedule_queue(). */
proctype Owner() {
    bool must_push;
    atomic {
        if
        :: generation == 0 && state == LIVE -> queue_it()
        :: else
        fi
    }
    push_if_must();

end_second_life:
    atomic {
        generation == 1 && state == FREE ->
        state = LIVE;
        registered++;
        count[LIVE]++;
        value = 1;
        queue_it()
    }
    push_if_must()
}

#ifdef CLOSE_QUEUED
#define may_close (state == LIVE || state == QUEUED)
#else
#define may_close (state == LIVE)
#endif

/* claim_inline(), by an id of the first life. */
proctype Closer() {
    byte g, n;
    bool ok, claimed, must_push;
    atomic {
        if
        :: generation == 0 && may_close -> claim()
        :: else /* already given back, or on its way */
        fi
    }
    if
    :: claimed -> run_claimed()
    :: else
    fi
}

inline forget(b) {
    batch[b].there = false;
    batch[b].generation = 0;
    batch[b].attempt = 0;
    batch[b].moved = false
}

#ifdef BUG_CLAIM_WITHOUT_CAS
#define may_begin was_mine
#else
#define may_begin is_mine(me)
#endif

#ifdef BUG_MOVED_AMONG_OTHERS
#define STUCK_MAX 2
#define may_come_after(b) true
#else
#define STUCK_MAX 1
#define may_come_after(b) (!batch[b].moved)
#endif

/* pnx__pick(), then pnx__run_one(). */
proctype Worker(byte me) {
    byte g, n;
    bool ok, claimed, must_push;
#ifdef BUG_CLAIM_WITHOUT_CAS
    bool was_mine;
#endif
end:
    do
    :: atomic {
            in_queue -> in_queue = false;
            batch[me].there = true;
            batch[me].generation = generation;
            batch[me].attempt = attempt;
            batch[me].moved = MOVED
        }
#ifdef BUG_CLAIM_WITHOUT_CAS
        was_mine = is_mine(me);
#endif
        if
        :: atomic { /* begins it */
                if
                :: may_begin -> LINKED = false; claim()
                :: else ->
#ifdef CLOSE_QUEUED
                    LINKED = false; /* closed meanwhile: who popped it recycles it, if it is over */
                    recycle_if_over()
#else
                    skip /* rescued meanwhile: it is not mine any more */
#endif
                fi;
                forget(me)
            }
            if
            :: claimed -> run_claimed()
            :: else
            fi
#ifndef CLOSE_QUEUED
        :: d_step { /* hangs in what came before it */
                stuck < STUCK_MAX && !batch[STUCK].there && may_come_after(me) -> stuck++;
                batch[STUCK].there = true;
                batch[STUCK].generation = batch[me].generation;
                batch[STUCK].attempt = batch[me].attempt;
                batch[STUCK].moved = batch[me].moved;
                forget(me)
            }
#endif
        fi
    od
}

#ifdef BUG_RETRY_BESIDE_LATE
#define may_retry (!FALLBACK && attempt < ATTEMPTS)
#else
#define may_retry (!FALLBACK && attempt < ATTEMPTS && idempotent)
#endif

/* pnx__rescue(): takes it out of the batch of a worker that was demoted. */
inline rescue(b) {
    is_mine(b) && batch[b].there && !MOVED ->
    MOVED = true;
    assert(!in_queue);
    in_queue = true;
#ifdef BUG_RESCUE_REWRITES_BATCH
    batch[b].moved = MOVED;
#endif
    forget(STUCK) /* if that was it, its worker will never look at it again */
}

/* At any time: pnx__overdue(), pnx__retry_due(), pnx__rescue(). */
proctype Timekeeper() {
    bool must_push;
end:
    do
    :: atomic {
            generation == 0 && state == RUNNING ->
            LATE = true;
            current = false;
            if
            :: SETTLED -> end_as(DONE)
            :: !SETTLED && may_retry -> move(WAITING)
            :: !SETTLED && !may_retry && concurrent_fallback && !FALLBACK ->
                FALLBACK = true;
                queue_it()
            :: else -> end_as(ABANDONED)
            fi
        }
        push_if_must()
    :: atomic { generation == 0 && state == WAITING -> queue_it() }
        push_if_must()
#ifndef CLOSE_QUEUED
    :: atomic { rescue(0) }
    :: atomic { rescue(1) }
    :: atomic { rescue(STUCK) }
#endif
    od
}

/* The shutdown's hard deadline, at any time: abandons what has not ended. Then, or without that,
 * what is kept may be forgotten: pnx_registry_forget_failed(), or there are too many. */
proctype HardDeadline() {
    if
    :: true
    :: goto forget_failed
    fi;
    atomic {
        if
        :: generation == 0 && in_queue -> /* pnx__pick_any(), pnx__abandon_queued() */
            in_queue = false;
            LINKED = false;
            if
            :: state == QUEUED && SETTLED -> end_as(DONE)
            :: state == QUEUED && !SETTLED -> end_as(ABANDONED)
            :: else -> recycle_if_over()
            fi
        :: else
        fi
    }
    atomic {
        if
        :: generation == 0 && (state == WAITING || state == RUNNING) ->
            LATE = (LATE || state == RUNNING);
            current = false;
            if
            :: SETTLED -> end_as(DONE)
            :: else -> end_as(ABANDONED)
            fi
        :: else
        fi
    }
forget_failed:
    atomic {
        if
        :: generation == 0 && KEPT -> KEPT = false; recycle_if_over()
        :: true
        fi
    }
}

/* pnx__waiter_add(). */
proctype Waiter() {
    atomic {
        if
        :: generation == 0 && !KEPT && state != FREE && state != DONE -> WAITED = true; waits = true
        :: else
        fi
    }
}

init {
    atomic {
        count[LIVE] = 1;
        if
        :: idempotent = true
        :: true
        fi;
        if
        :: has_fallback = true
        :: has_fallback = true; concurrent_fallback = true
        :: true
        fi;
        run Owner();
        run Closer();
        run Worker(0);
        run Worker(1);
        run Timekeeper();
        run HardDeadline();
        run Waiter()
    }
    timeout; /* nothing can move any more */
    assert(!in_queue && !LINKED && !WAITED && !current);
    assert(told == waits);
    /* every resource has ended, in exactly one way */
    assert(count[DONE] + count[FAILED] + count[ABANDONED] == registered);
    assert((generation == 2) == (registered == 2)); /* the second life ended as usual */
    assert(generation > 0 || KEPT) /* recycled, or listed */
}
