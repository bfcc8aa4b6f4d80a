#define _GNU_SOURCE
#include "client/examples/demo/display.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define BAR 40

void display_init(struct display *d) {
        const char *term = getenv("TERM");

        *d = (struct display){ .terminal = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0 };
}

void display_clear(struct display *d) {
        if (d->rows)
                (void)printf("\033[%uA\033[J", d->rows);
        d->rows = 0;
        (void)fflush(stdout);
}

void display_say(struct display *d, const char *format, ...) {
        va_list args;

        display_clear(d);
        va_start(args, format);
        (void)vprintf(format, args);
        va_end(args);
        (void)putchar('\n');
        (void)fflush(stdout);
}

static void print_figures(const char *name, const struct reader_figures *figures) {
        const struct summary s = board_summary(figures);

        (void)printf("%s: %3" PRIu32 " frames, %5.2f ms (99%%: %5.2f), %" PRIu64 " missed, %" PRIu64 " torn", name,
                     s.frames, s.median_ms, s.p99_ms, s.missed, s.torn);
}

void display_show(struct display *d, const char *title, const struct board *board, int64_t elapsed, int64_t total) {
        const struct reader_figures *quick = &board->reader[READER_QUICK], *slow = &board->reader[READER_SLOW];
        int64_t now = board_now();
        int done = elapsed >= total ? BAR : (int)(elapsed * BAR / total);

        if (now - d->shown < (d->terminal ? SECOND / 10 : SECOND))
                return;
        d->shown = now;
        if (!d->terminal) {
                (void)printf("%-11s %2" PRId64 " s  ", title, elapsed / SECOND);
                print_figures("quick", quick);
                print_figures("; slow", slow);
                (void)putchar('\n');
                (void)fflush(stdout);
                return;
        }
        display_clear(d);
        (void)printf("%-11s %2" PRId64 " s  [%.*s%*s]\n", title, elapsed / SECOND, done,
                     "########################################", BAR - done, "");
        print_figures("  quick reader", quick);
        (void)putchar('\n');
        print_figures("  slow reader ", slow);
        (void)putchar('\n');
        d->rows = 3;
        (void)fflush(stdout);
}
