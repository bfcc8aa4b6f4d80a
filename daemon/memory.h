/*
 * memory.h -- how much memory the machine has for this service: at most, and now.
 *
 * The kernel does not say no to an allocation above a memory cgroup's limit: it kills. So it is asked beforehand.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Find the limit that binds this process. To be called once, before the other functions and before there are threads. */
void memory_init(void);

/* What memory_init() found is on the heap. */
void memory_deinit(void);

/* The smallest limit of the memory cgroups that this process is in, or the physical memory. Bytes. */
uint64_t memory_limit(void);

/* Can @bytes more be taken now, with a reserve left for everybody else? Any thread. */
bool memory_has(uint64_t bytes);

/* Huge pages of 2 MiB that are free now. */
uint64_t memory_huge_pages(void);
