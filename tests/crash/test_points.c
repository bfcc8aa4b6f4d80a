/*
 * test_points.c -- a reader or a writer is killed at every step that it takes, in turn: before each access to the shared
 * memory and before each system call, from connecting to closing. After each death, with the daemon's help or without
 * it, a writer finds a slot, what a reader gets is whole, and nothing of the dead one is left.
 */
#define _GNU_SOURCE
#include "tests/crash/crowd.h"
#include "tests/crash/points.h"
#include "tests/integration/library.h"

#define NAME "victim"
#define SLOT_SIZE 256
#define POINTS_MAX 5000 /* of a job: more means that it goes round and round */
#define STEP (SANITIZED ? 3 : 1)

struct variant {
        uint32_t n_slots;
        uint32_t policy;
        bool daemon_away; /* from after opening until those who are left have got on */
};

/* ---- those who are killed --------------------------------------------------------------------------------------- */

struct victim {
        const char *socket;
        const struct variant *v;
        bool reads;
        uint64_t at;
};

static void fill_and_flush(struct shmd_writer *w, struct random *random) {
        void *data;
        size_t size;

        CHILD_EQUAL(shmd_writer_begin(w, &data, &size, SOON), 0);
        CHILD_EQUAL(shmd_writer_flush(w, frame_fill(data, size, random), 0), 0);
}

static void write_some(struct shmd_writer *w) {
        struct random random = { 1 };
        void *data;

        for (unsigned i = 0; i < 3; i++)
                fill_and_flush(w, &random);
        CHILD_EQUAL(shmd_writer_begin(w, &data, NULL, SOON), 0);
        memset(data, 0xee, SLOT_SIZE);
        CHILD_EQUAL(shmd_writer_cancel(w), 0);
        if (shmd_writer_info(w)->n_slots == 1) /* torn until now */
                fill_and_flush(w, &random);
}

static void read_some(struct shmd_reader *r) {
        char buffer[SLOT_SIZE];
        struct shmd_frame f;
        int e;

        CHILD_CHECK(shmd_reader_latest(r, &f) >= 0);
        CHILD_EQUAL(shmd_reader_release(r), 0);
        do
                e = shmd_reader_copy(r, SHMD_NEXT, buffer, sizeof(buffer), &f);
        while (e == 0);
        CHILD_EQUAL(e, -EAGAIN);
        CHILD_CHECK(shmd_reader_arm(r) >= 0);
        CHILD_CHECK(shmd_reader_wait(r, 1) >= 0);
}

/* With the daemon away only what comes after opening is counted, since opening takes the daemon. */
static void victim_run(int fd, void *data) {
        const struct victim *victim = data;
        const bool away = victim->v->daemon_away;
        const unsigned flags = SHMD_FROM_OLDEST | SHMD_ORDERED;
        struct shmd_reader *r = NULL;
        struct shmd_writer *w = NULL;
        struct shmd *conn;
        uint64_t go;

        points_kill_at(away ? 0 : victim->at);
        CHILD_EQUAL(shmd_connect(&conn, victim->socket), 0);
        if (victim->reads)
                CHILD_EQUAL(shmd_reader_open(&r, conn, NAME, flags, SOON), 0);
        else
                CHILD_EQUAL(shmd_writer_open(&w, conn, NAME, 0, SOON), 0);
        if (away) {
                CHILD_CHECK(child_tell(fd, 0) && child_hear(fd, &go));
                points_kill_at(victim->at);
        }
        if (r)
                read_some(r);
        else
                write_some(w);
        shmd_reader_close(r);
        shmd_writer_close(w);
        shmd_close(conn);
}

/* ---- those who are left ----------------------------------------------------------------------------------------- */

struct scene {
        struct library *library;
        const struct variant *v;
        struct random random;
        struct shmd_writer *w;
        struct shmd_reader *r;
        uint64_t last; /* sequence of the frame taken last */
};

static void take(struct scene *s, const struct shmd_frame *f, const void *data) {
        assert_true(f->sequence > s->last);
        s->last = f->sequence;
        assert_true(frame_is_whole(data, f->length));
}

