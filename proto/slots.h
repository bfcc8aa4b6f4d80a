/*
 * slots.h -- the slots: how frames get from writers to readers through a segment's memory.
 *
 * The algorithms and nothing else: no system call, no clock, no allocation. Waiting (for a lock, for room, for a
 * frame) and ringing are the library's business; these functions say when. The library, the daemon (which cleans up
 * after the dead) and the tests run this very code.
 *
 * Writer                                          Reader
 *      lock                                             loop:
 *      begin: pick a slot that is not the newest           load head -> word (sequence N, slot s)
 *          and not held;                                   hold := word
 *          slot.sequence := N | CLAIMED                    is slot[s].sequence still N? it is ours,
 *          look at the holds again: one appeared?             nobody will write to it
 *              slot.sequence := N, pick another            otherwise hold := 0, start over
 *          slot.sequence := WRITING                     ... read in place ...
 *      ... write the payload ...                        is slot[s].sequence still N (or N | CLAIMED)?
 *      flush: slot.sequence := N'                           nobody wrote meanwhile
 *          index[N'] := word, head := word              hold := 0
 *      unlock, fence
 *      does anybody wait? ring
 *
 * The two stores that cross, "CLAIMED" and "hold", are each followed by a load of what the other stored. All four are
 * sequentially consistent, so at least one side sees the other (Dekker): either the reader sees the claim and lets go,
 * or the writer sees the hold and looks for another slot. CLAIMED is apart from WRITING so that a reader which is about
 * to let go can tell "asked for" (its frame is whole) from "being overwritten". The same crossing of a store and a load
 * makes the wake-ups sure: head against the waiting bit and the epoch, the lock against lock_wanted, hold against
 * room_wanted. On the writer's side of those a fence stands between the store and the load: slots_unlock() has it.
 *
 * A hold is the word of a frame, so one that the writer broke (it was short of slots) binds it no longer.
 *
 * A writer knows the readers' groups from the daemon's notices. After a claim it also looks whether the epoch is still
 * that of the last notice it has read: a reader that enters later raises it first, and then sees the claim.
 *
 * The holds of readers of other uids than the owner's bind within a budget, see slots_foreign.h.
 *
 * One slot is the same code: there is no other slot to pick, a hold does not bind, and a reader's second look at the
 * sequence is that of a sequence lock.
 *
 * Whatever lies in memory that somebody else can write is checked before it is used: slot numbers against the geometry,
 * lengths against the slot size; every loop is bounded by the geometry or by SLOTS_RETRIES.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/geometry.h"
#include "proto/layout.h"

#define SLOTS_RETRIES 20000 /* a reader's attempts to hold the newest frame; an honest writer wins a handful in a row */

#define SLOTS_ROUNDS 100 /* a writer's looks at slots that are all held, before it breaks a hold in any case */

enum {
        SLOTS_E_LOCKED = 1,  /* another writer has the lock */
        SLOTS_E_STALE,       /* begin: the daemon has told something since; read it, then begin again */
        SLOTS_E_FULL,        /* block: every slot is held or not yet taken by an ordered reader */
        SLOTS_E_NONE,        /* latest: nothing was ever published; next: nothing new */
        SLOTS_E_BUSY,        /* one slot: a writer is between begin and flush */
        SLOTS_E_TORN,        /* one slot: a writer gave up or died between begin and flush */
        SLOTS_E_OVERWRITTEN, /* release: the writer broke the hold; what was read may be torn */
        SLOTS_E_CONFUSED,    /* the memory contradicts itself for longer than an honest writer could make it */
};

/* A mapped data memfd. Of the payload nothing is touched here. */
struct slots {
        struct geometry geometry;
        unsigned char *base; /* borrowed; a reader's is mapped read-only */
};

static inline struct layout_header *slots_header(const struct slots *s) { return (struct layout_header *)s->base; }

static inline struct layout_slot *slots_slot(const struct slots *s, uint32_t slot) {
        return (struct layout_slot *)(s->base + s->geometry.slot_offset) + slot;
}

static inline _Atomic uint64_t *slots_index(const struct slots *s, uint64_t sequence) {
        return (_Atomic uint64_t *)(s->base + s->geometry.index_offset) + (sequence & (s->geometry.index_size - 1));
}

static inline unsigned char *slots_payload(const struct slots *s, uint32_t slot) {
        return s->base + s->geometry.payload_offset + s->geometry.stride * slot;
}

