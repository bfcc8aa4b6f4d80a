/* link_stream.c -- a pipe, or a Unix stream socket, for each reader: every frame is written and read, whole. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/harness.h"
#include "tests/bench/link.h"

#define PIPE_SIZE 1048576 /* what an unprivileged process may have */

struct stream {
        struct link link;
        int (*fds)[2]; /* of each reader: its end, the writer's end */
        unsigned char *frame;
        unsigned index;
};

static struct stream *stream_of(struct link *l) { return (struct stream *)l; }

static struct link *make(const struct link_options *o) {
        struct stream *s = calloc(1, sizeof(*s));

        if (s)
                s->fds = calloc(o->readers, sizeof(*s->fds));
        if (!s || !s->fds || posix_memalign((void **)&s->frame, 4096, o->size))
                fail("no memory for a link");
        return &s->link;
}

static struct link *pipe_make(const struct link_options *o) {
        struct stream *s = stream_of(make(o));

        for (unsigned i = 0; i < o->readers; i++) {
                check(pipe2(s->fds[i], O_CLOEXEC), "making a pipe");
                if (o->readers == 1)
                        check(fcntl(s->fds[i][1], F_SETPIPE_SZ, PIPE_SIZE), "enlarging a pipe");
        }
        return &s->link;
}

static struct link *unix_make(const struct link_options *o) {
        struct stream *s = stream_of(make(o));

        for (unsigned i = 0; i < o->readers; i++)
                check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->fds[i]), "making a socketpair");
        return &s->link;
}

static void open_writer(struct link *l) { (void)l; }

static void open_reader(struct link *l, unsigned index) {
        struct stream *s = stream_of(l);

        s->index = index;
        if (l->options.busy)
                check(fcntl(s->fds[index][0], F_SETFL, O_NONBLOCK), "reading without blocking");
}

static void *begin(struct link *l) { return stream_of(l)->frame; }

static void flush(struct link *l) {
        struct stream *s = stream_of(l);

        for (unsigned i = 0; i < l->options.readers; i++)
                for (size_t done = 0; done < l->options.size;)
                        done += (size_t)check(write(s->fds[i][1], s->frame + done, l->options.size - done), "writing");
}

static const void *take(struct link *l) {
        struct stream *s = stream_of(l);

        for (size_t done = 0; done < l->options.size;) {
                ssize_t n = read(s->fds[s->index][0], s->frame + done, l->options.size - done);

                if (n < 0 && errno == EAGAIN)
                        continue;
                if (check(n, "reading") == 0)
                        fail("the writer has gone");
                done += (size_t)n;
        }
        return s->frame;
}

static void release(struct link *l) { (void)l; }

static void destroy(struct link *l) {
        struct stream *s = stream_of(l);

        for (unsigned i = 0; i < l->options.readers; i++) {
                (void)close(s->fds[i][0]);
                (void)close(s->fds[i][1]);
        }
        free(s->fds);
        free(s->frame);
        free(s);
}

const struct link_kind link_pipe = {
        .name = "pipe",
        .make = pipe_make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = begin,
        .flush = flush,
        .take = take,
        .release = release,
        .destroy = destroy,
};

const struct link_kind link_unix = {
        .name = "unix socket",
        .make = unix_make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = begin,
        .flush = flush,
        .take = take,
        .release = release,
        .destroy = destroy,
};
