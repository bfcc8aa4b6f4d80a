#define _GNU_SOURCE
#include "daemon/request.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/allocation.h"
#include "daemon/connection.h"
#include "daemon/handle.h"
#include "daemon/log.h"
#include "daemon/memory.h"
#include "daemon/options.h"
#include "daemon/segment.h"
#include "daemon/server.h"
#include "daemon/user.h"
#include "proto/cleanup.h"
#include "proto/name.h"
#include "proto/packet.h"

#define LIST_LOOKS 256 /* names a turn */

/* ---- a request's end -------------------------------------------------------------------------------------------- */

static struct request *request_free(struct request *r) {
        struct connection *c;

        if (!r)
                return NULL;
        c = r->connection;
        registry_forget(&c->server->registry, &r->waiter);
        if (r->woken)
                TAILQ_REMOVE(&c->server->woken, r, woken_link);
        user_close(c->user, r->watch);
        free(r->list);
        if (c->request == r)
                c->request = NULL;
        free(r);
        return NULL;
}
DEFINE_CLEANUP(struct request *, request_free)

/* Answer it, and free it. */
static void finish_with_fds(struct request *r, struct proto_header *reply, size_t size, int *fds, size_t n_fds) {
        struct connection *c = r->connection;

        message_init(reply, r->message.header.op, size, r->message.header.serial);
        reply->n_fds = (uint32_t)n_fds;
        request_free(r);
        connection_reply(c, reply, fds, n_fds);
        connection_update(c);
}

static void finish(struct request *r, struct proto_header *reply, size_t size) {
        finish_with_fds(r, reply, size, NULL, 0);
}

/* Answer it with an error, and free it. */
static __attribute__((format(printf, 3, 4))) void fail(struct request *r, int error, const char *format, ...) {
        struct connection *c = r->connection;
        struct proto_error reply = { 0 };
        va_list args;

        message_init(&reply.header, r->message.header.op, sizeof(reply), r->message.header.serial);
        reply.header.error = error;
        va_start(args, format);
        (void)vsnprintf(reply.text, sizeof(reply.text), format, args);
        va_end(args);
        request_free(r);
        connection_reply(c, &reply.header, NULL, 0);
        connection_update(c);
}

/* An error of the system that has no sentence of its own. */
static void fail_system(struct request *r, int error, const char *what) {
        fail(r, error, "the daemon cannot %s: %s", what, strerror(-error));
}

/* Return: true if it is none, and the request has been answered. */
static bool fail_name(struct request *r, const char *name) {
        char text[PROTO_TEXT_SIZE];

        if (name_explain(text, sizeof(text), name) == 0)
                return false;
        fail(r, -EINVAL, "%s", text);
        return true;
}

static void run_again(struct request *r) {
        struct server *server = r->connection->server;

        r->woken = true;
        TAILQ_INSERT_TAIL(&server->woken, r, woken_link);
        server_defer(server);
}

static void on_wake(struct waiter *waiter) { run_again(container_of(waiter, struct request, waiter)); }

/* Run it again when something has happened to that name. */
static void wait_for(struct request *r, const char *name) {
        r->waiter.wake = on_wake;
        registry_wait(&r->connection->server->registry, &r->waiter, name);
        connection_update(r->connection);
}

/* The segment of that name that there is for everybody but its creator. */
static struct segment *find_ready(struct request *r, const char *name) {
        struct segment *s = registry_find(&r->connection->server->registry, name);

        return s && s->state == SEGMENT_READY ? s : NULL;
}

/* ---- hello ------------------------------------------------------------------------------------------------------ */

