/*
 * test_requests.c -- every request, every way in which it can end, and every limit at its edge; and what the descriptors
 * that come with a reply can do and cannot do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/cleanup.h"
#include "tests/child.h"
#include "tests/integration/wire.h"
#include "tests/support.h"

#define WIRES 8
#define SOMEBODY 65534u

struct requests {
        struct fixture *daemon;
        struct wire wire[WIRES]; /* the first is connected */
        struct wire *many;
        unsigned n_many;
        int fds;
};

static struct requests *requests_new(const char *const *arguments) {
        struct requests *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        t->fds = fd_count();
        t->daemon = fixture_start(arguments);
        for (int i = 0; i < WIRES; i++)
                wire_init(&t->wire[i], -1);
        wire_open(&t->wire[0], t->daemon);
        return t;
}

static int setup(void **state) {
        *state = requests_new(NULL);
        return 0;
}

/* A daemon with other limits than the usual ones. */
static struct requests *restart(void **state, const char *const *arguments) {
        struct requests *t = *state;

        wire_close(&t->wire[0]);
        t->daemon = fixture_stop(t->daemon);
        t->daemon = fixture_start(arguments);
        wire_open(&t->wire[0], t->daemon);
        return t;
}

static int teardown(void **state) {
        struct requests *t = *state;
        int fds = t->fds;

        for (int i = 0; i < WIRES; i++)
                wire_close(&t->wire[i]);
        for (unsigned i = 0; i < t->n_many; i++)
                wire_close(&t->many[i]);
        free(t->many);
        t->daemon = fixture_stop(t->daemon);
        free(t);
        assert_int_equal(fd_count(), fds);
        return 0;
}

#define ARGUMENTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Another connection. */
static struct wire *another(struct requests *t, int i) {
        wire_close(&t->wire[i]);
        wire_open(&t->wire[i], t->daemon);
        return &t->wire[i];
}

static struct wire *many(struct requests *t, unsigned n) {
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        t->many = calloc(n, sizeof(*t->many));
        assert_non_null(t->many);
        for (; t->n_many < n; t->n_many++)
                wire_open(&t->many[t->n_many], t->daemon);
        return t->many;
}

static const struct proto_info *info(struct wire *w, const char *name) {
        assert_int_equal(wire_stat(w, name), 0);
        return &w->in.any.stat_reply.info;
}

/* ---- hello ------------------------------------------------------------------------------------------------------ */

static void test_hello(void **state) {
        struct requests *t = *state;
        struct wire *w = &t->wire[1];

        wire_init(w, wire_socket(fixture_socket(t->daemon)));
        assert_int_equal(wire_hello(w, ""), 0);
        assert_int_equal(w->in.any.header.size, sizeof(struct proto_welcome));
        assert_int_equal(w->in.any.welcome.layout_version, LAYOUT_VERSION);
        assert_non_null(strstr(w->in.any.welcome.daemon, "shmd"));
        assert_int_equal(w->packet.n_fds, 0);
}

/* ---- create ----------------------------------------------------------------------------------------------------- */

static void test_create_defaults(void **state) {
        struct requests *t = *state;
        struct wire *w = &t->wire[0];
        const struct proto_info *i;
        uint64_t id;

        assert_int_equal(wire_create(w, "a", 1000, 0), 0);
        assert_int_equal(w->in.any.created.existed, 0);
        id = w->in.any.created.id;
        i = info(w, "a");
        assert_int_equal(i->id, id);
        assert_int_equal(i->slot_size, 1000);
        assert_int_equal(i->n_slots, PROTO_SLOTS_DEFAULT);
        assert_int_equal(i->policy, PROTO_POLICY_OVERWRITE);
        assert_int_equal(i->foreign_holds, PROTO_HOLDS_DEFAULT);
        assert_int_equal(i->mode, PROTO_MODE_DEFAULT);
        assert_int_equal(i->segment_flags, 0);
        assert_int_equal(i->uid, getuid());
        assert_int_equal(i->gid, getgid());
        assert_int_equal(i->bytes, 8192);
        assert_int_equal(i->allocated, i->bytes);
        assert_int_equal(i->sequence, 0);
        assert_int_equal(i->timestamp, 0);
        assert_true(i->created > UINT64_C(1000000000) * 1000000000);
        assert_int_equal(i->readers, 0);
        assert_int_equal(i->writers, 0);
        assert_string_equal(i->name, "a");
        assert_string_equal(i->type, "");

        /* Once more: it is there, and nothing contradicts it. */
        assert_int_equal(wire_create(w, "a", 0, 0), 0);
        assert_int_equal(w->in.any.created.existed, 1);
        assert_int_equal(w->in.any.created.id, id);
        assert_int_equal(wire_create(w, "a", 1000, PROTO_SLOTS_DEFAULT), 0);
        assert_int_equal(w->in.any.created.existed, 1);

        /* A number is never used again. */
        assert_int_equal(wire_remove(w, "a"), 0);
        assert_int_equal(wire_create(w, "a", 1000, 0), 0);
        assert_int_equal(w->in.any.created.existed, 0);
        assert_true(w->in.any.created.id != id);
}

static void test_create_everything(void **state) {
        struct requests *t = *state;
        struct wire *w = &t->wire[0];
        const struct proto_info *i;
        struct proto_create m = {
                .slot_size = 6220800,
                .n_slots = 3,
                .mode = 0664,
                .policy = PROTO_POLICY_BLOCK,
                .segment_flags = PROTO_SEGMENT_SPARSE,
                .flags = PROTO_CREATE_EXCLUSIVE,
                .foreign_holds = PROTO_HOLDS_NONE,
                .type = "uint8[1080,1920,3]",
        };

        assert_int_equal(wire_create_as(w, "cam/0.raw_x-y", &m), 0);
        i = info(w, "cam/0.raw_x-y");
        assert_int_equal(i->slot_size, 6220800);
        assert_int_equal(i->n_slots, 3);
        assert_int_equal(i->mode, 0664);
        assert_int_equal(i->policy, PROTO_POLICY_BLOCK);
        assert_int_equal(i->segment_flags, PROTO_SEGMENT_SPARSE);
        assert_int_equal(i->foreign_holds, 0);
        assert_string_equal(i->type, "uint8[1080,1920,3]");
        assert_true(i->allocated < i->bytes / 2);
        assert_int_equal(wire_create_as(w, "cam/0.raw_x-y", &m), -EEXIST);
        wire_assert_text(w, "cam/0.raw_x-y", "exists");
}

