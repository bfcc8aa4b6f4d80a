/* test_descriptors.c -- a process that runs out of descriptors at every step there is: a clear error, and no leak. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/integration/library.h"

#define SIZE 100u

/* Let this process open @room more descriptors from now on. */
static void limit_to(int room) {
        struct rlimit limit;
        int number = 0;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (room < 0)
                return;
        /* The limit is one on the number: so many are free below it. */
        for (int free = 0; free < room || fcntl(number, F_GETFD) >= 0; number++)
                free += fcntl(number, F_GETFD) < 0;
        limit.rlim_cur = (rlim_t)number;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void unlimit(void) { limit_to(-1); }

static void assert_clear(int room, int e, const char *sentence) {
        if (e != -EMFILE)
                fail_msg("with room for %d: %d (%s)", room, e, sentence);
        if (!strcasestr(sentence, "descriptor") && !strcasestr(sentence, "open files"))
                fail_msg("with room for %d: \"%s\" does not say what there is too little of", room, sentence);
}

/* Return: how many descriptors it takes. */
static int sweep_connect(const char *path) {
        for (int room = 0;; room++) {
                int before = fd_count();
                struct shmd *conn;
                int e;

                limit_to(room);
                e = shmd_connect(&conn, path);
                unlimit();
                if (e == 0) {
                        struct shmd_info info;

                        assert_int_equal(shmd_stat(conn, "absent", &info), -ENOENT);
                        shmd_close(conn);
                        assert_int_equal(fd_count(), before);
                        return room;
                }
                assert_non_null(conn);
                assert_clear(room, e, shmd_error(conn));
                shmd_close(conn);
                assert_int_equal(fd_count(), before);
        }
}

static int sweep_reader(struct shmd *conn, unsigned flags) {
        for (int room = 0;; room++) {
                int before = fd_count();
                struct shmd_reader *r;
                int e;

                limit_to(room);
                e = shmd_reader_open(&r, conn, "s", flags, SOON);
                unlimit();
                if (e == 0) {
                        struct shmd_frame f;

                        assert_int_equal(fd_count(), before + room);
                        assert_int_equal(shmd_reader_latest(r, &f), 0);
                        shmd_reader_close(r);
                        assert_int_equal(fd_count(), before);
                        return room;
                }
                assert_null(r);
                assert_clear(room, e, shmd_error(conn));
                assert_int_equal(fd_count(), before);
        }
}

static int sweep_writer(struct shmd *conn) {
        for (int room = 0;; room++) {
                int before = fd_count();
                struct shmd_writer *w;
                int e;

                limit_to(room);
                e = shmd_writer_open(&w, conn, "s", 0, SOON);
                unlimit();
                if (e == 0) {
                        publish(w, SIZE, 1);
                        shmd_writer_close(w);
                        assert_int_equal(fd_count(), before);
                        return room;
                }
                assert_null(w);
                assert_clear(room, e, shmd_error(conn));
                assert_int_equal(fd_count(), before);
        }
}

static void test_sweep(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct shmd_reader *r;

        for (uint32_t policy = SHMD_OVERWRITE; policy <= SHMD_BLOCK; policy++) {
                int alone, beside;

                make(conn, "s", SIZE, 3, policy);
                w = writer(conn, "s");
                publish(w, SIZE, 1);
                assert_int_equal(sweep_connect(socket_path(state)), 1);
                alone = sweep_writer(conn);
                r = reader(conn, "s", 0);
                beside = sweep_writer(conn);
                assert_int_equal(beside, alone + 2); /* its group's table and bell */
                shmd_reader_close(r);
                assert_true(sweep_reader(conn, 0) >= 4);
                assert_true(sweep_reader(conn, SHMD_ORDERED) >= 4);
                /* The daemon has forgotten all that came to nothing. */
                expect_users(conn, "s", 1, 0);
                shmd_writer_close(w);
                expect_users(conn, "s", 0, 0);
                OK(conn, shmd_remove(conn, "s"));
        }
}

static void read_a_frame(int fd, void *data) {
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_frame f;
        uint64_t value;

        CHILD_EQUAL(shmd_connect(&conn, data), 0);
        CHILD_EQUAL(shmd_reader_open(&r, conn, "s", SHMD_FROM_END, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        for (int e = 0; !(e & SHMD_EVENT_FRAME);) {
                e = shmd_reader_wait(r, SOON);
                CHILD_CHECK(e > 0);
        }
        CHILD_EQUAL(shmd_reader_next(r, &f), 0);
        CHILD_CHECK(child_tell(fd, f.tag));
        CHILD_EQUAL(shmd_reader_release(r), 0);
        (void)child_hear(fd, &value);
        shmd_reader_close(r);
        shmd_close(conn);
}

/* A writer that cannot take in a new group of readers says so at begin, and takes it in as soon as it can: nothing that
 * the daemon sent is lost. */
static void test_group_that_does_not_fit(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct child c;
        void *data;

        make(conn, "s", SIZE, 3, 0);
        w = writer(conn, "s");
        child_start(&c, read_a_frame, (void *)(uintptr_t)socket_path(state));
        (void)child_expect(&c);
        for (int room = 0; room < 2; room++) {
                int before = fd_count();

                limit_to(room);
                for (int i = 0; i < 3; i++)
                        assert_int_equal(shmd_writer_begin(w, &data, NULL, SOON), -EMFILE);
                unlimit();
                assert_int_equal(fd_count(), before);
        }
        publish(w, SIZE, 7);
        assert_int_equal(child_expect(&c), 7);
        (void)shutdown(c.fd, SHUT_WR);
        child_finish(&c);
        shmd_writer_close(w);
}

/* What every call leaves open: nothing, whether it succeeds or fails. */
static void test_every_call(void **state) {
        const struct shmd_options options = { .slot_size = SIZE, .n_slots = 3 };
        const struct shmd_options other = { .slot_size = SIZE + 1 };
        struct shmd *conn = connection(state);
        struct shmd_info info;
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        int open = fd_count(), fds;
        void *data;

#define SAME(call, result)                         \
        do {                                       \
                assert_int_equal(call, result);    \
                assert_int_equal(fd_count(), fds); \
        } while (0)

        fds = open;
        for (int i = 0; i < 3; i++) {
                SAME(shmd_create(conn, "s", &options), 0);
                SAME(shmd_create(conn, "s", &options), 1);
                SAME(shmd_create(conn, "s", &other), -EEXIST);
                SAME(shmd_create(conn, "?", &options), -EINVAL);
                SAME(shmd_stat(conn, "s", &info), 0);
                SAME(shmd_stat(conn, "absent", &info), -ENOENT);
                SAME(shmd_writer_open(&w, conn, "absent", 0, SOON), -ENOENT);
                SAME(shmd_reader_open(&r, conn, "absent", 0, SOON), -ENOENT);
                SAME(shmd_reader_open(&r, conn, "absent", SHMD_WAIT, 5), -ETIMEDOUT);
                w = writer(conn, "s");
                r = reader(conn, "s", 0);
                assert_int_equal(shmd_writer_wait_reader(w, SOON), 0);
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), 0);
                assert_int_equal(shmd_writer_cancel(w), 0);
                fds = fd_count();
                for (int j = 0; j < 5; j++) {
                        SAME(shmd_writer_begin(w, &data, NULL, 0), 0);
                        SAME(shmd_writer_begin(w, &data, NULL, 0), -EBUSY);
                        SAME(shmd_writer_flush(w, SIZE, 1), 0);
                        SAME(shmd_reader_latest(r, &f), 0);
                        SAME(shmd_reader_release(r), 0);
                        SAME(shmd_reader_wait(r, 2), 0);
                        SAME(shmd_reader_arm(r), 0);
                }
                SAME(shmd_remove(conn, "s"), 0);
                SAME(shmd_remove(conn, "s"), -ENOENT);
                SAME(shmd_reader_wait(r, SOON), SHMD_EVENT_REMOVED);
                SAME(shmd_reader_wait(r, SOON), -EIDRM);
                shmd_writer_close(w);
                shmd_reader_close(r);
                fds = open;
                assert_int_equal(fd_count(), open);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_sweep),
                LIBRARY_TEST(test_group_that_does_not_fit),
                LIBRARY_TEST(test_every_call),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