static void handle_hello(struct request *r) {
        struct connection *c = r->connection;
        struct proto_welcome reply = { .layout_version = LAYOUT_VERSION };

        if (r->message.hello.layout_version != LAYOUT_VERSION) {
                connection_violation(c, &r->message.header, -EPROTONOSUPPORT,
                                     "the client has version %" PRIu32
                                     " of the layout in memory, the daemon has %d: they must be the same",
                                     r->message.hello.layout_version, LAYOUT_VERSION);
                return;
        }
        if (r->message.hello.flags & ~PROTO_HELLO_QUIET) {
                connection_violation(c, &r->message.header, -EPROTO,
                                     "the flags of the hello are 0x%" PRIx32 ": only 0x%x is known here",
                                     r->message.hello.flags, PROTO_HELLO_QUIET);
                return;
        }
        connection_set_client(c, r->message.hello.client);
        c->state = CONNECTION_READY;
        (void)event_del(&c->timer);
        if (r->message.hello.flags & PROTO_HELLO_QUIET) {
                request_free(r);
                connection_update(c);
                return;
        }
        (void)snprintf(reply.daemon, sizeof(reply.daemon), "shmd %s", SHMD_VERSION);
        finish(r, &reply.header, sizeof(reply));
}

/* ---- create ----------------------------------------------------------------------------------------------------- */

/* An allocation that goes on while the loop does other things. */
struct creation {
        struct allocation allocation;
        struct server *server;
        struct segment *segment; /* a reference */
        struct request *request; /* NULL: its client is gone */
};

static const char *policy_name(uint32_t policy) { return policy == PROTO_POLICY_BLOCK ? "block" : "overwrite"; }

static const char *flags_name(uint32_t flags, char *text, size_t size) {
        (void)snprintf(text, size, "%s%s%s", flags & PROTO_SEGMENT_EPHEMERAL ? " ephemeral" : "",
                       flags & PROTO_SEGMENT_SPARSE ? " sparse" : "", flags & PROTO_SEGMENT_HUGE ? " huge" : "");
        return text[0] ? text + 1 : "none";
}

struct sentence {
        size_t used;
        char text[PROTO_TEXT_SIZE];
};

/* What does not fit any more is left out. */
static __attribute__((format(printf, 2, 3))) void add(struct sentence *s, const char *format, ...) {
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(s->text + s->used, sizeof(s->text) - s->used, format, args);
        va_end(args);
        s->used += (size_t)n;
        if (s->used >= sizeof(s->text))
                s->used = sizeof(s->text) - 1;
}

/* A type as it may be shown: it is somebody's bytes. Long ones are cut. */
static const char *type_shown(const char *type, char *text, size_t size) {
        (void)snprintf(text, size, "%s", type);
        for (char *p = text; *p; p++)
                if (*p < ' ' || *p > '~')
                        *p = '?';
        if (strlen(type) >= size)
                memcpy(text + size - 4, "...", 4);
        return text;
}

/* Name every parameter in which the request contradicts the segment. */
static bool contradicts(const struct segment *s, const struct proto_create *m, struct sentence *out) {
        size_t before;
        char has[64];
        char wants[64];

        add(out, "%s exists and is another one: ", s->name);
        before = out->used;
        if (m->slot_size && m->slot_size != s->geometry.slot_size)
                add(out, "; slot size: it has %" PRIu64 ", you want %" PRIu64, s->geometry.slot_size, m->slot_size);
        if (m->n_slots && m->n_slots != s->geometry.n_slots)
                add(out, "; slots: it has %" PRIu32 ", you want %" PRIu32, s->geometry.n_slots, m->n_slots);
        if (m->mode && m->mode != s->rule.mode)
                add(out, "; mode: it has %04" PRIo32 ", you want %04" PRIo32, s->rule.mode, m->mode);
        if (m->policy && m->policy != s->policy)
                add(out, "; policy: it has %s, you want %s", policy_name(s->policy), policy_name(m->policy));
        if (m->segment_flags && m->segment_flags != s->flags)
                add(out, "; flags: it has %s, you want %s", flags_name(s->flags, has, sizeof(has)),
                    flags_name(m->segment_flags, wants, sizeof(wants)));
        if (m->type[0] && strcmp(m->type, s->type) != 0)
                add(out, "; type: it has '%s', you want '%s'", type_shown(s->type, has, sizeof(has)),
                    type_shown(m->type, wants, sizeof(wants)));
        if (out->used == before)
                return false;
        /* The first one needs no semicolon. */
        if (out->used > before + 2)
                memmove(out->text + before, out->text + before + 2, out->used - before - 1);
        return true;
}

