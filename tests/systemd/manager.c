/*
 * manager.c -- the real service manager behind manager.h, for tests that run in a box (run.sh): they restart the installed
 * service as it is restarted there, in every way that systemd has.
 */
#define _GNU_SOURCE
#include "tests/integration/manager.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/support.h"

#define PATIENCE_S 60

struct manager {
        pid_t pid; /* of the daemon that was there last */
        unsigned starts;
        bool hung; /* SIGSEGV by turns stands for one that hangs, */
        bool told; /* SIGTERM for a restart that was asked for */
};

/* What only a manager of one's own can do is not tested here. */
static __attribute__((constructor)) void choose_tests(void) { cmocka_set_test_filter("test_restarts*"); }

static void run(const char *command) {
        int status = system(command);

        if (status)
                fail_msg("%s: status 0x%x", command, (unsigned)status);
}

static void show(char text[64], const char *property) {
        char command[128];
        FILE *f;

        (void)snprintf(command, sizeof(command), "systemctl show --property %s --value shmd.service", property);
        f = popen(command, "re");
        assert_non_null(f);
        if (!fgets(text, 64, f))
                text[0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        assert_int_equal(pclose(f), 0);
}

static long number(const char *property) {
        char text[64];

        show(text, property);
        return strtol(text, NULL, 10);
}

static bool is_active(void) {
        char text[64];

        show(text, "ActiveState");
        return strcmp(text, "active") == 0;
}

/* Until another daemon than the last one is there: it may not be ready yet. */
static void wait_for_next(struct manager *m) {
        for (time_t end = time(NULL) + PATIENCE_S; time(NULL) < end;) {
                pid_t pid = (pid_t)number("MainPID");

                if (pid > 0 && pid != m->pid) {
                        m->pid = pid;
                        m->starts++;
                        return;
                }
        }
        fail_msg("the daemon is not started again");
}

static void wait_until_active(void) {
        for (time_t end = time(NULL) + PATIENCE_S; time(NULL) < end;)
                if (is_active())
                        return;
        fail_msg("the service does not become active");
}

struct manager *manager_start(const struct manager_options *options) {
        struct manager *m = calloc(1, sizeof(*m));

        (void)options;
        assert_non_null(m);
        /* FDSTORE as later systemds set it: no question to the bus, whose descriptor would be counted. */
        run("mkdir -p /run/systemd/system/shmd.service.d && "
            "printf '[Service]\\nWatchdogSec=700ms\\nEnvironment=FDSTORE=10900\\n' "
            ">/run/systemd/system/shmd.service.d/restart.conf && "
            "systemctl daemon-reload && systemctl start shmd.socket shmd.service");
        wait_for_next(m);
        return m;
}

struct manager *manager_stop(struct manager *m) {
        run("systemctl stop shmd.socket shmd.service");
        free(m);
        return NULL;
}

const char *manager_socket(const struct manager *m) {
        (void)m;
        return "/run/shmd/shmd.sock";
}

pid_t manager_pid(const struct manager *m) { return m->pid; }

int manager_fds(const struct manager *m) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)m->pid);
        return directory_count(path);
}

void manager_down(struct manager *m, int signal) {
        switch (signal) {
        case SIGTERM:
                m->told = !m->told;
                if (m->told) {
                        run("systemctl restart shmd.service");
                        return;
                }
                break;
        case SIGSEGV:
                m->hung = !m->hung;
                if (m->hung)
                        signal = SIGSTOP;
                break;
        default:
                break;
        }
        /* A watchdog that was too short for a loaded machine may have been quicker. */
        if (kill(m->pid, signal) < 0)
                assert_int_equal(errno, ESRCH);
}

void manager_up(struct manager *m) {
        wait_for_next(m);
        wait_until_active();
}

void manager_up_soon(struct manager *m) { wait_for_next(m); }

void manager_restart(struct manager *m, int signal) {
        manager_down(m, signal);
        manager_up(m);
}

int manager_replace(struct manager *m, const char *argument) {
        (void)m;
        (void)argument;
        fail_msg("systemd replaces no daemon");
        return -1;
}

unsigned manager_count(struct manager *m) {
        (void)m;
        return (unsigned)number("NFileDescriptorStore");
}

void manager_expect_count(struct manager *m, unsigned count) {
        unsigned n = 0;

        for (time_t end = time(NULL) + PATIENCE_S; time(NULL) < end;) {
                n = manager_count(m);
                if (n == count)
                        return;
        }
        fail_msg("%u descriptors are stored, not %u", n, count);
}

unsigned manager_starts(struct manager *m) { return m->starts; }
