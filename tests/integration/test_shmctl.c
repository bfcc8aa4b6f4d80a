/* test_shmctl.c -- the real shmctl against the real daemon: every verb, option and error, and real data both ways. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/shmd.h"
#include "tests/integration/fixture.h"
#include "tests/support.h"

#define TAR_SIZE ((size_t)50 << 20)
#define PATIENCE 120 /* seconds until a program that hangs is killed, and its test fails */

/* ---- running shmctl --------------------------------------------------------------------------------------------- */

struct outcome {
        int status; /* exit status; -N: killed by signal N */
        char *out;  /* with a NUL behind it */
        size_t size;
        char *err;
};

static struct outcome last; /* of run(); what a failed assertion leaves behind is freed by the next one */

static int wait_for(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static uid_t run_as; /* 0: as we are */

/* Start a program; its descriptors are borrowed, -1 leaves that one closed. */
static pid_t start(const char *path, int in, int out, int err, const char *const *argv) {
        const int fds[] = { in, out, err };
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid)
                return pid;
        for (int i = 0; i < 3; i++)
                if (fds[i] < 0)
                        (void)close(i);
                else if (dup2(fds[i], i) < 0)
                        _exit(126);
        if (run_as && (setgid(run_as) || setuid(run_as)))
                _exit(126);
        (void)alarm(PATIENCE);
        (void)execvp(path, (char *const *)(uintptr_t)argv);
        _exit(127);
}

#define SHMCTL SHMD_BIN_DIR "/shmctl"
#define ARGS(...) ((const char *const[]){ "shmctl", __VA_ARGS__, NULL })

