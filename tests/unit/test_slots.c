/* test_slots.c -- the slots, one step at a time: in every order, at every edge, and with garbage in the memory. */
#define _GNU_SOURCE
#include "tests/unit/arena.h"

#define ID 7u
#define OTHER 9u

static int setup(void **state) {
        *state = NULL;
        return 0;
}

static int teardown(void **state) {
        *state = arena_free(*state);
        return 0;
}

static struct arena *arena(void **state, uint64_t slot_size, uint32_t n_slots, bool block) {
        *state = arena_free(*state);
        *state = arena_new(slot_size, n_slots, block);
        return *state;
}

static void publish(struct arena *a, unsigned n) {
        while (n--)
                arena_publish(a, ID);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void test_words(void **state) {
        (void)state;
        for (uint32_t slot = 0; slot < LAYOUT_SLOTS_MAX; slot++) {
                uint64_t word = slots_word(LAYOUT_SEQUENCE_MAX, slot);

                assert_int_equal(slots_word_slot(word), slot);
                assert_int_equal(slots_word_sequence(word), LAYOUT_SEQUENCE_MAX);
                assert_int_equal(slots_word_sequence(slots_word(1, slot)), 1);
        }
        assert_true(LAYOUT_SEQUENCE_MAX < LAYOUT_TORN);
}

static void test_fresh_segment(void **state) {
        struct arena *a = arena(state, 100, 4, false);
        struct layout_header *h = slots_header(&a->slots);
        struct slots_reader r;
        struct slots_frame frame;

        assert_int_equal(h->magic, LAYOUT_DATA_MAGIC);
        assert_int_equal(h->version, LAYOUT_VERSION);
        assert_int_equal(h->n_slots, 4);
        assert_int_equal(h->slot_size, 100);
        assert_int_equal(a->table[0]->magic, LAYOUT_TABLE_MAGIC);
        assert_int_equal(a->table[0]->version, LAYOUT_VERSION);
        assert_int_equal(a->table[0]->n_readers, LAYOUT_READERS_MAX);
        assert_int_equal(slots_newest(&a->slots), 0);
        assert_int_equal(slots_newest_timestamp(&a->slots), 0);
        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, false);
        assert_int_equal(slots_latest(&r, &frame), SLOTS_E_NONE);
        assert_int_equal(slots_next(&r, &frame), SLOTS_E_NONE);
        assert_int_equal(slots_release(&r), SLOTS_E_NONE);
        assert_false(slots_fresh(&r));
        assert_true(slots_arm(&r));
        slots_disarm(&r);
}

static void test_latest_again_and_again(void **state) {
        struct arena *a = arena(state, 1000, 3, false);
        struct slots_reader r;
        struct slots_frame frame;

        arena_enter(a, &r, 0, 3, PROTO_START_NEWEST, false);
        for (uint64_t n = 1; n <= 100; n++) {
                publish(a, 1);
                assert_int_equal(slots_newest(&a->slots), n);
                assert_int_equal(slots_newest_timestamp(&a->slots), ARENA_STAMP_TS + n);
                for (int i = 0; i < 3; i++) {
                        assert_int_equal(slots_fresh(&r), i == 0);
                        assert_int_equal(slots_latest(&r, &frame), 0);
                        arena_assert_frame(a, &frame, n);
                        assert_int_equal(frame.missed, 0);
                        assert_true(slots_intact(&r));
                        assert_int_equal(slots_release(&r), 0);
                }
        }
}

static void test_next_in_order(void **state) {
        struct arena *a = arena(state, 64, 8, false);
        struct slots_reader r;
        struct slots_frame frame;

        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, false);
        for (unsigned burst = 1; burst <= 7; burst++) {
                uint64_t before = slots_newest(&a->slots);

                publish(a, burst);
                for (unsigned i = 1; i <= burst; i++) {
                        assert_int_equal(slots_next(&r, &frame), 0);
                        arena_assert_frame(a, &frame, before + i);
                        assert_int_equal(frame.missed, 0);
                        assert_int_equal(slots_release(&r), 0);
                }
                assert_int_equal(slots_next(&r, &frame), SLOTS_E_NONE);
        }
        assert_int_equal(atomic_load(&a->table[0]->reader[0].missed), 0);
}

