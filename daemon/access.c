#include "daemon/access.h"

enum {
        BIT_READ = 4,
        BIT_WRITE = 2,
};

bool access_is_admin(const struct peer *peer, gid_t admins) {
        return peer->uid == 0 || (admins != ACCESS_NO_GROUP && peer_in_group(peer, admins));
}

static bool may(const struct access_rule *rule, const struct peer *peer, gid_t admins, uint32_t bit) {
        if (access_is_admin(peer, admins))
                return true;
        if (peer->uid == rule->uid)
                return rule->mode >> 6 & bit;
        if (peer_in_group(peer, rule->gid))
                return rule->mode >> 3 & bit;
        return rule->mode & bit;
}

bool access_may_read(const struct access_rule *rule, const struct peer *peer, gid_t admins) {
        return may(rule, peer, admins, BIT_READ);
}

bool access_may_write(const struct access_rule *rule, const struct peer *peer, gid_t admins) {
        return may(rule, peer, admins, BIT_WRITE);
}

bool access_may_change(const struct access_rule *rule, const struct peer *peer, gid_t admins) {
        return peer->uid == rule->uid || access_is_admin(peer, admins);
}

bool access_may_give(const struct access_rule *rule, const struct peer *peer, gid_t admins, uint32_t uid,
                     uint32_t gid) {
        if (access_is_admin(peer, admins))
                return true;
        return peer->uid == rule->uid && uid == rule->uid && (gid == rule->gid || peer_in_group(peer, gid));
}
