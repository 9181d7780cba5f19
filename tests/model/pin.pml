/* SPDX-License-Identifier: MIT */
/*
 * pin.pml: what readers pin and writers free in a cache (access.c, reader.c, reclaim.c). Nothing is
 * freed while somebody uses it, and everything that has left is freed once.
 *
 * A reader writes the entry's number into its pin, then looks at the slot again; the fence between
 * the two is the writer's: the pin lies in the reader's store buffer until that is emptied, by
 * itself at any time, or by the writer's barrier. Letting go is the same the other way round: the
 * pin is cleared, then the state is looked at.
 */

#define READERS 2
#define ENTRIES 3 /* number 0 is none; the slot holds 1, then 2, then 3 */

byte slot = 1;
byte pin[READERS];      /* as the writer sees it */
byte buffered[READERS]; /* as the reader has written it */
bool pending[READERS];  /* and it is still in the store buffer */
mtype = { LIVE, RETIRED, HELD };
mtype state[ENTRIES + 1] = LIVE;
byte freed[ENTRIES + 1];
bool reclaiming; /* the lock of that name */
byte through;    /* readers and writers that have ended */

#define empty_buffer(i)                                                                            \
    if                                                                                             \
    :: pending[i] -> pin[i] = buffered[i]; pending[i] = false                                      \
    :: else                                                                                        \
    fi

inline write_pin(i, value) {
    d_step { /* a store: what was in the buffer before goes first */
        empty_buffer(i);
        buffered[i] = value;
        pending[i] = true
    }
}

#define pinned(e) (pin[0] == e || pin[1] == e)

inline let_go(e) {
    atomic { !reclaiming -> reclaiming = true };
#ifdef BUG_LET_GO_BLINDLY
    if
    :: state[e] == HELD -> d_step { state[e] = LIVE; freed[e]++ }
#else
    if
    :: state[e] == HELD && !pinned(e) -> d_step { state[e] = LIVE; freed[e]++ }
#endif
    :: else
    fi;
    reclaiming = false
}

proctype reader(byte i) {
    byte entry, again;
    byte round;
    for (round : 1 .. 2) {
        do
        :: true ->
            entry = slot;
            write_pin(i, entry);
#ifdef BUG_NO_SECOND_LOOK
            again = entry;
#else
            again = slot;
#endif
            if
            :: again == entry -> break
            :: else
            fi;
            /* It may have left meanwhile, and wait for us. */
            write_pin(i, 0);
            if
            :: state[entry] != LIVE -> atomic { empty_buffer(i) }; let_go(entry)
            :: else
            fi
        od;
        assert(freed[entry] == 0); /* is used */
        assert(freed[entry] == 0);
        write_pin(i, 0);
#ifndef BUG_LET_GO_SILENTLY
        if
        :: state[entry] != LIVE -> atomic { empty_buffer(i) }; let_go(entry)
        :: else
        fi
#endif
    };
    through++
}

/* The store buffer empties itself, at any time. */
proctype buffer(byte i) {
end:
    do
    :: atomic { pending[i] -> empty_buffer(i) }
    od
}

proctype writer() {
    byte old;
    bool held;
    for (old : 1 .. ENTRIES - 1) {
        slot = old + 1;
#ifndef BUG_RETIRED_AFTER_THE_LOOK
        state[old] = RETIRED;
#endif
        atomic { !reclaiming -> reclaiming = true };
#ifndef BUG_NO_BARRIER
        d_step { empty_buffer(0); empty_buffer(1) };
#endif
        held = pinned(old);
        if
        :: held -> state[old] = HELD
        :: else -> d_step { freed[old]++; state[old] = LIVE /* as another entry */ }
        fi;
        reclaiming = false
    };
    through++
}

init {
    byte i;
    atomic {
        run reader(0);
        run reader(1);
        run buffer(0);
        run buffer(1);
        run writer()
    }
    /* All are through, but for the buffers. */
    (through == 3);
    (!pending[0] && !pending[1]);
    for (i : 1 .. ENTRIES - 1) {
        assert(freed[i] == 1)
    }
}
