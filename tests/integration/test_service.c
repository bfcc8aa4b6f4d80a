/* test_service.c -- what the daemon tells its service manager, and that it reads its configuration anew. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/integration/library.h"

#define PATIENCE_MS 60000
#define SECOND UINT64_C(1000000000)

/* The manager's side. */
struct service {
        int fds;
        char directory[32];
        char socket[64];
        char config[64];
        int notify;
        pid_t pid; /* 0: there is no daemon */
        struct shmd *conn;
        char text[2048]; /* the last message */
};

static int setup(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct service *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        s->fds = fd_count();
        (void)snprintf(s->directory, sizeof(s->directory), "/tmp/shmd-service-XXXXXX");
        assert_non_null(mkdtemp(s->directory));
        (void)snprintf(s->socket, sizeof(s->socket), "%s/sock", s->directory);
        (void)snprintf(s->config, sizeof(s->config), "%s/conf", s->directory);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", s->directory);
        s->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_return_code(bind(s->notify, (struct sockaddr *)&address, sizeof(address)), errno);
        assert_return_code(setenv("NOTIFY_SOCKET", address.sun_path, 1), errno);
        *state = s;
        return 0;
}

static int teardown(void **state) {
        struct service *s = *state;
        char command[64];
        int fds = s->fds;

        s->conn = shmd_close(s->conn);
        if (s->pid) {
                (void)kill(s->pid, SIGKILL);
                (void)waitpid(s->pid, NULL, 0);
        }
        (void)close(s->notify);
        (void)snprintf(command, sizeof(command), "rm -rf '%s'", s->directory);
        assert_int_equal(system(command), 0);
        (void)unsetenv("WATCHDOG_USEC");
        (void)unsetenv("NOTIFY_SOCKET");
        free(s);
        assert_int_equal(fd_count(), fds);
        return 0;
}

/* At once, as it may be read at any time. */
static void configure(const struct service *s, const char *lines) {
        char path[sizeof(s->config) + 4];
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s.new", s->config);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(fprintf(f, "[shmd]\nlog-level = warning\n%s\n", lines) > 0);
        assert_int_equal(fclose(f), 0);
        assert_return_code(rename(path, s->config), errno);
}

/* The next message. Return: false if none comes in time. */
static bool hear(struct service *s, int timeout_ms) {
        struct pollfd p = { .fd = s->notify, .events = POLLIN };
        ssize_t n;

        if (poll(&p, 1, timeout_ms) != 1)
                return false;
        n = recv(s->notify, s->text, sizeof(s->text) - 1, 0);
        assert_return_code(n, errno);
        s->text[n] = '\0';
        return true;
}

/* Wait for a message with @words in it; others may come before. */
static void expect(struct service *s, const char *words) {
        s->text[0] = '\0';
        do {
                if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
                        s->pid = 0;
                        fail_msg("the daemon has ended before it said \"%s\"", words);
                }
                if (!hear(s, PATIENCE_MS))
                        fail_msg("the daemon does not say \"%s\"", words);
        } while (!strstr(s->text, words));
}

/* Run it, and wait for READY=1. */
static void start(struct service *s) {
        assert_int_equal(s->pid, 0);
        (void)fflush(NULL);
        s->pid = fork();
        assert_return_code(s->pid, errno);
        if (s->pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)execl(SHMD_BIN_DIR "/shmd", "shmd", "--socket", s->socket, "--config", s->config, NULL);
                _exit(127);
        }
        expect(s, "READY=1");
        assert_int_equal(shmd_connect(&s->conn, s->socket), 0);
}

/* Have it read its configuration, and wait until it is through. */
static void reload(struct service *s) {
        assert_return_code(kill(s->pid, SIGHUP), errno);
        expect(s, "RELOADING=1");
        expect(s, "READY=1");
}

/* ---- ready, status, stopping ------------------------------------------------------------------------------------ */

