/*
 * test_liars.c -- clients that do not keep to the protocol: each is dropped, or only harms itself; others are served as
 * before, and the daemon has as many descriptors as it had.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/cleanup.h"
#include "tests/integration/wire.h"
#include "tests/support.h"

struct liars {
        struct fixture *daemon;
        struct wire honest; /* there all the time */
        struct wire liar;
        int extra[4]; /* descriptors to send */
        int own;      /* our descriptors, before the test */
};

static int setup(void **state) {
        static const char *const arguments[] = { "--log-level", "error", NULL }; /* of each liar it says a line */
        struct liars *l = calloc(1, sizeof(*l));

        assert_non_null(l);
        l->own = fd_count();
        l->daemon = fixture_start(arguments);
        wire_open(&l->honest, l->daemon);
        wire_init(&l->liar, -1);
        for (int i = 0; i < 4; i++) {
                l->extra[i] = epoll_create1(EPOLL_CLOEXEC);
                assert_return_code(l->extra[i], errno);
        }
        *state = l;
        return 0;
}

/* All that liars have done leaves no trace: others are served, and no descriptor more is open. */
static void unharmed(struct liars *l) {
        wire_close(&l->liar);
        assert_int_equal(wire_create(&l->honest, "honest", 100, 2), 0);
        assert_int_equal(wire_stat(&l->honest, "honest"), 0);
        assert_int_equal(wire_remove(&l->honest, "honest"), 0);
        fixture_expect_idle(l->daemon, 1);
}

static int teardown(void **state) {
        struct liars *l = *state;

        unharmed(l);
        wire_close(&l->honest);
        for (int i = 0; i < 4; i++)
                fd_close(l->extra[i]);
        l->daemon = fixture_stop(l->daemon);
        assert_int_equal(fd_count(), l->own);
        free(l);
        return 0;
}

/* A new liar, with or without a hello. */
static struct wire *liar(struct liars *l, bool hello) {
        wire_close(&l->liar);
        if (hello)
                wire_open(&l->liar, l->daemon);
        else
                wire_init(&l->liar, wire_socket(fixture_socket(l->daemon)));
        return &l->liar;
}

static void dropped(struct liars *l, int error, const char *word) {
        assert_int_equal(wire_expect_dropped(&l->liar), error);
        if (!strcasestr(wire_text(&l->liar), word))
                fail_msg("\"%s\" does not name \"%s\"", wire_text(&l->liar), word);
}

static const uint16_t requests[] = {
        PROTO_OP_HELLO, PROTO_OP_CREATE, PROTO_OP_OPEN, PROTO_OP_STAT, PROTO_OP_LIST, PROTO_OP_REMOVE,
};
#define N_REQUESTS (sizeof(requests) / sizeof(requests[0]))

/* A true request of its kind. */
static size_t request(struct wire *w, union proto_any *m, uint16_t op) {
        memset(m, 0, sizeof(*m));
        switch (op) {
        case PROTO_OP_HELLO:
                m->hello.layout_version = LAYOUT_VERSION;
                break;
        case PROTO_OP_CREATE:
                m->create.slot_size = 100;
                (void)snprintf(m->create.name, sizeof(m->create.name), "lie");
                break;
        case PROTO_OP_OPEN:
                m->open.access = PROTO_ACCESS_READ;
                (void)snprintf(m->open.name, sizeof(m->open.name), "lie");
                break;
        case PROTO_OP_STAT:
                (void)snprintf(m->stat.name, sizeof(m->stat.name), "lie");
                break;
        case PROTO_OP_REMOVE:
                (void)snprintf(m->remove.name, sizeof(m->remove.name), "lie");
                break;
        default:
                break;
        }
        wire_header(w, m, op, 0);
        return m->header.size;
}

static void test_shorter_than_a_header(void **state) {
        struct liars *l = *state;
        struct proto_header h;

        for (size_t size = 1; size < sizeof(h); size++)
                for (int hello = 0; hello < 2; hello++) {
                        struct wire *w = liar(l, hello);

                        message_init(&h, PROTO_OP_STAT, size, 5);
                        wire_send(w, &h, size, NULL, 0);
                        dropped(l, -EPROTO, "header");
                }
}

