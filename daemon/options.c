#define _GNU_SOURCE
#include "daemon/options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/access.h"
#include "daemon/log.h"
#include "proto/account.h"

#define SOCKET_NAME "shmd.sock"
#define MAX_SEGMENTS 16384
#define MAX_CLIENTS 4096
#define USER_SEGMENTS 4096
#define USER_CLIENTS 1024
#define USER_HANDLES 1024
#define USER_WAITING 256
#define CLIENT_TIMEOUT 10
#define CLIENT_TIMEOUT_MAX 86400

#define HELP_COLUMN 28
#define STRING(x) #x
#define STRING_OF(macro) STRING(macro)

struct kind {
        const char *name;
        const char *argument; /* what --help calls the value */
        const char *help;     /* lines */
        int (*take)(void *member, const char *name, const char *value, char *text, size_t size);
        size_t member;
};

/* ---- kinds of values -------------------------------------------------------------------------------------------- */

/* Return: false if it is not a number from 1 up, with nothing behind it (or, @scaled, a unit). */
static bool parse_number(uint64_t *out, const char *text, bool scaled) {
        static const char units[] = "KMGT";
        const char *unit;
        unsigned shift = 0;
        unsigned long long n;
        char *end;

        if (text[0] < '0' || text[0] > '9')
                return false;
        errno = 0;
        n = strtoull(text, &end, 10);
        if (errno || n == 0)
                return false;
        if (scaled && *end && (unit = strchr(units, *end))) {
                shift = 10 * (unsigned)(unit - units + 1);
                end++;
        }
        if (*end || n > UINT64_MAX >> shift)
                return false;
        *out = (uint64_t)n << shift;
        return true;
}

static int take_number(void *member, const char *name, const char *value, char *text, size_t size) {
        if (parse_number(member, value, false))
                return 0;
        (void)snprintf(text, size, "%s is '%s': it must be a number from 1 up", name, value);
        return OPTIONS_E_WRONG;
}

static int take_size(void *member, const char *name, const char *value, char *text, size_t size) {
        if (parse_number(member, value, true))
                return 0;
        (void)snprintf(text, size, "%s is '%s': it must be a number from 1 up, with K, M, G or T behind it or nothing",
                       name, value);
        return OPTIONS_E_WRONG;
}

static int take_seconds(void *member, const char *name, const char *value, char *text, size_t size) {
        uint64_t seconds;

        if (parse_number(&seconds, value, false) && seconds <= CLIENT_TIMEOUT_MAX) {
                *(uint64_t *)member = seconds;
                return 0;
        }
        (void)snprintf(text, size, "%s is '%s': it must be a number of seconds from 1 to %d", name, value,
                       CLIENT_TIMEOUT_MAX);
        return OPTIONS_E_WRONG;
}

static int take_path(void *member, const char *name, const char *value, char *text, size_t size) {
        char **path = member;
        char *copy;

        if (!*value) {
                (void)snprintf(text, size, "%s is empty: it must be a path", name);
                return OPTIONS_E_WRONG;
        }
        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(*path);
        *path = copy;
        return 0;
}

static int take_group(void *member, const char *name, const char *value, char *text, size_t size) {
        uint32_t gid;

        if (account_group(&gid, value)) {
                *(gid_t *)member = gid;
                return 0;
        }
        (void)snprintf(text, size, "%s is '%s': there is no such group; it must be a group's name or number", name,
                       value);
        return OPTIONS_E_WRONG;
}

