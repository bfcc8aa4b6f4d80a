#define _GNU_SOURCE
#include "tests/crash/crowd.h"

#include <sys/mman.h>
#include <time.h>
#include <xxhash.h>

#include "client/shmd.h"

#define PATIENCE 60000 /* ms */
#define SMALLEST 16u   /* bytes: checksum and number */

struct tally *tally_new(void) {
        void *p = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_true(p != MAP_FAILED);
        return p;
}

struct tally *tally_free(struct tally *t) {
        if (t)
                (void)munmap(t, sizeof(*t));
        return NULL;
}

/* Say what it was, once, and end: the test finds the count. */
static void give_up(struct tally *t, const char *what, int e) {
        if (atomic_fetch_add(&t->failures, 1) == 0)
                (void)snprintf(t->first_failure, sizeof(t->first_failure), "%s: %d (%s)", what, e,
                               e < 0 ? strerror(-e) : "unexpected");
        _exit(1);
}

size_t frame_fill(void *data, size_t size, struct random *random) {
        size_t length = SMALLEST + (size_t)random_below(random, size - SMALLEST + 1);
        uint64_t number = random_next(random), sum;
        unsigned char *p = data;

        memcpy(p + 8, &number, sizeof(number));
        memset(p + SMALLEST, (int)(number & 0xff), length - SMALLEST);
        sum = XXH3_64bits_withSeed(p + 8, length - 8, length);
        memcpy(p, &sum, sizeof(sum));
        return length;
}

bool frame_is_whole(const void *data, size_t length) {
        const unsigned char *p = data;
        uint64_t sum;

        if (length < SMALLEST)
                return false;
        memcpy(&sum, p, sizeof(sum));
        return sum == XXH3_64bits_withSeed(p + 8, length - 8, length);
}

static void write_on(struct shmd *conn, int fd, const struct member *m, struct random *random) {
        struct shmd_writer *w;
        int e = shmd_writer_open(&w, conn, m->name, 0, PATIENCE);

        if (e)
                give_up(m->tally, shmd_error(conn), e);
        (void)child_tell(fd, 0);
        for (;;) {
                size_t size, length;
                void *data;

                e = shmd_writer_begin(w, &data, &size, PATIENCE);
                if (e)
                        give_up(m->tally, "begin", e);
                length = frame_fill(data, size, random);
                if (random_below(random, 16) == 0)
                        e = shmd_writer_cancel(w);
                else
                        e = shmd_writer_flush(w, length, length);
                if (e)
                        give_up(m->tally, "flush or cancel", e);
                atomic_fetch_add(&m->tally->written, 1);
        }
}

static void take_in_place(struct shmd_reader *r, const struct member *m, struct shmd_frame *frame) {
        static const struct timespec while_held = { .tv_nsec = 2000000 };
        bool whole = frame_is_whole(frame->data, frame->length);
        int e;

        if (m->kind == MEMBER_SLOW) {
                (void)nanosleep(&while_held, NULL);
                whole = whole && frame_is_whole(frame->data, frame->length);
        }
        e = shmd_reader_release(r);
        if (e == -ESTALE)
                atomic_fetch_add(&m->tally->broken, 1);
        else if (e)
                give_up(m->tally, "release", e);
        else if (!whole || frame->tag != frame->length)
                atomic_fetch_add(&m->tally->torn, 1);
}

static void read_on(struct shmd *conn, int fd, const struct member *m) {
        struct shmd_reader *r;
        unsigned char *buffer;
        uint64_t last = 0;
        size_t size;
        int e = shmd_reader_open(&r, conn, m->name, m->ordered ? SHMD_ORDERED : 0, PATIENCE);

        if (e)
                give_up(m->tally, shmd_error(conn), e);
        size = shmd_reader_info(r)->slot_size;
        buffer = malloc(size);
        if (!buffer)
                give_up(m->tally, "memory", -ENOMEM);
        (void)child_tell(fd, 0);
        for (;;) {
                bool copies = m->kind == MEMBER_COPY || m->kind == MEMBER_COPY_NEXT;
                bool next = m->kind == MEMBER_NEXT || m->kind == MEMBER_COPY_NEXT;
                struct shmd_frame frame;

                if (copies)
                        e = shmd_reader_copy(r, next ? SHMD_NEXT : SHMD_LATEST, buffer, size, &frame);
                else
                        e = next ? shmd_reader_next(r, &frame) : shmd_reader_latest(r, &frame);
                if (e == -EAGAIN || e == -EOWNERDEAD) { /* nothing new, or one slot that is just being written */
                        e = shmd_reader_wait(r, 5);
                        if (e < 0)
                                give_up(m->tally, "wait", e);
                        continue;
                }
                if (e < 0)
                        give_up(m->tally, copies ? "copy" : "hold", e);
                if (e == 0 && frame.sequence <= last)
                        atomic_fetch_add(&m->tally->out_of_order, 1);
                if (last && m->ordered)
                        atomic_fetch_add(&m->tally->missed, frame.missed);
                last = frame.sequence;
                atomic_fetch_add(&m->tally->read, 1);
                if (!copies)
                        take_in_place(r, m, &frame);
                else if (!frame_is_whole(buffer, frame.length) || frame.tag != frame.length)
                        atomic_fetch_add(&m->tally->torn, 1);
                if (e == 1 && shmd_reader_wait(r, 5) < 0)
                        give_up(m->tally, "wait", e);
        }
}

void member_run(int fd, void *member) {
        const struct member *m = member;
        struct random random = { m->seed };
        struct shmd *conn;
        int e = shmd_connect(&conn, m->socket);

        if (e)
                give_up(m->tally, conn ? shmd_error(conn) : "connecting", e);
        if (m->kind == MEMBER_WRITER)
                write_on(conn, fd, m, &random);
        else
                read_on(conn, fd, m);
}
