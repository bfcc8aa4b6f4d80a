#define _GNU_SOURCE
#include "tests/integration/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/cleanup.h"
#include "tests/child.h"

#define ARGUMENTS_MAX 32
#define KEPT_MAX 16384
#define STARTS_MAX 5 /* in vain */

enum what {
        WHAT_PID,  /* -> the daemon's; waits until it is ready */
        WHAT_DOWN, /* signal -> 0 when it is gone */
        WHAT_UP,   /* -> the pid when it is ready */
        WHAT_UP_SOON,
        WHAT_REPLACE, /* -> the pid when it is ready and the old one is gone, or minus the status if it ends instead */
        WHAT_COUNT,
        WHAT_BORROW, /* -> a descriptor */
        WHAT_FORGET,
        WHAT_DEAF,
        WHAT_STARTS,
        WHAT_STOP, /* -> the daemon's status */
};

struct question {
        enum what what;
        int number;
        char name[64];
};

struct manager {
        pid_t pid;
        pid_t daemon;
        int questions;
        char directory[32];
        char socket[64];
};

/* ---- the process ------------------------------------------------------------------------------------------------ */

struct kept {
        int fd;
        char name[64];
};

struct keeper {
        const struct manager *m;
        const struct manager_options *options;
        unsigned store_max;
        unsigned store_real;
        char notify_path[64];
        int listener;
        int notify;
        int questions;
        int signals;
        pid_t daemon; /* 0: there is none */
        pid_t old;    /* that is being replaced */
        bool ready;
        bool up; /* it is to run */
        bool deaf;
        char extra[64]; /* argument for a replacement; "": none */
        bool asked;     /* somebody waits for it to be ready, or to be gone */
        enum what pending;
        int status; /* with which it ended */
        unsigned starts;
        unsigned in_vain;
        size_t n;
        struct kept kept[KEPT_MAX];
};

/* As systemd: to numbers from 3 on, by way of free ones behind them. */
static void place(const struct keeper *k) {
        int n = 1 + (int)k->n;
        int *fds = calloc((size_t)n, sizeof(int));

        CHILD_CHECK(fds);
        fds[0] = k->listener;
        for (int i = 1; i < n; i++)
                fds[i] = k->kept[k->n - (size_t)i].fd; /* the last comes first */
        for (int i = 0; i < n; i++) {
                fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3 + n);
                CHILD_CHECK(fds[i] >= 0);
        }
        for (int i = 0; i < n; i++)
                CHILD_CHECK(dup2(fds[i], 3 + i) == 3 + i);
        (void)close_range((unsigned)(3 + n), ~0U, 0);
        free(fds);
}

static void set_environment(const struct keeper *k) {
        size_t size = 16 + k->n * sizeof(k->kept[0].name);
        char *names = malloc(size);
        char number[32];
        size_t used = (size_t)snprintf(names, size, "shmd.socket");

        for (size_t i = k->n; i-- > 0;)
                used += (size_t)snprintf(names + used, size - used, ":%s", k->kept[i].name);
        (void)setenv("LISTEN_FDNAMES", names, 1);
        (void)snprintf(number, sizeof(number), "%zu", k->n + 1);
        (void)setenv("LISTEN_FDS", number, 1);
        (void)snprintf(number, sizeof(number), "%d", getpid());
        (void)setenv("LISTEN_PID", number, 1);
        (void)snprintf(number, sizeof(number), "%u", k->store_max);
        (void)setenv("SHMD_STORE_MAX", number, 1);
        (void)setenv("NOTIFY_SOCKET", k->notify_path, 1);
        free(names);
}

static void start(struct keeper *k) {
        k->starts++;
        k->ready = false;
        k->daemon = fork();
        CHILD_CHECK(k->daemon >= 0);
        if (k->daemon == 0) {
                bool plain = k->options && k->options->plain;
                const char *argv[ARGUMENTS_MAX + 8] = { "shmd", "--log-level", "warning", "--max-clients", "3000" };
                const char *const *more = k->options ? k->options->arguments : NULL;
                unsigned n = 5;
                sigset_t none;

                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)sigemptyset(&none);
                (void)sigprocmask(SIG_SETMASK, &none, NULL);
                while (more && *more && n < ARGUMENTS_MAX)
                        argv[n++] = *more++;
                if (plain) {
                        argv[n++] = "--socket";
                        argv[n++] = k->m->socket;
                        (void)setenv("NOTIFY_SOCKET", k->notify_path, 1);
                } else {
                        set_environment(k);
                        place(k);
                }
                if (k->old) {
                        argv[n++] = "--replace";
                        argv[n++] = k->extra[0] ? k->extra : NULL;
                }
                (void)execv(SHMD_BIN_DIR "/shmd", (char *const *)(uintptr_t)argv);
                perror(SHMD_BIN_DIR "/shmd");
                _exit(127);
        }
}

