/*
 * notice.h -- what those who have a segment open are told unasked.
 *
 * Of the users' counts only the newest matters: changes of one turn of the loop are told once, and a handle that cannot
 * be told now is told what is true by then. How many readers there are concerns the writers; other readers learn it with
 * a delay, so that n readers that come one by one are not woken n times each.
 *
 * Once notices have left, the word in the data header changes, so that a writer finds them without a system call.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/message.h"

struct handle;
struct segment;
struct server;

struct notices {
        LIST_HEAD(, segment) changed;
        LIST_HEAD(, segment) changed_late;
        struct event late;
};

void notices_init(struct server *server);
void notices_deinit(struct server *server);

/* The users or the state of a segment have changed. @readers: it concerns readers, too. */
void notice_change(struct server *server, struct segment *s, bool readers);

/* Nobody is left to be told. */
void notice_forget(struct segment *s);

/* Tell what has changed, now. */
void notice_flush(struct server *server);

/* Tell every writer about the group with that index, before anybody enters it. */
void notice_group(struct segment *s, uint32_t index);

/* Has every writer been sent it? One that has not come back for long since a restart is told by the data header that
 * there is something to be told. */
bool notice_is_group_known(struct segment *s, uint32_t index);

/* Has every writer read what it was told about groups before, or nearly? */
bool notice_may_add_group(struct segment *s);

void notice_users(const struct segment *s, struct proto_users *users);

/**
 * notice_send() - send what a handle is still to be told
 * @h:    open
 * @sent: receives true if anything left: the epoch is to be raised
 *
 * Return: 0: nothing is left to tell; what connection_send() returned, or a negative errno: go on later.
 */
int notice_send(struct handle *h, bool *sent);
