/*
 * test_foreign.c -- readers of other users: what they hold is kept within the budget, whatever others of them do, and
 * nothing that they do keeps the writer waiting or takes a frame from a reader of the owner.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <sys/mman.h>

#include "tests/integration/library.h"
#include "tests/integration/wire.h"

#define LENGTH 32u
#define FRAMES 200u

static const uid_t uids[] = { 61001, 61002, 61003, 61004 };

static void become(uid_t uid) {
        CHILD_EQUAL(setgroups(0, NULL), 0);
        CHILD_EQUAL(setresgid(uid, uid, uid), 0);
        CHILD_EQUAL(setresuid(uid, uid, uid), 0);
}

static void make_open(struct shmd *conn, uint32_t n_slots, uint32_t holds, uint32_t policy) {
        const struct shmd_options options = {
                .slot_size = LENGTH, .n_slots = n_slots, .mode = 0644, .policy = policy, .foreign_holds = holds
        };

        OK(conn, shmd_create(conn, "s", &options));
}

static void publish_many(struct shmd_writer *w, unsigned n) {
        while (n--) {
                void *data;

                /* Nobody is waited for. */
                assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), 0);
                memset(data, (int)(n & 0xff), LENGTH);
                assert_int_equal(shmd_writer_flush(w, LENGTH, n & 0xff), 0);
        }
}

/* ---- guests ----------------------------------------------------------------------------------------------------- */

/* A process of another user with a number of readers, which does what it is told. */
struct guest {
        struct child child;
        const char *socket;
        uid_t uid;
        unsigned n_readers;
};

enum {
        HOLD,
        RELEASE
};

#define ORDER(what, reader) ((uint64_t)(what) << 32 | (reader))

static uint64_t hold_one(struct shmd_reader *r, struct shmd_frame *frame) {
        int e = shmd_reader_latest(r, frame);

        CHILD_CHECK(e >= 0);
        return frame->sequence;
}

/* 0 or -ESTALE; what is called whole is whole. */
static uint64_t release_one(struct shmd_reader *r, const struct shmd_frame *frame) {
        bool whole = is_published(frame, frame->data);
        int e = shmd_reader_release(r);

        CHILD_CHECK(e == -ESTALE || (e == 0 && whole));
        return (uint64_t)-e;
}

static void run_guest(int fd, void *data) {
        const struct guest *g = data;
        struct shmd_reader **readers = calloc(g->n_readers, sizeof(*readers));
        struct shmd_frame *frames = calloc(g->n_readers, sizeof(*frames));
        struct shmd *conn;
        uint64_t order;

        CHILD_CHECK(readers && frames);
        become(g->uid);
        CHILD_EQUAL(shmd_connect(&conn, g->socket), 0);
        for (unsigned i = 0; i < g->n_readers; i++)
                CHILD_EQUAL(shmd_reader_open(&readers[i], conn, "s", 0, SOON), 0);
        CHILD_CHECK(child_tell(fd, 0));
        while (child_hear(fd, &order)) {
                unsigned i = (uint32_t)order;

                CHILD_CHECK(child_tell(fd, order >> 32 == HOLD ? hold_one(readers[i], &frames[i])
                                                               : release_one(readers[i], &frames[i])));
        }
        for (unsigned i = 0; i < g->n_readers; i++)
                shmd_reader_close(readers[i]);
        shmd_close(conn);
        free(readers);
        free(frames);
}

static void guest_start(struct guest *g, const char *socket, uid_t uid, unsigned n_readers) {
        *g = (struct guest){ .socket = socket, .uid = uid, .n_readers = n_readers };
        child_start(&g->child, run_guest, g);
        (void)child_expect(&g->child);
}

static void guest_end(struct guest *g) {
        (void)shutdown(g->child.fd, SHUT_WR);
        child_finish(&g->child);
}

static void guest_hold(struct guest *g, unsigned reader, uint64_t sequence) {
        assert_true(child_tell(g->child.fd, ORDER(HOLD, reader)));
        assert_int_equal(child_expect(&g->child), sequence);
}

static void guest_release(struct guest *g, unsigned reader, int error) {
        assert_true(child_tell(g->child.fd, ORDER(RELEASE, reader)));
        assert_int_equal((int)child_expect(&g->child), error);
}

/* ---- the budget ------------------------------------------------------------------------------------------------- */

static void test_each_may_hold_one(void **state) {
        struct shmd *conn = connection(state);
        struct guest g[3];

        for (uint32_t policy = SHMD_OVERWRITE; policy <= SHMD_BLOCK; policy++) {
                struct shmd_writer *w;

                make_open(conn, 5, 0, policy);
                w = writer(conn, "s");
                assert_int_equal(shmd_writer_info(w)->foreign_holds, 1);
                for (unsigned i = 0; i < 3; i++) {
                        guest_start(&g[i], socket_path(state), uids[i], 1);
                        publish_many(w, 1);
                        guest_hold(&g[i], 0, i + 1);
                }
                publish_many(w, FRAMES);
                for (unsigned i = 0; i < 3; i++)
                        guest_release(&g[i], 0, 0);
                for (unsigned i = 0; i < 3; i++)
                        guest_end(&g[i]);
                shmd_writer_close(w);
                OK(conn, shmd_remove(conn, "s"));
        }
}

