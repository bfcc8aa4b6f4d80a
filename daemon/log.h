/*
 * log.h -- one line an event, to the journal or to stderr.
 *
 * Levels are those of syslog(3). What clients send is checked or cleaned before it comes here: this module prints what
 * it is given.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <syslog.h>

#include "daemon/peer.h"

/* What an event is about: fields of the journal, for those that look for them. NULL where it is about nothing. */
struct log_about {
        const char *segment;
        const struct peer *peer;
};

/* Decide where the lines go, and which: those of @level and more urgent. */
void log_open(int level);

/* The level that is called @name, or -1. */
int log_level(const char *name);

/* Write a line; errno stays as it is. */
void log_write(int level, const struct log_about *about, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_write(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, NULL, __VA_ARGS__)
