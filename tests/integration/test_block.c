/* test_block.c -- the policy block: the writer waits for readers, and for nobody who is dead. */
#define _GNU_SOURCE
#include "tests/integration/library.h"

#define SIZE 64u

/* ---- one process ------------------------------------------------------------------------------------------------ */

static void test_holds(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *readers[3];
        struct shmd_frame f;
        struct shmd_writer *w;
        void *data;

        make(conn, "s", SIZE, 3, SHMD_BLOCK);
        w = writer(conn, "s");
        for (unsigned i = 0; i < 3; i++) {
                readers[i] = reader(conn, "s", 0);
                publish(w, SIZE, i + 1);
                assert_int_equal(shmd_reader_latest(readers[i], &f), 0);
        }
        for (unsigned n = 0; n < 2; n++) {
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), -EAGAIN);
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 1), -ETIMEDOUT);
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 50), -ETIMEDOUT);
                assert_int_equal(shmd_writer_flush(w, 1, 1), -EINVAL);
        }
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(shmd_reader_intact(readers[i]), 1);
        /* The newest does not free a slot: it stays for who comes. */
        assert_int_equal(shmd_reader_release(readers[2]), 0);
        assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), -EAGAIN);
        /* Closing lets go as well as release. */
        shmd_reader_close(readers[0]);
        publish(w, SIZE, 4);
        assert_int_equal(shmd_reader_intact(readers[1]), 1);
        publish(w, SIZE, 5);
        assert_int_equal(shmd_reader_release(readers[1]), 0);
        shmd_reader_close(readers[1]);
        shmd_reader_close(readers[2]);
        shmd_writer_close(w);
}

static void test_ordered(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *ordered, *other;
        struct shmd_frame f;
        struct shmd_writer *w;
        void *data;
        char buffer[SIZE];

        make(conn, "s", SIZE, 4, SHMD_BLOCK);
        w = writer(conn, "s");
        ordered = reader(conn, "s", SHMD_ORDERED);
        other = reader(conn, "s", 0);
        for (unsigned n = 1; n <= 4; n++)
                publish(w, SIZE, n);
        for (unsigned n = 1; n <= 20; n++) {
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), -EAGAIN);
                if (n % 2) {
                        assert_int_equal(shmd_reader_next(ordered, &f), 0);
                        assert_frame(&f, SIZE, n, n, 0);
                        /* Taken, and held: it is not free yet. */
                        assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), -EAGAIN);
                        assert_int_equal(shmd_reader_release(ordered), 0);
                } else {
                        assert_int_equal(shmd_reader_copy(ordered, SHMD_NEXT, buffer, SIZE - 1, &f), -EMSGSIZE);
                        assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), -EAGAIN);
                        assert_int_equal(shmd_reader_copy(ordered, SHMD_NEXT, buffer, SIZE, &f), 0);
                        assert_frame(&f, SIZE, n, n, 0);
                }
                publish(w, SIZE, n + 4);
        }
        /* One that is not ordered is not waited for. */
        assert_int_equal(shmd_reader_next(other, &f), 0);
        assert_frame(&f, SIZE, 21, 21, 20);
        assert_int_equal(shmd_reader_release(other), 0);
        /* The newest: everything before is passed over, and free. */
        assert_int_equal(shmd_reader_latest(ordered, &f), 0);
        assert_frame(&f, SIZE, 24, 24, 3);
        assert_int_equal(shmd_reader_release(ordered), 0);
        for (unsigned n = 0; n < 4; n++)
                publish(w, SIZE, n);
        assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), -EAGAIN);
        shmd_reader_close(ordered);
        publish(w, SIZE, 1);
        shmd_reader_close(other);
        shmd_writer_close(w);
}

