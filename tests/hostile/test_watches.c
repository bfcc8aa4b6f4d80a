/*
 * test_watches.c -- what clients send as their watch: the daemon has to add a bell to it, and close it, and for whoever
 * hangs it doing so, it hangs alone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "client/shmd.h"
#include "proto/cleanup.h"
#include "tests/hostile/fuse.h"
#include "tests/hostile/stage.h"

static struct fuse fuse;

/* For all, the segment that is attacked; with the policy that has a room bell, too. */
static void make_segment(struct stage *s, uint32_t policy) {
        struct proto_create m = { .slot_size = 100, .mode = 0666, .policy = policy };

        stage_make(s, UID_OWNER, STAGE_SEGMENT, &m);
}

/* Send an open with that watch, and do not wait. */
static void send_open(struct wire *w, uint32_t access, int watch) {
        struct proto_open m = { .access = access, .name = STAGE_SEGMENT };

        wire_header(w, &m, PROTO_OP_OPEN, 1);
        wire_send(w, &m, sizeof(m), &watch, 1);
}

/* An honest reader that comes by. */
static void visit(struct stage *s, int fd) {
        struct wire w;

        (void)fd;
        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_READ, 0, 0), 0);
        wire_close(&w);
}

/* ---- a file that never answers ---------------------------------------------------------------------------------- */

static int setup_fuse(void **state) {
        int r = stage_setup(state);

        if (r == 0 && !fuse_start(&fuse)) {
                print_message("[ SKIPPED  ] no FUSE here\n");
                fuse.server.pid = 0;
        }
        return r;
}

static int teardown_fuse(void **state) {
        if (fuse.server.pid)
                fuse_stop(&fuse);
        return stage_teardown(state);
}

static void need_fuse(void) {
        if (!fuse.server.pid)
                skip();
}

static void *hang_in_add(void *data) {
        int *fds = data;
        struct epoll_event event = { .events = EPOLLIN };

        (void)epoll_ctl(fds[0], EPOLL_CTL_ADD, fds[1], &event);
        return NULL;
}

/* Have the segment open, and a thread that holds the watch's lock for ever. Then leave, all but the watch. */
static void hang_the_watch(struct stage *s, int fd, uint32_t access) {
        struct wire w;
        pthread_t thread;
        uint64_t go;
        int fds[2];

        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, access, 0, 0), 0);
        fds[0] = w.watch;
        fds[1] = fuse_file(&fuse);
        CHILD_CHECK(fds[1] >= 0);
        CHILD_EQUAL(pthread_create(&thread, NULL, hang_in_add, fds), 0);
        CHILD_CHECK(child_hear(fd, &go));
        packet_close(&w.packet);
        fd_close(STEAL_FD(w.socket));
        CHILD_CHECK(child_tell(fd, 0));
        (void)pause();
}

static void hang_as_reader(struct stage *s, int fd) { hang_the_watch(s, fd, PROTO_ACCESS_READ); }
static void hang_as_writer(struct stage *s, int fd) { hang_the_watch(s, fd, PROTO_ACCESS_WRITE); }

static void hang_a_watch(struct stage *s, uid_t uid, stage_act act, uint32_t policy) {
        struct child *c;

        need_fuse();
        make_segment(s, policy);
        c = stage_start(s, uid, act);
        fuse_wait(&fuse);
        (void)child_tell(c->fd, 0);
        (void)child_expect(c);
        wire_expect_users(&s->root, STAGE_SEGMENT, 0, 0);
        stage_served(s, 10);
        assert_int_equal(wire_remove(&s->root, STAGE_SEGMENT), 0);
        stage_served(s, 10);
        fuse_stop(&fuse);
        fuse.server.pid = 0;
}

/* The bell is in the watch: closing it takes the watch's lock. */
static void test_a_reader_hangs_its_watch(void **state) {
        hang_a_watch(*state, UID_READER, hang_as_reader, PROTO_POLICY_OVERWRITE);
}

