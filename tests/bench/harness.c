#define _GNU_SOURCE
#include "tests/bench/harness.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int cores[2];
static pid_t main_process; /* children of it leave quietly: the exit handlers are its own */

void fail(const char *format, ...) {
        va_list args;

        va_start(args, format);
        (void)fputs("shmd-bench: ", stderr);
        (void)vfprintf(stderr, format, args);
        (void)fputc('\n', stderr);
        va_end(args);
        if (main_process && getpid() != main_process)
                _exit(1);
        exit(1);
}

long check(long r, const char *what) {
        if (r < 0)
                fail("%s: %s", what, strerror(r == -1 ? errno : (int)-r));
        return r;
}

void process_is_main(void) { main_process = getpid(); }

void cores_choose(void) {
        cpu_set_t set;
        int n = 0;

        process_is_main();
        check(sched_getaffinity(0, sizeof(set), &set), "asking for the cores");
        for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
                if (CPU_ISSET(i, &set))
                        cores[n++] = i;
        if (n < 2)
                fail("two cores are needed, this process may use one only");
}

void core_pin(enum core core) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET(cores[core], &set);
        check(sched_setaffinity(0, sizeof(set), &set), "choosing a core");
}

int core_number(enum core core) { return cores[core]; }

void limits_raise(void) {
        struct rlimit limit;

        check(getrlimit(RLIMIT_NOFILE, &limit), "asking for the limit of descriptors");
        limit.rlim_cur = limit.rlim_max;
        check(setrlimit(RLIMIT_NOFILE, &limit), "raising the limit of descriptors");
}

void *shared_memory(size_t size) {
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                fail("mapping %zu bytes: %s", size, strerror(errno));
        return p;
}

void shared_memory_free(void *p, size_t size) { (void)munmap(p, size); }

const char *size_text(size_t size) {
        static char texts[4][24];
        static unsigned next;
        char *text = texts[next++ % 4];

        if (size < 4096)
                (void)snprintf(text, sizeof(texts[0]), "%zu B", size);
        else if (size < 1048576)
                (void)snprintf(text, sizeof(texts[0]), "%zu KiB", size / 1024);
        else
                (void)snprintf(text, sizeof(texts[0]), "%.3g MB", (double)size / 1e6);
        return text;
}

void worker_start(struct worker *w, enum core core, void (*work)(struct desk *, void *data), void *data) {
        int orders[2], answers[2];

        check(pipe(orders), "making a pipe");
        check(pipe(answers), "making a pipe");
        (void)fflush(NULL);
        w->pid = (pid_t)check(fork(), "forking");
        if (w->pid == 0) {
                struct desk desk = { .orders = orders[0], .answers = answers[1] };

                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != main_process)
                        _exit(1);
                (void)close(orders[1]);
                (void)close(answers[0]);
                core_pin(core);
                work(&desk, data);
                _exit(0);
        }
        (void)close(orders[0]);
        (void)close(answers[1]);
        w->orders = orders[1];
        w->answers = answers[0];
}

uint64_t worker_wait(struct worker *w) {
        uint64_t answer;
        ssize_t n;

        do
                n = read(w->answers, &answer, sizeof(answer));
        while (n < 0 && errno == EINTR);
        if (n != sizeof(answer))
                fail("a process that takes part has died");
        return answer;
}

static void send_order(struct worker *w, uint64_t steps) {
        if (write(w->orders, &steps, sizeof(steps)) != sizeof(steps))
                fail("a process that takes part has died");
}

void worker_order(struct worker *w, uint64_t steps) { send_order(w, steps); }

int worker_reap(struct worker *w) {
        int status;

        check(waitpid(w->pid, &status, 0), "waiting for a process");
        (void)close(w->orders);
        (void)close(w->answers);
        return status;
}

void worker_end(struct worker *w) {
        int status;

        send_order(w, 0);
        status = worker_reap(w);
        if (status != 0)
                fail("a process that takes part has failed (status 0x%x)", (unsigned)status);
}

void desk_ready(struct desk *d, uint64_t answer) {
        if (write(d->answers, &answer, sizeof(answer)) != sizeof(answer))
                _exit(1);
}

uint64_t desk_order(struct desk *d) {
        uint64_t steps;

        return read(d->orders, &steps, sizeof(steps)) == sizeof(steps) ? steps : 0;
}
