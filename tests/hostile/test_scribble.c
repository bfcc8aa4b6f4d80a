/*
 * test_scribble.c -- writers and readers that store whatever they like, wherever they may, for as long as they like: those
 * who look at it neither crash nor read beyond the mapping nor come to no end, and the daemon lives.
 *
 * How long is a matter of how often the honest ones get through, not of the clock. SHMD_TEST_LONG: a hundred times as
 * often. SHMD_TEST_SEED repeats the stores as far as the kernel's scheduling lets it.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "client/shmd.h"
#include "proto/cleanup.h"
#include "tests/hostile/stage.h"

#define SLOT_SIZE 3000u
#define MOMENT 2 /* ms */
#define SOON 60000

static struct random seed;
static uint32_t n_slots;
static uint32_t policy;

static unsigned often(unsigned n) { return stage_is_long() ? n * 100 : n; }

static void make_segment(struct stage *s, uint32_t slots, uint32_t with) {
        struct proto_create m = { .slot_size = SLOT_SIZE, .n_slots = slots, .policy = with, .mode = 0666 };

        n_slots = slots;
        policy = with;
        stage_make(s, UID_OWNER, STAGE_SEGMENT, &m);
}

static void remove_segment(struct stage *s) { assert_int_equal(wire_remove(&s->root, STAGE_SEGMENT), 0); }

/* ---- scribblers ------------------------------------------------------------------------------------------------- */

/* A value that means something to somebody, most of the time. */
static uint64_t random_value(struct random *rnd, const struct slots *s) {
        uint64_t sequence = slots_newest(s) + random_below(rnd, 9) - 4;

        switch (random_below(rnd, 12)) {
        case 0:
                return 0;
        case 1:
        case 2:
                return sequence;
        case 3:
                return sequence | LAYOUT_CLAIMED;
        case 4:
                return LAYOUT_WRITING;
        case 5:
                return LAYOUT_TORN;
        case 6:
        case 7:
                return slots_word(sequence, (uint32_t)random_below(rnd, s->geometry.n_slots));
        case 8:
                return slots_word(sequence, (uint32_t)random_below(rnd, LAYOUT_SLOTS_MAX));
        case 9:
                return s->geometry.slot_size + random_below(rnd, 9) - 4;
        case 10:
                return random_below(rnd, 1024);
        default:
                return random_next(rnd) >> random_below(rnd, 64);
        }
}

/* Give memory back: what was there reads as zeroes. */
static void punch(struct random *rnd, const struct slots *s) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);

        CHILD_EQUAL(madvise(s->base + random_below(rnd, s->geometry.file_size / page) * page, page, MADV_REMOVE), 0);
}

static void scribble_data(struct random *rnd, const struct slots *s) {
        struct layout_header *h = slots_header(s);
        struct layout_slot *slot = slots_slot(s, (uint32_t)random_below(rnd, s->geometry.n_slots));
        uint64_t v = random_value(rnd, s);

        switch (random_below(rnd, 12)) {
        case 0:
        case 1:
                atomic_store(&h->head, v);
                break;
        case 2:
        case 3:
                atomic_store(&slot->sequence, v);
                break;
        case 4:
                atomic_store(&slot->length, v);
                break;
        case 5:
                atomic_store(slots_index(s, random_next(rnd)), v);
                break;
        case 6:
                atomic_store(&h->epoch, (uint32_t)v);
                break;
        case 7:
                atomic_store(&h->lock, (uint32_t)v);
                break;
        case 8:
                atomic_store(&h->next_slot, (uint32_t)v);
                break;
        case 9:
                atomic_store(&h->room_wanted, (uint32_t)v);
                break;
        case 10:
                atomic_store(&h->lock_wakes, (uint32_t)v);
                break;
        default:
                ((uint64_t *)(void *)s->base)[random_below(rnd, s->geometry.payload_offset / 8)] = v;
                break;
        }
}

/* Now and then a frame as it should be, so that there is something to read. */
static void publish(const struct slots *s) {
        struct slots_writer w = { .slots = *s, .epoch = atomic_load(&slots_header(s)->epoch) };

        if (slots_begin(&w) == 0)
                (void)slots_flush(&w, SLOT_SIZE, 1, 1);
}

