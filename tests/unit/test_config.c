/* test_config.c -- configuration files: what they may say, and what is told of those that are wrong. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/config.h"
#include "daemon/options.h"
#include "daemon/peer.h"
#include "tests/support.h"

#define LONGEST_LINE 197 /* of inih as it usually is */

struct config_test {
        int fd;
        int fds;
        char path[64];
        char text[OPTIONS_TEXT_SIZE];
        struct options options;
};

static int setup(void **state) {
        struct config_test *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        t->fds = fd_count();
        t->fd = memfd_create("conf", MFD_CLOEXEC);
        assert_return_code(t->fd, errno);
        (void)snprintf(t->path, sizeof(t->path), "/proc/self/fd/%d", t->fd);
        options_init(&t->options);
        *state = t;
        return 0;
}

static int teardown(void **state) {
        struct config_test *t = *state;
        int fds = t->fds;

        options_deinit(&t->options);
        (void)close(t->fd);
        free(t);
        assert_int_equal(fd_count(), fds);
        return 0;
}

static int read_bytes(struct config_test *t, const char *bytes, size_t size) {
        options_deinit(&t->options);
        options_init(&t->options);
        t->text[0] = '\0';
        assert_return_code(ftruncate(t->fd, 0), errno);
        assert_int_equal(pwrite(t->fd, bytes, size, 0), size);
        return config_read(&t->options, t->path, t->text, sizeof(t->text));
}

static void good(struct config_test *t, const char *content) {
        int r = read_bytes(t, content, strlen(content));

        if (r)
                fail_msg("%d: %s", r, t->text);
}

/* It is wrong in that line, with these words after it. */
static void wrong_bytes(struct config_test *t, const char *content, size_t size, unsigned line, const char *word,
                        const char *right) {
        char place[96];

        assert_int_equal(read_bytes(t, content, size), OPTIONS_E_WRONG);
        (void)snprintf(place, sizeof(place), "%s:%u: ", t->path, line);
        if (strncmp(t->text, place, strlen(place)) != 0 || !strstr(t->text, word) || !strstr(t->text, right))
                fail_msg("'%s' does not begin with '%s' and name '%s' and '%s'", t->text, place, word, right);
}

static void wrong(struct config_test *t, const char *content, unsigned line, const char *word, const char *right) {
        wrong_bytes(t, content, strlen(content), line, word, right);
}

/* ---- files that are right --------------------------------------------------------------------------------------- */

/* Member by member: what lies between them may be anything. */
static void assert_initial(const struct options *o) {
        struct options initial;

        options_init(&initial);
        assert_int_equal(o->replace, initial.replace);
        assert_null(o->socket);
        assert_int_equal(o->max_segments, initial.max_segments);
        assert_int_equal(o->max_bytes, initial.max_bytes);
        assert_int_equal(o->max_segment_bytes, initial.max_segment_bytes);
        assert_int_equal(o->max_clients, initial.max_clients);
        assert_int_equal(o->admins, initial.admins);
        assert_int_equal(o->user_segments, initial.user_segments);
        assert_int_equal(o->user_bytes, initial.user_bytes);
        assert_int_equal(o->user_clients, initial.user_clients);
        assert_int_equal(o->user_handles, initial.user_handles);
        assert_int_equal(o->user_waiting, initial.user_waiting);
        assert_int_equal(o->client_timeout, initial.client_timeout);
        assert_int_equal(o->log_level, initial.log_level);
        assert_int_equal(o->naming.n, 0);
}

static void test_nothing_said(void **state) {
        static const char *const contents[] = {
                "", "\n", "# x\n; y\n", "[shmd]", "[shmd]\n\n[shmd]\r\n", "\xef\xbb\xbf[shmd]"
        };
        struct config_test *t = *state;

        for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
                good(t, contents[i]);
                assert_initial(&t->options);
        }
}

