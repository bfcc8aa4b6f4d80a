#define _GNU_SOURCE
#include "proto/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>

#define ANSWER_MAX (4u << 20) /* a group comes with all its members */

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

static int ask_user(uint32_t *uid, const char *name, char *buffer, size_t size) {
        struct passwd user, *found = NULL;
        int r = getpwnam_r(name, &user, buffer, size, &found);

        if (found)
                *uid = found->pw_uid;
        return found ? 0 : r ? r : ENOENT;
}

static int ask_group(uint32_t *gid, const char *name, char *buffer, size_t size) {
        struct group group, *found = NULL;
        int r = getgrnam_r(name, &group, buffer, size, &found);

        if (found)
                *gid = found->gr_gid;
        return found ? 0 : r ? r : ENOENT;
}

/* Ask with room enough for the answer, which nobody can tell before. */
static bool look_up(uint32_t *id, const char *name, int (*ask)(uint32_t *, const char *, char *, size_t)) {
        int r = ERANGE;

        for (size_t size = 1024; size <= ANSWER_MAX && r == ERANGE; size *= 4) {
                char *buffer = malloc(size);

                if (!buffer)
                        return false;
                r = ask(id, name, buffer, size);
                free(buffer);
        }
        return r == 0;
}

bool account_user(uint32_t *uid, const char *name) { return look_up(uid, name, ask_user) || parse_id(uid, name); }

bool account_group(uint32_t *gid, const char *name) { return look_up(gid, name, ask_group) || parse_id(gid, name); }
