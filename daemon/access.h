/* access.h -- who may do what to a segment: owner, group and permission bits against a peer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/peer.h"

/* Whose a segment is, and its permission bits. */
struct access_rule {
        uint32_t uid;
        uint32_t gid;
        uint32_t mode;
};

#define ACCESS_NO_GROUP ((gid_t)-1) /* in place of the administrators' group: there are none but root */

/* Root, or a member of the administrators' group: they may do all that follows. */
bool access_is_admin(const struct peer *peer, gid_t admins);

/* As for a file: the first class that fits decides. */
bool access_may_read(const struct access_rule *rule, const struct peer *peer, gid_t admins);
bool access_may_write(const struct access_rule *rule, const struct peer *peer, gid_t admins);

/* Remove it, change its mode: the owner. */
bool access_may_change(const struct access_rule *rule, const struct peer *peer, gid_t admins);

/* Give it to that user and group: the owner may, if the user stays and he is in the group (or it stays). */
bool access_may_give(const struct access_rule *rule, const struct peer *peer, gid_t admins, uint32_t uid, uint32_t gid);
