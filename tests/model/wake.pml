/*
 * wake.pml -- nobody sleeps while there is a frame that it has not seen.
 *
 * Mirrors shmd_writer_flush() with slots_flush(), slots_unlock(), look_and_ring(), handle_look(), ring() and
 * slots_waiting(); shmd_writer_begin() and shmd_writer_cancel() as far as they look at the epoch; lock() where it
 * inherits, and recover(); wait_once() without its looking before it sleeps, slots_arm(), slots_fresh(), handle_sleep(),
 * and (EVENT_LOOP) shmd_reader_arm() with an event loop around shmd_reader_fd(). Of the daemon: a reader that opens
 * (notice of its group to the writers, epoch, reply) and a writer that has died (inherit, then notices to all).
 *
 * A watch: an edge stays until epoll_wait() takes it off, a bell's counter is never 0. A socket in it is readable as
 * long as a notice lies there. The second writer may die anywhere, also with the lock.
 *
 * Left out: slots, holds (overwrite.pml), the lock's futex (lock.pml). Each group has one reader, but READERS_IN_GROUP
 * 2 puts both into the first, with a word of waiting bits for each.
 *
 * Proven: when nothing more happens, every reader has seen the newest frame.
 *
 * PASS: -DFRAMES=3
 * PASS: -DFRAMES=3 -DEVENT_LOOP
 * PASS: -DFRAMES=3 -DREADERS_IN_GROUP=2
 * PASS: -DFRAMES=1 -DDEATH -DONLY=0
 * PASS: -DFRAMES=1 -DDEATH -DONLY=1
 * PASS: -DFRAMES=1 -DDEATH -DONLY=1 -DEVENT_LOOP
 * FAIL: -DFRAMES=2 -DNO_RECHECK
 * FAIL: -DFRAMES=2 -DLOOK_BEFORE_ARM
 * FAIL: -DFRAMES=2 -DRING_BEFORE_HEAD
 * FAIL: -DFRAMES=2 -DEDGE_OFF_AFTER_ARM
 * FAIL: -DFRAMES=2 -DEDGE_OFF_AFTER_ARM -DEVENT_LOOP
 * FAIL: -DFRAMES=2 -DNO_REARM -DEVENT_LOOP
 * FAIL: -DFRAMES=2 -DDISARM_ALL -DREADERS_IN_GROUP=2
 * FAIL: -DFRAMES=1 -DNO_LOOK_AT_FLUSH
 * FAIL: -DFRAMES=1 -DLOOK_BEFORE_HEAD
 * FAIL: -DFRAMES=1 -DEPOCH_BEFORE_NOTICE
 * FAIL: -DFRAMES=1 -DREPLY_BEFORE_EPOCH
 * FAIL: -DFRAMES=1 -DDEATH -DONLY=1 -DNO_NOTICE
 * FAIL: -DFRAMES=1 -DDEATH -DONLY=1 -DNOTICE_BEFORE_INHERIT
 * FAIL: -DFRAMES=1 -DDEATH -DONLY=1 -DNO_PUBLISH_IN_RECOVER
 * FAIL: -DFRAMES=1 -DDEATH -DONLY=1 -DNO_LOOK_AFTER_INHERIT
 * FAIL: -DFRAMES=1 -DDEATH -DONLY=1 -DNO_RING_AFTER_INHERIT
 */

#ifndef READERS_IN_GROUP
#define READERS_IN_GROUP 1
#endif

#ifdef DEATH
#define WRITERS 2
#else
#define WRITERS 1
#endif

#define GROUP(r) (READERS_IN_GROUP == 2 -> 0 : (r))

/* shared memory */
byte head;
byte complete; /* the newest frame whose slot says so */
byte epoch;
byte owner;    /* of the lock: writer + 1; 0: none; 9: the daemon */
bool waiting[2];

/* the kernel's */
bool edge[2];        /* on a reader's watch */
bool notice[2];      /* in a reader's socket */
bool announced[2];   /* in a writer's socket: the second group */
bool known[2];       /* the writer has taken the second group in */
bool dead;           /* the second writer */
bool begun;          /* the second reader may begin */
byte seen[2];        /* cursors, for the end */
bool stopped;        /* the second writer is not to be killed any more */

#define IS_IN_THE_WAY(w, g) ((g) == 0 || known[w])

inline ring(w) {
        g = 0;
        do
        :: g == 2 -> break
        :: g < 2 && (READERS_IN_GROUP == 2 || !IS_IN_THE_WAY(w, g)) && !(READERS_IN_GROUP == 2 && g == 0) -> g++
        :: g < 2 && READERS_IN_GROUP == 1 && IS_IN_THE_WAY(w, g) ->
                if
                :: waiting[g] -> edge[g] = true /* write(2), after the look */
                :: else
                fi;
                g++
        :: READERS_IN_GROUP == 2 && g == 0 ->
                if
                :: waiting[0] -> atomic { edge[0] = true; edge[1] = true }
                :: else ->
                        if
                        :: waiting[1] -> atomic { edge[0] = true; edge[1] = true }
                        :: else
                        fi
                fi;
                g++
        od;
        g = 0
}

/* handle_look() */
inline look(w) {
        e = epoch;
        if
        :: e != mine ->
                if
                :: announced[w] -> atomic { announced[w] = false; known[w] = true }
                :: else
                fi;
                mine = e
        :: else
        fi;
        e = 0
}

