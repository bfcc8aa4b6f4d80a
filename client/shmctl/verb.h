/*
 * verb.h -- what shmctl can do: one entry a verb, and what every verb needs of the command line.
 *
 * Reads options, refuses what makes no sense, connects. It knows nothing of what a verb does.
 */
#pragma once

#include <getopt.h>
#include <stddef.h>

#include "client/shmd.h"
#include "proto/cleanup.h"

DEFINE_CLEANUP(struct shmd *, shmd_close)
DEFINE_CLEANUP(struct shmd_writer *, shmd_writer_close)
DEFINE_CLEANUP(struct shmd_reader *, shmd_reader_close)

/* How shmctl ends. */
enum {
        STATUS_OK = 0,
        STATUS_FAILED = 1, /* it did not work */
        STATUS_USAGE = 2,  /* the command line makes no sense */
};

struct command;

struct verb {
        const char *name;
        const char *usage;   /* what follows the name */
        const char *summary; /* one line */
        const char *help;    /* its options, one a line, and what else is worth knowing */
        int (*exec)(struct command *cmd, int argc, char **argv); /* returns STATUS_* */
};

extern const struct verb verb_chmod;
extern const struct verb verb_chown;
extern const struct verb verb_create;
extern const struct verb verb_list;
extern const struct verb verb_read;
extern const struct verb verb_remove;
extern const struct verb verb_stat;
extern const struct verb verb_write;

/* The verb of one command line, and what holds for all verbs. */
struct command {
        const struct verb *verb;
        const char *socket; /* borrowed; NULL: the library's default */
        int status;         /* after COMMAND_END: how to end */
};

/* Options that every verb has; the letters are taken. */
#define COMMAND_SHORT "s:h"
#define COMMAND_LONG \
        { "socket", required_argument, NULL, 's' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 }

/* Where the values of options without a letter begin. */
#define COMMAND_OPTION 256

#define COMMAND_DONE (-1) /* no more options: argv[optind] is the first argument */
#define COMMAND_END 0     /* end with cmd->status: --help was given, or a sentence has been printed */

/**
 * command_option() - the next option of a verb
 * @cmd:           the command
 * @argc:          as the verb got it
 * @argv:          as the verb got it
 * @short_options: ":" COMMAND_SHORT and the verb's own
 * @long_options:  the verb's own and COMMAND_LONG
 *
 * Return: the option, COMMAND_DONE or COMMAND_END.
 */
int command_option(struct command *cmd, int argc, char **argv, const char *short_options,
                   const struct option *long_options);

/* The sentence for what getopt_long() returned ':' or '?'; @verb: NULL before there is one. Return: STATUS_USAGE. */
int command_report_option(const struct verb *verb, int option, char **argv, const char *short_options);

/**
 * command_arguments() - are there as many arguments as the verb takes?
 * @cmd:  the command
 * @argc: as the verb got it
 * @argv: as the verb got it, all options read
 * @what: what the arguments are, such as "the name of a segment"
 * @min:  how many there must be
 * @max:  how many there may be
 *
 * Return: STATUS_OK, or STATUS_USAGE after a sentence.
 */
int command_arguments(const struct command *cmd, int argc, char **argv, const char *what, int min, int max);

/* The sentence of a call about segment @name that failed, with the name if it is not in there. Return: STATUS_FAILED. */
int command_report(const struct shmd *conn, const char *name);

/* Connect to the daemon. Return: STATUS_OK, or STATUS_FAILED after a sentence. */
int command_connect(const struct command *cmd, struct shmd **out);
