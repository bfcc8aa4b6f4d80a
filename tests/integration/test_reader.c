/* test_reader.c -- frames as a reader gets them: the newest, in order, in place and as a copy. */
#define _GNU_SOURCE
#include "tests/integration/library.h"

#define SIZE 1000u

static void test_nothing_yet(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_frame f;
        char buffer[SIZE];
        const void *data;
        size_t size;

        make(conn, "s", SIZE, 4, 0);
        r = reader(conn, "s", 0);
        assert_int_equal(shmd_reader_latest(r, &f), -EAGAIN);
        assert_int_equal(shmd_reader_next(r, &f), -EAGAIN);
        assert_int_equal(shmd_reader_copy(r, SHMD_LATEST, buffer, SIZE, &f), -EAGAIN);
        assert_int_equal(shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, NULL), -EAGAIN);
        assert_int_equal(shmd_reader_copy(r, 2, buffer, SIZE, NULL), -EINVAL);
        assert_int_equal(shmd_reader_release(r), -EINVAL);
        assert_int_equal(shmd_reader_intact(r), -EINVAL);
        assert_int_equal(shmd_reader_data(r, &data, &size), -EINVAL);
        assert_int_equal(shmd_reader_wait(r, 0), 0);
        assert_int_equal(shmd_reader_wait(r, 1), 0);
        assert_int_equal(shmd_reader_arm(r), 0);
        assert_true(shmd_reader_fd(r) >= 0);
        assert_int_equal(shmd_reader_writers(r), 0);
        shmd_reader_close(r);
        assert_null(shmd_reader_close(NULL));
}

static void test_info(void **state) {
        struct shmd *conn = connection(state);
        const struct shmd_options options = {
                .slot_size = 1234,
                .n_slots = 7,
                .mode = 0640,
                .policy = SHMD_BLOCK,
                .type = "float32[3]",
        };
        const struct shmd_info *info;
        struct shmd_info stat;
        struct shmd_reader *r;
        struct shmd_writer *w;

        OK(conn, shmd_create(conn, "a/b", &options));
        w = writer(conn, "a/b");
        r = reader(conn, "a/b", 0);
        OK(conn, shmd_stat(conn, "a/b", &stat));
        info = shmd_reader_info(r);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(info->id, stat.id);
                assert_int_equal(info->slot_size, 1234);
                assert_int_equal(info->bytes, stat.bytes);
                assert_int_equal(info->n_slots, 7);
                assert_int_equal(info->policy, SHMD_BLOCK);
                assert_int_equal(info->flags, 0);
                assert_int_equal(info->mode, 0640);
                assert_int_equal(info->uid, getuid());
                assert_int_equal(info->gid, getgid());
                assert_int_equal(info->writers, 1);
                assert_string_equal(info->name, "a/b");
                assert_string_equal(info->type, "float32[3]");
                info = shmd_writer_info(w);
        }
        assert_int_equal(shmd_reader_writers(r), 1);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

