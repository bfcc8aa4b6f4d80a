#define _GNU_SOURCE
#include "daemon/allocation.h"

#include <errno.h>
#include <fcntl.h>

#include "daemon/memory.h"
#include "daemon/segment.h"

#define AT_ONCE (UINT64_C(256) << 10)
#define STEP (UINT64_C(16) << 20)

/* Huge pages come out of a pool of their own: what is free elsewhere says nothing about it. */
static int allocate(const struct segment *s, uint64_t offset, uint64_t size) {
        if (s->page_size < GEOMETRY_HUGE_PAGE && !memory_has(size))
                return -ENOMEM;
        while (fallocate(s->fd, 0, (off_t)offset, (off_t)size) < 0) {
                if (errno == EINTR)
                        continue;
                return errno == ENOSPC ? -ENOMEM : -errno;
        }
        return 0;
}

int allocation_at_once(struct segment *s) {
        uint64_t size = segment_allocation(s);

        return size <= AT_ONCE ? allocate(s, 0, size) : JOB_MORE;
}

/* On the worker's thread: nothing of the segment that is read here changes before done(). */
static int on_step(struct job *job) {
        struct allocation *a = container_of(job, struct allocation, job);
        uint64_t left = a->size - a->offset;
        uint64_t step = left < STEP ? left : STEP;
        int r = allocate(a->segment, a->offset, step);

        if (r < 0)
                return r;
        a->offset += step;
        return a->offset < a->size ? JOB_MORE : 0;
}

static void on_done(struct job *job, int result) {
        struct allocation *a = container_of(job, struct allocation, job);

        a->done(a, result);
}

void allocation_start(struct allocation *a, struct segment *s, struct worker *worker,
                      void (*done)(struct allocation *a, int result)) {
        *a = (struct allocation){
                .job = { .step = on_step, .done = on_done },
                .segment = s,
                .size = segment_allocation(s),
                .done = done,
        };
        worker_submit(worker, &a->job);
}

void allocation_cancel(struct allocation *a) { job_cancel(&a->job); }
