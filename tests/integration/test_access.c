/* test_access.c -- who may do what to a segment, as several users: owners, mates of their groups, strangers, administrators.
 *
 * Who somebody is the daemon learns when a socket connects, so the test becomes somebody for the calls that connect. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/integration/library.h"

#define TEAM 61000
#define ADMINS 62000

struct somebody {
        uid_t uid;
        gid_t gid;
        size_t n_groups;
        gid_t groups[2];
};

static const struct somebody owner = { .uid = 60001, .gid = 60001, .n_groups = 1, .groups = { TEAM } };
static const struct somebody mate = { .uid = 60002, .gid = 60002, .n_groups = 2, .groups = { 61001, TEAM } };
static const struct somebody stranger = { .uid = 60003, .gid = 60003 };
static const struct somebody admin = { .uid = 60004, .gid = 60004, .n_groups = 1, .groups = { ADMINS } };
static const struct somebody chief = { .uid = 60005, .gid = ADMINS };
static const struct somebody root = { 0 };

/* From here on, for the kernel and so for the daemon. */
static void become(const struct somebody *s) {
        assert_return_code(seteuid(0), errno);
        assert_return_code(setgroups(s->n_groups, s->groups), errno);
        assert_return_code(setegid(s->gid), errno);
        assert_return_code(seteuid(s->uid), errno);
}

static struct shmd *connect_as(void **state, const struct somebody *s) {
        struct shmd *conn;

        become(s);
        OK(conn, shmd_connect(&conn, socket_path(state)));
        become(&root);
        return conn;
}

static int open_reader(struct shmd_reader **out, struct shmd *conn, const char *name, const struct somebody *s) {
        int r;

        become(s);
        r = shmd_reader_open(out, conn, name, 0, SOON);
        become(&root);
        return r;
}

static int open_writer(struct shmd_writer **out, struct shmd *conn, const char *name, const struct somebody *s) {
        int r;

        become(s);
        r = shmd_writer_open(out, conn, name, 0, SOON);
        become(&root);
        return r;
}

/* Each of these works, or fails as it should. */
static void expect_access(void **state, const struct somebody *s, const char *name, bool reads, bool writes) {
        struct shmd *conn = connect_as(state, s);
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_info info;
        char uid[32];

        (void)snprintf(uid, sizeof(uid), "you (uid %u) may not", s->uid);
        if (reads) {
                OK(conn, open_reader(&r, conn, name, s));
                shmd_reader_close(r);
                OK(conn, shmd_stat(conn, name, &info));
        } else {
                FAILS(conn, -EACCES, open_reader(&r, conn, name, s), name, uid, "read");
                FAILS(conn, -EACCES, shmd_stat(conn, name, &info), name, uid, "read");
        }
        if (writes) {
                OK(conn, open_writer(&w, conn, name, s));
                shmd_writer_close(w);
        } else {
                FAILS(conn, -EACCES, open_writer(&w, conn, name, s), name, uid, "write");
        }
        shmd_close(conn);
}

static void make_as(struct shmd *conn, const char *name, uint32_t mode) {
        const struct shmd_options options = { .slot_size = 16, .mode = mode };

        OK(conn, shmd_create(conn, name, &options));
}

struct names {
        unsigned n;
        char text[256];
};

static int collect(const struct shmd_info *info, void *data) {
        struct names *names = data;

        if (names->n++)
                (void)strcat(names->text, " ");
        (void)strcat(names->text, info->name);
        return 0;
}

static void expect_list(void **state, const struct somebody *s, const char *names) {
        struct shmd *conn = connect_as(state, s);
        struct names seen = { 0 };

        OK(conn, shmd_list(conn, NULL, collect, &seen));
        assert_string_equal(seen.text, names);
        shmd_close(conn);
}

/* ---- classes ---------------------------------------------------------------------------------------------------- */

/* The first class that fits decides, as for a file. */
static void test_owner_group_and_others(void **state) {
        struct shmd *conn = connect_as(state, &owner);

        make_as(conn, "s", 0400);
        for (uint32_t mode = 0; mode <= 0777; mode++) {
                if (mode & 0111)
                        continue; /* execution is nobody's business */
                OK(conn, shmd_chmod(conn, "s", mode));
                OK(conn, shmd_chown(conn, "s", SHMD_KEEP, TEAM));
                expect_access(state, &owner, "s", mode & 0400, mode & 0200);
                expect_access(state, &mate, "s", mode & 0040, mode & 0020);
                expect_access(state, &stranger, "s", mode & 0004, mode & 0002);
        }
        expect_access(state, &root, "s", true, true);
        expect_access(state, &admin, "s", true, true);
        expect_access(state, &chief, "s", true, true);
        shmd_close(conn);
}

