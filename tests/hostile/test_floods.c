/*
 * test_floods.c -- too much of everything: descriptors, connections, halves of messages, silence.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/cleanup.h"
#include "tests/hostile/stage.h"

#define FDS_MAX 253 /* the kernel's, of one message */
#define CONNECTIONS 10000u
#define USERS 4u

static const uint16_t requests[] = {
        PROTO_OP_HELLO, PROTO_OP_CREATE, PROTO_OP_OPEN,  PROTO_OP_STAT,
        PROTO_OP_LIST,  PROTO_OP_REMOVE, PROTO_OP_CHMOD, PROTO_OP_CHOWN,
};
#define N_REQUESTS (sizeof(requests) / sizeof(requests[0]))

/* A true request of its kind, about a segment that is not there. */
static size_t request(struct wire *w, union proto_any *m, uint16_t op) {
        memset(m, 0, sizeof(*m));
        if (op == PROTO_OP_HELLO)
                m->hello.layout_version = LAYOUT_VERSION;
        if (op == PROTO_OP_OPEN) {
                m->open.access = PROTO_ACCESS_READ;
                (void)snprintf(m->open.name, sizeof(m->open.name), STAGE_SEGMENT);
        }
        if (op == PROTO_OP_STAT)
                (void)snprintf(m->stat.name, sizeof(m->stat.name), STAGE_SEGMENT);
        if (op == PROTO_OP_CHMOD)
                (void)snprintf(m->chmod.name, sizeof(m->chmod.name), STAGE_SEGMENT);
        if (op == PROTO_OP_CHOWN)
                (void)snprintf(m->chown.name, sizeof(m->chown.name), STAGE_SEGMENT);
        if (op == PROTO_OP_REMOVE)
                (void)snprintf(m->remove.name, sizeof(m->remove.name), STAGE_SEGMENT);
        if (op == PROTO_OP_CREATE) {
                m->create.slot_size = UINT64_MAX;
                (void)snprintf(m->create.name, sizeof(m->create.name), STAGE_SEGMENT);
        }
        wire_header(w, m, op, 0);
        return m->header.size;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

/* Return: errno. */
static int send_fds(int socket, const void *bytes, size_t size, const int *fds, size_t n) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = CMSG_SPACE(n * sizeof(int)),
        };
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

        CHILD_CHECK(c);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
        return sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* One message each with 1 to 253 of them, of every kind, claimed and not. */
static void flood_with_descriptors(struct stage *s, int fd) {
        int fds[FDS_MAX];

        (void)fd;
        for (int i = 0; i < FDS_MAX; i++) {
                fds[i] = i % 3 == 0   ? epoll_create1(EPOLL_CLOEXEC)
                         : i % 3 == 1 ? eventfd(0, EFD_CLOEXEC)
                                      : open("/dev/null", O_RDONLY | O_CLOEXEC);
                CHILD_CHECK(fds[i] >= 0);
        }
        for (size_t n = 1; n <= FDS_MAX; n++) {
                uint16_t op = requests[n % N_REQUESTS];
                union proto_any m;
                struct wire w;
                size_t size;

                if (op == PROTO_OP_HELLO)
                        wire_init(&w, wire_socket(fixture_socket(s->daemon)));
                else
                        wire_open(&w, s->daemon);
                size = request(&w, &m, op);
                m.header.n_fds = n % 2 ? (uint32_t)n : 1;
                CHILD_EQUAL(send_fds(w.socket, &m, size, fds, n), 0);
                if (n > 1 || op != PROTO_OP_OPEN)
                        CHILD_EQUAL(wire_expect_dropped(&w), -EPROTO);
                wire_close(&w);
        }
}

static void test_descriptors_in_every_number(void **state) { stage_act_as(*state, UID_READER, flood_with_descriptors); }

/* As many as the kernel takes, from connections that go at once, or never read. */
static void flood_and_stay(struct stage *s, int fd) {
        static struct wire many[64];
        int fds[FDS_MAX];

        for (int i = 0; i < FDS_MAX; i++) {
                fds[i] = eventfd(0, EFD_CLOEXEC);
                CHILD_CHECK(fds[i] >= 0);
        }
        for (unsigned i = 0; i < 64; i++) {
                union proto_any m;

                wire_init(&many[i], wire_socket(fixture_socket(s->daemon)));
                for (int n = 0; n < 300; n++) {
                        size_t size = request(&many[i], &m, requests[n % N_REQUESTS]);

                        if (send_fds(many[i].socket, &m, size, fds, FDS_MAX))
                                break;
                }
                if (i % 2)
                        wire_close(&many[i]);
        }
        (void)child_tell(fd, 0);
        (void)pause();
}

static void test_a_flood_of_descriptors(void **state) {
        struct stage *s = *state;

        (void)child_expect(stage_start(s, UID_READER, flood_and_stay));
        (void)child_expect(stage_start(s, UID_WRITER, flood_and_stay));
        stage_served(s, 20);
}

/* ---- half messages, garbage ------------------------------------------------------------------------------------- */

static struct random seed;

