/* test_survive.c -- the daemon is killed and comes back: what it keeps, what it refuses, and who may claim what. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/shmd.h"
#include "daemon/record.h"
#include "tests/integration/library.h"
#include "tests/integration/manager.h"
#include "tests/integration/wire.h"

struct survive {
        struct manager *m;
        struct shmd *conn;
        int fds;       /* of this process */
        int daemon;    /* of the daemon, without segments, but with our connection */
        unsigned kept; /* by the manager: the record */
        struct wire wire;
};

static int setup_with(void **state, const struct manager_options *options) {
        struct survive *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        wire_init(&s->wire, -1);
        s->m = manager_start(options);
        OK(s->conn, shmd_connect(&s->conn, manager_socket(s->m)));
        s->fds = fd_count();
        s->kept = manager_count(s->m);
        assert_int_equal(s->kept, options && options->plain ? 0 : 1);
        s->daemon = manager_fds(s->m);
        *state = s;
        return 0;
}

static int setup(void **state) { return setup_with(state, NULL); }

static int remove_one(const struct shmd_info *info, void *data) {
        memcpy(data, info->name, sizeof(info->name));
        return 1;
}

/* Nothing is left: here, in the daemon, with the manager. */
static int teardown(void **state) {
        struct survive *s = *state;
        char name[SHMD_NAME_MAX + 1];

        wire_close(&s->wire);
        while (shmd_list(s->conn, NULL, remove_one, name) == 1)
                OK(s->conn, shmd_remove(s->conn, name));
        assert_int_equal(fd_count(), s->fds);
        manager_expect_count(s->m, s->kept);
        for (int i = 0; manager_fds(s->m) != s->daemon; i++) {
                if (i == 60000)
                        fail_msg("the daemon has %d descriptors, not %d", manager_fds(s->m), s->daemon);
                (void)usleep(1000); /* what it closes late, it closes by itself: only the state tells */
        }
        shmd_close(s->conn);
        manager_stop(s->m);
        free(s);
        return 0;
}

#define SURVIVE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static void assert_same(const struct shmd_info *a, const struct shmd_info *b) {
        assert_int_equal(a->id, b->id);
        assert_int_equal(a->slot_size, b->slot_size);
        assert_int_equal(a->bytes, b->bytes);
        assert_int_equal(a->sequence, b->sequence);
        assert_int_equal(a->timestamp, b->timestamp);
        assert_int_equal(a->created, b->created);
        assert_int_equal(a->n_slots, b->n_slots);
        assert_int_equal(a->policy, b->policy);
        assert_int_equal(a->flags, b->flags);
        assert_int_equal(a->mode, b->mode);
        assert_int_equal(a->uid, b->uid);
        assert_int_equal(a->gid, b->gid);
        assert_string_equal(a->name, b->name);
        assert_string_equal(a->type, b->type);
}

/* Segments of every kind, with and without frames, are as they were. */
static void test_segments(void **state) {
        struct survive *s = *state;
        const struct shmd_options options[] = {
                { .slot_size = 1 },
                { .slot_size = 100000, .n_slots = 7, .mode = 0640, .policy = SHMD_BLOCK, .type = "uint8[3]" },
                { .slot_size = 10, .n_slots = 1, .flags = SHMD_SPARSE },
                { .slot_size = 10, .n_slots = 3, .flags = SHMD_EPHEMERAL },
        };
        struct shmd_info before[4], after;
        char name[16], buffer[100];
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;

        for (unsigned i = 0; i < 4; i++) {
                (void)snprintf(name, sizeof(name), "s/%u", i);
                OK(s->conn, shmd_create(s->conn, name, &options[i]));
                if (i != 3) { /* it would go with its user */
                        w = writer(s->conn, name);
                        for (unsigned n = 0; n <= i; n++)
                                publish(w, i, n);
                        shmd_writer_close(w);
                        expect_users(s->conn, name, 0, 0);
                }
                OK(s->conn, shmd_stat(s->conn, name, &before[i]));
        }
        for (int signal = SIGKILL; signal <= SIGTERM; signal += SIGTERM - SIGKILL) {
                manager_restart(s->m, signal);
                manager_expect_count(s->m, 1 + 4);
                for (unsigned i = 0; i < 4; i++) {
                        OK(s->conn, shmd_stat(s->conn, before[i].name, &after));
                        assert_same(&before[i], &after);
                }
        }
        r = reader(s->conn, "s/1", 0);
        assert_int_equal(shmd_reader_copy(r, SHMD_LATEST, buffer, sizeof(buffer), &f), 0);
        assert_frame(&f, 1, 2, 1, 0);
        shmd_reader_close(r);
        /* Numbers are never used twice. */
        make(s->conn, "new", 1, 1, 0);
        OK(s->conn, shmd_stat(s->conn, "new", &after));
        assert_true(after.id > before[3].id);
}

