/*
 * test_slots_threads.c -- real threads at the slots: every frame that a reader takes is whole.
 *
 * With enough slots no hold is broken, so nobody ever reads what another writes: the thread sanitizer may watch. With
 * too few, holds break, and release says so: what it calls whole is whole. That race is meant, so it is not for the
 * sanitizer.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "tests/unit/arena.h"

#define READERS 3u
#define WRITERS_MAX 2u
#define SLOT_SIZE 300u

#if defined(__SANITIZE_THREAD__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WATCHED 1
#endif
#endif
#ifndef WATCHED
#define WATCHED 0
#endif

static const uint64_t frames_wanted = WATCHED ? 20000 : 50000;

struct shared {
        struct arena *arena;
        uint32_t n_writers;
        _Atomic uint32_t writing; /* writers that have not ended */
};

struct thread {
        struct shared *shared;
        pthread_t id;
        unsigned number;
        bool next;
        uint64_t taken, missed, broken, torn, backwards, errors;
};

static void *run_writer(void *data) {
        struct thread *t = data;
        const struct slots *s = &t->shared->arena->slots;
        struct slots_writer *w = malloc(sizeof(*w));

        if (!w)
                return NULL;
        *w = t->shared->arena->writer;
        for (uint64_t i = 0; i < frames_wanted / t->shared->n_writers; i++) {
                uint32_t seen;

                while (slots_lock(s, t->number, &seen)) {
                        uint32_t owner = slots_lock_owner(seen);

                        t->errors += owner != UINT32_MAX && owner >= t->shared->n_writers;
                        (void)sched_yield();
                }
                if (slots_begin(w) == 0) {
                        /* Nobody else publishes: the lock is ours. */
                        (void)arena_flush(w, slots_newest(s) + 1);
                        t->taken++;
                } else {
                        t->errors += !w->block;
                        i--;
                }
                (void)slots_unlock(s);
                if (i % 16 == 0)
                        (void)sched_yield(); /* two processors, more threads */
        }
        free(w);
        atomic_fetch_sub(&t->shared->writing, 1);
        return NULL;
}

static void *run_reader(void *data) {
        struct thread *t = data;
        struct arena *a = t->shared->arena;
        unsigned char bytes[SLOT_SIZE];
        struct slots_reader r;
        uint64_t before = 0;
        bool last = false;

        slots_enter(&a->slots, a->table[0], t->number, PROTO_START_NEWEST, false);
        r = (struct slots_reader){ .slots = a->slots, .table = a->table[0], .entry = t->number };
        while (!last) {
                struct slots_frame frame;
                int outcome;

                last = atomic_load(&t->shared->writing) == 0;
                outcome = t->next ? slots_next(&r, &frame) : slots_latest(&r, &frame);
                if (outcome == SLOTS_E_NONE || outcome == SLOTS_E_BUSY) {
                        (void)sched_yield();
                        continue;
                }
                if (outcome) {
                        t->errors++;
                        continue;
                }
                t->taken++;
                t->missed += frame.missed;
                t->backwards += frame.sequence < before || (t->next && frame.sequence == before);
                before = frame.sequence;
                memcpy(bytes, frame.data, frame.length);
                if (frame.sequence % 64 == 0)
                        (void)sched_yield(); /* hold it for a while */
                frame.data = bytes;
                if (slots_release(&r))
                        t->broken++;
                else
                        t->torn += !arena_whole(&a->slots, &frame) || frame.tag != frame.sequence;
        }
        arena_leave(&r);
        return NULL;
}

static void run(uint32_t n_slots, uint32_t n_writers, bool block, bool may_break) {
        struct shared shared = { .arena = arena_new(SLOT_SIZE, n_slots, block), .n_writers = n_writers };
        struct thread threads[WRITERS_MAX + READERS] = { 0 };
        uint64_t published = 0, taken = 0, broken = 0;

        atomic_store(&shared.writing, n_writers);
        for (uint32_t i = 0; i < n_writers + READERS; i++) {
                struct thread *t = &threads[i];

                t->shared = &shared;
                t->number = i < n_writers ? i : i - n_writers;
                t->next = i % 2;
                assert_int_equal(pthread_create(&t->id, NULL, i < n_writers ? run_writer : run_reader, t), 0);
        }
        for (uint32_t i = 0; i < n_writers + READERS; i++)
                assert_int_equal(pthread_join(threads[i].id, NULL), 0);
        for (uint32_t i = 0; i < n_writers + READERS; i++) {
                const struct thread *t = &threads[i];

                assert_int_equal(t->errors, 0);
                assert_int_equal(t->torn, 0);
                assert_int_equal(t->backwards, 0);
                if (i < n_writers) {
                        published += t->taken;
                        continue;
                }
                taken += t->taken;
                broken += t->broken;
                if (t->next)
                        assert_true(t->taken + t->missed <= published);
        }
        assert_int_equal(published, frames_wanted / n_writers * n_writers);
        assert_int_equal(slots_newest(&shared.arena->slots), published);
        assert_true(taken > 0);
        if (!may_break)
                assert_int_equal(broken, 0);
        shared.arena = arena_free(shared.arena);
}

static void test_enough_slots(void **state) {
        (void)state;
        run(READERS + 2, 1, false, false);
        run(64, 1, false, false);
}

static void test_two_writers(void **state) {
        (void)state;
        run(READERS + 2, 2, false, false);
}

static void test_block_never_breaks(void **state) {
        (void)state;
        run(3, 2, true, false);
}

static void test_too_few_slots(void **state) {
        (void)state;
        if (WATCHED)
                skip();
        run(2, 1, false, true);
        run(3, 2, false, true);
}

static void test_one_slot(void **state) {
        (void)state;
        if (WATCHED)
                skip();
        run(1, 1, false, true);
        run(1, 2, false, true);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_enough_slots),       cmocka_unit_test(test_two_writers),
                cmocka_unit_test(test_block_never_breaks), cmocka_unit_test(test_too_few_slots),
                cmocka_unit_test(test_one_slot),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
