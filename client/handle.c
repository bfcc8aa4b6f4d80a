#define _GNU_SOURCE
#include "client/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "client/connection.h"
#include "client/deadline.h"
#include "client/info.h"
#include "client/retry.h"
#include "client/socket.h"
#include "proto/cleanup.h"

#define POPULATE_MAX (UINT64_C(256) * 1024 * 1024) /* bytes of a segment whose pages are mapped at opening */

static void close_in_child(struct fork_guard *guard) {
        struct handle *h = container_of(guard, struct handle, guard);

        fd_close(STEAL_FD(h->socket));
        fd_close(STEAL_FD(h->watch));
        fd_close(STEAL_FD(h->data));
        attach_forget(h);
        h->slots.base = NULL; /* not mapped here: MADV_DONTFORK */
        h->forked = true;
        h->in_child(h);
}

void handle_init(struct handle *h) {
        h->socket = h->watch = h->data = -1;
        h->attach.timer = -1;
        h->guard.in_child = close_in_child;
}

int handle_map(void **out, int fd, size_t size, bool writable, bool populate) {
        void *p = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | (populate ? MAP_POPULATE : 0),
                       fd, 0);
        int r;

        if (p == MAP_FAILED)
                return -errno;
        /* A lock that shows that its process lives lasts as long as its description, and a mapping keeps that. */
        if (madvise(p, size, MADV_DONTFORK) < 0) {
                r = -errno;
                (void)munmap(p, size);
                return r;
        }
        *out = p;
        return 0;
}

static int take_answer(struct handle *h, struct failure *failure, const struct proto_opened *opened,
                       struct packet *packet, bool writable, const char *name) {
        void *base;
        int r;

        if (opened->layout_version != LAYOUT_VERSION)
                return failure_set(failure, -EPROTONOSUPPORT,
                                   "the segment is laid out in version %u, this library knows version %u",
                                   opened->layout_version, LAYOUT_VERSION);
        h->data = packet_take_fd(packet, 0);
        if (h->data < 0 ||
            geometry_init(&h->slots.geometry, opened->slot_size, opened->n_slots, opened->page_size) != 0)
                return failure_set(failure, -EPROTO, "the daemon's reply to opening %s makes no sense", name);
        /* The first touch of a page costs a fault, and the very first its clearing: now rather than in the first frames.
         * What is larger would make opening a matter of seconds, and what is sparse is not to be filled. */
        r = handle_map(&base, h->data, h->slots.geometry.file_size, writable,
                       h->slots.geometry.file_size <= POPULATE_MAX && !(opened->segment_flags & PROTO_SEGMENT_SPARSE));
        if (r)
                return failure_set(failure, r, "mapping %llu bytes of %s: %s",
                                   (unsigned long long)h->slots.geometry.file_size, name, strerror(-r));
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): errno is not 0 after a failure */
        h->slots.base = base;
        h->epoch = opened->epoch;
        h->attach.unannounced = opened->unannounced;
        h->users = opened->users;
        h->removed = opened->users.flags & PROTO_STATE_REMOVED;
        h->info = (struct shmd_info){
                .id = opened->id,
                .slot_size = opened->slot_size,
                .bytes = h->slots.geometry.file_size,
                .n_slots = opened->n_slots,
                .policy = opened->policy,
                .flags = opened->segment_flags,
                .mode = opened->mode,
                .uid = opened->uid,
                .gid = opened->gid,
                .writers = opened->users.writers,
                .readers = opened->users.readers,
                .foreign_holds = opened->foreign_holds,
        };
        memcpy(h->info.name, name, strlen(name) + 1);
        memcpy(h->info.type, opened->type, SHMD_TYPE_MAX);
        return 0;
}

/* Say what was waited for, rather than that something was. */
static int explain(struct failure *failure, int error, const struct proto_open *request, int timeout_ms) {
        bool wait = request->flags & PROTO_OPEN_WAIT;

        if (error == -ETIMEDOUT && wait)
                return failure_set(failure, error, "after %d ms there is still no segment %s", timeout_ms,
                                   request->name);
        if (error == -ETIMEDOUT)
                return failure_set(failure, error, "the daemon at %s has not answered within %d ms", failure->path,
                                   timeout_ms);
        if (error == -EINTR)
                return failure_set(failure, error, "a signal ended the wait for %s", request->name);
        return error;
}