static void test_every_option(void **state) {
        struct config_test *t = *state;

        good(t, "# the whole\n"
                "[shmd] ; with a comment\n"
                "socket = /run/a b/sock\n"
                "max-segments=1\n"
                "  max-bytes : 2K ; two\n"
                "\tmax-segment-bytes = 3M\r\n"
                "\n"
                "[shmd]\n"
                "max-clients=4\n"
                "log-level = debug");
        assert_string_equal(t->options.socket, "/run/a b/sock");
        assert_int_equal(t->options.max_segments, 1);
        assert_int_equal(t->options.max_bytes, 2048);
        assert_int_equal(t->options.max_segment_bytes, 3 << 20);
        assert_int_equal(t->options.max_clients, 4);
        assert_int_equal(t->options.log_level, LOG_DEBUG);
}

static void test_names(void **state) {
        static const struct peer someone = { .uid = 60001, .gid = 60001 };
        struct config_test *t = *state;

        good(t, "[names]\ncam/ = user 60001\ncam/x=nobody\n[shmd]\nadmin-group = root\n[names]\n* : group root\n");
        assert_int_equal(t->options.admins, 0);
        assert_true(naming_may_create(&t->options.naming, "cam/a", &someone));
        assert_false(naming_may_create(&t->options.naming, "cam/x", &someone));
        assert_false(naming_may_create(&t->options.naming, "a", &someone));
}

static void test_a_line_as_long_as_may_be(void **state) {
        struct config_test *t = *state;
        char content[512] = "[shmd]\nsocket = ";
        size_t begin = strlen("[shmd]\n");

        memset(content + strlen(content), 'x', sizeof(content) - 1 - strlen(content));
        content[begin + LONGEST_LINE] = '\0';
        good(t, content);
        assert_int_equal(strlen(t->options.socket), LONGEST_LINE - strlen("socket = "));
        content[begin + LONGEST_LINE] = 'x';
        wrong(t, content, 2, "504 bytes", "197");
}

/* ---- files that are wrong --------------------------------------------------------------------------------------- */

static void test_keys(void **state) {
        struct config_test *t = *state;

        wrong(t, "[shmd]\nmax-segmnets = 1\n", 2, "'max-segmnets'", "max-segments, max-bytes");
        wrong(t, "[shmd]\nMAX-SEGMENTS = 1\n", 2, "'MAX-SEGMENTS'", "max-segments, max-bytes");
        wrong(t, "[shmd]\nconfig = /x\n", 2, "'config'", "max-segments, max-bytes");
        wrong(t, "[shmd]\n\n = 1\n", 3, "''", "max-segments, max-bytes");
        wrong(t, "\n\nmax-segments = 1\n", 3, "'max-segments'", "[shmd]");
        wrong(t, "[shmd]\nmax-clients = 1\n# x\nmax-clients = 1\n", 4, "max-clients is already in line 2", "once");
}

static void test_values(void **state) {
        struct config_test *t = *state;

        wrong(t, "[shmd]\nmax-segments =\n", 2, "max-segments is ''", "number from 1 up");
        wrong(t, "[shmd]\nmax-segments = 1K\n", 2, "max-segments is '1K'", "number from 1 up");
        wrong(t, "[shmd]\nmax-bytes = 1 # one\n", 2, "max-bytes is '1 # one'", "K, M, G or T");
        wrong(t, "[shmd]\nmax-clients = 1\n  max-bytes = x\n", 3, "max-bytes is 'x'", "K, M, G or T");
        wrong(t, "[shmd]\nsocket =", 2, "socket is empty", "path");
        wrong(t, "[shmd]\nadmin-group = no such group", 2, "admin-group is 'no such group'", "name or number");
        wrong(t, "[shmd]\nadmin-group = 4294967295", 2, "admin-group is '4294967295'", "name or number");
        wrong(t, "[shmd]\nadmin-group =", 2, "admin-group is ''", "name or number");
        wrong(t, "[shmd]\nlog-level = loud", 2, "log-level is 'loud'", "notice");
}

static void test_sections(void **state) {
        struct config_test *t = *state;

        wrong(t, "[shmd]\n[daemon]\n", 2, "[daemon]", "[shmd]");
        wrong(t, "[]\n", 1, "[]", "[shmd] and [names]");
        wrong(t, "[name]\n", 1, "[name]", "[shmd] and [names]");
        wrong(t, "[shm]\n", 1, "[shm]", "[shmd]");
        wrong(t, "[shmd2]\n", 1, "[shmd2]", "[shmd]");
        wrong(t, "[shmd] max-clients = 1\n", 1, "'max-clients = 1'", "a line of its own");
}

