/* test_wakeup.c -- nobody sleeps while there is something for him: in poll, in epoll, in an event loop, by the hundred. */
#define _GNU_SOURCE
#include <event2/event.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "tests/integration/library.h"

#define SIZE 32u
#define N_FRAMES times(100000)

struct party {
        const char *socket;
        uint64_t n;
        uint64_t seed;
};

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

static bool is_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = poll(&p, 1, 0);

        assert_true(n >= 0);
        return n == 1;
}

static bool becomes_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, SOON) == 1;
}

static void test_poll(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame f;

        for (uint32_t n_slots = 1; n_slots < 5; n_slots += 3) {
                make(conn, "s", SIZE, n_slots, 0);
                w = writer(conn, "s");
                r = reader(conn, "s", 0);
                expect_users(conn, "s", 1, 1); /* what the daemon has to say of it has been said */
                for (unsigned n = 1; n <= 200; n++) {
                        assert_int_equal(shmd_reader_arm(r), 0);
                        assert_false(is_readable(shmd_reader_fd(r)));
                        publish(w, SIZE, n);
                        assert_true(becomes_readable(shmd_reader_fd(r)));
                        if (n % 3 == 0)
                                publish(w, SIZE, n);
                        /* As often as one asks, until it is taken. */
                        for (int i = 0; i < 3; i++)
                                assert_int_equal(shmd_reader_arm(r), SHMD_EVENT_FRAME);
                        assert_int_equal(shmd_reader_latest(r, &f), 0);
                        assert_int_equal(f.tag, n);
                        assert_int_equal(shmd_reader_release(r), 0);
                }
                /* Every other event makes it readable as well. */
                assert_int_equal(shmd_reader_arm(r), 0);
                shmd_writer_close(w);
                assert_true(becomes_readable(shmd_reader_fd(r)));
                assert_int_equal(shmd_reader_arm(r), SHMD_EVENT_WRITER_LEFT);
                assert_int_equal(shmd_reader_arm(r), 0);
                w = writer(conn, "s");
                assert_true(becomes_readable(shmd_reader_fd(r)));
                assert_int_equal(shmd_reader_arm(r), SHMD_EVENT_WRITER_CAME);
                assert_int_equal(shmd_reader_arm(r), 0);
                OK(conn, shmd_remove(conn, "s"));
                assert_true(becomes_readable(shmd_reader_fd(r)));
                assert_int_equal(shmd_reader_arm(r), SHMD_EVENT_REMOVED);
                assert_int_equal(shmd_reader_arm(r), -EIDRM);
                shmd_reader_close(r);
                shmd_writer_close(w);
        }
}

/* Many readers in one epoll, itself in another: those that were armed are reported, and no other. */
static void test_nested_epoll(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *readers[10];
        struct shmd_writer *writers[10];
        struct shmd_frame f;
        int inner = epoll_create1(EPOLL_CLOEXEC), outer = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event e = { .events = EPOLLIN }, got[16];

        assert_true(inner >= 0 && outer >= 0);
        assert_int_equal(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &e), 0);
        for (unsigned i = 0; i < 10; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "s%u", i);
                make(conn, name, SIZE, 3, 0);
                writers[i] = writer(conn, name);
                readers[i] = reader(conn, name, 0);
                expect_users(conn, name, 1, 1);
                e = (struct epoll_event){ .events = EPOLLIN, .data.u32 = i };
                assert_int_equal(epoll_ctl(inner, EPOLL_CTL_ADD, shmd_reader_fd(readers[i]), &e), 0);
        }
        for (unsigned round = 0; round < 50; round++) {
                unsigned reported = 0;

                for (unsigned i = 0; i < 10; i++)
                        assert_int_equal(shmd_reader_arm(readers[i]), 0);
                assert_int_equal(epoll_wait(outer, got, 16, 0), 0);
                for (unsigned i = 0; i < 10; i++)
                        if (i % 3 == round % 3)
                                publish(writers[i], SIZE, round);
                assert_int_equal(epoll_wait(outer, got, 16, SOON), 1);
                for (int n = epoll_wait(inner, got, 16, 0); n > 0; n--) {
                        unsigned i = got[n - 1].data.u32;

                        assert_int_equal(i % 3, round % 3);
                        assert_int_equal(shmd_reader_arm(readers[i]), SHMD_EVENT_FRAME);
                        assert_int_equal(shmd_reader_latest(readers[i], &f), 0);
                        assert_int_equal(f.tag, round);
                        assert_int_equal(shmd_reader_release(readers[i]), 0);
                        reported++;
                }
                assert_int_equal(reported, round % 3 == 0 ? 4 : 3);
        }
        for (unsigned i = 0; i < 10; i++) {
                shmd_reader_close(readers[i]);
                shmd_writer_close(writers[i]);
        }
        (void)close(inner);
        (void)close(outer);
}

