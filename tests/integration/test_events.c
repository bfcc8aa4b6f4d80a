/* test_events.c -- what a reader is told besides frames: writers that come and go, the end of the segment, a daemon
 * that is gone. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/integration/library.h"

#define SIZE 100u

static void test_writers_come_and_go(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r, *late;
        struct shmd_writer *w, *second;
        struct shmd_frame f;

        for (uint32_t n_slots = 1; n_slots < 4; n_slots += 2) {
                make(conn, "s", SIZE, n_slots, 0);
                r = reader(conn, "s", 0);
                assert_int_equal(shmd_reader_writers(r), 0);
                for (unsigned n = 1; n <= 5; n++) {
                        w = writer(conn, "s");
                        expect_events(r, SHMD_EVENT_WRITER_CAME);
                        assert_int_equal(shmd_reader_writers(r), 1);
                        /* Neither the second nor the last but one is an event. */
                        second = writer(conn, "s");
                        expect_users(conn, "s", 2, 1);
                        expect_told(r, NULL, 2);
                        assert_int_equal(shmd_reader_wait(r, 0), 0);
                        shmd_writer_close(second);
                        expect_users(conn, "s", 1, 1);
                        expect_told(r, NULL, 1);
                        assert_int_equal(shmd_reader_wait(r, 0), 0);

                        publish(w, SIZE, n);
                        shmd_writer_close(w);
                        expect_events(r, SHMD_EVENT_WRITER_LEFT | SHMD_EVENT_FRAME);
                        assert_int_equal(shmd_reader_writers(r), 0);
                        /* The newest frame stays, also for who comes later. */
                        assert_int_equal(shmd_reader_wait(r, 0), SHMD_EVENT_FRAME);
                        assert_int_equal(shmd_reader_latest(r, &f), 0);
                        assert_frame(&f, SIZE, n, n, 0);
                        assert_int_equal(shmd_reader_release(r), 0);
                        assert_int_equal(shmd_reader_wait(r, 0), 0);
                        late = reader(conn, "s", 0);
                        assert_int_equal(shmd_reader_wait(late, 0), SHMD_EVENT_FRAME);
                        assert_int_equal(shmd_reader_latest(late, &f), 0);
                        assert_frame(&f, SIZE, n, n, 0);
                        shmd_reader_close(late);
                        expect_users(conn, "s", 0, 1);
                }
                /* Came and left before anybody looked: both are told. */
                shmd_writer_close(writer(conn, "s"));
                expect_users(conn, "s", 0, 1);
                assert_int_equal(shmd_reader_wait(r, SOON), SHMD_EVENT_WRITER_CAME | SHMD_EVENT_WRITER_LEFT);
                assert_int_equal(shmd_reader_wait(r, 0), 0);
                shmd_reader_close(r);
                OK(conn, shmd_remove(conn, "s"));
        }
}

static void write_until_killed(int fd, void *data) {
        struct shmd *conn;
        struct shmd_writer *w;
        void *p;

        CHILD_EQUAL(shmd_connect(&conn, data), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, "s", 0, SOON), 0);
        CHILD_EQUAL(shmd_writer_begin(w, &p, NULL, 0), 0);
        memset(p, 1, SIZE);
        CHILD_EQUAL(shmd_writer_flush(w, SIZE, 1), 0);
        CHILD_CHECK(child_tell(fd, 0));
        for (;;)
                (void)pause();
}

static void test_writer_killed(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct child c;

        make(conn, "s", SIZE, 3, 0);
        r = reader(conn, "s", 0);
        for (int i = 0; i < 20; i++) {
                child_start(&c, write_until_killed, (void *)(uintptr_t)socket_path(state));
                expect_events(r, SHMD_EVENT_WRITER_CAME);
                (void)child_expect(&c);
                child_kill(&c);
                expect_events(r, SHMD_EVENT_WRITER_LEFT);
        }
        shmd_reader_close(r);
}

