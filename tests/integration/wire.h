/*
 * wire.h -- a client that speaks the protocol by hand, truly or not, without the library in between.
 *
 * Asserts what every honest exchange has in common: one reply a request, with its op, its serial number and as many
 * descriptors as it says. Notices that come in between are kept: the newest state, and how many came.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/message.h"
#include "proto/packet.h"
#include "proto/slots.h"
#include "tests/integration/fixture.h"

struct wire {
        int socket;
        uint32_t serial;
        struct packet packet; /* the newest message, with its descriptors */
        union {
                union proto_any any;
                uint64_t bytes[PROTO_MESSAGE_MAX / 8];
        } in;
        struct proto_users users; /* of the newest state notice */
        unsigned n_states;
        unsigned n_groups; /* group notices; their descriptors are closed */
        uint32_t group;    /* index of the newest one */
        int watch;         /* of an open; -1: none */
};

/* A socket that is connected to the daemon, and nothing said yet. */
int wire_socket(const char *path);

/* Prepare for a socket, which is consumed. */
void wire_init(struct wire *w, int socket);

/* Connect and say hello. */
void wire_open(struct wire *w, const struct fixture *f);

/* Close the socket and all descriptors. */
void wire_close(struct wire *w);

/* Put a header before a request. Its size is the whole structure's. */
void wire_header(struct wire *w, void *request, uint16_t op, uint32_t n_fds);

void wire_send(struct wire *w, const void *bytes, size_t size, const int *fds, size_t n_fds);

/* Wait for a message of any kind. Return: false if the daemon has closed the connection. */
bool wire_receive(struct wire *w);

/* Is one there now? */
bool wire_pending(const struct wire *w);

/* Receive up to the next reply. Return: its error. */
int wire_reply(struct wire *w);

/* Send a request that has its header, and wait for the reply. Return: its error. */
int wire_request(struct wire *w, void *request, const int *fds, size_t n_fds);

/* The sentence that came with the last error. */
const char *wire_text(const struct wire *w);

/* The last error's sentence names each of these words. */
#define wire_assert_text(w, ...) wire_assert_words(w, (const char *const[]){ __VA_ARGS__, NULL })
void wire_assert_words(const struct wire *w, const char *const *words);

/* The daemon says why and closes the connection: -errno of the last message, or 0 if it only closed. */
int wire_expect_dropped(struct wire *w);

/* ---- requests; all return the reply's error --------------------------------------------------------------------- */

int wire_hello(struct wire *w, const char *client);

/* @m: all but header and name. */
int wire_create_as(struct wire *w, const char *name, struct proto_create *m);
int wire_create(struct wire *w, const char *name, uint64_t slot_size, uint32_t n_slots);

/* Send an open with a watch of its own, and do not wait. */
void wire_open_send(struct wire *w, const char *name, uint32_t access, uint32_t flags, uint32_t start);
int wire_open_segment(struct wire *w, const char *name, uint32_t access, uint32_t flags, uint32_t start);

/* The info is in w->in.any.stat_reply. */
int wire_stat(struct wire *w, const char *name);
int wire_remove(struct wire *w, const char *name);

/* One page, in wire_page(). */
int wire_list(struct wire *w, const char *pattern, const char *after);
const struct proto_list_reply *wire_page(const struct wire *w);

/* ---- what came with an open ------------------------------------------------------------------------------------- */

/* Wait for the next state notice, unless one has come since n_states was set to 0. */
void wire_wait_state(struct wire *w);

/* Wait until a segment has so many users, as its stat says. */
void wire_expect_users(struct wire *w, const char *name, uint32_t writers, uint32_t readers);

struct wire_mapping {
        struct slots slots;
        struct layout_table *table; /* a reader's; NULL otherwise */
        size_t size;
};

/* Map what a reader or a writer was sent, with the rights it should have. */
void wire_map(struct wire_mapping *m, const struct wire *w, bool writer);
void wire_unmap(struct wire_mapping *m);
