#include <string.h>

#include "proto/fence.h"
#include "proto/slots.h"
#include "proto/slots_foreign.h"

/* Sequences are above 0 and leave the state bits alone. */
static bool is_frame(uint64_t sequence) { return sequence != LAYOUT_FREE && sequence <= LAYOUT_SEQUENCE_MAX; }

uint64_t slots_newest(const struct slots *s) {
        /* seq_cst: a reader about to sleep and a flush cross here, see slots_arm(). */
        return slots_word_sequence(atomic_load(&slots_header(s)->head));
}

uint64_t slots_newest_timestamp(const struct slots *s) {
        uint64_t word = atomic_load_explicit(&slots_header(s)->head, memory_order_acquire);
        uint32_t slot = slots_word_slot(word);

        if (word == 0 || slot >= s->geometry.n_slots)
                return 0;
        return atomic_load_explicit(&slots_slot(s, slot)->timestamp, memory_order_relaxed);
}

void slots_init(const struct slots *s) {
        struct layout_header *h = slots_header(s);

        h->magic = LAYOUT_DATA_MAGIC;
        h->version = LAYOUT_VERSION;
        h->n_slots = s->geometry.n_slots;
        h->slot_size = s->geometry.slot_size;
        h->stride = s->geometry.stride;
        h->payload_offset = s->geometry.payload_offset;
}

/* ---- the writers' lock ------------------------------------------------------------------------------------------ */

#define LOCK_TURN 0x200u /* what one acquisition adds to a free lock's word */

int slots_lock(const struct slots *s, uint32_t id, uint32_t *seen) {
        _Atomic uint32_t *lock = &slots_header(s)->lock;
        /* seq_cst: crosses with slots_unlock(), see slots_lock_want(). */
        uint32_t is = atomic_load(lock);

        /* acquire: what the last owner stored (slots, next_slot) comes before what we do. */
        if (slots_lock_owner(is) == UINT32_MAX && atomic_compare_exchange_strong(lock, &is, is | (id + 1)))
                return 0;
        *seen = is;
        return SLOTS_E_LOCKED;
}

uint32_t slots_lock_want(const struct slots *s) {
        struct layout_header *h = slots_header(s);
        /* Taken first: a wake-up after it changes the value, and the kernel does not let us sleep on the old one. */
        uint32_t wakes = atomic_load(&h->lock_wakes);

        /* seq_cst: this store and the next slots_lock()'s look at the lock cross with slots_unlock()'s. */
        atomic_store(&h->lock_wanted, 1);
        return wakes;
}

/* Make @slot, whose descriptor is complete, the newest frame. */
static void publish(const struct slots *s, uint32_t slot, uint64_t sequence) {
        uint64_t word = slots_word(sequence, slot);

        /* release: who finds the frame through the index finds its descriptor complete. */
        atomic_store_explicit(slots_index(s, sequence), word, memory_order_release);
        /* release: the same for who comes by the head. That it crosses with the waiting bits and the epoch is seen to by
         * the fence in slots_unlock(). */
        atomic_store_explicit(&slots_header(s)->head, word, memory_order_release);
}

/* @slot was being written and will not be finished: it is the next to be taken. */
static void give_up(const struct slots *s, uint32_t slot) {
        atomic_store_explicit(&slots_slot(s, slot)->sequence, s->geometry.n_slots == 1 ? LAYOUT_TORN : LAYOUT_FREE,
                              memory_order_release);
        atomic_store_explicit(&slots_header(s)->next_slot, slot, memory_order_relaxed);
}

