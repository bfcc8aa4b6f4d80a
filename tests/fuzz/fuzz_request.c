/*
 * fuzz_request.c -- the daemon, and up to four clients of three users, one of them an administrator, that say and do what
 * the input tells.
 *
 * Everything but listening is the daemon's own: its loop, its threads, its memory. A client may send any message with
 * any descriptors, leave its replies unread, go away at any time, and scribble over the memory that it was given. Then
 * all leave, and the daemon must be as empty as before.
 */
#include "daemon/server.c"

#include <event2/thread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "proto/packet.h"
#include "tests/fuzz/feed.h"
#include "tests/support.h"

#define CLIENTS 4
#define MEMORIES 4 /* that a client keeps to scribble on */

struct client {
        int socket;
        uint32_t serial;
        int memories[MEMORIES];
};

static struct server server;
static struct client clients[CLIENTS];
static uid_t next_uid;
static _Alignas(8) unsigned char buffer[PROTO_MESSAGE_MAX + 64];

int __real_peer_init(struct peer *peer, int socket);
int __wrap_peer_init(struct peer *peer, int socket);

/* All clients are of this process; here they get users. */
int __wrap_peer_init(struct peer *peer, int socket) {
        int r = __real_peer_init(peer, socket);

        if (r == 0) {
                peer->uid = next_uid;
                peer->gid = next_uid;
                peer->n_groups = 0;
        }
        return r;
}

static void set_up(void) {
        static struct options options = {
                .max_segments = 12,
                .max_bytes = 4 << 20,
                .max_segment_bytes = 2 << 20,
                .max_clients = CLIENTS,
                .user_segments = 5,
                .user_bytes = 2 << 20,
                .user_clients = CLIENTS,
                .user_handles = 3,
                .user_waiting = 2,
                .client_timeout = 10,
                .admins = 1002,
                .log_level = LOG_ERR,
        };
        struct inheritance nothing = { 0 };

        char text[64];

        log_open(-1);
        CHECK(naming_add(&options.naming, "a/", "user 1000", text, sizeof(text)) == 0);
        memory_init();
        server.options = &options;
        server.fds_max = 1024;
        server.base = make_base();
        server.buffer = malloc(PROTO_MESSAGE_MAX);
        CHECK(server.base && server.buffer);
        init(&server);
        CHECK(mapping_guard() == 0);
        (void)signal(SIGPIPE, SIG_IGN);
        CHECK(worker_pool_init(&server.pool, server.base) == 0);
        CHECK(worker_start(&server.worker, &server.pool) == 0);
        CHECK(estate_init(&server.estate, server.base, 0) == 0);
        CHECK(restore(&server, &nothing) == 0);
        for (int i = 0; i < CLIENTS; i++)
                clients[i] = (struct client){ .socket = -1, .memories = { -1, -1, -1, -1 } };
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void turn(void) { CHECK(event_base_loop(server.base, EVLOOP_NONBLOCK) >= 0); }

/* Until no thread has anything to do. */
static void settle_down(void) {
        do {
                turn();
                if (server.pool.n_jobs > 0)
                        CHECK(event_base_loop(server.base, EVLOOP_ONCE) >= 0);
        } while (server.pool.n_jobs > 0);
        turn();
        turn();
}

/* ---- what a client does ------------------------------------------------------------------------------------------ */

static void leave(struct client *c) {
        fd_close(STEAL_FD(c->socket));
        for (int i = 0; i < MEMORIES; i++)
                fd_close(STEAL_FD(c->memories[i]));
}

static void come(struct client *c, uint8_t how) {
        static const uid_t uids[] = { 1000, 1000, 1001, 1002 };
        int sockets[2];

        leave(c);
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) == 0);
        if (how & 4) {
                int small = 1;

                (void)setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        }
        next_uid = uids[how & 3];
        c->socket = sockets[1];
        CHECK(connection_new(&server, sockets[0]) >= 0);
}

/* One message from the daemon, which must be one. Return: false if there is none. */
static bool hear(struct client *c) {
        struct packet p = { .bytes = buffer, .capacity = sizeof(buffer) };
        const struct proto_header *h = (const struct proto_header *)(void *)buffer;
        int e = packet_receive(&p, c->socket, PROTO_FDS_MAX);

        if (e)
                return false;
        CHECK(message_check(p.bytes, p.size, p.n_fds) == 0);
        CHECK(h->error <= 0 && h->error > -4096);
        if (h->error) {
                CHECK(p.size == sizeof(struct proto_error) && p.n_fds == 0);
                CHECK(memchr(((struct proto_error *)(void *)buffer)->text, '\0', PROTO_TEXT_SIZE));
        } else if (h->op == PROTO_OP_LIST) {
                const struct proto_list_reply *list = (const struct proto_list_reply *)(void *)buffer;

                CHECK(p.size == sizeof(*list) + list->count * sizeof(list->info[0]));
        } else if (h->op == PROTO_OP_OPEN) {
                CHECK(p.size == sizeof(struct proto_opened));
        }
        for (size_t i = 0; i < p.n_fds && i < MEMORIES; i++)
                if (c->memories[i] < 0)
                        c->memories[i] = packet_take_fd(&p, i);
        packet_close(&p);
        return true;
}

