#include "proto/fence.h"
#include "proto/slots.h"

#include "proto/message.h"

static struct layout_reader *own(const struct slots_reader *r) { return &r->table->reader[r->entry]; }

void slots_table_init(struct layout_table *table) {
        table->magic = LAYOUT_TABLE_MAGIC;
        table->version = LAYOUT_VERSION;
        table->n_readers = LAYOUT_READERS_MAX;
}

static bool is_valid(const struct slots *s, uint64_t word) {
        return slots_word_sequence(word) != 0 && slots_word_slot(word) < s->geometry.n_slots;
}

/* Is the frame in its slot, and nobody asks for it? */
static bool is_there(const struct slots *s, uint64_t sequence) {
        uint64_t word = atomic_load(slots_index(s, sequence));

        return slots_word_sequence(word) == sequence && is_valid(s, word) &&
               atomic_load(&slots_slot(s, slots_word_slot(word))->sequence) == sequence;
}

/* The cursor with which a reader that starts there begins. */
static uint64_t start_cursor(const struct slots *s, uint32_t start) {
        uint64_t cursor = slots_newest(s);

        if (start == PROTO_START_END)
                return cursor;
        /* The oldest is where the unbroken run that ends with the newest begins: what lies before a gap may be on its
         * way out. */
        for (uint32_t i = 0; i < s->geometry.index_size && cursor > 0 && is_there(s, cursor); i++) {
                cursor--;
                if (start == PROTO_START_NEWEST)
                        break;
        }
        return cursor;
}

/* Everything here is seq_cst: it happens once in a reader's life, and a writer may be looking for room meanwhile. A claim
 * of which that writer makes something has not seen this reader; the cursor is then behind it. */
void slots_enter(const struct slots *s, struct layout_table *table, uint32_t entry, uint32_t start, bool ordered) {
        struct layout_reader *r = &table->reader[entry];

        atomic_store(&r->hold, 0);
        atomic_store(&r->missed, 0);
        /* A cursor of 0 keeps every frame that there is. Only then is it decided which of them are wanted: no writer
         * can overwrite one of those in between. */
        atomic_store(&r->cursor, 0);
        atomic_store(&r->ordered, ordered);
        if (atomic_load(&table->used) <= entry)
                atomic_store(&table->used, entry + 1);
        atomic_store(&r->cursor, start_cursor(s, start));
}

void slots_leave(struct layout_table *table, uint32_t entry) {
        struct layout_reader *r = &table->reader[entry];

        atomic_fetch_and(&table->waiting[entry / 64], ~(UINT64_C(1) << entry % 64));
        atomic_store(&r->ordered, 0);
        atomic_store(&r->hold, 0);
        atomic_store(&r->cursor, 0);
}

/* After something was let go or passed over. seq_cst, as the store before it: crosses with slots_want_room(). */
static void look_for_sleeping_writer(struct slots_reader *r) {
        if (atomic_load(&slots_header(&r->slots)->room_wanted))
                r->room = true;
}

/* Let go of a hold, kept or not. */
static void let_go(struct slots_reader *r) {
        /* seq_cst; as a release it also orders our loads of the payload before a writer's stores to it. */
        atomic_store(&own(r)->hold, 0);
        look_for_sleeping_writer(r);
}

/* Does the slot have the frame, for us? */
static bool is_ours(const struct slots_reader *r, uint64_t is, uint64_t sequence) {
        /* What an ordered reader has not taken is asked for only by a writer that has not looked a second time yet. */
        return is == sequence || (r->ordered && sequence > r->cursor && is == (sequence | LAYOUT_CLAIMED));
}

/* Hold the frame @word names, if it is still in its slot, and describe it. */
static bool hold(struct slots_reader *r, uint64_t word, struct slots_frame *frame) {
        const struct slots *s = &r->slots;
        const uint64_t sequence = slots_word_sequence(word);
        struct layout_slot *slot = slots_slot(s, slots_word_slot(word));

        /* The writer had all three lines: have them fetched at once, and not one after the other. */
        __builtin_prefetch(slot);
        __builtin_prefetch(slots_payload(s, slots_word_slot(word)));
        /* seq_cst, both: the store and the load cross with a writer's claim and its second look. The load acquires the
         * frame. */
        atomic_store(&own(r)->hold, word);
        if (!is_ours(r, atomic_load(&slot->sequence), sequence)) {
                let_go(r);
                return false;
        }
        frame->length = atomic_load_explicit(&slot->length, memory_order_relaxed);
        if (frame->length > s->geometry.slot_size)
                frame->length = s->geometry.slot_size;
        frame->timestamp = atomic_load_explicit(&slot->timestamp, memory_order_relaxed);
        frame->tag = atomic_load_explicit(&slot->tag, memory_order_relaxed);
        frame->data = slots_payload(s, slots_word_slot(word));
        frame->sequence = sequence;
        frame->missed = sequence > r->cursor ? sequence - r->cursor - 1 : 0;
        r->held = word;
        /* With one slot, or a hold that does not bind, the writer may have been at it while we read the above. */
        if (!slots_intact(r)) {
                r->held = 0;
                let_go(r);
                return false;
        }
        r->before = r->cursor;
        r->cursor = sequence;
        r->gap = 0;
        return true;
}