/* What a writer that died with the lock has left half done. Only whoever has the lock may come here. */
static void recover(const struct slots *s) {
        struct layout_header *h = slots_header(s);
        uint64_t newest = slots_newest(s);

        /* It may have died waiting for room. */
        atomic_store_explicit(&h->room_wanted, 0, memory_order_relaxed);

        for (uint32_t i = 0; i < s->geometry.n_slots; i++) {
                _Atomic uint64_t *sequence = &slots_slot(s, i)->sequence;
                /* The lock's acquire made these visible; nobody else stores them. */
                uint64_t is = atomic_load_explicit(sequence, memory_order_relaxed);

                if (is & LAYOUT_CLAIMED) /* asked for, and not a byte touched */
                        atomic_store_explicit(sequence, is & ~LAYOUT_CLAIMED, memory_order_release);
                else if (is == LAYOUT_WRITING)
                        give_up(s, i);
                else if (is == newest + 1) /* complete, and only the head does not say so yet */
                        publish(s, i, is);
        }
}

bool slots_lock_inherit(const struct slots *s, uint32_t id, uint32_t seen) {
        if (!atomic_compare_exchange_strong(&slots_header(s)->lock, &seen, (seen & ~(LOCK_TURN - 1)) | (id + 1)))
                return false;
        recover(s);
        /* As in slots_unlock(): what was published crosses with the waiting bits and the epoch. */
        atomic_thread_fence(memory_order_seq_cst);
        return true;
}

