/* options.h -- what the command line says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options {
        char *socket; /* owned; where to listen if nobody passes a socket */
        uint64_t max_segments;
        uint64_t max_bytes; /* 0: to be derived from the memory */
        uint64_t max_segment_bytes;
        uint64_t max_clients;
        int log_level;
};

enum {
        OPTIONS_E_DONE = 1, /* --help or --version: printed, nothing else is to be done */
        OPTIONS_E_WRONG,    /* said so on stderr */
};

/**
 * options_parse() - read the command line
 * @o: receives the options; options_deinit() them, whatever is returned
 *
 * Return: 0, OPTIONS_E_*, or a negative errno.
 */
int options_parse(struct options *o, int argc, char **argv);

void options_deinit(struct options *o);
