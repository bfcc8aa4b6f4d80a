/*
 * request.h -- what the requests do, and what each failure is called.
 *
 * A request lives from its arrival to its reply. One that has to wait (for a name, for memory, for its watch) stays with
 * its connection meanwhile. Every sentence that a client gets to read, other than on a broken protocol, is made here.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <stdbool.h>

#include "daemon/quota.h"
#include "daemon/registry.h"
#include "proto/message.h"

struct claim;
struct connection;
struct creation;
struct packet;

struct request;
TAILQ_HEAD(request_queue, request);

struct request {
        struct connection *connection;
        struct waiter waiter;
        TAILQ_ENTRY(request) queue_link;
        struct request_queue *queue; /* of those to be run again in the next turn, or when something happens; or NULL */
        struct quota_charge waiting; /* once it had to wait */
        struct creation *creation;   /* borrowed: allocates memory for it */
        struct claim *claim;         /* borrowed: looks at its proof */
        struct proto_list_reply *list; /* so far */
        int watch;                     /* the descriptor that came with it: to open, a watch; to claim, a proof */
        union proto_any message;
};

/* A message has come: check it, and do what it asks for. Takes descriptors out of @packet. */
void request_receive(struct connection *c, struct packet *packet);

/* Go on with one that had to wait. */
void request_run(struct request *r);

/* It is one to be replaced, and nothing is half done: does not return if that works, frees it otherwise. */
void request_hand_over(struct request *r);

/* The client is gone; frees it. */
void request_abandon(struct request *r);
