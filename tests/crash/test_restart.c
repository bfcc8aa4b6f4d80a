/*
 * test_restart.c -- the daemon is killed, or replaced, again and again under load: no frame is lost or torn, no wake-up is lost, no call
 * fails, nobody hears of an event that was none, and afterwards nothing is left over: in the daemon, in its clients, in
 * the store.
 *
 * SHMD_TEST_SEED repeats a run as far as the kernel's scheduling lets it; SHMD_TEST_LONG=1 does ten times as much.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/crash/crowd.h"
#include "tests/integration/library.h"
#include "tests/integration/manager.h"

#define MEMBERS_MAX 24
#define VISITORS 3

struct scene {
        struct manager *manager;
        struct shmd *conn;
        struct random random;
        struct tally *lossless; /* of the segment where nothing may be missed */
        struct tally *lossy;
        struct presence *presences;
        struct visits *visits;
        unsigned n;
        struct member members[MEMBERS_MAX];
        struct child children[MEMBERS_MAX];
        struct child visitors[VISITORS];
        int fds;       /* of the daemon, with our connection and nothing else */
        int our_fds;   /* of this process */
        unsigned kept; /* by the manager */
};

static unsigned rounds(unsigned n) {
        const char *more = getenv("SHMD_TEST_LONG");

        return (SANITIZED ? (n + 1) / 2 : n) * (more && atoi(more) > 0 ? 10 : 1);
}

/* ---- clients that open and close -------------------------------------------------------------------------------- */

struct visits {
        _Atomic uint64_t done;
        _Atomic uint64_t failures;
        _Atomic unsigned next; /* visitor */
        char first_failure[200];
        const char *socket;
};

#define VISIT(call)                                                                                              \
        do {                                                                                                     \
                int visit_ = (call);                                                                             \
                if (visit_ < 0) {                                                                                \
                        if (atomic_fetch_add(&v->failures, 1) == 0)                                              \
                                (void)snprintf(v->first_failure, sizeof(v->first_failure), "%s: %d (%s)", #call, \
                                               visit_, shmd_error(conn));                                        \
                        _exit(1);                                                                                \
                }                                                                                                \
        } while (0)

/* Make a segment of one's own, use it, remove it; and look in at the others'. */
static void visit_on(int fd, void *data) {
        struct visits *v = data;
        unsigned number = atomic_fetch_add(&v->next, 1);
        const struct shmd_options options = { .slot_size = 64, .flags = SHMD_EXCLUSIVE };
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_info info;
        struct shmd_frame f;
        struct shmd *conn = NULL;
        char name[32];
        void *p;

        VISIT(shmd_connect(&conn, v->socket));
        (void)child_tell(fd, 0);
        for (unsigned n = 0;; n++) {
                (void)snprintf(name, sizeof(name), "visit/%u/%u", number, n);
                VISIT(shmd_create(conn, name, &options));
                VISIT(shmd_writer_open(&w, conn, name, 0, SOON));
                VISIT(shmd_reader_open(&r, conn, name, 0, SOON));
                VISIT(shmd_writer_begin(w, &p, NULL, SOON));
                VISIT(shmd_writer_flush(w, 8, n));
                VISIT(shmd_reader_next(r, &f));
                VISIT(f.tag == n ? 0 : -1);
                VISIT(shmd_reader_release(r));
                shmd_reader_close(r);
                VISIT(shmd_stat(conn, name, &info));
                VISIT(info.id == shmd_writer_info(w)->id ? 0 : -1);
                shmd_writer_close(w);
                VISIT(shmd_remove(conn, name));
                VISIT(shmd_reader_open(&r, conn, "lossy", 0, SOON));
                VISIT(shmd_reader_wait(r, SOON));
                shmd_reader_close(r);
                if (n % 4 == 0) {
                        shmd_close(conn);
                        VISIT(shmd_connect(&conn, v->socket));
                }
                atomic_fetch_add(&v->done, 1);
        }
}

/* ---- the crowd -------------------------------------------------------------------------------------------------- */

static void add_member(struct scene *s, struct member m) {
        assert_in_range(s->n, 0, MEMBERS_MAX - 1);
        m.socket = manager_socket(s->manager);
        m.seed = random_next(&s->random);
        s->members[s->n] = m;
        child_start(&s->children[s->n], member_run, &s->members[s->n]);
        (void)child_expect(&s->children[s->n]);
        s->n++;
}

