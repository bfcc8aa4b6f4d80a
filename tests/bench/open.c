/*
 * open.c -- opening a segment that exists, the connection being open.
 *
 * The reference: ask another process for three descriptors over a socketpair, and get them. Client on one core, daemon
 * or other process on the other. Closing is not in the figure; the daemon has dealt with the last one before the next
 * opening begins.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/shmd.h"
#include "tests/bench/duel.h"
#include "tests/bench/figure.h"
#include "tests/bench/harness.h"
#include "tests/bench/private_daemon.h"
#include "tests/bench/workload.h"

#define FDS 3
#define NAME "bench/open"

struct side {
        bool is_shmd;
        struct shmd *conn;
        bool writes;
        struct worker far;
        int socket[2];
        unsigned steps;
};

/* ---- the reference ----------------------------------------------------------------------------------------------- */

union control {
        char bytes[CMSG_SPACE(FDS * sizeof(int))];
        struct cmsghdr align;
};

static void give(struct desk *desk, void *data) {
        struct side *s = data;
        int fds[FDS];
        char byte;

        for (unsigned i = 0; i < FDS; i++)
                fds[i] = (int)check(dup(s->socket[1]), "copying a descriptor");
        (void)close(s->socket[0]); /* so that the end of the other process is the end of this one */
        desk_ready(desk, 0);
        while (read(s->socket[1], &byte, 1) == 1) {
                union control control = { 0 };
                struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
                struct msghdr message = {
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof(control.bytes),
                };
                struct cmsghdr *c = CMSG_FIRSTHDR(&message);

                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(fds));
                memcpy(CMSG_DATA(c), fds, sizeof(fds));
                check(sendmsg(s->socket[1], &message, 0), "sending descriptors");
        }
}

static void get(struct series *series, struct side *s) {
        char byte = 0;
        union control control;
        struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        int fds[FDS];
        uint64_t start = now_ns();

        check(write(s->socket[0], &byte, 1), "asking for descriptors");
        check(recvmsg(s->socket[0], &message, MSG_CMSG_CLOEXEC), "getting descriptors");
        series_add(series, (double)(now_ns() - start));
        if (!CMSG_FIRSTHDR(&message) || CMSG_FIRSTHDR(&message)->cmsg_len != CMSG_LEN(sizeof(fds)))
                fail("descriptors got lost");
        memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fds));
        for (unsigned i = 0; i < FDS; i++)
                (void)close(fds[i]);
}

/* ---- the subject ------------------------------------------------------------------------------------------------- */

static void open_once(struct series *series, struct side *s) {
        struct shmd_writer *w = NULL;
        struct shmd_reader *r = NULL;
        struct shmd_info info;
        uint64_t start;
        int e;

        /* The daemon answers in order: behind this reply lies what the last closing gave it to do. */
        if (shmd_stat(s->conn, NAME, &info))
                fail("asking about a segment: %s", shmd_error(s->conn));
        start = now_ns();
        if (s->writes)
                e = shmd_writer_open(&w, s->conn, NAME, 0, SHMD_FOREVER);
        else
                e = shmd_reader_open(&r, s->conn, NAME, 0, SHMD_FOREVER);
        series_add(series, (double)(now_ns() - start));
        if (e)
                fail("opening a segment: %s", shmd_error(s->conn));
        shmd_writer_close(w);
        shmd_reader_close(r);
}

static void measure(struct duel *d, void *data) {
        struct side *s = d->side;

        (void)data;
        for (unsigned i = 0; i < s->steps; i++)
                (s->is_shmd ? open_once : get)(d->series, s);
}

static void compete(bool writes, size_t size, double reach, const struct options *o) {
        const struct shmd_options options = { .slot_size = size, .n_slots = 4 };
        struct figure f = {
                .workload = 'E',
                .unit = "ns",
                .subject = "shmd",
                .reference = "socketpair, 3 descriptors",
                .reach = reach > 0 ? FIGURE_AT_MOST : FIGURE_NO_REACH,
                .ratio_reach = reach,
        };
        unsigned steps = o->quick ? 10 : 200;
        struct side sides[2] = { { .is_shmd = true, .writes = writes, .steps = steps }, { .steps = steps } };
        struct duel duel[2] = { { NULL, &f.value, &sides[0] }, { NULL, &f.against, &sides[1] } };

        sides[0].conn = daemon_connect();
        if (shmd_create(sides[0].conn, NAME, &options))
                fail("creating a segment: %s", shmd_error(sides[0].conn));
        check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sides[1].socket), "making a socketpair");
        worker_start(&sides[1].far, CORE_FAR, give, &sides[1]);
        (void)close(sides[1].socket[1]);
        worker_wait(&sides[1].far);
        duel_run(duel, o->quick ? 1 : 15, measure, NULL);
        (void)close(sides[1].socket[0]);
        if (worker_reap(&sides[1].far) != 0)
                fail("the process that gives descriptors has failed");
        if (shmd_remove(sides[0].conn, NAME))
                fail("removing a segment: %s", shmd_error(sides[0].conn));
        shmd_close(sides[0].conn);
        (void)snprintf(f.what, sizeof(f.what), "open for %s, frames of %s", writes ? "writing" : "reading",
                       size_text(size));
        figure_show(&f);
}

static void run(const struct options *o) {
        static const size_t sizes[] = { 64, 1048576, 6220800 };

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
                for (int writes = 0; writes < 2; writes++)
                        compete(writes, sizes[i], i == 0 ? 3 : 0, o);
}

const struct workload workload_open = { 'E', "opening a segment that exists", run };
