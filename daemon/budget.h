/*
 * budget.h -- how many segments and bytes there may be, and how many there are.
 *
 * A charge lasts as long as the segment's memory: from before it is allocated until the last reference is gone. It
 * knows nothing about the memory that the machine has: see memory.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct budget {
        uint64_t segments_max;
        uint64_t bytes_max;
        uint64_t segment_bytes_max; /* of one segment */
        uint64_t segments;
        uint64_t bytes;
        bool ending; /* nothing is taken back any more: clients go on without the daemon */
};

enum {
        BUDGET_E_SEGMENTS = 1,  /* as many segments as there may be */
        BUDGET_E_SEGMENT_BYTES, /* larger than one may be */
        BUDGET_E_BYTES,         /* it does not fit beside the others */
};

/* Charge one segment of @bytes. Return: 0 or BUDGET_E_*; nothing is charged then. */
int budget_charge(struct budget *b, uint64_t bytes);

void budget_release(struct budget *b, uint64_t bytes);