/* Removed is removed, and changed is changed. */
static void test_changes(void **state) {
        struct survive *s = *state;
        struct shmd_info info;

        make(s->conn, "a", 1, 1, 0);
        make(s->conn, "b", 1, 1, 0);
        OK(s->conn, shmd_remove(s->conn, "a"));
        OK(s->conn, shmd_chmod(s->conn, "b", 0604));
        manager_restart(s->m, SIGKILL);
        FAILS(s->conn, -ENOENT, shmd_stat(s->conn, "a", &info), "a");
        OK(s->conn, shmd_stat(s->conn, "b", &info));
        assert_int_equal(info.mode, 0604);
        manager_expect_count(s->m, 2);
}

/* What the daemon half made or half removed goes; what the manager has lost is told. */
static void test_leftovers(void **state) {
        struct survive *s = *state;
        struct shmd_info info;

        make(s->conn, "a", 1, 1, 0);
        make(s->conn, "b", 1, 1, 0);
        OK(s->conn, shmd_stat(s->conn, "a", &info));
        manager_down(s->m, SIGKILL);
        manager_forget(s->m, "d");
        manager_up(s->m);
        FAILS(s->conn, -ENOENT, shmd_stat(s->conn, "a", &info), "a");
        manager_expect_count(s->m, 1);
        make(s->conn, "a", 1, 1, 0);
        manager_down(s->m, SIGKILL);
        manager_forget(s->m, "s");
        manager_up(s->m);
        FAILS(s->conn, -ENOENT, shmd_stat(s->conn, "a", &info), "a");
        manager_expect_count(s->m, 1);
}

static int setup_small(void **state) {
        static const struct manager_options options = { .store_max = 6 };

        return setup_with(state, &options);
}

/* A store that is full: refused with a reason, and nothing half made stays. */
static void test_full_store(void **state) {
        struct survive *s = *state;
        const struct shmd_options options = { .slot_size = 1 };
        struct shmd_reader *r;
        char name[16];

        for (unsigned i = 0; i < 4; i++) {
                (void)snprintf(name, sizeof(name), "%u", i);
                make(s->conn, name, 1, 1, 0);
        }
        for (unsigned i = 0; i < 100; i++) {
                FAILS(s->conn, -ENOSPC, shmd_create(s->conn, "more", &options), "FileDescriptorStoreMax", "5");
                FAILS(s->conn, -ENOSPC, shmd_reader_open(&r, s->conn, "0", 0, SOON), "FileDescriptorStoreMax");
        }
        OK(s->conn, shmd_remove(s->conn, "3"));
        FAILS(s->conn, -ENOSPC, shmd_reader_open(&r, s->conn, "0", 0, SOON), "FileDescriptorStoreMax");
        make(s->conn, "3", 1, 1, 0);
        manager_restart(s->m, SIGKILL);
        FAILS(s->conn, -ENOSPC, shmd_create(s->conn, "more", &options), "FileDescriptorStoreMax", "5");
        manager_expect_count(s->m, 5);
        OK(s->conn, shmd_remove(s->conn, "3"));
        OK(s->conn, shmd_remove(s->conn, "2"));
        r = reader(s->conn, "0", 0);
        manager_expect_count(s->m, 5);
        shmd_reader_close(r);
        manager_expect_count(s->m, 3);
}

/* ---- the record ------------------------------------------------------------------------------------------------- */

static unsigned char *map_record(struct survive *s, size_t *size) {
        int fd = manager_borrow(s->m, "s");
        unsigned char *p;
        struct stat st;

        assert_true(fd >= 0);
        assert_return_code(fstat(fd, &st), errno);
        *size = (size_t)st.st_size;
        p = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(p != MAP_FAILED);
        (void)close(fd);
        return p;
}

/* A byte of one record is wrong: that segment is refused, the others are kept. */
static void test_torn_record(void **state) {
        struct survive *s = *state;
        struct shmd_info info;
        unsigned char *record, *at;
        size_t size;

        make(s->conn, "one", 1, 1, 0);
        make(s->conn, "victim", 1, 1, 0);
        make(s->conn, "three", 1, 1, 0);
        manager_down(s->m, SIGKILL);
        record = map_record(s, &size);
        at = memmem(record, 1 << 20, "victim", 7);
        assert_non_null(at);
        at[SHMD_NAME_MAX - 1] ^= 1;
        (void)munmap(record, size);
        manager_up(s->m);
        OK(s->conn, shmd_stat(s->conn, "one", &info));
        OK(s->conn, shmd_stat(s->conn, "three", &info));
        FAILS(s->conn, -ENOENT, shmd_stat(s->conn, "victim", &info), "victim");
        manager_expect_count(s->m, 3);
        make(s->conn, "victim", 1, 1, 0);
}

