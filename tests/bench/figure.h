/*
 * figure.h -- one measured figure beside its reference, and how it is shown: a table for people, or a JSON object a
 * line. It knows nothing of how it was measured.
 */
#pragma once

#include <stdbool.h>

#include "tests/bench/series.h"

enum figure_reach {
        FIGURE_NO_REACH,
        FIGURE_AT_MOST,
        FIGURE_AT_LEAST,
};

struct figure {
        char workload; /* 'A' and so on */
        char what[64];
        const char *unit;      /* "ns", "bytes", "calls"; or "frames/s", of which more is better */
        const char *subject;   /* what was measured: "shmd" */
        const char *reference; /* what against; no values in against: an absolute figure */
        struct series value;
        struct series against;
        enum figure_reach reach;
        double ratio_reach; /* of the ratio; without values in against, of the median itself */
        bool by_p99;        /* the ratio is that of the 99th percentiles */
};

/* Begin the output. */
void figures_begin(bool json);

/* Show a finished figure and free its values. */
void figure_show(struct figure *f);

/* Measure in a process of its own: what @run shows is shown here. Some libraries do not survive a fork, and some fail.
 * Return: whether it ended well; otherwise it has said why not on stderr. */
bool figures_apart(void (*run)(void *data), void *data);

/* End the output. Returns how many figures missed their reach. */
int figures_end(void);
