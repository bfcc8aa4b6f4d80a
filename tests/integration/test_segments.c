/* test_segments.c -- what can be done with a segment without opening it: create, describe, list, remove. */
#define _GNU_SOURCE
#include <grp.h>

#include "tests/integration/library.h"

static void test_defaults(void **state) {
        const struct shmd_options options = { .slot_size = 1000 };
        struct shmd *conn = connection(state);
        struct timespec ts;
        struct shmd_info info;
        uint64_t now;

        assert_int_equal(shmd_create(conn, "s", &options), 0);
        (void)clock_gettime(CLOCK_REALTIME, &ts);
        now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
        memset(&info, 0xff, sizeof(info));
        OK(conn, shmd_stat(conn, "s", &info));
        assert_true(info.id > 0);
        assert_int_equal(info.slot_size, 1000);
        assert_true(info.bytes >= 4 * 1000 && info.bytes <= 4 * 4096 + 65536);
        assert_true(info.allocated >= 4 * 1000);
        assert_int_equal(info.sequence, 0);
        assert_int_equal(info.timestamp, 0);
        assert_true(info.created <= now && info.created + 60000000000u > now);
        assert_int_equal(info.n_slots, 4);
        assert_int_equal(info.policy, SHMD_OVERWRITE);
        assert_int_equal(info.flags, 0);
        assert_int_equal(info.mode, 0600);
        assert_int_equal(info.uid, getuid());
        assert_int_equal(info.gid, getgid());
        assert_int_equal(info.writers, 0);
        assert_int_equal(info.readers, 0);
        assert_string_equal(info.name, "s");
        assert_string_equal(info.type, "");
}

static void test_stat_follows_frames(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_info info;
        struct shmd_writer *w;
        uint64_t before;

        for (uint32_t n_slots = 1; n_slots < 5; n_slots += 3) {
                make(conn, "s", 100, n_slots, 0);
                w = writer(conn, "s");
                for (unsigned n = 1; n <= 20; n++) {
                        before = monotonic_ns();
                        publish(w, 100, n);
                        OK(conn, shmd_stat(conn, "s", &info));
                        assert_int_equal(info.sequence, n);
                        assert_true(info.timestamp >= before && info.timestamp <= monotonic_ns());
                }
                shmd_writer_close(w);
                OK(conn, shmd_remove(conn, "s"));
        }
}

/* Created again, a segment is that one if it fits, and the sentence names everything in which it does not. */
static void test_exists(void **state) {
        static char type[] = "uint8[4]";
        const struct shmd_options is = {
                .slot_size = 4096,
                .n_slots = 5,
                .mode = 0640,
                .policy = SHMD_BLOCK,
                .flags = SHMD_SPARSE,
                .type = type,
        };
        const struct shmd_options whatever = { 0 }, *same = &is;
        struct shmd *conn = connection(state);
        struct shmd_options o;
        struct shmd_info before, after;

        assert_int_equal(shmd_create(conn, "s", &is), 0);
        OK(conn, shmd_stat(conn, "s", &before));
        assert_int_equal(shmd_create(conn, "s", same), 1);
        assert_int_equal(shmd_create(conn, "s", &whatever), 1);
        o = is;
        o.flags |= SHMD_EXCLUSIVE;
        FAILS(conn, -EEXIST, shmd_create(conn, "s", &o), "s exists");
        o = is;
        o.slot_size = 4097;
        FAILS(conn, -EEXIST, shmd_create(conn, "s", &o), "slot size", "4096", "4097");
        o = is;
        o.n_slots = 6;
        FAILS(conn, -EEXIST, shmd_create(conn, "s", &o), "slots", "5", "6");
        o = is;
        o.mode = 0600;
        FAILS(conn, -EEXIST, shmd_create(conn, "s", &o), "mode", "0640", "0600");
        o = is;
        o.policy = SHMD_OVERWRITE;
        FAILS(conn, -EEXIST, shmd_create(conn, "s", &o), "policy", "block", "overwrite");
        o = is;
        o.foreign_holds = 2;
        FAILS(conn, -EEXIST, shmd_create(conn, "s", &o), "foreign holds", "1", "2");
        o = is;
        o.flags = SHMD_EPHEMERAL;
        FAILS(conn, -EEXIST, shmd_create(conn, "s", &o), "flags", "sparse", "ephemeral");
        o = is;
        o.type = "uint8[5]";
        FAILS(conn, -EEXIST, shmd_create(conn, "s", &o), "type", "uint8[4]", "uint8[5]");
        o = (struct shmd_options){
                .slot_size = 1, .n_slots = 1, .mode = 1, .policy = 1, .flags = SHMD_EPHEMERAL, .type = "x"
        };
        FAILS(conn, -EEXIST, shmd_create(conn, "s", &o), "slot size", "slots", "mode", "policy", "flags", "type");
        OK(conn, shmd_stat(conn, "s", &after));
        assert_memory_equal(&before, &after, sizeof(before));
}