static void test_a_writer_hangs_its_watch(void **state) {
        hang_a_watch(*state, UID_WRITER, hang_as_writer, PROTO_POLICY_BLOCK);
}

/* Hang the daemon's thread for this user, then come again and again with a descriptor, and go once it has been seen. */
static void pile_up(struct stage *s, int fd) {
        int watch = epoll_create1(EPOLL_CLOEXEC), file = fuse_file(&fuse);
        static struct wire first, w[2];
        uint64_t go;

        CHILD_CHECK(watch >= 0 && file >= 0);
        wire_open(&first, s->daemon);
        send_open(&first, PROTO_ACCESS_READ, file);
        CHILD_CHECK(child_hear(fd, &go));
        wire_init(&w[0], -1);
        wire_init(&w[1], -1);
        for (int i = 0; i < 3000; i++) {
                struct proto_hello hello = { .layout_version = LAYOUT_VERSION };
                struct proto_open m = { .access = PROTO_ACCESS_READ, .name = STAGE_SEGMENT };
                struct wire *new = &w[i % 2];

                wire_init(new, wire_socket(fixture_socket(s->daemon)));
                wire_header(new, &hello, PROTO_OP_HELLO, 0);
                (void)packet_send(new->socket, &hello, sizeof(hello), NULL, 0);
                (void)wire_receive(new);
                wire_header(new, &m, PROTO_OP_OPEN, 1);
                (void)packet_send(new->socket, &m, sizeof(m), &watch, 1);
                wire_close(&w[1 - i % 2]);
        }
        (void)child_tell(fd, 0);
        (void)pause();
}

/* Whatever waits for that thread counts for the user until it is closed. */
static void test_a_user_who_hangs_his_thread(void **state) {
        struct stage *s = *state;
        struct child *c;

        need_fuse();
        make_segment(s, PROTO_POLICY_OVERWRITE);
        c = stage_start(s, UID_READER, pile_up);
        fuse_wait(&fuse);
        (void)child_tell(c->fd, 0);
        (void)child_expect(c);
        stage_served(s, 10);
        assert_in_range(fixture_fds(s->daemon), 1, 1500);
        stage_act_as(s, UID_OTHER, visit);
        fuse_stop(&fuse);
        fuse.server.pid = 0;
}

/* The watch hangs before the daemon gets it. */
static void open_with_a_hung_watch(struct stage *s, int fd) {
        int fds[2] = { epoll_create1(EPOLL_CLOEXEC), fuse_file(&fuse) };
        pthread_t thread;
        struct wire w;
        uint64_t go;

        CHILD_CHECK(fds[0] >= 0 && fds[1] >= 0);
        CHILD_EQUAL(pthread_create(&thread, NULL, hang_in_add, fds), 0);
        CHILD_CHECK(child_hear(fd, &go));
        wire_open(&w, s->daemon);
        send_open(&w, PROTO_ACCESS_READ, fds[0]);
        (void)child_tell(fd, 0);
        CHILD_CHECK(child_hear(fd, &go));
        wire_close(&w);
        (void)child_tell(fd, 0);
        (void)pause();
}

static void test_an_opening_that_hangs(void **state) {
        struct stage *s = *state;
        struct child *c;

        need_fuse();
        make_segment(s, PROTO_POLICY_OVERWRITE);
        c = stage_start(s, UID_READER, open_with_a_hung_watch);
        fuse_wait(&fuse);
        for (int i = 0; i < 2; i++) {
                (void)child_tell(c->fd, 0);
                (void)child_expect(c);
                stage_act_as(s, UID_OTHER, visit);
                stage_served(s, 5);
        }
        assert_int_equal(wire_remove(&s->root, STAGE_SEGMENT), 0);
        fuse_stop(&fuse);
        fuse.server.pid = 0;
}

/* As the watch: the daemon finds out that it is none, and to close it never ends. */
static void send_the_file(struct stage *s, int fd) {
        struct wire w;
        int file = fuse_file(&fuse);

        CHILD_CHECK(file >= 0);
        wire_open(&w, s->daemon);
        send_open(&w, PROTO_ACCESS_READ, file);
        CHILD_CHECK(child_tell(fd, 0));
        (void)pause();
}

