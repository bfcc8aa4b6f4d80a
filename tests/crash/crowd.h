/*
 * crowd.h -- readers and writers that are killed: what they do until then, and what they have seen.
 *
 * Every frame says what it is: its length, a number, and a checksum over all of it. Members are forked from the test
 * and count in memory that it shares with them, so what a member saw is known after its death.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/child.h"

enum member_kind {
        MEMBER_WRITER,
        MEMBER_LATEST, /* holds the newest, checks it, and believes what release says of it */
        MEMBER_NEXT,   /* the same in order */
        MEMBER_COPY,   /* copies the newest */
        MEMBER_COPY_NEXT,
        MEMBER_SLOW, /* holds for long */
        MEMBER_KINDS,
};

/* What all members have seen. */
struct tally {
        _Atomic uint64_t written;
        _Atomic uint64_t read;
        _Atomic uint64_t broken; /* holds that the writer broke */
        _Atomic uint64_t torn;   /* frames called whole that were not: must stay 0 */
        _Atomic uint64_t missed;
        _Atomic uint64_t out_of_order;
        _Atomic uint64_t failures; /* anything that may not happen at all: must stay 0 */
        char first_failure[200];
};

struct member {
        enum member_kind kind;
        const char *socket;
        const char *name;
        bool ordered;
        uint64_t seed;
        struct tally *tally;
};

/* Memory that the children count in. */
struct tally *tally_new(void);
struct tally *tally_free(struct tally *t);

/* Fill a frame of up to @size bytes. Return: its length. */
size_t frame_fill(void *data, size_t size, struct random *random);

/* Is it as frame_fill() made it? */
bool frame_is_whole(const void *data, size_t length);

/* What a child runs: opens the segment, says that it has (child_tell(fd, 0)), and goes on until it is killed. */
void member_run(int fd, void *member);