/* The index has room for a power of two, the slots for fewer: what is gone is counted, what is there is given. */
static void test_next_counts_what_is_gone(void **state) {
        for (uint32_t n = 2; n <= 9; n++)
                for (unsigned ahead = 1; ahead < 40; ahead++) {
                        struct arena *a = arena(state, 64, n, false);
                        struct slots_reader r;
                        struct slots_frame frame;
                        uint64_t gone;

                        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, false);
                        publish(a, 1);
                        assert_int_equal(slots_next(&r, &frame), 0);
                        assert_int_equal(slots_release(&r), 0);
                        publish(a, ahead);
                        gone = ahead > n ? ahead - n : 0;
                        for (uint64_t i = gone + 1; i <= ahead; i++) {
                                assert_int_equal(slots_next(&r, &frame), 0);
                                arena_assert_frame(a, &frame, 1 + i);
                                assert_int_equal(frame.missed, i == gone + 1 ? gone : 0);
                                assert_int_equal(slots_release(&r), 0);
                        }
                        assert_int_equal(slots_next(&r, &frame), SLOTS_E_NONE);
                        assert_int_equal(atomic_load(&a->table[0]->reader[0].missed), gone);
                }
}

static void test_where_a_reader_starts(void **state) {
        struct arena *a = arena(state, 64, 4, false);
        struct slots_frame frame;
        struct slots_reader newest, oldest, end;

        publish(a, 10);
        arena_enter(a, &newest, 0, 0, PROTO_START_NEWEST, false);
        arena_enter(a, &oldest, 0, 1, PROTO_START_OLDEST, false);
        arena_enter(a, &end, 0, 2, PROTO_START_END, false);
        assert_int_equal(slots_next(&newest, &frame), 0);
        arena_assert_frame(a, &frame, 10);
        assert_int_equal(frame.missed, 0);
        assert_int_equal(slots_next(&oldest, &frame), 0);
        arena_assert_frame(a, &frame, 7);
        assert_int_equal(frame.missed, 0);
        assert_int_equal(slots_next(&end, &frame), SLOTS_E_NONE);
        assert_int_equal(slots_release(&newest), 0);
        assert_int_equal(slots_release(&oldest), 0);
        publish(a, 1);
        assert_int_equal(slots_next(&end, &frame), 0);
        arena_assert_frame(a, &frame, 11);
        assert_int_equal(slots_release(&end), 0);
}

static void test_latest_and_next_share_a_cursor(void **state) {
        struct arena *a = arena(state, 64, 8, false);
        struct slots_frame frame;
        struct slots_reader r;

        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, false);
        publish(a, 5);
        assert_int_equal(slots_latest(&r, &frame), 0);
        arena_assert_frame(a, &frame, 5);
        assert_int_equal(frame.missed, 4);
        assert_int_equal(slots_release(&r), 0);
        assert_int_equal(slots_next(&r, &frame), SLOTS_E_NONE);
        publish(a, 2);
        assert_int_equal(slots_next(&r, &frame), 0);
        arena_assert_frame(a, &frame, 6);
        assert_int_equal(slots_release(&r), 0);
}

static void test_untake(void **state) {
        struct arena *a = arena(state, 64, 8, false);
        struct slots_frame frame;
        struct slots_reader r;

        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, false);
        publish(a, 3);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(slots_next(&r, &frame), 0);
                arena_assert_frame(a, &frame, 1);
                slots_untake(&r);
                assert_true(slots_intact(&r));
                assert_int_equal(slots_release(&r), 0);
        }
        assert_int_equal(slots_latest(&r, &frame), 0);
        slots_untake(&r);
        assert_int_equal(slots_release(&r), 0);
        assert_int_equal(slots_next(&r, &frame), 0);
        arena_assert_frame(a, &frame, 1);
        assert_int_equal(slots_release(&r), 0);
}

/* The library checks lengths before; whoever writes the memory may not. */
static void test_length_is_clamped(void **state) {
        struct arena *a = arena(state, 100, 2, false);
        struct slots_frame frame;
        struct slots_reader r;

        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, false);
        publish(a, 1);
        atomic_store(&slots_slot(&a->slots, slots_word_slot(atomic_load(&slots_header(&a->slots)->head)))->length, 101);
        assert_int_equal(slots_latest(&r, &frame), 0);
        assert_int_equal(frame.length, 100);
        assert_int_equal(slots_release(&r), 0);
}

/* ---- holds ------------------------------------------------------------------------------------------------------ */

static void test_a_hold_binds(void **state) {
        for (uint32_t n = 3; n <= 6; n++) {
                struct arena *a = arena(state, 64, n, false);
                struct slots_frame frame;
                struct slots_reader r;

                arena_enter(a, &r, 0, LAYOUT_READERS_MAX - 1, PROTO_START_NEWEST, false);
                publish(a, 1);
                assert_int_equal(slots_latest(&r, &frame), 0);
                publish(a, 100);
                arena_assert_frame(a, &frame, 1);
                assert_true(slots_intact(&r));
                assert_int_equal(slots_release(&r), 0);
        }
}

