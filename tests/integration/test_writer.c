/* test_writer.c -- frames as a writer makes them, alone and beside others. */
#define _GNU_SOURCE
#include "tests/integration/library.h"

#define SIZE 256u

static void test_order_of_calls(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        void *data, *again;
        size_t size = 0;

        make(conn, "s", SIZE, 3, 0);
        w = writer(conn, "s");
        assert_int_equal(shmd_writer_sequence(w), 0);
        assert_int_equal(shmd_writer_readers(w), 0);
        assert_int_equal(shmd_writer_flush(w, 1, 0), -EINVAL);
        assert_int_equal(shmd_writer_cancel(w), -EINVAL);
        assert_int_equal(shmd_writer_data(w, &data, &size), -EINVAL);
        assert_int_equal(shmd_writer_begin(w, &data, &size, 0), 0);
        assert_int_equal(size, SIZE);
        assert_int_equal(shmd_writer_begin(w, &again, &size, 0), -EBUSY);
        assert_int_equal(shmd_writer_flush(w, SIZE + 1, 0), -EMSGSIZE);
        assert_int_equal(shmd_writer_begin(w, &again, &size, 0), -EBUSY);
        assert_int_equal(shmd_writer_sequence(w), 0);
        assert_int_equal(shmd_writer_flush(w, SIZE, 0), 0);
        assert_int_equal(shmd_writer_sequence(w), 1);
        assert_int_equal(shmd_writer_flush(w, 1, 0), -EINVAL);
        assert_int_equal(shmd_writer_begin(w, &data, NULL, SHMD_FOREVER), 0);
        assert_int_equal(shmd_writer_cancel(w), 0);
        assert_int_equal(shmd_writer_cancel(w), -EINVAL);
        assert_int_equal(shmd_writer_sequence(w), 1);
        shmd_writer_close(w);
        assert_null(shmd_writer_close(NULL));
}

/* Given up, a frame leaves no trace: not in the numbers, not in the slots, and nobody is woken. */
static void test_cancel(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        void *data;

        make(conn, "s", SIZE, 3, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", 0);
        publish(w, SIZE, 1);
        assert_int_equal(shmd_reader_latest(r, &f), 0);
        for (int i = 0; i < 100; i++) {
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), 0);
                memset(data, 0xee, SIZE);
                assert_int_equal(shmd_writer_cancel(w), 0);
                assert_int_equal(shmd_reader_wait(r, 0), 0);
        }
        assert_frame(&f, SIZE, 1, 1, 0);
        assert_int_equal(shmd_reader_release(r), 0);
        publish(w, SIZE, 2);
        assert_int_equal(shmd_reader_next(r, &f), 0);
        assert_frame(&f, SIZE, 2, 2, 0);
        assert_int_equal(shmd_reader_release(r), 0);

        /* Closing gives up as well. */
        assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), 0);
        shmd_writer_close(w);
        w = writer(conn, "s");
        publish(w, SIZE, 3);
        assert_int_equal(shmd_writer_sequence(w), 3);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

static void test_open_failures(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w = (struct shmd_writer *)state;

        make(conn, "s", SIZE, 3, 0);
        FAILS(conn, -ENOENT, shmd_writer_open(&w, conn, "absent", 0, SOON), "absent");
        assert_null(w);
        FAILS(conn, -EINVAL, shmd_writer_open(&w, conn, "a/", 0, SOON), "name");
        FAILS(conn, -EINVAL, shmd_writer_open(&w, conn, "s", SHMD_ORDERED, SOON), "flag");
        FAILS(conn, -ETIMEDOUT, shmd_writer_open(&w, conn, "absent", SHMD_WAIT, 20), "absent");
        assert_null(w);
}

static void test_removed(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        void *data;

        make(conn, "s", SIZE, 3, 0);
        w = writer(conn, "s");
        assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), 0);
        OK(conn, shmd_remove(conn, "s"));
        memset(data, 1, SIZE); /* the memory stays */
        assert_int_equal(shmd_writer_flush(w, SIZE, 1), 0);
        assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), -EIDRM);
        assert_int_equal(shmd_writer_begin(w, &data, NULL, SOON), -EIDRM);
        assert_int_equal(shmd_writer_flush(w, SIZE, 1), -EINVAL);
        assert_int_equal(shmd_writer_readers(w), -EIDRM);
        assert_int_equal(shmd_writer_wait_reader(w, SOON), -EIDRM);
        shmd_writer_close(w);
}

