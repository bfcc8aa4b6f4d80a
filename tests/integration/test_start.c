/* test_start.c -- how the daemon starts and ends: where it listens, what keeps it from starting, what it leaves. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/cleanup.h"
#include "tests/integration/wire.h"
#include "tests/support.h"

#define DAEMONS 2
#define PATIENCE_MS 60000
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct daemon {
        pid_t pid;
        int output;    /* what it prints comes here */
        size_t length; /* of the text */
        char text[16384];
};

struct start {
        char directory[64];
        int notify;
        struct daemon daemons[DAEMONS];
        struct wire wire;
        int fds;
};

static int setup(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct start *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        s->fds = fd_count();
        (void)snprintf(s->directory, sizeof(s->directory), "/tmp/shmd-start-XXXXXX");
        assert_non_null(mkdtemp(s->directory));
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", s->directory);
        s->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_return_code(bind(s->notify, (struct sockaddr *)&address, sizeof(address)), errno);
        for (int i = 0; i < DAEMONS; i++)
                s->daemons[i].output = -1;
        wire_init(&s->wire, -1);
        *state = s;
        return 0;
}

static const char *path(const struct start *s, const char *name) {
        static char paths[64][1024];
        static unsigned next;
        char *p = paths[next++ % 64];

        (void)snprintf(p, sizeof(paths[0]), "%s/%s", s->directory, name);
        return p;
}

static int teardown(void **state) {
        struct start *s = *state;
        char command[128];
        int fds = s->fds;

        wire_close(&s->wire);
        for (int i = 0; i < DAEMONS; i++) {
                if (s->daemons[i].pid) {
                        (void)kill(s->daemons[i].pid, SIGKILL);
                        (void)waitpid(s->daemons[i].pid, NULL, 0);
                }
                fd_close(s->daemons[i].output);
        }
        fd_close(s->notify);
        (void)snprintf(command, sizeof(command), "rm -rf '%s'", s->directory);
        assert_int_equal(system(command), 0);
        free(s);
        assert_int_equal(fd_count(), fds);
        return 0;
}

