/* SPDX-License-Identifier: MIT */
/*
 * lend.pml: a pool with one entry and three who want it (lease.c, wait.c, queue.c). Nobody waits
 * while it is idle and nobody looks, whatever is overtaken, given up or canceled; and of those who
 * begin after a waiter came to the head at most BOUND overtake it.
 *
 * What happens with the lock held is one step. Without it: a look at the gate, the count of those
 * who overtake, the claim of the entry, its return, and the look at the gate after it.
 */

#define USERS 3
#ifndef BOUND
#define BOUND 1
#endif
/* One of them comes twice. */
#define ROUNDS(i) (i == 1 -> 2 : 1)

bool idle = true; /* the entry's word */
byte gate;        /* how many wait */
byte bypass;      /* how often the head was overtaken */
bool nudged;      /* the head was woken to help itself */
byte queue[USERS];
byte heads;    /* counts who came to the head */
byte overtook; /* since then, by those who began since then */

mtype = { PENDING, NUDGED, OVER };
mtype told[USERS];
bool settled[USERS], served[USERS];

inline settle_at(at, ok) {
    if
    :: at == 0 -> nudged = false; bypass = 0; overtook = 0; heads++
    :: else
    fi;
    settled[queue[at]] = true;
    served[queue[at]] = ok;
    told[queue[at]] = OVER;
    k = at;
    do
    :: k + 1 < gate -> queue[k] = queue[k + 1]; k++
    :: else -> break
    od;
    gate--
}

inline serve() {
    do
    :: gate > 0 ->
        nudged = false;
        if
        :: idle -> idle = false; settle_at(0, true)
        :: else -> break
        fi
    :: else -> break
    od;
    skip /* a break may not lead out of a d_step */
}

proctype user(byte i) {
    byte seen, k, at, count, began, round;
    bool over, mine;
    for (round : 1 .. ROUNDS(i)) {
        mine = false;
        d_step { seen = gate; began = heads };
        /* Overtaking: counted first. */
        if
        :: seen == 0 -> over = true
        :: else ->
            d_step {
                count = bypass;
#ifdef BUG_NO_BOUND
                over = true;
#else
                over = count < BOUND;
#endif
                bypass = (count < BOUND -> bypass + 1 : bypass)
            }
        fi;
        if
        :: over ->
            d_step {
                if
                :: idle ->
                    idle = false;
                    mine = true;
                    overtook = (seen > 0 && gate > 0 && began == heads -> overtook + 1 : overtook);
                    assert(overtook <= BOUND)
                :: else
                fi
            }
        :: else
        fi;
        if
        :: !mine ->
#ifdef BUG_LOOK_BEFORE_COUNTED
            over = idle;
#endif
            d_step {
                told[i] = PENDING;
                settled[i] = false;
                served[i] = false;
                queue[gate] = i;
                gate++;
#ifdef BUG_LOOK_BEFORE_COUNTED
                if
                :: over -> serve()
                :: else
                fi
#else
                serve()
#endif
            };
            do
            :: told[i] == OVER -> mine = served[i]; break
            :: told[i] == NUDGED ->
                d_step {
                    if
                    :: !settled[i] -> told[i] = PENDING; serve()
                    :: else
                    fi
                }
            :: i == 0 && told[i] != OVER -> /* one of them gives up, at any time */
                d_step {
                    if
                    :: !settled[i] ->
                        at = 0;
                        do
                        :: queue[at] != i -> at++
                        :: else -> break
                        od;
                        settle_at(at, false);
#ifndef BUG_GIVE_UP_ALONE
                        serve()
#endif
                    :: else
                    fi
                }
            od
        :: else
        fi;
        if
        :: mine ->
#ifdef BUG_GATE_BEFORE_RETURN
            seen = gate;
            idle = true;
#else
            idle = true;
            seen = gate;
#endif
            if
            :: seen > 0 ->
                over = bypass >= BOUND;
                if
#ifdef BUG_NO_NUDGE
                :: !over
#else
                :: !over && nudged
#endif
                :: else ->
                    d_step {
                        if
                        :: over || gate == 0 -> serve()
                        :: else ->
                            nudged = true;
                            told[queue[0]] = NUDGED
                        fi
                    }
                fi
            :: else
            fi
        :: else
        fi
    }
}

init {
    atomic {
        run user(0);
        run user(1);
        run user(2)
    }
    (_nr_pr == 1);
    assert(idle && gate == 0)
}