static int memory_file(void) {
        int fd = memfd_create("test", MFD_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static char *contents(int fd, size_t *size) {
        struct stat st;
        char *text;

        assert_int_equal(fstat(fd, &st), 0);
        text = malloc((size_t)st.st_size + 1);
        assert_non_null(text);
        for (off_t at = 0; at < st.st_size;) {
                ssize_t n = pread(fd, text + at, (size_t)(st.st_size - at), at);

                assert_true(n > 0);
                at += n;
        }
        text[st.st_size] = '\0';
        if (size)
                *size = (size_t)st.st_size;
        return text;
}

/* Run shmctl to its end, with @in as standard input. */
static void run_from(int in, const char *const *argv) {
        int out = memory_file(), err = memory_file();

        free(last.out);
        free(last.err);
        last = (struct outcome){ 0 };
        last.status = wait_for(start(SHMCTL, in, out, err, argv));
        last.out = contents(out, &last.size);
        last.err = contents(err, NULL);
        (void)close(out);
        (void)close(err);
}

static int input_of(const void *bytes, size_t size) {
        int fd = memory_file();

        assert_int_equal(write(fd, bytes, size), size);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static void run_with(const void *bytes, size_t size, const char *const *argv) {
        int in = input_of(bytes, size);

        run_from(in, argv);
        (void)close(in);
}

#define RUN(...) run_with("", 0, ARGS(__VA_ARGS__))
#define RUN_WITH(text, ...) run_with((text), strlen(text), ARGS(__VA_ARGS__))

static void expect_ok(void) {
        if (last.status)
                print_error("status %d: %s", last.status, last.err);
        assert_int_equal(last.status, 0);
        assert_string_equal(last.err, "");
}

static void expect_silence(void) {
        expect_ok();
        assert_int_equal(last.size, 0);
}

static void expect_output(const void *bytes, size_t size) {
        expect_ok();
        assert_int_equal(last.size, size);
        assert_memory_equal(last.out, bytes, size);
}

/* One sentence on standard error, with @what and @what_else in it, and nothing on standard output. */
static void expect_error(int status, const char *what, const char *what_else) {
        size_t length = strlen(last.err);

        if (last.status != status || !strstr(last.err, what) || !strstr(last.err, what_else))
                print_error("status %d for %d: \"%s\" lacks \"%s\" or \"%s\"\n", last.status, status, last.err, what,
                            what_else);
        assert_int_equal(last.status, status);
        assert_non_null(strstr(last.err, what));
        assert_non_null(strstr(last.err, what_else));
        assert_memory_equal(last.err, "shmctl: ", 8);
        assert_ptr_equal(strchr(last.err, '\n'), last.err + length - 1);
        assert_int_equal(last.size, 0);
}

/* ---- waiting for what the daemon reports ------------------------------------------------------------------------ */

static int n_fds;         /* of the test, before it begins */
static struct shmd *conn; /* of the test itself, for a look at the state */

static bool state_is(const char *name, int writers, int readers, uint64_t frames) {
        struct shmd_info info;

        if (shmd_stat(conn, name, &info) < 0)
                return false;
        return (writers < 0 || info.writers == (uint32_t)writers) &&
               (readers < 0 || info.readers == (uint32_t)readers) && info.sequence >= frames;
}

static void wait_until(const char *name, int writers, int readers, uint64_t frames) {
        while (!state_is(name, writers, readers, frames))
                (void)poll(NULL, 0, 1);
}

static void wait_until_drained(int pipe) {
        int n;

        do {
                (void)poll(NULL, 0, 1);
                assert_int_equal(ioctl(pipe, FIONREAD, &n), 0);
        } while (n > 0);
}

/* ---- the command line ------------------------------------------------------------------------------------------- */

static char long_type[SHMD_TYPE_MAX + 2];

static void test_usage(void **state) {
        static const struct {
                const char *args[8];
                const char *what, *hint;
        } wrong[] = {
                { { NULL }, "the verb is missing", "create, list, stat, remove, chmod, chown, write, read" },
                { { "bogus" }, "bogus", "create, list, stat, remove, chmod, chown, write, read" },
                { { "--bogus", "list" }, "--bogus", "shmctl --help" },
                { { "-x", "list" }, "-x", "shmctl --help" },
                { { "--version=1" }, "--version=1", "takes no value" },
                { { "-s" }, "-s", "needs a value" },
                { { "--socket" }, "--socket", "needs a value" },
                { { "list", "--socket" }, "--socket", "needs a value" },

                { { "create", "--size", "1" }, "the name of the segment is missing", "shmctl create --help" },
                { { "create", "a", "b", "--size", "1" }, "b is too much", "the name of the segment" },
                { { "create", "a" }, "--size is missing", "shmctl create --help" },
                { { "create", "a", "--size" }, "--size", "needs a value" },
                { { "create", "a", "--size", "0" }, "--size 0", "from 1" },
                { { "create", "a", "--size", "" }, "--size", "6220800" },
                { { "create", "a", "--size", "-1" }, "--size -1", "6220800" },
                { { "create", "a", "--size", " 1" }, "--size  1", "6220800" },
                { { "create", "a", "--size", "+1" }, "--size +1", "6220800" },
                { { "create", "a", "--size", "12Q" }, "--size 12Q", "K M G T" },
                { { "create", "a", "--size", "1KB" }, "--size 1KB", "K M G T" },
                { { "create", "a", "--size", "K" }, "--size K", "K M G T" },
                { { "create", "a", "--size", "0x10" }, "--size 0x10", "6220800" },
                { { "create", "a", "--size", "18446744073709551616" }, "--size 18446744073709551616", "2^64 - 1" },
                { { "create", "a", "--size", "16777216T" }, "--size 16777216T", "2^64 - 1" },
                { { "create", "a", "--size", "1", "--slots", "0" }, "--slots 0", "from 1 to 4096" },
                { { "create", "a", "--size", "1", "--slots", "4097" }, "--slots 4097", "from 1 to 4096" },
                { { "create", "a", "--size", "1", "--slots", "4x" }, "--slots 4x", "from 1 to 4096" },
                { { "create", "a", "--size", "1", "--mode", "0" }, "--mode 0", "octal" },
                { { "create", "a", "--size", "1", "--mode", "8" }, "--mode 8", "octal" },
                { { "create", "a", "--size", "1", "--mode", "1777" }, "--mode 1777", "octal" },
                { { "create", "a", "--size", "1", "--mode", "rw" }, "--mode rw", "octal" },
                { { "create", "a", "--size", "1", "--policy", "wait" }, "--policy wait", "overwrite or block" },
                { { "create", "a", "--size", "1", "--foreign-holds", "65" }, "--foreign-holds 65", "from 0 to 64" },
                { { "create", "a", "--size", "1", "--type", long_type }, "1025 bytes", "1024" },
                { { "create", "a", "--size", "1", "--bogus" }, "--bogus", "shmctl create --help" },
                { { "create", "a", "--size", "1", "--e" }, "--e", "the only one" },
                { { "create", "a", "--size", "1", "-z" }, "-z", "shmctl create --help" },
                { { "create", "a", "--size", "1", "--exclusive=1" }, "--exclusive=1", "takes no value" },
                { { "create", "a", "--size", "1", "--help=1" }, "--help=1", "takes no value" },

                { { "create", "a", "--exclusive", "-zh" }, "-z", "there is no option" },
                { { "list", "-nz" }, "-z", "there is no option" },
                { { "list", "-o" }, "-o", "needs a value" },

                { { "list", "a", "b" }, "b is too much", "shmctl list --help" },
                { { "list", "--json", "--raw" }, "--json and --raw", "shmctl list --help" },
                { { "list", "-o", "NAME,BOGUS" }, "BOGUS", "NAME,SIZE,SLOTS" },
                { { "list", "-o", "" }, "there is no column", "NAME,SIZE,SLOTS" },
                { { "list", "-o", "NAME," }, "there is no column", "NAME,SIZE,SLOTS" },

                { { "stat" }, "the name of the segment is missing", "shmctl stat --help" },
                { { "stat", "a", "b" }, "b is too much", "shmctl stat --help" },
                { { "remove" }, "the name of a segment is missing", "shmctl remove --help" },
                { { "chmod", "600" }, "a mode and the name of a segment is missing", "shmctl chmod --help" },
                { { "chmod", "a", "600" }, "the mode a", "from 0 to 777" },
                { { "chmod", "1000", "a" }, "the mode 1000", "from 0 to 777" },
                { { "chmod", "u+w", "a" }, "the mode u+w", "octal" },
                { { "chmod", "-1", "a" }, "-1", "shmctl chmod --help" },
                { { "chown", "root" }, "an owner and the name of a segment is missing", "shmctl chown --help" },
                { { "chown", "", "a" }, "the owner is missing", "USER, USER:GROUP or :GROUP" },
                { { "chown", ":", "a" }, "the owner is missing", "USER, USER:GROUP or :GROUP" },
                { { "chown", "no such user", "a" }, "no such user", "name or number" },
                { { "chown", "root:no such group", "a" }, "no such group", "name or number" },
                { { "chown", "root:", "a" }, "there is no group ''", "name or number" },
                { { "chown", "4294967295", "a" }, "there is no user 4294967295", "name or number" },

                { { "write" }, "the name of the segment is missing", "shmctl write --help" },
                { { "write", "a", "b" }, "b is too much", "shmctl write --help" },
                { { "write", "a", "--frame", "0" }, "--frame 0", "from 1" },
                { { "write", "a", "--frame", "1m2" }, "--frame 1m2", "K M G T" },
                { { "write", "a", "--slots", "1" }, "--create", "shmctl write --help" },
                { { "write", "a", "--tag", "18446744073709551616" }, "--tag 18446744073709551616", "from 0" },
                { { "write", "a", "--tag", "x" }, "--tag x", "from 0" },

                { { "read" }, "the name of the segment is missing", "shmctl read --help" },
                { { "read", "a", "b" }, "b is too much", "shmctl read --help" },
                { { "read", "a", "--frames", "0" }, "--frames 0", "from 1" },
                { { "read", "a", "--frames", "3", "-f" }, "--follow and --frames", "shmctl read --help" },
                { { "read", "a", "--timeout", "2147483648" }, "--timeout 2147483648", "to 2147483647" },
                { { "read", "a", "--timeout", "-1" }, "--timeout -1", "from 0" },
        };

        (void)state;
        memset(long_type, 't', sizeof(long_type) - 1);
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                const char *argv[10] = { "shmctl" };

                memcpy(argv + 1, wrong[i].args, sizeof(wrong[i].args));
                run_with("", 0, argv);
                expect_error(2, wrong[i].what, wrong[i].hint);
        }
}

static void test_help(void **state) {
        static const char *const verbs[] = { "create", "list", "stat", "remove", "chmod", "chown", "write", "read" };
        char text[64];

        (void)state;
        RUN("--help");
        expect_ok();
        assert_non_null(strstr(last.out, "Usage: shmctl"));
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
                (void)snprintf(text, sizeof(text), "\n  %s ", verbs[i]);
                RUN("-h");
                assert_non_null(strstr(last.out, text));
                (void)snprintf(text, sizeof(text), "Usage: shmctl %s ", verbs[i]);
                RUN(verbs[i], "--help");
                expect_ok();
                assert_memory_equal(last.out, text, strlen(text));
                RUN(verbs[i], "a", "-h");
                expect_ok();
                assert_memory_equal(last.out, text, strlen(text));
        }
        RUN("--version");
        expect_output("shmctl " SHMD_VERSION "\n", strlen("shmctl " SHMD_VERSION "\n"));
        RUN("-V");
        expect_ok();
}

/* Every verb says where it looked for the daemon. */
static void test_no_daemon(void **state) {
        static const char *const commands[][4] = {
                { "create", "a", "--size", "1" },
                { "list" },
                { "stat", "a" },
                { "remove", "a" },
                { "chmod", "0", "a" },
                { "chown", "0:0", "a" },
                { "write", "a" },
                { "read", "a" },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
                const char *argv[] = { "shmctl",       "-s",           "nowhere/shmd.sock", commands[i][0],
                                       commands[i][1], commands[i][2], commands[i][3],      NULL };

                run_with("", 0, argv);
                expect_error(1, "nowhere/shmd.sock", "daemon");
        }
        /* The same behind the verb. */
        RUN("stat", "a", "--socket", "nowhere/shmd.sock");
        expect_error(1, "nowhere/shmd.sock", "daemon");
}

/* ---- segments --------------------------------------------------------------------------------------------------- */

static void test_create(void **state) {
        struct shmd_info info;

        (void)state;
        RUN("create", "plain", "--size", "5K");
        expect_silence();
        assert_int_equal(shmd_stat(conn, "plain", &info), 0);
        assert_int_equal(info.slot_size, 5120);
        assert_int_equal(info.n_slots, 4);
        assert_int_equal(info.mode, 0600);
        assert_int_equal(info.policy, SHMD_OVERWRITE);
        assert_int_equal(info.foreign_holds, 1);
        assert_int_equal(info.flags, 0);
        assert_string_equal(info.type, "");

        RUN("create", "--slots", "7", "full/one", "--mode", "640", "--type", "uint8[3,5]", "--policy", "block",
            "--ephemeral", "--sparse", "--size=1m", "--foreign-holds", "5");
        expect_silence();
        assert_int_equal(shmd_stat(conn, "full/one", &info), 0);
        assert_int_equal(info.slot_size, 1 << 20);
        assert_int_equal(info.n_slots, 7);
        assert_int_equal(info.mode, 0640);
        assert_int_equal(info.policy, SHMD_BLOCK);
        assert_int_equal(info.foreign_holds, 5);
        assert_int_equal(info.flags, SHMD_EPHEMERAL | SHMD_SPARSE);
        assert_string_equal(info.type, "uint8[3,5]");

        /* Again is as good, unless it contradicts or must be the first. */
        RUN("create", "plain", "--size", "5120");
        expect_silence();
        RUN("create", "plain", "--size", "5120", "--slots", "4", "--mode", "0600", "--policy", "overwrite");
        expect_silence();
        RUN("create", "plain", "--size", "5121");
        expect_error(1, "plain", "5120");
        RUN("create", "plain", "--size", "5120", "--slots", "5");
        expect_error(1, "plain", "slots");
        RUN("create", "plain", "--size", "5120", "--policy", "block");
        expect_error(1, "plain", "policy");
        RUN("create", "plain", "--size", "5120", "--exclusive");
        expect_error(1, "plain", "exist");
        RUN("create", "fresh", "--size", "1", "--exclusive");
        expect_silence();

        RUN("create", "bad name", "--size", "1");
        expect_error(1, "bad name", "");
        RUN("create", "", "--size", "1");
        expect_error(1, "name", "at least one byte");
        RUN("create", "../a", "--size", "1");
        expect_error(1, "..", "");
        RUN("create", "large", "--size", "16777215T");
        expect_error(1, "large", "");
        RUN("create", "--size", "1", "--", "-dash");
        expect_silence();
}

/* There are either huge pages, or a clear error. */
static void test_create_huge(void **state) {
        struct shmd_info info;

        (void)state;
        RUN("create", "huge", "--size", "1", "--huge", "--slots", "1");
        if (last.status) {
                expect_error(1, "huge", "");
                return;
        }
        assert_int_equal(shmd_stat(conn, "huge", &info), 0);
        assert_int_equal(info.flags, SHMD_HUGE);
}

static void check_json(const char *text) {
        int in = input_of(text, strlen(text)), out = memory_file();
        int status =
                wait_for(start("python3", in, out, out, (const char *const[]){ "python3", "-m", "json.tool", NULL }));

        (void)close(in);
        (void)close(out);
        if (status != 127) /* not installed */
                assert_int_equal(status, 0);
}

static void test_list(void **state) {
        (void)state;
        RUN("list");
        expect_silence();
        RUN("list", "--json");
        expect_ok();
        check_json(last.out);
        assert_non_null(strstr(last.out, "\"segments\""));

        RUN("create", "a", "--size", "6220800", "--slots", "3", "--sparse", "--type", "a b");
        expect_silence();
        RUN("create", "b/c", "--size", "1000", "--mode", "0644", "--policy", "block", "--ephemeral", "--sparse");
        expect_silence();
        RUN_WITH("frame", "write", "a");
        expect_silence();

        RUN("list");
        expect_ok();
        assert_memory_equal(last.out, "NAME ", 5);
        assert_non_null(strstr(last.out, " 5.9M "));
        assert_non_null(strstr(last.out, "0644"));
        assert_int_equal(last.out[last.size - 1], '\n');

        RUN("list", "-o", "name,Size,SLOTS,frames,mode,policy,flags,type,writers", "--raw");
        expect_output("NAME SIZE SLOTS FRAMES MODE POLICY FLAGS TYPE WRITERS\n"
                      "a 5.9M 3 1 0600 overwrite sparse a\\x20b 0\n"
                      "b/c 1000 4 0 0644 block ephemeral,sparse - 0\n",
                      strlen(last.out));
        RUN("list", "--output=NAME,SIZE", "--noheadings", "--bytes", "-r");
        expect_output("a 6220800\nb/c 1000\n", strlen("a 6220800\nb/c 1000\n"));
        RUN("list", "-no", "NAME");
        expect_output("a\nb/c\n", 6);
        RUN("list", "-no", "NAME", "b*");
        expect_output("b/c\n", 4);
        RUN("list", "*c", "-no", "NAME");
        expect_output("b/c\n", 4);
        RUN("list", "nothing*");
        expect_silence();
        RUN("list", "-rno", "+POLICY", "b*");
        expect_ok();
        assert_non_null(strstr(last.out, " 0644 - block\n"));

        RUN("list", "-J");
        expect_ok();
        check_json(last.out);
        assert_non_null(strstr(last.out, "\"name\": \"b/c\""));
        assert_non_null(strstr(last.out, "\"size\": 6220800"));
        assert_non_null(strstr(last.out, "\"frames\": 1"));
        assert_non_null(strstr(last.out, "\"type\": null"));
        assert_non_null(strstr(last.out, "\"mode\": \"0644\""));
}

static void test_list_errors(void **state) {
        char pattern[300];

        (void)state;
        memset(pattern, '*', sizeof(pattern) - 1);
        pattern[sizeof(pattern) - 1] = '\0';
        RUN("list", pattern);
        expect_error(1, "pattern", "299");
}

/* What no terminal and no JSON parser should get. */
static void test_strange_type(void **state) {
        (void)state;
        RUN("create", "strange", "--size", "1", "--type", "\"q\"\\\n\t\033[2J\xc3\xa4\xff\xed\xa0\x80\xc0\xaf.");
        expect_silence();
        RUN("stat", "strange", "--json");
        expect_ok();
        check_json(last.out);
        assert_non_null(strstr(last.out, "\xc3\xa4\\\\xff\\\\xed\\\\xa0\\\\x80\\\\xc0\\\\xaf."));
        RUN("stat", "strange");
        expect_ok();
        assert_null(strchr(last.out, '\033'));
        assert_non_null(strstr(last.out, "\ntype: \"q\"\\\\x0a\\x09\\x1b[2J"));
        RUN("list");
        expect_ok();
        assert_null(strchr(last.out, '\033'));
        assert_ptr_equal(strchr(strchr(last.out, '\n') + 1, '\n'), last.out + last.size - 1);
}

static void test_stat(void **state) {
        static const char *const lines[] = {
                "name: a\n",      "\nsize: 5120\n", "\nslots: 3\n",      "\nframes: 1\n",
                "\nage: 0.",      "\nwriters: 0\n", "\nreaders: 0\n",    "\nowner: ",
                "\ngroup: ",      "\nmode: 0640\n", "\npolicy: block\n", "\nflags: sparse\n",
                "\nbytes: ",      "\nallocated: ",  "\ncreated: 2",      "\nid: ",
                "\ntype: text\n", "\nholds: 0\n",
        };
        size_t n = 0;

        (void)state;
        RUN("create", "a", "--size", "5K", "--slots", "3", "--mode", "0640", "--type", "text", "--policy", "block",
            "--sparse", "--foreign-holds", "0");
        expect_silence();
        RUN_WITH("x", "write", "a");
        expect_silence();
        RUN("stat", "a");
        expect_ok();
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
                assert_non_null(strstr(last.out, lines[i]));
        for (const char *s = last.out; (s = strchr(s, '\n')); s++)
                n++;
        assert_int_equal(n, sizeof(lines) / sizeof(lines[0]));

        RUN("stat", "--json", "a");
        expect_ok();
        check_json(last.out);
        assert_non_null(strstr(last.out, "\"size\": 5120"));
        assert_non_null(strstr(last.out, "\"policy\": \"block\""));

        RUN("stat", "missing");
        expect_error(1, "missing", "");
        RUN("stat", "bad name");
        expect_error(1, "bad name", "");
}

static void test_remove(void **state) {
        struct shmd_info info;

        (void)state;
        RUN("create", "a", "--size", "1");
        RUN("create", "b", "--size", "1");
        RUN("create", "c", "--size", "1");
        expect_silence();
        RUN("remove", "a");
        expect_silence();
        RUN("remove", "a");
        expect_error(1, "a", "");
        /* All are tried, and each failure is told. */
        RUN("remove", "b", "missing", "bad name", "c");
        assert_int_equal(last.status, 1);
        assert_non_null(strstr(last.err, "missing"));
        assert_non_null(strstr(last.err, "bad name"));
        assert_int_equal(shmd_stat(conn, "b", &info), -ENOENT);
        assert_int_equal(shmd_stat(conn, "c", &info), -ENOENT);
}

static void expect_owner(const char *name, uint32_t uid, uint32_t gid, uint32_t mode) {
        struct shmd_info info;

        assert_int_equal(shmd_stat(conn, name, &info), 0);
        assert_int_equal(info.uid, uid);
        assert_int_equal(info.gid, gid);
        assert_int_equal(info.mode, mode);
}

static void test_chmod_and_chown(void **state) {
        struct shmd_info info;

        (void)state;
        RUN("create", "a", "--size", "1");
        RUN("create", "b", "--size", "1");
        assert_int_equal(shmd_stat(conn, "a", &info), 0);
        RUN("chmod", "0640", "a", "b");
        expect_silence();
        expect_owner("a", info.uid, info.gid, 0640);
        expect_owner("b", info.uid, info.gid, 0640);
        RUN("chmod", "444", "a", "missing", "bad name", "b");
        assert_int_equal(last.status, 1);
        assert_non_null(strstr(last.err, "missing"));
        assert_non_null(strstr(last.err, "bad name"));
        expect_owner("b", info.uid, info.gid, 0444);
        if (geteuid() != 0)
                skip();
        RUN("chmod", "0", "a");
        expect_silence();
        RUN("chown", "60001", "a", "b");
        expect_silence();
        expect_owner("a", 60001, info.gid, 0);
        RUN("chown", ":60002", "a");
        expect_silence();
        expect_owner("a", 60001, 60002, 0);
        RUN("chown", "root:root", "a", "missing", "b");
        expect_error(1, "missing", "no segment");
        expect_owner("a", 0, 0, 0);
        expect_owner("b", 0, 0, 0444);
        run_as = 65534;
        RUN("--version");
        if (last.status == 127)
                skip(); /* the programs are where others may not go */
        RUN("chmod", "666", "a");
        expect_error(1, "a belongs to uid 0", "uid 65534");
        RUN("chown", "65534", "a");
        expect_error(1, "a belongs to uid 0", "uid 65534");
        expect_owner("a", 0, 0, 0);
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

static void make_pipe(int fds[2]) { assert_int_equal(pipe2(fds, O_CLOEXEC), 0); }

static void put(int fd, const char *text) { assert_int_equal(write(fd, text, strlen(text)), strlen(text)); }

/* As RUN_WITH(), but the input comes through a pipe, which does not tell how much there is. */
static void run_piped(const char *text, const char *const *argv) {
        int fds[2];

        make_pipe(fds);
        put(fds[1], text);
        (void)close(fds[1]);
        run_from(fds[0], argv);
        (void)close(fds[0]);
}

#define RUN_PIPED(text, ...) run_piped((text), ARGS(__VA_ARGS__))

static void expect_frame(const char *name, const char *text) {
        RUN("read", name);
        expect_output(text, strlen(text));
}

static void test_write_whole(void **state) {
        struct shmd_reader *r;
        struct shmd_frame frame;

        (void)state;
        RUN_WITH("hello", "write", "a");
        expect_error(1, "a", "");
        RUN("create", "a", "--size", "16");
        RUN_WITH("hello", "write", "a");
        expect_silence();
        expect_frame("a", "hello");
        RUN_PIPED("hello, pipe", "write", "a", "--tag", "18446744073709551615");
        expect_silence();
        expect_frame("a", "hello, pipe");
        assert_int_equal(shmd_reader_open(&r, conn, "a", 0, SHMD_FOREVER), 0);
        assert_int_equal(shmd_reader_next(r, &frame), 0);
        assert_int_equal(frame.sequence, 2);
        assert_true(frame.tag == UINT64_MAX);
        shmd_reader_close(r);
        /* Exactly a slot, and nothing at all. */
        RUN_PIPED("0123456789abcdef", "write", "a");
        expect_silence();
        expect_frame("a", "0123456789abcdef");
        RUN("write", "a");
        expect_silence();
        expect_frame("a", "");
        wait_until("a", 0, 0, 4);
}

static void test_write_too_large(void **state) {
        static char large[10000];
        struct shmd_info info;

        (void)state;
        memset(large, 'x', sizeof(large) - 1);
        /* Several slots, small and large; and one, whose frame has to survive. */
        RUN("create", "small", "--size", "8");
        RUN("create", "large", "--size", "6000");
        RUN("create", "one", "--size", "6000", "--slots", "1");
        RUN_WITH("before", "write", "small");
        RUN_WITH("before", "write", "large");
        RUN_WITH("before", "write", "one");
        expect_silence();

        RUN_WITH("123456789", "write", "small");
        expect_error(1, "9 bytes", "small has 8");
        RUN_PIPED("123456789", "write", "small");
        expect_error(1, "bytes", "small has 8");
        RUN_WITH(large, "write", "large");
        expect_error(1, "9999 bytes", "large has 6000");
        RUN_PIPED(large, "write", "large");
        expect_error(1, "more than 6000 bytes", "large has 6000");
        RUN_WITH(large, "write", "one");
        expect_error(1, "9999 bytes", "one has 6000");
        RUN_PIPED(large, "write", "one");
        expect_error(1, "bytes", "one has 6000");
        RUN_WITH(large, "write", "small", "--frame", "9");
        expect_error(1, "--frame has 9", "small has 8");

        expect_frame("small", "before");
        expect_frame("large", "before");
        expect_frame("one", "before");
        assert_int_equal(shmd_stat(conn, "one", &info), 0);
        assert_int_equal(info.sequence, 1);
}

static void test_write_input_errors(void **state) {
        int directory = open("/", O_RDONLY | O_CLOEXEC), out = memory_file();

        (void)state;
        RUN("create", "a", "--size", "8");
        run_from(directory, ARGS("write", "a"));
        expect_error(1, "standard input", "");
        run_from(directory, ARGS("write", "a", "--frame", "8"));
        expect_error(1, "standard input", "");
        /* Closed: what the library opens must not take its place. */
        run_from(-1, ARGS("write", "a"));
        expect_error(1, "standard input", "");
        (void)close(directory);
        (void)close(out);
        wait_until("a", 0, 0, 0);
        RUN("stat", "a");
        assert_non_null(strstr(last.out, "\nframes: 0\n"));
}

static void test_write_create(void **state) {
        struct shmd_info info;

        (void)state;
        RUN_WITH("from a file", "write", "file", "--create", "--slots", "2", "--mode", "0644", "--type", "text");
        expect_silence();
        assert_int_equal(shmd_stat(conn, "file", &info), 0);
        assert_int_equal(info.slot_size, 11);
        assert_int_equal(info.n_slots, 2);
        assert_int_equal(info.mode, 0644);
        assert_string_equal(info.type, "text");
        expect_frame("file", "from a file");

        RUN_PIPED("from a pipe", "write", "pipe", "--create", "--policy", "block");
        expect_silence();
        assert_int_equal(shmd_stat(conn, "pipe", &info), 0);
        assert_int_equal(info.slot_size, 11);
        assert_int_equal(info.policy, SHMD_BLOCK);
        expect_frame("pipe", "from a pipe");

        RUN_PIPED("123456789", "write", "frames", "--create", "--frame", "4");
        expect_silence();
        assert_int_equal(shmd_stat(conn, "frames", &info), 0);
        assert_int_equal(info.slot_size, 4);
        assert_int_equal(info.sequence, 3);
        expect_frame("frames", "9");

        /* One that is there is used, whatever the size of its slots, if the input fits and nothing else contradicts. */
        RUN_WITH("short", "write", "file", "--create");
        expect_silence();
        expect_frame("file", "short");
        RUN_PIPED("piped", "write", "file", "--create");
        expect_silence();
        expect_frame("file", "piped");
        RUN_WITH("123456789012", "write", "file", "--create");
        expect_error(1, "12 bytes", "file has 11");
        RUN_PIPED("123456789012", "write", "file", "--create");
        expect_error(1, "more than 11 bytes", "file has 11");
        RUN_WITH("short", "write", "file", "--create", "--slots", "3");
        expect_error(1, "file", "slots");
        RUN_PIPED("short", "write", "file", "--create", "--policy", "block");
        expect_error(1, "file", "policy");
        RUN("write", "file", "--create");
        expect_silence();
        expect_frame("file", "");

        RUN("write", "empty", "--create");
        expect_error(1, "empty", "shmctl create");
        RUN("write", "bad name", "--create");
        expect_error(1, "bad name", "");
        RUN("write", "nothing", "--create", "--frame", "4");
        expect_silence();
        assert_int_equal(shmd_stat(conn, "nothing", &info), 0);
        assert_int_equal(info.sequence, 0);

        /* Gone with its only user. */
        RUN_WITH("mist", "write", "mist", "--create", "--ephemeral", "--sparse");
        expect_silence();
        while (shmd_stat(conn, "mist", &info) != -ENOENT)
                (void)poll(NULL, 0, 1);
}

static void test_read(void **state) {
        (void)state;
        RUN("read", "a");
        expect_error(1, "a", "");
        RUN("read", "bad name");
        expect_error(1, "bad name", "");
        RUN("read", "a", "--wait", "--timeout", "1");
        expect_error(1, "a", "");
        RUN("read", "a", "--wait", "--timeout", "0");
        expect_error(1, "a", "");
        RUN("create", "a", "--size", "8", "--slots", "4");
        RUN("read", "a", "--timeout", "1");
        expect_error(1, "no frame came from a", "1 ms");
        RUN("read", "a", "--timeout", "0");
        expect_error(1, "no frame came from a", "0 ms");
        RUN_WITH("11223344", "write", "a", "--frame", "2");
        expect_silence();
        expect_frame("a", "44");
        RUN("read", "a", "--frames", "1");
        expect_output("44", 2);
        RUN("read", "a", "--oldest");
        expect_ok();
        assert_true(last.size == 2 && last.out[0] < '4');
        RUN("read", "a", "--oldest", "--follow", "--eof");
        expect_ok();
        assert_memory_equal(last.out + last.size - 4, "3344", 4);
        RUN("read", "a", "--follow", "--eof");
        expect_output("44", 2);

        RUN("read", "a", "--frames", "2", "--timeout", "1");
        assert_int_equal(last.status, 1);
        assert_string_equal(last.out, "44");
        assert_non_null(strstr(last.err, "no frame came from a"));
        RUN("read", "a", "--frames", "3", "--eof");
        assert_int_equal(last.status, 1);
        assert_string_equal(last.out, "44");
        assert_non_null(strstr(last.err, "1 of 3"));
        RUN("read", "a", "--verbose");
        assert_int_equal(last.status, 0);
        assert_string_equal(last.err, "shmctl: 1 frames read from a, 0 missed\n");
}

/* As from a shell. Several times: some of them strike while it waits, and it goes on waiting. */
static void stop_and_continue(pid_t pid) {
        int status;

        for (int i = 0; i < 20; i++) {
                (void)poll(NULL, 0, 1);
                assert_int_equal(kill(pid, SIGSTOP), 0);
                assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
                assert_true(WIFSTOPPED(status));
                assert_int_equal(kill(pid, SIGCONT), 0);
        }
}

/* A program that runs while the test goes on. */
struct background {
        pid_t pid;
        int in, out, err; /* in: the writing end of a pipe, or -1; the others: files */
};

static struct background begin(const char *const *argv) {
        struct background b = { .out = memory_file(), .err = memory_file() };
        int fds[2];

        make_pipe(fds);
        b.pid = start(SHMCTL, fds[0], b.out, b.err, argv);
        (void)close(fds[0]);
        b.in = fds[1];
        return b;
}

/* Its outcome is in last. */
static void end(struct background *b) {
        if (b->in >= 0)
                (void)close(b->in);
        free(last.out);
        free(last.err);
        last = (struct outcome){ 0 };
        last.status = wait_for(b->pid);
        last.out = contents(b->out, &last.size);
        last.err = contents(b->err, NULL);
        (void)close(b->out);
        (void)close(b->err);
}

static void end_input(struct background *b) {
        (void)close(b->in);
        b->in = -1;
}

/* Readers that came first: for the segment, for the first frame, for more of them, for its end. */
static void test_read_waits(void **state) {
        struct background first, frames, follow, eof;

        (void)state;
        first = begin(ARGS("read", "a", "--wait"));
        stop_and_continue(first.pid);
        RUN("create", "a", "--size", "8", "--policy", "block");
        frames = begin(ARGS("read", "a", "--frames", "3"));
        follow = begin(ARGS("read", "a", "--follow"));
        eof = begin(ARGS("read", "a", "-f", "--eof"));
        wait_until("a", 0, 4, 0);
        stop_and_continue(follow.pid);
        RUN_WITH("1122334455", "write", "a", "--frame", "2");
        expect_silence();
        end(&first);
        expect_output("11", 2);
        end(&frames);
        expect_output("112233", 6);
        end(&eof);
        expect_output("1122334455", 10);
        wait_until("a", 0, 1, 0);
        RUN("remove", "a");
        expect_silence();
        end(&follow);
        expect_output("1122334455", 10);
}

static void test_read_removed_too_early(void **state) {
        struct background b;

        (void)state;
        RUN("create", "a", "--size", "8");
        b = begin(ARGS("read", "a", "--frames", "3"));
        wait_until("a", 0, 1, 0);
        RUN("remove", "a");
        end(&b);
        expect_error(1, "a after 0 of 3 frames", "removed");
}

/* The writer waits, though it has something to say. */
static void test_write_waits_for_reader(void **state) {
        struct background w;

        (void)state;
        w = begin(ARGS("write", "a", "--create", "--frame", "2", "--wait", "--policy", "block"));
        put(w.in, "1122334");
        end_input(&w);
        wait_until("a", 1, 0, 0);
        stop_and_continue(w.pid);
        RUN("read", "a", "--follow", "--eof");
        expect_output("1122334", 7);
        end(&w);
        expect_silence();
}

static void test_write_wait_removed(void **state) {
        struct background w;

        (void)state;
        w = begin(ARGS("write", "a", "--create", "--frame", "2", "--wait"));
        wait_until("a", 1, 0, 0);
        RUN("remove", "a");
        end(&w);
        expect_error(1, "a", "removed");
}

/* A frame comes in pieces, and is one. */
static void test_write_pieces(void **state) {
        static char large[10000];
        struct background w;

        (void)state;
        RUN("create", "a", "--size", "10K");
        memset(large, 'x', sizeof(large) - 1);
        w = begin(ARGS("write", "a", "--frame", "10K"));
        put(w.in, "begin");
        wait_until_drained(w.in);
        put(w.in, large);
        wait_until_drained(w.in);
        put(w.in, "end");
        end(&w);
        expect_silence();
        RUN("read", "a");
        expect_ok();
        assert_int_equal(last.size, 5 + 9999 + 3);
        assert_memory_equal(last.out, "beginx", 6);
        assert_memory_equal(last.out + last.size - 4, "xend", 4);
}

static bool is_locked(struct shmd_writer *w) {
        void *data;
        int r = shmd_writer_begin(w, &data, NULL, 0);

        if (r == -EAGAIN)
                return true;
        assert_int_equal(r, 0);
        assert_int_equal(shmd_writer_cancel(w), 0);
        return false;
}

/* Whoever waits for input keeps nobody from writing; once a frame is under way it does, and a signal gives it up. */
static void test_write_lock(void **state) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGKILL };
        static char part[5001];
        struct shmd_info info;
        struct background b;
        struct shmd_writer *w;

        (void)state;
        memset(part, 'x', sizeof(part) - 1);
        RUN("create", "a", "--size", "10K");
        assert_int_equal(shmd_writer_open(&w, conn, "a", 0, SHMD_FOREVER), 0);
        for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
                b = begin(ARGS("write", "a", "--frame", "10K"));
                wait_until("a", 2, 0, 0);
                put(b.in, "short");
                wait_until_drained(b.in);
                assert_false(is_locked(w));
                put(b.in, part);
                while (!is_locked(w))
                        (void)poll(NULL, 0, 1);
                assert_int_equal(kill(b.pid, signals[i]), 0);
                end(&b);
                assert_int_equal(last.status, -signals[i]);
                while (is_locked(w))
                        (void)poll(NULL, 0, 1);
                wait_until("a", 1, 0, 0);
        }
        shmd_writer_close(w);
        assert_int_equal(shmd_stat(conn, "a", &info), 0);
        assert_int_equal(info.sequence, 0);
}