static void start_all(struct scene *s) {
        make(s->conn, "lossless", 4000, 8, SHMD_BLOCK);
        make(s->conn, "lossy", 4000, 8, SHMD_OVERWRITE);
        for (unsigned way = WAY_WAIT; way <= WAY_BUSY; way++) {
                add_member(s, (struct member){
                                      .kind = way == WAY_WAIT ? MEMBER_NEXT : MEMBER_COPY_NEXT,
                                      .way = way,
                                      .name = "lossless",
                                      .ordered = true,
                                      .tally = s->lossless,
                              });
                add_member(s, (struct member){
                                      .kind = way == WAY_WAIT ? MEMBER_LATEST : MEMBER_SLOW,
                                      .way = way,
                                      .name = "lossy",
                                      .tally = s->lossy,
                                      .presence = way == WAY_BUSY ? NULL : &s->presences[way],
                              });
        }
        for (unsigned i = 0; i < 2; i++) {
                add_member(s, (struct member){ .kind = MEMBER_WRITER, .name = "lossless", .tally = s->lossless });
                add_member(s, (struct member){
                                      .kind = MEMBER_WRITER,
                                      .name = "lossy",
                                      .tally = s->lossy,
                                      .presences = i ? NULL : s->presences,
                                      .n_presences = 2,
                              });
        }
        s->visits->socket = manager_socket(s->manager);
        for (unsigned i = 0; i < VISITORS; i++) {
                child_start(&s->visitors[i], visit_on, s->visits);
                (void)child_expect(&s->visitors[i]);
        }
}

static void check_tally(const struct tally *t) {
        if (atomic_load(&t->failures))
                fail_msg("%llu members failed, the first: %s", (unsigned long long)atomic_load(&t->failures),
                         t->first_failure);
        assert_int_equal(atomic_load(&t->torn), 0);
        assert_int_equal(atomic_load(&t->out_of_order), 0);
        assert_int_equal(atomic_load(&t->lost), 0);
}

static void check(const struct scene *s) {
        check_tally(s->lossless);
        check_tally(s->lossy);
        assert_int_equal(atomic_load(&s->lossless->missed), 0);
        assert_int_equal(atomic_load(&s->lossless->broken), 0);
        if (atomic_load(&s->visits->failures))
                fail_msg("a visitor failed: %s", s->visits->first_failure);
}

/* Something has happened since, in every part. The numbers decide, not the clock. */
static void wait_for_progress(const struct scene *s) {
        uint64_t written = atomic_load(&s->lossless->written) + 10;
        uint64_t read = atomic_load(&s->lossless->read) + 10;
        uint64_t lossy = atomic_load(&s->lossy->read) + 10;
        uint64_t visits = atomic_load(&s->visits->done) + 1;

        for (int i = 0; i < 60000; i++) {
                check(s);
                if (atomic_load(&s->lossless->written) >= written && atomic_load(&s->lossless->read) >= read &&
                    atomic_load(&s->lossy->read) >= lossy && atomic_load(&s->visits->done) >= visits)
                        return;
                (void)usleep(1000);
        }
        fail_msg("nothing moves: %llu of %llu written, %llu of %llu and %llu of %llu read, %llu of %llu visits",
                 (unsigned long long)atomic_load(&s->lossless->written), (unsigned long long)written,
                 (unsigned long long)atomic_load(&s->lossless->read), (unsigned long long)read,
                 (unsigned long long)atomic_load(&s->lossy->read), (unsigned long long)lossy,
                 (unsigned long long)atomic_load(&s->visits->done), (unsigned long long)visits);
}

static void stop_all(struct scene *s) {
        for (unsigned i = 0; i < VISITORS; i++)
                child_kill(&s->visitors[i]);
        for (unsigned i = 0; i < s->n; i++)
                child_kill(&s->children[i]);
}

/* ---- killing ---------------------------------------------------------------------------------------------------- */

static void restart(struct scene *s, unsigned round) {
        int signal = round % 4 == 3 ? SIGTERM : round % 4 == 2 ? SIGSEGV : SIGKILL;

        (void)usleep((useconds_t)random_below(&s->random, 5000));
        manager_down(s->manager, signal);
        /* Now and then the next one does not even get to serve. */
        for (unsigned i = 0; round % 5 == 4 && i < 3; i++) {
                manager_up_soon(s->manager);
                (void)usleep((useconds_t)random_below(&s->random, 3000));
                manager_down(s->manager, SIGKILL);
        }
        if (round % 3 == 0)
                (void)usleep((useconds_t)random_below(&s->random, 20000));
        manager_up(s->manager);
}

static void replace(struct scene *s, unsigned round) {
        (void)round;
        (void)usleep((useconds_t)random_below(&s->random, 5000));
        assert_int_equal(manager_replace(s->manager, NULL), 0);
}

