/* test_connection.c -- connecting: to a daemon, to none, to one that makes no sense. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "proto/message.h"
#include "tests/integration/library.h"

static void path_beside(char *out, size_t size, void **state, const char *name) {
        const char *path = socket_path(state);

        (void)snprintf(out, size, "%.*s/%s", (int)(strrchr(path, '/') - path), path, name);
}

static void expect_refusal(const char *path, int error, const char *word, const char *other) {
        int before = fd_count();
        struct shmd *conn;
        struct shmd_info info;

        FAILS(conn, error, shmd_connect(&conn, path), word, other);
        assert_non_null(conn);
        assert_int_not_equal(shmd_stat(conn, "s", &info), 0);
        assert_null(shmd_close(conn));
        assert_int_equal(fd_count(), before);
}

static void test_no_daemon(void **state) {
        char path[200];
        int fd;

        path_beside(path, sizeof(path), state, "nobody.sock");
        expect_refusal(path, -ENOENT, path, "shmd");
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
        expect_refusal(path, -ECONNREFUSED, path, "shmd");
        assert_int_equal(unlink(path), 0);
        expect_refusal("/proc/1/no/such/place", -ENOENT, "/proc/1/no/such/place", "shmd");
        assert_null(shmd_close(NULL));
}

static void test_path_too_long(void **state) {
        char path[300];

        (void)state;
        for (size_t n = 106; n < 110; n++) {
                struct shmd *conn;

                memset(path, 'x', n);
                path[0] = '/';
                path[n] = '\0';
                if (n < sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
                        expect_refusal(path, -ENOENT, path, "shmd");
                        continue;
                }
                FAILS(conn, -ENAMETOOLONG, shmd_connect(&conn, path), path, "107");
                shmd_close(conn);
        }
}

static void connect_as_nobody(int fd, void *data) {
        struct shmd *conn;

        (void)fd;
        CHILD_EQUAL(setgid(65534), 0);
        CHILD_EQUAL(setuid(65534), 0);
        CHILD_EQUAL(shmd_connect(&conn, data), -EACCES);
        CHILD_CHECK(strstr(shmd_error(conn), data));
        shmd_close(conn);
}

static void test_forbidden(void **state) {
        struct child c;
        struct stat st;

        if (geteuid() != 0) {
                print_message("not root: skipped\n");
                skip();
        }
        assert_int_equal(stat(socket_path(state), &st), 0);
        assert_int_equal(chmod(socket_path(state), 0600), 0);
        child_start(&c, connect_as_nobody, (void *)(uintptr_t)socket_path(state));
        child_finish(&c);
        assert_int_equal(chmod(socket_path(state), st.st_mode & 07777), 0);
}

static void expect_connection(const char *path) {
        struct shmd *conn;
        struct shmd_info info;

        OK(conn, shmd_connect(&conn, path));
        FAILS(conn, -ENOENT, shmd_stat(conn, "absent", &info), "absent");
        shmd_close(conn);
}

/* The places where a socket is looked for, in their order. */
static void test_default_path(void **state) {
        char directory[200], link[250], path[108];

        (void)snprintf(path, sizeof(path), "%s", socket_path(state));
        path_beside(directory, sizeof(directory), state, "shmd");
        assert_int_equal(mkdir(directory, 0755), 0);
        (void)snprintf(link, sizeof(link), "%s/shmd.sock", directory);
        assert_int_equal(symlink(path, link), 0);

        assert_int_equal(setenv("SHMD_SOCKET", path, 1), 0);
        expect_connection(NULL);
        assert_int_equal(setenv("SHMD_SOCKET", "/nowhere/a", 1), 0);
        expect_refusal(NULL, -ENOENT, "/nowhere/a", "shmd");
        assert_int_equal(setenv("SHMD_SOCKET", "", 1), 0);
        *strrchr(directory, '/') = '\0';
        assert_int_equal(setenv("XDG_RUNTIME_DIR", directory, 1), 0);
        expect_connection(NULL);
        assert_int_equal(unsetenv("SHMD_SOCKET"), 0);
        expect_connection(NULL);
        /* Where there is none, the system's. */
        assert_int_equal(unlink(link), 0);
        if (access("/run/shmd/shmd.sock", F_OK) < 0) {
                expect_refusal(NULL, -ENOENT, "/run/shmd/shmd.sock", "shmd");
                assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
                expect_refusal(NULL, -ENOENT, "/run/shmd/shmd.sock", "shmd");
        }
        assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
        *strrchr(link, '/') = '\0';
        assert_int_equal(rmdir(link), 0);
}

/* Handles outlive the connection that they were opened through. */
static void test_handles_outlive_it(void **state) {
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_writer *w;
        struct shmd_frame f;

        OK(conn, shmd_connect(&conn, socket_path(state)));
        make(conn, "s", 100, 3, 0);
        w = writer(conn, "s");
        r = reader(conn, "s", 0);
        shmd_close(conn);
        publish(w, 100, 1);
        assert_int_equal(shmd_reader_wait(r, SOON), SHMD_EVENT_FRAME);
        assert_int_equal(shmd_reader_latest(r, &f), 0);
        assert_frame(&f, 100, 1, 1, 0);
        shmd_reader_close(r);
        shmd_writer_close(w);
}

/* The sentence belongs to the last call that failed, and goes with it. */
static void test_error_is_of_the_last_call(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_info info;

        FAILS(conn, -ENOENT, shmd_stat(conn, "first", &info), "first");
        FAILS(conn, -ENOENT, shmd_remove(conn, "second"), "second");
        assert_null(strstr(shmd_error(conn), "first"));
}

