/*
 * main.c -- shmd-demo: frames of a camera from one process to two others, once through shmd and once through a file
 * that is polled, with the same writer, the same readers and nothing else running.
 *
 * Each way has its turn: the writer draws, the readers check. Half way the writer is killed in the middle of a frame,
 * and started again a little later.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/examples/demo/board.h"
#include "client/examples/demo/broker.h"
#include "client/examples/demo/crew.h"
#include "client/examples/demo/display.h"
#include "client/examples/demo/picture.h"
#include "client/examples/demo/role.h"
#include "client/examples/demo/way.h"
#include "client/examples/demo/workdir.h"

#define MS INT64_C(1000000)
#define HALF (3500 * MS) /* of a turn: before the kill, and after the restart */
#define GAP (500 * MS)   /* without a writer */
#define TURN (2 * HALF + GAP)
#define PATIENCE (60000 * MS) /* for what has to happen, however busy the machine is */
#define TICK_MS 20

static const char *const reader_names[N_READERS] = { "quick reader", "slow reader" };

struct demo {
        struct workdir dir;
        struct crew crew;
        struct display display;
        int signals;     /* a signalfd */
        int interrupted; /* by this signal */
        char why[1024];  /* it failed; empty: it has not */

        /* The turn that is running; way is NULL between turns. */
        const struct way *way;
        struct board *board; /* borrowed */
        pid_t writer;
        int64_t began_at;
        int64_t killed_at;
        int64_t restarted_at;
        int64_t until;                /* what wait_for_time() waits for */
        uint32_t n_before[N_READERS]; /* frames that the readers had at the restart */
};

static bool fail(struct demo *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct demo *d, const char *format, ...) {
        va_list args;

        va_start(args, format);
        (void)vsnprintf(d->why, sizeof(d->why), format, args);
        va_end(args);
        return false;
}

static bool fail_output(struct demo *d) {
        d->interrupted = SIGPIPE;
        return fail(d, "what is printed here cannot be written");
}

/* ---- signals and waiting ---------------------------------------------------------------------------------------- */

/* From here on what would end us is a reason to tidy up, and ends us then. */
static bool signals_init(struct demo *d) {
        static const int taken[] = { SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM };
        sigset_t set;

        (void)sigemptyset(&set);
        for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
                (void)sigaddset(&set, taken[i]);
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
        (void)signal(SIGPIPE, SIG_IGN); /* printing fails then, and that is looked at */
        d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return d->signals >= 0 || fail(d, "no descriptor for signals: %s", strerror(errno));
}

/* Let some time pass. Return: false if the demo is over: somebody wants it to end, or a process died. */
static bool tick(struct demo *d) {
        struct pollfd fd = { .fd = d->signals, .events = POLLIN };
        struct signalfd_siginfo info;
        char text[CREW_TEXT];

        (void)poll(&fd, 1, TICK_MS);
        while (read(d->signals, &info, sizeof(info)) == sizeof(info))
                if (info.ssi_signo != SIGCHLD)
                        d->interrupted = (int)info.ssi_signo;
        if (d->interrupted)
                return fail(d, "interrupted by signal %d (%s)", d->interrupted, strsignal(d->interrupted));
        if (crew_check(&d->crew, text))
                return fail(d, "%s unexpectedly%s%s", text, d->board && *d->board->failure ? ": " : "",
                            d->board ? d->board->failure : "");
        if (d->way)
                display_show(&d->display, d->way->name, d->board, board_now() - d->began_at, TURN);
        return !ferror(stdout) || fail_output(d);
}

/* Wait until @is is true. Return: false if the demo is over, or after PATIENCE: then "@what" has not happened. */
static bool wait_until(struct demo *d, bool (*is)(const struct demo *d), const char *what) {
        const int64_t end = board_now() + PATIENCE;

        while (!is(d)) {
                if (!tick(d))
                        return false;
                if (board_now() >= end)
                        return fail(d, "%s within %d seconds", what, (int)(PATIENCE / MS / 1000));
        }
        return true;
}

static bool is_time(const struct demo *d) { return board_now() >= d->until; }

static bool wait_for_time(struct demo *d, int64_t until) {
        d->until = until;
        return wait_until(d, is_time, "time did not pass");
}

static bool is_daemon_there(const struct demo *d) { return broker_answers(d->dir.path); }