static void answer(const struct keeper *k, int value, int fd) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = &value, .iov_len = sizeof(value) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                struct cmsghdr *c;

                msg.msg_control = control.bytes;
                msg.msg_controllen = sizeof(control.bytes);
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &fd, sizeof(fd));
        }
        CHILD_EQUAL(sendmsg(k->questions, &msg, MSG_NOSIGNAL), sizeof(value));
}

static size_t find(const struct keeper *k, const char *name, bool whole) {
        for (size_t i = 0; i < k->n; i++)
                if (whole ? strcmp(k->kept[i].name, name) == 0 : strncmp(k->kept[i].name, name, strlen(name)) == 0)
                        return i;
        return SIZE_MAX;
}

static void forget(struct keeper *k, size_t i) {
        (void)close(k->kept[i].fd);
        memmove(&k->kept[i], &k->kept[i + 1], (k->n - i - 1) * sizeof(k->kept[0]));
        k->n--;
}

static void keep(struct keeper *k, const char *name, int fd) {
        if (k->n >= k->store_real || k->n == KEPT_MAX) {
                (void)close(fd);
                return;
        }
        CHILD_EQUAL(find(k, name, true), SIZE_MAX); /* the daemon says each once */
        k->kept[k->n].fd = fd;
        (void)snprintf(k->kept[k->n].name, sizeof(k->kept[0].name), "%s", name);
        k->n++;
}

static void take_message(struct keeper *k, char *text, int fd) {
        const char *name = strstr(text, "FDNAME=");
        char own[64] = "";

        if (name)
                (void)snprintf(own, sizeof(own), "%.*s", (int)strcspn(name + 7, "\n"), name + 7);
        if (strstr(text, "FDSTORE=1")) {
                CHILD_CHECK(fd >= 0 && own[0]);
                keep(k, own, fd);
                return;
        }
        CHILD_CHECK(fd < 0);
        if (strstr(text, "FDSTOREREMOVE=1")) {
                size_t i = find(k, own, true);

                if (i != SIZE_MAX)
                        forget(k, i);
        }
        if (strstr(text, "READY=1")) {
                k->ready = true;
                k->in_vain = 0;
        }
}

/* Return: whether there was one. */
static bool hear_daemon(struct keeper *k) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        char text[4096];
        struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) - 1 };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n = recvmsg(k->notify, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        struct cmsghdr *c;
        int fd = -1;

        if (n < 0)
                return false;
        text[n] = '\0';
        c = CMSG_FIRSTHDR(&msg);
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        take_message(k, text, fd);
        return true;
}

static void settle(struct keeper *k) {
        if (!k->asked)
                return;
        if (k->pending == WHAT_STOP || k->pending == WHAT_DOWN) {
                if (k->daemon)
                        return;
                answer(k, k->status, -1);
        } else {
                if (!k->ready || !k->daemon || k->old)
                        return;
                answer(k, k->daemon, -1);
        }
        k->asked = false;
        if (k->pending == WHAT_STOP)
                _exit(0);
}

/* Of two that run, one has ended: the old one, as it should; or the new one, and the old one goes on. */
static bool reap_replaced(struct keeper *k) {
        int status;

        if (waitpid(k->old, &status, WNOHANG) == k->old) {
                CHILD_EQUAL(status, 0);
                k->old = 0;
                return false; /* perhaps both have */
        }
        if (waitpid(k->daemon, &status, WNOHANG) != k->daemon)
                return true;
        k->daemon = k->old;
        k->old = 0;
        k->ready = true;
        k->asked = false;
        answer(k, -status, -1);
        return true;
}

