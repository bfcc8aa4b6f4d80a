/*
 * lock.pml -- the writers' lock and the death of its owners: one at a time, nobody forgotten, nothing half published.
 *
 * Mirrors slots_lock(), slots_lock_want(), slots_lock_inherit(), slots_unlock(), recover(), and lock(), unlock() of the
 * library with the futex: compare and sleep is one step, a wake takes all sleepers. Between lock and unlock a frame goes
 * through the steps of slots_begin(), slots_flush() and publish(), or is given up. Of the daemon (DAEMON): after a
 * client's death it inherits and unlocks, and wakes the sleepers in any case; it has an id, and a lock on that id's byte.
 *
 * DEATHS writers die, anywhere. A sleeper's timeout comes only when somebody has died (NO_TIMEOUT: never), so that what
 * is proven without deaths does not rest on it. REUSE: the daemon gives the id of the dead to a new writer.
 *
 * Left out: holds (the second look is a coin), readers, ringing (wake.pml).
 *
 * Proven: one owner at a time; the head goes up by one each time; what is published is whole, in its slot, and in the
 * index; after an unlock no slot is half done; when nothing more happens, every living writer has done its work.
 *
 * PASS: -DWRITERS=3 -DDEATHS=0 -DNO_TIMEOUT
 * PASS: -DWRITERS=2 -DDEATHS=0 -DFRAMES=2 -DNO_TIMEOUT
 * PASS: -DWRITERS=2 -DDEATHS=1 -DFRAMES=2
 * PASS: -DWRITERS=3 -DDEATHS=2 -DSHORT
 * PASS: -DWRITERS=2 -DDEATHS=1 -DDAEMON
 * PASS: -DWRITERS=2 -DDEATHS=1 -DDAEMON -DREUSE
 * FAIL: -DWRITERS=2 -DDEATHS=0 -DNO_TIMEOUT -DNO_WAKE
 * FAIL: -DWRITERS=2 -DDEATHS=0 -DNO_TIMEOUT -DNO_FENCE
 * FAIL: -DWRITERS=2 -DDEATHS=0 -DNO_TIMEOUT -DNO_LOOK_AFTER_WANT
 * FAIL: -DWRITERS=3 -DDEATHS=0 -DNO_TIMEOUT -DWAKES_AFTER_WANT
 * FAIL: -DWRITERS=3 -DDEATHS=0 -DNO_TIMEOUT -DWANTED_AFTER_WAKES
 * FAIL: -DWRITERS=3 -DDEATHS=0 -DNO_TIMEOUT -DWAKE_ONE
 * FAIL: -DWRITERS=2 -DDEATHS=1 -DNO_TIMEOUT
 * FAIL: -DWRITERS=2 -DDEATHS=1 -DDAEMON -DNO_LOCK_ON_DAEMONS_ID
 * FAIL: -DWRITERS=2 -DDEATHS=1 -DDAEMON -DREUSE -DNO_TURN
 * FAIL: -DWRITERS=3 -DDEATHS=1 -DNO_PUBLISH
 * FAIL: -DWRITERS=2 -DDEATHS=1 -DNO_RESTORE_CLAIMED
 * FAIL: -DWRITERS=2 -DDEATHS=1 -DNO_FREE_WRITING
 * FAIL: -DWRITERS=3 -DDEATHS=1 -DSHORT -DRECOVER_FIRST
 * FAIL: -DWRITERS=2 -DDEATHS=1 -DHEAD_BEFORE_SEQUENCE
 */

#ifndef FRAMES
#define FRAMES 1
#endif

#define SLOTS 3
#define SPAN 4
#define WORD(n, s) ((n) * 4 + (s))
#define SEQUENCE(w) ((w) / 4)
#define SLOT(w) ((w) % 4)
#define CLAIMED 32
#define WRITING 64

/* A lock word: the turn, and the owner's id + 1. */
#define OWNER(l) ((l) % 8) /* 0: none; else id + 1 */
#define TURN(l) ((l) / 8 * 8)
#define DAEMONS_ID 4
#ifdef NO_TURN
#define NEXT_TURN(l) 0
#else
#define NEXT_TURN(l) (((l) / 8 + 1) % 8 * 8)
#endif

/* shared memory */
byte lock;
bool wanted;
byte wakes;
byte head;
byte sequence[SLOTS];
byte payload[SLOTS];
byte index[SPAN];

/* the kernel's */
bool asleep[WRITERS];
bool living[WRITERS + 1] = true; /* the lock on the byte of an id; the last is the daemon's */
bool killed[WRITERS];
byte deaths;

