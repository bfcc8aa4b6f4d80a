/*
 * mapping.h -- memory that clients can tear holes into, mapped so that this does not kill the daemon.
 *
 * Seals keep a memfd's size, but whoever may write to it may also punch holes. Where a hole cannot be filled again (no
 * huge page is left, the swap device fails), touching it is SIGBUS. Such a mapping turns into private zero pages then:
 * what is read from there is not believed anyway.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <stddef.h>

struct mapping {
        LIST_ENTRY(mapping) link;
        unsigned char *base; /* NULL: not mapped */
        size_t size;
};

/* Handle SIGBUS. Only the loop's thread may touch mappings. Return: 0 or a negative errno. */
int mapping_guard(void);

/* Map the first @size bytes for reading and writing. Return: 0 or a negative errno. */
int mapping_init(struct mapping *m, int fd, size_t size);

/* Also for one that is not mapped. */
void mapping_deinit(struct mapping *m);