/* Who is told to ignore a signal is not ended by it. */
static void test_write_ignores_signal(void **state) {
        static char part[5001];
        struct background b;
        struct shmd_writer *w;

        (void)state;
        memset(part, 'x', sizeof(part) - 1);
        RUN("create", "a", "--size", "10K");
        assert_int_equal(shmd_writer_open(&w, conn, "a", 0, SHMD_FOREVER), 0);
        (void)signal(SIGHUP, SIG_IGN);
        b = begin(ARGS("write", "a"));
        (void)signal(SIGHUP, SIG_DFL);
        put(b.in, part);
        while (!is_locked(w))
                (void)poll(NULL, 0, 1);
        assert_int_equal(kill(b.pid, SIGHUP), 0);
        put(b.in, "end");
        end(&b);
        expect_silence();
        shmd_writer_close(w);
        RUN("read", "a");
        expect_ok();
        assert_int_equal(last.size, 5003);
}

/* ---- standard output that fails --------------------------------------------------------------------------------- */

static void test_output_full(void **state) {
        static const char *const commands[][4] = {
                { "--help" },
                { "--version" },
                { "list", "--help" },
                { "list" },
                { "list", "--json" },
                { "stat", "a" },
                { "stat", "a", "--json" },
                { "read", "a" },
                { "read", "a", "--follow" },
                { "read", "block" },
        };
        int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        int outs[] = { full, -1 };

        (void)state;
        assert_true(full >= 0);
        RUN_WITH("frame", "write", "a", "--create");
        RUN_WITH("frame", "write", "block", "--create", "--policy", "block");
        expect_silence();
        for (size_t k = 0; k < 2; k++)
                for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
                        const char *argv[] = { "shmctl", commands[i][0], commands[i][1], commands[i][2], NULL };
                        int err = memory_file();
                        char *text;

                        assert_int_equal(wait_for(start(SHMCTL, -1, outs[k], err, argv)), 1);
                        text = contents(err, NULL);
                        assert_non_null(strstr(text, "shmctl: standard output cannot be written: "));
                        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
                        free(text);
                        (void)close(err);
                }
        (void)close(full);
        /* What prints nothing does not need it. */
        assert_int_equal(wait_for(start(SHMCTL, -1, -1, -1, ARGS("create", "b", "--size", "1"))), 0);
        wait_until("a", 0, 0, 1);
}

