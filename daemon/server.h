/*
 * server.h -- the loop, and all that lives in it.
 *
 * Everything here is touched by the loop's thread only; workers see nothing but their jobs.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/estate.h"
#include "daemon/flight.h"
#include "daemon/ghost.h"
#include "daemon/listener.h"
#include "daemon/notice.h"
#include "daemon/quota.h"
#include "daemon/registry.h"
#include "daemon/reload.h"
#include "daemon/request.h"
#include "daemon/result.h"
#include "daemon/segment.h"
#include "daemon/service.h"
#include "daemon/unit.h"
#include "daemon/user.h"
#include "daemon/worker.h"

struct connection;
struct event_base;
struct options;

TAILQ_HEAD(connection_queue, connection);

struct server {
        struct options *options; /* borrowed; a reload changes them */
        uint64_t store_max;      /* descriptors that systemd keeps; see limits.h */
        uint64_t fds_max;        /* descriptors that there may be */
        struct event_base *base;
        struct event deferred; /* the end of the turn */
        struct event ends[2];  /* SIGTERM, SIGINT */
        struct worker_pool pool;
        struct worker worker; /* allocates and frees */
        struct users users;
        struct quotas quotas;
        struct estate estate;
        struct segment_hosts hosts;
        struct registry registry;
        struct notices notices;
        struct listeners listeners;
        struct service service;
        struct reload reload;
        struct unit unit;
        struct connection_queue connections;
        struct connection_queue dead;
        struct connection_queue lingering; /* dead, but something is under way to them */
        struct flight_queue flights;
        struct request_queue woken;
        struct request_queue starved; /* they wait for what is leaving */
        struct request_queue parked;  /* they wait for ghosts */
        struct request_queue successors;
        struct ghosts ghosts;
        struct results results;
        struct segment **restored; /* references; between restore() and restore_finish() */
        size_t n_restored;
        size_t n_refused; /* of what the instance before had */
        void *buffer;     /* one message of any size, on its way in or out */
};

/**
 * server_run() - serve until a signal ends it
 * @options: borrowed; a reload changes them
 * @argc:    the command line that they come from,
 * @argv:    for a reload
 *
 * What keeps it from starting is logged.
 *
 * Return: 0 or a negative errno.
 */
int server_run(struct options *options, int argc, char **argv);

/* Do what was put off, at the end of this turn. */
void server_defer(struct server *server);

/* From now on the limits are these, and lines as urgent as that are logged. Nothing is dropped. @fresh: gets the old
 * ones. */
void server_configure(struct server *server, struct options *fresh);

/* systemd keeps no more descriptors than that. */
void server_limit_store(struct server *server, uint64_t max);

void server_add_connection(struct server *server, struct connection *c);

/* One that is dead: free it at the end of this turn. */
void server_bury_connection(struct server *server, struct connection *c);

/* Run the request again when a ghost has been claimed, and now and then. */
void server_park(struct server *server, struct request *r);

/* Run those who wait for ghosts. */
void server_unpark(struct server *server);

/* Take a segment's name away, and tell who has it open. @by: the client that wants it; NULL: nobody. */
void server_remove_segment(struct server *server, struct segment *s, const struct connection *by, const char *why);