/* slots >= holding readers + 2: every hold lasts, whatever the writer does. */
static void test_enough_slots_break_no_hold(void **state) {
        struct arena *a = arena(state, 64, 7, false);
        struct slots_frame frame[5];
        struct slots_reader r[5];

        for (uint32_t i = 0; i < 5; i++) {
                arena_enter(a, &r[i], 0, i * 80, PROTO_START_NEWEST, false);
                publish(a, 1);
                assert_int_equal(slots_latest(&r[i], &frame[i]), 0);
        }
        publish(a, 50);
        for (uint32_t i = 0; i < 5; i++) {
                arena_assert_frame(a, &frame[i], i + 1);
                assert_int_equal(slots_release(&r[i]), 0);
        }
}

static void test_the_oldest_hold_breaks(void **state) {
        struct arena *a = arena(state, 64, 4, false);
        struct slots_frame frame[4];
        struct slots_reader r[4];

        /* Held in an order that is not the readers' order: 1 by r[2], 2 by r[0], 3 by r[1]; 4 is the newest. */
        static const uint32_t order[] = { 2, 0, 1 };

        for (uint32_t i = 0; i < 3; i++) {
                arena_enter(a, &r[order[i]], 0, order[i], PROTO_START_NEWEST, false);
                publish(a, 1);
                assert_int_equal(slots_latest(&r[order[i]], &frame[order[i]]), 0);
        }
        publish(a, 1);
        for (uint32_t i = 0; i < 3; i++)
                arena_assert_frame(a, &frame[order[i]], i + 1);
        assert_int_equal(slots_begin(&a->writer), 0);
        assert_false(slots_intact(&r[2]));
        assert_true(slots_intact(&r[0]));
        assert_true(slots_intact(&r[1]));
        assert_int_equal(arena_flush(&a->writer, 5), 5);
        assert_int_equal(slots_release(&r[2]), SLOTS_E_OVERWRITTEN);
        assert_int_equal(slots_release(&r[2]), SLOTS_E_NONE);
        publish(a, 1);
        arena_assert_frame(a, &frame[0], 2);
        assert_int_equal(slots_release(&r[0]), 0);
        assert_int_equal(slots_release(&r[1]), 0);
}

/* A broken hold binds no more, so the next frame does not break another. */
static void test_a_broken_hold_is_no_hold(void **state) {
        struct arena *a = arena(state, 64, 3, false);
        struct slots_frame frame[2];
        struct slots_reader r[2];

        for (uint32_t i = 0; i < 2; i++) {
                arena_enter(a, &r[i], 0, i, PROTO_START_NEWEST, false);
                publish(a, 1);
                assert_int_equal(slots_latest(&r[i], &frame[i]), 0);
        }
        publish(a, 1);
        publish(a, 20);
        assert_int_equal(slots_release(&r[0]), SLOTS_E_OVERWRITTEN);
        arena_assert_frame(a, &frame[1], 2);
        assert_int_equal(slots_release(&r[1]), 0);
}

static void test_a_hold_of_another_group_does_not_bind(void **state) {
        struct arena *a = arena(state, 64, 3, false);
        struct slots_frame frame;
        struct slots_reader r;

        arena_enter(a, &r, 1, 0, PROTO_START_NEWEST, false);
        publish(a, 1);
        assert_int_equal(slots_latest(&r, &frame), 0);
        publish(a, 2);
        assert_true(slots_intact(&r));
        publish(a, 1);
        assert_int_equal(slots_release(&r), SLOTS_E_OVERWRITTEN);
        /* Nor an ordered one, whatever the group says of itself. */
        a->writer.block = true;
        slots_leave(a->table[1], 0);
        arena_enter(a, &r, 1, 0, PROTO_START_OLDEST, true);
        publish(a, 10);
}

static void test_missing_group(void **state) {
        struct arena *a = arena(state, 64, 3, true);

        a->writer.groups[0].table = NULL;
        publish(a, 10);
        assert_false(slots_waiting(&a->writer.groups[0]));
}

static void test_two_slots(void **state) {
        struct arena *a = arena(state, 64, 2, false);
        struct slots_frame frame;
        struct slots_reader r;

        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, false);
        publish(a, 2);
        assert_int_equal(slots_latest(&r, &frame), 0);
        assert_int_equal(slots_begin(&a->writer), 0);
        assert_true(slots_intact(&r));
        assert_int_equal(arena_flush(&a->writer, 3), 3);
        arena_assert_frame(a, &frame, 2);
        assert_int_equal(slots_begin(&a->writer), 0);
        assert_false(slots_intact(&r));
        assert_int_equal(arena_flush(&a->writer, 4), 4);
        assert_int_equal(slots_release(&r), SLOTS_E_OVERWRITTEN);
}

