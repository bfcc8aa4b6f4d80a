#define _GNU_SOURCE
#include "tests/bench/private_daemon.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/shmd.h"
#include "tests/bench/harness.h"

#define DAEMONS_MAX 8 /* at a time */
#define LISTEN_FD 3   /* where systemd puts the first socket that it passes */

static struct private_daemon shared;
static bool shared_runs;
static pid_t starter;                                   /* the process that the daemons belong to */
static const struct private_daemon *alive[DAEMONS_MAX]; /* for a signal's handler */

/* Whoever is interrupted leaves no files; the daemons end with their parent. */
static void clean_up(int signal) {
        for (unsigned i = 0; i < DAEMONS_MAX && getpid() == starter; i++) {
                char path[sizeof(alive[i]->directory) + sizeof("/log")];

                if (!alive[i])
                        continue;
                (void)unlink(alive[i]->socket);
                (void)unlink(strcat(strcpy(path, alive[i]->directory), "/log"));
                (void)rmdir(alive[i]->directory);
        }
        _exit(128 + signal);
}

static void enlist(const struct private_daemon *d) {
        starter = getpid();
        (void)signal(SIGINT, clean_up);
        (void)signal(SIGTERM, clean_up);
        for (unsigned i = 0; i < DAEMONS_MAX; i++)
                if (!alive[i]) {
                        alive[i] = d;
                        return;
                }
        fail("more than %d daemons", DAEMONS_MAX);
}

static void delist(const struct private_daemon *d) {
        for (unsigned i = 0; i < DAEMONS_MAX; i++)
                if (alive[i] == d)
                        alive[i] = NULL;
}

/* A socket that already listens: whoever connects waits until the daemon is there, without asking again and again. */
static int listen_at(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = (int)check(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "making a socket");

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        check(bind(fd, (struct sockaddr *)&address, sizeof(address)), path);
        check(listen(fd, 4096), "listening");
        return fd;
}

static _Noreturn void run_daemon(const struct private_daemon *d, int fd, unsigned segments, unsigned clients) {
        char path[PATH_MAX], number[3][32], log[96];
        ssize_t n = check(readlink("/proc/self/exe", path, sizeof(path) - sizeof("shmd")), "looking for this program");
        int err;

        path[n] = '\0';
        strcpy(strrchr(path, '/') + 1, "shmd");
        (void)snprintf(log, sizeof(log), "%s/log", d->directory);
        err = (int)check(open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), log);
        if (dup2(err, STDERR_FILENO) < 0)
                _exit(1);
        if (fd != LISTEN_FD)
                check(dup2(fd, LISTEN_FD), "passing the socket");
        else
                check(fcntl(fd, F_SETFD, 0), "passing the socket");
        (void)snprintf(number[0], sizeof(number[0]), "%d", (int)getpid());
        (void)setenv("LISTEN_PID", number[0], 1);
        (void)setenv("LISTEN_FDS", "1", 1);
        (void)unsetenv("LISTEN_FDNAMES");
        (void)unsetenv("JOURNAL_STREAM");
        (void)snprintf(number[1], sizeof(number[1]), "%u", segments);
        (void)snprintf(number[2], sizeof(number[2]), "%u", clients);
        (void)execl(path, path, "--config", "/dev/null", "--max-segments", number[1], "--max-clients", number[2],
                    (char *)NULL);
        fail("%s does not start", path);
}

void private_daemon_start(struct private_daemon *d, unsigned segments, unsigned clients) {
        const char *tmp = getenv("TMPDIR");
        pid_t parent = getpid();
        int fd;

        (void)snprintf(d->directory, sizeof(d->directory), "%s/shmd-bench.XXXXXX",
                       tmp && strlen(tmp) < 40 ? tmp : "/tmp");
        if (!mkdtemp(d->directory))
                fail("making a directory in %s failed", tmp ? tmp : "/tmp");
        (void)snprintf(d->socket, sizeof(d->socket), "%s/socket", d->directory);
        enlist(d);
        fd = listen_at(d->socket);
        d->pid = (pid_t)check(fork(), "forking");
        if (d->pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
                if (getppid() != parent)
                        _exit(1);
                core_pin(CORE_FAR);
                run_daemon(d, fd, segments, clients);
        }
        (void)close(fd);
        shmd_close(private_daemon_connect(d));
}

bool private_daemon_stop(struct private_daemon *d) {
        char path[96];
        int status;

        delist(d);
        (void)kill(d->pid, SIGTERM);
        check(waitpid(d->pid, &status, 0), "waiting for the daemon");
        (void)unlink(d->socket);
        (void)snprintf(path, sizeof(path), "%s/log", d->directory);
        if (status != 0) {
                (void)fprintf(stderr, "shmd-bench: the daemon ended with status 0x%x, its log is %s\n",
                              (unsigned)status, path);
                return false;
        }
        (void)unlink(path);
        (void)rmdir(d->directory);
        return true;
}

struct shmd *private_daemon_connect(const struct private_daemon *d) {
        struct shmd *conn;

        if (shmd_connect(&conn, d->socket))
                fail("connecting to the daemon: %s; its log is %s/log", conn ? shmd_error(conn) : "no memory",
                     d->directory);
        return conn;
}

uint64_t private_daemon_memory(const struct private_daemon *d) {
        char path[64], line[256];
        unsigned long long kib = 0;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)d->pid);
        f = fopen(path, "re");
        if (!f)
                fail("%s cannot be opened", path);
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "Anonymous: %llu kB", &kib) == 1)
                        break;
        (void)fclose(f);
        if (kib == 0)
                fail("%s does not tell how much is anonymous", path);
        return kib * 1024;
}

struct shmd *daemon_connect(void) {
        if (!shared_runs) {
                private_daemon_start(&shared, 1000, 4000);
                shared_runs = true;
        }
        return private_daemon_connect(&shared);
}

bool daemon_stop(void) {
        bool was_running = shared_runs;

        shared_runs = false;
        return !was_running || private_daemon_stop(&shared);
}
