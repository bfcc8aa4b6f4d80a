/*
 * manager.h -- plays the service manager's part: a process that starts a daemon, passes it a listening socket, keeps the
 * descriptors that it is sent, and starts it anew with them when it ends.
 *
 * As systemd does it (sd_notify(3), sd_listen_fds(3)): what does not fit is dropped without a word, and the order is not
 * kept. It dies with the test, and the daemon with it.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct manager;

struct manager_options {
        const char *const *arguments; /* more of the daemon's, NULL at the end; NULL: none */
        unsigned store_max;           /* what the daemon is told; 0: 1000 */
        unsigned store_real;          /* what is true; 0: the same */
        int plain;                    /* the daemon listens by itself, and nothing is kept: for manager_replace() */
};

/* Start both; returns when the daemon is ready. @options: NULL: nothing special. */
struct manager *manager_start(const struct manager_options *options);

/* End the daemon with SIGTERM; it must end well. Returns NULL. */
struct manager *manager_stop(struct manager *m);

const char *manager_socket(const struct manager *m);

/* The daemon's. */
pid_t manager_pid(const struct manager *m);
int manager_fds(const struct manager *m);

/* Kill the daemon with that signal, and wait until the next one is ready. */
void manager_restart(struct manager *m, int signal);

/* The same in two steps: in between there is none. */
void manager_down(struct manager *m, int signal);
void manager_up(struct manager *m);

/* Do not wait until it is ready. */
void manager_up_soon(struct manager *m);

/* Plain: start another daemon that replaces the one that runs, with one more argument or NULL. Return: 0; or the status
 * with which it has ended, because it could not. */
int manager_replace(struct manager *m, const char *argument);

/* How many descriptors are kept. */
unsigned manager_count(struct manager *m);

/* Wait until so many are kept; fails if that does not come. */
void manager_expect_count(struct manager *m, unsigned count);

/* A descriptor that is kept: the first whose name begins so; the caller's own. -1: there is none. */
int manager_borrow(struct manager *m, const char *name);

/* Forget those whose names begin so. */
void manager_forget(struct manager *m, const char *name);

/* Stop to listen to the daemon, or go on. */
void manager_deaf(struct manager *m, int deaf);

/* How often the daemon was started. */
unsigned manager_starts(struct manager *m);