static bool is_writer_halted(const struct demo *d) { return atomic_load(&d->board->halted); }

static bool have_all_read(const struct demo *d) {
        for (unsigned i = 0; i < N_READERS; i++)
                if (atomic_load(&d->board->reader[i].frames) <= d->n_before[i])
                        return false;
        return true;
}

static bool have_all_been_told_of_death(const struct demo *d) {
        for (unsigned i = 0; i < N_READERS; i++)
                if (atomic_load(&d->board->reader[i].left_at) < d->killed_at)
                        return false;
        return true;
}

static bool have_all_been_told_of_restart(const struct demo *d) {
        for (unsigned i = 0; i < N_READERS; i++)
                if (atomic_load(&d->board->reader[i].came_at) < d->restarted_at)
                        return false;
        return true;
}

/* ---- a way's turn ----------------------------------------------------------------------------------------------- */

static bool start_writer(struct demo *d) {
        d->writer = crew_fork(&d->crew, "writer");
        if (d->writer == 0)
                role_write(d->way, d->dir.path, d->board);
        return d->writer > 0 || fail(d, "starting the writer: %s", strerror(errno));
}

static bool start_readers(struct demo *d) {
        for (unsigned i = 0; i < N_READERS; i++) {
                pid_t pid = crew_fork(&d->crew, reader_names[i]);

                if (pid == 0)
                        role_read(d->way, d->dir.path, d->board, i);
                if (pid < 0)
                        return fail(d, "starting the %s: %s", reader_names[i], strerror(errno));
        }
        return true;
}

static bool kill_writer(struct demo *d) {
        atomic_store(&d->board->halt, true);
        if (!wait_until(d, is_writer_halted, "the writer did not get to the middle of a frame"))
                return false;
        d->killed_at = board_now();
        crew_kill(&d->crew, d->writer);
        display_say(&d->display, "%-11s       the writer is killed, half way through frame %" PRIu64, d->way->name,
                    atomic_load(&d->board->number));
        if (!d->way->tells) {
                display_say(&d->display, "%-11s       nobody tells the readers", d->way->name);
                return true;
        }
        if (!wait_until(d, have_all_been_told_of_death, "the readers were not told that the writer had died"))
                return false;
        for (unsigned i = 0; i < N_READERS; i++)
                display_say(&d->display, "%-11s       the %s knows that it left after %.1f ms%s", d->way->name,
                            reader_names[i], (double)(atomic_load(&d->board->reader[i].left_at) - d->killed_at) / MS,
                            i == READER_SLOW ? " (it looks between frames)" : "");
        return true;
}

static bool restart_writer(struct demo *d) {
        atomic_store(&d->board->halt, false);
        for (unsigned i = 0; i < N_READERS; i++)
                d->n_before[i] = atomic_load(&d->board->reader[i].frames);
        d->restarted_at = board_now();
        if (!start_writer(d))
                return false;
        display_say(&d->display, "%-11s       the writer is started again", d->way->name);
        return !d->way->tells ||
               wait_until(d, have_all_been_told_of_restart, "the readers were not told that the writer came back");
}

static bool run_turn(struct demo *d, const struct way *way, struct board *board) {
        char why[WAY_TEXT] = "";
        bool ok;

        if (!way->make(d->dir.path, why))
                return fail(d, "%s: %s", way->name, why);
        d->way = way;
        d->board = board;
        d->began_at = board_now();
        memset(d->n_before, 0, sizeof(d->n_before));
        ok = start_writer(d) && start_readers(d) && wait_for_time(d, d->began_at + HALF) &&
             wait_until(d, have_all_read, "a reader got no frame") && kill_writer(d) &&
             wait_for_time(d, d->killed_at + GAP) && restart_writer(d) && wait_for_time(d, d->restarted_at + HALF) &&
             wait_until(d, have_all_read, "a reader got no frame from the writer that was started again");
        display_clear(&d->display);
        d->way = NULL;
        d->board = NULL;
        return ok;
}

