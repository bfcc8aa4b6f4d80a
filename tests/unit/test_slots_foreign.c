/* test_slots_foreign.c -- the holds of readers of other uids: which bind, for how long, and what nobody can do with them. */
#define _GNU_SOURCE
#include "tests/unit/arena.h"

#define ID 7u

static int setup(void **state) {
        *state = NULL;
        return 0;
}

static int teardown(void **state) {
        *state = arena_free(*state);
        return 0;
}

/* Each of the groups 1 to 3 is a uid of its own that may hold @holds frames. */
static struct arena *arena(void **state, uint32_t n_slots, bool block, uint32_t holds) {
        struct arena *a;

        *state = arena_free(*state);
        a = arena_new(64, n_slots, block);
        for (uint32_t i = 1; i < ARENA_GROUPS; i++)
                arena_set_holds(a, i, i, holds);
        *state = a;
        return a;
}

static void publish(struct arena *a, unsigned n) {
        while (n--)
                arena_publish(a, ID);
}

/* A reader that holds the newest frame. */
struct holder {
        struct slots_reader reader;
        struct slots_frame frame;
};

static void hold(struct arena *a, struct holder *h, unsigned group, uint32_t entry) {
        arena_enter(a, &h->reader, group, entry, PROTO_START_NEWEST, false);
        assert_int_equal(slots_latest(&h->reader, &h->frame), 0);
}

/* The same, and a new frame after it. */
static void hold_old(struct arena *a, struct holder *h, unsigned group, uint32_t entry) {
        hold(a, h, group, entry);
        publish(a, 1);
}

static void assert_whole(struct arena *a, struct holder *h, uint64_t sequence) {
        arena_assert_frame(a, &h->frame, sequence);
        assert_int_equal(slots_release(&h->reader), 0);
}

static void assert_lost(struct holder *h) { assert_int_equal(slots_release(&h->reader), SLOTS_E_OVERWRITTEN); }

/* ---- the budget ------------------------------------------------------------------------------------------------- */

static void test_within_the_budget(void **state) {
        for (uint32_t n = 3; n <= 6; n++)
                for (int block = 0; block < 2; block++) {
                        struct arena *a = arena(state, n, block, 1);
                        struct holder h;

                        publish(a, 1);
                        hold(a, &h, 1, LAYOUT_READERS_MAX - 1);
                        publish(a, 100);
                        assert_whole(a, &h, 1);
                }
}

static void test_beyond_the_budget(void **state) {
        for (uint32_t holds = 0; holds <= 3; holds++) {
                struct arena *a = arena(state, 8, false, holds);
                struct holder h[4];

                publish(a, 1);
                for (uint32_t i = 0; i < 4; i++)
                        hold_old(a, &h[i], 1, i * 100);
                publish(a, 50);
                for (uint32_t i = 0; i < 4; i++)
                        if (i < holds)
                                assert_whole(a, &h[i], i + 1);
                        else
                                assert_lost(&h[i]);
        }
}

/* Readers cost nothing, slots do; and a uid does not get more by having more readers than a group takes. */
static void test_frames_count(void **state) {
        struct arena *a = arena(state, 5, false, 1);
        struct holder h[6], late;

        arena_set_holds(a, 2, 1, 1);
        publish(a, 1);
        for (uint32_t i = 0; i < 6; i++)
                hold(a, &h[i], 1 + i % 2, i);
        publish(a, 1);
        hold(a, &late, 2, 100);
        publish(a, 50);
        for (uint32_t i = 0; i < 5; i++)
                assert_whole(a, &h[i], 1);
        publish(a, 50);
        assert_lost(&late);
        assert_whole(a, &h[5], 1);
        /* With the last one the budget is free again. */
        hold(a, &late, 2, 100);
        publish(a, 50);
        assert_whole(a, &late, 102);
}

/* What was honoured once stays so, even if the same uid holds an older frame later. */
static void test_first_come(void **state) {
        struct arena *a = arena(state, 6, false, 1);
        struct holder owner, first, second;

        publish(a, 1);
        hold_old(a, &owner, 0, 0);
        hold(a, &first, 1, 0);
        publish(a, 20); /* it has been met */
        arena_enter(a, &second.reader, 1, 1, PROTO_START_OLDEST, false);
        second.reader.cursor = 0;
        assert_int_equal(slots_next(&second.reader, &second.frame), 0);
        arena_assert_frame(a, &second.frame, slots_newest(&a->slots) - 3);
        publish(a, 20);
        assert_lost(&second);
        assert_whole(a, &first, 2);
        assert_whole(a, &owner, 1);
}

/* All together have the slots less two: who came last gets nothing. */
static void test_the_cap(void **state) {
        struct arena *a = arena(state, 4, false, 1);
        struct holder h[3];

        publish(a, 1);
        for (uint32_t i = 0; i < 3; i++)
                hold_old(a, &h[i], 1 + i, 0);
        publish(a, 50);
        assert_lost(&h[2]);
        assert_whole(a, &h[0], 1);
        /* Now there is room. */
        hold(a, &h[2], 3, 0);
        publish(a, 50);
        assert_whole(a, &h[1], 2);
        assert_whole(a, &h[2], 54);
}