static void test_status(void **state) {
        struct service *s = *state;

        configure(s, "");
        start(s);
        expect(s, "STATUS=0 segments, 0B, 0 clients");
        expect(s, "STATUS=0 segments, 0B, 1 client");
        make(s->conn, "a", 1 << 20, 4, SHMD_OVERWRITE);
        make(s->conn, "b", 1 << 20, 4, SHMD_OVERWRITE);
        expect(s, "STATUS=2 segments, 8.0M, 1 client");
        OK(s->conn, shmd_remove(s->conn, "a"));
        expect(s, "STATUS=1 segment, 4.0M, 1 client");
        s->conn = shmd_close(s->conn);
        expect(s, "STATUS=1 segment, 4.0M, 0 clients");
}

/* However much happens, the manager hears of it once a second. */
static void test_the_status_is_not_a_flood(void **state) {
        struct service *s = *state;
        uint64_t begin = monotonic_ns();
        unsigned n = 0;

        configure(s, "");
        start(s);
        for (unsigned i = 0; i < times(2000); i++) {
                make(s->conn, "a", 4096, 2, SHMD_OVERWRITE);
                OK(s->conn, shmd_remove(s->conn, "a"));
                while (hear(s, 0))
                        n += strstr(s->text, "STATUS=") != NULL;
        }
        assert_true(n <= 2 + (monotonic_ns() - begin) / SECOND);
}

static void test_it_says_that_it_stops(void **state) {
        struct service *s = *state;
        int status;

        configure(s, "");
        start(s);
        assert_return_code(kill(s->pid, SIGTERM), errno);
        expect(s, "STOPPING=1");
        assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
        s->pid = 0;
        assert_int_equal(status, 0);
}

/* ---- the watchdog ----------------------------------------------------------------------------------------------- */

static void test_signs_of_life(void **state) {
        struct service *s = *state;

        assert_return_code(setenv("WATCHDOG_USEC", "30000", 1), errno);
        configure(s, "");
        start(s);
        for (int i = 0; i < 5; i++)
                expect(s, "WATCHDOG=1");
        /* A daemon that does not turn gives none. */
        assert_return_code(kill(s->pid, SIGSTOP), errno);
        assert_int_equal(waitpid(s->pid, NULL, WUNTRACED), s->pid);
        while (hear(s, 0))
                ;
        assert_false(hear(s, 200));
        assert_return_code(kill(s->pid, SIGCONT), errno);
        expect(s, "WATCHDOG=1");
}

static void test_no_watchdog(void **state) {
        struct service *s = *state;

        configure(s, "");
        start(s);
        expect(s, "STATUS=0 segments, 0B, 1 client");
        assert_false(hear(s, 200));
}

/* Who waits for a manager that reads nothing, hangs with it. */
static void test_a_manager_that_hangs(void **state) {
        struct service *s = *state;
        struct sockaddr_un address;
        socklen_t size = sizeof(address);
        struct shmd_info info;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_return_code(setenv("WATCHDOG_USEC", "3000", 1), errno);
        configure(s, "");
        start(s);
        make(s->conn, "a", 4096, 2, SHMD_OVERWRITE);
        assert_return_code(getsockname(s->notify, (struct sockaddr *)&address, &size), errno);
        while (sendto(fd, "X", 1, 0, (struct sockaddr *)&address, size) == 1)
                ;
        assert_int_equal(errno, EAGAIN);
        (void)close(fd);
        /* A sign of life is due each millisecond. */
        for (uint64_t end = monotonic_ns() + SECOND / 10; monotonic_ns() < end;)
                OK(s->conn, shmd_stat(s->conn, "a", &info));
        expect(s, "WATCHDOG=1");
}

/* ---- the configuration ------------------------------------------------------------------------------------------ */