static void test_invalid(void **state) {
        static char type[SHMD_TYPE_MAX + 2];
        const struct shmd_options good = { .slot_size = 100 };
        struct shmd *conn = connection(state);
        struct shmd_options o;
        struct shmd_info info;

        o = good;
        o.slot_size = 0;
        FAILS(conn, -EINVAL, shmd_create(conn, "s", &o), "slot size");
        o.slot_size = UINT64_MAX;
        FAILS(conn, -EINVAL, shmd_create(conn, "s", &o), "slot size", "18446744073709551615");
        o = good;
        o.n_slots = SHMD_SLOTS_MAX + 1;
        FAILS(conn, -EINVAL, shmd_create(conn, "s", &o), "slots", "4097", "4096");
        o.n_slots = UINT32_MAX;
        FAILS(conn, -EINVAL, shmd_create(conn, "s", &o), "slots", "4294967295", "4096");
        o = good;
        o.mode = 01777;
        FAILS(conn, -EINVAL, shmd_create(conn, "s", &o), "mode", "1777");
        o = good;
        o.policy = 3;
        FAILS(conn, -EINVAL, shmd_create(conn, "s", &o), "policy", "3");
        o = good;
        o.flags = 0x40000000;
        FAILS(conn, -EINVAL, shmd_create(conn, "s", &o), "flags", "40000000");
        o = good;
        memset(type, 'x', SHMD_TYPE_MAX + 1);
        o.type = type;
        FAILS(conn, -EINVAL, shmd_create(conn, "s", &o), "type", "1025", "1024");
        FAILS(conn, -ENOENT, shmd_stat(conn, "s", &info), "s");

        type[SHMD_TYPE_MAX] = '\0';
        OK(conn, shmd_create(conn, "s", &o));
        OK(conn, shmd_stat(conn, "s", &info));
        assert_string_equal(info.type, type);
}

static void test_names(void **state) {
        static const struct {
                const char *name, *word;
        } bad[] = {
                { "", "at least one" }, { "/", "slash" },     { "a b", "byte 2" },  { "a/", "byte" },
                { "a//b", "byte 3" },   { "..", "'..'" },     { "a/..", "'..'" },   { "a/../b", "'..'" },
                { "caf\xc3\xa9", "4" }, { "a\nb", "byte 2" }, { "a\\b", "byte 2" }, { "*", "byte 1" },
        };
        static const char *const good[] = { "a", "A/b-C_d.e/0", ".", "...", ".hidden", "a.", "-", "_", "a/.b" };
        const struct shmd_options options = { .slot_size = 1, .n_slots = 1 };
        struct shmd *conn = connection(state);
        char name[SHMD_NAME_MAX + 2];
        struct shmd_info info;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                FAILS(conn, -EINVAL, shmd_create(conn, bad[i].name, &options), bad[i].word);
                FAILS(conn, -EINVAL, shmd_stat(conn, bad[i].name, &info), bad[i].word);
                FAILS(conn, -EINVAL, shmd_remove(conn, bad[i].name), bad[i].word);
        }
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                OK(conn, shmd_create(conn, good[i], &options));
                OK(conn, shmd_stat(conn, good[i], &info));
                assert_string_equal(info.name, good[i]);
                OK(conn, shmd_remove(conn, good[i]));
        }
        memset(name, 'n', sizeof(name));
        name[SHMD_NAME_MAX + 1] = '\0';
        FAILS(conn, -EINVAL, shmd_create(conn, name, &options), "200");
        name[SHMD_NAME_MAX] = '\0';
        OK(conn, shmd_create(conn, name, &options));
        OK(conn, shmd_stat(conn, name, &info));
        assert_string_equal(info.name, name);
}