/* Run it in a child, with an environment of nothing but @environment. */
static struct daemon *run_with(struct start *s, int i, const char *const *environment, const char *const *arguments,
                               void (*prepare)(void *data), void *data) {
        struct daemon *d = &s->daemons[i];
        const char *argv[32] = { "shmd" };
        const char *envp[32] = { NULL };
        char notify[128], asan[256];
        unsigned n = 0;
        int pipes[2];

        assert_int_equal(d->pid, 0);
        fd_close(d->output);
        d->length = 0;
        d->text[0] = '\0';
        assert_return_code(pipe2(pipes, O_CLOEXEC), errno);
        (void)snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s", path(s, "notify"));
        envp[n++] = notify;
        if (getenv("ASAN_OPTIONS")) {
                (void)snprintf(asan, sizeof(asan), "ASAN_OPTIONS=%s", getenv("ASAN_OPTIONS"));
                envp[n++] = asan;
        }
        while (environment && *environment)
                envp[n++] = *environment++;
        envp[n] = "CONFIGURATION_DIRECTORY=/nowhere"; /* unless the test has said another one */
        for (n = 1; arguments && *arguments;)
                argv[n++] = *arguments++;
        (void)fflush(NULL);
        d->pid = fork();
        assert_return_code(d->pid, errno);
        if (d->pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)dup2(pipes[1], 1);
                (void)dup2(pipes[1], 2);
                if (prepare)
                        prepare(data);
                (void)execve(SHMD_BIN_DIR "/shmd", (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
                _exit(127);
        }
        fd_close(pipes[1]);
        d->output = pipes[0];
        return d;
}

static struct daemon *run(struct start *s, int i, const char *const *environment, const char *const *arguments) {
        return run_with(s, i, environment, arguments, NULL, NULL);
}

/* Collect what it prints until it ends. Return: its status as of waitpid(2). */
static int ended(struct daemon *d) {
        int status;

        for (;;) {
                struct pollfd p = { .fd = d->output, .events = POLLIN };
                ssize_t n;

                if (poll(&p, 1, PATIENCE_MS) == 0)
                        fail_msg("the daemon does not end; it said: %s", d->text);
                n = read(d->output, d->text + d->length, sizeof(d->text) - 1 - d->length);
                if (n <= 0)
                        break;
                d->length += (size_t)n;
                d->text[d->length] = '\0';
        }
        assert_int_equal(waitpid(d->pid, &status, 0), d->pid);
        d->pid = 0;
        return status;
}

static void ends_with(struct daemon *d, int code, const char *const *words) {
        int status = ended(d);

        if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
                fail_msg("the daemon ended with status 0x%x, not %d; it said: %s", (unsigned)status, code, d->text);
        for (; *words; words++)
                if (!strcasestr(d->text, *words))
                        fail_msg("\"%s\" does not name \"%s\"", d->text, *words);
}

static void ready(struct start *s, struct daemon *d) {
        char text[512];

        for (;;) {
                struct pollfd p[] = {
                        { .fd = s->notify, .events = POLLIN },
                        { .fd = d->output, .events = 0 },
                };
                ssize_t n;

                if (poll(p, 2, PATIENCE_MS) == 0)
                        fail_msg("the daemon is not ready");
                if (!p[0].revents) {
                        (void)ended(d);
                        fail_msg("the daemon has ended: %s", d->text);
                }
                n = recv(s->notify, text, sizeof(text) - 1, 0);
                text[n > 0 ? n : 0] = '\0';
                if (strstr(text, "READY=1"))
                        return;
        }
}

static void serves(struct start *s, const char *socket) {
        wire_close(&s->wire);
        wire_init(&s->wire, wire_socket(socket));
        assert_int_equal(wire_hello(&s->wire, "start"), 0);
        assert_int_equal(wire_create(&s->wire, "a", 100, 2), 0);
        assert_int_equal(wire_remove(&s->wire, "a"), 0);
}

static void stop(struct daemon *d, int signal) {
        assert_return_code(kill(d->pid, signal), errno);
        ends_with(d, 0, WORDS(""));
}

static bool exists(const char *file) {
        struct stat st;

        return lstat(file, &st) == 0;
}

/* Nothing but the test's own file is in the directory. */
static void assert_clean(const struct start *s) { assert_int_equal(directory_count(s->directory), 1); }

/* ---- what it logs ----------------------------------------------------------------------------------------------- */

static unsigned count(const char *text, const char *words) {
        unsigned n = 0;

        for (const char *p = text; (p = strstr(p, words)); p++)
                n++;
        return n;
}

static void test_who_comes_for_ever_cannot_fill_the_log(void **state) {
        struct start *s = *state;
        struct daemon *d = run(s, 0, NULL, WORDS("--socket", path(s, "sock")));

        ready(s, d);
        for (int i = 0; i < 300; i++) {
                struct proto_header wrong = { .version = 0xffff, .size = sizeof(wrong) };

                wire_close(&s->wire);
                wire_init(&s->wire, wire_socket(path(s, "sock")));
                wire_send(&s->wire, &wrong, sizeof(wrong), NULL, 0);
                assert_true(wire_expect_dropped(&s->wire) < 0);
        }
        stop(d, SIGTERM);
        assert_in_range(count(d->text, "warning: uid "), 100, 150);
        assert_int_equal(count(d->text, "are left out"), 1);
        assert_non_null(strstr(d->text, "info: ending"));
}

/* ---- what systemd may store ------------------------------------------------------------------------------------- */

static void take_few_descriptors(void *data) {
        const struct rlimit limit = { .rlim_cur = 100, .rlim_max = 1000 };

        (void)data;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* As many as systemd could hand over at the next start, with the soft limit that it sets. */
static void test_a_limit_that_is_too_low_for_the_store(void **state) {
        const struct {
                const char *const *environment;
                const char *says; /* NULL: nothing */
        } cases[] = {
                { WORDS("SHMD_STORE_MAX=19"), "no more than 18 are stored" },
                { WORDS("FDSTORE=19"), "no more than 18 are stored" },
                { WORDS("SHMD_STORE_MAX=18"), NULL },
                { WORDS("SHMD_STORE_MAX=19", "FDSTORE=18"), NULL },
                { WORDS("SHMD_STORE_MAX=18", "FDSTORE=1000"), NULL },
                { WORDS("SHMD_STORE_MAX=0"), NULL },
                { WORDS("SHMD_STORE_MAX=many"), "$SHMD_STORE_MAX is 'many'" },
        };
        struct start *s = *state;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct daemon *d = run_with(s, 0, cases[i].environment, WORDS("--socket", path(s, "sock")),
                                            take_few_descriptors, NULL);

                ready(s, d);
                stop(d, SIGTERM);
                if (cases[i].says)
                        assert_non_null(strstr(d->text, cases[i].says));
                else
                        assert_null(strstr(d->text, "stored"));
        }
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void test_signals_end_it(void **state) {
        struct start *s = *state;
        static const int signals[] = { SIGTERM, SIGINT };

        for (int i = 0; i < 2; i++) {
                struct daemon *d = run(s, 0, NULL, WORDS("--socket", path(s, "sock")));

                ready(s, d);
                serves(s, path(s, "sock"));
                /* With somebody connected, and a segment that somebody has open. */
                assert_int_equal(wire_create(&s->wire, "b", 1000, 3), 0);
                assert_int_equal(wire_open_segment(&s->wire, "b", PROTO_ACCESS_READ, 0, 0), 0);
                stop(d, signals[i]);
                assert_clean(s);
                packet_close(&s->wire.packet);
                assert_false(wire_receive(&s->wire) && wire_receive(&s->wire) && wire_receive(&s->wire));
        }
}

static void test_a_signal_in_the_middle_of_an_allocation(void **state) {
        struct start *s = *state;
        struct daemon *d = run(s, 0, NULL, WORDS("--socket", path(s, "sock"), "--max-bytes", "8G"));
        struct proto_create m = { .slot_size = UINT64_C(2) << 30, .n_slots = 1, .name = "large" };

        ready(s, d);
        serves(s, path(s, "sock"));
        wire_header(&s->wire, &m, PROTO_OP_CREATE, 0);
        wire_send(&s->wire, &m, sizeof(m), NULL, 0);
        stop(d, SIGTERM);
        assert_clean(s);
}

/* ---- two of them ------------------------------------------------------------------------------------------------ */

static void test_a_second_one_refuses(void **state) {
        struct start *s = *state;
        const char *socket = path(s, "sock");
        struct daemon *first = run(s, 0, NULL, WORDS("--socket", socket)), *second;

        ready(s, first);
        for (int i = 0; i < 3; i++) {
                second = run(s, 1, NULL, WORDS("--socket", socket));
                ends_with(second, 1, WORDS(socket, "another"));
                serves(s, socket);
        }
        stop(first, SIGTERM);
        assert_clean(s);
}

static void test_of_two_at_once_one_starts(void **state) {
        struct start *s = *state;

        for (int i = 0; i < 10; i++) {
                char socket[128];
                int status, other;

                (void)snprintf(socket, sizeof(socket), "%s", path(s, "sock"));
                (void)run(s, 0, NULL, WORDS("--socket", socket));
                (void)run(s, 1, NULL, WORDS("--socket", socket));
                /* The one that ends first is the one that refuses. */
                struct pollfd p[] = {
                        { .fd = s->daemons[0].output, .events = 0 },
                        { .fd = s->daemons[1].output, .events = 0 },
                };
                assert_true(poll(p, 2, PATIENCE_MS) > 0);
                other = p[0].revents ? 0 : 1;
                status = ended(&s->daemons[other]);
                assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
                ready(s, &s->daemons[!other]);
                serves(s, socket);
                stop(&s->daemons[!other], SIGTERM);
                assert_clean(s);
        }
}

/* Somebody else's listener, of another type even, is not taken for a stale file. */
static void test_another_listener(void **state) {
        struct start *s = *state;
        static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM };

        for (int i = 0; i < 3; i++) {
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);

                (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path(s, "sock"));
                assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof(address)), errno);
                if (types[i] != SOCK_DGRAM)
                        assert_return_code(listen(fd, 1), errno);
                ends_with(run(s, 0, NULL, WORDS("--socket", address.sun_path)), 1, WORDS(address.sun_path));
                assert_true(exists(address.sun_path));
                (void)close(fd);
                (void)unlink(address.sun_path);
        }
}

