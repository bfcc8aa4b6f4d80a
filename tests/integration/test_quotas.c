/*
 * test_quotas.c -- users with limits, each connected under a uid of its own: every quota at its edge with its sentence,
 * one user at all its limits while another works, clients that do not read, and random use against a model.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/cleanup.h"
#include "tests/child.h"
#include "tests/integration/library.h"
#include "tests/integration/wire.h"
#include "tests/support.h"

#define WIRES 300u
#define ALICE 5001u
#define BOB 5002u
#define CAROL 5003u
#define SOON_MS 60000

#define ARGUMENTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct quotas {
        struct fixture *daemon;
        struct wire *wire; /* WIRES of them, not connected */
        int fds;
};

static int setup(void **state) {
        struct quotas *q = calloc(1, sizeof(*q));

        assert_non_null(q);
        q->wire = calloc(WIRES, sizeof(*q->wire));
        assert_non_null(q->wire);
        for (unsigned i = 0; i < WIRES; i++)
                wire_init(&q->wire[i], -1);
        q->fds = fd_count();
        *state = q;
        return 0;
}

/* The daemon has let go of everything, or its own assertion that no charge is left fails. */
static int teardown(void **state) {
        struct quotas *q = *state;

        for (unsigned i = 0; i < WIRES; i++)
                wire_close(&q->wire[i]);
        q->daemon = fixture_stop(q->daemon);
        assert_int_equal(fd_count(), q->fds);
        free(q->wire);
        free(q);
        return 0;
}

static struct quotas *start(void **state, const char *const *arguments) {
        struct quotas *q = *state;

        if (geteuid() != 0) {
                print_message("[ SKIPPED  ] becoming other users takes root\n");
                skip();
        }
        q->daemon = fixture_start(arguments);
        return q;
}

/* ---- somebody --------------------------------------------------------------------------------------------------- */

/* The kernel notes who connects: what is said later over the socket counts as that one's. */
static struct wire *connect_as(struct quotas *q, struct wire *w, uid_t uid) {
        int fd;

        assert_return_code(seteuid(uid), errno);
        fd = wire_socket(fixture_socket(q->daemon));
        assert_return_code(seteuid(0), errno);
        wire_close(w);
        wire_init(w, fd);
        return w;
}

static struct wire *greet_as(struct quotas *q, struct wire *w, uid_t uid) {
        connect_as(q, w, uid);
        assert_int_equal(wire_hello(w, "quotas"), 0);
        return w;
}

/* Close it as one that dies does, and see that the daemon has noticed. */
static void leave(struct wire *w) {
        assert_return_code(shutdown(w->socket, SHUT_WR), errno);
        (void)wire_expect_dropped(w);
        wire_close(w);
}

/* For everybody to use. */
static int create(struct wire *w, const char *name, uint64_t slot_size) {
        struct proto_create m = { .slot_size = slot_size, .n_slots = 2, .mode = 0666 };

        return wire_create_as(w, name, &m);
}

#define REFUSED(w, call, ...)                     \
        do {                                      \
                assert_int_equal(call, -EDQUOT);  \
                wire_assert_text(w, __VA_ARGS__); \
        } while (0)

/* Wait until the daemon has taken in what was sent, and has gone on to something else. */
static void await_reading(const struct wire *w, struct wire *observer) {
        int unread;

        do {
                assert_int_equal(wire_stat(observer, "nothing"), -ENOENT);
                assert_return_code(ioctl(w->socket, SIOCOUTQ, &unread), errno);
        } while (unread);
        assert_int_equal(wire_stat(observer, "nothing"), -ENOENT);
}

/* ---- each at its edge ------------------------------------------------------------------------------------------- */

