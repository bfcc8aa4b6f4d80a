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

struct proto_group;
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
        uint32_t n_readers;
        uint64_t entries[LAYOUT_WAITING_WORDS]; /* bit N: entry N is taken */
};

/* What writers are told of it. */
struct proto_group group_describe(const struct group *g, const struct segment *s);

/* @user: whose readers they will be, and who pays. Return: 0; QUOTA_E_*: another group is refused; a negative errno. */
int group_new(struct group **out, struct user *user, uint32_t index, bool binding, uint32_t account);

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

/* Let a reader in. It must have been reserved. */
void group_enter(struct group *g, const struct slots *slots, uint32_t entry, uint32_t start, bool ordered);

/* Give an entry back, entered or not. */
void group_leave(struct group *g, uint32_t entry);
