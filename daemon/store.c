#define _GNU_SOURCE
#include "daemon/store.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/notify.h"
#include "proto/cleanup.h"

#define FLUSH_MS 5000
#define RETRY_MS 10 /* also where the socket does not tell that there is room */
#define DESCRIPTORS_MAX \
        10900 /* their names come back in one string, which the kernel limits to 128 KiB: 12 bytes each */
#define TEXT_MAX 96

struct store_message {
        TAILQ_ENTRY(store_message) link;
        int fd; /* owned; -1: none */
        char text[TEXT_MAX];
};

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static int dial(struct store *s) {
        CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -errno;
        /* Connected, so that poll() tells when there is room at the other end. */
        if (connect(fd, (const struct sockaddr *)&s->address, s->address_size) < 0)
                return -errno;
        s->socket = STEAL_FD(fd);
        return 0;
}

static int send_now(const struct store *s, const char *text, int fd) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                struct cmsghdr *c;

                msg.msg_control = control.bytes;
                msg.msg_controllen = sizeof(control.bytes);
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &fd, sizeof(fd));
        }
        while (sendmsg(s->socket, &msg, MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

/* Return: 0: it is sent, or can never be; -EAGAIN: later. */
static int deliver(struct store *s, const char *text, int fd) {
        int r = send_now(s, text, fd);

        switch (r) {
        case 0:
                return 0;
        case -EAGAIN:
        case -ENOBUFS:
        case -ENOMEM:
        case -ETOOMANYREFS:
                return -EAGAIN;
        default:
                if (!s->complained)
                        log_event(LOG_ERR, LOG_EVENT_STORE,
                                  "the service manager cannot be told what to keep over a restart: %s; this is said "
                                  "once",
                                  strerror(-r));
                s->complained = true;
                return 0;
        }
}

static void wait_for_room(struct store *s) {
        if (!event_pending(&s->event, EV_WRITE, NULL))
                (void)event_add(&s->event, &(struct timeval){ .tv_usec = RETRY_MS * 1000L });
}

static void free_first(struct store *s) {
        struct store_message *m = TAILQ_FIRST(&s->queue);

        TAILQ_REMOVE(&s->queue, m, link);
        fd_close(m->fd);
        free(m);
}

static void on_room(evutil_socket_t fd, short what, void *data) {
        struct store *s = data;
        struct store_message *m;

        (void)fd;
        (void)what;
        while ((m = TAILQ_FIRST(&s->queue)) && deliver(s, m->text, m->fd) == 0)
                free_first(s);
        if (!TAILQ_EMPTY(&s->queue))
                wait_for_room(s);
        else if (s->settled)
                s->settled(s);
}

static void send_or_queue(struct store *s, const char *text, int fd) {
        struct store_message *m;

        if (TAILQ_EMPTY(&s->queue) && deliver(s, text, fd) == 0)
                return;
        m = malloc(sizeof(*m));
        if (m) {
                *m = (struct store_message){ .fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0) };
                (void)snprintf(m->text, sizeof(m->text), "%s", text);
        }
        if (!m || (fd >= 0 && m->fd < 0)) {
                log_event(LOG_ERR, LOG_EVENT_STORE, "no memory or descriptor to have %s kept over a restart", text);
                free(m);
                return;
        }
        TAILQ_INSERT_TAIL(&s->queue, m, link);
        wait_for_room(s);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

int store_init(struct store *s, struct event_base *base, uint64_t max) {
        int r;

        *s = (struct store){ .socket = -1 };
        TAILQ_INIT(&s->queue);
        if (max > DESCRIPTORS_MAX) {
                log_event(LOG_NOTICE, LOG_EVENT_LIMIT,
                          "of %" PRIu64 " descriptors that the service manager would keep, %d are used: it could not "
                          "start the service again with more names",
                          max, DESCRIPTORS_MAX);
                max = DESCRIPTORS_MAX;
        }
        store_limit(s, max);
        if (max == 0 || !notify_address(&s->address, &s->address_size))
                return 0;
        r = dial(s);
        if (r < 0) {
                log_event(LOG_ERR, LOG_EVENT_STORE, "cannot reach the service manager that is to keep descriptors: %s",
                          strerror(-r));
                return r;
        }
        (void)event_assign(&s->event, base, s->socket, EV_WRITE, on_room, s);
        return 0;
}

void store_deinit(struct store *s) {
        if (s->socket < 0)
                return;
        (void)event_del(&s->event);
        while (!TAILQ_EMPTY(&s->queue))
                free_first(s);
        fd_close(STEAL_FD(s->socket));
}

void store_flush(struct store *s) {
        while (!store_is_settled(s)) {
                struct pollfd p = { .fd = s->socket, .events = POLLOUT };

                if (poll(&p, 1, FLUSH_MS) == 0) {
                        log_event(LOG_WARNING, LOG_EVENT_STORE, "the service manager does not take what it is to keep");
                        return;
                }
                on_room(s->socket, EV_WRITE, s);
        }
}

/* ---- what is kept ----------------------------------------------------------------------------------------------- */

void store_limit(struct store *s, uint64_t max) { s->max = max > 0 ? max - 1 : 0; }

bool store_reserve(struct store *s, size_t n) {
        if (s->socket < 0)
                return true;
        if (s->n > s->max || n > s->max - s->n)
                return false;
        s->n += n;
        return true;
}

void store_count(struct store *s, size_t n) {
        if (s->socket >= 0)
                s->n += n;
}

void store_release(struct store *s, size_t n) {
        if (s->socket < 0)
                return;
        assert(s->n >= n);
        s->n -= n;
}

void store_put(struct store *s, int fd, const char *name) {
        char text[TEXT_MAX];

        if (s->socket < 0)
                return;
        /* Nothing of it hangs up: the manager need not look. */
        (void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
        send_or_queue(s, text, fd);
}

void store_remove(struct store *s, const char *name) {
        char text[TEXT_MAX];

        if (s->socket < 0)
                return;
        (void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
        send_or_queue(s, text, -1);
        store_release(s, 1);
}