/* A request cut anywhere is zero-extended, so it has an answer, yes or no; the connection lives. */
static void test_truncated_everywhere(void **state) {
        struct liars *l = *state;

        for (size_t i = 1; i < N_REQUESTS; i++) {
                struct wire *w = liar(l, true);
                size_t step = message_request_size(requests[i]) > 400 ? 7 : 1;

                for (size_t size = sizeof(struct proto_header); size < message_request_size(requests[i]);
                     size += step) {
                        union proto_any m;

                        (void)request(w, &m, requests[i]);
                        m.header.size = (uint32_t)size;
                        (void)wire_request(w, &m, NULL, 0);
                        if (requests[i] == PROTO_OP_CREATE && w->in.any.header.error == 0)
                                assert_int_equal(wire_remove(w, "lie"), 0);
                }
        }
        for (size_t size = sizeof(struct proto_header); size < sizeof(struct proto_hello); size += 4) {
                struct wire *w = liar(l, false);
                union proto_any m;

                (void)request(w, &m, PROTO_OP_HELLO);
                m.header.size = (uint32_t)size;
                wire_send(w, &m, size, NULL, 0);
                if (size < offsetof(struct proto_hello, flags)) /* the layout's version is cut off */
                        dropped(l, -EPROTONOSUPPORT, "layout");
                else
                        assert_int_equal(wire_reply(w), 0);
        }
}

static void test_longer(void **state) {
        struct liars *l = *state;
        static uint64_t buffer[PROTO_MESSAGE_MAX / 8 + 1];

        for (size_t i = 0; i < N_REQUESTS; i++) {
                static const size_t tails[] = { 1, 8, 1000, 0 };
                size_t size = message_request_size(requests[i]);

                for (size_t t = 0; t < 4; t++) {
                        size_t whole = tails[t] ? size + tails[t] : PROTO_MESSAGE_MAX;

                        for (unsigned kind = 0; kind < 3; kind++) {
                                struct wire *w = liar(l, requests[i] != PROTO_OP_HELLO);
                                union proto_any m;

                                memset(buffer, 0, sizeof(buffer));
                                (void)request(w, &m, requests[i]);
                                m.header.size = (uint32_t)whole;
                                memcpy(buffer, &m, size);
                                if (kind)
                                        ((unsigned char *)buffer)[kind == 1 ? size : whole - 1] = 1;
                                wire_send(w, buffer, whole, NULL, 0);
                                if (kind) {
                                        dropped(l, -EPROTO, "longer");
                                } else {
                                        (void)wire_reply(w);
                                        assert_int_equal(w->in.any.header.op, requests[i]);
                                        (void)wire_stat(w, "x");
                                        (void)wire_remove(w, "lie");
                                }
                        }
                }
        }
        struct wire *w = liar(l, true);
        union proto_any m;

        (void)request(w, &m, PROTO_OP_STAT);
        m.header.size = PROTO_MESSAGE_MAX + 8;
        memcpy(buffer, &m, sizeof(m.stat));
        wire_send(w, buffer, PROTO_MESSAGE_MAX + 8, NULL, 0);
        dropped(l, -EPROTO, "longer");
}

static void test_wrong_headers(void **state) {
        struct liars *l = *state;

        for (int bit = 0; bit < 32; bit++) {
                union proto_any m;
                struct wire *w = liar(l, true);

                (void)request(w, &m, PROTO_OP_STAT);
                m.header.size ^= 1u << bit;
                wire_send(w, &m, sizeof(m.stat), NULL, 0);
                dropped(l, -EPROTO, "size");

                w = liar(l, true);
                (void)request(w, &m, PROTO_OP_STAT);
                m.header.reserved = 1u << bit;
                wire_send(w, &m, sizeof(m.stat), NULL, 0);
                dropped(l, -EPROTO, "reserved");

                w = liar(l, true);
                (void)request(w, &m, PROTO_OP_STAT);
                m.header.n_fds = 1u << bit;
                wire_send(w, &m, sizeof(m.stat), NULL, 0);
                dropped(l, -EPROTO, "descriptors");
        }
        for (int bit = 0; bit < 16; bit++)
                for (int hello = 0; hello < 2; hello++) {
                        union proto_any m;
                        struct wire *w = liar(l, hello);

                        (void)request(w, &m, hello ? PROTO_OP_STAT : PROTO_OP_HELLO);
                        m.header.version ^= (uint16_t)(1u << bit);
                        wire_send(w, &m, m.header.size, NULL, 0);
                        dropped(l, -EPROTONOSUPPORT, "version");
                        /* The reply is in a version that the client may not know; its header it does. */
                        assert_int_equal(w->in.any.header.serial, m.header.serial);
                }
}

