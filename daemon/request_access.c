/* request_access.c -- what only the owner of a segment may do with it, or an administrator. */
#include <errno.h>
#include <inttypes.h>

#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/notice.h"
#include "daemon/request_handler.h"
#include "daemon/result.h"
#include "daemon/segment.h"
#include "daemon/server.h"

/* The segment of that name, if whoever asks is its owner or an administrator. NULL: the request has been answered. */
static struct segment *find_own(struct request *r, const char *name, const char *what) {
        const struct peer *peer = &r->connection->peer;
        struct segment *s;

        if (request_fail_name(r, name))
                return NULL;
        s = request_find(r, name);
        if (!s) {
                request_fail(r, -ENOENT, "there is no segment %s", name);
                return NULL;
        }
        if (!access_may_change(&s->rule, peer, request_admins(r))) {
                request_fail(r, -EPERM, "%s belongs to uid %u: you (uid %u) may not %s", name, s->rule.uid, peer->uid,
                             what);
                return NULL;
        }
        return s;
}

void request_remove(struct request *r) {
        struct connection *c = r->connection;
        struct segment *s = find_own(r, r->message.remove.name, "remove it");
        struct proto_header reply;
        char text[128];

        if (!s)
                return;
        result_begin(r, &reply, sizeof(reply), s->id);
        server_remove_segment(c->server, s, c, connection_name(c, text, sizeof(text)));
        /* Who removes it may rely on it: those who have it open have been told. */
        notice_flush(c->server);
        request_finish(r, &reply, sizeof(reply));
}

/* From now on; what is open stays open. */
static void change(struct request *r, struct segment *s, struct access_rule rule) {
        struct connection *c = r->connection;
        struct log_about about = connection_about(c, LOG_EVENT_CHANGED, s->name);
        struct proto_header reply;
        char text[128];

        log_write(LOG_INFO, &about, "%s: uid %u, gid %u, mode %04o instead of uid %u, gid %u, mode %04o: %s", s->name,
                  rule.uid, rule.gid, rule.mode, s->rule.uid, s->rule.gid, s->rule.mode,
                  connection_name(c, text, sizeof(text)));
        s->rule = rule;
        estate_update_segment(s->estate, s);
        request_finish(r, &reply, sizeof(reply));
}

void request_chmod(struct request *r) {
        const struct proto_chmod *m = &r->message.chmod;
        struct segment *s;

        if (m->mode > 0777) {
                request_fail(r, -EINVAL, "the mode is 0%" PRIo32 ": it has permission bits only, 0777 at most",
                             m->mode);
                return;
        }
        s = find_own(r, m->name, "change its mode");
        if (s)
                change(r, s, (struct access_rule){ .uid = s->rule.uid, .gid = s->rule.gid, .mode = m->mode });
}

/* The owner pays. Return: true if that one cannot, and the request has been answered. */
static bool fail_transfer(struct request *r, struct segment *s, uint32_t uid) {
        struct quota_account *to = quota_account_get(&r->connection->server->quotas, uid);
        enum quota_resource resource;
        char text[PROTO_TEXT_SIZE];
        int outcome;

        if (!to) {
                request_fail_system(r, -ENOMEM, "change the owner");
                return true;
        }
        outcome = quota_transfer(s->charges, ALLOCATION_CHARGES, to, &resource);
        if (outcome) {
                quota_explain(text, sizeof(text), to, resource, resource == QUOTA_BYTES ? s->geometry.file_size : 1,
                              outcome);
                request_fail(r, -EDQUOT, "cannot give %s away: %s", s->name, text);
        }
        quota_account_unref(to);
        return outcome != 0;
}

void request_chown(struct request *r) {
        const struct proto_chown *m = &r->message.chown;
        const struct peer *peer = &r->connection->peer;
        struct segment *s = find_own(r, m->name, "give it away");
        struct access_rule rule;
        bool may_give;

        if (!s)
                return;
        rule = (struct access_rule){
                .uid = m->uid == PROTO_KEEP ? s->rule.uid : m->uid,
                .gid = m->gid == PROTO_KEEP ? s->rule.gid : m->gid,
                .mode = s->rule.mode,
        };
        may_give = access_may_give(&s->rule, peer, request_admins(r), rule.uid, rule.gid);
        if (!may_give && rule.uid != s->rule.uid)
                request_fail(r, -EPERM, "only root and administrators may give %s to another user: you are uid %u",
                             s->name, peer->uid);
        else if (!may_give)
                request_fail(r, -EPERM,
                             "you (uid %u) are not in group %u: the owner may give %s to a group that he is in",
                             peer->uid, rule.gid, s->name);
        else if (!fail_transfer(r, s, rule.uid))
                change(r, s, rule);
}
