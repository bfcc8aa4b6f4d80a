/*
 * test_slots_schedule.c -- writers and readers that change places at random before every access to the memory, for
 * millions of accesses; now and then one dies there, and is tidied up after as the daemon does it.
 *
 * A frame that is called whole has to be, holds are broken only where there are too few slots (and under block only those
 * of other uids), an ordered reader misses nothing, and the head goes up by one. A few seconds; SHMD_TEST_LONG: 50 times as long. SHMD_TEST_SEED repeats a run.
 */
#define _GNU_SOURCE
#include "tests/unit/interleave.h"

#define WRITERS 2u
#define READERS 3u
#define SLOT_SIZE 40u
#define DAEMON LAYOUT_WRITER_DAEMON

struct part {
        struct routine routine;
        uint32_t id; /* a writer's id, a reader's entry */
        struct slots_writer writer;
        struct slots_reader reader;
        uint64_t last; /* sequence of the frame taken last */
        unsigned group;
        bool ordered;
};

struct stage {
        struct arena *arena;
        struct random rnd;
        struct part part[WRITERS + READERS];
        uint32_t n_slots;
        bool block;
        bool spare; /* enough slots for everybody's hold */
        uint64_t newest;
        unsigned long frames, whole, broken, deaths;
};

static struct stage *stage;

/* As shmd_writer_begin() and shmd_writer_flush(), without any sleep. */
static int write_frames(struct arena *a, void *data) {
        struct part *p = data;

        for (;;) {
                struct slots_writer *w = &p->writer;
                uint32_t seen;
                int r;

                point();
                if (slots_lock(&a->slots, p->id, &seen))
                        continue;
                w->epoch = atomic_load(&slots_header(&a->slots)->epoch);
                r = slots_begin(w);
                if (r == 0) {
                        memset(slots_payload(&w->slots, w->slot), 0xee, SLOT_SIZE);
                        point();
                        if (random_below(&stage->rnd, 16) == 0)
                                slots_cancel(w);
                        else
                                (void)arena_flush(w, slots_newest(&a->slots) + 1);
                } else {
                        assert_true(r == SLOTS_E_STALE || (r == SLOTS_E_FULL && stage->block));
                }
                (void)slots_unlock(&a->slots);
        }
        return 0;
}

static int read_frames(struct arena *a, void *data) {
        struct part *p = data;
        struct slots_reader *r = &p->reader;

        for (;;) {
                bool next = p->ordered || random_below(&stage->rnd, 2);
                unsigned char bytes[SLOT_SIZE];
                struct slots_frame frame;
                int outcome;

                point();
                outcome = next ? slots_next(r, &frame) : slots_latest(r, &frame);
                if (outcome) {
                        assert_true(outcome == SLOTS_E_NONE ||
                                    (stage->n_slots == 1 && (outcome == SLOTS_E_BUSY || outcome == SLOTS_E_TORN)));
                        continue;
                }
                assert_true(next ? frame.sequence > p->last : frame.sequence >= p->last);
                if (p->ordered && p->last)
                        assert_int_equal(frame.missed, 0);
                for (uint64_t i = 0; i < frame.length; i += 8) {
                        point();
                        memcpy(bytes + i, frame.data + i, frame.length - i < 8 ? frame.length - i : 8);
                }
                outcome = slots_release(r);
                if (outcome == SLOTS_E_OVERWRITTEN) {
                        assert_false(stage->spare || (stage->block && p->group == 0));
                        stage->broken++;
                } else {
                        assert_int_equal(outcome, 0);
                        frame.data = bytes;
                        arena_assert_frame(a, &frame, frame.sequence);
                        stage->whole++;
                }
                p->last = frame.sequence;
        }
        return 0;
}

/* What the daemon does when a reader opens: of the owner's uid, or of one of its own that may hold one frame. */
static void open_reader(struct stage *s, struct part *p) {
        (void)atomic_fetch_add(&slots_header(&s->arena->slots)->epoch, 1);
        p->group = random_below(&s->rnd, 2) ? 1 + p->id : 0;
        p->ordered = s->block && p->group == 0 && random_below(&s->rnd, 2);
        arena_enter(s->arena, &p->reader, p->group, p->id, (uint32_t)random_below(&s->rnd, 3), p->ordered);
        p->last = p->reader.cursor;
        routine_start(&p->routine, s->arena, read_frames, p);
}

