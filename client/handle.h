/*
 * handle.h -- what a reader and a writer have in common: a socket of their own to the daemon, a watch to wait on, the
 * segment's memory, and what the daemon has told since.
 *
 * A handle's socket is its life: when it closes, the daemon cleans up after it. Notices arrive on it, and it is in the
 * watch, so whoever waits on the watch hears of them; who does not wait looks at the epoch in the segment's header,
 * which costs no system call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/attach.h"
#include "client/failure.h"
#include "client/fork.h"
#include "client/shmd.h"
#include "proto/message.h"
#include "proto/packet.h"
#include "proto/slots.h"

#define WATCH_SOCKET 1 /* epoll data of the socket; the daemon's bells have 0 */
#define WATCH_TIMER 2

struct handle {
        int socket; /* -1: there is none now */
        int watch;  /* an epoll instance */
        int data;   /* the data memfd, with the writer's sign of life; to ask for others' */
        struct slots slots;
        uint32_t epoch; /* the header's when the notices were last read */
        struct proto_users users;
        unsigned events; /* SHMD_EVENT_* that nobody has been told yet */
        bool removed;
        bool forked; /* this is a child's copy: everything is closed, nothing is mapped */
        struct shmd_info info;
        struct fork_guard guard;
        void (*in_child)(struct handle *); /* closes what the reader or writer has besides */
        /* A writer's, for a new reader group: takes both descriptors, whatever it returns (0 or a negative errno). */
        int (*on_group)(struct handle *, const struct proto_group *, int table, int bell);
        /* Say in a claim which handle it is. Return: the descriptor with its lock, borrowed. */
        int (*fill_claim)(struct handle *, struct proto_claim *);
        struct attach attach;
};

/* A handle that handle_close() accepts. */
void handle_init(struct handle *h);

/**
 * handle_open() - open a segment
 * @h:          initialised
 * @conn:       where the daemon is; receives the sentence of a failure
 * @name:       the segment
 * @unknown_flags: of the caller's flags those that cannot be had: -EINVAL if there are any
 * @request:    access, flags and start are set
 * @opened:     receives the daemon's answer
 * @packet:     receives its descriptors from the second on, which the caller takes or closes; needs no buffer
 * @fds_max:    how many descriptors may come
 * @timeout_ms: how long to wait for the answer
 *
 * Return: 0 or a negative errno, see shmd_writer_open(). @h is to be closed in any case.
 */
int handle_open(struct handle *h, struct shmd *conn, const char *name, unsigned unknown_flags,
                struct proto_open *request, struct proto_opened *opened, struct packet *packet, size_t fds_max,
                int timeout_ms);

void handle_close(struct handle *h);

/* Map a memfd that a child is not to inherit: @writable or not, its pages at once or as they are touched. Return: 0 or a
 * negative errno. */
int handle_map(void **out, int fd, size_t size, bool writable, bool populate);

/* Read the notices if the header says there are any: no system call otherwise. Return: 0 or a negative errno. */
int handle_look(struct handle *h);

/* Read the notices. Return: 0 or a negative errno (-EMFILE: a group's descriptors did not fit; it stays unread). */
int handle_drain(struct handle *h);

/**
 * handle_sleep() - wait on the watch
 * @h:          the handle
 * @timeout_ms: as in epoll_wait(2)
 *
 * Takes the edges off the watch, and reads the notices if there are any.
 *
 * Return: 0, -EINTR, or what handle_drain() returns.
 */
int handle_sleep(struct handle *h, int timeout_ms);

/* The daemon has told these: note what has changed. */
void handle_take_users(struct handle *h, const struct proto_users *users);

/* Does the process live that showed so with a lock on byte LAYOUT_LOCK_BASE + @id of @fd? Yes, if it cannot be told. */
bool handle_is_alive(int fd, uint32_t id);
