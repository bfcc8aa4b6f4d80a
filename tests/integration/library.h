/*
 * library.h -- what the tests of the library share: a daemon and a connection for every test, and a word for each of
 * the things that they all do.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "client/shmd.h"
#include "tests/child.h"
#include "tests/integration/fixture.h"
#include "tests/support.h"

#define SOON 60000 /* ms; what is to come comes long before */

/* How often: @n times, fewer where every access is checked. */
static inline unsigned times(unsigned n) { return SANITIZED ? n / 10 : n; }

struct library {
        struct fixture *daemon;
        struct shmd *conn;
        int fds; /* of this process, before the test */
};

static inline int library_setup_with(void **state, const char *const *arguments) {
        struct library *l = calloc(1, sizeof(*l));

        assert_non_null(l);
        l->daemon = fixture_start(arguments);
        assert_int_equal(shmd_connect(&l->conn, fixture_socket(l->daemon)), 0);
        l->fds = fd_count();
        *state = l;
        return 0;
}

static inline int library_setup(void **state) { return library_setup_with(state, NULL); }

/* Whatever a test opened it has closed, here and in the daemon. */
static inline int library_teardown(void **state) {
        struct library *l = *state;

        assert_int_equal(fd_count(), l->fds);
        l->conn = shmd_close(l->conn);
        l->daemon = fixture_stop(l->daemon);
        free(l);
        return 0;
}

#define LIBRARY_TEST(test) cmocka_unit_test_setup_teardown(test, library_setup, library_teardown)

static inline struct shmd *connection(void **state) { return ((struct library *)*state)->conn; }
static inline const char *socket_path(void **state) { return fixture_socket(((struct library *)*state)->daemon); }

/* A call that must succeed, and the daemon's sentence if it does not. */
#define OK(conn, call)                                                                   \
        do {                                                                             \
                int ok_ = (call);                                                        \
                if (ok_ < 0)                                                             \
                        fail_msg("%s: %s: %s", #call, strerror(-ok_), shmd_error(conn)); \
        } while (0)

/* A call that must fail like that, with each of the words in the sentence that follows. */
#define FAILS(conn, error, call, ...)                                                                      \
        do {                                                                                               \
                int fails_ = (call);                                                                       \
                if (fails_ != (error))                                                                     \
                        fail_msg("%s: %d, not %s (%s)", #call, fails_, #error, shmd_error(conn));          \
                library_assert_words(#call, shmd_error(conn), (const char *const[]){ __VA_ARGS__, NULL }); \
        } while (0)

static inline void library_assert_words(const char *call, const char *sentence, const char *const *words) {
        for (; *words; words++)
                if (!strcasestr(sentence, *words))
                        fail_msg("%s: \"%s\" does not name \"%s\"", call, sentence, *words);
}

static inline void make(struct shmd *conn, const char *name, uint64_t slot_size, uint32_t n_slots, uint32_t policy) {
        const struct shmd_options options = { .slot_size = slot_size, .n_slots = n_slots, .policy = policy };

        OK(conn, shmd_create(conn, name, &options));
}

static inline struct shmd_writer *writer(struct shmd *conn, const char *name) {
        struct shmd_writer *w;

        OK(conn, shmd_writer_open(&w, conn, name, 0, SOON));
        return w;
}

static inline struct shmd_reader *reader(struct shmd *conn, const char *name, unsigned flags) {
        struct shmd_reader *r;

        OK(conn, shmd_reader_open(&r, conn, name, flags, SOON));
        return r;
}

/* Publish a frame of @length bytes, each of them the low byte of @tag. */
static inline void publish(struct shmd_writer *w, size_t length, uint64_t tag) {
        void *data;

        assert_int_equal(shmd_writer_begin(w, &data, NULL, SOON), 0);
        memset(data, (int)(tag & 0xff), length);
        assert_int_equal(shmd_writer_flush(w, length, tag), 0);
}

/* Is the frame as publish() made it? */
static inline bool is_published(const struct shmd_frame *frame, const void *data) {
        const unsigned char *p = data;

        for (size_t i = 0; i < frame->length; i++)
                if (p[i] != (frame->tag & 0xff))
                        return false;
        return true;
}

static inline void assert_frame(const struct shmd_frame *frame, size_t length, uint64_t sequence, uint64_t tag,
                                uint64_t missed) {
        assert_int_equal(frame->length, length);
        assert_int_equal(frame->sequence, sequence);
        assert_int_equal(frame->tag, tag);
        assert_int_equal(frame->missed, missed);
        if (frame->data)
                assert_true(is_published(frame, frame->data));
}

/* Wait for exactly these events; FRAME besides does not matter unless it is among them. */
static inline void expect_events(struct shmd_reader *r, unsigned events) {
        unsigned seen = 0;

        while ((seen & events) != events) {
                int e = shmd_reader_wait(r, SOON);

                if (e <= 0)
                        fail_msg("waiting for events 0x%x: %d, after 0x%x", events, e, seen);
                seen |= (unsigned)e;
                assert_int_equal(seen & ~(events | SHMD_EVENT_FRAME), 0);
        }
}

static inline uint64_t monotonic_ns(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Wait until the daemon knows of so many; a handle that was closed is gone for it a little later. */
static inline void expect_users(struct shmd *conn, const char *name, uint32_t writers, uint32_t readers) {
        const struct timespec pause = { .tv_nsec = 1000000 };
        uint64_t end = monotonic_ns() + UINT64_C(60000000000);
        struct shmd_info info;

        do {
                OK(conn, shmd_stat(conn, name, &info));
                if (info.writers == writers && info.readers == readers)
                        return;
                (void)nanosleep(&pause, NULL); /* not to be in the daemon's way; the state decides */
        } while (monotonic_ns() < end);
        fail_msg("%s has %u writers and %u readers, not %u and %u", name, info.writers, info.readers, writers, readers);
}

/* Wait until the reader has been told of so many writers, or the writer of so many readers. */
static inline void expect_told(struct shmd_reader *r, struct shmd_writer *w, int number) {
        uint64_t end = monotonic_ns() + UINT64_C(60000000000);
        int n;

        do {
                n = r ? shmd_reader_writers(r) : shmd_writer_readers(w);
                if (n == number)
                        return;
                (void)usleep(1000);
        } while (n >= 0 && monotonic_ns() < end);
        fail_msg("told of %d, not %d", n, number);
}
