/* link_raw.c -- links that are nothing but what the machine and the kernel give: what the others are measured against. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/bench/harness.h"
#include "tests/bench/link.h"

struct shared {
        _Alignas(64) _Atomic uint32_t word;
        uint64_t data; /* a frame of 8 bytes, on the same line */
        _Alignas(64) _Atomic uint64_t written;
        _Alignas(64) _Atomic uint64_t taken;
};

struct raw {
        struct link link;
        struct shared *shared;
        unsigned char *memory; /* of the slots */
        uint64_t count;        /* of this side */
        uint32_t turn;
        unsigned index;
        int *bells;
};

static struct raw *raw_of(struct link *l) { return (struct raw *)l; }

static struct link *make(const struct link_options *o) {
        struct raw *r = calloc(1, sizeof(*r));

        (void)o;
        if (!r)
                fail("no memory for a link");
        r->shared = shared_memory(sizeof(*r->shared));
        return &r->link;
}

static void destroy(struct link *l) {
        struct raw *r = raw_of(l);

        (void)munmap(r->shared, sizeof(*r->shared));
        if (r->memory)
                (void)munmap(r->memory, l->options.size * l->options.slots);
        for (unsigned i = 0; r->bells && i < l->options.readers; i++)
                (void)close(r->bells[i]);
        free(r->bells);
        free(r);
}

static void open_writer(struct link *l) { (void)l; }
static void open_reader(struct link *l, unsigned index) { raw_of(l)->index = index; }
static void release(struct link *l) { (void)l; }
static void *begin(struct link *l) { return &raw_of(l)->shared->data; }

/* ---- a cache line: an odd turn is the one side's, an even one the other's ---------------------------------------- */

static void line_flush(struct link *l) {
        struct raw *r = raw_of(l);

        atomic_store_explicit(&r->shared->word, ++r->turn, memory_order_release);
}

static const void *line_take(struct link *l) {
        struct raw *r = raw_of(l);

        r->turn++;
        while (atomic_load_explicit(&r->shared->word, memory_order_acquire) != r->turn)
                ;
        return &r->shared->data;
}

const struct link_kind link_line = {
        .name = "cache line",
        .duplex = true,
        .only_busy = true,
        .readers_max = 1,
        .make = make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = begin,
        .flush = line_flush,
        .take = line_take,
        .release = release,
        .destroy = destroy,
};

/* ---- an eventfd per reader --------------------------------------------------------------------------------------- */

static struct link *eventfd_make(const struct link_options *o) {
        struct raw *r = raw_of(make(o));

        r->bells = calloc(o->readers, sizeof(*r->bells));
        if (!r->bells)
                fail("no memory for a link");
        for (unsigned i = 0; i < o->readers; i++)
                r->bells[i] = (int)check(eventfd(0, EFD_CLOEXEC), "making an eventfd");
        return &r->link;
}

static void eventfd_flush(struct link *l) {
        static const uint64_t one = 1;
        struct raw *r = raw_of(l);

        for (unsigned i = 0; i < l->options.readers; i++)
                check(write(r->bells[i], &one, sizeof(one)), "ringing an eventfd");
}

static const void *eventfd_take(struct link *l) {
        struct raw *r = raw_of(l);
        uint64_t n;

        check(read(r->bells[r->index], &n, sizeof(n)), "waiting for an eventfd");
        return &r->shared->data;
}

const struct link_kind link_eventfd = {
        .name = "eventfd",
        .only_blocked = true,
        .make = eventfd_make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = begin,
        .flush = eventfd_flush,
        .take = eventfd_take,
        .release = release,
        .destroy = destroy,
};

/* ---- one futex word ---------------------------------------------------------------------------------------------- */

static void futex_flush(struct link *l) {
        struct raw *r = raw_of(l);

        atomic_fetch_add(&r->shared->word, 1);
        check(syscall(SYS_futex, &r->shared->word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0), "waking a futex");
}

static const void *futex_take(struct link *l) {
        struct raw *r = raw_of(l);

        while (atomic_load(&r->shared->word) == r->turn)
                (void)syscall(SYS_futex, &r->shared->word, FUTEX_WAIT, r->turn, NULL, NULL, 0);
        r->turn = atomic_load(&r->shared->word);
        return &r->shared->data;
}

const struct link_kind link_futex = {
        .name = "futex",
        .only_blocked = true,
        .make = make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = begin,
        .flush = futex_flush,
        .take = futex_take,
        .release = release,
        .destroy = destroy,
};

/* ---- no transport ------------------------------------------------------------------------------------------------ */

static unsigned char *slot(struct raw *r) {
        return r->memory + r->link.options.size * (r->count++ % r->link.options.slots);
}

/* Each side its own, touched. */
static void private_open(struct link *l) {
        size_t size = l->options.size * l->options.slots;
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

        if (p == MAP_FAILED)
                fail("mapping %zu bytes failed", size);
        raw_of(l)->memory = p;
}

static void private_open_reader(struct link *l, unsigned index) {
        (void)index;
        private_open(l);
        memset(raw_of(l)->memory, 1, l->options.size * l->options.slots);
}

static void *private_begin(struct link *l) { return slot(raw_of(l)); }
static void private_flush(struct link *l) { (void)l; }
static const void *private_take(struct link *l) { return slot(raw_of(l)); }

const struct link_kind link_private = {
        .name = "private memory",
        .make = make,
        .open_writer = private_open,
        .open_reader = private_open_reader,
        .begin = private_begin,
        .flush = private_flush,
        .take = private_take,
        .release = release,
        .destroy = destroy,
};

/* ---- shared memory and two counters ------------------------------------------------------------------------------ */

static struct link *bare_make(const struct link_options *o) {
        struct raw *r = raw_of(make(o));

        r->memory = shared_memory(o->size * o->slots);
        return &r->link;
}

static void *bare_begin(struct link *l) {
        struct raw *r = raw_of(l);

        while (r->count - atomic_load_explicit(&r->shared->taken, memory_order_acquire) >= l->options.slots)
                ;
        return slot(r);
}

static void bare_flush(struct link *l) {
        struct raw *r = raw_of(l);

        atomic_store_explicit(&r->shared->written, r->count, memory_order_release);
}

static const void *bare_take(struct link *l) {
        struct raw *r = raw_of(l);

        while (atomic_load_explicit(&r->shared->written, memory_order_acquire) == r->count)
                ;
        return slot(r);
}

static void bare_release(struct link *l) {
        struct raw *r = raw_of(l);

        atomic_store_explicit(&r->shared->taken, r->count, memory_order_release);
}

const struct link_kind link_bare = {
        .name = "two counters",
        .only_busy = true,
        .readers_max = 1,
        .make = bare_make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = bare_begin,
        .flush = bare_flush,
        .take = bare_take,
        .release = bare_release,
        .destroy = destroy,
};
