/*
 * result.h -- what the last request of each client that changed something has come to, so that it takes effect once.
 *
 * A client that has lost the daemon while it waited for a reply asks again, with the same token and serial. If the request
 * took effect before, it gets the reply of then. So the reply is recorded before the effect, and confirmed afterwards; of
 * one that is not confirmed after a restart, what has become of the segment tells whether it took effect.
 *
 * One for each connection, and it goes with it; after a restart those of the instance before wait for their clients for a
 * while.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/record.h"
#include "daemon/tree.h"

struct connection;
struct estate;
struct event_base;
struct proto_header;
struct request;

struct result {
        RB_ENTRY(result) link; /* while it waits for its client */
        struct estate *estate; /* borrowed: the record is there */
        uint32_t place;
        struct record_result body;
};

RB_HEAD(result_tree, result);

struct results {
        struct estate *estate; /* borrowed */
        struct result_tree waiting;
        struct event timer;
};

void results_init(struct results *results, struct estate *estate, struct event_base *base);
void results_deinit(struct results *results);

/* One of the instance before, which is known to have taken effect. */
void results_restore(struct results *results, const struct record_result *body);

/* All are there: they wait for their clients from now on. */
void results_start(struct results *results);

/* The client has said who it is: if it has one from before the restart, it is the connection's from now on. */
void result_find(struct connection *c, uint64_t token);

/* Has the request taken effect before? Return: the reply, which is borrowed; NULL: no, or it is none that changes things. */
const struct proto_header *result_of(const struct request *r);

/**
 * result_begin() - the request is about to take effect
 * @r:       of a kind that changes things
 * @reply:   what will be answered, all but its header
 * @size:    all of it
 * @segment: which one it makes or removes
 */
void result_begin(struct request *r, struct proto_header *reply, size_t size, uint64_t segment);

/* The request has taken effect, and this is the whole answer. Does nothing for one that changes nothing. */
void result_end(struct request *r, const struct proto_header *reply);

/* NULL is fine; returns NULL. */
struct result *result_free(struct result *result);
