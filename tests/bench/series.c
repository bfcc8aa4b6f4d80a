#include "tests/bench/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/harness.h"

static double *grown(double *p, size_t n) {
        p = realloc(p, n * sizeof(*p));
        if (!p)
                fail("no memory for %zu values", n);
        return p;
}

void series_add(struct series *s, double value) {
        if (s->n == s->capacity) {
                s->capacity = s->capacity ? 2 * s->capacity : 1024;
                s->values = grown(s->values, s->capacity);
        }
        s->values[s->n++] = value;
}

void series_round(struct series *s) {
        if (s->n == s->start)
                return;
        s->rounds = grown(s->rounds, s->n_rounds + 1);
        s->rounds[s->n_rounds++] = percentile(s->values + s->start, s->n - s->start, 0.5);
        s->start = s->n;
}

void series_clear(struct series *s) { s->n = s->n_rounds = s->start = 0; }

void series_free(struct series *s) {
        free(s->values);
        free(s->rounds);
        memset(s, 0, sizeof(*s));
}

static int compare(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

double percentile(double *values, size_t n, double part) {
        if (n == 0)
                return NAN;
        qsort(values, n, sizeof(*values), compare);
        return values[(size_t)(part * (double)(n - 1) + 0.5)];
}

double series_percentile(struct series *s, double part) { return percentile(s->values, s->n, part); }