static void test_unknown_operations(void **state) {
        struct liars *l = *state;
        static const uint16_t ops[] = {
                0,      PROTO_OP_REQUESTS, PROTO_OP_REQUESTS + 1, 0xff, PROTO_OP_STATE, PROTO_OP_GROUP, 0x102, 0x7fff,
                0xffff,
        };

        for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
                for (int hello = 0; hello < 2; hello++) {
                        struct wire *w = liar(l, hello);
                        struct proto_header h;

                        message_init(&h, ops[i], sizeof(h), 77);
                        wire_send(w, &h, sizeof(h), NULL, 0);
                        dropped(l, -EPROTO, "operation");
                }
}

static void test_hello_comes_first_and_once(void **state) {
        struct liars *l = *state;

        for (size_t i = 1; i < N_REQUESTS; i++) {
                struct wire *w = liar(l, false);
                union proto_any m;

                (void)request(w, &m, requests[i]);
                wire_send(w, &m, m.header.size, NULL, 0);
                dropped(l, -EPROTO, "hello");
        }
        struct wire *w = liar(l, true);
        union proto_any m;

        (void)request(w, &m, PROTO_OP_HELLO);
        wire_send(w, &m, m.header.size, NULL, 0);
        dropped(l, -EPROTO, "hello");

        w = liar(l, false);
        (void)request(w, &m, PROTO_OP_HELLO);
        m.hello.layout_version++;
        wire_send(w, &m, m.header.size, NULL, 0);
        dropped(l, -EPROTONOSUPPORT, "layout");
}

static void string(struct liars *l, uint16_t op, size_t offset, size_t size) {
        struct wire *w = liar(l, op != PROTO_OP_HELLO);
        union proto_any m;

        (void)request(w, &m, op);
        memset((char *)&m + offset, 'x', size);
        wire_send(w, &m, m.header.size, NULL, 0);
        dropped(l, -EPROTO, "string");
}

static void test_strings_without_end(void **state) {
        struct liars *l = *state;

#define STRING(op, structure, member) \
        string(l, op, offsetof(struct structure, member), sizeof(((struct structure *)0)->member))
        STRING(PROTO_OP_HELLO, proto_hello, client);
        STRING(PROTO_OP_CREATE, proto_create, name);
        STRING(PROTO_OP_CREATE, proto_create, type);
        STRING(PROTO_OP_OPEN, proto_open, name);
        STRING(PROTO_OP_STAT, proto_stat, name);
        STRING(PROTO_OP_LIST, proto_list, pattern);
        STRING(PROTO_OP_LIST, proto_list, after);
        STRING(PROTO_OP_REMOVE, proto_remove, name);
}

static void test_reserved_members(void **state) {
        struct liars *l = *state;
        union proto_any m;
        struct wire *w = liar(l, false);

        (void)request(w, &m, PROTO_OP_HELLO);
        m.hello.flags = PROTO_HELLO_QUIET << 1;
        wire_send(w, &m, m.header.size, NULL, 0);
        dropped(l, -EPROTO, "flags");
        w = liar(l, true);
        (void)request(w, &m, PROTO_OP_OPEN);
        m.open.reserved = 1;
        wire_send(w, &m, m.header.size, NULL, 0);
        dropped(l, -EPROTO, "reserved");
}

