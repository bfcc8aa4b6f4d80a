/*
 * attach.pml -- an ordered reader dies at any point, and another gets its entry in the table, while frames flow.
 *
 * Mirrors shmd_writer_begin() with pick_slot(), wait_for_room() and find_dead(); slots_begin(), take() with the look at
 * the epoch, entries(), ordered_floor(), holder(), is_dead(), slots_blocker(), slots_flush(); slots_next(),
 * slots_release() and ring_room() of an ordered reader. Of the daemon: slots_leave() and the lowering of `used` after a
 * death, the epoch and slots_enter() (start: oldest) for the next reader, and the notices of both.
 *
 * The policy is block; the table has one entry. The first reader may die; the second lives. Without DAEMON nobody cleans
 * up: the writer finds the dead itself, when its slice of sleep ends. NEW_GROUP: no first reader, and the writer learns
 * of the table by a notice. GIVE_UP: begin may time out. OTHER: for a while a living reader is in the way as well.
 *
 * Left out: the lock, how readers wait for frames; the index is the slots' own numbers.
 *
 * Proven: the second reader gets every frame from its start on, its holds are not broken, and a dead reader does not keep
 * the writer waiting.
 *
 * PASS: -DSLOTS=2 -DFRAMES=3 -DDAEMON
 * PASS: -DSLOTS=2 -DFRAMES=3 -DDAEMON -DGIVE_UP -DOTHER
 * PASS: -DSLOTS=2 -DFRAMES=4
 * PASS: -DSLOTS=3 -DFRAMES=5 -DDAEMON -DNEW_GROUP
 * FAIL: -DSLOTS=2 -DFRAMES=4 -DDAEMON -DNO_LOOK_AT_EPOCH
 * FAIL: -DSLOTS=2 -DFRAMES=4 -DDAEMON -DKEEP_DEAD -DKEEP_DEAD_AT_LOOK
 * FAIL: -DSLOTS=2 -DFRAMES=3 -DDAEMON -DGIVE_UP -DOTHER -DKEEP_DEAD_AT_LOOK
 * FAIL: -DSLOTS=3 -DFRAMES=5 -DDAEMON -DNEW_GROUP -DNO_LOOK_AT_EPOCH
 * FAIL: -DSLOTS=3 -DFRAMES=5 -DDAEMON -DNEW_GROUP -DENTER_BEFORE_EPOCH
 * FAIL: -DSLOTS=3 -DFRAMES=5 -DDAEMON -DNEW_GROUP -DEPOCH_BEFORE_NOTICE
 * FAIL: -DSLOTS=3 -DFRAMES=5 -DDAEMON -DNEW_GROUP -DNO_SECOND_LOOK
 * FAIL: -DSLOTS=2 -DFRAMES=4 -DDAEMON -DNO_NOTICE -DNO_SLICE
 */

#define WORD(n, s) ((n) * 4 + (s))
#define SEQUENCE(w) ((w) / 4)
#define SLOT(w) ((w) % 4)
#define CLAIMED 64
#define WRITING 128
#define NONE 255
#define STALE 254

/* shared memory */
byte head;
byte sequence[SLOTS];
byte epoch;
byte hold;
byte cursor;
bool wanted;
#ifdef NEW_GROUP
byte used;
bool ordered;
#else
byte used = 1; /* the first reader has entered before the first frame */
bool ordered = true;
#endif

/* the kernel's */
bool rung;      /* an edge on the writer's watch, or a notice in its socket */
bool announced; /* that notice is of the group */
#ifdef NEW_GROUP
bool living; /* the lock on the entry's byte */
#else
bool living = true;
#endif
bool killed;

bool finished;
bool other; /* a reader of another entry, alive, is in the way as well */

/* needed_by() */
inline look(slot, n) {
        needed = false;
        if
        :: known && used > 0 ->
                if
                :: ordered && !dead ->
                        if
                        :: n > cursor -> needed = true
                        :: else
                        fi
                :: else
                fi;
                if
                :: !needed && hold == WORD(n, slot) && !dead -> needed = true
                :: else
                fi
        :: else
        fi;
#ifdef OTHER
        if
        :: other -> needed = true
        :: else
        fi
#endif
}

/* slots_begin(): s is the slot, NONE or STALE. */
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
                :: look(s, is)
                :: needed = false /* the first look is left out where the last search met nobody */
                fi;
                if
                :: !needed ->
                        sequence[s] = CLAIMED + is;
#ifndef NO_LOOK_AT_EPOCH
                        stale = (epoch != mine);
#endif
#ifndef NO_SECOND_LOOK
                        look(s, is);
#endif
                        if
                        :: stale -> sequence[s] = is; s = STALE; break
                        :: !stale && needed -> sequence[s] = is
                        :: else -> break
                        fi
                :: else
                fi;
                atomic { i++; s = (s + 1) % SLOTS; is = 0; needed = false }
        od;
        atomic { i = 0; is = 0; needed = false; stale = false };
#ifndef KEEP_DEAD
        if
        :: s != NONE -> dead = false /* forget_dead() */
        :: else
        fi
#endif
}

