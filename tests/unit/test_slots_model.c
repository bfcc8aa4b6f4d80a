/*
 * test_slots_model.c -- a writer and several readers at random, against a model that says what each call may do.
 *
 * The model knows which frame lies in which slot and who holds what. It does not know how a slot is picked, only
 * which ones must not be.
 */
#define _GNU_SOURCE
#include "tests/unit/arena.h"

#define READERS 10u
#define ACCOUNTS 2u   /* foreign uids: groups 1 and 2 are of the first, 3 of the second */
#define FRAMES 65536u /* of one round, at most */

struct reader {
        struct slots_reader real;
        bool open;
        unsigned group;
        bool ordered;
        bool armed;
        uint64_t cursor;
        uint64_t before;
        uint64_t floor;  /* what writers know of the cursor: it follows when the frame is let go */
        uint64_t missed; /* counted when the frame behind the gap is let go as taken */
        uint64_t gap;
        uint64_t held; /* sequence; 0: nothing */
        bool broken;
};

struct model {
        struct arena *arena;
        struct reader reader[READERS];
        uint32_t holds[ACCOUNTS];
        uint32_t n_slots;
        bool block;
        uint64_t newest;
        uint64_t slot[64]; /* frame in it; 0: none */
        bool torn;
        bool begun;
        bool room_wanted;
        uint64_t length[FRAMES], tag[FRAMES]; /* by sequence */
        struct random rnd;
        unsigned long counts[32];
};

static bool is_binding(const struct reader *r) { return r->open && r->group == 0; }

static bool is_held(const struct model *m, uint32_t slot) {
        for (unsigned i = 0; i < READERS; i++) {
                const struct reader *r = &m->reader[i];

                if (is_binding(r) && !r->broken && r->held && r->held == m->slot[slot])
                        return true;
        }
        return false;
}

static bool is_wanted(const struct model *m, uint32_t slot) {
        for (unsigned i = 0; i < READERS && m->block; i++) {
                const struct reader *r = &m->reader[i];

                if (is_binding(r) && r->ordered && m->slot[slot] > r->floor)
                        return true;
        }
        return false;
}

/* As far as the owner's readers go. */
static bool may_take(const struct model *m, uint32_t slot) {
        if (m->slot[slot] == 0)
                return true;
        if (m->n_slots > 1 && m->slot[slot] == m->newest)
                return false;
        return !is_held(m, slot) && !is_wanted(m, slot);
}

static uint32_t count_free(const struct model *m) {
        uint32_t n = 0;

        for (uint32_t i = 0; i < m->n_slots; i++)
                n += may_take(m, i);
        return n;
}

/* ---- foreign readers -------------------------------------------------------------------------------------------- */

static uint32_t account(const struct reader *r) { return r->group == 3; }

static bool holds(const struct model *m, uint32_t who, uint32_t slot) {
        for (unsigned i = 0; i < READERS; i++) {
                const struct reader *r = &m->reader[i];

                if (r->open && r->group > 0 && account(r) == who && !r->broken && r->held && r->held == m->slot[slot])
                        return true;
        }
        return false;
}

/* Has a writer honoured a hold of that frame before, and it lasts? */
static bool is_kept(const struct model *m, uint32_t slot) {
        const struct layout_kept *kept = slots_header(&m->arena->slots)->kept;

        for (unsigned i = 0; i < LAYOUT_KEPT_MAX && atomic_load(&kept[i].word); i++)
                for (uint32_t who = 0; who < ACCOUNTS; who++)
                        if (atomic_load(&kept[i].word) == slots_word(m->slot[slot], slot) &&
                            atomic_load(&kept[i].accounts) >> who & 1 && holds(m, who, slot))
                                return true;
        return false;
}

/* Frames that @who holds, as far as it may. */
static uint32_t count_held(const struct model *m, uint32_t who, bool *within) {
        uint32_t n = 0;

        for (uint32_t i = 0; i < m->n_slots; i++)
                n += m->slot[i] && holds(m, who, i);
        *within = n <= m->holds[who];
        return *within ? n : m->holds[who];
}

