/*
 * test_slots_interleave.c -- a writer dies before every single access to the memory, and readers and writers cross at
 * every pair of accesses: what happens then is not left to chance.
 */
#define _GNU_SOURCE
#include "tests/unit/interleave.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define ID 7u
#define OTHER 9u
#define SLOT_SIZE 40u
#define ACCESSES_MAX 1000 /* of a job: more means that it goes round and round */
#define ENTRIES 8u        /* of a table that are used here */

struct fixture {
        struct arena *arena;
        struct arena *kept; /* the same memory as it was at mark() */
        struct routine a, b;
};

static int setup(void **state) {
        *state = calloc(1, sizeof(struct fixture));
        return *state ? 0 : -1;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        running = NULL;
        f->arena = arena_free(f->arena);
        f->kept = arena_free(f->kept);
        free(f);
        return 0;
}

static struct arena *fresh(struct fixture *f, uint32_t n_slots, bool block, unsigned frames) {
        f->arena = arena_free(f->arena);
        f->kept = arena_free(f->kept);
        f->arena = arena_new(SLOT_SIZE, n_slots, block);
        f->kept = arena_new(SLOT_SIZE, n_slots, block);
        arena_set_holds(f->arena, 2, 2, 1);
        while (frames--)
                arena_publish(f->arena, OTHER);
        return f->arena;
}

static void copy(struct arena *to, const struct arena *from) {
        const struct geometry *g = &from->slots.geometry;

        /* What lies between is not used. */
        memcpy(to->slots.base, from->slots.base, g->index_offset + g->index_size * sizeof(uint64_t));
        memcpy(slots_payload(&to->slots, 0), slots_payload(&from->slots, 0), g->stride * g->n_slots);
        for (unsigned i = 0; i < ARENA_GROUPS; i++) {
                memcpy(to->table[i], from->table[i], offsetof(struct layout_table, reader[ENTRIES]));
                memcpy(to->writer.groups[i].dead, from->writer.groups[i].dead, sizeof(to->writer.groups[i].dead));
        }
        to->writer.slot = from->writer.slot;
}

static void mark(struct fixture *f) { copy(f->kept, f->arena); }

static void rewind_to_mark(struct fixture *f) { copy(f->arena, f->kept); }

/* ---- jobs ------------------------------------------------------------------------------------------------------- */

/* A frame, or with @data one given up, if there is room. Result: 2 if a reader is to be woken. */
static int job_publish(struct arena *a, void *data) {
        struct slots_writer w = a->writer;
        uint64_t tag = slots_newest(&a->slots) + 1;
        uint32_t seen;
        int result = 0;

        if (slots_lock(&a->slots, ID, &seen))
                return 90;
        if (slots_begin(&w) == 0) {
                memset(slots_payload(&w.slots, w.slot), 0xee, SLOT_SIZE);
                point();
                if (data) {
                        slots_cancel(&w);
                } else {
                        (void)arena_flush(&w, tag);
                        if (slots_waiting(&w.groups[0]))
                                result = 2;
                }
        }
        (void)slots_unlock(&a->slots);
        return result;
}

static int job_publish_3(struct arena *a, void *data) {
        int result = 0;

        for (int i = 0; i < 3 && result == 0; i++)
                result = job_publish(a, data);
        return result;
}

/* Take a frame, read it, let go. Result: 0 whole, 1 told that it is not, 2 nothing to take now; others are wrong. */
static int read_frame(struct arena *a, struct slots_reader *r, bool next) {
        unsigned char bytes[SLOT_SIZE];
        struct slots_frame frame;
        int outcome = next ? slots_next(r, &frame) : slots_latest(r, &frame);

        if (outcome)
                return outcome == SLOTS_E_NONE || outcome == SLOTS_E_BUSY || outcome == SLOTS_E_TORN ? 2 : 80 + outcome;
        for (uint64_t i = 0; i < frame.length; i += 8) {
                point();
                memcpy(bytes + i, frame.data + i, frame.length - i < 8 ? frame.length - i : 8);
        }
        if (slots_release(r))
                return 1;
        frame.data = bytes;
        return arena_whole(&a->slots, &frame) && frame.tag == frame.sequence ? 0 : 80;
}