static int take_level(void *member, const char *name, const char *value, char *text, size_t size) {
        int level = log_level(value);

        if (level >= 0) {
                *(int *)member = level;
                return 0;
        }
        (void)snprintf(text, size, "%s is '%s': it must be error, warning, notice, info or debug", name, value);
        return OPTIONS_E_WRONG;
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static const struct kind kinds[OPTIONS] = {
        [OPTION_SOCKET] = { "socket", "PATH",
                            "listen here; otherwise in the directory $RUNTIME_DIRECTORY,\n"
                            "$XDG_RUNTIME_DIR/shmd or /run/shmd, as " SOCKET_NAME,
                            take_path, offsetof(struct options, socket) },
        [OPTION_MAX_SEGMENTS] = { "max-segments", "N", "segments there may be (" STRING_OF(MAX_SEGMENTS) ")",
                                  take_number, offsetof(struct options, max_segments) },
        [OPTION_MAX_BYTES] = { "max-bytes", "SIZE",
                               "bytes that all of them may have (3/4 of the memory that the\n"
                               "service may use)",
                               take_size, offsetof(struct options, max_bytes) },
        [OPTION_MAX_SEGMENT_BYTES] = { "max-segment-bytes", "SIZE",
                                       "bytes that one of them may have (no limit of its own)", take_size,
                                       offsetof(struct options, max_segment_bytes) },
        [OPTION_MAX_CLIENTS] = { "max-clients", "N", "connections there may be (" STRING_OF(MAX_CLIENTS) ")",
                                 take_number, offsetof(struct options, max_clients) },
        [OPTION_ADMIN_GROUP] = { "admin-group", "GROUP",
                                 "its members may do with every segment what root may: a name,\n"
                                 "or a number (no group)",
                                 take_group, offsetof(struct options, admins) },
        [OPTION_USER_SEGMENTS] = { "user-segments", "N",
                                   "segments that each user may have (" STRING_OF(USER_SEGMENTS) ")", take_number,
                                   offsetof(struct options, user_segments) },
        [OPTION_USER_BYTES] = { "user-bytes", "SIZE",
                                "bytes that those of each user may have (no limit of its own: nobody\n"
                                "may have more than is left for the others)",
                                take_size, offsetof(struct options, user_bytes) },
        [OPTION_USER_CLIENTS] = { "user-clients", "N",
                                  "connections that each user may have (" STRING_OF(USER_CLIENTS) ")", take_number,
                                  offsetof(struct options, user_clients) },
        [OPTION_USER_HANDLES] = { "user-handles", "N",
                                  "readers and writers that each user may have open (" STRING_OF(USER_HANDLES) ")",
                                  take_number, offsetof(struct options, user_handles) },
        [OPTION_USER_WAITING] = { "user-waiting", "N",
                                  "requests of each user that may wait at a time (" STRING_OF(USER_WAITING) ")",
                                  take_number, offsetof(struct options, user_waiting) },
        [OPTION_CLIENT_TIMEOUT] = { "client-timeout", "SECONDS",
                                    "how long a client may take to say hello, and may leave unread\n"
                                    "what keeps others waiting (" STRING_OF(CLIENT_TIMEOUT) ")",
                                    take_seconds, offsetof(struct options, client_timeout) },
        [OPTION_LOG_LEVEL] = { "log-level", "LEVEL", "error, warning, notice, info or debug (info)", take_level,
                               offsetof(struct options, log_level) },
};

void options_init(struct options *o) {
        *o = (struct options){
                .max_segments = MAX_SEGMENTS,
                .max_segment_bytes = UINT64_MAX,
                .max_clients = MAX_CLIENTS,
                .admins = ACCESS_NO_GROUP,
                .user_segments = USER_SEGMENTS,
                .user_bytes = UINT64_MAX,
                .user_clients = USER_CLIENTS,
                .user_handles = USER_HANDLES,
                .user_waiting = USER_WAITING,
                .client_timeout = CLIENT_TIMEOUT,
                .log_level = LOG_INFO,
        };
}

void options_deinit(struct options *o) {
        naming_deinit(&o->naming);
        free(o->socket);
        o->socket = NULL;
}

const char *options_name(enum options_index option) { return kinds[option].name; }

enum options_index options_find(const char *name) {
        enum options_index i = 0;

        while (i < OPTIONS && strcmp(kinds[i].name, name) != 0)
                i++;
        return i;
}

int options_set(struct options *o, enum options_index option, const char *value, char *text, size_t size) {
        const struct kind *k = &kinds[option];

        return k->take((char *)o + k->member, k->name, value, text, size);
}

void options_print(void) {
        for (enum options_index i = 0; i < OPTIONS; i++) {
                const char *line = kinds[i].help;
                int used = printf("  --%s %s", kinds[i].name, kinds[i].argument);

                if (used >= HELP_COLUMN) {
                        printf("\n");
                        used = 0;
                }
                for (; *line; used = 0) {
                        int length = (int)strcspn(line, "\n");

                        printf("%*s%.*s\n", HELP_COLUMN - used, "", length, line);
                        line += length + (line[length] == '\n');
                }
        }
}

int options_complete(struct options *o) {
        const char *directory = getenv("RUNTIME_DIRECTORY");
        int r;

        if (o->socket)
                return 0;
        if (directory && *directory) {
                /* systemd separates several by colons. */
                r = asprintf(&o->socket, "%.*s/" SOCKET_NAME, (int)strcspn(directory, ":"), directory);
        } else {
                directory = getenv("XDG_RUNTIME_DIR");
                r = asprintf(&o->socket, "%s/shmd/" SOCKET_NAME, directory && *directory ? directory : "/run");
        }
        if (r >= 0)
                return 0;
        o->socket = NULL;
        return -ENOMEM;
}
