/*
 * duel.h -- one subject and one reference, round about: the same measurement of both in every round, so that whatever
 * the machine does meanwhile it does to both.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tests/bench/link.h"
#include "tests/bench/series.h"

struct duel {
        const struct link_kind *kind;
        struct series *series;
        void *side; /* what the measurement keeps of this side */
};

#define DUEL_ROUND_NS UINT64_C(100000000) /* after this a measurement ends its round early: the machine is busy */
#define DUEL_NS UINT64_C(6000000000)      /* and after this there are no more rounds than DUEL_ROUNDS_MIN */
#define DUEL_ROUNDS_MIN 3

/**
 * duel_run() - measure both sides
 * @sides:   the subject and the reference
 * @rounds:  how many, besides one that is not counted; fewer where the machine is busy
 * @measure: adds values of one round to @side->series
 * @data:    passed to it
 *
 * Who goes first changes from round to round.
 */
void duel_run(struct duel sides[2], unsigned rounds, void (*measure)(struct duel *side, void *data), void *data);
