/*
 * journal.h -- an entry for systemd's journal, in its native protocol: one datagram of FIELD=VALUE lines.
 *
 * sd_journal_sendv() would wait for a journal that reads nothing, and with it all clients of the daemon would.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define JOURNAL_ENTRY_SIZE 4096

struct journal_entry {
        size_t size;
        bool cut; /* a field did not fit, and is not there */
        char text[JOURNAL_ENTRY_SIZE];
};

/* Is stderr the journal's? */
bool journal_is_stderr(void);

/* A socket to the journal. Return: the descriptor or a negative errno. */
int journal_open(void);

/* A field, without a line break in its value; @entry is zeroed at first. */
void journal_add(struct journal_entry *entry, const char *field, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Send it, now or not at all. Return: 0 or a negative errno. */
int journal_send(int fd, const struct journal_entry *entry);
