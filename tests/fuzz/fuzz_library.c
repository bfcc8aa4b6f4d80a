/*
 * fuzz_library.c -- a program that uses libshmd, while the daemon says what the input tells, and somebody scribbles over
 * the memory.
 *
 * The daemon is believed where the size of a segment's memory is concerned: here it never gives less than it says.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "client/shmd.h"
#include "proto/cleanup.h"
#include "proto/geometry.h"
#include "proto/packet.h"
#include "tests/fuzz/feed.h"
#include "tests/support.h"

#define MEMORIES 4
#define MEMORY_SIZE ((off_t)1 << 30) /* sparse */
#define SEGMENT_MAX (64u << 10)      /* its pages are mapped at once, which takes time */

static struct feed *input;
static int daemons = -1;       /* its end of the socket that was connected last */
static bool stays;             /* it does not close that end after what it says first */
static uint32_t serial;        /* that the next request will have */
static int memories[MEMORIES]; /* what it has given out last */
static unsigned n_memories;
static _Alignas(8) unsigned char message[PROTO_MESSAGE_MAX];

/* ---- the daemon -------------------------------------------------------------------------------------------------- */

static int give_memory(void) {
        int *place = &memories[n_memories++ % MEMORIES];
        int fd = memfd_create("memory", MFD_CLOEXEC);

        CHECK(fd >= 0 && ftruncate(fd, MEMORY_SIZE) == 0);
        fd_close(*place);
        *place = fd;
        return fd;
}

static uint32_t small(struct feed *f) {
        static const uint32_t numbers[] = { 0, 1, 2, 3, 4, 63, 64, 65, 399, 400, 4096, UINT32_MAX };

        return numbers[feed_u8(f) % 12];
}

static void fill_opened(struct proto_opened *o, struct feed *f) {
        static const uint64_t sizes[] = { 1, 64, 100, 4096, 0, UINT64_C(1) << 44 };
        uint8_t odd = feed_wrong(f);

        o->slot_size = sizes[feed_u8(f) % (odd & 1 ? 6 : 4)];
        o->n_slots = odd & 2 ? small(f) : 1 + feed_u8(f) % 4;
        o->page_size = odd & 4 ? small(f) : 4096;
        o->layout_version = odd & 8 ? small(f) : LAYOUT_VERSION;
        o->policy = feed_u8(f) & 3;
        o->binding = feed_u8(f) & 1;
        o->entry = odd & 16 ? small(f) : feed_u8(f) % 8;
        o->epoch = feed_u8(f) & 1;
        o->n_groups = odd & 32 ? small(f) : feed_u8(f) % 3;
        for (uint32_t i = 0; i < o->n_groups && i < LAYOUT_GROUPS_MAX; i++)
                o->groups[i] = (struct proto_group){
                        .index = (uint16_t)(odd & 64 ? small(f) : i),
                        .flags = feed_u8(f) & 1,
                        .account = (uint16_t)(odd & 64 ? small(f) : i / 2),
                        .holds = feed_u8(f) & 3,
                };
        memset(o->type, 'x', odd & 128 ? PROTO_TYPE_SIZE : 5);
}

/* Its memory must be as large as it says. */
static void limit_opened(struct proto_opened *o) {
        struct geometry g;

        if (geometry_init(&g, o->slot_size, o->n_slots, o->page_size) == 0 && g.file_size > SEGMENT_MAX &&
            g.file_size < UINT64_C(1) << 48) {
                o->slot_size = 64;
                o->n_slots = 4;
                o->page_size = 4096;
        }
}

static size_t compose(struct feed *f, uint16_t *op, uint32_t *n_fds) {
        static const uint16_t ops[] = {
                PROTO_OP_OPEN, PROTO_OP_OPEN, PROTO_OP_STATE,  PROTO_OP_GROUP,  PROTO_OP_HELLO,
                PROTO_OP_STAT, PROTO_OP_LIST, PROTO_OP_CREATE, PROTO_OP_REMOVE,
        };
        union proto_any *m = (union proto_any *)(void *)message;
        struct proto_list_reply *list = (struct proto_list_reply *)(void *)message;
        uint32_t count;

        *op = ops[feed_u8(f) % 9];
        memset(m, 0, sizeof(*m));
        switch (*op) {
        case PROTO_OP_OPEN:
                fill_opened(&m->opened, f);
                *n_fds = feed_u8(f) & 1 ? 1 + 2 * m->opened.n_groups : 2 + m->opened.binding;
                if (*n_fds > PROTO_FDS_MAX)
                        *n_fds = PROTO_FDS_MAX;
                return sizeof(m->opened);
        case PROTO_OP_STATE:
                m->state.users = (struct proto_users){
                        .arrivals = feed_u8(f),
                        .departures = feed_u8(f),
                        .writers = small(f),
                        .readers = small(f),
                        .flags = feed_u8(f) & 1,
                };
                return sizeof(m->state);
        case PROTO_OP_GROUP:
                m->group.group = (struct proto_group){
                        .index = (uint16_t)small(f),
                        .flags = feed_u8(f) & 1,
                        .account = (uint16_t)small(f),
                        .holds = (uint16_t)small(f),
                };
                *n_fds = 2;
                return sizeof(m->group);
        case PROTO_OP_HELLO:
                m->welcome.layout_version = feed_u8(f) & 1 ? small(f) : LAYOUT_VERSION;
                return sizeof(m->welcome);
        case PROTO_OP_STAT:
                memset(&m->stat_reply.info, feed_u8(f), sizeof(m->stat_reply.info));
                return sizeof(m->stat_reply);
        case PROTO_OP_LIST:
                count = feed_u8(f) % (PROTO_LIST_PAGE + 1);
                memset(list, 0, sizeof(*list));
                memset(list->info, feed_u8(f), count * sizeof(list->info[0]));
                list->count = feed_u8(f) & 1 ? small(f) : count;
                list->more = feed_u8(f) & 1;
                return sizeof(*list) + count * sizeof(list->info[0]);
        case PROTO_OP_CREATE:
                m->created.existed = feed_u8(f);
                return sizeof(m->created);
        default:
                return sizeof(m->header);
        }
}