/* Every number of slots at the edges, and slots that are not a multiple of anything. */
static void test_shapes(void **state) {
        static const uint32_t slots[] = { 1, 2, 3, 4, 5, 63, 64, 65, 4095, 4096 };
        static const uint64_t sizes[] = { 1, 100, 4096, 65537 };
        struct shmd *conn = connection(state);

        for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
                for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
                        struct shmd_writer *w;
                        struct shmd_info info;

                        if (slots[i] * sizes[j] > 1 << 24)
                                continue;
                        make(conn, "s", sizes[j], slots[i], 0);
                        OK(conn, shmd_stat(conn, "s", &info));
                        assert_int_equal(info.n_slots, slots[i]);
                        assert_int_equal(info.slot_size, sizes[j]);
                        assert_true(info.bytes >= slots[i] * sizes[j]);
                        assert_true(info.allocated >= info.bytes);
                        w = writer(conn, "s");
                        for (uint32_t n = 0; n < slots[i] + 2; n++)
                                publish(w, sizes[j], n);
                        shmd_writer_close(w);
                        OK(conn, shmd_remove(conn, "s"));
                }
}

static void test_sparse(void **state) {
        const struct shmd_options options = { .slot_size = 16 << 20, .n_slots = 4, .flags = SHMD_SPARSE };
        const struct shmd_options whole = { .slot_size = 1 << 20, .n_slots = 4 };
        struct shmd *conn = connection(state);
        struct shmd_writer *w;
        struct shmd_info info;

        assert_int_equal(shmd_create(conn, "s", &options), 0);
        OK(conn, shmd_stat(conn, "s", &info));
        assert_int_equal(info.flags, SHMD_SPARSE);
        assert_true(info.bytes >= 64 << 20);
        assert_true(info.allocated < 1 << 20);
        w = writer(conn, "s");
        publish(w, 2 << 20, 1);
        OK(conn, shmd_stat(conn, "s", &info));
        assert_true(info.allocated >= 2 << 20 && info.allocated < 4 << 20);
        shmd_writer_close(w);

        assert_int_equal(shmd_create(conn, "whole", &whole), 0);
        OK(conn, shmd_stat(conn, "whole", &info));
        assert_true(info.allocated >= info.bytes);
}

/* With huge pages it works, without them it says what is missing. */
static void test_huge(void **state) {
        const struct shmd_options options = { .slot_size = 1 << 20, .n_slots = 2, .flags = SHMD_HUGE };
        struct shmd *conn = connection(state);
        struct shmd_info info;
        int e = shmd_create(conn, "s", &options);

        if (e == 0) {
                struct shmd_writer *w;

                OK(conn, shmd_stat(conn, "s", &info));
                assert_int_equal(info.flags, SHMD_HUGE);
                w = writer(conn, "s");
                publish(w, 1 << 20, 1);
                shmd_writer_close(w);
                return;
        }
        FAILS(conn, -ENOMEM, shmd_create(conn, "s", &options), "huge", "vm.nr_hugepages");
        FAILS(conn, -ENOENT, shmd_stat(conn, "s", &info), "s");
}

static void expect_gone(struct shmd *conn, const char *name) {
        const struct timespec pause = { .tv_nsec = 1000000 };
        struct shmd_info info;

        while (shmd_stat(conn, name, &info) != -ENOENT)
                (void)nanosleep(&pause, NULL); /* the time limit of the test ends it */
}

static void test_ephemeral(void **state) {
        const struct shmd_options options = { .slot_size = 10, .n_slots = 2, .flags = SHMD_EPHEMERAL };
        struct shmd *conn = connection(state);
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame f;
        struct shmd_info info;

        for (int last = 0; last < 2; last++) {
                OK(conn, shmd_create(conn, "s", &options));
                OK(conn, shmd_stat(conn, "s", &info)); /* nobody had it open yet: it stays */
                assert_int_equal(info.flags, SHMD_EPHEMERAL);
                w = writer(conn, "s");
                r = reader(conn, "s", 0);
                publish(w, 1, 1);
                if (last) {
                        shmd_reader_close(r);
                        expect_users(conn, "s", 1, 0);
                        shmd_writer_close(w);
                } else {
                        shmd_writer_close(w);
                        expect_users(conn, "s", 0, 1);
                        assert_int_equal(shmd_reader_latest(r, &f), 0);
                        shmd_reader_close(r);
                }
                expect_gone(conn, "s");
        }
}

static void test_remove(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_info info;
        uint64_t id = 0;

        FAILS(conn, -ENOENT, shmd_remove(conn, "absent"), "absent");
        for (int i = 0; i < 50; i++) {
                make(conn, "s", 100 + (unsigned)i, 2, 0);
                OK(conn, shmd_stat(conn, "s", &info));
                assert_true(info.id != id);
                id = info.id;
                OK(conn, shmd_remove(conn, "s"));
                FAILS(conn, -ENOENT, shmd_remove(conn, "s"), "s");
                FAILS(conn, -ENOENT, shmd_stat(conn, "s", &info), "s");
        }
}