static void test_most_slots(void **state) {
        struct arena *a = arena(state, 8, LAYOUT_SLOTS_MAX, false);
        struct slots_frame frame;
        struct slots_reader r;

        publish(a, 3 * LAYOUT_SLOTS_MAX + 5);
        arena_enter(a, &r, 0, 0, PROTO_START_OLDEST, false);
        for (uint64_t n = 2 * LAYOUT_SLOTS_MAX + 6; n <= 3 * LAYOUT_SLOTS_MAX + 5; n++) {
                assert_int_equal(slots_next(&r, &frame), 0);
                arena_assert_frame(a, &frame, n);
                assert_int_equal(frame.missed, 0);
                assert_int_equal(slots_release(&r), 0);
        }
        assert_int_equal(slots_next(&r, &frame), SLOTS_E_NONE);
}

static void test_cancel(void **state) {
        struct arena *a = arena(state, 64, 3, false);
        struct slots_frame frame;
        struct slots_reader r;

        arena_enter(a, &r, 0, 0, PROTO_START_OLDEST, false);
        assert_int_equal(slots_begin(&a->writer), 0);
        slots_cancel(&a->writer);
        assert_int_equal(slots_latest(&r, &frame), SLOTS_E_NONE);
        publish(a, 3);
        for (int i = 0; i < 10; i++) {
                assert_int_equal(slots_begin(&a->writer), 0);
                arena_stamp(&a->slots, a->writer.slot, 99);
                slots_cancel(&a->writer);
                assert_int_equal(slots_latest(&r, &frame), 0);
                arena_assert_frame(a, &frame, 3);
                assert_int_equal(slots_release(&r), 0);
        }
        publish(a, 1);
        assert_int_equal(slots_next(&r, &frame), 0);
        arena_assert_frame(a, &frame, 4);
        assert_int_equal(slots_release(&r), 0);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static void test_waiting_bits(void **state) {
        struct arena *a = arena(state, 64, 4, false);
        struct slots_reader r[LAYOUT_READERS_MAX];

        for (uint32_t i = 0; i < LAYOUT_READERS_MAX; i++) {
                arena_enter(a, &r[i], 0, i, PROTO_START_NEWEST, false);
                assert_false(slots_waiting(&a->writer.groups[0]));
                assert_true(slots_arm(&r[i]));
                assert_true(slots_waiting(&a->writer.groups[0]));
                assert_false(slots_waiting(&a->writer.groups[1]));
                slots_disarm(&r[i]);
        }
        for (uint32_t i = 0; i < LAYOUT_READERS_MAX; i++)
                assert_true(slots_arm(&r[i]));
        for (uint32_t i = 0; i < LAYOUT_READERS_MAX; i++) {
                assert_true(slots_waiting(&a->writer.groups[0]));
                if (i % 2)
                        slots_disarm(&r[i]);
                else
                        arena_leave(&r[i]);
        }
        assert_false(slots_waiting(&a->writer.groups[0]));
        publish(a, 1);
        assert_false(slots_arm(&r[0]));
        assert_false(slots_waiting(&a->writer.groups[0]));
}

/* ---- block ------------------------------------------------------------------------------------------------------ */

static void blockers(struct arena *a, uint32_t n, const uint32_t *entries) {
        uint32_t group = 0, entry = 0;

        for (uint32_t i = 0; i < n; i++, entry++) {
                assert_true(slots_blocker(&a->writer, &group, &entry));
                assert_int_equal(group, 0);
                assert_int_equal(entry, entries[i]);
        }
        assert_false(slots_blocker(&a->writer, &group, &entry));
}

static void test_block_waits_for_holds(void **state) {
        struct arena *a = arena(state, 64, 3, true);
        struct slots_frame frame[2];
        struct slots_reader r[2];
        static const uint32_t both[] = { 0, 70 }, second[] = { 70 };

        for (uint32_t i = 0; i < 2; i++) {
                arena_enter(a, &r[i], 0, both[i], PROTO_START_NEWEST, false);
                publish(a, 1);
                assert_int_equal(slots_latest(&r[i], &frame[i]), 0);
        }
        publish(a, 1);
        for (int i = 0; i < 3; i++)
                assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
        blockers(a, 2, both);
        arena_assert_frame(a, &frame[0], 1);
        arena_assert_frame(a, &frame[1], 2);

        assert_int_equal(slots_release(&r[0]), 0);
        assert_false(r[0].room);
        blockers(a, 1, second);
        publish(a, 10);
        arena_assert_frame(a, &frame[1], 2);

        /* Announced: who lets go is told to ring. */
        assert_int_equal(slots_latest(&r[0], &frame[0]), 0);
        publish(a, 1);
        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
        slots_want_room(&a->writer, true);
        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
        assert_int_equal(slots_release(&r[1]), 0);
        assert_true(r[1].room);
        slots_want_room(&a->writer, false);
        publish(a, 5);
        assert_int_equal(slots_release(&r[0]), 0);
        assert_false(r[0].room);
}

static void test_block_passes_the_dead(void **state) {
        struct arena *a = arena(state, 64, 3, true);
        struct slots_frame frame[2];
        struct slots_reader r[2];
        static const uint32_t entries[] = { 5, 65 };

        for (uint32_t i = 0; i < 2; i++) {
                arena_enter(a, &r[i], 0, entries[i], PROTO_START_NEWEST, i == 1);
                publish(a, 1);
                assert_int_equal(slots_latest(&r[i], &frame[i]), 0);
        }
        publish(a, 1);
        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
        a->writer.groups[0].dead[1] |= 1u << 1;
        blockers(a, 1, entries);
        publish(a, 1);
        arena_assert_frame(a, &frame[0], 1);
        assert_int_equal(slots_release(&r[1]), SLOTS_E_OVERWRITTEN);
        assert_int_equal(a->writer.groups[0].dead[1], 0);
        /* Not taken for dead at the next, for its number may be somebody else's by then: frame 3 is not taken. */
        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
}

static void test_ordered_keeps_what_is_not_taken(void **state) {
        for (uint32_t n = 2; n <= 6; n++) {
                struct arena *a = arena(state, 64, n, true);
                struct slots_frame frame;
                struct slots_reader r;
                static const uint32_t entry[] = { 4 };

                arena_enter(a, &r, 0, 4, PROTO_START_OLDEST, true);
                publish(a, n);
                for (uint64_t i = 1; i < 50; i++) {
                        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
                        blockers(a, 1, entry);
                        slots_want_room(&a->writer, true);
                        assert_int_equal(slots_next(&r, &frame), 0);
                        arena_assert_frame(a, &frame, i);
                        assert_int_equal(frame.missed, 0);
                        assert_false(r.room);
                        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL); /* still held */
                        assert_int_equal(slots_release(&r), 0);
                        assert_true(r.room);
                        r.room = false;
                        slots_want_room(&a->writer, false);
                        publish(a, 1);
                }
                arena_leave(&r);
                publish(a, 3 * n);
        }
}