/* Everybody but the daemon goes home. */
static void end_turn(struct demo *d, pid_t daemon) {
        for (size_t i = 0; i < CREW_MAX; i++)
                if (d->crew.member[i].pid && d->crew.member[i].pid != daemon)
                        crew_kill(&d->crew, d->crew.member[i].pid);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static uint64_t print_row(const char *way, unsigned which, const struct summary *s) {
        (void)printf("%-11s  %-12s  %6" PRIu32 "  %8.2f ms  %8.2f ms  %6" PRIu64 "  %5" PRIu64 "\n", way,
                     reader_names[which], s->frames, s->median_ms, s->p99_ms, s->missed, s->torn);
        return s->torn;
}

static bool print_result(struct demo *d, const struct way *const *ways, struct board *const *boards) {
        struct summary s[2][N_READERS];
        uint64_t torn[2] = { 0 }, frames[2] = { 0 };

        (void)printf("\n%-11s  %-12s  %6s  %11s  %11s  %6s  %5s\n", "", "", "frames", "median", "99 %", "missed",
                     "torn");
        for (unsigned w = 0; w < 2; w++)
                for (unsigned i = 0; i < N_READERS; i++) {
                        s[w][i] = board_summary(&boards[w]->reader[i]);
                        torn[w] += print_row(ways[w]->name, i, &s[w][i]);
                        frames[w] += s[w][i].frames;
                }
        (void)printf("\nThrough %s a waiting reader had a frame %.2f ms after the flush (median) and %" PRIu64
                     " of %" PRIu64 " frames were torn;\nthrough a file polled each millisecond it took %.2f ms and "
                     "%" PRIu64 " of %" PRIu64 " were torn.\n",
                     ways[0]->name, s[0][READER_QUICK].median_ms, torn[0], frames[0], s[1][READER_QUICK].median_ms,
                     torn[1], frames[1]);
        if (fflush(stdout) || ferror(stdout))
                return fail_output(d);
        return torn[0] == 0 || fail(d, "%" PRIu64 " frames were torn with shmd: that must never happen", torn[0]);
}

static bool run(struct demo *d, struct board *const *boards) {
        static const struct way *const ways[] = { &way_shmd, &way_poll };
        pid_t daemon;

        if (!signals_init(d))
                return false;
        if (!workdir_make(&d->dir))
                return fail(d, "making a directory in $TMPDIR (else /tmp): %s%s", strerror(errno),
                            errno == ENAMETOOLONG ? ": a socket in it must fit an address, so TMPDIR may have 60 bytes"
                                                  : "");
        display_say(&d->display,
                    "A writer of 1080p RGB frames (%zu bytes, %d a second), a reader that takes every frame, and a\n"
                    "slow one that works on the newest for 80 ms; both read in place and check every byte. First\n"
                    "through shmd, then through an mmap-ed file that the readers poll each millisecond.\n",
                    PICTURE_SIZE, ROLE_RATE);
        daemon = broker_start(&d->crew, d->dir.path, d->why, sizeof(d->why));
        if (daemon < 0)
                return false;
        if (!wait_until(d, is_daemon_there, "the daemon did not answer"))
                return false;
        for (unsigned w = 0; w < 2; w++) {
                if (!run_turn(d, ways[w], boards[w]))
                        return false;
                end_turn(d, daemon);
        }
        return print_result(d, ways, boards);
}

int main(void) {
        struct demo d = { .signals = -1 };
        struct board *boards[2] = { board_new(), board_new() };
        bool ok;

        display_init(&d.display);
        if (boards[0] && boards[1])
                ok = run(&d, boards);
        else
                ok = fail(&d, "no memory: %s", strerror(errno));
        display_clear(&d.display);
        crew_kill_all(&d.crew);
        if (!ok) {
                (void)fprintf(stderr, "shmd-demo: %s\n", d.why);
                if (!d.interrupted && *d.dir.path)
                        broker_quote(d.dir.path, stderr);
        }
        if (!workdir_remove(&d.dir)) {
                (void)fprintf(stderr, "shmd-demo: what it made in $TMPDIR cannot be removed: %s\n", strerror(errno));
                ok = false;
        }
        (void)board_free(boards[0]);
        (void)board_free(boards[1]);
        if (d.signals >= 0)
                (void)close(d.signals);
        if (d.interrupted) {
                sigset_t one;

                /* Who waits for us is to see what ended us. */
                (void)signal(d.interrupted, SIG_DFL);
                (void)raise(d.interrupted);
                /* cppcheck-suppress unreachableCode ; it is blocked until then */
                (void)sigemptyset(&one);
                (void)sigaddset(&one, d.interrupted);
                (void)sigprocmask(SIG_UNBLOCK, &one, NULL);
        }
        return ok ? 0 : 1;
}
