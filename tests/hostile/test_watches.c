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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_a_watch_that_never_closes, setup_fuse, teardown_fuse),
                cmocka_unit_test_setup_teardown(test_a_reader_hangs_its_watch, setup_fuse, teardown_fuse),
                cmocka_unit_test_setup_teardown(test_a_writer_hangs_its_watch, setup_fuse, teardown_fuse),
        };

        return STAGE_RUN(tests);
}