static void test_a_watch_that_never_closes(void **state) {
        struct stage *s = *state;

        need_fuse();
        make_segment(s, PROTO_POLICY_OVERWRITE);
        (void)child_expect(stage_start(s, UID_READER, send_the_file));
        fuse_wait(&fuse);
        stage_served(s, 10);
        fuse_stop(&fuse);
        fuse.server.pid = 0;
}

/* A reader that hangs its watch and goes; where its bell's place is needed for another, it is the writer that closes it. */
static void write_and_close(struct stage *s, int fd) {
        struct shmd_writer *w;
        struct shmd *conn;
        uint64_t go;
        void *data;

        CHILD_EQUAL(shmd_connect(&conn, fixture_socket(s->daemon)), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, STAGE_SEGMENT, 0, CHILD_PATIENCE_MS), 0);
        (void)child_tell(fd, 0);
        for (int i = 0; i < 2; i++) {
                CHILD_CHECK(child_hear(fd, &go));
                CHILD_EQUAL(shmd_writer_begin(w, &data, NULL, CHILD_PATIENCE_MS), 0);
                CHILD_EQUAL(shmd_writer_flush(w, 1, 1), 0);
                (void)child_tell(fd, 0);
        }
        shmd_writer_close(w);
        shmd_close(conn);
        (void)child_tell(fd, 0);
}

static void visit_others(struct stage *s, int fd) {
        (void)fd;
        for (int i = 0; i < 20; i++) {
                struct wire w;
                char name[32];

                wire_open(&w, s->daemon);
                (void)snprintf(name, sizeof(name), "stage/%d", i);
                CHILD_EQUAL(wire_open_segment(&w, name, PROTO_ACCESS_READ, 0, 0), 0);
                wire_close(&w);
        }
}

static void test_a_readers_watch_and_the_writer(void **state) {
        struct stage *s = *state;
        struct child *writer, *reader;

        need_fuse();
        make_segment(s, PROTO_POLICY_OVERWRITE);
        for (int i = 0; i < 20; i++) {
                struct proto_create m = { .slot_size = 100, .mode = 0666 };
                char name[32];

                (void)snprintf(name, sizeof(name), "stage/%d", i);
                stage_make(s, UID_OWNER, name, &m);
        }
        writer = stage_start(s, UID_OWNER, write_and_close);
        (void)child_expect(writer);
        reader = stage_start(s, UID_READER, hang_as_reader);
        fuse_wait(&fuse);
        (void)child_tell(reader->fd, 0);
        (void)child_expect(reader);
        wire_expect_users(&s->root, STAGE_SEGMENT, 1, 0);
        (void)child_tell(writer->fd, 0);
        (void)child_expect(writer);
        stage_act_as(s, UID_READER, visit_others);
        stage_act_as(s, UID_OTHER, visit);
        (void)child_tell(writer->fd, 0);
        (void)child_expect(writer);
        (void)child_expect(writer);
        child_finish(writer);
        stage_served(s, 5);
        fuse_stop(&fuse);
        fuse.server.pid = 0;
}

/* ---- epoll instances, but what kind of ones --------------------------------------------------------------------- */

static int open_with(struct wire *w, uint32_t access, int watch) {
        send_open(w, access, watch);
        return wire_reply(w);
}

static void send_others(struct stage *s, int fd) {
        struct epoll_event event = { .events = EPOLLIN };
        int outer[5];
        struct wire w;

        (void)fd;
        wire_open(&w, s->daemon);
        /* The way to the daemon itself. */
        CHILD_EQUAL(open_with(&w, PROTO_ACCESS_READ, w.socket), -EINVAL);
        CHILD_EQUAL(open_with(&w, PROTO_ACCESS_WRITE, w.socket), -EINVAL);
        /* As deep as the kernel lets it be: the bell would be one more. */
        for (int i = 0; i < 5; i++) {
                outer[i] = epoll_create1(EPOLL_CLOEXEC);
                CHILD_CHECK(outer[i] >= 0);
                if (i)
                        CHILD_EQUAL(epoll_ctl(outer[i], EPOLL_CTL_ADD, outer[i - 1], &event), 0);
        }
        (void)open_with(&w, PROTO_ACCESS_READ, outer[0]);
        wire_close(&w);
        wire_open(&w, s->daemon);
        CHILD_EQUAL(open_with(&w, PROTO_ACCESS_READ, outer[4]), 0);
        wire_close(&w);
}

