/* link_redis.c -- PUBLISH and SUBSCRIBE of a private Redis, over its Unix socket. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/harness.h"
#include "tests/bench/link.h"
#include "tests/bench/program.h"

struct redis {
        struct link link;
        char channel[32];
        redisContext *context;
        redisReply *reply; /* the frame that was taken */
        unsigned char *frame;
};

static struct program server;
static char socket_path[64];

static struct redis *redis_of(struct link *l) { return (struct redis *)l; }

static const char *start(void) {
        char *argv[] = { (char[]){ "redis-server" }, (char[]){ "--port" }, (char[]){ "0" }, (char[]){ "--unixsocket" },
                         socket_path, (char[]){ "--save" }, (char[]){ "" },
                         /* A frame of 25 MB is above the default limit of what a subscriber may have unread. */
                         (char[]){ "--client-output-buffer-limit" }, (char[]){ "pubsub" }, (char[]){ "0" },
                         (char[]){ "0" }, (char[]){ "0" }, NULL };

        (void)snprintf(socket_path, sizeof(socket_path), "/tmp/shmd-bench-redis-%d", (int)getpid());
        return program_start(&server, "eady to accept connections", argv);
}

static void stop(void) {
        program_end(&server);
        (void)unlink(socket_path);
}

static struct link *make(const struct link_options *o) {
        static unsigned number;
        struct redis *r = calloc(1, sizeof(*r));

        if (!r || posix_memalign((void **)&r->frame, 4096, o->size))
                fail("no memory for a link");
        (void)snprintf(r->channel, sizeof(r->channel), "bench-%d-%u", (int)getpid(), number++);
        return &r->link;
}

static void destroy(struct link *l) {
        struct redis *r = redis_of(l);

        if (r->reply)
                freeReplyObject(r->reply);
        if (r->context)
                redisFree(r->context);
        free(r->frame);
        free(r);
}

static void open_writer(struct link *l) {
        struct redis *r = redis_of(l);

        r->context = redisConnectUnix(socket_path);
        if (!r->context || r->context->err)
                fail("connecting to Redis: %s", r->context ? r->context->errstr : "no memory");
}

static void open_reader(struct link *l, unsigned index) {
        struct redis *r = redis_of(l);
        redisReply *reply;

        (void)index;
        open_writer(l);
        reply = redisCommand(r->context, "SUBSCRIBE %s", r->channel);
        if (!reply)
                fail("subscribing at Redis: %s", r->context->errstr);
        freeReplyObject(reply);
}

static void *begin(struct link *l) { return redis_of(l)->frame; }

static void flush(struct link *l) {
        struct redis *r = redis_of(l);
        redisReply *reply = redisCommand(r->context, "PUBLISH %s %b", r->channel, r->frame, l->options.size);

        if (!reply || reply->type == REDIS_REPLY_ERROR)
                fail("publishing at Redis: %s", reply ? reply->str : r->context->errstr);
        freeReplyObject(reply);
}

static const void *take(struct link *l) {
        struct redis *r = redis_of(l);
        void *reply;

        if (redisGetReply(r->context, &reply) != REDIS_OK)
                fail("reading from Redis: %s", r->context->errstr);
        r->reply = reply;
        if (r->reply->type != REDIS_REPLY_ARRAY || r->reply->elements != 3 ||
            r->reply->element[2]->len != l->options.size)
                fail("Redis has sent something else than a frame");
        return r->reply->element[2]->str;
}

static void release(struct link *l) {
        struct redis *r = redis_of(l);

        freeReplyObject(r->reply);
        r->reply = NULL;
}

const struct link_kind link_redis = {
        .name = "Redis",
        .only_blocked = true,
        .start = start,
        .stop = stop,
        .make = make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = begin,
        .flush = flush,
        .take = take,
        .release = release,
        .destroy = destroy,
};
