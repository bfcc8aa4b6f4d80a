#define _GNU_SOURCE
#include "client/socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/deadline.h"
#include "proto/cleanup.h"

static int fail_lost(struct failure *failure) {
        return failure_set(failure, -ENOTCONN, "the daemon at %s has closed the connection", failure->path);
}

static int fail_system(struct failure *failure, int error, const char *what) {
        return failure_set(failure, error, "%s: %s", what, strerror(-error));
}

/* Return: 0: ready; -ETIMEDOUT; -EINTR. */
static int wait_for(int socket, short events, int64_t deadline, bool interruptible) {
        for (;;) {
                struct pollfd p = { .fd = socket, .events = events };
                int n = poll(&p, 1, deadline_left(deadline, -1));

                if (n > 0)
                        return 0;
                if (n == 0)
                        return -ETIMEDOUT;
                if (errno != EINTR || interruptible)
                        return -errno;
        }
}

int socket_send(int socket, struct failure *failure, const void *message, const int *fds, size_t n_fds,
                int64_t deadline) {
        const struct proto_header *header = message;

        for (;;) {
                int r = packet_send(socket, message, header->size, fds, n_fds);

                /* A daemon that turns us away says why and closes, maybe before we have sent all: the reply tells. */
                if (r == 0 || r == PACKET_E_CLOSED)
                        return 0;
                if (r < 0)
                        return fail_system(failure, r, "sending to the daemon");
                r = wait_for(socket, POLLOUT, deadline, false);
                if (r)
                        return fail_system(failure, r, "waiting for the daemon to take a request");
        }
}

static int fail_packet(struct failure *failure, int r) {
        switch (r) {
        case PACKET_E_CLOSED:
                return fail_lost(failure);
        case PACKET_E_LARGE:
                return failure_set(failure, -EPROTO, "the daemon's reply is longer than any known here");
        case PACKET_E_FDS:
                /* The kernel says no more than that some are missing: nearly always our own limit. */
                return failure_set(failure, -EMFILE,
                                   "no room for the descriptors that the daemon sent: this process has as many "
                                   "open as it may (RLIMIT_NOFILE)");
        default:
                return fail_system(failure, r, "receiving from the daemon");
        }
}

int socket_reply(int socket, struct failure *failure, struct packet *packet, uint16_t op, uint32_t serial,
                 size_t fds_max, int64_t deadline, bool interruptible) {
        const struct proto_header *header = packet->bytes;
        struct proto_error error;
        int r;

        do {
                r = packet_receive(packet, socket, fds_max);
                if (r == PACKET_E_AGAIN) {
                        r = wait_for(socket, POLLIN, deadline, interruptible);
                        if (r)
                                return fail_system(failure, r, "waiting for the daemon's reply");
                        r = PACKET_E_AGAIN;
                }
        } while (r == PACKET_E_AGAIN);
        if (r)
                return fail_packet(failure, r);

        r = message_check(packet->bytes, packet->size, packet->n_fds);
        if (r == MESSAGE_E_VERSION) {
                packet_close(packet);
                return failure_set(failure, -EPROTONOSUPPORT,
                                   "the daemon speaks protocol version %u, this library speaks version %u",
                                   header->version, PROTO_VERSION);
        }
        /* A refusal may come before the daemon has looked at our request: it then has serial 0. */
        if (r == 0 && header->error < 0 && header->error > -4096 && (header->serial == serial || header->serial == 0) &&
            message_extract(&error, sizeof(error), packet->bytes, packet->size) == 0) {
                packet_close(packet);
                error.text[sizeof(error.text) - 1] = '\0';
                return failure_set(failure, error.header.error, "%s", error.text);
        }
        if (r || header->error || header->op != op || header->serial != serial) {
                packet_close(packet);
                return failure_set(failure, -EPROTO,
                                   "the daemon's reply makes no sense: op %u for %u, serial %u for %u", header->op, op,
                                   header->serial, serial);
        }
        return 0;
}

int socket_connect(int *out, struct failure *failure, uint32_t flags, uint64_t token, int64_t deadline) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct proto_hello hello = { .layout_version = LAYOUT_VERSION, .flags = flags, .token = token };
        CLEANUP(fd_closep) int fd = -1;
        int left, r;

        if (strlen(failure->path) >= sizeof(address.sun_path))
                return failure_set(failure, -ENAMETOOLONG,
                                   "the socket's path has %zu bytes, an address has room for %zu: %s",
                                   strlen(failure->path), sizeof(address.sun_path) - 1, failure->path);
        memcpy(address.sun_path, failure->path, strlen(failure->path) + 1);

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (deadline == DEADLINE_NOW ? SOCK_NONBLOCK : 0), 0);
        if (fd < 0)
                return fail_system(failure, -errno, "making a socket");
        /* Where the daemon's queue of new clients is full, connect() waits, and this is how long. */
        left = deadline_left(deadline, -1);
        if (left >= 0) {
                struct timeval tv = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000L };

                if (left == 0)
                        tv.tv_usec = 1; /* 0 would mean for ever */
                (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
        }
        do
                r = connect(fd, (struct sockaddr *)&address, sizeof(address));
        while (r < 0 && errno == EINTR);
        if (r < 0) {
                r = errno == EAGAIN ? -ETIMEDOUT : -errno;
                if (r == -ENOENT || r == -ECONNREFUSED)
                        return failure_set(failure, r, "no daemon listens at %s: is shmd running?", failure->path);
                return failure_set(failure, r, "connecting to %s: %s", failure->path, strerror(-r));
        }

        message_init(&hello.header, PROTO_OP_HELLO, sizeof(hello), 0);
        (void)snprintf(hello.client, sizeof(hello.client), "%s", program_invocation_short_name);
        r = socket_send(fd, failure, &hello, NULL, 0, deadline);
        if (r)
                return r;
        *out = STEAL_FD(fd);
        return 0;
}

int socket_welcome(int socket, struct failure *failure, struct packet *packet, int64_t deadline) {
        struct proto_welcome welcome;
        int r;

        r = socket_reply(socket, failure, packet, PROTO_OP_HELLO, 0, 0, deadline, false);
        if (r)
                return r;
        if (message_extract(&welcome, sizeof(welcome), packet->bytes, packet->size))
                return failure_set(failure, -EPROTO, "the daemon's welcome has parts that are unknown here");
        if (welcome.layout_version != LAYOUT_VERSION)
                return failure_set(failure, -EPROTONOSUPPORT,
                                   "the daemon lays segments out in version %u, this library knows version %u",
                                   welcome.layout_version, LAYOUT_VERSION);
        return 0;
}
