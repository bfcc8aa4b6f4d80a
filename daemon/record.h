/*
 * record.h -- what the daemon has to know after a restart, in a memfd of its own that no client ever sees.
 *
 * Tables of places. A place is written twice, in turn: a copy that is being written says so until it is whole, so a daemon
 * that dies at any point leaves the state before or the state after. Each whole copy has a checksum: one that does not
 * fit was changed by something else, and its place is refused, and no other.
 *
 * Bodies grow at their end, and zero there means "as before", like messages (message.h): a shorter one is zero-extended,
 * a longer one believed while the tail that nobody here knows is zero.
 *
 * It knows nothing of segments and descriptors: what is in a place is its user's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

#define RECORD_VERSION 1
#define RECORD_NONE UINT32_MAX /* no place */

enum record_kind {
        RECORD_COUNTERS, /* one place */
        RECORD_SEGMENT,
        RECORD_GROUP,
        RECORD_RESULT,
        RECORD_KINDS,
};

struct record_counters {
        uint64_t next_id;
};

#define RECORD_SEGMENT_REMOVED 0x1u
#define RECORD_SEGMENT_USED 0x2u      /* somebody has had it open */
#define RECORD_SEGMENT_TENTATIVE 0x4u /* the store may not have its memory: nobody was told yet that it is there */

struct record_segment {
        uint64_t id;
        uint64_t inode; /* of the data */
        uint64_t created;
        uint64_t slot_size;
        uint64_t arrivals;
        uint64_t departures;
        uint32_t n_slots;
        uint32_t policy;
        uint32_t flags; /* PROTO_SEGMENT_* */
        uint32_t page_size;
        uint32_t uid;
        uint32_t gid;
        uint32_t mode;
        uint32_t state; /* RECORD_SEGMENT_* */
        uint32_t foreign_holds;
        uint32_t reserved;
        uint64_t writers[LAYOUT_WRITERS_MAX / 64]; /* bit N: id N is taken */
        char name[PROTO_NAME_SIZE];
        char type[PROTO_TYPE_SIZE];
};

#define RECORD_GROUP_BINDING 0x1u
#define RECORD_GROUP_ENTERED 0x2u /* there was a reader in it: so every writer knew of it */

struct record_group {
        uint64_t id;
        uint64_t segment; /* its id */
        uint64_t inode;   /* of the table */
        uint32_t uid;
        uint32_t index;
        uint32_t flags; /* RECORD_GROUP_* */
        uint32_t account;
        uint64_t entries[LAYOUT_WAITING_WORDS]; /* bit N: entry N is taken */
};

#define RECORD_REPLY_MAX 64

struct record_result {
        uint64_t client; /* what its hello said */
        uint64_t segment;
        uint32_t uid;
        uint32_t done; /* 0: it was about to take effect */
        uint32_t size; /* of the reply */
        uint32_t reserved;
        unsigned char reply[RECORD_REPLY_MAX]; /* begins with its header */
};

/* Of one kind. */
struct record_table {
        unsigned char *base; /* of the first place */
        size_t body_size;
        size_t stride;
        uint32_t n;
        uint32_t end;    /* no place from here on has been written */
        uint64_t *taken; /* owned: bit N: place N is taken; NULL: only to be read */
        uint32_t hint;   /* no place below is free */
};

struct record {
        int fd;
        unsigned char *base; /* mapped; NULL: not there */
        size_t size;
        uint64_t generation;
        struct record_table tables[RECORD_KINDS];
};

/* None. */
#define RECORD_INIT ((struct record){ .fd = -1 })

enum {
        RECORD_E_FREE = 1, /* nothing is in that place */
        RECORD_E_BROKEN,   /* a checksum does not fit */
        RECORD_E_NEWER,    /* it has parts that are unknown here */
        RECORD_E_VERSION,  /* the whole is of another version */
};

/**
 * record_new() - an empty record
 * @r:          receives it
 * @generation: above that of any record before
 * @n:          places of each kind
 *
 * Return: 0 or a negative errno.
 */
int record_new(struct record *r, uint64_t generation, const uint32_t n[RECORD_KINDS]);

/**
 * record_open() - the record of another instance, to be read
 * @r:  receives it
 * @fd: consumed, also on failure
 *
 * Return: 0, RECORD_E_BROKEN, RECORD_E_VERSION, or a negative errno.
 */
int record_open(struct record *r, int fd);

/* Also for RECORD_INIT, which it becomes. */
void record_deinit(struct record *r);

/* Take a free place, with memory behind it: writing to it cannot fail. Return: RECORD_NONE: there is none. */
uint32_t record_take(struct record *r, enum record_kind kind);

/* Write a place that was taken. @body is of that kind. */
void record_write(struct record *r, enum record_kind kind, uint32_t place, const void *body);

/* Give a place back, written or not; RECORD_NONE is fine. */
void record_free(struct record *r, enum record_kind kind, uint32_t place);

/* Places of that kind from 0 up to here may be written. */
uint32_t record_end(const struct record *r, enum record_kind kind);

/**
 * record_read() - what is in a place
 * @body: receives it, of that kind; also what is broken, for its name
 *
 * Return: 0, RECORD_E_FREE, RECORD_E_BROKEN or RECORD_E_NEWER.
 */
int record_read(const struct record *r, enum record_kind kind, uint32_t place, void *body);