static void create_existing(struct request *r, struct segment *s) {
        const struct proto_create *m = &r->message.create;
        const struct peer *peer = &r->connection->peer;
        struct proto_created reply = { .id = s->id, .existed = 1 };
        struct sentence sentence = { 0 };

        if (m->flags & PROTO_CREATE_EXCLUSIVE)
                fail(r, -EEXIST, "%s exists already", s->name);
        else if (!access_may_read(&s->rule, peer) && !access_may_write(&s->rule, peer))
                fail(r, -EACCES, "%s belongs to uid %u, mode %04o: you (uid %u) may neither read nor write it", s->name,
                     s->rule.uid, s->rule.mode, peer->uid);
        else if (contradicts(s, m, &sentence))
                fail(r, -EEXIST, "%s", sentence.text);
        else
                finish(r, &reply.header, sizeof(reply));
}

/* The segment has its memory, or will not get it: tell the creator, if it is still there, and those who wait. */
static void conclude(struct server *server, struct segment *s, struct request *r, int result) {
        struct proto_created reply = { .id = s->id };

        if (result == 0)
                result = segment_finish(s);
        registry_wake(&server->registry, s->name);
        if (result == 0) {
                log_write(LOG_INFO, &(struct log_about){ .segment = s->name, .peer = r ? &r->connection->peer : NULL },
                          "%s created: %" PRIu32 " slots of %" PRIu64 " bytes, for uid %u, mode %04o", s->name,
                          s->geometry.n_slots, s->geometry.slot_size, s->rule.uid, s->rule.mode);
                if (r)
                        finish(r, &reply.header, sizeof(reply));
                return;
        }
        if (r && result == -ENOMEM && s->flags & PROTO_SEGMENT_HUGE)
                fail(r, result,
                     "%s needs %" PRIu64 " huge pages of 2 MiB, %" PRIu64
                     " are free: raise vm.nr_hugepages or create it without huge pages",
                     s->name, segment_allocation(s) / GEOMETRY_HUGE_PAGE,
                     memory_huge_pages() + segment_allocated(s) / GEOMETRY_HUGE_PAGE);
        else if (r && result == -ENOMEM)
                fail(r, result, "there is not enough free memory for the %" PRIu64 " bytes of %s",
                     segment_allocation(s), s->name);
        else if (r)
                fail_system(r, result, "allocate the segment's memory");
        registry_remove(&server->registry, s);
}

static void on_allocated(struct allocation *a, int result) {
        struct creation *creation = container_of(a, struct creation, allocation);
        struct segment *s = creation->segment;
        struct request *r = creation->request;

        if (r)
                r->creation = NULL;
        else if (result == 0 && !registry_is_awaited(&creation->server->registry, s->name))
                result = -ECANCELED;
        conclude(creation->server, s, r, result);
        segment_unref(s);
        free(creation);
}

static void allocate(struct request *r, struct segment *s) {
        struct server *server = r->connection->server;
        struct creation *creation;
        int result = allocation_at_once(s);

        if (result != JOB_MORE) {
                conclude(server, s, r, result);
                return;
        }
        creation = malloc(sizeof(*creation));
        if (!creation) {
                conclude(server, s, r, -ENOMEM);
                return;
        }
        *creation = (struct creation){ .server = server, .segment = segment_ref(s), .request = r };
        r->creation = creation;
        allocation_start(&creation->allocation, s, &server->worker, on_allocated);
        connection_update(r->connection);
}