static void latest(struct shmd *conn, const char *name, uint32_t n_slots) {
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        uint64_t before;

        make(conn, name, SIZE, n_slots, 0);
        w = writer(conn, name);
        r = reader(conn, name, 0);
        for (unsigned n = 1; n <= 50; n++) {
                before = monotonic_ns();
                publish(w, n, 1000 + n);
                assert_int_equal(shmd_writer_sequence(w), n);
                for (int again = 0; again < 3; again++) {
                        assert_int_equal(shmd_reader_wait(r, 0), again ? 0 : SHMD_EVENT_FRAME);
                        assert_int_equal(shmd_reader_latest(r, &f), again ? 1 : 0);
                        assert_frame(&f, n, n, 1000 + n, 0);
                        assert_true(f.timestamp >= before && f.timestamp <= monotonic_ns());
                        assert_int_equal(shmd_reader_intact(r), 1);
                        assert_int_equal(shmd_reader_latest(r, &f), -EBUSY);
                        assert_int_equal(shmd_reader_next(r, &f), -EBUSY);
                        assert_int_equal(shmd_reader_copy(r, SHMD_LATEST, NULL, 0, &f), -EBUSY);
                        assert_int_equal(shmd_reader_release(r), 0);
                        assert_int_equal(shmd_reader_release(r), -EINVAL);
                }
        }
        for (unsigned n = 0; n < 9; n++)
                publish(w, 1, 7);
        assert_int_equal(shmd_reader_latest(r, &f), 0);
        assert_frame(&f, 1, 59, 7, 8);
        assert_int_equal(shmd_reader_release(r), 0);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

static void test_latest(void **state) {
        latest(connection(state), "several", 4);
        latest(connection(state), "two", 2);
        latest(connection(state), "one", 1);
        latest(connection(state), "many", 4096);
}

/* Every number of frames ahead, every number of slots: what is there is given in order, what is gone is counted. */
static void test_next(void **state) {
        struct shmd *conn = connection(state);

        for (uint32_t n_slots = 1; n_slots <= 9; n_slots += n_slots < 4 ? 1 : 5) {
                struct shmd_writer *w;
                struct shmd_reader *r;
                struct shmd_frame f;
                uint64_t sequence = 0, taken = 0;

                make(conn, "s", SIZE, n_slots, 0);
                w = writer(conn, "s");
                r = reader(conn, "s", 0);
                for (unsigned ahead = 0; ahead < 30; ahead++) {
                        uint64_t lost = ahead > n_slots ? ahead - n_slots : 0;

                        for (unsigned i = 0; i < ahead; i++, sequence++)
                                publish(w, SIZE - i, sequence + 1);
                        assert_int_equal(shmd_reader_wait(r, 0), ahead ? SHMD_EVENT_FRAME : 0);
                        taken += lost;
                        for (; taken < sequence; lost = 0) {
                                taken++;
                                assert_int_equal(shmd_reader_next(r, &f), 0);
                                assert_int_equal(f.sequence, taken);
                                assert_int_equal(f.tag, taken);
                                assert_int_equal(f.missed, lost);
                                assert_true(is_published(&f, f.data));
                                assert_int_equal(shmd_reader_release(r), 0);
                        }
                        assert_int_equal(shmd_reader_next(r, &f), -EAGAIN);
                }
                shmd_reader_close(r);
                shmd_writer_close(w);
                OK(conn, shmd_remove(conn, "s"));
        }
}

/* latest passes over what next would have given. */
static void test_latest_and_next(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;

        make(conn, "s", SIZE, 8, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", SHMD_FROM_OLDEST);
        for (unsigned i = 1; i <= 4; i++)
                publish(w, 8, i);
        assert_int_equal(shmd_reader_next(r, &f), 0);
        assert_frame(&f, 8, 1, 1, 0);
        assert_int_equal(shmd_reader_release(r), 0);
        assert_int_equal(shmd_reader_latest(r, &f), 0);
        assert_frame(&f, 8, 4, 4, 2);
        assert_int_equal(shmd_reader_release(r), 0);
        assert_int_equal(shmd_reader_next(r, &f), -EAGAIN);
        publish(w, 8, 5);
        assert_int_equal(shmd_reader_next(r, &f), 0);
        assert_frame(&f, 8, 5, 5, 0);
        assert_int_equal(shmd_reader_release(r), 0);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

/* Where a reader that opens late begins. */
static void test_start(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *newest, *oldest, *end;
        struct shmd_writer *w;
        struct shmd_frame f;

        for (uint32_t n_slots = 1; n_slots <= 5; n_slots++) {
                uint64_t first = 10 - n_slots + 1;

                make(conn, "s", SIZE, n_slots, 0);
                w = writer(conn, "s");
                for (unsigned i = 1; i <= 10; i++)
                        publish(w, 8, i);
                newest = reader(conn, "s", 0);
                oldest = reader(conn, "s", SHMD_FROM_OLDEST);
                end = reader(conn, "s", SHMD_FROM_END);

                assert_int_equal(shmd_reader_wait(newest, 0), SHMD_EVENT_FRAME);
                assert_int_equal(shmd_reader_next(newest, &f), 0);
                assert_frame(&f, 8, 10, 10, 0);
                assert_int_equal(shmd_reader_release(newest), 0);

                assert_int_equal(shmd_reader_wait(oldest, 0), SHMD_EVENT_FRAME);
                for (uint64_t i = first; i <= 10; i++) {
                        assert_int_equal(shmd_reader_next(oldest, &f), 0);
                        assert_frame(&f, 8, i, i, 0);
                        assert_int_equal(shmd_reader_release(oldest), 0);
                }

                /* latest gives the newest to whoever asks, but it is nothing new for who began behind it. */
                assert_int_equal(shmd_reader_wait(end, 0), 0);
                assert_int_equal(shmd_reader_next(end, &f), -EAGAIN);
                assert_int_equal(shmd_reader_latest(end, &f), 1);
                assert_frame(&f, 8, 10, 10, 0);
                assert_int_equal(shmd_reader_release(end), 0);
                publish(w, 8, 11);
                assert_int_equal(shmd_reader_next(end, &f), 0);
                assert_frame(&f, 8, 11, 11, 0);
                assert_int_equal(shmd_reader_release(end), 0);

                shmd_reader_close(newest);
                shmd_reader_close(oldest);
                shmd_reader_close(end);
                shmd_writer_close(w);
                OK(conn, shmd_remove(conn, "s"));
        }
}

/* A frame that is held stays as it is, whatever the writer does, while there are slots. */
static void test_hold(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *readers[6];
        struct shmd_frame frames[6];
        struct shmd_writer *w;

        make(conn, "s", SIZE, 8, 0);
        w = writer(conn, "s");
        for (unsigned i = 0; i < 6; i++) {
                readers[i] = reader(conn, "s", SHMD_FROM_END);
                publish(w, SIZE, i + 1);
                assert_int_equal(shmd_reader_latest(readers[i], &frames[i]), 0);
        }
        for (unsigned n = 7; n <= 500; n++) {
                publish(w, SIZE, n);
                for (unsigned i = 0; i < 6; i++) {
                        assert_int_equal(shmd_reader_intact(readers[i]), 1);
                        assert_frame(&frames[i], SIZE, i + 1, i + 1, 0);
                }
        }
        for (unsigned i = 0; i < 6; i++) {
                assert_int_equal(shmd_reader_release(readers[i]), 0);
                shmd_reader_close(readers[i]);
        }
        shmd_writer_close(w);
}

/* Too few slots: the oldest hold is broken, its reader is told, and the others are left alone. */
static void test_hold_broken(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *readers[3];
        struct shmd_frame f;
        struct shmd_writer *w;
        void *data;

        make(conn, "s", SIZE, 3, 0);
        w = writer(conn, "s");
        for (unsigned i = 0; i < 3; i++) {
                readers[i] = reader(conn, "s", 0);
                publish(w, SIZE, i + 1);
                assert_int_equal(shmd_reader_latest(readers[i], &f), 0);
        }
        assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), 0);
        assert_int_equal(shmd_reader_intact(readers[0]), 0);
        assert_int_equal(shmd_reader_intact(readers[1]), 1);
        assert_int_equal(shmd_reader_intact(readers[2]), 1);
        memset(data, 4, SIZE);
        assert_int_equal(shmd_writer_flush(w, SIZE, 4), 0);
        assert_int_equal(shmd_reader_release(readers[0]), -ESTALE);
        assert_int_equal(shmd_reader_latest(readers[0], &f), 0);
        assert_frame(&f, SIZE, 4, 4, 2);
        assert_int_equal(shmd_reader_release(readers[0]), 0);
        for (unsigned i = 1; i < 3; i++)
                assert_int_equal(shmd_reader_release(readers[i]), 0);
        for (unsigned i = 0; i < 3; i++)
                shmd_reader_close(readers[i]);
        shmd_writer_close(w);
}

static void copy(struct shmd *conn, uint32_t n_slots) {
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        char buffer[SIZE + 1];

        make(conn, "s", SIZE, n_slots, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", 0);
        publish(w, SIZE, 1);

        for (int i = 0; i < 2; i++)
                for (unsigned which = SHMD_LATEST; which <= SHMD_NEXT; which++) {
                        memset(&f, 0xff, sizeof(f));
                        assert_int_equal(shmd_reader_copy(r, which, buffer, SIZE - 1, &f), -EMSGSIZE);
                        assert_frame(&f, SIZE, 1, 1, 0);
                        assert_null(f.data);
                        assert_int_equal(shmd_reader_copy(r, which, NULL, 0, NULL), -EMSGSIZE);
                        /* It was not taken, so it is still there. */
                        assert_int_equal(shmd_reader_wait(r, 0), SHMD_EVENT_FRAME);
                }

        buffer[SIZE] = '!';
        assert_int_equal(shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, &f), 0);
        assert_frame(&f, SIZE, 1, 1, 0);
        assert_null(f.data);
        assert_true(is_published(&f, buffer));
        assert_int_equal(buffer[SIZE], '!');
        assert_int_equal(shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, &f), -EAGAIN);
        assert_int_equal(shmd_reader_copy(r, SHMD_LATEST, buffer, SIZE, NULL), 1);
        assert_int_equal(shmd_reader_release(r), -EINVAL);

        publish(w, 0, 2);
        publish(w, 0, 3);
        assert_int_equal(shmd_reader_copy(r, SHMD_LATEST, NULL, 0, &f), 0);
        assert_frame(&f, 0, 3, 3, 1);
        shmd_reader_close(r);
        shmd_writer_close(w);
        OK(conn, shmd_remove(conn, "s"));
}

