/*
 * patience.h -- how long to look for a frame, or for room for one, before sleeping for it.
 *
 * Putting a thread to sleep and waking it costs 10 to 100 microseconds, part of it the writer's. Where frames come
 * closer together than that, looking again and again is cheaper for both; where they do not, it is a waste. So what
 * frames did of late decides: a running mean of how long a wait lasted, for a reader without the price of waking up
 * (the frames' own timestamps tell). A wait that was looked away in vain makes the mean longer, so a reader that
 * shares its core with the writer stops by itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct patience {
        int64_t mean; /* ns */
        bool alone;   /* there is one core only: whoever looks keeps the writer from writing */
};

void patience_init(struct patience *p);

/* Between two looks: let the other core get at the line. */
static inline void patience_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb");
#endif
}

/* How long to look before sleeping: ns, 0 for not at all. */
int64_t patience_spin(const struct patience *p);

/* What was waited for came @ns after the wait began. */
void patience_learn(struct patience *p, int64_t ns);