static int job_next(struct arena *a, void *data) {
        struct slots_reader r = *(struct slots_reader *)data;

        return read_frame(a, &r, true);
}

static int job_latest(struct arena *a, void *data) {
        struct slots_reader r = *(struct slots_reader *)data;

        return read_frame(a, &r, false);
}

/* Result: 1 if it would sleep. */
static int job_arm(struct arena *a, void *data) {
        struct slots_reader r = *(struct slots_reader *)data;

        (void)a;
        return slots_arm(&r);
}

/* Result: 1 if it would sleep. */
static int job_room(struct arena *a, void *data) {
        struct slots_writer w = a->writer;
        int sleeps;

        (void)data;
        if (slots_begin(&w) == 0)
                return 0;
        slots_want_room(&w, true);
        sleeps = slots_begin(&w) == SLOTS_E_FULL;
        if (!sleeps)
                slots_want_room(&w, false);
        return sleeps;
}

/* Let go of what is held. Result: 1 if it rings. */
static int job_release(struct arena *a, void *data) {
        struct slots_reader r = *(struct slots_reader *)data;

        (void)a;
        (void)slots_release(&r);
        return r.room;
}

/* ---- a writer that dies ----------------------------------------------------------------------------------------- */

/* What a reader sees while a writer stands still anywhere: the frame before or the frame after, or that one slot is
 * not to be had just now. Never a contradiction. */
static uint64_t look(struct arena *a, uint64_t newest) {
        struct slots_reader r = { .slots = a->slots, .table = a->table[0], .entry = 6 };
        struct slots_frame frame;
        uint64_t seen = 0;

        for (int next = 0; next < 2; next++) {
                int outcome;

                r.cursor = newest ? newest - 1 : 0;
                outcome = next ? slots_next(&r, &frame) : slots_latest(&r, &frame);
                if (outcome == SLOTS_E_NONE) {
                        assert_int_equal(newest, 0);
                        continue;
                }
                if (outcome) {
                        assert_int_equal(a->slots.geometry.n_slots, 1);
                        assert_true(outcome == SLOTS_E_BUSY || outcome == SLOTS_E_TORN);
                        continue;
                }
                assert_in_range(frame.sequence, newest, newest + 1);
                arena_assert_frame(a, &frame, frame.sequence);
                assert_int_equal(slots_release(&r), 0);
                seen = frame.sequence;
        }
        return seen;
}

static void survive(struct arena *a, uint64_t newest, struct slots_reader *holder, const struct slots_frame *held) {
        const uint32_t n = a->slots.geometry.n_slots;
        struct slots_writer *w = &a->writer;
        uint64_t sequence, seen_before = look(a, newest);
        uint32_t seen;

        if (slots_lock(&a->slots, OTHER, &seen)) {
                assert_int_equal(slots_lock_owner(seen), ID);
                assert_true(slots_lock_inherit(&a->slots, OTHER, seen));
        }
        for (uint32_t i = 0; i < n; i++) {
                uint64_t is = atomic_load(&slots_slot(&a->slots, i)->sequence);

                /* A frame that is complete is published, whoever completed it. */
                assert_true(is <= slots_newest(&a->slots) || (n == 1 && is == LAYOUT_TORN));
        }
        sequence = slots_newest(&a->slots);
        assert_in_range(sequence, newest, newest + 1);
        assert_true(sequence >= seen_before);
        if (n > 1 && newest)
                assert_int_equal(look(a, newest) != 0, 1);
        if (held && n > 1) {
                assert_true(slots_intact(holder));
                arena_assert_frame(a, held, held->sequence);
        }
        /* All slots serve again. */
        for (uint32_t i = 0; i < 2 * n + 1; i++) {
                struct slots_reader r = { .slots = a->slots, .table = a->table[0], .entry = 7 };
                struct slots_frame frame;

                if (w->block && held && n < 3) {
                        int outcome = slots_release(holder);

                        /* One slot is not kept for other uids. */
                        assert_true(outcome == 0 || (n == 1 && holder->table != a->table[0]));
                        held = NULL;
                }
                assert_int_equal(slots_begin(w), 0);
                sequence++;
                assert_int_equal(arena_flush(w, sequence), sequence);
                assert_int_equal(slots_latest(&r, &frame), 0);
                arena_assert_frame(a, &frame, sequence);
                assert_int_equal(slots_release(&r), 0);
        }
        for (uint32_t i = 0; i < n; i++) {
                uint64_t is = atomic_load(&slots_slot(&a->slots, i)->sequence);

                /* All but the one that is held have a frame of these. */
                assert_true(is + n > sequence || (held && is == held->sequence));
        }
        (void)slots_unlock(&a->slots);
}