static void test_copy(void **state) {
        copy(connection(state), 4);
        copy(connection(state), 2);
        copy(connection(state), 1);
}

/* One slot: the plain memory, and what a reader is told about it. */
static void test_one_slot(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        const void *seen;
        void *data, *begun;
        size_t size;
        char buffer[SIZE];

        make(conn, "s", SIZE, 1, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", 0);
        assert_int_equal(shmd_writer_data(w, &data, &size), 0);
        assert_int_equal(size, SIZE);
        assert_int_equal(shmd_reader_data(r, &seen, &size), 0);
        assert_int_equal(size, SIZE);
        memcpy(data, "plain", 6);
        assert_string_equal(seen, "plain");
        assert_int_equal(shmd_reader_latest(r, &f), -EAGAIN);

        /* A flush without begin. */
        assert_int_equal(shmd_writer_flush(w, 6, 17), 0);
        assert_int_equal(shmd_reader_latest(r, &f), 0);
        assert_ptr_equal(f.data, seen);
        assert_int_equal(f.length, 6);
        assert_int_equal(f.tag, 17);
        assert_int_equal(shmd_reader_intact(r), 1);

        /* The writer does not wait for a hold: it is told. */
        assert_int_equal(shmd_writer_begin(w, &begun, &size, 0), 0);
        assert_ptr_equal(begun, data);
        assert_int_equal(size, SIZE);
        assert_int_equal(shmd_reader_intact(r), 0);
        assert_int_equal(shmd_reader_release(r), -ESTALE);

        /* In between there is nothing to read, and nothing to be woken for. */
        assert_int_equal(shmd_reader_latest(r, &f), -EAGAIN);
        assert_int_equal(shmd_reader_next(r, &f), -EAGAIN);
        assert_int_equal(shmd_reader_copy(r, SHMD_LATEST, buffer, SIZE, NULL), -EAGAIN);
        assert_int_equal(shmd_reader_wait(r, 0), 0);
        assert_int_equal(shmd_reader_arm(r), 0);
        assert_int_equal(shmd_writer_flush(w, 1, 18), 0);
        assert_int_equal(shmd_reader_wait(r, SOON), SHMD_EVENT_FRAME);
        assert_int_equal(shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, &f), 0);
        assert_int_equal(f.sequence, 2);
        assert_int_equal(f.missed, 0);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

/* One slot, given up: torn until the next flush. */
static void test_one_slot_torn(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        void *data;
        char buffer[SIZE];

        make(conn, "s", SIZE, 1, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", 0);
        publish(w, SIZE, 1);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), 0);
                if (i < 2)
                        assert_int_equal(shmd_writer_cancel(w), 0);
                else
                        w = shmd_writer_close(w); /* gives it up as well */
                assert_int_equal(shmd_reader_latest(r, &f), -EOWNERDEAD);
                assert_int_equal(shmd_reader_copy(r, SHMD_LATEST, buffer, SIZE, NULL), -EOWNERDEAD);
                if (!w)
                        w = writer(conn, "s");
                publish(w, SIZE, 2);
                assert_int_equal(shmd_reader_latest(r, &f), 0);
                assert_true(is_published(&f, f.data));
                assert_int_equal(shmd_reader_release(r), 0);
        }
        shmd_reader_close(r);
        shmd_writer_close(w);
}