static void scribble(struct client *c, struct feed *f) {
        uint8_t what = feed_u8(f);
        off_t offset = feed_u16(f) % 8192 / 8 * 8;
        uint64_t value = what & 64 ? feed_u64(f) : (uint64_t)0 - (what >> 7);
        int fd = c->memories[what % MEMORIES];

        if (what & 16)
                offset %= 256;
        if (what & 32) /* the lock of a writer */
                value = feed_u8(f) + 1u;
        if (fd >= 0 && pwrite(fd, &value, sizeof(value), offset) < 0)
                return; /* read-only, or no memory */
}

static uint64_t number(struct feed *f) {
        static const uint64_t numbers[] = {
                0,    1,    2,    3,       4,        8,          64,        100,
                4095, 4096, 4097, 1 << 16, 1u << 18, 1u << 19,   1u << 20,  0600,
                0644, 0666, 0777, 01000,   1u << 31, UINT32_MAX, INT64_MAX, UINT64_MAX,
        };
        uint8_t which = feed_u8(f);

        return which < 128 ? numbers[which % (sizeof(numbers) / sizeof(numbers[0]))] : feed_u64(f);
}

static void name(struct feed *f, char *to, size_t size) {
        static const char *const names[] = { "a",  "b",    "a/b", "cam/front", "",   "..",
                                             "/a", "a//b", "z",   "*",         "a*", "[a-z]" };
        uint8_t which = feed_u8(f);

        memset(to, 0, size);
        if (which < 128) /* few of them, so that they meet */
                memcpy(to, names[which % 2], 1);
        else if (which < 192)
                memcpy(to, names[which % 12], strlen(names[which % 12]));
        else if (which < 224)
                memset(to, "ab/*"[which % 4], which < 208 ? size - 1 : size);
        else
                feed_bytes(f, to, 1 + which % 16);
}

/* A request as it should be, of numbers that may be anything. Return: its size. */
static size_t request(struct feed *f, union proto_any *m, uint16_t op) {
        uint8_t odd;

        memset(m, 0, sizeof(*m));
        switch (op) {
        case PROTO_OP_HELLO:
                m->hello.layout_version = feed_u8(f) & 1 ? (uint32_t)number(f) : LAYOUT_VERSION;
                m->hello.flags = feed_u8(f) & 7;
                name(f, m->hello.client, sizeof(m->hello.client));
                break;
        case PROTO_OP_CREATE:
                odd = feed_wrong(f);
                m->create.slot_size = odd & 1 ? number(f) : 64;
                m->create.n_slots = odd & 2 ? (uint32_t)number(f) : feed_u8(f) & 3;
                m->create.mode = odd & 4 ? (uint32_t)number(f) : 0666 & ~(uint32_t)feed_u8(f);
                m->create.policy = feed_u8(f) % (odd & 8 ? 4 : 3);
                m->create.segment_flags = feed_u8(f) & (odd & 16 ? 11 : 3);
                m->create.flags = odd & 32 ? feed_u8(f) & 3 : 0;
                name(f, m->create.name, sizeof(m->create.name));
                if (odd & 64)
                        name(f, m->create.type, sizeof(m->create.type));
                break;
        case PROTO_OP_OPEN:
                odd = feed_wrong(f);
                m->open.access = 1 + feed_u8(f) % (odd & 1 ? 3 : 2);
                if (m->open.access == PROTO_ACCESS_READ || odd & 2) {
                        m->open.flags = feed_u8(f) & 3;
                        m->open.start = feed_u8(f) % (odd & 4 ? 4 : 3);
                }
                name(f, m->open.name, sizeof(m->open.name));
                break;
        case PROTO_OP_STAT:
                name(f, m->stat.name, sizeof(m->stat.name));
                break;
        case PROTO_OP_LIST:
                name(f, m->list.pattern, sizeof(m->list.pattern));
                name(f, m->list.after, sizeof(m->list.after));
                break;
        case PROTO_OP_REMOVE:
                name(f, m->remove.name, sizeof(m->remove.name));
                break;
        case PROTO_OP_CHMOD:
                m->chmod.mode = (uint32_t)number(f);
                name(f, m->chmod.name, sizeof(m->chmod.name));
                break;
        case PROTO_OP_CHOWN:
                m->chown.uid = feed_u8(f) & 1 ? 1000 + (feed_u8(f) & 1) : PROTO_KEEP;
                m->chown.gid = feed_u8(f) & 1 ? (uint32_t)number(f) : PROTO_KEEP;
                name(f, m->chown.name, sizeof(m->chown.name));
                break;
        default:
                feed_bytes(f, m, 64);
                break;
        }
        return message_request_size(op);
}

