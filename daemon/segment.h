/*
 * segment.h -- a segment: its memory, its parameters, who has it open.
 *
 * Size and seals are fixed before the first descriptor leaves, so no holder can shrink it under another. The metadata is
 * mapped only while there are handles; without any, a segment is one descriptor and this structure.
 *
 * Names are the registry's business, connections are the handles'.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>
#include "daemon/tree.h"

#include "daemon/access.h"
#include "daemon/allocation.h"
#include "daemon/mapping.h"
#include "daemon/quota.h"
#include "daemon/worker.h"
#include "proto/cleanup.h"
#include "proto/layout.h"
#include "proto/slots.h"

struct connection;
struct estate;
struct group;
struct handle;
struct user;

enum segment_state {
        SEGMENT_CREATING, /* its memory is being allocated; the name is taken */
        SEGMENT_READY,
        SEGMENT_REMOVED, /* no name any more */
};

/* What the handles have not been told yet. */
enum segment_changed {
        SEGMENT_UNCHANGED,
        SEGMENT_CHANGED_LATE, /* nothing but what can wait */
        SEGMENT_CHANGED,
};

struct segment_users {
        uint64_t arrivals;
        uint64_t departures;
        uint32_t writers;
        uint32_t readers;
};

struct segment {
        RB_ENTRY(segment) by_name;        /* the registry's, unless SEGMENT_REMOVED */
        LIST_ENTRY(segment) estate_link;  /* if kept */
        LIST_ENTRY(segment) changed_link; /* the notices' */
        enum segment_changed changed;
        enum segment_state state;
        size_t n_refs;
        uint64_t id;
        uint64_t created; /* CLOCK_REALTIME, ns */
        struct access_rule rule;
        uint32_t policy;
        uint32_t flags;         /* PROTO_SEGMENT_* */
        uint32_t foreign_holds; /* frames that the readers of each other uid may hold */
        uint32_t page_size;
        int fd;
        int life;               /* while there are handles: a description with the lock that shows that we live */
        int room;               /* block: the room bell, once somebody needs it */
        struct user *room_user; /* a reference: on whose thread it is closed, see group.h */
        uint32_t place;         /* in the estate's record */
        bool kept;
        bool tentative; /* so it is called in the record */
        uint64_t inode;
        struct geometry geometry;
        uint64_t rest_sequence; /* of the newest frame, while nobody has it open */
        uint64_t rest_timestamp;
        uint64_t rest_allocated;
        struct mapping mapping;
        struct estate *estate;                           /* borrowed; keeps it over a restart */
        struct worker *worker;                           /* borrowed; takes the memory back */
        struct quota_charge charges[ALLOCATION_CHARGES]; /* the owner's: itself, its bytes */
        TAILQ_HEAD(, handle) handles;                    /* that are open */
        size_t n_handles;                                /* and those that are being opened */
        LIST_HEAD(, handle) writers;                     /* that have an id, open or not */
        bool used;                                       /* there was an open one */
        struct segment_users users;
        uint64_t version;      /* of users and state, for everybody */
        uint64_t version_read; /* the last one that concerns readers */
        uint64_t writer_ids[LAYOUT_WRITERS_MAX / 64];
        LIST_HEAD(, group) groups;
        uint64_t group_indices; /* bit N: there is a group with index N */
        char *type;             /* behind the name */
        char name[];
};

struct segment_parameters {
        const char *name;
        const char *type;
        uint64_t slot_size;
        uint32_t n_slots;
        uint32_t policy;
        uint32_t flags;
        uint32_t foreign_holds;
        struct access_rule rule;
};

/* Layout of a segment with these parameters. Return: 0 or GEOMETRY_E_*. */
int segment_geometry(struct geometry *out, const struct segment_parameters *p);

/* Whom a segment lives off. All borrowed. */
struct segment_hosts {
        struct estate *estate; /* keeps it over a restart */
        struct worker *worker; /* takes the memory back in the end */
};

/**
 * segment_new() - a segment without memory: SEGMENT_CREATING
 * @out:      receives it, and one reference
 * @p:        checked
 * @geometry: of these parameters
 * @account:  its owner's, who pays until the last reference is gone and the memory is free
 * @hosts:    see above
 *
 * Return: 0; QUOTA_E_*: another segment, or so many bytes more, are refused; ESTATE_E_FULL; or a negative errno.
 */
int segment_new(struct segment **out, const struct segment_parameters *p, const struct geometry *geometry,
                struct quota_account *account, const struct segment_hosts *hosts);

/**
 * segment_restore() - a segment of the instance before: SEGMENT_READY
 * @out:      receives it, and one reference
 * @p:        as it was made
 * @geometry: of these parameters
 * @id:       as it was
 * @created:  likewise
 * @fd:       its memory; consumed, also on failure
 * @account:  its owner's, who pays whether it fits or not
 * @hosts:    see above
 *
 * Return: 0, ESTATE_E_FULL, or a negative errno.
 */
int segment_restore(struct segment **out, const struct segment_parameters *p, const struct geometry *geometry,
                    uint64_t id, uint64_t created, int fd, struct quota_account *account,
                    const struct segment_hosts *hosts);

struct segment *segment_ref(struct segment *s);

/* The last one frees it, and takes the memory back from whoever has kept some of it. NULL is fine; returns NULL. */
struct segment *segment_unref(struct segment *s);
DEFINE_CLEANUP(struct segment *, segment_unref)

/* Bytes that must be allocated before anybody may touch them: all, or the metadata of a sparse one. */
uint64_t segment_allocation(const struct segment *s);

/* Its memory is there: write the header. From now on it can be opened. Return: 0 or a negative errno. */
int segment_finish(struct segment *s);

/* Map the metadata, for as long as there are handles. Return: 0 or a negative errno. */
int segment_map(struct segment *s);

/* The mapped metadata as slots.h wants it. */
struct slots segment_slots(const struct segment *s);

/* The last handle is gone: give up all that only handles need. */
void segment_rest(struct segment *s);

/* After notices were sent: let those who look at the header find them. */
void segment_raise_epoch(struct segment *s);

/* Sequence and timestamp of the newest frame. */
void segment_newest(const struct segment *s, uint64_t *sequence, uint64_t *timestamp);

/* Bytes of memory behind it; as they were when the last user left, while there is none. */
uint64_t segment_allocated(const struct segment *s);

/**
 * segment_describe() - open its memory anew, as a description of its own
 * @fd:    the data, or a group's table
 * @flags: O_RDONLY or O_RDWR
 *
 * Return: the descriptor, or a negative errno.
 */
int segment_describe(int fd, int flags);

/* A sealed memfd of that size that only the daemon's uid and root can open anew. Return: the descriptor or -errno. */
int segment_memfd(const char *name, uint64_t size, unsigned flags);

/* Does somebody else hold the lock on that byte? */
bool segment_is_locked(int fd, uint32_t id);

/* Is the writers' lock taken, as the memory says of one that is not mapped? */
bool segment_is_being_written(const struct segment *s);

/* Some readers come in of whom not every writer has been told: say so, before the epoch is raised for them. */
void segment_raise_unannounced(struct segment *s);

/* Lock the byte that shows that the holder of this description lives. Return: 0; -EAGAIN: another one who may write has
 * it; -errno. */
int segment_lock_byte(int fd, uint32_t id);