/* Connect, ask, and wait for the answer: the request follows the hello at once, and has the only reply. */
static int ask(struct handle *h, struct failure *failure, struct proto_open *request, struct packet *packet,
               size_t fds_max, int64_t deadline) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = WATCH_SOCKET };
        int r;

        r = socket_connect(&h->socket, failure, PROTO_HELLO_QUIET, 0, deadline);
        if (r)
                return r;
        h->watch = epoll_create1(EPOLL_CLOEXEC);
        if (h->watch < 0 || epoll_ctl(h->watch, EPOLL_CTL_ADD, h->socket, &event) < 0) {
                r = -errno;
                return failure_set(failure, r, "making a watch: %s", strerror(-r));
        }
        message_init(&request->header, PROTO_OP_OPEN, sizeof(*request), 1);
        request->header.n_fds = 1;
        r = socket_send(h->socket, failure, request, &h->watch, 1, deadline);
        if (r == 0)
                r = socket_reply(h->socket, failure, packet, PROTO_OP_OPEN, 1, fds_max, deadline, true);
        if (r == -ENOTCONN)
                fd_close(STEAL_FD(h->socket));
        return r;
}

/* A daemon that goes while we ask it may be being restarted. It may have put its bell into the watch, so the next one
 * gets another. */
static int ask_again(struct handle *h, struct failure *failure, struct proto_open *request, struct packet *packet,
                     size_t fds_max, int64_t deadline) {
        struct retry retry = { 0 };
        int r;

        do {
                fd_close(STEAL_FD(h->watch));
                r = ask(h, failure, request, packet, fds_max, deadline);
        } while (r && h->socket < 0 && retry_again(&retry, r, deadline));
        return r;
}

static int open_handle(struct handle *h, struct failure *failure, const char *name, struct proto_open *request,
                       struct proto_opened *opened, struct packet *packet, size_t fds_max, int64_t deadline) {
        union proto_any buffer;
        int r;

        r = failure_check_name(failure, name);
        if (r)
                return r;
        memcpy(request->name, name, strlen(name) + 1);
        r = attach_init(h, failure->path);
        if (r == 0)
                r = fork_guard(&h->guard);
        if (r)
                return failure_set(failure, r, "no memory to follow forks and restarts");
        *packet = (struct packet){ .bytes = &buffer, .capacity = sizeof(buffer) };
        r = ask_again(h, failure, request, packet, fds_max, deadline);
        if (r)
                return r;
        if (message_extract(opened, sizeof(*opened), packet->bytes, packet->size)) {
                packet_close(packet);
                return failure_set(failure, -EPROTO, "the daemon's reply has parts that are unknown here");
        }
        packet->bytes = NULL;
        r = take_answer(h, failure, opened, packet, request->access == PROTO_ACCESS_WRITE, name);
        if (r)
                packet_close(packet);
        return r;
}

int handle_open(struct handle *h, struct shmd *conn, const char *name, unsigned unknown_flags,
                struct proto_open *request, struct proto_opened *opened, struct packet *packet, size_t fds_max,
                int timeout_ms) {
        /* Waiting for a segment may take long: the connection stays free for others meanwhile. */
        struct failure failure = { .path = conn->path };
        int r;

        if (unknown_flags) {
                r = failure_set(&failure, -EINVAL, "the flags 0x%x are unknown here, or contradict each other",
                                unknown_flags);
        } else {
                r = open_handle(h, &failure, name, request, opened, packet, fds_max, deadline_in(timeout_ms));
                r = explain(&failure, r, request, timeout_ms);
        }
        if (r) {
                pthread_mutex_lock(&conn->mutex);
                conn->failure = failure;
                pthread_mutex_unlock(&conn->mutex);
        }
        return r;
}

void handle_close(struct handle *h) {
        fork_unguard(&h->guard);
        if (h->slots.base)
                (void)munmap(h->slots.base, h->slots.geometry.file_size);
        attach_close(h);
        fd_close(h->data);
        fd_close(h->watch);
        fd_close(h->socket); /* last: the daemon now cleans up, and nothing of ours is in the way */
}

