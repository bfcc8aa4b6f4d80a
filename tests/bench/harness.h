/*
 * harness.h -- what every workload needs: two pinned cores, a clock, and processes that do what they are told.
 *
 * The program itself runs on the near core; what it measures against runs on the far one. Whatever fails ends the
 * program with a sentence: a figure that is half true is worse than none. It knows nothing of shmd.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Print "shmd-bench: ..." and end the program, and with it the processes that it started. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* fail() with strerror() unless @r is 0 or above. Returns @r. */
long check(long r, const char *what);

static inline uint64_t now_ns(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
}

enum core {
        CORE_NEAR, /* this program */
        CORE_FAR,  /* the other end */
};

/* Choose the first two cores that this process may run on. Ends the program where there is one only. */
void cores_choose(void);

/* A process forked from this program goes on as if it were the program: workers are its own. */
void process_is_main(void);

/* Run the calling thread on that core only. */
void core_pin(enum core core);

/* The cores' numbers, for people. */
int core_number(enum core core);

/* As many descriptors as the system lets this process have. */
void limits_raise(void);

/* Zeroed memory that children share. */
void *shared_memory(size_t size);
void shared_memory_free(void *p, size_t size);

/* "64 B", "6.2 MB": valid until the fourth call from now. */
const char *size_text(size_t size);

/* A process that has been forked from this one and waits for orders. */
struct worker {
        pid_t pid;
        int orders;
        int answers;
};

/* The worker's side of it. */
struct desk {
        int orders;
        int answers;
};

/**
 * worker_start() - fork a process that runs @work and then ends
 * @w:    receives it
 * @core: where it runs
 * @work: what it does: desk_ready() once it is set up, then it serves desk_order() until that returns 0
 * @data: passed to @work
 *
 * It dies with this process.
 */
void worker_start(struct worker *w, enum core core, void (*work)(struct desk *, void *data), void *data);

/* Wait until it is ready, or done with its order. Ends the program if it has died. Returns what it says. */
uint64_t worker_wait(struct worker *w);

/* Order @steps, above 0; worker_wait() tells when they are done. */
void worker_order(struct worker *w, uint64_t steps);

/* Let it end, and wait for that. */
void worker_end(struct worker *w);

/* Wait for one that ends by itself. Returns its status, as waitpid(2) tells it. */
int worker_reap(struct worker *w);

/* Tell that this worker is ready, or done: @answer is what worker_wait() returns. */
void desk_ready(struct desk *d, uint64_t answer);

/* Wait for the next order. Returns its steps, or 0: end. */
uint64_t desk_order(struct desk *d);