static void scribble_as_writer(struct stage *s, int fd) {
        struct random rnd = seed;
        struct wire_mapping m;
        struct wire w;

        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_WRITE, 0, 0), 0);
        wire_map(&m, &w, true);
        (void)child_tell(fd, 0);
        for (;;) {
                if (random_below(&rnd, 8) == 0)
                        publish(&m.slots);
                if (random_below(&rnd, 64) == 0)
                        punch(&rnd, &m.slots);
                for (uint64_t n = random_below(&rnd, 32); n > 0; n--)
                        scribble_data(&rnd, &m.slots);
        }
}

static void scribble_table(struct random *rnd, const struct slots *s, struct layout_table *table) {
        struct layout_reader *r = &table->reader[random_below(rnd, random_below(rnd, 2) ? 4 : LAYOUT_READERS_MAX)];
        uint32_t slot = (uint32_t)random_below(rnd, s->geometry.n_slots);
        uint64_t v = random_value(rnd, s);

        switch (random_below(rnd, 10)) {
        case 0:
        case 1:
                atomic_store(&r->hold, v);
                break;
        case 2:
        case 3:
                atomic_store(&r->hold, slots_word(atomic_load(&slots_slot(s, slot)->sequence), slot));
                break;
        case 4:
                atomic_store(&r->cursor, v);
                break;
        case 5:
                atomic_store(&r->ordered, random_below(rnd, 2));
                break;
        case 6:
                atomic_store(&table->used, random_below(rnd, 2) ? LAYOUT_READERS_MAX : (uint32_t)v);
                break;
        case 7:
                atomic_store(&table->waiting[random_below(rnd, LAYOUT_WAITING_WORDS)], v);
                break;
        default:
                ((uint64_t *)(void *)table)[random_below(rnd, sizeof(*table) / 8)] = v;
                break;
        }
}

static bool leaves; /* the scribbling reader closes its connection, and keeps its memory */

static void scribble_as_reader(struct stage *s, int fd) {
        struct random rnd = seed;
        struct wire_mapping m;
        struct wire w;

        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_READ, 0, 0), 0);
        wire_map(&m, &w, false);
        if (leaves)
                fd_close(STEAL_FD(w.socket));
        (void)child_tell(fd, 0);
        for (;;)
                scribble_table(&rnd, &m.slots, m.table);
}

/* ---- honest readers --------------------------------------------------------------------------------------------- */

struct range {
        uintptr_t from, to;
};

/* Where the segment's data lie in this process. */
static struct range data_range(void) {
        struct range r = { 0 };
        char line[512];
        FILE *maps = fopen("/proc/self/maps", "re");

        CHILD_CHECK(maps);
        while (fgets(line, sizeof(line), maps))
                if (strstr(line, "memfd:shmd:" STAGE_SEGMENT))
                        CHILD_EQUAL(sscanf(line, "%lx-%lx", &r.from, &r.to), 2);
        (void)fclose(maps);
        CHILD_CHECK(r.to > r.from);
        return r;
}

static void one_of(int r, const int *allowed) {
        for (; *allowed; allowed++)
                if (r == *allowed)
                        return;
        if (r >= 0)
                return;
        (void)fprintf(stderr, "a reader gets %d (%s)\n", r, strerror(-r));
        _exit(1);
}

/* What the documentation says. */
static const int read_errors[] = { -EAGAIN, -EOWNERDEAD, -EPROTO, 0 };
static const int release_errors[] = { -ESTALE, 0 };
static const int copy_errors[] = { -EAGAIN, -EOWNERDEAD, -EPROTO, -EMSGSIZE, 0 };

static void read_in_place(struct shmd_reader *r, const struct range *range, bool next) {
        static volatile unsigned char sum;
        struct shmd_frame f;
        int e = next ? shmd_reader_next(r, &f) : shmd_reader_latest(r, &f);

        one_of(e, read_errors);
        if (e < 0)
                return;
        CHILD_CHECK(f.length <= SLOT_SIZE);
        CHILD_CHECK((uintptr_t)f.data >= range->from && (uintptr_t)f.data + f.length <= range->to);
        for (size_t i = 0; i < f.length; i++)
                sum = (unsigned char)(sum + ((const unsigned char *)f.data)[i]);
        CHILD_CHECK(shmd_reader_intact(r) >= 0);
        one_of(shmd_reader_release(r), release_errors);
}