/* SHMD_ORDERED means nothing under the other policy. */
static void test_ordered_under_overwrite(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_frame f;
        struct shmd_writer *w;

        make(conn, "s", SIZE, 2, SHMD_OVERWRITE);
        w = writer(conn, "s");
        r = reader(conn, "s", SHMD_ORDERED);
        for (unsigned n = 1; n <= 10; n++)
                publish(w, SIZE, n);
        assert_int_equal(shmd_reader_next(r, &f), 0);
        assert_frame(&f, SIZE, 9, 9, 8);
        assert_int_equal(shmd_reader_release(r), 0);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

/* ---- several processes ------------------------------------------------------------------------------------------ */

struct party {
        const char *socket;
        uint64_t n;
        unsigned mode;
};

/* Takes every frame, this way or that. */
static void take_all(int fd, void *data) {
        const struct party *party = data;
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_frame f;
        unsigned char buffer[SIZE];

        CHILD_EQUAL(shmd_connect(&conn, party->socket), 0);
        CHILD_EQUAL(shmd_reader_open(&r, conn, "s", SHMD_ORDERED | SHMD_FROM_OLDEST, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        for (uint64_t n = 1; n <= party->n;) {
                int e = party->mode == 0 ? shmd_reader_next(r, &f) : shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, &f);

                if (e == -EAGAIN) {
                        if (party->mode < 2)
                                CHILD_CHECK(shmd_reader_wait(r, SOON) > 0);
                        continue; /* mode 2 is the impatient one */
                }
                CHILD_EQUAL(e, 0);
                CHILD_EQUAL(f.sequence, n);
                CHILD_EQUAL(f.missed, 0);
                CHILD_EQUAL(f.tag, n);
                CHILD_EQUAL(f.length, n % (SIZE + 1));
                CHILD_CHECK(is_published(&f, party->mode == 0 ? f.data : buffer));
                if (party->mode == 0)
                        CHILD_EQUAL(shmd_reader_release(r), 0);
                n++;
        }
        CHILD_EQUAL(shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, &f), -EAGAIN);
        shmd_reader_close(r);
        shmd_close(conn);
}

/* Ordered readers lose nothing, however few slots there are. */
static void nothing_lost(void **state, uint32_t n_slots, unsigned n_readers, bool impatient) {
        struct shmd *conn = connection(state);
        struct child children[4];
        struct party parties[4];
        struct shmd_writer *w;
        uint64_t n = times(100000);

        make(conn, "s", SIZE, n_slots, SHMD_BLOCK);
        for (unsigned i = 0; i < n_readers; i++) {
                parties[i] = (struct party){
                        .socket = socket_path(state),
                        .n = n,
                        .mode = impatient && i == 0 ? 2 : i % 2,
                };
                child_start(&children[i], take_all, &parties[i]);
                (void)child_expect(&children[i]);
        }
        w = writer(conn, "s");
        for (uint64_t i = 1; i <= n; i++)
                publish(w, i % (SIZE + 1), i);
        for (unsigned i = 0; i < n_readers; i++)
                child_finish(&children[i]);
        shmd_writer_close(w);
        expect_users(conn, "s", 0, 0);
}

static void test_nothing_lost(void **state) { nothing_lost(state, 4, 3, false); }
static void test_nothing_lost_two_slots(void **state) { nothing_lost(state, 2, 2, false); }
static void test_nothing_lost_many_slots(void **state) { nothing_lost(state, 64, 4, true); }

static void hold_and_obey(int fd, void *data) {
        const struct party *party = data;
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_frame f;
        uint64_t value;

        CHILD_EQUAL(shmd_connect(&conn, party->socket), 0);
        CHILD_EQUAL(shmd_reader_open(&r, conn, "s", party->mode ? SHMD_ORDERED : 0, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        while (child_hear(fd, &value)) {
                if (value)
                        CHILD_EQUAL(shmd_reader_latest(r, &f), 0);
                else
                        CHILD_EQUAL(shmd_reader_release(r), 0);
                CHILD_CHECK(child_tell(fd, 0));
        }
        shmd_reader_close(r);
        shmd_close(conn);
}

static void tell(struct child *c, uint64_t what) {
        assert_true(child_tell(c->fd, what));
        (void)child_expect(c);
}

static void begin_in_child(int fd, void *data) {
        struct shmd *conn;
        struct shmd_writer *w;
        void *p;
        int e;

        CHILD_EQUAL(shmd_connect(&conn, data), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, "s", 0, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        e = shmd_writer_begin(w, &p, NULL, SHMD_FOREVER);
        if (e == 0)
                CHILD_EQUAL(shmd_writer_flush(w, 0, 99), 0);
        CHILD_CHECK(child_tell(fd, (uint64_t)-e));
        shmd_writer_close(w);
        shmd_close(conn);
}

enum ending {
        RELEASE,
        KILL,
        KILL_WITHOUT_DAEMON,
        REMOVE
};

/* Two slots: one reader holds the older frame (or has not taken it), so the writer waits, until ... */
static void freed_by(void **state, enum ending ending, bool ordered) {
        struct fixture *daemon = ((struct library *)*state)->daemon;
        struct party party = { .socket = socket_path(state), .mode = ordered };
        struct shmd *conn = connection(state);
        struct child holder, waiter;
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;

        for (int i = 0; i < 10; i++) {
                make(conn, "s", SIZE, 2, SHMD_BLOCK);
                w = writer(conn, "s");
                r = reader(conn, "s", SHMD_FROM_END); /* keeps the table, holds nothing */
                child_start(&holder, hold_and_obey, &party);
                (void)child_expect(&holder);
                publish(w, SIZE, 1);
                if (!ordered)
                        tell(&holder, 1);
                publish(w, SIZE, 2);
                child_start(&waiter, begin_in_child, (void *)(uintptr_t)socket_path(state));
                (void)child_expect(&waiter);
                while (!process_sleeps(waiter.pid))
                        (void)usleep(100);
                switch (ending) {
                case RELEASE:
                        if (ordered)
                                tell(&holder, 1);
                        tell(&holder, 0);
                        assert_int_equal(child_expect(&waiter), 0);
                        (void)shutdown(holder.fd, SHUT_WR);
                        child_finish(&holder);
                        break;
                case KILL:
                        child_kill(&holder);
                        assert_int_equal(child_expect(&waiter), 0);
                        break;
                case KILL_WITHOUT_DAEMON:
                        fixture_pause(daemon);
                        child_kill(&holder);
                        assert_int_equal(child_expect(&waiter), 0);
                        fixture_resume(daemon);
                        break;
                case REMOVE:
                        OK(conn, shmd_remove(conn, "s"));
                        assert_int_equal(child_expect(&waiter), EIDRM);
                        child_kill(&holder);
                        break;
                }
                child_finish(&waiter);
                if (ending != REMOVE) {
                        assert_int_equal(shmd_reader_latest(r, &f), 0);
                        assert_int_equal(f.tag, 99);
                        assert_int_equal(f.sequence, 3);
                        assert_int_equal(shmd_reader_release(r), 0);
                        expect_users(conn, "s", 1, 1);
                        OK(conn, shmd_remove(conn, "s"));
                }
                shmd_reader_close(r);
                shmd_writer_close(w);
        }
}

static void test_release_frees(void **state) { freed_by(state, RELEASE, false); }
static void test_taking_frees(void **state) { freed_by(state, RELEASE, true); }
static void test_death_frees(void **state) { freed_by(state, KILL, false); }
static void test_death_of_ordered_frees(void **state) { freed_by(state, KILL, true); }
static void test_death_frees_without_daemon(void **state) { freed_by(state, KILL_WITHOUT_DAEMON, false); }
static void test_death_of_ordered_frees_without_daemon(void **state) { freed_by(state, KILL_WITHOUT_DAEMON, true); }
static void test_removal_frees(void **state) { freed_by(state, REMOVE, false); }

/* A second writer that waits for the first, which waits for room, is freed with it. */
static void test_removal_frees_all(void **state) {
        struct party party = { .socket = socket_path(state) };
        struct shmd *conn = connection(state);
        struct child holder, waiters[3];
        struct shmd_writer *w;

        make(conn, "s", SIZE, 2, SHMD_BLOCK);
        w = writer(conn, "s");
        child_start(&holder, hold_and_obey, &party);
        (void)child_expect(&holder);
        publish(w, SIZE, 1);
        tell(&holder, 1);
        publish(w, SIZE, 2);
        for (int i = 0; i < 3; i++) {
                child_start(&waiters[i], begin_in_child, (void *)(uintptr_t)socket_path(state));
                (void)child_expect(&waiters[i]);
        }
        for (int i = 0; i < 3; i++)
                while (!process_sleeps(waiters[i].pid))
                        (void)usleep(100);
        OK(conn, shmd_remove(conn, "s"));
        for (int i = 0; i < 3; i++) {
                assert_int_equal(child_expect(&waiters[i]), EIDRM);
                child_finish(&waiters[i]);
        }
        child_kill(&holder);
        shmd_writer_close(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_holds),
                LIBRARY_TEST(test_ordered),
                LIBRARY_TEST(test_ordered_under_overwrite),
                LIBRARY_TEST(test_nothing_lost),
                LIBRARY_TEST(test_nothing_lost_two_slots),
                LIBRARY_TEST(test_nothing_lost_many_slots),
                LIBRARY_TEST(test_release_frees),
                LIBRARY_TEST(test_taking_frees),
                LIBRARY_TEST(test_death_frees),
                LIBRARY_TEST(test_death_of_ordered_frees),
                LIBRARY_TEST(test_death_frees_without_daemon),
                LIBRARY_TEST(test_death_of_ordered_frees_without_daemon),
                LIBRARY_TEST(test_removal_frees),
                LIBRARY_TEST(test_removal_frees_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
