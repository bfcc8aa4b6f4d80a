/* request_create.c -- making a segment, or finding that there is one that fits. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/allocation.h"
#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/memory.h"
#include "daemon/options.h"
#include "daemon/request_handler.h"
#include "daemon/result.h"
#include "daemon/segment.h"
#include "daemon/server.h"

/* An allocation that goes on while the loop does other things. */
struct creation {
        struct allocation allocation;
        struct server *server;
        struct segment *segment; /* a reference */
        struct request *request; /* NULL: its client is gone */
        struct quota_charge charge;
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

/* What was asked for, which is not the default. */
static uint32_t foreign_holds(const struct proto_create *m) {
        return m->foreign_holds == PROTO_HOLDS_NONE ? 0 : m->foreign_holds;
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
        if (m->foreign_holds && foreign_holds(m) != s->foreign_holds)
                add(out, "; foreign holds: it has %" PRIu32 ", you want %" PRIu32, s->foreign_holds, foreign_holds(m));
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
                request_fail(r, -EEXIST, "%s exists already", s->name);
        else if (!access_may_read(&s->rule, peer, request_admins(r)) &&
                 !access_may_write(&s->rule, peer, request_admins(r)))
                request_fail(r, -EACCES, "%s belongs to uid %u, mode %04o: you (uid %u) may neither read nor write it",
                             s->name, s->rule.uid, s->rule.mode, peer->uid);
        else if (contradicts(s, m, &sentence))
                request_fail(r, -EEXIST, "%s", sentence.text);
        else
                request_finish(r, &reply.header, sizeof(reply));
}

/* The segment has its memory, or will not get it: tell the creator, if it is still there, and those who wait. */
static void conclude(struct server *server, struct segment *s, struct request *r, int result) {
        struct proto_created reply = { .id = s->id };

        if (result == 0 && r)
                result_begin(r, &reply.header, sizeof(reply), s->id);
        if (result == 0)
                result = segment_finish(s);
        registry_wake(&server->registry, s->name);
        if (result == 0) {
                struct log_about about = { .event = LOG_EVENT_CREATED, .segment = s->name, .uid = &s->rule.uid };

                if (r)
                        about = connection_about(r->connection, LOG_EVENT_CREATED, s->name);
                log_write(LOG_INFO, &about, "%s created: %" PRIu32 " slots of %" PRIu64 " bytes, for uid %u, mode %04o",
                          s->name, s->geometry.n_slots, s->geometry.slot_size, s->rule.uid, s->rule.mode);
                if (r)
                        request_finish(r, &reply.header, sizeof(reply));
                return;
        }
        if (r && result == -ENOMEM && s->flags & PROTO_SEGMENT_HUGE)
                request_fail(r, result,
                             "%s needs %" PRIu64 " huge pages of 2 MiB, %" PRIu64
                             " are free: raise vm.nr_hugepages or create it without huge pages",
                             s->name, segment_allocation(s) / GEOMETRY_HUGE_PAGE,
                             memory_huge_pages() + segment_allocated(s) / GEOMETRY_HUGE_PAGE);
        else if (r && result == -ENOMEM)
                request_fail(r, result, "there is not enough free memory for the %" PRIu64 " bytes of %s",
                             segment_allocation(s), s->name);
        else if (r)
                request_fail_system(r, result, "allocate the segment's memory");
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
        quota_release(&creation->charge);
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
        if (request_fail_waiting(r)) {
                conclude(server, s, NULL, -EDQUOT);
                return;
        }
        creation = malloc(sizeof(*creation));
        if (!creation) {
                conclude(server, s, r, -ENOMEM);
                return;
        }
        *creation = (struct creation){ .server = server, .segment = segment_ref(s), .request = r };
        quota_move(&creation->charge, &r->waiting);
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
                        request_fail(r, -EINVAL, "there is no segment %s yet: a new one needs a slot size", p->name);
                else
                        request_fail(r, -EINVAL, "the slot size is %" PRIu64 ": it may be 1 to %" PRIu64 " bytes",
                                     p->slot_size, GEOMETRY_SLOT_SIZE_MAX);
                return true;
        case GEOMETRY_E_SLOTS:
                request_fail(r, -EINVAL, "the number of slots is %" PRIu32 ": it may be 1 to %d", p->n_slots,
                             LAYOUT_SLOTS_MAX);
                return true;
        default:
                request_fail(r, -EINVAL, "%" PRIu32 " slots of %" PRIu64 " bytes are more than a file can have",
                             p->n_slots, p->slot_size);
                return true;
        }
}

/* Return: true if the name is for others, and the request has been answered. */
static bool fail_naming(struct request *r, const char *name) {
        const struct peer *peer = &r->connection->peer;
        const struct naming *naming = &r->connection->server->options->naming;
        char rule[PROTO_TEXT_SIZE];

        if (access_is_admin(peer, request_admins(r)) || naming_may_create(naming, name, peer))
                return false;
        naming_explain(naming, name, rule, sizeof(rule));
        request_fail(r, -EACCES, "you (uid %u) may not create %s: %s", peer->uid, name, rule);
        return true;
}