/* The lengths at the edges, and the whole of a large slot. */
static void test_lengths(void **state) {
        static const uint64_t sizes[] = { 1, 7, 8, 63, 64, 65, 4095, 4096, 4097, 1 << 20 };
        struct shmd *conn = connection(state);

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
                for (uint32_t n_slots = 1; n_slots <= 3; n_slots += 2) {
                        const size_t lengths[] = { 0, 1, sizes[i] / 2, sizes[i] - 1, sizes[i] };
                        struct shmd_writer *w;
                        struct shmd_reader *r;
                        struct shmd_frame f;
                        void *data;
                        size_t size;

                        make(conn, "s", sizes[i], n_slots, 0);
                        w = writer(conn, "s");
                        r = reader(conn, "s", 0);
                        for (size_t j = 0; j < sizeof(lengths) / sizeof(lengths[0]); j++) {
                                uint64_t tag = j == 4 ? UINT64_MAX : j * 77;

                                assert_int_equal(shmd_writer_begin(w, &data, &size, SOON), 0);
                                assert_int_equal(size, sizes[i]);
                                memset(data, (int)(tag & 0xff), lengths[j]);
                                assert_int_equal(shmd_writer_flush(w, sizes[i] + 1, tag), -EMSGSIZE);
                                assert_int_equal(shmd_writer_flush(w, SIZE_MAX, tag), -EMSGSIZE);
                                assert_int_equal(shmd_writer_flush(w, lengths[j], tag), 0);
                                assert_int_equal(shmd_reader_next(r, &f), 0);
                                assert_frame(&f, lengths[j], j + 1, tag, 0);
                                assert_int_equal(shmd_reader_release(r), 0);
                        }
                        shmd_reader_close(r);
                        shmd_writer_close(w);
                        OK(conn, shmd_remove(conn, "s"));
                }
}

