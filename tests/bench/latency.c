/*
 * latency.c -- how long a frame takes from its writer's begin until its reader has touched it.
 *
 * Two figures. Ping-pong: half of a round trip, either side touching 8 bytes of every frame; what a busy reader and a
 * reader that blocks see when frames follow each other closely. Paced: the writer pauses between frames (it spins, its
 * core stays awake) long enough for the reader to fall asleep; one way, by the one clock that both cores have.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/bench/duel.h"
#include "tests/bench/figure.h"
#include "tests/bench/harness.h"
#include "tests/bench/links_compare.h"
#include "tests/bench/workload.h"

#define PAUSE_NS 500000

struct plan {
        size_t size;
        bool busy;
        bool paced;
        uint64_t steps; /* of a round */
};

struct side {
        const struct plan *plan;
        struct link *ping;
        struct link *pong; /* the same, if one serves both directions; none if paced */
        struct worker far;
        double *values;             /* paced: shared, what the far end has measured */
        _Atomic unsigned *received; /* and whether it has */
};

/* ---- the far end ------------------------------------------------------------------------------------------------- */

static void answer(struct desk *desk, void *data) {
        struct side *s = data;
        uint64_t steps;

        s->ping->kind->open_reader(s->ping, 0);
        if (s->pong != s->ping)
                s->pong->kind->open_writer(s->pong);
        desk_ready(desk, 0);
        while ((steps = desk_order(desk))) {
                for (uint64_t i = 0; i < steps; i++) {
                        uint64_t seen = *(const volatile uint64_t *)s->ping->kind->take(s->ping);

                        s->ping->kind->release(s->ping);
                        *(volatile uint64_t *)s->pong->kind->begin(s->pong) = seen;
                        s->pong->kind->flush(s->pong);
                }
                desk_ready(desk, 0);
        }
}

static void receive(struct desk *desk, void *data) {
        struct side *s = data;
        uint64_t steps;

        s->ping->kind->open_reader(s->ping, 0);
        desk_ready(desk, 0);
        while ((steps = desk_order(desk))) {
                for (uint64_t i = 0; i < steps; i++) {
                        uint64_t sent = *(const volatile uint64_t *)s->ping->kind->take(s->ping);

                        s->values[i] = (double)(now_ns() - sent);
                        s->ping->kind->release(s->ping);
                        atomic_store(s->received, 1);
                }
                desk_ready(desk, 0);
        }
}

/* ---- the near end ------------------------------------------------------------------------------------------------ */

static void play(struct duel *d, uint64_t steps) {
        struct side *s = d->side;
        uint64_t before = now_ns();

        for (uint64_t i = 0; i < steps; i++) {
                uint64_t after;

                *(volatile uint64_t *)s->ping->kind->begin(s->ping) = i;
                s->ping->kind->flush(s->ping);
                if (*(const volatile uint64_t *)s->pong->kind->take(s->pong) != i)
                        fail("%s has brought another frame than was sent", d->kind->name);
                s->pong->kind->release(s->pong);
                after = now_ns();
                series_add(d->series, (double)(after - before) / 2);
                before = after;
        }
}

static void pace(struct duel *d, uint64_t steps) {
        struct side *s = d->side;

        for (uint64_t i = 0; i < steps; i++) {
                uint64_t start = now_ns();

                while (now_ns() < start + PAUSE_NS)
                        relax();
                atomic_store(s->received, 0);
                start = now_ns();
                *(volatile uint64_t *)s->ping->kind->begin(s->ping) = start;
                s->ping->kind->flush(s->ping);
                while (atomic_load_explicit(s->received, memory_order_relaxed) == 0)
                        relax();
        }
}

static void measure(struct duel *d, void *data) {
        struct side *s = d->side;
        uint64_t chunk = s->plan->steps / 10 + 1, end = now_ns() + DUEL_ROUND_NS;

        (void)data;
        for (uint64_t done = 0; done < s->plan->steps && (done == 0 || now_ns() < end); done += chunk) {
                worker_order(&s->far, chunk);
                if (s->plan->paced)
                        pace(d, chunk);
                else
                        play(d, chunk);
                worker_wait(&s->far);
                for (uint64_t i = 0; s->plan->paced && i < chunk; i++)
                        series_add(d->series, s->values[i]);
        }
}

static void set_up(struct duel *d) {
        struct side *s = d->side;
        const struct link_options o = { .size = s->plan->size, .slots = 4, .readers = 1, .busy = s->plan->busy };

        s->ping = link_make(d->kind, &o);
        if (s->plan->paced) {
                s->values = shared_memory(s->plan->steps * sizeof(double));
                s->received = shared_memory(sizeof(*s->received));
        } else {
                s->pong = d->kind->duplex ? s->ping : link_make(d->kind, &o);
        }
        worker_start(&s->far, CORE_FAR, s->plan->paced ? receive : answer, s);
        s->ping->kind->open_writer(s->ping);
        worker_wait(&s->far);
        if (s->pong && s->pong != s->ping)
                s->pong->kind->open_reader(s->pong, 0);
}

