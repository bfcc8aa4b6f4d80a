/*
 * support.h -- what several tests need: random numbers that can be had again, and a count of open descriptors.
 *
 * It knows nothing of shmd.
 */
#pragma once

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include <cmocka.h>

/* Is every access checked? Then all takes longer, and more memory. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* splitmix64: small, and the same everywhere. */
struct random {
        uint64_t state;
};

static inline uint64_t random_next(struct random *r) {
        uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static inline uint64_t random_below(struct random *r, uint64_t n) { return random_next(r) % n; }

static inline void random_fill(struct random *r, void *p, size_t n) {
        for (size_t i = 0; i < n; i++)
                ((unsigned char *)p)[i] = (unsigned char)random_next(r);
}

/* A seed of its own for every run, printed; SHMD_TEST_SEED repeats one. */
static inline struct random random_seeded(const char *test) {
        const char *text = getenv("SHMD_TEST_SEED");
        struct random r = { 0 };

        if (text)
                r.state = strtoull(text, NULL, 0);
        else if (getrandom(&r.state, sizeof(r.state), 0) != (ssize_t)sizeof(r.state))
                r.state = 1;
        (void)fprintf(stderr, "%s: SHMD_TEST_SEED=%llu\n", test, (unsigned long long)r.state);
        return r;
}

/* Entries of a directory such as /proc/self/fd or /proc/PID/task, without . and ..; -1 if it is not there. The
 * descriptor that looks is not counted. */
static inline int directory_count(const char *path) {
        int self = !__builtin_strcmp(path, "/proc/self/fd");
        DIR *dir = opendir(path);
        int n = 0;

        if (!dir)
                return -1;
        for (struct dirent *e = readdir(dir); e; e = readdir(dir))
                n += e->d_name[0] != '.';
        (void)closedir(dir);
        return n - self;
}

static inline int fd_count(void) { return directory_count("/proc/self/fd"); }
