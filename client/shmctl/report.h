/* report.h -- what went wrong, as one sentence on standard error. */
#pragma once

struct verb;

/* Print "shmctl: " and the sentence. Return: STATUS_FAILED. */
int report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a command line that makes no sense, with where to look; @verb: NULL before there is one.
 * Return: STATUS_USAGE. */
int report_usage(const struct verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Out of memory. Return: STATUS_FAILED. */
int report_memory(void);

/* What a call on a reader or writer of segment @name returned. Return: STATUS_FAILED. */
int report_handle(const char *name, int error);
