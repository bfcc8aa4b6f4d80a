/*
 * test_crash.c -- readers and writers are killed at random points, thousands of times: no frame is ever torn, and
 * afterwards nothing is lost: no slot, no entry, no descriptor, no byte of quota.
 *
 * SHMD_TEST_SEED repeats a run as far as the kernel's scheduling lets it; SHMD_TEST_LONG=1 kills twenty times as many.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/resource.h>

#include "proto/layout.h"
#include "tests/crash/crowd.h"
#include "tests/integration/library.h"

#define MEMBERS_MAX 16
#define NAME "victim"

struct variant {
        size_t slot_size;
        uint32_t n_slots;
        uint32_t policy;
        unsigned n_writers;
        unsigned n_readers;
        unsigned kills; /* of each kind, in the normal run */
        bool ordered;
        bool daemon_stops; /* now and then it stands still for a while */
};

struct scene {
        struct library *library;
        const struct variant *v;
        struct random random;
        struct tally *tally;
        struct member members[MEMBERS_MAX];
        struct child children[MEMBERS_MAX];
        unsigned n;
};

static int setup(void **state) {
        /* As much as two of the largest segments here: what is lost of the quota is missed at the end. */
        static const char *const arguments[] = { "--max-segments", "3", "--max-bytes", "16M", NULL };
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        return library_setup_with(state, arguments);
}

static unsigned kills_of(const struct variant *v) {
        const char *more = getenv("SHMD_TEST_LONG");

        return times(v->kills) * (more && atoi(more) > 0 ? 20 : 1);
}

/* ---- the crowd -------------------------------------------------------------------------------------------------- */

static void check_tally(const struct scene *s) {
        const struct tally *t = s->tally;

        if (atomic_load(&t->failures))
                fail_msg("%llu members failed, the first: %s", (unsigned long long)atomic_load(&t->failures),
                         t->first_failure);
        if (atomic_load(&t->torn))
                fail_msg("%llu torn frames of %llu", (unsigned long long)atomic_load(&t->torn),
                         (unsigned long long)atomic_load(&t->read));
        assert_int_equal(atomic_load(&t->out_of_order), 0);
        if (s->v->ordered)
                assert_int_equal(atomic_load(&t->missed), 0);
}

static void start_member(struct scene *s, unsigned i) {
        s->members[i].seed = random_next(&s->random);
        child_start(&s->children[i], member_run, &s->members[i]);
}

/* Whatever it is doing, also still opening. */
static void kill_member(struct scene *s, unsigned i) {
        int status;

        assert_return_code(kill(s->children[i].pid, SIGKILL), errno);
        status = child_reap(&s->children[i]);
        if (!WIFSIGNALED(status)) {
                check_tally(s);
                fail_msg("a member ended by itself with status 0x%x", (unsigned)status);
        }
}

static void start_all(struct scene *s) {
        s->n = s->v->n_writers + s->v->n_readers;
        assert_in_range(s->n, 1, MEMBERS_MAX);
        for (unsigned i = 0; i < s->n; i++) {
                s->members[i] = (struct member){
                        .kind = i < s->v->n_writers
                                        ? MEMBER_WRITER
                                        : MEMBER_LATEST + (i - s->v->n_writers) % (MEMBER_KINDS - MEMBER_LATEST),
                        .socket = fixture_socket(s->library->daemon),
                        .name = NAME,
                        .tally = s->tally,
                };
                s->members[i].ordered =
                        s->v->ordered && (s->members[i].kind == MEMBER_NEXT || s->members[i].kind == MEMBER_COPY_NEXT);
                start_member(s, i);
        }
        for (unsigned i = 0; i < s->n; i++)
                (void)child_expect(&s->children[i]);
}