/* Holds somebody this frame who must not lose it: within its budget, and there is room for everybody's? */
static bool is_safe(const struct model *m, uint32_t slot) {
        uint32_t foreign = 0, owners = 0;
        bool safe = false;

        for (uint32_t who = 0; who < ACCOUNTS; who++) {
                bool within;

                foreign += count_held(m, who, &within);
                safe |= within && holds(m, who, slot);
        }
        for (uint32_t i = 0; i < m->n_slots; i++)
                owners += m->slot[i] && m->slot[i] != m->newest && is_held(m, i);
        return safe && foreign <= LAYOUT_KEPT_MAX && owners + foreign + 2 <= m->n_slots;
}

static void assert_within_cap(const struct model *m) {
        uint32_t n = 0;

        for (uint32_t i = 0; i < m->n_slots; i++)
                n += m->slot[i] && is_kept(m, i);
        assert_true(n == 0 || n + 2 <= m->n_slots);
}

/* Every slot that the owner's readers leave is kept for others, but @but. */
static void assert_others_kept(const struct model *m, uint32_t but) {
        for (uint32_t i = 0; i < m->n_slots; i++)
                assert_true(i == but || !may_take(m, i) || is_kept(m, i));
}

static bool is_one_unread(const struct model *m) {
        for (uint32_t i = 0; i < m->n_slots; i++)
                if (m->slot[i] != m->newest && is_wanted(m, i) && !is_held(m, i))
                        return true;
        return false;
}

/* The writer took a slot that was kept before: there was no other, and it is the oldest of them. */
static void check_forfeit(const struct model *m, uint32_t slot) {
        assert_false(is_one_unread(m));
        assert_others_kept(m, slot);
        for (uint32_t i = 0; i < m->n_slots; i++)
                assert_true(!may_take(m, i) || m->slot[i] >= m->slot[slot]);
}

/* The frame in @slot is gone: whoever holds it will be told. */
static void lose(struct model *m, uint32_t slot) {
        for (unsigned i = 0; i < READERS; i++)
                if (m->reader[i].held && m->reader[i].held == m->slot[slot])
                        m->reader[i].broken = true;
        m->slot[slot] = 0;
}

static void begin(struct model *m) {
        struct slots_writer *w = &m->arena->writer;
        uint32_t n_free = count_free(m);
        bool kept[64];
        bool stale = atomic_load(&slots_header(&m->arena->slots)->epoch) != w->epoch;
        int r;

        for (uint32_t i = 0; i < m->n_slots; i++)
                kept[i] = is_kept(m, i);
        r = slots_begin(w);
        assert_within_cap(m);
        if (r == SLOTS_E_STALE) {
                assert_true(stale);
                assert_true(n_free > 0);
                w->epoch = atomic_load(&slots_header(&m->arena->slots)->epoch);
                return;
        }
        if (r == SLOTS_E_FULL) {
                uint32_t group = 0, entry = 0;

                assert_true(m->block);
                assert_others_kept(m, UINT32_MAX);
                assert_true(n_free == 0 || is_one_unread(m));
                assert_true(slots_blocker(w, &group, &entry));
                return;
        }
        assert_int_equal(r, 0);
        assert_in_range(w->slot, 0, m->n_slots - 1);
        if (stale) /* only what nobody can want may be taken */
                assert_true(m->slot[w->slot] == 0 || n_free == 0 || m->n_slots == 1);
        assert_false(is_safe(m, w->slot));
        if (n_free) {
                assert_true(may_take(m, w->slot));
                if (kept[w->slot])
                        check_forfeit(m, w->slot);
                m->counts[20 + kept[w->slot]]++;
        } else {
                assert_false(m->block);
                assert_true(m->n_slots == 1 || m->slot[w->slot] != m->newest);
                for (uint32_t i = 0; i < m->n_slots; i++) /* the oldest */
                        assert_true(i == w->slot || m->slot[i] == 0 || m->slot[i] > m->slot[w->slot]);
        }
        lose(m, w->slot);
        m->begun = true;
        m->torn = false;
        /* Half of it, so that a frame which is not whole does not look whole. */
        memset(slots_payload(&w->slots, w->slot), 0xee, (w->slots.geometry.slot_size + 1) / 2);
}

