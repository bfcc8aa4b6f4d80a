#define _GNU_SOURCE
#include "daemon/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "proto/cleanup.h"

int peer_init(struct peer *peer, int socket) {
        struct ucred cred;
        socklen_t size = sizeof(cred);
        CLEANUP(freep) gid_t *groups = NULL;

        if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
                return -errno;
        /* The set is fixed at connect(), so the size asked for first is the right one. */
        size = 0;
        /* cppcheck-suppress nullPointer ; nothing is stored where there is no room */
        if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE)
                return -errno;
        if (size > 0) {
                groups = malloc(size);
                if (!groups)
                        return -ENOMEM;
                if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                        return -errno;
        }
        *peer = (struct peer){
                .uid = cred.uid,
                .gid = cred.gid,
                .pid = cred.pid,
                .n_groups = size / sizeof(*groups),
                .groups = STEAL_PTR(groups),
        };
        return 0;
}

void peer_deinit(struct peer *peer) {
        free(peer->groups);
        peer->groups = NULL;
        peer->n_groups = 0;
}

bool peer_in_group(const struct peer *peer, gid_t gid) {
        if (peer->gid == gid)
                return true;
        for (size_t i = 0; i < peer->n_groups; i++)
                if (peer->groups[i] == gid)
                        return true;
        return false;
}
