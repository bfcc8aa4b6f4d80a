#define _GNU_SOURCE
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "daemon/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "proto/name.h"

#define LINE_SIZE 1024

static const struct {
        const char *name;
        int level;
} levels[] = {
        { "error", LOG_ERR }, { "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
        { "info", LOG_INFO }, { "debug", LOG_DEBUG },
};

/* Set once, before there is a second thread. */
static int highest = LOG_INFO;
static bool to_journal;

int log_level(const char *name) {
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
                if (strcmp(levels[i].name, name) == 0)
                        return levels[i].level;
        return -1;
}

static const char *level_name(int level) {
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
                if (levels[i].level == level)
                        return levels[i].name;
        return "error";
}

/* systemd says in $JOURNAL_STREAM which file the journal's end of stderr is; a redirection makes it another one. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t device;
        uintmax_t inode;
        struct stat st;

        /* NOLINTNEXTLINE(cert-err34-c): a number out of range is no file's */
        return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == device && st.st_ino == inode;
}

void log_open(int level) {
        highest = level;
        to_journal = stderr_is_journal();
}

static void write_journal(int level, const struct log_about *about, const char *line, size_t size) {
        char priority[32];
        char segment[NAME_LENGTH_MAX + 32];
        char uid[32];
        char pid[32];
        struct iovec fields[5];
        int n = 0;

        fields[n++] = (struct iovec){ priority, (size_t)snprintf(priority, sizeof(priority), "PRIORITY=%d", level) };
        fields[n++] = (struct iovec){ (void *)(uintptr_t)line, size };
        if (about && about->segment)
                fields[n++] = (struct iovec){ segment, (size_t)snprintf(segment, sizeof(segment), "SHMD_SEGMENT=%s",
                                                                        about->segment) };
        if (about && about->peer) {
                fields[n++] =
                        (struct iovec){ uid, (size_t)snprintf(uid, sizeof(uid), "SHMD_UID=%u", about->peer->uid) };
                fields[n++] =
                        (struct iovec){ pid, (size_t)snprintf(pid, sizeof(pid), "SHMD_PID=%d", about->peer->pid) };
        }
        (void)sd_journal_sendv(fields, n);
}

void log_write(int level, const struct log_about *about, const char *format, ...) {
        static const char message[] = "MESSAGE=";
        char line[LINE_SIZE];
        int saved = errno;
        size_t start;
        size_t size;
        va_list args;
        int n;

        if (level > highest)
                return;
        n = to_journal ? snprintf(line, sizeof(line), "%s", message)
                       : snprintf(line, sizeof(line), "%s: ", level_name(level));
        start = (size_t)n;
        va_start(args, format);
        n = vsnprintf(line + start, sizeof(line) - start - 1, format, args);
        va_end(args);
        if (n < 0)
                goto out;
        size = start + (size_t)n;
        if (size > sizeof(line) - 2)
                size = sizeof(line) - 2;
        if (to_journal) {
                write_journal(level, about, line, size);
        } else {
                line[size++] = '\n';
                /* One call, so that lines of several processes on one terminal stay whole. */
                if (write(STDERR_FILENO, line, size) < 0)
                        goto out;
        }
out:
        errno = saved;
}
