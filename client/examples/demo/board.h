/*
 * board.h -- where the processes of one way write down what they see, and where they are told what to do: memory that
 * they inherit.
 *
 * Each reader writes its own figures; whoever looks at them sees figures that grow.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BOARD_SAMPLES 65536
#define BOARD_TEXT 512

enum {
        READER_QUICK,
        READER_SLOW,
        N_READERS,
};

struct reader_figures {
        _Atomic uint64_t missed;
        _Atomic uint64_t torn;
        _Atomic int64_t left_at; /* CLOCK_MONOTONIC, ns: when it was told that the writer left; 0: never */
        _Atomic int64_t came_at;
        _Atomic uint32_t frames; /* and as many latencies */
        int64_t latency[BOARD_SAMPLES];
};

struct board {
        atomic_bool halt;        /* to the writer: stop in the middle of the next frame */
        atomic_bool halted;      /* from it: done */
        _Atomic uint64_t number; /* of the frame that it draws, or drew last */
        atomic_flag failing;
        char failure[BOARD_TEXT]; /* from whoever failed first: a sentence */
        struct reader_figures reader[N_READERS];
};

struct summary {
        uint32_t frames;
        uint64_t missed;
        uint64_t torn;
        double median_ms;
        double p99_ms;
};

/* CLOCK_MONOTONIC, ns. */
int64_t board_now(void);

/* NULL: no memory. */
struct board *board_new(void);

/* NULL is fine; returns NULL. */
struct board *board_free(struct board *b);

/* One more frame, which came that long after its flush. Beyond BOARD_SAMPLES nothing is counted. */
void board_add(struct reader_figures *f, int64_t latency);

/* What there is up to now. */
struct summary board_summary(const struct reader_figures *f);