static void open_reader_when_told(int fd, void *data) {
        struct shmd *conn;
        struct shmd_reader *r;
        uint64_t value;

        CHILD_EQUAL(shmd_connect(&conn, data), 0);
        while (child_hear(fd, &value)) {
                CHILD_EQUAL(shmd_reader_open(&r, conn, "s", 0, SOON), 0);
                CHILD_CHECK(child_tell(fd, 0));
                CHILD_CHECK(child_hear(fd, &value));
                shmd_reader_close(r);
        }
        shmd_close(conn);
}

static void test_wait_reader(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct child c;

        make(conn, "s", SIZE, 3, 0);
        w = writer(conn, "s");
        child_start(&c, open_reader_when_told, (void *)(uintptr_t)socket_path(state));
        assert_int_equal(shmd_writer_wait_reader(w, 0), -EAGAIN);
        assert_int_equal(shmd_writer_wait_reader(w, 10), -ETIMEDOUT);
        for (int i = 0; i < 10; i++) {
                assert_true(child_tell(c.fd, 0));
                assert_int_equal(shmd_writer_wait_reader(w, SOON), 0);
                expect_told(NULL, w, 1);
                (void)child_expect(&c);
                assert_true(child_tell(c.fd, 0));
                expect_users(conn, "s", 1, 0);
                expect_told(NULL, w, 0);
        }
        (void)shutdown(c.fd, SHUT_WR);
        child_finish(&c);
        fixture_kill(((struct library *)*state)->daemon);
        assert_int_equal(shmd_writer_wait_reader(w, SOON), -ENOTCONN);
        publish(w, SIZE, 1); /* frames go on */
        shmd_writer_close(w);
}

/* ---- several writers -------------------------------------------------------------------------------------------- */

static void test_two_writers(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *a, *b;
        void *data;

        for (uint32_t n_slots = 1; n_slots < 4; n_slots += 2) {
                make(conn, "s", SIZE, n_slots, 0);
                a = writer(conn, "s");
                b = writer(conn, "s");
                assert_int_equal(shmd_writer_begin(a, &data, NULL, 0), 0);
                assert_int_equal(shmd_writer_begin(b, &data, NULL, 0), -EAGAIN);
                assert_int_equal(shmd_writer_begin(b, &data, NULL, 1), -ETIMEDOUT);
                assert_int_equal(shmd_writer_begin(b, &data, NULL, 50), -ETIMEDOUT);
                assert_int_equal(shmd_writer_flush(a, 1, 0), 0);
                assert_int_equal(shmd_writer_begin(b, &data, NULL, 0), 0);
                assert_int_equal(shmd_writer_begin(a, &data, NULL, 0), -EAGAIN);
                assert_int_equal(shmd_writer_cancel(b), 0);
                publish(a, 1, 0);
                publish(b, 1, 0);
                assert_int_equal(shmd_writer_sequence(a), 2);
                assert_int_equal(shmd_writer_sequence(b), 3);
                shmd_writer_close(a);
                shmd_writer_close(b);
                OK(conn, shmd_remove(conn, "s"));
        }
}

#define WRITERS 4u
#define N_FRAMES times(100000)

struct crowd {
        const char *socket;
        unsigned index;
        unsigned n;
};

