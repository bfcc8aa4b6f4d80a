/*
 * test_bells.c -- writers that spoil the bells and the lock that they share with other writers, and readers that use up what
 * the kernel allows on a bell: whose bell it is not, does not notice.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "client/shmd.h"
#include "proto/cleanup.h"
#include "tests/hostile/stage.h"

#define SOON 60000
#define FRAMES 300u

static void make_segment(struct stage *s, uint32_t policy) {
        struct proto_create m = { .slot_size = 100, .mode = 0666, .policy = policy };

        stage_make(s, UID_OWNER, STAGE_SEGMENT, &m);
}

/* ---- honest ones ------------------------------------------------------------------------------------------------ */

/* Publish frame after frame, each when the reader has had the last. */
static void write_frames(struct stage *s, int fd) {
        struct shmd_writer *w;
        struct shmd *conn;

        CHILD_EQUAL(shmd_connect(&conn, fixture_socket(s->daemon)), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, STAGE_SEGMENT, 0, SOON), 0);
        (void)child_tell(fd, 0);
        for (unsigned i = 1; i <= FRAMES; i++) {
                uint64_t go;
                void *data;

                CHILD_CHECK(child_hear(fd, &go));
                CHILD_EQUAL(shmd_writer_begin(w, &data, NULL, SOON), 0);
                CHILD_EQUAL(shmd_writer_flush(w, 1, i), 0);
        }
        shmd_writer_close(w);
        shmd_close(conn);
}

/* Wait for each, asleep. */
static void read_frames(struct stage *s, int fd) {
        struct shmd_reader *r;
        struct shmd *conn;

        CHILD_EQUAL(shmd_connect(&conn, fixture_socket(s->daemon)), 0);
        CHILD_EQUAL(shmd_reader_open(&r, conn, STAGE_SEGMENT, SHMD_FROM_END, SOON), 0);
        (void)child_tell(fd, 0);
        for (unsigned i = 1; i <= FRAMES; i++) {
                struct shmd_frame f;
                int e;

                do
                        e = shmd_reader_wait(r, SOON);
                while (e > 0 && !(e & SHMD_EVENT_FRAME));
                CHILD_CHECK(e > 0);
                CHILD_EQUAL(shmd_reader_next(r, &f), 0);
                CHILD_EQUAL(f.tag, i);
                CHILD_EQUAL(shmd_reader_release(r), 0);
                (void)child_tell(fd, i);
        }
        shmd_reader_close(r);
        shmd_close(conn);
}

/* Let them run, and see that every frame arrives. Frames go when the reader sleeps, or is about to. */
static void frames_arrive(struct stage *s, uid_t writer_uid, uid_t reader_uid) {
        struct child *reader = stage_start(s, reader_uid, read_frames);
        struct child *writer;

        (void)child_expect(reader);
        writer = stage_start(s, writer_uid, write_frames);
        (void)child_expect(writer);
        for (unsigned i = 1; i <= FRAMES; i++) {
                (void)child_tell(writer->fd, i);
                assert_int_equal(child_expect(reader), i);
        }
        child_finish(reader);
        child_finish(writer);
}

/* ---- writers and bells ------------------------------------------------------------------------------------------ */

/* Whatever a holder can do to an eventfd. */
static void spoil(int bell, struct random *rnd) {
        static const uint64_t most = UINT64_MAX - 1;
        uint64_t count;
        struct pollfd p = { .fd = bell, .events = POLLIN };

        switch (random_below(rnd, 4)) {
        case 0:
                (void)fcntl(bell, F_SETFL, O_NONBLOCK);
                (void)!write(bell, &most, sizeof(most));
                break;
        case 1:
                (void)fcntl(bell, F_SETFL, 0);
                break;
        case 2:
                (void)fcntl(bell, F_SETFL, O_NONBLOCK);
                if (poll(&p, 1, 0) == 1)
                        (void)!read(bell, &count, sizeof(count));
                count = 1; /* a bell on 0 is silent: to leave it there is what a writer can spoil (this is said) */
                (void)!write(bell, &count, sizeof(count));
                break;
        default:
                (void)fcntl(bell, F_SETFL, O_ASYNC);
                break;
        }
}

static void spoil_bells(struct stage *s, int fd) {
        struct random rnd = { 1 };
        struct wire w;

        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_WRITE, 0, 0), 0);
        CHILD_CHECK(w.in.any.opened.n_groups > 0);
        (void)child_tell(fd, 0);
        for (;;) {
                for (uint32_t i = 0; i < w.in.any.opened.n_groups; i++)
                        spoil(w.packet.fds[2 + 2 * i], &rnd);
                (void)usleep(100); /* not to take the machine from those who are to get on */
        }
}

static void read_and_stay(struct stage *s, int fd) {
        struct wire w;

        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_READ, 0, 0), 0);
        (void)child_tell(fd, 0);
        (void)pause();
}

