/* stat.c -- shmctl stat: all there is to tell about one segment. */
#include "client/shmctl/column.h"
#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"

static int stat_exec(struct command *cmd, int argc, char **argv) {
        static const struct option long_options[] = {
                { "json", no_argument, NULL, 'J' },
                COMMAND_LONG,
        };
        CLEANUP(columns_deinit) struct columns columns = COLUMNS_INIT;
        CLEANUP(shmd_closep) struct shmd *conn = NULL;
        struct shmd_info info;
        int option;

        columns.form = COLUMN_LINES;
        while ((option = command_option(cmd, argc, argv, ":J" COMMAND_SHORT, long_options)) != COMMAND_DONE) {
                if (option == COMMAND_END)
                        return cmd->status;
                columns.form = COLUMN_JSON;
        }
        if (command_arguments(cmd, argc, argv, "the name of the segment", 1, 1))
                return STATUS_USAGE;
        if (columns_choose(&columns, cmd->verb, COLUMN_ALL))
                return STATUS_USAGE;
        if (command_connect(cmd, &conn))
                return STATUS_FAILED;
        if (shmd_stat(conn, argv[optind], &info) < 0)
                return command_report(conn, argv[optind]);
        if (columns_add(&columns, &info) < 0)
                return report_memory();
        return columns_print(&columns);
}

const struct verb verb_stat = {
        .name = "stat",
        .usage = "NAME [OPTION...]",
        .summary = "Describe a segment, a line for each of what shmctl list has as a column",
        .help = "  -J, --json              as JSON\n",
        .exec = stat_exec,
};
