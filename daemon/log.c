#define _GNU_SOURCE
#include "daemon/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/journal.h"
#include "daemon/log_limit.h"

#define LINE_SIZE 1024

static const struct {
        const char *name;
        int level;
} levels[] = {
        { "error", LOG_ERR }, { "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
        { "info", LOG_INFO }, { "debug", LOG_DEBUG },
};

static const char *const event_ids[] = LOG_EVENT_IDS;

/* The loop's, all of it. */
static int highest = LOG_INFO;
static int journal = -1;
static uint64_t lost; /* lines that nobody took in time */
static struct log_limit limit;

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

void log_open(int level) {
        highest = level;
        if (journal_is_stderr())
                journal = journal_open();
}

bool log_is_journal(void) { return journal >= 0; }

void log_set_level(int level) { highest = level; }

/* ---- one line --------------------------------------------------------------------------------------------------- */

static int write_journal(int level, const struct log_about *about, const char *line) {
        struct journal_entry entry = { 0 };

        journal_add(&entry, "MESSAGE", "%s", line);
        journal_add(&entry, "PRIORITY", "%d", level);
        journal_add(&entry, "SYSLOG_IDENTIFIER", "shmd");
        if (about->event)
                journal_add(&entry, "MESSAGE_ID", "%s", event_ids[about->event]);
        if (about->segment)
                journal_add(&entry, "SHMD_SEGMENT", "%s", about->segment);
        if (about->peer)
                journal_add(&entry, "SHMD_PID", "%d", about->peer->pid);
        if (about->peer || about->uid)
                journal_add(&entry, "SHMD_UID", "%u", about->peer ? about->peer->uid : *about->uid);
        if (about->client && *about->client)
                journal_add(&entry, "SHMD_CLIENT", "%s", about->client);
        return journal_send(journal, &entry);
}

/* Whoever reads it may have stopped. What is in @line goes out as a whole or not at all. */
static int write_stderr(int level, char *line) {
        struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
        char text[LINE_SIZE + 32];
        int n;

        if (poll(&p, 1, 0) != 1)
                return -EAGAIN;
        n = snprintf(text, sizeof(text), "%s: %s\n", level_name(level), line);
        /* One call, so that lines of several processes on one terminal stay whole. */
        return write(STDERR_FILENO, text, (size_t)n) < 0 ? -errno : 0;
}

static void put(int level, const struct log_about *about, char *line) {
        if ((journal >= 0 ? write_journal(level, about, line) : write_stderr(level, line)) < 0)
                lost++;
}

static __attribute__((format(printf, 3, 4))) void say(int level, const struct log_about *about, const char *format,
                                                      ...) {
        char line[LINE_SIZE];
        va_list args;

        if (level > highest)
                return;
        va_start(args, format);
        (void)vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        put(level, about, line);
}

/* ---- what is left out ------------------------------------------------------------------------------------------- */

static uint64_t now_ms(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool may_write(const struct log_about *about) {
        uint64_t left_out = 0;
        uid_t uid;

        if (!about->peer && !about->uid)
                return true;
        uid = about->peer ? about->peer->uid : *about->uid;
        switch (log_limit_take(&limit, uid, now_ms(), &left_out)) {
        case 0:
                if (left_out > 0)
                        say(LOG_WARNING, &(struct log_about){ .event = LOG_EVENT_LEFT_OUT, .uid = &uid },
                            "%" PRIu64 " lines about uid %u were left out", left_out, uid);
                return true;
        case LOG_LIMIT_E_LAST:
                say(LOG_WARNING, &(struct log_about){ .event = LOG_EVENT_LEFT_OUT, .uid = &uid },
                    "too many lines about uid %u, or about all: more of them are left out for a while", uid);
                return false;
        default:
                return false;
        }
}

static void tell_lost(void) {
        uint64_t n = lost;

        if (n == 0)
                return;
        lost = 0;
        say(LOG_WARNING, &(struct log_about){ .event = LOG_EVENT_LEFT_OUT },
            "%" PRIu64 " lines are lost: nobody took them in time", n);
        if (lost > 0)
                lost = n;
}

void log_write(int level, const struct log_about *about, const char *format, ...) {
        static const struct log_about nothing;
        char line[LINE_SIZE];
        int saved = errno;
        va_list args;

        if (level > highest)
                return;
        if (!about)
                about = &nothing;
        if (may_write(about)) {
                va_start(args, format);
                (void)vsnprintf(line, sizeof(line), format, args);
                va_end(args);
                /* A line is one line, whatever is quoted in it. */
                for (char *p = line; *p; p++)
                        if ((unsigned char)*p < ' ' || *p == 0x7f)
                                *p = '?';
                tell_lost();
                put(level, about, line);
        }
        errno = saved;
}