static void test_segments(void **state) {
        struct quotas *q = start(state, ARGUMENTS("--user-segments", "2"));
        struct wire *alice = greet_as(q, &q->wire[0], ALICE), *bob = greet_as(q, &q->wire[1], BOB);
        struct wire *reader = greet_as(q, &q->wire[2], BOB);

        assert_int_equal(create(alice, "a", 1), 0);
        assert_int_equal(create(alice, "b", 1), 0);
        REFUSED(alice, create(alice, "c", 1), "uid 5001 ", "2 segments", "may have 2", "--user-segments");
        assert_int_equal(create(bob, "c", 1), 0);
        /* What exists costs nothing. */
        assert_int_equal(create(alice, "c", 1), 0);
        /* It is the owner who pays, for as long as anybody has it open. */
        assert_int_equal(wire_open_segment(reader, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_remove(alice, "a"), 0);
        REFUSED(alice, create(alice, "a", 1), "2 segments");
        leave(reader);
        assert_int_equal(create(alice, "a", 1), 0);
}

static void test_bytes(void **state) {
        struct quotas *q = start(state, ARGUMENTS("--user-bytes", "64K"));
        struct wire *alice = greet_as(q, &q->wire[0], ALICE), *bob = greet_as(q, &q->wire[1], BOB);

        assert_int_equal(wire_create(alice, "a", 4096, 7), 0);
        REFUSED(alice, wire_create(alice, "b", 4096, 8), "uid 5001 ", "32768 bytes", "may have 65536", "36864 more",
                "--user-bytes");
        assert_int_equal(wire_create(alice, "b", 4096, 7), 0);
        REFUSED(alice, wire_create(alice, "c", 1, 1), "65536 bytes");
        assert_int_equal(wire_create(bob, "c", 4096, 15), 0);
        assert_int_equal(wire_remove(alice, "a"), 0);
        assert_int_equal(wire_create(alice, "a", 4096, 7), 0);
        /* A sparse one counts as if it were full. */
        assert_int_equal(wire_remove(alice, "a"), 0);
        struct proto_create m = { .slot_size = 4096, .n_slots = 8, .segment_flags = PROTO_SEGMENT_SPARSE };
        REFUSED(alice, wire_create_as(alice, "a", &m), "36864 more");
        m.n_slots = 7;
        assert_int_equal(wire_create_as(alice, "a", &m), 0);
}

/* Memory is taken back in steps. Until then it counts, and who has removed a segment can make another all the same. */
static void test_bytes_that_are_leaving(void **state) {
        struct quotas *q = start(state, ARGUMENTS("--user-bytes", "40M", "--user-segments", "1"));
        struct wire *alice = greet_as(q, &q->wire[0], ALICE);

        for (int i = 0; i < 20; i++) {
                assert_int_equal(create(alice, "a", UINT64_C(19) << 20), 0);
                REFUSED(alice, create(alice, "b", 1), "segments");
                assert_int_equal(wire_remove(alice, "a"), 0);
        }
}

static void test_clients(void **state) {
        struct quotas *q = start(state, ARGUMENTS("--user-clients", "2", "--log-level", "error"));
        struct wire *w = q->wire;

        (void)greet_as(q, &w[0], ALICE);
        (void)connect_as(q, &w[1], ALICE); /* one that says nothing counts as well */
        for (int i = 0; i < 5; i++) {
                connect_as(q, &w[2], ALICE);
                assert_int_equal(wire_expect_dropped(&w[2]), -EDQUOT);
                wire_assert_text(&w[2], "uid 5001 ", "2 clients", "may have 2", "--user-clients");
        }
        (void)greet_as(q, &w[3], BOB);
        leave(&w[1]);
        (void)greet_as(q, &w[1], ALICE);
}

static void test_handles(void **state) {
        struct quotas *q = start(state, ARGUMENTS("--user-handles", "2"));
        struct wire *w = q->wire;

        for (unsigned i = 0; i < 4; i++)
                (void)greet_as(q, &w[i], i < 3 ? ALICE : BOB);
        assert_int_equal(create(&w[0], "a", 1), 0);
        assert_int_equal(wire_open_segment(&w[0], "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_open_segment(&w[1], "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        REFUSED(&w[2], wire_open_segment(&w[2], "a", PROTO_ACCESS_READ, 0, 0), "uid 5001 ", "2 open handles",
                "may have 2", "--user-handles");
        REFUSED(&w[2], wire_open_segment(&w[2], "a", PROTO_ACCESS_WRITE, 0, 0), "2 open handles");
        assert_int_equal(wire_open_segment(&w[3], "a", PROTO_ACCESS_READ, 0, 0), 0);
        leave(&w[0]);
        assert_int_equal(wire_open_segment(&w[2], "a", PROTO_ACCESS_READ, 0, 0), 0);
}

static void test_waiting(void **state) {
        struct quotas *q = start(state, ARGUMENTS("--user-waiting", "2", "--max-bytes", "8G"));
        struct wire *w = q->wire;

        for (unsigned i = 0; i < 6; i++)
                (void)greet_as(q, &w[i], i < 4 ? ALICE : BOB);
        for (unsigned i = 0; i < 2; i++) {
                wire_open_send(&w[i], "a", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
                await_reading(&w[i], &w[3]);
        }
        REFUSED(&w[2], wire_open_segment(&w[2], "a", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0), "uid 5001 ",
                "2 requests that wait", "may have 2", "--user-waiting");
        /* So does a segment whose memory takes a while. */
        REFUSED(&w[2], create(&w[2], "b", UINT64_C(1) << 20), "2 requests that wait");
        assert_int_equal(wire_stat(&w[2], "b"), -ENOENT);
        assert_int_equal(create(&w[2], "b", 1), 0);
        assert_int_equal(create(&w[4], "c", UINT64_C(1) << 20), 0);
        wire_open_send(&w[5], "a", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
        await_reading(&w[5], &w[3]);
        leave(&w[0]);
        wire_open_send(&w[2], "a", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
        await_reading(&w[2], &w[3]);
        /* Who has got what he waited for waits no more. */
        assert_int_equal(create(&w[4], "a", 1), 0);
        assert_int_equal(wire_reply(&w[1]), 0);
        assert_int_equal(wire_reply(&w[2]), 0);
        assert_int_equal(wire_reply(&w[5]), 0);
        for (unsigned i = 0; i < 2; i++) {
                (void)greet_as(q, &w[6 + i], ALICE);
                wire_open_send(&w[6 + i], "d", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
                await_reading(&w[6 + i], &w[3]);
        }
        assert_false(wire_pending(&w[6]) || wire_pending(&w[7]));
}

/* Nobody gets more than is left for the others then; root gets what is left. */
static void test_share(void **state) {
        static const struct {
                uid_t uid;
                int segments;
        } users[] = { { ALICE, 4 }, { BOB, 2 }, { CAROL, 1 } };
        struct quotas *q = start(state, ARGUMENTS("--max-segments", "8"));
        struct wire *root = greet_as(q, &q->wire[0], 0), *w = &q->wire[1];
        char name[16];

        for (unsigned i = 0; i < 3; i++) {
                greet_as(q, w, users[i].uid);
                for (int j = 0; j < users[i].segments; j++) {
                        (void)snprintf(name, sizeof(name), "s%u.%d", i, j);
                        assert_int_equal(create(w, name, 1), 0);
                }
                REFUSED(w, create(w, "more", 1), "leaves to the others", "--max-segments");
        }
        assert_int_equal(create(root, "last", 1), 0);
        assert_int_equal(create(root, "more", 1), -ENOSPC);
        wire_assert_text(root, "all users", "8 segments", "may have 8", "--max-segments");
        assert_int_equal(create(w, "more", 1), -ENOSPC);
}

/* Root is bound by what there is for all, and by nothing else. */
static void test_root(void **state) {
        struct quotas *q =
                start(state, ARGUMENTS("--user-segments", "1", "--user-clients", "1", "--max-segments", "3"));

        (void)greet_as(q, &q->wire[0], 0);
        (void)greet_as(q, &q->wire[1], 0);
        assert_int_equal(create(&q->wire[0], "a", 1), 0);
        assert_int_equal(create(&q->wire[0], "b", 1), 0);
        assert_int_equal(create(&q->wire[1], "c", 1), 0);
        assert_int_equal(create(&q->wire[1], "d", 1), -ENOSPC);
}

/* Of a segment's writer ids as well: half for one stranger; the owner gets what is left. */
static void test_writers_of_a_segment(void **state) {
        struct quotas *q = start(state, NULL);
        const unsigned half = LAYOUT_WRITER_DAEMON / 2;
        struct wire *owner = greet_as(q, &q->wire[0], BOB), *w = &q->wire[1];

        assert_int_equal(create(owner, "a", 1), 0);
        for (unsigned i = 0; i < half; i++) {
                assert_int_equal(wire_open_segment(greet_as(q, &w[i], ALICE), "a", PROTO_ACCESS_WRITE, 0, 0), 0);
                packet_close(&w[i].packet);
        }
        (void)greet_as(q, &w[half], ALICE);
        REFUSED(&w[half], wire_open_segment(&w[half], "a", PROTO_ACCESS_WRITE, 0, 0), "uid 5001 ", "writers", "255");
        assert_int_equal(wire_open_segment(&w[half], "a", PROTO_ACCESS_READ, 0, 0), 0);
        for (unsigned i = half + 1; i < LAYOUT_WRITER_DAEMON + 1; i++) {
                assert_int_equal(wire_open_segment(greet_as(q, &w[i], BOB), "a", PROTO_ACCESS_WRITE, 0, 0), 0);
                packet_close(&w[i].packet);
        }
        assert_int_equal(wire_open_segment(owner, "a", PROTO_ACCESS_WRITE, 0, 0), -EUSERS);
        leave(&w[0]);
        assert_int_equal(wire_open_segment(owner, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
}

/* ---- one at its limits, another at work ------------------------------------------------------------------------- */

/* Make a segment, open it at both ends, hear of each other, wait for another, and take it all down. */
static void work(struct quotas *q, struct wire *w, uid_t uid) {
        for (unsigned i = 0; i < 4; i++)
                (void)greet_as(q, &w[i], uid);
        assert_int_equal(create(&w[0], "work", 100000), 0);
        assert_int_equal(wire_open_segment(&w[1], "work", PROTO_ACCESS_WRITE, 0, 0), 0);
        assert_int_equal(wire_open_segment(&w[2], "work", PROTO_ACCESS_READ, 0, 0), 0);
        while (w[1].n_groups == 0 || w[1].users.readers == 0)
                assert_true(wire_receive(&w[1]));
        wire_open_send(&w[3], "more", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
        await_reading(&w[3], &w[0]);
        assert_int_equal(create(&w[0], "more", 1 << 20), 0);
        assert_int_equal(wire_reply(&w[3]), 0);
        assert_int_equal(wire_remove(&w[0], "work"), 0);
        assert_int_equal(wire_remove(&w[0], "more"), 0);
        for (unsigned i = 0; i < 4; i++)
                leave(&w[i]);
}

static void test_one_at_all_its_limits(void **state) {
        struct quotas *q =
                start(state, ARGUMENTS("--max-segments", "64", "--max-bytes", "64M", "--max-clients", "48",
                                       "--user-handles", "8", "--user-waiting", "8", "--log-level", "error"));
        struct wire *w = q->wire, *bob = &q->wire[100];
        unsigned n = 0, segments = 0;
        char name[16];

        work(q, bob, BOB);
        /* Without limits of her own alice gets half of what there is; two of each are enough to be refused one. */
        while (connect_as(q, &w[n], ALICE), true) {
                struct proto_hello m = { .layout_version = LAYOUT_VERSION };

                wire_header(&w[n], &m, PROTO_OP_HELLO, 0);
                (void)packet_send(w[n].socket, &m, sizeof(m), NULL, 0);
                assert_true(wire_receive(&w[n]));
                if (w[n].in.any.header.error)
                        break;
                n++;
        }
        assert_int_equal(w[n].in.any.header.error, -EDQUOT);
        assert_int_equal(n, 24);
        assert_int_equal(create(&w[0], "large", (UINT64_C(31) << 20) / 2), 0);
        do
                (void)snprintf(name, sizeof(name), "s%u", segments++);
        while (create(&w[0], name, 1) == 0);
        assert_int_equal(segments, 32);
        REFUSED(&w[0], create(&w[0], "x", 1), "segments");
        for (unsigned i = 0; i < 8; i++)
                assert_int_equal(wire_open_segment(&w[1 + i], "large", i % 2 + 1, 0, 0), 0);
        REFUSED(&w[9], wire_open_segment(&w[9], "large", PROTO_ACCESS_READ, 0, 0), "handles");
        for (unsigned i = 0; i < 8; i++) {
                wire_open_send(&w[10 + i], "never", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
                await_reading(&w[10 + i], &w[0]);
        }
        REFUSED(&w[18], wire_open_segment(&w[18], "never", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0), "requests");
        for (int i = 0; i < 20; i++) {
                work(q, bob, BOB);
                REFUSED(&w[0], create(&w[0], "x", 1), "segments");
                connect_as(q, &w[24], ALICE);
                assert_int_equal(wire_expect_dropped(&w[24]), -EDQUOT);
        }
}

/* ---- those who do not read, or say nothing ---------------------------------------------------------------------- */

/* The daemon has closed it: seen without reading anything. */
static bool is_dropped(const struct wire *w) {
        struct pollfd p = { .fd = w->socket, .events = POLLRDHUP };

        return poll(&p, 1, 0) == 1;
}

static void await_drop(const struct wire *w) {
        struct pollfd p = { .fd = w->socket, .events = POLLRDHUP };

        if (poll(&p, 1, SOON_MS) != 1)
                fail_msg("the daemon has not closed the connection");
}

static void test_says_nothing(void **state) {
        struct quotas *q =
                start(state, ARGUMENTS("--client-timeout", "1", "--user-clients", "2", "--log-level", "error"));
        struct wire *w = q->wire;

        connect_as(q, &w[0], ALICE);
        greet_as(q, &w[1], ALICE);
        await_drop(&w[0]);
        greet_as(q, &w[2], ALICE);
        assert_false(is_dropped(&w[1]));
        assert_int_equal(create(&w[1], "a", 1), 0);
}

/* Replies that nobody reads: no more than one waits in the daemon, and then nothing is read from there. */
static void test_never_reads_replies(void **state) {
        struct quotas *q = start(state, ARGUMENTS("--client-timeout", "1", "--log-level", "error"));
        struct wire *alice = greet_as(q, &q->wire[0], ALICE), *other = greet_as(q, &q->wire[1], ALICE);
        struct proto_list m = { 0 };
        long memory = fixture_memory(q->daemon);
        int sent = 0;

        assert_int_equal(create(other, "a", 1), 0);
        do {
                wire_header(alice, &m, PROTO_OP_LIST, 0);
                m.header.serial = (uint32_t)sent;
                if (send(alice->socket, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
                        sent++;
                assert_int_equal(wire_stat(other, "a"), 0);
        } while (!is_dropped(alice));
        assert_true(sent > 100);
        assert_true(SANITIZED || fixture_memory(q->daemon) < memory + 4096); /* what is freed stays there then */
        assert_int_equal(wire_stat(other, "a"), 0);
}

/* Notices that nobody reads are in nobody's way but the one's who does not read. */
static void test_never_reads_notices(void **state) {
        struct quotas *q = start(state, ARGUMENTS("--client-timeout", "1", "--log-level", "error"));
        struct wire *silent = greet_as(q, &q->wire[0], ALICE), *writer = greet_as(q, &q->wire[1], BOB);
        struct wire *observer = greet_as(q, &q->wire[2], BOB), *reader = &q->wire[3];

        assert_int_equal(create(observer, "a", 1), 0);
        assert_int_equal(wire_open_segment(silent, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        assert_int_equal(wire_open_segment(writer, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        while (!is_dropped(silent)) {
                greet_as(q, reader, BOB);
                assert_int_equal(wire_open_segment(reader, "a", PROTO_ACCESS_READ, 0, 0), 0);
                leave(reader);
                while (wire_pending(writer))
                        assert_true(wire_receive(writer));
        }
        wire_expect_users(observer, "a", 1, 0);
        assert_false(is_dropped(writer));
}

/* A writer that does not take in new groups of readers keeps those out who need one, but not for ever. */
static void test_never_reads_groups(void **state) {
        struct quotas *q = start(state, ARGUMENTS("--client-timeout", "1", "--log-level", "error"));
        struct wire *silent = greet_as(q, &q->wire[0], ALICE), *observer = greet_as(q, &q->wire[1], BOB);
        struct wire *w = &q->wire[2];
        unsigned n = 0;

        assert_int_equal(create(observer, "a", 1), 0);
        assert_int_equal(wire_open_segment(silent, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        while (wire_open_segment(greet_as(q, &w[n], 6000 + n), "a", PROTO_ACCESS_READ, 0, 0) == 0)
                n++;
        assert_int_equal(w[n].in.any.header.error, -EBUSY);
        assert_in_range(n, 8, 9);
        while (wire_open_segment(&w[n], "a", PROTO_ACCESS_READ, 0, 0) == -EBUSY)
                (void)usleep(1000); /* not to be in its way; the reply decides */
        assert_true(is_dropped(silent));
        wire_expect_users(observer, "a", 0, n + 1);
}

/* In a child, because the limit cannot be raised again. */
static void use_up_descriptors(int fd, void *data) {
        const struct rlimit few = { .rlim_cur = 1024, .rlim_max = 1024 };
        struct wire *observer, *readers, *writers;
        const unsigned n_groups = 40;
        void **state = data;
        unsigned n = 0;
        struct quotas *q;

        (void)close(fd);
        CHILD_EQUAL(setrlimit(RLIMIT_NOFILE, &few), 0);
        q = start(state, ARGUMENTS("--log-level", "error", "--max-clients", "64", "--max-segments", "64"));
        observer = greet_as(q, &q->wire[0], BOB);
        readers = &q->wire[1];
        writers = &readers[n_groups];
        assert_int_equal(create(observer, "a", 1), 0);
        for (unsigned i = 0; i < n_groups; i++)
                assert_int_equal(wire_open_segment(greet_as(q, &readers[i], 6000 + i), "a", PROTO_ACCESS_READ, 0, 0),
                                 0);
        /* 1 + 2 * 40 each */
        for (;; n++) {
                greet_as(q, &writers[n], ALICE);
                wire_open_send(&writers[n], "a", PROTO_ACCESS_WRITE, 0, 0);
                await_reading(&writers[n], observer);
                assert_return_code(poll(&(struct pollfd){ .fd = writers[n].socket, .events = POLLIN }, 1, SOON_MS),
                                   errno);
                if (recv(writers[n].socket, &(char){ 0 }, 1, MSG_PEEK | MSG_TRUNC) == sizeof(struct proto_error))
                        break;
        }
        assert_int_equal(n, 6);
        assert_int_equal(wire_reply(&writers[n]), -EDQUOT);
        wire_assert_text(&writers[n], "uid 5001 ", "486 descriptors", "no client has read", "LimitNOFILE");
        assert_int_equal(wire_open_segment(greet_as(q, &writers[n + 1], BOB), "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        leave(&writers[n + 1]);
        /* The daemon hangs up, and nothing changes. */
        assert_return_code(send(writers[0].socket, "?", 1, MSG_NOSIGNAL), errno);
        await_drop(&writers[0]);
        REFUSED(&writers[n], wire_open_segment(&writers[n], "a", PROTO_ACCESS_WRITE, 0, 0), "486 descriptors");
        /* What has been read is no longer under way; all of it, the kernel does not say what there is. */
        assert_int_equal(wire_reply(&writers[1]), 0);
        while (wire_pending(&writers[1]))
                assert_true(wire_receive(&writers[1]));
        assert_int_equal(wire_open_segment(&writers[n], "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        (void)teardown(state);
}

/* Descriptors that nobody has read count against the daemon: one user gets half of what the kernel allows, also when the
 * daemon has hung up on him. */
static void test_descriptors_under_way(void **state) {
        struct child c;

        if (geteuid() != 0)
                skip();
        child_start(&c, use_up_descriptors, state);
        child_finish(&c);
}

/* ---- random use, against a model -------------------------------------------------------------------------------- */

#define USERS 3u
#define CLIENTS 45u
#define NAMES 16u
#define STEPS 6000u

struct segment {
        bool named;
        unsigned owner;
        uint64_t bytes; /* 0: it is not there any more */
        unsigned n_open;
};

struct model {
        struct quotas *q;
        bool connected[CLIENTS]; /* client N is of user N % USERS */
        struct segment *open[CLIENTS];
        struct segment segments[64]; /* those that have lost their name as well */
        struct segment *by_name[NAMES];
};

enum {
        OF_SEGMENTS,
        OF_BYTES,
        OF_CLIENTS,
        OF_HANDLES
};

static uint64_t used(const struct model *m, int what, unsigned user) {
        uint64_t n = 0;

        for (unsigned i = 0; what <= OF_BYTES && i < 64; i++) {
                const struct segment *s = &m->segments[i];

                if (s->bytes && (user == USERS || s->owner == user))
                        n += what == OF_BYTES ? s->bytes : 1;
        }
        for (unsigned i = 0; what > OF_BYTES && i < CLIENTS; i++)
                if (user == USERS || i % USERS == user)
                        n += what == OF_CLIENTS ? m->connected[i] : m->open[i] != NULL;
        return n + (what == OF_CLIENTS && user == USERS); /* the observer */
}

static bool fits(const struct model *m, int what, unsigned user, uint64_t amount) {
        static const uint64_t all[] = { 14, 2 << 20, 30, 30 }, each[] = { 6, 900 << 10, 9, 5 };
        uint64_t own = used(m, what, user) + amount, together = used(m, what, USERS) + amount;

        return together <= all[what] && own <= each[what] && own <= all[what] - together;
}

static void settle(struct segment *s) {
        if (!s->named && s->n_open == 0)
                *s = (struct segment){ 0 };
}

static void model_connect(struct model *m, unsigned i) {
        struct wire *w = connect_as(m->q, &m->q->wire[1 + i], ALICE + i % USERS);

        if (fits(m, OF_CLIENTS, i % USERS, 1)) {
                assert_int_equal(wire_hello(w, "model"), 0);
                m->connected[i] = true;
        } else {
                assert_int_equal(wire_expect_dropped(w), -EDQUOT);
        }
}

static void model_leave(struct model *m, unsigned i) {
        leave(&m->q->wire[1 + i]);
        m->connected[i] = false;
        if (m->open[i]) {
                m->open[i]->n_open--;
                settle(m->open[i]);
        }
        m->open[i] = NULL;
}

static void model_create(struct model *m, unsigned i, unsigned name, uint64_t size) {
        char text[8];
        struct geometry g;
        int r;

        (void)snprintf(text, sizeof(text), "n%u", name);
        r = create(&m->q->wire[1 + i], text, size);
        if (m->by_name[name])
                return;
        assert_int_equal(geometry_init(&g, size, 2, (uint64_t)sysconf(_SC_PAGESIZE)), 0);
        if (!fits(m, OF_SEGMENTS, i % USERS, 1) || !fits(m, OF_BYTES, i % USERS, g.file_size)) {
                assert_int_equal(r, -EDQUOT);
                return;
        }
        assert_int_equal(r, 0);
        for (struct segment *s = m->segments; !m->by_name[name]; s++)
                if (!s->bytes) {
                        *s = (struct segment){ .named = true, .owner = i % USERS, .bytes = g.file_size };
                        m->by_name[name] = s;
                }
}

static void model_open(struct model *m, unsigned i, unsigned name) {
        struct segment *s = m->by_name[name];
        char text[8];
        int r;

        if (!s || m->open[i])
                return;
        (void)snprintf(text, sizeof(text), "n%u", name);
        r = wire_open_segment(&m->q->wire[1 + i], text, PROTO_ACCESS_WRITE, 0, 0);
        assert_int_equal(r, fits(m, OF_HANDLES, i % USERS, 1) ? 0 : -EDQUOT);
        packet_close(&m->q->wire[1 + i].packet);
        if (r == 0) {
                m->open[i] = s;
                s->n_open++;
        }
}

static void model_remove(struct model *m, unsigned i, unsigned name) {
        struct segment *s = m->by_name[name];
        char text[8];

        if (!s)
                return;
        (void)snprintf(text, sizeof(text), "n%u", name);
        if (s->owner != i % USERS) {
                assert_int_equal(wire_remove(&m->q->wire[1 + i], text), -EPERM);
                return;
        }
        assert_int_equal(wire_remove(&m->q->wire[1 + i], text), 0);
        m->by_name[name] = NULL;
        s->named = false;
        settle(s);
}

/* Each is refused exactly what the rules refuse it; what is taken back in steps is waited for. */
static void test_model(void **state) {
        struct model m = { .q = start(state,
                                      ARGUMENTS("--max-segments", "14", "--user-segments", "6", "--max-bytes", "2M",
                                                "--user-bytes", "900K", "--max-clients", "30", "--user-clients", "9",
                                                "--user-handles", "5", "--log-level", "error")) };
        struct random rnd = random_seeded("quotas");

        (void)greet_as(m.q, &m.q->wire[0], 0);
        for (unsigned step = 0; step < times(STEPS); step++) {
                unsigned i = (unsigned)random_below(&rnd, CLIENTS), name = (unsigned)random_below(&rnd, NAMES);

                if (!m.connected[i])
                        model_connect(&m, i);
                else if (random_below(&rnd, 6) == 0)
                        model_leave(&m, i);
                else if (random_below(&rnd, 2))
                        model_create(&m, i, name, 1 + random_below(&rnd, random_below(&rnd, 4) ? 20000 : 250000));
                else if (random_below(&rnd, 2))
                        model_open(&m, i, name);
                else
                        model_remove(&m, i, name);
        }
        for (unsigned i = 0; i < CLIENTS; i++)
                if (m.connected[i])
                        model_leave(&m, i);
        leave(&m.q->wire[0]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_segments),
                TEST(test_bytes),
                TEST(test_bytes_that_are_leaving),
                TEST(test_clients),
                TEST(test_handles),
                TEST(test_waiting),
                TEST(test_share),
                TEST(test_root),
                TEST(test_writers_of_a_segment),
                TEST(test_one_at_all_its_limits),
                TEST(test_says_nothing),
                TEST(test_never_reads_replies),
                TEST(test_never_reads_notices),
                TEST(test_never_reads_groups),
                TEST(test_descriptors_under_way),
                TEST(test_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