static void test_a_writer_dies_anywhere(void **state) {
        struct fixture *f = *state;
        unsigned deaths = 0;

        for (uint32_t n = 1; n <= 5; n++)
                for (unsigned variant = 0; variant < 32; variant++) {
                        bool block = variant & 1, cancel = variant & 2, hold = variant & 4, foreign = variant & 16;
                        struct arena *a = fresh(f, n, block, variant & 8 ? n + 3 : hold ? 1 : 0);
                        struct slots_reader holder = { 0 };
                        struct slots_frame held;

                        if (hold) {
                                arena_enter(a, &holder, foreign ? 2 : 0, 1, PROTO_START_NEWEST, false);
                                assert_int_equal(slots_latest(&holder, &held), 0);
                                if (n >= 3) /* so that it is in the writer's way */
                                        for (uint32_t i = 0; i < n - 1; i++)
                                                arena_publish(a, OTHER);
                        }
                        mark(f);
                        for (unsigned k = 0;; k++) {
                                struct slots_reader r = holder;

                                rewind_to_mark(f);
                                routine_start(&f->a, a, job_publish, cancel ? a : NULL);
                                if (!routine_steps(&f->a, k))
                                        break;
                                survive(a, slots_newest(&f->kept->slots), &r, hold ? &held : NULL);
                                deaths++;
                        }
                }
        assert_true(deaths > 1000);
}

/* ---- two that cross --------------------------------------------------------------------------------------------- */

typedef int job_fn(struct arena *a, void *data);

struct crossing {
        job_fn *a;
        void *a_data;
        job_fn *b;
        void *b_data;
        void (*check)(struct fixture *f, int a, int b, void *data); /* the two results */
        void *data;
        bool twice;
};

/* A goes I steps, B goes J steps, A goes K steps, B to the end, A to the end: for all I, J and K; unless @twice, and
 * under a sanitizer, A goes to its end before B. */
static void cross(struct fixture *f, const struct crossing *c) {
        mark(f);
        for (unsigned i = 0;; i++) {
                bool a_more = true, b_more = true;

                assert_true(i < ACCESSES_MAX);
                for (unsigned j = 0; b_more; j++)
                        for (unsigned k = 0, again = 1; again; k++) {
                                assert_true(k < ACCESSES_MAX);
                                rewind_to_mark(f);
                                routine_start(&f->a, f->arena, c->a, c->a_data);
                                routine_start(&f->b, f->arena, c->b, c->b_data);
                                a_more = routine_steps(&f->a, i);
                                b_more = routine_steps(&f->b, j);
                                again = routine_steps(&f->a, c->twice && !SANITIZED ? k : UINT32_MAX) && b_more;
                                (void)routine_finish(&f->b);
                                (void)routine_finish(&f->a);
                                c->check(f, f->a.result, f->b.result, c->data);
                        }
                if (!a_more)
                        break;
        }
}

struct tally {
        unsigned whole, broken, none;
        bool never_broken;
};

static void check_read(struct fixture *f, int reader, int writer, void *data) {
        struct tally *t = data;

        assert_in_range(reader, 0, 2);
        assert_int_equal(writer, 0);
        t->whole += reader == 0;
        t->broken += reader == 1;
        t->none += reader == 2;
        if (t->never_broken)
                assert_int_equal(reader, 0);
        if (f->arena->slots.geometry.n_slots > 1)
                assert_int_not_equal(reader, 2);
}