static void run(struct scene *s, unsigned n, void (*again)(struct scene *s, unsigned round)) {
        start_all(s);
        for (unsigned round = 0; round < n; round++) {
                wait_for_progress(s);
                again(s, round);
        }
        wait_for_progress(s);
        stop_all(s);
        check(s);
        print_message("%u restarts: %llu + %llu frames written, %llu + %llu read, %llu visits\n",
                      manager_starts(s->manager) - 1, (unsigned long long)atomic_load(&s->lossless->written),
                      (unsigned long long)atomic_load(&s->lossy->written),
                      (unsigned long long)atomic_load(&s->lossless->read),
                      (unsigned long long)atomic_load(&s->lossy->read),
                      (unsigned long long)atomic_load(&s->visits->done));
}

static void test_restarts(void **state) { run(*state, rounds(30), restart); }
static int count_one(const struct shmd_info *info, void *data) {
        (void)info;
        ++*(unsigned *)data;
        return 0;
}

/* As many segments as the store takes, and the daemon killed ten times in a row. */
static void test_restarts_largest(void **state) {
        struct scene *s = *state;
        const struct shmd_options options = { .slot_size = 1, .n_slots = 1 };
        unsigned n = 0;
        char name[16];
        int e;

        do {
                (void)snprintf(name, sizeof(name), "%u", n);
                e = shmd_create(s->conn, name, &options);
                n += e == 0;
        } while (e == 0);
        if (e != -ENOSPC || n < 900)
                fail_msg("after %u segments: %d (%s)", n, e, shmd_error(s->conn));
        for (unsigned round = 0; round < 10; round++) {
                unsigned there = 0;

                manager_restart(s->manager, SIGKILL);
                OK(s->conn, shmd_list(s->conn, NULL, count_one, &there));
                assert_int_equal(there, n);
        }
        print_message("%u segments\n", n);
}

static void test_replacements(void **state) { run(*state, rounds(100), replace); }

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static int setup_with(void **state, const struct manager_options *options) {
        struct scene *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        s->random = random_seeded("restart");
        s->lossless = shared_new(sizeof(*s->lossless));
        s->lossy = shared_new(sizeof(*s->lossy));
        s->presences = shared_new(2 * sizeof(*s->presences));
        s->visits = shared_new(sizeof(*s->visits));
        s->manager = manager_start(options);
        OK(s->conn, shmd_connect(&s->conn, manager_socket(s->manager)));
        s->fds = manager_fds(s->manager);
        s->our_fds = fd_count();
        s->kept = manager_count(s->manager);
        *state = s;
        return 0;
}

static int setup(void **state) { return setup_with(state, NULL); }

static int setup_plain(void **state) {
        static const struct manager_options options = { .plain = 1 };

        return setup_with(state, &options);
}

/* After a failure. */
static void give_up_on(struct child *c) {
        if (c->pid <= 0)
                return;
        (void)kill(c->pid, SIGKILL);
        (void)child_reap(c);
}

static int remove_one(const struct shmd_info *info, void *data) {
        memcpy(data, info->name, sizeof(info->name));
        return 1;
}

static int teardown(void **state) {
        struct scene *s = *state;
        char name[SHMD_NAME_MAX + 1];

        for (unsigned i = 0; i < VISITORS; i++)
                give_up_on(&s->visitors[i]);
        for (unsigned i = 0; i < s->n; i++)
                give_up_on(&s->children[i]);
        /* Every segment has lost its users, and only visitors' and ours are there. */
        for (unsigned i = 0; i < s->n; i++)
                expect_users(s->conn, s->members[i].name, 0, 0);
        while (shmd_list(s->conn, NULL, remove_one, name) == 1)
                OK(s->conn, shmd_remove(s->conn, name));
        manager_expect_count(s->manager, s->kept);
        for (int i = 0; manager_fds(s->manager) != s->fds; i++) {
                if (i == 60000)
                        fail_msg("the daemon has %d descriptors, not %d", manager_fds(s->manager), s->fds);
                (void)usleep(1000); /* what it closes late, it closes by itself: only the state tells */
        }
        assert_int_equal(fd_count(), s->our_fds);
        shmd_close(s->conn);
        manager_stop(s->manager);
        (void)munmap(s->lossless, sizeof(*s->lossless));
        (void)munmap(s->lossy, sizeof(*s->lossy));
        (void)munmap(s->presences, 2 * sizeof(*s->presences));
        (void)munmap(s->visits, sizeof(*s->visits));
        free(s);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_restarts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_restarts_largest, setup, teardown),
                cmocka_unit_test_setup_teardown(test_replacements, setup_plain, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