void handle_take_users(struct handle *h, const struct proto_users *users) {
        if (users->arrivals > h->users.arrivals)
                h->events |= SHMD_EVENT_WRITER_CAME;
        if (users->departures > h->users.departures)
                h->events |= SHMD_EVENT_WRITER_LEFT;
        if ((users->flags & PROTO_STATE_REMOVED) && !h->removed) {
                h->events |= SHMD_EVENT_REMOVED;
                h->removed = true;
        }
        h->users = *users;
}

static int take_group(struct handle *h, const struct proto_group *group, struct packet *packet) {
        int r = h->on_group(h, group, packet_take_fd(packet, 0), packet_take_fd(packet, 1));

        if (r == 0)
                attach_group(h);
        return r;
}

/* One notice that lies in @packet; it is still in the socket if it brings descriptors. */
static int take_notice(struct handle *h, struct packet *packet) {
        const struct proto_header *header = packet->bytes;
        union proto_any notice;

        if (message_check(packet->bytes, packet->size, packet->n_fds) ||
            message_extract(&notice, sizeof(notice), packet->bytes, packet->size))
                return 0; /* of a newer daemon: notices may be added */
        if (attach_is_away(&h->attach) && !h->attach.claimed)
                attach_answer(h, &notice);
        else if (header->op == PROTO_OP_STATE)
                handle_take_users(h, &notice.state.users);
        else if (header->op == PROTO_OP_GROUP && packet->n_fds == 2 && h->on_group)
                return take_group(h, &notice.group.group, packet);
        return 0;
}

int handle_drain(struct handle *h) {
        uint32_t unannounced = atomic_load(&slots_header(&h->slots)->unannounced);
        union proto_any buffer;
        struct packet packet = { .bytes = &buffer, .capacity = sizeof(buffer) };

        while (h->socket >= 0) {
                /* Only a writer gets descriptors. They may not fit just now, so they are taken from a look at the
                 * message, which leaves it where it is. */
                int r = h->on_group ? packet_peek(&packet, h->socket, 2) : packet_receive(&packet, h->socket, 0);

                if (r == PACKET_E_AGAIN) {
                        /* As long as the socket lives, we are told of everybody. */
                        if (h->attach.state == ATTACH_THERE)
                                h->attach.unannounced = unannounced;
                        return 0;
                }
                if (r == PACKET_E_FDS && h->on_group)
                        return -EMFILE;
                if (r == PACKET_E_CLOSED) {
                        attach_lost(h);
                        continue;
                }
                if (r < 0)
                        return r;
                if (r == 0) {
                        r = take_notice(h, &packet);
                        packet_close(&packet);
                        if (r)
                                return r;
                }
                if (h->on_group && h->socket >= 0)
                        (void)packet_discard(h->socket);
        }
        return 0;
}

/* What is to be done where it costs something. */
static int look_closely(struct handle *h, uint32_t epoch) {
        int r;

        attach_tick(h);
        /* The notices lie in the socket before the epoch says so. */
        r = handle_drain(h);
        if (r)
                return r;
        if (attach_is_away(&h->attach)) {
                uint32_t unannounced = atomic_load(&slots_header(&h->slots)->unannounced);

                if (unannounced != h->attach.unannounced)
                        attach_wait(h);
                h->attach.unannounced = unannounced; /* not another time for the same ones */
        }
        h->epoch = epoch;
        return 0;
}

int handle_look(struct handle *h) {
        /* seq_cst: a writer looks here after it has stored the head. If it does not see the new epoch, then a reader
         * of the group that the epoch announces, whose reply comes after the epoch, sees the head. */
        uint32_t epoch = atomic_load(&slots_header(&h->slots)->epoch);

        return epoch == h->epoch && !attach_is_away(&h->attach) ? 0 : look_closely(h, epoch);
}

int handle_sleep(struct handle *h, int timeout_ms) {
        struct epoll_event events[4];
        bool news = false;
        int n = epoll_wait(h->watch, events, 4, timeout_ms);

        if (n < 0)
                return -errno;
        for (int i = 0; i < n; i++) {
                if (events[i].data.u64 == WATCH_TIMER)
                        attach_ring(h);
                news |= events[i].data.u64 == WATCH_SOCKET;
        }
        return news ? handle_drain(h) : 0;
}

bool handle_is_alive(int fd, uint32_t id) {
        struct flock lock = {
                .l_type = F_WRLCK,
                .l_whence = SEEK_SET,
                .l_start = LAYOUT_LOCK_BASE + id,
                .l_len = 1,
        };

        return fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}
