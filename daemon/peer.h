/* peer.h -- who is at the other end of a socket, as the kernel says. It knows nothing about what they may do. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct peer {
        uid_t uid;
        gid_t gid;
        pid_t pid;
        size_t n_groups;
        gid_t *groups; /* owned: supplementary groups */
};

/**
 * peer_init() - ask the kernel who connected
 * @peer:   receives it; peer_deinit() it
 * @socket: a connected Unix socket
 *
 * Return: 0 or a negative errno.
 */
int peer_init(struct peer *peer, int socket);

void peer_deinit(struct peer *peer);

bool peer_in_group(const struct peer *peer, gid_t gid);