static void test_ordered_start(void **state) {
        struct arena *a = arena(state, 64, 4, true);
        struct slots_frame frame;
        struct slots_reader r;

        publish(a, 9);
        /* From the end on: the four that are there may go. */
        arena_enter(a, &r, 0, 0, PROTO_START_END, true);
        publish(a, 4);
        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
        assert_int_equal(slots_next(&r, &frame), 0);
        arena_assert_frame(a, &frame, 10);
        assert_int_equal(slots_release(&r), 0);
        arena_leave(&r);
        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, true);
        publish(a, 3);
        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
        assert_int_equal(slots_next(&r, &frame), 0);
        arena_assert_frame(a, &frame, 13);
        assert_int_equal(slots_release(&r), 0);
        arena_leave(&r);
        arena_enter(a, &r, 0, 0, PROTO_START_OLDEST, true);
        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
        assert_int_equal(slots_next(&r, &frame), 0);
        arena_assert_frame(a, &frame, 13);
}

/* Under overwrite "ordered" asks for nothing. */
static void test_ordered_under_overwrite(void **state) {
        struct arena *a = arena(state, 64, 3, false);
        struct slots_reader r;

        arena_enter(a, &r, 0, 0, PROTO_START_OLDEST, true);
        publish(a, 20);
}

static void test_untake_keeps_it(void **state) {
        struct arena *a = arena(state, 64, 3, true);
        struct slots_frame frame;
        struct slots_reader r;

        arena_enter(a, &r, 0, 0, PROTO_START_OLDEST, true);
        publish(a, 3);
        assert_int_equal(slots_next(&r, &frame), 0);
        slots_untake(&r);
        assert_int_equal(slots_release(&r), 0);
        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
        assert_int_equal(slots_next(&r, &frame), 0);
        arena_assert_frame(a, &frame, 1);
        assert_int_equal(slots_release(&r), 0);
        publish(a, 1);
}

/* ---- one slot --------------------------------------------------------------------------------------------------- */

