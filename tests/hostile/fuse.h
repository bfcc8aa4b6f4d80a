/*
 * fuse.h -- a file whose server answers nothing any more: whoever closes it, or looks whether it is ready, waits.
 *
 * The server is a process in a mount namespace of its own. Its end lets go of all who wait.
 */
#pragma once

#include <stdbool.h>

#include "tests/child.h"

struct fuse {
        struct child server;
        char directory[32]; /* where it is mounted, for the server alone */
        int source;         /* the file comes out of it, once, where it is to be used and nowhere else */
};

/* Return: false where the kernel has none, or this may not mount. */
bool fuse_start(struct fuse *f);

/* In whoever is to have the file. Return: a descriptor, or -1. */
int fuse_file(const struct fuse *f);

/* Wait until somebody hangs at the file. */
void fuse_wait(const struct fuse *f);

/* Let go of all. */
void fuse_stop(struct fuse *f);