static void test_a_stale_file_is_taken_over(void **state) {
        struct start *s = *state;
        const char *socket = path(s, "sock");

        for (int i = 0; i < 3; i++) {
                struct daemon *d = run(s, 0, NULL, WORDS("--socket", socket));
                int status;

                ready(s, d);
                serves(s, socket);
                assert_return_code(kill(d->pid, SIGKILL), errno);
                status = ended(d);
                assert_true(WIFSIGNALED(status));
                assert_true(exists(socket));
        }
        struct daemon *d = run(s, 0, NULL, WORDS("--socket", socket));
        ready(s, d);
        serves(s, socket);
        stop(d, SIGTERM);
        assert_clean(s);
}

static void test_a_file_that_is_no_socket(void **state) {
        struct start *s = *state;
        const char *file = path(s, "sock");
        struct stat st;
        int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

        assert_int_equal(write(fd, "mine", 4), 4);
        (void)close(fd);
        ends_with(run(s, 0, NULL, WORDS("--socket", file)), 1, WORDS(file, "not a socket"));
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_size, 4);
}

/* What somebody has put in its place meanwhile is not its to remove. */
static void test_it_removes_only_its_own(void **state) {
        struct start *s = *state;
        const char *socket = path(s, "sock");
        struct daemon *d = run(s, 0, NULL, WORDS("--socket", socket));

        ready(s, d);
        assert_return_code(unlink(socket), errno);
        assert_return_code(mkdir(socket, 0700), errno);
        stop(d, SIGTERM);
        assert_true(exists(socket));
}