static void test_lists(void **state) {
        static const uint32_t modes[] = { 0600, 0640, 0644, 0200, 0 };
        struct shmd *conn = connect_as(state, &owner);
        char name[2] = "a";

        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++, name[0]++) {
                make_as(conn, name, 0600);
                OK(conn, shmd_chown(conn, name, SHMD_KEEP, TEAM));
                OK(conn, shmd_chmod(conn, name, modes[i]));
        }
        expect_list(state, &owner, "a b c");
        expect_list(state, &mate, "b c");
        expect_list(state, &stranger, "c");
        expect_list(state, &admin, "a b c d e");
        expect_list(state, &chief, "a b c d e");
        expect_list(state, &root, "a b c d e");
        shmd_close(conn);
}

/* ---- chmod ------------------------------------------------------------------------------------------------------ */

static void expect_info(struct shmd *conn, const char *name, uint32_t uid, uint32_t gid, uint32_t mode) {
        struct shmd_info info;

        OK(conn, shmd_stat(conn, name, &info));
        assert_int_equal(info.uid, uid);
        assert_int_equal(info.gid, gid);
        assert_int_equal(info.mode, mode);
}

static void test_chmod(void **state) {
        static const struct somebody *const others[] = { &mate, &stranger };
        static const struct somebody *const able[] = { &owner, &admin, &chief, &root };
        struct shmd *conn = connect_as(state, &owner);
        uint32_t mode = 0666;

        make_as(conn, "s", mode);
        OK(conn, shmd_chown(conn, "s", SHMD_KEEP, TEAM));
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
                struct shmd *other = connect_as(state, others[i]);

                FAILS(other, -EPERM, shmd_chmod(other, "s", 0600), "s belongs to uid 60001", "mode");
                shmd_close(other);
        }
        expect_info(conn, "s", owner.uid, TEAM, mode);
        for (size_t i = 0; i < sizeof(able) / sizeof(able[0]); i++) {
                struct shmd *other = connect_as(state, able[i]);

                OK(other, shmd_chmod(other, "s", --mode));
                expect_info(conn, "s", owner.uid, TEAM, mode);
                shmd_close(other);
        }
        FAILS(conn, -EINVAL, shmd_chmod(conn, "s", 01000), "01000", "0777");
        FAILS(conn, -EINVAL, shmd_chmod(conn, "/s", 0600), "slash");
        FAILS(conn, -ENOENT, shmd_chmod(conn, "t", 0600), "no segment t");
        expect_info(conn, "s", owner.uid, TEAM, mode);
        shmd_close(conn);
}

/* What is open stays open. */
static void test_chmod_under_those_who_have_it_open(void **state) {
        struct shmd *conn = connect_as(state, &owner), *other = connect_as(state, &stranger);
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame frame;

        make_as(conn, "s", 0606);
        OK(other, open_reader(&r, other, "s", &stranger));
        OK(other, open_writer(&w, other, "s", &stranger));
        OK(conn, shmd_chmod(conn, "s", 0));
        expect_access(state, &stranger, "s", false, false);
        expect_access(state, &owner, "s", false, false);
        publish(w, 5, 1);
        expect_events(r, SHMD_EVENT_FRAME | SHMD_EVENT_WRITER_CAME);
        OK(other, shmd_reader_latest(r, &frame));
        assert_frame(&frame, 5, 1, 1, 0);
        OK(other, shmd_reader_release(r));
        assert_int_equal(shmd_reader_info(r)->mode, 0606);
        /* Who gave himself no right gives it back. */
        OK(conn, shmd_chmod(conn, "s", 0400));
        expect_access(state, &owner, "s", true, false);
        shmd_reader_close(r);
        shmd_writer_close(w);
        shmd_close(other);
        shmd_close(conn);
}

/* ---- chown ------------------------------------------------------------------------------------------------------ */