static void kill_at_random(struct scene *s, unsigned kills) {
        unsigned writers = kills, readers = kills;
        bool stopped = false;

        while (writers || readers) {
                bool writer = readers == 0 || (writers && random_below(&s->random, 2));
                unsigned i = writer ? (unsigned)random_below(&s->random, s->v->n_writers)
                                    : s->v->n_writers + (unsigned)random_below(&s->random, s->v->n_readers);
                bool wait = !stopped && random_below(&s->random, 4) != 0;

                /* Usually a member gets to do something, now and then it dies while it opens. Nobody waits for the
                 * random while to have an effect: it only spreads the moments. */
                (void)usleep((useconds_t)random_below(&s->random, 2000));
                kill_member(s, i);
                if (s->v->daemon_stops && !stopped && random_below(&s->random, 20) == 0) {
                        fixture_pause(s->library->daemon);
                        stopped = true;
                } else if (stopped && random_below(&s->random, 3) == 0) {
                        fixture_resume(s->library->daemon);
                        stopped = false;
                }
                start_member(s, i);
                if (wait && !stopped)
                        (void)child_expect(&s->children[i]);
                *(writer ? &writers : &readers) -= 1;
        }
        if (stopped)
                fixture_resume(s->library->daemon);
}

/* ---- afterwards ------------------------------------------------------------------------------------------------- */

static void expect_fds(const struct scene *s, int number) {
        int n = -1;

        for (int i = 0; i < 60000; i++) {
                n = fixture_fds(s->library->daemon);
                if (n == number)
                        return;
                (void)usleep(1000); /* connections that have just been closed; the number decides */
        }
        fail_msg("the daemon has %d descriptors, not %d", n, number);
}

/* Every slot is usable: so many readers hold a frame each, and the writer goes round and round. */
static void check_slots(const struct scene *s) {
        struct shmd *conn = s->library->conn;
        unsigned n = s->v->n_slots > 2 ? s->v->n_slots - 2 : 0;
        struct shmd_reader *readers[MEMBERS_MAX];
        struct shmd_writer *w = writer(conn, NAME);
        struct shmd_frame f;

        assert_true(n <= MEMBERS_MAX);
        for (unsigned i = 0; i < n; i++) {
                readers[i] = reader(conn, NAME, 0);
                publish(w, 16, i);
                assert_int_equal(shmd_reader_latest(readers[i], &f), 0);
        }
        for (unsigned i = 0; i < 20 * s->v->n_slots; i++) {
                void *data;

                assert_int_equal(shmd_writer_begin(w, &data, NULL, 0), 0); /* no waiting, whatever the policy */
                assert_int_equal(shmd_writer_flush(w, 0, 0), 0);
        }
        for (unsigned i = 0; i < n; i++) {
                assert_int_equal(shmd_reader_release(readers[i]), 0);
                shmd_reader_close(readers[i]);
        }
        shmd_writer_close(w);
        expect_users(conn, NAME, 0, 0);
}

/* Every entry of the first group of readers, and every writer's, can be had. A group has a table and a bell and, where
 * writers wait for it, one more bell: a second group would be seen. Of a segment that is open the daemon has a second
 * description. */
static void check_entries(const struct scene *s, int idle) {
        static struct shmd_reader *readers[LAYOUT_READERS_MAX];
        static struct shmd_writer *writers[LAYOUT_WRITERS_MAX];
        struct shmd *conn = s->library->conn;
        int n = 0;

        for (unsigned i = 0; i < LAYOUT_READERS_MAX; i++)
                readers[i] = reader(conn, NAME, 0);
        expect_fds(s, idle + (s->v->policy == SHMD_BLOCK ? 4 : 3) + LAYOUT_READERS_MAX);
        for (unsigned i = 0; i < LAYOUT_READERS_MAX; i++)
                shmd_reader_close(readers[i]);
        expect_users(conn, NAME, 0, 0);

        while (n < LAYOUT_WRITERS_MAX && shmd_writer_open(&writers[n], conn, NAME, 0, SOON) == 0)
                n++;
        assert_true(n >= LAYOUT_WRITERS_MAX - 1); /* the daemon may keep one for itself */
        publish(writers[n - 1], 16, 1);
        while (n > 0)
                shmd_writer_close(writers[--n]);
        expect_users(conn, NAME, 0, 0);
}

static void check_quota(const struct scene *s) {
        struct shmd *conn = s->library->conn;

        make(conn, "quota/0", 7 << 20, 1, 0);
        make(conn, "quota/1", 7 << 20, 1, 0);
        make(conn, "quota/2", 1 << 20, 1, 0);
        for (char *name = (char[]){ "quota/0" }; name[6] < '3'; name[6]++)
                OK(conn, shmd_remove(conn, name));
}