static void test_a_watch_that_is_something_else(void **state) {
        make_segment(*state, PROTO_POLICY_OVERWRITE);
        stage_act_as(*state, UID_READER, send_others);
        stage_served(*state, 3);
}

/* More paths than there may be from one bell. */
static void send_nested(struct stage *s, int fd) {
        struct epoll_event event = { .events = EPOLLIN };
        int watch = epoll_create1(EPOLL_CLOEXEC);
        struct wire w;

        (void)fd;
        for (int i = 0; i < 501; i++)
                CHILD_EQUAL(epoll_ctl(epoll_create1(EPOLL_CLOEXEC), EPOLL_CTL_ADD, watch, &event), 0);
        wire_open(&w, s->daemon);
        CHILD_EQUAL(open_with(&w, PROTO_ACCESS_READ, watch), -EINVAL);
        wire_assert_text(&w, "epoll");
        /* Another one will do. */
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_READ, 0, 0), 0);
        wire_close(&w);
}

static void test_a_watch_nested_500_times(void **state) {
        make_segment(*state, PROTO_POLICY_OVERWRITE);
        stage_act_as(*state, UID_READER, send_nested);
        stage_act_as(*state, UID_OTHER, visit);
}

#define WINDOW 5000 /* numbers that one file after the other has */

/* Its entries go with the last that has it: the daemon. */
static void send_large(struct stage *s, int fd) {
        struct epoll_event event = { .events = EPOLLIN };
        int watch = epoll_create1(EPOLL_CLOEXEC);
        struct wire w;

        (void)fd;
        for (int i = 0; i < (stage_is_long() ? 1000000 : 200000) / WINDOW; i++) {
                int file = eventfd(0, EFD_CLOEXEC);

                CHILD_CHECK(file >= 0 && file < 1000);
                for (int n = 1000; n < 1000 + WINDOW; n++) {
                        CHILD_EQUAL(dup3(file, n, O_CLOEXEC), n);
                        CHILD_EQUAL(epoll_ctl(watch, EPOLL_CTL_ADD, n, &event), 0);
                }
        }
        wire_open(&w, s->daemon);
        send_open(&w, PROTO_ACCESS_READ, watch);
        fd_close(watch);
        (void)wire_reply(&w);
}

static void test_a_watch_with_a_million_entries(void **state) {
        struct stage *s = *state;
        struct child *c;

        make_segment(s, PROTO_POLICY_OVERWRITE);
        c = stage_start(s, UID_READER, send_large);
        child_finish(c);
        stage_served(s, 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                STAGE_TEST(test_a_watch_that_is_something_else),
                STAGE_TEST(test_a_watch_nested_500_times),
                STAGE_TEST(test_a_watch_with_a_million_entries),
                cmocka_unit_test_setup_teardown(test_a_readers_watch_and_the_writer, setup_fuse, teardown_fuse),
                cmocka_unit_test_setup_teardown(test_a_watch_that_never_closes, setup_fuse, teardown_fuse),
                cmocka_unit_test_setup_teardown(test_a_user_who_hangs_his_thread, setup_fuse, teardown_fuse),
                cmocka_unit_test_setup_teardown(test_an_opening_that_hangs, setup_fuse, teardown_fuse),
                cmocka_unit_test_setup_teardown(test_a_reader_hangs_its_watch, setup_fuse, teardown_fuse),
                cmocka_unit_test_setup_teardown(test_a_writer_hangs_its_watch, setup_fuse, teardown_fuse),
        };

        return STAGE_RUN(tests);
}