/* ---- list ------------------------------------------------------------------------------------------------------- */

struct listing {
        unsigned n;
        unsigned stop_at;
        char last[SHMD_NAME_MAX + 1];
        bool in_order;
};

static int collect(const struct shmd_info *info, void *data) {
        struct listing *l = data;

        if (l->n && strcmp(l->last, info->name) >= 0)
                l->in_order = false;
        memcpy(l->last, info->name, sizeof(l->last));
        return ++l->n == l->stop_at ? -77 : 0;
}

static unsigned list(struct shmd *conn, const char *pattern) {
        struct listing l = { .in_order = true };

        OK(conn, shmd_list(conn, pattern, collect, &l));
        assert_true(l.in_order);
        return l.n;
}

static void test_list(void **state) {
        struct shmd *conn = connection(state);
        struct listing l = { .stop_at = 100 };
        char pattern[300], name[64];

        assert_int_equal(list(conn, NULL), 0);
        for (unsigned i = 0; i < 300; i++) { /* several pages */
                (void)snprintf(name, sizeof(name), "%s/%u", i % 3 ? "cam" : "lidar/front", i * 7919 % 300);
                make(conn, name, 1, 1, 0);
                if (i % 50 == 0)
                        assert_int_equal(list(conn, NULL), i + 1);
        }
        assert_int_equal(list(conn, NULL), 300);
        assert_int_equal(list(conn, ""), 300);
        assert_int_equal(list(conn, "*"), 300);
        assert_int_equal(list(conn, "cam/*"), 200);
        assert_int_equal(list(conn, "*/*/*"), 100);
        assert_int_equal(list(conn, "*front*"), 100);
        assert_int_equal(list(conn, "[!c]*"), 100);
        assert_int_equal(list(conn, "*/?"), 10);
        assert_int_equal(list(conn, "nothing"), 0);
        assert_int_equal(list(conn, "["), 0);
        assert_int_equal(shmd_list(conn, NULL, collect, &l), -77);
        assert_int_equal(l.n, 100);

        memset(pattern, '*', sizeof(pattern));
        pattern[255] = '\0';
        assert_int_equal(list(conn, pattern), 300);
        pattern[255] = '*';
        pattern[256] = '\0';
        FAILS(conn, -EINVAL, shmd_list(conn, pattern, collect, &l), "256", "255");
}

/* ---- somebody else ---------------------------------------------------------------------------------------------- */

struct somebody {
        const char *socket;
        uid_t uid;
};

static void try_everything(int fd, void *data) {
        const struct somebody *s = data;
        const struct shmd_options own = { .slot_size = 10 };
        struct listing l = { .in_order = true };
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_info info;

        (void)fd;
        CHILD_EQUAL(setgroups(0, NULL), 0);
        CHILD_EQUAL(setgid(s->uid), 0);
        CHILD_EQUAL(setuid(s->uid), 0);
        CHILD_EQUAL(shmd_connect(&conn, s->socket), 0);

        CHILD_EQUAL(shmd_stat(conn, "private", &info), -EACCES);
        CHILD_CHECK(strstr(shmd_error(conn), "private"));
        CHILD_EQUAL(shmd_reader_open(&r, conn, "private", 0, SOON), -EACCES);
        CHILD_CHECK(strstr(shmd_error(conn), "read"));
        CHILD_EQUAL(shmd_writer_open(&w, conn, "private", 0, SOON), -EACCES);
        CHILD_CHECK(strstr(shmd_error(conn), "write"));
        CHILD_EQUAL(shmd_create(conn, "private", &own), -EACCES);
        CHILD_EQUAL(shmd_remove(conn, "private"), -EPERM);
        CHILD_CHECK(strstr(shmd_error(conn), "private"));

        CHILD_EQUAL(shmd_stat(conn, "readable", &info), 0);
        CHILD_EQUAL(info.mode, 0644);
        CHILD_EQUAL(shmd_writer_open(&w, conn, "readable", 0, SOON), -EACCES);
        CHILD_EQUAL(shmd_remove(conn, "readable"), -EPERM);
        CHILD_EQUAL(shmd_reader_open(&r, conn, "readable", 0, SOON), 0);
        CHILD_EQUAL(shmd_reader_info(r)->uid, 0);
        shmd_reader_close(r);

        CHILD_EQUAL(shmd_writer_open(&w, conn, "writable", 0, SOON), 0);
        shmd_writer_close(w);
        CHILD_EQUAL(shmd_reader_open(&r, conn, "writable", 0, SOON), -EACCES);

        CHILD_EQUAL(shmd_create(conn, "own", &own), 0);
        CHILD_EQUAL(shmd_stat(conn, "own", &info), 0);
        CHILD_EQUAL(info.uid, s->uid);
        CHILD_EQUAL(shmd_list(conn, NULL, collect, &l), 0);
        CHILD_EQUAL(l.n, 2); /* own, readable */
        CHILD_EQUAL(shmd_remove(conn, "own"), 0);
        shmd_close(conn);
}