/* ---- 100,000 frames at random moments --------------------------------------------------------------------------- */

/* Publishes one frame whenever the reader has taken the last, after a random while: right into its going to sleep. */
static void write_at_random(int fd, void *data) {
        const struct party *party = data;
        struct random random = { party->seed };
        struct shmd *conn;
        struct shmd_writer *w;
        struct shmd_info info;
        uint64_t value;
        void *p;

        CHILD_EQUAL(shmd_connect(&conn, party->socket), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, "s", 0, SOON), 0);
        CHILD_CHECK(child_hear(fd, &value));
        for (uint64_t n = 1; n <= party->n; n++) {
                uint64_t spin = random_below(&random, 4) ? random_below(&random, 2000) : random_below(&random, 40000);

                while (spin--)
                        __asm__ volatile("" ::: "memory");
                if (random_below(&random, 100) == 0)
                        CHILD_EQUAL(shmd_stat(conn, "s", &info), 0);
                CHILD_EQUAL(shmd_writer_begin(w, &p, NULL, SOON), 0);
                CHILD_EQUAL(shmd_writer_flush(w, 8, n), 0);
        }
        shmd_writer_close(w);
        shmd_close(conn);
}

/* Each frame that is published while the reader sleeps or is about to must wake it: a lost wake-up shows as a sleep
 * without end. Under the policy block the two go in step, so that every frame is a chance. */
static void in_step(void **state, uint32_t n_slots, uint32_t policy, int way) {
        struct random random = random_seeded("wake-up");
        struct party party = { .socket = socket_path(state), .n = N_FRAMES, .seed = random_next(&random) };
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct child c;
        uint64_t last = 0;

        make(conn, "s", SIZE, n_slots, policy);
        r = reader(conn, "s", SHMD_ORDERED | SHMD_FROM_OLDEST);
        child_start(&c, write_at_random, &party);
        expect_events(r, SHMD_EVENT_WRITER_CAME);
        assert_true(child_tell(c.fd, 0));
        while (last < party.n) {
                struct shmd_frame f;
                unsigned char buffer[SIZE];
                uint64_t spin = random_below(&random, 1000), asleep;
                int e;

                switch (way) {
                case 0: /* a wait looks again at its end, so that it slept till then is what tells */
                        asleep = monotonic_ns();
                        e = shmd_reader_wait(r, SOON);
                        assert_true(monotonic_ns() - asleep < SOON * UINT64_C(1000000));
                        break;
                case 1:
                        while ((e = shmd_reader_arm(r)) == 0)
                                if (!becomes_readable(shmd_reader_fd(r)))
                                        fail_msg("asleep with %llu of %llu frames", (unsigned long long)last,
                                                 (unsigned long long)party.n);
                        break;
                default: /* armed at random moments, and not always waited for */
                        while ((e = shmd_reader_arm(r)) == 0)
                                if (random_below(&random, 2) && !becomes_readable(shmd_reader_fd(r)))
                                        fail_msg("asleep with %llu of %llu frames", (unsigned long long)last,
                                                 (unsigned long long)party.n);
                }
                if (e <= 0)
                        fail_msg("%d with %llu of %llu frames", e, (unsigned long long)last,
                                 (unsigned long long)party.n);
                if (!(e & SHMD_EVENT_FRAME))
                        continue;
                while (spin--)
                        __asm__ volatile("" ::: "memory");
                e = shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, &f);
                if (e == -EAGAIN) /* one slot: it is being changed again already */
                        continue;
                assert_int_equal(e, 0);
                assert_int_equal(f.sequence, last + 1 + f.missed);
                if (policy == SHMD_BLOCK)
                        assert_int_equal(f.missed, 0);
                last = f.sequence;
        }
        child_finish(&c);
        shmd_reader_close(r);
}

