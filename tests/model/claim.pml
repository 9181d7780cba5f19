/* SPDX-License-Identifier: MIT */
/*
 * claim.pml: who may run a release, and what becomes of it: claim, time-out, late completion, close,
 * recycling. One slot; its first life (generation 0) meets everything at once: the owner's drop, two
 * workers, a close by id, a waiter, the timekeeper, a hard deadline, forgetting. The second life shows
 * that nothing of the first reaches into it.
 *
 * The slot's word, changed by CAS only, so that each change below is one atomic step:
 *
 *     generation  goes up when the slot is recycled: stale ids and attempts see that
 *     attempt     1 for the first run; the fallback is an attempt, too
 *     state       see internal.h; a DONE slot is FREE at once unless it is LINKED
 *     LINKED      a queue, or a worker that popped it and has not looked at it yet, points to it
 *     WAITED      somebody waits for the end
 *     LATE        an attempt was declared late, and may still run: no fallback beside it, unless the
 *                 kind allows that
 *     SETTLED     an earlier attempt succeeded late while this one runs
 *     FALLBACK    the next or present attempt is the fallback
 *     KEPT        failed or abandoned, and listed for the leak report
 *
 * A compare that fails is tried again while generation, attempt and state are the same: only then did
 * nothing but flags change. In the model that is what makes a whole loop one step.
 */

#define ATTEMPTS 2 /* of the release; then the fallback, if there is one */

mtype = { FREE, LIVE, QUEUED, RUNNING, WAITING, DONE, FAILED, ABANDONED };

/* the word */
byte generation, attempt;
mtype state = LIVE;
bool LINKED, WAITED, LATE, SETTLED, FALLBACK, KEPT;

bool in_queue; /* the slot's link is in the inbox or the ready queue */
byte value;    /* what the slot holds: the generation that it was armed for */

/* the kind: each combination is tried */
bool idempotent, has_fallback, concurrent_fallback;

/* the account, and what is really so, for the assertions */
byte registered = 1;
byte count[9]; /* by state */
byte out;      /* attempts of the first life between claim and end */
bool current;  /* the attempt that the word stands for is one of them */
bool told_ok;  /* a success of the first life was taken note of */
bool waits, told;
bool hung;     /* one attempt may hang for ever */

inline balance() {
    assert(registered == (count[LIVE] + count[QUEUED] + count[RUNNING] + count[WAITING] +
                          count[DONE] + count[FAILED] + count[ABANDONED]))
}

/* Part of a step: the state's part of the word, and the account. */
inline move(to) {
    assert(count[state] > 0);
    count[state]--;
    state = to;
    count[state]++;
    balance()
}

#ifdef BUG_RECYCLE_LINKED
#define unlinked true
#else
#define unlinked (!LINKED)
#endif

/* Part of a step: the slot is free for its next life when nothing points to it or lists it. Whoever's
 * CAS did that gives the slot to the magazine, nobody else. */
