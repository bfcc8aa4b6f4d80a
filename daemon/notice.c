#define _GNU_SOURCE
#include "daemon/notice.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "daemon/connection.h"
#include "daemon/group.h"
#include "daemon/handle.h"
#include "daemon/segment.h"
#include "daemon/server.h"
#include "proto/cleanup.h"
#include "proto/packet.h"

#define LATE_MS 100
#define GROUPS_UNREAD_MAX 8 /* two descriptors each are under way */

void notice_users(const struct segment *s, struct proto_users *users) {
        *users = (struct proto_users){
                .arrivals = s->users.arrivals,
                .departures = s->users.departures,
                .writers = s->users.writers,
                .readers = s->users.readers,
                .flags = s->state == SEGMENT_REMOVED ? PROTO_STATE_REMOVED : 0,
        };
}

/* ---- to one handle ---------------------------------------------------------------------------------------------- */

static const struct group *group_at(const struct segment *s, uint32_t index) {
        const struct group *g;

        LIST_FOREACH (g, &s->groups, link)
                if (g->index == index)
                        return g;
        return NULL;
}

static int send_group(struct handle *h, uint32_t index) {
        const struct group *g = group_at(h->segment, index);
        struct proto_group_notice notice = { 0 };
        CLEANUP(fd_closep) int table = -1;
        int r;

        assert(g);
        r = segment_describe(g->table, O_RDONLY);
        if (r < 0)
                return r;
        table = r;
        message_init(&notice.header, PROTO_OP_GROUP, sizeof(notice), 0);
        notice.header.n_fds = 2;
        notice.group = group_describe(g, h->segment);
        r = connection_send(h->connection, &notice.header, (int[]){ table, g->bell }, 2);
        if (r)
                return r;
        h->groups &= ~(UINT64_C(1) << index);
        h->groups_unread++;
        return 0;
}

static int send_state(struct handle *h) {
        struct proto_state notice = { 0 };
        int r;

        message_init(&notice.header, PROTO_OP_STATE, sizeof(notice), 0);
        notice_users(h->segment, &notice.users);
        r = connection_send(h->connection, &notice.header, NULL, 0);
        if (r)
                return r;
        h->version = h->segment->version;
        return 0;
}

/* Says no long before sending fails: what is left is for the groups, which a writer must know before anybody enters. */
static bool is_writable(int socket) {
        struct pollfd p = { .fd = socket, .events = POLLOUT };

        return poll(&p, 1, 0) > 0 && p.revents & POLLOUT;
}

int notice_send(struct handle *h, bool *sent) {
        int r;

        *sent = false;
        while (h->groups) {
                r = send_group(h, (uint32_t)__builtin_ctzll(h->groups));
                if (r)
                        return r;
                *sent = true;
        }
        if (h->version == h->segment->version)
                return 0;
        if (!is_writable(h->connection->socket))
                return PACKET_E_AGAIN;
        r = send_state(h);
        if (r)
                return r;
        *sent = true;
        return 0;
}

/* ---- to all of a segment ---------------------------------------------------------------------------------------- */

/* A connection's failure to be told is its own affair: it is told later, or dropped at the end of this turn. */
static void tell(struct server *server, struct segment *s, bool late) {
        bool some_left = false;
        struct handle *h;

        TAILQ_FOREACH (h, &s->handles, link) {
                if (h->ghost)
                        continue; /* it is told all when it is claimed */
                if (h->writer || late || h->version < s->version_read)
                        connection_push(h->connection);
                else
                        some_left = some_left || h->version != s->version;
        }
        segment_raise_epoch(s);
        if (!some_left)
                return;
        s->changed = SEGMENT_CHANGED_LATE;
        LIST_INSERT_HEAD(&server->notices.changed_late, s, changed_link);
        if (!event_pending(&server->notices.late, EV_TIMEOUT, NULL))
                (void)event_add(&server->notices.late, &(struct timeval){ .tv_usec = LATE_MS * 1000L });
}

static void on_late(evutil_socket_t fd, short what, void *data) {
        struct server *server = data;
        struct segment *s;

        (void)fd;
        (void)what;
        while ((s = LIST_FIRST(&server->notices.changed_late))) {
                notice_forget(s);
                tell(server, s, true);
        }
}

void notices_init(struct server *server) {
        LIST_INIT(&server->notices.changed);
        LIST_INIT(&server->notices.changed_late);
        (void)evtimer_assign(&server->notices.late, server->base, on_late, server);
}

void notices_deinit(struct server *server) { (void)event_del(&server->notices.late); }

void notice_forget(struct segment *s) {
        if (s->changed)
                LIST_REMOVE(s, changed_link);
        s->changed = SEGMENT_UNCHANGED;
}

void notice_change(struct server *server, struct segment *s, bool readers) {
        s->version++;
        if (readers)
                s->version_read = s->version;
        if (s->changed == SEGMENT_CHANGED)
                return;
        notice_forget(s);
        s->changed = SEGMENT_CHANGED;
        LIST_INSERT_HEAD(&server->notices.changed, s, changed_link);
        server_defer(server);
}

void notice_flush(struct server *server) {
        struct segment *s;

        while ((s = LIST_FIRST(&server->notices.changed))) {
                notice_forget(s);
                tell(server, s, false);
        }
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

bool notice_may_add_group(struct segment *s) {
        struct handle *h;

        TAILQ_FOREACH (h, &s->handles, link) {
                int unread = 0;

                if (!h->writer || h->ghost)
                        continue;
                if (h->groups_unread && ioctl(h->connection->socket, SIOCOUTQ, &unread) == 0 && unread == 0)
                        h->groups_unread = 0;
                if (h->groups_unread + (unsigned)__builtin_popcountll(h->groups) >= GROUPS_UNREAD_MAX) {
                        connection_suspect(h->connection);
                        return false;
                }
        }
        return true;
}

void notice_group(struct segment *s, uint32_t index) {
        struct handle *h;

        TAILQ_FOREACH (h, &s->handles, link) {
                if (!h->writer)
                        continue;
                h->groups |= UINT64_C(1) << index;
                if (!h->ghost)
                        connection_push(h->connection);
        }
        segment_raise_epoch(s);
}

bool notice_is_group_known(struct segment *s, uint32_t index) {
        const struct handle *h;
        bool unannounced = false;

        TAILQ_FOREACH (h, &s->handles, link) {
                if (!(h->groups >> index & 1))
                        continue;
                if (h->ghost ? ghosts_are_awaited(&h->server->ghosts) : h->connection->state != CONNECTION_DEAD)
                        return false;
                unannounced |= h->ghost;
        }
        if (unannounced)
                segment_raise_unannounced(s);
        return true;
}
