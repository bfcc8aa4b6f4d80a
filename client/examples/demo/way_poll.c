/*
 * way_poll.c -- frames through an mmap-ed file that readers poll, as it is done without a broker: a counter tells that
 * there is a new frame, and a reader looks at it each millisecond.
 *
 * It is done as well as it can be: the counter is an atomic, and it is stored after the frame is complete.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "client/examples/demo/board.h"
#include "client/examples/demo/picture.h"
#include "client/examples/demo/way.h"

#define FILE_NAME "frames"
#define POLL_NS 1000000

struct file {
        _Atomic uint64_t sequence; /* of the frame that is there; 0: none yet */
        _Atomic int64_t timestamp;
        _Atomic uint64_t checksum;
        _Alignas(4096) unsigned char picture[PICTURE_SIZE];
};

struct end {
        struct file *file;
        uint64_t sequence; /* a reader's: of the frame taken last */
};

static bool fail(char *why, const char *what) {
        (void)snprintf(why, WAY_TEXT, "the file %s: %s: %s", FILE_NAME, what, strerror(errno));
        return false;
}

static int open_file(const char *dir, int flags, char *why) {
        char path[4096];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/%s", dir, FILE_NAME);
        fd = open(path, flags | O_CLOEXEC, 0600);
        if (fd < 0)
                (void)fail(why, "open");
        return fd;
}

static bool make(const char *dir, char *why) {
        int fd = open_file(dir, O_RDWR | O_CREAT | O_EXCL, why);
        bool ok;

        if (fd < 0)
                return false;
        errno = posix_fallocate(fd, 0, sizeof(struct file));
        ok = errno == 0 || fail(why, "allocating");
        (void)close(fd);
        return ok;
}

static struct end *open_end(const char *dir, bool writable, char *why) {
        struct end *end = calloc(1, sizeof(*end));
        int fd;
        void *p;

        if (!end)
                abort();
        fd = open_file(dir, writable ? O_RDWR : O_RDONLY, why);
        if (fd < 0) {
                free(end);
                return NULL;
        }
        p = mmap(NULL, sizeof(struct file), PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                (void)fail(why, "mapping");
        (void)close(fd);
        if (p == MAP_FAILED) {
                free(end);
                return NULL;
        }
        end->file = p;
        return end;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void *open_writer(const char *dir, char *why) { return open_end(dir, true, why); }

static unsigned char *begin(void *writer, char *why) {
        (void)why;
        return ((struct end *)writer)->file->picture;
}

static bool flush(void *writer, uint64_t checksum, char *why) {
        struct file *f = ((struct end *)writer)->file;

        (void)why;
        atomic_store_explicit(&f->checksum, checksum, memory_order_relaxed);
        atomic_store_explicit(&f->timestamp, board_now(), memory_order_relaxed);
        /* release: who sees the counter sees the picture. */
        (void)atomic_fetch_add_explicit(&f->sequence, 1, memory_order_release);
        return true;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void *open_reader(const char *dir, char *why) { return open_end(dir, false, why); }

static int take(void *reader, bool newest, struct frame *frame, unsigned *news, char *why) {
        const struct timespec pause = { .tv_nsec = POLL_NS };
        const int64_t end_at = board_now() + WAY_WAIT_MS * INT64_C(1000000);
        struct end *end = reader;
        uint64_t sequence;

        (void)newest; /* there is but one */
        (void)why;
        *news = 0;
        while ((sequence = atomic_load_explicit(&end->file->sequence, memory_order_acquire)) == end->sequence) {
                if (board_now() >= end_at)
                        return 0;
                (void)nanosleep(&pause, NULL);
        }
        *frame = (struct frame){
                .picture = end->file->picture,
                .sequence = sequence,
                .timestamp = atomic_load_explicit(&end->file->timestamp, memory_order_relaxed),
                .checksum = atomic_load_explicit(&end->file->checksum, memory_order_relaxed),
                .missed = end->sequence == 0 ? 0 : sequence - end->sequence - 1,
        };
        end->sequence = sequence;
        return 1;
}

static bool release(void *reader) {
        (void)reader;
        return true;
}

const struct way way_poll = {
        .name = "mmap + poll",
        .make = make,
        .open_writer = open_writer,
        .begin = begin,
        .flush = flush,
        .open_reader = open_reader,
        .take = take,
        .release = release,
};