static void crash(void **state, const struct variant *v) {
        struct scene s = {
                .library = *state,
                .v = v,
                .random = random_seeded("crash"),
                .tally = shared_new(sizeof(struct tally)),
        };
        struct shmd *conn = connection(state);
        struct fixture *daemon = s.library->daemon;
        int fds = fixture_fds(daemon);
        long memory;

        make(conn, NAME, v->slot_size, v->n_slots, v->policy);
        start_all(&s);
        kill_at_random(&s, kills_of(v) / 10);
        memory = fixture_memory(daemon);
        kill_at_random(&s, kills_of(v) - kills_of(v) / 10);
        if (!SANITIZED && fixture_memory(daemon) > memory + 1024)
                fail_msg("the daemon has grown from %ld to %ld KiB", memory, fixture_memory(daemon));
        for (unsigned i = 0; i < s.n; i++)
                kill_member(&s, i);
        check_tally(&s);
        print_message("%llu frames written, %llu read, %llu holds broken\n",
                      (unsigned long long)atomic_load(&s.tally->written),
                      (unsigned long long)atomic_load(&s.tally->read),
                      (unsigned long long)atomic_load(&s.tally->broken));
        /* Slots enough for all who hold: the dead do not count. */
        if (v->n_slots >= v->n_readers + 2)
                assert_int_equal(atomic_load(&s.tally->broken), 0);
        assert_true(atomic_load(&s.tally->written) > v->kills);
        assert_true(atomic_load(&s.tally->read) > v->kills);
        assert_return_code(munmap(s.tally, sizeof(*s.tally)), errno);

        expect_users(conn, NAME, 0, 0);
        expect_fds(&s, fds + 1); /* the segment's; its groups go with their last reader */
        check_slots(&s);
        check_entries(&s, fds + 1);
        OK(conn, shmd_remove(conn, NAME));
        expect_fds(&s, fds);
        check_quota(&s);
        fixture_expect_idle(daemon, 1);
}

static void test_overwrite(void **state) {
        crash(state, &(struct variant){
                             .slot_size = 65536,
                             .n_slots = 7,
                             .policy = SHMD_OVERWRITE,
                             .n_writers = 1,
                             .n_readers = 5,
                             .kills = 500,
                     });
}

static void test_few_slots(void **state) {
        crash(state, &(struct variant){
                             .slot_size = 65536,
                             .n_slots = 3,
                             .policy = SHMD_OVERWRITE,
                             .n_writers = 2,
                             .n_readers = 5,
                             .kills = 500,
                     });
}

static void test_block(void **state) {
        crash(state, &(struct variant){
                             .slot_size = 16384,
                             .n_slots = 3,
                             .policy = SHMD_BLOCK,
                             .n_writers = 2,
                             .n_readers = 5,
                             .kills = 500,
                             .ordered = true,
                     });
}

static void test_one_slot(void **state) {
        crash(state, &(struct variant){
                             .slot_size = 65536,
                             .n_slots = 1,
                             .policy = SHMD_OVERWRITE,
                             .n_writers = 2,
                             .n_readers = 4,
                             .kills = 500,
                     });
}

/* Without the daemon's help the dead are found by those who wait for them. */
static void test_block_daemon_stops(void **state) {
        crash(state, &(struct variant){
                             .slot_size = 4096,
                             .n_slots = 4,
                             .policy = SHMD_BLOCK,
                             .n_writers = 2,
                             .n_readers = 5,
                             .kills = 250,
                             .ordered = true,
                             .daemon_stops = true,
                     });
}

/* Its argument picks tests by name. */
int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_overwrite, setup, library_teardown),
                cmocka_unit_test_setup_teardown(test_few_slots, setup, library_teardown),
                cmocka_unit_test_setup_teardown(test_block, setup, library_teardown),
                cmocka_unit_test_setup_teardown(test_one_slot, setup, library_teardown),
                cmocka_unit_test_setup_teardown(test_block_daemon_stops, setup, library_teardown),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