static void test_create_contradictions(void **state) {
        struct requests *t = *state;
        struct wire *w = &t->wire[0];
        const struct proto_create there = {
                .slot_size = 1000,
                .n_slots = 4,
                .mode = 0640,
                .policy = PROTO_POLICY_OVERWRITE,
                .type = "uint8[10]",
        };
        struct proto_create m = there;

        assert_int_equal(wire_create_as(w, "a", &m), 0);
        m = there;
        assert_int_equal(wire_create_as(w, "a", &m), 0);
        m.slot_size = 1001;
        assert_int_equal(wire_create_as(w, "a", &m), -EEXIST);
        wire_assert_text(w, "slot size", "1000", "1001");
        m = there;
        m.n_slots = 5;
        assert_int_equal(wire_create_as(w, "a", &m), -EEXIST);
        wire_assert_text(w, "slots", "4", "5");
        m = there;
        m.mode = 0600;
        assert_int_equal(wire_create_as(w, "a", &m), -EEXIST);
        wire_assert_text(w, "mode", "0640", "0600");
        m = there;
        m.policy = PROTO_POLICY_BLOCK;
        assert_int_equal(wire_create_as(w, "a", &m), -EEXIST);
        wire_assert_text(w, "policy", "overwrite", "block");
        m = there;
        m.foreign_holds = 1;
        assert_int_equal(wire_create_as(w, "a", &m), 0);
        m.foreign_holds = 7;
        assert_int_equal(wire_create_as(w, "a", &m), -EEXIST);
        wire_assert_text(w, "foreign holds", "has 1", "want 7");
        m.foreign_holds = PROTO_HOLDS_NONE;
        assert_int_equal(wire_create_as(w, "a", &m), -EEXIST);
        wire_assert_text(w, "foreign holds", "has 1", "want 0");
        m = there;
        m.segment_flags = PROTO_SEGMENT_EPHEMERAL;
        assert_int_equal(wire_create_as(w, "a", &m), -EEXIST);
        wire_assert_text(w, "flags", "ephemeral");
        m = there;
        (void)strcpy(m.type, "int16[5]");
        assert_int_equal(wire_create_as(w, "a", &m), -EEXIST);
        wire_assert_text(w, "type", "uint8[10]", "int16[5]");
        /* All of it at once, with types that fill the sentence. */
        memset(m.type, 'y', PROTO_TYPE_MAX);
        m.slot_size = UINT64_MAX;
        m.n_slots = UINT32_MAX;
        m.mode = 0777;
        m.policy = PROTO_POLICY_BLOCK;
        m.foreign_holds = UINT32_MAX - 1;
        m.segment_flags = PROTO_SEGMENT_FLAGS;
        assert_int_equal(wire_create_as(w, "a", &m), -EEXIST);
        wire_assert_text(w, "slot size", "slots", "mode", "policy", "foreign holds", "flags", "type");
        (void)memset(&m, 0, sizeof(m));
        assert_int_equal(wire_create_as(w, "a", &m), 0);
}

static void test_create_out_of_range(void **state) {
        struct requests *t = *state;
        struct wire *w = &t->wire[0];
        struct proto_create m;

#define REFUSED(error, word, ...)                                           \
        do {                                                                \
                m = (struct proto_create){ .slot_size = 100, __VA_ARGS__ }; \
                assert_int_equal(wire_create_as(w, "a", &m), error);        \
                wire_assert_text(w, word);                                  \
        } while (0)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
        REFUSED(-EINVAL, "slot size", .slot_size = 0);
        REFUSED(-EINVAL, "slot size", .slot_size = GEOMETRY_SLOT_SIZE_MAX + 1);
        REFUSED(-EINVAL, "slot size", .slot_size = UINT64_MAX);
        REFUSED(-EINVAL, "4097", .n_slots = LAYOUT_SLOTS_MAX + 1);
        REFUSED(-EINVAL, "slots", .n_slots = UINT32_MAX);
        REFUSED(-EINVAL, "mode", .mode = 01000);
        REFUSED(-EINVAL, "mode", .mode = UINT32_MAX);
        REFUSED(-EINVAL, "policy", .policy = PROTO_POLICY_BLOCK + 1);
        REFUSED(-EINVAL, "0 to 2 (", .foreign_holds = 3);
        REFUSED(-EINVAL, "0 to 1 (", .foreign_holds = 2, .n_slots = 3);
        REFUSED(-EINVAL, "may be 0 (", .foreign_holds = 1, .n_slots = 2);
        REFUSED(-EINVAL, "may be 0 (", .foreign_holds = 1, .n_slots = 1);
        REFUSED(-EINVAL, "0 to 64 (", .foreign_holds = 65, .n_slots = 100);
        REFUSED(-EINVAL, "0 to 2 (", .foreign_holds = UINT32_MAX - 1);
        REFUSED(-EINVAL, "flags", .segment_flags = PROTO_SEGMENT_FLAGS + 1);
        REFUSED(-EINVAL, "flags", .flags = PROTO_CREATE_EXCLUSIVE << 1);
#pragma GCC diagnostic pop
        assert_int_equal(wire_stat(w, "a"), -ENOENT);

        m = (struct proto_create){ .slot_size = 100 };
        memset(m.type, 't', PROTO_TYPE_MAX + 1);
        assert_int_equal(wire_create_as(w, "a", &m), -EINVAL);
        wire_assert_text(w, "type", "1025", "1024");
        m.type[PROTO_TYPE_MAX] = '\0';
        assert_int_equal(wire_create_as(w, "a", &m), 0);
        assert_int_equal(strlen(info(w, "a")->type), PROTO_TYPE_MAX);
}

static void test_slots_at_the_edge(void **state) {
        struct requests *t = *state;
        struct wire *w = &t->wire[0];

        assert_int_equal(wire_create(w, "one", 1, 1), 0);
        assert_int_equal(info(w, "one")->n_slots, 1);
        assert_int_equal(wire_create(w, "most", 1, LAYOUT_SLOTS_MAX), 0);
        assert_int_equal(info(w, "most")->n_slots, LAYOUT_SLOTS_MAX);
        assert_int_equal(wire_create(w, "more", 1, LAYOUT_SLOTS_MAX + 1), -EINVAL);
}

