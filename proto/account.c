#define _GNU_SOURCE
#include "proto/account.h"

#include <grp.h>
#include <pwd.h>
#include <stddef.h>

/* The highest number means "none" or "leave it" to the kernel, so it is nobody's. */
static bool parse_id(uint32_t *id, const char *text) {
        uint64_t n = 0;

        if (!*text)
                return false;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                n = n * 10 + (uint64_t)(*text - '0');
                if (n >= UINT32_MAX)
                        return false;
        }
        *id = (uint32_t)n;
        return true;
}

bool account_user(uint32_t *uid, const char *name) {
        const struct passwd *user = *name ? getpwnam(name) : NULL;

        if (!user)
                return parse_id(uid, name);
        *uid = user->pw_uid;
        return true;
}

bool account_group(uint32_t *gid, const char *name) {
        const struct group *group = *name ? getgrnam(name) : NULL;

        if (!group)
                return parse_id(gid, name);
        *gid = group->gr_gid;
        return true;
}