static void reap(struct keeper *k) {
        struct signalfd_siginfo info;

        (void)!read(k->signals, &info, sizeof(info));
        if (k->old && reap_replaced(k))
                return;
        if (!k->daemon || waitpid(k->daemon, &k->status, WNOHANG) != k->daemon)
                return;
        k->daemon = 0;
        /* What it has said before its end still counts, as with systemd. */
        while (!k->deaf && hear_daemon(k))
                continue;
        k->ready = false;
        if (!k->up)
                return;
        CHILD_CHECK(k->in_vain++ < STARTS_MAX);
        start(k);
}

static void listen_to_test(struct keeper *k) {
        struct question q;
        ssize_t n = recv(k->questions, &q, sizeof(q), 0);
        size_t i;

        if (n <= 0)
                _exit(0); /* the test is gone; the daemon dies with us */
        CHILD_EQUAL(n, sizeof(q));
        switch (q.what) {
        case WHAT_DOWN:
        case WHAT_STOP:
                k->up = false;
                if (k->daemon)
                        (void)kill(k->daemon, q.number);
                break;
        case WHAT_UP:
        case WHAT_UP_SOON:
                k->up = true;
                if (!k->daemon)
                        start(k);
                break;
        case WHAT_REPLACE:
                CHILD_CHECK(k->daemon && k->ready && !k->old);
                (void)snprintf(k->extra, sizeof(k->extra), "%s", q.name);
                k->old = k->daemon;
                start(k);
                break;
        case WHAT_PID:
                break;
        case WHAT_COUNT:
                answer(k, (int)k->n, -1);
                return;
        case WHAT_BORROW:
                i = find(k, q.name, false);
                answer(k, i != SIZE_MAX, i != SIZE_MAX ? k->kept[i].fd : -1);
                return;
        case WHAT_FORGET:
                while ((i = find(k, q.name, false)) != SIZE_MAX)
                        forget(k, i);
                answer(k, 0, -1);
                return;
        case WHAT_DEAF:
                k->deaf = q.number;
                answer(k, 0, -1);
                return;
        case WHAT_STARTS:
                answer(k, (int)k->starts, -1);
                return;
        }
        if (q.what == WHAT_UP_SOON) {
                answer(k, 0, -1);
                return;
        }
        k->asked = true;
        k->pending = q.what;
}

static void run(struct keeper *k) {
        start(k);
        for (;;) {
                struct pollfd p[] = {
                        { .fd = k->questions, .events = POLLIN },
                        { .fd = k->signals, .events = POLLIN },
                        { .fd = k->deaf ? -1 : k->notify, .events = POLLIN },
                };

                (void)poll(p, 3, -1);
                /* In the manager's order: what was said before what has ended. */
                if (p[2].revents)
                        while (hear_daemon(k))
                                continue;
                if (p[1].revents)
                        reap(k);
                if (p[0].revents)
                        listen_to_test(k);
                settle(k);
        }
}

static int bind_to(const char *path, int type) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        CHILD_CHECK(fd >= 0);
        CHILD_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        CHILD_EQUAL(chmod(path, 0666), 0);
        return fd;
}

static void be_manager(const struct manager *m, const struct manager_options *options, int questions) {
        struct keeper *k = calloc(1, sizeof(*k));
        struct rlimit limit;
        sigset_t signals;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHILD_CHECK(k);
        k->m = m;
        k->options = options;
        k->questions = questions;
        k->up = true;
        k->store_max = options && options->store_max ? options->store_max : 1000;
        k->store_real = options && options->store_real ? options->store_real : k->store_max;
        (void)snprintf(k->notify_path, sizeof(k->notify_path), "%s/notify", m->directory);
        k->notify = bind_to(k->notify_path, SOCK_DGRAM);
        if (!options || !options->plain) {
                k->listener = bind_to(m->socket, SOCK_SEQPACKET);
                CHILD_EQUAL(listen(k->listener, 4096), 0);
        }
        CHILD_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        CHILD_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &signals, NULL);
        k->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        CHILD_CHECK(k->signals >= 0);
        run(k);
}

/* ---- the test's side -------------------------------------------------------------------------------------------- */