/* Who reads our output goes away: quietly, at the next frame and without one. */
static void test_output_closed(void **state) {
        int fds[2], err = memory_file();
        char byte, *text;
        pid_t pid;

        (void)state;
        RUN_WITH("frame", "write", "a", "--create");
        make_pipe(fds);
        (void)close(fds[0]);
        assert_int_equal(wait_for(start(SHMCTL, -1, fds[1], err, ARGS("read", "a"))), -SIGPIPE);
        (void)signal(SIGPIPE, SIG_IGN);
        assert_int_equal(wait_for(start(SHMCTL, -1, fds[1], err, ARGS("read", "a"))), 1);
        assert_int_equal(wait_for(start(SHMCTL, -1, fds[1], err, ARGS("list"))), 1);
        (void)signal(SIGPIPE, SIG_DFL);
        (void)close(fds[1]);

        make_pipe(fds);
        pid = start(SHMCTL, -1, fds[1], err, ARGS("read", "a", "--follow"));
        (void)close(fds[1]);
        assert_int_equal(read(fds[0], &byte, 1), 1);
        (void)close(fds[0]);
        assert_int_equal(wait_for(pid), 1);
        text = contents(err, NULL);
        assert_string_equal(text, "");
        free(text);
        (void)close(err);
        wait_until("a", 0, 0, 1);
}

