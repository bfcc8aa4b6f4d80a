/*
 * scale.c -- ten thousand segments against a hundred: what each operation costs, and the daemon's memory.
 *
 * Two daemons, one with many segments and one with few. In every round one more segment is created, opened, listed
 * (with all others, per segment) and removed on the one, then on the other.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/shmd.h"
#include "tests/bench/figure.h"
#include "tests/bench/harness.h"
#include "tests/bench/private_daemon.h"
#include "tests/bench/workload.h"

#define FEW 100
#define MANY 10000
#define QUICK 300
#define MEMORY_REACH 2048
#define GROWTH_REACH 1.2

enum operation {
        CREATE,
        OPEN,
        LIST,
        REMOVE,
        OPERATIONS
};

struct side {
        struct private_daemon daemon;
        struct shmd *conn;
        unsigned n;
        uint64_t memory; /* of the daemon, all segments being there */
        struct series series[OPERATIONS];
};

static const char *name_of(unsigned i) {
        static char name[64];

        /* Scattered over the order of names, as the names of several programs are. */
        (void)snprintf(name, sizeof(name), "bench/%02u/segment-%06u", (i * 37) % 64, i);
        return name;
}

static void must(struct side *s, int r, const char *what) {
        if (r < 0)
                fail("%s with %u segments: %s", what, s->n, shmd_error(s->conn));
}

static void create(struct side *s, unsigned i) {
        const struct shmd_options options = { .slot_size = 64, .n_slots = 4, .flags = SHMD_EXCLUSIVE };

        must(s, shmd_create(s->conn, name_of(i), &options), "creating a segment");
}

static int count(const struct shmd_info *info, void *data) {
        (void)info;
        ++*(unsigned *)data;
        return 0;
}

static void start(struct side *s, unsigned n) {
        s->n = n;
        private_daemon_start(&s->daemon, MANY + 100, 100);
        s->conn = private_daemon_connect(&s->daemon);
        for (unsigned i = 0; i < n; i++)
                create(s, i);
        s->memory = private_daemon_memory(&s->daemon);
}

static void stop(struct side *s) {
        shmd_close(s->conn);
        if (!private_daemon_stop(&s->daemon))
                exit(EXIT_FAILURE);
}

static void measure_one(struct side *s) {
        struct shmd_reader *r;
        uint64_t before = now_ns(), after;

        create(s, s->n);
        after = now_ns();
        series_add(&s->series[CREATE], (double)(after - before));
        must(s, shmd_reader_open(&r, s->conn, name_of(s->n), 0, SHMD_FOREVER), "opening a segment");
        before = now_ns();
        series_add(&s->series[OPEN], (double)(before - after));
        shmd_reader_close(r);
        before = now_ns();
        must(s, shmd_remove(s->conn, name_of(s->n)), "removing a segment");
        series_add(&s->series[REMOVE], (double)(now_ns() - before));
}

static void measure_list(struct side *s) {
        uint64_t before = now_ns();
        unsigned n = 0;

        must(s, shmd_list(s->conn, NULL, count, &n), "listing");
        series_add(&s->series[LIST], (double)(now_ns() - before) / n);
        if (n != s->n)
                fail("a list of %u segments has %u", s->n, n);
}

/* Lists apart from the rest: a long one leaves nothing else in the caches. */
static void measure(struct side *s, unsigned steps, bool counts) {
        for (unsigned i = 0; i < steps; i++)
                measure_one(s);
        for (unsigned i = 0; i < steps; i++)
                measure_list(s);
        for (unsigned k = 0; k < OPERATIONS; k++)
                if (counts)
                        series_round(&s->series[k]);
                else
                        series_clear(&s->series[k]);
}

static void show_memory(const struct side *few, const struct side *many) {
        struct figure f = {
                .workload = 'F',
                .what = "the daemon's own memory for a segment",
                .unit = "bytes",
                .subject = "shmd",
                .reference = "none",
                .reach = FIGURE_AT_MOST,
                .ratio_reach = MEMORY_REACH,
        };

        series_add(&f.value, ((double)many->memory - (double)few->memory) / (many->n - few->n));
        figure_show(&f);
}

static void run(const struct options *o) {
        static const char *const what[OPERATIONS] = {
                [CREATE] = "create one",
                [OPEN] = "open one",
                [LIST] = "list, for each in the list",
                [REMOVE] = "remove one",
        };
        static struct side few, many;
        char reference[32];

        start(&few, FEW);
        start(&many, o->quick ? QUICK : MANY);
        for (unsigned round = 0; round <= (o->quick ? 1 : 15); round++) {
                measure(round % 2 ? &few : &many, o->quick ? 3 : 20, round > 0);
                measure(round % 2 ? &many : &few, o->quick ? 3 : 20, round > 0);
        }
        (void)snprintf(reference, sizeof(reference), "%u segments", few.n);
        for (unsigned k = 0; k < OPERATIONS; k++) {
                struct figure f = {
                        .workload = 'F',
                        .unit = "ns",
                        .subject = "shmd",
                        .reference = reference,
                        .value = many.series[k],
                        .against = few.series[k],
                        .reach = FIGURE_AT_MOST,
                        .ratio_reach = GROWTH_REACH,
                };

                few.series[k] = many.series[k] = (struct series){ 0 };
                (void)snprintf(f.what, sizeof(f.what), "%u segments, %s", many.n, what[k]);
                figure_show(&f);
        }
        show_memory(&few, &many);
        stop(&many);
        stop(&few);
}

const struct workload workload_scale = { 'F', "10,000 segments against 100, and the daemon's memory", run };
