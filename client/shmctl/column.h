/*
 * column.h -- what there is to tell about a segment, a column each, and tables of it.
 *
 * Values come from the daemon's description of a segment. It knows nothing of how that was asked for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "client/shmd.h"

struct verb;

/* What columns are called and mean, for --help: a line each. */
#define COLUMN_HELP                                                                     \
        "Columns:\n"                                                                    \
        "  NAME       its name\n"                                                       \
        "  SIZE       bytes of a slot: of the largest frame\n"                          \
        "  SLOTS      how many slots\n"                                                 \
        "  FRAMES     how many frames were published\n"                                 \
        "  AGE        seconds since the newest frame was published\n"                   \
        "  WRITERS    how many have it open for writing\n"                              \
        "  READERS    how many have it open for reading\n"                              \
        "  OWNER      the user it belongs to\n"                                         \
        "  GROUP      the group it belongs to\n"                                        \
        "  MODE       permission bits, octal\n"                                         \
        "  POLICY     what a writer does when all slots are held: overwrite or block\n" \
        "  HOLDS      frames that the readers of each user but the owner may hold\n"    \
        "  FLAGS      ephemeral, sparse, huge\n"                                        \
        "  BYTES      of the whole segment\n"                                           \
        "  ALLOCATED  bytes of memory behind it now\n"                                  \
        "  CREATED    when it was made\n"                                               \
        "  ID         a number that no other segment ever has while the daemon runs\n"  \
        "  TYPE       what a frame is, as its maker said\n"

#define COLUMN_DEFAULT "NAME,SIZE,SLOTS,FRAMES,WRITERS,READERS,OWNER,MODE,TYPE"
#define COLUMN_ALL \
        "NAME,SIZE,SLOTS,FRAMES,AGE,WRITERS,READERS,OWNER,GROUP,MODE,POLICY,HOLDS,FLAGS,BYTES,ALLOCATED,CREATED,ID,TYPE"
#define COLUMN_MAX 64 /* in one table; the same one may come twice */

enum column_form {
        COLUMN_TABLE, /* aligned, for people */
        COLUMN_RAW,   /* one blank between cells, and none in them */
        COLUMN_JSON,
        COLUMN_LINES, /* "name: value" */
};

struct column;
struct libscols_table;

struct columns {
        const struct column *list[COLUMN_MAX];
        size_t n;
        enum column_form form;
        bool exact; /* sizes in bytes, always so in COLUMN_JSON and COLUMN_LINES */
        bool headings;
        struct libscols_table *table; /* owned */
};

/* Before anything is chosen; columns_deinit() is safe from here on. */
#define COLUMNS_INIT \
        (struct columns) { .headings = true }

void columns_deinit(struct columns *c);

/**
 * columns_choose() - choose columns by their names
 * @c:    receives them
 * @verb: for the sentence
 * @text: names with commas between them, in either case; with a + before the first they come after those chosen
 *
 * Return: STATUS_OK or STATUS_USAGE.
 */
int columns_choose(struct columns *c, const struct verb *verb, const char *text);

/* Add a segment. The form must not change from here on. Return: 0 or -ENOMEM. */
int columns_add(struct columns *c, const struct shmd_info *info);

/* Print all segments that were added. Return: STATUS_OK or STATUS_FAILED. */
int columns_print(struct columns *c);