/* What was not seen is still given; then EIDRM, again and again, and the memory stays. */
static void removed(void **state, uint32_t n_slots, unsigned unseen) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame f;
        char buffer[SIZE];

        make(conn, "s", SIZE, n_slots, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", SHMD_FROM_OLDEST);
        publish(w, SIZE, 1);
        assert_int_equal(shmd_reader_next(r, &f), 0);
        assert_int_equal(shmd_reader_release(r), 0);
        for (unsigned i = 0; i < unseen; i++)
                publish(w, SIZE, 2 + i);
        OK(conn, shmd_remove(conn, "s"));

        assert_int_equal(shmd_reader_wait(r, SOON), SHMD_EVENT_REMOVED | (unseen ? SHMD_EVENT_FRAME : 0));
        for (unsigned i = 0; i < unseen; i++) {
                assert_int_equal(shmd_reader_wait(r, SOON), SHMD_EVENT_FRAME);
                assert_int_equal(shmd_reader_arm(r), SHMD_EVENT_FRAME);
                if (i % 2)
                        assert_int_equal(shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, &f), 0);
                else
                        assert_int_equal(shmd_reader_next(r, &f), 0);
                assert_frame(&f, SIZE, 2 + i, 2 + i, 0);
                if (i % 2 == 0)
                        assert_int_equal(shmd_reader_release(r), 0);
        }
        for (int i = 0; i < 3; i++) {
                assert_int_equal(shmd_reader_wait(r, SHMD_FOREVER), -EIDRM);
                assert_int_equal(shmd_reader_wait(r, 0), -EIDRM);
                assert_int_equal(shmd_reader_arm(r), -EIDRM);
                assert_int_equal(shmd_reader_latest(r, &f), -EIDRM);
                assert_int_equal(shmd_reader_next(r, &f), -EIDRM);
                assert_int_equal(shmd_reader_copy(r, SHMD_LATEST, buffer, SIZE, &f), -EIDRM);
                assert_int_equal(shmd_reader_writers(r), -EIDRM);
        }
        assert_true(shmd_reader_fd(r) >= 0);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

static void test_removed(void **state) {
        removed(state, 1, 0);
        removed(state, 1, 1);
        removed(state, 4, 0);
        removed(state, 4, 1);
        removed(state, 4, 3);
}