static void test_a_reader_and_a_writer_cross(void **state) {
        struct fixture *f = *state;
        struct tally all = { 0 };

        for (uint32_t n = 1; n <= (SANITIZED ? 3 : 4); n++)
                for (unsigned next = 0; next < 2; next++)
                        for (unsigned group = 0; group < 3; group++)
                                for (unsigned many = 0; many < (SANITIZED ? 1 : 2); many++) {
                                        struct tally t = { .never_broken = group != 1 && n >= 3 };
                                        struct slots_reader r;
                                        struct crossing c = {
                                                .a = next ? job_next : job_latest,
                                                .a_data = &r,
                                                .b = many ? job_publish_3 : job_publish,
                                                .check = check_read,
                                                .data = &t,
                                                .twice = !many,
                                        };

                                        arena_enter(fresh(f, n, false, n + 1), &r, group, 3, PROTO_START_OLDEST, false);
                                        cross(f, &c);
                                        all.whole += t.whole;
                                        all.broken += t.broken;
                                        all.none += t.none;
                                }
        assert_true(all.whole > 1000 && all.broken > 100 && all.none > 100);
}

/* Take two frames, one after the other. Result: as read_frame()'s worse one. */
static int job_next_2(struct arena *a, void *data) {
        struct slots_reader r = *(struct slots_reader *)data;
        int first = read_frame(a, &r, true), second = read_frame(a, &r, true);

        return first > second ? first : second;
}

static void check_nobody_lost(struct fixture *f, int reader, int writer, void *data) {
        (void)f;
        assert_int_equal(reader, 0);
        assert_int_equal(writer, 0);
        assert_true(slots_intact(data));
}

/* A reader of the owner's uid, or of another, moves on from frame 2 to 3 while the writer looks from slot to slot: no
 * reason to take frame 1 from whom it is kept for. */
static void test_a_reader_moves_on_and_another_stays(void **state) {
        struct fixture *f = *state;

        for (unsigned group = 0; group < 4; group += 3)
                for (unsigned block = 0; block < 2; block++) {
                        struct arena *a = fresh(f, 4, block, 1);
                        struct slots_reader stays, moves;
                        struct slots_frame frame;
                        struct crossing c = {
                                .a = job_next_2,
                                .a_data = &moves,
                                .b = job_publish,
                                .check = check_nobody_lost,
                                .data = &stays,
                                .twice = true,
                        };

                        arena_set_holds(a, 3, 3, 1);
                        arena_enter(a, &stays, 2, 1, PROTO_START_NEWEST, false);
                        assert_int_equal(slots_latest(&stays, &frame), 0);
                        for (int i = 0; i < 3; i++)
                                arena_publish(a, OTHER);
                        arena_enter(a, &moves, group, 2, PROTO_START_OLDEST, false);
                        moves.cursor = 1;
                        cross(f, &c);
                }
}

struct sleepers {
        unsigned asleep, awake;
};

static void check_sleep(struct fixture *f, int sleeps, int rings, void *data) {
        struct sleepers *s = data;

        (void)f;
        assert_true(rings == 0 || rings == 2);
        assert_true(!sleeps || rings == 2);
        s->asleep += sleeps == 1;
        s->awake += sleeps == 0;
}

static void test_a_flush_and_a_sleeper_cross(void **state) {
        struct fixture *f = *state;

        for (uint32_t n = 1; n <= 3; n++) {
                struct sleepers s = { 0 };
                struct slots_reader r;
                struct crossing c = {
                        .a = job_arm,
                        .a_data = &r,
                        .b = job_publish,
                        .check = check_sleep,
                        .data = &s,
                        .twice = true,
                };

                arena_enter(fresh(f, n, false, n), &r, 0, 2, PROTO_START_END, false);
                cross(f, &c);
                assert_true(s.asleep > 0 && s.awake > 0);
        }
}

static void check_room(struct fixture *f, int sleeps, int rings, void *data) {
        struct sleepers *s = data;

        (void)f;
        assert_true(!sleeps || rings == 1);
        s->asleep += sleeps == 1;
        s->awake += sleeps == 0;
}

static void test_a_release_and_a_writer_without_room_cross(void **state) {
        struct fixture *f = *state;

        for (uint32_t n = 1; n <= 3; n++) {
                struct sleepers s = { 0 };
                struct slots_reader r[3];
                struct slots_frame frame;
                struct crossing c = {
                        .a = job_room,
                        .b = job_release,
                        .b_data = &r[0],
                        .check = check_room,
                        .data = &s,
                        .twice = true,
                };
                struct arena *a = fresh(f, n, true, 0);

                /* All slots held but the newest frame's. */
                for (uint32_t i = 0; i < n; i++) {
                        arena_enter(a, &r[i], 0, i, PROTO_START_NEWEST, false);
                        arena_publish(a, OTHER);
                        if (n == 1 || i < n - 1)
                                assert_int_equal(slots_latest(&r[i], &frame), 0);
                }
                cross(f, &c);
                assert_true(s.asleep > 0 && s.awake > 0);
        }
}