static void open_writer(struct stage *s, struct part *p) {
        p->writer = s->arena->writer;
        routine_start(&p->routine, s->arena, write_frames, p);
}

static void die(struct stage *s, unsigned i) {
        struct part *p = &s->part[i];

        s->deaths++;
        if (i >= WRITERS) {
                arena_leave(&p->reader);
                open_reader(s, p);
                return;
        }
        uint32_t seen = atomic_load(&slots_header(&s->arena->slots)->lock);
        if (slots_lock_owner(seen) == p->id) {
                assert_true(slots_lock_inherit(&s->arena->slots, DAEMON, seen));
                for (uint32_t k = 0; k < s->n_slots; k++) {
                        uint64_t is = atomic_load(&slots_slot(&s->arena->slots, k)->sequence);

                        assert_true(is <= slots_newest(&s->arena->slots) || (s->n_slots == 1 && is == LAYOUT_TORN));
                }
                (void)slots_unlock(&s->arena->slots);
        }
        open_writer(s, p);
}

static void check_head(struct stage *s) {
        uint64_t newest = slots_newest(&s->arena->slots);

        assert_in_range(newest, s->newest, s->newest + 1);
        s->frames += newest - s->newest;
        s->newest = newest;
}

static void play(struct stage *s, unsigned long steps) {
        for (unsigned i = 0; i < WRITERS + READERS; i++) {
                s->part[i].id = i < WRITERS ? i : i - WRITERS;
                if (i < WRITERS)
                        open_writer(s, &s->part[i]);
                else
                        open_reader(s, &s->part[i]);
        }
        while (steps > 0) {
                /* Mostly a step or two at a time, now and then a long run: a reader that stands still while frames pass. */
                unsigned i = (unsigned)random_below(&s->rnd, WRITERS + READERS);
                unsigned n = random_below(&s->rnd, 16) ? 1 + (unsigned)random_below(&s->rnd, 3)
                                                       : (unsigned)random_below(&s->rnd, 300);

                while (n-- && steps > 0) {
                        (void)routine_step(&s->part[i].routine);
                        check_head(s);
                        steps--;
                }
                if (random_below(&s->rnd, 300) == 0) {
                        die(s, i);
                        check_head(s);
                }
        }
}

static void test_schedule(void **state) {
        static const uint32_t n_slots[] = { 1, 2, 3, 4, 5, 6, 8 };
        const unsigned long steps = getenv("SHMD_TEST_LONG") ? 200000000 : 4000000;
        struct random rnd = random_seeded("slots schedule");

        (void)state;
        for (unsigned i = 0; i < 2 * sizeof(n_slots) / sizeof(*n_slots); i++) {
                stage = calloc(1, sizeof(*stage));
                assert_non_null(stage);
                stage->rnd = rnd;
                stage->n_slots = n_slots[i / 2];
                stage->block = i % 2;
                /* A frame that is held by a reader that has died and left binds nobody, so the living count. */
                stage->spare = stage->n_slots >= READERS + 2;
                stage->arena = arena_new(SLOT_SIZE, stage->n_slots, stage->block);
                for (uint32_t g = 1; g < ARENA_GROUPS; g++)
                        arena_set_holds(stage->arena, g, g, 1);
                play(stage, steps);
                print_message("%u slots, %s: %lu frames, taken %lu whole and %lu overwritten, %lu deaths\n",
                              stage->n_slots, stage->block ? "block" : "overwrite", stage->frames, stage->whole,
                              stage->broken, stage->deaths);
                assert_true(stage->frames > steps / 20000 && stage->whole > 0 && stage->deaths > 0);
                assert_true(stage->broken > 0 || stage->block || stage->n_slots > 3);
                rnd = stage->rnd;
                stage->arena = arena_free(stage->arena);
                free(stage);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_schedule),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