/* Return: true if the parameters are out of range, and the request has been answered. */
static bool fail_parameters(struct request *r, const struct segment_parameters *p, struct geometry *geometry) {
        switch (segment_geometry(geometry, p)) {
        case 0:
                return false;
        case GEOMETRY_E_SLOT_SIZE:
                if (p->slot_size == 0)
                        fail(r, -EINVAL, "there is no segment %s yet: a new one needs a slot size", p->name);
                else
                        fail(r, -EINVAL, "the slot size is %" PRIu64 ": it may be 1 to %" PRIu64 " bytes", p->slot_size,
                             GEOMETRY_SLOT_SIZE_MAX);
                return true;
        case GEOMETRY_E_SLOTS:
                fail(r, -EINVAL, "the number of slots is %" PRIu32 ": it may be 1 to %d", p->n_slots, LAYOUT_SLOTS_MAX);
                return true;
        default:
                fail(r, -EINVAL, "%" PRIu32 " slots of %" PRIu64 " bytes are more than a file can have", p->n_slots,
                     p->slot_size);
                return true;
        }
}

static void create_new(struct request *r) {
        const struct proto_create *m = &r->message.create;
        struct connection *c = r->connection;
        struct server *server = c->server;
        struct registry *registry = &server->registry;
        const struct segment_parameters p = {
                .name = m->name,
                .type = m->type,
                .slot_size = m->slot_size,
                .n_slots = m->n_slots ? m->n_slots : PROTO_SLOTS_DEFAULT,
                .policy = m->policy ? m->policy : PROTO_POLICY_OVERWRITE,
                .flags = m->segment_flags,
                .rule = { .uid = c->peer.uid, .gid = c->peer.gid, .mode = m->mode ? m->mode : PROTO_MODE_DEFAULT },
        };
        CLEANUP(segment_unrefp) struct segment *s = NULL;
        struct geometry geometry;
        int result;

        if (fail_parameters(r, &p, &geometry))
                return;
        result = segment_new(&s, &p, &geometry, registry->next_id, &server->budget, &server->worker);
        switch (result) {
        case 0:
                break;
        case BUDGET_E_SEGMENTS:
                fail(r, -ENOSPC, "there are %" PRIu64 " segments, as many as there may be (--max-segments)",
                     server->budget.segments);
                return;
        case BUDGET_E_SEGMENT_BYTES:
                fail(r, -EFBIG,
                     "%s would have %" PRIu64 " bytes: one segment may have %" PRIu64 " (--max-segment-bytes)", p.name,
                     geometry.file_size, server->budget.segment_bytes_max);
                return;
        case BUDGET_E_BYTES:
                fail(r, -EDQUOT, "%s would have %" PRIu64 " bytes: %" PRIu64 " of %" PRIu64 " are taken (--max-bytes)",
                     p.name, geometry.file_size, server->budget.bytes, server->budget.bytes_max);
                return;
        default:
                fail_system(r, result, "make the segment");
                return;
        }
        registry->next_id++;
        registry_add(registry, s);
        allocate(r, s);
}

static void handle_create(struct request *r) {
        const struct proto_create *m = &r->message.create;
        struct segment *s;

        if (fail_name(r, m->name))
                return;
        if (m->flags & ~PROTO_CREATE_EXCLUSIVE)
                fail(r, -EINVAL, "the flags to create are 0x%" PRIx32 ": only 0x%x is known here", m->flags,
                     PROTO_CREATE_EXCLUSIVE);
        else if (m->segment_flags & ~PROTO_SEGMENT_FLAGS)
                fail(r, -EINVAL, "the segment's flags are 0x%" PRIx32 ": only those of 0x%x are known here",
                     m->segment_flags, PROTO_SEGMENT_FLAGS);
        else if (m->policy > PROTO_POLICY_BLOCK)
                fail(r, -EINVAL, "the policy is %" PRIu32 ": it may be %d (overwrite) or %d (block)", m->policy,
                     PROTO_POLICY_OVERWRITE, PROTO_POLICY_BLOCK);
        else if (m->mode > 0777)
                fail(r, -EINVAL, "the mode is 0%" PRIo32 ": it has permission bits only, 0777 at most", m->mode);
        else if (strlen(m->type) > PROTO_TYPE_MAX)
                fail(r, -EINVAL, "the type has %zu bytes: it may have %d", strlen(m->type), PROTO_TYPE_MAX);
        else if (!(s = registry_find(&r->connection->server->registry, m->name)))
                create_new(r);
        else if (s->state == SEGMENT_CREATING)
                wait_for(r, m->name);
        else
                create_existing(r, s);
}