static void test_wait_in_step(void **state) { in_step(state, 2, SHMD_BLOCK, 0); }
static void test_arm_in_step(void **state) { in_step(state, 2, SHMD_BLOCK, 1); }
static void test_arm_at_random(void **state) { in_step(state, 3, SHMD_BLOCK, 2); }
static void test_wait_behind(void **state) { in_step(state, 4, SHMD_OVERWRITE, 0); }
static void test_wait_one_slot(void **state) { in_step(state, 1, SHMD_OVERWRITE, 0); }

/* What the two share besides the segment: the reader says that it is about to arm for frame N. */
struct aim {
        const char *socket;
        uint64_t n, seed;
        _Atomic uint64_t *about;
};

static void write_while_arming(int fd, void *data) {
        const struct aim *aim = data;
        struct random random = { aim->seed };
        struct shmd *conn;
        struct shmd_writer *w;
        void *p;

        CHILD_EQUAL(shmd_connect(&conn, aim->socket), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, "s", 0, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        for (uint64_t n = 1; n <= aim->n; n++) {
                static const uint64_t spans[] = { 300, 1000, 3000, 10000 };
                uint64_t spin = random_below(&random, spans[random_below(&random, 4)]);

                CHILD_EQUAL(shmd_writer_begin(w, &p, NULL, SOON), 0);
                for (unsigned i = 1; atomic_load_explicit(aim->about, memory_order_relaxed) < n; i++)
                        if (i % 4096 == 0)
                                (void)sched_yield();
                while (spin--)
                        __asm__ volatile("" ::: "memory");
                CHILD_EQUAL(shmd_writer_flush(w, 8, n), 0);
        }
        shmd_writer_close(w);
        shmd_close(conn);
}

/* The flush falls into the very steps of arming, and no other follows until the reader has woken up. */
static void test_flush_while_arming(void **state) {
        struct random random = random_seeded("arming");
        _Atomic uint64_t *about = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        struct aim aim = { socket_path(state), N_FRAMES, random_next(&random), about };
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_frame f;
        struct child c;

        assert_true(about != MAP_FAILED);
        make(conn, "s", SIZE, 4, 0);
        r = reader(conn, "s", SHMD_FROM_OLDEST);
        child_start(&c, write_while_arming, &aim);
        (void)child_expect(&c);
        expect_events(r, SHMD_EVENT_WRITER_CAME);
        for (uint64_t n = 1; n <= aim.n; n++) {
                int e;

                atomic_store(about, n);
                while ((e = shmd_reader_arm(r)) == 0)
                        if (!becomes_readable(shmd_reader_fd(r)))
                                fail_msg("asleep with frame %llu there", (unsigned long long)n);
                assert_true(e > 0);
                if (!(e & SHMD_EVENT_FRAME)) {
                        n--;
                        continue;
                }
                assert_int_equal(shmd_reader_next(r, &f), 0);
                assert_int_equal(f.sequence, n);
                assert_int_equal(f.missed, 0);
                assert_int_equal(shmd_reader_release(r), 0);
        }
        child_finish(&c);
        shmd_reader_close(r);
        assert_int_equal(munmap(about, 4096), 0);
}

/* ---- libevent --------------------------------------------------------------------------------------------------- */

struct loop {
        struct event_base *base;
        struct event *event;
        struct shmd_reader *reader;
        uint64_t last, n;
        unsigned *open;
        int failed; /* line; cmocka's jump must not cross libevent */
};

/* As shmd.h says: handle what arm returns until it returns 0, then wait for the descriptor. */
static void on_readable(evutil_socket_t fd, short what, void *data) {
        struct loop *loop = data;
        int e;

        (void)fd;
        (void)what;
        while (loop->last < loop->n && (e = shmd_reader_arm(loop->reader)) != 0) {
                struct shmd_frame f;

                if (e < 0) {
                        loop->failed = __LINE__;
                        break;
                }
                if (!(e & SHMD_EVENT_FRAME))
                        continue;
                if (shmd_reader_next(loop->reader, &f)) {
                        loop->failed = __LINE__;
                        break;
                }
                if (f.sequence != loop->last + 1 || f.missed || f.tag != f.sequence)
                        loop->failed = __LINE__;
                loop->last = f.sequence;
                if (shmd_reader_release(loop->reader))
                        loop->failed = __LINE__;
        }
        if (loop->failed || loop->last == loop->n) {
                (void)event_del(loop->event);
                --*loop->open;
        }
        if (loop->failed || *loop->open == 0)
                (void)event_base_loopbreak(loop->base);
}

static void on_timeout(evutil_socket_t fd, short what, void *data) {
        (void)fd;
        (void)what;
        (void)event_base_loopbreak(data);
}

static void libevent(void **state, const char *avoid) {
        struct event_config *config = event_config_new();
        const struct timeval patience = { .tv_sec = SOON / 1000 };
        struct party party = { .socket = socket_path(state), .n = N_FRAMES / 10, .seed = 5 };
        struct shmd *conn = connection(state);
        struct event_base *base;
        struct event *timeout;
        struct loop loops[8];
        unsigned open = 8;
        struct child c;

        assert_non_null(config);
        if (avoid)
                assert_int_equal(event_config_avoid_method(config, avoid), 0);
        base = event_base_new_with_config(config);
        event_config_free(config);
        assert_non_null(base);
        timeout = evtimer_new(base, on_timeout, base);
        assert_int_equal(evtimer_add(timeout, &patience), 0);
        make(conn, "s", SIZE, 3, SHMD_BLOCK);
        for (unsigned i = 0; i < 8; i++) {
                struct loop *l = &loops[i];

                *l = (struct loop){ .base = base, .n = party.n, .open = &open };
                l->reader = reader(conn, "s", SHMD_ORDERED | SHMD_FROM_OLDEST);
                l->event = event_new(base, shmd_reader_fd(l->reader), EV_READ | EV_PERSIST, on_readable, l);
                assert_int_equal(event_add(l->event, NULL), 0);
                assert_int_equal(shmd_reader_arm(l->reader), 0);
        }
        child_start(&c, write_at_random, &party);
        assert_true(child_tell(c.fd, 0));
        assert_int_equal(event_base_dispatch(base), 0);
        for (unsigned i = 0; i < 8; i++) {
                if (loops[i].failed)
                        fail_msg("reader %u: line %d", i, loops[i].failed);
                assert_int_equal(loops[i].last, loops[i].n);
        }
        child_finish(&c);
        for (unsigned i = 0; i < 8; i++) {
                event_free(loops[i].event);
                shmd_reader_close(loops[i].reader);
        }
        event_free(timeout);
        event_base_free(base);
}

static void test_libevent(void **state) { libevent(state, NULL); }
static void test_libevent_poll(void **state) { libevent(state, "epoll"); }

/* ---- a crowd ---------------------------------------------------------------------------------------------------- */

#define CROWD_CHILDREN 5
#define CROWD_READERS 90 /* of each */

/* All readers in one epoll; every frame has to reach every one of them. */
static void wait_in_crowd(int fd, void *data) {
        const struct party *party = data;
        struct shmd_reader *readers[CROWD_READERS];
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        struct shmd *conn;

        CHILD_EQUAL(shmd_connect(&conn, party->socket), 0);
        for (unsigned i = 0; i < CROWD_READERS; i++) {
                struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

                CHILD_EQUAL(shmd_reader_open(&readers[i], conn, "s", SHMD_FROM_END, SOON), 0);
                CHILD_EQUAL(epoll_ctl(epoll, EPOLL_CTL_ADD, shmd_reader_fd(readers[i]), &e), 0);
        }
        for (uint64_t n = 1; n <= party->n; n++) {
                unsigned woken = 0;

                for (unsigned i = 0; i < CROWD_READERS; i++)
                        CHILD_EQUAL(shmd_reader_arm(readers[i]), 0);
                CHILD_CHECK(child_tell(fd, n));
                while (woken < CROWD_READERS) {
                        struct epoll_event got[CROWD_READERS];
                        int m = epoll_wait(epoll, got, CROWD_READERS, SOON);

                        CHILD_CHECK(m > 0);
                        for (int i = 0; i < m; i++) {
                                struct shmd_reader *r = readers[got[i].data.u32];
                                struct shmd_frame f;
                                int e, armed = 0;

                                /* A notice wakes, too: another reader has come. The frame may come while we arm. */
                                do
                                        e = shmd_reader_next(r, &f);
                                while (e == -EAGAIN && (armed = shmd_reader_arm(r)) == SHMD_EVENT_FRAME);
                                if (e == -EAGAIN) {
                                        CHILD_EQUAL(armed, 0);
                                        continue;
                                }
                                CHILD_EQUAL(e, 0);
                                CHILD_EQUAL(f.sequence, n);
                                CHILD_EQUAL(f.missed, 0);
                                CHILD_EQUAL(shmd_reader_release(r), 0);
                                CHILD_EQUAL(shmd_reader_arm(r), 0); /* takes the edge off */
                                woken++;
                        }
                }
        }
        for (unsigned i = 0; i < CROWD_READERS; i++)
                shmd_reader_close(readers[i]);
        (void)close(epoll);
        shmd_close(conn);
}

/* More readers than one group takes, all asleep, all woken by one flush. */
static void test_crowd(void **state) {
        struct party party = { .socket = socket_path(state), .n = times(200) };
        struct shmd *conn = connection(state);
        struct child children[CROWD_CHILDREN];
        struct shmd_writer *w;

        make(conn, "s", SIZE, 4, 0);
        w = writer(conn, "s"); /* before them: it has to learn of both groups */
        for (int i = 0; i < CROWD_CHILDREN; i++)
                child_start(&children[i], wait_in_crowd, &party);
        for (uint64_t n = 1; n <= party.n; n++) {
                for (int i = 0; i < CROWD_CHILDREN; i++)
                        assert_int_equal(child_expect(&children[i]), n);
                if (n == 1)
                        expect_users(conn, "s", 1, CROWD_CHILDREN * CROWD_READERS);
                publish(w, 1, n);
        }
        for (int i = 0; i < CROWD_CHILDREN; i++)
                child_finish(&children[i]);
        expect_users(conn, "s", 1, 0);
        shmd_writer_close(w);
}

/* A group that comes right before a flush: whether the writer hears of it in time is a race that it must win. */
static void arm_once(int fd, void *data) {
        const struct party *party = data;
        struct shmd *conn;

        CHILD_EQUAL(shmd_connect(&conn, party->socket), 0);
        for (uint64_t n = 1;; n++) {
                struct shmd_reader *r;
                char name[16];
                uint64_t value;
                int e;

                if (!child_hear(fd, &value))
                        break;
                (void)snprintf(name, sizeof(name), "s%llu", (unsigned long long)value);
                CHILD_EQUAL(shmd_reader_open(&r, conn, name, SHMD_FROM_OLDEST, SOON), 0);
                do
                        e = shmd_reader_wait(r, SOON);
                while (e > 0 && !(e & SHMD_EVENT_FRAME));
                CHILD_CHECK(e > 0);
                CHILD_CHECK(child_tell(fd, n));
                shmd_reader_close(r);
        }
        shmd_close(conn);
}

static void test_first_reader_races_flush(void **state) {
        struct random random = random_seeded("first reader");
        struct party party = { .socket = socket_path(state) };
        struct shmd *conn = connection(state);
        struct child c;

        child_start(&c, arm_once, &party);
        for (uint64_t n = 0; n < times(1000); n++) {
                struct shmd_writer *w;
                char name[16];

                (void)snprintf(name, sizeof(name), "s%llu", (unsigned long long)n);
                make(conn, name, SIZE, 2, 0);
                w = writer(conn, name);
                assert_true(child_tell(c.fd, n));
                for (uint64_t spin = random_below(&random, 200000); spin; spin--)
                        __asm__ volatile("" ::: "memory");
                publish(w, 1, 1); /* one, and no other after it */
                (void)child_expect(&c);
                shmd_writer_close(w);
                OK(conn, shmd_remove(conn, name));
        }
        (void)shutdown(c.fd, SHUT_WR);
        child_finish(&c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_poll),
                LIBRARY_TEST(test_nested_epoll),
                LIBRARY_TEST(test_wait_in_step),
                LIBRARY_TEST(test_arm_in_step),
                LIBRARY_TEST(test_arm_at_random),
                LIBRARY_TEST(test_wait_behind),
                LIBRARY_TEST(test_wait_one_slot),
                LIBRARY_TEST(test_flush_while_arming),
                LIBRARY_TEST(test_libevent),
                LIBRARY_TEST(test_libevent_poll),
                LIBRARY_TEST(test_first_reader_races_flush),
                LIBRARY_TEST(test_crowd),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