/* Every frame's tag says whose it is, and the how-manieth of his. */
static void write_share(int fd, void *data) {
        const struct crowd *crowd = data;
        struct shmd *conn;
        struct shmd_writer *w;
        uint64_t last = 0, value;
        void *p;

        CHILD_EQUAL(shmd_connect(&conn, crowd->socket), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, "s", 0, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        CHILD_CHECK(child_hear(fd, &value));
        for (uint64_t n = 0; n < crowd->n; n++) {
                CHILD_EQUAL(shmd_writer_begin(w, &p, NULL, SOON), 0);
                memset(p, (int)(n & 0xff), SIZE);
                CHILD_EQUAL(shmd_writer_flush(w, SIZE, (uint64_t)crowd->index << 32 | n), 0);
                CHILD_CHECK(shmd_writer_sequence(w) > last);
                last = shmd_writer_sequence(w);
        }
        shmd_writer_close(w);
        shmd_close(conn);
}

/* Nobody's frame is lost or comes twice, each writer's come in its order, and all of them get their turn. */
static void crowd(void **state, uint32_t n_slots, unsigned flags, bool everything) {
        struct shmd *conn = connection(state);
        struct crowd crowds[WRITERS];
        struct child children[WRITERS];
        uint64_t seen[WRITERS] = { 0 }, sequence = 0;
        struct shmd_reader *r;
        unsigned char buffer[SIZE];

        make(conn, "s", SIZE, n_slots, everything ? SHMD_BLOCK : SHMD_OVERWRITE);
        r = reader(conn, "s", flags);
        for (unsigned i = 0; i < WRITERS; i++) {
                crowds[i] = (struct crowd){ .socket = socket_path(state), .index = i, .n = N_FRAMES / WRITERS };
                child_start(&children[i], write_share, &crowds[i]);
        }
        for (unsigned i = 0; i < WRITERS; i++)
                (void)child_expect(&children[i]);
        for (unsigned i = 0; i < WRITERS; i++)
                assert_true(child_tell(children[i].fd, 0));
        while (sequence < N_FRAMES / WRITERS * WRITERS) {
                struct shmd_frame f;
                int e = shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, &f);
                uint64_t who, n;

                if (e == -EAGAIN) {
                        assert_true(shmd_reader_wait(r, SOON) > 0);
                        continue;
                }
                assert_int_equal(e, 0);
                who = f.tag >> 32;
                n = f.tag & 0xffffffff;
                assert_int_equal(f.sequence, sequence + f.missed + 1);
                if (everything)
                        assert_int_equal(f.missed, 0);
                sequence = f.sequence;
                assert_in_range(who, 0, WRITERS - 1);
                assert_true(n >= seen[who]);
                if (everything)
                        assert_int_equal(n, seen[who]);
                seen[who] = n + 1;
                for (unsigned i = 0; i < SIZE; i++)
                        assert_int_equal(buffer[i], n & 0xff);
        }
        for (unsigned i = 0; i < WRITERS; i++)
                child_finish(&children[i]);
        for (unsigned i = 0; i < WRITERS && everything; i++)
                assert_int_equal(seen[i], N_FRAMES / WRITERS);
        expect_users(conn, "s", 0, 1);
        shmd_reader_close(r);
}

static void test_four_writers_overwrite(void **state) { crowd(state, 4, SHMD_FROM_END, false); }
static void test_four_writers_block(void **state) { crowd(state, 4, SHMD_FROM_END | SHMD_ORDERED, true); }
static void test_four_writers_one_slot(void **state) { crowd(state, 1, SHMD_FROM_END, false); }

/* ---- a writer that dies ----------------------------------------------------------------------------------------- */

static void begin_and_stay(int fd, void *data) {
        struct shmd *conn;
        struct shmd_writer *w;
        uint64_t value;
        void *p;

        CHILD_EQUAL(shmd_connect(&conn, data), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, "s", 0, SOON), 0);
        CHILD_EQUAL(shmd_writer_begin(w, &p, NULL, SOON), 0);
        memset(p, 0xdd, SIZE);
        CHILD_CHECK(child_tell(fd, 0));
        (void)child_hear(fd, &value);
}

/* Whoever waits for a writer that died goes on, with the daemon's help or, while it stands still, without. */
static void die_inside_begin(void **state, uint32_t n_slots, bool daemon_stopped) {
        struct fixture *daemon = ((struct library *)*state)->daemon;
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        struct child c;
        void *data;

        make(conn, "s", SIZE, n_slots, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", SHMD_FROM_OLDEST);
        publish(w, SIZE, 1);
        assert_int_equal(shmd_reader_next(r, &f), 0);
        assert_int_equal(shmd_reader_release(r), 0);
        for (unsigned n = 1; n <= 10; n++) {
                child_start(&c, begin_and_stay, (void *)(uintptr_t)socket_path(state));
                (void)child_expect(&c);
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), -EAGAIN);
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 30), -ETIMEDOUT);
                if (n_slots == 1)
                        assert_int_equal(shmd_reader_latest(r, &f), -EAGAIN);
                if (daemon_stopped)
                        fixture_pause(daemon);
                child_kill(&c);

                if (n_slots == 1) {
                        int e;

                        /* As soon as a reader looks again, it knows; it asks only now and then. */
                        do
                                e = shmd_reader_latest(r, &f);
                        while (e == -EAGAIN);
                        assert_int_equal(e, -EOWNERDEAD);
                } else {
                        assert_int_equal(shmd_reader_latest(r, &f), 1);
                        assert_frame(&f, SIZE, n, n, 0);
                        assert_int_equal(shmd_reader_release(r), 0);
                }

                publish(w, SIZE, n + 1);
                assert_int_equal(shmd_writer_sequence(w), n + 1);
                assert_int_equal(shmd_reader_next(r, &f), 0);
                assert_frame(&f, SIZE, n + 1, n + 1, 0);
                assert_int_equal(shmd_reader_release(r), 0);
                if (daemon_stopped)
                        fixture_resume(daemon);
                expect_users(conn, "s", 1, 1);
        }
        shmd_reader_close(r);
        shmd_writer_close(w);
}

