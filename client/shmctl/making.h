/* making.h -- the options of the verbs that make a segment: create, and write with --create. */
#pragma once

#include "client/shmctl/verb.h"

/* Their values for getopt_long(), and the entries of its table. */
enum {
        MAKING_SLOTS = COMMAND_OPTION + 100,
        MAKING_MODE,
        MAKING_TYPE,
        MAKING_POLICY,
        MAKING_FOREIGN_HOLDS,
        MAKING_EPHEMERAL,
        MAKING_SPARSE,
        MAKING_HUGE,
};

#define MAKING_LONG                                                                                                   \
        { "slots", required_argument, NULL, MAKING_SLOTS }, { "mode", required_argument, NULL, MAKING_MODE },         \
                { "type", required_argument, NULL, MAKING_TYPE },                                                     \
                { "policy", required_argument, NULL, MAKING_POLICY },                                                 \
                { "foreign-holds", required_argument, NULL, MAKING_FOREIGN_HOLDS },                                   \
                { "ephemeral", no_argument, NULL, MAKING_EPHEMERAL }, { "sparse", no_argument, NULL, MAKING_SPARSE }, \
        {                                                                                                             \
                "huge", no_argument, NULL, MAKING_HUGE                                                                \
        }

#define MAKING_HELP                                                                                  \
        "      --slots N           how many slots, 1 to 4096; default 4\n"                           \
        "      --mode OCTAL        who may read (r) and write (w) it; default 0600\n"                \
        "      --type TEXT         what a frame is, such as uint8[1080,1920,3]\n"                    \
        "      --policy POLICY     when readers hold every slot: overwrite (default; the oldest\n"   \
        "                          hold is broken) or block (the writer waits)\n"                    \
        "      --foreign-holds N   frames that readers of each other user may hold without losing\n" \
        "                          them, 0 to 64, at most slots - 2; default 1\n"                    \
        "      --ephemeral         remove it when its last reader or writer closes\n"                \
        "      --sparse            take memory only when it is touched; it may be missing then\n"    \
        "      --huge              in huge pages of 2 MiB\n"

/**
 * making_option() - take one of these options
 * @options: receives it
 * @verb:    for the sentence
 * @option:  one of MAKING_*
 *
 * Return: STATUS_OK or STATUS_USAGE.
 */
int making_option(struct shmd_options *options, const struct verb *verb, int option);