static void read_while_scribbled(struct stage *s, int fd) {
        static unsigned char buffer[SLOT_SIZE];
        struct shmd_reader *r;
        struct range range;
        struct shmd *conn;

        (void)fd;
        CHILD_EQUAL(shmd_connect(&conn, fixture_socket(s->daemon)), 0);
        CHILD_EQUAL(shmd_reader_open(&r, conn, STAGE_SEGMENT, 0, SOON), 0);
        range = data_range();
        for (unsigned i = often(5000); i > 0; i--) {
                struct shmd_frame f;

                read_in_place(r, &range, false);
                read_in_place(r, &range, true);
                one_of(shmd_reader_copy(r, SHMD_LATEST, buffer, sizeof(buffer), &f), copy_errors);
                one_of(shmd_reader_copy(r, SHMD_NEXT, buffer, sizeof(buffer) / 2, &f), copy_errors);
                CHILD_CHECK(shmd_reader_wait(r, 0) >= 0);
                CHILD_CHECK(shmd_reader_arm(r) >= 0);
                if (i % 16 == 0)
                        CHILD_CHECK(shmd_reader_wait(r, MOMENT) >= 0);
                CHILD_CHECK(shmd_reader_writers(r) >= 0);
        }
        shmd_reader_close(r);
        shmd_close(conn);
}

/* Opening, looking, closing: the daemon tidies up each time. A co-writer may fail to get its turn, and no more. */
static void come_and_go(struct stage *s, int fd) {
        struct shmd *conn;

        (void)fd;
        CHILD_EQUAL(shmd_connect(&conn, fixture_socket(s->daemon)), 0);
        for (unsigned i = often(300); i > 0; i--) {
                struct shmd_reader *r;
                struct shmd_writer *w;
                struct shmd_info info;
                void *data;

                CHILD_EQUAL(shmd_reader_open(&r, conn, STAGE_SEGMENT, i % 2 ? SHMD_FROM_OLDEST : 0, SOON), 0);
                CHILD_EQUAL(shmd_writer_open(&w, conn, STAGE_SEGMENT, 0, SOON), 0);
                CHILD_EQUAL(shmd_stat(conn, STAGE_SEGMENT, &info), 0);
                if (shmd_writer_begin(w, &data, NULL, MOMENT) == 0 && i % 3)
                        CHILD_EQUAL(shmd_writer_flush(w, SLOT_SIZE, i), 0);
                shmd_reader_close(r);
                shmd_writer_close(w);
        }
        shmd_close(conn);
}

static void readers_of_a_scribbling_writer(struct stage *s, uint32_t slots, uint32_t with) {
        struct child *scribbler, *readers[3];

        make_segment(s, slots, with);
        seed.state = random_next(&seed);
        scribbler = stage_start(s, UID_WRITER, scribble_as_writer);
        (void)child_expect(scribbler);
        readers[0] = stage_start(s, UID_READER, read_while_scribbled);
        readers[1] = stage_start(s, UID_OWNER, read_while_scribbled);
        readers[2] = stage_start(s, UID_OTHER, come_and_go);
        for (int i = 0; i < 3; i++)
                child_finish(readers[i]);
        stage_served(s, 1);
        child_kill(scribbler);
        /* The daemon has had its part in it, too. */
        assert_int_equal(wire_stat(&s->root, STAGE_SEGMENT), 0);
        remove_segment(s);
}

static void test_a_writer_scribbles(void **state) {
        seed = random_seeded("scribble");
        readers_of_a_scribbling_writer(*state, 4, PROTO_POLICY_OVERWRITE);
        readers_of_a_scribbling_writer(*state, 1, PROTO_POLICY_OVERWRITE);
        readers_of_a_scribbling_writer(*state, 64, PROTO_POLICY_BLOCK);
}

/* ---- honest writers --------------------------------------------------------------------------------------------- */

static unsigned frames(void) { return often(policy == PROTO_POLICY_BLOCK ? 500 : 20000); }

