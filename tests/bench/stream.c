/*
 * stream.c -- frames written whole and read whole, none of them lost: how many a second.
 *
 * Every byte of a frame is the frame's number, and the reader adds all words up, so every byte is written and checked.
 * The reference runs the same two loops at the same time over memory that each side has for itself.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/duel.h"
#include "tests/bench/figure.h"
#include "tests/bench/harness.h"
#include "tests/bench/links_compare.h"
#include "tests/bench/workload.h"

#define ROUND_BYTES (UINT64_C(2) << 30) /* read and written in a round, about */

struct side {
        struct link *link;
        struct worker far;
        uint64_t number;
        uint64_t steps;
};

/* memset() rather than a loop: a store that does not fill its line at once fetches it from the core that read it last,
 * which makes a stream four to five times as slow, whatever the transport. */
static void fill(uint64_t *frame, size_t words, uint64_t number) {
        memset(frame, (int)(number & 0xff), words * sizeof(*frame));
        /* The compiler is not to see that nobody looks. */
        __asm__ volatile("" : : "r"(frame) : "memory");
}

/* Many lines have to be on their way at once, so a line at a time, into four sums. */
static uint64_t sum(const uint64_t *frame, size_t words) {
        typedef uint64_t pair __attribute__((vector_size(16), aligned(8)));
        const pair *line = (const pair *)frame;
        pair a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
        uint64_t total;

        for (size_t i = 0; i < words / 8; i++, line += 4) {
                a += line[0];
                b += line[1];
                c += line[2];
                d += line[3];
        }
        a += b + c + d;
        total = a[0] + a[1];
        for (size_t i = words / 8 * 8; i < words; i++)
                total += frame[i];
        return total;
}

static void receive(struct desk *desk, void *data) {
        struct side *s = data;
        const size_t words = s->link->options.size / sizeof(uint64_t);
        uint64_t steps;

        s->link->kind->open_reader(s->link, 0);
        desk_ready(desk, 0);
        while ((steps = desk_order(desk))) {
                for (uint64_t i = 0; i < steps; i++) {
                        const uint64_t *frame = s->link->kind->take(s->link);

                        if (sum(frame, words) != frame[0] * words)
                                fail("%s has brought a torn frame", s->link->kind->name);
                        s->link->kind->release(s->link);
                }
                desk_ready(desk, now_ns());
        }
}

static void measure(struct duel *d, void *data) {
        struct side *s = d->side;
        const size_t words = s->link->options.size / sizeof(uint64_t);
        uint64_t chunk = s->steps / 8 + 1, end = now_ns() + 3 * DUEL_ROUND_NS;

        (void)data;
        for (uint64_t done = 0; done < s->steps && (done == 0 || now_ns() < end); done += chunk) {
                uint64_t start, near, far;

                worker_order(&s->far, chunk);
                start = now_ns();
                for (uint64_t i = 0; i < chunk; i++) {
                        fill(s->link->kind->begin(s->link), words, ++s->number);
                        s->link->kind->flush(s->link);
                }
                near = now_ns();
                far = worker_wait(&s->far);
                series_add(d->series, (double)chunk * 1e9 / (double)((near > far ? near : far) - start));
        }
}

static void set_up(struct duel *d, const struct link_options *o) {
        struct side *s = d->side;

        s->link = link_make(d->kind, o);
        worker_start(&s->far, CORE_FAR, receive, s);
        s->link->kind->open_writer(s->link);
        worker_wait(&s->far);
}

static void tear_down(struct duel *d) {
        struct side *s = d->side;

        worker_end(&s->far);
        d->kind->destroy(s->link);
}

static void compete(const struct link_kind *reference, size_t size, bool busy, double reach, const struct options *o) {
        struct figure f = {
                .workload = 'B',
                .unit = "frames/s",
                .subject = "shmd",
                .reference = reference->name,
                .reach = reach > 0 ? FIGURE_AT_LEAST : FIGURE_NO_REACH,
                .ratio_reach = reach,
        };
        const struct link_options options = {
                .size = size, .slots = 4, .readers = 1, .busy = busy, .whole_stream = true
        };
        uint64_t bytes = o->quick ? ROUND_BYTES / 64 : ROUND_BYTES;
        struct side sides[2] = { { .steps = bytes / size }, { .steps = bytes / size } };
        struct duel duel[2] = { { &link_shmd, &f.value, &sides[0] }, { reference, &f.against, &sides[1] } };

        (void)snprintf(f.what, sizeof(f.what), "frames of %s, reader %s", size_text(size), busy ? "spins" : "waits");
        set_up(&duel[0], &options);
        set_up(&duel[1], &options);
        duel_run(duel, o->quick ? 1 : 21, measure, NULL);
        tear_down(&duel[1]);
        tear_down(&duel[0]);
        figure_show(&f);
}

static const size_t sizes[] = { 1048576, 6220800, 24883200 };

#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

struct comparison {
        const struct link_kind *kind;
        const struct options *options;
        size_t size;
};

static void compare(void *data) {
        const struct comparison *c = data;

        compete(c->kind, c->size, false, 1, c->options);
}

static void run(const struct options *o) {
        for (size_t i = 0; i < N_SIZES; i++)
                for (int busy = 0; busy < 2; busy++)
                        compete(&link_private, sizes[i], busy, 0.95, o);
        /* Where the limit is once the frames do go from one core to the other. */
        for (size_t i = 0; i < N_SIZES; i++)
                compete(&link_bare, sizes[i], true, 0, o);
        for (size_t k = 0; o->compare && links_to_compare[k]; k++)
                for (size_t i = 0; i < N_SIZES; i++)
                        (void)figures_apart(compare, &(struct comparison){ links_to_compare[k], o, sizes[i] });
}

const struct workload workload_stream = { 'B', "streams of 1, 6.2 and 24.9 MB frames, written and read whole", run };