/* Filled, emptied and refilled, with O_NONBLOCK and without: no writer ever blocks on a bell, and it rings. */
static void test_a_writer_fills_and_drains_bells(void **state) {
        struct stage *s = *state;

        make_segment(s, PROTO_POLICY_OVERWRITE);
        (void)child_expect(stage_start(s, UID_READER, read_and_stay));
        (void)child_expect(stage_start(s, UID_WRITER, spoil_bells));
        frames_arrive(s, UID_OWNER, UID_READER);
        stage_served(s, 3);
}

/* ---- the lock --------------------------------------------------------------------------------------------------- */

static void take_the_lock(struct stage *s, int fd) {
        struct wire_mapping m;
        struct wire w;
        uint32_t seen;

        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_WRITE, 0, 0), 0);
        wire_map(&m, &w, true);
        CHILD_EQUAL(slots_lock(&m.slots, w.in.any.opened.entry, &seen), 0);
        (void)child_tell(fd, 0);
        (void)pause();
}

static void find_it_taken(struct stage *s, int fd) {
        struct shmd_writer *w;
        struct shmd *conn;
        void *data;
        uint64_t go;

        CHILD_EQUAL(shmd_connect(&conn, fixture_socket(s->daemon)), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, STAGE_SEGMENT, 0, SOON), 0);
        CHILD_EQUAL(shmd_writer_begin(w, &data, NULL, 0), -EAGAIN);
        CHILD_EQUAL(shmd_writer_begin(w, &data, NULL, 50), -ETIMEDOUT);
        (void)child_tell(fd, 0);
        CHILD_CHECK(child_hear(fd, &go));
        CHILD_EQUAL(shmd_writer_begin(w, &data, NULL, SOON), 0);
        CHILD_EQUAL(shmd_writer_flush(w, 1, 1), 0);
        shmd_writer_close(w);
        shmd_close(conn);
}

/* Co-writers wait for as long as they want to, and get it when whoever has it is gone. */
static void test_a_writer_keeps_the_lock(void **state) {
        struct stage *s = *state;
        struct child *thief, *other;

        make_segment(s, PROTO_POLICY_OVERWRITE);
        thief = stage_start(s, UID_WRITER, take_the_lock);
        (void)child_expect(thief);
        other = stage_start(s, UID_OWNER, find_it_taken);
        (void)child_expect(other);
        stage_served(s, 3);
        child_kill(thief);
        (void)child_tell(other->fd, 0);
        child_finish(other);
}

/* ---- readers and bells ------------------------------------------------------------------------------------------ */

/* Take every path that the kernel allows from this uid's bell. */
static void nest(struct stage *s, int fd) {
        struct epoll_event event = { .events = EPOLLIN };
        unsigned n = 0;
        struct wire w;

        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_READ, 0, 0), 0);
        for (;; n++) {
                int outer = epoll_create1(EPOLL_CLOEXEC);

                CHILD_CHECK(outer >= 0);
                if (epoll_ctl(outer, EPOLL_CTL_ADD, w.watch, &event) < 0)
                        break;
        }
        CHILD_EQUAL(errno, EINVAL);
        CHILD_CHECK(n >= 400);
        (void)child_tell(fd, 0);
        (void)pause();
}

static void nest_once(struct stage *s, int fd) {
        struct epoll_event event = { .events = EPOLLIN };
        struct wire w;

        (void)fd;
        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_READ, 0, 0), 0);
        CHILD_EQUAL(epoll_ctl(epoll_create1(EPOLL_CLOEXEC), EPOLL_CTL_ADD, w.watch, &event), 0);
}

static void test_a_reader_uses_up_its_bell(void **state) {
        struct stage *s = *state;

        make_segment(s, PROTO_POLICY_OVERWRITE);
        (void)child_expect(stage_start(s, UID_READER, nest));
        stage_act_as(s, UID_OTHER, nest_once);
        stage_act_as(s, UID_OWNER, nest_once);
        frames_arrive(s, UID_OWNER, UID_OTHER);
}

/* A room bell rung without end, by those who may. */
static void ring_for_ever(struct stage *s, int fd) {
        static const uint64_t most = UINT64_MAX - 1;
        uint64_t count;
        struct wire w;

        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_READ, 0, 0), 0);
        CHILD_EQUAL(w.packet.n_fds, 3);
        (void)child_tell(fd, 0);
        for (;;) {
                (void)!write(w.packet.fds[2], &most, sizeof(most));
                (void)!read(w.packet.fds[2], &count, sizeof(count));
                (void)usleep(100);
        }
}

static void test_a_reader_rings_for_ever(void **state) {
        struct stage *s = *state;

        make_segment(s, PROTO_POLICY_BLOCK);
        (void)child_expect(stage_start(s, UID_OWNER, ring_for_ever));
        frames_arrive(s, UID_OWNER, UID_OTHER);
        stage_served(s, 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                STAGE_TEST(test_a_writer_fills_and_drains_bells),
                STAGE_TEST(test_a_writer_keeps_the_lock),
                STAGE_TEST(test_a_reader_uses_up_its_bell),
                STAGE_TEST(test_a_reader_rings_for_ever),
        };

        return STAGE_RUN(tests);
}
