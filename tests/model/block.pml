/*
 * block.pml -- the policy block: an ordered reader loses nothing, no hold is broken, no writer sleeps beside free room.
 *
 * Mirrors shmd_writer_begin() with wait_for_room(), slots_begin(), take(), is_needed() with ordered_floor() and
 * is_held(), slots_want_room(), slots_flush(), publish(); slots_enter() with start_cursor() and is_there(); hold(),
 * is_ours(), slots_next(), slots_latest(), slots_release(), slots_untake(), let_go(), look_for_sleeping_writer() and
 * ring_room(). Entry 0 is an ordered reader that opens while frames flow, entry 1 one that is not.
 *
 * Left out: the lock (lock.pml), the epoch (attach.pml; without it this is the weaker writer), how readers wait for frames (wake.pml: here they just see them), `used` and dead
 * readers (attach.pml). The writer's slice of sleep never ends by itself.
 *
 * Proven: the ordered reader gets every frame from its start on; no hold is broken; in the end all frames are out, or
 * (STOP) the writer waits for a reader that has stopped, and there is no room.
 *
 * PASS: -DSLOTS=3 -DFRAMES=5 -DLATEST_ONLY
 * PASS: -DSLOTS=2 -DFRAMES=4
 * PASS: -DSLOTS=2 -DFRAMES=3 -DSTOP
 * PASS: -DSLOTS=3 -DFRAMES=5 -DUNTAKE -DALONE
 * FAIL: -DSLOTS=2 -DFRAMES=4 -DNO_LOOK_AFTER_WANT
 * FAIL: -DSLOTS=2 -DFRAMES=4 -DWANT_AFTER_LOOK
 * FAIL: -DSLOTS=2 -DFRAMES=4 -DNO_ROOM_LOOK
 * FAIL: -DSLOTS=2 -DFRAMES=3 -DSTOP -DROOM_LOOK_BEFORE_RELEASE
 * FAIL: -DSLOTS=2 -DFRAMES=3 -DSTOP -DCURSOR_AFTER_HOLD
 * FAIL: -DSLOTS=2 -DFRAMES=4 -DNO_FLOOR
 * FAIL: -DSLOTS=2 -DFRAMES=4 -DNO_SECOND_LOOK
 * FAIL: -DSLOTS=3 -DFRAMES=5 -DLATEST_ONLY -DNO_SECOND_FLOOR
 * FAIL: -DSLOTS=2 -DFRAMES=4 -DCURSOR_BEFORE_HOLD
 * FAIL: -DSLOTS=3 -DFRAMES=5 -DLATEST_ONLY -DENTER_AT_ONCE
 * FAIL: -DSLOTS=3 -DFRAMES=5 -DLATEST_ONLY -DOLDEST_IS_MINIMUM
 * FAIL: -DSLOTS=3 -DFRAMES=5 -DLATEST_ONLY -DSKIP_CLAIMED
 */

#define SPAN 4 /* entries of the index */
#if SLOTS == 2
#undef SPAN
#define SPAN 2
#endif

#define WORD(n, s) ((n) * 4 + (s))
#define SEQUENCE(w) ((w) / 4)
#define SLOT(w) ((w) % 4)
#define CLAIMED 64
#define WRITING 128
#define NONE 255

/* shared memory */
byte head;
byte index[SPAN];
byte sequence[SLOTS];
byte payload[SLOTS];
byte hold[2];
byte cursor[2];
bool ordered[2];
bool wanted; /* room_wanted */

bool rung; /* an edge on the writer's watch */
bool finished;
bool stopped[2];

#define HELD(r, s) (hold[r] == WORD(sequence[s], s))
#define BLOCKED(s) (SLOT(head) == (s) || (ordered[0] && sequence[s] > cursor[0]) || HELD(0, s) || HELD(1, s))

