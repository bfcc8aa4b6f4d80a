/*
 * overwrite.pml -- a writer and readers under the policy overwrite: no frame is torn, no hold broken without need.
 *
 * Mirrors slots_begin(), go_round(), take(), holder(), start_writing(), slots_flush(), publish() and hold(), slots_latest(),
 * slots_next(), slots_intact(), slots_release(). A step is one access to shared memory.
 *
 * Left out: the writers' lock (lock.pml), waiting and ringing (wake.pml), readers that come and go (attach.pml), the
 * policy block (block.pml), one slot (one.pml). The payload is two cells, the description one. An order that a fence or
 * seq_cst forbids to change is changed in the mutants.
 *
 * Proven: what release() calls whole is whole; what it calls overwritten is; with SLOTS >= READERS + 2 no hold is ever
 * broken.
 *
 * PASS: -DSLOTS=3 -DREADERS=1 -DFRAMES=6
 * PASS: -DSLOTS=4 -DREADERS=2 -DFRAMES=5 -DNEXT_ONLY
 * PASS: -DSLOTS=3 -DREADERS=2 -DFRAMES=4
 * PASS: -DSLOTS=2 -DREADERS=1 -DFRAMES=6
 * FAIL: -DSLOTS=3 -DREADERS=1 -DFRAMES=5 -DNO_CLAIM
 * FAIL: -DSLOTS=3 -DREADERS=1 -DFRAMES=5 -DNO_SECOND_LOOK
 * FAIL: -DSLOTS=3 -DREADERS=1 -DFRAMES=5 -DNO_RESTORE
 * FAIL: -DSLOTS=3 -DREADERS=1 -DFRAMES=5 -DNO_LOOK_AFTER_HOLD
 * FAIL: -DSLOTS=3 -DREADERS=1 -DFRAMES=5 -DLOOK_BEFORE_HOLD
 * FAIL: -DSLOTS=3 -DREADERS=1 -DFRAMES=5 -DLOOK_BEFORE_CLAIM
 * FAIL: -DSLOTS=4 -DREADERS=2 -DFRAMES=5 -DNEXT_ONLY -DONE_ROUND
 * FAIL: -DSLOTS=4 -DREADERS=2 -DFRAMES=5 -DNEXT_ONLY -DTWO_EQUAL_ROUNDS
 * FAIL: -DSLOTS=3 -DREADERS=1 -DFRAMES=5 -DSEQUENCE_BEFORE_PAYLOAD
 * FAIL: -DSLOTS=2 -DREADERS=1 -DFRAMES=5 -DCLAIM_IS_WRITING
 * FAIL: -DSLOTS=2 -DREADERS=1 -DFRAMES=5 -DNO_CHECK_AT_RELEASE
 * FAIL: -DSLOTS=2 -DREADERS=1 -DFRAMES=5 -DNO_ACQUIRE_FENCE
 * FAIL: -DSLOTS=2 -DREADERS=1 -DFRAMES=5 -DNO_RELEASE_FENCE
 * FAIL: -DSLOTS=2 -DREADERS=1 -DFRAMES=5 -DNO_LOOK_AFTER_DESCRIPTION
 */

#define SPAN 4 /* entries of the index: the power of two at or above SLOTS */

#define WORD(n, s) ((n) * 4 + (s))
#define SEQUENCE(w) ((w) / 4)
#define SLOT(w) ((w) % 4)
#define CLAIMED 64
#define WRITING 128
#define NOTHING 255

#define ENOUGH (SLOTS >= READERS + 2)

byte head;
byte index[SPAN];
byte sequence[SLOTS];
byte first[SLOTS], second[SLOTS]; /* payload */
byte about[SLOTS];                /* length, timestamp, tag */
byte hold[READERS];

