/* request_replace.c -- another instance wants to take over. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/connection.h"
#include "daemon/handover.h"
#include "daemon/log.h"
#include "daemon/request_handler.h"
#include "daemon/server.h"

void request_replace(struct request *r) {
        struct connection *c = r->connection;
        struct server *server = c->server;

        if (c->peer.uid != 0 && c->peer.uid != geteuid())
                request_fail(r, -EPERM, "only root and uid %u may replace the daemon: you are uid %u", geteuid(),
                             c->peer.uid);
        else if (store_is_there(&server->estate.store))
                request_fail(r, -EBUSY,
                             "a service manager keeps the daemon's descriptors, and would start another one with them: "
                             "have it restart the daemon");
        else if (server->listeners.n == 0)
                request_fail(r, -EBUSY, "the daemon listens nowhere: there is nothing to take over");
        else
                request_put_off(r, &server->successors);
}

void request_hand_over(struct request *r) {
        struct connection *c = r->connection;
        const struct proto_header asked = r->message.header;
        int e = handover_give(c->server, c, &asked);

        log_warning("pid %d has not taken over, so this daemon goes on: %s", c->peer.pid, strerror(-e));
        request_fail_system(r, e, "hand over");
}
