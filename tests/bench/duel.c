#include "tests/bench/duel.h"

#include "tests/bench/harness.h"

void duel_run(struct duel sides[2], unsigned rounds, void (*measure)(struct duel *side, void *data), void *data) {
        uint64_t end = now_ns() + DUEL_NS;

        for (unsigned round = 0; round <= rounds && (round <= DUEL_ROUNDS_MIN || now_ns() < end); round++) {
                for (unsigned i = 0; i < 2; i++) {
                        struct duel *side = &sides[(i + round) % 2];

                        measure(side, data);
                        if (round == 0) /* warming up */
                                series_clear(side->series);
                        else
                                series_round(side->series);
                }
        }
}