/* The greedy lose what is beyond their budget, and nobody else does. */
static void test_a_greedy_one(void **state) {
        static const uint32_t budgets[] = { SHMD_NO_FOREIGN_HOLDS, 1, 2 };
        struct shmd *conn = connection(state);

        for (uint32_t holds = 0; holds < 3; holds++) {
                struct guest greedy, modest;
                struct shmd_reader *r;
                struct shmd_writer *w;
                struct shmd_frame frame;

                make_open(conn, 8, budgets[holds], 0);
                w = writer(conn, "s");
                r = reader(conn, "s", 0);
                guest_start(&greedy, socket_path(state), uids[0], 4);
                guest_start(&modest, socket_path(state), uids[1], 1);
                for (unsigned i = 0; i < 4; i++) {
                        publish_many(w, 1);
                        guest_hold(&greedy, i, i + 1);
                }
                publish_many(w, 1);
                guest_hold(&modest, 0, 5);
                publish_many(w, 1);
                assert_int_equal(shmd_reader_latest(r, &frame), 0);
                publish_many(w, FRAMES);
                for (unsigned i = 0; i < 4; i++)
                        guest_release(&greedy, i, i < holds ? 0 : ESTALE);
                guest_release(&modest, 0, holds ? 0 : ESTALE);
                assert_int_equal(shmd_reader_release(r), 0);
                guest_end(&greedy);
                guest_end(&modest);
                shmd_reader_close(r);
                shmd_writer_close(w);
                OK(conn, shmd_remove(conn, "s"));
        }
}

/* Slots less two for all together, and first come, first served, whoever of two writers looks. */
static void test_all_together(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_writer *w[2];
        struct guest g[3];

        make_open(conn, 4, 0, 0);
        for (unsigned i = 0; i < 2; i++)
                w[i] = writer(conn, "s");
        for (unsigned i = 0; i < 3; i++) {
                guest_start(&g[i], socket_path(state), uids[i], 1);
                publish_many(w[i % 2], 1);
                guest_hold(&g[i], 0, i + 1);
        }
        for (unsigned i = 0; i < FRAMES; i++)
                publish_many(w[i % 2], 1);
        guest_release(&g[2], 0, ESTALE);
        guest_release(&g[0], 0, 0);
        guest_hold(&g[2], 0, 3 + FRAMES);
        for (unsigned i = 0; i < FRAMES; i++)
                publish_many(w[i % 2], 1);
        for (unsigned i = 1; i < 3; i++)
                guest_release(&g[i], 0, 0);
        for (unsigned i = 0; i < 3; i++)
                guest_end(&g[i]);
        for (unsigned i = 0; i < 2; i++)
                shmd_writer_close(w[i]);
}

/* More readers than a group takes are still one user with one budget; what they hold together costs once. */
static void test_two_groups_of_one_user(void **state) {
        const unsigned n = LAYOUT_READERS_MAX + 1;
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct guest many, one;

        make_open(conn, 6, 0, 0);
        w = writer(conn, "s");
        guest_start(&many, socket_path(state), uids[0], n);
        guest_start(&one, socket_path(state), uids[1], 1);
        publish_many(w, 1);
        guest_hold(&many, 3, 1);
        guest_hold(&many, n - 1, 1);
        publish_many(w, 1);
        guest_hold(&many, 4, 2);
        guest_hold(&one, 0, 2);
        publish_many(w, 1);
        publish_many(w, FRAMES);
        guest_release(&many, 3, 0);
        publish_many(w, FRAMES);
        guest_release(&many, n - 1, 0);
        guest_release(&one, 0, 0);
        guest_release(&many, 4, 0); /* on the other's account */
        /* The second group's own hold is the first one's budget. */
        guest_hold(&many, n - 1, 3 + 2 * FRAMES);
        publish_many(w, 1);
        guest_hold(&many, 3, 4 + 2 * FRAMES);
        publish_many(w, FRAMES);
        guest_release(&many, n - 1, 0);
        guest_release(&many, 3, ESTALE);
        guest_end(&many);
        guest_end(&one);
        shmd_writer_close(w);
}

/* With few slots the owner's readers come first. */
static void test_the_owner_first(void **state) {
        struct shmd *conn = connection(state);

        for (uint32_t policy = SHMD_OVERWRITE; policy <= SHMD_BLOCK; policy++) {
                struct shmd_reader *r;
                struct shmd_writer *w;
                struct shmd_frame frame;
                struct guest g;

                make_open(conn, 3, 0, policy);
                w = writer(conn, "s");
                r = reader(conn, "s", 0);
                guest_start(&g, socket_path(state), uids[0], 1);
                publish_many(w, 1);
                guest_hold(&g, 0, 1);
                publish_many(w, FRAMES);
                assert_int_equal(shmd_reader_latest(r, &frame), 0);
                publish_many(w, FRAMES);
                assert_int_equal(shmd_reader_release(r), 0);
                guest_release(&g, 0, ESTALE);
                guest_end(&g);
                shmd_reader_close(r);
                shmd_writer_close(w);
                OK(conn, shmd_remove(conn, "s"));
        }
}

