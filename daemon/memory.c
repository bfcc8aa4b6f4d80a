#define _GNU_SOURCE
#include "daemon/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "proto/cleanup.h"

#define RESERVE_MAX (UINT64_C(64) << 20)
#define RESERVE_SHARE 16 /* of a small machine: one part in so many */

/* Set once, before there is a second thread. */
static uint64_t limit = UINT64_MAX;
static char *use_path; /* of the cgroup that has the smallest limit; NULL: none has one */
static char *stat_path;

/* A file of /proc or /sys as a string. */
static int read_file(char *text, size_t size, const char *path) {
        CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t used = 0;

        if (fd < 0)
                return -errno;
        while (used < size - 1) {
                ssize_t n = read(fd, text + used, size - 1 - used);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += (size_t)n;
        }
        text[used] = '\0';
        return 0;
}

/* A file that is one number. "max" and what cannot be read are @otherwise. */
static uint64_t read_number(const char *path, uint64_t otherwise) {
        char text[64];
        char *end;
        unsigned long long n;

        if (read_file(text, sizeof(text), path) < 0)
                return otherwise;
        errno = 0;
        n = strtoull(text, &end, 10);
        return errno || end == text ? otherwise : n;
}

/* The number behind @key at the beginning of a line. */
static uint64_t find_number(const char *text, const char *key, uint64_t otherwise) {
        size_t length = strlen(key);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, length) == 0)
                        return strtoull(line + length, NULL, 10);
        }
        return otherwise;
}

struct hierarchy {
        const char *controller; /* its line in /proc/self/cgroup: ":memory:" or "0::" */
        const char *mount;
        const char *limit_file;
        const char *use_file;
};

/* Version 2 has one hierarchy, which stands beside those of version 1 where both are in use. */
static const struct hierarchy hierarchies[] = {
        { "0::", "/sys/fs/cgroup", "memory.max", "memory.current" },
        { "0::", "/sys/fs/cgroup/unified", "memory.max", "memory.current" },
        { ":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes" },
};

/* Look at one cgroup and all above it. In a container the path may be the host's: then only those that exist here. */
static void climb(const struct hierarchy *h, char *path) {
        for (;;) {
                CLEANUP(freep) char *limit_path = NULL;
                char *slash;
                uint64_t n;

                if (asprintf(&limit_path, "%s%s/%s", h->mount, path, h->limit_file) < 0) {
                        limit_path = NULL;
                        return;
                }
                n = read_number(limit_path, UINT64_MAX);
                if (n < limit) {
                        char *use = NULL;
                        char *stat = NULL;

                        if (asprintf(&use, "%s%s/%s", h->mount, path, h->use_file) < 0)
                                return;
                        if (asprintf(&stat, "%s%s/memory.stat", h->mount, path) < 0) {
                                free(use);
                                return;
                        }
                        memory_deinit();
                        limit = n;
                        use_path = use;
                        stat_path = stat;
                }
                slash = strrchr(path, '/');
                if (!slash)
                        return;
                *slash = '\0';
        }
}

void memory_init(void) {
        struct sysinfo info;
        char groups[8192];

        if (sysinfo(&info) == 0)
                limit = (uint64_t)info.totalram * info.mem_unit;
        if (read_file(groups, sizeof(groups), "/proc/self/cgroup") < 0)
                return;
        for (size_t i = 0; i < sizeof(hierarchies) / sizeof(hierarchies[0]); i++) {
                const char *found = strstr(groups, hierarchies[i].controller);
                char path[PATH_MAX];
                size_t length;

                if (!found)
                        continue;
                found += strlen(hierarchies[i].controller);
                length = strcspn(found, "\n");
                if (length >= sizeof(path))
                        continue;
                memcpy(path, found, length);
                path[length] = '\0';
                if (length == 1)
                        path[0] = '\0'; /* the root: the mount itself */
                climb(&hierarchies[i], path);
        }
}

void memory_deinit(void) {
        free(STEAL_PTR(use_path));
        free(STEAL_PTR(stat_path));
}

uint64_t memory_limit(void) { return limit; }

static uint64_t reserve(void) { return limit / RESERVE_SHARE < RESERVE_MAX ? limit / RESERVE_SHARE : RESERVE_MAX; }

/* Is so much left below the cgroup's limit? Cached files count as use, but give way. */
static bool cgroup_has(uint64_t bytes) {
        char text[4096];
        uint64_t use;
        uint64_t cache = 0;

        if (!use_path)
                return true;
        use = read_number(use_path, 0);
        if (use < limit && limit - use >= bytes)
                return true;
        /* Only then: the kernel takes a millisecond to sum it up. */
        if (read_file(text, sizeof(text), stat_path) == 0) {
                /* Version 1 has the sums over the children under other names. */
                cache += find_number(text, "total_inactive_file ", find_number(text, "inactive_file ", 0));
                cache += find_number(text, "total_active_file ", find_number(text, "active_file ", 0));
        }
        use -= cache < use ? cache : use;
        return use < limit && limit - use >= bytes;
}

bool memory_has(uint64_t bytes) {
        char text[2048];

        bytes += reserve();
        if (read_file(text, sizeof(text), "/proc/meminfo") == 0 &&
            find_number(text, "MemAvailable:", UINT64_MAX >> 10) << 10 < bytes)
                return false;
        return cgroup_has(bytes);
}

uint64_t memory_huge_pages(void) { return read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", 0); }
