/* request_access.c -- what only the owner of a segment may do with it. */
#include <errno.h>

#include "daemon/connection.h"
#include "daemon/notice.h"
#include "daemon/request_handler.h"
#include "daemon/segment.h"
#include "daemon/server.h"

void request_remove(struct request *r) {
        struct connection *c = r->connection;
        const char *name = r->message.remove.name;
        struct proto_header reply;
        struct segment *s;
        char text[128];

        if (request_fail_name(r, name))
                return;
        s = request_find(r, name);
        if (!s) {
                request_fail(r, -ENOENT, "there is no segment %s", name);
                return;
        }
        if (!access_may_remove(&s->rule, &c->peer)) {
                request_fail(r, -EPERM, "%s belongs to uid %u: you (uid %u) may not remove it", name, s->rule.uid,
                             c->peer.uid);
                return;
        }
        server_remove_segment(c->server, s, connection_name(c, text, sizeof(text)));
        /* Who removes it may rely on it: those who have it open have been told. */
        notice_flush(c->server);
        request_finish(r, &reply, sizeof(reply));
}
