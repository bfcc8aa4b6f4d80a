/* test_fork.c -- what a child has of its parent's handles: nothing that works, and nothing that stays in the way. */
#define _GNU_SOURCE
#include <spawn.h>

#include "tests/integration/library.h"

#define SIZE 100u

struct handles {
        struct shmd *conn;
        struct shmd_reader *reader;
        struct shmd_writer *writer;
        const struct shmd_frame *held;
};

/* Every call on an inherited handle; closing is fine, and everything can be opened anew. */
static void use_everything(int fd, void *data) {
        const struct handles *h = data;
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame f;
        struct shmd_info info;
        const void *seen;
        void *p;
        size_t size;
        char buffer[SIZE];

        (void)fd;
        CHILD_EQUAL(shmd_reader_latest(h->reader, &f), -ECHILD);
        CHILD_EQUAL(shmd_reader_next(h->reader, &f), -ECHILD);
        CHILD_EQUAL(shmd_reader_release(h->reader), -ECHILD);
        CHILD_EQUAL(shmd_reader_intact(h->reader), -ECHILD);
        CHILD_EQUAL(shmd_reader_copy(h->reader, SHMD_LATEST, buffer, SIZE, &f), -ECHILD);
        CHILD_EQUAL(shmd_reader_data(h->reader, &seen, &size), -ECHILD);
        CHILD_EQUAL(shmd_reader_wait(h->reader, SHMD_FOREVER), -ECHILD);
        CHILD_EQUAL(shmd_reader_arm(h->reader), -ECHILD);
        CHILD_EQUAL(shmd_reader_fd(h->reader), -ECHILD);
        CHILD_EQUAL(shmd_reader_writers(h->reader), -ECHILD);
        CHILD_EQUAL(shmd_reader_info(h->reader)->slot_size, SIZE);
        CHILD_EQUAL(shmd_writer_begin(h->writer, &p, &size, SHMD_FOREVER), -ECHILD);
        CHILD_EQUAL(shmd_writer_flush(h->writer, 1, 1), -ECHILD);
        CHILD_EQUAL(shmd_writer_cancel(h->writer), -ECHILD);
        CHILD_EQUAL(shmd_writer_data(h->writer, &p, &size), -ECHILD);
        CHILD_EQUAL(shmd_writer_readers(h->writer), -ECHILD);
        CHILD_EQUAL(shmd_writer_wait_reader(h->writer, SHMD_FOREVER), -ECHILD);
        CHILD_EQUAL(shmd_writer_info(h->writer)->slot_size, SIZE);
        CHILD_CHECK(shmd_writer_sequence(h->writer) > 0);
        shmd_reader_close(h->reader);
        shmd_writer_close(h->writer);

        for (int i = 0; i < 10; i++) {
                CHILD_EQUAL(shmd_stat(h->conn, "s", &info), 0);
                CHILD_EQUAL(shmd_stat(h->conn, "absent", &info), -ENOENT);
        }
        CHILD_EQUAL(shmd_reader_open(&r, h->conn, "s", 0, SOON), 0);
        CHILD_EQUAL(shmd_writer_open(&w, h->conn, "s", 0, SOON), 0);
        CHILD_EQUAL(shmd_reader_latest(r, &f), 0);
        CHILD_EQUAL(shmd_reader_release(r), 0);
        shmd_reader_close(r);
        shmd_writer_close(w);
        shmd_close(h->conn);
}

static void test_child(void **state) {
        struct shmd *conn = connection(state);
        struct handles h = { .conn = conn };
        struct shmd_frame f;
        struct shmd_info info;

        for (uint32_t n_slots = 1; n_slots < 5; n_slots += 3) {
                make(conn, "s", SIZE, n_slots, 0);
                h.writer = writer(conn, "s");
                h.reader = reader(conn, "s", 0);
                for (unsigned n = 1; n <= 10; n++) {
                        struct child c;

                        publish(h.writer, SIZE, n);
                        assert_int_equal(shmd_reader_latest(h.reader, &f), 0);
                        child_start(&c, use_everything, &h);
                        /* The parent goes on, at the same time and afterwards. */
                        for (int i = 0; i < 20; i++)
                                OK(conn, shmd_stat(conn, "s", &info));
                        assert_frame(&f, SIZE, n, n, 0);
                        assert_int_equal(shmd_reader_intact(h.reader), 1);
                        child_finish(&c);
                        assert_int_equal(shmd_reader_release(h.reader), 0);
                        OK(conn, shmd_stat(conn, "s", &info));
                        assert_int_equal(shmd_reader_wait(h.reader, 0), 0);
                }
                shmd_reader_close(h.reader);
                shmd_writer_close(h.writer);
                OK(conn, shmd_remove(conn, "s"));
        }
}

/* A descriptor more in the child would be a parent that seems to live. Between fork and the end the child has its
 * standard ones, what the test gave it, and nothing of the library's. */