static inline uint64_t slots_word(uint64_t sequence, uint32_t slot) { return sequence << LAYOUT_SLOT_BITS | slot; }
static inline uint64_t slots_word_sequence(uint64_t word) { return word >> LAYOUT_SLOT_BITS; }
static inline uint32_t slots_word_slot(uint64_t word) { return word & ((1u << LAYOUT_SLOT_BITS) - 1); }

/* Sequence of the newest frame; 0: none yet. */
uint64_t slots_newest(const struct slots *s);

/* CLOCK_MONOTONIC ns of the newest frame, for statistics; 0: none yet. */
uint64_t slots_newest_timestamp(const struct slots *s);

/* Write the header of a fresh, zeroed segment. */
void slots_init(const struct slots *s);

/* Write the header of a fresh, zeroed reader table. */
void slots_table_init(struct layout_table *table);

/* ---- the writers' lock ------------------------------------------------------------------------------------------ */

/*
 * A robust lock of our own. A pthread mutex will not do: its links for the robust list lie in the mutex, so a hostile
 * writer forges them and pthread_mutex_unlock() in another writer stores where it is told to. Here the word has an id
 * in it and nothing else; whether its owner lives is known from the owner's OFD lock (see layout.h).
 *
 * A lock that nobody waits for costs one atomic exchange to take and a store to let go: slots_unlock() has the one full
 * fence of a flush, and it serves the lock's sleepers, the readers' waiting bits and the epoch alike.
 *
 * Who waits: slots_lock_want(), then try once more, then sleep while lock_wakes is what slots_lock_want() returned, but
 * never for long: an owner may die between letting go and waking.
 */

/* The writer that has the lock whose word was seen; UINT32_MAX: nobody. */
static inline uint32_t slots_lock_owner(uint32_t seen) { return (seen & 0x1ff) - 1; }

/**
 * slots_lock() - try to take the writers' lock
 * @s:    the segment
 * @id:   who wants it, below LAYOUT_WRITERS_MAX
 * @seen: receives the lock word on failure: who has it, and for the how manieth time somebody does
 *
 * Return: 0 or SLOTS_E_LOCKED.
 */
int slots_lock(const struct slots *s, uint32_t id, uint32_t *seen);

/* Announce that the caller will sleep if slots_lock() fails once more. Return: the value of lock_wakes to sleep on. */
uint32_t slots_lock_want(const struct slots *s);

/**
 * slots_lock_inherit() - take the lock over from a writer that has died, and tidy up after it
 * @s:    the segment
 * @id:   who takes it
 * @seen: the lock word while the dead one had it
 *
 * The dead one may not have rung: look at the epoch and slots_waiting() as after slots_unlock().
 *
 * Return: true if the lock is the caller's now; false if it was passed on meanwhile.
 */
bool slots_lock_inherit(const struct slots *s, uint32_t id, uint32_t seen);

/* Let go. Return: true if somebody sleeps on lock_wakes: wake all. */
bool slots_unlock(const struct slots *s);

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* How many frames all the uids that are not the owner's may hold together. */
static inline uint32_t slots_foreign_most(uint32_t n_slots) {
        uint32_t spare = n_slots > 2 ? n_slots - 2 : 0;

        return spare < LAYOUT_KEPT_MAX ? spare : LAYOUT_KEPT_MAX;
}

struct slots_group {
        const struct layout_table *table; /* borrowed, mapped read-only; NULL: no such group */
        bool binding;                     /* its holds bind the writer: it is of the owner's uid */
        uint32_t account;                 /* otherwise: the same for all groups of one uid; below LAYOUT_GROUPS_MAX */
        uint32_t holds;                   /* frames that the account may hold at a time; 0: none binds */
        /* Entries whose reader is known to be dead, though the daemon has not cleaned up yet: set by the library after
         * SLOTS_E_FULL. Forgotten when the epoch changes: an entry may then be somebody else's. */
        uint64_t dead[LAYOUT_WAITING_WORDS];
};

struct slots_writer {
        struct slots slots;
        bool block;     /* the segment's policy */
        uint32_t epoch; /* the header's before the notices were last read: all groups up to it are known */
        uint32_t n_groups;
        struct slots_group groups[LAYOUT_GROUPS_MAX];
        uint64_t foreign;                  /* bit N: group N is not binding, but has a budget */
        uint32_t holds[LAYOUT_GROUPS_MAX]; /* by account */
        bool met;                          /* the last search for a slot met a frame that somebody needed */
        uint32_t slot;                     /* between begin and flush: the slot being written */
};

/* Put a group in its place, whatever was there; an empty one (no table) takes it away. */
void slots_set_group(struct slots_writer *w, uint32_t index, const struct slots_group *group);

/* Before slots_lock(): fetch what slots_begin() will most likely look at, the entries of the first readers. */
void slots_expect(const struct slots_writer *w);