/* ghosts */
byte inside; /* of those that live */
byte user;   /* which: id + 1 */
byte done;   /* processes that have done their work */
byte gone;   /* processes that died */
byte started;

#define BYTE(id) ((id) == DAEMONS_ID -> WRITERS : (id))
#define IS_DEAD(owner) (!living[BYTE((owner) - 1)])

#if WRITERS > 2
#define NOBODY_SLEEPS (!asleep[0] && !asleep[1] && !asleep[2])
#else
#define NOBODY_SLEEPS (!asleep[0] && !asleep[1])
#endif

inline wake() {
#ifdef WAKE_ONE
        if
        :: atomic { asleep[0] -> asleep[0] = false }
        :: atomic { asleep[1] -> asleep[1] = false }
        :: atomic { asleep[WRITERS - 1] -> asleep[WRITERS - 1] = false }
        :: NOBODY_SLEEPS
        fi
#else
        atomic { asleep[0] = false; asleep[1] = false; asleep[WRITERS - 1] = false }
#endif
}

inline enter(id) {
        assert(inside == 0);
        inside = 1;
        user = id + 1
}

/* slots_unlock() and the wake-up */
inline unlock() {
        atomic {
                assert(inside == 1);
                assert(sequence[SLOT(head)] == SEQUENCE(head));
                i = 0;
                do
                :: i < SLOTS -> assert(sequence[i] <= SEQUENCE(head)); i++
                :: else -> break
                od;
                i = 0;
                inside = 0;
                user = 0;
                is = NEXT_TURN(lock);
#ifdef NO_FENCE
                got = wanted /* the load overtakes the store */
#else
                lock = is
#endif
        };
#ifdef NO_FENCE
        atomic { lock = is; is = 0 };
#else
        atomic { got = wanted; is = 0 };
#endif
#ifdef NO_WAKE
        got = false;
#endif
        if
        :: got ->
#ifdef WANTED_AFTER_WAKES
                wakes = (wakes + 1) % 4;
                wanted = false;
#else
                wanted = false;
                wakes = (wakes + 1) % 4;
#endif
                wake()
        :: else
        fi;
        got = false
}

inline publish(s, n) {
        index[(n) % SPAN] = WORD(n, s);
        atomic {
                assert(SEQUENCE(head) + 1 == n);
                assert(sequence[s] == n && payload[s] == n);
                assert(index[(n) % SPAN] == WORD(n, s));
                i = 0;
                do
                :: i < SLOTS -> assert(i == s || sequence[i] != n); i++
                :: else -> break
                od;
                i = 0;
                head = WORD(n, s)
        }
}

/* recover(): what only the lock's owner stores it may load in the same step. */
inline recover() {
        s = 0;
        do
        :: s == SLOTS -> break
#ifndef NO_RESTORE_CLAIMED
        :: s < SLOTS && sequence[s] / CLAIMED % 2 == 1 -> sequence[s] = sequence[s] - CLAIMED; s++
#endif
#ifndef NO_FREE_WRITING
        :: s < SLOTS && sequence[s] == WRITING -> sequence[s] = 0; s++
#endif
#ifndef NO_PUBLISH
        :: s < SLOTS && sequence[s] == SEQUENCE(head) + 1 -> publish(s, sequence[s]); s++
#endif
        :: else -> s++
        od;
        s = 0
}

/* slots_lock_inherit() */
inline inherit(id, dead) {
#ifdef RECOVER_FIRST
        if
        :: OWNER(lock) == dead -> recover()
        :: else
        fi;
#endif
        if
        :: atomic {
                lock == seen ->
                lock = TURN(seen) + id + 1;
                /* The dead one is out. */
                if
                :: user == dead -> inside = 0
                :: else
                fi;
                enter(id);
                got = true
           }
        :: atomic { lock != seen -> got = false }
        fi;
        is = 0;
        if
        :: got ->
#ifndef RECOVER_FIRST
                recover()
#else
                skip
#endif
        :: else
        fi
}

