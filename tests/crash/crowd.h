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

/* How a reader waits when it has nothing to do. */
enum member_way {
        WAY_WAIT, /* shmd_reader_wait() */
        WAY_LOOP, /* an event loop: shmd_reader_arm() and epoll around shmd_reader_fd() */
        WAY_BUSY, /* it does not: it looks again at once */
};

/* What all members have seen. */
struct tally {
        _Atomic uint64_t written;
        _Atomic uint64_t read;
        _Atomic uint64_t broken; /* holds that the writer broke */
        _Atomic uint64_t torn;   /* frames called whole that were not: must stay 0 */
        _Atomic uint64_t missed;
        _Atomic uint64_t out_of_order;
        _Atomic uint64_t lost;     /* wake-ups: must stay 0; counted by writers, where there are presences */
        _Atomic uint64_t failures; /* anything that may not happen at all: must stay 0 */
        char first_failure[200];
};

/* What a reader is up to, for a writer to see whether it sleeps through a frame. Shared like the tally. */
struct presence {
        _Atomic uint64_t segment; /* id of the one that it has open; 0: none */
        _Atomic uint64_t taken;   /* sequence of its last frame there */
        _Atomic pid_t pid;
        _Atomic bool asleep;
};

struct member {
        enum member_kind kind;
        enum member_way way;
        const char *socket;
        const char *name;
        bool ordered;
        uint64_t seed;
        struct tally *tally;
        struct presence *presence;  /* a reader's own; NULL: nobody looks */
        struct presence *presences; /* for a writer: all readers', and it pauses now and then to look at them */
        unsigned n_presences;
        bool reopens; /* when the segment is removed; otherwise that is a failure */
};

/* Zeroed memory that children share, for as long as the test lives. */
void *shared_new(size_t size);

/* Fill a frame of up to @size bytes. Return: its length. */
size_t frame_fill(void *data, size_t size, struct random *random);

/* Is it as frame_fill() made it? */
bool frame_is_whole(const void *data, size_t length);

/* What a child runs: opens the segment, says that it has (child_tell(fd, 0)), and goes on until it is killed. */
void member_run(int fd, void *member);
