/* access.h -- who may do what to a segment: permission bits against a peer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/peer.h"

/* Whose a segment is, and its permission bits. */
struct access_rule {
        uint32_t uid;
        uint32_t gid;
        uint32_t mode;
};

/* As for a file: the first class that fits decides, root may do all. */
bool access_may_read(const struct access_rule *rule, const struct peer *peer);
bool access_may_write(const struct access_rule *rule, const struct peer *peer);

/* Remove it: its owner and root. */
bool access_may_remove(const struct access_rule *rule, const struct peer *peer);