static void flush(struct model *m) {
        struct slots_writer *w = &m->arena->writer;
        uint64_t tag = random_next(&m->rnd);
        uint64_t sequence = arena_flush(w, tag);

        assert_int_equal(sequence, m->newest + 1);
        m->newest = sequence;
        m->slot[w->slot] = sequence;
        m->tag[sequence] = tag;
        m->begun = false;
        for (unsigned g = 0; g < ARENA_GROUPS; g++) {
                bool waiting = false;

                for (unsigned i = 0; i < READERS; i++)
                        waiting |= m->reader[i].open && m->reader[i].armed && m->reader[i].group == g;
                assert_int_equal(slots_waiting(&w->groups[g]), waiting);
        }
}

static void cancel(struct model *m) {
        slots_cancel(&m->arena->writer);
        m->begun = false;
        m->torn = m->n_slots == 1;
}

/* The writer dies; the next one finds the lock taken. */
static void die(struct model *m) {
        const struct slots *s = &m->arena->slots;
        uint32_t seen;

        assert_int_equal(slots_lock(s, LAYOUT_WRITER_DAEMON, &seen), SLOTS_E_LOCKED);
        assert_true(slots_lock_inherit(s, (slots_lock_owner(seen) + 1) % LAYOUT_WRITER_DAEMON, seen));
        if (m->begun)
                m->torn = m->n_slots == 1;
        m->begun = false;
        m->room_wanted = false;
}

static bool is_there(const struct model *m, uint64_t sequence) {
        for (uint32_t i = 0; i < m->n_slots; i++)
                if (m->slot[i] == sequence)
                        return true;
        return false;
}

/* The oldest is where the unbroken run begins that ends with the newest. */
static uint64_t start_cursor(const struct model *m, uint32_t start) {
        uint64_t cursor = m->newest;
        uint32_t most = start == PROTO_START_END ? 0 : start == PROTO_START_NEWEST ? 1 : m->n_slots;

        while (most-- && cursor > 0 && is_there(m, cursor))
                cursor--;
        return cursor;
}

static void enter(struct model *m, struct reader *r, uint32_t entry) {
        uint32_t start = (uint32_t)random_below(&m->rnd, 3);
        r->open = true;
        r->group = random_below(&m->rnd, 3) ? (unsigned)random_below(&m->rnd, ARENA_GROUPS) : 0;
        r->ordered = m->block && random_below(&m->rnd, 3) == 0;
        r->armed = false;
        r->missed = 0;
        r->held = 0;
        r->broken = false;
        arena_enter(m->arena, &r->real, r->group, entry, start, r->ordered);
        r->cursor = start_cursor(m, start);
        r->floor = r->cursor;
        assert_int_equal(r->real.cursor, r->cursor);
}

static void leave(struct reader *r) {
        arena_leave(&r->real);
        r->open = false;
}

static void take(struct model *m, struct reader *r, bool next) {
        struct slots_frame frame;
        int expected = 0, outcome;
        uint64_t sequence = m->newest;

        /* NOLINTNEXTLINE(bugprone-branch-clone): the same outcome for two reasons */
        if (next && m->newest <= r->cursor) {
                expected = SLOTS_E_NONE;
        } else if (next) {
                const uint64_t span = m->arena->slots.geometry.index_size;

                for (uint32_t i = 0; i < m->n_slots; i++)
                        if (m->slot[i] > r->cursor && m->slot[i] < sequence && m->slot[i] + span > m->newest)
                                sequence = m->slot[i];
        } else if (m->newest == 0) {
                expected = SLOTS_E_NONE;
        }
        if (!expected && m->n_slots == 1)
                expected = m->begun ? SLOTS_E_BUSY : m->torn ? SLOTS_E_TORN : 0;
        outcome = next ? slots_next(&r->real, &frame) : slots_latest(&r->real, &frame);
        assert_int_equal(outcome, expected);
        m->counts[outcome]++;
        if (outcome)
                return;
        assert_int_equal(frame.sequence, sequence);
        assert_int_equal(frame.tag, m->tag[sequence]);
        assert_int_equal(frame.timestamp, ARENA_STAMP_TS + frame.tag);
        assert_int_equal(frame.missed, sequence > r->cursor ? sequence - r->cursor - 1 : 0);
        assert_true(arena_whole(&m->arena->slots, &frame));
        r->gap = next ? frame.missed : 0;
        r->before = r->cursor;
        r->cursor = sequence;
        r->held = sequence;
        r->broken = false;
}