proctype writer(byte id) {
        byte left = FRAMES, is = 0, seen = 0, value = 0, s = 0, i = 0, n = 0;
        bool got = false;

        {
                do
                :: left == 0 -> break
                :: else ->
                        /* lock() */
again:                  /* slots_lock(): the load and the exchange in one, since what fails is the same */
                        if
                        :: atomic { OWNER(lock) == 0 -> lock = lock + id + 1; enter(id) }; goto locked
                        :: OWNER(lock) != 0
                        fi;
#ifdef WAKES_AFTER_WANT
                        wanted = true;
#else
                        value = wakes; /* slots_lock_want() */
                        wanted = true;
#endif
look:
#ifdef NO_LOOK_AFTER_WANT
                        seen = lock;
#else
                        if
                        :: atomic { OWNER(lock) == 0 -> lock = lock + id + 1; enter(id) }; goto locked
                        :: atomic { OWNER(lock) != 0 -> seen = lock }
                        fi;
#endif
                        if
                        :: OWNER(seen) != 0 && IS_DEAD(OWNER(seen)) ->
                                inherit(id, OWNER(seen));
                                if
                                :: got -> got = false; goto locked
                                :: else
                                fi
                        :: else
                        fi;
                        seen = 0;
#ifdef WAKES_AFTER_WANT
                        value = wakes;
#endif
                        /* FUTEX_WAIT */
                        if
                        :: atomic { wakes == value -> asleep[id] = true }
                        :: wakes != value -> goto again
                        fi;
                        value = 0;
                        if
                        :: !asleep[id]
#ifndef NO_TIMEOUT
                        :: deaths > 0 -> asleep[id] = false
#endif
                        fi;
                        goto again;
locked:                 /* slots_begin(): any slot but the newest */
                        atomic { seen = 0; value = 0 };
                        if
#ifdef SHORT
                        :: s = (SLOT(head) + 1) % SLOTS
#else
                        :: SLOT(head) != 0 -> s = 0
                        :: SLOT(head) != 1 -> s = 1
                        :: SLOT(head) != 2 -> s = 2
#endif
                        fi;
                        if
                        :: sequence[s] != 0 ->
                                sequence[s] = sequence[s] + CLAIMED;
                                if
                                :: true
#ifndef SHORT
                                :: sequence[s] = sequence[s] - CLAIMED; goto let_go /* a hold appeared; no room */
#endif
                                fi
                        :: else
                        fi;
                        sequence[s] = WRITING;
                        payload[s] = SEQUENCE(head) + 1;
                        if
                        :: n = SEQUENCE(head) + 1;
#ifdef HEAD_BEFORE_SEQUENCE
                                head = WORD(n, s);
                                sequence[s] = n;
#else
                                sequence[s] = n;
                                publish(s, n)
#endif
#ifndef SHORT
                        :: sequence[s] = 0 /* slots_cancel() */
#endif
                        fi;
let_go:
                        atomic { s = 0; n = 0 };
                        unlock();
                        left--
                od;
                atomic { done++; killed[id] = false; left = 0 }
        } unless {
                atomic { killed[id]; gone++ }
        }
}

/* SIGKILL: from here on the process takes no step, its lock is gone, and it sleeps nowhere. */
inline kill(id) {
        atomic {
                killed[id] = true;
                living[id] = false;
                asleep[id] = false;
                deaths++
        }
}

active proctype killer() {
#if DEATHS > 0
        if
        :: kill(0)
        :: true
        fi;
#endif
#if DEATHS > 1
        if
        :: kill(1)
        :: true
        fi;
#endif
        skip
}

#ifdef DAEMON
active proctype daemon() {
        byte is = 0, s = 0, i = 0, seen = 0;
        bool got = false;

end_idle:
        !living[0];
        seen = lock;
        if
        :: OWNER(seen) == 1 -> inherit(DAEMONS_ID, 1)
        :: else
        fi;
        seen = 0;
        if
        :: got -> unlock()
        :: else
        fi;
        wake(); /* it may have died before its wake-up */
#ifdef REUSE
end_reuse:
        atomic {
                gone == 1 ->
                killed[0] = false;
                living[0] = true;
                started++;
                run writer(0)
        }
#endif
}
#endif

init {
        atomic {
#ifdef NO_LOCK_ON_DAEMONS_ID
                living[WRITERS] = false;
#endif
                started = WRITERS;
                /* Two frames are there. */
                sequence[0] = 1;
                sequence[1] = 2;
                payload[0] = 1;
                payload[1] = 2;
                index[1] = WORD(1, 0);
                index[2] = WORD(2, 1);
                head = WORD(2, 1);
                run writer(0);
                run writer(1);
#if WRITERS > 2
                run writer(2);
#endif
        };
        timeout;
        assert(done + gone == started);
        /* If the last of all died with the lock, nobody is there to inherit. */
        assert(OWNER(lock) == 0 || IS_DEAD(OWNER(lock)))
}
