/*
 * link.h -- one way of getting frames from a writer to readers, whichever it is: shmd, the bare thing that it is
 * measured against, or what people would use instead. Workloads drive all of them by the same code, so that a ratio
 * compares like with like.
 *
 * A link is made before the processes fork; then each process opens its end. What fails ends the program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct link_options {
        size_t size;       /* bytes of a frame, 8 at least */
        unsigned slots;    /* frames in flight, where the kind lets one choose */
        unsigned readers;  /* how many there will be */
        bool busy;         /* readers spin rather than sleep */
        bool whole_stream; /* the writer waits for the slowest reader; otherwise it overwrites what was not taken */
};

struct link {
        const struct link_kind *kind;
        struct link_options options;
};

struct link_kind {
        const char *name;
        bool duplex;                /* one link serves both directions of a ping-pong */
        bool only_busy;             /* its readers cannot sleep */
        bool only_blocked;          /* its readers cannot spin */
        bool may_drop;              /* it cannot promise whole_stream */
        unsigned readers_max;       /* 0: any number */
        const char *(*start)(void); /* once, before all: why it cannot be used here, or NULL. May be missing */
        void (*stop)(void);         /* likewise, after all */
        struct link *(*make)(const struct link_options *o);
        void (*open_writer)(struct link *l);
        void (*open_reader)(struct link *l, unsigned index);
        void *(*begin)(struct link *l);      /* room for the next frame */
        void (*flush)(struct link *l);       /* hand it over, whole */
        const void *(*take)(struct link *l); /* the next frame, in place where it can be; waits for one */
        void (*release)(struct link *l);     /* done with it */
        void (*destroy)(struct link *l);     /* in the process that made it */
};

static inline struct link *link_make(const struct link_kind *kind, const struct link_options *o) {
        struct link *l = kind->make(o);

        l->kind = kind;
        l->options = *o;
        return l;
}

extern const struct link_kind link_shmd;

/* The bare things. */
extern const struct link_kind link_line;    /* one cache line that goes to and fro */
extern const struct link_kind link_eventfd; /* an eventfd per reader, the frame beside it in shared memory */
extern const struct link_kind link_futex;   /* one futex word for all readers */
extern const struct link_kind link_private; /* no transport: each side has memory of its own */
extern const struct link_kind link_bare;    /* frames in shared memory, two counters, spinning */

/* What people use, where it was found when this was built. */
extern const struct link_kind link_pipe;
extern const struct link_kind link_unix;
extern const struct link_kind link_posix;
extern const struct link_kind link_zmq;
extern const struct link_kind link_iceoryx;
extern const struct link_kind link_redis;