/* One message: as it should be, or with something wrong. */
static void say(struct feed *f) {
        struct proto_header *h = (struct proto_header *)(void *)message;
        uint8_t wrong = feed_wrong(f);
        int fds[PROTO_FDS_MAX];
        uint32_t n_fds = 0;
        uint16_t op;
        size_t size = compose(f, &op, &n_fds);

        if (wrong & 1) {
                size = sizeof(struct proto_error);
                memset(message, 'e', size);
                n_fds = 0;
        }
        if (wrong & 2)
                n_fds = feed_u8(f) % (PROTO_FDS_MAX + 1);
        if (wrong & 4)
                size = feed_u16(f) % (size + 1);
        if (wrong & 8 && size + 256 <= sizeof(message)) {
                memset(message + size, feed_u8(f) & 1, 256);
                size += feed_u8(f);
        }
        if (size >= sizeof(*h)) {
                message_init(h, op, size, op >= PROTO_OP_STATE ? 0 : serial);
                h->n_fds = n_fds;
                h->error = wrong & 1 ? -(int32_t)feed_u16(f) : 0;
        }
        for (unsigned i = wrong & 16 ? feed_u8(f) & 7 : 0; i > 0; i--) {
                size_t at = feed_u16(f);

                message[at % (size + 1)] = feed_u8(f);
        }
        if (size >= offsetof(struct proto_opened, layout_version)) /* cut further, it makes no sense */
                limit_opened((struct proto_opened *)(void *)message);
        for (uint32_t i = 0; i < n_fds; i++) {
                bool bell = op == PROTO_OP_OPEN ? i > 0 && i % 2 == 0 : i == 1;

                if (wrong & 32 && feed_u8(f) & 1)
                        bell = !bell;
                fds[i] = bell ? eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK) : fcntl(give_memory(), F_DUPFD_CLOEXEC, 0);
        }
        (void)packet_send(daemons, message, size, fds, n_fds);
        for (uint32_t i = 0; i < n_fds; i++)
                fd_close(fds[i]);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left);

/* Between two tries to find the daemon again there is nothing to wait for. */
int __wrap_nanosleep(const struct timespec *time, struct timespec *left) {
        (void)time;
        (void)left;
        return 0;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);

/* Whoever connects finds the answers there already. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size) {
        int sockets[2];

        (void)address;
        (void)size;
        fd_close(STEAL_FD(daemons));
        if (feed_u8(input) == 255) {
                errno = ECONNREFUSED;
                return -1;
        }
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
        CHECK(dup3(sockets[0], fd, O_CLOEXEC) == fd);
        fd_close(sockets[0]);
        daemons = sockets[1];
        if (!stays)
                serial = 0;
        for (unsigned n = feed_u8(input) & 3; n > 0; n--) {
                say(input);
                serial++;
        }
        /* Then its end; otherwise who waits for an answer would wait for ever. */
        if (!stays)
                (void)shutdown(daemons, SHUT_WR);
        return 0;
}

