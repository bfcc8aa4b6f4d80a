/*
 * test_mute.c -- peers that stop reading, in the middle of each kind of reply and notice: nothing piles up, and they keep
 * nobody waiting.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "proto/cleanup.h"
#include "tests/hostile/stage.h"

#define SENT_MAX 3000 /* more than any socket takes */

static int make_some(void **state) {
        int r = stage_setup(state);

        /* As many as fill several pages of a list. */
        for (int i = 0; r == 0 && i < 120; i++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "stage/%03d", i);
                assert_int_equal(wire_create_as(&((struct stage *)*state)->root, name,
                                                &(struct proto_create){ .slot_size = 10, .mode = 0666 }),
                                 0);
        }
        return r;
}

static uint16_t op;
static bool fails; /* the request, so that the reply is an error */

static size_t request(struct wire *w, union proto_any *m) {
        const char *name = fails ? "stage/none" : "stage/001";

        memset(m, 0, sizeof(*m));
        if (op == PROTO_OP_STAT)
                (void)snprintf(m->stat.name, sizeof(m->stat.name), "%s", name);
        if (op == PROTO_OP_CHMOD)
                (void)snprintf(m->chmod.name, sizeof(m->chmod.name), "%s", name);
        if (op == PROTO_OP_CHOWN)
                (void)snprintf(m->chown.name, sizeof(m->chown.name), "%s", name);
        if (op == PROTO_OP_REMOVE)
                (void)snprintf(m->remove.name, sizeof(m->remove.name), "%s", fails ? name : "stage/remove");
        if (op == PROTO_OP_CREATE)
                (void)snprintf(m->create.name, sizeof(m->create.name), "%s", fails ? "//" : "stage/001");
        wire_header(w, m, op, 0);
        return m->header.size;
}

/* Requests until the daemon takes no more; half of those who ask so go then, the others read at last. */
static void ask_and_not_read(struct stage *s, int fd) {
        static struct wire w[8];
        unsigned sent[8] = { 0 };
        uint64_t go;

        for (int i = 0; i < 8; i++) {
                union proto_any m;
                struct pollfd p;

                wire_open(&w[i], s->daemon);
                p = (struct pollfd){ .fd = w[i].socket, .events = POLLOUT };
                /* Until nothing moves any more, which it shows by not taking a request for a while. */
                while (sent[i] < SENT_MAX && poll(&p, 1, 50) == 1 &&
                       packet_send(w[i].socket, &m, request(&w[i], &m), NULL, 0) == 0)
                        sent[i]++;
                CHILD_CHECK(sent[i] < SENT_MAX);
        }
        (void)child_tell(fd, 0);
        CHILD_CHECK(child_hear(fd, &go));
        for (int i = 0; i < 8; i++) {
                for (unsigned n = 0; i % 2 && n < sent[i]; n++) {
                        (void)wire_reply(&w[i]);
                        CHILD_EQUAL(w[i].in.any.header.op, op);
                        CHILD_EQUAL(w[i].in.any.header.serial, n + 2); /* after the hello's */
                }
                wire_close(&w[i]);
        }
}

static void mute(struct stage *s, uint16_t what, bool failing) {
        struct child *c;

        op = what;
        fails = failing;
        c = stage_start(s, UID_STRANGER, ask_and_not_read);
        (void)child_expect(c);
        stage_served(s, 3);
        (void)child_tell(c->fd, 0);
        child_finish(c);
        s->n_attackers--;
}

static void test_replies_that_nobody_reads(void **state) {
        static const uint16_t ops[] = { PROTO_OP_CREATE, PROTO_OP_STAT,  PROTO_OP_LIST,
                                        PROTO_OP_REMOVE, PROTO_OP_CHMOD, PROTO_OP_CHOWN };

        for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
                for (int failing = 0; failing < 2; failing++)
                        mute(*state, ops[i], failing);
}

/* ---- descriptors under way -------------------------------------------------------------------------------------- */

/* Each has its segment's descriptors under way, and never takes them. */
static void open_and_not_read(struct stage *s, int fd) {
        static struct wire w[200];
        uint64_t go;

        for (int i = 0; i < 200; i++) {
                wire_open(&w[i], s->daemon);
                wire_open_send(&w[i], STAGE_SEGMENT, i % 2 ? PROTO_ACCESS_READ : PROTO_ACCESS_WRITE, 0, 0);
        }
        for (int i = 0; i < 200; i++) {
                struct pollfd p = { .fd = w[i].socket, .events = POLLIN };

                CHILD_EQUAL(poll(&p, 1, CHILD_PATIENCE_MS), 1);
        }
        (void)child_tell(fd, 0);
        CHILD_CHECK(child_hear(fd, &go));
}