static void test_chown(void **state) {
        struct shmd *conn = connect_as(state, &owner), *other = connect_as(state, &stranger);
        struct shmd *boss = connect_as(state, &admin);

        make_as(conn, "s", 0644);
        /* The owner: to his groups, and to nobody else. */
        OK(conn, shmd_chown(conn, "s", SHMD_KEEP, SHMD_KEEP));
        OK(conn, shmd_chown(conn, "s", owner.uid, TEAM));
        expect_info(conn, "s", owner.uid, TEAM, 0644);
        FAILS(conn, -EPERM, shmd_chown(conn, "s", SHMD_KEEP, 61001), "s", "not in group 61001");
        FAILS(conn, -EPERM, shmd_chown(conn, "s", stranger.uid, SHMD_KEEP), "s", "administrators", "another user");
        FAILS(conn, -EPERM, shmd_chown(conn, "s", stranger.uid, TEAM), "s", "administrators", "another user");
        OK(conn, shmd_chown(conn, "s", SHMD_KEEP, owner.gid));
        expect_info(conn, "s", owner.uid, owner.gid, 0644);
        /* Others: nothing, not even what changes nothing. */
        FAILS(other, -EPERM, shmd_chown(other, "s", SHMD_KEEP, stranger.gid), "s belongs to uid 60001");
        FAILS(other, -EPERM, shmd_chown(other, "s", stranger.uid, SHMD_KEEP), "s belongs to uid 60001");
        FAILS(other, -EPERM, shmd_chown(other, "s", SHMD_KEEP, SHMD_KEEP), "s belongs to uid 60001");
        expect_info(conn, "s", owner.uid, owner.gid, 0644);
        /* Administrators: anything. */
        OK(boss, shmd_chown(boss, "s", stranger.uid, 61001));
        expect_info(conn, "s", stranger.uid, 61001, 0644);
        FAILS(conn, -EPERM, shmd_chown(conn, "s", owner.uid, TEAM), "s belongs to uid 60003");
        FAILS(conn, -EPERM, shmd_chmod(conn, "s", 0666), "s belongs to uid 60003");
        FAILS(conn, -EPERM, shmd_remove(conn, "s"), "s belongs to uid 60003");
        /* He keeps a group that he is not in. */
        OK(other, shmd_chown(other, "s", stranger.uid, SHMD_KEEP));
        OK(other, shmd_chown(other, "s", SHMD_KEEP, 61001));
        OK(connection(state), shmd_chown(connection(state), "s", 0, 0));
        expect_info(conn, "s", 0, 0, 0644);
        OK(boss, shmd_chown(boss, "s", owner.uid, SHMD_KEEP));
        expect_info(conn, "s", owner.uid, 0, 0644);
        OK(conn, shmd_remove(conn, "s"));
        FAILS(conn, -ENOENT, shmd_chown(conn, "s", SHMD_KEEP, SHMD_KEEP), "no segment s");
        FAILS(conn, -EINVAL, shmd_chown(conn, "", SHMD_KEEP, SHMD_KEEP), "at least one byte");
        shmd_close(boss);
        shmd_close(other);
        shmd_close(conn);
}

static void hold(struct shmd_reader *r, uint64_t sequence) {
        struct shmd_frame frame;

        assert_return_code(shmd_reader_latest(r, &frame), 0);
        assert_int_equal(frame.sequence, sequence);
}

/* Is a writer of two slots kept from the next frame? */
static bool is_held_up(struct shmd_writer *w) {
        int r = shmd_writer_begin(w, &(void *){ NULL }, NULL, 0);

        if (r == -EAGAIN)
                return true;
        assert_int_equal(r, 0);
        assert_int_equal(shmd_writer_cancel(w), 0);
        return false;
}

