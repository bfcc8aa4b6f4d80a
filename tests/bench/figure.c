#include "tests/bench/figure.h"

#include <libsmartcols.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/harness.h"

/* A ratio whose quartiles lie further apart than this is marked: the machine was not quiet. */
#define SPREAD_WIDE 1.25

static bool as_json;
static int missed;
static struct libscols_table *table;
static int elsewhere = -1; /* in a process of figures_apart(): where figures go */

enum {
        COLUMN_WORKLOAD,
        COLUMN_WHAT,
        COLUMN_SUBJECT,
        COLUMN_REFERENCE,
        COLUMN_RATIO,
        COLUMN_SPREAD,
        COLUMN_REACH,
        COLUMNS
};

void figures_begin(bool json) {
        static const struct {
                const char *name;
                int flags;
        } columns[COLUMNS] = {
                [COLUMN_WORKLOAD] = { "W", 0 },
                [COLUMN_WHAT] = { "WHAT", 0 },
                [COLUMN_SUBJECT] = { "MEASURED", 0 },
                [COLUMN_REFERENCE] = { "REFERENCE", 0 },
                [COLUMN_RATIO] = { "RATIO", SCOLS_FL_RIGHT },
                [COLUMN_SPREAD] = { "QUARTILES", 0 },
                [COLUMN_REACH] = { "REACH", 0 },
        };

        as_json = json;
        if (json)
                return;
        scols_init_debug(0);
        table = scols_new_table();
        for (int i = 0; i < COLUMNS; i++)
                if (!table || !scols_table_new_column(table, columns[i].name, 0, columns[i].flags))
                        fail("no memory for a table");
        (void)fprintf(stderr, "median / p99 / p99.9; the reference in the same run, round about; cores %d and %d\n",
                      core_number(CORE_NEAR), core_number(CORE_FAR));
}

/* The value that @part of all are no worse than. */
static double tail(struct series *s, double part, const char *unit) {
        return series_percentile(s, strcmp(unit, "frames/s") == 0 ? 1 - part : part);
}

/* The ratio of each round and of all. */
static void ratios(struct figure *f, double *ratio, double *low, double *high) {
        size_t n = f->value.n_rounds < f->against.n_rounds ? f->value.n_rounds : f->against.n_rounds;
        double *each = calloc(n ? n : 1, sizeof(*each));

        if (!each)
                fail("no memory for %zu ratios", n);
        for (size_t i = 0; i < n; i++)
                each[i] = f->value.rounds[i] / f->against.rounds[i];
        *low = percentile(each, n, 0.25);
        *high = percentile(each, n, 0.75);
        free(each);
        if (f->by_p99)
                *ratio = tail(&f->value, 0.99, f->unit) / tail(&f->against, 0.99, f->unit);
        else
                *ratio = percentile(f->value.rounds, f->value.n_rounds, 0.5) /
                         percentile(f->against.rounds, f->against.n_rounds, 0.5);
}

/* JSON has no NaN. */
static void json_number(const char *name, double value) {
        if (isfinite(value))
                (void)printf(",\"%s\":%.6g", name, value);
        else
                (void)printf(",\"%s\":null", name);
}

static void show_json(struct figure *f, double ratio, double low, double high, bool reached) {
        (void)printf("{\"workload\":\"%c\",\"what\":\"%s\",\"unit\":\"%s\",\"subject\":\"%s\"", f->workload, f->what,
                     f->unit, f->subject);
        (void)printf(",\"n\":%zu,\"rounds\":%zu", f->value.n, f->value.n_rounds);
        json_number("median", series_percentile(&f->value, 0.5));
        json_number("p99", tail(&f->value, 0.99, f->unit));
        json_number("p999", tail(&f->value, 0.999, f->unit));
        (void)printf(",\"reference\":\"%s\"", f->reference);
        json_number("reference_median", series_percentile(&f->against, 0.5));
        json_number("reference_p99", tail(&f->against, 0.99, f->unit));
        json_number("reference_p999", tail(&f->against, 0.999, f->unit));
        json_number("ratio", ratio);
        json_number("ratio_q1", low);
        json_number("ratio_q3", high);
        (void)printf(",\"reach\":\"%s\"", f->reach == FIGURE_NO_REACH  ? "none"
                                          : f->reach == FIGURE_AT_MOST ? "at most"
                                                                       : "at least");
        json_number("reach_ratio", f->reach == FIGURE_NO_REACH ? NAN : f->ratio_reach);
        (void)printf(",\"reached\":%s}\n", f->reach == FIGURE_NO_REACH ? "null" : reached ? "true" : "false");
        (void)fflush(stdout);
}

static void print_value(char *out, size_t size, double value, const char *unit) {
        if (!isfinite(value))
                (void)snprintf(out, size, "-");
        else if (strcmp(unit, "ns") == 0 && value >= 1e7)
                (void)snprintf(out, size, "%.4g ms", value / 1e6);
        else if (strcmp(unit, "ns") == 0 && value >= 1e4)
                (void)snprintf(out, size, "%.4g us", value / 1e3);
        else
                (void)snprintf(out, size, "%.*f %s", value < 100 ? 1 : 0, value, unit);
}