/* holder(): entry by entry; e is the holder + 1, or 0. */
inline is_held(slot, n) {
        e = 0;
        held = false;
        do
        :: d_step { e < READERS && !held && hold[e] == WORD(n, slot) -> held = true; e++ }
        :: d_step { e < READERS && !held && hold[e] != WORD(n, slot) -> e++ }
        :: held -> break
        :: e == READERS && !held -> e = 0; break
        od
}

/* Who blocked which slot in this round, and (a mutant) in the last. */
#if SLOTS == 2
#define DIFFERENT true
#define FORGET(by) by[0] = 0; by[1] = 0
#define EQUAL_ROUNDS (by[0] == last[0] && by[1] == last[1])
#define KEEP_ROUND last[0] = by[0]; last[1] = by[1]
#elif SLOTS == 3
#define DIFFERENT ((by[0] == 0 || by[0] != by[1]) && (by[0] == 0 || by[0] != by[2]) && (by[1] == 0 || by[1] != by[2]))
#define FORGET(by) by[0] = 0; by[1] = 0; by[2] = 0
#define EQUAL_ROUNDS (by[0] == last[0] && by[1] == last[1] && by[2] == last[2])
#define KEEP_ROUND last[0] = by[0]; last[1] = by[1]; last[2] = by[2]
#else
#define DIFFERENT                                                                                                   \
        ((by[0] == 0 || (by[0] != by[1] && by[0] != by[2] && by[0] != by[3])) &&                                    \
         (by[1] == 0 || (by[1] != by[2] && by[1] != by[3])) && (by[2] == 0 || by[2] != by[3]))
#define FORGET(by) by[0] = 0; by[1] = 0; by[2] = 0; by[3] = 0
#define EQUAL_ROUNDS (by[0] == last[0] && by[1] == last[1] && by[2] == last[2] && by[3] == last[3])
#define KEEP_ROUND last[0] = by[0]; last[1] = by[1]; last[2] = by[2]; last[3] = by[3]
#endif

active proctype writer() {
        byte n = 0; /* sequence of the newest frame; only we store it */
        byte next = 0, s = 0, i = 0, e = 0, is = 0, oldest = NOTHING;
        byte by[SLOTS];
#ifdef TWO_EQUAL_ROUNDS
        byte last[SLOTS];
#endif
        bool held = false;

        do
        :: n == FRAMES -> break
        :: else ->
again:          /* slots_begin(), go_round(); what only the writer stores it may load in the same step */
                atomic { i = 0; s = next; oldest = NOTHING };
                do
                :: i == SLOTS ->
#ifndef ONE_ROUND
                        atomic {
                                if
#ifdef TWO_EQUAL_ROUNDS
                                :: !EQUAL_ROUNDS -> KEEP_ROUND; FORGET(by); goto again
#else
                                :: !DIFFERENT -> FORGET(by); goto again
#endif
                                :: else
                                fi
                        };
#endif
                        s = oldest;
                        break
                :: i < SLOTS && n != 0 && s == SLOT(head) -> d_step { i++; s = (s + 1) % SLOTS }
                :: i < SLOTS && !(n != 0 && s == SLOT(head)) -> /* take() */
                        is = sequence[s];
                        if
                        :: is == 0 || is >= CLAIMED -> break /* !is_frame() */
                        :: else
                        fi;
                        if
                        :: is_held(s, is)
                        :: held = false /* the first look is left out where the last search met nobody */
                        fi;
#ifdef LOOK_BEFORE_CLAIM
                        if
                        :: !held -> is_held(s, is)
                        :: else
                        fi;
#endif
                        if
                        :: !held ->
#ifndef NO_CLAIM
                                sequence[s] = CLAIMED + is;
#endif
#if !defined(NO_SECOND_LOOK) && !defined(LOOK_BEFORE_CLAIM)
                                is_held(s, is);
#endif
                                if
                                :: !held -> break
                                :: else
#ifndef NO_RESTORE
                                        -> sequence[s] = is
#endif
                                fi
                        :: else
                        fi;
                        atomic {
                                by[s] = e;
                                e = 0;
                                if
                                :: oldest == NOTHING || sequence[s] < sequence[oldest] -> oldest = s
                                :: else
                                fi;
                                held = false;
                                is = 0;
                                i++;
                                s = (s + 1) % SLOTS
                        }
                od;
                atomic { i = 0; e = 0; is = 0; held = false; oldest = NOTHING; FORGET(by); next = (s + 1) % SLOTS; n++ };

                /* start_writing(), the application, slots_flush(), publish() */
#ifdef NO_RELEASE_FENCE
                first[s] = n;
                sequence[s] = WRITING;
#else
                sequence[s] = WRITING;
                first[s] = n;
#endif
#ifdef SEQUENCE_BEFORE_PAYLOAD
                sequence[s] = n;
                index[n % SPAN] = WORD(n, s);
                head = WORD(n, s);
                second[s] = n;
                about[s] = n
#else
                second[s] = n;
                about[s] = n;
                sequence[s] = n;
                index[n % SPAN] = WORD(n, s);
                head = WORD(n, s)
#endif
        od
}

