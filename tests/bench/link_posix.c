/*
 * link_posix.c -- what a careful program does with POSIX shared memory: a ring of frames, written and read in place,
 * under a robust mutex with a condition variable.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/harness.h"
#include "tests/bench/link.h"

#define READERS_MAX 400

struct ring {
        pthread_mutex_t mutex;
        pthread_cond_t more; /* frames */
        pthread_cond_t room;
        uint64_t written;
        uint64_t taken[READERS_MAX];
};

struct posix {
        struct link link;
        struct ring *ring;
        unsigned char *frames;
        size_t size; /* of the whole */
        unsigned index;
        uint64_t next;
};

static struct posix *posix_of(struct link *l) { return (struct posix *)l; }

static void must(int error, const char *what) {
        if (error)
                fail("%s: %s", what, strerror(error));
}

static void lock(struct ring *r) {
        int error = pthread_mutex_lock(&r->mutex);

        if (error == EOWNERDEAD)
                error = pthread_mutex_consistent(&r->mutex);
        must(error, "locking");
}

static void init(struct ring *r) {
        pthread_mutexattr_t mutex;
        pthread_condattr_t cond;

        must(pthread_mutexattr_init(&mutex), "making a mutex");
        must(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED), "making a mutex");
        must(pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST), "making a mutex");
        must(pthread_mutex_init(&r->mutex, &mutex), "making a mutex");
        must(pthread_condattr_init(&cond), "making a condition variable");
        must(pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED), "making a condition variable");
        must(pthread_cond_init(&r->more, &cond), "making a condition variable");
        must(pthread_cond_init(&r->room, &cond), "making a condition variable");
}

static struct link *make(const struct link_options *o) {
        struct posix *p = calloc(1, sizeof(*p));
        size_t head = (sizeof(struct ring) + 4095) / 4096 * 4096;
        char name[64];
        void *memory;
        int fd;

        if (!p || o->readers > READERS_MAX)
                fail("no room for a link");
        p->size = head + o->size * o->slots;
        (void)snprintf(name, sizeof(name), "/shmd-bench-%d", (int)getpid());
        fd = (int)check(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600), "making POSIX shared memory");
        (void)shm_unlink(name);
        check(ftruncate(fd, (off_t)p->size), "sizing POSIX shared memory");
        memory = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (memory == MAP_FAILED)
                fail("mapping POSIX shared memory: %s", strerror(errno));
        (void)close(fd);
        p->ring = memory;
        p->frames = (unsigned char *)memory + head;
        init(p->ring);
        return &p->link;
}

static void destroy(struct link *l) {
        struct posix *p = posix_of(l);

        (void)munmap(p->ring, p->size);
        free(p);
}

static void populate(struct posix *p) { (void)madvise(p->ring, p->size, MADV_POPULATE_WRITE); }

static void open_writer(struct link *l) { populate(posix_of(l)); }

static void open_reader(struct link *l, unsigned index) {
        populate(posix_of(l));
        posix_of(l)->index = index;
}

static void *slot(struct posix *p, uint64_t number) {
        return p->frames + p->link.options.size * (number % p->link.options.slots);
}

static bool is_full(const struct posix *p) {
        for (unsigned i = 0; i < p->link.options.readers; i++)
                if (p->ring->written - p->ring->taken[i] >= p->link.options.slots)
                        return true;
        return false;
}

static void *begin(struct link *l) {
        struct posix *p = posix_of(l);
        void *frame;

        lock(p->ring);
        while (l->options.whole_stream && is_full(p))
                must(pthread_cond_wait(&p->ring->room, &p->ring->mutex), "waiting for room");
        frame = slot(p, p->ring->written);
        must(pthread_mutex_unlock(&p->ring->mutex), "unlocking");
        return frame;
}

static void flush(struct link *l) {
        struct ring *r = posix_of(l)->ring;

        lock(r);
        r->written++;
        must(pthread_cond_broadcast(&r->more), "waking readers");
        must(pthread_mutex_unlock(&r->mutex), "unlocking");
}

/* Spins on the number of frames, without the mutex, where it spins. */
static const void *take(struct link *l) {
        struct posix *p = posix_of(l);

        while (l->options.busy && __atomic_load_n(&p->ring->written, __ATOMIC_ACQUIRE) == p->next)
                ;
        lock(p->ring);
        while (p->ring->written == p->next)
                must(pthread_cond_wait(&p->ring->more, &p->ring->mutex), "waiting for a frame");
        if (!l->options.whole_stream && p->ring->written - p->next >= l->options.slots)
                p->next = p->ring->written - 1; /* overwritten: the newest */
        must(pthread_mutex_unlock(&p->ring->mutex), "unlocking");
        return slot(p, p->next);
}

static void release(struct link *l) {
        struct posix *p = posix_of(l);

        p->next++;
        if (!l->options.whole_stream)
                return;
        lock(p->ring);
        p->ring->taken[p->index] = p->next;
        must(pthread_cond_signal(&p->ring->room), "waking the writer");
        must(pthread_mutex_unlock(&p->ring->mutex), "unlocking");
}

const struct link_kind link_posix = {
        .name = "posix shm",
        .readers_max = READERS_MAX,
        .make = make,
        .open_writer = open_writer,
        .open_reader = open_reader,
        .begin = begin,
        .flush = flush,
        .take = take,
        .release = release,
        .destroy = destroy,
};
