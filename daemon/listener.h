/*
 * listener.h -- where clients come in: sockets that systemd has passed, or one of our own.
 *
 * An own socket file is guarded by a lock file beside it, so of two daemons that start at once one wins, and a stale
 * file is taken over by nobody but the winner. Without descriptors or memory for another client nothing is accepted for
 * a while; the ones who wait, wait in the kernel.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct inheritance;
struct server;

#define LISTENERS_MAX 8

struct listeners {
        size_t n;
        struct event events[LISTENERS_MAX];
        int sockets[LISTENERS_MAX];
        struct event pause; /* until it goes on */
        bool started;       /* and what it has is its own */
        bool paused;
        bool complained;
        int reserve; /* a descriptor to turn one client away with */
        /* of our own socket */
        char *path;
        char *lock_path;
        int lock;
        dev_t device;
        ino_t inode;
};

/**
 * listeners_init() - listen
 * @server: its listeners
 * @path:   of the socket; ignored where systemd has passed sockets
 * @in:     receives what else systemd has passed
 *
 * What went wrong is logged.
 *
 * Return: 0 or a negative errno.
 */
int listeners_init(struct server *server, const char *path, struct inheritance *in);

/* The same without looking for any: listeners_take() brings them, and listeners_start() begins. */
void listeners_prepare(struct server *server);

/* One from the instance before: a socket, or the lock of its file. Consumed. Return: 0 or a negative errno. */
int listeners_take(struct server *server, int fd, bool lock);

/* Accept clients. Return: 0 or a negative errno. */
int listeners_start(struct server *server);

/* Also after a failure. Removes what was made. */
void listeners_deinit(struct server *server);

/* A client has left: there may be room again. */
void listeners_resume(struct server *server);
