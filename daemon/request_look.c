/* request_look.c -- looking at segments without opening one: stat and list. */
#define _GNU_SOURCE
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/connection.h"
#include "daemon/request_handler.h"
#include "daemon/segment.h"
#include "daemon/server.h"

#define LIST_LOOKS 256 /* names a turn */

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
                .foreign_holds = s->foreign_holds,
        };
        segment_newest(s, &info->sequence, &info->timestamp);
        (void)snprintf(info->name, sizeof(info->name), "%s", s->name);
        (void)snprintf(info->type, sizeof(info->type), "%s", s->type);
}

void request_stat(struct request *r) {
        const struct peer *peer = &r->connection->peer;
        const char *name = r->message.stat.name;
        struct proto_stat_reply reply = { 0 };
        struct segment *s;

        if (request_fail_name(r, name))
                return;
        s = request_find(r, name);
        if (!s) {
                request_fail(r, -ENOENT, "there is no segment %s", name);
                return;
        }
        if (!access_may_read(&s->rule, peer, request_admins(r))) {
                request_fail(r, -EACCES, "%s belongs to uid %u, mode %04o: you (uid %u) may not read it", name,
                             s->rule.uid, s->rule.mode, peer->uid);
                return;
        }
        describe(&reply.info, s);
        request_finish(r, &reply.header, sizeof(reply));
}

static bool is_listed(const struct request *r, const struct segment *s) {
        const char *pattern = r->message.list.pattern;

        return s->state == SEGMENT_READY && access_may_read(&s->rule, &r->connection->peer, request_admins(r)) &&
               (pattern[0] == '\0' || fnmatch(pattern, s->name, 0) == 0);
}

/* A pattern may be dear to match, and there may be many names: others are served in between. */
void request_list(struct request *r) {
        struct registry *registry = &r->connection->server->registry;
        char *after = r->message.list.after;
        struct proto_list_reply *reply = r->list;
        struct segment *s;
        int looks = 0;

        if (!reply) {
                reply = malloc(PROTO_MESSAGE_MAX);
                if (!reply) {
                        request_fail_system(r, -ENOMEM, "list the segments");
                        return;
                }
                *reply = (struct proto_list_reply){ 0 };
                r->list = reply;
        }
        for (s = registry_after(registry, after); s; s = registry_next(s)) {
                if (looks++ == LIST_LOOKS) {
                        request_run_again(r);
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
        request_finish(r, &reply->header, sizeof(*reply) + reply->count * sizeof(reply->info[0]));
        free(reply);
}
