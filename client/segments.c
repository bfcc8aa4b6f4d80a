/* segments.c -- what can be asked about segments without opening one. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/connection.h"
#include "client/info.h"
#include "proto/cleanup.h"

static void unlock(struct shmd **conn) { pthread_mutex_unlock(&(*conn)->mutex); }

/* Holds the connection for the rest of the scope. */
#define CONNECTION_SCOPE(conn)                                  \
        CLEANUP(unlock) struct shmd *connection_scope = (conn); \
        pthread_mutex_lock(&connection_scope->mutex);           \
        connection_scope->failure.text[0] = '\0'

static int fail_reply(struct shmd *conn) {
        return failure_set(&conn->failure, -EPROTO, "the daemon's reply has parts that are unknown here");
}

/* A request about one segment, whose name goes to @to in it. The connection is held. */
static int call_about(struct shmd *conn, const char *name, char *to, void *request, uint16_t op, size_t size,
                      struct packet *packet) {
        int r = failure_check_name(&conn->failure, name);

        if (r)
                return r;
        memcpy(to, name, strlen(name) + 1);
        return connection_call(conn, request, op, size, packet);
}

int shmd_create(struct shmd *conn, const char *name, const struct shmd_options *options) {
        struct proto_create request = {
                .slot_size = options->slot_size,
                .n_slots = options->n_slots,
                .mode = options->mode,
                .policy = options->policy,
                .segment_flags = options->flags & PROTO_SEGMENT_FLAGS,
                .flags = options->flags & SHMD_EXCLUSIVE ? PROTO_CREATE_EXCLUSIVE : 0,
                .foreign_holds = options->foreign_holds,
        };
        const char *type = options->type ? options->type : "";
        struct proto_created created;
        struct packet packet;
        int r;

        CONNECTION_SCOPE(conn);
        r = failure_check_name(&conn->failure, name);
        if (r)
                return r;
        if (options->flags & ~(PROTO_SEGMENT_FLAGS | SHMD_EXCLUSIVE))
                return failure_set(&conn->failure, -EINVAL, "unknown flags 0x%x",
                                   options->flags & ~(PROTO_SEGMENT_FLAGS | SHMD_EXCLUSIVE));
        if (strlen(type) > PROTO_TYPE_MAX)
                return failure_set(&conn->failure, -EINVAL, "the type has %zu bytes, at most %d are allowed",
                                   strlen(type), PROTO_TYPE_MAX);
        memcpy(request.name, name, strlen(name) + 1);
        memcpy(request.type, type, strlen(type) + 1);
        r = connection_call(conn, &request, PROTO_OP_CREATE, sizeof(request), &packet);
        if (r)
                return r;
        if (message_extract(&created, sizeof(created), packet.bytes, packet.size))
                return fail_reply(conn);
        return created.existed ? 1 : 0;
}

int shmd_remove(struct shmd *conn, const char *name) {
        struct proto_remove request = { 0 };
        struct packet packet;

        CONNECTION_SCOPE(conn);
        return call_about(conn, name, request.name, &request, PROTO_OP_REMOVE, sizeof(request), &packet);
}

int shmd_chmod(struct shmd *conn, const char *name, uint32_t mode) {
        struct proto_chmod request = { .mode = mode };
        struct packet packet;

        CONNECTION_SCOPE(conn);
        return call_about(conn, name, request.name, &request, PROTO_OP_CHMOD, sizeof(request), &packet);
}

int shmd_chown(struct shmd *conn, const char *name, uint32_t uid, uint32_t gid) {
        struct proto_chown request = { .uid = uid, .gid = gid };
        struct packet packet;

        CONNECTION_SCOPE(conn);
        return call_about(conn, name, request.name, &request, PROTO_OP_CHOWN, sizeof(request), &packet);
}

int shmd_stat(struct shmd *conn, const char *name, struct shmd_info *info) {
        struct proto_stat request = { 0 };
        struct proto_stat_reply reply;
        struct packet packet;
        int r;

        CONNECTION_SCOPE(conn);
        r = call_about(conn, name, request.name, &request, PROTO_OP_STAT, sizeof(request), &packet);
        if (r)
                return r;
        if (message_extract(&reply, sizeof(reply), packet.bytes, packet.size))
                return fail_reply(conn);
        info_from_proto(info, &reply.info);
        return 0;
}

/* One page. The reply's pieces are checked here: the count against the bytes that came. */
static int list_page(struct shmd *conn, struct proto_list *request, struct shmd_info **infos, uint32_t *count,
                     bool *more) {
        const struct proto_list_reply *reply;
        struct packet packet;
        int r;

        CONNECTION_SCOPE(conn);
        r = connection_call(conn, request, PROTO_OP_LIST, sizeof(*request), &packet);
        if (r)
                return r;
        reply = packet.bytes;
        if (packet.size < sizeof(*reply) || packet.size != sizeof(*reply) + reply->count * sizeof(reply->info[0]) ||
            (reply->more && reply->count == 0))
                return fail_reply(conn);
        *infos = calloc(reply->count ? reply->count : 1, sizeof(**infos));
        if (!*infos)
                return failure_set(&conn->failure, -ENOMEM, "no memory for a page of the list");
        for (uint32_t i = 0; i < reply->count; i++)
                info_from_proto(&(*infos)[i], &reply->info[i]);
        *count = reply->count;
        *more = reply->more;
        return 0;
}

static int check_pattern(struct shmd *conn, const char *pattern) {
        CONNECTION_SCOPE(conn);
        if (strlen(pattern) < sizeof(((struct proto_list *)NULL)->pattern))
                return 0;
        return failure_set(&conn->failure, -EINVAL, "the pattern has %zu bytes, at most %zu are allowed",
                           strlen(pattern), sizeof(((struct proto_list *)NULL)->pattern) - 1);
}

int shmd_list(struct shmd *conn, const char *pattern, shmd_list_fn fn, void *data) {
        struct proto_list request = { 0 };
        bool more = true;
        int r;

        r = check_pattern(conn, pattern ? pattern : "");
        if (r)
                return r;
        memcpy(request.pattern, pattern ? pattern : "", pattern ? strlen(pattern) : 0);
        while (more) {
                CLEANUP(freep) struct shmd_info *infos = NULL;
                uint32_t count = 0;

                r = list_page(conn, &request, &infos, &count, &more);
                for (uint32_t i = 0; i < count && r == 0; i++) {
                        r = fn(&infos[i], data);
                        memcpy(request.after, infos[i].name, sizeof(infos[i].name));
                }
                if (r)
                        return r;
        }
        return 0;
}