static void test_one_slot(void **state) {
        struct arena *a = arena(state, 500, 1, false);
        struct slots_frame frame;
        struct slots_reader r;

        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, false);
        for (uint64_t n = 1; n <= 20; n++) {
                assert_int_equal(slots_begin(&a->writer), 0);
                assert_int_equal(a->writer.slot, 0);
                assert_int_equal(slots_latest(&r, &frame), n == 1 ? SLOTS_E_NONE : SLOTS_E_BUSY);
                assert_int_equal(slots_next(&r, &frame), SLOTS_E_NONE);
                assert_int_equal(arena_flush(&a->writer, n), n);
                assert_int_equal(n % 2 ? slots_latest(&r, &frame) : slots_next(&r, &frame), 0);
                arena_assert_frame(a, &frame, n);
                assert_int_equal(slots_release(&r), 0);
        }
        /* A hold does not bind. */
        assert_int_equal(slots_latest(&r, &frame), 0);
        assert_int_equal(slots_begin(&a->writer), 0);
        assert_false(slots_intact(&r));
        assert_int_equal(arena_flush(&a->writer, 21), 21);
        assert_int_equal(slots_release(&r), SLOTS_E_OVERWRITTEN);
        assert_int_equal(slots_next(&r, &frame), 0);
        arena_assert_frame(a, &frame, 21);
        assert_int_equal(slots_release(&r), 0);
        /* A missed one. */
        publish(a, 3);
        assert_int_equal(slots_next(&r, &frame), 0);
        arena_assert_frame(a, &frame, 24);
        assert_int_equal(frame.missed, 2);
        assert_int_equal(slots_release(&r), 0);
        /* Busy while something new would be there. */
        publish(a, 1);
        assert_int_equal(slots_begin(&a->writer), 0);
        assert_int_equal(slots_next(&r, &frame), SLOTS_E_BUSY);
        slots_cancel(&a->writer);
        assert_int_equal(slots_next(&r, &frame), SLOTS_E_TORN);
        assert_int_equal(slots_latest(&r, &frame), SLOTS_E_TORN);
        publish(a, 1);
        assert_int_equal(slots_latest(&r, &frame), 0);
        arena_assert_frame(a, &frame, 26);
        assert_int_equal(slots_release(&r), 0);
}

/* ---- the lock --------------------------------------------------------------------------------------------------- */

static void test_lock(void **state) {
        struct arena *a = arena(state, 64, 3, false);
        uint32_t seen = 12345, before = 0;

        for (uint32_t id = 0; id < LAYOUT_WRITERS_MAX; id++) {
                assert_int_equal(slots_lock(&a->slots, id, &seen), 0);
                for (uint32_t other = 0; other < LAYOUT_WRITERS_MAX; other++) {
                        assert_int_equal(slots_lock(&a->slots, other, &seen), SLOTS_E_LOCKED);
                        assert_int_equal(slots_lock_owner(seen), id);
                }
                assert_int_not_equal(seen, before);
                before = seen;
                assert_false(slots_unlock(&a->slots));
        }
        assert_int_equal(slots_lock_owner(0), UINT32_MAX);
}

/* Whoever lets go after somebody said that he will sleep is told to wake him, and the word to sleep on has moved. */
static void test_lock_wakes(void **state) {
        struct arena *a = arena(state, 64, 3, false);
        _Atomic uint32_t *wakes = &slots_header(&a->slots)->lock_wakes;
        uint32_t seen, word;

        assert_int_equal(slots_lock(&a->slots, ID, &seen), 0);
        word = slots_lock_want(&a->slots);
        assert_int_equal(slots_lock(&a->slots, OTHER, &seen), SLOTS_E_LOCKED);
        assert_int_equal(atomic_load(wakes), word);
        assert_true(slots_unlock(&a->slots));
        assert_int_not_equal(atomic_load(wakes), word);
        assert_int_equal(slots_lock(&a->slots, OTHER, &seen), 0);
        assert_false(slots_unlock(&a->slots));
        /* Two of them: both are woken, and one goes to sleep again. */
        assert_int_equal(slots_lock(&a->slots, ID, &seen), 0);
        word = slots_lock_want(&a->slots);
        assert_int_equal(slots_lock_want(&a->slots), word);
        assert_true(slots_unlock(&a->slots));
        assert_int_equal(slots_lock(&a->slots, OTHER, &seen), 0);
        word = slots_lock_want(&a->slots);
        assert_int_equal(slots_lock(&a->slots, 3, &seen), SLOTS_E_LOCKED);
        assert_true(slots_unlock(&a->slots));
        assert_int_not_equal(atomic_load(wakes), word);
}

