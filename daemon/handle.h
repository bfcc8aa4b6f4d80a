/*
 * handle.h -- a connection's open of a segment, as a reader or a writer.
 *
 * Opening takes two steps, because the watch that comes with it may be touched on its user's thread only: handle_new()
 * reserves all that is needed, handle_start() has the bell added to the watch and calls back, handle_open() lets it in.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/quota.h"
#include "daemon/tree.h"
#include "daemon/worker.h"
#include "proto/message.h"

struct connection;
struct group;
struct segment;
struct server;
struct user;

struct handle {
        TAILQ_ENTRY(handle) link;        /* the segment's, once open */
        LIST_ENTRY(handle) writers_link; /* a writer's, once it has an id */
        struct server *server;
        struct connection *connection; /* borrowed; NULL: it has gone while this was being opened, or a ghost */
        struct segment *segment;       /* a reference */
        struct group *group;           /* a reader's */
        struct user *user;             /* a reference; NULL: a ghost */
        struct quota_charge charge;
        RB_ENTRY(handle) ghost_link; /* the ghosts' */
        bool ghost;                  /* open since before the restart, and not claimed yet: there is no connection */
        bool writer;
        bool ordered;
        bool open;
        uint32_t start;
        uint32_t id;            /* entry in the group's table, or writer id */
        int description;        /* until it is sent: its own, with the lock */
        uint64_t version;       /* of the segment, as told */
        uint64_t groups;        /* writer: bit N: group N is still to be told */
        unsigned groups_unread; /* notices with descriptors that it may not have read yet */
        struct job job;         /* the watch */
        int watch;
        int bell; /* borrowed: what to add to the watch; -1: nothing */
        void (*done)(struct handle *h, int result);
};

enum {
        HANDLE_E_WRITERS = 1, /* as many writers as there may be */
        HANDLE_E_GROUPS,      /* as many reader groups as there may be */
        HANDLE_E_UNREAD,      /* a writer does not read what it is told about new groups */
        HANDLE_E_LOCKED,      /* somebody holds the locks of all free entries */
        HANDLE_E_QUOTA,       /* the user has as many as it may have */
        HANDLE_E_GROUP_QUOTA, /* of reader groups, likewise */
        HANDLE_E_SHARE,       /* more writers or reader groups than it would leave to the others at this segment */
        HANDLE_E_UNCLAIMED,   /* a writer has not come back yet since the restart: ask again */
};

/* Descriptors that the reply to an open has, at most, as things are. */
size_t handle_fds(const struct segment *segment, bool writer);

/**
 * handle_new() - reserve what a reader or writer needs
 * @out:        receives it
 * @connection: whose
 * @segment:    ready; access has been checked
 * @request:    checked
 *
 * A new reader group is announced to the writers.
 *
 * Return: 0, HANDLE_E_*, ESTATE_E_FULL, or a negative errno.
 */
int handle_new(struct handle **out, struct connection *connection, struct segment *segment,
               const struct proto_open *request);

/* If the writers' lock is that of one that is none of @segment's handles, what that one was writing is given up. */
void handle_release_lock(struct segment *segment);

/* Close it, open or not; not between handle_start() and done(). NULL is fine; returns NULL. */
struct handle *handle_free(struct handle *h);

/**
 * handle_start() - add the bell to the watch
 * @watch: consumed, also on failure
 * @done:  called on the loop. @result: 0; -EINVAL: not an epoll instance; another negative errno
 *
 * Return: 0, or a negative errno: no thread.
 */
int handle_start(struct handle *h, int watch, void (*done)(struct handle *h, int result));

/**
 * handle_open() - let it in, and say what there is
 * @reply: receives all but the header
 * @fds:   room for PROTO_FDS_MAX; receives the descriptors, which are the caller's then
 * @n_fds: how many
 *
 * Return: 0, or a negative errno: nothing has happened.
 */
int handle_open(struct handle *h, struct proto_opened *reply, int *fds, size_t *n_fds);
