/*
 * worker.h -- threads for what may take long, and the way back to the loop.
 *
 * A job is done in steps; a worker takes its jobs in turn, a step at a time, so a small one is not stuck behind a large
 * one. What a job does is its own business. A pool is where the workers put finished jobs; the loop takes them out.
 *
 * Only a job's step runs on the worker's thread. Everything else here belongs to the loop's.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct event;
struct event_base;

#define JOB_MORE 1

struct job {
        TAILQ_ENTRY(job) link;
        /* On the worker's thread. Return: JOB_MORE (call again), or the result: 0 or a negative errno. */
        int (*step)(struct job *job);
        /* On the loop, once. -ECANCELED: job_cancel() came in time. The job is the callee's from here on. */
        void (*done)(struct job *job, int result);
        int result;
        atomic_bool cancelled;
};

TAILQ_HEAD(job_queue, job);

struct worker_pool {
        pthread_mutex_t lock;
        struct job_queue finished;
        size_t n_jobs; /* submitted, done() not called yet; the loop's */
        int wakeup;    /* an eventfd */
        struct event *event;
};

struct worker {
        struct worker_pool *pool;
        pthread_t thread;
        pthread_cond_t change;
        struct job_queue jobs;
        bool ending;
};

int worker_pool_init(struct worker_pool *pool, struct event_base *base);

/* Every worker has been stopped. */
void worker_pool_deinit(struct worker_pool *pool);

/* For the end, when the loop runs no more: call done() of every job, but wait no longer than that. Return: true if there
 * is none left. */
bool worker_pool_drain(struct worker_pool *pool, int timeout_ms);

/* Start a thread. Return: 0 or a negative errno. */
int worker_start(struct worker *w, struct worker_pool *pool);

/* Finish every job that is there, and end the thread. */
void worker_stop(struct worker *w);

/* Hand a job over until done() is called. */
void worker_submit(struct worker *w, struct job *job);

/* No further step of it, if it is not too late; done() is called all the same. */
void job_cancel(struct job *job);