inline recycle_if_over() {
    if
    :: (state == DONE || state == FAILED || state == ABANDONED) && !KEPT && unlinked ->
        assert(!in_queue && !current);
        generation++;
        attempt = 0;
        state = FREE;
        LINKED = false; LATE = false; SETTLED = false; FALLBACK = false
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

/* Part of a step: to QUEUED; whoever sets LINKED has to push afterwards, and nobody else. */
inline queue_again() {
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

/* Part of a step: RUNNING, as a new attempt of who does it. Nothing runs twice: not after a success
 * that is known, nor beside another attempt, unless the kind allows it. */
inline claim() {
    move(RUNNING);
    attempt++;
    g = generation;
    n = attempt;
    claimed = true;
    if
    :: g == 0 ->
        assert(!told_ok);
        assert(out == 0 || (idempotent && !FALLBACK) || (concurrent_fallback && FALLBACK));
        out++
    :: else
    fi;
    current = true
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

/* pnx__attempt(), then pnx__outcome(): the release runs and its end is entered. */
inline run_claimed() {
#ifdef BUG_COPY_AFTER_CLAIM
    assert(value == g); /* the copy of the value is made here; right: before the CAS of the claim */
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
            assert(!(ok && told_ok) || idempotent || concurrent_fallback); /* else never twice */
            told_ok = (told_ok || ok)
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
                :: !FALLBACK && attempt >= ATTEMPTS && may_fall_back ->
                    FALLBACK = true;
                    queue_again()
                :: else -> end_as(FAILED)
                fi
            fi
        :: else -> /* late() */
            if
            :: !ok || generation != g
#ifndef BUG_LATE_SUCCESS_IGNORED
            :: ok && generation == g && (state == QUEUED || state == WAITING) -> end_as(DONE)
#endif
#ifndef BUG_NOT_SETTLED
            :: ok && generation == g && state == RUNNING -> SETTLED = true
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

/* A guard is dropped: pnx__schedule(). */
proctype Owner() {
    bool must_push;
    atomic {
        if
        :: generation == 0 && state == LIVE -> queue_again()
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
        queue_again()
    }
    push_if_must()
}

/* pnx_release_now(), inline, by an id of the first life. */
proctype Closer() {
    byte g, n;
    bool ok, claimed, must_push;
    atomic {
        if
        :: generation == 0 && (state == LIVE || state == QUEUED) -> claim() /* LINKED stays */
        :: else /* already given back, or on its way */
        fi
    }
    if
    :: claimed -> run_claimed()
    :: else
    fi
}

/* pnx__pick(), then pnx__run_one(). */
proctype Worker() {
    byte g, n;
    bool ok, claimed, must_push;
#ifdef BUG_CLAIM_WITHOUT_CAS
    bool seen;
#endif
end:
    do
    :: atomic { in_queue -> in_queue = false }
#ifdef BUG_CLAIM_WITHOUT_CAS
        seen = (state == QUEUED);
#define may_claim seen
#else
#define may_claim (state == QUEUED)
#endif
        atomic {
            assert(LINKED);
            LINKED = false;
            if
            :: may_claim -> claim()
            :: else -> recycle_if_over() /* closed, settled or abandoned meanwhile */
            fi
        }
        if
        :: claimed -> run_claimed()
        :: else
        fi
    od
}

#ifdef BUG_RETRY_BESIDE_LATE
#define may_retry (!FALLBACK && attempt < ATTEMPTS)
#else
#define may_retry (!FALLBACK && attempt < ATTEMPTS && idempotent)
#endif

/* pnx__overdue() and pnx__retry_due(): at any time after the claim. */
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
                queue_again()
            :: else -> end_as(ABANDONED)
            fi
        }
        push_if_must()
    :: atomic { generation == 0 && state == WAITING -> queue_again() }
        push_if_must()
    od
}

/* The shutdown's hard deadline: what has not ended is abandoned. It may come at any time. */
proctype HardDeadline() {
    atomic {
        if
        :: generation == 0 && (state == QUEUED || state == WAITING || state == RUNNING) ->
            LATE = (LATE || state == RUNNING);
            current = false;
            if
            :: SETTLED -> end_as(DONE)
            :: else -> end_as(ABANDONED)
            fi
        :: else
        fi
    }
}

/* pnx_registry_forget_failed(), or the limit of failures_kept; or never. */
proctype Forgetter() {
    atomic {
        if
        :: generation == 0 && KEPT -> KEPT = false; recycle_if_over()
        :: skip
        fi
    }
}

/* pnx__waiter_add(). */
proctype Waiter() {
    atomic {
        if
        :: generation == 0 && state != FREE && !KEPT && state != DONE -> WAITED = true; waits = true
        :: else
        fi
    }
}

init {
    atomic {
        count[LIVE] = 1;
        if
        :: idempotent = true
        :: skip
        fi;
        if
        :: has_fallback = true
        :: has_fallback = true; concurrent_fallback = true
        :: skip
        fi;
        run Owner();
        run Closer();
        run Worker();
        run Worker();
        run Timekeeper();
        run HardDeadline();
        run Forgetter();
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
