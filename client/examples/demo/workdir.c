#define _GNU_SOURCE
#include "client/examples/demo/workdir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool workdir_make(struct workdir *dir) {
        const char *parent = getenv("TMPDIR");

        if (!parent || !*parent)
                parent = "/tmp";
        if (snprintf(dir->path, sizeof(dir->path), "%s/shmd-demo-XXXXXX", parent) >= (int)sizeof(dir->path)) {
                dir->path[0] = '\0';
                errno = ENAMETOOLONG;
                return false;
        }
        if (mkdtemp(dir->path))
                return true;
        dir->path[0] = '\0';
        return false;
}

bool workdir_remove(struct workdir *dir) {
        struct dirent *entry;
        int error = 0;
        DIR *d;

        if (!*dir->path)
                return true;
        d = opendir(dir->path);
        while (d && (entry = readdir(d)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                    unlinkat(dirfd(d), entry->d_name, 0) < 0)
                        error = errno;
        if (d)
                (void)closedir(d);
        if (rmdir(dir->path) < 0 && error == 0)
                error = errno;
        dir->path[0] = '\0';
        errno = error;
        return error == 0;
}
