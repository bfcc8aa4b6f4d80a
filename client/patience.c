#define _GNU_SOURCE
#include "client/patience.h"

#include <sched.h>

#define SPIN_MAX INT64_C(100000)   /* what a sleep costs at most: looking for longer cannot pay */
#define LEARN_MAX INT64_C(1000000) /* so that one long pause is soon forgotten */
#define WEIGHT 8                   /* of the past against one wait */

void patience_init(struct patience *p) {
        cpu_set_t cpus;

        p->mean = LEARN_MAX;
        p->alone = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}

int64_t patience_spin(const struct patience *p) {
        if (p->alone || p->mean >= SPIN_MAX)
                return 0;
        return p->mean * 2 < SPIN_MAX ? p->mean * 2 : SPIN_MAX;
}

void patience_learn(struct patience *p, int64_t ns) {
        if (ns < 0)
                ns = 0;
        if (ns > LEARN_MAX)
                ns = LEARN_MAX;
        p->mean += (ns - p->mean) / WEIGHT;
}