/* handle_look() */
inline read_notices() {
        e = epoch;
        if
        :: e != mine ->
                if
                :: announced -> atomic { announced = false; known = true }
                :: else
                fi;
#ifdef KEEP_DEAD_AT_LOOK
                mine = e
#else
                atomic { mine = e; dead = false }
#endif
        :: else
        fi;
        e = 0
}

/* pick_slot() */
inline pick() {
        do
        :: true ->
                begin();
                if
                :: s == STALE -> read_notices()
                :: else -> break
                fi
        od
}

active proctype writer() {
        byte n = 0, next = 0, s = 0, i = 0, is = 0, mine = 0, e = 0;
        bool needed = false, stale = false, dead = false;
#ifdef NEW_GROUP
        bool known = false;
#else
        bool known = true;
#endif

        do
        :: n == FRAMES -> break
        :: else ->
next_begin:
                read_notices();
                pick();
                if
                :: s == NONE -> /* wait_for_room() */
                        do
                        :: true ->
                                wanted = true;
                                pick();
                                if
                                :: s != NONE -> break
                                :: else
                                fi;
                                /* find_dead() */
                                if
                                :: !dead && ((ordered && cursor < n) || hold != 0) ->
                                        if
                                        :: !living -> dead = true; goto again
                                        :: living
                                        fi
                                :: else
                                fi;
                                if
                                :: atomic { rung -> rung = false }
#ifndef NO_SLICE
                                :: killed && ordered
#endif
#ifdef GIVE_UP
                                :: wanted = false; goto next_begin /* -ETIMEDOUT */
#endif
                                fi;
                                /* handle_drain(): the epoch stays what it was. */
                                if
                                :: announced -> atomic { announced = false; known = true }
                                :: else
                                fi;
again:                          skip
                        od;
                        wanted = false
                :: else
                fi;
                atomic { next = (s + 1) % SLOTS; n++ };
                sequence[s] = WRITING;
                sequence[s] = n;
                head = WORD(n, s);
                s = 0
        od;
        finished = true
}

#ifdef OTHER
active proctype other_reader() {
        other = true;
        other = false;
        if
        :: wanted -> rung = true
        :: else
        fi
}
#endif

/* An ordered reader. */
inline read_frames(mortal) {
        do
        :: mine == FRAMES -> break
        :: else ->
end_none:       SEQUENCE(head) > mine;
                n = mine + 1;
                /* Where the index says it is. */
                if
                :: sequence[0] == n || sequence[0] == CLAIMED + n -> s = 0
                :: sequence[1] == n || sequence[1] == CLAIMED + n -> s = 1
#if SLOTS > 2
                :: sequence[2] == n || sequence[2] == CLAIMED + n -> s = 2
#endif
                :: else -> assert(mortal) /* it is gone: missed */; break
                fi;
                hold = WORD(n, s);
                assert(sequence[s] == n || sequence[s] == CLAIMED + n);
                mine = n;
                assert(sequence[s] == n || sequence[s] == CLAIMED + n);
                cursor = mine;
                hold = 0;
                if
                :: wanted -> rung = true
                :: else
                fi;
                atomic { n = 0; s = 0 }
        od
}

inline start_cursor() {
        q = SEQUENCE(head);
        do
        :: q == 0 -> break
        :: q > 0 ->
                if
                :: sequence[0] == q || sequence[1] == q || sequence[SLOTS - 1] == q -> q--
                :: else -> break
                fi
        od
}

/* group_enter() */
inline slots_enter() {
        hold = 0;
        cursor = 0;
        ordered = true;
        used = 1;
        start_cursor();
        cursor = q
}

#ifndef NEW_GROUP
active proctype first() {
        byte mine = 0, n = 0, s = 0;

        {
                read_frames(true)
        } unless {
                killed
        }
        atomic { mine = 0; n = 0; s = 0 }
}
#endif

proctype second(byte mine) {
        byte n = 0, s = 0;

        read_frames(false)
}

active proctype daemon() {
        byte q = 0;

#ifndef NEW_GROUP
        if
        :: true
        :: atomic { killed = true; living = false }
        fi;
#ifndef DAEMON
        goto out;
#endif
        if
        :: !killed -> goto out
        :: else
        fi;
        /* slots_leave(), group_leave(), notices */
        ordered = false;
        hold = 0;
        cursor = 0;
        used = 0;
#ifndef NO_NOTICE
        rung = true;
        epoch++;
#endif
#ifdef NO_NOTICE
        goto out;
#endif
        living = true; /* the next one's, before it enters */
#else
        living = true;
#ifdef EPOCH_BEFORE_NOTICE
        epoch++;
        atomic { announced = true; rung = true };
#else
        atomic { announced = true; rung = true };
#ifndef ENTER_BEFORE_EPOCH
        epoch++;
#endif
#endif
#endif
#ifdef ENTER_BEFORE_EPOCH
        slots_enter();
        epoch++;
#else
#ifndef EPOCH_BEFORE_NOTICE
        epoch++;
#endif
        slots_enter();
#endif
        run second(q);
        /* The notice of the new count, after the reply. */
        rung = true;
        epoch++;
out:
        q = 0
}

init {
        timeout;
        assert(finished)
}