/* ---- open ------------------------------------------------------------------------------------------------------- */

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
                finish_with_fds(c->request, &reply->header, sizeof(*reply), fds, n_fds);
                return;
        }
        c->handle = handle_free(h);
        if (result == -EINVAL)
                fail(c->request, result, "the descriptor sent is not an epoll instance that can take the bell");
        else if (result == -ENOSPC)
                fail(c->request, result,
                     "you (uid %u) have as many watches as the kernel allows "
                     "(fs.epoll.max_user_watches)",
                     c->peer.uid);
        else
                fail_system(c->request, result, "open the segment");
}

static void open_segment(struct request *r, struct segment *s) {
        struct connection *c = r->connection;
        int result = handle_new(&c->handle, c, s, &r->message.open);

        switch (result) {
        case 0:
                result = handle_start(c->handle, STEAL_FD(r->watch), on_opened);
                if (result == 0) {
                        connection_update(c);
                        return;
                }
                c->handle = handle_free(c->handle);
                fail_system(r, result, "start a thread for your descriptors");
                return;
        case HANDLE_E_WRITERS:
                fail(r, -EUSERS, "%s has as many writers as there may be: %d", s->name, LAYOUT_WRITER_DAEMON);
                return;
        case HANDLE_E_GROUPS:
                fail(r, -EUSERS, "%s has %d reader groups, as many as there may be, and none is empty", s->name,
                     LAYOUT_GROUPS_MAX);
                return;
        case HANDLE_E_UNREAD:
                fail(r, -EBUSY, "a writer of %s does not read what it is told about new readers: try again", s->name);
                return;
        case HANDLE_E_LOCKED:
                fail(r, -EBUSY, "somebody holds the locks of all free reader entries of uid %u at %s", c->peer.uid,
                     s->name);
                return;
        default:
                fail_system(r, result, "open the segment");
                return;
        }
}

static void handle_open_request(struct request *r) {
        const struct proto_open *m = &r->message.open;
        struct connection *c = r->connection;
        bool writer = m->access == PROTO_ACCESS_WRITE;
        struct segment *s;

        if (c->handle) {
                fail(r, -EISCONN, "this connection has %s open: use another connection", c->handle->segment->name);
                return;
        }
        if (!writer && m->access != PROTO_ACCESS_READ) {
                fail(r, -EINVAL, "the access is %" PRIu32 ": it may be %d (read) or %d (write)", m->access,
                     PROTO_ACCESS_READ, PROTO_ACCESS_WRITE);
                return;
        }
        if (m->flags & ~(writer ? PROTO_OPEN_WAIT : PROTO_OPEN_WAIT | PROTO_OPEN_ORDERED)) {
                fail(r, -EINVAL, "the flags to open are 0x%" PRIx32 ": a %s may have those of 0x%x", m->flags,
                     writer ? "writer" : "reader", writer ? PROTO_OPEN_WAIT : PROTO_OPEN_WAIT | PROTO_OPEN_ORDERED);
                return;
        }
        if (m->start > (writer ? 0 : PROTO_START_END)) {
                fail(r, -EINVAL, "the start is %" PRIu32 ": a %s may have 0%s", m->start, writer ? "writer" : "reader",
                     writer ? "" : " (newest), 1 (oldest) or 2 (end)");
                return;
        }
        if (r->watch < 0) {
                fail(r, -EINVAL, "no descriptor came with the request: it needs one, an epoll instance");
                return;
        }
        if (fail_name(r, m->name))
                return;
        s = find_ready(r, m->name);
        if (!s && m->flags & PROTO_OPEN_WAIT)
                wait_for(r, m->name);
        else if (!s)
                fail(r, -ENOENT, "there is no segment %s", m->name);
        else if (writer ? !access_may_write(&s->rule, &c->peer) : !access_may_read(&s->rule, &c->peer))
                fail(r, -EACCES, "%s belongs to uid %u, mode %04o: you (uid %u) may not %s it", s->name, s->rule.uid,
                     s->rule.mode, c->peer.uid, writer ? "write" : "read");
        else
                open_segment(r, s);
}