/* The slot's sequence still says frame @n, claimed or not. */
#ifdef CLAIM_IS_WRITING
#define INTACT(s, n) (sequence[s] == n)
#else
#define INTACT(s, n) (sequence[s] == n || sequence[s] == CLAIMED + n)
#endif

/* hold(): one look at each. @got says whether it was had. */
inline take_hold(w) {
        n = SEQUENCE(w);
        s = SLOT(w);
#ifdef LOOK_BEFORE_HOLD
        got = (sequence[s] == n);
        hold[me] = w;
#else
        hold[me] = w;
        got = (sequence[s] == n);
#endif
#ifdef NO_LOOK_AFTER_HOLD
        got = true;
#endif
        if
        :: got ->
                a = about[s];
#ifndef NO_LOOK_AFTER_DESCRIPTION
                got = INTACT(s, n);
#endif
                if
                :: got -> assert(a == n)
                :: else -> hold[me] = 0
                fi;
                a = 0
        :: else -> hold[me] = 0
        fi
}

proctype reader(byte me) {
        byte cursor = 0, newest = 0, q = 0, w = 0, n = 0, s = 0, a = 0, b = 0;
        bool got = false;

        do
        :: cursor == FRAMES -> break
#ifndef NEXT_ONLY
        :: cursor < FRAMES -> /* slots_latest() */
                w = head;
                if
                :: w != 0 -> take_hold(w)
                :: else -> got = false
                fi;
                goto took
#endif
        :: cursor < FRAMES -> /* slots_next() */
                newest = SEQUENCE(head);
                got = false;
                q = (newest - cursor > SPAN -> newest - SPAN + 1 : cursor + 1);
                do
                :: q > newest -> break
                :: else ->
                        w = index[q % SPAN];
                        if
                        :: SEQUENCE(w) == q ->
                                if
                                :: sequence[SLOT(w)] == q -> take_hold(w)
                                :: else
                                fi
                        :: else
                        fi;
                        if
                        :: got -> break
                        :: else -> q++
                        fi
                od;
took:
                atomic { newest = 0; q = 0; w = 0 };
                if
                :: got ->
                        cursor = n;
                        a = first[s];
#ifdef NO_ACQUIRE_FENCE
                        got = INTACT(s, n);
                        b = second[s];
#else
                        b = second[s];
                        got = INTACT(s, n); /* slots_release() */
#endif
#ifdef NO_CHECK_AT_RELEASE
                        got = true;
#endif
                        d_step {
                                if
                                :: got -> assert(a == n && b == n)
                                :: else ->
                                        assert(!ENOUGH);
                                        assert(sequence[s] != n && sequence[s] != CLAIMED + n)
                                fi;
                                a = 0; b = 0
                        };
                        hold[me] = 0
                :: else
                fi;
                atomic { n = 0; s = 0; got = false }
        od
}

init {
        atomic {
                run reader(0);
#if READERS > 1
                run reader(1);
#endif
        }
}