bool slots_unlock(const struct slots *s) {
        struct layout_header *h = slots_header(s);
        uint32_t is = atomic_load_explicit(&h->lock, memory_order_relaxed);

        /* release: the next owner sees what we did. Each turn has another word: who saw us and took us for dead inherits
         * nothing from the next owner, even if that has got our id. */
        atomic_store_explicit(&h->lock, (is & ~(LOCK_TURN - 1)) + LOCK_TURN, memory_order_release);
        /* Between the stores above (lock, and head before it) and the loads that follow (lock_wanted here, epoch and
         * waiting bits in the caller). Who announces a wait does it with a seq_cst store and then looks at the lock or
         * the head with a seq_cst load: if our load, also seq_cst, misses the store, then that load comes after this
         * fence in the one order of all seq_cst operations, and sees what we stored before it (C17 7.17.3, 10). */
        atomic_thread_fence(memory_order_seq_cst);
        if (!atomic_load(&h->lock_wanted))
                return false;
        atomic_store(&h->lock_wanted, 0);
        atomic_fetch_add(&h->lock_wakes, 1);
        return true;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static bool is_dead(const struct slots_group *g, uint32_t entry) { return g->dead[entry / 64] >> entry % 64 & 1; }

/* Who of the owner's uid holds this frame? 0: nobody; otherwise a number that names the reader. */
static uint32_t holder(const struct slots_writer *w, uint64_t word) {
        for (uint32_t i = 0; i < w->n_groups; i++) {
                const struct slots_group *g = &w->groups[i];

                if (!g->table || !g->binding)
                        continue;
                for (uint32_t n = slots_entries(g->table), e = 0; e < n; e++)
                        /* seq_cst: crosses with the claim, see the head of slots.h. Seeing a hold gone acquires what
                         * its reader did before, so that we do not write under its last loads. */
                        if (atomic_load(&g->table->reader[e].hold) == word && !is_dead(g, e))
                                return i * LAYOUT_READERS_MAX + e + 1;
        }
        return 0;
}

/* The lowest cursor of the readers that the policy block waits for: what is above it has to stay. */
static uint64_t ordered_floor(const struct slots_writer *w) {
        uint64_t floor = UINT64_MAX;

        for (uint32_t i = 0; i < w->n_groups; i++) {
                const struct slots_group *g = &w->groups[i];

                if (!g->table || !g->binding)
                        continue;
                for (uint32_t n = slots_entries(g->table), e = 0; e < n; e++) {
                        const struct layout_reader *r = &g->table->reader[e];

                        /* seq_cst: crosses with slots_enter() as is_held() does with a hold. */
                        if (!atomic_load(&r->ordered) || is_dead(g, e))
                                continue;
                        uint64_t cursor = atomic_load(&r->cursor);
                        if (cursor < floor)
                                floor = cursor;
                }
        }
        return floor;
}

/* Who needs a frame, besides the readers that holder() names. */
#define UNREAD (UINT32_MAX - 1) /* an ordered reader has yet to take it, and none of the owner's uid holds it */
#define FOREIGN UINT32_MAX      /* readers of other uids hold it, and are honoured */

/* Who needs this frame? 0: nobody. @foreign: they count. */
static inline uint32_t needed_by(const struct slots_writer *w, uint32_t slot, uint64_t sequence, bool foreign) {
        bool unread = w->block && sequence > ordered_floor(w);
        uint32_t by;

        /* Whether it is held besides is of interest where others have a slot to give. */
        if (unread && !w->foreign)
                return UNREAD;
        by = holder(w, slots_word(sequence, slot));
        if (by || !w->foreign)
                return by;
        if (unread)
                return UNREAD;
        return foreign && slots_foreign_keep(w, slots_word(sequence, slot)) ? FOREIGN : 0;
}

/* From here on the payload may be changed. */
static void start_writing(struct slots_writer *w, uint32_t slot) {
        const struct slots *s = &w->slots;

        atomic_store_explicit(&slots_slot(s, slot)->sequence, LAYOUT_WRITING, memory_order_relaxed);
        /* The stores to the payload are plain ones of the application: a reader that sees one of them sees WRITING
         * when it looks at the sequence again. */
        fence_release();
        atomic_store_explicit(&slots_header(s)->next_slot, (slot + 1) % s->geometry.n_slots, memory_order_relaxed);
        w->slot = slot;
}

/* Take @slot unless somebody needs what is in it. Return: 0, SLOTS_E_STALE, or SLOTS_E_FULL and @by, who
 * needs it. @foreign: see needed_by(). */
static inline int take(struct slots_writer *w, uint32_t slot, bool foreign, uint32_t *by) {
        const struct slots *s = &w->slots;
        _Atomic uint64_t *sequence = &slots_slot(s, slot)->sequence;
        /* relaxed: only owners of the lock store it. */
        uint64_t is = atomic_load_explicit(sequence, memory_order_relaxed);
        bool stale;

        /* A single slot is written to in spite of holds, unless the policy is to wait. */
        if (is_frame(is) && (w->block || s->geometry.n_slots > 1)) {
                /* A first look spares readers the sight of a claim that comes to nothing. Where the last search met
                 * nobody, it is not worth its time. */
                *by = w->met ? needed_by(w, slot, is, foreign) : 0;
                if (*by)
                        return SLOTS_E_FULL;
                /* seq_cst: this store and the second look cross with a reader's hold and its look at the sequence, the
                 * look at the epoch with the epoch that is raised before a reader enters whom we may not know yet. */
                atomic_store(sequence, is | LAYOUT_CLAIMED);
                stale = atomic_load(&slots_header(s)->epoch) != w->epoch;
                *by = needed_by(w, slot, is, foreign);
                if (stale || *by) {
                        atomic_store_explicit(sequence, is, memory_order_release);
                        return *by ? SLOTS_E_FULL : SLOTS_E_STALE;
                }
        }
        start_writing(w, slot);
        return 0;
}

/* What one look at all slots has found. */
struct round {
        uint32_t oldest;  /* the slot with the oldest frame that a reader of the owner's uid holds; UINT32_MAX: none */
        uint32_t foreign; /* the same for what is kept for readers of other uids */
        bool unread;      /* an ordered reader has yet to take one that nobody holds */
        bool twice;       /* one reader needed more than one of them */
        uint64_t seen[LAYOUT_GROUPS_MAX * LAYOUT_READERS_MAX / 64 + 1]; /* who needed one */
};

static void note_older(const struct slots *s, uint32_t *oldest, uint32_t slot) {
        if (*oldest == UINT32_MAX ||
            atomic_load_explicit(&slots_slot(s, slot)->sequence, memory_order_relaxed) <
                    atomic_load_explicit(&slots_slot(s, *oldest)->sequence, memory_order_relaxed))
                *oldest = slot;
}

static void note_reader(struct round *round, const struct slots *s, uint32_t slot, uint32_t reader) {
        uint64_t bit = UINT64_C(1) << reader % 64;

        if (round->oldest == UINT32_MAX)
                memset(round->seen, 0, sizeof(round->seen));
        note_older(s, &round->oldest, slot);
        round->twice |= round->seen[reader / 64] & bit;
        round->seen[reader / 64] |= bit;
}

/* Note who needs @slot. */
static void note(struct round *round, const struct slots *s, uint32_t slot, uint32_t by) {
        if (by == FOREIGN)
                note_older(s, &round->foreign, slot);
        else if (by == UNREAD)
                round->unread = true;
        else
                note_reader(round, s, slot, by);
}

/* The slot that must stay as it is. With one slot there is nothing else to take; before the first frame none is. */
static uint32_t newest_slot(const struct slots *s) {
        uint64_t head = atomic_load_explicit(&slots_header(s)->head, memory_order_relaxed);

        return s->geometry.n_slots > 1 && head != 0 ? slots_word_slot(head) : UINT32_MAX;
}

/* Try every slot. Going round takes the oldest frame first, except where holds made us skip. */
static int go_round(struct slots_writer *w, struct round *round) {
        const struct slots *s = &w->slots;
        const uint32_t n = s->geometry.n_slots;
        const uint32_t newest = newest_slot(s);
        uint32_t slot = atomic_load_explicit(&slots_header(s)->next_slot, memory_order_relaxed) % n;
        bool met = false;

        round->oldest = round->foreign = UINT32_MAX;
        round->unread = round->twice = false;
        for (uint32_t i = 0; i < n; i++, slot = slot + 1 < n ? slot + 1 : 0) {
                uint32_t by;
                int r;

                if (slot == newest)
                        continue;
                r = take(w, slot, true, &by);
                if (r == 0)
                        w->met = met;
                if (r != SLOTS_E_FULL)
                        return r;
                w->met = met = true;
                if (!w->block || w->foreign)
                        note(round, s, slot, by);
        }
        return SLOTS_E_FULL;
}

/* After a round that found every slot needed: one that is not any more, or not by whom it is kept for. UINT32_MAX: none. */
static uint32_t find_let_go(const struct slots_writer *w) {
        const struct slots *s = &w->slots;
        const uint32_t newest = newest_slot(s);

        for (uint32_t i = 0; i < s->geometry.n_slots; i++) {
                uint64_t is = atomic_load_explicit(&slots_slot(s, i)->sequence, memory_order_relaxed);

                if (i != newest && !slots_foreign_kept(w, slots_word(is, i)) && !needed_by(w, i, is, false))
                        return i;
        }
        return UINT32_MAX;
}

/* No slot is free. What is kept for foreign readers goes before the owner's readers lose one, or before anybody waits in
 * vain. @last: no more patience. Return: as take(). */
static int forfeit(struct slots_writer *w, const struct round *round, bool last) {
        uint32_t slot, by;

        if (round->foreign == UINT32_MAX || round->unread || (round->twice && !last))
                return SLOTS_E_FULL;
        slot = find_let_go(w);
        /* Who has come to it since, within the budget, is a reason to look at the others again. */
        if (slot != UINT32_MAX)
                return take(w, slot, !last, &by);
        /* One of the owner's readers may have come to it meanwhile. */
        return take(w, round->foreign, false, &by);
}

static void forget_dead(struct slots_writer *w) {
        for (uint32_t i = 0; i < w->n_groups; i++)
                memset(w->groups[i].dead, 0, sizeof(w->groups[i].dead));
}

void slots_expect(const struct slots_writer *w) {
        /* The few readers that most segments have; of many, the hardware sees the pattern. */
        for (uint32_t i = 0; i < w->n_groups; i++)
                for (uint32_t e = 0; e < 4 && w->groups[i].table && w->groups[i].binding; e++)
                        __builtin_prefetch(&w->groups[i].table->reader[e]);
}

/* Find a slot. Return: 0, SLOTS_E_STALE, or SLOTS_E_FULL: with what, @round tells. */
static int search(struct slots_writer *w, struct round *round) {
        for (uint32_t i = 0; i < SLOTS_ROUNDS; i++) {
                int r = go_round(w, round);

                if (r == SLOTS_E_FULL)
                        r = forfeit(w, round, i == SLOTS_ROUNDS - 1);
                if (r != SLOTS_E_FULL)
                        return r;
                /* One look is no snapshot: a reader that moves on while we look from slot to slot may be met at two of
                 * them, with one free behind us. Where each was needed by another reader, there are too few slots. */
                if (round->unread || (round->foreign == UINT32_MAX && (w->block || !round->twice)))
                        break;
        }
        return SLOTS_E_FULL;
}

int slots_begin(struct slots_writer *w) {
        struct round round;
        int r = search(w, &round);

        if (w->block && r != SLOTS_E_FULL)
                forget_dead(w);
        if (w->block || r != SLOTS_E_FULL)
                return r;
        /* Two slots or more leave at least one that is not the newest, so something was met, unless the head is garbage
         * that another writer has put there. */
        if (round.oldest == UINT32_MAX)
                round.oldest = round.foreign;
        start_writing(w, round.oldest != UINT32_MAX ? round.oldest : 0);
        return 0;
}

uint64_t slots_flush(struct slots_writer *w, uint64_t length, uint64_t tag, uint64_t timestamp) {
        const struct slots *s = &w->slots;
        struct layout_slot *slot = slots_slot(s, w->slot);
        uint64_t sequence = slots_newest(s) + 1;

        if (!is_frame(sequence)) /* 2^52 frames later, or another writer's garbage */
                sequence = 1;
        atomic_store_explicit(&slot->length, length, memory_order_relaxed);
        atomic_store_explicit(&slot->timestamp, timestamp, memory_order_relaxed);
        atomic_store_explicit(&slot->tag, tag, memory_order_relaxed);
        /* release: who sees the sequence sees the payload and what describes it. */
        atomic_store_explicit(&slot->sequence, sequence, memory_order_release);
        publish(s, w->slot, sequence);
        return sequence;
}

static void fetch_for_writing(const void *line) {
#if defined(__x86_64__) /* what the builtin gives there leaves the line shared */
        __asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
        __builtin_prefetch(line, 1);
#endif
}

void slots_prepare(const struct slots_writer *w) {
        const struct slots *s = &w->slots;
        uint32_t next = atomic_load_explicit(&slots_header(s)->next_slot, memory_order_relaxed) % s->geometry.n_slots;

        fetch_for_writing(slots_slot(s, next));
        fetch_for_writing(slots_payload(s, next));
}

void slots_cancel(struct slots_writer *w) { give_up(&w->slots, w->slot); }

bool slots_waiting(const struct slots_group *group) {
        uint64_t bits = 0;

        if (!group->table)
                return false;
        for (uint32_t i = 0; i < LAYOUT_WAITING_WORDS; i++)
                bits |= atomic_load(&group->table->waiting[i]); /* seq_cst: see slots_unlock() */
        return bits;
}

void slots_want_room(const struct slots_writer *w, bool wanted) {
        /* seq_cst: this store and the next slots_begin()'s look at holds and cursors cross with a reader that lets go
         * and then looks here. */
        atomic_store(&slots_header(&w->slots)->room_wanted, wanted);
}

bool slots_blocker(const struct slots_writer *w, uint32_t *group, uint32_t *entry) {
        uint64_t newest = slots_newest(&w->slots);

        for (; *group < w->n_groups; ++*group, *entry = 0) {
                const struct slots_group *g = &w->groups[*group];

                if (!g->table || !g->binding)
                        continue;
                for (uint32_t n = slots_entries(g->table); *entry < n; ++*entry) {
                        const struct layout_reader *r = &g->table->reader[*entry];
                        bool behind = atomic_load(&r->ordered) && atomic_load(&r->cursor) < newest;

                        if ((behind || atomic_load(&r->hold) != 0) && !is_dead(g, *entry))
                                return true;
                }
        }
        return false;
}