/* is_needed(): the floor, then the holds. */
inline look(slot, n, with_floor) {
        needed = false;
#ifndef NO_FLOOR
        if
        :: with_floor ->
                /* of entry 0 only: entry 1 is never ordered */
                if
                :: ordered[0] ->
                        if
                        :: n > cursor[0] -> needed = true
                        :: else
                        fi
                :: else
                fi
        :: else
        fi;
#endif
        if
        :: !needed ->
                if
                :: hold[0] == WORD(n, slot) -> needed = true
                :: else ->
                        if
                        :: hold[1] == WORD(n, slot) -> needed = true
                        :: else
                        fi
                fi
        :: else
        fi
}

/* slots_begin(): s is the slot, or NONE. */
inline begin() {
        atomic { i = 0; s = next };
        do
        :: i == SLOTS -> s = NONE; break
        :: i < SLOTS && n != 0 && s == SLOT(head) -> atomic { i++; s = (s + 1) % SLOTS }
        :: i < SLOTS && !(n != 0 && s == SLOT(head)) ->
                is = sequence[s];
                if
                :: is == 0 -> break
                :: else
                fi;
                if
                :: look(s, is, true)
                :: needed = false /* the first look is left out where the last search met nobody */
                fi;
                if
                :: !needed ->
                        sequence[s] = CLAIMED + is;
#ifndef NO_SECOND_LOOK
#ifdef NO_SECOND_FLOOR
                        look(s, is, false);
#else
                        look(s, is, true);
#endif
#endif
                        if
                        :: needed -> sequence[s] = is
                        :: else -> break
                        fi
                :: else
                fi;
                atomic { i++; s = (s + 1) % SLOTS; is = 0; needed = false }
        od;
        atomic { i = 0; is = 0; needed = false }
}

active proctype writer() {
        byte n = 0, next = 0, s = 0, i = 0, is = 0;
        bool needed = false;

        do
        :: n == FRAMES -> break
        :: else ->
                begin();
                if
                :: s == NONE -> /* wait_for_room() */
#ifdef WANT_AFTER_LOOK
                        begin();
                        if
                        :: s != NONE -> goto got
                        :: else
                        fi;
#endif
                        do
                        :: true ->
                                wanted = true;
#if !defined(NO_LOOK_AFTER_WANT) && !defined(WANT_AFTER_LOOK)
                                begin();
                                if
                                :: s != NONE -> break
                                :: else
                                fi;
#endif
                                atomic { rung -> rung = false };
#if defined(NO_LOOK_AFTER_WANT) || defined(WANT_AFTER_LOOK)
                                begin();
                                if
                                :: s != NONE -> break
                                :: else
                                fi
#endif
                        od;
                        wanted = false
                :: else
                fi;
got:
                atomic { next = (s + 1) % SLOTS; n++ };
                sequence[s] = WRITING;
                payload[s] = n;
                sequence[s] = n;
                index[n % SPAN] = WORD(n, s);
                head = WORD(n, s);
                s = 0
        od;
        finished = true
}

/* look_for_sleeping_writer() */
inline look_for_writer() {
        if
        :: wanted -> room = true
        :: else
        fi
}

/* ring_room() */
inline ring() {
        if
        :: room -> atomic { rung = true; room = false }
        :: else
        fi
}

inline let_go() {
#ifdef ROOM_LOOK_BEFORE_RELEASE
        look_for_writer();
        hold[me] = 0
#else
        hold[me] = 0;
#ifndef NO_ROOM_LOOK
        look_for_writer()
#endif
#endif
}

/* May a slot that says @is be held as frame @n? The ordered reader knows that a claim on what it is owed comes to
 * nothing. */
#ifdef SKIP_CLAIMED
#define IS_THERE(is, n) ((is) == (n))
#else
#define IS_THERE(is, n) ((is) == (n) || (me == 0 && (n) > mine && (is) == CLAIMED + (n)))
#endif

inline take_hold(w) {
        n = SEQUENCE(w);
        s = SLOT(w);
#ifdef CURSOR_BEFORE_HOLD
        cursor[me] = n;
#endif
        hold[me] = w;
        got = IS_THERE(sequence[s], n);
        if
        :: got -> atomic { before = mine; mine = n }
        :: else -> let_go()
        fi
}

