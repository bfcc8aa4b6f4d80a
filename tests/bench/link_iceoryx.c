/*
 * link_iceoryx.c -- iceoryx 2.0 by its C binding, with a RouDi of our own: a wait set where the reader blocks.
 *
 * A process that has begun to use iceoryx must not fork: whoever measures this link does so in a process of its own
 * (figures_apart()), and so do its workers, which are forked before.
 */
#include <glob.h>
#include <grp.h>
#include <iceoryx_binding_c/chunk.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <iceoryx_binding_c/types.h>
#include <iceoryx_binding_c/wait_set.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/harness.h"
#include "tests/bench/link.h"
#include "tests/bench/program.h"

#define QUEUE_SMALL 256 /* what a reader may have unread, of small frames */

struct iceoryx {
        struct link link;
        char instance[32];
        iox_pub_storage_t pub_storage;
        iox_sub_storage_t sub_storage;
        iox_ws_storage_t ws_storage;
        iox_pub_t pub;
        iox_sub_t sub;
        iox_ws_t ws;
        void *out;
        const void *in;
};

static struct program roudi;
static pid_t starter;
static char config_path[64];

static struct iceoryx *iceoryx_of(struct link *l) { return (struct iceoryx *)l; }

static const char config[] = "[general]\nversion = 1\n"
                             "[[segment]]\n"
                             "[[segment.mempool]]\nsize = 128\ncount = 10000\n"
                             "[[segment.mempool]]\nsize = 4096\ncount = 1000\n"
                             "[[segment.mempool]]\nsize = 1048576\ncount = 40\n"
                             "[[segment.mempool]]\nsize = 6220800\ncount = 40\n"
                             "[[segment.mempool]]\nsize = 24883200\ncount = 40\n";

static const char *start(void) {
        char *argv[] = { (char[]){ "iox-roudi" }, (char[]){ "-m" }, (char[]){ "off" },
                         (char[]){ "-c" },        config_path,      NULL };
        FILE *f;

        starter = getpid();
        (void)snprintf(config_path, sizeof(config_path), "/tmp/shmd-bench-roudi-%d", (int)getpid());
        f = fopen(config_path, "we");
        if (!f || fputs(config, f) < 0 || fclose(f))
                fail("%s cannot be written", config_path);
        return program_start(&roudi, "RouDi is ready for clients", argv);
}

/* RouDi leaves its shared memory behind, one part of it under the name of our group, and a process that ends without
 * its library's leave a socket and a lock file. */
static void stop(void) {
        const struct group *group = getgrgid(getegid());
        char pattern[64];
        glob_t left;

        program_end(&roudi);
        (void)shm_unlink("/iceoryx_mgmt");
        (void)snprintf(pattern, sizeof(pattern), "/%s", group ? group->gr_name : "");
        (void)shm_unlink(pattern);
        (void)unlink(config_path);
        (void)snprintf(pattern, sizeof(pattern), "/tmp/shmd-bench-iceoryx-%d-*", (int)starter);
        if (glob(pattern, GLOB_NOSORT, NULL, &left))
                return;
        for (size_t i = 0; i < left.gl_pathc; i++)
                (void)unlink(left.gl_pathv[i]);
        globfree(&left);
}

static struct link *make(const struct link_options *o) {
        static unsigned number;
        struct iceoryx *i = calloc(1, sizeof(*i));

        (void)o;
        if (!i)
                fail("no memory for a link");
        (void)snprintf(i->instance, sizeof(i->instance), "%d-%u", (int)getpid(), number++);
        return &i->link;
}

/* Once in a process. */
static void join(void) {
        static pid_t joined;
        char name[64];

        if (joined == getpid())
                return;
        joined = getpid();
        (void)snprintf(name, sizeof(name), "shmd-bench-iceoryx-%d-%d", (int)starter, (int)joined);
        iox_runtime_init(name);
}

static void open_writer(struct link *l) {
        struct iceoryx *i = iceoryx_of(l);
        iox_pub_options_t o;

        join();
        iox_pub_options_init(&o);
        o.subscriberTooSlowPolicy = l->options.whole_stream ? ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER
                                                            : ConsumerTooSlowPolicy_DISCARD_OLDEST_DATA;
        i->pub = iox_pub_init(&i->pub_storage, "shmd", i->instance, "bench", &o);
}

static void open_reader(struct link *l, unsigned index) {
        struct iceoryx *i = iceoryx_of(l);
        iox_sub_options_t o;

        (void)index;
        join();
        iox_sub_options_init(&o);
        o.queueCapacity = l->options.size <= 4096 ? QUEUE_SMALL : l->options.slots;
        o.queueFullPolicy =
                l->options.whole_stream ? QueueFullPolicy_BLOCK_PRODUCER : QueueFullPolicy_DISCARD_OLDEST_DATA;
        i->sub = iox_sub_init(&i->sub_storage, "shmd", i->instance, "bench", &o);
        /* RouDi brings both together after a while. */
        while (iox_sub_get_subscription_state(i->sub) != SubscribeState_SUBSCRIBED)
                (void)usleep(1000);
        if (l->options.busy)
                return;
        i->ws = iox_ws_init(&i->ws_storage);
        if (iox_ws_attach_subscriber_state(i->ws, i->sub, SubscriberState_HAS_DATA, 0, NULL) != WaitSetResult_SUCCESS)
                fail("iceoryx: attaching to a wait set failed");
}

static void *begin(struct link *l) {
        struct iceoryx *i = iceoryx_of(l);

        if (iox_pub_loan_chunk(i->pub, &i->out, (uint32_t)l->options.size) != AllocationResult_SUCCESS)
                fail("iceoryx: no chunk of %zu bytes", l->options.size);
        return i->out;
}

static void flush(struct link *l) { iox_pub_publish_chunk(iceoryx_of(l)->pub, iceoryx_of(l)->out); }

static const void *take(struct link *l) {
        struct iceoryx *i = iceoryx_of(l);

        for (;;) {
                enum iox_ChunkReceiveResult r = iox_sub_take_chunk(i->sub, &i->in);
                iox_notification_info_t info[1];
                uint64_t missed;

                if (r == ChunkReceiveResult_SUCCESS)
                        return i->in;
                if (r != ChunkReceiveResult_NO_CHUNK_AVAILABLE)
                        fail("iceoryx: taking a chunk failed: %d", (int)r);
                if (!l->options.busy)
                        (void)iox_ws_wait(i->ws, info, 1, &missed);
        }
}

static void release(struct link *l) { iox_sub_release_chunk(iceoryx_of(l)->sub, iceoryx_of(l)->in); }

static void destroy(struct link *l) {
        struct iceoryx *i = iceoryx_of(l);

        if (i->ws)
                iox_ws_deinit(i->ws);
        if (i->sub)
                iox_sub_deinit(i->sub);
        if (i->pub)
                iox_pub_deinit(i->pub);
        free(i);
}

const struct link_kind link_iceoryx = {
        .name = "iceoryx",
        .readers_max = 100,
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
