/* deadline.h -- a timeout in milliseconds as a point in time, so that waiting in several steps adds up. */
#pragma once

#include <stdint.h>
#include <time.h>

#define DEADLINE_NEVER INT64_MAX
#define DEADLINE_NOW INT64_C(0) /* do not wait at all */

static inline int64_t deadline_now(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Any negative timeout never ends. */
static inline int64_t deadline_in(int timeout_ms) {
        return timeout_ms < 0 ? DEADLINE_NEVER : deadline_now() + timeout_ms * INT64_C(1000000);
}

/* Milliseconds left for poll(2) and its like: rounded up, so that nobody wakes just before the end and spins; -1 for
 * never; @most (if not negative) at the most. */
static inline int deadline_left(int64_t deadline, int most) {
        int64_t left;

        if (deadline == DEADLINE_NEVER)
                return most;
        left = deadline - deadline_now();
        left = left <= 0 ? 0 : (left + 999999) / 1000000;
        if (left > INT32_MAX)
                left = INT32_MAX;
        return most >= 0 && left > most ? most : (int)left;
}