/* Readers of the owner hold the writer up, and which they are is decided when they open. */
static void test_chown_under_those_who_have_it_open(void **state) {
        const struct shmd_options options = { .slot_size = 16, .n_slots = 2, .mode = 0666, .policy = SHMD_BLOCK };
        struct shmd *conn = connect_as(state, &owner);
        struct shmd_reader *before, *late, *new;
        struct shmd_writer *w;

        OK(conn, shmd_create(conn, "s", &options));
        w = writer(connection(state), "s");
        OK(conn, open_reader(&before, conn, "s", &owner));
        OK(conn, open_reader(&new, conn, "s", &stranger));
        publish(w, 1, 1);
        hold(new, 1);
        publish(w, 1, 2);
        assert_false(is_held_up(w));
        assert_int_equal(shmd_reader_release(new), -ESTALE);
        new = shmd_reader_close(new);
        hold(before, 2);
        publish(w, 1, 3);
        assert_true(is_held_up(w));

        OK(connection(state), shmd_chown(connection(state), "s", stranger.uid, SHMD_KEEP));
        assert_true(is_held_up(w));
        assert_int_equal(shmd_reader_info(before)->uid, owner.uid);
        assert_int_equal(shmd_reader_release(before), 0);
        assert_false(is_held_up(w));
        /* Of the new owner's uid, and of what is now another uid than the owner's. */
        OK(conn, open_reader(&new, conn, "s", &stranger));
        OK(conn, open_reader(&late, conn, "s", &owner));
        assert_int_equal(shmd_reader_info(late)->uid, stranger.uid);
        hold(new, 3);
        publish(w, 1, 4);
        assert_true(is_held_up(w));
        assert_int_equal(shmd_reader_release(new), 0);
        hold(late, 4);
        publish(w, 1, 5);
        assert_false(is_held_up(w));
        publish(w, 1, 6);
        assert_int_equal(shmd_reader_release(late), -ESTALE);
        hold(before, 6);
        publish(w, 1, 7);
        assert_true(is_held_up(w));
        assert_int_equal(shmd_reader_release(before), 0);
        publish(w, 1, 8);
        shmd_reader_close(late);
        shmd_reader_close(new);
        shmd_reader_close(before);
        shmd_writer_close(w);
        shmd_close(conn);
}

/* ---- administrators --------------------------------------------------------------------------------------------- */

static void test_administrators(void **state) {
        static const struct somebody *const able[] = { &admin, &chief };
        struct shmd *conn = connect_as(state, &owner);

        for (size_t i = 0; i < sizeof(able) / sizeof(able[0]); i++) {
                struct shmd *boss = connect_as(state, able[i]);
                const struct shmd_options same = { .slot_size = 16 };

                make_as(conn, "s", 0600);
                assert_int_equal(shmd_create(boss, "s", &same), 1);
                OK(boss, shmd_remove(boss, "s"));
                /* What they make is theirs. */
                make_as(boss, "t", 0600);
                expect_info(boss, "t", able[i]->uid, able[i]->gid, 0600);
                expect_access(state, &owner, "t", false, false);
                OK(boss, shmd_remove(boss, "t"));
                shmd_close(boss);
        }
        shmd_close(conn);
}

static int setup_admins(void **state) {
        static const char *const arguments[] = { "--admin-group", "62000", NULL };

        return library_setup_with(state, arguments);
}

/* Without the option they are strangers. */
static void test_no_administrators(void **state) {
        struct shmd *conn = connect_as(state, &owner);

        make_as(conn, "s", 0600);
        expect_access(state, &admin, "s", false, false);
        expect_access(state, &chief, "s", false, false);
        expect_list(state, &admin, "");
        expect_access(state, &root, "s", true, true);
        shmd_close(conn);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static int config; /* a file without a name of its own */

static void configure(const char *content) {
        assert_return_code(ftruncate(config, 0), errno);
        assert_int_equal(pwrite(config, content, strlen(content), 0), strlen(content));
}

static int setup_names(void **state) {
        char path[64];
        const char *const arguments[] = { "--config", path, NULL };

        config = memfd_create("conf", MFD_CLOEXEC);
        assert_return_code(config, errno);
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), config);
        configure("[names]\n"
                  "cam/ = group 61000, user root\n"
                  "cam/front/ = user 60003\n"
                  "cam/free = any\n"
                  "sys = nobody\n"
                  "[shmd]\n"
                  "admin-group = 62000\n");
        return library_setup_with(state, arguments);
}

static int teardown_names(void **state) {
        int r = library_teardown(state);

        (void)close(config);
        return r;
}

static void expect_creation(void **state, const struct somebody *s, const char *name, const char *rule) {
        const struct shmd_options options = { .slot_size = 16, .mode = 0666 };
        struct shmd *conn = connect_as(state, s);
        char uid[32];

        (void)snprintf(uid, sizeof(uid), "uid %u", s->uid);
        if (rule) {
                FAILS(conn, -EACCES, shmd_create(conn, name, &options), name, uid, rule);
        } else {
                OK(conn, shmd_create(conn, name, &options));
                OK(conn, shmd_remove(conn, name));
        }
        shmd_close(conn);
}

