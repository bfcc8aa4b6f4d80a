/*
 * reload.h -- SIGHUP: the configuration is read anew, and holds from then on.
 *
 * Nothing is dropped: what there is already stays, whatever the new limits say. If something is wrong with the file,
 * everything stays as it was. It is read by a worker, since looking up users and groups may take long.
 */
#pragma once

#include <event2/event_struct.h>
#include <stdbool.h>

#include "daemon/options.h"
#include "daemon/worker.h"

struct server;

struct reload {
        int argc;
        char **argv; /* borrowed: the command line, which stands above the file */
        struct event signal;
        bool busy;
        bool again; /* there was another signal meanwhile */
        struct job job;
        struct options options; /* the new ones */
        int outcome;            /* of reading them */
        char text[OPTIONS_TEXT_SIZE];
};

/* Listen for the signal. Return: 0 or a negative errno. */
int reload_init(struct server *server, int argc, char **argv);

void reload_deinit(struct server *server);
