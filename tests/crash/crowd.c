#define _GNU_SOURCE
#include "tests/crash/crowd.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <xxhash.h>

#include "client/shmd.h"

#define PATIENCE 60000 /* ms */
#define SMALLEST 16u   /* bytes: checksum and number */
#define LOOKS_APART_US 10000

void *shared_new(size_t size) {
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_true(p != MAP_FAILED);
        return p;
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

static bool sleeps_through(const struct presence *p, uint64_t segment, uint64_t sequence) {
        return atomic_load(&p->asleep) && atomic_load(&p->segment) == segment && atomic_load(&p->taken) < sequence;
}

/* How often the process went off the processor, if it sleeps now; -1 if it does not. */
static long sleeps_since(pid_t pid) {
        long number, sum = 0;
        bool asleep = false;
        char path[64], line[256];
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return -1;
        while (fgets(line, sizeof(line), f)) {
                asleep = asleep || strncmp(line, "State:\tS", 8) == 0;
                if (sscanf(line, "voluntary_ctxt_switches: %ld", &number) == 1 ||
                    sscanf(line, "nonvoluntary_ctxt_switches: %ld", &number) == 1)
                        sum += number;
        }
        (void)fclose(f);
        return asleep ? sum : -1;
}

/* After a flush, and nothing more is flushed meanwhile: a reader that sleeps with that frame untaken at two looks, and
 * has not run in between, was not woken; one that was would at least be ready to run. */
static void look_for_sleepers(const struct member *m, uint64_t segment, uint64_t sequence) {
        for (unsigned i = 0; i < m->n_presences; i++) {
                const struct presence *p = &m->presences[i];

                for (unsigned looks = 0; looks < 100 && sleeps_through(p, segment, sequence); looks++) {
                        pid_t pid = atomic_load(&p->pid);
                        long before = looks < 10 ? -1 : sleeps_since(pid);

                        (void)usleep(looks < 10 ? 200 : LOOKS_APART_US);
                        if (before < 0 || !sleeps_through(p, segment, sequence) || sleeps_since(pid) != before)
                                continue;
                        (void)fprintf(stderr, "reader %u sleeps, and frame %llu is there\n", i,
                                      (unsigned long long)sequence);
                        atomic_fetch_add(&m->tally->lost, 1);
                        break;
                }
        }
}

static struct shmd_writer *open_writer(struct shmd *conn, const struct member *m) {
        struct shmd_writer *w;
        int e = shmd_writer_open(&w, conn, m->name, m->reopens ? SHMD_WAIT : 0, PATIENCE);

        if (e)
                give_up(m->tally, shmd_error(conn), e);
        return w;
}

static void write_on(struct shmd *conn, int fd, const struct member *m, struct random *random) {
        struct shmd_writer *w = open_writer(conn, m);

        (void)child_tell(fd, 0);
        for (uint64_t n = 1;; n++) {
                size_t size, length;
                void *data;
                int e = shmd_writer_begin(w, &data, &size, PATIENCE);

                if (e == -EIDRM && m->reopens) {
                        shmd_writer_close(w);
                        w = open_writer(conn, m);
                        continue;
                }
                if (e)
                        give_up(m->tally, "begin", e);
                length = frame_fill(data, size, random);
                if (random_below(random, 16) == 0) {
                        e = shmd_writer_cancel(w);
                        if (e)
                                give_up(m->tally, "cancel", e);
                        continue;
                }
                e = shmd_writer_flush(w, length, length);
                if (e)
                        give_up(m->tally, "flush", e);
                atomic_fetch_add(&m->tally->written, 1);
                /* A pause of a random length, so that readers are met falling asleep, asleep and busy. */
                if (m->presences && random_below(random, 4) == 0) {
                        look_for_sleepers(m, shmd_writer_info(w)->id, shmd_writer_sequence(w));
                        (void)usleep((useconds_t)random_below(random, 1000));
                }
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

static struct shmd_reader *open_reader(struct shmd *conn, const struct member *m) {
        unsigned flags = (m->ordered ? SHMD_ORDERED : 0) | (m->reopens ? SHMD_WAIT : 0);
        struct shmd_reader *r;
        int e = shmd_reader_open(&r, conn, m->name, flags, PATIENCE);

        if (e)
                give_up(m->tally, shmd_error(conn), e);
        if (m->presence) {
                atomic_store(&m->presence->pid, getpid());
                atomic_store(&m->presence->taken, 0);
                atomic_store(&m->presence->segment, shmd_reader_info(r)->id);
        }
        return r;
}

static int sleep_in_loop(struct shmd_reader *r, int timeout_ms) {
        struct epoll_event e = { .events = EPOLLIN };
        int loop = epoll_create1(EPOLL_CLOEXEC), events;

        if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, shmd_reader_fd(r), &e) < 0)
                return -errno;
        events = shmd_reader_arm(r);
        if (events == 0 && epoll_wait(loop, &e, 1, timeout_ms) > 0)
                events = shmd_reader_arm(r);
        (void)close(loop);
        return events;
}

/* Return: as shmd_reader_wait(). */
static int sleep_on(struct shmd_reader *r, const struct member *m) {
        int timeout_ms = m->presence ? PATIENCE : 5;
        int e;

        if (m->way == WAY_BUSY) {
                (void)sched_yield();
                return 0;
        }
        if (m->presence)
                atomic_store(&m->presence->asleep, true);
        e = m->way == WAY_LOOP ? sleep_in_loop(r, timeout_ms) : shmd_reader_wait(r, timeout_ms);
        if (m->presence)
                atomic_store(&m->presence->asleep, false);
        return e;
}

/* Take one frame. Return: whether there was a new one, or a negative errno. */
static int take_one(struct shmd_reader *r, const struct member *m, unsigned char *buffer, size_t size, uint64_t *last) {
        bool copies = m->kind == MEMBER_COPY || m->kind == MEMBER_COPY_NEXT;
        bool next = m->kind == MEMBER_NEXT || m->kind == MEMBER_COPY_NEXT;
        struct shmd_frame frame;
        int e;

        if (copies)
                e = shmd_reader_copy(r, next ? SHMD_NEXT : SHMD_LATEST, buffer, size, &frame);
        else
                e = next ? shmd_reader_next(r, &frame) : shmd_reader_latest(r, &frame);
        if (e < 0)
                return e;
        if (e == 0 && frame.sequence <= *last)
                atomic_fetch_add(&m->tally->out_of_order, 1);
        if (*last && next)
                atomic_fetch_add(&m->tally->missed, frame.missed);
        *last = frame.sequence;
        atomic_fetch_add(&m->tally->read, 1);
        if (!copies)
                take_in_place(r, m, &frame);
        else if (!frame_is_whole(buffer, frame.length) || frame.tag != frame.length)
                atomic_fetch_add(&m->tally->torn, 1);
        if (m->presence)
                atomic_store(&m->presence->taken, frame.sequence);
        return e == 0;
}

static void read_on(struct shmd *conn, int fd, const struct member *m) {
        struct shmd_reader *r = open_reader(conn, m);
        size_t size = shmd_reader_info(r)->slot_size;
        unsigned char *buffer = malloc(size);
        uint64_t last = 0;

        if (!buffer)
                give_up(m->tally, "memory", -ENOMEM);
        (void)child_tell(fd, 0);
        for (;;) {
                int e = take_one(r, m, buffer, size, &last);

                /* Nothing new; or one slot, that is just being written or was left torn. */
                if (e == 0 || e == -EAGAIN || e == -EOWNERDEAD)
                        e = sleep_on(r, m);
                if (e == -EIDRM && m->reopens) {
                        shmd_reader_close(r);
                        r = open_reader(conn, m);
                        last = 0;
                } else if (e < 0) {
                        give_up(m->tally, "reading", e);
                }
        }
}

void member_run(int fd, void *member) {
        const struct member *m = member;
        struct random random = { m->seed };
        struct shmd *conn;
        int e;

        (void)setpriority(PRIO_PROCESS, 0,
                          10); /* the daemon and who kills come first, or it takes long to get to the next kill */
        e = shmd_connect(&conn, m->socket);
        if (e)
                give_up(m->tally, conn ? shmd_error(conn) : "connecting", e);
        if (m->kind == MEMBER_WRITER)
                write_on(conn, fd, m, &random);
        else
                read_on(conn, fd, m);
}