/* A pipe that somebody else made non-blocking is waited for. */
static void test_output_nonblocking(void **state) {
        static char frame[200001];
        static char got[sizeof(frame)];
        int fds[2], err = memory_file();
        size_t n = 0;
        pid_t pid;

        (void)state;
        for (size_t i = 0; i < sizeof(frame) - 1; i++)
                frame[i] = (char)('a' + i % 23);
        RUN_WITH(frame, "write", "a", "--create");
        make_pipe(fds);
        assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
        pid = start(SHMCTL, -1, fds[1], err, ARGS("read", "a"));
        (void)close(fds[1]);
        for (ssize_t r; (r = read(fds[0], got + n, sizeof(got) - n)) > 0;)
                n += (size_t)r;
        (void)close(fds[0]);
        (void)close(err);
        assert_int_equal(wait_for(pid), 0);
        assert_int_equal(n, sizeof(frame) - 1);
        assert_memory_equal(frame, got, n);
}

/* ---- real data -------------------------------------------------------------------------------------------------- */

static int tar = -1;
static size_t tar_size;

/* A tar of the documentation of this machine, cut at TAR_SIZE; no multiple of any frame size. */
static int make_tar(void **state) {
        int fds[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        char buffer[65536];
        pid_t pid;

        (void)state;
        tar = memory_file();
        make_pipe(fds);
        pid = start("tar", -1, fds[1], null, (const char *const[]){ "tar", "-cC", "/usr/share", "doc", NULL });
        (void)close(fds[1]);
        (void)close(null);
        for (ssize_t r; tar_size < TAR_SIZE && (r = read(fds[0], buffer, sizeof(buffer))) > 0; tar_size += (size_t)r)
                assert_int_equal(write(tar, buffer, (size_t)r), r);
        (void)close(fds[0]);
        (void)wait_for(pid); /* a broken pipe if there was more */
        assert_true(tar_size > 1 << 20);
        tar_size -= 13;
        assert_int_equal(ftruncate(tar, (off_t)tar_size), 0);
        return 0;
}

static int free_tar(void **state) {
        (void)state;
        return close(tar);
}

static int rewind_tar(void) {
        assert_int_equal(lseek(tar, 0, SEEK_SET), 0);
        return tar;
}

static void expect_same(int a, int b) {
        size_t size, size_b;
        char *bytes = contents(a, &size), *bytes_b = contents(b, &size_b);
        bool same = size == size_b && !memcmp(bytes, bytes_b, size);

        free(bytes);
        free(bytes_b);
        assert_true(same);
}

static void test_tar_whole(void **state) {
        int out, err = memory_file(), fds[2];
        struct shmd_info info;
        pid_t cat;

        (void)state;
        run_from(rewind_tar(), ARGS("write", "file", "--create", "--slots", "1"));
        expect_silence();
        assert_int_equal(shmd_stat(conn, "file", &info), 0);
        assert_int_equal(info.slot_size, tar_size);
        out = memory_file();
        assert_int_equal(wait_for(start(SHMCTL, -1, out, err, ARGS("read", "file"))), 0);
        expect_same(tar, out);
        (void)close(out);

        /* The same through a pipe, into several slots. */
        make_pipe(fds);
        cat = start("cat", rewind_tar(), fds[1], err, (const char *const[]){ "cat", NULL });
        (void)close(fds[1]);
        run_from(fds[0], ARGS("write", "pipe", "--create", "--slots", "2"));
        (void)close(fds[0]);
        expect_silence();
        assert_int_equal(wait_for(cat), 0);
        out = memory_file();
        assert_int_equal(wait_for(start(SHMCTL, -1, out, err, ARGS("read", "pipe"))), 0);
        expect_same(tar, out);
        (void)close(out);
        (void)close(err);
}

/* All of @in arrives, whoever starts first. */
static void stream(int in, bool reader_first, const char *frame, const char *slots) {
        const char *const *writer =
                ARGS("write", "x", "--create", "--frame", frame, "--slots", slots, "--policy", "block", "--wait");
        const char *const *reader = ARGS("read", "x", "--wait", "--follow", "--eof");
        int out = memory_file(), err = memory_file();
        char *text;
        pid_t w = -1, r;

        assert_int_equal(lseek(in, 0, SEEK_SET), 0);
        if (!reader_first) {
                w = start(SHMCTL, in, err, err, writer);
                wait_until("x", 1, 0, 0);
        }
        r = start(SHMCTL, -1, out, err, reader);
        if (reader_first)
                w = start(SHMCTL, in, err, err, writer);
        assert_int_equal(wait_for(w), 0);
        assert_int_equal(wait_for(r), 0);
        text = contents(err, NULL);
        assert_string_equal(text, "");
        free(text);
        expect_same(in, out);
        (void)close(out);
        (void)close(err);
        RUN("remove", "x");
        expect_silence();
}

static void test_tar_stream(void **state) {
        (void)state;
        stream(tar, false, "1M", "4");
        stream(tar, true, "1M", "4");
        stream(tar, true, "100000", "2");
        stream(tar, false, "7M", "1");
}

/* Around what is read ahead of a frame, and what one read of a pipe gives. */
static void test_stream_edges(void **state) {
        static const char *const frames[] = { "1000", "4095", "4096", "4097", "65536", "65537" };
        static const char *const slots[] = { "1", "2", "3" };
        char bytes[4096 * 33];
        int in;

        (void)state;
        assert_int_equal(pread(tar, bytes, sizeof(bytes), 0), sizeof(bytes));
        in = input_of(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
                stream(in, i % 2, frames[i], slots[i % 3]);
        (void)close(in);
}

/* A reader that dies in the middle, holding a frame that it cannot get rid of, keeps neither the writer nor the other
 * reader from going on. */
static void test_tar_reader_killed(void **state) {
        int out = memory_file(), err = memory_file(), stuck[2];
        char byte;
        pid_t w, r, victim;

        (void)state;
        w = start(SHMCTL, rewind_tar(), err, err,
                  ARGS("write", "x", "--create", "--frame", "1M", "--policy", "block", "--wait"));
        wait_until("x", 1, 0, 0);
        make_pipe(stuck);
        victim = start(SHMCTL, -1, stuck[1], err, ARGS("read", "x", "--follow"));
        r = start(SHMCTL, -1, out, err, ARGS("read", "x", "--oldest", "--follow", "--eof"));
        /* It has a frame, and the pipe is full: the writer comes four frames far, then it stands. */
        wait_until("x", 1, 2, 4);
        assert_int_equal(read(stuck[0], &byte, 1), 1);
        assert_true(state_is("x", 1, 2, 4));
        stop_and_continue(w);
        assert_int_equal(kill(victim, SIGKILL), 0);
        assert_int_equal(wait_for(victim), -SIGKILL);
        (void)close(stuck[0]);
        (void)close(stuck[1]);
        assert_int_equal(wait_for(w), 0);
        assert_int_equal(wait_for(r), 0);
        expect_same(tar, out);
        (void)close(out);
        (void)close(err);
        wait_until("x", 0, 0, tar_size >> 20);
}

/* Without block a slow reader misses frames, is told how many, and gets the others whole. */
static void test_missed(void **state) {
        enum {
                SIZE = 100000,
                FRAMES = 30
        };
        static char frames[FRAMES][SIZE], got[FRAMES][SIZE];
        int err = memory_file(), fds[2];
        size_t n = 0;
        char byte, *text, expected[80];
        pid_t pid;

        (void)state;
        for (int i = 0; i < FRAMES; i++)
                memset(frames[i], 'A' + i, SIZE);
        RUN("create", "a", "--size", "100000", "--slots", "2");
        make_pipe(fds);
        pid = start(SHMCTL, -1, fds[1], err, ARGS("read", "a", "--follow", "--verbose"));
        (void)close(fds[1]);
        wait_until("a", 0, 1, 0);
        run_with(frames[0], SIZE, ARGS("write", "a"));
        /* It has begun with the first one, and is stuck in it. */
        assert_int_equal(read(fds[0], &byte, 1), 1);
        got[0][0] = byte;
        n = 1;
        run_with(frames[1], sizeof(frames) - SIZE, ARGS("write", "a", "--frame", "100000"));
        expect_silence();
        RUN("remove", "a");
        expect_silence();
        for (ssize_t r; n < sizeof(got) && (r = read(fds[0], (char *)got + n, sizeof(got) - n)) > 0;)
                n += (size_t)r;
        assert_int_equal(wait_for(pid), 0);
        (void)close(fds[0]);
        assert_int_equal(n % SIZE, 0);
        n /= SIZE;
        assert_true(n >= 2 && n < FRAMES);
        assert_memory_equal(got[0], frames[0], SIZE);
        assert_memory_equal(got[n - 1], frames[FRAMES - 1], SIZE);
        for (size_t i = 0; i < n; i++)
                assert_memory_equal(got[i], frames[got[i][0] - 'A'], SIZE);
        text = contents(err, NULL);
        (void)snprintf(expected, sizeof(expected), "shmctl: %zu frames read from a, %zu missed\n", n, FRAMES - n);
        assert_string_equal(text, expected);
        free(text);
        (void)close(err);
}

/* One slot: the newest frame is whole or it is not there, whatever its writer did. */
static void test_one_slot_torn(void **state) {
        struct shmd_writer *w;
        struct background follow, late;
        void *data;

        (void)state;
        RUN_WITH("11", "write", "a", "--create", "--slots", "1");
        expect_silence();
        follow = begin(ARGS("read", "a", "--follow"));
        wait_until("a", 0, 1, 0);
        assert_int_equal(shmd_writer_open(&w, conn, "a", 0, SHMD_FOREVER), 0);
        assert_int_equal(shmd_writer_begin(w, &data, NULL, SHMD_FOREVER), 0);
        RUN("read", "a", "--timeout", "1");
        expect_error(1, "no frame came from a", "1 ms");
        assert_int_equal(shmd_writer_cancel(w), 0);
        RUN("read", "a", "--timeout", "1");
        expect_error(1, "no frame came from a", "1 ms");
        late = begin(ARGS("read", "a"));
        wait_until("a", 1, 2, 0);
        shmd_writer_close(w);
        RUN_WITH("22", "write", "a");
        expect_silence();
        end(&late);
        expect_output("22", 2);
        RUN("remove", "a");
        end(&follow);
        expect_ok();
        assert_memory_equal(last.out + last.size - 2, "22", 2);
}

/* Holds of other users bind nobody, so what they print is copied first. */
static void test_other_user(void **state) {
        (void)state;
        if (geteuid() != 0)
                skip();
        RUN_WITH("1122334455", "write", "a", "--create", "--frame", "2", "--policy", "block", "--mode", "0644",
                 "--slots", "8");
        expect_silence();
        RUN_WITH("secret", "write", "b", "--create");
        expect_silence();
        run_as = 65534;
        RUN("--version");
        if (last.status == 127)
                skip(); /* the programs are where others may not go */
        RUN("read", "a", "--oldest", "--frames", "5");
        expect_output("1122334455", 10);
        RUN("list", "-no", "NAME");
        expect_output("a\n", 2);
        RUN("read", "b");
        expect_error(1, "b", "");
        RUN("stat", "b");
        expect_error(1, "b", "");
        RUN_WITH("x", "write", "a");
        expect_error(1, "a", "");
        RUN("remove", "a");
        expect_error(1, "a", "");
}

/* Frames go on without the daemon, but who wants to be told when the last writer leaves waits in vain. */
static void test_daemon_killed(void **state) {
        struct background follow, eof;
        struct shmd_writer *w;
        void *data;

        RUN("create", "a", "--size", "8");
        assert_int_equal(shmd_writer_open(&w, conn, "a", 0, SHMD_FOREVER), 0);
        follow = begin(ARGS("read", "a", "--frames", "1"));
        eof = begin(ARGS("read", "a", "--follow", "--eof"));
        wait_until("a", 1, 2, 0);
        fixture_kill(*state);
        end(&eof);
        expect_error(1, "the daemon is gone", "a");
        assert_int_equal(shmd_writer_begin(w, &data, NULL, SHMD_FOREVER), 0);
        memcpy(data, "on", 2);
        assert_int_equal(shmd_writer_flush(w, 2, 0), 0);
        end(&follow);
        expect_output("on", 2);
        shmd_writer_close(w);
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

static int setup(void **state) {
        n_fds = fd_count();
        *state = fixture_start(NULL);
        (void)setenv("SHMD_SOCKET", fixture_socket(*state), 1);
        return shmd_connect(&conn, fixture_socket(*state));
}

static int teardown(void **state) {
        run_as = 0;
        conn = shmd_close(conn);
        free(last.out);
        free(last.err);
        last = (struct outcome){ 0 };
        *state = fixture_stop(*state);
        assert_int_equal(fd_count(), n_fds);
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_usage),
                cmocka_unit_test(test_help),
                cmocka_unit_test(test_no_daemon),
                TEST(test_create),
                TEST(test_create_huge),
                TEST(test_list),
                TEST(test_list_errors),
                TEST(test_strange_type),
                TEST(test_stat),
                TEST(test_remove),
                TEST(test_chmod_and_chown),
                TEST(test_write_whole),
                TEST(test_write_too_large),
                TEST(test_write_input_errors),
                TEST(test_write_create),
                TEST(test_read),
                TEST(test_read_waits),
                TEST(test_read_removed_too_early),
                TEST(test_write_waits_for_reader),
                TEST(test_write_wait_removed),
                TEST(test_write_pieces),
                TEST(test_write_lock),
                TEST(test_write_ignores_signal),
                TEST(test_output_full),
                TEST(test_output_closed),
                TEST(test_output_nonblocking),
                TEST(test_tar_whole),
                TEST(test_tar_stream),
                TEST(test_stream_edges),
                TEST(test_tar_reader_killed),
                TEST(test_missed),
                TEST(test_one_slot_torn),
                TEST(test_other_user),
                TEST(test_daemon_killed),
        };

        (void)alarm(10 * PATIENCE);
        return cmocka_run_group_tests(tests, make_tar, free_tar);
}
