/* test_record.c -- what the daemon has to know after a restart: whole at any time, and believed only when it is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/record.h"
#include "proto/cleanup.h"
#include "tests/child.h"
#include "tests/support.h"

static const uint32_t sizes[RECORD_KINDS] = { 1, 70, 3, 5 };

struct state {
        struct record record;
        struct record again;
        int fds;
};

static int setup(void **state) {
        struct state *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        s->fds = fd_count();
        s->again = RECORD_INIT;
        assert_int_equal(record_new(&s->record, 7, sizes), 0);
        *state = s;
        return 0;
}

static int teardown(void **state) {
        struct state *s = *state;

        record_deinit(&s->again);
        record_deinit(&s->record);
        assert_int_equal(fd_count(), s->fds);
        free(s);
        return 0;
}

/* As the next instance finds it. */
static int reopen(struct state *s) {
        record_deinit(&s->again);
        return record_open(&s->again, fcntl(s->record.fd, F_DUPFD_CLOEXEC, 0));
}

static struct record_group group(uint64_t n) {
        return (struct record_group){ .id = n, .segment = n + 1, .inode = n + 2, .uid = (uint32_t)n, .index = 3 };
}

static void assert_group(const struct record *r, uint32_t place, uint64_t n) {
        struct record_group wanted = group(n), found;

        assert_int_equal(record_read(r, RECORD_GROUP, place, &found), 0);
        assert_memory_equal(&wanted, &found, sizeof(wanted));
}

static void test_places(void **state) {
        struct state *s = *state;
        struct record *r = &s->record;
        struct record_group g;

        for (uint32_t i = 0; i < sizes[RECORD_GROUP]; i++) {
                g = group(10 * i);
                assert_int_equal(record_take(r, RECORD_GROUP), i);
                assert_int_equal(record_read(r, RECORD_GROUP, i, &g), RECORD_E_FREE);
                g = group(10 * i);
                record_write(r, RECORD_GROUP, i, &g);
        }
        assert_int_equal(record_take(r, RECORD_GROUP), RECORD_NONE);
        for (uint64_t n = 100; n < 110; n++) {
                g = group(n);
                record_write(r, RECORD_GROUP, 1, &g);
                assert_int_equal(reopen(s), 0);
                assert_int_equal(s->again.generation, 7);
                assert_int_equal(record_end(&s->again, RECORD_GROUP), 3);
                assert_int_equal(record_end(&s->again, RECORD_SEGMENT), 0);
                assert_group(&s->again, 0, 0);
                assert_group(&s->again, 1, n);
                assert_group(&s->again, 2, 20);
        }
        record_free(r, RECORD_GROUP, 1);
        record_free(r, RECORD_GROUP, RECORD_NONE);
        assert_int_equal(reopen(s), 0);
        assert_int_equal(record_read(&s->again, RECORD_GROUP, 1, &g), RECORD_E_FREE);
        assert_group(&s->again, 2, 20);
        assert_int_equal(record_take(r, RECORD_GROUP), 1);
        assert_int_equal(record_read(r, RECORD_GROUP, 1, &g), RECORD_E_FREE);
}

/* More places than a word of the map has bits. */
static void test_many_places(void **state) {
        struct state *s = *state;

        for (uint32_t i = 0; i < 70; i++)
                assert_int_equal(record_take(&s->record, RECORD_SEGMENT), i);
        assert_int_equal(record_take(&s->record, RECORD_SEGMENT), RECORD_NONE);
        record_free(&s->record, RECORD_SEGMENT, 66);
        record_free(&s->record, RECORD_SEGMENT, 3);
        assert_int_equal(record_take(&s->record, RECORD_SEGMENT), 3);
        assert_int_equal(record_take(&s->record, RECORD_SEGMENT), 66);
        assert_int_equal(record_take(&s->record, RECORD_SEGMENT), RECORD_NONE);
}

/* Each bit of a place that is wrong is found, and no other place suffers; but for the mark of a copy that is being
 * written: with it the other copy counts. */
