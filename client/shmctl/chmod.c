/* chmod.c -- shmctl chmod: who may read and write. */
#include <limits.h>

#include "client/shmctl/parse.h"
#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"

static int chmod_exec(struct command *cmd, int argc, char **argv) {
        static const struct option long_options[] = { COMMAND_LONG };
        CLEANUP(shmd_closep) struct shmd *conn = NULL;
        int status = STATUS_OK;
        uint32_t mode;

        /* There are no options of its own, so the first one ends it. */
        if (command_option(cmd, argc, argv, ":" COMMAND_SHORT, long_options) != COMMAND_DONE)
                return cmd->status;
        if (command_arguments(cmd, argc, argv, "a mode and the name of a segment", 2, INT_MAX))
                return STATUS_USAGE;
        if (parse_mode(&mode, cmd->verb, "the mode", argv[optind], 0))
                return STATUS_USAGE;
        if (command_connect(cmd, &conn))
                return STATUS_FAILED;
        for (char **name = argv + optind + 1; *name; name++)
                if (shmd_chmod(conn, *name, mode) < 0)
                        status = command_report(conn, *name);
        return status;
}

const struct verb verb_chmod = {
        .name = "chmod",
        .usage = "OCTAL NAME... [OPTION...]",
        .summary = "Change who may read (r) and write (w) segments; what is open stays open",
        .help = "",
        .exec = chmod_exec,
};