static void test_names(void **state) {
        static const char team[] = "names that begin with cam/ are for group 61000, user root";
        static const char front[] = "names that begin with cam/front/ are for user 60003";
        static const char none[] = "names that begin with sys are for nobody";

        expect_creation(state, &owner, "cam/a", NULL);
        expect_creation(state, &mate, "cam/a", NULL);
        expect_creation(state, &stranger, "cam/a", team);
        expect_creation(state, &owner, "cam/front/a", front);
        expect_creation(state, &stranger, "cam/front/a", NULL);
        expect_creation(state, &stranger, "cam/front", team);
        expect_creation(state, &stranger, "cam/free", NULL);
        expect_creation(state, &stranger, "cam/freedom", NULL);
        expect_creation(state, &stranger, "cam", NULL);
        expect_creation(state, &stranger, "camera", NULL);
        expect_creation(state, &owner, "sys", none);
        expect_creation(state, &owner, "system/a", none);
        expect_creation(state, &owner, "sy", NULL);
        for (unsigned i = 0; i < 3; i++) {
                static const struct somebody *const able[] = { &root, &admin, &chief };

                expect_creation(state, able[i], "cam/a", NULL);
                expect_creation(state, able[i], "cam/front/a", NULL);
                expect_creation(state, able[i], "sys", NULL);
        }
}

/* The rules are about new names: what exists may be used, and changed by its owner. */
static void test_names_that_exist(void **state) {
        const struct shmd_options options = { .slot_size = 16 };
        struct shmd *conn = connect_as(state, &stranger), *boss = connect_as(state, &root);

        make_as(boss, "sys", 0644);
        assert_int_equal(shmd_create(conn, "sys", &options), 1);
        expect_access(state, &stranger, "sys", true, false);
        OK(boss, shmd_chown(boss, "sys", stranger.uid, stranger.gid));
        OK(conn, shmd_chmod(conn, "sys", 0600));
        OK(conn, shmd_remove(conn, "sys"));
        FAILS(conn, -EACCES, shmd_create(conn, "sys", &options), "nobody");
        shmd_close(boss);
        shmd_close(conn);
}

/* Who is connected is under the new rules as well. */
static void test_names_anew(void **state) {
        const struct shmd_options options = { .slot_size = 16 };
        struct shmd *conn = connect_as(state, &stranger), *boss = connect_as(state, &admin);
        struct shmd *friend = connect_as(state, &mate);
        int r;

        make_as(conn, "a", 0600);
        OK(boss, shmd_chmod(boss, "a", 0400));
        configure("[shmd]\nadmin-group = 61001\n[names]\n* = user 60003\na = nobody\n");
        assert_return_code(kill(fixture_pid(((struct library *)*state)->daemon), SIGHUP), errno);
        while ((r = shmd_chmod(boss, "a", 0400)) == 0)
                continue;
        assert_int_equal(r, -EPERM);
        OK(friend, shmd_chmod(friend, "a", 0600));
        FAILS(boss, -EACCES, shmd_create(boss, "b", &options),
              "names for which there is no other rule are for user 60003");
        OK(conn, shmd_create(conn, "b", &options));
        OK(conn, shmd_remove(conn, "a"));
        FAILS(conn, -EACCES, shmd_create(conn, "a", &options), "names that begin with a are for nobody");
        OK(friend, shmd_create(friend, "a", &options));
        shmd_close(friend);
        shmd_close(boss);
        shmd_close(conn);
}

#define ACCESS_TEST(test, setup) cmocka_unit_test_setup_teardown(test, setup, library_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ACCESS_TEST(test_owner_group_and_others, setup_admins),
                ACCESS_TEST(test_lists, setup_admins),
                ACCESS_TEST(test_chmod, setup_admins),
                ACCESS_TEST(test_chmod_under_those_who_have_it_open, setup_admins),
                ACCESS_TEST(test_chown, setup_admins),
                ACCESS_TEST(test_chown_under_those_who_have_it_open, setup_admins),
                ACCESS_TEST(test_administrators, setup_admins),
                ACCESS_TEST(test_no_administrators, library_setup),
                cmocka_unit_test_setup_teardown(test_names, setup_names, teardown_names),
                cmocka_unit_test_setup_teardown(test_names_that_exist, setup_names, teardown_names),
                cmocka_unit_test_setup_teardown(test_names_anew, setup_names, teardown_names),
        };

        if (geteuid() != 0) {
                print_message("not root: skipped\n");
                return 77;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