/* Tells how many frames it got through. Under block it may have to wait while somebody who may make it wait says so. */
static void write_while_scribbled(struct stage *s, int fd) {
        struct shmd_writer *w;
        struct shmd *conn;
        unsigned through = 0;
        uint64_t go;

        CHILD_EQUAL(shmd_connect(&conn, fixture_socket(s->daemon)), 0);
        CHILD_EQUAL(shmd_writer_open(&w, conn, STAGE_SEGMENT, 0, SOON), 0);
        for (unsigned i = frames(); i > 0; i--) {
                void *data;
                int r = shmd_writer_begin(w, &data, NULL, policy == PROTO_POLICY_BLOCK ? MOMENT : SHMD_FOREVER);

                if (r == 0) {
                        memset(data, (int)i, SLOT_SIZE);
                        CHILD_EQUAL(shmd_writer_flush(w, SLOT_SIZE, i & 0xff), 0);
                        through++;
                } else {
                        CHILD_EQUAL(r, -ETIMEDOUT);
                        CHILD_EQUAL(policy, PROTO_POLICY_BLOCK);
                }
        }
        (void)child_tell(fd, through);
        CHILD_CHECK(child_hear(fd, &go));
        /* The scribbler is gone, and what it left binds nobody. */
        for (unsigned i = 0; i < 100; i++) {
                void *data;

                CHILD_EQUAL(shmd_writer_begin(w, &data, NULL, SOON), 0);
                CHILD_EQUAL(shmd_writer_flush(w, SLOT_SIZE, i), 0);
        }
        shmd_writer_close(w);
        shmd_close(conn);
}

/* Another reader's copies are whole, whatever the scribbler says that it holds. */
static void copy_while_scribbled(struct stage *s, int fd) {
        static unsigned char buffer[SLOT_SIZE];
        struct shmd_reader *r;
        struct shmd *conn;

        (void)child_tell(fd, 0);
        CHILD_EQUAL(shmd_connect(&conn, fixture_socket(s->daemon)), 0);
        CHILD_EQUAL(shmd_reader_open(&r, conn, STAGE_SEGMENT, 0, SOON), 0);
        for (;;) {
                struct shmd_frame f;
                int e = shmd_reader_copy(r, SHMD_LATEST, buffer, sizeof(buffer), &f);

                if (e == 0)
                        for (size_t i = 0; i < f.length; i++)
                                CHILD_EQUAL(buffer[i], f.tag);
                else if (e < 0)
                        CHILD_EQUAL(e, -EAGAIN);
        }
}

static void a_writer_of_a_scribbling_reader(struct stage *s, uid_t uid, uint32_t with) {
        struct child *scribbler, *writer, *reader;
        uint64_t through;

        make_segment(s, 4, with);
        seed.state = random_next(&seed);
        scribbler = stage_start(s, uid, scribble_as_reader);
        (void)child_expect(scribbler);
        reader = stage_start(s, UID_OTHER, copy_while_scribbled);
        (void)child_expect(reader);
        writer = stage_start(s, UID_OWNER, write_while_scribbled);
        through = child_expect(writer);
        /* Only the owner's readers can keep it waiting. */
        if (with == PROTO_POLICY_OVERWRITE || uid != UID_OWNER)
                assert_int_equal(through, frames());
        child_kill(reader);
        child_kill(scribbler);
        wire_expect_users(&s->root, STAGE_SEGMENT, 1, 0);
        (void)child_tell(writer->fd, 0);
        child_finish(writer);
        stage_served(s, 1);
        remove_segment(s);
}

static void test_a_reader_scribbles(void **state) {
        seed = random_seeded("scribble");
        a_writer_of_a_scribbling_reader(*state, UID_OWNER, PROTO_POLICY_OVERWRITE);
        a_writer_of_a_scribbling_reader(*state, UID_READER, PROTO_POLICY_OVERWRITE);
        leaves = true;
        a_writer_of_a_scribbling_reader(*state, UID_READER, PROTO_POLICY_OVERWRITE);
        leaves = false;
}

static void test_a_reader_scribbles_under_block(void **state) {
        seed = random_seeded("scribble");
        a_writer_of_a_scribbling_reader(*state, UID_OWNER, PROTO_POLICY_BLOCK);
        a_writer_of_a_scribbling_reader(*state, UID_READER, PROTO_POLICY_BLOCK);
        leaves = true;
        a_writer_of_a_scribbling_reader(*state, UID_READER, PROTO_POLICY_BLOCK);
        leaves = false;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                STAGE_TEST(test_a_writer_scribbles),
                STAGE_TEST(test_a_reader_scribbles),
                STAGE_TEST(test_a_reader_scribbles_under_block),
        };

        return STAGE_RUN(tests);
}