/* Return: true if other uids are to hold more frames than can be kept for them, and the request has been answered. */
static bool fail_foreign_holds(struct request *r, const struct segment_parameters *p) {
        uint32_t most = slots_foreign_most(p->n_slots);

        if (p->foreign_holds <= most)
                return false;
        request_fail(r, -EINVAL,
                     "readers of each other user are to hold %" PRIu32 " frames: with %" PRIu32
                     " slots it may be %s%" PRIu32 " (two fewer than there are slots, at most %d)",
                     p->foreign_holds, p->n_slots, most ? "0 to " : "", most, LAYOUT_KEPT_MAX);
        return true;
}

/* If a quota would not refuse it without those segments that are just leaving, wait for them: who has removed one may
 * rely on having its room. */
static void fail_new(struct request *r, uint64_t bytes, int result) {
        static const char what[] = "make the segment";

        if (result == QUOTA_E_SOON)
                request_starve(r);
        else if (result == ESTATE_E_FULL)
                request_fail_full(r);
        else if (result < 0)
                request_fail_system(r, result, what);
        else if (quota_check(request_account(r), QUOTA_SEGMENTS, 1))
                request_fail_quota(r, QUOTA_SEGMENTS, 1, result, -ENOSPC, what);
        else
                request_fail_quota(r, QUOTA_BYTES, bytes, result, -EDQUOT, what);
}

static void create_new(struct request *r) {
        const struct proto_create *m = &r->message.create;
        const uint32_t n_slots = m->n_slots ? m->n_slots : PROTO_SLOTS_DEFAULT;
        struct connection *c = r->connection;
        struct server *server = c->server;
        const struct segment_parameters p = {
                .name = m->name,
                .type = m->type,
                .slot_size = m->slot_size,
                .n_slots = n_slots,
                .policy = m->policy ? m->policy : PROTO_POLICY_OVERWRITE,
                .flags = m->segment_flags,
                .foreign_holds = m->foreign_holds                   ? foreign_holds(m)
                                 : slots_foreign_most(n_slots) >= 1 ? PROTO_HOLDS_DEFAULT
                                                                    : 0,
                .rule = { .uid = c->peer.uid, .gid = c->peer.gid, .mode = m->mode ? m->mode : PROTO_MODE_DEFAULT },
        };
        CLEANUP(segment_unrefp) struct segment *s = NULL;
        struct geometry geometry;
        int result;

        if (fail_naming(r, m->name) || fail_parameters(r, &p, &geometry) || fail_foreign_holds(r, &p))
                return;
        if (geometry.file_size > server->options->max_segment_bytes) {
                request_fail(r, -EFBIG,
                             "%s would have %" PRIu64 " bytes: one segment may have %" PRIu64 " (--max-segment-bytes)",
                             p.name, geometry.file_size, server->options->max_segment_bytes);
                return;
        }
        result = segment_new(&s, &p, &geometry, request_account(r), &server->hosts);
        if (result) {
                fail_new(r, geometry.file_size, result);
                return;
        }
        registry_add(&server->registry, s);
        allocate(r, s);
}

void request_create(struct request *r) {
        const struct proto_create *m = &r->message.create;
        struct segment *s;

        if (request_fail_name(r, m->name))
                return;
        if (m->flags & ~PROTO_CREATE_EXCLUSIVE)
                request_fail(r, -EINVAL, "the flags to create are 0x%" PRIx32 ": only 0x%x is known here", m->flags,
                             PROTO_CREATE_EXCLUSIVE);
        else if (m->segment_flags & ~PROTO_SEGMENT_FLAGS)
                request_fail(r, -EINVAL, "the segment's flags are 0x%" PRIx32 ": only those of 0x%x are known here",
                             m->segment_flags, PROTO_SEGMENT_FLAGS);
        else if (m->policy > PROTO_POLICY_BLOCK)
                request_fail(r, -EINVAL, "the policy is %" PRIu32 ": it may be %d (overwrite) or %d (block)", m->policy,
                             PROTO_POLICY_OVERWRITE, PROTO_POLICY_BLOCK);
        else if (m->mode > 0777)
                request_fail(r, -EINVAL, "the mode is 0%" PRIo32 ": it has permission bits only, 0777 at most",
                             m->mode);
        else if (strlen(m->type) > PROTO_TYPE_MAX)
                request_fail(r, -EINVAL, "the type has %zu bytes: it may have %d", strlen(m->type), PROTO_TYPE_MAX);
        else if (!(s = registry_find(&r->connection->server->registry, m->name)))
                create_new(r);
        else if (s->state == SEGMENT_CREATING)
                request_wait(r, m->name);
        else
                create_existing(r, s);
}

void request_abandon_creation(struct creation *creation) {
        creation->request = NULL;
        if (!registry_is_awaited(&creation->server->registry, creation->segment->name))
                allocation_cancel(&creation->allocation);
}
