#include "daemon/access.h"

enum {
        BIT_READ = 4,
        BIT_WRITE = 2,
};

static bool may(const struct access_rule *rule, const struct peer *peer, uint32_t bit) {
        if (peer->uid == 0)
                return true;
        if (peer->uid == rule->uid)
                return rule->mode >> 6 & bit;
        if (peer_in_group(peer, rule->gid))
                return rule->mode >> 3 & bit;
        return rule->mode & bit;
}

bool access_may_read(const struct access_rule *rule, const struct peer *peer) { return may(rule, peer, BIT_READ); }

bool access_may_write(const struct access_rule *rule, const struct peer *peer) { return may(rule, peer, BIT_WRITE); }

bool access_may_remove(const struct access_rule *rule, const struct peer *peer) {
        return peer->uid == 0 || peer->uid == rule->uid;
}