/* What cannot be opened, and that the sentence says why. */
static void test_open_failures(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r = (struct shmd_reader *)state;
        char long_name[SHMD_NAME_MAX + 2];

        make(conn, "s", SIZE, 1, 0);
        FAILS(conn, -ENOENT, shmd_reader_open(&r, conn, "absent", 0, SOON), "absent");
        assert_null(r);
        FAILS(conn, -EINVAL, shmd_reader_open(&r, conn, "", 0, SOON), "name");
        FAILS(conn, -EINVAL, shmd_reader_open(&r, conn, "/s", 0, SOON), "slash");
        FAILS(conn, -EINVAL, shmd_reader_open(&r, conn, "a//s", 0, SOON), "empty");
        FAILS(conn, -EINVAL, shmd_reader_open(&r, conn, "a/../s", 0, SOON), "..");
        FAILS(conn, -EINVAL, shmd_reader_open(&r, conn, "what?", 0, SOON), "?");
        memset(long_name, 'x', sizeof(long_name) - 1);
        long_name[sizeof(long_name) - 1] = '\0';
        FAILS(conn, -EINVAL, shmd_reader_open(&r, conn, long_name, 0, SOON), "200");
        FAILS(conn, -EINVAL, shmd_reader_open(&r, conn, "s", 0x80000000u, SOON), "flag");
        FAILS(conn, -EINVAL, shmd_reader_open(&r, conn, "s", SHMD_FROM_OLDEST | SHMD_FROM_END, SOON), "flags", "0x30");
        assert_null(r);
}