static void test_death_inside_begin(void **state) { die_inside_begin(state, 3, false); }
static void test_death_inside_begin_one_slot(void **state) { die_inside_begin(state, 1, false); }
static void test_death_inside_begin_daemon_stopped(void **state) { die_inside_begin(state, 3, true); }
static void test_death_inside_begin_one_slot_daemon_stopped(void **state) { die_inside_begin(state, 1, true); }

static void publish_when_possible(int fd, void *data) {
        struct shmd *conn;
        struct shmd_writer *w;
        void *p;

        CHILD_EQUAL(shmd_connect(&conn, data), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, "s", 0, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        CHILD_EQUAL(shmd_writer_begin(w, &p, NULL, SHMD_FOREVER), 0);
        CHILD_EQUAL(shmd_writer_flush(w, 0, 0), 0);
        CHILD_CHECK(child_tell(fd, 0));
        shmd_writer_close(w);
        shmd_close(conn);
}

/* The same while others sleep for their turn: all of them get it. */
static void sleepers_outlive_owner(void **state, bool daemon_stopped) {
        struct fixture *daemon = ((struct library *)*state)->daemon;
        struct shmd *conn = connection(state);
        struct child dead, sleepers[3];
        struct shmd_info info;

        make(conn, "s", SIZE, 3, 0);
        child_start(&dead, begin_and_stay, (void *)(uintptr_t)socket_path(state));
        (void)child_expect(&dead);
        for (int i = 0; i < 3; i++) {
                child_start(&sleepers[i], publish_when_possible, (void *)(uintptr_t)socket_path(state));
                (void)child_expect(&sleepers[i]);
        }
        for (int i = 0; i < 3; i++)
                while (!process_sleeps(sleepers[i].pid))
                        (void)usleep(100);
        if (daemon_stopped)
                fixture_pause(daemon);
        child_kill(&dead);
        for (int i = 0; i < 3; i++)
                (void)child_expect(&sleepers[i]);
        if (daemon_stopped)
                fixture_resume(daemon);
        for (int i = 0; i < 3; i++)
                child_finish(&sleepers[i]);
        expect_users(conn, "s", 0, 0);
        OK(conn, shmd_stat(conn, "s", &info));
        assert_int_equal(info.sequence, 3);
}

static void test_sleepers_outlive_owner(void **state) { sleepers_outlive_owner(state, false); }
static void test_sleepers_outlive_owner_daemon_stopped(void **state) { sleepers_outlive_owner(state, true); }

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_order_of_calls),
                LIBRARY_TEST(test_cancel),
                LIBRARY_TEST(test_open_failures),
                LIBRARY_TEST(test_removed),
                LIBRARY_TEST(test_wait_reader),
                LIBRARY_TEST(test_two_writers),
                LIBRARY_TEST(test_four_writers_overwrite),
                LIBRARY_TEST(test_four_writers_block),
                LIBRARY_TEST(test_four_writers_one_slot),
                LIBRARY_TEST(test_death_inside_begin),
                LIBRARY_TEST(test_death_inside_begin_one_slot),
                LIBRARY_TEST(test_death_inside_begin_daemon_stopped),
                LIBRARY_TEST(test_death_inside_begin_one_slot_daemon_stopped),
                LIBRARY_TEST(test_sleepers_outlive_owner),
                LIBRARY_TEST(test_sleepers_outlive_owner_daemon_stopped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