static int hear(const struct manager *m, int *fd) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct pollfd p = { .fd = m->questions, .events = POLLIN };
        int value;
        struct iovec iov = { .iov_base = &value, .iov_len = sizeof(value) };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        struct cmsghdr *c;

        while (poll(&p, 1, CHILD_PATIENCE_MS) < 0 && errno == EINTR)
                continue;
        if (recvmsg(m->questions, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(value))
                fail_msg("the manager said nothing");
        c = CMSG_FIRSTHDR(&msg);
        if (fd)
                *fd = -1;
        if (fd && c)
                memcpy(fd, CMSG_DATA(c), sizeof(*fd));
        return value;
}

static int ask_for(const struct manager *m, enum what what, int number, const char *name, int *fd) {
        struct question q = { .what = what, .number = number };

        (void)snprintf(q.name, sizeof(q.name), "%s", name ? name : "");
        assert_int_equal(send(m->questions, &q, sizeof(q), MSG_NOSIGNAL), sizeof(q));
        return hear(m, fd);
}

static int ask(const struct manager *m, enum what what, int number) { return ask_for(m, what, number, NULL, NULL); }

struct manager *manager_start(const struct manager_options *options) {
        struct manager *m = calloc(1, sizeof(*m));
        int fds[2];

        assert_non_null(m);
        (void)snprintf(m->directory, sizeof(m->directory), "/tmp/shmd-kept-XXXXXX");
        assert_non_null(mkdtemp(m->directory));
        assert_int_equal(chmod(m->directory, 0755), 0);
        (void)snprintf(m->socket, sizeof(m->socket), "%s/shmd.sock", m->directory);
        assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), errno);
        (void)fflush(NULL);
        m->pid = fork();
        assert_return_code(m->pid, errno);
        if (m->pid == 0) {
                (void)close(fds[0]);
                be_manager(m, options, fds[1]);
        }
        (void)close(fds[1]);
        m->questions = fds[0];
        m->daemon = ask(m, WHAT_PID, 0);
        return m;
}

struct manager *manager_stop(struct manager *m) {
        char path[64];
        int status;

        if (!m)
                return NULL;
        status = ask(m, WHAT_STOP, SIGTERM);
        if (status != 0)
                fail_msg("the daemon ended with status 0x%x", (unsigned)status);
        (void)close(m->questions);
        assert_int_equal(waitpid(m->pid, &status, 0), m->pid);
        assert_int_equal(status, 0);
        (void)snprintf(path, sizeof(path), "%s/notify", m->directory);
        (void)unlink(path);
        (void)unlink(m->socket);
        assert_return_code(rmdir(m->directory), errno);
        free(m);
        return NULL;
}

const char *manager_socket(const struct manager *m) { return m->socket; }
pid_t manager_pid(const struct manager *m) { return m->daemon; }

int manager_fds(const struct manager *m) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)m->daemon);
        return directory_count(path);
}

void manager_restart(struct manager *m, int signal) {
        manager_down(m, signal);
        manager_up(m);
}

int manager_replace(struct manager *m, const char *argument) {
        int r = ask_for(m, WHAT_REPLACE, 0, argument, NULL);

        if (r <= 0)
                return -r;
        m->daemon = r;
        return 0;
}

void manager_down(struct manager *m, int signal) { (void)ask(m, WHAT_DOWN, signal); }
void manager_up(struct manager *m) { m->daemon = ask(m, WHAT_UP, 0); }
void manager_up_soon(struct manager *m) { (void)ask(m, WHAT_UP_SOON, 0); }
unsigned manager_count(struct manager *m) { return (unsigned)ask(m, WHAT_COUNT, 0); }
unsigned manager_starts(struct manager *m) { return (unsigned)ask(m, WHAT_STARTS, 0); }
void manager_deaf(struct manager *m, int deaf) { (void)ask(m, WHAT_DEAF, deaf); }
void manager_forget(struct manager *m, const char *name) { (void)ask_for(m, WHAT_FORGET, 0, name, NULL); }

void manager_expect_count(struct manager *m, unsigned count) {
        unsigned n = 0;

        for (int i = 0; i < 60000; i++) {
                n = manager_count(m);
                if (n == count)
                        return;
                (void)usleep(1000); /* what a client that has just gone leaves; the number decides */
        }
        fail_msg("%u descriptors are kept, not %u", n, count);
}

int manager_borrow(struct manager *m, const char *name) {
        int fd;

        (void)ask_for(m, WHAT_BORROW, 0, name, &fd);
        return fd;
}
