#define _GNU_SOURCE
#include "daemon/allocation.h"

#include <errno.h>
#include <fcntl.h>

#include "daemon/memory.h"
#include "daemon/segment.h"

#define AT_ONCE (UINT64_C(256) << 10)
#define STEP (UINT64_C(16) << 20)
#define RELEASE_STEP (UINT64_C(64) << 20) /* quicker than allocating: who waits for it, does not wait for long */

static atomic_size_t n_releases; /* under way on the worker */

/* Allocate a part of the @left bytes that are still to be allocated. Return: 0; JOB_MORE: not yet, memory is being taken
 * back; -ENOMEM; another negative errno. */
static int allocate(const struct segment *s, uint64_t offset, uint64_t size, uint64_t left) {
        bool more = atomic_load(&n_releases) > 0;

        /* There has to be enough for all of it: what cannot be finished is not to take what others need meanwhile. Huge
         * pages come out of a pool of their own: what is free elsewhere says nothing about it. */
        if (s->page_size < GEOMETRY_HUGE_PAGE && !memory_has(left))
                return more ? JOB_MORE : -ENOMEM;
        while (fallocate(s->fd, 0, (off_t)offset, (off_t)size) < 0) {
                if (errno == EINTR)
                        continue;
                if (errno == ENOSPC || errno == ENOMEM)
                        return more ? JOB_MORE : -ENOMEM;
                return -errno;
        }
        return 0;
}

int allocation_at_once(struct segment *s) {
        uint64_t size = segment_allocation(s);

        return size <= AT_ONCE ? allocate(s, 0, size, size) : JOB_MORE;
}

/* On the worker's thread: nothing of the segment that is read here changes before done(). */
static int on_step(struct job *job) {
        struct allocation *a = container_of(job, struct allocation, job);
        uint64_t left = a->size - a->offset;
        uint64_t step = left < STEP ? left : STEP;
        int r = allocate(a->segment, a->offset, step, left);

        if (r)
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

struct release {
        struct job job;
        int fd;
        uint64_t size;
        uint64_t offset;
        struct quota_charge charges[ALLOCATION_CHARGES];
};

/* Return: how far it got. What cannot be taken back now goes with the last that holds it. */
static uint64_t punch(int fd, uint64_t offset, uint64_t size, uint64_t most) {
        uint64_t step = size - offset < most ? size - offset : most;

        while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)step) < 0)
                if (errno != EINTR)
                        return size;
        return offset + step;
}

static int on_release_step(struct job *job) {
        struct release *release = container_of(job, struct release, job);

        release->offset = punch(release->fd, release->offset, release->size, RELEASE_STEP);
        if (release->offset < release->size)
                return JOB_MORE;
        fd_close(release->fd);
        atomic_fetch_sub(&n_releases, 1);
        return 0;
}

static void on_release_done(struct job *job, int result) {
        struct release *release = container_of(job, struct release, job);

        (void)result;
        for (int i = 0; i < ALLOCATION_CHARGES; i++)
                quota_release(&release->charges[i]);
        free(release);
}

void allocation_release(int fd, uint64_t size, struct worker *worker, struct quota_charge *charges) {
        struct release *release = size > AT_ONCE ? malloc(sizeof(*release)) : NULL;

        if (!release) {
                (void)punch(fd, 0, size, size);
                fd_close(fd);
                for (int i = 0; i < ALLOCATION_CHARGES; i++)
                        quota_release(&charges[i]);
                return;
        }
        *release = (struct release){
                .job = { .step = on_release_step, .done = on_release_done },
                .fd = fd,
                .size = size,
        };
        for (int i = 0; i < ALLOCATION_CHARGES; i++) {
                quota_move(&release->charges[i], &charges[i]);
                quota_leave(&release->charges[i]);
        }
        atomic_fetch_add(&n_releases, 1);
        worker_submit(worker, &release->job);
}
