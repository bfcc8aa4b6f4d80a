/* remove.c -- shmctl remove: take names away. */
#include <limits.h>

#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"

static int remove_exec(struct command *cmd, int argc, char **argv) {
        static const struct option long_options[] = { COMMAND_LONG };
        CLEANUP(shmd_closep) struct shmd *conn = NULL;
        int status = STATUS_OK;

        /* There are no options of its own, so the first one ends it. */
        if (command_option(cmd, argc, argv, ":" COMMAND_SHORT, long_options) != COMMAND_DONE)
                return cmd->status;
        if (command_arguments(cmd, argc, argv, "the name of a segment", 1, INT_MAX))
                return STATUS_USAGE;
        if (command_connect(cmd, &conn))
                return STATUS_FAILED;
        for (char **name = argv + optind; *name; name++)
                if (shmd_remove(conn, *name) < 0)
                        status = command_report(conn, *name);
        return status;
}

const struct verb verb_remove = {
        .name = "remove",
        .usage = "NAME... [OPTION...]",
        .summary = "Remove segments; who has one open keeps its memory until it closes",
        .help = "",
        .exec = remove_exec,
};