/* Two uids that hold the same frame need one slot. */
static void test_one_frame_of_two(void **state) {
        struct arena *a = arena(state, 3, false, 1);
        struct holder h[3];

        publish(a, 1);
        for (uint32_t i = 0; i < 3; i++)
                hold(a, &h[i], 1 + i, 0);
        publish(a, 50);
        assert_whole(a, &h[1], 1);
        publish(a, 50);
        assert_whole(a, &h[0], 1);
        publish(a, 50);
        assert_whole(a, &h[2], 1);
}

static void test_one_slot_and_two(void **state) {
        for (uint32_t n = 1; n <= 2; n++) {
                struct arena *a = arena(state, n, n == 2, 5);
                struct holder h;

                publish(a, 1);
                hold(a, &h, 1, 0);
                publish(a, 2);
                assert_lost(&h);
        }
}

/* ---- the owner's readers come first ----------------------------------------------------------------------------- */

static void test_the_owner_first(void **state) {
        for (int block = 0; block < 2; block++) {
                struct arena *a = arena(state, 4, block, 1);
                struct holder h[3];

                publish(a, 1);
                hold_old(a, &h[0], 1, 0);
                hold_old(a, &h[1], 2, 0);
                hold_old(a, &h[2], 0, 0);
                publish(a, 50);
                assert_lost(&h[0]); /* the oldest */
                assert_whole(a, &h[1], 2);
                assert_whole(a, &h[2], 3);
        }
}

/* The owner's readers alone break each other's holds, or keep the writer waiting. */
static void test_the_owners_alone(void **state) {
        for (int block = 0; block < 2; block++) {
                struct arena *a = arena(state, 4, block, 2);
                struct holder h[3], foreign;

                publish(a, 1);
                hold(a, &foreign, 1, 0);
                for (uint32_t i = 0; i < 3; i++)
                        hold_old(a, &h[i], 0, i);
                if (block) {
                        uint32_t group = 0, entry = 0;

                        assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
                        assert_true(slots_blocker(&a->writer, &group, &entry));
                        assert_int_equal(group, 0);
                        assert_int_equal(entry, 0);
                } else {
                        publish(a, 50);
                        assert_lost(&h[0]);
                        assert_lost(&foreign);
                }
                assert_whole(a, &h[1], 2);
                assert_whole(a, &h[2], 3);
        }
}

/* What an ordered reader has yet to take is waited for, with what others hold kept; and no longer than that. */
static void test_an_ordered_reader_behind(void **state) {
        struct arena *a = arena(state, 4, true, 2);
        struct slots_frame frame;
        struct slots_reader r;
        struct holder h;

        publish(a, 1);
        hold(a, &h, 1, 0);
        publish(a, 1);
        arena_enter(a, &r, 0, 0, PROTO_START_END, true);
        publish(a, 3); /* 3, 4 and 5, and 1 is held */
        for (uint64_t n = 3; n <= 30; n++) {
                assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
                assert_int_equal(slots_next(&r, &frame), 0);
                arena_assert_frame(a, &frame, n);
                /* It is held, and was read: the next one is unread. */
                assert_int_equal(slots_begin(&a->writer), SLOTS_E_FULL);
                assert_int_equal(slots_release(&r), 0);
                publish(a, 1);
        }
        assert_true(slots_intact(&h.reader));
        /* An owner's reader that goes to sleep on a frame: now there is nothing left to wait for but it. */
        assert_int_equal(slots_next(&r, &frame), 0);
        atomic_store(&a->table[0]->reader[0].cursor, LAYOUT_SEQUENCE_MAX);
        publish(a, 2);
        assert_true(slots_intact(&r));
        assert_true(slots_intact(&h.reader));
        hold(a, &(struct holder){ 0 }, 0, 1);
        publish(a, 1);
        assert_true(slots_intact(&h.reader));
        publish(a, 1);
        assert_false(slots_intact(&h.reader));
        assert_true(slots_intact(&r));
}

/* An ordered mark of another uid is nothing. */
static void test_foreign_and_ordered(void **state) {
        struct arena *a = arena(state, 3, true, 1);
        struct slots_reader r;

        arena_enter(a, &r, 1, 0, PROTO_START_OLDEST, true);
        publish(a, 10);
}

/* ---- lies ------------------------------------------------------------------------------------------------------- */

/* Every frame there is, in entry after entry. */
static void hold_everything(struct arena *a, unsigned group) {
        atomic_store(&a->table[group]->used, UINT32_MAX);
        for (uint32_t e = 0; e < LAYOUT_READERS_MAX; e++) {
                uint32_t slot = e % a->slots.geometry.n_slots;

                atomic_store(&a->table[group]->reader[e].hold,
                             slots_word(atomic_load(&slots_slot(&a->slots, slot)->sequence), slot));
        }
}