/* ---- stat, list, remove ----------------------------------------------------------------------------------------- */

static void describe(struct proto_info *info, struct segment *s) {
        *info = (struct proto_info){
                .id = s->id,
                .slot_size = s->geometry.slot_size,
                .bytes = s->geometry.file_size,
                .allocated = segment_allocated(s),
                .created = s->created,
                .n_slots = s->geometry.n_slots,
                .policy = s->policy,
                .segment_flags = s->flags,
                .mode = s->rule.mode,
                .uid = s->rule.uid,
                .gid = s->rule.gid,
                .writers = s->users.writers,
                .readers = s->users.readers,
        };
        segment_newest(s, &info->sequence, &info->timestamp);
        (void)snprintf(info->name, sizeof(info->name), "%s", s->name);
        (void)snprintf(info->type, sizeof(info->type), "%s", s->type);
}

static void handle_stat(struct request *r) {
        const struct peer *peer = &r->connection->peer;
        const char *name = r->message.stat.name;
        struct proto_stat_reply reply = { 0 };
        struct segment *s;

        if (fail_name(r, name))
                return;
        s = find_ready(r, name);
        if (!s) {
                fail(r, -ENOENT, "there is no segment %s", name);
                return;
        }
        if (!access_may_read(&s->rule, peer)) {
                fail(r, -EACCES, "%s belongs to uid %u, mode %04o: you (uid %u) may not read it", name, s->rule.uid,
                     s->rule.mode, peer->uid);
                return;
        }
        describe(&reply.info, s);
        finish(r, &reply.header, sizeof(reply));
}

static bool is_listed(const struct request *r, const struct segment *s) {
        const char *pattern = r->message.list.pattern;

        return s->state == SEGMENT_READY && access_may_read(&s->rule, &r->connection->peer) &&
               (pattern[0] == '\0' || fnmatch(pattern, s->name, 0) == 0);
}

/* A pattern may be dear to match, and there may be many names: others are served in between. */
static void handle_list(struct request *r) {
        struct registry *registry = &r->connection->server->registry;
        char *after = r->message.list.after;
        struct proto_list_reply *reply = r->list;
        struct segment *s;
        int looks = 0;

        if (!reply) {
                reply = malloc(PROTO_MESSAGE_MAX);
                if (!reply) {
                        fail_system(r, -ENOMEM, "list the segments");
                        return;
                }
                *reply = (struct proto_list_reply){ 0 };
                r->list = reply;
        }
        for (s = registry_after(registry, after); s; s = registry_next(s)) {
                if (looks++ == LIST_LOOKS) {
                        run_again(r);
                        connection_update(r->connection);
                        return;
                }
                if (is_listed(r, s)) {
                        if (reply->count == PROTO_LIST_PAGE) {
                                reply->more = 1;
                                break;
                        }
                        describe(&reply->info[reply->count++], s);
                }
                (void)snprintf(after, sizeof(r->message.list.after), "%s", s->name);
        }
        r->list = NULL;
        finish(r, &reply->header, sizeof(*reply) + reply->count * sizeof(reply->info[0]));
        free(reply);
}