static void test_each_bit(void **state) {
        struct state *s = *state;
        const struct record_table *t = &s->record.tables[RECORD_GROUP];

        for (uint64_t i = 0; i < 2; i++) {
                struct record_group g = group(i);
                uint32_t place = record_take(&s->record, RECORD_GROUP);

                record_write(&s->record, RECORD_GROUP, place, &g);
                g = group(i + 50);
                record_write(&s->record, RECORD_GROUP, place, &g);
        }
        for (size_t bit = 0; bit < 2 * (16 + sizeof(struct record_group)) * 8; bit++) {
                struct record_group found;
                int e;

                t->base[bit / 8] ^= (unsigned char)(1u << bit % 8);
                assert_int_equal(reopen(s), 0);
                e = record_read(&s->again, RECORD_GROUP, 0, &found);
                if (e != RECORD_E_BROKEN) /* only as if it were being written */
                        assert_true(e == 0 && (bit / 8 % (16 + sizeof(struct record_group))) < 8);
                assert_group(&s->again, 1, 51);
                t->base[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        assert_group(&s->record, 0, 50);
}

/* The header: refused as a whole. */
static void test_header(void **state) {
        struct state *s = *state;
        uint32_t *words = (uint32_t *)(void *)s->record.base;
        uint32_t before;
        struct record_counters c = { .next_id = 5 };

        record_write(&s->record, RECORD_COUNTERS, record_take(&s->record, RECORD_COUNTERS), &c);
        for (size_t bit = 0; bit < 32 * 8; bit++) {
                int e;

                s->record.base[bit / 8] ^= (unsigned char)(1u << bit % 8);
                e = reopen(s);
                assert_int_equal(e, bit / 32 == 2 ? RECORD_E_VERSION : RECORD_E_BROKEN);
                s->record.base[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        before = words[2];
        words[2] = RECORD_VERSION + 1;
        assert_int_equal(reopen(s), RECORD_E_VERSION);
        words[2] = before;
        assert_int_equal(reopen(s), 0);
}

/* Something else than a record. */
static void test_no_record(void **state) {
        struct state *s = *state;
        int fd;

        assert_true(record_open(&s->again, open("/dev/null", O_RDWR | O_CLOEXEC)) != 0);
        fd = memfd_create("x", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, 1 << 20), 0);
        assert_int_equal(record_open(&s->again, fd), RECORD_E_BROKEN); /* without seals */
        fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(ftruncate(fd, 1 << 20), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
        assert_int_equal(record_open(&s->again, fd), RECORD_E_BROKEN); /* all zero */
}

static void write_for_ever(int fd, void *data) {
        struct state *s = data;
        struct record_segment b = { 0 };

        (void)child_tell(fd, 0);
        for (uint64_t n = 1;; n++) {
                b.id = n;
                for (size_t i = 0; i < sizeof(b.type); i++)
                        b.type[i] = (char)n;
                record_write(&s->record, RECORD_SEGMENT, 0, &b);
        }
}

/* Killed at any point, what is there is one state or the next. */
static void test_killed(void **state) {
        struct state *s = *state;
        struct record_segment b = { 0 };
        struct random random = random_seeded("record");
        uint64_t last = 0;

        assert_int_equal(record_take(&s->record, RECORD_SEGMENT), 0);
        record_write(&s->record, RECORD_SEGMENT, 0, &b);
        for (int i = 0; i < 300; i++) {
                struct child c;

                child_start(&c, write_for_ever, s);
                (void)child_expect(&c);
                (void)usleep((useconds_t)random_below(&random, 500));
                child_kill(&c);
                assert_int_equal(reopen(s), 0);
                assert_int_equal(record_read(&s->again, RECORD_SEGMENT, 0, &b), 0);
                for (size_t k = 0; k < sizeof(b.type); k++)
                        assert_int_equal((unsigned char)b.type[k], b.id & 0xff);
                last += b.id;
        }
        assert_true(last > 300);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_places, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_places, setup, teardown),
                cmocka_unit_test_setup_teardown(test_each_bit, setup, teardown),
                cmocka_unit_test_setup_teardown(test_header, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
