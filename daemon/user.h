/*
 * user.h -- a uid that has connections, and a thread for the descriptors that it sends.
 *
 * A descriptor that comes from outside may be anything. Touching or closing one can take seconds (an epoll instance with
 * millions of entries), or for ever (a file of a FUSE file system whose server sleeps). So it happens on a thread of
 * that user's own: who hangs it, hangs himself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "daemon/tree.h"

#include "daemon/quota.h"
#include "daemon/worker.h"
#include "proto/cleanup.h"

struct user {
        RB_ENTRY(user) link;
        struct users *users;
        uid_t uid;
        size_t n_refs;
        struct quota_account *account; /* a reference */
        size_t n_uncharged;            /* sockets that are being closed, and that nobody pays for */
        bool started;                  /* the thread */
        struct worker worker;
};

RB_HEAD(user_tree, user);

struct users {
        struct user_tree tree;
        struct worker_pool *pool; /* borrowed */
        struct quotas *quotas;    /* borrowed */
};

void users_init(struct users *users, struct worker_pool *pool, struct quotas *quotas);

/* The user with that uid, and a reference. NULL: no memory. */
struct user *user_get(struct users *users, uid_t uid);

/* The last one ends the thread. NULL is fine; returns NULL. */
struct user *user_unref(struct user *user);
DEFINE_CLEANUP(struct user *, user_unref)

/* Have a job done on the user's thread. Whoever waits for it keeps a reference. Return: 0, or a negative errno where no
 * thread could be started. */
int user_submit(struct user *user, struct job *job);

/* Close a descriptor that this user sent; consumed, -1 is fine. */
void user_close(struct user *user, int fd);

/* Close a socket that this user is at the other end of; consumed. Descriptors in messages that nobody has read go with
 * it. @charge: for it, taken over until it is closed; may be empty. */
void user_close_socket(struct user *user, int socket, struct quota_charge *charge);
