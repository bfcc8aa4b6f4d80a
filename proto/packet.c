#define _GNU_SOURCE
#include "proto/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "proto/cleanup.h"

void packet_close(struct packet *p) {
        for (size_t i = 0; i < p->n_fds; i++)
                fd_close(p->fds[i]);
        p->n_fds = 0;
}

int packet_take_fd(struct packet *p, size_t i) { return i < p->n_fds ? STEAL_FD(p->fds[i]) : -1; }

/* Collect what came before anything is judged: the control buffer may hold one descriptor more than was asked for
 * (CMSG_SPACE rounds up), and a peer may send several control messages. */
static bool collect_fds(struct packet *p, struct msghdr *msg, size_t fds_max) {
        bool fits = true;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                        if (p->n_fds < fds_max) {
                                p->fds[p->n_fds++] = fd;
                        } else {
                                fd_close(fd);
                                fits = false;
                        }
                }
        }
        return fits;
}

static int outcome(int error) {
        switch (error) {
        case EAGAIN:
                return PACKET_E_AGAIN;
        case EPIPE:
        case ENOTCONN:
        case ECONNRESET:
                return PACKET_E_CLOSED;
        default:
                return -error;
        }
}

static int receive(struct packet *p, int socket, size_t fds_max, int flags) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(PROTO_FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = p->bytes, .iov_len = p->capacity };
        /* With no control buffer the kernel drops what came and says so: nothing to close. */
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = fds_max ? control.bytes : NULL,
                .msg_controllen = fds_max ? CMSG_SPACE(fds_max * sizeof(int)) : 0,
        };
        bool reset = false;
        ssize_t n;
        bool fits;

        p->size = 0;
        p->n_fds = 0;
        /* A peer that closed with something of ours unread makes one ECONNRESET; what it had sent before lies behind. */
        do
                n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
        while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !reset && (reset = true))));
        if (n < 0)
                return outcome(errno);

        fits = collect_fds(p, &msg, fds_max);
        if (!fits || (msg.msg_flags & MSG_CTRUNC)) {
                packet_close(p);
                return PACKET_E_FDS;
        }
        if (n == 0) {
                packet_close(p);
                return PACKET_E_CLOSED;
        }
        if (msg.msg_flags & MSG_TRUNC) {
                packet_close(p);
                return PACKET_E_LARGE;
        }
        p->size = (size_t)n;
        return 0;
}

int packet_receive(struct packet *p, int socket, size_t fds_max) { return receive(p, socket, fds_max, 0); }

int packet_peek(struct packet *p, int socket, size_t fds_max) { return receive(p, socket, fds_max, MSG_PEEK); }

int packet_discard(int socket) {
        char byte;
        ssize_t n;

        do
                n = recv(socket, &byte, sizeof(byte), MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return outcome(errno);
        return n == 0 ? PACKET_E_CLOSED : 0;
}

int packet_send(int socket, const void *bytes, size_t size, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(PROTO_FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        if (n_fds > PROTO_FDS_MAX)
                return -EINVAL;
        if (n_fds) {
                struct cmsghdr *c = &control.header;

                memset(&control, 0, sizeof(control));
                msg.msg_control = control.bytes;
                msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
        }
        do
                n = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n >= 0 ? 0 : outcome(errno);
}
