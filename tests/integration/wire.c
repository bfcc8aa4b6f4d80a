#define _GNU_SOURCE
#include "tests/integration/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/cleanup.h"
#include "tests/support.h"

#define PATIENCE_MS 60000

int wire_socket(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        assert_return_code(fd, errno);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_return_code(connect(fd, (struct sockaddr *)&address, sizeof(address)), errno);
        return fd;
}

void wire_init(struct wire *w, int socket) {
        *w = (struct wire){ .socket = socket, .watch = -1 };
        w->packet.bytes = w->in.bytes;
        w->packet.capacity = sizeof(w->in.bytes);
}

void wire_open(struct wire *w, const struct fixture *f) {
        wire_init(w, wire_socket(fixture_socket(f)));
        assert_int_equal(wire_hello(w, "wire"), 0);
}

void wire_close(struct wire *w) {
        packet_close(&w->packet);
        fd_close(STEAL_FD(w->socket));
        fd_close(STEAL_FD(w->watch));
}

void wire_header(struct wire *w, void *request, uint16_t op, uint32_t n_fds) {
        struct proto_header *h = request;

        message_init(h, op, message_request_size(op), ++w->serial);
        h->n_fds = n_fds;
}

void wire_send(struct wire *w, const void *bytes, size_t size, const int *fds, size_t n_fds) {
        assert_int_equal(packet_send(w->socket, bytes, size, fds, n_fds), 0);
}

bool wire_pending(const struct wire *w) {
        struct pollfd p = { .fd = w->socket, .events = POLLIN };

        return poll(&p, 1, 0) == 1;
}

/* An error that repeats the op of a lying request is none. */
static bool is_notice(const struct wire *w) {
        return w->in.any.header.op >= PROTO_OP_STATE && w->in.any.header.error == 0;
}

/* A notice is not what the caller asked for, but it is kept. */
static void note(struct wire *w) {
        const struct proto_header *h = &w->in.any.header;

        assert_int_equal(h->serial, 0);
        switch (h->op) {
        case PROTO_OP_STATE:
                assert_int_equal(h->size, sizeof(struct proto_state));
                w->users = w->in.any.state.users;
                w->n_states++;
                break;
        case PROTO_OP_GROUP:
                assert_int_equal(h->size, sizeof(struct proto_group_notice));
                assert_int_equal(w->packet.n_fds, 2);
                assert_in_range(w->in.any.group.group.index, 0, LAYOUT_GROUPS_MAX - 1);
                w->group = w->in.any.group.group.index;
                w->n_groups++;
                break;
        default:
                fail_msg("a notice of kind %u", h->op);
        }
}

bool wire_receive(struct wire *w) {
        int r;

        packet_close(&w->packet);
        while ((r = packet_receive(&w->packet, w->socket, PROTO_FDS_MAX)) == PACKET_E_AGAIN) {
                struct pollfd p = { .fd = w->socket, .events = POLLIN };

                if (poll(&p, 1, PATIENCE_MS) == 0)
                        fail_msg("nothing came from the daemon");
        }
        if (r == PACKET_E_CLOSED)
                return false;
        assert_int_equal(r, 0);
        assert_int_equal(message_check(w->packet.bytes, w->packet.size, w->packet.n_fds), 0);
        if (is_notice(w))
                note(w);
        return true;
}

int wire_reply(struct wire *w) {
        const struct proto_header *h = &w->in.any.header;

        do
                if (!wire_receive(w))
                        fail_msg("the daemon has closed the connection");
        while (is_notice(w));
        if (h->error) {
                assert_true(h->error < 0);
                assert_int_equal(h->size, sizeof(struct proto_error));
                assert_int_equal(h->n_fds, 0);
                assert_non_null(memchr(w->in.any.error.text, '\0', PROTO_TEXT_SIZE));
                assert_true(strlen(w->in.any.error.text) > 10);
        }
        return h->error;
}

int wire_request(struct wire *w, void *request, const int *fds, size_t n_fds) {
        const struct proto_header sent = *(struct proto_header *)request;
        int r;

        wire_send(w, request, sent.size, fds, n_fds);
        r = wire_reply(w);
        assert_int_equal(w->in.any.header.op, sent.op);
        assert_int_equal(w->in.any.header.serial, sent.serial);
        return r;
}

const char *wire_text(const struct wire *w) { return w->in.any.error.text; }

void wire_assert_words(const struct wire *w, const char *const *words) {
        for (; *words; words++)
                if (!strcasestr(wire_text(w), *words))
                        fail_msg("\"%s\" does not name \"%s\"", wire_text(w), *words);
}

