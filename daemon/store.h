/*
 * store.h -- descriptors that the service manager keeps for the next instance of the daemon.
 *
 * systemd's file descriptor store, by its notification protocol. sd_notify() would do but for one thing: it waits while
 * the manager's queue is full, and the loop may not. What the manager does not take at once is kept in order and sent
 * when it does; meanwhile no reply leaves (connection.c), so nobody relies on what would not survive.
 *
 * The manager drops what is too much without a word, so it is counted here. Without a manager, nothing is kept, and
 * there is room for everything.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct event_base;

#define STORE_NAME_MAX 24 /* with its NUL: a letter and a number */

struct store {
        int socket; /* -1: there is no manager */
        struct sockaddr_un address;
        socklen_t address_size;
        size_t max; /* one less than there may be: the next instance keeps its record before it gives ours up */
        size_t n;   /* kept, or reserved */
        bool complained;
        struct event event;               /* until it takes more */
        void (*settled)(struct store *s); /* what had to wait has been taken */
        TAILQ_HEAD(, store_message) queue;
};

/**
 * store_init() - find out whether there is a manager
 * @base: of the loop
 *
 * @max: descriptors that it keeps; 0: none
 *
 * $NOTIFY_SOCKET says where it is.
 *
 * Return: 0 or a negative errno.
 */
int store_init(struct store *s, struct event_base *base, uint64_t max);

void store_deinit(struct store *s);

/* Is anything kept at all? */
static inline bool store_is_there(const struct store *s) { return s->socket >= 0; }

/* The manager keeps @max descriptors. What is kept beyond that stays until it goes. */
void store_limit(struct store *s, uint64_t max);

/* Count @n more, if they fit. */
bool store_reserve(struct store *s, size_t n);

/* Count @n that are kept since before, whether they fit or not. */
void store_count(struct store *s, size_t n);

/* Count @n less: they were reserved only. */
void store_release(struct store *s, size_t n);

/* Have a descriptor kept. @name: of this one only, with room for it reserved. */
void store_put(struct store *s, int fd, const char *name);

/* It is needed no more; counts one less. */
void store_remove(struct store *s, const char *name);

/* For the beginning, when nobody waits for us: send what is left, unless that takes too long. */
void store_flush(struct store *s);

/* Has the manager got all? */
static inline bool store_is_settled(const struct store *s) { return TAILQ_EMPTY(&s->queue); }