/* ---- where it listens ------------------------------------------------------------------------------------------- */

static void test_the_socket_is_for_everybody(void **state) {
        struct start *s = *state;
        struct daemon *d = run(s, 0, NULL, WORDS("--socket", path(s, "sock")));
        struct stat st;

        ready(s, d);
        assert_int_equal(stat(path(s, "sock"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0666);
        stop(d, SIGTERM);
}

static void listens(struct start *s, const char *const *environment, const char *const *arguments, const char *socket) {
        struct daemon *d = run(s, 0, environment, arguments);

        ready(s, d);
        serves(s, socket);
        stop(d, SIGTERM);
        assert_false(exists(socket));
}

static void test_the_order_of_places(void **state) {
        struct start *s = *state;
        char runtime[200], xdg[200], both[400];

        assert_int_equal(mkdir(path(s, "runtime"), 0700), 0);
        assert_int_equal(mkdir(path(s, "xdg"), 0700), 0);
        (void)snprintf(runtime, sizeof(runtime), "RUNTIME_DIRECTORY=%s", path(s, "runtime"));
        (void)snprintf(xdg, sizeof(xdg), "XDG_RUNTIME_DIR=%s", path(s, "xdg"));
        listens(s, WORDS(runtime, xdg), WORDS("--socket", path(s, "sock")), path(s, "sock"));
        listens(s, WORDS(runtime, xdg), NULL, path(s, "runtime/shmd.sock"));
        listens(s, WORDS(xdg), NULL, path(s, "xdg/shmd/shmd.sock"));
        listens(s, WORDS("RUNTIME_DIRECTORY=", xdg), NULL, path(s, "xdg/shmd/shmd.sock"));
        (void)snprintf(both, sizeof(both), "%s:/nowhere", runtime);
        listens(s, WORDS(both), NULL, path(s, "runtime/shmd.sock"));
        /* Without any of them it is /run/shmd, which is the system's: only that it names it. */
        if (access("/run/shmd", F_OK) == 0)
                return;
        struct daemon *d = run(s, 0, WORDS("XDG_RUNTIME_DIR="), NULL);
        struct pollfd p[] = { { .fd = s->notify, .events = POLLIN }, { .fd = d->output } };

        assert_true(poll(p, 2, PATIENCE_MS) > 0);
        if (p[0].revents) {
                ready(s, d);
                serves(s, "/run/shmd/shmd.sock");
                stop(d, SIGTERM);
                assert_false(exists("/run/shmd/shmd.sock"));
                (void)rmdir("/run/shmd");
        } else {
                ends_with(d, 1, WORDS("/run/shmd"));
        }
}

static void test_a_path_that_is_too_long(void **state) {
        struct start *s = *state;
        struct sockaddr_un address;
        char name[256];
        size_t room = sizeof(address.sun_path) - 1 - strlen(s->directory) - 1;

        memset(name, 'x', sizeof(name));
        name[room] = '\0';
        listens(s, NULL, WORDS("--socket", path(s, name)), path(s, name));
        name[room] = 'x';
        name[room + 1] = '\0';
        ends_with(run(s, 0, NULL, WORDS("--socket", path(s, name))), 1, WORDS("108 bytes", "107"));
        assert_clean(s);
}

static void test_a_directory_that_is_not_there(void **state) {
        struct start *s = *state;

        ends_with(run(s, 0, NULL, WORDS("--socket", path(s, "a/b/c"))), 1, WORDS("a/b/c", "No such file"));
        assert_clean(s);
}

static void become_nobody(void *data) {
        (void)data;
        if (setgid(65534) < 0 || setuid(65534) < 0)
                _exit(126);
}

static void test_a_directory_that_may_not_be_written(void **state) {
        struct start *s = *state;
        struct daemon *d;

        if (geteuid() != 0) {
                print_message("[ SKIPPED  ] becoming another user takes root\n");
                skip();
        }
        assert_int_equal(chmod(s->directory, 0755), 0);
        d = run_with(s, 0, NULL, WORDS("--socket", path(s, "sock")), become_nobody, NULL);
        int status = ended(d);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
                print_message("[ SKIPPED  ] another user cannot run the daemon from here\n");
                skip();
        }
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        assert_non_null(strstr(d->text, "sock"));
        assert_non_null(strstr(d->text, "Permission denied"));
        assert_clean(s);
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

static void test_wrong_arguments(void **state) {
        struct start *s = *state;
        static const char *const numbers[] = { "--max-segments", "--max-bytes", "--max-segment-bytes",
                                               "--max-clients" };
        static const char *const wrong[] = {
                "", "0", "-1", "x", "1x", "1 ", " 1", "0x10", "1.5", "18446744073709551616", "1KB", "1MM",
        };

        for (int i = 0; i < 4; i++) {
                for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++)
                        ends_with(run(s, 0, NULL, WORDS(numbers[i], wrong[j])), 2,
                                  WORDS(numbers[i], wrong[j], "number"));
                ends_with(run(s, 0, NULL, WORDS(numbers[i])), 2, WORDS(numbers[i]));
        }
        ends_with(run(s, 0, NULL, WORDS("--max-bytes", "16777217T")), 2, WORDS("--max-bytes", "16777217T"));
        ends_with(run(s, 0, NULL, WORDS("--max-clients", "1K")), 2, WORDS("--max-clients", "1K"));
        ends_with(run(s, 0, NULL, WORDS("--nonsense")), 2, WORDS("nonsense"));
        ends_with(run(s, 0, NULL, WORDS("-x")), 2, WORDS("x"));
        ends_with(run(s, 0, NULL, WORDS("--max")), 2, WORDS("--max"));
        ends_with(run(s, 0, NULL, WORDS("--socket", path(s, "sock"), "superfluous")), 2, WORDS("superfluous"));
        ends_with(run(s, 0, NULL, WORDS("--socket")), 2, WORDS("--socket"));
        ends_with(run(s, 0, NULL, WORDS("--socket", "")), 2, WORDS("--socket"));
        ends_with(run(s, 0, NULL, WORDS("--log-level", "loud")), 2, WORDS("--log-level", "loud", "debug"));
        ends_with(run(s, 0, NULL, WORDS("--help=x")), 2, WORDS("help"));
        assert_clean(s);
}

static __attribute__((format(printf, 2, 3))) void write_file(const char *file, const char *format, ...) {
        FILE *f = fopen(file, "we");
        va_list args;

        assert_non_null(f);
        va_start(args, format);
        assert_true(vfprintf(f, format, args) > 0);
        va_end(args);
        assert_int_equal(fclose(f), 0);
}

static void test_a_configuration_file(void **state) {
        struct start *s = *state;
        char variable[128];
        struct daemon *d;

        write_file(path(s, "conf"), "[shmd]\nmax-segments = 1\nlog-level = error\nsocket = %s\n", path(s, "sock"));
        /* The command line stands above it. */
        d = run(s, 0, NULL, WORDS("--log-level", "info", "--config", path(s, "conf")));
        ready(s, d);
        serves(s, path(s, "sock"));
        assert_int_equal(wire_create(&s->wire, "one", 1, 1), 0);
        assert_int_equal(wire_create(&s->wire, "two", 1, 1), -ENOSPC);
        stop(d, SIGTERM);
        assert_non_null(strstr(d->text, "ready: 1 segments"));
        /* Where systemd says that configuration is. */
        (void)snprintf(variable, sizeof(variable), "CONFIGURATION_DIRECTORY=%s:/nowhere", s->directory);
        assert_return_code(rename(path(s, "conf"), path(s, "shmd.conf")), errno);
        d = run(s, 0, WORDS(variable), NULL);
        ready(s, d);
        serves(s, path(s, "sock"));
        stop(d, SIGTERM);
}

static void test_wrong_configuration_files(void **state) {
        struct start *s = *state;
        char variable[128];

        ends_with(run(s, 0, NULL, WORDS("--config", path(s, "none"))), 2, WORDS(path(s, "none"), "No such file"));
        ends_with(run(s, 0, NULL, WORDS("--config", s->directory)), 2, WORDS(s->directory, "Is a directory"));
        ends_with(run(s, 0, NULL, WORDS("--config", "")), 2, WORDS("--config", "empty"));
        (void)snprintf(variable, sizeof(variable), "CONFIGURATION_DIRECTORY=%s", s->directory);
        assert_return_code(mkdir(path(s, "shmd.conf"), 0700), errno);
        ends_with(run(s, 0, WORDS(variable), NULL), 2, WORDS(path(s, "shmd.conf"), "Is a directory"));
        write_file(path(s, "conf"), "# no number\n\n[shmd]\nmax-clients = many\n");
        ends_with(run(s, 0, NULL, WORDS("--config", path(s, "conf"), "--max-clients", "3")), 2,
                  WORDS("conf:4: max-clients is 'many'", "number from 1 up"));
}

static void test_help_and_version(void **state) {
        struct start *s = *state;
        struct daemon *d = run(s, 0, NULL, WORDS("--help"));

        ends_with(d, 0,
                  WORDS("usage", "--socket", "--max-segments", "--max-bytes", "--max-segment-bytes", "--max-clients",
                        "--log-level", "--config", "shmd.conf", "--help", "--version"));
        for (const char *line = d->text, *end; *line; line = end + 1) {
                end = strchr(line, '\n');
                assert_non_null(end);
                assert_true(end - line <= 100);
        }
        ends_with(run(s, 0, NULL, WORDS("--version")), 0, WORDS("shmd "));
        assert_clean(s);
}

static void test_numbers_with_units(void **state) {
        struct start *s = *state;
        struct daemon *d = run(s, 0, NULL,
                               WORDS("--socket", path(s, "sock"), "--max-bytes", "1M", "--max-segment-bytes", "64K",
                                     "--max-segments", "1", "--max-clients", "3"));

        ready(s, d);
        serves(s, path(s, "sock"));
        assert_int_equal(wire_create(&s->wire, "b", 65536, 1), -EFBIG);
        assert_int_equal(wire_create(&s->wire, "b", 65536 - 4096, 1), 0);
        stop(d, SIGTERM);
}

static void test_levels(void **state) {
        struct start *s = *state;
        struct daemon *d = run(s, 0, NULL, WORDS("--socket", path(s, "sock"), "--log-level", "info"));

        ready(s, d);
        serves(s, path(s, "sock"));
        stop(d, SIGTERM);
        assert_non_null(strstr(d->text, "info: "));
        d = run(s, 0, NULL, WORDS("--socket", path(s, "sock"), "--log-level", "error"));
        ready(s, d);
        serves(s, path(s, "sock"));
        stop(d, SIGTERM);
        assert_string_equal(d->text, "");
}

/* ---- sockets that are passed ------------------------------------------------------------------------------------ */

struct passed {
        int fds[4];
        int n;
        bool wrong_pid;
};

/* As systemd does it. */
static void pass(void *data) {
        const struct passed *p = data;
        char text[32];

        for (int i = 0; i < p->n; i++)
                if (dup2(p->fds[i], 3 + i) < 0)
                        _exit(126);
        (void)snprintf(text, sizeof(text), "%d", p->wrong_pid ? 1 : getpid());
        /* execve() gets an environment of its own: this goes in through the process that runs it. */
        (void)setenv("LISTEN_PID", text, 1);
        (void)snprintf(text, sizeof(text), "%d", p->n);
        (void)setenv("LISTEN_FDS", text, 1);
        (void)setenv("NOTIFY_SOCKET", getenv("TEST_NOTIFY"), 1);
        (void)execl(SHMD_BIN_DIR "/shmd", "shmd", "--config", "/dev/null", "--socket", getenv("TEST_SOCKET"), NULL);
        _exit(127);
}

static int listener(const char *file, int type, bool listening) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type, 0);

        /* Far from the numbers they are passed as. */
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        (void)close(fd);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", file);
        (void)unlink(file);
        assert_return_code(bind(high, (struct sockaddr *)&address, sizeof(address)), errno);
        if (listening)
                assert_return_code(listen(high, 16), errno);
        return high;
}

