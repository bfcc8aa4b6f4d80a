#define _GNU_SOURCE
#include "daemon/mapping.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

static LIST_HEAD(, mapping) mappings = LIST_HEAD_INITIALIZER(mappings);

/* SIGBUS comes from an access to a mapping, so never while the list is being changed: it can be walked here. */
static void on_sigbus(int signal_number, siginfo_t *info, void *context) {
        uintptr_t at = (uintptr_t)info->si_addr;
        int saved = errno;
        struct mapping *m;

        (void)context;
        LIST_FOREACH (m, &mappings, link) {
                uintptr_t base = (uintptr_t)m->base;

                if (info->si_code <= 0 || at < base || at - base >= m->size)
                        continue;
                /* cppcheck-suppress leakReturnValNotUsed ; it is where it was asked for, and stays there */
                if (mmap(m->base, m->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
                    MAP_FAILED)
                        break;
                errno = saved;
                return;
        }
        /* Not ours: die of it as without this handler. */
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number);
}

int mapping_guard(void) {
        struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

        (void)sigemptyset(&action.sa_mask);
        return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

int mapping_init(struct mapping *m, int fd, size_t size) {
        void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (base == MAP_FAILED)
                return -errno;
        *m = (struct mapping){ .base = base, .size = size };
        LIST_INSERT_HEAD(&mappings, m, link);
        return 0;
}

void mapping_deinit(struct mapping *m) {
        if (!m->base)
                return;
        LIST_REMOVE(m, link);
        (void)munmap(m->base, m->size);
        m->base = NULL;
}