/* The record of a newer version: its segments are kept for it, and cannot be had meanwhile. */
static void test_other_version(void **state) {
        struct survive *s = *state;
        struct shmd_info before, info;
        unsigned char *record;
        size_t size;

        make(s->conn, "theirs", 1, 1, 0);
        OK(s->conn, shmd_stat(s->conn, "theirs", &before));
        manager_down(s->m, SIGKILL);
        record = map_record(s, &size);
        record[8]++;
        manager_up(s->m);
        FAILS(s->conn, -ENOENT, shmd_stat(s->conn, "theirs", &info), "theirs");
        make(s->conn, "ours", 1, 1, 0);
        OK(s->conn, shmd_stat(s->conn, "ours", &info));
        assert_true(info.id > before.id);
        manager_expect_count(s->m, 4);
        manager_down(s->m, SIGKILL);
        record[8]--;
        manager_up(s->m);
        OK(s->conn, shmd_stat(s->conn, "theirs", &info));
        assert_same(&before, &info);
        OK(s->conn, shmd_stat(s->conn, "ours", &info));
        manager_expect_count(s->m, 3);
        (void)munmap(record, size);
}

/* ---- handles ---------------------------------------------------------------------------------------------------- */

/* Wait until the daemon has heard of both again: only then does it tell. */
static void expect_claimed(struct shmd_writer *w, struct shmd_reader *r, struct shmd *conn, const char *name) {
        struct shmd_writer *other = writer(conn, name);

        /* Whoever comes back is told of everybody. */
        expect_told(r, NULL, 2);
        shmd_writer_close(other);
        expect_told(r, NULL, 1);
        expect_told(NULL, w, 1);
}

/* Both ends go on over any number of restarts, and nobody sees an event that was none. */
static void test_handles(void **state) {
        struct survive *s = *state;
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        int fds;

        for (uint32_t policy = SHMD_OVERWRITE; policy <= SHMD_BLOCK; policy++) {
                uint64_t n = 0;

                make(s->conn, "s", 1000, 3, policy);
                w = writer(s->conn, "s");
                r = reader(s->conn, "s", SHMD_ORDERED);
                expect_told(NULL, w, 1);
                fds = fd_count();
                for (int i = 0; i < 10; i++) {
                        unsigned kept = manager_count(s->m);

                        manager_down(s->m, i & 1 ? SIGTERM : SIGKILL);
                        publish(w, 1000, ++n);
                        assert_int_equal(shmd_reader_wait(r, SOON), SHMD_EVENT_FRAME);
                        assert_int_equal(shmd_reader_next(r, &f), 0);
                        assert_frame(&f, 1000, n, n, 0);
                        manager_up(s->m);
                        expect_users(s->conn, "s", 1, 1);
                        assert_int_equal(shmd_reader_release(r), 0);
                        if (i & 2)
                                expect_claimed(w, r, s->conn, "s");
                        assert_int_equal(shmd_reader_wait(r, 1), 0);
                        assert_int_equal(shmd_writer_readers(w), 1);
                        assert_int_equal(manager_count(s->m), kept);
                }
                expect_claimed(w, r, s->conn, "s");
                assert_int_equal(fd_count(), fds);
                shmd_writer_close(w);
                expect_events(r, SHMD_EVENT_WRITER_LEFT);
                w = writer(s->conn, "s");
                expect_events(r, SHMD_EVENT_WRITER_CAME);
                OK(s->conn, shmd_remove(s->conn, "s"));
                expect_events(r, SHMD_EVENT_REMOVED);
                /* What is removed stays so, for those who have it. */
                manager_restart(s->m, SIGKILL);
                expect_told(r, NULL, -EIDRM);
                shmd_reader_close(r);
                shmd_writer_close(w);
                manager_expect_count(s->m, 1);
        }
}

/* A reader that sleeps through it all is woken by a frame, and by what the new daemon has to say. */
static void test_asleep(void **state) {
        struct survive *s = *state;
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        struct pollfd p;

        make(s->conn, "s", 8, 4, 0);
        w = writer(s->conn, "s");
        r = reader(s->conn, "s", 0);
        p = (struct pollfd){ .fd = shmd_reader_fd(r), .events = POLLIN };
        for (unsigned n = 1; n <= 5; n++) {
                assert_int_equal(shmd_reader_arm(r), 0);
                manager_down(s->m, SIGKILL);
                publish(w, 8, n);
                while (poll(&p, 1, SOON) == 1 && shmd_reader_arm(r) == 0)
                        continue; /* the daemon's end wakes it, too */
                assert_int_equal(shmd_reader_next(r, &f), 0);
                assert_frame(&f, 8, n, n, 0);
                assert_int_equal(shmd_reader_release(r), 0);
                manager_up(s->m);
        }
        while (shmd_reader_arm(r) != 0)
                continue;
        shmd_writer_close(w);
        for (int e = 0; e == 0; e = shmd_reader_arm(r)) {
                assert_int_equal(poll(&p, 1, SOON), 1);
                assert_true(e == 0 || e == SHMD_EVENT_WRITER_LEFT);
        }
        shmd_reader_close(r);
}

