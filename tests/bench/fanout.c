/*
 * fanout.c -- one flush to many blocked readers, the writer on one core and all readers on the other: how long the
 * flush takes its writer, and how long until the last reader has the frame.
 *
 * A reader stores the time at which it has the frame and counts itself; the writer pauses until all have and are back
 * asleep. All three ways of waking (shmd, one futex for all, an eventfd per reader) take turns in every round, each
 * with processes of its own, which sleep meanwhile.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/bench/duel.h"
#include "tests/bench/figure.h"
#include "tests/bench/harness.h"
#include "tests/bench/link.h"
#include "tests/bench/links_compare.h"
#include "tests/bench/workload.h"

#define KINDS_MAX 9
#define FRAME 64

struct board {
        _Alignas(64) _Atomic uint32_t arrived;
        _Alignas(64) _Atomic uint64_t last; /* ns */
};

struct side {
        const struct link_kind *kind;
        struct link *link;
        struct worker *readers;
        unsigned n;
        struct board *board;
        unsigned index; /* in a reader's process: which one it is */
        struct series own;
        struct series last;
};

static void attend(struct desk *desk, void *data) {
        struct side *s = data;
        struct link *l = s->link;
        uint64_t steps;

        l->kind->open_reader(l, s->index);
        desk_ready(desk, 0);
        while ((steps = desk_order(desk))) {
                desk_ready(desk, 0);
                for (uint64_t i = 0; i < steps; i++) {
                        const volatile uint64_t *frame = l->kind->take(l);
                        uint64_t seen = *frame, now, last;

                        (void)seen;
                        now = now_ns();
                        l->kind->release(l);
                        last = atomic_load(&s->board->last);
                        while (last < now && !atomic_compare_exchange_weak(&s->board->last, &last, now))
                                ;
                        atomic_fetch_add(&s->board->arrived, 1);
                }
        }
}

static void set_up(struct side *s, const struct link_kind *kind, unsigned n) {
        const struct link_options o = { .size = FRAME, .slots = 4, .readers = n };

        *s = (struct side){ .kind = kind, .n = n };
        s->board = shared_memory(sizeof(*s->board));
        s->readers = calloc(n, sizeof(*s->readers));
        if (!s->readers)
                fail("no memory for %u readers", n);
        s->link = link_make(kind, &o);
        for (s->index = 0; s->index < n; s->index++)
                worker_start(&s->readers[s->index], CORE_FAR, attend, s);
        s->link->kind->open_writer(s->link);
        for (unsigned i = 0; i < n; i++)
                worker_wait(&s->readers[i]);
}

static void tear_down(struct side *s) {
        for (unsigned i = 0; i < s->n; i++)
                worker_end(&s->readers[i]);
        s->kind->destroy(s->link);
        free(s->readers);
        shared_memory_free(s->board, sizeof(*s->board));
        series_free(&s->own);
        series_free(&s->last);
}

/* The far core has nothing else to do, so by then every reader sleeps. */
static void pause_for(unsigned n) {
        const struct timespec t = { .tv_nsec = 1000000 + 20000L * n };

        (void)nanosleep(&t, NULL);
}

static void flush_once(struct side *s, uint64_t number) {
        uint64_t start, own;

        atomic_store(&s->board->arrived, 0);
        atomic_store(&s->board->last, 0);
        pause_for(s->n);
        /* Awake for a while, as a writer is that has just made a frame. */
        for (start = now_ns(); now_ns() < start + 50000;)
                relax();
        start = now_ns();
        *(volatile uint64_t *)s->kind->begin(s->link) = number;
        s->kind->flush(s->link);
        own = now_ns();
        /* Looking takes the line away from those who count themselves: seldom. */
        while (atomic_load_explicit(&s->board->arrived, memory_order_acquire) < s->n)
                for (uint64_t until = now_ns() + 5000; now_ns() < until;)
                        relax();
        series_add(&s->own, (double)(own - start));
        series_add(&s->last, (double)(atomic_load(&s->board->last) - start));
}

