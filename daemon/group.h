/*
 * group.h -- a reader group: readers of one uid at one segment, their table and their bell.
 *
 * A group that has lost its last reader stays for as long as there are writers, who know it: it counts for its user until
 * then.
 *
 * The bell is never read or rung here, and never given to a reader. It is in the readers' watches, though, and the last
 * close of a file waits for the lock of every watch that it is in: a reader may sit on that for ever. So the bell is
 * closed on their user's own thread. The table is written by its readers: nothing that is
 * read from it is believed; who has which entry is known from this structure alone.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/mapping.h"
#include "daemon/quota.h"
#include "proto/cleanup.h"
#include "proto/layout.h"
#include "proto/slots.h"

struct estate;
struct proto_group;
struct record_group;
struct segment;
struct user;

struct group {
        LIST_ENTRY(group) link; /* the segment's */
        struct user *user;      /* a reference */
        struct quota_charge charge;
        uint32_t index;   /* below LAYOUT_GROUPS_MAX */
        bool binding;     /* its holds bind the writer; otherwise they do within a budget */
        uint32_t account; /* below LAYOUT_GROUPS_MAX; all groups of one user have the same, and no other has it */
        int table;        /* memfd */
        int bell;         /* eventfd */
        struct mapping mapping;
        struct estate *estate; /* borrowed; keeps it over a restart */
        uint32_t place;        /* in its record */
        bool kept;
        bool entered; /* there was a reader in it */
        uint64_t id;
        uint64_t segment_id;
        uint64_t inode;
        uint32_t n_readers;
        uint64_t entries[LAYOUT_WAITING_WORDS]; /* bit N: entry N is taken */
};

/**
 * group_new() - a group without readers
 * @out:        receives it
 * @estate:     keeps it over a restart
 * @segment_id: whose it is
 * @user:       whose readers they will be, and who pays
 * @index:      below LAYOUT_GROUPS_MAX
 * @binding:    their holds bind the writer
 * @account:    see above
 *
 * Return: 0; QUOTA_E_*: another group is refused; ESTATE_E_FULL; or a negative errno.
 */
int group_new(struct group **out, struct estate *estate, uint64_t segment_id, struct user *user, uint32_t index,
              bool binding, uint32_t account);

/**
 * group_restore() - a group of the instance before
 * @out:    receives it
 * @estate: keeps it
 * @user:   whose readers they are
 * @record: what it was
 * @table:  its table, consumed also on failure
 * @bell:   its bell, likewise
 *
 * Return: 0, ESTATE_E_FULL, or a negative errno.
 */
int group_restore(struct group **out, struct estate *estate, struct user *user, const struct record_group *record,
                  int table, int bell);

/* What writers are told of it. */
struct proto_group group_describe(const struct group *g, const struct segment *s);

/* It has no readers and is in no list. NULL is fine; returns NULL. */
struct group *group_free(struct group *g);
DEFINE_CLEANUP(struct group *, group_free)

/**
 * group_reserve() - find a free entry and lock its byte
 * @entry: receives it
 * @fd:    receives a description of the table of its own, with the lock
 *
 * Return: 0; -EAGAIN: none is free, or somebody holds the locks of those that are; another negative errno.
 */
int group_reserve(struct group *g, uint32_t *entry, int *fd);

/* An entry belongs to a reader that came in before the restart. */
void group_adopt(struct group *g, uint32_t entry);

/* Bytes of a table's memfd. */
uint64_t group_table_size(void);

/* All that live have been adopted: the others are dead, and nothing of them may be left in the way. */
void group_tidy(struct group *g);

/* Let a reader in. It must have been reserved. */
void group_enter(struct group *g, const struct slots *slots, uint32_t entry, uint32_t start, bool ordered);

/* One reader less to count; its entry stays as it is, for whoever comes after this instance. */
void group_abandon(struct group *g);

/* Give an entry back, entered or not. */
void group_leave(struct group *g, uint32_t entry);