/* It stays away: that is told once, frames go on, and when it comes back after all, so do the events. */
static void test_long_away(void **state) {
        struct survive *s = *state;
        struct shmd_writer *w;
        struct shmd_reader *r;

        make(s->conn, "s", 8, 4, 0);
        w = writer(s->conn, "s");
        r = reader(s->conn, "s", 0);
        for (unsigned i = 0; i < 2; i++) {
                manager_down(s->m, SIGKILL);
                assert_int_equal(shmd_reader_wait(r, SOON), SHMD_EVENT_OFFLINE);
                assert_int_equal(shmd_reader_wait(r, 50), 0);
                manager_up(s->m);
                expect_claimed(w, r, s->conn, "s");
        }
        shmd_writer_close(w);
        expect_events(r, SHMD_EVENT_WRITER_LEFT);
        shmd_reader_close(r);
}

struct victim {
        const char *socket;
        const char *name;
        bool writes;
};

/* Hold a frame, or be in the middle of one, and die so. */
static void be_in_the_way(int fd, void *data) {
        const struct victim *v = data;
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame f;
        uint64_t value;
        void *p;

        CHILD_EQUAL(shmd_connect(&conn, v->socket), 0);
        if (v->writes) {
                CHILD_EQUAL(shmd_writer_open(&w, conn, v->name, 0, SOON), 0);
                CHILD_EQUAL(shmd_writer_begin(w, &p, NULL, SOON), 0);
        } else {
                CHILD_EQUAL(shmd_reader_open(&r, conn, v->name, SHMD_ORDERED, SOON), 0);
                CHILD_EQUAL(shmd_reader_latest(r, &f), 0);
        }
        CHILD_CHECK(child_tell(fd, 0));
        (void)child_hear(fd, &value);
}

/* Who dies while the daemon is away is cleaned up after. */
static void test_death_meanwhile(void **state) {
        struct survive *s = *state;
        struct victim victim = { .socket = manager_socket(s->m), .name = "s" };
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_info info;
        struct child c;

        make(s->conn, "s", 8, 2, SHMD_BLOCK);
        w = writer(s->conn, "s");
        publish(w, 8, 1);
        child_start(&c, be_in_the_way, &victim);
        (void)child_expect(&c);
        manager_down(s->m, SIGKILL);
        child_kill(&c);
        manager_up(s->m);
        OK(s->conn, shmd_stat(s->conn, "s", &info));
        assert_int_equal(info.readers, 0);
        assert_int_equal(info.writers, 1);
        for (unsigned n = 2; n < 10; n++)
                publish(w, 8, n);
        shmd_writer_close(w);
        expect_users(s->conn, "s", 0, 0);

        make(s->conn, "one", 8, 1, 0);
        victim = (struct victim){ .socket = manager_socket(s->m), .name = "one", .writes = true };
        child_start(&c, be_in_the_way, &victim);
        (void)child_expect(&c);
        r = reader(s->conn, "one", 0);
        manager_down(s->m, SIGKILL);
        child_kill(&c);
        manager_up(s->m);
        expect_events(r, SHMD_EVENT_WRITER_LEFT);
        OK(s->conn, shmd_stat(s->conn, "one", &info));
        assert_int_equal(info.readers, 1);
        assert_int_equal(info.writers, 0);
        shmd_reader_close(r);
}

/* Who dies after the restart, before he has come back, is found dead. */
static void test_death_of_a_ghost(void **state) {
        struct survive *s = *state;
        struct victim victim = { .socket = manager_socket(s->m), .name = "s" };
        struct shmd_writer *w;
        struct child c;

        make(s->conn, "s", 8, 2, SHMD_BLOCK);
        w = writer(s->conn, "s");
        publish(w, 8, 1);
        child_start(&c, be_in_the_way, &victim);
        (void)child_expect(&c);
        manager_restart(s->m, SIGKILL);
        expect_users(s->conn, "s", 1, 1);
        child_kill(&c);
        expect_users(s->conn, "s", 1, 0);
        publish(w, 8, 2);
        publish(w, 8, 3);
        shmd_writer_close(w);
}

/* An ephemeral segment goes with its last user, also when that one dies while the daemon is away; one that nobody has
 * opened yet stays. */
static void test_ephemeral(void **state) {
        struct survive *s = *state;
        const struct shmd_options options = { .slot_size = 8, .flags = SHMD_EPHEMERAL };
        struct victim victim = { .socket = manager_socket(s->m), .name = "used", .writes = true };
        struct shmd_info info;
        struct child c;

        OK(s->conn, shmd_create(s->conn, "used", &options));
        OK(s->conn, shmd_create(s->conn, "fresh", &options));
        child_start(&c, be_in_the_way, &victim);
        (void)child_expect(&c);
        manager_restart(s->m, SIGKILL);
        OK(s->conn, shmd_stat(s->conn, "used", &info));
        manager_down(s->m, SIGKILL);
        child_kill(&c);
        manager_up(s->m);
        FAILS(s->conn, -ENOENT, shmd_stat(s->conn, "used", &info), "used");
        OK(s->conn, shmd_stat(s->conn, "fresh", &info));
}