static void handle_remove(struct request *r) {
        struct connection *c = r->connection;
        const char *name = r->message.remove.name;
        struct proto_header reply;
        struct segment *s;
        char text[128];

        if (fail_name(r, name))
                return;
        s = find_ready(r, name);
        if (!s) {
                fail(r, -ENOENT, "there is no segment %s", name);
                return;
        }
        if (!access_may_remove(&s->rule, &c->peer)) {
                fail(r, -EPERM, "%s belongs to uid %u: you (uid %u) may not remove it", name, s->rule.uid, c->peer.uid);
                return;
        }
        server_remove_segment(c->server, s, connection_name(c, text, sizeof(text)));
        /* Who removes it may rely on it: those who have it open have been told. */
        notice_flush(c->server);
        finish(r, &reply, sizeof(reply));
}

/* ---- dispatch --------------------------------------------------------------------------------------------------- */

static void (*const handlers[PROTO_OP_REQUESTS])(struct request *r) = {
        [PROTO_OP_HELLO] = handle_hello, [PROTO_OP_CREATE] = handle_create, [PROTO_OP_OPEN] = handle_open_request,
        [PROTO_OP_STAT] = handle_stat,   [PROTO_OP_LIST] = handle_list,     [PROTO_OP_REMOVE] = handle_remove,
};

void request_run(struct request *r) {
        if (r->connection->state != CONNECTION_DEAD)
                handlers[r->message.header.op](r);
}

void request_receive(struct connection *c, struct packet *packet) {
        CLEANUP(request_freep) struct request *r = malloc(sizeof(*r));
        struct proto_header header = { 0 };
        size_t size;
        int outcome;

        if (!r) {
                user_close(c->user, packet_take_fd(packet, 0));
                log_warning("a client is dropped: out of memory");
                connection_drop(c);
                return;
        }
        *r = (struct request){ .connection = c, .watch = packet_take_fd(packet, 0) };
        outcome = message_check(packet->bytes, packet->size, packet->n_fds);
        if (outcome != MESSAGE_E_SHORT)
                memcpy(&header, packet->bytes, sizeof(header));
        if (outcome == MESSAGE_E_VERSION) {
                connection_violation(
                        c, &header, -EPROTONOSUPPORT,
                        "the client has version %u of the protocol, the daemon has %d: they must be the same",
                        header.version, PROTO_VERSION);
                return;
        }
        if (outcome) {
                connection_violation(c, &header, -EPROTO, "the message %s", message_explain(outcome));
                return;
        }
        size = message_request_size(header.op);
        if (size == 0) {
                connection_violation(c, &header, -EPROTO, "the message asks for operation %u, which is not known here",
                                     header.op);
                return;
        }
        if ((c->state == CONNECTION_NEW) != (header.op == PROTO_OP_HELLO)) {
                connection_violation(c, &header, -EPROTO,
                                     c->state == CONNECTION_NEW ? "the first message is not a hello"
                                                                : "a second hello came");
                return;
        }
        if (r->watch >= 0 && header.op != PROTO_OP_OPEN) {
                connection_violation(c, &header, -EPROTO, "a descriptor came with a request that takes none");
                return;
        }
        outcome = message_extract(&r->message, size, packet->bytes, packet->size);
        if (outcome == 0)
                outcome = message_check_request(&r->message);
        if (outcome) {
                connection_violation(c, &header, -EPROTO, "the message %s", message_explain(outcome));
                return;
        }
        c->request = r;
        request_run(STEAL_PTR(r));
}

void request_abandon(struct request *r) {
        struct creation *creation = r->creation;

        if (creation) {
                creation->request = NULL;
                if (!registry_is_awaited(&creation->server->registry, creation->segment->name))
                        allocation_cancel(&creation->allocation);
        }
        request_free(r);
}
