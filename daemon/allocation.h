/*
 * allocation.h -- giving a new segment its memory, and taking it back: in steps, on the worker, and only while there is
 * enough.
 *
 * Taking back is punching a hole before the descriptor is closed. Whoever has kept a descriptor or a mapping of a segment
 * that is gone would otherwise keep memory that nobody accounts for any more, as often as he likes.
 */
#pragma once

#include <stdint.h>

#include "daemon/quota.h"
#include "daemon/worker.h"

struct segment;

struct allocation {
        struct job job;
        struct segment *segment; /* borrowed */
        uint64_t size;
        uint64_t offset;
        void (*done)(struct allocation *a, int result);
};

/**
 * allocation_at_once() - allocate a small segment, which takes less time than a hand-over
 *
 * Return: 0; JOB_MORE: it is not small, nothing was done; -ENOMEM; another negative errno.
 */
int allocation_at_once(struct segment *segment);

/**
 * allocation_start() - allocate what segment_allocation() says, a step at a time
 * @a:       stays until @done
 * @segment: stays until @done
 * @worker:  where
 * @done:    called on the loop. @result: 0; -ENOMEM; -ECANCELED; another negative errno
 */
void allocation_start(struct allocation *a, struct segment *segment, struct worker *worker,
                      void (*done)(struct allocation *a, int result));

/* Stop at the next step; done() comes all the same. */
void allocation_cancel(struct allocation *a);

#define ALLOCATION_CHARGES 2 /* of a segment: itself, and its bytes */

/**
 * allocation_release() - take back the memory of a memfd, and close it
 * @fd:      consumed
 * @size:    its bytes
 * @worker:  where, unless it is small
 * @charges: ALLOCATION_CHARGES of them, taken over: released when the last byte is free
 *
 * Whoever allocates meanwhile waits for the memory rather than fail.
 */
void allocation_release(int fd, uint64_t size, struct worker *worker, struct quota_charge *charges);
