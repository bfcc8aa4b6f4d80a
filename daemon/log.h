/*
 * log.h -- one line an event, to the journal or to stderr.
 *
 * Levels are those of syslog(3). Nobody is waited for: a line that cannot be written at once is lost, and the next one
 * says so. What one user causes is limited (log_limit.h). No line has anything in it that is in a segment.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <syslog.h>

#include "daemon/log_event.h"
#include "daemon/peer.h"

/* What an event is about: fields of the journal, for those that look for them. NULL where it is about nothing. */
struct log_about {
        enum log_event event;
        const char *segment;
        const struct peer *peer; /* whose doing it is */
        const char *client;      /* what that one calls itself */
        const uid_t *uid;        /* whose doing it is, where there is no peer */
};

/* Decide where the lines go, and which: those of @level and more urgent. */
void log_open(int level);

/* Do they go to the journal? */
bool log_is_journal(void);

/* From now on other ones. */
void log_set_level(int level);

/* The level that is called @name, or -1. */
int log_level(const char *name);

/* Write a line; errno stays as it is. */
void log_write(int level, const struct log_about *about, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define log_event(level, kind, ...) log_write(level, &(struct log_about){ .event = (kind) }, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_write(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, NULL, __VA_ARGS__)
