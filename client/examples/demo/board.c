#define _GNU_SOURCE
#include "client/examples/demo/board.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

int64_t board_now(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

struct board *board_new(void) {
        void *p = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        return p == MAP_FAILED ? NULL : p; /* all zeros: nothing seen, nothing to do */
}

struct board *board_free(struct board *b) {
        if (b)
                (void)munmap(b, sizeof(*b));
        return NULL;
}

void board_add(struct reader_figures *f, int64_t latency) {
        uint32_t n = atomic_load_explicit(&f->frames, memory_order_relaxed);

        if (n == BOARD_SAMPLES)
                return;
        f->latency[n] = latency;
        /* release: who sees the number sees the latency. */
        atomic_store_explicit(&f->frames, n + 1, memory_order_release);
}

static int compare(const void *a, const void *b) {
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

static double milliseconds(int64_t ns) { return (double)ns / 1e6; }

struct summary board_summary(const struct reader_figures *f) {
        struct summary s = {
                .frames = atomic_load_explicit(&f->frames, memory_order_acquire),
                .missed = atomic_load(&f->missed),
                .torn = atomic_load(&f->torn),
        };
        int64_t *sorted;

        if (s.frames == 0)
                return s;
        sorted = malloc(s.frames * sizeof(*sorted));
        if (!sorted)
                abort();
        memcpy(sorted, f->latency, s.frames * sizeof(*sorted));
        qsort(sorted, s.frames, sizeof(*sorted), compare);
        s.median_ms = milliseconds(sorted[s.frames / 2]);
        s.p99_ms = milliseconds(sorted[(uint64_t)s.frames * 99 / 100]);
        free(sorted);
        return s;
}
