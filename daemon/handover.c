#define _GNU_SOURCE
#include "daemon/handover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/connection.h"
#include "daemon/estate.h"
#include "daemon/group.h"
#include "daemon/inheritance.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/options.h"
#include "daemon/segment.h"
#include "daemon/server.h"
#include "proto/cleanup.h"
#include "proto/packet.h"

#define PATIENCE_MS 5000 /* for each message */

/* Return: 0, -ETIMEDOUT, or another negative errno. */
static int wait_for(int fd, short events) {
        struct pollfd p = { .fd = fd, .events = events };
        int n = poll(&p, 1, PATIENCE_MS);

        if (n < 0)
                return -errno;
        return n == 0 ? -ETIMEDOUT : 0;
}

static int outcome(int r) { return r == PACKET_E_CLOSED ? -ECONNRESET : r > 0 ? -EPROTO : r; }

static int send_message(int socket, const struct proto_header *message, const int *fds, size_t n_fds) {
        int r;

        while ((r = packet_send(socket, message, message->size, fds, n_fds)) == PACKET_E_AGAIN) {
                r = wait_for(socket, POLLOUT);
                if (r < 0)
                        return r;
        }
        return outcome(r);
}

static int receive_message(int socket, struct packet *packet, size_t fds_max) {
        int r;

        while ((r = packet_receive(packet, socket, fds_max)) == PACKET_E_AGAIN) {
                r = wait_for(socket, POLLIN);
                if (r < 0)
                        return r;
        }
        r = outcome(r);
        if (r == 0 && message_check(packet->bytes, packet->size, packet->n_fds))
                r = -EPROTO;
        if (r < 0)
                packet_close(packet);
        return r;
}

/* ---- giving ----------------------------------------------------------------------------------------------------- */

struct gift {
        int socket;
        struct proto_legacy message; /* so far */
        int fds[PROTO_LEGACY_FDS];
        int result;
};

/* One message is under way at a time, so few descriptors are. */
static void pass(struct gift *g, bool more) {
        union proto_any answer;
        struct packet packet = { .bytes = &answer, .capacity = sizeof(answer) };

        if (g->result < 0)
                return;
        g->message.more = more;
        g->message.pid = (uint32_t)getpid();
        g->message.header.n_fds = g->message.count;
        g->result = send_message(g->socket, &g->message.header, g->fds, g->message.count);
        if (g->result == 0)
                g->result = receive_message(g->socket, &packet, 0);
        if (g->result == 0 && (answer.header.op != PROTO_OP_REPLACE || answer.header.error))
                g->result = -EPROTO;
        g->message.count = 0;
}

static void add(struct gift *g, char letter, uint64_t number, int fd) {
        if (fd < 0)
                return;
        if (g->message.count == PROTO_LEGACY_FDS)
                pass(g, true);
        (void)estate_name(g->message.names[g->message.count], letter, number);
        g->fds[g->message.count++] = fd;
}

static void add_segment(struct segment *s, void *data) {
        struct gift *g = data;
        const struct group *group;

        if (!s->kept)
                return;
        add(g, 'd', s->id, s->fd);
        add(g, 'r', s->id, s->room);
        LIST_FOREACH (group, &s->groups, link) {
                add(g, 't', group->id, group->table);
                add(g, 'b', group->id, group->bell);
        }
}

int handover_give(struct server *server, struct connection *c, const struct proto_header *asked) {
        struct gift g = { .socket = c->socket };
        const struct listeners *l = &server->listeners;

        message_init(&g.message.header, PROTO_OP_REPLACE, sizeof(g.message), asked->serial);
        for (size_t i = 0; i < l->n; i++)
                add(&g, 'l', i, l->sockets[i]);
        add(&g, 'k', 0, l->lock);
        add(&g, 's', server->estate.record.generation, server->estate.record.fd);
        estate_for_each(&server->estate, add_segment, &g);
        pass(&g, false);
        if (g.result < 0)
                return g.result;
        log_notice("handed over to pid %d: ending", c->peer.pid);
        /* Nothing is tidied up: it is all somebody else's now. */
        _exit(EXIT_SUCCESS);
}

/* ---- taking ----------------------------------------------------------------------------------------------------- */

