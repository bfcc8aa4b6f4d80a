/* The slots' own code with a point before each access, in place of proto's; and a point before each system call. */
#define _GNU_SOURCE
#include "tests/crash/points.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/point.h"

static uint64_t passed;
static uint64_t last; /* 0: go on for ever */

void points_kill_at(uint64_t n) {
        passed = 0;
        last = n;
}

uint64_t points_passed(void) { return passed; }

void point(void) {
        if (++passed == last)
                (void)kill(getpid(), SIGKILL);
}

/* The linker has every call of these in the library come here (--wrap). */

#define WRAP(type, name, parameters, arguments) \
        type __real_##name parameters;          \
        type __wrap_##name parameters;          \
        type __wrap_##name parameters {         \
                point();                        \
                return __real_##name arguments; \
        }

WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
WRAP(int, close, (int fd), (fd))
WRAP(int, epoll_create1, (int flags), (flags))
WRAP(int, epoll_ctl, (int epoll, int op, int fd, struct epoll_event *event), (epoll, op, fd, event))
WRAP(int, epoll_wait, (int epoll, struct epoll_event *events, int n, int timeout), (epoll, events, n, timeout))
WRAP(void *, mmap, (void *at, size_t size, int access, int flags, int fd, off_t offset),
     (at, size, access, flags, fd, offset))
WRAP(int, munmap, (void *at, size_t size), (at, size))
WRAP(int, madvise, (void *at, size_t size, int advice), (at, size, advice))

int __real_fcntl(int fd, int op, ...);
int __wrap_fcntl(int fd, int op, ...);
int __wrap_fcntl(int fd, int op, ...) {
        va_list more;
        void *argument;

        va_start(more, op);
        argument = va_arg(more, void *);
        va_end(more);
        point();
        return __real_fcntl(fd, op, argument);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
        va_list more;
        long a[6];

        va_start(more, number);
        for (size_t i = 0; i < 6; i++)
                a[i] = va_arg(more, long);
        va_end(more);
        point();
        return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
