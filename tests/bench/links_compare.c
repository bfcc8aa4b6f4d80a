#include "tests/bench/links_compare.h"

#include <stddef.h>
#include <stdio.h>

#include "tests/bench/link.h"

static const struct {
        const char *name;
        const struct link_kind *kind;
} all[] = {
        { "pipe", &link_pipe },       { "unix socket", &link_unix }, { "posix shm, mutex, condition", &link_posix },
#ifdef BENCH_ZMQ
        { "ZeroMQ", &link_zmq },
#else
        { "ZeroMQ (libzmq3-dev)", NULL },
#endif
#ifdef BENCH_ICEORYX
        { "iceoryx", &link_iceoryx },
#else
        { "iceoryx (libiceoryx-binding-c-dev, iceoryx)", NULL },
#endif
#ifdef BENCH_REDIS
        { "Redis", &link_redis },
#else
        { "Redis (libhiredis-dev, redis-server)", NULL },
#endif
};

#define N_ALL (sizeof(all) / sizeof(all[0]))

const struct link_kind *links_to_compare[N_ALL + 1];

void links_list(void) {
        for (size_t i = 0; i < N_ALL; i++)
                printf("--compare: %s%s\n", all[i].name, all[i].kind ? "" : ": not installed when this was built");
}

void links_start(void) {
        size_t n = 0;

        for (size_t i = 0; i < N_ALL; i++) {
                const char *why = !all[i].kind         ? "not installed when this was built"
                                  : all[i].kind->start ? all[i].kind->start()
                                                       : NULL;

                if (why)
                        (void)fprintf(stderr, "not compared with %s: %s\n", all[i].name, why);
                else
                        links_to_compare[n++] = all[i].kind;
        }
}

void links_stop(void) {
        for (size_t i = 0; links_to_compare[i]; i++)
                if (links_to_compare[i]->stop)
                        links_to_compare[i]->stop();
}
