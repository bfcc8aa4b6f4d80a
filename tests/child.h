/*
 * child.h -- another process in a test: runs a function, and talks with the test in numbers.
 *
 * cmocka's assertions belong to the test's own process; a child uses CHILD_CHECK() and CHILD_EQUAL(), which end it with
 * a line that says where, and child_finish() fails the test then. A child dies with the test.
 */
#pragma once

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support.h"

#define CHILD_PATIENCE_MS 120000 /* nothing takes as long; a test that hangs says where */

struct child {
        pid_t pid;
        int fd; /* the test's end */
};

#define CHILD_CHECK(condition)                                                                                 \
        do {                                                                                                   \
                if (!(condition)) {                                                                            \
                        (void)fprintf(stderr, "%s:%d: child %d: not true: %s\n", __FILE__, __LINE__, getpid(), \
                                      #condition);                                                             \
                        _exit(1);                                                                              \
                }                                                                                              \
        } while (0)

#define CHILD_EQUAL(a, b)                                                                                         \
        do {                                                                                                      \
                long long child_a = (long long)(a), child_b = (long long)(b);                                     \
                if (child_a != child_b) {                                                                         \
                        (void)fprintf(stderr, "%s:%d: child %d: %s is %lld, not %s (%lld)\n", __FILE__, __LINE__, \
                                      getpid(), #a, child_a, #b, child_b);                                        \
                        _exit(1);                                                                                 \
                }                                                                                                 \
        } while (0)

/* Send a number to the other end; false if it is gone. */
static inline bool child_tell(int fd, uint64_t value) {
        return send(fd, &value, sizeof(value), MSG_NOSIGNAL) == (ssize_t)sizeof(value);
}

/* Wait for a number from the other end; false if it is gone. */
static inline bool child_hear(int fd, uint64_t *value) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n;

        do
                n = poll(&p, 1, CHILD_PATIENCE_MS);
        while (n < 0 && errno == EINTR);
        return n == 1 && recv(fd, value, sizeof(*value), MSG_WAITALL) == (ssize_t)sizeof(*value);
}

/* The same in a test, which fails if the child is gone. */
static inline uint64_t child_expect(const struct child *c) {
        uint64_t value = 0;

        if (!child_hear(c->fd, &value))
                fail_msg("child %d said nothing", (int)c->pid);
        return value;
}

/* Run @fn in a child, which exits with 0 when it returns. @fd is the child's end: it closes when the test is gone. */
static inline void child_start(struct child *c, void (*fn)(int fd, void *data), void *data) {
        int fds[2];

        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), errno);
        (void)fflush(NULL);
        c->pid = fork();
        if (c->pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)close(fds[0]);
                fn(fds[1], data);
                _exit(0);
        }
        (void)close(fds[1]);
        c->fd = fds[0];
        assert_return_code(c->pid, errno);
}

/* Wait until it has ended. Return: its status as of waitpid(2). */
static inline int child_reap(struct child *c) {
        int status = -1;
        pid_t pid;

        do
                pid = waitpid(c->pid, &status, 0);
        while (pid < 0 && errno == EINTR);
        assert_int_equal(pid, c->pid);
        (void)close(c->fd);
        c->fd = -1;
        c->pid = 0;
        return status;
}

/* Wait for a child that ends by itself: it must have found nothing wrong. */
static inline void child_finish(struct child *c) {
        int status = child_reap(c);

        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                fail_msg("a child ended with status 0x%x", (unsigned)status);
}

/* Kill a child that would go on; it must have found nothing wrong until then. */
static inline void child_kill(struct child *c) {
        int status;

        assert_return_code(kill(c->pid, SIGKILL), errno);
        status = child_reap(c);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
                fail_msg("a child ended by itself with status 0x%x", (unsigned)status);
}

/* Wait until a process sleeps in the kernel (as whoever waits for an event does): the state of all its threads in
 * /proc is S. */
static inline bool process_sleeps(pid_t pid) {
        char path[64], line[512];
        FILE *f;
        char *p;
        bool sleeps;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return false;
        p = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
        sleeps = p && p[1] == ' ' && p[2] == 'S';
        (void)fclose(f);
        return sleeps;
}
