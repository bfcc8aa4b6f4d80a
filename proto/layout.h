/*
 * layout.h -- what lies in the shared memory of a segment, byte for byte.
 *
 * A segment is one data memfd (header, slot descriptors, index, payload) and, for every group of readers, one reader
 * table memfd. Who may write what is enforced by the kernel through the descriptors that the daemon hands out:
 *
 *      data memfd      writers and the daemon write, readers have a read-only description
 *      reader table    the readers of that group and the daemon write, writers have a read-only description
 *
 * Everything here is therefore untrusted input to whoever could not write it. Sizes, counts and offsets never come
 * from here: they come from the daemon's reply, through geometry.h. The copies in the header are for people with a
 * debugger.
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#define LAYOUT_VERSION 2
#define LAYOUT_DATA_MAGIC UINT64_C(0x0001617461646d68)  /* "hmdata\1" */
#define LAYOUT_TABLE_MAGIC UINT64_C(0x0001626c74646d68) /* "hmdtlb\1" */

#define LAYOUT_LINE 64           /* what two cores fight over: one cache line */
#define LAYOUT_SLOTS_MAX 4096    /* a slot number fits the low bits of a word, see below */
#define LAYOUT_READERS_MAX 400   /* of one group: the kernel allows 500 nested watches on one eventfd */
#define LAYOUT_WRITERS_MAX 256   /* of one segment at a time, the daemon being one */
#define LAYOUT_WRITER_DAEMON 255 /* the id with which the daemon tidies up after the dead */
#define LAYOUT_GROUPS_MAX 64     /* of one segment */
#define LAYOUT_KEPT_MAX 64       /* frames of one segment that are kept for readers of other uids than the owner's */
#define LAYOUT_WAITING_WORDS 8   /* 512 bits, one cache line */

/*
 * A word names one frame in one place: its sequence number and its slot. The head, the index and every hold are words,
 * so a stale one is recognised by its sequence number, which is never used again: 2^52 frames last 14 years at ten
 * million a second.
 */
#define LAYOUT_SLOT_BITS 12
#define LAYOUT_SEQUENCE_MAX ((UINT64_C(1) << (64 - LAYOUT_SLOT_BITS)) - 1)

/* The states of layout_slot.sequence besides "holds frame N" (N). */
#define LAYOUT_FREE UINT64_C(0)            /* nothing readable in it */
#define LAYOUT_CLAIMED (UINT64_C(1) << 63) /* with N: a writer asks for it, frame N is still whole */
#define LAYOUT_WRITING (UINT64_C(1) << 62) /* the payload is being changed */
#define LAYOUT_TORN (UINT64_C(1) << 61)    /* one slot only: a writer gave up or died half way */

/*
 * A process shows that it lives by an OFD lock on one byte of a memfd far behind its end: byte LAYOUT_LOCK_BASE + id of
 * the data memfd for a writer, byte LAYOUT_LOCK_BASE + entry of its group's table for a reader. The daemon takes the
 * lock on the description before it sends it, so nobody can forget to.
 */
#define LAYOUT_LOCK_BASE (INT64_C(1) << 40)

/* A frame that readers of other uids hold, and that a writer has met: it is kept for them. */
struct layout_kept {
        _Atomic uint64_t word;     /* 0: the list ends here */
        _Atomic uint64_t accounts; /* bit N: on the account of those uids whose groups have number N */
};

struct layout_header {
        uint64_t magic;
        uint32_t version;
        uint32_t n_slots;
        uint64_t slot_size;
        uint64_t stride;
        uint64_t payload_offset;

        /* Seldom written, looked at by all: a line of its own, so that looking costs nothing. */
        /* The daemon adds 1 after it has sent notices to the handles, and before a reader enters. */
        _Alignas(LAYOUT_LINE) _Atomic uint32_t epoch;
        _Atomic uint32_t room_wanted; /* block: a writer sleeps until a reader lets go */
        /* The daemon adds 1 before it lets a reader in of whose group a writer has not been told, because it has not come
         * back since a restart of the daemon. */
        _Atomic uint32_t unannounced;

        _Alignas(LAYOUT_LINE) _Atomic uint64_t head; /* word of the newest frame; 0: none yet */

        /* The writers' own. */
        _Alignas(LAYOUT_LINE) _Atomic uint32_t lock; /* turn << 9, and while it is taken the owner's id + 1 */
        _Atomic uint32_t lock_wanted;                /* somebody sleeps, or is about to, until the lock is free */
        _Atomic uint32_t lock_wakes;                 /* grows with each wake-up: the futex that they sleep on */
        _Atomic uint32_t next_slot;                  /* where the next search begins */

        /* The writers' own as well, and theirs who have the lock: in the order in which the holds were met. */
        _Alignas(LAYOUT_LINE) struct layout_kept kept[LAYOUT_KEPT_MAX];
};

struct layout_slot {
        _Alignas(LAYOUT_LINE) _Atomic uint64_t sequence;
        _Atomic uint64_t length;    /* bytes of payload */
        _Atomic uint64_t timestamp; /* CLOCK_MONOTONIC of the flush, ns */
        _Atomic uint64_t tag;       /* the application's */
};

struct layout_reader {
        _Alignas(LAYOUT_LINE) _Atomic uint64_t hold; /* word of the frame it holds; 0: none */
        _Atomic uint64_t cursor;                     /* sequence of the last frame it took and let go */
        _Atomic uint64_t ordered;                    /* block: the writer keeps what lies behind the cursor */
        _Atomic uint64_t missed;                     /* frames that were gone before it came for them */
};

struct layout_table {
        uint64_t magic;
        uint32_t version;
        uint32_t n_readers;
        _Atomic uint32_t used; /* entries below this may be taken: where a writer's look ends */
        _Alignas(LAYOUT_LINE) _Atomic uint64_t waiting[LAYOUT_WAITING_WORDS]; /* bit N: reader N waits for the bell */
        struct layout_reader reader[LAYOUT_READERS_MAX];
};

static_assert(sizeof(struct layout_header) == (4ul + LAYOUT_KEPT_MAX / 4) * LAYOUT_LINE, "part of the layout version");
static_assert(sizeof(struct layout_slot) == LAYOUT_LINE, "part of the layout version");
static_assert(sizeof(struct layout_reader) == LAYOUT_LINE, "part of the layout version");
static_assert(sizeof(struct layout_table) == (2ul + LAYOUT_READERS_MAX) * LAYOUT_LINE, "part of the layout version");
static_assert(LAYOUT_SLOTS_MAX <= 1 << LAYOUT_SLOT_BITS, "a slot number fits a word");
static_assert(LAYOUT_READERS_MAX <= LAYOUT_WAITING_WORDS * 64, "a bit for every reader");
static_assert(LAYOUT_GROUPS_MAX <= 64, "a bit for every account");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "locks do not work between processes");