static void test_inherit_only_what_was_seen(void **state) {
        struct arena *a = arena(state, 64, 3, false);
        uint32_t seen, old;

        assert_int_equal(slots_lock(&a->slots, ID, &seen), 0);
        assert_int_equal(slots_lock(&a->slots, OTHER, &old), SLOTS_E_LOCKED);
        (void)slots_unlock(&a->slots);
        assert_false(slots_lock_inherit(&a->slots, OTHER, old));
        /* The same id again, but alive: it is another time. */
        assert_int_equal(slots_lock(&a->slots, ID, &seen), 0);
        assert_false(slots_lock_inherit(&a->slots, OTHER, old));
        assert_int_equal(slots_lock(&a->slots, OTHER, &seen), SLOTS_E_LOCKED);
        assert_true(slots_lock_inherit(&a->slots, OTHER, seen));
        assert_false(slots_lock_inherit(&a->slots, 3, seen));
        assert_int_equal(slots_lock(&a->slots, 3, &seen), SLOTS_E_LOCKED);
        assert_int_equal(slots_lock_owner(seen), OTHER);
        (void)slots_unlock(&a->slots);
        publish(a, 5);
}

/* The daemon has told something that the writer has not read: whom it does not know yet may want the frame. */
static void test_stale(void **state) {
        struct arena *a = arena(state, 64, 3, false);
        struct slots_frame frame;
        struct slots_reader r;

        arena_enter(a, &r, 0, 0, PROTO_START_NEWEST, false);
        publish(a, 3);
        atomic_fetch_add(&slots_header(&a->slots)->epoch, 1);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(slots_begin(&a->writer), SLOTS_E_STALE);
                assert_int_equal(slots_latest(&r, &frame), 0);
                arena_assert_frame(a, &frame, 3);
                assert_int_equal(slots_release(&r), 0);
        }
        arena_enter(a, &r, 0, 0, PROTO_START_OLDEST, false);
        for (uint64_t n = 1; n <= 3; n++) {
                assert_int_equal(slots_next(&r, &frame), 0);
                arena_assert_frame(a, &frame, n);
                assert_int_equal(slots_release(&r), 0);
        }
        a->writer.epoch = atomic_load(&slots_header(&a->slots)->epoch);
        publish(a, 3);
}

/* ---- garbage ---------------------------------------------------------------------------------------------------- */

/* Whatever a call gives out lies inside the segment. */
static void use_reader(struct arena *a, struct slots_reader *r, struct random *rnd) {
        const struct geometry *g = &a->slots.geometry;
        struct slots_frame frame = { 0 };
        int outcome = random_below(rnd, 2) ? slots_latest(r, &frame) : slots_next(r, &frame);

        assert_in_range(outcome, 0, SLOTS_E_CONFUSED);
        if (outcome)
                return;
        assert_in_range(frame.length, 0, g->slot_size);
        assert_true(frame.data >= a->slots.base + g->payload_offset);
        assert_true(frame.data + frame.length <= a->slots.base + g->file_size);
        assert_true(frame.sequence != 0);
        if (frame.length) {
                volatile unsigned char c = frame.data[frame.length - 1];
                (void)c;
        }
        (void)slots_intact(r);
        if (random_below(rnd, 4) == 0)
                slots_untake(r);
        (void)slots_release(r);
        if (slots_arm(r))
                slots_disarm(r);
        r->room = false;
}

static void use_writer(struct arena *a, struct random *rnd) {
        struct slots_writer *w = &a->writer;
        uint32_t seen, group = 0, entry = 0;
        int blockers = 0;
        int r;

        if (slots_lock(&a->slots, ID, &seen) && !slots_lock_inherit(&a->slots, ID, seen))
                fail();
        r = slots_begin(w);
        if (r == SLOTS_E_STALE)
                w->epoch = atomic_load(&slots_header(&a->slots)->epoch);
        if (r == 0) {
                assert_in_range(w->slot, 0, a->slots.geometry.n_slots - 1);
                memset(slots_payload(&a->slots, w->slot), 1, a->slots.geometry.slot_size);
                if (random_below(rnd, 4)) {
                        uint64_t sequence = slots_flush(w, a->slots.geometry.slot_size, 1, 2);

                        assert_in_range(sequence, 1, LAYOUT_SEQUENCE_MAX);
                } else {
                        slots_cancel(w);
                }
        } else if (r == SLOTS_E_FULL) {
                assert_true(w->block);
                for (; slots_blocker(w, &group, &entry); entry++, blockers++) {
                        assert_in_range(group, 0, ARENA_GROUPS - 1);
                        assert_in_range(entry, 0, LAYOUT_READERS_MAX - 1);
                        w->groups[group].dead[entry / 64] |= UINT64_C(1) << entry % 64;
                }
                assert_in_range(blockers, 0, ARENA_GROUPS * LAYOUT_READERS_MAX);
        }
        (void)slots_unlock(&a->slots);
        (void)slots_waiting(&w->groups[0]);
}

