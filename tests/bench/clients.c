/*
 * clients.c -- what a request costs when many clients are connected and some of them are busy.
 *
 * Three daemons: one has a single client, one has 100, one has 1,000, and each asks about a segment again and again
 * while it is busy. Busy clients are processes on the near core; the idle ones are connections that nobody uses.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/shmd.h"
#include "tests/bench/figure.h"
#include "tests/bench/harness.h"
#include "tests/bench/private_daemon.h"
#include "tests/bench/workload.h"

#define BUSY 100
#define CLIENTS 1000
#define NAME "bench/clients"
#define SAME 1.2 /* idle ones cost nothing, within the noise */

enum {
        ALONE,
        HUNDRED,
        THOUSAND,
        DAEMONS
};

struct house {
        struct private_daemon daemon;
        struct shmd **idle;
        unsigned n_idle;
};

struct client {
        struct worker worker;
        bool is_first;  /* also the only one of the daemon that has one */
        double *values; /* shared: what it has measured */
};

static struct house houses[DAEMONS];

/* An order is a number of requests, times the number of daemons, plus the daemon. */
static void ask(struct desk *desk, void *data) {
        struct client *c = data;
        struct shmd *conns[DAEMONS] = { NULL };
        uint64_t order;

        for (unsigned i = 0; i < DAEMONS; i++)
                if (i != ALONE || c->is_first)
                        conns[i] = private_daemon_connect(&houses[i].daemon);
        desk_ready(desk, 0);
        while ((order = desk_order(desk))) {
                for (uint64_t i = 0; i < order / DAEMONS; i++) {
                        struct shmd *conn = conns[order % DAEMONS];
                        struct shmd_info info;
                        uint64_t start = now_ns();

                        if (shmd_stat(conn, NAME, &info))
                                fail("asking about a segment: %s", shmd_error(conn));
                        c->values[i] = (double)(now_ns() - start);
                }
                desk_ready(desk, 0);
        }
}

static void measure(struct series *s, struct client *clients, unsigned house, unsigned busy, unsigned steps) {
        for (unsigned i = 0; i < busy; i++)
                worker_order(&clients[i].worker, (uint64_t)steps * DAEMONS + house);
        for (unsigned i = 0; i < busy; i++)
                worker_wait(&clients[i].worker);
        for (unsigned i = 0; i < busy; i++)
                for (unsigned k = 0; k < steps; k++)
                        series_add(s, clients[i].values[k]);
}

static void open_house(struct house *h, unsigned n_idle) {
        const struct shmd_options options = { .slot_size = 64 };

        private_daemon_start(&h->daemon, 10, CLIENTS + 100);
        h->idle = calloc(n_idle + 1, sizeof(*h->idle));
        if (!h->idle)
                fail("no memory for %u connections", n_idle);
        for (h->n_idle = 0; h->n_idle < n_idle; h->n_idle++)
                h->idle[h->n_idle] = private_daemon_connect(&h->daemon);
        /* Its creator goes again: it is no client. */
        struct shmd *conn = private_daemon_connect(&h->daemon);
        if (shmd_create(conn, NAME, &options))
                fail("creating a segment: %s", shmd_error(conn));
        shmd_close(conn);
}

static void close_house(struct house *h) {
        while (h->n_idle > 0)
                shmd_close(h->idle[--h->n_idle]);
        free(h->idle);
        if (!private_daemon_stop(&h->daemon))
                exit(EXIT_FAILURE);
}

static struct series copy(const struct series *s) {
        struct series c = { 0 };

        for (size_t i = 0; i < s->n; i++)
                series_add(&c, s->values[i]);
        for (size_t i = 0; i < s->n_rounds; i++) {
                c.rounds = realloc(c.rounds, (i + 1) * sizeof(*c.rounds));
                if (!c.rounds)
                        fail("no memory for %zu rounds", i + 1);
                c.rounds[c.n_rounds++] = s->rounds[i];
        }
        return c;
}

static void show(const char *what, const struct series *s, const char *reference, const struct series *against,
                 double reach) {
        struct figure f = {
                .workload = 'G',
                .unit = "ns",
                .subject = "shmd",
                .reference = reference,
                .value = copy(s),
                .against = copy(against),
                .reach = FIGURE_AT_MOST,
                .ratio_reach = reach,
                .by_p99 = true,
        };

        (void)snprintf(f.what, sizeof(f.what), "a request, p99, %s", what);
        figure_show(&f);
}

static void run(const struct options *o) {
        static const struct {
                unsigned house;
                unsigned busy;
        } crowds[] = { { ALONE, 1 }, { THOUSAND, 1 }, { HUNDRED, BUSY }, { THOUSAND, BUSY } };
        const unsigned n_crowds = sizeof(crowds) / sizeof(crowds[0]);
        const unsigned total = o->quick ? 1000 : 10000; /* requests in a round */
        static struct client clients[BUSY];
        struct series series[4] = { 0 };

        open_house(&houses[ALONE], 0);
        open_house(&houses[HUNDRED], 0);
        open_house(&houses[THOUSAND], CLIENTS - BUSY);
        for (unsigned i = 0; i < BUSY; i++) {
                clients[i].is_first = i == 0;
                clients[i].values = shared_memory((i ? total / BUSY : total) * sizeof(double));
                worker_start(&clients[i].worker, CORE_NEAR, ask, &clients[i]);
                worker_wait(&clients[i].worker);
        }
        for (unsigned round = 0; round <= (o->quick ? 1 : 9); round++)
                for (unsigned k = 0; k < n_crowds; k++) {
                        unsigned i = (k + round) % n_crowds;

                        measure(&series[i], clients, crowds[i].house, crowds[i].busy, total / crowds[i].busy);
                        if (round == 0)
                                series_clear(&series[i]);
                        else
                                series_round(&series[i]);
                }
        show("1 busy of 1,000 clients", &series[1], "1 client", &series[0], SAME);
        show("100 busy of 1,000 clients", &series[3], "100 busy of 100", &series[2], SAME);
        show("100 busy of 1,000 clients", &series[3], "1 client", &series[0], BUSY);
        for (unsigned i = 0; i < BUSY; i++) {
                worker_end(&clients[i].worker);
                shared_memory_free(clients[i].values, (i ? total / BUSY : total) * sizeof(double));
        }
        for (unsigned i = 0; i < n_crowds; i++)
                series_free(&series[i]);
        for (unsigned i = 0; i < DAEMONS; i++)
                close_house(&houses[i]);
}

const struct workload workload_clients = { 'G', "a request among 1,000 clients, 100 of them busy", run };