static void read_one_frame(int fd, void *data) {
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_frame f;

        CHILD_EQUAL(shmd_connect(&conn, data), 0);
        CHILD_CHECK(child_tell(fd, 0));
        CHILD_EQUAL(shmd_reader_open(&r, conn, "later", SHMD_WAIT, SHMD_FOREVER), 0);
        CHILD_CHECK(child_tell(fd, 0));
        for (;;) {
                int e = shmd_reader_wait(r, SOON);

                CHILD_CHECK(e > 0);
                if (e & SHMD_EVENT_FRAME)
                        break;
        }
        CHILD_EQUAL(shmd_reader_next(r, &f), 0);
        CHILD_EQUAL(f.tag, 42);
        CHILD_EQUAL(f.sequence, 1);
        CHILD_EQUAL(shmd_reader_release(r), 0);
        shmd_reader_close(r);
        shmd_close(conn);
}

/* A reader may start first. */
static void test_wait_for_the_segment(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct child c;

        FAILS(conn, -ETIMEDOUT, shmd_reader_open(&r, conn, "later", SHMD_WAIT, 30), "later");
        FAILS(conn, -ETIMEDOUT, shmd_reader_open(&r, conn, "later", SHMD_WAIT, 1), "later");
        child_start(&c, read_one_frame, (void *)(uintptr_t)socket_path(state));
        (void)child_expect(&c);
        while (!process_sleeps(c.pid))
                (void)usleep(100);
        make(conn, "later", SIZE, 2, 0);
        (void)child_expect(&c);
        w = writer(conn, "later");
        publish(w, 8, 42);
        child_finish(&c);
        shmd_writer_close(w);
}

/* Several handles of one process at one segment do not know of each other. */
static void test_several_readers(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_reader *readers[20];
        struct shmd_writer *w;
        struct shmd_frame f;

        make(conn, "s", SIZE, 4, 0);
        w = writer(conn, "s");
        for (unsigned i = 0; i < 20; i++)
                readers[i] = reader(conn, "s", 0);
        expect_users(conn, "s", 1, 20);
        assert_int_equal(shmd_writer_wait_reader(w, SOON), 0);
        expect_told(NULL, w, 20);
        publish(w, 9, 1);
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(shmd_reader_next(readers[i], &f), 0);
                assert_frame(&f, 9, 1, 1, 0);
        }
        for (unsigned i = 0; i < 20; i += 2)
                readers[i] = shmd_reader_close(readers[i]); /* what it holds is let go */
        expect_users(conn, "s", 1, 10);
        for (unsigned n = 2; n < 20; n++)
                publish(w, 9, n);
        for (unsigned i = 1; i < 20; i += 2) {
                assert_int_equal(shmd_reader_release(readers[i]), 0);
                shmd_reader_close(readers[i]);
        }
        expect_users(conn, "s", 1, 0);
        shmd_writer_close(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_nothing_yet),
                LIBRARY_TEST(test_info),
                LIBRARY_TEST(test_latest),
                LIBRARY_TEST(test_next),
                LIBRARY_TEST(test_latest_and_next),
                LIBRARY_TEST(test_start),
                LIBRARY_TEST(test_hold),
                LIBRARY_TEST(test_hold_broken),
                LIBRARY_TEST(test_copy),
                LIBRARY_TEST(test_one_slot),
                LIBRARY_TEST(test_one_slot_torn),
                LIBRARY_TEST(test_lengths),
                LIBRARY_TEST(test_open_failures),
                LIBRARY_TEST(test_wait_for_the_segment),
                LIBRARY_TEST(test_several_readers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
