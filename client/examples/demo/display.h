/*
 * display.h -- what the demo shows while it runs: on a terminal figures that change in place, with a bar; otherwise a
 * line a second. It knows figures and sentences, not what they mean.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/examples/demo/board.h"

struct display {
        bool terminal;
        unsigned rows; /* on the terminal that are ours to overwrite */
        int64_t shown; /* when: CLOCK_MONOTONIC, ns */
};

void display_init(struct display *d);

/* A line that stays. */
void display_say(struct display *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The figures now, if it is time for them. @elapsed and @total: ns. */
void display_show(struct display *d, const char *title, const struct board *board, int64_t elapsed, int64_t total);

/* Take off what only made sense while it ran. */
void display_clear(struct display *d);
