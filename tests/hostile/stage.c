#define _GNU_SOURCE
#include "tests/hostile/stage.h"

#include <grp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client/shmd.h"

#define SOON 60000       /* ms; what is to come comes long before */
#define FRAMES 10u       /* of one round */
#define MEMORY_MAX 16384 /* KiB that the daemon may have more than at first: what malloc() keeps for the next time */

void stage_become(uid_t uid) {
        CHILD_EQUAL(setgroups(0, NULL), 0);
        CHILD_EQUAL(setresgid(uid, uid, uid), 0);
        CHILD_EQUAL(setresuid(uid, uid, uid), 0);
        /* As after an exec: else /proc would shield it from others of the same uid. */
        CHILD_EQUAL(prctl(PR_SET_DUMPABLE, 1), 0);
        CHILD_EQUAL(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
        /* An assertion that fails ends the child, and not the test that it was forked in. */
        CHILD_EQUAL(setenv("CMOCKA_TEST_ABORT", "1", 1), 0);
}

/* ---- the honest client ------------------------------------------------------------------------------------------ */

#define EXPECT(conn, call)                                                                                          \
        do {                                                                                                        \
                int expect_ = (call);                                                                               \
                if (expect_ < 0) {                                                                                  \
                        (void)fprintf(stderr, "the honest client: %s: %d: %s\n", #call, expect_, shmd_error(conn)); \
                        _exit(1);                                                                                   \
                }                                                                                                   \
        } while (0)

static void one_frame(struct shmd *conn, struct shmd_writer *w, struct shmd_reader *r, unsigned i) {
        struct shmd_frame f;
        void *data;
        int events;

        EXPECT(conn, shmd_writer_begin(w, &data, NULL, SOON));
        memset(data, (int)i, 100);
        EXPECT(conn, shmd_writer_flush(w, 100, i));
        do
                events = shmd_reader_wait(r, SOON);
        while (events > 0 && !(events & SHMD_EVENT_FRAME));
        EXPECT(conn, events);
        EXPECT(conn, shmd_reader_next(r, &f));
        CHILD_EQUAL(f.tag, i);
        CHILD_EQUAL(f.length, 100);
        for (int b = 0; b < 100; b++)
                CHILD_EQUAL(((const unsigned char *)f.data)[b], i & 0xff);
        EXPECT(conn, shmd_reader_release(r));
}

static void one_round(const struct stage *s) {
        const struct shmd_options options = { .slot_size = 100 };
        struct shmd_info info;
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd *conn;

        EXPECT(conn, shmd_connect(&conn, fixture_socket(s->daemon)));
        EXPECT(conn, shmd_create(conn, "honest/a", &options));
        EXPECT(conn, shmd_writer_open(&w, conn, "honest/a", 0, SOON));
        EXPECT(conn, shmd_reader_open(&r, conn, "honest/a", 0, SOON));
        EXPECT(conn, shmd_writer_wait_reader(w, SOON));
        for (unsigned i = 1; i <= FRAMES; i++)
                one_frame(conn, w, r, i);
        EXPECT(conn, shmd_stat(conn, "honest/a", &info));
        CHILD_EQUAL(info.sequence, FRAMES);
        shmd_reader_close(r);
        shmd_writer_close(w);
        EXPECT(conn, shmd_remove(conn, "honest/a"));
        shmd_close(conn);
}

static void be_honest(int fd, void *data) {
        const struct stage *s = data;
        struct pollfd end = { .fd = fd, .events = POLLIN };

        stage_become(UID_HONEST);
        while (poll(&end, 1, 0) == 0) {
                one_round(s);
                atomic_fetch_add(s->rounds, 1);
                (void)usleep(1000); /* it is there to be served, not to take the machine from the attackers */
        }
}

void stage_served(const struct stage *s, unsigned rounds) {
        uint64_t until = atomic_load(s->rounds) + rounds;

        for (int waited = 0; atomic_load(s->rounds) < until; waited++) {
                if (waited > SOON * 2)
                        fail_msg("the honest client is not served any more");
                if (waitpid(s->honest.pid, NULL, WNOHANG) != 0)
                        fail_msg("the honest client has given up");
                if (kill(fixture_pid(s->daemon), 0) < 0)
                        fail_msg("the daemon is gone");
                (void)usleep(1000); /* its rounds decide */
        }
}

/* ---- attackers -------------------------------------------------------------------------------------------------- */

struct part {
        struct stage *stage;
        stage_act act;
        uid_t uid;
};

static void play(int fd, void *data) {
        struct part *part = data;

        stage_become(part->uid);
        /* What the test has open is no business of anybody else. */
        wire_close(&part->stage->root);
        part->act(part->stage, fd);
}

struct child *stage_start(struct stage *s, uid_t uid, stage_act act) {
        struct part part = { .stage = s, .act = act, .uid = uid };
        struct child *c = &s->attackers[s->n_attackers++];

        assert_true(s->n_attackers <= sizeof(s->attackers) / sizeof(s->attackers[0]));
        child_start(c, play, &part);
        return c;
}

void stage_act_as(struct stage *s, uid_t uid, stage_act act) {
        struct child *c = stage_start(s, uid, act);

        child_finish(c);
        s->n_attackers--;
}

struct making {
        const struct stage *stage;
        const char *name;
        struct proto_create *create;
        uid_t uid;
};

static void make(int fd, void *data) {
        struct making *m = data;
        struct wire w;

        (void)fd;
        stage_become(m->uid);
        wire_open(&w, m->stage->daemon);
        CHILD_EQUAL(wire_create_as(&w, m->name, m->create), 0);
        wire_close(&w);
}

void stage_make(struct stage *s, uid_t owner, const char *name, struct proto_create *create) {
        struct making m = { .stage = s, .name = name, .create = create, .uid = owner };
        struct child c;

        child_start(&c, make, &m);
        child_finish(&c);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

int stage_setup_with(void **state, const char *const *arguments) {
        struct stage *s = calloc(1, sizeof(*s));
        struct rlimit limit;

        assert_non_null(s);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        s->fds = fd_count();
        s->daemon = fixture_start_as(UID_DAEMON, arguments);
        s->rounds = mmap(NULL, sizeof(*s->rounds), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(s->rounds != MAP_FAILED);
        child_start(&s->honest, be_honest, s);
        wire_open(&s->root, s->daemon);
        stage_served(s, 3);
        s->memory = fixture_memory(s->daemon);
        *state = s;
        return 0;
}

int stage_setup(void **state) {
        static const char *const arguments[] = { "--log-level", "error", NULL }; /* of each attacker it says a line */

        return stage_setup_with(state, arguments);
}

/* No segments but the test's own, and the honest client's. */
static void expect_no_other_segments(struct stage *s) {
        assert_int_equal(wire_list(&s->root, "", ""), 0);
        for (uint32_t i = 0; i < wire_page(&s->root)->count; i++) {
                const char *name = wire_page(&s->root)->info[i].name;

                if (strncmp(name, "stage/", 6) != 0 && strncmp(name, "honest/", 7) != 0)
                        fail_msg("a segment is left over: %s", name);
        }
}

int stage_teardown(void **state) {
        struct stage *s = *state;
        long more;

        for (unsigned i = 0; i < s->n_attackers; i++)
                if (s->attackers[i].pid)
                        child_kill(&s->attackers[i]);
        stage_served(s, 3);
        assert_true(child_tell(s->honest.fd, 0));
        child_finish(&s->honest);
        expect_no_other_segments(s);
        fixture_expect_idle(s->daemon, 1);
        more = fixture_memory(s->daemon) - s->memory;
        if (more > MEMORY_MAX && !SANITIZED) /* the sanitizers keep what was freed */
                fail_msg("the daemon has %ld KiB more than before", more);
        wire_close(&s->root);
        s->daemon = fixture_stop(s->daemon);
        (void)munmap((void *)(uintptr_t)s->rounds, sizeof(*s->rounds));
        assert_int_equal(fd_count(), s->fds);
        free(s);
        return 0;
}

bool stage_is_long(void) { return getenv("SHMD_TEST_LONG") != NULL; }

int stage_run(const char *name, const struct CMUnitTest *tests, size_t n) {
        if (geteuid() != 0) {
                (void)fprintf(stderr, "%s: skipped: to become other users takes root\n", name);
                return 77;
        }
        return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}