/* start_cursor() */
inline start_cursor() {
        newest = SEQUENCE(head);
        if
        :: q = newest /* PROTO_START_END */
        :: newest != 0 -> q = newest - 1 /* PROTO_START_NEWEST; that it is there is seen below */
        :: newest != 0 -> /* PROTO_START_OLDEST */
#ifdef OLDEST_IS_MINIMUM
                q = newest;
                s = 0;
                do
                :: s == SLOTS -> break
                :: s < SLOTS && sequence[s] != 0 && sequence[s] < q -> q = sequence[s]; s++
                :: else -> s++
                od;
                q--;
                s = 0;
#else
                /* the run of frames that ends with the newest, none of them claimed */
                q = newest;
                do
                :: q == 0 || newest - q >= SPAN -> break
                :: else ->
                        w = index[q % SPAN];
                        if
                        :: SEQUENCE(w) == q ->
                                if
                                :: sequence[SLOT(w)] == q -> q--
                                :: else -> break
                                fi
                        :: else -> break
                        fi
                od;
                w = 0
#endif
        fi;
        newest = 0
}

proctype reader(byte me) {
        byte mine = 0, before = 0, newest = 0, q = 0, w = 0, n = 0, s = 0;
        bool got = false, room = false;

        if
        :: me == 0 -> /* slots_enter(), by the daemon */
#ifdef ENTER_AT_ONCE
                start_cursor();
                cursor[0] = q;
                ordered[0] = true;
#else
                ordered[0] = true; /* and the cursor is 0 */
                start_cursor();
                cursor[0] = q;
#endif
                /* The writers hear of it by a notice. */
                rung = true;
                atomic { mine = q; q = 0 }
        :: else
        fi;
        do
        :: mine == FRAMES -> break
        :: mine < FRAMES ->
end_none:       SEQUENCE(head) > mine;
                if
                :: me == 1 -> /* slots_latest() */
                        w = head;
                        take_hold(w);
                        goto took
#ifdef LATEST_ONLY
                :: me == 0 -> /* slots_next() */
#else
                :: true -> /* slots_next() */
#endif
                        newest = SEQUENCE(head);
                        got = false;
                        q = (newest - mine > SPAN -> newest - SPAN + 1 : mine + 1);
                        do
                        :: q > newest -> break
                        :: else ->
                                w = index[q % SPAN];
                                if
                                :: SEQUENCE(w) == q ->
                                        if
                                        :: IS_THERE(sequence[SLOT(w)], q) -> take_hold(w)
                                        :: else
                                        fi
                                :: else
                                fi;
                                if
                                :: got -> break
                                :: else -> q++
                                fi
                        od
                fi;
took:
                ring();
                assert(me == 1 || !got || n == before + 1);
                atomic { newest = 0; q = 0; w = 0 };
                if
                :: got ->
                        assert(payload[s] == n);
#ifdef UNTAKE
                        if
                        :: true
                        :: mine = before
                        fi;
#endif
                        assert(sequence[s] == n || sequence[s] == CLAIMED + n); /* slots_release() */
#ifdef CURSOR_AFTER_HOLD
                        let_go();
                        cursor[me] = mine;
#else
                        cursor[me] = mine;
                        let_go();
#endif
                        ring()
                :: else
                fi;
                atomic { n = 0; s = 0; before = 0; got = false };
#ifdef STOP
                if
                :: true
                :: stopped[me] = true; break /* it lives on, and takes nothing any more */
                fi
#endif
        od;
        mine = 0
}

init {
        atomic {
                run reader(0);
#ifndef ALONE
                run reader(1)
#endif
        };
        timeout;
        /* An ordered reader that stops keeps the writer waiting, but not beside free room. */
        assert(finished || stopped[0]);
        assert(finished || (BLOCKED(0) && BLOCKED(1) && BLOCKED(SLOTS - 1)));
        assert(cursor[0] == FRAMES || stopped[0])
}
