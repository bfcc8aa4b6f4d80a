/* link_shmd.c -- frames through a segment of the private daemon. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/shmd.h"
#include "tests/bench/harness.h"
#include "tests/bench/link.h"
#include "tests/bench/private_daemon.h"

struct shmd_link {
        struct link link;
        char name[32];
        struct shmd *conn;
        struct shmd_writer *writer;
        struct shmd_reader *reader;
        struct shmd_frame frame;
};

static struct shmd_link *shmd_of(struct link *l) { return (struct shmd_link *)l; }

static void must(struct shmd_link *l, int r, const char *what) {
        if (r < 0)
                fail("%s of %s: %s (%s)", what, l->name, strerror(-r), shmd_error(l->conn));
}

static struct link *make(const struct link_options *o) {
        static unsigned number;
        struct shmd_link *l = calloc(1, sizeof(*l));
        struct shmd_options options = {
                .slot_size = o->size,
                .n_slots = o->slots,
                .policy = o->whole_stream ? SHMD_BLOCK : SHMD_OVERWRITE,
                .flags = SHMD_EXCLUSIVE,
        };

        if (!l)
                fail("no memory for a link");
        (void)snprintf(l->name, sizeof(l->name), "bench/%u", number++);
        l->conn = daemon_connect();
        must(l, shmd_create(l->conn, l->name, &options), "creation");
        return &l->link;
}

static void destroy(struct link *l) {
        struct shmd_link *s = shmd_of(l);

        shmd_writer_close(s->writer);
        shmd_reader_close(s->reader);
        must(s, shmd_remove(s->conn, s->name), "removal");
        shmd_close(s->conn);
        free(s);
}

static void open_writer(struct link *l) {
        struct shmd_link *s = shmd_of(l);

        must(s, shmd_writer_open(&s->writer, s->conn, s->name, 0, SHMD_FOREVER), "opening");
}

static void open_reader(struct link *l, unsigned index) {
        struct shmd_link *s = shmd_of(l);
        unsigned flags = SHMD_FROM_END | (l->options.whole_stream ? SHMD_ORDERED : 0);

        (void)index;
        must(s, shmd_reader_open(&s->reader, s->conn, s->name, flags, SHMD_FOREVER), "opening");
}

static void *begin(struct link *l) {
        struct shmd_link *s = shmd_of(l);
        void *data;
        int r;

        do
                r = shmd_writer_begin(s->writer, &data, NULL, l->options.busy ? 0 : SHMD_FOREVER);
        while (r == -EAGAIN);
        must(s, r, "beginning a frame");
        return data;
}

static void flush(struct link *l) {
        struct shmd_link *s = shmd_of(l);

        must(s, shmd_writer_flush(s->writer, l->options.size, 0), "flushing");
}

static const void *take(struct link *l) {
        struct shmd_link *s = shmd_of(l);
        int r;

        while ((r = shmd_reader_next(s->reader, &s->frame)) == -EAGAIN)
                if (!l->options.busy)
                        must(s, shmd_reader_wait(s->reader, SHMD_FOREVER), "waiting");
        must(s, r, "reading");
        return s->frame.data;
}

static void release(struct link *l) { must(shmd_of(l), shmd_reader_release(shmd_of(l)->reader), "releasing"); }

const struct link_kind link_shmd = {
        .name = "shmd",
        .make = make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = begin,
        .flush = flush,
        .take = take,
        .release = release,
        .destroy = destroy,
};