static void play(struct side *sides, unsigned n_sides, unsigned rounds, unsigned steps) {
        uint64_t end = now_ns() + 2 * DUEL_NS;

        for (unsigned round = 0; round <= rounds && (round <= DUEL_ROUNDS_MIN || now_ns() < end); round++)
                for (unsigned k = 0; k < n_sides; k++) {
                        struct side *s = &sides[(k + round) % n_sides];

                        for (unsigned i = 0; i < s->n; i++)
                                worker_order(&s->readers[i], steps);
                        for (unsigned i = 0; i < s->n; i++)
                                worker_wait(&s->readers[i]);
                        for (unsigned i = 0; i < steps; i++)
                                flush_once(s, round * steps + i + 1);
                        if (round == 0) {
                                series_clear(&s->own);
                                series_clear(&s->last);
                        }
                        series_round(&s->own);
                        series_round(&s->last);
                }
}

static struct series copy(const struct series *s) {
        struct series c = { 0 };

        for (size_t round = 0, i = 0; round < s->n_rounds; round++) {
                for (size_t each = s->n / s->n_rounds, end = i + each; i < end; i++)
                        series_add(&c, s->values[i]);
                series_round(&c);
        }
        return c;
}

static void show(const struct side *shmd, const struct side *reference, const char *what, bool own, double reach) {
        struct figure f = {
                .workload = 'D',
                .unit = "ns",
                .subject = "shmd",
                .reference = reference->kind->name,
                .value = copy(own ? &shmd->own : &shmd->last),
                .against = copy(own ? &reference->own : &reference->last),
                .reach = reach > 0 ? FIGURE_AT_MOST : FIGURE_NO_REACH,
                .ratio_reach = reach,
        };

        (void)snprintf(f.what, sizeof(f.what), "%u blocked reader%s, %s", shmd->n, shmd->n == 1 ? "" : "s", what);
        figure_show(&f);
}

struct plan {
        unsigned n;
        const struct options *options;
};

static void run_with(void *data) {
        const struct options *o = ((struct plan *)data)->options;
        const unsigned n = ((struct plan *)data)->n;
        const struct link_kind *kinds[KINDS_MAX] = { &link_shmd, &link_futex, &link_eventfd };
        struct side sides[KINDS_MAX];
        unsigned n_sides = 3;

        for (size_t k = 0; o->compare && links_to_compare[k] && n_sides < KINDS_MAX; k++)
                if (!links_to_compare[k]->only_busy &&
                    (links_to_compare[k]->readers_max == 0 || n <= links_to_compare[k]->readers_max))
                        kinds[n_sides++] = links_to_compare[k];
        for (unsigned k = 0; k < n_sides; k++)
                set_up(&sides[k], kinds[k], n);
        play(sides, n_sides, o->quick ? 1 : 15, o->quick ? 3 : n > 100 ? 6 : 20);
        show(&sides[0], &sides[1], "until the last has it", false, 1.1);
        show(&sides[0], &sides[1], "the writer's own time", true, 3);
        show(&sides[0], &sides[2], "the writer's own time", true, n > 1 ? 0.5 : 0);
        for (unsigned k = 3; k < n_sides; k++) {
                show(&sides[0], &sides[k], "until the last has it", false, 1);
                show(&sides[0], &sides[k], "the writer's own time", true, 0);
        }
        for (unsigned k = n_sides; k > 0; k--)
                tear_down(&sides[k - 1]);
}

static void run(const struct options *o) {
        static const unsigned readers[] = { 1, 10, 100, 400 };

        for (size_t i = 0; i < (o->quick ? 2 : sizeof(readers) / sizeof(readers[0])); i++)
                if (!figures_apart(run_with, &(struct plan){ readers[i], o }))
                        fail("measuring with %u readers has failed", readers[i]);
}

const struct workload workload_fanout = { 'D', "a flush to 1, 10, 100 and 400 blocked readers", run };
