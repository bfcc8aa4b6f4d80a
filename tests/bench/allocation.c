/*
 * allocation.c -- what other clients notice of the creation of a segment of gigabytes.
 *
 * Another process creates it while this one opens a small segment again and again. The daemon may run on the far core
 * only, where its allocating competes with its loop: the hard case.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "client/shmd.h"
#include "tests/bench/figure.h"
#include "tests/bench/harness.h"
#include "tests/bench/private_daemon.h"
#include "tests/bench/workload.h"

#define SMALL "bench/small"
#define LARGE "bench/large"
#define LARGE_SIZE (UINT64_C(4) << 30)
#define QUICK_SIZE (UINT64_C(64) << 20)
#define REACH_NS 5e6 /* of the 99.9th percentile: "a few milliseconds" */

static uint64_t large_size;
static _Atomic unsigned *busy; /* shared: a creation is under way */

static void create(struct desk *desk, void *data) {
        const struct shmd_options options = { .slot_size = large_size, .n_slots = 1 };
        struct shmd *conn = daemon_connect();

        (void)data;
        desk_ready(desk, 0);
        while (desk_order(desk)) {
                uint64_t start;

                atomic_store(busy, 1);
                start = now_ns();
                if (shmd_create(conn, LARGE, &options))
                        fail("creating a segment of %s: %s", size_text(large_size), shmd_error(conn));
                start = now_ns() - start;
                atomic_store(busy, 0);
                if (shmd_remove(conn, LARGE))
                        fail("removing a segment: %s", shmd_error(conn));
                desk_ready(desk, start);
        }
        shmd_close(conn);
}

static void open_once(struct series *s, struct shmd *conn) {
        struct shmd_reader *r;
        uint64_t start = now_ns();

        if (shmd_reader_open(&r, conn, SMALL, 0, SHMD_FOREVER))
                fail("opening a segment: %s", shmd_error(conn));
        series_add(s, (double)(now_ns() - start));
        shmd_reader_close(r);
}

static uint64_t affordable(uint64_t size) {
        uint64_t available = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

        while (size > available / 2)
                size /= 2;
        return size;
}

static void run(const struct options *o) {
        const struct shmd_options options = { .slot_size = 64 };
        struct figure f = {
                .workload = 'H',
                .unit = "ns",
                .subject = "shmd",
                .reference = "no creation",
        };
        struct figure worst = {
                .workload = 'H',
                .what = "the longest open of each creation",
                .unit = "ns",
                .subject = "shmd",
                .reference = "none",
                .reach = FIGURE_AT_MOST,
                .ratio_reach = REACH_NS,
        };
        struct figure creation = { .workload = 'H', .unit = "ns", .subject = "shmd", .reference = "none" };
        struct shmd *conn = daemon_connect();
        struct worker creator;

        large_size = affordable(o->quick ? QUICK_SIZE : LARGE_SIZE);
        busy = shared_memory(sizeof(*busy));
        if (shmd_create(conn, SMALL, &options))
                fail("creating a segment: %s", shmd_error(conn));
        worker_start(&creator, CORE_NEAR, create, NULL);
        worker_wait(&creator);
        for (unsigned round = 0; round < (o->quick ? 2 : 5); round++) {
                size_t first = f.value.n;
                double longest = 0;

                for (unsigned i = 0; i < (o->quick ? 50 : 500); i++)
                        open_once(&f.against, conn);
                worker_order(&creator, 1);
                while (!atomic_load(busy))
                        (void)usleep(0);
                while (atomic_load(busy))
                        open_once(&f.value, conn);
                series_add(&creation.value, (double)worker_wait(&creator));
                for (size_t i = first; i < f.value.n; i++)
                        if (f.value.values[i] > longest)
                                longest = f.value.values[i];
                if (longest > 0)
                        series_add(&worst.value, longest);
                series_round(&f.value);
                series_round(&f.against);
        }
        worker_end(&creator);
        if (shmd_remove(conn, SMALL))
                fail("removing a segment: %s", shmd_error(conn));
        shmd_close(conn);
        shared_memory_free(busy, sizeof(*busy));
        (void)snprintf(f.what, sizeof(f.what), "open while %s are allocated", size_text(large_size));
        (void)snprintf(creation.what, sizeof(creation.what), "create %s", size_text(large_size));
        figure_show(&f);
        figure_show(&worst);
        figure_show(&creation);
}

const struct workload workload_allocation = { 'H', "opening while a segment of 4 GiB is created", run };
