#define _GNU_SOURCE
#include "client/attach.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "client/deadline.h"
#include "client/handle.h"
#include "client/socket.h"
#include "proto/cleanup.h"

#define MS INT64_C(1000000)
#define PAUSE_MIN (1 * MS)
#define PAUSE_MAX (1000 * MS)
#define WAIT (200 * MS)

int attach_init(struct handle *h, const char *path) {
        h->attach = (struct attach){ .state = ATTACH_THERE, .timer = -1, .path = strdup(path) };
        return h->attach.path ? 0 : -ENOMEM;
}

void attach_close(struct handle *h) {
        attach_forget(h);
        free(STEAL_PTR(h->attach.path));
}

void attach_forget(struct handle *h) {
        fd_close(STEAL_FD(h->attach.timer));
        h->attach.state = ATTACH_THERE;
}

/* ---- the timer -------------------------------------------------------------------------------------------------- */

/* Without one, the handle comes back only from calls. */
static void make_timer(struct handle *h) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = WATCH_TIMER };
        struct attach *a = &h->attach;

        if (a->timer < 0)
                a->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (a->timer >= 0)
                (void)epoll_ctl(h->watch, EPOLL_CTL_ADD, a->timer, &event);
}

static void set_timer(const struct attach *a) {
        int64_t at = a->state == ATTACH_AWAY ? a->next : INT64_MAX;
        struct itimerspec when = { 0 };

        if (a->timer < 0)
                return;
        if (!a->told && a->away_at + SHMD_AWAY_MS * MS < at)
                at = a->away_at + SHMD_AWAY_MS * MS;
        if (at != INT64_MAX)
                when.it_value = (struct timespec){ .tv_sec = at / (1000 * MS), .tv_nsec = at % (1000 * MS) };
        (void)timerfd_settime(a->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void attach_ring(struct handle *h) {
        uint64_t times;

        if (read(h->attach.timer, &times, sizeof(times)) < 0)
                return; /* set anew since */
        attach_tick(h);
}

/* ---- coming back ------------------------------------------------------------------------------------------------ */

static int claim(struct handle *h) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = WATCH_SOCKET };
        struct failure failure = { .path = h->attach.path };
        struct proto_claim request = { .segment = h->info.id };
        CLEANUP(fd_closep) int fd = -1;
        int proof;
        int r;

        r = socket_connect(&fd, &failure, PROTO_HELLO_QUIET, 0, DEADLINE_NOW);
        if (r)
                return r;
        message_init(&request.header, PROTO_OP_CLAIM, sizeof(request), 1);
        request.header.n_fds = 1;
        proof = h->fill_claim(h, &request);
        r = socket_send(fd, &failure, &request, &proof, 1, DEADLINE_NOW);
        if (r == 0 && epoll_ctl(h->watch, EPOLL_CTL_ADD, fd, &event) < 0)
                r = -errno;
        if (r == 0)
                h->socket = STEAL_FD(fd);
        return r;
}

/* It has not worked. */
static void put_off(struct attach *a, int64_t now) {
        a->next = now + a->pause;
        a->pause = a->pause * 2 < PAUSE_MAX ? a->pause * 2 : PAUSE_MAX;
}

static void try(struct handle *h, int64_t now) {
        struct attach *a = &h->attach;

        if (claim(h) == 0)
                a->state = ATTACH_CLAIMING;
        else
                put_off(a, now);
}

/* Its end is readable for ever: it must not stay in the watch. Closing takes it out. */
static void drop_socket(struct handle *h) { fd_close(STEAL_FD(h->socket)); }

void attach_lost(struct handle *h) {
        struct attach *a = &h->attach;
        int64_t now = deadline_now();

        drop_socket(h);
        a->claimed = false;
        if (a->state == ATTACH_THERE) {
                a->away_at = a->next = now;
                a->pause = PAUSE_MIN;
                make_timer(h);
        } else { /* the daemon that was to answer has gone as well */
                put_off(a, now);
        }
        a->state = ATTACH_AWAY;
        set_timer(a);
        attach_tick(h);
}

void attach_tick(struct handle *h) {
        struct attach *a = &h->attach;
        int64_t now;

        if (!attach_is_away(a))
                return;
        now = deadline_now();
        if (a->state == ATTACH_AWAY && now >= a->next) {
                try(h, now);
                set_timer(a);
        }
        if (!a->told && now >= a->away_at + SHMD_AWAY_MS * MS) {
                a->told = true;
                h->events |= SHMD_EVENT_OFFLINE;
                set_timer(a);
        }
}

static void refused(struct handle *h) {
        struct attach *a = &h->attach;

        drop_socket(h);
        fd_close(STEAL_FD(a->timer));
        if (!a->told)
                h->events |= SHMD_EVENT_OFFLINE;
        a->state = ATTACH_REFUSED;
}

static void be_there(struct attach *a) {
        a->state = ATTACH_THERE;
        a->claimed = false;
        a->told = false;
        fd_close(STEAL_FD(a->timer));
}

void attach_group(struct handle *h) {
        struct attach *a = &h->attach;

        if (a->claimed && a->due > 0 && --a->due == 0)
                be_there(a);
}

void attach_answer(struct handle *h, const union proto_any *reply) {
        struct attach *a = &h->attach;

        if (a->state != ATTACH_CLAIMING)
                return;
        switch (reply->header.error) {
        case 0:
                if (reply->header.op != PROTO_OP_CLAIM)
                        return;
                a->claimed = true;
                a->due = reply->claimed.n_groups;
                handle_take_users(h, &reply->claimed.users);
                if (a->due == 0) {
                        a->unannounced = reply->claimed.unannounced;
                        be_there(a);
                }
                return;
        case -EUSERS:
        case -EMFILE:
        case -ENFILE:
        case -ENOMEM:
        case -EAGAIN:
                attach_lost(h); /* for the time being */
                return;
        default:
                refused(h);
                return;
        }
}

void attach_wait(struct handle *h) {
        int64_t deadline = deadline_now() + WAIT;

        while (h->attach.state == ATTACH_CLAIMING && deadline_left(deadline, -1) > 0) {
                struct pollfd p = { .fd = h->socket, .events = POLLIN };

                if (poll(&p, 1, deadline_left(deadline, -1)) > 0 && handle_drain(h) < 0)
                        return;
        }
}
