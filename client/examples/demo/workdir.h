/* workdir.h -- a directory for what has to lie in the file system, and its removal. */
#pragma once

#include <stdbool.h>

#define WORKDIR_PATH 80 /* a socket in it has to fit a socket address, which takes 107 bytes */

struct workdir {
        char path[WORKDIR_PATH]; /* empty: there is none */
};

/* Make one in $TMPDIR, else /tmp. Return: false, and errno tells; ENAMETOOLONG: $TMPDIR is too long for a socket. */
bool workdir_make(struct workdir *dir);

/* Remove it and the files in it, if there is one. Return: false, and errno tells; what could be removed is. */
bool workdir_remove(struct workdir *dir);
