/*
 * unit.h -- what the service manager's own records say of this service: how many descriptors it keeps.
 *
 * Up to systemd 253 nothing but the bus tells, and an administrator who has lowered the number need not have told the
 * daemon so. It is asked once, and not waited for. Without a bus, or an answer, the number stays what it is.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdint.h>

struct sd_bus;
struct server;

struct unit {
        struct sd_bus *bus; /* NULL: it has answered, or was not asked */
        struct event socket;
        struct event deadline; /* of the bus */
};

/* Ask. server_limit_store() follows, if it keeps less than the daemon thinks. */
void unit_init(struct server *server);

void unit_deinit(struct server *server);
