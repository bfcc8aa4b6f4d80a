/* create.c -- shmctl create: make a segment. */
#include "client/shmctl/making.h"
#include "client/shmctl/parse.h"
#include "client/shmctl/report.h"

enum {
        OPTION_SIZE = COMMAND_OPTION,
        OPTION_EXCLUSIVE,
};

static int create_exec(struct command *cmd, int argc, char **argv) {
        static const struct option long_options[] = {
                { "size", required_argument, NULL, OPTION_SIZE },
                { "exclusive", no_argument, NULL, OPTION_EXCLUSIVE },
                MAKING_LONG,
                COMMAND_LONG,
        };
        CLEANUP(shmd_closep) struct shmd *conn = NULL;
        struct shmd_options options = { 0 };
        int option;

        while ((option = command_option(cmd, argc, argv, ":" COMMAND_SHORT, long_options)) != COMMAND_DONE) {
                switch (option) {
                case COMMAND_END:
                        return cmd->status;
                case OPTION_SIZE:
                        if (parse_size(&options.slot_size, cmd->verb, "--size", optarg))
                                return STATUS_USAGE;
                        break;
                case OPTION_EXCLUSIVE:
                        options.flags |= SHMD_EXCLUSIVE;
                        break;
                default:
                        if (making_option(&options, cmd->verb, option))
                                return STATUS_USAGE;
                }
        }
        if (command_arguments(cmd, argc, argv, "the name of the segment", 1, 1))
                return STATUS_USAGE;
        if (!options.slot_size)
                return report_usage(cmd->verb, "--size is missing: the bytes of the largest frame");
        if (command_connect(cmd, &conn))
                return STATUS_FAILED;
        if (shmd_create(conn, argv[optind], &options) < 0)
                return command_report(conn, argv[optind]);
        return STATUS_OK;
}

const struct verb verb_create = {
        .name = "create",
        .usage = "NAME --size SIZE [OPTION...]",
        .summary = "Make a segment; one that exists already and fits is as good",
        .help = "      --size SIZE         bytes of a slot: of the largest frame (suffixes K M G T: powers\n"
                "                          of 1024)\n" MAKING_HELP
                "      --exclusive         fail if there is one, even one that fits\n",
        .exec = create_exec,
};