static void count_descriptors(int fd, void *data) {
        int before = fd_count();
        struct handles *h = data;

        shmd_reader_close(h->reader);
        shmd_writer_close(h->writer);
        shmd_close(h->conn);
        CHILD_EQUAL(fd_count(), before);
        CHILD_CHECK(child_tell(fd, (uint64_t)before));
}

static void test_child_has_no_descriptor(void **state) {
        struct shmd *conn = connection(state);
        struct handles h = { .conn = conn };
        struct child c;
        int own = fd_count() - 1; /* without the connection's */

        make(conn, "s", SIZE, 3, SHMD_BLOCK);
        h.writer = writer(conn, "s");
        h.reader = reader(conn, "s", 0);
        assert_true(fd_count() > own + 6);
        child_start(&c, count_descriptors, &h);
        assert_int_equal(child_expect(&c), own + 1); /* its end of the socket pair */
        child_finish(&c);
        shmd_reader_close(h.reader);
        shmd_writer_close(h.writer);
}

struct parent {
        const char *socket;
        bool writing;
};

static void stay(int fd) {
        uint64_t value;

        (void)prctl(PR_SET_PDEATHSIG, 0); /* the parent's death is what it is about */
        (void)child_hear(fd, &value);
}

/* Holds a frame (or the writers' lock), forks, and is killed; the child lives on with what it inherited. */
static void hold_and_fork(int fd, void *data) {
        const struct parent *parent = data;
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame f;
        void *p;
        pid_t pid;

        CHILD_EQUAL(shmd_connect(&conn, parent->socket), 0);
        if (parent->writing) {
                CHILD_EQUAL(shmd_writer_open(&w, conn, "s", 0, SOON), 0);
                CHILD_EQUAL(shmd_writer_begin(w, &p, NULL, SOON), 0);
        } else {
                CHILD_EQUAL(shmd_reader_open(&r, conn, "s", 0, SOON), 0);
                CHILD_EQUAL(shmd_reader_latest(r, &f), 0);
        }
        pid = fork();
        CHILD_CHECK(pid >= 0);
        if (pid == 0) {
                stay(fd);
                _exit(0);
        }
        CHILD_CHECK(child_tell(fd, (uint64_t)pid));
        for (;;)
                (void)pause();
}

static void parent_dies(void **state, bool writing, bool daemon_stopped) {
        struct fixture *daemon = ((struct library *)*state)->daemon;
        struct parent parent = { .socket = socket_path(state), .writing = writing };
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct child c;
        pid_t orphan;

        make(conn, "s", SIZE, 2, SHMD_BLOCK);
        w = writer(conn, "s");
        for (uint64_t n = 1; n <= 5; n++) {
                int status;

                publish(w, SIZE, n);
                child_start(&c, hold_and_fork, &parent);
                orphan = (pid_t)child_expect(&c);
                if (!writing)
                        publish(w, SIZE, n); /* now the hold is on the older of two */
                if (daemon_stopped)
                        fixture_pause(daemon);
                assert_return_code(kill(c.pid, SIGKILL), errno);
                assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
                publish(w, SIZE, n); /* waits for nobody but SOON */
                assert_int_equal(kill(orphan, 0), 0);
                if (daemon_stopped)
                        fixture_resume(daemon);
                expect_users(conn, "s", 1, 0);
                (void)close(c.fd); /* the orphan ends with it */
        }
        shmd_writer_close(w);
}

static void test_parent_dies_holding(void **state) { parent_dies(state, false, false); }
static void test_parent_dies_holding_daemon_stopped(void **state) { parent_dies(state, false, true); }
static void test_parent_dies_writing(void **state) { parent_dies(state, true, false); }
static void test_parent_dies_writing_daemon_stopped(void **state) { parent_dies(state, true, true); }

/* A program that is executed inherits nothing. */
static void test_exec(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_writer *w;
        char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" },
                               (char[]){ "ls -l /proc/self/fd | grep -cE 'memfd|event|socket' && exit 1; exit 0" },
                               NULL };
        char *const environment[] = { (char[]){ "PATH=/usr/bin:/bin" }, NULL };
        pid_t pid;
        int status;

        make(conn, "s", SIZE, 2, SHMD_BLOCK);
        w = writer(conn, "s");
        r = reader(conn, "s", 0);
        assert_int_equal(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environment), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        publish(w, SIZE, 1);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_child),
                LIBRARY_TEST(test_child_has_no_descriptor),
                LIBRARY_TEST(test_parent_dies_holding),
                LIBRARY_TEST(test_parent_dies_holding_daemon_stopped),
                LIBRARY_TEST(test_parent_dies_writing),
                LIBRARY_TEST(test_parent_dies_writing_daemon_stopped),
                LIBRARY_TEST(test_exec),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