static void test_names(void **state) {
        struct requests *t = *state;
        struct wire *w = &t->wire[0];
        static const char *const wrong[] = {
                "", "/a", "a//b", "a/", "..", "a/../b", "a b", "a\n", "a*", "\xff", "a:b"
        };
        char name[PROTO_NAME_SIZE];

        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                char text[PROTO_TEXT_SIZE];

                (void)name_explain(text, sizeof(text), wrong[i]);
                assert_int_equal(wire_create(w, wrong[i], 100, 1), -EINVAL);
                assert_string_equal(wire_text(w), text);
                assert_int_equal(wire_stat(w, wrong[i]), -EINVAL);
                assert_string_equal(wire_text(w), text);
                assert_int_equal(wire_remove(w, wrong[i]), -EINVAL);
                assert_string_equal(wire_text(w), text);
                assert_int_equal(wire_open_segment(w, wrong[i], PROTO_ACCESS_READ, 0, 0), -EINVAL);
                assert_string_equal(wire_text(w), text);
        }
        memset(name, 'n', sizeof(name));
        name[NAME_LENGTH_MAX + 1] = '\0';
        assert_int_equal(wire_create(w, name, 100, 1), -EINVAL);
        wire_assert_text(w, "200");
        name[NAME_LENGTH_MAX] = '\0';
        assert_int_equal(wire_create(w, name, 100, 1), 0);
        assert_string_equal(info(w, name)->name, name);
        assert_int_equal(wire_open_segment(w, name, PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_remove(w, name), 0);
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static void test_max_segments(void **state) {
        struct requests *t = restart(state, ARGUMENTS("--max-segments", "3"));
        struct wire *w = &t->wire[0];

        for (int round = 0; round < 3; round++) {
                assert_int_equal(wire_create(w, "a", 1, 1), 0);
                assert_int_equal(wire_create(w, "b", 1, 1), 0);
                assert_int_equal(wire_create(w, "c", 1, 1), 0);
                assert_int_equal(wire_create(w, "d", 1, 1), -ENOSPC);
                wire_assert_text(w, "3", "--max-segments");
                assert_int_equal(wire_create(w, "c", 1, 1), 0);
                assert_int_equal(wire_remove(w, "a"), 0);
                assert_int_equal(wire_create(w, "d", 1, 1), 0);
                assert_int_equal(wire_create(w, "a", 1, 1), -ENOSPC);
                assert_int_equal(wire_remove(w, "b"), 0);
                assert_int_equal(wire_remove(w, "c"), 0);
                assert_int_equal(wire_remove(w, "d"), 0);
        }
}

static void test_max_bytes(void **state) {
        struct requests *t = restart(state, ARGUMENTS("--max-bytes", "64K", "--max-segment-bytes", "32K"));
        struct wire *w = &t->wire[0];
        struct wire *r = another(t, 1);

        for (int round = 0; round < 3; round++) {
                assert_int_equal(wire_create(w, "a", 4096, 8), -EFBIG);
                wire_assert_text(w, "36864", "32768", "--max-segment-bytes");
                assert_int_equal(wire_create(w, "a", 4096, 7), 0);
                assert_int_equal(info(w, "a")->bytes, 32768);
                assert_int_equal(wire_create(w, "b", 4096, 6), 0);
                assert_int_equal(wire_create(w, "c", 4096, 1), -EDQUOT);
                wire_assert_text(w, "8192", "61440", "65536", "--max-bytes");
                /* Sparse bytes count too: they may be touched at any time. */
                struct proto_create sparse = { .slot_size = 4096, .n_slots = 1, .segment_flags = PROTO_SEGMENT_SPARSE };
                assert_int_equal(wire_create_as(w, "c", &sparse), -EDQUOT);
                assert_int_equal(wire_remove(w, "b"), 0);
                assert_int_equal(wire_create_as(w, "c", &sparse), 0);
                assert_int_equal(wire_create(w, "b", 4096, 5), 0);
                assert_int_equal(wire_remove(w, "a"), 0);
                assert_int_equal(wire_remove(w, "b"), 0);
                assert_int_equal(wire_remove(w, "c"), 0);
        }
        /* Removed, but somebody has it open: its memory is there, so it counts. */
        assert_int_equal(wire_create(w, "a", 4096, 7), 0);
        assert_int_equal(wire_open_segment(r, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_remove(w, "a"), 0);
        assert_int_equal(wire_create(w, "a", 4096, 7), 0);
        assert_int_equal(wire_create(w, "b", 1, 1), -EDQUOT);
        wire_close(r);
        fixture_expect_idle(t->daemon, 1);
        assert_int_equal(wire_create(w, "a", 4096, 7), 0);
        assert_int_equal(wire_create(w, "b", 4096, 7), 0);
}

static void test_max_clients(void **state) {
        struct requests *t = restart(state, ARGUMENTS("--max-clients", "3", "--log-level", "error"));

        int alone = fixture_fds(t->daemon);

        (void)another(t, 1);
        (void)another(t, 2);
        for (int i = 0; i < 5; i++) {
                wire_init(&t->wire[3], wire_socket(fixture_socket(t->daemon)));
                assert_int_equal(wire_expect_dropped(&t->wire[3]), -EUSERS);
                wire_assert_text(&t->wire[3], "clients");
                wire_close(&t->wire[3]);
        }
        /* The one that leaves makes room, once the daemon has seen it. */
        assert_int_equal(wire_create(&t->wire[0], "a", 1, 1), 0);
        assert_int_equal(wire_open_segment(&t->wire[2], "a", PROTO_ACCESS_READ, 0, 0), 0);
        wire_close(&t->wire[2]);
        wire_expect_users(&t->wire[0], "a", 0, 0);
        for (;;) {
                wire_init(&t->wire[2], wire_socket(fixture_socket(t->daemon)));
                struct proto_hello m = { .layout_version = LAYOUT_VERSION };
                wire_header(&t->wire[2], &m, PROTO_OP_HELLO, 0);
                (void)packet_send(t->wire[2].socket, &m, sizeof(m), NULL, 0);
                assert_true(wire_receive(&t->wire[2]));
                if (t->wire[2].in.any.header.error == 0)
                        break;
                wire_close(&t->wire[2]);
        }
        /* Room for the fixture's own. */
        assert_int_equal(wire_remove(&t->wire[0], "a"), 0);
        wire_close(&t->wire[2]);
        wire_close(&t->wire[1]);
        for (int i = 0; fixture_fds(t->daemon) > alone; i++) {
                assert_true(i < 60000);
                (void)usleep(1000); /* not to be in its way; the state decides */
        }
}

static void test_writers_at_the_edge(void **state) {
        struct requests *t = *state;
        const unsigned most = LAYOUT_WRITERS_MAX - 1; /* one id is the daemon's */
        struct wire *w = many(t, most + 1);
        bool seen[LAYOUT_WRITERS_MAX] = { 0 };

        assert_int_equal(wire_create(&t->wire[0], "a", 100, 4), 0);
        for (unsigned i = 0; i < most; i++) {
                assert_int_equal(wire_open_segment(&w[i], "a", PROTO_ACCESS_WRITE, 0, 0), 0);
                assert_in_range(w[i].in.any.opened.entry, 0, most - 1);
                assert_false(seen[w[i].in.any.opened.entry]);
                seen[w[i].in.any.opened.entry] = true;
                packet_close(&w[i].packet);
        }
        assert_int_equal(wire_open_segment(&w[most], "a", PROTO_ACCESS_WRITE, 0, 0), -EUSERS);
        wire_assert_text(&w[most], "255", "writers");
        assert_int_equal(info(&t->wire[0], "a")->writers, most);
        wire_close(&w[7]);
        wire_expect_users(&t->wire[0], "a", most - 1, 0);
        assert_int_equal(wire_open_segment(&w[most], "a", PROTO_ACCESS_WRITE, 0, 0), 0);
}

static void test_readers_of_one_user_make_a_second_group(void **state) {
        struct requests *t = *state;
        const unsigned n = LAYOUT_READERS_MAX + 5;
        struct wire *r = many(t, n);
        struct wire *w = another(t, 1);
        bool seen[LAYOUT_READERS_MAX] = { 0 };

        assert_int_equal(wire_create(&t->wire[0], "a", 100, 4), 0);
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        assert_int_equal(w->in.any.opened.n_groups, 0);
        for (unsigned i = 0; i < n; i++) {
                uint32_t entry;

                assert_int_equal(wire_open_segment(&r[i], "a", PROTO_ACCESS_READ, 0, 0), 0);
                entry = r[i].in.any.opened.entry;
                assert_in_range(entry, 0, LAYOUT_READERS_MAX - 1);
                if (i == LAYOUT_READERS_MAX)
                        memset(seen, 0, sizeof(seen));
                assert_false(seen[entry]);
                seen[entry] = true;
                packet_close(&r[i].packet);
        }
        assert_int_equal(info(&t->wire[0], "a")->readers, n);
        while (w->n_groups < 2 || w->users.readers < n)
                assert_true(wire_receive(w));
        assert_int_equal(w->n_groups, 2);
        assert_int_equal(w->group, 1);
        /* The next writer is told of both at once. */
        w = another(t, 2);
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        assert_int_equal(w->in.any.opened.n_groups, 2);
        assert_int_equal(w->packet.n_fds, 5);
        assert_true(w->in.any.opened.groups[0].index != w->in.any.opened.groups[1].index);
        assert_int_equal(w->in.any.opened.groups[0].flags, PROTO_GROUP_BINDING);
        assert_int_equal(w->in.any.opened.groups[1].flags, PROTO_GROUP_BINDING);
}

/* ---- open ------------------------------------------------------------------------------------------------------- */

static void test_open_out_of_range(void **state) {
        struct requests *t = *state;
        struct wire *w = &t->wire[0];

        assert_int_equal(wire_create(w, "a", 100, 4), 0);
        assert_int_equal(wire_open_segment(w, "a", 0, 0, 0), -EINVAL);
        wire_assert_text(w, "access");
        assert_int_equal(wire_open_segment(w, "a", 3, 0, 0), -EINVAL);
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_READ, 4, 0), -EINVAL);
        wire_assert_text(w, "flags");
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, PROTO_OPEN_ORDERED, 0), -EINVAL);
        wire_assert_text(w, "flags", "writer");
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_READ, 0, 3), -EINVAL);
        wire_assert_text(w, "start");
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, 0, PROTO_START_OLDEST), -EINVAL);
        wire_assert_text(w, "start", "writer");
        assert_int_equal(wire_open_segment(w, "b", PROTO_ACCESS_READ, 0, 0), -ENOENT);
        wire_assert_text(w, "b");
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_READ, 0, 0), -EISCONN);
        wire_assert_text(w, "a");
        /* Nothing of that has harmed it. */
        assert_int_equal(info(w, "a")->readers, 1);
}

