/*
 * registry.h -- segments by name, in order, and those who wait for a name.
 *
 * A name may be waited for by requests of any kind; they are woken when something happens to it (it is there, or its
 * creation has failed) and look for themselves.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "daemon/tree.h"

#include "daemon/segment.h"

struct waiter {
        RB_ENTRY(waiter) link;
        const char *name; /* borrowed; NULL: does not wait */
        uint64_t turn;    /* first come, first woken */
        void (*wake)(struct waiter *waiter);
};

RB_HEAD(segment_tree, segment);
RB_HEAD(waiter_tree, waiter);

struct registry {
        struct segment_tree segments;
        struct waiter_tree waiters;
        uint64_t next_turn;
};

void registry_init(struct registry *r);

/* Forget every segment. Nobody waits any more. */
void registry_deinit(struct registry *r);

/* Also one that is being created. NULL: there is none. Borrowed. */
struct segment *registry_find(struct registry *r, const char *name);

/* The first one whose name is behind @name, and the one behind @s. Borrowed. */
struct segment *registry_after(struct registry *r, const char *name);
struct segment *registry_next(struct segment *s);

/* Takes a reference; there is no segment of that name. */
void registry_add(struct registry *r, struct segment *s);

/* Take the name away and drop the reference. The state becomes SEGMENT_REMOVED. */
void registry_remove(struct registry *r, struct segment *s);

/* @waiter->wake is set; @name stays valid until it is woken or forgotten. */
void registry_wait(struct registry *r, struct waiter *waiter, const char *name);

/* Also for one that does not wait. */
void registry_forget(struct registry *r, struct waiter *waiter);

/* Does anybody wait for it? */
bool registry_is_awaited(struct registry *r, const char *name);

/* Wake everybody who waits for it; they wait no longer. wake() must not wait again before this returns. */
void registry_wake(struct registry *r, const char *name);
