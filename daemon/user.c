#include "daemon/user.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "proto/cleanup.h"

#define UNCHARGED_MAX 64 /* more are closed at once, whatever that takes: their number has no other limit */

static int compare(const struct user *a, const struct user *b) { return (a->uid > b->uid) - (a->uid < b->uid); }

TREE_GENERATE(user_tree, user, link, compare)

void users_init(struct users *users, struct worker_pool *pool, struct quotas *quotas) {
        *users = (struct users){ .pool = pool, .quotas = quotas };
        RB_INIT(&users->tree);
}

struct user *user_get(struct users *users, uid_t uid) {
        struct user key = { .uid = uid };
        struct user *user = RB_FIND(user_tree, &users->tree, &key);

        if (!user) {
                user = calloc(1, sizeof(*user));
                if (!user)
                        return NULL;
                user->account = quota_account_get(users->quotas, uid);
                if (!user->account) {
                        free(user);
                        return NULL;
                }
                user->users = users;
                user->uid = uid;
                (void)RB_INSERT(user_tree, &users->tree, user);
        }
        user->n_refs++;
        return user;
}

struct user *user_unref(struct user *user) {
        if (!user || --user->n_refs > 0)
                return NULL;
        RB_REMOVE(user_tree, &user->users->tree, user);
        /* Every job held a reference until it was done: the thread has nothing to do, and ends at once. */
        if (user->started)
                worker_stop(&user->worker);
        quota_account_unref(user->account);
        free(user);
        return NULL;
}

int user_submit(struct user *user, struct job *job) {
        if (!user->started) {
                int r = worker_start(&user->worker, user->users->pool);

                if (r < 0)
                        return r;
                user->started = true;
        }
        worker_submit(&user->worker, job);
        return 0;
}

struct closing {
        struct job job;
        struct user *user; /* a reference */
        struct quota_charge charge;
        bool uncharged; /* and counted as such */
        int fd;
};

static int close_step(struct job *job) {
        fd_close(container_of(job, struct closing, job)->fd);
        return 0;
}

/* A peer whose messages are thrown away unread gets ECONNRESET, before it gets what was sent to it. */
static int close_socket_step(struct job *job) {
        int fd = container_of(job, struct closing, job)->fd;
        char byte;

        while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
                ;
        return close_step(job);
}

static void close_done(struct job *job, int result) {
        struct closing *c = container_of(job, struct closing, job);

        (void)result;
        quota_release(&c->charge);
        c->user->n_uncharged -= c->uncharged;
        user_unref(c->user);
        free(c);
}

/* Return: NULL: neither memory nor thread. */
static struct closing *close_on_thread(struct user *user, int fd, int (*step)(struct job *job)) {
        struct closing *c = malloc(sizeof(*c));

        if (!c)
                return NULL;
        *c = (struct closing){ .job = { .step = step, .done = close_done }, .user = user, .fd = fd };
        if (user_submit(user, &c->job) < 0) {
                free(c);
                return NULL;
        }
        user->n_refs++;
        return c;
}

void user_close(struct user *user, int fd) {
        if (fd >= 0 && !close_on_thread(user, fd, close_step))
                fd_close(fd); /* all that is left */
}

void user_close_socket(struct user *user, int socket, struct quota_charge *charge) {
        bool uncharged = !charge->account;
        struct closing *c = NULL;
        int unread = 0;

        (void)shutdown(socket, SHUT_RD); /* nothing more comes */
        if ((ioctl(socket, FIONREAD, &unread) < 0 || unread > 0) && !(uncharged && user->n_uncharged >= UNCHARGED_MAX))
                c = close_on_thread(user, socket, close_socket_step);
        if (!c) {
                fd_close(socket);
                quota_release(charge);
                return;
        }
        quota_move(&c->charge, charge);
        c->uncharged = uncharged;
        user->n_uncharged += uncharged;
}