/* ---- the dead --------------------------------------------------------------------------------------------------- */

static void test_the_dead(void **state) {
        struct library *l = *state;
        struct shmd *conn = l->conn;
        struct shmd_writer *w;
        struct guest dead, same, other;

        make_open(conn, 4, 0, 0);
        w = writer(conn, "s");
        guest_start(&dead, socket_path(state), uids[0], 1);
        publish_many(w, 1);
        guest_hold(&dead, 0, 1);
        publish_many(w, FRAMES);
        /* The daemon tidies up, and the budget is free again. */
        child_kill(&dead.child);
        expect_users(conn, "s", 1, 0);
        guest_start(&same, socket_path(state), uids[0], 1);
        guest_start(&other, socket_path(state), uids[1], 1);
        guest_start(&dead, socket_path(state), uids[2], 1);
        guest_hold(&same, 0, 1 + FRAMES);
        publish_many(w, FRAMES);
        guest_release(&same, 0, 0);
        /* Without it a dead hold costs what a live one does: a slot, on its own user's account. */
        guest_hold(&dead, 0, 1 + 2 * FRAMES);
        publish_many(w, FRAMES);
        fixture_kill(l->daemon);
        child_kill(&dead.child);
        guest_hold(&other, 0, 1 + 3 * FRAMES);
        publish_many(w, FRAMES);
        guest_hold(&same, 0, 1 + 4 * FRAMES);
        publish_many(w, FRAMES);
        guest_release(&other, 0, 0);
        guest_release(&same, 0, ESTALE);
        guest_end(&same);
        guest_end(&other);
        shmd_writer_close(w);
}

/* ---- liars ------------------------------------------------------------------------------------------------------ */

struct liar {
        struct fixture *daemon;
        uid_t uid;
};

/* Whatever it may write to says that it holds every frame there is. */
static void run_liar(int fd, void *data) {
        const struct liar *l = data;
        static struct wire w;
        struct wire_mapping m;

        become(l->uid);
        wire_open(&w, l->daemon);
        CHILD_EQUAL(wire_open_segment(&w, "s", PROTO_ACCESS_READ, 0, 0), 0);
        wire_map(&m, &w, false);
        CHILD_CHECK(child_tell(fd, 0));
        for (;;) {
                atomic_store(&m.table->used, UINT32_MAX);
                for (uint32_t e = 0; e < LAYOUT_READERS_MAX; e++) {
                        uint32_t slot = e % m.slots.geometry.n_slots;
                        uint64_t is = atomic_load(&slots_slot(&m.slots, slot)->sequence) & ~LAYOUT_CLAIMED;

                        atomic_store(&m.table->reader[e].hold, slots_word(is, slot));
                        atomic_store(&m.table->reader[e].ordered, 1);
                }
        }
}

static void test_liars(void **state) {
        struct library *l = *state;
        struct shmd *conn = l->conn;

        for (uint32_t policy = SHMD_OVERWRITE; policy <= SHMD_BLOCK; policy++) {
                struct liar liar[2];
                struct child child[2];
                struct shmd_writer *w;
                struct shmd_reader *r;
                struct shmd_frame frame;
                struct guest modest;

                make_open(conn, 6, 0, policy);
                w = writer(conn, "s");
                r = reader(conn, "s", 0);
                guest_start(&modest, socket_path(state), uids[2], 1);
                for (unsigned i = 0; i < 2; i++) {
                        liar[i] = (struct liar){ .daemon = l->daemon, .uid = uids[i] };
                        child_start(&child[i], run_liar, &liar[i]);
                        (void)child_expect(&child[i]);
                }
                publish_many(w, 1);
                guest_hold(&modest, 0, 1);
                for (unsigned i = 0; i < 20; i++) {
                        publish_many(w, times(FRAMES));
                        assert_int_equal(shmd_reader_latest(r, &frame), 0);
                        publish_many(w, times(FRAMES));
                        assert_true(is_published(&frame, frame.data));
                        assert_int_equal(shmd_reader_release(r), 0);
                }
                guest_release(&modest, 0, 0);
                for (unsigned i = 0; i < 2; i++)
                        child_kill(&child[i]);
                guest_end(&modest);
                shmd_reader_close(r);
                shmd_writer_close(w);
                OK(conn, shmd_remove(conn, "s"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_each_may_hold_one),
                LIBRARY_TEST(test_a_greedy_one),
                LIBRARY_TEST(test_all_together),
                LIBRARY_TEST(test_two_groups_of_one_user),
                LIBRARY_TEST(test_the_owner_first),
                LIBRARY_TEST(test_the_dead),
                LIBRARY_TEST(test_liars),
        };

        if (geteuid() != 0) {
                (void)fprintf(stderr, "skipped: becoming other users takes root\n");
                return 77;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