static void test_lost_connection(void **state) {
        struct shmd *conn = connection(state);
        struct shmd_options options = { .slot_size = 1 };
        struct shmd_info info;
        struct shmd_writer *w;

        fixture_kill(((struct library *)*state)->daemon);
        FAILS(conn, -ENOTCONN, shmd_create(conn, "s", &options), socket_path(state), "closed");
        ((struct library *)*state)->fds--;
        FAILS(conn, -ECONNREFUSED, shmd_create(conn, "s", &options), socket_path(state), "shmd");
        FAILS(conn, -ECONNREFUSED, shmd_remove(conn, "s"), socket_path(state));
        FAILS(conn, -ECONNREFUSED, shmd_list(conn, NULL, NULL, NULL), socket_path(state));
        FAILS(conn, -ECONNREFUSED, shmd_stat(conn, "s", &info), socket_path(state));
        FAILS(conn, -ECONNREFUSED, shmd_writer_open(&w, conn, "s", SHMD_WAIT, SHMD_FOREVER), socket_path(state));
}

static int setup_three_clients(void **state) {
        static const char *const arguments[] = { "--max-clients", "3", NULL };

        return library_setup_with(state, arguments);
}

static void test_too_many_clients(void **state) {
        struct shmd *conn = connection(state), *second, *third;
        struct shmd_info info;
        struct shmd_reader *r;

        make(conn, "s", 100, 3, 0);
        OK(second, shmd_connect(&second, socket_path(state)));
        OK(third, shmd_connect(&third, socket_path(state)));
        for (int i = 0; i < 50; i++) {
                expect_refusal(socket_path(state), -EUSERS, "--max-clients", "client");
                FAILS(conn, -EUSERS, shmd_reader_open(&r, conn, "s", 0, SOON), "--max-clients", "client");
        }
        OK(conn, shmd_stat(conn, "s", &info));
        shmd_close(third);
        /* Its place is free when the daemon has seen it go. */
        for (int e = -EUSERS; e != 0;) {
                e = shmd_reader_open(&r, conn, "s", 0, SOON);
                assert_true(e == 0 || e == -EUSERS);
        }
        shmd_reader_close(r);
        shmd_close(second);
}

/* ---- a daemon that makes no sense ------------------------------------------------------------------------------- */

struct fake {
        const char *path;
        struct proto_header header;
        struct proto_welcome welcome;
        size_t size; /* 0: closes at once */
};

static void answer(int fd, void *data) {
        const struct fake *fake = data;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        memcpy(address.sun_path, fake->path, strlen(fake->path) + 1);
        CHILD_EQUAL(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
        CHILD_EQUAL(listen(listener, 5), 0);
        CHILD_CHECK(child_tell(fd, 0));
        /* The connection, and the calls that are tried after its failure; until the test has seen enough. */
        for (;;) {
                struct pollfd p[] = { { .fd = listener, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
                int client;

                CHILD_CHECK(poll(p, 2, CHILD_PATIENCE_MS) > 0);
                if (p[1].revents)
                        break;
                client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                CHILD_CHECK(client >= 0);
                if (fake->size)
                        CHILD_EQUAL(send(client, &fake->welcome, fake->size, MSG_NOSIGNAL), fake->size);
                else
                        (void)close(client);
        }
        CHILD_EQUAL(unlink(fake->path), 0);
}

static void expect_from_fake(struct fake *fake, int error, const char *word, const char *other) {
        struct child c;

        child_start(&c, answer, fake);
        (void)child_expect(&c);
        expect_refusal(fake->path, error, word, other);
        assert_true(child_tell(c.fd, 0));
        child_finish(&c);
}

static void test_nonsense(void **state) {
        struct proto_welcome welcome = { .layout_version = LAYOUT_VERSION, .daemon = "fake" };
        char path[108];
        struct fake fake = { .path = path };

        path_beside(path, sizeof(path), state, "fake.sock");
        message_init(&welcome.header, PROTO_OP_HELLO, sizeof(welcome), 0);

        fake.welcome = welcome;
        fake.welcome.header.version = 77;
        fake.size = sizeof(welcome);
        expect_from_fake(&fake, -EPROTONOSUPPORT, "version 77", "version 1");

        fake.welcome = welcome;
        fake.welcome.layout_version = 88;
        expect_from_fake(&fake, -EPROTONOSUPPORT, "version 88", "version 2");

        fake.welcome = welcome;
        fake.welcome.header.op = PROTO_OP_STAT;
        expect_from_fake(&fake, -EPROTO, "no sense", "op");

        fake.welcome = welcome;
        fake.welcome.header.serial = 5;
        expect_from_fake(&fake, -EPROTO, "no sense", "serial");

        fake.welcome = welcome;
        fake.welcome.header.size += 8;
        expect_from_fake(&fake, -EPROTO, "no sense", "daemon");

        fake.welcome = welcome;
        fake.size = 10;
        expect_from_fake(&fake, -EPROTO, "no sense", "daemon");

        fake.size = 0;
        expect_from_fake(&fake, -ENOTCONN, path, "closed");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_no_daemon),
                LIBRARY_TEST(test_path_too_long),
                LIBRARY_TEST(test_forbidden),
                LIBRARY_TEST(test_default_path),
                LIBRARY_TEST(test_handles_outlive_it),
                LIBRARY_TEST(test_error_is_of_the_last_call),
                LIBRARY_TEST(test_lost_connection),
                cmocka_unit_test_setup_teardown(test_too_many_clients, setup_three_clients, library_teardown),
                LIBRARY_TEST(test_nonsense),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
