#define _GNU_SOURCE
#include "client/examples/demo/crew.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct member *find(struct crew *crew, pid_t pid) {
        for (size_t i = 0; i < CREW_MAX; i++)
                if (crew->member[i].pid == pid)
                        return &crew->member[i];
        return NULL;
}

static void become_member(pid_t demo) {
        sigset_t none;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != demo)
                _exit(1); /* the demo has died before this would have told us */
        /* Control-C in a terminal is for the demo, which then ends us in order. */
        (void)setpgid(0, 0);
        (void)signal(SIGPIPE, SIG_DFL);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

pid_t crew_fork(struct crew *crew, const char *name) {
        struct member *m = find(crew, 0);
        pid_t demo = getpid();
        pid_t pid;

        if (!m) {
                errno = EAGAIN;
                return -1;
        }
        pid = fork();
        if (pid == 0)
                become_member(demo);
        else if (pid > 0)
                *m = (struct member){ .name = name, .pid = pid };
        return pid;
}

void crew_kill(struct crew *crew, pid_t pid) {
        struct member *m = find(crew, pid);

        if (!m)
                return;
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        m->pid = 0;
}

void crew_kill_all(struct crew *crew) {
        for (size_t i = 0; i < CREW_MAX; i++)
                if (crew->member[i].pid)
                        crew_kill(crew, crew->member[i].pid);
}

bool crew_check(struct crew *crew, char *text) {
        for (size_t i = 0; i < CREW_MAX; i++) {
                struct member *m = &crew->member[i];
                int status;

                if (m->pid == 0 || waitpid(m->pid, &status, WNOHANG) != m->pid)
                        continue;
                m->pid = 0;
                if (WIFSIGNALED(status))
                        (void)snprintf(text, CREW_TEXT, "the %s was killed by signal %d (%s)", m->name,
                                       WTERMSIG(status), strsignal(WTERMSIG(status)));
                else
                        (void)snprintf(text, CREW_TEXT, "the %s ended with exit status %d", m->name,
                                       WEXITSTATUS(status));
                return true;
        }
        return false;
}
