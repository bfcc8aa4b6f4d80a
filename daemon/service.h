/*
 * service.h -- what the service manager is told: that the daemon is ready, how it is, and that it still turns.
 *
 * Without a service manager ($NOTIFY_SOCKET) all of this does nothing. What can wait or be lost never blocks the loop;
 * ready, reloading and stopping may have to wait for room in the manager's queue.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/options.h"

struct server;

struct service {
        int socket; /* -1: there is no manager */
        struct sockaddr_un address;
        socklen_t address_size;
        struct event watchdog;
        struct event status;             /* a moment after a change */
        bool changed;                    /* the status may have */
        char told[128];                  /* the last status */
        char trouble[OPTIONS_TEXT_SIZE]; /* what the status begins with */
};

void service_init(struct server *server);

/* Clients are accepted. From now on the manager gets signs of life, as often as it asks for them. */
void service_ready(struct server *server);

/* Segments, bytes or clients may have changed: the status is brought up to date, once a second at most. */
void service_changed(struct server *server);

/* The configuration is being read anew; service_reloaded() must follow. */
void service_reloading(struct server *server);

/* @trouble: what is wrong with it, so that the old one still holds; NULL: nothing. */
void service_reloaded(struct server *server, const char *trouble);

void service_stopping(struct server *server);

void service_deinit(struct server *server);
