/* verb.c -- the command line of a verb. */
#define _GNU_SOURCE
#include "client/shmctl/verb.h"

#include <stdio.h>
#include <string.h>

#include "client/shmctl/output.h"
#include "client/shmctl/report.h"

static int print_help(const struct verb *verb) {
        CLEANUP(freep) char *text = NULL;

        if (asprintf(&text,
                     "Usage: shmctl %s %s\n"
                     "%s.\n"
                     "\n"
                     "%s"
                     "  -s, --socket PATH       the daemon's socket\n"
                     "  -h, --help              print this\n",
                     verb->name, verb->usage, verb->summary, verb->help) < 0) {
                text = NULL;
                return report_memory();
        }
        return output_text(text);
}

int command_report_option(const struct verb *verb, int option, char **argv, const char *short_options) {
        const char *text = argv[optind - 1];

        if (option == ':')
                return report_usage(verb, "the option %s needs a value", text);
        /* What optopt has: an option that is there, a letter that is not, or nothing for a word. */
        if (optopt >= COMMAND_OPTION || (optopt && optopt != ':' && strchr(short_options, optopt)))
                return report_usage(verb, "the option %s takes no value", text);
        if (optopt)
                return report_usage(verb, "there is no option -%c", optopt);
        return report_usage(verb, "there is no option %s, or it is not the only one that begins so", text);
}

int command_option(struct command *cmd, int argc, char **argv, const char *short_options,
                   const struct option *long_options) {
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) == 's')
                cmd->socket = optarg;
        switch (option) {
        case 'h':
                cmd->status = print_help(cmd->verb);
                return COMMAND_END;
        case ':':
        case '?':
                cmd->status = command_report_option(cmd->verb, option, argv, short_options);
                return COMMAND_END;
        default:
                return option;
        }
}

int command_arguments(const struct command *cmd, int argc, char **argv, const char *what, int min, int max) {
        if (argc - optind < min)
                return report_usage(cmd->verb, "%s is missing", what);
        if (argc - optind > max)
                return report_usage(cmd->verb, "%s is too much: only %s is taken", argv[optind + max], what);
        return STATUS_OK;
}

int command_report(const struct shmd *conn, const char *name) {
        const char *sentence = shmd_error(conn);

        return strstr(sentence, name) ? report("%s", sentence) : report("%s: %s", name, sentence);
}

int command_connect(const struct command *cmd, struct shmd **out) {
        CLEANUP(shmd_closep) struct shmd *conn = NULL;

        if (shmd_connect(&conn, cmd->socket) < 0)
                return conn ? report("%s", shmd_error(conn)) : report_memory();
        *out = STEAL_PTR(conn);
        return STATUS_OK;
}
