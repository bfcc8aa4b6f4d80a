/* list.c -- shmctl list: the segments there are, as a table. */
#include "client/shmctl/column.h"
#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"

static int add(const struct shmd_info *info, void *data) { return columns_add(data, info); }

static int list_exec(struct command *cmd, int argc, char **argv) {
        static const struct option long_options[] = {
                { "json", no_argument, NULL, 'J' },       { "raw", no_argument, NULL, 'r' },
                { "noheadings", no_argument, NULL, 'n' }, { "output", required_argument, NULL, 'o' },
                { "bytes", no_argument, NULL, 'b' },      COMMAND_LONG,
        };
        CLEANUP(columns_deinit) struct columns columns = COLUMNS_INIT;
        CLEANUP(shmd_closep) struct shmd *conn = NULL;
        int option, r;

        if (columns_choose(&columns, cmd->verb, COLUMN_DEFAULT))
                return STATUS_USAGE;
        while ((option = command_option(cmd, argc, argv, ":Jrno:b" COMMAND_SHORT, long_options)) != COMMAND_DONE) {
                switch (option) {
                case COMMAND_END:
                        return cmd->status;
                case 'J':
                case 'r':
                        if (columns.form != COLUMN_TABLE && columns.form != (option == 'J' ? COLUMN_JSON : COLUMN_RAW))
                                return report_usage(cmd->verb, "--json and --raw exclude each other");
                        columns.form = option == 'J' ? COLUMN_JSON : COLUMN_RAW;
                        break;
                case 'n':
                        columns.headings = false;
                        break;
                case 'o':
                        if (columns_choose(&columns, cmd->verb, optarg))
                                return STATUS_USAGE;
                        break;
                case 'b':
                        columns.exact = true;
                        break;
                }
        }
        if (command_arguments(cmd, argc, argv, "one pattern", 0, 1))
                return STATUS_USAGE;
        if (command_connect(cmd, &conn))
                return STATUS_FAILED;
        r = shmd_list(conn, argv[optind], add, &columns);
        if (r == -ENOMEM)
                return report_memory();
        if (r < 0)
                return report("%s", shmd_error(conn));
        return columns_print(&columns);
}

const struct verb verb_list = {
        .name = "list",
        .usage = "[PATTERN] [OPTION...]",
        .summary = "List the segments that you may read; a pattern may have * ? [...], * also matches /",
        .help = "  -J, --json              as JSON, sizes in bytes\n"
                "  -r, --raw               one blank between cells, none in them\n"
                "  -n, --noheadings        no line of headings\n"
                "  -o, --output COLUMNS    which columns, with commas; +COLUMNS adds to the default\n"
                "  -b, --bytes             sizes in bytes, exactly\n"
                "\n" COLUMN_HELP "\n",
        .exec = list_exec,
};