/* slots_flush() and what follows */
inline flush(w) {
#ifdef RING_BEFORE_HEAD
        ring(w);
#endif
#ifdef LOOK_BEFORE_HEAD
        look(w);
#endif
        complete = head + 1; /* only the owner of the lock stores the head */
        head = complete;
        owner = 0;
#if !defined(NO_LOOK_AT_FLUSH) && !defined(LOOK_BEFORE_HEAD)
        look(w);
#endif
#ifndef RING_BEFORE_HEAD
        ring(w)
#endif
}

inline recover() {
#ifndef NO_PUBLISH_IN_RECOVER
        if
        :: complete == head + 1 -> head = complete
        :: else
        fi
#else
        skip
#endif
}

active proctype writer() {
        byte n = 0, mine = 0, e = 0, g = 0;

        do
        :: n == FRAMES -> break
        :: else ->
                look(0);
                if
                :: atomic { owner == 0 -> owner = 1 }
#ifdef DEATH
                :: atomic { owner == 2 && dead -> owner = 1 }; /* lock() finds its owner dead */
                        recover();
#ifndef NO_LOOK_AFTER_INHERIT
                        look(0);
#endif
#ifndef NO_RING_AFTER_INHERIT
                        ring(0)
#endif
#endif
                fi;
                if
                :: flush(0)
#ifdef DEATH
                :: owner = 0 /* cancel */
#endif
                fi;
                n++
        od;
        n = 0; mine = 0
}

#ifdef DEATH
active proctype mortal() {
        byte mine = 0, e = 0, g = 0;

        {
                look(1);
                atomic { owner == 0 -> owner = 2 };
                flush(1);
                stopped = true
        } unless {
                dead
        }
        mine = 0; e = 0; g = 0
}

active proctype killer() {
        if
        :: atomic { !stopped -> dead = true }
        :: true
        fi
}
#endif

proctype reader(byte r) {
        byte cursor = 0;

        (begun || r == 0 || READERS_IN_GROUP == 2);
        cursor = head; /* what it enters with, or takes first */
        seen[r] = cursor;
        do
        :: true ->
rearm:          /* shmd_reader_arm(), or wait_once(), which leaves stale edges where they are */
#if defined(EVENT_LOOP) && !defined(EDGE_OFF_AFTER_ARM)
                atomic { edge[r] = false; notice[r] = false }; /* epoll_wait(), and the notices are read */
#endif
                if
                :: head != cursor -> goto take
                :: else
                fi;
#ifdef LOOK_BEFORE_ARM
                if
                :: head != cursor -> goto take
                :: else
                fi;
                waiting[r] = true;
#else
                waiting[r] = true;
#ifndef NO_RECHECK
                if
                :: head != cursor -> waiting[r] = false; goto rearm
                :: else
                fi;
#endif
#endif
#ifdef EDGE_OFF_AFTER_ARM
                atomic { edge[r] = false; notice[r] = false };
#endif
                /* asleep */
#ifdef EVENT_LOOP
end_loop:       (edge[r] || notice[r]); /* the outer instance sees it and leaves it there */
#ifdef NO_REARM
                if
                :: head != cursor -> goto take
                :: else -> atomic { edge[r] = false; notice[r] = false }; goto end_loop
                fi;
#endif
#else
end_sleep:      atomic { edge[r] || notice[r] -> edge[r] = false; notice[r] = false };
#endif
                waiting[r] = false;
#ifdef DISARM_ALL
                waiting[1 - r] = false; /* as if bits were stored, not changed by an atomic and */
#endif
#ifndef EVENT_LOOP
                if
                :: head != cursor -> goto take
                :: else
                fi;
#endif
                goto rearm;
take:
                atomic { cursor = head; seen[r] = cursor }
        od
}

active proctype daemon() {
        bool told = false, opened = (READERS_IN_GROUP == 2);

        do
        :: !opened ->
                opened = true;
#ifdef REPLY_BEFORE_EPOCH
                begun = true;
#endif
#ifdef EPOCH_BEFORE_NOTICE
                epoch++;
#endif
                announced[0] = true;
#ifdef DEATH
                announced[1] = true;
#endif
#ifndef EPOCH_BEFORE_NOTICE
                epoch++;
#endif
                begun = true
#ifdef DEATH
        :: dead && !told ->
                told = true;
#if defined(NOTICE_BEFORE_INHERIT)
                notice[0] = true;
                notice[1] = true;
#endif
                if
                :: atomic { owner == 2 -> owner = 9 };
                        recover();
                        owner = 0
                :: owner != 2
                fi
#if !defined(NOTICE_BEFORE_INHERIT) && !defined(NO_NOTICE)
                ;
                notice[0] = true;
                notice[1] = true
#endif
#endif
        :: opened && (WRITERS == 1 || told || stopped) -> break
        od
}

init {
        atomic {
#if !defined(ONLY) || ONLY == 0
                run reader(0);
#endif
#if !defined(ONLY) || ONLY == 1
                run reader(1);
#endif
        };
        timeout;
        assert(owner == 0 && complete == head);
#if !defined(ONLY) || ONLY == 0
        assert(seen[0] == head);
#endif
#if !defined(ONLY) || ONLY == 1
        assert(seen[1] == head)
#endif
}