/* Everything that is there is whole. */
static void read_on(struct scene *s) {
        struct shmd_frame f;
        int e;

        while ((e = shmd_reader_next(s->r, &f)) == 0) {
                take(s, &f, f.data);
                assert_int_equal(shmd_reader_release(s->r), 0);
        }
        assert_true(e == -EAGAIN || (e == -EOWNERDEAD && s->v->n_slots == 1));
}

/* Twice round, so that every slot is had. */
static void write_on(struct scene *s) {
        for (unsigned i = 0; i < 2 * s->v->n_slots; i++) {
                uint64_t before = s->last;
                void *data;
                size_t size;

                assert_int_equal(shmd_writer_begin(s->w, &data, &size, SOON), 0);
                assert_int_equal(shmd_writer_flush(s->w, frame_fill(data, size, &s->random), 0), 0);
                read_on(s);
                assert_true(s->last > before);
                assert_int_equal(s->last, shmd_writer_sequence(s->w));
        }
}

/* Return: true if it was killed; false: it has no such point. */
static bool kill_one(struct scene *s, struct victim *victim) {
        struct fixture *daemon = s->library->daemon;
        struct child c;
        int status;

        child_start(&c, victim_run, victim);
        if (s->v->daemon_away) {
                assert_int_equal(child_expect(&c), 0);
                /* It has answered us after it has closed what it sent to the child, with the child's sign of life. */
                expect_users(s->library->conn, NAME, victim->reads ? 1 : 2, victim->reads ? 2 : 1);
                fixture_pause(daemon);
                assert_true(child_tell(c.fd, 0));
        }
        status = child_reap(&c);
        read_on(s);
        write_on(s);
        if (s->v->daemon_away)
                fixture_resume(daemon);
        expect_users(s->library->conn, NAME, 1, 1);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
                return true;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                fail_msg("point %llu: a child ended with status 0x%x", (unsigned long long)victim->at,
                         (unsigned)status);
        return false;
}

static void kill_at_each(void **state, const struct variant *v) {
        struct scene s = { .library = *state, .v = v, .random = random_seeded("points") };
        struct shmd *conn = s.library->conn;

        make(conn, NAME, SLOT_SIZE, v->n_slots, v->policy);
        s.w = writer(conn, NAME);
        s.r = reader(conn, NAME, SHMD_FROM_OLDEST);
        write_on(&s);
        for (int reads = 0; reads < 2; reads++) {
                struct victim victim = { .socket = fixture_socket(s.library->daemon), .v = v, .reads = reads, .at = 1 };

                while (kill_one(&s, &victim)) {
                        victim.at += STEP;
                        assert_true(victim.at < POINTS_MAX);
                }
                print_message("a %s has %llu points\n", reads ? "reader" : "writer", (unsigned long long)victim.at - 1);
                assert_true(victim.at > 20);
        }
        shmd_reader_close(s.r);
        shmd_writer_close(s.w);
        expect_users(conn, NAME, 0, 0);
}

static void test_overwrite(void **state) {
        kill_at_each(state, &(struct variant){ .n_slots = 4, .policy = SHMD_OVERWRITE });
}

static void test_overwrite_daemon_away(void **state) {
        kill_at_each(state, &(struct variant){ .n_slots = 4, .policy = SHMD_OVERWRITE, .daemon_away = true });
}

static void test_block(void **state) { kill_at_each(state, &(struct variant){ .n_slots = 3, .policy = SHMD_BLOCK }); }

static void test_block_daemon_away(void **state) {
        kill_at_each(state, &(struct variant){ .n_slots = 3, .policy = SHMD_BLOCK, .daemon_away = true });
}

static void test_one_slot(void **state) {
        kill_at_each(state, &(struct variant){ .n_slots = 1, .policy = SHMD_OVERWRITE });
}

static void test_one_slot_daemon_away(void **state) {
        kill_at_each(state, &(struct variant){ .n_slots = 1, .policy = SHMD_OVERWRITE, .daemon_away = true });
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_overwrite), LIBRARY_TEST(test_overwrite_daemon_away),
                LIBRARY_TEST(test_block),     LIBRARY_TEST(test_block_daemon_away),
                LIBRARY_TEST(test_one_slot),  LIBRARY_TEST(test_one_slot_daemon_away),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