/* In a reply the error says something; in a request nobody looks at it. */
static void test_an_error_in_a_request(void **state) {
        struct liars *l = *state;
        struct wire *w = liar(l, true);
        union proto_any m;

        (void)request(w, &m, PROTO_OP_STAT);
        m.header.error = -1;
        (void)wire_request(w, &m, NULL, 0);
        assert_int_equal(w->in.any.header.error, -ENOENT);
}

static void test_descriptors_with_the_wrong_request(void **state) {
        struct liars *l = *state;

        for (size_t i = 0; i < N_REQUESTS; i++)
                for (size_t n = 1; n <= 4; n++) {
                        struct wire *w = liar(l, requests[i] != PROTO_OP_HELLO);
                        union proto_any m;

                        if (requests[i] == PROTO_OP_OPEN && n == 1)
                                continue;
                        (void)request(w, &m, requests[i]);
                        m.header.n_fds = (uint32_t)n;
                        wire_send(w, &m, m.header.size, l->extra, n);
                        dropped(l, -EPROTO, "descriptor");

                        w = liar(l, requests[i] != PROTO_OP_HELLO);
                        (void)request(w, &m, requests[i]);
                        wire_send(w, &m, m.header.size, l->extra, n);
                        dropped(l, -EPROTO, "descriptor");
                }
        /* Claimed, and not sent. */
        struct wire *w = liar(l, true);
        union proto_any m;

        (void)request(w, &m, PROTO_OP_OPEN);
        m.header.n_fds = 1;
        wire_send(w, &m, m.header.size, NULL, 0);
        dropped(l, -EPROTO, "descriptors");
        /* Neither claimed nor sent: that is a request that lacks something. */
        w = liar(l, true);
        (void)request(w, &m, PROTO_OP_OPEN);
        assert_int_equal(wire_request(w, &m, NULL, 0), -EINVAL);
        wire_assert_text(w, "epoll");
}

/* Whatever a watch may be that is none. */
static void test_a_watch_that_is_none(void **state) {
        struct liars *l = *state;
        static const uint32_t policies[] = { PROTO_POLICY_OVERWRITE, PROTO_POLICY_BLOCK };
        int pair[2], pipes[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        for (int p = 0; p < 2; p++) {
                struct proto_create create = { .slot_size = 100, .policy = policies[p] };
                int wrong[] = {
                        open("/dev/null", O_RDWR | O_CLOEXEC),
                        open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY),
                        open("/dev/null", O_PATH | O_CLOEXEC),
                        eventfd(0, EFD_CLOEXEC),
                        dup(pair[0]),
                        dup(pipes[1]),
                        socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
                };

                assert_int_equal(wire_create_as(&l->honest, "lie", &create), 0);
                for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                        for (uint32_t access = PROTO_ACCESS_READ; access <= PROTO_ACCESS_WRITE; access++) {
                                struct wire *w = liar(l, true);
                                union proto_any m;

                                assert_true(wrong[i] >= 0);
                                (void)request(w, &m, PROTO_OP_OPEN);
                                m.header.n_fds = 1;
                                m.open.access = access;
                                if (wire_request(w, &m, &wrong[i], 1) != -EINVAL)
                                        fail_msg("watch %zu, access %u, policy %u: %d", i, access, policies[p],
                                                 w->in.any.header.error);
                                wire_assert_text(w, "epoll");
                                /* It may try again on the same connection. */
                                assert_int_equal(wire_open_segment(w, "lie", access, 0, 0), 0);
                        }
                for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                        fd_close(wrong[i]);
                wire_close(&l->liar);
                wire_expect_users(&l->honest, "lie", 0, 0);
                assert_int_equal(wire_remove(&l->honest, "lie"), 0);
        }
        for (int i = 0; i < 2; i++) {
                fd_close(pair[i]);
                fd_close(pipes[i]);
        }
}

