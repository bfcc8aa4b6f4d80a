/* private_daemon.h -- a daemon of our own, on the far core, started from beside this program and gone with it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct shmd;

struct private_daemon {
        pid_t pid;
        char directory[64];
        char socket[80];
};

/* Start one, with room for @segments segments and @clients clients, and wait until it serves. */
void private_daemon_start(struct private_daemon *d, unsigned segments, unsigned clients);

/* End it, and remove what it leaves. Return: whether it ended well; otherwise it has been said, and its log stays. */
bool private_daemon_stop(struct private_daemon *d);

/* Connect to it. */
struct shmd *private_daemon_connect(const struct private_daemon *d);

/* Bytes of its own memory: anonymous, so the segments are not in it. */
uint64_t private_daemon_memory(const struct private_daemon *d);

/* Connect to the one that all links share, which is started by the first call, before anything has forked. */
struct shmd *daemon_connect(void);

/* Stop that one if it runs. Return: as private_daemon_stop(). */
bool daemon_stop(void);