/* A frame that is held when the segment goes stays whole and readable. */
static void test_removed_while_held(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame f;

        make(conn, "s", SIZE, 4, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", 0);
        publish(w, SIZE, 5);
        assert_int_equal(shmd_reader_latest(r, &f), 0);
        OK(conn, shmd_remove(conn, "s"));
        shmd_writer_close(w);
        make(conn, "s", SIZE, 4, 0); /* the name is free at once, and another's now */
        w = writer(conn, "s");
        publish(w, SIZE, 6);
        /* Of its end readers are told; that its writers leave as well may come with it. */
        assert_int_equal(shmd_reader_wait(r, SOON) & ~SHMD_EVENT_WRITER_LEFT, SHMD_EVENT_REMOVED);
        assert_frame(&f, SIZE, 1, 5, 0);
        assert_int_equal(shmd_reader_intact(r), 1);
        assert_int_equal(shmd_reader_release(r), 0);
        assert_int_equal(shmd_reader_wait(r, SOON), -EIDRM);
        shmd_reader_close(r);
        r = reader(conn, "s", 0);
        assert_int_equal(shmd_reader_latest(r, &f), 0);
        assert_frame(&f, SIZE, 1, 6, 0);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

static void wait_for_removal(int fd, void *data) {
        struct shmd *conn;
        struct shmd_reader *r;
        int e;

        CHILD_EQUAL(shmd_connect(&conn, data), 0);
        CHILD_EQUAL(shmd_reader_open(&r, conn, "s", 0, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        e = shmd_reader_wait(r, SHMD_FOREVER);
        CHILD_EQUAL(e, SHMD_EVENT_REMOVED);
        CHILD_EQUAL(shmd_reader_wait(r, SHMD_FOREVER), -EIDRM);
        shmd_reader_close(r);
        shmd_close(conn);
}

/* Who sleeps when it happens is woken. */
static void test_removed_while_waiting(void **state) {
        struct shmd *conn = connection(state);
        struct child children[8];

        make(conn, "s", SIZE, 4, 0);
        for (int i = 0; i < 8; i++) {
                child_start(&children[i], wait_for_removal, (void *)(uintptr_t)socket_path(state));
                (void)child_expect(&children[i]);
        }
        for (int i = 0; i < 8; i++)
                while (!process_sleeps(children[i].pid))
                        (void)usleep(100);
        OK(conn, shmd_remove(conn, "s"));
        for (int i = 0; i < 8; i++)
                child_finish(&children[i]);
}

/* The daemon dies: told once, and frames go on between those who are there. */
static void test_offline(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame f;
        struct shmd_info info;
        struct pollfd p;

        make(conn, "s", SIZE, 4, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", 0);
        publish(w, SIZE, 1);
        fixture_kill(((struct library *)*state)->daemon);
        assert_int_equal(shmd_reader_next(r, &f), 0);
        assert_int_equal(shmd_reader_release(r), 0);
        assert_int_equal(shmd_reader_wait(r, SOON), SHMD_EVENT_OFFLINE);
        assert_int_equal(shmd_reader_wait(r, 20), 0);
        p = (struct pollfd){ .fd = shmd_reader_fd(r), .events = POLLIN };
        for (unsigned n = 2; n < 100; n++) {
                assert_int_equal(shmd_reader_arm(r), 0);
                assert_int_equal(poll(&p, 1, 0), 0);
                publish(w, SIZE, n);
                assert_int_equal(poll(&p, 1, SOON), 1);
                assert_int_equal(shmd_reader_arm(r), SHMD_EVENT_FRAME);
                assert_int_equal(shmd_reader_next(r, &f), 0);
                assert_frame(&f, SIZE, n, n, 0);
                assert_int_equal(shmd_reader_release(r), 0);
        }
        /* The connection was lost, and then there is nobody to connect to. */
        FAILS(conn, -ENOTCONN, shmd_stat(conn, "s", &info), socket_path(state));
        FAILS(conn, -ECONNREFUSED, shmd_stat(conn, "s", &info), socket_path(state), "shmd");
        ((struct library *)*state)->fds--; /* the connection's, which it has given up */
        shmd_reader_close(r);
        shmd_writer_close(w);
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static void on_signal(int signal) { (void)signal; }

struct alarm {
        pthread_t thread;
        pthread_t target;
        _Atomic bool over;
};

/* Signals come until the call has ended: the first may come before it sleeps. */
static void *ring_alarm(void *data) {
        struct alarm *a = data;

        while (!atomic_load(&a->over)) {
                (void)pthread_kill(a->target, SIGUSR1);
                (void)usleep(1000);
        }
        return NULL;
}

static void alarm_start(struct alarm *a) {
        *a = (struct alarm){ .target = pthread_self() };
        assert_int_equal(pthread_create(&a->thread, NULL, ring_alarm, a), 0);
}

static void alarm_stop(struct alarm *a) {
        atomic_store(&a->over, true);
        assert_int_equal(pthread_join(a->thread, NULL), 0);
}

static void test_signals(void **state) {
        struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, old;
        struct shmd *conn = connection(state);
        struct shmd_reader *r, *absent;
        struct shmd_writer *w, *second;
        struct alarm a;
        struct shmd_info info;
        struct shmd_frame f;
        void *data;

        make(conn, "s", SIZE, 3, SHMD_BLOCK);
        w = writer(conn, "s");
        r = reader(conn, "s", SHMD_ORDERED);
        second = writer(conn, "s");
        assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
        alarm_start(&a);
        assert_int_equal(shmd_reader_wait(r, SHMD_FOREVER), -EINTR);
        assert_int_equal(shmd_reader_wait(r, SOON), -EINTR);
        FAILS(conn, -EINTR, shmd_reader_open(&absent, conn, "absent", SHMD_WAIT, SHMD_FOREVER), "absent", "signal");
        /* A writer that waits: for its turn, for room, for a reader. */
        assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), 0);
        assert_int_equal(shmd_writer_begin(second, &data, NULL, SHMD_FOREVER), -EINTR);
        assert_int_equal(shmd_writer_flush(w, SIZE, 1), 0);
        publish(w, SIZE, 2);
        publish(w, SIZE, 3);
        assert_int_equal(shmd_writer_begin(w, &data, NULL, SHMD_FOREVER), -EINTR);
        /* Requests are finished, signals or not. */
        for (int i = 0; i < 200; i++)
                OK(conn, shmd_stat(conn, "s", &info));
        alarm_stop(&a);
        assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);

        for (unsigned n = 1; n <= 3; n++) {
                assert_int_equal(shmd_reader_next(r, &f), 0);
                assert_int_equal(f.tag, n);
                assert_int_equal(shmd_reader_release(r), 0);
        }
        assert_int_equal(shmd_writer_begin(second, &data, NULL, 0), 0);
        shmd_writer_close(second);
        shmd_writer_close(w);
        shmd_reader_close(r);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_writers_come_and_go),
                LIBRARY_TEST(test_writer_killed),
                LIBRARY_TEST(test_removed),
                LIBRARY_TEST(test_removed_while_held),
                LIBRARY_TEST(test_removed_while_waiting),
                LIBRARY_TEST(test_offline),
                LIBRARY_TEST(test_signals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