/* An epoll instance that waits for the connection it is sent over, and one that holds itself up. */
static void test_a_watch_in_knots(void **state) {
        struct liars *l = *state;
        struct epoll_event event = { .events = EPOLLIN };
        struct wire *w = liar(l, true);
        union proto_any m;
        int watch = epoll_create1(EPOLL_CLOEXEC);

        assert_int_equal(wire_create(&l->honest, "lie", 100, 2), 0);
        assert_int_equal(epoll_ctl(watch, EPOLL_CTL_ADD, w->socket, &event), 0);
        for (int i = 0; i < 4; i++)
                assert_int_equal(epoll_ctl(i ? l->extra[i - 1] : watch, EPOLL_CTL_ADD, l->extra[i], &event), 0);
        (void)request(w, &m, PROTO_OP_OPEN);
        m.header.n_fds = 1;
        assert_int_equal(wire_request(w, &m, &watch, 1), 0);
        (void)close(watch);
        /* The same watch for a second reader: the bell is in it already. */
        assert_int_equal(wire_stat(w, "lie"), 0);
}

static void test_the_same_watch_twice(void **state) {
        struct liars *l = *state;
        struct wire *w = liar(l, true);
        struct wire second;
        union proto_any m;
        int r;

        assert_int_equal(wire_create(&l->honest, "lie", 100, 2), 0);
        assert_int_equal(wire_open_segment(w, "lie", PROTO_ACCESS_READ, 0, 0), 0);
        wire_open(&second, l->daemon);
        (void)request(&second, &m, PROTO_OP_OPEN);
        m.header.n_fds = 1;
        r = wire_request(&second, &m, &w->watch, 1);
        wire_close(&second);
        assert_int_equal(r, -EINVAL);
}

static void test_a_message_of_no_bytes(void **state) {
        struct liars *l = *state;
        struct wire *w = liar(l, true);

        assert_int_equal(send(w->socket, "", 0, MSG_NOSIGNAL), 0);
        assert_int_equal(wire_expect_dropped(w), 0);
        w = liar(l, true);
        wire_send(w, "", 0, l->extra, 1);
        assert_int_equal(wire_expect_dropped(w), 0);
        w = liar(l, true);
        wire_send(w, "", 0, l->extra, 4);
        (void)wire_expect_dropped(w);
}

static void test_gone_before_the_answer(void **state) {
        struct liars *l = *state;

        assert_int_equal(wire_create(&l->honest, "lie", 100, 2), 0);
        for (size_t i = 0; i < N_REQUESTS; i++)
                for (int round = 0; round < 20; round++) {
                        struct wire *w = liar(l, requests[i] != PROTO_OP_HELLO);
                        union proto_any m;

                        (void)request(w, &m, requests[i]);
                        if (requests[i] == PROTO_OP_OPEN)
                                m.header.n_fds = 1;
                        wire_send(w, &m, m.header.size, l->extra, m.header.n_fds);
                        if (requests[i] == PROTO_OP_REMOVE) {
                                (void)wire_reply(w);
                                (void)wire_create(&l->honest, "lie", 100, 2);
                        }
                        wire_close(w);
                }
        wire_expect_users(&l->honest, "lie", 0, 0);
}

/* Closed for sending only: the answer still arrives. */
static void test_half_closed(void **state) {
        struct liars *l = *state;
        struct wire *w = liar(l, true);

        assert_int_equal(shutdown(w->socket, SHUT_WR), 0);
        assert_int_equal(wire_expect_dropped(w), 0);
        w = liar(l, true);
        assert_int_equal(shutdown(w->socket, SHUT_RD), 0);
        unharmed(l);
}

/* Everything at once, and never a look at the answers: the daemon reads no more of it than it can answer. */
static void test_never_reads(void **state) {
        struct liars *l = *state;
        struct wire *w = liar(l, true);
        union proto_any m;
        int sent = 0;

        for (int i = 0; i < 60; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "many/%d", i);
                assert_int_equal(wire_create(&l->honest, name, 10, 2), 0);
        }
        while (sent < 2000 && packet_send(w->socket, &m, request(w, &m, PROTO_OP_LIST), NULL, 0) == 0) {
                sent++;
                assert_int_equal(wire_stat(&l->honest, "many/1"), 0);
        }
        assert_true(sent < 2000);
        assert_true(fixture_memory(l->daemon) < 200000);
        unharmed(l);
}