static int descriptor(uint8_t kind) {
        switch (kind & 3) {
        case 0:
                return eventfd(0, EFD_CLOEXEC);
        case 1:
                return memfd_create("watch", MFD_CLOEXEC);
        default:
                return epoll_create1(EPOLL_CLOEXEC);
        }
}

/* A request, with something about it wrong if the input says so. */
static void ask(struct client *c, struct feed *f) {
        union proto_any *m = (union proto_any *)(void *)buffer;
        uint8_t wrong = feed_wrong(f);
        static const uint16_t ops[] = {
                PROTO_OP_CREATE, PROTO_OP_OPEN,     PROTO_OP_OPEN,
                PROTO_OP_OPEN,   PROTO_OP_STAT,     PROTO_OP_LIST,
                PROTO_OP_REMOVE, PROTO_OP_OPEN,     0,
                PROTO_OP_CREATE, PROTO_OP_REQUESTS, PROTO_OP_HELLO,
                PROTO_OP_CHMOD,  PROTO_OP_CHOWN,    PROTO_OP_CHOWN,
        };
        uint16_t op = ops[feed_u8(f) % 15];
        size_t size;
        uint32_t n_fds = op == PROTO_OP_OPEN;
        uint8_t kind = 2;
        int fds[4];

        size = request(f, m, op);
        if (size == 0)
                size = 64;
        if (wrong & 1) {
                n_fds = feed_u8(f) & 3;
                kind = feed_u8(f);
        }
        if (wrong & 2)
                size = feed_u16(f) % (size + 1);
        if (wrong & 4) {
                size_t more = 8 * (size_t)feed_u8(f);

                memset(buffer + size, feed_u8(f) & 1, more);
                size += more;
        }
        message_init(&m->header, op, size, ++c->serial);
        m->header.n_fds = n_fds;
        for (unsigned i = wrong & 8 ? feed_u8(f) & 7 : 0; i > 0; i--) {
                size_t at = feed_u16(f);

                buffer[at % (size + 1)] = feed_u8(f);
        }
        for (uint32_t i = 0; i < n_fds; i++)
                fds[i] = descriptor((uint8_t)(kind >> 2 * i));
        (void)packet_send(c->socket, buffer, size, fds, n_fds);
        for (uint32_t i = 0; i < n_fds; i++)
                fd_close(fds[i]);
}

static void say_hello(struct client *c) {
        struct proto_hello hello = { .layout_version = LAYOUT_VERSION, .flags = PROTO_HELLO_QUIET };

        message_init(&hello.header, PROTO_OP_HELLO, sizeof(hello), 0);
        (void)packet_send(c->socket, &hello, sizeof(hello), NULL, 0);
}

static void step(struct feed *f) {
        uint8_t what = feed_u8(f);
        struct client *c = &clients[what >> 6];
        unsigned n = what >> 4 & 3;

        if (c->socket < 0) {
                come(c, what >> 2 & 7);
                if ((what & 3) != 3)
                        say_hello(c);
                return;
        }
        switch (what & 15) {
        case 0:
                leave(c);
                break;
        case 1:
                (void)shutdown(c->socket, n % 2 ? SHUT_WR : SHUT_RD);
                break;
        case 2:
        case 3:
                scribble(c, f);
                break;
        case 4:
                while (hear(c))
                        ;
                break;
        case 5:
                (void)hear(c);
                break;
        case 6:
                turn();
                break;
        case 7:
                settle_down();
                break;
        default:
                ask(c, f);
                break;
        }
        /* Mostly at once, or what is sent comes to nothing when all leave. */
        if (n && (what & 15) > 5)
                settle_down();
}

/* Everybody leaves, and their segments go. */
static void end(void) {
        struct segment *s;

        for (int i = 0; i < CLIENTS; i++)
                leave(&clients[i]);
        while (server.quotas.used[QUOTA_CLIENTS] > 0)
                CHECK(event_base_loop(server.base, EVLOOP_ONCE) >= 0);
        settle_down();
        while ((s = registry_after(&server.registry, "")))
                server_remove_segment(&server, s, NULL, "the end");
        settle_down();
        for (int i = 0; i < QUOTA_RESOURCES; i++)
                CHECK(server.quotas.used[i] == 0 && server.quotas.leaving[i] == 0);
        CHECK(TAILQ_EMPTY(&server.connections) && TAILQ_EMPTY(&server.dead) && TAILQ_EMPTY(&server.woken));
        CHECK(RB_EMPTY(&server.users.tree) && RB_EMPTY(&server.registry.waiters));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct feed f = { data, size };
        static bool ready;
        int n_fds;

        if (!ready)
                set_up();
        ready = true;
        n_fds = fd_count();
        while (f.left > 0)
                step(&f);
        end();
        CHECK(fd_count() == n_fds);
        return 0;
}
