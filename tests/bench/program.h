/* program.h -- a server that something to compare with needs: started, waited for, and ended with us. */
#pragma once

#include <sys/types.h>

struct program {
        pid_t pid; /* 0: not there */
        int output;
};

/**
 * program_start() - start a program on the far core and wait until it says that it is ready
 * @p:     receives it
 * @ready: what it writes to its standard output then
 * @argv:  what to run; looked for in $PATH
 *
 * Return: NULL, or why it is not there.
 */
const char *program_start(struct program *p, const char *ready, char *const *argv);

/* End it by SIGTERM, and wait for that. */
void program_end(struct program *p);