static void send_garbage(struct stage *s, int fd) {
        struct random rnd = { seed.state + geteuid() };

        (void)fd;
        for (int i = 0; i < 1500; i++) {
                unsigned char bytes[2048];
                size_t size = 1 + random_below(&rnd, sizeof(bytes));
                union proto_any m;
                struct wire w;
                int extra = eventfd(0, EFD_CLOEXEC);

                if (random_below(&rnd, 4))
                        wire_open(&w, s->daemon);
                else
                        wire_init(&w, wire_socket(fixture_socket(s->daemon)));
                random_fill(&rnd, bytes, size);
                if (random_below(&rnd, 4)) { /* half a true one */
                        size_t whole = request(&w, &m, requests[random_below(&rnd, N_REQUESTS)]);

                        size = 1 + random_below(&rnd, whole);
                        if (random_below(&rnd, 2))
                                m.header.size = (uint32_t)size;
                        memcpy(bytes, &m, size);
                }
                (void)packet_send(w.socket, bytes, size, &extra, random_below(&rnd, 2));
                fd_close(extra);
                if (random_below(&rnd, 2)) /* and the rest of them close at once */
                        (void)poll(&(struct pollfd){ .fd = w.socket, .events = POLLIN }, 1, 1);
                wire_close(&w);
        }
}

static void test_garbage(void **state) {
        struct stage *s = *state;
        struct child *c[3];

        seed = random_seeded("garbage");
        for (int i = 0; i < 3; i++)
                c[i] = stage_start(s, UID_READER + (uid_t)i, send_garbage);
        stage_served(s, 10);
        for (int i = 0; i < 3; i++)
                child_finish(c[i]);
}

/* The daemon meets the end of the connection before, while and after it deals with the request. */
static void send_and_close(struct stage *s, int fd) {
        int watch = epoll_create1(EPOLL_CLOEXEC);

        (void)fd;
        for (unsigned i = 0; i < 1200; i++) {
                struct proto_hello hello = { .layout_version = LAYOUT_VERSION, .flags = PROTO_HELLO_QUIET };
                uint16_t op = requests[i % N_REQUESTS];
                union proto_any m;
                struct wire w;
                size_t size;

                wire_init(&w, wire_socket(fixture_socket(s->daemon)));
                wire_header(&w, &hello, PROTO_OP_HELLO, 0);
                (void)packet_send(w.socket, &hello, sizeof(hello), NULL, 0);
                size = request(&w, &m, op);
                m.header.n_fds = op == PROTO_OP_OPEN;
                (void)packet_send(w.socket, &m, size, &watch, m.header.n_fds);
                wire_close(&w);
        }
}

static void test_clients_that_send_and_close(void **state) {
        struct proto_create m = { .slot_size = 100, .mode = 0666 };

        stage_make(*state, UID_OWNER, STAGE_SEGMENT, &m);
        stage_act_as(*state, UID_READER, send_and_close);
        stage_served(*state, 3);
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

/* Return: whether the daemon takes it. */
static bool connect_once(struct wire *w, struct stage *s) {
        struct proto_hello hello = { .layout_version = LAYOUT_VERSION };

        wire_init(w, wire_socket(fixture_socket(s->daemon)));
        wire_header(w, &hello, PROTO_OP_HELLO, 0);
        (void)packet_send(w->socket, &hello, sizeof(hello), NULL, 0);
        if (wire_receive(w) && w->in.any.header.error == 0)
                return true;
        wire_close(w);
        return false;
}

/* As many as there may be, and go on trying. */
static void connect_many(struct stage *s, int fd) {
        static struct wire *w;
        unsigned n = 0;

        w = calloc(CONNECTIONS / USERS, sizeof(*w));
        CHILD_CHECK(w);
        for (unsigned i = 0; i < CONNECTIONS / USERS; i++)
                n += connect_once(&w[n], s);
        CHILD_CHECK(n > 0);
        (void)child_tell(fd, n);
        (void)pause();
}

static void test_ten_thousand_connections(void **state) {
        struct stage *s = *state;
        struct child *c[USERS];
        uint64_t n = 0;

        for (unsigned i = 0; i < USERS; i++)
                c[i] = stage_start(s, UID_OWNER + i, connect_many);
        for (unsigned i = 0; i < USERS; i++)
                n += child_expect(c[i]);
        /* Together they get a good part of what there is, but leave enough for one more. */
        assert_in_range(n, 500, 1499);
        stage_served(s, 20);
        assert_in_range(fixture_fds(s->daemon), n, n + 100);
        assert_true(SANITIZED || fixture_memory(s->daemon) - s->memory < (long)n * 8 + 1024);
}

/* Say nothing, and wait for the end. */
static void never_say_hello(struct stage *s, int fd) {
        int sockets[200];

        for (int i = 0; i < 200; i++)
                sockets[i] = wire_socket(fixture_socket(s->daemon));
        (void)child_tell(fd, 0);
        for (int i = 0; i < 200; i++) {
                struct pollfd p = { .fd = sockets[i], .events = POLLIN };

                CHILD_EQUAL(poll(&p, 1, CHILD_PATIENCE_MS), 1);
                CHILD_CHECK(p.revents & POLLHUP);
        }
}

static void test_connections_that_never_say_hello(void **state) {
        struct stage *s = *state;
        struct child *c = stage_start(s, UID_STRANGER, never_say_hello);

        (void)child_expect(c);
        stage_served(s, 20);
        child_finish(c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                STAGE_TEST(test_descriptors_in_every_number),
                STAGE_TEST(test_a_flood_of_descriptors),
                STAGE_TEST(test_garbage),
                STAGE_TEST(test_clients_that_send_and_close),
                STAGE_TEST(test_ten_thousand_connections),
                STAGE_TEST(test_connections_that_never_say_hello),
        };

        return STAGE_RUN(tests);
}