static void scribble(struct feed *f) {
        uint8_t what = feed_u8(f);
        off_t offset = feed_u16(f) / 8 * 8;
        uint64_t value = what & 64 ? feed_u64(f) : what >> 3 & 1 ? UINT64_C(1) << LAYOUT_SLOT_BITS : feed_u8(f);
        int fd = memories[what % MEMORIES];

        if (what & 16)
                offset %= 512;
        if (what & 32) /* the head, and the slot that it names */
                offset = what & 128 ? offsetof(struct layout_header, head) : sizeof(struct layout_header);
        if (fd >= 0)
                CHECK(pwrite(fd, &value, sizeof(value), offset) == (ssize_t)sizeof(value));
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static int take_info(const struct shmd_info *info, void *data) {
        (void)data;
        CHECK(memchr(info->name, '\0', sizeof(info->name)) && memchr(info->type, '\0', sizeof(info->type)));
        return 0;
}

static void check(int r) { CHECK(r > -4096 && r < 1 << 30); }

static void take_frame(struct shmd_reader *r, int e, const struct shmd_frame *frame) {
        static volatile unsigned char last;

        check(e);
        if (e < 0)
                return;
        CHECK(frame->length <= shmd_reader_info(r)->slot_size);
        if (frame->length > 0)
                last = ((const volatile unsigned char *)frame->data)[frame->length - 1];
        (void)last;
}

static void read_on(struct shmd_reader *r, uint8_t what) {
        unsigned char copy[128];
        struct shmd_frame frame;
        const void *data;
        size_t size;

        switch (what >> 4) {
        case 0:
        case 1:
                take_frame(r, shmd_reader_latest(r, &frame), &frame);
                break;
        case 2:
        case 3:
                take_frame(r, shmd_reader_next(r, &frame), &frame);
                break;
        case 4:
        case 5:
                check(shmd_reader_release(r));
                break;
        case 6:
                check(shmd_reader_intact(r));
                break;
        case 7:
                check(shmd_reader_copy(r, what >> 7, copy, sizeof(copy), &frame));
                break;
        case 8:
                check(shmd_reader_wait(r, 0));
                break;
        case 9:
                check(shmd_reader_arm(r));
                break;
        case 10:
                if (shmd_reader_data(r, &data, &size) == 0)
                        CHECK(size == shmd_reader_info(r)->slot_size);
                break;
        case 11:
                check(shmd_reader_wait(r, 1));
                break;
        default:
                check(shmd_reader_writers(r));
                (void)take_info(shmd_reader_info(r), NULL);
                break;
        }
}

static void write_on(struct shmd_writer *w, uint8_t what) {
        void *data;
        size_t size;
        int r;

        switch (what >> 4) {
        case 0:
        case 1:
        case 2:
                r = shmd_writer_begin(w, &data, &size, what == 0 ? 1 : 0);
                check(r);
                if (r == 0)
                        memset(data, 1, size);
                break;
        case 3:
        case 4:
        case 5:
                check(shmd_writer_flush(w, what & 15, what));
                break;
        case 6:
                check(shmd_writer_cancel(w));
                break;
        case 7:
                if (shmd_writer_data(w, &data, &size) == 0)
                        memset(data, 2, size);
                break;
        case 8:
                check(shmd_writer_wait_reader(w, 0));
                break;
        default:
                check(shmd_writer_readers(w));
                (void)take_info(shmd_writer_info(w), NULL);
                (void)shmd_writer_sequence(w);
                break;
        }
}

/* On one connection. */
static void ask(struct shmd *conn, uint8_t what) {
        const struct shmd_options options = { .slot_size = 64, .type = "t" };
        struct shmd_info info;

        switch (what & 3) {
        case 0:
                check(shmd_create(conn, "a", &options));
                break;
        case 1:
                if (shmd_stat(conn, "a", &info) == 0)
                        (void)take_info(&info, NULL);
                break;
        case 2:
                check(shmd_list(conn, what & 4 ? "*" : NULL, take_info, NULL));
                break;
        default:
                check(shmd_remove(conn, "a"));
                break;
        }
        CHECK(memchr(shmd_error(conn), '\0', PROTO_TEXT_SIZE));
}

static void use(struct shmd *conn, struct feed *f, uint8_t how) {
        struct shmd_reader *r = NULL;
        struct shmd_writer *w = NULL;

        stays = true;
        serial = 1;
        if (how & 1)
                check(shmd_reader_open(&r, conn, "a", how & 2 ? SHMD_ORDERED : SHMD_WAIT, 0));
        else
                check(shmd_writer_open(&w, conn, "a", how & 2 ? SHMD_WAIT : 0, 0));
        while ((r || w) && f->left > 0) {
                uint8_t what = feed_u8(f);

                if ((what & 15) < 4)
                        scribble(f);
                else if ((what & 15) == 4)
                        say(f);
                else if (r)
                        read_on(r, what);
                else
                        write_on(w, what);
        }
        shmd_reader_close(r);
        shmd_writer_close(w);
        stays = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct feed f = { data, size };
        struct shmd *conn;
        uint8_t how;
        int n_fds;

        (void)signal(SIGPIPE, SIG_IGN);
        n_memories = 0;
        for (int i = 0; i < MEMORIES; i++)
                memories[i] = -1;
        n_fds = fd_count();
        input = &f;
        how = feed_u8(&f);
        stays = false;
        check(shmd_connect(&conn, "/nowhere"));
        if (how & 4)
                use(conn, &f, how);
        for (unsigned i = 0; i < 8 && f.left > 0; i++)
                ask(conn, feed_u8(&f));
        shmd_close(conn);
        fd_close(STEAL_FD(daemons));
        for (int i = 0; i < MEMORIES; i++)
                fd_close(memories[i]);
        CHECK(fd_count() == n_fds);
        return 0;
}
