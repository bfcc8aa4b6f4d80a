/* link_zmq.c -- ZeroMQ over its ipc transport: PUSH and PULL with one reader, PUB and SUB with several. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/bench/harness.h"
#include "tests/bench/link.h"

#define SMALL 4096 /* frames up to here may queue up */
#define SMALL_QUEUE 1000

struct zmq_link {
        struct link link;
        char address[64];
        void *context;
        void *socket;
        unsigned to_come; /* readers that have not subscribed yet */
        zmq_msg_t message;
};

static struct zmq_link *zmq_of(struct link *l) { return (struct zmq_link *)l; }

static void must(int r, const char *what) {
        if (r < 0)
                fail("ZeroMQ: %s: %s", what, zmq_strerror(zmq_errno()));
}

static struct link *make(const struct link_options *o) {
        static unsigned number;
        struct zmq_link *z = calloc(1, sizeof(*z));

        (void)o;
        if (!z)
                fail("no memory for a link");
        (void)snprintf(z->address, sizeof(z->address), "ipc://@shmd-bench-%d-%u", (int)getpid(), number++);
        return &z->link;
}

static void open_socket(struct link *l, int type) {
        struct zmq_link *z = zmq_of(l);
        int queue = l->options.size <= SMALL ? SMALL_QUEUE : (int)l->options.slots, none = 0;

        z->context = zmq_ctx_new();
        z->socket = z->context ? zmq_socket(z->context, type) : NULL;
        if (!z->socket)
                fail("ZeroMQ: making a socket: %s", zmq_strerror(zmq_errno()));
        must(zmq_setsockopt(z->socket, ZMQ_SNDHWM, &queue, sizeof(queue)), "bounding a queue");
        must(zmq_setsockopt(z->socket, ZMQ_RCVHWM, &queue, sizeof(queue)), "bounding a queue");
        must(zmq_setsockopt(z->socket, ZMQ_LINGER, &none, sizeof(none)), "not lingering");
}

static void open_writer(struct link *l) {
        struct zmq_link *z = zmq_of(l);
        bool one = l->options.readers == 1;

        open_socket(l, one ? ZMQ_PUSH : ZMQ_XPUB);
        if (!one) {
                int all = 1;

                must(zmq_setsockopt(z->socket, ZMQ_XPUB_VERBOSE, &all, sizeof(all)), "asking for all subscriptions");
        }
        must(zmq_bind(z->socket, z->address), "binding");
        z->to_come = one ? 0 : l->options.readers;
}

static void open_reader(struct link *l, unsigned index) {
        struct zmq_link *z = zmq_of(l);
        bool one = l->options.readers == 1;

        (void)index;
        open_socket(l, one ? ZMQ_PULL : ZMQ_SUB);
        if (!one)
                must(zmq_setsockopt(z->socket, ZMQ_SUBSCRIBE, "", 0), "subscribing");
        must(zmq_connect(z->socket, z->address), "connecting");
}

static void *begin(struct link *l) {
        struct zmq_link *z = zmq_of(l);

        for (; z->to_come > 0; z->to_come--) {
                char byte[2];

                must(zmq_recv(z->socket, byte, sizeof(byte), 0), "hearing of a subscription");
        }
        must(zmq_msg_init_size(&z->message, l->options.size), "making a message");
        return zmq_msg_data(&z->message);
}

static void flush(struct link *l) { must(zmq_msg_send(&zmq_of(l)->message, zmq_of(l)->socket, 0), "sending"); }

static const void *take(struct link *l) {
        struct zmq_link *z = zmq_of(l);
        int r;

        must(zmq_msg_init(&z->message), "making a message");
        do
                r = zmq_msg_recv(&z->message, z->socket, l->options.busy ? ZMQ_DONTWAIT : 0);
        while (r < 0 && zmq_errno() == EAGAIN);
        must(r, "receiving");
        if (zmq_msg_size(&z->message) != l->options.size)
                fail("ZeroMQ has brought something else than a frame");
        return zmq_msg_data(&z->message);
}

static void release(struct link *l) { must(zmq_msg_close(&zmq_of(l)->message), "closing a message"); }

static void destroy(struct link *l) {
        struct zmq_link *z = zmq_of(l);

        if (z->socket)
                must(zmq_close(z->socket), "closing");
        if (z->context)
                must(zmq_ctx_term(z->context), "ending");
        free(z);
}

const struct link_kind link_zmq = {
        .name = "ZeroMQ",
        .make = make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = begin,
        .flush = flush,
        .take = take,
        .release = release,
        .destroy = destroy,
};