static void read_on(int fd, void *data) {
        const struct victim *v = data;
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_frame f;
        uint64_t wanted;

        CHILD_EQUAL(shmd_connect(&conn, v->socket), 0);
        CHILD_EQUAL(shmd_reader_open(&r, conn, v->name, SHMD_ORDERED | SHMD_FROM_END, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        while (child_hear(fd, &wanted)) {
                CHILD_EQUAL(shmd_reader_wait(r, SOON), SHMD_EVENT_FRAME);
                CHILD_EQUAL(shmd_reader_next(r, &f), 0);
                CHILD_EQUAL(f.sequence, wanted);
                CHILD_EQUAL(shmd_reader_release(r), 0);
                CHILD_CHECK(child_tell(fd, 0));
        }
}

/* Readers come after a restart, and the writer, who does nothing meanwhile, cannot be told of them. It wakes them all the
 * same, and waits for them where it has to. */
static void test_new_readers(void **state) {
        struct survive *s = *state;
        struct victim victim = { .socket = manager_socket(s->m), .name = "s" };
        struct shmd_writer *w;
        struct child c;

        for (uint32_t policy = SHMD_OVERWRITE; policy <= SHMD_BLOCK; policy++) {
                make(s->conn, "s", 8, 2, policy);
                w = writer(s->conn, "s");
                publish(w, 8, 1);
                manager_restart(s->m, SIGKILL);
                child_start(&c, read_on, &victim);
                (void)child_expect(&c);
                for (unsigned n = 2; n < 5; n++) {
                        assert_true(child_tell(c.fd, n));
                        while (!process_sleeps(c.pid))
                                (void)usleep(1000);
                        publish(w, 8, n);
                        if (policy == SHMD_BLOCK) { /* two slots: it has to be taken before there is room */
                                void *data;

                                assert_int_equal(shmd_writer_begin(w, &data, NULL, SOON), 0);
                                assert_int_equal(shmd_writer_cancel(w), 0);
                        }
                        (void)child_expect(&c);
                }
                (void)shutdown(c.fd, SHUT_WR);
                child_finish(&c);
                shmd_writer_close(w);
                expect_users(s->conn, "s", 0, 0);
                OK(s->conn, shmd_remove(s->conn, "s"));
        }
}

/* ---- while there is none ---------------------------------------------------------------------------------------- */

static void ask_meanwhile(int fd, void *data) {
        const char *path = data;
        const struct shmd_options options = { .slot_size = 8 };
        struct shmd *conn, *second;
        struct shmd_writer *w;
        struct shmd_reader *r;
        uint64_t value;

        CHILD_EQUAL(shmd_connect(&conn, path), 0);
        CHILD_CHECK(child_tell(fd, 0));
        CHILD_CHECK(child_hear(fd, &value));
        CHILD_CHECK(child_tell(fd, 0));
        /* The manager's socket is there: whoever comes waits. */
        CHILD_EQUAL(shmd_create(conn, "meanwhile", &options), 0);
        CHILD_EQUAL(shmd_connect(&second, path), 0);
        CHILD_EQUAL(shmd_writer_open(&w, second, "meanwhile", 0, SOON), 0);
        CHILD_EQUAL(shmd_reader_open(&r, second, "meanwhile", 0, SOON), 0);
        shmd_reader_close(r);
        shmd_writer_close(w);
        shmd_close(second);
        shmd_close(conn);
}

static void test_asked_meanwhile(void **state) {
        struct survive *s = *state;
        struct shmd_writer *w;
        struct child c;

        make(s->conn, "s", 8, 4, 0);
        child_start(&c, ask_meanwhile, (void *)(uintptr_t)manager_socket(s->m));
        (void)child_expect(&c);
        manager_down(s->m, SIGKILL);
        assert_true(child_tell(c.fd, 0));
        (void)child_expect(&c);
        while (!process_sleeps(c.pid))
                (void)usleep(1000);
        assert_int_equal(shmd_writer_open(&w, s->conn, "s", 0, 10), -ETIMEDOUT);
        manager_up(s->m);
        child_finish(&c);
}

/* ---- once, and not twice ---------------------------------------------------------------------------------------- */

#define TOKEN UINT64_C(0x123456789abcdef)

static void dial(struct survive *s, uint64_t token) {
        struct proto_hello m = { .layout_version = LAYOUT_VERSION, .token = token };

        wire_close(&s->wire);
        wire_init(&s->wire, wire_socket(manager_socket(s->m)));
        wire_header(&s->wire, &m, PROTO_OP_HELLO, 0);
        assert_int_equal(wire_request(&s->wire, &m, NULL, 0), 0);
}

static void send_create(struct survive *s, struct proto_create *m, uint32_t serial) {
        *m = (struct proto_create){ .slot_size = 8, .flags = PROTO_CREATE_EXCLUSIVE, .name = "once" };
        message_init(&m->header, PROTO_OP_CREATE, sizeof(*m), serial);
        wire_send(&s->wire, m, sizeof(*m), NULL, 0);
}

static void send_remove(struct survive *s, struct proto_remove *m, uint32_t serial) {
        *m = (struct proto_remove){ .name = "once" };
        message_init(&m->header, PROTO_OP_REMOVE, sizeof(*m), serial);
        wire_send(&s->wire, m, sizeof(*m), NULL, 0);
}

static void wait_until(struct survive *s, const char *name, int outcome) {
        struct shmd_info info;

        while (shmd_stat(s->conn, name, &info) != outcome)
                (void)usleep(1000);
}

/* The daemon dies when a request has taken effect, and the client has not heard. */
static void test_once(void **state) {
        struct survive *s = *state;
        struct proto_create create;
        struct proto_remove removal;
        struct shmd_info info;
        uint64_t id;

        dial(s, TOKEN);
        send_create(s, &create, 7);
        wait_until(s, "once", 0);
        OK(s->conn, shmd_stat(s->conn, "once", &info));
        for (int i = 0; i < 3; i++) {
                manager_restart(s->m, SIGKILL);
                dial(s, TOKEN + 1); /* somebody else's request is another one */
                send_create(s, &create, 7);
                assert_int_equal(wire_reply(&s->wire), -EEXIST);
                dial(s, TOKEN);
                send_create(s, &create, 7);
                assert_int_equal(wire_reply(&s->wire), 0);
                assert_int_equal(s->wire.in.any.created.id, info.id);
                assert_int_equal(s->wire.in.any.created.existed, 0);
                assert_int_equal(s->wire.in.any.header.serial, 7);
        }
        send_create(s, &create, 8); /* and this is the next one */
        assert_int_equal(wire_reply(&s->wire), -EEXIST);

        id = info.id;
        send_remove(s, &removal, 9);
        wait_until(s, "once", -ENOENT);
        manager_restart(s->m, SIGKILL);
        dial(s, TOKEN);
        send_remove(s, &removal, 9);
        assert_int_equal(wire_reply(&s->wire), 0);
        send_remove(s, &removal, 10);
        assert_int_equal(wire_reply(&s->wire), -ENOENT);
        send_create(s, &create, 11);
        assert_int_equal(wire_reply(&s->wire), 0);
        assert_true(s->wire.in.any.created.id > id);
        /* The manager's next instance has it from the record, and a client that comes as somebody else does not. */
        manager_restart(s->m, SIGKILL);
        dial(s, 0);
        send_create(s, &create, 11);
        assert_int_equal(wire_reply(&s->wire), -EEXIST);
        wire_close(&s->wire);
}

/* ---- claims ----------------------------------------------------------------------------------------------------- */

static int claim(struct survive *s, const struct proto_claim *what, int proof) {
        struct proto_claim m = *what;

        wire_header(&s->wire, &m, PROTO_OP_CLAIM, proof >= 0 ? 1 : 0);
        return wire_request(&s->wire, &m, &proof, proof >= 0 ? 1 : 0);
}

/* Only the description that has the lock proves it; whoever has it gets the handle, once. */
static void test_claims(void **state) {
        struct survive *s = *state;
        struct proto_claim m;
        struct wire reader_wire;
        char path[64];
        int data, table, other;

        make(s->conn, "s", 8, 3, 0);
        wire_init(&reader_wire, wire_socket(manager_socket(s->m)));
        assert_int_equal(wire_hello(&reader_wire, "reader"), 0);
        assert_int_equal(wire_open_segment(&reader_wire, "s", PROTO_ACCESS_READ, 0, 0), 0);
        m = (struct proto_claim){
                .segment = reader_wire.in.any.opened.id,
                .access = PROTO_ACCESS_READ,
                .entry = reader_wire.in.any.opened.entry,
                .group = reader_wire.in.any.opened.group,
        };
        data = packet_take_fd(&reader_wire.packet, 0);
        table = packet_take_fd(&reader_wire.packet, 1);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", table);
        other = open(path, O_RDWR | O_CLOEXEC);
        assert_return_code(other, errno);
        dial(s, 0);
        assert_int_equal(claim(s, &m, table), -ENOENT); /* it is nobody who waits for that */
        manager_restart(s->m, SIGKILL);
        wire_close(&reader_wire);
        dial(s, 0);
        assert_int_equal(claim(s, &m, -1), -EINVAL);
        assert_int_equal(claim(s, &m, data), -EPERM);
        assert_int_equal(claim(s, &m, other), -EPERM);
        assert_int_equal(claim(s, &m, s->wire.socket), -EPERM);
        for (uint32_t bit = 0; bit < 32; bit++) {
                struct proto_claim wrong = m;

                wrong.entry ^= UINT32_C(1) << bit;
                assert_int_equal(claim(s, &wrong, table), -ENOENT);
                wrong = m;
                wrong.group ^= UINT32_C(1) << bit;
                assert_int_equal(claim(s, &wrong, table), -ENOENT);
                wrong = m;
                wrong.segment ^= UINT64_C(1) << bit;
                assert_int_equal(claim(s, &wrong, table), -ENOENT);
        }
        m.access = PROTO_ACCESS_WRITE;
        assert_int_equal(claim(s, &m, table), -ENOENT);
        m.access = 3;
        assert_int_equal(claim(s, &m, table), -EINVAL);
        m.access = PROTO_ACCESS_READ;
        expect_users(s->conn, "s", 0, 1);
        assert_int_equal(claim(s, &m, table), 0);
        assert_int_equal(s->wire.in.any.claimed.users.readers, 1);
        assert_int_equal(claim(s, &m, table), -EISCONN);
        expect_users(s->conn, "s", 0, 1);
        wire_close(&s->wire);
        expect_users(s->conn, "s", 0, 0); /* the connection is the handle */
        (void)close(other);
        (void)close(table);
        (void)close(data);
}

/* ---- the manager ------------------------------------------------------------------------------------------------ */

static void make_many(int fd, void *data) {
        const struct shmd_options options = { .slot_size = 8 };
        struct shmd *conn;
        char name[16];

        CHILD_EQUAL(shmd_connect(&conn, data), 0);
        for (unsigned i = 0; i < 50; i++) {
                (void)snprintf(name, sizeof(name), "%u", i);
                CHILD_EQUAL(shmd_create(conn, name, &options), 0);
                CHILD_CHECK(child_tell(fd, i));
        }
        shmd_close(conn);
}

/* While the manager does not listen, nobody is promised what it has not got; and what was promised is there. */
static void test_deaf_manager(void **state) {
        struct survive *s = *state;
        struct shmd_info info;
        uint64_t last = 0, value;
        struct child c;

        manager_deaf(s->m, 1);
        child_start(&c, make_many, (void *)(uintptr_t)manager_socket(s->m));
        for (struct pollfd p = { .fd = c.fd, .events = POLLIN }; poll(&p, 1, 200) == 1;) {
                assert_true(child_hear(c.fd, &value));
                last = value;
        }
        assert_in_range(last, 0, 45); /* it waits */
        manager_down(s->m, SIGKILL);
        manager_deaf(s->m, 0);
        manager_up(s->m);
        for (uint64_t i = 0; i <= last; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
                OK(s->conn, shmd_stat(s->conn, name, &info));
        }
        child_finish(&c);
        manager_expect_count(s->m, 51);
}

/* ---- many ------------------------------------------------------------------------------------------------------- */

#define MANY 9900

static int setup_many(void **state) {
        static const char *const arguments[] = { "--max-segments", "9898", NULL };
        static const struct manager_options options = { .store_max = MANY, .arguments = arguments };

        return setup_with(state, &options);
}

static int compare(const void *a, const void *b) {
        return (*(const uint64_t *)a > *(const uint64_t *)b) - (*(const uint64_t *)a < *(const uint64_t *)b);
}

/* The largest store there may be, killed ten times in a row. How long clients wait for an answer is printed. */
static void test_many(void **state) {
        struct survive *s = *state;
        const struct shmd_options options = { .slot_size = 1, .n_slots = 1 };
        unsigned sizes[] = { 100, 1000, MANY - 2 }, n = 0;
        char name[16];

        for (unsigned k = 0; k < 3; k++) {
                unsigned all = SANITIZED ? sizes[k] / 10 : sizes[k];
                uint64_t times_taken[10];
                struct shmd_info info;

                for (; n < all; n++) {
                        (void)snprintf(name, sizeof(name), "%u", n);
                        OK(s->conn, shmd_create(s->conn, name, &options));
                }
                for (unsigned i = 0; i < 10; i++) {
                        uint64_t begin = monotonic_ns();

                        manager_down(s->m, SIGKILL);
                        manager_up_soon(s->m);
                        OK(s->conn, shmd_stat(s->conn, "0", &info));
                        times_taken[i] = monotonic_ns() - begin;
                        (void)snprintf(name, sizeof(name), "%u", n - 1);
                        OK(s->conn, shmd_stat(s->conn, name, &info));
                        manager_up(s->m);
                }
                qsort(times_taken, 10, sizeof(times_taken[0]), compare);
                print_message("%u segments: %.1f ms from the kill to the next answer (median of 10; %.1f at most)\n", n,
                              (double)times_taken[5] / 1e6, (double)times_taken[9] / 1e6);
                manager_expect_count(s->m, n + 1);
        }
        if (!SANITIZED)
                FAILS(s->conn, -ENOSPC, shmd_create(s->conn, "more", &options), "9");
        while (n > 0) {
                (void)snprintf(name, sizeof(name), "%u", --n);
                OK(s->conn, shmd_remove(s->conn, name));
        }
}

/* ---- one instance after another --------------------------------------------------------------------------------- */

static int setup_plain(void **state) {
        static const struct manager_options options = { .plain = 1 };

        return setup_with(state, &options);
}

static int run_replacement(struct survive *s, uid_t uid) {
        const char *path = manager_socket(s->m);
        int status;
        pid_t pid;

        (void)fflush(NULL);
        pid = fork();
        assert_return_code(pid, errno);
        if (pid == 0) {
                const char *const argv[] = { "shmd", "--log-level", "error", "--socket", path, "--replace", NULL };
                /* That user may not come by where it lies. */
                int program = open(SHMD_BIN_DIR "/shmd", O_PATH | O_CLOEXEC);

                if (uid && setuid(uid) < 0)
                        _exit(99);
                (void)fexecve(program, (char *const *)(uintptr_t)argv, environ);
                _exit(98);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* With all that there is, many times; and the file of the socket goes with the last. */
static void test_replace(void **state) {
        struct survive *s = *state;
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_info info;
        struct shmd_frame f;
        char name[16];

        for (unsigned i = 0; i < 200; i++) { /* more than fit one message */
                (void)snprintf(name, sizeof(name), "%u", i);
                make(s->conn, name, 8, 3, i % 2 ? SHMD_BLOCK : SHMD_OVERWRITE);
        }
        w = writer(s->conn, "7");
        r = reader(s->conn, "7", SHMD_ORDERED);
        for (unsigned n = 1; n <= 20; n++) {
                assert_int_equal(manager_replace(s->m, NULL), 0);
                publish(w, 8, n);
                assert_int_equal(shmd_reader_wait(r, SOON), SHMD_EVENT_FRAME);
                assert_int_equal(shmd_reader_next(r, &f), 0);
                assert_frame(&f, 8, n, n, 0);
                assert_int_equal(shmd_reader_release(r), 0);
                OK(s->conn, shmd_stat(s->conn, "199", &info));
                expect_users(s->conn, "7", 1, 1);
        }
        shmd_writer_close(w);
        expect_events(r, SHMD_EVENT_WRITER_LEFT);
        shmd_reader_close(r);
}

/* Whoever may not, or fails half way, leaves the old one as it was. */
static void test_replace_fails(void **state) {
        struct survive *s = *state;
        struct proto_header request;
        struct shmd_info info;

        for (unsigned i = 0; i < 100; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "%u", i);
                make(s->conn, name, 8, 3, 0);
        }
        if (geteuid() == 0)
                assert_int_equal(run_replacement(s, 65534), 1);
        OK(s->conn, shmd_stat(s->conn, "7", &info));
        /* One that goes after the first message, and one after the last. */
        for (unsigned n = 0; n < 2; n++) {
                dial(s, 0);
                message_init(&request, PROTO_OP_REPLACE, sizeof(request), 1);
                wire_send(&s->wire, &request, sizeof(request), NULL, 0);
                for (unsigned i = 0; i <= n; i++) {
                        assert_true(wire_receive(&s->wire));
                        assert_int_equal(s->wire.in.any.header.op, PROTO_OP_REPLACE);
                        assert_int_equal(s->wire.in.any.header.error, 0);
                        assert_true(s->wire.packet.n_fds > 0);
                        if (i < n)
                                wire_send(&s->wire, &request, sizeof(request), NULL, 0);
                }
                wire_close(&s->wire);
                OK(s->conn, shmd_stat(s->conn, "7", &info));
        }
        /* And one that answers what was not asked. */
        dial(s, 0);
        wire_send(&s->wire, &request, sizeof(request), NULL, 0);
        assert_true(wire_receive(&s->wire));
        request.op = PROTO_OP_STAT;
        wire_send(&s->wire, &request, sizeof(request), NULL, 0);
        assert_int_equal(wire_reply(&s->wire), -EPROTO);
        wire_close(&s->wire);
        OK(s->conn, shmd_stat(s->conn, "7", &info));
        assert_int_equal(manager_replace(s->m, "--max-clients=x"), 2 << 8);
        OK(s->conn, shmd_stat(s->conn, "7", &info));
        assert_int_equal(manager_replace(s->m, NULL), 0);
        OK(s->conn, shmd_stat(s->conn, "7", &info));
}

/* A daemon whose descriptors a manager keeps would come back beside the new one. */
static void test_replace_kept(void **state) {
        struct survive *s = *state;
        struct shmd_info info;

        make(s->conn, "s", 8, 3, 0);
        assert_int_equal(run_replacement(s, 0), 1);
        OK(s->conn, shmd_stat(s->conn, "s", &info));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                SURVIVE_TEST(test_segments),
                SURVIVE_TEST(test_changes),
                SURVIVE_TEST(test_leftovers),
                cmocka_unit_test_setup_teardown(test_full_store, setup_small, teardown),
                SURVIVE_TEST(test_torn_record),
                SURVIVE_TEST(test_other_version),
                SURVIVE_TEST(test_handles),
                SURVIVE_TEST(test_asleep),
                SURVIVE_TEST(test_long_away),
                SURVIVE_TEST(test_death_meanwhile),
                SURVIVE_TEST(test_death_of_a_ghost),
                SURVIVE_TEST(test_ephemeral),
                SURVIVE_TEST(test_new_readers),
                SURVIVE_TEST(test_asked_meanwhile),
                SURVIVE_TEST(test_once),
                SURVIVE_TEST(test_claims),
                SURVIVE_TEST(test_deaf_manager),
                cmocka_unit_test_setup_teardown(test_many, setup_many, teardown),
                cmocka_unit_test_setup_teardown(test_replace, setup_plain, teardown),
                cmocka_unit_test_setup_teardown(test_replace_fails, setup_plain, teardown),
                SURVIVE_TEST(test_replace_kept),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