int wire_expect_dropped(struct wire *w) {
        int error = 0;

        while (wire_receive(w))
                if (!is_notice(w))
                        error = w->in.any.header.error;
        return error;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

/* Fails where the name does not fit. */
static void set(char *to, size_t size, const char *from) {
        size_t n = strlen(from);

        assert_true(n < size);
        memcpy(to, from, n + 1);
}

int wire_hello(struct wire *w, const char *client) {
        struct proto_hello m = { .layout_version = LAYOUT_VERSION };

        set(m.client, sizeof(m.client), client);
        wire_header(w, &m, PROTO_OP_HELLO, 0);
        return wire_request(w, &m, NULL, 0);
}

int wire_create_as(struct wire *w, const char *name, struct proto_create *m) {
        set(m->name, sizeof(m->name), name);
        wire_header(w, m, PROTO_OP_CREATE, 0);
        return wire_request(w, m, NULL, 0);
}

int wire_create(struct wire *w, const char *name, uint64_t slot_size, uint32_t n_slots) {
        struct proto_create m = { .slot_size = slot_size, .n_slots = n_slots };

        return wire_create_as(w, name, &m);
}

void wire_open_send(struct wire *w, const char *name, uint32_t access, uint32_t flags, uint32_t start) {
        struct proto_open m = { .access = access, .flags = flags, .start = start };

        fd_close(STEAL_FD(w->watch));
        w->watch = epoll_create1(EPOLL_CLOEXEC);
        assert_return_code(w->watch, errno);
        set(m.name, sizeof(m.name), name);
        wire_header(w, &m, PROTO_OP_OPEN, 1);
        wire_send(w, &m, sizeof(m), &w->watch, 1);
}

int wire_open_segment(struct wire *w, const char *name, uint32_t access, uint32_t flags, uint32_t start) {
        int r;

        wire_open_send(w, name, access, flags, start);
        r = wire_reply(w);
        assert_int_equal(w->in.any.header.op, PROTO_OP_OPEN);
        assert_int_equal(w->in.any.header.serial, w->serial);
        return r;
}

int wire_stat(struct wire *w, const char *name) {
        struct proto_stat m = { 0 };

        set(m.name, sizeof(m.name), name);
        wire_header(w, &m, PROTO_OP_STAT, 0);
        return wire_request(w, &m, NULL, 0);
}

int wire_remove(struct wire *w, const char *name) {
        struct proto_remove m = { 0 };

        set(m.name, sizeof(m.name), name);
        wire_header(w, &m, PROTO_OP_REMOVE, 0);
        return wire_request(w, &m, NULL, 0);
}

int wire_list(struct wire *w, const char *pattern, const char *after) {
        struct proto_list m = { 0 };

        set(m.pattern, sizeof(m.pattern), pattern);
        set(m.after, sizeof(m.after), after);
        wire_header(w, &m, PROTO_OP_LIST, 0);
        return wire_request(w, &m, NULL, 0);
}

const struct proto_list_reply *wire_page(const struct wire *w) { return (const void *)w->in.bytes; }

/* ---- what came with an open ------------------------------------------------------------------------------------- */

void wire_wait_state(struct wire *w) {
        while (w->n_states == 0)
                assert_true(wire_receive(w));
}

void wire_expect_users(struct wire *w, const char *name, uint32_t writers, uint32_t readers) {
        const struct proto_info *info = &w->in.any.stat_reply.info;

        /* The daemon learns of a closed socket in its own time. */
        for (int waited = 0; waited < PATIENCE_MS; waited++) {
                assert_int_equal(wire_stat(w, name), 0);
                if (info->writers == writers && info->readers == readers)
                        return;
                (void)usleep(1000); /* not to be in its way; the state decides */
        }
        fail_msg("%s has %u writers and %u readers, not %u and %u", name, info->writers, info->readers, writers,
                 readers);
}

void wire_map(struct wire_mapping *m, const struct wire *w, bool writer) {
        const struct proto_opened *o = &w->in.any.opened;
        void *p;

        *m = (struct wire_mapping){ 0 };
        assert_int_equal(geometry_init(&m->slots.geometry, o->slot_size, o->n_slots, o->page_size), 0);
        m->size = m->slots.geometry.file_size;
        p = mmap(NULL, m->size, writer ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, w->packet.fds[0], 0);
        assert_true(p != MAP_FAILED);
        m->slots.base = p;
        if (writer)
                return;
        p = mmap(NULL, sizeof(struct layout_table), PROT_READ | PROT_WRITE, MAP_SHARED, w->packet.fds[1], 0);
        assert_true(p != MAP_FAILED);
        m->table = p;
}

void wire_unmap(struct wire_mapping *m) {
        if (m->slots.base)
                (void)munmap(m->slots.base, m->size);
        if (m->table)
                (void)munmap(m->table, sizeof(struct layout_table));
        *m = (struct wire_mapping){ 0 };
}
