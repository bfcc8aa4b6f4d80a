#define _GNU_SOURCE
#include "daemon/record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "daemon/segment.h"
#include "proto/cleanup.h"

#define MAGIC UINT64_C(0x0001636572646d68) /* "hmdrec\1" */
#define ALIGNMENT 64u
#define PLACES_MAX (UINT32_C(1) << 26)
#define KINDS_MAX 16 /* that a later version may have */

struct table_header {
        uint64_t offset;
        uint32_t body_size;
        uint32_t n;
};

struct header {
        uint64_t magic;
        uint32_t version;
        uint32_t n_kinds;
        uint64_t generation;
        uint64_t checksum; /* of the above and the tables */
        struct table_header tables[KINDS_MAX];
        _Atomic uint32_t ends[KINDS_MAX]; /* no place from there on has been written */
};

static_assert(RECORD_KINDS <= KINDS_MAX, "room for a table of each kind");

struct copy {
        _Atomic uint64_t sequence; /* of the write; 0: nothing, or it is being written */
        uint64_t checksum;
        unsigned char body[];
};

static const size_t body_sizes[RECORD_KINDS] = {
        [RECORD_COUNTERS] = sizeof(struct record_counters),
        [RECORD_SEGMENT] = sizeof(struct record_segment),
        [RECORD_GROUP] = sizeof(struct record_group),
        [RECORD_RESULT] = sizeof(struct record_result),
};

/* ---- where things are ------------------------------------------------------------------------------------------- */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static struct header *header(const struct record *r) { return (struct header *)(void *)r->base; }

static size_t copy_size(size_t body_size) { return round_up(sizeof(struct copy) + body_size, 8); }

static struct copy *copy_at(const struct record_table *t, uint32_t place, unsigned which) {
        return (struct copy *)(void *)(t->base + place * t->stride + which * copy_size(t->body_size));
}

static uint64_t header_checksum(const struct header *h) {
        struct header copy;

        memcpy(&copy, h, offsetof(struct header, ends));
        copy.checksum = 0;
        return XXH3_64bits(&copy, offsetof(struct header, ends));
}

/* Of what, where and when: a copy that has strayed does not fit. */
static uint64_t checksum(const struct copy *c, size_t body_size, enum record_kind kind, uint32_t place,
                         uint64_t sequence) {
        return XXH3_64bits_withSeed(c->body, body_size, sequence * RECORD_KINDS + kind + ((uint64_t)place << 32));
}

static void find_table(struct record *r, enum record_kind kind, const struct table_header *t) {
        r->tables[kind] = (struct record_table){
                .base = r->base + t->offset,
                .body_size = t->body_size,
                .stride = round_up(2 * copy_size(t->body_size), ALIGNMENT),
                .n = t->n,
        };
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static int map(struct record *r) {
        void *base = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);

        if (base == MAP_FAILED)
                return -errno;
        r->base = base;
        return 0;
}

static int make(struct record *r, uint64_t generation, const uint32_t n[RECORD_KINDS]) {
        struct header h = { .magic = MAGIC, .version = RECORD_VERSION, .n_kinds = RECORD_KINDS };
        size_t offset = round_up(sizeof(h), ALIGNMENT);
        int e;

        h.generation = r->generation = generation;
        for (unsigned k = 0; k < RECORD_KINDS; k++) {
                h.tables[k] = (struct table_header){ offset, (uint32_t)body_sizes[k], n[k] };
                offset += round_up(2 * copy_size(body_sizes[k]), ALIGNMENT) * n[k];
        }
        r->size = round_up(offset, (size_t)sysconf(_SC_PAGESIZE));
        r->fd = segment_memfd("record", r->size, 0);
        if (r->fd < 0)
                return r->fd;
        if (fallocate(r->fd, 0, 0, (off_t)sizeof(h)) < 0)
                return -errno;
        e = map(r);
        if (e < 0)
                return e;
        h.checksum = header_checksum(&h);
        memcpy(r->base, &h, sizeof(h));
        for (unsigned k = 0; k < RECORD_KINDS; k++) {
                find_table(r, k, &h.tables[k]);
                r->tables[k].taken = calloc((n[k] + 63) / 64 + 1, sizeof(uint64_t));
                if (!r->tables[k].taken)
                        return -ENOMEM;
        }
        return 0;
}

int record_new(struct record *r, uint64_t generation, const uint32_t n[RECORD_KINDS]) {
        int e;

        *r = RECORD_INIT;
        e = make(r, generation, n);
        if (e < 0)
                record_deinit(r);
        return e;
}

/* Is a table where its header says, and whole? */
static bool is_sound(const struct record *r, const struct table_header *t) {
        uint64_t stride = round_up(2 * copy_size(t->body_size), ALIGNMENT);

        return t->offset >= sizeof(struct header) && t->offset % ALIGNMENT == 0 && t->offset <= r->size &&
               t->body_size > 0 && t->body_size <= PROTO_MESSAGE_MAX && t->n <= PLACES_MAX &&
               stride * t->n <= r->size - t->offset;
}