static int dial(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct proto_hello hello = { .layout_version = LAYOUT_VERSION, .flags = PROTO_HELLO_QUIET, .client = "shmd" };
        struct proto_header request;
        CLEANUP(fd_closep) int fd = -1;
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return errno == ECONNREFUSED ? -ENOENT : -errno;
        message_init(&hello.header, PROTO_OP_HELLO, sizeof(hello), 0);
        message_init(&request, PROTO_OP_REPLACE, sizeof(request), 1);
        r = send_message(fd, &hello.header, NULL, 0);
        if (r == 0)
                r = send_message(fd, &request, NULL, 0);
        return r < 0 ? r : STEAL_FD(fd);
}

/* Take what one message has brought. */
static int unpack(struct server *server, struct inheritance *in, struct packet *packet,
                  const struct proto_legacy *legacy) {
        int result = legacy->count == packet->n_fds && legacy->count <= PROTO_LEGACY_FDS ? 0 : -EPROTO;

        for (uint32_t i = 0; i < packet->n_fds && result == 0; i++) {
                const char *name = legacy->names[i];

                if (memchr(name, '\0', sizeof(legacy->names[i])) == NULL)
                        result = -EPROTO;
                else if (name[0] == 'l' || name[0] == 'k')
                        result = listeners_take(server, packet_take_fd(packet, i), name[0] == 'k');
                else
                        result = inheritance_add(in, name, packet_take_fd(packet, i));
        }
        packet_close(packet);
        return result;
}

/* Return: 1: more comes; 0: that was all; a negative errno. */
static int take_message(struct handover *h, struct server *server, struct inheritance *in, char *text, size_t size) {
        _Alignas(8) unsigned char bytes[sizeof(struct proto_legacy)];
        struct packet packet = { .bytes = bytes, .capacity = sizeof(bytes) };
        struct proto_legacy legacy;
        struct proto_error error;
        int r = receive_message(h->socket, &packet, PROTO_LEGACY_FDS);

        if (r < 0)
                return r;
        memcpy(&legacy.header, bytes, sizeof(legacy.header));
        if (legacy.header.error < 0 && message_extract(&error, sizeof(error), bytes, packet.size) == 0) {
                packet_close(&packet);
                (void)snprintf(text, size, "%.*s", (int)sizeof(error.text), error.text);
                return legacy.header.error;
        }
        if (legacy.header.op != PROTO_OP_REPLACE || message_extract(&legacy, sizeof(legacy), bytes, packet.size)) {
                packet_close(&packet);
                return -EPROTO;
        }
        r = unpack(server, in, &packet, &legacy);
        if (r < 0 || legacy.more)
                return r < 0 ? r : 1;
        h->process = (int)syscall(SYS_pidfd_open, (pid_t)legacy.pid, 0);
        return h->process < 0 ? -errno : 0;
}

static int acknowledge(int socket) {
        struct proto_header answer;

        message_init(&answer, PROTO_OP_REPLACE, sizeof(answer), 1);
        return send_message(socket, &answer, NULL, 0);
}

int handover_take(struct handover *h, struct server *server, struct inheritance *in) {
        const char *path = server->options->socket;
        char text[PROTO_TEXT_SIZE] = "";
        int r = dial(path);

        *h = (struct handover){ .socket = r < 0 ? -1 : r, .process = -1 };
        while (r >= 0) {
                r = take_message(h, server, in, text, sizeof(text));
                if (r == 0)
                        return 0; /* the last one is acknowledged when all can be used */
                if (r > 0)
                        r = acknowledge(h->socket);
        }
        if (r == -ENOENT)
                return r;
        log_event(LOG_ERR, LOG_EVENT_START_FAILED, "cannot take over from the daemon at %s: %s", path,
                  text[0] ? text : strerror(-r));
        return r;
}

/* The last locks of the old instance go when it has ended, and not before. */
int handover_confirm(struct handover *h) {
        int r;

        if (h->socket < 0)
                return 0;
        r = acknowledge(h->socket);
        return r < 0 ? r : wait_for(h->process, POLLIN);
}

void handover_deinit(struct handover *h) {
        fd_close(STEAL_FD(h->socket));
        fd_close(STEAL_FD(h->process));
}