/* ---- an ordered reader ------------------------------------------------------------------------------------------ */

static int job_enter(struct arena *a, void *data) {
        slots_enter(&a->slots, a->table[0], 5, *(uint32_t *)data, true);
        return 0;
}

static int job_publish_while_there_is_room(struct arena *a, void *data) {
        struct slots_writer w = a->writer;

        (void)data;
        for (uint32_t i = 0; i < 2 * a->slots.geometry.n_slots && slots_begin(&w) == 0; i++) {
                uint64_t tag = slots_newest(&a->slots) + 1;

                (void)arena_flush(&w, tag);
        }
        return 0;
}

static void check_nothing_lost(struct fixture *f, int reader, int writer, void *data) {
        struct arena *a = f->arena;
        struct slots_reader r = { .slots = a->slots, .table = a->table[0], .entry = 5, .ordered = true };
        struct slots_frame frame;

        (void)reader;
        (void)writer;
        (void)data;
        r.cursor = atomic_load(&a->table[0]->reader[5].cursor);
        (void)job_publish_while_there_is_room(a, NULL);
        for (uint64_t next = r.cursor + 1; next <= slots_newest(&a->slots); next++) {
                assert_int_equal(slots_next(&r, &frame), 0);
                assert_int_equal(frame.missed, 0);
                arena_assert_frame(a, &frame, next);
                assert_int_equal(slots_release(&r), 0);
        }
}

static void test_an_ordered_reader_comes_in_the_middle(void **state) {
        struct fixture *f = *state;

        for (uint32_t where = 0; where < 3; where++)
                for (uint32_t n = 2; n <= 4; n++) {
                        struct crossing c = {
                                .a = job_enter,
                                .a_data = &where,
                                .b = job_publish_while_there_is_room,
                                .check = check_nothing_lost,
                                .twice = true,
                        };

                        (void)fresh(f, n, true, 2 * n);
                        cross(f, &c);
                }
}

/* Comes, and takes two frames at once. Result: how many it missed, or 80 and more. */
static int job_enter_and_take(struct arena *a, void *data) {
        struct slots_reader r = { .slots = a->slots, .table = a->table[0], .entry = 5, .ordered = true };
        struct slots_frame frame;
        uint64_t missed = 0;

        slots_enter(&a->slots, a->table[0], 5, *(uint32_t *)data, true);
        r.cursor = atomic_load(&a->table[0]->reader[5].cursor);
        for (int i = 0; i < 2; i++) {
                int outcome = slots_next(&r, &frame);

                if (outcome == SLOTS_E_NONE)
                        break;
                if (outcome)
                        return 80 + outcome;
                if (!arena_whole(&a->slots, &frame))
                        return 80;
                missed += frame.missed;
                if (slots_release(&r))
                        return 90;
        }
        return (int)missed;
}

static void check_nothing_missed(struct fixture *f, int missed, int writer, void *data) {
        (void)f;
        (void)writer;
        (void)data;
        assert_int_equal(missed, 0);
}

static void test_an_ordered_reader_comes_and_takes_at_once(void **state) {
        struct fixture *f = *state;

        for (uint32_t where = 0; where < 3; where++)
                for (uint32_t n = 2; n <= 3; n++) {
                        struct crossing c = {
                                .a = job_enter_and_take,
                                .a_data = &where,
                                .b = job_publish_while_there_is_room,
                                .check = check_nothing_missed,
                                .twice = true,
                        };

                        (void)fresh(f, n, true, 2 * n);
                        cross(f, &c);
                }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_a_writer_dies_anywhere),
                TEST(test_a_reader_and_a_writer_cross),
                TEST(test_a_reader_moves_on_and_another_stays),
                TEST(test_a_flush_and_a_sleeper_cross),
                TEST(test_a_release_and_a_writer_without_room_cross),
                TEST(test_an_ordered_reader_comes_in_the_middle),
                TEST(test_an_ordered_reader_comes_and_takes_at_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