static void test_no_lines_of_ours(void **state) {
        struct config_test *t = *state;

        wrong(t, "[shmd\n", 1, "neither", "key = value");
        wrong(t, "[shmd]\nhello\nmax-clients = 1\n", 2, "neither", "key = value");
        /* The first of two is told. */
        wrong(t, "[shmd]\nhello\n\nmax-clients = x\n", 2, "neither", "key = value");
        wrong(t, "[shmd]\nmax-clients = x\nhello\n", 2, "max-clients", "number");
        wrong_bytes(t, "[shmd]\n#\0\nmax-clients = 1\n", 26, 2, "byte 0", "text");
}

static void test_wrong_names(void **state) {
        struct config_test *t = *state;

        wrong(t, "[names]\na =\n", 2, "a: '' is nobody", "'group NAME'");
        wrong(t, "[names]\na = any,\n", 2, "a: '' is nobody", "'group NAME'");
        wrong(t, "[names]\na = alice\n", 2, "a: 'alice' is nobody", "'user NAME'");
        wrong(t, "[names]\na = user\n", 2, "a: 'user' is nobody", "'user NAME'");
        wrong(t, "[names]\na = any one\n", 2, "a: 'any one' is nobody", "'user NAME'");
        wrong(t, "[names]\na = user root group root\n", 2, "no user 'root group root'", "user's name or number");
        wrong(t, "[names]\n\na = user root, group no such group\n", 3, "a: there is no group 'no such group'",
              "group's name or number");
        wrong(t, "[names]\na = user 4294967295\n", 2, "no user '4294967295'", "user's name or number");
        wrong(t, "[names]\na = user root, nobody\n", 2, "a: 'nobody' is not all", "stand alone");
        wrong(t, "[names]\na = any\nb = any\na = user root\n", 4, "a: 'user root' is not all", "stand alone");
        wrong(t, "[names]\na = nobody\na = nobody\n", 3, "a: 'nobody' is not all", "stand alone");
        wrong(t, "[names]\n/a = any\n", 2, "no name begins with '/a'", "slash");
        wrong(t, "[names]\na/../b = any\n", 2, "no name begins with 'a/../b'", "..");
        wrong(t, "[names]\na//= any\n", 2, "no name begins with 'a//'", "part");
        wrong(t, "[names]\na* = any\n", 2, "no name begins with 'a*'", "* for all");
        wrong(t, "[names]\n = any\n", 2, "no name begins with ''", "* for all");
}

static void test_no_files(void **state) {
        struct config_test *t = *state;

        assert_int_equal(config_read(&t->options, "/proc/self/none", t->text, sizeof(t->text)), OPTIONS_E_WRONG);
        assert_non_null(strstr(t->text, "/proc/self/none cannot be read: No such file"));
        assert_int_equal(config_read(&t->options, "/proc/self/fd", t->text, sizeof(t->text)), OPTIONS_E_WRONG);
        assert_non_null(strstr(t->text, "/proc/self/fd cannot be read: Is a directory"));
}

/* In any room the sentence ends. */
static void test_little_room(void **state) {
        struct config_test *t = *state;
        static const char content[] = "[shmd]\nmax-clients = x\n";

        assert_int_equal(pwrite(t->fd, content, strlen(content), 0), strlen(content));
        for (size_t room = 1; room < sizeof(t->text); room++) {
                memset(t->text, 'x', sizeof(t->text));
                assert_int_equal(config_read(&t->options, t->path, t->text, room), OPTIONS_E_WRONG);
                assert_non_null(memchr(t->text, '\0', room));
                assert_int_equal(t->text[room], 'x');
        }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_nothing_said),
                TEST(test_every_option),
                TEST(test_names),
                TEST(test_wrong_names),
                TEST(test_a_line_as_long_as_may_be),
                TEST(test_keys),
                TEST(test_values),
                TEST(test_sections),
                TEST(test_no_lines_of_ours),
                TEST(test_no_files),
                TEST(test_little_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
