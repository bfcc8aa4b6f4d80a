#define _GNU_SOURCE
#include "daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "proto/cleanup.h"

#define STACK_SIZE ((size_t)256 << 10) /* a worker for each user: no 8 MiB of address space for each */

static void collect(struct worker_pool *pool) {
        struct job_queue finished = TAILQ_HEAD_INITIALIZER(finished);
        struct job *job;

        (void)pthread_mutex_lock(&pool->lock);
        TAILQ_CONCAT(&finished, &pool->finished, link);
        (void)pthread_mutex_unlock(&pool->lock);
        while ((job = TAILQ_FIRST(&finished))) {
                TAILQ_REMOVE(&finished, job, link);
                pool->n_jobs--;
                job->done(job, job->result);
        }
}

static void on_wakeup(evutil_socket_t fd, short what, void *data) {
        struct worker_pool *pool = data;
        uint64_t count;

        (void)what;
        if (read(fd, &count, sizeof(count)) < 0)
                return; /* somebody else's wake-up has been taken already */
        collect(pool);
}

int worker_pool_init(struct worker_pool *pool, struct event_base *base) {
        *pool = (struct worker_pool){ .wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
        TAILQ_INIT(&pool->finished);
        if (pool->wakeup < 0)
                return -errno;
        (void)pthread_mutex_init(&pool->lock, NULL);
        pool->event = event_new(base, pool->wakeup, EV_READ | EV_PERSIST, on_wakeup, pool);
        if (!pool->event || event_add(pool->event, NULL) < 0) {
                worker_pool_deinit(pool);
                return -ENOMEM;
        }
        return 0;
}

void worker_pool_deinit(struct worker_pool *pool) {
        if (pool->event)
                event_free(pool->event);
        pool->event = NULL;
        if (pool->wakeup < 0)
                return;
        assert(TAILQ_EMPTY(&pool->finished));
        (void)pthread_mutex_destroy(&pool->lock);
        fd_close(STEAL_FD(pool->wakeup));
}

bool worker_pool_drain(struct worker_pool *pool, int timeout_ms) {
        struct pollfd wakeup = { .fd = pool->wakeup, .events = POLLIN };

        collect(pool);
        while (pool->n_jobs > 0) {
                int r = poll(&wakeup, 1, timeout_ms);

                if (r == 0)
                        return false;
                if (r > 0)
                        on_wakeup(pool->wakeup, EV_READ, pool);
        }
        return true;
}

/* The pool's lock is held. */
static void finish(struct worker_pool *pool, struct job *job, int result) {
        static const uint64_t one = 1;

        job->result = result;
        if (TAILQ_EMPTY(&pool->finished) && write(pool->wakeup, &one, sizeof(one)) < 0)
                assert(errno == EAGAIN); /* the counter is full: it wakes already */
        TAILQ_INSERT_TAIL(&pool->finished, job, link);
}

static void *work(void *data) {
        struct worker *w = data;

        (void)pthread_mutex_lock(&w->pool->lock);
        for (;;) {
                struct job *job = TAILQ_FIRST(&w->jobs);
                int result = -ECANCELED;

                if (!job && w->ending)
                        break;
                if (!job) {
                        (void)pthread_cond_wait(&w->change, &w->pool->lock);
                        continue;
                }
                TAILQ_REMOVE(&w->jobs, job, link);
                (void)pthread_mutex_unlock(&w->pool->lock);
                if (!atomic_load(&job->cancelled))
                        result = job->step(job);
                (void)pthread_mutex_lock(&w->pool->lock);
                if (result == JOB_MORE)
                        TAILQ_INSERT_TAIL(&w->jobs, job, link);
                else
                        finish(w->pool, job, result);
        }
        (void)pthread_mutex_unlock(&w->pool->lock);
        return NULL;
}

int worker_start(struct worker *w, struct worker_pool *pool) {
        pthread_attr_t attributes;
        sigset_t all;
        sigset_t before;
        int r;

        *w = (struct worker){ .pool = pool };
        TAILQ_INIT(&w->jobs);
        r = pthread_attr_init(&attributes);
        if (r)
                return -r;
        (void)pthread_cond_init(&w->change, NULL);
        (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
        /* Signals are the loop's; and one that came in the middle of an fallocate() would undo it. */
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&w->thread, &attributes, work, w);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&attributes);
        if (r)
                (void)pthread_cond_destroy(&w->change);
        return -r;
}

void worker_stop(struct worker *w) {
        (void)pthread_mutex_lock(&w->pool->lock);
        w->ending = true;
        (void)pthread_cond_signal(&w->change);
        (void)pthread_mutex_unlock(&w->pool->lock);
        (void)pthread_join(w->thread, NULL);
        (void)pthread_cond_destroy(&w->change);
}

void worker_submit(struct worker *w, struct job *job) {
        w->pool->n_jobs++;
        (void)pthread_mutex_lock(&w->pool->lock);
        TAILQ_INSERT_TAIL(&w->jobs, job, link);
        (void)pthread_cond_signal(&w->change);
        (void)pthread_mutex_unlock(&w->pool->lock);
}

void job_cancel(struct job *job) { atomic_store(&job->cancelled, true); }