static void test_the_greedy(void **state) {
        for (uint32_t n = 4; n <= 40; n += 9)
                for (int block = 0; block < 2; block++) {
                        struct arena *a = arena(state, n, block, 1);
                        struct holder modest, owner;

                        publish(a, 1);
                        hold_everything(a, 1);
                        hold(a, &modest, 2, 3);
                        if (n > 4)
                                hold(a, &owner, 0, 1);
                        for (int i = 0; i < 100; i++) {
                                publish(a, 1);
                                hold_everything(a, 1);
                                hold_everything(a, 3);
                        }
                        assert_whole(a, &modest, 1);
                        if (n > 4)
                                assert_whole(a, &owner, 1);
                }
}

/* What another writer has put on the list is worth what the tables say, and no more than the budget. */
static void test_a_list_of_lies(void **state) {
        struct random rnd = random_seeded("kept frames");

        for (int round = 0; round < 200; round++) {
                const uint32_t n = 3 + (uint32_t)random_below(&rnd, 10);
                struct arena *a = arena(state, n, round % 2, 1 + (uint32_t)random_below(&rnd, 3));
                struct layout_kept *kept = slots_header(&a->slots)->kept;
                struct holder owner;

                publish(a, 1);
                hold(a, &owner, 0, 1);
                for (int i = 0; i < 30; i++) {
                        for (uint32_t k = 0; k < LAYOUT_KEPT_MAX; k++) {
                                uint32_t slot = (uint32_t)random_below(&rnd, n + 1);
                                uint64_t word =
                                        random_below(&rnd, 8)
                                                ? slots_word(slots_newest(&a->slots) - random_below(&rnd, n), slot)
                                                : random_next(&rnd);

                                atomic_store(&kept[k].word, word);
                                atomic_store(&kept[k].accounts, random_next(&rnd));
                        }
                        hold_everything(a, 1);
                        hold_everything(a, 2);
                        publish(a, 1);
                }
                assert_whole(a, &owner, 1);
                /* And it is put right. */
                for (uint32_t i = 1; i < ARENA_GROUPS; i++)
                        memset(a->table[i]->reader, 0, sizeof(a->table[i]->reader));
                publish(a, 2 * n);
                if (n >= 4) {
                        struct holder modest;

                        hold(a, &modest, 2, 0);
                        publish(a, 50);
                        assert_true(slots_intact(&modest.reader));
                }
        }
}

/* A writer died while it moved the list up. */
static void test_a_list_half_moved(void **state) {
        struct arena *a = arena(state, 8, false, 2);
        struct layout_kept *kept = slots_header(&a->slots)->kept;
        struct holder h[4];

        publish(a, 1);
        for (uint32_t i = 0; i < 4; i++)
                hold_old(a, &h[i], 1 + i / 2, i);
        publish(a, 20);
        for (uint32_t i = 0; i < 4; i++)
                assert_int_equal(slots_word_sequence(atomic_load(&kept[i].word)), i + 1);
        assert_int_equal(atomic_load(&kept[4].word), 0);
        assert_whole(a, &h[0], 1);
        /* The second is at the first's place, and still at its own. */
        atomic_store(&kept[0].accounts, atomic_load(&kept[1].accounts));
        atomic_store(&kept[0].word, atomic_load(&kept[1].word));
        publish(a, 1);
        hold(a, &h[0], 1, 0);
        publish(a, 20);
        assert_whole(a, &h[0], 26);
        for (uint32_t i = 1; i < 4; i++)
                assert_whole(a, &h[i], i + 1);
}

/* A group in another's place: neither its holds nor its budget are the other's. */
static void test_another_group(void **state) {
        struct arena *a = arena(state, 4, false, 1);
        struct holder h;

        publish(a, 1);
        hold(a, &h, 1, 0);
        slots_set_group(&a->writer, 1, &(struct slots_group){ .table = NULL });
        publish(a, 10);
        assert_lost(&h);
        arena_set_holds(a, 1, 1, 1);
        hold(a, &h, 1, 0);
        publish(a, 10);
        assert_true(slots_intact(&h.reader));
        slots_set_group(&a->writer, 1, &(struct slots_group){ .table = a->table[1], .binding = true });
        publish(a, 10);
        assert_true(slots_intact(&h.reader));
        arena_set_holds(a, 1, LAYOUT_GROUPS_MAX, 1); /* no account */
        publish(a, 10);
        assert_lost(&h);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_within_the_budget),
                TEST(test_beyond_the_budget),
                TEST(test_frames_count),
                TEST(test_first_come),
                TEST(test_the_cap),
                TEST(test_one_frame_of_two),
                TEST(test_one_slot_and_two),
                TEST(test_the_owner_first),
                TEST(test_the_owners_alone),
                TEST(test_an_ordered_reader_behind),
                TEST(test_foreign_and_ordered),
                TEST(test_the_greedy),
                TEST(test_a_list_of_lies),
                TEST(test_a_list_half_moved),
                TEST(test_another_group),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
