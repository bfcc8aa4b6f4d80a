/*
 * attach.h -- how a handle stays with the daemon when the daemon is restarted.
 *
 * Frames do not need the daemon. When a handle's socket ends, the library connects anew, from whatever call is made and from
 * the watch, and claims the handle; it never waits for that, but for one case: the data header says that readers were let
 * in of whom this writer has not been told. The daemon's answer comes like a notice.
 *
 * While the handle is away, a timer in the watch sees to it that an application that waits there is woken to try again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/shmd.h"
#include "proto/message.h"

struct handle;

enum attach_state {
        ATTACH_THERE,
        ATTACH_AWAY,     /* there is no socket; to be tried again */
        ATTACH_CLAIMING, /* there is one, and the answer has not come yet */
        ATTACH_REFUSED,  /* the daemon does not know the handle: that is final */
};

struct attach {
        enum attach_state state;
        char *path;      /* owned: the daemon's socket */
        int timer;       /* -1: there is none */
        int64_t away_at; /* since when */
        int64_t next;    /* when to try again */
        int64_t pause;   /* after the next failure */
        bool claimed;    /* the answer has come, and it is there when the groups that are due have come, too */
        uint32_t due;
        bool told;            /* SHMD_EVENT_OFFLINE */
        uint32_t unannounced; /* of the data header, as far as we were told */
};

/* Of a handle that is being opened. Return: 0 or -ENOMEM. */
int attach_init(struct handle *h, const char *path);

void attach_close(struct handle *h);

/* In a child: everything is the parent's. */
void attach_forget(struct handle *h);

/* The socket has ended, and all that lay in it was read. */
void attach_lost(struct handle *h);

/* Is there something to be done about it? Costs nothing while the handle is there. */
static inline bool attach_is_away(const struct attach *a) {
        return a->state == ATTACH_AWAY || a->state == ATTACH_CLAIMING;
}

/* Is the daemon away for longer than an application should have to wait? */
static inline bool attach_is_offline(const struct attach *a) { return a->told || a->state == ATTACH_REFUSED; }

/* Do what is due now. */
void attach_tick(struct handle *h);

/* The timer has woken somebody. */
void attach_ring(struct handle *h);

/* A group that was due has come. */
void attach_group(struct handle *h);

/* A reply has come on the handle's socket: to our claim, or a refusal. */
void attach_answer(struct handle *h, const union proto_any *reply);

/* The header says that there are readers whom this writer does not know: come back before going on, if that is possible. */
void attach_wait(struct handle *h);