/* One slot that is being changed has nothing to take. */
static bool is_fresh(const struct model *m, const struct reader *r) {
        return m->newest > r->cursor && (m->n_slots > 1 || (!m->begun && !m->torn));
}

static void check_room(struct model *m, struct reader *r, bool moved) {
        if (moved && m->room_wanted)
                assert_true(r->real.room);
        r->real.room = false;
}

static void read_something(struct model *m, struct reader *r) {
        assert_int_equal(r->real.cursor, r->cursor);
        assert_int_equal(atomic_load(&r->real.table->reader[r->real.entry].missed), r->missed);
        assert_int_equal(slots_fresh(&r->real), is_fresh(m, r));
        if (r->held) {
                assert_int_equal(slots_intact(&r->real), !r->broken);
                if (random_below(&m->rnd, 3) == 0)
                        return;
                if (random_below(&m->rnd, 8) == 0) {
                        slots_untake(&r->real);
                        r->cursor = r->before;
                        r->gap = 0;
                        check_room(m, r, false);
                }
                assert_int_equal(slots_release(&r->real), r->broken ? SLOTS_E_OVERWRITTEN : 0);
                m->counts[16 + r->broken]++;
                r->held = 0;
                r->floor = r->cursor;
                r->missed += r->gap;
                r->gap = 0;
                check_room(m, r, true);
                return;
        }
        switch (random_below(&m->rnd, 6)) {
        case 0:
                if (r->armed)
                        slots_disarm(&r->real);
                else
                        assert_int_equal(slots_arm(&r->real), !is_fresh(m, r));
                r->armed = !r->armed && !is_fresh(m, r);
                break;
        case 1:
                take(m, r, false);
                break;
        default:
                take(m, r, true);
                break;
        }
        r->real.room = false;
}

static void step(struct model *m) {
        uint64_t pick = random_below(&m->rnd, 100);
        struct reader *r = &m->reader[random_below(&m->rnd, READERS)];

        if (pick < 40) {
                if (!m->begun)
                        begin(m);
                else if (random_below(&m->rnd, 10) == 0)
                        cancel(m);
                else
                        flush(m);
        } else if (pick < 41) {
                die(m);
        } else if (pick < 42) {
                m->room_wanted = !m->room_wanted;
                slots_want_room(&m->arena->writer, m->room_wanted);
        } else if (pick < 43) {
                atomic_fetch_add(&slots_header(&m->arena->slots)->epoch, 1);
        } else if (pick < 45) {
                if (r->open)
                        leave(r);
                else
                        enter(m, r, (uint32_t)(r - m->reader) * 35 + (uint32_t)random_below(&m->rnd, 20));
        } else if (r->open) {
                read_something(m, r);
        }
}

static void test_model(void **state) {
        static const uint32_t n_slots[] = { 1, 2, 3, 4, 5, 8, 13, 64 };
        struct random rnd = random_seeded("slots model");
        static struct model m;

        (void)state;
        for (unsigned round = 0; round < 32; round++) {
                uint32_t seen;

                m = (struct model){ .rnd = rnd, .n_slots = n_slots[round % 8], .block = round / 8 % 2 };
                m.arena = arena_new(8 + random_below(&m.rnd, 200), m.n_slots, m.block);
                for (uint32_t who = 0; who < ACCOUNTS; who++)
                        m.holds[who] = (uint32_t)random_below(&m.rnd, 4);
                for (unsigned g = 1; g < ARENA_GROUPS; g++)
                        arena_set_holds(m.arena, g, g == 3, m.holds[g == 3]);
                assert_int_equal(slots_lock(&m.arena->slots, 0, &seen), 0);
                for (int i = 0; i < 20000; i++)
                        step(&m);
                /* When all have gone nothing is in the way, and every slot is of use again. */
                for (unsigned i = 0; i < READERS; i++)
                        if (m.reader[i].open)
                                leave(&m.reader[i]);
                if (m.begun)
                        flush(&m);
                for (uint32_t i = 0; i < m.n_slots + 1; i++) {
                        begin(&m);
                        if (!m.begun) /* stale */
                                begin(&m);
                        assert_true(m.begun);
                        flush(&m);
                }
                for (uint32_t i = 0; i < m.n_slots; i++)
                        assert_true(m.slot[i] + m.n_slots > m.newest);
                rnd = m.rnd;
                m.arena = arena_free(m.arena);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
