#define _GNU_SOURCE
#include "tests/bench/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/harness.h"

/* Its output up to what it says when it is ready. Return: whether it came. */
static bool wait_for(int fd, const char *ready) {
        char text[65536];
        size_t size = 0;

        while (size < sizeof(text) - 1) {
                ssize_t n = read(fd, text + size, sizeof(text) - 1 - size);

                if (n <= 0)
                        return false;
                size += (size_t)n;
                text[size] = '\0';
                if (strstr(text, ready))
                        return true;
        }
        return false;
}

const char *program_start(struct program *p, const char *ready, char *const *argv) {
        pid_t parent = getpid();
        int output[2];

        check(pipe2(output, O_CLOEXEC), "making a pipe");
        p->pid = (pid_t)check(fork(), "forking");
        if (p->pid == 0) {
                int null = open("/dev/null", O_RDWR | O_CLOEXEC);

                (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
                core_pin(CORE_FAR);
                if (getppid() == parent && dup2(null, STDIN_FILENO) >= 0 && dup2(output[1], STDOUT_FILENO) >= 0 &&
                    dup2(null, STDERR_FILENO) >= 0)
                        (void)execvp(argv[0], argv);
                _exit(127);
        }
        (void)close(output[1]);
        p->output = output[0];
        if (wait_for(p->output, ready))
                return NULL;
        program_end(p);
        return "its server does not start";
}

void program_end(struct program *p) {
        if (p->pid == 0)
                return;
        (void)kill(p->pid, SIGTERM);
        (void)waitpid(p->pid, NULL, 0);
        (void)close(p->output);
        p->pid = 0;
}