static void tear_down(struct duel *d) {
        struct side *s = d->side;

        worker_end(&s->far);
        if (s->pong && s->pong != s->ping)
                d->kind->destroy(s->pong);
        d->kind->destroy(s->ping);
        if (s->plan->paced) {
                shared_memory_free(s->values, s->plan->steps * sizeof(double));
                shared_memory_free(s->received, sizeof(*s->received));
        }
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static void compete(struct figure *f, const struct link_kind *subject, const struct plan *plan,
                    const struct link_kind *reference, const struct plan *reference_plan, unsigned rounds) {
        struct side sides[2] = { { .plan = plan }, { .plan = reference_plan } };
        struct duel duel[2] = { { subject, &f->value, &sides[0] }, { reference, &f->against, &sides[1] } };

        set_up(&duel[0]);
        set_up(&duel[1]);
        duel_run(duel, rounds, measure, NULL);
        tear_down(&duel[1]);
        tear_down(&duel[0]);
        f->workload = 'A';
        f->unit = "ns";
        f->subject = subject->name;
        figure_show(f);
}

/* How many steps a round may have: copying a frame of many megabytes takes milliseconds. */
static uint64_t steps_of(uint64_t steps, size_t size, const struct link_kind *reference) {
        bool copies = reference != &link_line && reference != &link_eventfd && reference != &link_shmd;

        if (copies && size > 65536)
                steps = steps > 20 ? 20 : steps;
        return steps;
}

static void against(const struct link_kind *reference, const char *how, size_t size, bool busy, bool paced,
                    double reach, const struct options *o) {
        struct figure f = {
                .reference = reference->name,
                .reach = reach > 0 ? FIGURE_AT_MOST : FIGURE_NO_REACH,
                .ratio_reach = reach,
        };
        struct plan plan = { .size = size, .busy = busy, .paced = paced };
        uint64_t steps = paced ? 50 : busy ? 20000 : 1500;

        plan.steps = steps_of(o->quick ? steps / 50 : steps, size, reference);
        (void)snprintf(f.what, sizeof(f.what), "%s, %s", how, size_text(size));
        compete(&f, &link_shmd, &plan, reference, &plan, o->quick ? 1 : 21);
}

static const size_t sizes[] = { 64, 4096, 1048576, 6220800, 24883200 };

#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

struct comparison {
        const struct link_kind *kind;
        const struct options *options;
        size_t size;
        bool busy;
};

static void compare(void *data) {
        const struct comparison *c = data;

        against(c->kind, c->busy ? "busy reader" : "blocked reader", c->size, c->busy, false, 1, c->options);
}

static void compare_all(const struct link_kind *kind, const struct options *o) {
        for (size_t i = 0; i < N_SIZES; i++) {
                if (!kind->only_blocked)
                        (void)figures_apart(compare, &(struct comparison){ kind, o, sizes[i], true });
                if (!kind->only_busy)
                        (void)figures_apart(compare, &(struct comparison){ kind, o, sizes[i], false });
        }
}

static void run(const struct options *o) {
        for (size_t i = 0; i < N_SIZES; i++)
                against(&link_line, "busy reader", sizes[i], true, false, 2.5, o);
        for (size_t i = 1; i < N_SIZES; i++) {
                struct plan plan = { .size = sizes[i], .busy = true, .steps = o->quick ? 400 : 20000 };
                struct plan small = plan;
                struct figure f = { .reference = "shmd, 64 B", .reach = FIGURE_AT_MOST, .ratio_reach = 1.1 };

                small.size = sizes[0];
                (void)snprintf(f.what, sizeof(f.what), "busy reader, the same for %s", size_text(sizes[i]));
                compete(&f, &link_shmd, &plan, &link_shmd, &small, o->quick ? 1 : 21);
        }
        for (size_t i = 0; i < N_SIZES; i++)
                against(&link_eventfd, "blocked reader", sizes[i], false, false, 1.15, o);
        for (size_t i = 0; i < N_SIZES; i += N_SIZES - 1)
                against(&link_eventfd, "blocked reader, woken after a pause", sizes[i], false, true, 1.15, o);
        for (size_t k = 0; o->compare && links_to_compare[k]; k++)
                compare_all(links_to_compare[k], o);
}

const struct workload workload_latency = { 'A', "one way, from 64 B to 25 MB: busy reader, blocked reader", run };