static void test_reload(void **state) {
        const struct shmd_options options = { .slot_size = 4096, .n_slots = 2 };
        struct service *s = *state;
        struct shmd_writer *w;
        struct shmd_reader *r;
        uint64_t now = monotonic_ns() / 1000;
        const char *at;

        configure(s, "max-segments = 1");
        start(s);
        make(s->conn, "a", 4096, 2, SHMD_OVERWRITE);
        FAILS(s->conn, -ENOSPC, shmd_create(s->conn, "b", &options), "segments");
        w = writer(s->conn, "a");
        r = reader(s->conn, "a", 0);

        configure(s, "max-segments = 3");
        assert_return_code(kill(s->pid, SIGHUP), errno);
        expect(s, "RELOADING=1");
        at = strstr(s->text, "MONOTONIC_USEC=");
        assert_non_null(at);
        assert_in_range(strtoull(at + strlen("MONOTONIC_USEC="), NULL, 10), now, monotonic_ns() / 1000);
        expect(s, "READY=1");
        make(s->conn, "b", 4096, 2, SHMD_OVERWRITE);
        make(s->conn, "c", 4096, 2, SHMD_OVERWRITE);

        /* Fewer than there are: nothing is dropped, nothing more is made. */
        configure(s, "max-segments = 1\nmax-bytes = 1K\nmax-clients = 1");
        reload(s);
        FAILS(s->conn, -ENOSPC, shmd_create(s->conn, "d", &options), "segments");
        publish(w, 100, 7);
        expect_events(r, SHMD_EVENT_FRAME);
        expect_users(s->conn, "a", 1, 1);
        OK(s->conn, shmd_remove(s->conn, "b"));
        OK(s->conn, shmd_remove(s->conn, "c"));
        shmd_reader_close(r);
        shmd_writer_close(w);
}

static void test_a_reload_that_is_refused(void **state) {
        struct service *s = *state;
        char words[128];

        configure(s, "max-segments = 2");
        start(s);
        make(s->conn, "a", 4096, 2, SHMD_OVERWRITE);
        configure(s, "max-segments = 1\nmax-bytes = much");
        reload(s);
        (void)snprintf(words, sizeof(words), "STATUS=the old configuration holds: %s:4: max-bytes is 'much'",
                       s->config);
        expect(s, words);
        make(s->conn, "b", 4096, 2, SHMD_OVERWRITE);
        expect(s, "; 2 segments, ");
        assert_int_equal(unlink(s->config), 0);
        reload(s);
        expect(s, "cannot be read");
        configure(s, "max-segments = 3");
        reload(s);
        expect(s, "STATUS=2 segments, ");
        make(s->conn, "c", 4096, 2, SHMD_OVERWRITE);
}

/* The last one holds, however fast they come. */
static void test_many_reloads(void **state) {
        const struct shmd_options options = { .slot_size = 4096, .n_slots = 2 };
        struct service *s = *state;

        configure(s, "max-segments = 1");
        start(s);
        make(s->conn, "a", 4096, 2, SHMD_OVERWRITE);
        for (unsigned i = 0; i < times(100); i++) {
                uint64_t end = monotonic_ns() + 60 * SECOND;

                for (unsigned j = 0; j < 2; j++) {
                        configure(s, j == 0 ? "max-segments = 1" : "max-segments = 2");
                        assert_return_code(kill(s->pid, SIGHUP), errno);
                }
                do { /* it is read in its own time */
                        assert_true(monotonic_ns() < end);
                        while (hear(s, 1))
                                ;
                } while (shmd_create(s->conn, "b", &options) == -ENOSPC);
                OK(s->conn, shmd_remove(s->conn, "b"));
        }
}

int main(void) {
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_status),
                TEST(test_the_status_is_not_a_flood),
                TEST(test_it_says_that_it_stops),
                TEST(test_signs_of_life),
                TEST(test_no_watchdog),
                TEST(test_a_manager_that_hangs),
                TEST(test_reload),
                TEST(test_a_reload_that_is_refused),
                TEST(test_many_reloads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
