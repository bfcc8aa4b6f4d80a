/* request_open.c -- opening a segment, as a reader or a writer. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/connection.h"
#include "daemon/handle.h"
#include "daemon/request_handler.h"
#include "daemon/segment.h"
#include "daemon/server.h"
#include "daemon/user.h"
#include "proto/cleanup.h"

static void on_opened(struct handle *h, int result) {
        struct connection *c = h->connection;
        CLEANUP(freep) struct proto_opened *reply = NULL;
        int fds[PROTO_FDS_MAX];
        size_t n_fds = 0;

        if (!c) {
                handle_free(h); /* the client left meanwhile */
                return;
        }
        if (result == 0) {
                reply = calloc(1, sizeof(*reply));
                result = reply ? handle_open(h, reply, fds, &n_fds) : -ENOMEM;
        }
        if (result == 0) {
                request_finish_with_fds(c->request, &reply->header, sizeof(*reply), fds, n_fds);
                return;
        }
        c->handle = handle_free(h);
        if (result == -EINVAL)
                request_fail(c->request, result, "the descriptor sent is not an epoll instance that can take the bell");
        else if (result == -ENOSPC)
                request_fail(c->request, result,
                             "you (uid %u) have as many watches as the kernel allows "
                             "(fs.epoll.max_user_watches)",
                             c->peer.uid);
        else
                request_fail_system(c->request, result, "open the segment");
}

static void fail_share(struct request *r, const struct segment *s) {
        bool writer = r->message.open.access == PROTO_ACCESS_WRITE;

        request_fail(
                r, -EDQUOT,
                "uid %u has as many %s at %s as are left there for all others: of the %d one user may not have more",
                r->connection->peer.uid, writer ? "writers" : "groups of readers", s->name,
                writer ? LAYOUT_WRITER_DAEMON : LAYOUT_GROUPS_MAX);
}

static void open_segment(struct request *r, struct segment *s) {
        struct connection *c = r->connection;
        size_t n_fds = handle_fds(s, r->message.open.access == PROTO_ACCESS_WRITE);
        int result = flight_check(&c->server->flights, request_account(r), n_fds);

        quota_release(&r->waiting);
        if (result) {
                request_fail_quota(r, QUOTA_FLIGHT, n_fds, result, -EBUSY, "open the segment");
                return;
        }
        result = handle_new(&c->handle, c, s, &r->message.open);
        switch (result) {
        case 0:
                result = handle_start(c->handle, STEAL_FD(r->watch), on_opened);
                if (result == 0) {
                        connection_update(c);
                        return;
                }
                c->handle = handle_free(c->handle);
                request_fail_system(r, result, "start a thread for your descriptors");
                return;
        case HANDLE_E_WRITERS:
                request_fail(r, -EUSERS, "%s has as many writers as there may be: %d", s->name, LAYOUT_WRITER_DAEMON);
                return;
        case HANDLE_E_GROUPS:
                request_fail(r, -EUSERS, "%s has %d reader groups, as many as there may be, and none is empty", s->name,
                             LAYOUT_GROUPS_MAX);
                return;
        case HANDLE_E_UNREAD:
                request_fail(r, -EBUSY, "a writer of %s does not read what it is told about new readers: try again",
                             s->name);
                return;
        case HANDLE_E_UNCLAIMED:
                server_park(c->server, r);
                connection_update(c);
                return;
        case ESTATE_E_FULL:
                request_fail_full(r);
                return;
        case HANDLE_E_LOCKED:
                if (r->message.open.access == PROTO_ACCESS_WRITE)
                        request_fail(r, -EBUSY, "a writer holds the locks of all other writers at %s", s->name);
                else
                        request_fail(r, -EBUSY, "somebody holds the locks of all free reader entries of uid %u at %s",
                                     c->peer.uid, s->name);
                return;
        case HANDLE_E_QUOTA:
                result = quota_check(request_account(r), QUOTA_HANDLES, 1);
                request_fail_quota(r, QUOTA_HANDLES, 1, result, -EUSERS, "open the segment");
                return;
        case HANDLE_E_GROUP_QUOTA:
                result = quota_check(request_account(r), QUOTA_GROUPS, 1);
                request_fail_quota(r, QUOTA_GROUPS, 1, result, -EUSERS, "open the segment");
                return;
        case HANDLE_E_SHARE:
                fail_share(r, s);
                return;
        default:
                request_fail_system(r, result, "open the segment");
                return;
        }
}

void request_open(struct request *r) {
        const struct proto_open *m = &r->message.open;
        struct connection *c = r->connection;
        bool writer = m->access == PROTO_ACCESS_WRITE;
        struct segment *s;

        if (c->handle) {
                request_fail(r, -EISCONN, "this connection has %s open: use another connection",
                             c->handle->segment->name);
                return;
        }
        if (!writer && m->access != PROTO_ACCESS_READ) {
                request_fail(r, -EINVAL, "the access is %" PRIu32 ": it may be %d (read) or %d (write)", m->access,
                             PROTO_ACCESS_READ, PROTO_ACCESS_WRITE);
                return;
        }
        if (m->flags & ~(writer ? PROTO_OPEN_WAIT : PROTO_OPEN_WAIT | PROTO_OPEN_ORDERED)) {
                request_fail(r, -EINVAL, "the flags to open are 0x%" PRIx32 ": a %s may have those of 0x%x", m->flags,
                             writer ? "writer" : "reader",
                             writer ? PROTO_OPEN_WAIT : PROTO_OPEN_WAIT | PROTO_OPEN_ORDERED);
                return;
        }
        if (m->start > (writer ? 0 : PROTO_START_END)) {
                request_fail(r, -EINVAL, "the start is %" PRIu32 ": a %s may have 0%s", m->start,
                             writer ? "writer" : "reader", writer ? "" : " (newest), 1 (oldest) or 2 (end)");
                return;
        }
        if (r->watch < 0) {
                request_fail(r, -EINVAL, "no descriptor came with the request: it needs one, an epoll instance");
                return;
        }
        if (request_fail_name(r, m->name))
                return;
        s = request_find(r, m->name);
        if (!s && m->flags & PROTO_OPEN_WAIT)
                request_wait(r, m->name);
        else if (!s)
                request_fail(r, -ENOENT, "there is no segment %s", m->name);
        else if (writer ? !access_may_write(&s->rule, &c->peer, request_admins(r))
                        : !access_may_read(&s->rule, &c->peer, request_admins(r)))
                request_fail(r, -EACCES, "%s belongs to uid %u, mode %04o: you (uid %u) may not %s it", s->name,
                             s->rule.uid, s->rule.mode, c->peer.uid, writer ? "write" : "read");
        else
                open_segment(r, s);
}