/* One slot: is it a writer that keeps us from the frame? 0: no, look again. */
static int why_not(const struct slots *s, uint64_t newest) {
        uint64_t is;

        if (s->geometry.n_slots != 1)
                return 0;
        is = atomic_load_explicit(&slots_slot(s, 0)->sequence, memory_order_relaxed);
        if (is == LAYOUT_TORN)
                return SLOTS_E_TORN;
        /* WRITING or CLAIMED; or a newer frame, and the writer is about to say so. */
        return is > newest ? SLOTS_E_BUSY : 0;
}

int slots_latest(struct slots_reader *r, struct slots_frame *frame) {
        const struct slots *s = &r->slots;

        for (uint32_t i = 0; i < SLOTS_RETRIES; i++) {
                uint64_t head = atomic_load_explicit(&slots_header(s)->head, memory_order_acquire);
                int r_why;

                if (head == 0)
                        return SLOTS_E_NONE;
                if (is_valid(s, head) && hold(r, head, frame))
                        return 0;
                r_why = why_not(s, slots_word_sequence(head));
                if (r_why)
                        return r_why;
        }
        return SLOTS_E_CONFUSED;
}

/* The word of a frame up to the newest, as far as it can be told without a hold; 0: it is gone. */
static uint64_t find(const struct slots_reader *r, uint64_t sequence, uint64_t head) {
        const struct slots *s = &r->slots;
        uint64_t word;

        /* The head is at hand: the newest needs no look at the index, whose line the writer then keeps. */
        if (sequence == slots_word_sequence(head))
                return is_valid(s, head) ? head : 0;
        /* acquire: whoever finds the word finds the slot's sequence stored. */
        word = atomic_load_explicit(slots_index(s, sequence), memory_order_acquire);
        if (slots_word_sequence(word) != sequence || !is_valid(s, word))
                return 0;
        /* The frames that are gone cost a load each, and no hold. */
        return is_ours(r, atomic_load_explicit(&slots_slot(s, slots_word_slot(word))->sequence, memory_order_relaxed),
                       sequence)
                       ? word
                       : 0;
}

int slots_next(struct slots_reader *r, struct slots_frame *frame) {
        const struct slots *s = &r->slots;
        const uint64_t span = s->geometry.index_size;
        /* An honest writer leaves the newest frame in its place, so a second round is rare. */
        uint64_t looks = SLOTS_RETRIES + 4 * span;

        while (looks > 0) {
                uint64_t head = atomic_load_explicit(&slots_header(s)->head, memory_order_acquire);
                uint64_t newest = slots_word_sequence(head);
                uint64_t sequence = r->cursor + 1;
                int r_why;

                if (newest <= r->cursor)
                        return SLOTS_E_NONE;
                /* What the index has no place for any more is gone. */
                if (newest - r->cursor > span)
                        sequence = newest - span + 1;
                for (; sequence <= newest && looks > 0; sequence++, looks--) {
                        uint64_t word = find(r, sequence, head);

                        if (word && hold(r, word, frame)) {
                                r->gap = frame->missed;
                                return 0;
                        }
                }
                r_why = why_not(s, newest);
                if (r_why)
                        return r_why;
                if (looks > 0)
                        looks--;
        }
        return SLOTS_E_CONFUSED;
}

bool slots_intact(const struct slots_reader *r) {
        uint64_t sequence = slots_word_sequence(r->held);
        uint64_t is;

        /* What was read of the payload was read before the look. */
        fence_acquire();
        is = atomic_load_explicit(&slots_slot(&r->slots, slots_word_slot(r->held))->sequence, memory_order_relaxed);
        return (is & ~LAYOUT_CLAIMED) == sequence;
}

int slots_release(struct slots_reader *r) {
        bool intact;

        if (!r->held)
                return SLOTS_E_NONE;
        intact = slots_intact(r);
        if (r->gap) /* for people to look at */
                atomic_fetch_add_explicit(&own(r)->missed, r->gap, memory_order_relaxed);
        /* release: who sees it may write to what lies before it, and we have read that. The hold that goes next is what
         * makes a writer look. */
        atomic_store_explicit(&own(r)->cursor, r->cursor, memory_order_release);
        r->held = 0;
        let_go(r);
        return intact ? 0 : SLOTS_E_OVERWRITTEN;
}

void slots_untake(struct slots_reader *r) {
        r->gap = 0;
        r->cursor = r->before;
}

bool slots_fresh(const struct slots_reader *r) {
        uint64_t is;

        if (slots_newest(&r->slots) <= r->cursor)
                return false;
        /* One slot: while it is being changed (or torn) there is nothing to take until the flush, which rings. A flush
         * that stored the head before we loaded it stored the slot's sequence before that. */
        if (r->slots.geometry.n_slots > 1)
                return true;
        is = atomic_load_explicit(&slots_slot(&r->slots, 0)->sequence, memory_order_acquire);
        /* A claim may come to nothing, without a flush that rings. */
        return (is & ~LAYOUT_CLAIMED) <= LAYOUT_SEQUENCE_MAX;
}

bool slots_arm(struct slots_reader *r) {
        /* seq_cst: this and the look at the head cross with a flush's head and its look at the bits. */
        atomic_fetch_or(&r->table->waiting[r->entry / 64], UINT64_C(1) << r->entry % 64);
        if (!slots_fresh(r))
                return true;
        slots_disarm(r);
        return false;
}

void slots_disarm(struct slots_reader *r) {
        atomic_fetch_and(&r->table->waiting[r->entry / 64], ~(UINT64_C(1) << r->entry % 64));
}