static void test_opened(void **state) {
        struct requests *t = *state;
        struct wire *r = another(t, 1), *w = another(t, 2);
        const struct proto_opened *o = &r->in.any.opened;
        struct proto_create m = { .slot_size = 5000, .n_slots = 3, .mode = 0644, .type = "x" };

        assert_int_equal(wire_create_as(&t->wire[0], "a", &m), 0);
        assert_int_equal(wire_open_segment(r, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(o->header.size, sizeof(*o));
        assert_int_equal(r->packet.n_fds, 2);
        assert_int_equal(o->id, t->wire[0].in.any.created.id);
        assert_int_equal(o->slot_size, 5000);
        assert_int_equal(o->n_slots, 3);
        assert_int_equal(o->page_size, sysconf(_SC_PAGESIZE));
        assert_int_equal(o->layout_version, LAYOUT_VERSION);
        assert_int_equal(o->policy, PROTO_POLICY_OVERWRITE);
        assert_int_equal(o->mode, 0644);
        assert_int_equal(o->uid, getuid());
        assert_int_equal(o->entry, 0);
        assert_int_equal(o->binding, 1);
        assert_int_equal(o->n_groups, 0);
        assert_int_equal(o->users.readers, 1);
        assert_int_equal(o->users.writers, 0);
        assert_int_equal(o->users.arrivals, 0);
        assert_string_equal(o->type, "x");

        o = &w->in.any.opened;
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        assert_int_equal(w->packet.n_fds, 3);
        assert_int_equal(o->n_groups, 1);
        assert_int_equal(o->groups[0].index, 0);
        assert_int_equal(o->groups[0].flags, PROTO_GROUP_BINDING);
        assert_int_equal(o->users.writers, 1);
        assert_int_equal(o->users.arrivals, 1);
        /* The reader is told. */
        wire_wait_state(r);
        assert_int_equal(r->users.writers, 1);
        assert_int_equal(r->users.readers, 1);
}

/* Frames through the memory that came, and the numbers that the daemon tells of them. */
static void test_frames(void **state) {
        struct requests *t = *state;
        struct wire *r = another(t, 1), *w = another(t, 2);
        struct wire_mapping reader, writer;
        struct slots_writer *sw = calloc(1, sizeof(*sw));
        struct slots_reader sr;
        struct slots_frame frame;
        uint32_t seen;

        assert_int_equal(wire_create(&t->wire[0], "a", 5000, 3), 0);
        assert_int_equal(wire_open_segment(r, "a", PROTO_ACCESS_READ, 0, 0), 0);
        wire_map(&reader, r, false);
        sr = (struct slots_reader){ .slots = reader.slots, .table = reader.table, .entry = r->in.any.opened.entry };
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        wire_map(&writer, w, true);
        assert_non_null(sw);
        sw->slots = writer.slots;
        sw->epoch = w->in.any.opened.epoch;
        assert_int_equal(slots_lock(&sw->slots, w->in.any.opened.entry, &seen), 0);
        assert_int_equal(slots_begin(sw), 0);
        memset(slots_payload(&sw->slots, sw->slot), 'z', 5000);
        assert_int_equal(slots_flush(sw, 5000, 7, 12345), 1);
        (void)slots_unlock(&sw->slots);
        assert_int_equal(slots_next(&sr, &frame), 0);
        assert_int_equal(frame.length, 5000);
        assert_int_equal(frame.data[4999], 'z');
        assert_int_equal(slots_release(&sr), 0);
        assert_int_equal(info(&t->wire[0], "a")->sequence, 1);
        assert_int_equal(t->wire[0].in.any.stat_reply.info.timestamp, 12345);
        free(sw);
        wire_unmap(&reader);
        wire_unmap(&writer);
}

/* ---- what descriptors can do ------------------------------------------------------------------------------------ */

static void assert_sealed(int fd) {
        assert_int_equal(fcntl(fd, F_GET_SEALS) & (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL),
                         F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
}

static void assert_file(int fd, uint64_t size, int access) {
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(st.st_size, size);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, access);
        assert_sealed(fd);
        if (access == O_RDWR) {
                assert_int_equal(ftruncate(fd, (off_t)size - 4096), -1);
                assert_int_equal(errno, EPERM);
                assert_int_equal(ftruncate(fd, (off_t)size + 4096), -1);
                assert_int_equal(errno, EPERM);
                return;
        }
        assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
        assert_int_equal(errno, EACCES);
        void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        assert_true(p != MAP_FAILED);
        assert_int_equal(mprotect(p, 4096, PROT_READ | PROT_WRITE), -1);
        assert_int_equal(errno, EACCES);
        (void)munmap(p, 4096);
}

static bool is_eventfd(int fd) {
        char path[64], target[64] = "";

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "eventfd");
}

static void test_descriptors(void **state) {
        struct requests *t = *state;
        static const uint32_t policies[] = { PROTO_POLICY_OVERWRITE, PROTO_POLICY_BLOCK };

        for (int p = 0; p < 2; p++) {
                struct wire *r = another(t, 1), *w = another(t, 2);
                struct proto_create m = { .slot_size = 10000, .n_slots = 5, .policy = policies[p] };
                struct geometry g;
                uint64_t table = (sizeof(struct layout_table) + 4095) / 4096 * 4096;

                assert_int_equal(wire_create_as(&t->wire[0], "a", &m), 0);
                assert_int_equal(wire_open_segment(r, "a", PROTO_ACCESS_READ, 0, 0), 0);
                assert_int_equal(geometry_init(&g, 10000, 5, r->in.any.opened.page_size), 0);
                assert_int_equal(r->packet.n_fds, p ? 3 : 2);
                assert_file(r->packet.fds[0], g.file_size, O_RDONLY);
                assert_file(r->packet.fds[1], table, O_RDWR);
                /* Never the bell; the room bell where the writer waits for it. */
                assert_false(is_eventfd(r->packet.fds[0]) || is_eventfd(r->packet.fds[1]));
                if (p)
                        assert_true(is_eventfd(r->packet.fds[2]));
                assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
                assert_int_equal(w->packet.n_fds, 3);
                assert_file(w->packet.fds[0], g.file_size, O_RDWR);
                assert_file(w->packet.fds[1], table, O_RDONLY);
                assert_true(is_eventfd(w->packet.fds[2]));
                /* It is that reader's bell: rung, it wakes the watch, once. */
                struct epoll_event event;
                while (epoll_wait(r->watch, &event, 1, 0) == 1)
                        ;
                uint64_t nothing = 0;
                assert_int_equal(write(w->packet.fds[2], &nothing, 8), 8);
                assert_int_equal(epoll_wait(r->watch, &event, 1, 0), 1);
                assert_int_equal(epoll_wait(r->watch, &event, 1, 0), 0);
                if (p) {
                        while (epoll_wait(w->watch, &event, 1, 0) == 1)
                                ;
                        assert_int_equal(write(r->packet.fds[2], &nothing, 8), 8);
                        assert_int_equal(epoll_wait(w->watch, &event, 1, 0), 1);
                        assert_int_equal(epoll_wait(w->watch, &event, 1, 0), 0);
                }
                wire_close(r);
                wire_close(w);
                assert_int_equal(wire_remove(&t->wire[0], "a"), 0);
        }
}

static bool is_locked(int fd, uint32_t id) {
        struct flock lock = {
                .l_type = F_WRLCK,
                .l_whence = SEEK_SET,
                .l_start = LAYOUT_LOCK_BASE + id,
                .l_len = 1,
        };
        int r = fcntl(fd, F_OFD_GETLK, &lock);

        assert_int_equal(r, 0);
        return lock.l_type != F_UNLCK;
}

/* The locks that say that a client lives, looked at as the other side does. */
static void test_locks(void **state) {
        struct requests *t = *state;
        struct wire *r1 = another(t, 1), *r2 = another(t, 2), *w1 = another(t, 3), *w2 = another(t, 4);

        assert_int_equal(wire_create(&t->wire[0], "a", 100, 5), 0);
        assert_int_equal(wire_open_segment(r1, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_open_segment(r2, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_open_segment(w1, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        assert_int_equal(wire_open_segment(w2, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        const uint32_t reader1 = r1->in.any.opened.entry, reader2 = r2->in.any.opened.entry;
        const uint32_t writer1 = w1->in.any.opened.entry, writer2 = w2->in.any.opened.entry;
        assert_true(reader1 != reader2 && writer1 != writer2);
        /* The daemon has closed its copies once it serves the next request. */
        assert_int_equal(info(&t->wire[0], "a")->writers, 2);
        for (uint32_t i = 0; i < LAYOUT_READERS_MAX; i++)
                assert_int_equal(is_locked(w1->packet.fds[1], i), i == reader1 || i == reader2);
        for (uint32_t i = 0; i < LAYOUT_WRITERS_MAX - 1; i++)
                assert_int_equal(is_locked(r1->packet.fds[0], i), i == writer1 || i == writer2);
        /* The description is gone, and with it the lock: at once, without the daemon. */
        packet_close(&r1->packet);
        assert_false(is_locked(w1->packet.fds[1], reader1));
        assert_true(is_locked(w1->packet.fds[1], reader2));
        packet_close(&w2->packet);
        assert_false(is_locked(r2->packet.fds[0], writer2));
        assert_true(is_locked(r2->packet.fds[0], writer1));
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static void test_wait_until_it_exists(void **state) {
        struct requests *t = *state;
        struct wire *r = another(t, 1), *w = another(t, 2), *gone = another(t, 3);

        wire_open_send(r, "later", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
        wire_open_send(w, "later", PROTO_ACCESS_WRITE, PROTO_OPEN_WAIT, 0);
        wire_open_send(gone, "later", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
        assert_int_equal(wire_create(&t->wire[0], "late", 100, 4), 0);
        assert_int_equal(wire_create(&t->wire[0], "later/too", 100, 4), 0);
        assert_false(wire_pending(r) || wire_pending(w));
        wire_close(gone);
        assert_int_equal(wire_create(&t->wire[0], "later", 100, 4), 0);
        assert_int_equal(wire_reply(r), 0);
        assert_int_equal(r->in.any.header.serial, r->serial);
        assert_int_equal(r->packet.n_fds, 2);
        assert_int_equal(wire_reply(w), 0);
        wire_expect_users(&t->wire[0], "later", 1, 1);
        /* What is there already is had at once. */
        gone = another(t, 3);
        assert_int_equal(wire_open_segment(gone, "later", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0), 0);
}

static void test_many_wait(void **state) {
        struct requests *t = *state;
        struct wire *r = many(t, 200);

        for (int round = 0; round < 2; round++) {
                for (unsigned i = 0; i < 200; i++)
                        wire_open_send(&r[i], "later", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
                for (unsigned i = 0; i < 200; i += 3)
                        wire_close(&r[i]);
                assert_int_equal(wire_create(&t->wire[0], "later", 100, 4), 0);
                for (unsigned i = 0; i < 200; i++) {
                        if (i % 3 == 0)
                                continue;
                        assert_int_equal(wire_reply(&r[i]), 0);
                        wire_close(&r[i]);
                }
                wire_expect_users(&t->wire[0], "later", 0, 0);
                assert_int_equal(wire_remove(&t->wire[0], "later"), 0);
                for (unsigned i = 0; i < 200; i++)
                        wire_open(&r[i], t->daemon);
        }
}

/* Who goes with a reply unread is gone for the daemon, too, whatever it is waiting for. */
static void test_gone_with_a_reply_unread(void **state) {
        struct requests *t = *state;
        struct proto_stat m = { .name = "nothing" };
        struct wire *gone = another(t, 1);
        int unread;

        wire_header(gone, &m, PROTO_OP_STAT, 0);
        wire_send(gone, &m, sizeof(m), NULL, 0);
        wire_open_send(gone, "later", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
        do
                assert_return_code(ioctl(gone->socket, SIOCOUTQ, &unread), errno);
        while (unread > 0);
        assert_true(wire_pending(gone));
        wire_close(gone);
        fixture_expect_idle(t->daemon, 1);
}

/* Wait until it has one descriptor more than that. */
static void await_descriptor(const struct requests *t, const struct wire *w, int before) {
        for (int i = 0; fixture_fds(t->daemon) <= before; i++)
                assert_true(i < 1000000 && !wire_pending(w));
}

/* Send a create, and wait until the daemon has begun with it: its memory has a descriptor. Nothing else may be closing
 * meanwhile. */
static void begin_create(struct requests *t, struct wire *w, struct proto_create *m) {
        int before;

        /* Whoever came before has been served. */
        assert_int_equal(wire_stat(&t->wire[0], "nothing"), -ENOENT);
        before = fixture_fds(t->daemon);
        wire_header(w, m, PROTO_OP_CREATE, 0);
        wire_send(w, m, sizeof(*m), NULL, 0);
        await_descriptor(t, w, before);
}

/* ---- one after another, and at once ----------------------------------------------------------------------------- */

static void test_two_creates_at_once(void **state) {
        struct requests *t = *state;
        struct wire *a = another(t, 1), *b = another(t, 2), *c = another(t, 3);
        /* Large enough for the worker, so that the second request comes in the middle of the first. */
        struct proto_create m = { .slot_size = 64 << 20, .n_slots = 2, .name = "a" };
        struct proto_create other = m;

        other.slot_size++;
        begin_create(t, a, &m);
        wire_header(b, &m, PROTO_OP_CREATE, 0);
        wire_send(b, &m, sizeof(m), NULL, 0);
        wire_header(c, &other, PROTO_OP_CREATE, 0);
        wire_send(c, &other, sizeof(other), NULL, 0);
        assert_int_equal(wire_reply(a), 0);
        assert_int_equal(wire_reply(b), 0);
        assert_int_equal(wire_reply(c), -EEXIST);
        assert_int_equal(a->in.any.created.id, b->in.any.created.id);
        assert_int_equal(a->in.any.created.existed + b->in.any.created.existed, 1);
}

/* The creator goes in the middle of it: nothing is left, unless somebody waits for it. */
static void test_a_creator_that_vanishes(void **state) {
        struct requests *t = *state;

        for (int round = 0; round < 5; round++) {
                struct wire *a = another(t, 1);
                struct proto_create m = { .slot_size = 256 << 20, .n_slots = 2, .name = "a" };

                if (round % 2) {
                        fixture_expect_idle(t->daemon, 2);
                        begin_create(t, a, &m);
                } else {
                        wire_header(a, &m, PROTO_OP_CREATE, 0);
                        wire_send(a, &m, sizeof(m), NULL, 0);
                }
                wire_close(a);
        }
        /* By then it is gone, or it is there whole and can be removed: its name is good for anything. */
        int r = wire_create(&t->wire[0], "a", 100, 1);
        assert_true(r == 0 || r == -EEXIST);
        fixture_expect_idle(t->daemon, 1);

        struct wire *a = another(t, 1), *b = another(t, 2);
        struct proto_create m = { .slot_size = 256 << 20, .n_slots = 2, .name = "b" };

        int before = fixture_fds(t->daemon);
        wire_open_send(b, "b", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
        await_descriptor(t, b, before);
        begin_create(t, a, &m);
        wire_close(a);
        assert_int_equal(wire_reply(b), 0);
}

/* By order, not by time: what is asked for later is answered before the large one is done. */
static void test_a_large_create_holds_up_nobody(void **state) {
        struct requests *t = restart(state, ARGUMENTS("--max-bytes", "64G"));
        struct wire *large = another(t, 1), *small = another(t, 2);
        struct proto_create m = { .slot_size = UINT64_C(1) << 30, .n_slots = 4, .name = "large" };
        long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);

        if (pages < (long)(UINT64_C(6) << 30) / page) {
                m.n_slots = 1;
                print_message("less than 6 GiB are free: with 1 GiB instead of 4\n");
        }
        assert_int_equal(wire_create(&t->wire[0], "small", 100, 4), 0);
        begin_create(t, large, &m);
        assert_int_equal(wire_stat(&t->wire[0], "large"), -ENOENT);
        assert_int_equal(wire_open_segment(small, "small", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_create(&t->wire[0], "medium", 100, 4), 0);
        assert_false(wire_pending(large));
        assert_int_equal(wire_reply(large), 0);
        const struct proto_info *i = info(&t->wire[0], "large");
        assert_int_equal(i->allocated, i->bytes);
        assert_int_equal(wire_remove(&t->wire[0], "large"), 0);
}

/* More than there is, of memory that is not allocated. */
static void test_sparse_beyond_the_memory(void **state) {
        struct requests *t = restart(state, ARGUMENTS("--max-bytes", "1000T"));
        struct proto_create m = {
                .slot_size = UINT64_C(16) << 40,
                .n_slots = 8,
                .segment_flags = PROTO_SEGMENT_SPARSE,
        };

        assert_int_equal(wire_create_as(&t->wire[0], "a", &m), 0);
        assert_true(info(&t->wire[0], "a")->allocated < 1 << 20);
}

/* ---- huge pages ------------------------------------------------------------------------------------------------- */

static long huge_pages(const char *value) {
        FILE *f = fopen("/proc/sys/vm/nr_hugepages", value ? "we" : "re");
        long n = -1;

        if (!f)
                return -1;
        if (value)
                n = fputs(value, f) < 0 ? -1 : 0;
        else if (fscanf(f, "%ld", &n) != 1)
                n = -1;
        if (fclose(f))
                n = -1;
        return n;
}

/* It says no before it takes anything: what it cannot finish is not to take what others need. */
static void test_not_enough_memory(void **state) {
        struct requests *t = restart(state, ARGUMENTS("--max-bytes", "1000T"));
        struct wire *w = &t->wire[0];
        struct proto_create m = { .slot_size = UINT64_C(16) << 40, .n_slots = 8, .name = "a" };
        long before = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);

        wire_header(w, &m, PROTO_OP_CREATE, 0);
        wire_send(w, &m, sizeof(m), NULL, 0);
        while (!wire_pending(w))
                if (before - sysconf(_SC_AVPHYS_PAGES) > (long)(UINT64_C(4) << 30) / page) {
                        fixture_kill(t->daemon); /* before it has all there is, and others pay for it */
                        fail_msg("it takes the memory that there is before it says that there is not enough");
                }
        assert_int_equal(wire_reply(w), -ENOMEM);
        wire_assert_text(w, "memory", "a");
        assert_int_equal(wire_stat(w, "a"), -ENOENT);
}

static void test_huge_pages_that_are_not_there(void **state) {
        struct requests *t = *state;
        struct proto_create m = { .slot_size = 64 << 20, .n_slots = 64, .segment_flags = PROTO_SEGMENT_HUGE };

        assert_int_equal(wire_create_as(&t->wire[0], "a", &m), -ENOMEM);
        wire_assert_text(&t->wire[0], "huge pages", "vm.nr_hugepages");
        assert_int_equal(wire_stat(&t->wire[0], "a"), -ENOENT);
}

static void test_huge_pages(void **state) {
        struct requests *t = *state;
        struct proto_create m = { .slot_size = 1 << 20, .n_slots = 7, .segment_flags = PROTO_SEGMENT_HUGE };
        struct wire *r = another(t, 1);
        long before = huge_pages(NULL);
        char text[32];

        if (before < 0 || huge_pages("8") < 0 || huge_pages(NULL) < 8) {
                print_message("[ SKIPPED  ] vm.nr_hugepages cannot be raised here\n");
                skip();
        }
        int created = wire_create_as(&t->wire[0], "a", &m);
        int opened = wire_open_segment(r, "a", PROTO_ACCESS_READ, 0, 0);
        struct stat st = { 0 };
        if (opened == 0)
                (void)fstat(r->packet.fds[0], &st);
        uint32_t page_size = r->in.any.opened.page_size;
        wire_close(r);
        (void)wire_remove(&t->wire[0], "a");
        fixture_expect_idle(t->daemon, 1);
        (void)snprintf(text, sizeof(text), "%ld", before);
        assert_int_equal(huge_pages(text), 0);
        assert_int_equal(created, 0);
        assert_int_equal(opened, 0);
        assert_int_equal(page_size, GEOMETRY_HUGE_PAGE);
        assert_int_equal(st.st_size, 4 * GEOMETRY_HUGE_PAGE);
        assert_int_equal(st.st_blksize, GEOMETRY_HUGE_PAGE);
}

/* ---- notices, removal, ephemeral -------------------------------------------------------------------------------- */

static void test_notices_of_comings_and_goings(void **state) {
        struct requests *t = *state;
        struct wire *r = another(t, 1), *w = another(t, 2), *v = another(t, 3);

        assert_int_equal(wire_create(&t->wire[0], "a", 100, 4), 0);
        assert_int_equal(wire_open_segment(r, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        wire_wait_state(r);
        assert_int_equal(r->users.writers, 1);
        assert_int_equal(r->users.arrivals, 1);
        assert_int_equal(r->users.departures, 0);
        assert_int_equal(r->users.flags, 0);
        r->n_states = 0;
        assert_int_equal(wire_open_segment(v, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        wire_wait_state(r);
        assert_int_equal(r->users.writers, 2);
        assert_int_equal(r->users.arrivals, 1);
        r->n_states = 0;
        wire_close(w);
        wire_wait_state(r);
        assert_int_equal(r->users.writers, 1);
        assert_int_equal(r->users.departures, 0);
        r->n_states = 0;
        wire_close(v);
        wire_wait_state(r);
        assert_int_equal(r->users.writers, 0);
        assert_int_equal(r->users.departures, 1);
        /* Who comes later knows what was before. */
        w = another(t, 2);
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(w->in.any.opened.users.arrivals, 1);
        assert_int_equal(w->in.any.opened.users.departures, 1);
        assert_int_equal(w->in.any.opened.users.readers, 2);
}

static void test_remove(void **state) {
        struct requests *t = *state;
        struct wire *r = another(t, 1), *w = another(t, 2);
        uint64_t id;

        assert_int_equal(wire_remove(&t->wire[0], "a"), -ENOENT);
        assert_int_equal(wire_create(&t->wire[0], "a", 100, 4), 0);
        id = t->wire[0].in.any.created.id;
        assert_int_equal(wire_open_segment(r, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        int memory = dup(r->packet.fds[0]);
        assert_int_equal(wire_remove(&t->wire[0], "a"), 0);
        assert_int_equal(wire_stat(&t->wire[0], "a"), -ENOENT);
        assert_int_equal(wire_remove(&t->wire[0], "a"), -ENOENT);
        do {
                r->n_states = 0;
                wire_wait_state(r);
        } while (!(r->users.flags & PROTO_STATE_REMOVED));
        do {
                w->n_states = 0;
                wire_wait_state(w);
        } while (!(w->users.flags & PROTO_STATE_REMOVED));
        /* The name is free at once, for another segment. */
        assert_int_equal(wire_create(&t->wire[0], "a", 200, 2), 0);
        assert_true(t->wire[0].in.any.created.id != id);
        assert_int_equal(info(&t->wire[0], "a")->readers, 0);
        void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, memory, 0);
        assert_true(p != MAP_FAILED);
        assert_int_equal(((struct layout_header *)p)->magic, LAYOUT_DATA_MAGIC);
        (void)munmap(p, 4096);
        (void)close(memory);
        /* The connection is that handle until it closes. */
        assert_int_equal(wire_open_segment(r, "a", PROTO_ACCESS_READ, 0, 0), -EISCONN);
}

static void test_ephemeral(void **state) {
        struct requests *t = *state;
        struct wire *r = another(t, 1), *w = another(t, 2);
        struct proto_create m = { .slot_size = 100, .segment_flags = PROTO_SEGMENT_EPHEMERAL };

        assert_int_equal(wire_create_as(&t->wire[0], "a", &m), 0);
        /* Nobody has used it yet: it stays, also when its creator goes. */
        (void)another(t, 0);
        assert_int_equal(info(&t->wire[0], "a")->segment_flags, PROTO_SEGMENT_EPHEMERAL);
        assert_int_equal(wire_open_segment(r, "a", PROTO_ACCESS_READ, 0, 0), 0);
        assert_int_equal(wire_open_segment(w, "a", PROTO_ACCESS_WRITE, 0, 0), 0);
        wire_close(w);
        wire_expect_users(&t->wire[0], "a", 0, 1);
        w = another(t, 2);
        wire_open_send(w, "b", PROTO_ACCESS_READ, PROTO_OPEN_WAIT, 0);
        wire_close(r);
        for (int i = 0; wire_stat(&t->wire[0], "a") == 0; i++)
                assert_true(i < 100000);
        assert_int_equal(t->wire[0].in.any.header.error, -ENOENT);
        assert_int_equal(wire_create_as(&t->wire[0], "a", &m), 0);
        assert_int_equal(t->wire[0].in.any.created.existed, 0);
}

/* ---- list ------------------------------------------------------------------------------------------------------- */

/* All pages; checks that names grow. Return: how many. */
static unsigned list(struct wire *w, const char *pattern, void (*each)(const struct proto_info *i, unsigned n)) {
        const struct proto_list_reply *l = wire_page(w);
        char last[PROTO_NAME_SIZE] = "";
        unsigned n = 0;

        do {
                assert_int_equal(wire_list(w, pattern, last), 0);
                assert_int_equal(l->header.size, sizeof(*l) + l->count * sizeof(l->info[0]));
                assert_true(l->count <= PROTO_LIST_PAGE);
                assert_true(!l->more || l->count > 0);
                for (uint32_t i = 0; i < l->count; i++) {
                        assert_true(strcmp(last, l->info[i].name) < 0);
                        (void)strcpy(last, l->info[i].name);
                        if (each)
                                each(&l->info[i], n);
                        n++;
                }
        } while (l->more);
        return n;
}

#define LISTED 10000u

static void check_numbered(const struct proto_info *i, unsigned n) {
        char name[32];

        (void)snprintf(name, sizeof(name), "list/%05u", n);
        assert_string_equal(i->name, name);
        assert_int_equal(i->slot_size, 1 + n % 50);
}

static void test_list_ten_thousand(void **state) {
        struct requests *t = restart(state, ARGUMENTS("--max-segments", "10000"));
        struct wire *w = &t->wire[0];
        long before = fixture_memory(t->daemon), after;

        /* In an order that is not theirs. */
        for (unsigned i = 0; i < LISTED; i++) {
                unsigned n = i * 7919 % LISTED;
                char name[32];

                (void)snprintf(name, sizeof(name), "list/%05u", n);
                if (wire_create(w, name, 1 + n % 50, 1))
                        fail_msg("after %u segments: %s", i, wire_text(w));
        }
        after = fixture_memory(t->daemon);
        /* The sanitizers keep more, and keep what was freed. */
        if (after - before > (long)LISTED * (SANITIZED ? 20 : 2))
                fail_msg("%ld KiB for %u segments", after - before, LISTED);
        assert_int_equal(list(w, "", check_numbered), LISTED);
        assert_int_equal(list(w, "*", check_numbered), LISTED);
        assert_int_equal(list(w, "list/0000?", NULL), 10);
        assert_int_equal(list(w, "list/*7", NULL), LISTED / 10);
        assert_int_equal(list(w, "*99*", NULL), 280);
        assert_int_equal(list(w, "[a-k]*", NULL), 0);
        assert_int_equal(list(w, "list/09999", NULL), 1);
        assert_int_equal(list(w, "none", NULL), 0);
        /* A page that begins behind a name that is not there. */
        assert_int_equal(wire_list(w, "", "list/05000x"), 0);
        assert_string_equal(wire_page(w)->info[0].name, "list/05001");
        assert_int_equal(wire_list(w, "", "zzz"), 0);
        assert_int_equal(wire_page(w)->count, 0);
        /* Anything may be asked for. */
        assert_int_equal(wire_list(w, "[", ""), 0);
        assert_int_equal(wire_list(w, "\\", "\xff"), 0);
        for (unsigned n = 0; n < LISTED; n++) {
                char name[32];

                (void)snprintf(name, sizeof(name), "list/%05u", n);
                assert_int_equal(wire_remove(w, name), 0);
        }
        assert_int_equal(list(w, "", NULL), 0);
}

static void test_list_order_of_bytes(void **state) {
        struct requests *t = *state;
        static const char *const names[] = { "-", ".", "0",  "A",   "A/b", "A0", "AB", "Z",
                                             "_", "a", "a-", "a.b", "a/b", "a0", "aa" };
        const unsigned n = sizeof(names) / sizeof(names[0]);

        for (unsigned i = 0; i < n; i++)
                assert_int_equal(wire_create(&t->wire[0], names[i * 4 % n], 1, 1), 0);
        assert_int_equal(wire_list(&t->wire[0], "", ""), 0);
        assert_int_equal(wire_page(&t->wire[0])->count, n);
        assert_int_equal(list(&t->wire[0], "", NULL), n);
        /* A star matches slashes. */
        assert_int_equal(list(&t->wire[0], "a*b", NULL), 2);
}

/* ---- another user ----------------------------------------------------------------------------------------------- */

struct stranger {
        struct requests *t;
        void (*run)(struct requests *t);
};

static void run_as_stranger(int fd, void *data) {
        const struct stranger *s = data;

        (void)fd;
        CHILD_EQUAL(setresgid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
        CHILD_EQUAL(setresuid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
        s->run(s->t);
}

static void as_stranger(struct requests *t, void (*run)(struct requests *t)) {
        struct stranger s = { .t = t, .run = run };
        struct child c;

        if (geteuid() != 0) {
                print_message("[ SKIPPED  ] becoming another user takes root\n");
                skip();
        }
        child_start(&c, run_as_stranger, &s);
        child_finish(&c);
}

/* In the child: a failed assertion ends it. */
static void stranger_create(struct requests *t) {
        static struct wire w;
        struct proto_create m = { .slot_size = 100 };

        wire_open(&w, t->daemon);
        CHILD_EQUAL(wire_stat(&w, "secret"), -EACCES);
        CHILD_CHECK(strstr(wire_text(&w), "0600"));
        CHILD_EQUAL(wire_open_segment(&w, "secret", PROTO_ACCESS_READ, 0, 0), -EACCES);
        CHILD_EQUAL(wire_open_segment(&w, "secret", PROTO_ACCESS_WRITE, 0, 0), -EACCES);
        CHILD_EQUAL(wire_remove(&w, "secret"), -EPERM);
        CHILD_EQUAL(wire_create_as(&w, "secret", &m), -EACCES);
        CHILD_EQUAL(wire_open_segment(&w, "readable", PROTO_ACCESS_WRITE, 0, 0), -EACCES);
        CHILD_EQUAL(wire_remove(&w, "readable"), -EPERM);
        CHILD_EQUAL(wire_create_as(&w, "readable", &m), 0);
        CHILD_EQUAL(w.in.any.created.existed, 1);
        CHILD_EQUAL(wire_stat(&w, "writable"), -EACCES);
        CHILD_EQUAL(wire_create_as(&w, "writable", &m), 0);
        CHILD_EQUAL(wire_list(&w, "", ""), 0);
        CHILD_EQUAL(wire_page(&w)->count, 1);
        CHILD_CHECK(strcmp(wire_page(&w)->info[0].name, "readable") == 0);
        CHILD_EQUAL(wire_open_segment(&w, "writable", PROTO_ACCESS_WRITE, 0, 0), 0);
        CHILD_EQUAL(wire_create_as(&w, "own", &m), 0);
        CHILD_EQUAL(wire_stat(&w, "own"), 0);
        CHILD_EQUAL(w.in.any.stat_reply.info.uid, SOMEBODY);
        CHILD_EQUAL(w.in.any.stat_reply.info.gid, SOMEBODY);
        m.mode = 0000 | 0077;
        CHILD_EQUAL(wire_create_as(&w, "none", &m), 0);
        CHILD_EQUAL(wire_stat(&w, "none"), -EACCES);
        CHILD_EQUAL(wire_remove(&w, "none"), 0);
        wire_close(&w);
}

static void test_another_user(void **state) {
        struct requests *t = *state;
        struct proto_create m = { .slot_size = 100 };

        assert_int_equal(wire_create_as(&t->wire[0], "secret", &m), 0);
        m.mode = 0644;
        assert_int_equal(wire_create_as(&t->wire[0], "readable", &m), 0);
        m.mode = 0622;
        assert_int_equal(wire_create_as(&t->wire[0], "writable", &m), 0);
        as_stranger(t, stranger_create);
        /* What it has made root may read, and remove. */
        assert_int_equal(info(&t->wire[0], "own")->uid, SOMEBODY);
        assert_int_equal(wire_remove(&t->wire[0], "own"), 0);
}

static void stranger_descriptors(struct requests *t) {
        static struct wire w;
        char path[64];
        int fd;
        void *p;

        wire_open(&w, t->daemon);
        CHILD_EQUAL(wire_open_segment(&w, "readable", PROTO_ACCESS_READ, 0, 0), 0);
        CHILD_EQUAL(w.in.any.opened.binding, 0);
        CHILD_EQUAL(w.packet.n_fds, 2); /* no room bell: its holds do not bind */
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", w.packet.fds[0]);
        fd = open(path, O_RDWR | O_CLOEXEC);
        CHILD_CHECK(fd < 0 && errno == EACCES);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        CHILD_CHECK(fd < 0 && errno == EACCES);
        CHILD_CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, w.packet.fds[0], 0) == MAP_FAILED);
        p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, w.packet.fds[0], 0);
        CHILD_CHECK(p != MAP_FAILED);
        CHILD_CHECK(mprotect(p, 4096, PROT_READ | PROT_WRITE) < 0 && errno == EACCES);
        CHILD_CHECK(madvise(p, 4096, MADV_REMOVE) < 0 && errno == EACCES);
        CHILD_CHECK(fallocate(w.packet.fds[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0);
        CHILD_CHECK(fchmod(w.packet.fds[0], 0666) < 0 && errno == EPERM);
        CHILD_CHECK(fcntl(w.packet.fds[0], F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EPERM);
        /* Its own table it may write, but not reopen. */
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", w.packet.fds[1]);
        fd = open(path, O_RDWR | O_CLOEXEC);
        CHILD_CHECK(fd < 0 && errno == EACCES);
        wire_close(&w);
}

static void test_what_another_user_can_do_with_descriptors(void **state) {
        struct requests *t = *state;
        struct proto_create m = { .slot_size = 100, .mode = 0644, .policy = PROTO_POLICY_BLOCK };
        struct wire *w = another(t, 1);

        assert_int_equal(wire_create_as(&t->wire[0], "readable", &m), 0);
        assert_int_equal(wire_open_segment(w, "readable", PROTO_ACCESS_WRITE, 0, 0), 0);
        as_stranger(t, stranger_descriptors);
        while (w->n_groups == 0)
                assert_true(wire_receive(w));
        /* The group outlives its reader, and does not bind. */
        w = another(t, 2);
        assert_int_equal(wire_open_segment(w, "readable", PROTO_ACCESS_WRITE, 0, 0), 0);
        if (w->in.any.opened.n_groups)
                assert_int_equal(w->in.any.opened.groups[0].flags, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_hello),
                TEST(test_create_defaults),
                TEST(test_create_everything),
                TEST(test_create_contradictions),
                TEST(test_create_out_of_range),
                TEST(test_slots_at_the_edge),
                TEST(test_names),
                TEST(test_max_segments),
                TEST(test_max_bytes),
                TEST(test_max_clients),
                TEST(test_writers_at_the_edge),
                TEST(test_readers_of_one_user_make_a_second_group),
                TEST(test_open_out_of_range),
                TEST(test_opened),
                TEST(test_frames),
                TEST(test_descriptors),
                TEST(test_locks),
                TEST(test_wait_until_it_exists),
                TEST(test_many_wait),
                TEST(test_gone_with_a_reply_unread),
                TEST(test_two_creates_at_once),
                TEST(test_a_creator_that_vanishes),
                TEST(test_a_large_create_holds_up_nobody),
                TEST(test_sparse_beyond_the_memory),
                TEST(test_not_enough_memory),
                TEST(test_huge_pages_that_are_not_there),
                TEST(test_huge_pages),
                TEST(test_notices_of_comings_and_goings),
                TEST(test_remove),
                TEST(test_ephemeral),
                TEST(test_list_ten_thousand),
                TEST(test_list_order_of_bytes),
                TEST(test_another_user),
                TEST(test_what_another_user_can_do_with_descriptors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