/* Requests one after the other without waiting are answered in order. */
static void test_many_at_once(void **state) {
        struct liars *l = *state;
        struct wire *w = liar(l, true);
        uint32_t first = w->serial + 1;
        union proto_any m;
        uint32_t sent = 0;

        while (sent < 500 && packet_send(w->socket, &m, request(w, &m, PROTO_OP_STAT), NULL, 0) == 0)
                sent++;
        assert_true(sent > 5);
        for (uint32_t i = 0; i < sent; i++) {
                assert_int_equal(wire_reply(w), -ENOENT);
                assert_int_equal(w->in.any.header.serial, first + i);
        }
}

/* A reader that has its segment open and does not read what it is told. */
static void test_notices_unread(void **state) {
        struct liars *l = *state;
        struct wire *w = liar(l, true);
        struct proto_create create = { .slot_size = 100, .mode = 0666 };

        assert_int_equal(wire_create_as(&l->honest, "lie", &create), 0);
        assert_int_equal(wire_open_segment(w, "lie", PROTO_ACCESS_READ, 0, 0), 0);
        for (int i = 0; i < 2000; i++) {
                struct wire other;

                wire_open(&other, l->daemon);
                assert_int_equal(wire_open_segment(&other, "lie", PROTO_ACCESS_WRITE, 0, 0), 0);
                wire_close(&other);
        }
        assert_int_equal(wire_stat(&l->honest, "lie"), 0);
        assert_int_equal(l->honest.in.any.stat_reply.info.readers, 1);
        assert_true(fixture_memory(l->daemon) < 200000);
        /* It may go on where it was; what it gets then is at least the newest. */
        wire_expect_users(&l->honest, "lie", 0, 1);
        assert_int_equal(wire_stat(w, "lie"), 0);
        while (w->users.departures < 2000)
                assert_true(wire_receive(w));
        assert_int_equal(w->users.arrivals, 2000);
        assert_int_equal(w->users.writers, 0);
}

/* Another kind of socket, and other families of bytes. */
static void test_another_socket_type(void **state) {
        struct liars *l = *state;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture_socket(l->daemon));
        for (int i = 0; i < 2; i++) {
                int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);

                assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
                assert_int_equal(errno, EPROTOTYPE);
                (void)close(fd);
        }
}

static void test_random_bytes(void **state) {
        struct liars *l = *state;
        struct random rnd = random_seeded("liars");

        for (int i = 0; i < 2000; i++) {
                struct wire *w = liar(l, random_below(&rnd, 4) != 0);
                unsigned char bytes[2048];
                size_t size = 1 + random_below(&rnd, sizeof(bytes));

                random_fill(&rnd, bytes, size);
                if (random_below(&rnd, 4)) { /* something that gets further */
                        union proto_any m;
                        size_t n = request(w, &m, requests[random_below(&rnd, N_REQUESTS)]);

                        if (random_below(&rnd, 2))
                                size = n;
                        m.header.size = (uint32_t)size;
                        memcpy(bytes, &m, sizeof(m.header));
                        if (size > n)
                                memset(bytes + n, 0, size - n);
                }
                wire_send(w, bytes, size, l->extra, random_below(&rnd, 3));
        }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_shorter_than_a_header),
                TEST(test_truncated_everywhere),
                TEST(test_longer),
                TEST(test_wrong_headers),
                TEST(test_unknown_operations),
                TEST(test_hello_comes_first_and_once),
                TEST(test_strings_without_end),
                TEST(test_reserved_members),
                TEST(test_an_error_in_a_request),
                TEST(test_descriptors_with_the_wrong_request),
                TEST(test_a_watch_that_is_none),
                TEST(test_a_watch_in_knots),
                TEST(test_the_same_watch_twice),
                TEST(test_a_message_of_no_bytes),
                TEST(test_gone_before_the_answer),
                TEST(test_half_closed),
                TEST(test_never_reads),
                TEST(test_many_at_once),
                TEST(test_notices_unread),
                TEST(test_another_socket_type),
                TEST(test_random_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
