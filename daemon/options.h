/*
 * options.h -- what the daemon is told to do: every option there is, once for the command line and the configuration file.
 *
 * It does not know where a value comes from: see command.h and config.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/naming.h"

enum options_index {
        OPTION_SOCKET,
        OPTION_MAX_SEGMENTS,
        OPTION_MAX_BYTES,
        OPTION_MAX_SEGMENT_BYTES,
        OPTION_MAX_CLIENTS,
        OPTION_ADMIN_GROUP,
        OPTION_USER_SEGMENTS,
        OPTION_USER_BYTES,
        OPTION_USER_CLIENTS,
        OPTION_USER_HANDLES,
        OPTION_USER_WAITING,
        OPTION_CLIENT_TIMEOUT,
        OPTION_LOG_LEVEL,
        OPTIONS, /* how many */
};

#define OPTIONS_TEXT_SIZE 512

struct options {
        bool replace; /* take over from the running one */
        char *socket; /* owned; where to listen if nobody passes a socket; NULL: see options_socket() */
        uint64_t max_segments;
        uint64_t max_bytes; /* 0: to be derived from the memory */
        uint64_t max_segment_bytes;
        uint64_t max_clients;
        gid_t admins;           /* a group, or ACCESS_NO_GROUP */
        uint64_t user_segments; /* these five: of each user */
        uint64_t user_bytes;
        uint64_t user_clients;
        uint64_t user_handles;
        uint64_t user_waiting;
        uint64_t client_timeout; /* seconds */
        int log_level;
        struct naming naming; /* owned; no option, but a section of the file */
};

enum {
        OPTIONS_E_DONE = 1, /* --help or --version: printed, nothing else is to be done */
        OPTIONS_E_WRONG,    /* a sentence says what, and what would be right */
};

/* What holds where nothing is said. */
void options_init(struct options *o);

/* Whatever it was filled with, or not. */
void options_deinit(struct options *o);

/* What an option is called, without dashes. */
const char *options_name(enum options_index option);

/* The option of that name, or OPTIONS. */
enum options_index options_find(const char *name);

/**
 * options_set() - give an option a value
 * @text: receives a sentence if that is wrong; it begins with the option's name
 * @size: bytes of @text
 *
 * Return: 0, OPTIONS_E_WRONG, or a negative errno.
 */
int options_set(struct options *o, enum options_index option, const char *value, char *text, size_t size);

/* Print what each is for, as --help does. */
void options_print(void);

/* Where to listen, if nothing is said: decided by the environment. Return: 0 or a negative errno. */
int options_complete(struct options *o);