static struct daemon *run_passed(struct start *s, struct passed *p) {
        (void)setenv("TEST_NOTIFY", path(s, "notify"), 1);
        (void)setenv("TEST_SOCKET", path(s, "unused"), 1);
        return run_with(s, 0, NULL, NULL, pass, p);
}

static void passed_close(struct passed *p) {
        for (int i = 0; i < p->n; i++)
                fd_close(p->fds[i]);
}

static void test_sockets_that_are_passed(void **state) {
        struct start *s = *state;
        struct passed p = { .n = 2 };
        struct daemon *d;

        p.fds[0] = listener(path(s, "one"), SOCK_SEQPACKET, true);
        p.fds[1] = listener(path(s, "two"), SOCK_SEQPACKET, true);
        d = run_passed(s, &p);
        ready(s, d);
        serves(s, path(s, "one"));
        serves(s, path(s, "two"));
        assert_false(exists(path(s, "unused")));
        stop(d, SIGTERM);
        /* They are systemd's: it goes on listening, so the files stay. */
        assert_true(exists(path(s, "one")) && exists(path(s, "two")));
        d = run_passed(s, &p);
        ready(s, d);
        serves(s, path(s, "one"));
        stop(d, SIGTERM);
        passed_close(&p);
}

static void test_sockets_that_are_passed_to_another(void **state) {
        struct start *s = *state;
        struct passed p = { .n = 1, .wrong_pid = true };
        struct daemon *d;

        p.fds[0] = listener(path(s, "one"), SOCK_SEQPACKET, true);
        d = run_passed(s, &p);
        ready(s, d);
        serves(s, path(s, "unused"));
        stop(d, SIGTERM);
        passed_close(&p);
}

