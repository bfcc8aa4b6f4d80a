/* series.h -- measured values, round by round, and what can be said of them. It knows nothing of what they measure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* All zero is an empty one. */
struct series {
        double *values;
        size_t n;
        size_t capacity;
        double *rounds; /* median of each round */
        size_t n_rounds;
        size_t start; /* of the current round */
};

void series_add(struct series *s, double value);

/* End a round: the values since the last one have a median of their own. None: no round. */
void series_round(struct series *s);

/* Forget all. */
void series_clear(struct series *s);

void series_free(struct series *s);

/* The value below which @part (0 to 1) of all lie; NaN of none. Sorts the values. */
double series_percentile(struct series *s, double part);

/* Of an array; sorts it. */
double percentile(double *values, size_t n, double part);