static uint64_t garbage(struct random *rnd, const struct slots *s) {
        switch (random_below(rnd, 6)) {
        case 0:
                return random_next(rnd);
        case 1:
                return 0;
        case 2:
                return UINT64_MAX;
        case 3: /* a word that is almost right */
                return slots_word(slots_newest(s) + random_below(rnd, 5) - 2, (uint32_t)random_below(rnd, 4096));
        case 4: /* a sequence that is almost right */
                return slots_newest(s) + random_below(rnd, 9) - 4;
        default:
                return (random_below(rnd, 8) << 61) | random_below(rnd, 64);
        }
}

static void scribble(struct arena *a, struct random *rnd) {
        const struct slots *s = &a->slots;
        unsigned char *piece;
        size_t size;

        switch (random_below(rnd, 6)) {
        case 0:
                atomic_store(&slots_header(s)->head, garbage(rnd, s));
                return;
        case 1:
                atomic_store(slots_index(s, random_next(rnd)), garbage(rnd, s));
                return;
        case 2: {
                struct layout_slot *slot = slots_slot(s, (uint32_t)random_below(rnd, s->geometry.n_slots));

                atomic_store(random_below(rnd, 2) ? &slot->sequence : &slot->length, garbage(rnd, s));
                return;
        }
        case 3: {
                struct layout_reader *r = &a->table[random_below(rnd, 2)]->reader[random_below(rnd, 400)];

                atomic_store(random_below(rnd, 2)   ? &r->hold
                             : random_below(rnd, 2) ? &r->cursor
                                                    : &r->ordered,
                             garbage(rnd, s));
                return;
        }
        case 4: /* all of the metadata: header, descriptors, index */
                piece = s->base;
                size = s->geometry.payload_offset;
                break;
        default: /* all of a table: its used, its bits, its entries */
                piece = (unsigned char *)a->table[random_below(rnd, 2)];
                size = sizeof(struct layout_table);
                break;
        }
        if (random_below(rnd, 20) == 0) {
                random_fill(rnd, piece, size);
                return;
        }
        for (uint64_t n = random_below(rnd, 40); n; n--) {
                uint64_t word = garbage(rnd, s);

                memcpy(piece + random_below(rnd, size / 8) * 8, &word, 8);
        }
}

static void test_garbage(void **state) {
        struct random rnd = random_seeded("slots garbage");
        static const uint32_t n_slots[] = { 1, 2, 3, 4, 7, 64 };

        for (int round = 0; round < 600; round++) {
                struct arena *a = arena(state, 1 + random_below(&rnd, 300), n_slots[round % 6], round / 6 % 2);
                struct slots_reader r[4];

                for (uint32_t i = 1; i < ARENA_GROUPS; i++)
                        arena_set_holds(a, i, (uint32_t)random_below(&rnd, 3), (uint32_t)random_below(&rnd, 4));
                for (uint32_t i = 0; i < 4; i++)
                        arena_enter(a, &r[i], i % 2, (uint32_t)random_below(&rnd, LAYOUT_READERS_MAX),
                                    (uint32_t)random_below(&rnd, 3), i / 2);
                for (int i = 0; i < 60; i++) {
                        scribble(a, &rnd);
                        use_writer(a, &rnd);
                        use_reader(a, &r[i % 4], &rnd);
                        if (random_below(&rnd, 10) == 0)
                                arena_enter(a, &r[i % 4], i % 2, r[i % 4].entry, (uint32_t)random_below(&rnd, 3),
                                            i / 2);
                        (void)slots_newest_timestamp(&a->slots);
                }
        }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_words),
                TEST(test_fresh_segment),
                TEST(test_latest_again_and_again),
                TEST(test_next_in_order),
                TEST(test_next_counts_what_is_gone),
                TEST(test_where_a_reader_starts),
                TEST(test_latest_and_next_share_a_cursor),
                TEST(test_untake),
                TEST(test_length_is_clamped),
                TEST(test_a_hold_binds),
                TEST(test_enough_slots_break_no_hold),
                TEST(test_the_oldest_hold_breaks),
                TEST(test_a_broken_hold_is_no_hold),
                TEST(test_a_hold_of_another_group_does_not_bind),
                TEST(test_missing_group),
                TEST(test_two_slots),
                TEST(test_most_slots),
                TEST(test_cancel),
                TEST(test_waiting_bits),
                TEST(test_block_waits_for_holds),
                TEST(test_block_passes_the_dead),
                TEST(test_ordered_keeps_what_is_not_taken),
                TEST(test_ordered_start),
                TEST(test_ordered_under_overwrite),
                TEST(test_untake_keeps_it),
                TEST(test_one_slot),
                TEST(test_lock),
                TEST(test_lock_wakes),
                TEST(test_inherit_only_what_was_seen),
                TEST(test_stale),
                TEST(test_garbage),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