static void test_openings_that_nobody_reads(void **state) {
        struct proto_create m = { .slot_size = 100, .mode = 0666, .policy = PROTO_POLICY_BLOCK };
        struct stage *s = *state;
        struct child *c;

        stage_make(s, UID_OWNER, STAGE_SEGMENT, &m);
        c = stage_start(s, UID_WRITER, open_and_not_read);
        (void)child_expect(c);
        stage_served(s, 5);
        (void)child_tell(c->fd, 0);
        child_finish(c);
        wire_expect_users(&s->root, STAGE_SEGMENT, 0, 0);
}

/* ---- notices ---------------------------------------------------------------------------------------------------- */

static uint32_t access_of_the_mute;

static void open_and_not_listen(struct stage *s, int fd) {
        struct wire w;

        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, access_of_the_mute, 0, 0), 0);
        (void)child_tell(fd, 0);
        (void)pause();
}

static void come_and_go(struct stage *s, int fd) {
        (void)fd;
        for (int i = 0; i < 1000; i++) {
                struct wire w;

                wire_open(&w, s->daemon);
                CHILD_EQUAL(wire_open_segment(&w, STAGE_SEGMENT, i % 2 ? PROTO_ACCESS_READ : PROTO_ACCESS_WRITE, 0, 0),
                            0);
                wire_close(&w);
        }
}

static void test_states_that_nobody_reads(void **state) {
        struct proto_create m = { .slot_size = 100, .mode = 0666 };
        struct stage *s = *state;

        stage_make(s, UID_OWNER, STAGE_SEGMENT, &m);
        access_of_the_mute = PROTO_ACCESS_READ;
        (void)child_expect(stage_start(s, UID_READER, open_and_not_listen));
        access_of_the_mute = PROTO_ACCESS_WRITE;
        (void)child_expect(stage_start(s, UID_WRITER, open_and_not_listen));
        stage_act_as(s, UID_OWNER, come_and_go);
        stage_served(s, 5);
}

static int outcome;

static void open_as_another(struct stage *s, int fd) {
        struct wire w;

        wire_open(&w, s->daemon);
        outcome = wire_open_segment(&w, STAGE_SEGMENT, PROTO_ACCESS_READ, 0, 0);
        CHILD_CHECK(outcome == 0 || outcome == -EBUSY);
        if (outcome)
                wire_assert_text(&w, "writer", "does not read");
        (void)child_tell(fd, (uint64_t)-outcome);
        wire_close(&w);
}

static uint64_t open_by(struct stage *s, uid_t uid) {
        struct child *c = stage_start(s, uid, open_as_another);
        uint64_t error = child_expect(c);

        child_finish(c);
        s->n_attackers--;
        return error;
}

/* A writer can keep readers of new uids away from its own segment (this is said); nobody else, and not for longer than it
 * lives. */
static void test_groups_that_nobody_reads(void **state) {
        struct proto_create m = { .slot_size = 100, .mode = 0666 };
        struct stage *s = *state;
        struct child *mute_writer;
        unsigned n = 0;

        stage_make(s, UID_OWNER, STAGE_SEGMENT, &m);
        access_of_the_mute = PROTO_ACCESS_WRITE;
        mute_writer = stage_start(s, UID_WRITER, open_and_not_listen);
        (void)child_expect(mute_writer);
        while (n < 64 && open_by(s, UID_STRANGER + n) == 0)
                n++;
        assert_in_range(n, 1, 63);
        stage_served(s, 5);
        assert_int_equal(open_by(s, UID_STRANGER), 0); /* its group is known */
        child_kill(mute_writer);
        wire_expect_users(&s->root, STAGE_SEGMENT, 0, 0);
        assert_int_equal(open_by(s, UID_STRANGER + n), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, make_some, stage_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_replies_that_nobody_reads),
                TEST(test_openings_that_nobody_reads),
                TEST(test_states_that_nobody_reads),
                TEST(test_groups_that_nobody_reads),
        };

        return STAGE_RUN(tests);
}