static void test_passed_things_that_are_no_sockets_of_ours(void **state) {
        struct start *s = *state;

        for (int i = 0; i < 3; i++) {
                struct passed p = { .n = 1 };

                if (i == 0)
                        p.fds[0] = listener(path(s, "one"), SOCK_STREAM, true);
                else if (i == 1)
                        p.fds[0] = listener(path(s, "one"), SOCK_SEQPACKET, false);
                else
                        p.fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
                ends_with(run_passed(s, &p), 1, WORDS("socket"));
                passed_close(&p);
        }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_who_comes_for_ever_cannot_fill_the_log),
                TEST(test_a_limit_that_is_too_low_for_the_store),
                TEST(test_signals_end_it),
                TEST(test_a_signal_in_the_middle_of_an_allocation),
                TEST(test_a_second_one_refuses),
                TEST(test_of_two_at_once_one_starts),
                TEST(test_another_listener),
                TEST(test_a_stale_file_is_taken_over),
                TEST(test_a_file_that_is_no_socket),
                TEST(test_it_removes_only_its_own),
                TEST(test_the_socket_is_for_everybody),
                TEST(test_the_order_of_places),
                TEST(test_a_path_that_is_too_long),
                TEST(test_a_directory_that_is_not_there),
                TEST(test_a_directory_that_may_not_be_written),
                TEST(test_wrong_arguments),
                TEST(test_a_configuration_file),
                TEST(test_wrong_configuration_files),
                TEST(test_help_and_version),
                TEST(test_numbers_with_units),
                TEST(test_levels),
                TEST(test_sockets_that_are_passed),
                TEST(test_sockets_that_are_passed_to_another),
                TEST(test_passed_things_that_are_no_sockets_of_ours),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