static void set(struct libscols_line *line, size_t column, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
static void set(struct libscols_line *line, size_t column, const char *format, ...) {
        char text[256];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        if (scols_line_set_data(line, column, text))
                fail("no memory for a table");
}

static void set_series(struct libscols_line *line, size_t column, const char *name, struct series *s,
                       const char *unit) {
        char text[3][48];

        print_value(text[0], sizeof(text[0]), series_percentile(s, 0.5), unit);
        print_value(text[1], sizeof(text[1]), tail(s, 0.99, unit), unit);
        print_value(text[2], sizeof(text[2]), tail(s, 0.999, unit), unit);
        if (s->n == 0)
                set(line, column, "%s", name);
        else if (s->n == 1)
                set(line, column, "%s: %s", name, text[0]);
        else
                set(line, column, "%s: %s / %s / %s", name, text[0], text[1], text[2]);
}

static void show_line(struct figure *f, double ratio, double low, double high, bool reached) {
        struct libscols_line *line = scols_table_new_line(table, NULL);

        if (!line)
                fail("no memory for a table");
        set(line, COLUMN_WORKLOAD, "%c", f->workload);
        set(line, COLUMN_WHAT, "%s", f->what);
        set_series(line, COLUMN_SUBJECT, f->subject, &f->value, f->unit);
        set_series(line, COLUMN_REFERENCE, f->reference, &f->against, f->unit);
        if (isfinite(ratio))
                set(line, COLUMN_RATIO, "%.3f", ratio);
        if (isfinite(low) && f->value.n_rounds > 1)
                set(line, COLUMN_SPREAD, "%.3f-%.3f%s", low, high, high > low * SPREAD_WIDE ? " !" : "");
        if (f->reach != FIGURE_NO_REACH)
                set(line, COLUMN_REACH, "%s %g%s", f->reach == FIGURE_AT_MOST ? "<=" : ">=", f->ratio_reach,
                    reached ? "" : " MISSED");
        (void)fprintf(stderr, "%c %s\n", f->workload, f->what);
}

/* ---- figures of another process ---------------------------------------------------------------------------------- */

static void put(const void *p, size_t size) {
        for (size_t done = 0; done < size;)
                done += (size_t)check(write(elsewhere, (const char *)p + done, size - done), "sending a figure");
}

static bool get(int fd, void *p, size_t size) {
        for (size_t done = 0; done < size;) {
                ssize_t n = check(read(fd, (char *)p + done, size - done), "receiving a figure");

                if (n == 0 && done == 0)
                        return false;
                if (n == 0)
                        fail("a figure has been cut off");
                done += (size_t)n;
        }
        return true;
}

static void put_series(const struct series *s) {
        put(s->values, s->n * sizeof(*s->values));
        put(s->rounds, s->n_rounds * sizeof(*s->rounds));
}

static void get_series(int fd, struct series *s) {
        s->capacity = s->n;
        s->values = calloc(s->n + 1, sizeof(*s->values));
        s->rounds = calloc(s->n_rounds + 1, sizeof(*s->rounds));
        if (!s->values || !s->rounds)
                fail("no memory for %zu values", s->n);
        if (s->n)
                (void)get(fd, s->values, s->n * sizeof(*s->values));
        if (s->n_rounds)
                (void)get(fd, s->rounds, s->n_rounds * sizeof(*s->rounds));
}

bool figures_apart(void (*run)(void *data), void *data) {
        struct figure f;
        int fds[2], status;
        pid_t pid;

        check(pipe(fds), "making a pipe");
        (void)fflush(NULL);
        pid = (pid_t)check(fork(), "forking");
        if (pid == 0) {
                process_is_main();
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)close(fds[0]);
                elsewhere = fds[1];
                run(data);
                _exit(0);
        }
        (void)close(fds[1]);
        /* It is this program: what is constant lies where it lies here. */
        while (get(fds[0], &f, sizeof(f))) {
                get_series(fds[0], &f.value);
                get_series(fds[0], &f.against);
                figure_show(&f);
        }
        (void)close(fds[0]);
        check(waitpid(pid, &status, 0), "waiting for a process");
        return status == 0;
}

/* ------------------------------------------------------------------------------------------------------------------ */

void figure_show(struct figure *f) {
        double ratio = NAN, low = NAN, high = NAN, decisive;
        bool reached;

        if (elsewhere >= 0) {
                put(f, sizeof(*f));
                put_series(&f->value);
                put_series(&f->against);
                series_free(&f->value);
                series_free(&f->against);
                return;
        }
        if (f->against.n) {
                ratios(f, &ratio, &low, &high);
                decisive = ratio;
        } else {
                decisive = series_percentile(&f->value, 0.5);
        }
        reached = f->reach == FIGURE_AT_LEAST ? decisive >= f->ratio_reach : decisive <= f->ratio_reach;
        if (f->reach != FIGURE_NO_REACH && !reached)
                missed++;
        if (as_json)
                show_json(f, ratio, low, high, reached);
        else
                show_line(f, ratio, low, high, reached);
        series_free(&f->value);
        series_free(&f->against);
}

int figures_end(void) {
        if (!as_json) {
                (void)scols_print_table(table);
                scols_unref_table(table);
                (void)printf("! the quartiles of the ratio over the rounds lie far apart: the machine was not quiet\n");
        }
        return missed;
}