/**
 * slots_begin() - pick a slot for the next frame; the caller has the lock
 * @w: the writer; receives the slot
 *
 * Return: 0, SLOTS_E_STALE, or SLOTS_E_FULL (block only).
 */
int slots_begin(struct slots_writer *w);

/**
 * slots_flush() - publish the slot that slots_begin() picked; the caller has the lock
 * @w:         the writer
 * @length:    bytes of payload, at most slot_size
 * @tag:       the application's
 * @timestamp: CLOCK_MONOTONIC, ns
 *
 * After slots_unlock(), slots_waiting() says which groups to ring.
 *
 * Return: the frame's sequence number.
 */
uint64_t slots_flush(struct slots_writer *w, uint64_t length, uint64_t tag, uint64_t timestamp);

/* After a flush, the rest done: fetch what the next slots_begin() will most likely store to. */
void slots_prepare(const struct slots_writer *w);

/* Give the slot back unpublished. With one slot the frame is torn until the next flush. The caller has the lock. */
void slots_cancel(struct slots_writer *w);

/* Does anybody of this group wait for its bell? To be asked after slots_unlock(). */
bool slots_waiting(const struct slots_group *group);

/* Announce (or take back) that a writer is about to sleep until there is room; after announcing, begin once more. */
void slots_want_room(const struct slots_writer *w, bool wanted);

/**
 * slots_blocker() - who of the owner's uid is in the way?
 * @w:     the writer, after SLOTS_E_FULL
 * @group: where to go on, and receives the blocker's group; begin with 0
 * @entry: likewise, the entry in its table; begin with 0; go on with the entry found plus 1
 *
 * Return: true if there is one.
 */
bool slots_blocker(const struct slots_writer *w, uint32_t *group, uint32_t *entry);

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct slots_frame {
        const unsigned char *data;
        uint64_t length;
        uint64_t sequence;
        uint64_t timestamp;
        uint64_t tag;
        uint64_t missed; /* frames between the one taken before and this one */
};

struct slots_reader {
        struct slots slots;
        struct layout_table *table; /* borrowed, mapped read-write */
        uint32_t entry;
        bool ordered;    /* the policy is block, and the writer waits for this reader */
        bool room;       /* set by any call here: a writer sleeps until there is room. Ring it and clear this */
        uint64_t cursor; /* sequence of the frame taken last; the table's copy follows at release */
        uint64_t before; /* what cursor was before the frame that is held */
        uint64_t gap;    /* frames that next found gone before the frame that is held */
        uint64_t held;   /* word; 0: nothing */
};

/**
 * slots_enter() - the daemon's part in opening a reader: a clean entry
 * @s:       the segment
 * @table:   the group's table
 * @entry:   a free entry
 * @start:   enum proto_start
 * @ordered: the policy block is to wait for this reader
 *
 * The epoch was raised since the entry was last used, and since the group was announced. From the return on no frame is
 * overwritten that an ordered reader has not taken.
 */
void slots_enter(const struct slots *s, struct layout_table *table, uint32_t entry, uint32_t start, bool ordered);

/* The daemon's part in closing one, dead or not: nothing of it is left in the way. */
void slots_leave(struct layout_table *table, uint32_t entry);

/**
 * slots_latest() - hold the newest frame; nothing may be held
 * @r:     the reader
 * @frame: receives where it is
 *
 * Return: 0, SLOTS_E_NONE, SLOTS_E_BUSY, SLOTS_E_TORN or SLOTS_E_CONFUSED.
 */
int slots_latest(struct slots_reader *r, struct slots_frame *frame);

/* The same for the first frame after the one taken last that is still there. */
int slots_next(struct slots_reader *r, struct slots_frame *frame);

/* Is the frame that is held still whole? */
bool slots_intact(const struct slots_reader *r);

/* Let go of the frame. Return: 0, SLOTS_E_OVERWRITTEN, or SLOTS_E_NONE if nothing was held. */
int slots_release(struct slots_reader *r);

/* The frame that is held counts as not taken: the next call gives it again. It still has to be released; as long as it is
 * not, nothing that lies behind it has been let go either. */
void slots_untake(struct slots_reader *r);

/* Is there a frame after the one taken last? */
bool slots_fresh(const struct slots_reader *r);

/**
 * slots_arm() - announce that the reader is about to wait for its bell
 * @r: the reader
 *
 * Return: true if it may sleep; false if a frame came meanwhile (nothing is announced then).
 */
bool slots_arm(struct slots_reader *r);

/* Take it back. */
void slots_disarm(struct slots_reader *r);