static void test_somebody_else(void **state) {
        static const struct {
                const char *name;
                uint32_t mode;
        } segments[] = { { "private", 0660 }, { "readable", 0644 }, { "writable", 0622 } };
        struct somebody somebody = { .socket = socket_path(state), .uid = 65534 };
        struct shmd *conn = connection(state);
        struct child c;

        if (geteuid() != 0) {
                print_message("not root: skipped\n");
                skip();
        }
        for (size_t i = 0; i < 3; i++) {
                struct shmd_options o = { .slot_size = 10, .n_slots = 2, .mode = segments[i].mode };

                OK(conn, shmd_create(conn, segments[i].name, &o));
        }
        child_start(&c, try_everything, &somebody);
        child_finish(&c);
        expect_users(conn, "readable", 0, 0);
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static int setup_limits(void **state) {
        static const char *const arguments[] = {
                "--max-segments", "10", "--max-bytes", "8M", "--max-segment-bytes", "3M", NULL,
        };

        return library_setup_with(state, arguments);
}

/* One byte below a limit is fine, one above is not, and nothing of what failed stays counted. */
static void test_limits(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_options o = { .n_slots = 1 };
        struct shmd_info info;
        uint64_t size = 3 << 20;
        char name[32];

        do { /* the largest slot that fits: the rest of the segment is its own business */
                size -= 4096;
                o.slot_size = size;
        } while (shmd_create(conn, "large0", &o) == -EFBIG);
        OK(conn, shmd_stat(conn, "large0", &info));
        assert_true(info.bytes <= 3 << 20 && info.bytes > (3 << 20) - 65536);
        o.slot_size = size + 4096;
        FAILS(conn, -EFBIG, shmd_create(conn, "s", &o), "3145728", "max-segment-bytes");
        o.flags = SHMD_SPARSE;
        FAILS(conn, -EFBIG, shmd_create(conn, "s", &o), "3145728", "max-segment-bytes");
        o = (struct shmd_options){ .n_slots = 1, .slot_size = size };
        OK(conn, shmd_create(conn, "large1", &o));
        for (int i = 0; i < 20; i++)
                FAILS(conn, -EDQUOT, shmd_create(conn, "s", &o), "8388608", "max-bytes");
        OK(conn, shmd_remove(conn, "large0"));
        OK(conn, shmd_create(conn, "large0", &o));
        OK(conn, shmd_remove(conn, "large0"));
        OK(conn, shmd_remove(conn, "large1"));

        o.slot_size = 1;
        for (int i = 0; i < 10; i++) {
                (void)snprintf(name, sizeof(name), "s%d", i);
                OK(conn, shmd_create(conn, name, &o));
        }
        for (int i = 0; i < 20; i++) {
                FAILS(conn, -ENOSPC, shmd_create(conn, "s10", &o), "10", "max-segments");
                OK(conn, shmd_create(conn, "s5", &o));
                OK(conn, shmd_remove(conn, "s5"));
                OK(conn, shmd_create(conn, "s5", &o));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_defaults),
                LIBRARY_TEST(test_stat_follows_frames),
                LIBRARY_TEST(test_exists),
                LIBRARY_TEST(test_invalid),
                LIBRARY_TEST(test_names),
                LIBRARY_TEST(test_shapes),
                LIBRARY_TEST(test_sparse),
                LIBRARY_TEST(test_huge),
                LIBRARY_TEST(test_ephemeral),
                LIBRARY_TEST(test_remove),
                LIBRARY_TEST(test_list),
                LIBRARY_TEST(test_somebody_else),
                cmocka_unit_test_setup_teardown(test_limits, setup_limits, library_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
