/*
 * publish.c -- what a frame of 64 bytes costs its writer, readers attached and none waiting.
 *
 * One value is the mean of a batch: the clock costs as much as what is measured. That no system call is made is not
 * measured but enforced: a process that may make none does the same work, and lives.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/shmd.h"
#include "tests/bench/duel.h"
#include "tests/bench/figure.h"
#include "tests/bench/harness.h"
#include "tests/bench/links_compare.h"
#include "tests/bench/private_daemon.h"
#include "tests/bench/workload.h"

/* A sanitizer makes calls of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define FRAME 64
#define BATCH 100
#define READERS_MAX 10

struct side {
        struct link *link;
        struct worker far[READERS_MAX];
        unsigned readers;
        unsigned batches;
        uint64_t number;
};

static void publish(struct side *s, unsigned n) {
        struct link *l = s->link;

        for (unsigned i = 0; i < n; i++) {
                *(volatile uint64_t *)l->kind->begin(l) = ++s->number;
                l->kind->flush(l);
        }
}

/* Takes what came in a round, after it: order N is "take until frame N". */
static void attend(struct desk *desk, void *data) {
        struct side *s = data;
        struct link *l = s->link;
        uint64_t last;

        l->kind->open_reader(l, s->readers);
        desk_ready(desk, 0);
        while ((last = desk_order(desk))) {
                uint64_t seen;

                do {
                        seen = *(const volatile uint64_t *)l->kind->take(l);
                        l->kind->release(l);
                } while (seen < last);
                desk_ready(desk, 0);
        }
}

static void measure(struct duel *d, void *data) {
        struct side *s = d->side;

        (void)data;
        for (unsigned batch = 0; batch < s->batches; batch++) {
                uint64_t start = now_ns();

                publish(s, BATCH);
                series_add(d->series, (double)(now_ns() - start) / BATCH);
                if (s->link->kind == &link_shmd)
                        continue; /* overwrites what was not taken: nobody need come between the batches */
                for (unsigned i = 0; i < s->readers; i++) {
                        worker_order(&s->far[i], s->number);
                        worker_wait(&s->far[i]);
                }
        }
}

static void measure_getppid(struct duel *d, unsigned batches) {
        for (unsigned batch = 0; batch < batches; batch++) {
                uint64_t start = now_ns();

                for (unsigned i = 0; i < BATCH; i++)
                        (void)syscall(SYS_getppid);
                series_add(d->series, (double)(now_ns() - start) / BATCH);
        }
}

static void set_up(struct duel *d, unsigned readers, unsigned batches) {
        const struct link_options o = { .size = FRAME, .slots = 4, .readers = readers, .busy = true };
        struct side *s = d->side;

        s->link = link_make(d->kind, &o);
        s->batches = batches;
        for (unsigned i = 0; i < readers; i++) {
                s->readers = i; /* the child's copy: its index */
                worker_start(&s->far[i], CORE_FAR, attend, s);
        }
        s->readers = readers;
        s->link->kind->open_writer(s->link);
        for (unsigned i = 0; i < readers; i++)
                worker_wait(&s->far[i]);
}

static void tear_down(struct duel *d) {
        struct side *s = d->side;

        for (unsigned i = 0; i < s->readers; i++)
                worker_end(&s->far[i]);
        d->kind->destroy(s->link);
}

/* ---- no system call ---------------------------------------------------------------------------------------------- */

/* From here on any system call but the end is the end. */
static void forbid_calls(void) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

        check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "giving up privileges");
        check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "forbidding system calls");
}

/* What the daemon has to say of the opening is said in the turn of its loop in which it opens, or after that turn: two
 * answers later it is said, and the next begin hears it. */
static void settle(void) {
        struct shmd *conn = daemon_connect();
        struct shmd_info info;

        for (int i = 0; i < 2; i++)
                (void)shmd_stat(conn, "bench/none", &info);
        shmd_close(conn);
}

static void publish_without_calls(struct desk *desk, void *data) {
        struct side *s = data;
        uint64_t steps;

        s->link->kind->open_writer(s->link);
        settle();
        publish(s, 1);
        desk_ready(desk, 0);
        steps = desk_order(desk);
        forbid_calls();
        publish(s, (unsigned)steps);
        _exit(0);
}

static void forbid(void) {
        struct figure f = {
                .workload = 'C',
                .what = "system calls in 100,000 flushes, 10 readers",
                .unit = "calls",
                .subject = "shmd",
                .reference = "none",
                .reach = FIGURE_AT_MOST,
        };
        struct side side = { 0 };
        struct duel duel = { &link_shmd, &f.value, &side };
        struct worker writer;

        set_up(&duel, READERS_MAX, 0);
        worker_start(&writer, CORE_FAR, publish_without_calls, &side);
        worker_wait(&writer);
        worker_order(&writer, 100000);
        if (worker_reap(&writer) != 0)
                fail("a flush that nobody waits for makes a system call: the process that may make none was killed");
        series_add(&f.value, 0);
        tear_down(&duel);
        figure_show(&f);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static void measure_call(struct duel *d, void *data) {
        if (d->kind)
                measure(d, data);
        else
                measure_getppid(d, ((struct side *)d->side)->batches);
}

static void compete(const struct link_kind *reference, unsigned readers, double reach, const struct options *o) {
        struct figure f = {
                .workload = 'C',
                .unit = "ns",
                .subject = "shmd",
                .reference = reference ? reference->name : "getppid()",
                .reach = FIGURE_AT_MOST,
                .ratio_reach = reach,
        };
        unsigned batches = o->quick ? 20 : reference ? 200 : 2000;
        struct side sides[2] = { { .batches = batches }, { .batches = batches } };
        struct duel duel[2] = { { &link_shmd, &f.value, &sides[0] }, { reference, &f.against, &sides[1] } };

        (void)snprintf(f.what, sizeof(f.what), "begin and flush, %u reader%s", readers, readers == 1 ? "" : "s");
        set_up(&duel[0], readers, batches);
        if (reference)
                set_up(&duel[1], readers, batches);
        duel_run(duel, o->quick ? 2 : 21, measure_call, NULL);
        if (reference)
                tear_down(&duel[1]);
        tear_down(&duel[0]);
        figure_show(&f);
}

struct comparison {
        const struct link_kind *kind;
        const struct options *options;
};

static void compare(void *data) {
        const struct comparison *c = data;

        compete(c->kind, 1, 1, c->options);
}

static void run(const struct options *o) {
        compete(NULL, 1, 0.06, o);
        compete(NULL, READERS_MAX, 0.06, o);
        if (!SANITIZED)
                forbid();
        for (size_t k = 0; o->compare && links_to_compare[k]; k++)
                (void)figures_apart(compare, &(struct comparison){ links_to_compare[k], o });
}

const struct workload workload_publish = { 'C', "begin and flush of 64 bytes, readers attached and none waiting", run };
