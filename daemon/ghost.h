/*
 * ghost.h -- handles that were open before the restart, until their processes have come back.
 *
 * A ghost is open like any other handle, but has no connection: it counts as a user, and its lock says whether its process
 * lives. It is looked at now and then until it has been claimed, or is dead.
 *
 * A ghost that writes cannot be told of a new reader group. So readers who need one wait for a while, as long as a living
 * process may take to come back. Then they are let in, and the data header says that some were: a writer that comes by
 * later learns of them before it goes on.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/tree.h"
#include "proto/message.h"

struct connection;
struct group;
struct handle;
struct segment;
struct server;

RB_HEAD(ghost_tree, handle);

struct ghosts {
        struct ghost_tree tree;
        struct event timer;
        unsigned pause_ms; /* to the next look */
        bool awaited;      /* they may still come back soon */
        unsigned waited_ms;
};

void ghosts_init(struct server *server);
void ghosts_deinit(struct server *server);

/* All that there are have been made: look after them. */
void ghosts_start(struct server *server);

/* Is it worth waiting for one? */
static inline bool ghosts_are_awaited(const struct ghosts *g) { return g->awaited && !RB_EMPTY(&g->tree); }

/**
 * ghost_new() - a handle whose process lives
 * @segment: mapped
 * @group:   a reader's; NULL: a writer
 * @id:      its entry, or writer id; free
 *
 * Return: 0 or -ENOMEM.
 */
int ghost_new(struct server *server, struct segment *segment, struct group *group, uint32_t id);

/* The ghost that a claim is about. NULL: there is none. */
struct handle *ghost_find(struct server *server, const struct proto_claim *request);

/* Its process has come back with that connection: it is no ghost any more. */
void ghost_claim(struct handle *h, struct connection *connection, const struct proto_claim *request);

/* It is about to be freed, or has been claimed. */
void ghost_forget(struct handle *h);