static int look_into(struct record *r) {
        const struct header *h;
        struct stat st;
        int e;

        if (fstat(r->fd, &st) < 0)
                return -errno;
        /* Nobody can shrink it under us. */
        if (!S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(*h) || (geteuid() != 0 && st.st_uid != geteuid()) ||
            (fcntl(r->fd, F_GET_SEALS) & (F_SEAL_GROW | F_SEAL_SHRINK)) != (F_SEAL_GROW | F_SEAL_SHRINK))
                return RECORD_E_BROKEN;
        r->size = (size_t)st.st_size;
        e = map(r);
        if (e < 0)
                return e;
        h = header(r);
        if (h->magic != MAGIC)
                return RECORD_E_BROKEN;
        if (h->version != RECORD_VERSION)
                return RECORD_E_VERSION;
        if (h->checksum != header_checksum(h))
                return RECORD_E_BROKEN;
        r->generation = h->generation;
        for (unsigned k = 0; k < KINDS_MAX; k++) {
                uint32_t end = atomic_load(&h->ends[k]);

                if (k >= RECORD_KINDS && end > 0)
                        return RECORD_E_VERSION;
                if (k >= RECORD_KINDS || k >= h->n_kinds)
                        continue; /* nothing of that kind */
                if (!is_sound(r, &h->tables[k]))
                        return RECORD_E_BROKEN;
                find_table(r, k, &h->tables[k]);
                r->tables[k].end = end < h->tables[k].n ? end : h->tables[k].n;
        }
        return 0;
}

int record_open(struct record *r, int fd) {
        int e;

        *r = (struct record){ .fd = fd };
        e = look_into(r);
        if (e)
                record_deinit(r);
        return e;
}

void record_deinit(struct record *r) {
        if (r->base)
                (void)munmap(r->base, r->size);
        for (unsigned k = 0; k < RECORD_KINDS; k++)
                free(r->tables[k].taken);
        fd_close(r->fd);
        *r = RECORD_INIT;
}

/* ---- places ----------------------------------------------------------------------------------------------------- */

/* Give a place memory, so that a store to it is no SIGBUS. */
static bool provide(struct record *r, struct record_table *t, uint32_t place) {
        off_t offset = t->base + place * t->stride - r->base;

        while (fallocate(r->fd, 0, offset, (off_t)t->stride) < 0)
                if (errno != EINTR)
                        return false;
        return true;
}

static uint32_t find_free(struct record_table *t) {
        for (uint32_t word = t->hint / 64; word <= t->n / 64; word++) {
                uint32_t place =
                        word * 64 + (uint32_t)(t->taken[word] != UINT64_MAX ? __builtin_ctzll(~t->taken[word]) : 64);

                if (place < word * 64 + 64)
                        return place < t->n ? place : RECORD_NONE;
        }
        return RECORD_NONE;
}

uint32_t record_take(struct record *r, enum record_kind kind) {
        struct record_table *t = &r->tables[kind];
        uint32_t place = find_free(t);

        if (place == RECORD_NONE)
                return RECORD_NONE;
        if (place >= t->end) {
                if (!provide(r, t, place))
                        return RECORD_NONE;
                t->end = place + 1;
                atomic_store(&header(r)->ends[kind], t->end);
        }
        t->taken[place / 64] |= UINT64_C(1) << place % 64;
        t->hint = place + 1;
        return place;
}

/* The copy that counts, or NULL: both are empty. */
static struct copy *newest(const struct record_table *t, uint32_t place) {
        struct copy *a = copy_at(t, place, 0);
        struct copy *b = copy_at(t, place, 1);
        uint64_t sequence_a = atomic_load(&a->sequence);
        uint64_t sequence_b = atomic_load(&b->sequence);

        if (!sequence_a && !sequence_b)
                return NULL;
        return sequence_a > sequence_b ? a : b;
}

/* Stores of one thread are seen in their order by whoever looks when it is dead; only the compiler has to keep to it. */
void record_write(struct record *r, enum record_kind kind, uint32_t place, const void *body) {
        struct record_table *t = &r->tables[kind];
        struct copy *old = newest(t, place);
        struct copy *c = copy_at(t, place, old == copy_at(t, place, 0) ? 1 : 0);
        uint64_t sequence = old ? atomic_load(&old->sequence) + 1 : 1;

        assert(t->taken && t->taken[place / 64] >> place % 64 & 1);
        atomic_store(&c->sequence, 0);
        memcpy(c->body, body, t->body_size);
        c->checksum = checksum(c, t->body_size, kind, place, sequence);
        atomic_store(&c->sequence, sequence);
}

void record_free(struct record *r, enum record_kind kind, uint32_t place) {
        struct record_table *t = &r->tables[kind];
        struct copy *c;

        if (place == RECORD_NONE)
                return;
        /* The older one first: it must not come to life. */
        c = newest(t, place);
        atomic_store(&copy_at(t, place, c == copy_at(t, place, 0) ? 1 : 0)->sequence, 0);
        if (c)
                atomic_store(&c->sequence, 0);
        t->taken[place / 64] &= ~(UINT64_C(1) << place % 64);
        if (place < t->hint)
                t->hint = place;
}

uint32_t record_end(const struct record *r, enum record_kind kind) { return r->tables[kind].end; }

static bool is_whole(const struct record_table *t, enum record_kind kind, uint32_t place, const struct copy *c) {
        uint64_t sequence = atomic_load(&c->sequence);

        return sequence == 0 || c->checksum == checksum(c, t->body_size, kind, place, sequence);
}

int record_read(const struct record *r, enum record_kind kind, uint32_t place, void *body) {
        const struct record_table *t = &r->tables[kind];
        const struct copy *c = newest(t, place);
        size_t size = body_sizes[kind];

        if (!c)
                return RECORD_E_FREE;
        memset(body, 0, size);
        memcpy(body, c->body, size < t->body_size ? size : t->body_size);
        if (!is_whole(t, kind, place, copy_at(t, place, 0)) || !is_whole(t, kind, place, copy_at(t, place, 1)))
                return RECORD_E_BROKEN;
        for (size_t i = size; i < t->body_size; i++)
                if (c->body[i])
                        return RECORD_E_NEWER;
        return 0;
}
